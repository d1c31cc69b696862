//! From a flow to a small value: the table that every received packet is looked up in.
//!
//! The key is the network and the five-tuple as it stands in a received packet; the value is
//! whatever names the owner, usually an index into a slab.
//!
//! All memory is taken at creation. The table never grows and never rehashes, so no operation takes
//! time in proportion to the number of flows. It is an open-addressed array with linear probing,
//! ordered by home slot (Robin Hood), so that a miss ends as early as a hit; removal shifts the
//! following entries back and leaves no tombstones. At most two slots of three are used.
//!
//! Peers choose most of the key, so slots are picked by SipHash-1-3 under a secret: without it
//! nobody can tell which flows share a slot.

use core::hash::Hasher;
use core::num::NonZeroU32;

use siphasher::sip::SipHasher13;

use crate::ip::{FiveTuple, Ip, IpAddress, NetworkId};

/// The table holds as many flows as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the flow table is full")]
pub struct Full;

/// A map from flows to values, with a capacity fixed at creation.
#[derive(Debug)]
pub struct FlowTable<I: Ip, V: Copy> {
    /// A power of two of slots. Invariant: going round from an empty slot, the home slots of the
    /// entries never decrease, and no empty slot lies between an entry and its home slot.
    slots: Box<[Option<Entry<I, V>>]>,
    /// `slots.len() - 1`.
    mask: u32,
    len: usize,
    capacity: usize,
    secret: [u64; 2],
}

/// An occupied slot.
#[derive(Clone, Copy, Debug)]
struct Entry<I: Ip, V> {
    /// The hash of the key; its low bits are the home slot. Never zero, so that an empty slot
    /// needs no room for a mark of its own.
    tag: NonZeroU32,
    network: NetworkId,
    flow: FiveTuple<I>,
    value: V,
}

/// Where a key is, or would go.
enum Position {
    /// The slot that holds it.
    Occupied(u32),
    /// The slot that it belongs into, in front of what is there.
    Vacant(u32),
}

impl<I: Ip, V: Copy> FlowTable<I, V> {
    /// An empty table for at most `capacity` flows. The only allocation.
    ///
    /// `secret` must be random and must stay unknown to peers.
    ///
    /// # Panics
    /// If `capacity` is more than [`MAX_CAPACITY`].
    pub fn with_capacity(capacity: usize, secret: [u64; 2]) -> Self {
        assert!(
            capacity <= MAX_CAPACITY,
            "a flow table holds at most {MAX_CAPACITY} flows, not {capacity}"
        );
        let slots = (capacity + capacity / 2 + 1).next_power_of_two();
        Self {
            slots: vec![None; slots].into_boxed_slice(),
            mask: slots as u32 - 1,
            len: 0,
            capacity,
            secret,
        }
    }

    /// The value of a flow.
    pub fn get(&self, network: NetworkId, flow: &FiveTuple<I>) -> Option<V> {
        match self.find(self.tag(network, flow), network, flow) {
            Position::Occupied(at) => self.slots[at as usize].map(|entry| entry.value),
            Position::Vacant(_) => None,
        }
    }

    /// The value of a flow, to be changed in place.
    pub fn get_mut(&mut self, network: NetworkId, flow: &FiveTuple<I>) -> Option<&mut V> {
        match self.find(self.tag(network, flow), network, flow) {
            Position::Occupied(at) => self.slots[at as usize]
                .as_mut()
                .map(|entry| &mut entry.value),
            Position::Vacant(_) => None,
        }
    }

    /// Adds a flow, or replaces the value of a flow that is there.
    ///
    /// # Errors
    /// [`Full`], and no change, if the flow is new and the table holds `capacity` flows.
    pub fn insert(
        &mut self,
        network: NetworkId,
        flow: &FiveTuple<I>,
        value: V,
    ) -> Result<(), Full> {
        let tag = self.tag(network, flow);
        let entry = Entry {
            tag,
            network,
            flow: *flow,
            value,
        };
        match self.find(tag, network, flow) {
            Position::Occupied(at) => self.slots[at as usize] = Some(entry),
            Position::Vacant(_) if self.len == self.capacity => return Err(Full),
            Position::Vacant(at) => self.shift_in(at, entry),
        }
        Ok(())
    }

    /// Takes a flow out and returns its value.
    pub fn remove(&mut self, network: NetworkId, flow: &FiveTuple<I>) -> Option<V> {
        match self.find(self.tag(network, flow), network, flow) {
            Position::Occupied(at) => self.shift_out(at),
            Position::Vacant(_) => None,
        }
    }

    /// How many flows are in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no flow in the table.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many flows the table may hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// All flows, in no useful order. Visits every slot: for shutdown and diagnostics only.
    pub fn iter(&self) -> impl Iterator<Item = (NetworkId, &FiveTuple<I>, V)> {
        self.slots
            .iter()
            .flatten()
            .map(|entry| (entry.network, &entry.flow, entry.value))
    }

    /// The most slots that a look-up of a flow in the table reads. Visits every slot: for
    /// diagnostics only.
    pub fn longest_probe(&self) -> usize {
        let probe = |(at, slot): (usize, &Option<Entry<I, V>>)| {
            slot.map_or(0, |entry| self.distance(at as u32, entry.tag) as usize + 1)
        };
        self.slots.iter().enumerate().map(probe).max().unwrap_or(0)
    }

    fn tag(&self, network: NetworkId, flow: &FiveTuple<I>) -> NonZeroU32 {
        let mut octets = [0; HASHED_FIXED + 2 * 16];
        octets[..2].copy_from_slice(&network.0.to_ne_bytes());
        octets[2] = flow.protocol;
        octets[4..6].copy_from_slice(&flow.sport.to_ne_bytes());
        octets[6..8].copy_from_slice(&flow.dport.to_ne_bytes());
        flow.src.write_octets(&mut octets[HASHED_FIXED..]);
        flow.dst
            .write_octets(&mut octets[HASHED_FIXED + I::Addr::LEN..]);
        let mut hasher = SipHasher13::new_with_keys(self.secret[0], self.secret[1]);
        hasher.write(&octets[..HASHED_FIXED + 2 * I::Addr::LEN]);
        NonZeroU32::new(hasher.finish() as u32).unwrap_or(NonZeroU32::MIN)
    }

    /// How far slot `at` is from the home slot of a key with hash `tag`.
    fn distance(&self, at: u32, tag: NonZeroU32) -> u32 {
        at.wrapping_sub(tag.get()) & self.mask
    }

    fn next(&self, at: u32) -> u32 {
        (at + 1) & self.mask
    }

    fn find(&self, tag: NonZeroU32, network: NetworkId, flow: &FiveTuple<I>) -> Position {
        let mut at = tag.get() & self.mask;
        let mut distance = 0;
        // Ends, because a third of the slots is empty.
        loop {
            let Some(entry) = &self.slots[at as usize] else {
                return Position::Vacant(at);
            };
            if entry.tag == tag && entry.flow == *flow && entry.network == network {
                return Position::Occupied(at);
            }
            // Entries are ordered by home slot: from here on all belong to later ones.
            if self.distance(at, entry.tag) < distance {
                return Position::Vacant(at);
            }
            at = self.next(at);
            distance += 1;
        }
    }

    /// Puts `entry` into slot `at` and moves what is there, and what follows, one slot on.
    fn shift_in(&mut self, mut at: u32, entry: Entry<I, V>) {
        let mut carried = Some(entry);
        while carried.is_some() {
            core::mem::swap(&mut carried, &mut self.slots[at as usize]);
            at = self.next(at);
        }
        self.len += 1;
    }

    /// Empties slot `at` and moves what follows one slot back, up to an entry that is at home.
    fn shift_out(&mut self, mut at: u32) -> Option<V> {
        let removed = self.slots[at as usize].take()?;
        self.len -= 1;
        loop {
            let next = self.next(at);
            match self.slots[next as usize] {
                Some(entry) if self.distance(next, entry.tag) > 0 => {
                    self.slots[at as usize] = self.slots[next as usize].take();
                    at = next;
                }
                _ => return Some(removed.value),
            }
        }
    }
}

/// The most flows that a table may be created for: home slots are picked by 32 bits of hash.
pub const MAX_CAPACITY: usize = 1 << 30;

/// Octets of the hashed key besides the addresses: network, protocol, a zero, both ports. Makes
/// the whole a multiple of eight, the width of SipHash's words.
const HASHED_FIXED: usize = 8;

#[cfg(test)]
mod tests;
