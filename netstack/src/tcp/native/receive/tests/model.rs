//! Random segments of a known stream, against what must hold whatever arrives.

use proptest::collection::vec;
use proptest::sample::Index;

use super::*;

/// What happens to the half.
#[derive(Clone, Debug)]
enum Step {
    /// A segment of the stream arrives that begins so far from the next expected octet.
    Segment { offset: i32, len: u16, fin: bool },
    /// The session reads.
    Read(u32),
    /// Time passes, in microseconds, then whatever ACK is due is sent.
    Ack { micros: u32, pressure: Pressure },
}

fn any_step() -> impl Strategy<Value = Step> {
    let near = prop_oneof![Just(0), -50_i32..50, -3000_i32..6000, -40_000_i32..80_000];
    let len = prop_oneof![0_u16..4, 0_u16..300, 0_u16..=1460];
    let pressure = prop_oneof![
        5 => Just(Pressure::None),
        1 => Just(Pressure::Moderate),
        1 => Just(Pressure::High),
        1 => Just(Pressure::Critical),
    ];
    let segment = (near, len, any::<bool>());
    let ack = (0_u32..60_000, pressure);
    prop_oneof![
        60 => segment.prop_map(|(offset, len, fin)| Step::Segment { offset, len, fin }),
        15 => (0_u32..5000).prop_map(Step::Read),
        20 => ack.prop_map(|(micros, pressure)| Step::Ack { micros, pressure }),
    ]
}

fn any_options() -> impl Strategy<Value = ReceiveOptions> {
    let sizes = prop_oneof![
        (1_u32..200, 1_u32..200, Just(0_u8)),
        (1_u32..20_000, 1_u32..60_000, 0_u8..4),
        (1_u32..200_000, Just(1_u32 << 30), Just(14_u8)),
    ];
    let options = (sizes, 20_u16..1460);
    options.prop_map(|(sizes, mss)| {
        let (initial_window, max_window, shift) = sizes;
        ReceiveOptions {
            initial_window,
            max_window,
            shift,
            mss,
            ..OPTIONS
        }
    })
}

fn stream_octet(at: u32) -> u8 {
    (at ^ (at >> 8) ^ (at >> 13)) as u8
}

struct Model {
    fixture: Fixture,
    shift: u8,
    first: u32,
    /// How often each octet of the stream has been handed in; the last is the FIN.
    handed_in: Vec<u8>,
    /// Octets read.
    read: u32,
    /// The right edge that the peer was told of last.
    advertised: u32,
}

impl Model {
    fn new(irs: u32, len: u32, options: &ReceiveOptions) -> Self {
        let mut fixture = Fixture::new(*options);
        fixture.half = ReceiveHalf::new(START, irs, options);
        let first = irs.wrapping_add(1);
        let window = u32::from(fixture.half.syn_window_field());
        Self {
            fixture,
            shift: options.shift,
            first,
            handed_in: vec![0; len as usize + 1],
            read: 0,
            advertised: first.wrapping_add(window),
        }
    }

    fn stream_len(&self) -> u32 {
        self.handed_in.len() as u32 - 1
    }

    /// Where the next expected octet stands in the stream.
    fn next(&self) -> u32 {
        self.fixture.half.rcv_nxt().wrapping_sub(self.first)
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Segment { offset, len, fin } => {
                let at = self.next().saturating_add_signed(offset);
                self.segment(at, u32::from(len), fin)?;
            }
            Step::Read(len) => self.read(len)?,
            Step::Ack { micros, pressure } => {
                self.fixture.now += Duration::from_micros(u64::from(micros));
                self.ack(pressure)?;
            }
        }
        self.check()
    }

    fn segment(&mut self, at: u32, len: u32, fin: bool) -> Result<(), TestCaseError> {
        let at = at.min(self.stream_len());
        let end = (at + len).min(self.stream_len());
        let fin = fin && end == self.stream_len();
        let octets: Vec<u8> = (at..end).map(stream_octet).collect();
        for count in &mut self.handed_in[at as usize..(end + u32::from(fin)) as usize] {
            *count = count.saturating_add(1);
        }
        let (before, queued) = (self.next(), self.fixture.half.queued());
        let seq = self.first.wrapping_add(at);
        let arrival = self.fixture.arrival(seq, &octets, fin);
        let Received { advanced, fin, .. } = self.fixture.handle(arrival);
        prop_assert_eq!(self.next(), before + advanced + u32::from(fin));
        prop_assert_eq!(self.fixture.half.queued(), queued + advanced);
        prop_assert!(!fin || self.next() == self.stream_len() + 1);
        Ok(())
    }

    /// What is read is the stream, in order, once.
    fn read(&mut self, len: u32) -> Result<(), TestCaseError> {
        let mut len = len.min(self.fixture.half.queued());
        while len > 0 {
            let octets = self.fixture.half.received().unwrap().octets();
            let octets = &octets[..octets.len().min(len as usize)];
            for (nth, &octet) in octets.iter().enumerate() {
                prop_assert_eq!(octet, stream_octet(self.read + nth as u32));
            }
            let count = octets.len() as u32;
            self.read += count;
            len -= count;
            self.fixture.half.consume(count);
        }
        Ok(())
    }

    fn ack(&mut self, pressure: Pressure) -> Result<(), TestCaseError> {
        let half = &mut self.fixture.half;
        if half.poll_ack(self.fixture.now, pressure) != AckDue::Now {
            return Ok(());
        }
        let field = u32::from(half.window_field(pressure)) << self.shift;
        let right = half.rcv_nxt().wrapping_add(field);
        let unit = 1 << self.shift;
        // RFC 7323 section 2.4: less than a unit, if at all.
        prop_assert!(seq::lt(self.advertised, right.wrapping_add(unit)));
        prop_assert!(seq::le(right, half.edge()));
        self.advertised = right;
        self.check_blocks()?;
        let half = &mut self.fixture.half;
        half.ack_sent(false);
        let after = half.poll_ack(self.fixture.now, pressure);
        prop_assert_eq!(after, AckDue::None);
        Ok(())
    }

    /// SACK blocks tell the truth, and a D-SACK block tells of what arrived twice.
    fn check_blocks(&self) -> Result<(), TestCaseError> {
        let half = &self.fixture.half;
        let blocks = half.sack_blocks(4);
        let relative = |seq: u32| seq.wrapping_sub(self.first);
        let mut seen: Vec<(u32, u32)> = Vec::new();
        for (nth, &(left, right)) in blocks.as_slice().iter().enumerate() {
            let (left, right) = (relative(left), relative(right));
            prop_assert!(left < right);
            let counts = &self.handed_in[left as usize..right as usize];
            if nth == 0 && half.duplicate.is_some() {
                prop_assert!(counts.iter().all(|&count| count >= 2));
                continue;
            }
            prop_assert!(counts.iter().all(|&count| count >= 1));
            // There is a gap before it, and it is apart from all others.
            prop_assert!(left > self.next());
            prop_assert!(seen.iter().all(|&(l, r)| r < left || right < l));
            seen.push((left, right));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let half = &self.fixture.half;
        prop_assert!(self.fixture.lent() <= half.buffers_held());
        let arrived = self.next().min(self.stream_len());
        prop_assert_eq!(half.queued(), arrived - self.read);
        let queue = half.queue.iter().map(|payload| payload.octets().len());
        prop_assert_eq!(queue.sum::<usize>(), half.queued() as usize);
        Ok(())
    }

    /// Sends what SACK does not tell of, and nothing else; that must complete the stream.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        while !self.fixture.half.is_finished() {
            self.read(u32::MAX)?;
            self.fixture.half.demand_ack();
            self.ack(Pressure::None)?;
            let next = self.next();
            let mut blocks = SackBlocks::default();
            self.fixture.half.reassembly.sack_blocks(&mut blocks, 4);
            let lefts = blocks.as_slice().iter().map(|&(left, _)| left);
            let gap_end = lefts.map(|left| left.wrapping_sub(self.first)).min();
            let len = gap_end.map_or(1460, |end| end - next).min(1460);
            self.segment(next, len, true)?;
            prop_assert!(self.next() > next);
        }
        self.read(u32::MAX)?;
        prop_assert_eq!(self.read, self.stream_len());
        prop_assert_eq!(self.fixture.lent(), 0);
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_stream_is_read_in_order_once(
        irs in prop_oneof![any::<u32>(), (u32::MAX - 20_000)..=u32::MAX],
        len in prop_oneof![0_u32..200, 0_u32..60_000],
        options in any_options(),
        steps in vec(any_step(), 0..250),
    ) {
        let mut model = Model::new(irs, len, &options);
        for step in &steps {
            model.step(step)?;
        }
        model.finish()?;
    }

    /// Nothing is assumed of the peer: any octets, any sequence numbers, and nobody reads.
    #[test]
    fn a_hostile_peer_gets_no_further_than_the_window(
        irs: u32,
        options in any_options(),
        segments in vec((any::<Index>(), any::<u32>(), 0_usize..1460, any::<bool>()), 0..200),
    ) {
        let mut fixture = Fixture::new(options);
        fixture.half = ReceiveHalf::new(START, irs, &options);
        let max = fixture.half.window.max();
        let most = max + (max / 16).max(1 << options.shift);
        for (near, anywhere, len, fin) in segments {
            let half = &fixture.half;
            let seq = match near.index(4) {
                0 => half.rcv_nxt(),
                1 => half.rcv_nxt().wrapping_add(anywhere % 20_000).wrapping_sub(10_000),
                2 => half.edge().wrapping_sub(anywhere % 1500),
                _ => anywhere,
            };
            let arrival = fixture.arrival(seq, &vec![seq as u8; len], fin);
            fixture.handle(arrival);
            let half = &mut fixture.half;
            prop_assert!(half.queued() <= most);
            prop_assert!(half.buffers_held() <= 4 * half.max_payloads() + 256);
            for &(left, right) in half.sack_blocks(4).as_slice() {
                prop_assert!(seq::lt(left, right));
                prop_assert!(seq::le(right, half.edge().wrapping_add(1)));
            }
            half.poll_ack(fixture.now, Pressure::None);
            half.window_field(Pressure::None);
            half.ack_sent(anywhere % 2 == 0);
            prop_assert!(fixture.lent() <= fixture.half.buffers_held());
        }
        fixture.half.consume(u32::MAX);
        fixture.half.reassembly = Reassembly::default();
        prop_assert_eq!(fixture.lent(), 0);
    }
}
