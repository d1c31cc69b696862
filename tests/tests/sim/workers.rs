//! Several workers, and frames that arrive at the wrong one.

use core::time::Duration;

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::io::impair::Impairment;
use weirgate_tests::sim::{Close, EndId, Link, Script, Setup, SpreadBy, Variant, World};

use crate::check::check_whole;

/// Forty transfers over two workers.
fn transfers(variant: Variant, spread: SpreadBy, workers: usize) -> World {
    let link = Link::lossy(5_000, Duration::from_millis(5));
    let setup = Setup::new(variant)
        .workers(workers, spread)
        .client_link(link)
        .server_link(link);
    let world = run_transfers(&setup, 40);
    let by_worker = |worker| world.count_of(worker, Event::SessionsOpened);
    assert!((0..workers).all(|worker| by_worker(worker) > 3));
    world
}

/// So many transfers, which all arrive whole.
fn run_transfers(setup: &Setup, transfers: usize) -> World {
    let mut world = World::new(setup);
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(30_000));
    let clients: Vec<EndId> = (0..transfers)
        .map(|_| {
            let script = Script::sends(30_000).closes(Close::AfterSending);
            let client = world.client.connect(world.addresses.service(), script);
            world.run_for(Duration::from_millis(1));
            client
        })
        .collect();
    world.settle(Duration::from_mins(10));
    for client in clients {
        check_whole(&world, client, 30_000, 30_000);
    }
    world
}

/// Nobody knows how the ports spread: replies arrive anywhere, and are handed over.
fn replies_at_the_wrong_worker_are_handed_over(variant: Variant) {
    for workers in [2, 3] {
        let world = transfers(variant, SpreadBy::Ports, workers);
        let handed_over = world.count(Event::HandedOver);
        assert!(handed_over > 100);
        assert_eq!(world.count(Event::TakenOver), handed_over);
    }
}

/// Source ports are chosen so that replies come home.
fn with_a_known_hash_nothing_is_handed_over(variant: Variant) {
    for workers in [2, 3] {
        let world = transfers(variant, SpreadBy::Toeplitz, workers);
        assert_eq!(world.count(Event::HandedOver), 0);
        assert_eq!(world.count(Event::StraysAsked), 0);
    }
}

/// Whoever has the only queue hands out what it receives, whatever happened to frames before.
fn one_queue_serves_all_workers(variant: Variant) {
    let good = Impairment {
        delay: Duration::from_millis(5),
        ..Impairment::default()
    };
    let bad = Impairment {
        loss_ppm: 10_000,
        reorder_ppm: 20_000,
        reorder_delay: Duration::from_millis(1),
        reorder_jitter: Duration::from_millis(5),
        duplicate_ppm: 5_000,
        ..good
    };
    for (spread, link) in [
        (SpreadBy::OneQueue, good),
        (SpreadBy::OneQueue, bad),
        (SpreadBy::Receiver, bad),
    ] {
        let setup = Setup::new(variant)
            .workers(2, spread)
            .client_link(Link::both_ways(link))
            .server_link(Link::both_ways(link));
        let mut world = run_transfers(&setup, 100);
        let endings = world.endings();
        assert_eq!(endings.len(), 100);
        assert!(endings.iter().all(|code| code == "--"), "{endings:?}");
        for worker in 0..2 {
            let sessions = world.count_of(worker, Event::SessionsOpened);
            assert!((45..=55).contains(&sessions), "{worker}: {sessions}");
        }
        // A segment that is late for the end of its connection is unknown to all.
        let handed_over = world.count(Event::HandedOver);
        assert_eq!(handed_over, world.count(Event::StraysAsked));
        assert!(handed_over < 20, "{handed_over}");
        if link == good {
            assert_eq!(handed_over, 0);
            assert_eq!(world.count(Event::TcpResetsSent), 0);
        }
    }
}

/// A worker has no turns for a while: the ring to it runs over, and with it go the turns of the queue
/// that the other borrows. What is lost is counted, and every transfer goes on.
fn a_worker_that_is_away_costs_counted_packets(variant: Variant) {
    let link = Link::lossy(0, Duration::from_millis(1));
    for (spread, absent) in [
        (SpreadBy::OneQueue, 1),
        (SpreadBy::OneQueue, 0),
        (SpreadBy::Receiver, 1),
        (SpreadBy::Receiver, 0),
    ] {
        let setup = Setup::new(variant)
            .workers(2, spread)
            .handover(16)
            .client_link(link)
            .server_link(link);
        let mut world = World::new(&setup);
        world
            .server
            .serve(world.addresses.backend(0), Script::sends(300_000));
        let clients: Vec<EndId> = (0..20)
            .map(|_| {
                let script = Script::sends(300_000).closes(Close::AfterSending);
                world.client.connect(world.addresses.service(), script)
            })
            .collect();
        for _ in 0..5 {
            world.run_for(Duration::from_millis(5));
            world.run_without(absent, Duration::from_millis(30));
        }
        // What comes while the receiving worker is away waits for it.
        if spread == SpreadBy::Receiver || absent == 1 {
            assert!(world.drops(DropReason::HandoverFull) > 0, "{spread:?}");
        }
        world.settle(Duration::from_mins(10));
        for client in clients {
            check_whole(&world, client, 300_000, 300_000);
        }
        assert_eq!(world.count(Event::TcpResetsSent), 0);
        let handed_over = world.count(Event::HandedOver) + world.count(Event::Distributed);
        assert_eq!(world.count(Event::TakenOver), handed_over);
    }
}

fn draining_ends_all_workers(variant: Variant) {
    let mut world = World::new(&Setup::new(variant).workers(2, SpreadBy::Ports));
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(8));
    for _ in 0..10 {
        let script = Script::sends(8).closes(Close::WhenTold);
        world.client.connect(world.addresses.service(), script);
    }
    world.run_until(Duration::from_secs(10), |world| world.sessions() == 10);
    world.drain(Duration::from_secs(1));
    world.run_until(Duration::from_secs(2), World::is_finished);
    assert_eq!(world.sessions(), 0);
}

weirgate_tests::on_all_variants!(
    replies_at_the_wrong_worker_are_handed_over,
    with_a_known_hash_nothing_is_handed_over,
    one_queue_serves_all_workers,
    a_worker_that_is_away_costs_counted_packets,
    draining_ends_all_workers,
);
