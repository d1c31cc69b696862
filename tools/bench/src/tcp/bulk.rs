//! Downloads: as much as the worker takes, from a few backends at a time.
//!
//! Backends send segments as far as the worker's windows allow, in turns, but keep no more on the
//! way than a turn takes. Clients acknowledge every second segment. Nothing is lost.

use netstack::wire::tcp::Flags;

use super::frame::Segment;
use super::message::Pattern;
use super::peer::PeerId;
use super::rig::{FRAMES_PER_TURN, Rig, Script, Stopwatch};

/// Downloads at a time.
pub const DOWNLOADS: u32 = 8;

/// The clients and backends of this benchmark.
#[derive(Debug)]
pub struct Bulk {
    pattern: Pattern,
    /// The backends' ends, and how many octets each has sent.
    senders: Vec<(PeerId, u64)>,
    /// How many octets each client has received.
    received: Vec<u64>,
    /// Whose turn it is to send.
    next: usize,
}

impl Bulk {
    /// Connects the clients.
    pub fn connect(rig: &mut Rig) -> Self {
        let mut script = Self {
            pattern: Pattern::new(1 << 16),
            senders: Vec::new(),
            received: Vec::new(),
            next: 0,
        };
        for client in 0..DOWNLOADS {
            rig.open(client);
        }
        while script.senders.len() < DOWNLOADS as usize
            || script.received.len() < DOWNLOADS as usize
        {
            rig.turn(&mut script);
        }
        script
    }

    /// How many octets clients have received.
    pub fn received(&self) -> u64 {
        self.received.iter().sum()
    }

    /// Lets clients receive `octets` octets, or a little more. Returns how many, and the time in
    /// the worker.
    pub fn round(&mut self, rig: &mut Rig, octets: u64) -> (u64, Stopwatch) {
        rig.lap();
        let before = self.received();
        loop {
            rig.turn(self);
            let received = self.received() - before;
            if received >= octets {
                return (received, rig.lap());
            }
        }
    }
}

impl Script for Bulk {
    fn established(&mut self, _rig: &mut Rig, id: PeerId) {
        match id {
            PeerId::Backend(_) => self.senders.push((id, 0)),
            PeerId::Client(_) => self.received.push(0),
        }
    }

    fn before_turn(&mut self, rig: &mut Rig) {
        let mut skipped = 0;
        while rig.in_flight() < FRAMES_PER_TURN && skipped < self.senders.len() {
            self.next = (self.next + 1) % self.senders.len();
            let (id, sent) = &mut self.senders[self.next];
            let len = rig.peer(*id).room();
            if len == 0 {
                skipped += 1;
                continue;
            }
            skipped = 0;
            rig.send(*id, Flags::ACK, self.pattern.piece(*sent, len as usize));
            *sent += u64::from(len);
        }
    }

    fn heard(&mut self, _rig: &mut Rig, id: PeerId, segment: &Segment<'_>) {
        let PeerId::Client(client) = id else {
            panic!("a backend received octets that nobody sent");
        };
        let received = &mut self.received[client as usize];
        let expected = self.pattern.piece(*received, segment.payload.len());
        assert!(segment.payload == expected, "wrong octets at {received}");
        *received += segment.payload.len() as u64;
    }
}
