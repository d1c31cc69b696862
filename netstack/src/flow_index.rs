//! From a flow to the number of whatever keeps it: what every received packet is looked up in.
//!
//! The keys are not in here. A slot is eight octets: a number, usually an index into a slab, and
//! the hash of the flow, by which all but one flow in four billion are told apart. Whoever has the
//! numbers has the flows too, and is asked to compare. So a look-up reads one cache line here, and
//! then the one of the entry, which is needed anyway; and one index serves both IP versions.
//!
//! All memory is taken at creation, but zeroed by the operating system: what no flow has used yet
//! is not resident. The index never grows and never rehashes, so no operation takes time in
//! proportion to the number of flows. It is an open-addressed array with linear probing, ordered by
//! home slot (Robin Hood), so that a miss ends as early as a hit; removal shifts the following
//! slots back and leaves no tombstones. At most two slots of three are used.
//!
//! Peers choose most of the key, so slots are picked by SipHash-1-3 under a secret: without it
//! nobody can tell which flows share a slot.

use core::hash::Hasher;
use core::hint::black_box;
use core::num::NonZeroU32;

use siphasher::sip::SipHasher13;

use crate::ip::{FiveTuple, Ip, IpAddress, NetworkId};

/// The index holds as many flows as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the flow index is full")]
pub struct Full;

/// The hash of a flow in a network.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlowHash(NonZeroU32);

/// Hashes flows under a secret.
#[derive(Clone, Copy, Debug)]
pub struct FlowHasher {
    secret: [u64; 2],
}

impl FlowHasher {
    /// `secret` must be random and must stay unknown to peers.
    pub fn new(secret: [u64; 2]) -> Self {
        Self { secret }
    }

    /// The hash of `flow` in `network`; every field of the key and the IP version count.
    pub fn hash<I: Ip>(&self, network: NetworkId, flow: &FiveTuple<I>) -> FlowHash {
        let mut octets = [0; HASHED_FIXED + 2 * 16];
        octets[..2].copy_from_slice(&network.0.to_ne_bytes());
        octets[2] = flow.protocol;
        octets[3] = I::VERSION;
        octets[4..6].copy_from_slice(&flow.sport.to_ne_bytes());
        octets[6..8].copy_from_slice(&flow.dport.to_ne_bytes());
        flow.src.write_octets(&mut octets[HASHED_FIXED..]);
        flow.dst
            .write_octets(&mut octets[HASHED_FIXED + I::Addr::LEN..]);
        let mut hasher = SipHasher13::new_with_keys(self.secret[0], self.secret[1]);
        hasher.write(&octets[..HASHED_FIXED + 2 * I::Addr::LEN]);
        FlowHash(NonZeroU32::new(hasher.finish() as u32).unwrap_or(NonZeroU32::MIN))
    }
}

/// Numbers found by the hashes of flows, with a capacity fixed at creation.
#[derive(Debug)]
pub struct FlowIndex {
    /// A power of two of slots: the hash in the upper half, whose low bits are the home slot, the
    /// number in the lower half; zero if empty, because no hash is zero. Invariant: going round
    /// from an empty slot, the home slots never decrease, and no empty slot lies between a slot and
    /// its home.
    slots: Box<[u64]>,
    /// `slots.len() - 1`.
    mask: u32,
    len: usize,
    capacity: usize,
}

impl FlowIndex {
    /// An empty index for at most `capacity` flows. The only allocation.
    ///
    /// # Panics
    /// If `capacity` is more than [`MAX_CAPACITY`].
    pub fn with_capacity(capacity: usize) -> Self {
        assert!(
            capacity <= MAX_CAPACITY,
            "a flow index holds at most {MAX_CAPACITY} flows, not {capacity}"
        );
        let slots = (capacity + capacity / 2 + 1).next_power_of_two();
        Self {
            // Zeros, so that nothing is written.
            slots: vec![EMPTY; slots].into_boxed_slice(),
            mask: slots as u32 - 1,
            len: 0,
            capacity,
        }
    }

    /// The number of the flow with hash `hash` that `is_it` says is the right one. It is asked
    /// about the numbers of flows with the same hash, mostly only about the right one.
    pub fn find(&self, hash: FlowHash, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, is_it)?;
        Some(number(self.slots[at as usize]))
    }

    /// The number of a flow with hash `hash`, very likely the right one: to fetch from memory what
    /// it names, before anybody asks for it.
    pub fn guess(&self, hash: FlowHash) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Has the home of the hash fetched from memory, and does not wait for it.
    pub fn touch(&self, hash: FlowHash) {
        black_box(self.slots[(hash.0.get() & self.mask) as usize]);
    }

    /// Adds a flow that is not there, by its number.
    ///
    /// # Errors
    /// [`Full`], and no change, if there are `capacity` flows.
    pub fn insert(&mut self, hash: FlowHash, number: u32) -> Result<(), Full> {
        if self.len == self.capacity {
            return Err(Full);
        }
        let mut at = hash.0.get() & self.mask;
        let mut distance = 0;
        while self.slots[at as usize] != EMPTY && self.distance(at) >= distance {
            at = self.next(at);
            distance += 1;
        }
        let mut carried = u64::from(hash.0.get()) << 32 | u64::from(number);
        // Ends, because a third of the slots is empty.
        while carried != EMPTY {
            core::mem::swap(&mut carried, &mut self.slots[at as usize]);
            at = self.next(at);
        }
        self.len += 1;
        Ok(())
    }

    /// Takes out the flow with this hash and number. Returns whether it was there.
    pub fn remove(&mut self, hash: FlowHash, number: u32) -> bool {
        let Some(mut at) = self.position(hash, |other| other == number) else {
            return false;
        };
        // What follows moves one slot back, up to a slot that is at home.
        loop {
            let next = self.next(at);
            let following = self.slots[next as usize];
            if following == EMPTY || self.distance(next) == 0 {
                self.slots[at as usize] = EMPTY;
                break;
            }
            self.slots[at as usize] = following;
            at = next;
        }
        self.len -= 1;
        true
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no flow.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the flow is.
    fn position(&self, hash: FlowHash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = hash.0.get() & self.mask;
        let mut distance = 0;
        // Ends, because a third of the slots is empty.
        loop {
            let slot = self.slots[at as usize];
            if tag(slot) == hash.0.get() && is_it(number(slot)) {
                return Some(at);
            }
            // Slots are ordered by home: from here on all belong to later ones.
            if slot == EMPTY || self.distance(at) < distance {
                return None;
            }
            at = self.next(at);
            distance += 1;
        }
    }

    /// How far slot `at`, which is in use, is from its home.
    fn distance(&self, at: u32) -> u32 {
        at.wrapping_sub(tag(self.slots[at as usize])) & self.mask
    }

    fn next(&self, at: u32) -> u32 {
        (at + 1) & self.mask
    }
}

/// The hash in a slot.
fn tag(slot: u64) -> u32 {
    (slot >> 32) as u32
}

/// The number in a slot.
fn number(slot: u64) -> u32 {
    slot as u32
}

/// The most flows that an index may be created for: home slots are picked by 32 bits of hash.
pub const MAX_CAPACITY: usize = 1 << 30;

/// A slot that is not in use.
const EMPTY: u64 = 0;

/// Octets of the hashed key besides the addresses: network, protocol, version, both ports. Makes
/// the whole a multiple of eight, the width of SipHash's words.
const HASHED_FIXED: usize = 8;

#[cfg(test)]
mod tests;
