use core::net::Ipv4Addr;
use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use netstack::counters::Counters;
use proptest::prelude::*;

use super::*;
use crate::config::{BackendConfig, EjectionConfig, EngineConfig};
use crate::l7::health::HealthReport;

const BALANCES: [Balance; 3] = [
    Balance::RoundRobin,
    Balance::LeastConnections,
    Balance::SourceHash,
];

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
        health: None,
        ejection: None,
        slow_start: None,
        backends,
    }
}

fn context(
    group: &BackendGroupConfig,
    worker: (u16, u16),
) -> (PoolContext, Receiver<HealthReport>) {
    let (reports, receiver) = bounded(64);
    let context = PoolContext {
        group: BackendGroupId(0),
        worker,
        hash_key: 7,
        board: Board::new(group.backends.len()),
        teller: Teller {
            worker: worker.0,
            reports,
            counters: Arc::new(Counters::new()),
        },
    };
    (context, receiver)
}

fn pool(balance: Balance, backends: &[(u16, Option<u32>)]) -> BackendPool {
    let group = group(balance, backends);
    let (context, _) = context(&group, (0, 1));
    BackendPool::new(&group, context)
}

/// A pool whose backends may be ejected after three failures, for ten seconds, and which start
/// slowly, for a hundred.
fn fragile(balance: Balance, weights: &[u16]) -> (BackendPool, Receiver<HealthReport>) {
    let backends: Vec<_> = weights.iter().map(|weight| (*weight, None)).collect();
    let group = BackendGroupConfig {
        ejection: Some(EjectionConfig {
            failures: 3,
            base: Duration::from_secs(10),
            max: Duration::from_mins(1),
            max_share: 50,
        }),
        slow_start: Some(Duration::from_secs(100)),
        ..group(balance, &backends)
    };
    let (context, reports) = context(&group, (0, 1));
    (BackendPool::new(&group, context), reports)
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

const NOW: Instant = Instant::from_millis(1_000_000);

impl BackendPool {
    fn board(&self) -> &Board {
        &self.context.board
    }

    fn count(&self, event: Event) -> u64 {
        self.context.teller.counters.event(event)
    }
}

/// How many of so many sessions, each of which ends before the next, every backend got.
fn shares(pool: &mut BackendPool, now: Instant, sessions: u32) -> Vec<u32> {
    let mut shares = vec![0; pool.backends.len()];
    for index in 0..sessions {
        let id = pool.pick(now, client(index), &[]).unwrap();
        shares[id.index()] += 1;
        pool.release(id);
    }
    shares
}

fn client(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + index))
}

fn picks(pool: &mut BackendPool, count: u32) -> Vec<usize> {
    (0..count)
        .filter_map(|index| pool.pick(NOW, client(index), &[]))
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
    for balance in BALANCES {
        let mut pool = pool(balance, &[(0, None), (1, None)]);
        assert_eq!(picks(&mut pool, 4), [1; 4]);
    }
}

#[test]
fn a_tried_backend_is_not_tried_again() {
    for balance in BALANCES {
        let mut pool = pool(balance, &[(1, None), (1, None)]);
        let first = pool.pick(NOW, client(1), &[]).unwrap();
        let second = pool.pick(NOW, client(1), &[first]).unwrap();
        assert_ne!(first, second);
        assert_eq!(pool.pick(NOW, client(1), &[first, second]), None);
    }
}

#[test]
fn least_connections_fills_by_weight_and_follows_releases() {
    let mut pool = pool(Balance::LeastConnections, &[(1, None), (2, None)]);
    let taken = picks(&mut pool, 6);
    assert_eq!(taken.iter().filter(|index| **index == 0).count(), 2);
    pool.release(BackendId::new(0));
    pool.release(BackendId::new(0));
    assert_eq!(pool.pick(NOW, client(9), &[]), Some(BackendId::new(0)));
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
        let id = pool.pick(NOW, client(index), &[]).unwrap();
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
        .map(|worker| {
            let (context, _) = context(&config, (worker, 2));
            picks(&mut BackendPool::new(&config, context), 9).len()
        })
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
        let first = before.pick(NOW, client(index), &[]).unwrap();
        assert_eq!(before.pick(NOW, client(index), &[]), Some(first));
        *counts.entry(first.index()).or_insert(0) += 1;
        let after = without.pick(NOW, client(index), &[]).unwrap();
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

#[test]
fn a_backend_that_is_down_takes_nothing_until_it_is_up() {
    for balance in BALANCES {
        let mut pool = pool(balance, &[(1, None), (1, None)]);
        pool.board().set(0, Standing::Down);
        assert_eq!(shares(&mut pool, NOW, 100), [0, 100]);
        pool.board().set(0, Standing::UpSince(NOW));
        let up = shares(&mut pool, NOW, 1000);
        assert!((440..560).contains(&up[0]), "{up:?}");
        assert_eq!(pool.count(Event::BackendsFailOpen), 0);
    }
}

#[test]
fn when_all_are_down_all_that_the_operator_wants_are_used() {
    for balance in BALANCES {
        let mut pool = pool(balance, &[(1, None), (1, None), (0, None), (1, None)]);
        pool.set(BackendId::new(3), Setting::Drain(true));
        for index in 0..4 {
            pool.board().set(index, Standing::Down);
        }
        let all = shares(&mut pool, NOW, 1000);
        assert!(
            all[0] > 440 && all[1] > 440 && all[2..] == [0, 0],
            "{all:?}"
        );
        assert_eq!(pool.count(Event::BackendsFailOpen), 1000);
        // What is drained does not keep it from failing open, and is not what saves it.
        pool.board().set(3, Standing::Up);
        assert_eq!(shares(&mut pool, NOW, 10)[3], 0);
        assert_eq!(pool.count(Event::BackendsFailOpen), 1010);
    }
}

/// A session at whose backends all tries failed is not sent to those that are down.
#[test]
fn only_a_group_without_any_backend_fails_open() {
    let mut pool = pool(Balance::RoundRobin, &[(1, None), (1, Some(1))]);
    pool.board().set(0, Standing::Down);
    let up = BackendId::new(1);
    assert_eq!(pool.pick(NOW, client(1), &[up]), None);
    assert_eq!(pool.pick(NOW, client(1), &[]), Some(up));
    assert_eq!(pool.pick(NOW, client(1), &[]), None, "it is full");
}

#[test]
fn the_operator_drains_and_changes_weights() {
    for balance in BALANCES {
        let mut pool = pool(balance, &[(1, None), (1, None)]);
        let first = BackendId::new(0);
        pool.set(first, Setting::Drain(true));
        pool.set(first, Setting::Weight(3));
        assert_eq!(shares(&mut pool, NOW, 100), [0, 100]);
        pool.set(first, Setting::Drain(false));
        let shares = shares(&mut pool, NOW, 4000);
        assert!((2860..3140).contains(&shares[0]), "{shares:?}");
        pool.set(BackendId::new(9), Setting::Weight(1));
    }
}

#[test]
fn the_weight_of_one_that_came_back_grows() {
    for balance in BALANCES {
        let (mut pool, _) = fragile(balance, &[2, 2]);
        // Those that were never away have all of it from the beginning.
        let even = shares(&mut pool, at(0), 1000);
        assert!((440..560).contains(&even[0]), "{even:?}");
        pool.board().set(0, Standing::UpSince(at(1000)));
        // With nothing but itself to compare with, it has its whole weight.
        for (seconds, percent) in [(0, 0), (25, 20), (50, 33), (100, 50), (500, 50)] {
            let shares = shares(&mut pool, at(1000 + seconds), 1000);
            let expected = percent * 10;
            let near = expected - 50..expected + 50;
            assert!(
                near.contains(&i64::from(shares[0])),
                "{balance:?} {seconds}: {shares:?}"
            );
        }
    }
}

/// Clients come back to a backend that grows one by one, and none of them goes elsewhere.
#[test]
fn a_source_hash_that_grows_moves_clients_to_one_only() {
    let (mut pool, _) = fragile(Balance::SourceHash, &[1, 1, 1]);
    let choices = |pool: &mut BackendPool, now| -> Vec<_> {
        (0..1000)
            .map(|index| pool.pick(now, client(index), &[]).unwrap().index())
            .collect()
    };
    let before = choices(&mut pool, at(0));
    pool.board().set(1, Standing::Down);
    let mut last = choices(&mut pool, at(1));
    assert!(
        last.iter()
            .zip(&before)
            .all(|(now, before)| before == now || *before == 1)
    );
    pool.board().set(1, Standing::UpSince(at(1000)));
    for seconds in [0, 10, 50, 99, 100] {
        let now = choices(&mut pool, at(1000 + seconds));
        assert!(
            now.iter()
                .zip(&last)
                .all(|(now, last)| now == last || *now == 1)
        );
        last = now;
    }
    assert_eq!(last, before);
}

#[test]
fn failures_eject_and_time_brings_back() {
    let (mut pool, reports) = fragile(Balance::RoundRobin, &[1, 1]);
    let first = BackendId::new(0);
    for _ in 0..3 {
        pool.note_failed(at(0), first, Cause::Refused);
    }
    assert_eq!(shares(&mut pool, at(9), 10), [0, 10]);
    assert_eq!(pool.count(Event::BackendsEjected), 1);
    assert_eq!(pool.poll_timeout(), Some(at(10)));
    // The other one may not be ejected as well.
    for _ in 0..4 {
        pool.note_failed(at(9), BackendId::new(1), Cause::TimedOut);
    }
    assert_eq!(pool.count(Event::BackendEjectionsWithheld), 2);
    assert_eq!(shares(&mut pool, at(9), 10), [0, 10]);
    pool.handle_timeouts(at(10));
    assert_eq!(pool.count(Event::BackendsEjected), 0);
    assert_eq!(pool.count(Event::BackendEjections), 1);
    let slow = shares(&mut pool, at(20), 1100);
    assert!((90..110).contains(&slow[0]), "{slow:?}");
    let changes: Vec<_> = reports.try_iter().map(|report| report.change).collect();
    let ejected = Change::Ejected {
        reason: Cause::Refused,
        in_a_row: 3,
        time: Duration::from_secs(10),
    };
    assert_eq!(changes, [ejected, Change::Returned]);
}

/// Ejected or down, it makes no difference.
#[test]
fn a_mixture_of_both_fails_open_too() {
    let (mut pool, _) = fragile(Balance::RoundRobin, &[1, 1]);
    for _ in 0..3 {
        pool.note_failed(at(0), BackendId::new(0), Cause::Refused);
    }
    pool.board().set(1, Standing::Down);
    assert_eq!(shares(&mut pool, at(1), 10), [5, 5]);
    assert_eq!(pool.count(Event::BackendsFailOpen), 10);
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Up),
        Just(Standing::Down),
        (0..2000_u64).prop_map(|seconds| Standing::UpSince(at(seconds))),
    ]
}

proptest! {
    /// Nobody is chosen who is down, drained or without weight, but for fail-open; and whoever may
    /// be chosen has its share.
    #[test]
    fn choices_follow_states_and_weights(
        balance in prop::sample::select(&BALANCES[..]),
        backends in prop::collection::vec((0..20_u16, any_standing(), any::<bool>()), 1..8),
    ) {
        const SESSIONS: u32 = 4000;
        let weights: Vec<_> = backends.iter().map(|(weight, ..)| *weight).collect();
        let (mut pool, _) = fragile(balance, &weights);
        for (index, (_, standing, drained)) in backends.iter().enumerate() {
            pool.board().set(index, *standing);
            pool.set(BackendId::new(index), Setting::Drain(*drained));
        }
        let now = at(1950);
        let wanted = |index: usize| weights[index] > 0 && !backends[index].2;
        let up = |index: usize| wanted(index) && backends[index].1 != Standing::Down;
        let all = 0..backends.len();
        let fail_open = !all.clone().any(up);
        let strength = |index: usize| {
            let strength = match backends[index].1 {
                _ if fail_open => 1.0,
                Standing::UpSince(since) => {
                    let up = now.saturating_duration_since(since).as_secs_f64();
                    (up / 100.0).clamp(1.0 / 1024.0, 1.0)
                }
                Standing::Up | Standing::Down => 1.0,
            };
            let used = if fail_open { wanted(index) } else { up(index) };
            if used { strength * f64::from(weights[index]) } else { 0.0 }
        };
        let total: f64 = all.clone().map(strength).sum();
        let mut shares = vec![0_u32; backends.len()];
        for session in 0..SESSIONS {
            match pool.pick(now, client(session), &[]) {
                None => prop_assert!(total == 0.0),
                Some(id) => {
                    shares[id.index()] += 1;
                    prop_assert!(strength(id.index()) > 0.0);
                    // Only sessions that stay make connections a measure.
                    if balance != Balance::LeastConnections {
                        pool.release(id);
                    }
                }
            }
        }
        let failed_open = if fail_open && total > 0.0 { SESSIONS } else { 0 };
        prop_assert_eq!(pool.count(Event::BackendsFailOpen), u64::from(failed_open));
        for index in all.filter(|_| total > 0.0) {
            let expected = strength(index) / total * f64::from(SESSIONS);
            let error = (f64::from(shares[index]) - expected).abs();
            // A hash spreads as dice do.
            let allowed = if balance == Balance::SourceHash { 200.0 } else { 25.0 };
            prop_assert!(error < allowed, "{index}: {} of {expected}", shares[index]);
        }
    }
}
