//! Finds segments of one flow that follow one another in a burst.
//!
//! * **In**: the lane of TCP segments, once a burst is sorted.
//! * **Out**: which of them are handled together, as a [`Run`] of the first.
//!
//! Packets of other flows may stand between those of a run. The order of a flow's own segments is
//! kept: whatever cannot join a run ends it. Two flows that fall on the same slot end each other's
//! runs, which costs time and nothing else.

use netstack::io::PacketBuf;
use netstack::ip::{FiveTuple, Ip, IpAddress};
use netstack::tcp::{Run, Segment};

use super::parse::TcpPacket;

/// Runs that may be open at a time: enough for a burst of as many flows. A power of two.
const SLOTS: usize = 64;

/// No packet.
const NONE: u16 = u16::MAX;

/// What is known of a packet in the lane.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The place of the packet that follows it.
    next: u16,
    /// It follows another.
    follows: bool,
}

/// The runs of a lane.
#[derive(Debug)]
pub struct Runs {
    links: Vec<Link>,
    /// The last packet of each slot, if another may follow it.
    tails: [u16; SLOTS],
}

impl Runs {
    /// For lanes of `capacity` packets.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            links: Vec::with_capacity(capacity),
            tails: [NONE; SLOTS],
        }
    }

    /// Finds the runs of `lane`.
    pub fn find<I: Ip, B: PacketBuf>(&mut self, lane: &[Option<TcpPacket<I, B>>]) {
        self.links.clear();
        self.tails = [NONE; SLOTS];
        for (index, packet) in (0..NONE).zip(lane) {
            let mut link = Link {
                next: NONE,
                follows: false,
            };
            if let Some(packet) = packet {
                let tail = &mut self.tails[slot(&packet.flow)];
                let plain = packet.segment.is_plain();
                let before = if plain {
                    lane.get(usize::from(*tail))
                } else {
                    None
                };
                if let Some(Some(before)) = before
                    && (before.flow, before.port, before.asked)
                        == (packet.flow, packet.port, packet.asked)
                    && before.segment.is_followed_by(&packet.segment)
                {
                    self.links[usize::from(*tail)].next = index;
                    link.follows = true;
                }
                *tail = if plain { index } else { NONE };
            }
            self.links.push(link);
        }
    }

    /// Whether the packet at `index` follows another, and is handled with it.
    pub fn follows(&self, index: usize) -> bool {
        self.links.get(index).is_some_and(|link| link.follows)
    }

    /// What follows the packet at `index` of the lane.
    pub fn after<'a, I: Ip, B>(
        &'a self,
        index: usize,
        lane: &'a mut [Option<TcpPacket<I, B>>],
    ) -> LaneRun<'a, I, B> {
        LaneRun {
            lane,
            links: &self.links,
            next: self.links.get(index).map_or(NONE, |link| link.next),
        }
    }
}

fn slot<I: Ip>(flow: &FiveTuple<I>) -> usize {
    // Backends differ in their addresses only, clients often in their ports.
    let ports = u32::from(flow.sport) << 16 | u32::from(flow.dport);
    let mixed = (flow.src.to_bits() as u32 ^ ports.rotate_left(5)).wrapping_mul(0x9e37_79b1);
    // The upper bits of a product depend on all bits.
    (mixed >> (u32::BITS - SLOTS.ilog2())) as usize
}

/// A run in a lane.
#[derive(Debug)]
pub struct LaneRun<'a, I: Ip, B> {
    lane: &'a mut [Option<TcpPacket<I, B>>],
    links: &'a [Link],
    next: u16,
}

impl<I: Ip, B: PacketBuf> Run<B> for LaneRun<'_, I, B> {
    fn peek(&self) -> Option<&Segment<B>> {
        let packet = self.lane.get(usize::from(self.next))?.as_ref()?;
        Some(&packet.segment)
    }

    fn take(&mut self) -> Option<Segment<B>> {
        let index = usize::from(self.next);
        let packet = self.lane.get_mut(index)?.take()?;
        self.next = self.links[index].next;
        Some(packet.segment)
    }
}

#[cfg(test)]
mod tests {
    use netstack::io::PortId;
    use netstack::io::mem::MemBuf;
    use netstack::ip::{V4, V6};
    use netstack::wire::tcp::{self, Flags, HEADER_LEN, Header, Options, Timestamps};

    use super::*;

    const ACK: Flags = Flags::ACK;

    /// A segment of a flow to port 80 from one of several hosts, all of which use port 5000.
    fn packet<I: Ip>(
        host: u8,
        seq: u32,
        len: usize,
        change: fn(&mut Header),
    ) -> TcpPacket<I, MemBuf> {
        let mut header = Header {
            sport: 5000,
            dport: 80,
            seq,
            ack: 77,
            flags: ACK,
            window: 1000,
            urgent: 0,
            header_len: HEADER_LEN,
            options: Options::default(),
        };
        change(&mut header);
        header.header_len = header.emit_len();
        let mut octets = vec![0; I::HEADER_LEN + header.emit_len()];
        octets[0] = I::VERSION << 4;
        header.emit(&mut octets[I::HEADER_LEN..]);
        octets.extend(vec![0; len]);
        let addr = |last: u8| {
            let mut octets = [10; 16];
            octets[I::Addr::LEN - 1] = last;
            I::Addr::from_octets(&octets[..I::Addr::LEN]).unwrap()
        };
        TcpPacket {
            port: PortId(0),
            flow: FiveTuple {
                src: addr(host),
                dst: addr(99),
                sport: 5000,
                dport: 80,
                protocol: tcp::PROTOCOL,
            },
            guess: None,
            asked: 0,
            segment: Segment {
                packet: MemBuf::from_frame(&octets),
                tcp_offset: I::HEADER_LEN,
                header,
                payload_sum: None,
            },
        }
    }

    /// The runs of a lane: host and sequence number of each segment.
    fn runs_of<I: Ip>(packets: Vec<TcpPacket<I, MemBuf>>) -> Vec<Vec<u32>> {
        let mut lane: Vec<_> = packets.into_iter().map(Some).collect();
        let mut runs = Runs::with_capacity(lane.len());
        runs.find(&lane);
        let mut found = Vec::new();
        for index in 0..lane.len() {
            let follows = runs.follows(index);
            let Some(first) = lane[index].take() else {
                assert!(follows);
                continue;
            };
            assert!(!follows);
            let mut together = vec![first.segment.header.seq];
            let mut run = runs.after(index, &mut lane);
            while let Some(next) = run.peek().map(|next| next.header.seq) {
                assert_eq!(run.take().map(|taken| taken.header.seq), Some(next));
                together.push(next);
            }
            assert!(run.take().is_none());
            found.push(together);
        }
        found
    }

    fn flows_may_alternate<I: Ip>() {
        let same = |_: &mut Header| {};
        let lane = vec![
            packet::<I>(1, 100, 10, same),
            packet(2, 5000, 20, same),
            packet(1, 110, 10, |header| header.flags = ACK | Flags::PSH),
            packet(3, 9000, 0, same),
            packet(2, 5020, 1, same),
            packet(1, 120, 5, same),
        ];
        let expected = [vec![100, 110, 120], vec![5000, 5020], vec![9000]];
        assert_eq!(runs_of(lane), expected);
    }

    fn what_says_something_else_ends_a_run<I: Ip>() {
        let changes: [fn(&mut Header); 7] = [
            |header| header.ack += 1,
            |header| header.window += 1,
            |header| header.seq += 1,
            |header| header.flags = ACK | Flags::FIN,
            |header| header.flags = ACK | Flags::CWR,
            |header| header.flags = ACK | Flags::URG,
            |header| header.options.timestamps = Some(Timestamps { value: 1, echo: 2 }),
        ];
        for change in changes {
            let lane = vec![
                packet::<I>(1, 100, 10, |_| {}),
                packet(1, 110, 10, change),
                packet(1, 120, 10, |_| {}),
            ];
            assert_eq!(runs_of(lane).len(), 3);
        }
        // An acknowledgment between two parts of a run stays between them.
        let lane = vec![
            packet::<I>(1, 100, 10, |_| {}),
            packet(1, 110, 0, |header| header.ack += 1),
            packet(1, 110, 10, |_| {}),
        ];
        assert_eq!(runs_of(lane), [[100], [110], [110]]);
        let mut elsewhere = packet::<I>(1, 110, 10, |_| {});
        elsewhere.port = PortId(1);
        let lane = vec![packet(1, 100, 10, |_| {}), elsewhere];
        assert_eq!(runs_of(lane).len(), 2);
    }

    #[test]
    fn runs_are_found_v4_and_v6() {
        flows_may_alternate::<V4>();
        flows_may_alternate::<V6>();
        what_says_something_else_ends_a_run::<V4>();
        what_says_something_else_ends_a_run::<V6>();
    }

    #[test]
    fn marked_packets_stay_alone() {
        let mut marked = packet::<V4>(1, 110, 10, |_| {});
        marked.segment.packet.data_mut()[1] = 3;
        let lane = vec![packet::<V4>(1, 100, 10, |_| {}), marked];
        assert_eq!(runs_of(lane).len(), 2);
    }
}
