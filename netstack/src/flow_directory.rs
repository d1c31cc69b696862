//! Which worker has a flow: what an lcore that receives for several workers looks each packet up in.
//!
//! * **In**: the hash of a packet's flow, what the packet does to the flow, the time in seconds, and
//!   how the rings to the workers stand ([`Rings`]).
//! * **Out**: the worker to hand the packet to ([`Placement`]).
//!
//! Known flows stay where they are, new ones go to the worker with the least to do, and what has no
//! record goes where its hash says. The hash is the whole key: flows with the same hash share a
//! record and so a worker, as they would share an entry of a redirection table. So the hash needs
//! all of its 32 bits, which that of [`symmetric_key`](crate::rss::symmetric_key) does not have.
//!
//! **Memory** is taken at creation. A bucket is one cache line with eight records; a flow has its
//! record in the bucket that its hash names, or has none. In a full bucket a new flow takes the
//! place of the one that was quiet for longest among those that ended a while ago, else among those
//! that never got beyond their first packet, else among those that were quiet for very long. Where
//! there is none of these, the new flow is refused a record. All its packets then go by hash, which
//! costs balance and nothing else, whereas the flow that lost its record would be taken from its
//! worker. So a flood of new flows cannot push out those that live, nor a handshake under way.
//!
//! **Order** within a flow is kept: its packets never go to a worker while earlier ones wait for
//! another. A record is only given up when its flow's last packet was consumed. And a flow gets its
//! record at the worker that its hash names if packets without a record may still wait there: each
//! bucket remembers in which epoch it last had one, and an epoch ends when all that was in the rings
//! at its beginning was consumed, so that after two of them nothing is left.

use core::hint::black_box;

/// The rings to the workers, as the lcore that fills them sees them.
pub trait Rings {
    /// The worker with the least to do.
    fn least_loaded(&self) -> u8;

    /// The worker for what has no record, by nothing but the hash: `hash % workers`, as a
    /// redirection table of that size would have it.
    fn by_hash(&self, hash: u32) -> u8;

    /// The number of the next packet to this worker. They count up one by one, and wrap.
    ///
    /// Packets that wait for the rest of their burst to be pushed count, up to [`MAX_STAGED`] of
    /// them. Those that then find no room give their numbers back.
    fn next_position(&self, worker: u8) -> u16;

    /// How many of the packets before that are still on their way to this worker; fewer than 65,536
    /// less [`MAX_STAGED`].
    fn waiting(&self, worker: u8) -> u16;
}

/// Whether the worker has consumed the packet with this number, and all before it. An old number
/// that came round again may look as if it was waiting.
#[inline]
fn is_consumed(rings: &impl Rings, worker: u8, position: u16) -> bool {
    let waiting = rings.waiting(worker);
    match rings.next_position(worker).wrapping_sub(position) {
        // A number that was given back. Its packet was dropped, and where among those on their way
        // the ones before it are, nobody knows.
        behind if behind.wrapping_neg() <= MAX_STAGED => waiting == 0,
        behind => behind > waiting,
    }
}

/// What a packet does to its flow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Begins a connection: a SYN without ACK.
    Opening,
    /// Belongs to a connection.
    Ongoing,
    /// Ends a connection, or one direction of it: a FIN or RST.
    Closing,
    /// Stands alone: UDP, which knows no connections.
    Datagram,
}

/// Where to hand a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Placement {
    /// The worker.
    pub worker: u8,
    /// Whether the flow has a record. If not, another worker may have the connection.
    pub recorded: bool,
}

/// What became of flows and packets, since the beginning.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Flows that got a record.
    pub recorded: u64,
    /// Records that were given up for another flow.
    pub evicted: u64,
    /// Packets of new flows that got no record because their bucket was full of flows that live.
    pub refused: u64,
    /// Packets in the midst of connections that had no record.
    pub unknown: u64,
}

/// The workers of flows, by their hashes.
#[derive(Debug)]
pub struct FlowDirectory {
    /// A power of two of buckets.
    buckets: Box<[Bucket]>,
    /// How far a mixed hash is shifted right to give the number of its bucket.
    shift: u32,
    epochs: Epochs,
    /// Seconds after which a flow that lives counts as dead.
    max_idle: u16,
    counts: Counts,
}

impl FlowDirectory {
    /// An empty directory that has room for `capacity` flows, up to 1 % of which may find their
    /// bucket full; 16 to 32 octets each.
    ///
    /// # Panics
    /// If `capacity` is more than [`MAX_CAPACITY`], or there is no worker.
    pub fn new(capacity: usize, workers: u8) -> Self {
        assert!(
            capacity <= MAX_CAPACITY,
            "a flow directory holds at most {MAX_CAPACITY} flows, not {capacity}"
        );
        assert!(workers > 0, "flows need a worker");
        // Half full, few buckets have more flows than records. At least two, as a shift by all
        // bits is none.
        let buckets = (2 * capacity).div_ceil(RECORDS).next_power_of_two().max(2);
        Self {
            buckets: vec![Bucket::default(); buckets].into_boxed_slice(),
            shift: u32::BITS - buckets.trailing_zeros(),
            epochs: Epochs::new(workers),
            max_idle: DEFAULT_MAX_IDLE,
            counts: Counts::default(),
        }
    }

    /// The same, where flows that live may be quiet for this many seconds before a new one may take
    /// their place.
    pub fn with_max_idle(self, max_idle: u16) -> Self {
        Self { max_idle, ..self }
    }

    /// What became of flows and packets, since the beginning.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Has the bucket of the hash fetched from memory, and does not wait for it: for a whole burst
    /// before the first [`Self::place`].
    #[inline]
    pub fn touch(&self, hash: u32) {
        black_box(self.buckets[self.key(hash).0].occupied);
    }

    /// Where to hand a packet of the flow with this hash. `tick` is the time in seconds, from any
    /// beginning, and wraps.
    #[inline]
    pub fn place(&mut self, hash: u32, kind: Kind, tick: u16, rings: &impl Rings) -> Placement {
        let (index, tag) = self.key(hash);
        let bucket = &mut self.buckets[index];
        let Some(at) = bucket.find(tag) else {
            return self.place_unknown(hash, kind, tick, rings);
        };
        let worker = bucket.workers[at];
        bucket.advance(at, kind, tick);
        bucket.ticks[at] = tick;
        bucket.positions[at] = rings.next_position(worker);
        Placement {
            worker,
            recorded: true,
        }
    }

    /// The same for a flow without a record.
    #[inline(never)]
    fn place_unknown(&mut self, hash: u32, kind: Kind, tick: u16, rings: &impl Rings) -> Placement {
        let (index, tag) = self.key(hash);
        let bucket = &mut self.buckets[index];
        let by_hash = rings.by_hash(hash);
        let slot = match kind {
            Kind::Opening | Kind::Datagram => bucket.vacancy(tick, self.max_idle, rings),
            Kind::Ongoing | Kind::Closing => None,
        };
        let Some(at) = slot else {
            bucket.unrecorded = Some(self.epochs.current);
            if matches!(kind, Kind::Opening | Kind::Datagram) {
                self.counts.refused += 1;
            } else {
                self.counts.unknown += 1;
            }
            return Placement {
                worker: by_hash,
                recorded: false,
            };
        };
        if let Some(epoch) = bucket.unrecorded
            && self.epochs.is_over(epoch, rings)
        {
            bucket.unrecorded = None;
        }
        let worker = match bucket.unrecorded {
            None => rings.least_loaded(),
            Some(_) => by_hash,
        };
        self.counts.evicted += u64::from(bucket.occupied >> at & 1);
        self.counts.recorded += 1;
        bucket.tags[at] = tag;
        bucket.ticks[at] = tick;
        bucket.positions[at] = rings.next_position(worker);
        bucket.workers[at] = worker;
        bucket.set(at, State::New);
        Placement {
            worker,
            recorded: true,
        }
    }

    /// The bucket of a hash, and what tells it from others there. Mixed, since the low bits of
    /// hashes from one queue of a port are those that its redirection table has for it. Nothing is
    /// lost if there are as many buckets as tags; with fewer, one flow in 8,000 shares a record.
    #[inline]
    fn key(&self, hash: u32) -> (usize, u16) {
        let mixed = (hash ^ hash >> 16).wrapping_mul(MIX);
        ((mixed >> self.shift) as usize, mixed as u16)
    }
}

/// How far a flow has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// There was nothing but its beginning, which costs a flood nothing.
    New,
    /// It goes on.
    Established,
    /// A packet said that it ends. It stays known for what follows: the other direction may go on.
    Closed,
}

/// Eight records, side by side: all tags are compared at once. One cache line.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    tags: [u16; RECORDS],
    /// When the flow's last packet was placed.
    ticks: [u16; RECORDS],
    /// The number of the flow's last packet in the ring to its worker.
    positions: [u16; RECORDS],
    workers: [u8; RECORDS],
    /// Which records are in use: bit 0 is that of record 0. Invariant: those of the other two masks
    /// are among them, and none is in both.
    occupied: u8,
    /// Which of them are in [`State::Established`].
    established: u8,
    /// Which of them are in [`State::Closed`].
    closed: u8,
    /// The epoch in which a packet of a flow without a record was placed last.
    unrecorded: Option<u16>,
}

impl Bucket {
    /// The record with this tag.
    #[inline]
    fn find(&self, tag: u16) -> Option<usize> {
        let equal = self.tags.iter().enumerate().fold(0, |equal, (at, &other)| {
            equal | u8::from(other == tag) << at
        });
        let found = equal & self.occupied;
        (found != 0).then(|| found.trailing_zeros() as usize)
    }

    /// What a packet does to the state of a record.
    #[inline]
    fn advance(&mut self, at: usize, kind: Kind, tick: u16) {
        let bit = 1 << at;
        let state = match kind {
            // What nearly all packets meet.
            Kind::Ongoing | Kind::Datagram if self.established & bit != 0 => return,
            // After a FIN, the other direction is acknowledged.
            Kind::Ongoing if self.closed & bit != 0 => return,
            // Flows that matter send for more than a second.
            Kind::Datagram if self.ticks[at] == tick => return,
            Kind::Ongoing | Kind::Datagram => State::Established,
            Kind::Closing => State::Closed,
            // A new connection in place of one that ended; where one lives, anybody may say so.
            Kind::Opening if self.closed & bit != 0 => State::New,
            Kind::Opening => return,
        };
        self.set(at, state);
    }

    fn set(&mut self, at: usize, state: State) {
        let bit = 1 << at;
        self.occupied |= bit;
        self.established &= !bit;
        self.closed &= !bit;
        match state {
            State::New => {}
            State::Established => self.established |= bit,
            State::Closed => self.closed |= bit,
        }
    }

    /// A record for a new flow: one that is not in use, or whose flow may be forgotten.
    fn vacancy(&self, tick: u16, max_idle: u16, rings: &impl Rings) -> Option<usize> {
        if self.occupied != u8::MAX {
            return Some(self.occupied.trailing_ones() as usize);
        }
        let new = !(self.established | self.closed);
        self.quietest(self.closed, CLOSED_IDLE, tick, rings)
            .or_else(|| self.quietest(new, NEW_IDLE, tick, rings))
            .or_else(|| self.quietest(self.established, max_idle, tick, rings))
    }

    /// The record that was quiet for longest, and for at least `idle` seconds, among those in
    /// `mask` of whose flow no packet is waiting.
    fn quietest(&self, mask: u8, idle: u16, tick: u16, rings: &impl Rings) -> Option<usize> {
        let quiet = |at: usize| tick.wrapping_sub(self.ticks[at]);
        (0..RECORDS)
            .filter(|&at| mask >> at & 1 == 1 && quiet(at) >= idle)
            .filter(|&at| is_consumed(rings, self.workers[at], self.positions[at]))
            .max_by_key(|&at| quiet(at))
    }
}

/// Tells when everything that was in the rings at some time has been consumed.
#[derive(Debug)]
struct Epochs {
    /// The number of the epoch, wrapping.
    current: u16,
    /// For each worker, the last packet before the epoch began.
    last_before: Box<[u16]>,
}

impl Epochs {
    fn new(workers: u8) -> Self {
        Self {
            current: 0,
            // The packet before the first.
            last_before: vec![u16::MAX; usize::from(workers)].into(),
        }
    }

    /// Whether everything that was placed in `epoch` has been consumed. Begins another epoch if it
    /// can.
    fn is_over(&mut self, epoch: u16, rings: &impl Rings) -> bool {
        let mut last_before = (0..).zip(&self.last_before);
        if last_before.all(|(worker, &position)| is_consumed(rings, worker, position)) {
            self.current = self.current.wrapping_add(1);
            for (worker, position) in (0..).zip(&mut self.last_before) {
                *position = rings.next_position(worker).wrapping_sub(1);
            }
        }
        // What was placed in an epoch was in a ring when the next began, and is not when that ends.
        self.current.wrapping_sub(epoch) >= 2
    }
}

/// The most flows that a directory may be made for: buckets are picked by 32 bits of hash.
pub const MAX_CAPACITY: usize = 1 << 30;

/// Seconds after which a flow that lives counts as dead, if nothing else is said.
pub const DEFAULT_MAX_IDLE: u16 = 600;

/// Seconds for which a flow that ends must have been quiet: until then the other direction may go
/// on, or the end be said again.
pub const CLOSED_IDLE: u16 = 5;

/// Seconds for which a flow that began must have been quiet: a handshake, and one SYN sent again
/// (RFC 6298 2: after a second), take less.
pub const NEW_IDLE: u16 = 3;

/// The most packets to one worker that may be placed before they are pushed.
pub const MAX_STAGED: u16 = 1024;

/// Records of a bucket.
const RECORDS: usize = 8;

/// An odd number without pattern, the golden ratio: to multiply with loses nothing.
const MIX: u32 = 0x9e37_79b1;

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is a cache line");

#[cfg(test)]
mod tests;
