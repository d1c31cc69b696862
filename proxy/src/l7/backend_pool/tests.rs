use core::net::Ipv4Addr;
use std::collections::HashMap;

use super::*;
use crate::config::{BackendConfig, EngineConfig};

fn group(balance: Balance, backends: &[(u16, Option<u32>)]) -> BackendGroupConfig {
    let backends = backends
        .iter()
        .enumerate()
        .map(|(index, (weight, max_connections))| {
            let address = SocketAddr::from(([192, 0, 2, index as u8 + 1], 80));
            BackendConfig {
                name: address.to_string(),
                address,
                weight: *weight,
                max_connections: *max_connections,
            }
        })
        .collect();
    BackendGroupConfig {
        engine: EngineConfig::default(),
        name: "test".to_owned(),
        balance,
        tries: 3,
        announce: None,
        backends,
    }
}

fn pool(balance: Balance, backends: &[(u16, Option<u32>)]) -> BackendPool {
    BackendPool::new(&group(balance, backends), 0, 1, 7)
}

fn client(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + index))
}

fn picks(pool: &mut BackendPool, count: u32) -> Vec<usize> {
    (0..count)
        .filter_map(|index| pool.pick(client(index), &[]))
        .map(BackendId::index)
        .collect()
}

#[test]
fn round_robin_spreads_heavy_backends_between_light_ones() {
    let mut pool = pool(Balance::RoundRobin, &[(5, None), (1, None), (1, None)]);
    assert_eq!(picks(&mut pool, 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_weight_of_zero_takes_nothing() {
    for balance in [
        Balance::RoundRobin,
        Balance::LeastConnections,
        Balance::SourceHash,
    ] {
        let mut pool = pool(balance, &[(0, None), (1, None)]);
        assert_eq!(picks(&mut pool, 4), [1; 4]);
    }
}

#[test]
fn a_tried_backend_is_not_tried_again() {
    for balance in [
        Balance::RoundRobin,
        Balance::LeastConnections,
        Balance::SourceHash,
    ] {
        let mut pool = pool(balance, &[(1, None), (1, None)]);
        let first = pool.pick(client(1), &[]).unwrap();
        let second = pool.pick(client(1), &[first]).unwrap();
        assert_ne!(first, second);
        assert_eq!(pool.pick(client(1), &[first, second]), None);
    }
}

#[test]
fn least_connections_fills_by_weight_and_follows_releases() {
    let mut pool = pool(Balance::LeastConnections, &[(1, None), (2, None)]);
    let taken = picks(&mut pool, 6);
    assert_eq!(taken.iter().filter(|index| **index == 0).count(), 2);
    pool.release(BackendId::new(0));
    pool.release(BackendId::new(0));
    assert_eq!(pool.pick(client(9), &[]), Some(BackendId::new(0)));
    assert_eq!(pool.backend(BackendId::new(0)).sessions(), 1);
}

#[test]
fn least_connections_does_not_always_begin_with_the_first() {
    let mut pool = pool(
        Balance::LeastConnections,
        &[(1, None), (1, None), (1, None)],
    );
    let mut seen = Vec::new();
    for index in 0..3 {
        let id = pool.pick(client(index), &[]).unwrap();
        seen.push(id.index());
        pool.release(id);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn limits_are_split_among_the_workers() {
    let config = group(Balance::RoundRobin, &[(1, Some(5))]);
    let taken: Vec<usize> = (0..2)
        .map(|worker| picks(&mut BackendPool::new(&config, worker, 2, 7), 9).len())
        .collect();
    assert_eq!(taken, [3, 2]);
}

#[test]
fn a_client_stays_and_only_the_clients_of_a_lost_backend_move() {
    let all = &[(1, None), (1, None), (2, None), (1, None)];
    let mut before = pool(Balance::SourceHash, all);
    let mut without = pool(
        Balance::SourceHash,
        &[(1, None), (0, None), (2, None), (1, None)],
    );
    let mut counts = HashMap::new();
    for index in 0..4_000 {
        let first = before.pick(client(index), &[]).unwrap();
        assert_eq!(before.pick(client(index), &[]), Some(first));
        *counts.entry(first.index()).or_insert(0) += 1;
        let after = without.pick(client(index), &[]).unwrap();
        assert!(first == BackendId::new(1) || first == after);
    }
    // Shares 1:1:2:1 of 4000.
    for (index, share) in [(0, 800), (1, 800), (2, 1600), (3, 800)] {
        let count = counts[&index];
        assert!(
            (share - 120..share + 120).contains(&count),
            "{index}: {count}"
        );
    }
}
