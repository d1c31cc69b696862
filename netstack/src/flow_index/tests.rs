use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::ip::{V4, V6};

const SECRET: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// A flow in a network, of either IP version.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Key {
    V4(NetworkId, FiveTuple<V4>),
    V6(NetworkId, FiveTuple<V6>),
}

impl Key {
    fn hash(&self, hasher: FlowHasher) -> FlowHash {
        match self {
            Self::V4(network, flow) => hasher.hash(*network, flow),
            Self::V6(network, flow) => hasher.hash(*network, flow),
        }
    }
}

/// An index, and the keys that its numbers stand for.
struct Keeper {
    index: FlowIndex,
    hasher: FlowHasher,
    keys: slab::Slab<Key>,
}

impl Keeper {
    fn new(capacity: usize, secret: [u64; 2]) -> Self {
        Self {
            index: FlowIndex::with_capacity(capacity),
            hasher: FlowHasher::new(secret),
            keys: slab::Slab::new(),
        }
    }

    fn find(&self, key: &Key) -> Option<u32> {
        let is_it = |number| self.keys.get(number as usize) == Some(key);
        self.index.find(key.hash(self.hasher), is_it)
    }

    fn insert(&mut self, key: Key) -> Result<u32, Full> {
        let number = self.keys.insert(key);
        let inserted = self.index.insert(key.hash(self.hasher), number as u32);
        if inserted.is_err() {
            self.keys.remove(number);
        }
        inserted.map(|()| number as u32)
    }

    fn remove(&mut self, key: &Key) -> Option<u32> {
        let number = self.find(key)?;
        assert!(self.index.remove(key.hash(self.hasher), number));
        self.keys.remove(number as usize);
        Some(number)
    }

    /// Each slot in use is as near to its home as the order allows, and all are counted.
    fn check(&self) {
        let used = |at: u32| self.index.slots[at as usize] != EMPTY;
        let slots = 0..self.index.slots.len() as u32;
        for at in slots.clone().filter(|at| used(*at)) {
            let before = at.wrapping_sub(1) & self.index.mask;
            let distance = self.index.distance(at);
            let nearest = used(before) && distance <= self.index.distance(before) + 1;
            assert!(distance == 0 || nearest, "slot {at}");
        }
        let count = slots.filter(|at| used(*at)).count();
        assert_eq!(count, self.index.len());
        assert_eq!(self.index.is_empty(), count == 0);
    }

    fn longest_probe(&self) -> u32 {
        (0..self.index.slots.len() as u32)
            .filter(|at| self.index.slots[*at as usize] != EMPTY)
            .map(|at| self.index.distance(at) + 1)
            .max()
            .unwrap_or(0)
    }
}

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

/// Few keys, so that they meet again.
fn keys() -> impl Strategy<Value = Key> {
    (any::<bool>(), 0..2u16, 0..8u32, 0..4u16).prop_map(|(v4, network, host, sport)| {
        let network = NetworkId(network);
        if v4 {
            Key::V4(network, flow(host, sport))
        } else {
            Key::V6(network, flow(host, sport))
        }
    })
}

proptest! {
    #[test]
    fn behaves_like_a_map(
        steps in prop::collection::vec((prop::bool::weighted(0.6), keys()), 0..300),
        capacity in 0..90usize,
        secret: [u64; 2],
    ) {
        let mut keeper = Keeper::new(capacity, secret);
        let mut model = HashMap::new();
        for (insert, key) in steps {
            prop_assert_eq!(keeper.find(&key), model.get(&key).copied());
            if insert && !model.contains_key(&key) {
                let number = keeper.insert(key);
                prop_assert_eq!(number.is_ok(), model.len() < capacity);
                model.extend(number.ok().map(|number| (key, number)));
            } else {
                prop_assert_eq!(keeper.remove(&key), model.remove(&key));
            }
            prop_assert_eq!(keeper.index.len(), model.len());
            keeper.check();
        }
        for (key, number) in &model {
            prop_assert_eq!(keeper.find(key), Some(*number));
        }
    }
}

/// One client with all its ports, then neighboring addresses, up to the last free place; both IP
/// versions in turn.
#[test]
fn sequential_keys_spread() {
    let capacity = 87_380; // Two slots of three: the fullest that an index gets.
    let mut keeper = Keeper::new(capacity, SECRET);
    assert_eq!(keeper.index.slots.len(), 131_072);
    let key = |index: u32| {
        let (host, sport) = (0xc000_0200 + (index >> 17), (index >> 1) as u16);
        if index & 1 == 0 {
            Key::V4(NetworkId::BARE, flow(host, sport))
        } else {
            Key::V6(NetworkId::BARE, flow(host, sport))
        }
    };
    for index in 0..capacity as u32 {
        assert_eq!(keeper.insert(key(index)), Ok(index));
    }
    assert_eq!(keeper.insert(key(capacity as u32)), Err(Full));
    assert!(keeper.longest_probe() <= 24, "{}", keeper.longest_probe());
    keeper.check();
    for index in (0..capacity as u32).rev() {
        assert_eq!(keeper.remove(&key(index)), Some(index));
    }
    assert!(keeper.index.slots.iter().all(|slot| *slot == EMPTY));
}

fn every_field_counts<I: Ip>() {
    let base = flow::<I>(1, 1);
    let src = address::<I>(9);
    let flows = [
        base,
        FiveTuple { src, ..base },
        FiveTuple { dst: src, ..base },
        FiveTuple { sport: 2, ..base },
        FiveTuple { dport: 2, ..base },
        FiveTuple {
            protocol: 17,
            ..base
        },
        base.reversed(),
    ];
    let hasher = FlowHasher::new(SECRET);
    let mut hashes: Vec<_> = flows
        .iter()
        .map(|flow| hasher.hash(NetworkId::BARE, flow))
        .collect();
    hashes.push(hasher.hash(NetworkId(1), &base));
    for (at, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..at].contains(hash), "variant {at} is not hashed");
    }
}

#[test]
fn every_field_counts_for_both_versions() {
    every_field_counts::<V4>();
    every_field_counts::<V6>();
}

/// One flow in all networks: looks for two networks in which its hash is the same.
fn colliding_networks<I: Ip>(hasher: FlowHasher, flow: &FiveTuple<I>) -> Option<[NetworkId; 2]> {
    let mut networks = HashMap::new();
    (0..=u16::MAX).map(NetworkId).find_map(|network| {
        let earlier = networks.insert(hasher.hash(network, flow), network)?;
        Some([earlier, network])
    })
}

fn equal_hashes_do_not_make_equal_keys<I: Ip>(key: impl Fn(NetworkId, FiveTuple<I>) -> Key) {
    let mut keeper = Keeper::new(2, SECRET);
    let (flow, [one, other]) = (0..64)
        .map(|sport| flow::<I>(1, sport))
        .find_map(|flow| Some((flow, colliding_networks(keeper.hasher, &flow)?)))
        .unwrap();
    let (one, other) = (key(one, flow), key(other, flow));
    assert_eq!(keeper.insert(one), Ok(0));
    assert_eq!(keeper.find(&other), None);
    // Which of both is meant, a guess cannot know.
    assert_eq!(keeper.index.guess(other.hash(keeper.hasher)), Some(0));
    assert_eq!(keeper.insert(other), Ok(1));
    assert_eq!(keeper.find(&one), Some(0));
    assert_eq!(keeper.find(&other), Some(1));
    assert_eq!(keeper.remove(&one), Some(0));
    assert_eq!(keeper.find(&other), Some(1));
}

#[test]
fn equal_hashes_do_not_make_equal_keys_for_both_versions() {
    equal_hashes_do_not_make_equal_keys::<V4>(Key::V4);
    equal_hashes_do_not_make_equal_keys::<V6>(Key::V6);
}

#[test]
fn only_the_number_that_is_meant_is_removed() {
    let mut keeper = Keeper::new(4, SECRET);
    let key = Key::V4(NetworkId::BARE, flow(1, 1));
    let number = keeper.insert(key).unwrap();
    let hash = key.hash(keeper.hasher);
    assert!(!keeper.index.remove(hash, number + 1));
    assert!(keeper.index.remove(hash, number));
    assert!(!keeper.index.remove(hash, number));
}

#[test]
fn the_secret_decides_who_shares_a_slot() {
    let secrets = [
        SECRET,
        [SECRET[0] ^ 1, SECRET[1]],
        [SECRET[0], SECRET[1] ^ 1],
    ];
    let homes = secrets.map(|secret| {
        let hasher = FlowHasher::new(secret);
        (0..64)
            .map(|sport| hasher.hash(NetworkId::BARE, &flow::<V4>(1, sport)).0.get() & 1023)
            .collect::<Vec<_>>()
    });
    assert_ne!(homes[0], homes[1]);
    assert_ne!(homes[0], homes[2]);
    assert_ne!(homes[1], homes[2]);
}
