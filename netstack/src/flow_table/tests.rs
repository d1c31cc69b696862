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

/// One flow in all networks: looks for two networks in which its hash is the same.
fn colliding_networks<I: Ip>(table: &FlowTable<I, u32>, flow: &FiveTuple<I>) -> Option<[u16; 2]> {
    let mut networks = HashMap::new();
    (0..=u16::MAX).find_map(|network| {
        let earlier = networks.insert(table.tag(NetworkId(network), flow), network)?;
        Some([earlier, network])
    })
}

fn equal_hashes_do_not_make_equal_keys<I: Ip>() {
    let mut table = FlowTable::<I, u32>::with_capacity(2, SECRET);
    let (flow, [one, other]) = (0..64)
        .map(|sport| flow::<I>(1, sport))
        .find_map(|flow| Some((flow, colliding_networks(&table, &flow)?)))
        .unwrap();
    table.insert(NetworkId(one), &flow, 1).unwrap();
    assert_eq!(table.get(NetworkId(other), &flow), None);
    table.insert(NetworkId(other), &flow, 2).unwrap();
    assert_eq!(table.remove(NetworkId(one), &flow), Some(1));
    assert_eq!(table.get(NetworkId(other), &flow), Some(2));
}

#[test]
fn equal_hashes_do_not_make_equal_keys_for_both_versions() {
    equal_hashes_do_not_make_equal_keys::<V4>();
    equal_hashes_do_not_make_equal_keys::<V6>();
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
