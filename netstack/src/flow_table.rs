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
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ip::{V4, V6};

    const SECRET: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

    fn address<I: Ip>(host: u32) -> I::Addr {
        let mut octets = [0; 16];
        octets[I::Addr::LEN - 4..I::Addr::LEN].copy_from_slice(&host.to_be_bytes());
        I::Addr::from_octets(&octets).unwrap()
    }

    fn flow<I: Ip>(host: u32, sport: u16) -> FiveTuple<I> {
        FiveTuple {
            src: address::<I>(host),
            dst: address::<I>(0x0a00_0001),
            sport,
            dport: 443,
            protocol: 6,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u32, u16, u32),
        Remove(u16, u32, u16),
        Change(u16, u32, u16, u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few keys, so that they meet again.
        let (network, host, sport) = (0..2u16, 0..8u32, 0..4u16);
        let step = prop_oneof![
            3 => (network.clone(), host.clone(), sport.clone(), any::<u32>())
                .prop_map(|(n, h, s, v)| Step::Insert(n, h, s, v)),
            2 => (network.clone(), host.clone(), sport.clone())
                .prop_map(|(n, h, s)| Step::Remove(n, h, s)),
            1 => (network, host, sport, any::<u32>())
                .prop_map(|(n, h, s, v)| Step::Change(n, h, s, v)),
        ];
        prop::collection::vec(step, 0..300)
    }

    fn behaves_like_a_map<I: Ip>(steps: Vec<Step>, capacity: usize, secret: [u64; 2]) {
        let mut table = FlowTable::<I, u32>::with_capacity(capacity, secret);
        let mut model = HashMap::new();
        for step in steps {
            match step {
                Step::Insert(network, host, sport, value) => {
                    let key = (NetworkId(network), flow::<I>(host, sport));
                    let fits = model.len() < capacity || model.contains_key(&key);
                    let result = table.insert(key.0, &key.1, value);
                    assert_eq!(result, if fits { Ok(()) } else { Err(Full) });
                    if fits {
                        model.insert(key, value);
                    }
                }
                Step::Remove(network, host, sport) => {
                    let key = (NetworkId(network), flow::<I>(host, sport));
                    assert_eq!(table.remove(key.0, &key.1), model.remove(&key));
                }
                Step::Change(network, host, sport, value) => {
                    let key = (NetworkId(network), flow::<I>(host, sport));
                    let found = table.get_mut(key.0, &key.1);
                    assert_eq!(found.as_deref(), model.get(&key));
                    if let Some(found) = found {
                        *found = value;
                        model.insert(key, value);
                    }
                }
            }
            assert_eq!(table.len(), model.len());
            for (key, value) in &model {
                assert_eq!(table.get(key.0, &key.1), Some(*value));
            }
        }
        let listed: HashMap<_, _> = table.iter().map(|(n, f, v)| ((n, *f), v)).collect();
        assert_eq!(listed, model);
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_for_both_versions(
            steps in steps(),
            capacity in 0..70usize,
            secret: [u64; 2],
        ) {
            behaves_like_a_map::<V4>(steps.clone(), capacity, secret);
            behaves_like_a_map::<V6>(steps, capacity, secret);
        }
    }

    /// One client with all its ports, then neighboring addresses, up to the last free place.
    fn sequential_keys_spread<I: Ip>() {
        let capacity = 87_380; // Two slots of three: the fullest that a table gets.
        let mut table = FlowTable::<I, u32>::with_capacity(capacity, SECRET);
        assert_eq!(table.slots.len(), 131_072);
        for index in 0..capacity as u32 {
            let flow = flow::<I>(0xc000_0200 + (index >> 16), index as u16);
            table.insert(NetworkId::BARE, &flow, index).unwrap();
        }
        assert_eq!(
            table.insert(NetworkId::BARE, &flow::<I>(1, 1), 0),
            Err(Full)
        );
        assert!(table.longest_probe() <= 24, "{}", table.longest_probe());
        for index in (0..capacity as u32).rev() {
            let flow = flow::<I>(0xc000_0200 + (index >> 16), index as u16);
            assert_eq!(table.remove(NetworkId::BARE, &flow), Some(index));
        }
        assert!(table.slots.iter().all(Option::is_none));
    }

    #[test]
    fn sequential_keys_spread_for_both_versions() {
        sequential_keys_spread::<V4>();
        sequential_keys_spread::<V6>();
    }

    fn every_field_tells_flows_apart<I: Ip>() {
        let base = flow::<I>(1, 1);
        let other_address = address::<I>(9);
        let variants = [
            (NetworkId(1), base),
            (
                NetworkId(0),
                FiveTuple {
                    src: other_address,
                    ..base
                },
            ),
            (
                NetworkId(0),
                FiveTuple {
                    dst: other_address,
                    ..base
                },
            ),
            (NetworkId(0), FiveTuple { sport: 2, ..base }),
            (NetworkId(0), FiveTuple { dport: 2, ..base }),
            (
                NetworkId(0),
                FiveTuple {
                    protocol: 17,
                    ..base
                },
            ),
            (NetworkId(0), base.reversed()),
        ];
        let mut table = FlowTable::<I, usize>::with_capacity(8, SECRET);
        table.insert(NetworkId(0), &base, 99).unwrap();
        for (index, (network, flow)) in variants.iter().enumerate() {
            assert_eq!(table.get(*network, flow), None);
            assert_ne!(
                table.tag(*network, flow),
                table.tag(NetworkId(0), &base),
                "{flow:?} is not part of the hash"
            );
            table.insert(*network, flow, index).unwrap();
        }
        assert_eq!(table.len(), 8);
        assert_eq!(table.get(NetworkId(0), &base), Some(99));
    }

    #[test]
    fn every_field_tells_flows_apart_for_both_versions() {
        every_field_tells_flows_apart::<V4>();
        every_field_tells_flows_apart::<V6>();
    }

    #[test]
    fn the_secret_decides_who_shares_a_slot() {
        let tables = [
            FlowTable::<V4, u32>::with_capacity(1024, SECRET),
            FlowTable::<V4, u32>::with_capacity(1024, [SECRET[0] ^ 1, SECRET[1]]),
            FlowTable::<V4, u32>::with_capacity(1024, [SECRET[0], SECRET[1] ^ 1]),
        ];
        let homes = tables.each_ref().map(|table| {
            (0..64)
                .map(|sport| table.tag(NetworkId::BARE, &flow(1, sport)).get() & table.mask)
                .collect::<Vec<_>>()
        });
        assert_ne!(homes[0], homes[1]);
        assert_ne!(homes[0], homes[2]);
        assert_ne!(homes[1], homes[2]);
    }

    #[test]
    fn a_slot_holds_no_more_than_it_must() {
        assert_eq!(size_of::<Option<Entry<V4, u32>>>(), 24);
        assert_eq!(size_of::<Option<Entry<V6, u32>>>(), 48);
    }
}
