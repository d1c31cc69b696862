//! A flood of SYNs from strangers, alone and beside downloads.
//!
//! The backlog is full after the first of them, so each SYN after those gets a cookie; none comes
//! back. What a SYN takes of the core is the time of a flood alone, over its SYNs. Beside downloads,
//! each turn has so many SYNs and the rest of its frames from the downloads, as a receive queue
//! would mix them; the core is as busy as it can be. Downloads then take their own time and the
//! flood its own: what both take together, over the sum of what each takes alone, says whether the
//! flood costs the downloads more than the share of the core that its SYNs have.

use super::bulk::Bulk;
use super::frame::Segment;
use super::peer::PeerId;
use super::rig::{FRAMES_PER_TURN, Rig, Script, Stopwatch};

/// SYNs that a turn begins with beside downloads.
const SYNS_PER_TURN: usize = FRAMES_PER_TURN / 4;

/// Strangers, and nobody else.
#[derive(Debug)]
pub struct Flood;

impl Flood {
    /// Handles `syns` SYNs, and returns the time in the worker.
    pub fn round(rig: &mut Rig, syns: usize) -> Stopwatch {
        rig.lap();
        for _ in 0..syns / FRAMES_PER_TURN {
            rig.flood(FRAMES_PER_TURN);
            rig.turn(&mut Self);
        }
        rig.lap()
    }
}

impl Script for Flood {
    fn heard(&mut self, _rig: &mut Rig, _id: PeerId, _segment: &Segment<'_>) {
        panic!("somebody got octets who never asked");
    }
}

/// Downloads in a flood.
#[derive(Debug)]
pub struct Flooded {
    /// The downloads.
    pub bulk: Bulk,
    /// SYNs sent in this round.
    syns: u64,
}

impl Flooded {
    /// Downloads that are connected, before the flood.
    pub fn new(bulk: Bulk) -> Self {
        Self { bulk, syns: 0 }
    }

    /// Lets clients receive `octets` octets, or a little more. Returns how many, how many SYNs came
    /// meanwhile, and the time in the worker.
    pub fn round(&mut self, rig: &mut Rig, octets: u64) -> (u64, u64, Stopwatch) {
        rig.lap();
        self.syns = 0;
        let before = self.bulk.received();
        loop {
            rig.turn(self);
            let received = self.bulk.received() - before;
            if received >= octets {
                return (received, self.syns, rig.lap());
            }
        }
    }
}

impl Script for Flooded {
    fn before_turn(&mut self, rig: &mut Rig) {
        if rig.in_flight() < FRAMES_PER_TURN {
            rig.flood(SYNS_PER_TURN);
            self.syns += SYNS_PER_TURN as u64;
        }
        self.bulk.before_turn(rig);
    }

    fn heard(&mut self, rig: &mut Rig, id: PeerId, segment: &Segment<'_>) {
        self.bulk.heard(rig, id, segment);
    }
}
