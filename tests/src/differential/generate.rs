//! Cases from seeds.
//!
//! The generator follows what a TCP that does everything right would have received and sent, so
//! that most segments mean something; a TCP that thinks otherwise is what is looked for.

use netstack::wire::tcp::Flags;

use super::case::{Case, Handshake, Segment, Stamp, Step};
use super::random::Random;
use crate::rig::FAMILIES;

/// Steps of a case at most.
const MAX_STEPS: u32 = 14;

/// Far beyond any window, and far before it: less than half of the number space.
const FAR: u32 = 1 << 26;

/// A case that follows from `seed`.
pub fn generate(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let handshake = Handshake {
        mss: random.choose(&[536, 1000, 1400]),
        scale: (!random.one_in(4)).then(|| random.within(0, 9) as u8),
        sack: !random.one_in(4),
        stamps: !random.one_in(3),
    };
    let mut model = Model {
        next: 1,
        held: Vec::new(),
        written: 1,
        open: true,
        closed: false,
        mss: handshake.mss,
        random,
    };
    let len = model.random.within(2, MAX_STEPS + 1);
    let steps = (0..len).map(|_| model.step()).collect();
    Case {
        family: model.random.choose(&FAMILIES),
        handshake,
        steps,
    }
}

/// What the connection ought to be like.
struct Model {
    /// What it expects next.
    next: u32,
    /// What it has beyond that.
    held: Vec<(u32, u32)>,
    /// The end of what was written, with the end of the direction.
    written: u32,
    /// The session has not ended its direction.
    open: bool,
    /// The session has no socket any more.
    closed: bool,
    mss: u16,
    random: Random,
}

impl Model {
    fn step(&mut self) -> Step {
        if !self.closed {
            match self.random.within(0, 100) {
                0..=14 if self.open => {
                    let len = self.random.within(1, 3000);
                    self.written += len;
                    return Step::Write(len as u16);
                }
                15..=32 => return Step::Read(self.random.choose(&[100, 1000, 8000, 60_000])),
                33..=36 if self.open => {
                    self.open = false;
                    self.written += 1;
                    return Step::Shutdown;
                }
                37..=38 => {
                    self.written += u32::from(self.open);
                    self.open = false;
                    self.closed = true;
                    return Step::Close;
                }
                _ => {}
            }
        }
        let mut segment = self.segment();
        self.spoil(&mut segment);
        self.arrived(&segment);
        Step::Segment(segment)
    }

    /// A segment of any kind.
    fn segment(&mut self) -> Segment {
        let len = self.len();
        let next = self.next;
        let mut segment = Segment {
            flags: Flags::ACK,
            seq: next,
            len,
            ack: self.written,
            window: self.random.choose(&[20_000, 30_000, 65_535]),
            stamp: Stamp::Fresh,
            sack: Vec::new(),
        };
        match self.random.within(0, 100) {
            // Next in order.
            0..=29 => {}
            // Ahead of a gap.
            30..=41 => segment.seq = next.wrapping_add(self.random.within(1, 4000)),
            // Across what is there, or what is held.
            42..=51 => {
                let back = self.random.within(1, u32::from(len) + 1);
                segment.seq = next.wrapping_sub(back);
            }
            // All of it old.
            52..=56 => {
                let back = u32::from(len) + self.random.within(0, 500);
                segment.seq = next.wrapping_sub(back);
            }
            57..=60 => segment.seq = next.wrapping_add(FAR),
            61..=63 => segment.seq = next.wrapping_sub(FAR),
            // Nothing but an acknowledgment.
            64..=78 => {
                segment.len = 0;
                segment.seq = self.near(next);
            }
            79..=87 => self.ending(&mut segment),
            _ => self.control(&mut segment),
        }
        segment
    }

    /// A segment with FIN.
    fn ending(&mut self, segment: &mut Segment) {
        segment.flags = segment.flags | Flags::FIN;
        if self.random.one_in(2) {
            segment.len = 0;
        }
        if self.random.one_in(3) {
            segment.seq = self.near(segment.seq);
        }
    }

    /// A segment with RST or SYN, or without ACK.
    fn control(&mut self, segment: &mut Segment) {
        if !self.random.one_in(4) {
            segment.len = 0;
        }
        segment.flags = self.random.choose(&[
            Flags::RST,
            Flags::RST | Flags::ACK,
            Flags::RST,
            Flags::SYN,
            Flags::SYN | Flags::ACK,
            Flags::SYN,
            Flags::PSH,
            Flags::default(),
            Flags::FIN,
        ]);
        segment.seq = self.near(segment.seq);
    }

    /// A number that is right, nearly right, or far off.
    fn near(&mut self, number: u32) -> u32 {
        match self.random.within(0, 12) {
            0 => number.wrapping_add(self.random.within(1, 3000)),
            1 => number.wrapping_sub(1),
            2 => number.wrapping_sub(self.random.within(1, 3000)),
            3 => number.wrapping_add(1),
            4 => number.wrapping_add(FAR),
            5 => number.wrapping_sub(FAR),
            _ => number,
        }
    }

    fn len(&mut self) -> u16 {
        let mss = u32::from(self.mss);
        match self.random.within(0, 4) {
            0 => self.random.within(1, 20) as u16,
            1 => self.mss,
            _ => self.random.within(1, mss) as u16,
        }
    }

    /// Makes something about a segment unusual, now and then.
    fn spoil(&mut self, segment: &mut Segment) {
        if self.random.one_in(6) {
            let before = self.random.within(0, 3000);
            segment.ack = self.random.choose(&[
                self.written.wrapping_sub(before),
                self.written.wrapping_add(1),
                self.written.wrapping_add(before),
                self.written.wrapping_add(FAR),
                self.written.wrapping_sub(FAR),
                1,
                0,
            ]);
        }
        if self.random.one_in(8) {
            segment.stamp = self.random.choose(&[
                Stamp::Stale(1),
                Stamp::Stale(500),
                Stamp::Stale(1_000_000),
                Stamp::Ahead(50),
                Stamp::Missing,
                Stamp::ForeignEcho,
            ]);
        }
        if self.random.one_in(12) {
            segment.window = self.random.choose(&[0, 1, 100, 1000]);
        }
        if self.random.one_in(8) {
            for _ in 0..self.random.within(1, 4) {
                let left = self.near(segment.ack);
                let len = self.random.choose(&[0, 1, 536, 1000, 3000, u32::MAX, FAR]);
                segment.sack.push((left, left.wrapping_add(len)));
            }
        }
    }

    /// Follows what a segment brings.
    fn arrived(&mut self, segment: &Segment) {
        let takes = segment.flags.contains(Flags::ACK)
            && !segment.flags.contains(Flags::SYN)
            && !segment.flags.contains(Flags::RST);
        let fin = u32::from(segment.flags.contains(Flags::FIN));
        let len = u32::from(segment.len) + fin;
        let ahead = segment.seq.wrapping_sub(self.next).cast_signed();
        if !takes || len == 0 || !(-5000..30_000).contains(&ahead) {
            return;
        }
        self.held.push((segment.seq, segment.seq.wrapping_add(len)));
        while let Some(at) = self
            .held
            .iter()
            .position(|(left, _)| left.wrapping_sub(self.next).cast_signed() <= 0)
        {
            let (_, right) = self.held.swap_remove(at);
            if right.wrapping_sub(self.next).cast_signed() > 0 {
                self.next = right;
            }
        }
    }
}
