use proptest::prelude::*;

use super::limits::{MAX_GAPS, MIN_GAPS};
use super::*;
use crate::io::PacketBuf;
use crate::io::mem::{MemPayload, MemPool};

mod model;

const START: Instant = Instant::from_millis(9_000_000);
const IRS: u32 = 2999;
const MSS: u16 = 1460;

/// Of RFC 2018's and RFC 2883's examples.
const SEGMENT: u32 = 500;

const OPTIONS: ReceiveOptions = ReceiveOptions {
    initial_window: 65_535,
    max_window: 65_535,
    shift: 0,
    mss: MSS,
    sack: true,
    timestamp: None,
    ecn: false,
};

struct Fixture {
    pool: MemPool,
    half: ReceiveHalf<MemPayload>,
    now: Instant,
    timestamp_now: u32,
}

impl Fixture {
    const BUFFERS: usize = 2000;

    fn new(options: ReceiveOptions) -> Self {
        Self {
            pool: MemPool::new(Self::BUFFERS, 1500),
            half: ReceiveHalf::new(START, IRS, &options),
            now: START,
            timestamp_now: 1_000_000,
        }
    }

    fn arrival(&self, seq: u32, octets: &[u8], fin: bool) -> Arrival<MemPayload> {
        let mut buf = self.pool.alloc().unwrap();
        buf.append(octets.len()).unwrap().copy_from_slice(octets);
        Arrival {
            seq,
            payload: buf.into_payload(),
            fin,
            timestamps: None,
            congestion: false,
            window_reduced: false,
        }
    }

    fn handle(&mut self, arrival: Arrival<MemPayload>) -> Received {
        self.half.handle(self.now, self.timestamp_now, arrival)
    }

    fn octets(&mut self, seq: u32, octets: &[u8]) -> Received {
        let arrival = self.arrival(seq, octets, false);
        self.handle(arrival)
    }

    /// A segment of 500 octets.
    fn segment(&mut self, seq: u32) -> Received {
        self.octets(seq, &[seq as u8; SEGMENT as usize])
    }

    fn fin(&mut self, seq: u32, octets: &[u8]) -> Received {
        let arrival = self.arrival(seq, octets, true);
        self.handle(arrival)
    }

    /// What the ACK says that is due after a burst, if it is due at once.
    fn ack(&mut self) -> Option<(u32, Vec<(u32, u32)>)> {
        if self.half.poll_ack(self.now, Pressure::None) != AckDue::Now {
            return None;
        }
        let blocks = self.half.sack_blocks(3).as_slice().to_vec();
        self.half.window_field(Pressure::None);
        self.half.ack_sent(false);
        Some((self.half.rcv_nxt(), blocks))
    }

    /// Reads everything there is.
    fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(payload) = self.half.received() {
            all.extend_from_slice(payload.octets());
            let len = payload.octets().len() as u32;
            self.half.consume(len);
        }
        all
    }

    fn lent(&self) -> usize {
        Self::BUFFERS - self.pool.available()
    }
}

const fn received(advanced: u32, class: Class) -> Received {
    Received {
        advanced,
        fin: false,
        class,
    }
}

#[test]
fn an_idle_half_is_small() {
    assert_eq!(size_of::<MemPayload>(), 24);
    let size = size_of::<ReceiveHalf<MemPayload>>();
    println!("ReceiveHalf: {size} octets");
    assert!(size <= 168, "{size}");
}

#[test]
fn octets_in_order_are_read_in_order_and_buffers_come_back() {
    let mut fixture = Fixture::new(OPTIONS);
    assert_eq!(fixture.segment(3000), received(500, Class::InOrder));
    assert_eq!(fixture.octets(3500, b"abc"), received(3, Class::InOrder));
    assert_eq!((fixture.half.queued(), fixture.lent()), (503, 1));
    fixture.half.consume(499);
    assert_eq!(fixture.read(), [&[3000_u32 as u8][..], b"abc"].concat());
    assert_eq!((fixture.half.queued(), fixture.lent()), (0, 0));
    assert_eq!(fixture.half.octets_received(), 503);
    fixture.half.consume(1);
    assert_eq!(fixture.half.queued(), 0);
}

#[test]
fn a_flood_of_single_octets_holds_few_buffers() {
    let mut fixture = Fixture::new(OPTIONS);
    for nth in 0..10_000 {
        fixture.octets(3000 + nth, &[nth as u8]);
    }
    assert_eq!(fixture.half.queued(), 10_000);
    assert!(fixture.half.buffers_held() <= 8);
    assert_eq!(fixture.lent(), fixture.half.buffers_held());
    assert!(
        fixture
            .read()
            .into_iter()
            .eq((0..10_000_u32).map(|nth| nth as u8))
    );
}

#[test]
fn payloads_that_cannot_be_gathered_are_bounded() {
    let options = ReceiveOptions {
        max_window: 2048,
        initial_window: 2048,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    let mut handles = Vec::new();
    let mut refused = 0;
    for _ in 0..500 {
        let class = fixture.octets(fixture.half.rcv_nxt(), b"x").class;
        refused += u32::from(class == Class::Refused(Refusal::TooManyBuffers));
        // Somebody else holds the buffer too, so nothing can be put behind it.
        handles.extend(fixture.half.queue.back_mut().map(|back| back.share()));
    }
    assert_eq!(fixture.half.buffers_held(), 2 * (64 + 8));
    assert_eq!(refused, 500 - 2 * (64 + 8));
    drop(handles);
    fixture.read();
    assert_eq!(fixture.octets(3144, b"x").class, Class::InOrder);
}

/// RFC 9293 section 3.10.7.4, the table of four cases.
#[test]
fn segments_are_acceptable_by_the_table() {
    use Acceptance::{Acceptable, Beyond, Old};
    let options = ReceiveOptions {
        initial_window: 100,
        max_window: 100,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    for (seq, len, expected) in [
        (3000, 0, Acceptable),
        (2999, 0, Old),
        (3100, 0, Acceptable),
        (3101, 0, Beyond),
        (3000, 1, Acceptable),
        (3099, 1, Acceptable),
        (3099, 500, Acceptable),
        (3100, 1, Beyond),
        (2999, 1, Old),
        (2999, 2, Acceptable),
        (2000, 5000, Acceptable),
        (3000 + (1 << 31), 1, Old),
    ] {
        let acceptance = fixture.half.acceptance(seq, len, false);
        assert_eq!(acceptance, expected, "{seq} {len}");
    }
    fixture.octets(3000, &[1; 100]);
    for (seq, len, fin, expected) in [
        (3100, 0, false, Acceptable),
        (3099, 0, false, Old),
        (3101, 0, false, Beyond),
        (3100, 1, false, Beyond),
        (3099, 1, false, Old),
        (3099, 2, false, Beyond),
        (3100, 0, true, Acceptable),
        (3050, 50, true, Acceptable),
        (3100, 1, true, Beyond),
        (3099, 0, true, Old),
    ] {
        let acceptance = fixture.half.acceptance(seq, len, fin);
        assert_eq!(acceptance, expected, "closed: {seq} {len} {fin}");
    }
}

#[test]
fn what_sticks_out_of_the_window_is_cut_off() {
    let options = ReceiveOptions {
        initial_window: 100,
        max_window: 100,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    assert_eq!(fixture.octets(3000, b"ab"), received(2, Class::InOrder));
    let both_sides = [&b"ABcd"[..], &[b'x'; 200]].concat();
    let expected = received(98, Class::InOrder);
    assert_eq!(fixture.fin(3000, &both_sides), expected);
    assert!(!fixture.half.is_finished() && fixture.half.reassembly.fin().is_none());
    assert_eq!(fixture.read(), [&b"abcd"[..], &[b'x'; 96]].concat());
}

#[test]
fn a_probe_of_a_closed_window_is_answered_at_once() {
    let options = ReceiveOptions {
        initial_window: 1000,
        max_window: 1000,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    fixture.octets(3000, &[1; 1000]);
    fixture.half.ack_sent(false);
    assert_eq!(fixture.half.window_field(Pressure::None), 0);
    assert_eq!(fixture.ack(), None);
    assert_eq!(fixture.octets(4000, b"x"), received(0, Class::Outside));
    assert_eq!(fixture.ack(), Some((4000, vec![])));
    // Once the session has read, the peer is told by an ACK of its own.
    fixture.half.consume(499);
    assert_eq!(fixture.ack(), None);
    fixture.half.consume(1);
    assert_eq!(fixture.ack(), Some((4000, vec![])));
    assert_eq!(fixture.octets(4000, b"x"), received(1, Class::InOrder));
}

#[test]
fn a_keepalive_is_answered_at_once() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.now += STRAY_INTERVAL;
    assert_eq!(fixture.octets(2999, b""), received(0, Class::Duplicate));
    assert_eq!(fixture.ack(), Some((3000, vec![])));
    assert_eq!(fixture.octets(2999, b"?"), received(0, Class::Duplicate));
    assert_eq!(fixture.ack(), Some((3000, vec![])));
    assert_eq!(fixture.octets(3000, b""), received(0, Class::Bare));
    assert_eq!(fixture.ack(), None);
}

#[test]
fn two_ends_that_disagree_do_not_answer_each_other_for_ever() {
    let mut fixture = Fixture::new(OPTIONS);
    let mut answers = 0;
    for _ in 0..1000 {
        fixture.now += Duration::from_millis(1);
        fixture.octets(1_000_000, b"");
        answers += u32::from(fixture.ack().is_some());
    }
    assert_eq!(answers, 10);
}

/// RFC 2018 section 5, case 2: the first of eight segments is lost.
#[test]
fn sack_tells_of_one_growing_block() {
    let mut fixture = Fixture::new(OPTIONS);
    for nth in 1..8 {
        let seq = 3000 + SEGMENT * nth;
        assert_eq!(fixture.segment(seq), received(0, Class::Ahead));
        assert_eq!(fixture.ack(), Some((3000, vec![(3500, seq + SEGMENT)])));
    }
    assert_eq!(fixture.segment(3000), received(4000, Class::Filling));
    assert_eq!(fixture.ack(), Some((7000, vec![])));
}

/// RFC 2018 section 5, case 3: every second segment is lost, then some of those arrive.
#[test]
fn sack_tells_of_the_latest_blocks_first() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.segment(3000);
    fixture.ack();
    let acks = [4000, 5000, 6000].map(|seq| {
        fixture.segment(seq);
        fixture.ack().unwrap()
    });
    assert_eq!(
        acks,
        [
            (3500, vec![(4000, 4500)]),
            (3500, vec![(5000, 5500), (4000, 4500)]),
            (3500, vec![(6000, 6500), (5000, 5500), (4000, 4500)]),
        ]
    );
    fixture.segment(4500);
    assert_eq!(
        fixture.ack(),
        Some((3500, vec![(4000, 5500), (6000, 6500)]))
    );
    fixture.segment(3500);
    assert_eq!(fixture.ack(), Some((5500, vec![(6000, 6500)])));
}

/// RFC 2883 sections 4.1 and 4.2.
#[test]
fn duplicates_are_reported_once() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.segment(3000);
    fixture.segment(3500);
    fixture.ack();
    assert_eq!(fixture.segment(3000), received(0, Class::Duplicate));
    assert_eq!(fixture.ack(), Some((4000, vec![(3000, 3500)])));
    // With a block of what is ahead of a gap.
    fixture.segment(4500);
    assert_eq!(fixture.ack(), Some((4000, vec![(4500, 5000)])));
    fixture.segment(3000);
    assert_eq!(
        fixture.ack(),
        Some((4000, vec![(3000, 3500), (4500, 5000)]))
    );
    // Of what is ahead of a gap, with the block that it belongs to.
    fixture.segment(5000);
    fixture.ack();
    assert_eq!(fixture.segment(5000), received(0, Class::Duplicate));
    assert_eq!(
        fixture.ack(),
        Some((4000, vec![(5000, 5500), (4500, 5500)]))
    );
    // Partly new.
    assert_eq!(
        fixture.octets(3500, &[0; 600]),
        received(100, Class::Filling)
    );
    assert_eq!(
        fixture.ack(),
        Some((4100, vec![(3500, 4000), (4500, 5500)]))
    );
}

#[test]
fn what_never_arrived_is_not_reported_as_a_duplicate() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.segment(3000);
    fixture.ack();
    fixture.segment(1000);
    assert_eq!(fixture.ack(), Some((3500, vec![])));
    fixture.octets(2900, &[0; 200]);
    assert_eq!(fixture.ack(), Some((3500, vec![(3000, 3100)])));
}

#[test]
fn nothing_is_said_of_gaps_unless_negotiated() {
    let options = ReceiveOptions {
        sack: false,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    fixture.segment(3500);
    assert_eq!(fixture.ack(), Some((3000, vec![])));
}

#[test]
fn a_burst_is_acknowledged_once() {
    let mut fixture = Fixture::new(OPTIONS);
    for nth in 0..32 {
        fixture.octets(3000 + 1460 * nth, &[0; 1460]);
    }
    assert_eq!(fixture.ack(), Some((3000 + 32 * 1460, vec![])));
    assert_eq!(fixture.ack(), None);
}

#[test]
fn a_fin_ends_the_stream_once_everything_has_arrived() {
    let mut fixture = Fixture::new(OPTIONS);
    assert_eq!(fixture.fin(3003, b"def"), received(0, Class::Ahead));
    assert!(!fixture.half.is_finished());
    assert_eq!(fixture.half.reassembly.fin(), Some(3006));
    assert_eq!(fixture.ack(), Some((3000, vec![(3003, 3007)])));
    assert_eq!(fixture.fin(3003, b"def"), received(0, Class::Duplicate));
    let received_all = Received {
        advanced: 6,
        fin: true,
        class: Class::Filling,
    };
    assert_eq!(fixture.octets(3000, b"abc"), received_all);
    assert!(fixture.half.is_finished());
    assert_eq!(fixture.half.rcv_nxt(), 3007);
    assert!(fixture.ack().is_some());
    assert_eq!(fixture.fin(3003, b"def").class, Class::Duplicate);
    assert_eq!(fixture.ack(), Some((3007, vec![(3003, 3006)])));
    let beyond = Class::Refused(Refusal::BeyondFin);
    assert_eq!(fixture.octets(3007, b"more").class, beyond);
    assert_eq!(fixture.read(), b"abcdef");
}

#[test]
fn a_fin_in_order_is_acknowledged_at_once() {
    let mut fixture = Fixture::new(OPTIONS);
    let end = fixture.fin(3000, b"all");
    assert_eq!((end.advanced, end.fin), (3, true));
    assert_eq!(fixture.ack(), Some((3004, vec![])));
    // Nothing more will come: reading is nobody's business but ours.
    assert_eq!(fixture.read(), b"all");
    assert_eq!(fixture.ack(), None);
}

#[test]
fn a_fin_needs_no_window() {
    let options = ReceiveOptions {
        initial_window: 100,
        max_window: 100,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    fixture.octets(3000, &[1; 100]);
    assert!(fixture.fin(3100, b"").fin);
    assert_eq!(fixture.half.rcv_nxt(), 3101);
    assert_eq!(fixture.half.window_field(Pressure::None), 0);
}

#[test]
fn a_fin_in_order_ends_the_stream_whatever_is_held_beyond_it() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.octets(3010, b"later");
    let end = fixture.fin(3000, b"ab");
    assert_eq!((end.advanced, end.fin), (2, true));
    assert!(fixture.half.is_finished());
    assert_eq!(fixture.ack(), Some((3003, vec![])));
    assert_eq!(fixture.read(), b"ab");
    assert_eq!(fixture.half.buffers_held(), 0);
}

#[test]
fn a_fin_in_order_does_not_move_one_that_is_held() {
    let mut fixture = Fixture::new(OPTIONS);
    fixture.fin(3003, b"def");
    // It would have octets behind the end that is known.
    let end = fixture.fin(3000, b"abcdefgh");
    assert_eq!((end.advanced, end.fin), (6, true));
    assert_eq!(fixture.half.rcv_nxt(), 3007);
    assert_eq!(fixture.read(), b"abcdef");
}

#[test]
fn too_many_gaps_are_refused_but_not_what_is_next() {
    let mut fixture = Fixture::new(OPTIONS);
    // The peer's segments are taken to be of 536 octets.
    let most = MIN_GAPS as u32 + OPTIONS.max_window / 536;
    for nth in 0..most {
        let class = fixture.octets(3010 + 10 * nth, b"x").class;
        assert_eq!(class, Class::Ahead, "{nth}");
    }
    let refused = Class::Refused(Refusal::TooManyGaps);
    assert_eq!(fixture.octets(3010 + 10 * most, b"x").class, refused);
    assert_eq!(fixture.octets(3000, b"x"), received(1, Class::Filling));
    assert_eq!(fixture.octets(3001, b"x"), received(1, Class::Filling));
}

#[test]
fn a_large_window_explains_no_end_of_gaps() {
    let options = ReceiveOptions {
        initial_window: 1 << 30,
        max_window: 1 << 30,
        shift: 14,
        ..OPTIONS
    };
    assert_eq!(Fixture::new(options).half.max_gaps(), MAX_GAPS);
}

const fn timestamps(value: u32, echo: u32) -> Timestamps {
    Timestamps { value, echo }
}

#[test]
fn timestamps_are_judged_and_echoed() {
    let options = ReceiveOptions {
        timestamp: Some(70),
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    let mut send = |seq, value| {
        let mut arrival = fixture.arrival(seq, b"0123456789", false);
        arrival.timestamps = Some(timestamps(value, 0));
        fixture.handle(arrival);
        fixture.half.timestamp_echo()
    };
    assert_eq!(send(3010, 72), Some(70));
    assert_eq!(send(3000, 71), Some(71));
    // RFC 7323 4.3: with a delayed ACK outstanding the first segment's is echoed.
    assert_eq!(send(3020, 73), Some(71));
    let half = &mut fixture.half;
    half.ack_sent(false);
    assert_eq!(
        half.check_age(START, Some(timestamps(70, 0)), false),
        Verdict::Old
    );
    assert_eq!(half.check_age(START, None, false), Verdict::Missing);
    assert_eq!(
        half.check_age(START, Some(timestamps(70, 0)), true),
        Verdict::Fresh
    );
    let fixture = Fixture::new(OPTIONS);
    assert_eq!(fixture.half.check_age(START, None, false), Verdict::Fresh);
}

#[test]
fn the_round_trip_is_measured_by_echoes_of_full_segments() {
    let options = ReceiveOptions {
        timestamp: Some(0),
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    let mut send = |wait: u64, len: usize, echo_age: u32| {
        fixture.now += Duration::from_millis(wait);
        fixture.timestamp_now += wait as u32;
        let mut arrival = fixture.arrival(fixture.half.rcv_nxt(), &[0; 1460][..len], false);
        arrival.timestamps = Some(timestamps(1, fixture.timestamp_now.wrapping_sub(echo_age)));
        fixture.handle(arrival);
        fixture.half.ack_sent(false);
        fixture.half.rtt().map(|rtt| rtt.as_millis())
    };
    assert_eq!(send(1, 100, 20), None);
    assert_eq!(send(1, 1460, 20), Some(20));
    assert_eq!(send(1, 1460, 21), Some(20));
    // A sender that was idle for longer than that, with what it had heard before.
    assert_eq!(send(500, 1460, 510), Some(20));
    assert_eq!(send(1, 1460, 4_000_000_000), Some(20));
    for _ in 0..100 {
        send(1, 1460, 10);
    }
    assert!((10..12).contains(&send(1, 1460, 10).unwrap()));
}

/// RFC 3168 sections 6.1.3 and 6.1.5.
#[test]
fn congestion_marks_count_on_new_data_in_the_window() {
    let options = ReceiveOptions {
        ecn: true,
        ..OPTIONS
    };
    let mut fixture = Fixture::new(options);
    let mut send = |seq, octets: &[u8], congestion, window_reduced| {
        let mut arrival = fixture.arrival(seq, octets, false);
        arrival.congestion = congestion;
        arrival.window_reduced = window_reduced;
        fixture.handle(arrival);
        fixture.half.echoes_congestion()
    };
    assert!(!send(3000, b"", true, false));
    assert!(!send(2000, b"old", true, false));
    assert!(!send(300_000, b"beyond", true, false));
    assert!(send(3000, b"new", true, false));
    assert!(!send(3003, b"new", false, true));
}
