//! When something runs out, new work is refused and counted, and existing work goes on.

use core::time::Duration;

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::tcp::EngineKind;
use weirgate_tests::sim::{Close, EndId, Ending, Link, Script, Setup, Variant, World};

use crate::check::{check_honest, check_whole};

const MINUTE: Duration = Duration::from_mins(1);
const DELAY: Duration = Duration::from_millis(10);

/// Sessions that stay until they are told to close.
fn idle_sessions(world: &mut World, count: usize) -> Vec<EndId> {
    let script = Script::sends(8).closes(Close::WhenTold);
    world.server.serve(world.addresses.backend(0), script);
    let to = world.addresses.service();
    let clients = (0..count)
        .map(|_| world.client.connect(to, script))
        .collect();
    world.run_until(MINUTE, |world| {
        let ends = world.client.ends();
        ends.iter().all(|end| end.received() == 8)
    });
    clients
}

fn close_both(world: &mut World, clients: &[EndId]) {
    for client in clients {
        world.client.end_mut(*client).close();
    }
    for server in world.server.accepted().to_vec() {
        world.server.end_mut(server).close();
    }
}

fn out_of_buffers(variant: Variant) {
    let link = Link::lossy(0, DELAY);
    // What native connections hold is bounded, and below what there is; smoltcp's hold nothing.
    let packets = match variant.engine {
        EngineKind::Native => 160,
        EngineKind::Smoltcp => 48,
    };
    let setup = Setup::new(variant)
        .packets(packets)
        .client_link(link)
        .server_link(link);
    let mut world = World::new(&setup);
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(50_000));
    let clients: Vec<EndId> = (0..10)
        .map(|_| {
            let script = Script::sends(50_000).closes(Close::AfterSending);
            world.client.connect(world.addresses.service(), script)
        })
        .collect();
    world.settle(10 * MINUTE);
    match variant.engine {
        EngineKind::Native => assert!(world.drops(DropReason::TcpNoMemory) > 0),
        EngineKind::Smoltcp => assert!(world.count(Event::BuffersExhausted) > 0),
    }
    for client in clients {
        check_honest(&world, client, (50_000, 50_000));
        check_whole(&world, client, 50_000, 50_000);
    }
}

/// A worker whose connections share as few buffers as a configuration may say, 256: many transfers
/// at once go on, all of them. The hosts send again what was refused after a second, and then
/// twice that each time: one refusal may cost a transfer 1 s, three in a row 7 s.
fn few_buffers_for_many_transfers(variant: Variant) {
    for (transfers, limit) in [(40, Duration::from_secs(3)), (100, Duration::from_secs(9))] {
        let link = Link::lossy(0, DELAY);
        let setup = Setup::new(variant)
            .packets(2 * 256)
            .client_link(link)
            .server_link(link);
        let mut world = World::new(&setup);
        let script = Script::sends(200_000).closes(Close::AfterSending);
        world.server.serve(world.addresses.backend(0), script);
        let to = world.addresses.service();
        let connect = |_| world.client.connect(to, script);
        let clients: Vec<EndId> = (0..transfers).map(connect).collect();
        let pause = longest_pause(&mut world, &clients);
        assert!(pause < limit, "{transfers} transfers, one paused {pause:?}");
        world.settle(10 * MINUTE);
        for client in clients {
            check_whole(&world, client, 200_000, 200_000);
        }
    }
}

/// The longest time for which a client received nothing, until all have ended.
fn longest_pause(world: &mut World, clients: &[EndId]) -> Duration {
    let mut moved = vec![(0, world.now()); clients.len()];
    let mut longest = Duration::ZERO;
    let goes_on = |world: &World| world.client.ends().iter().any(|end| end.ending().is_none());
    while goes_on(world) {
        world.run_for(Duration::from_millis(100));
        assert!(world.elapsed() < 10 * MINUTE, "{:?}", world.elapsed());
        for (client, (received, at)) in clients.iter().zip(&mut moved) {
            let end = world.client.end(*client);
            if end.received() > *received {
                longest = longest.max(world.since(*at));
                (*received, *at) = (end.received(), world.now());
            }
        }
    }
    longest
}

fn out_of_sessions(variant: Variant) {
    let setup = Setup::new(variant).set("limits.max_sessions", "4");
    let mut world = World::new(&setup);
    let clients = idle_sessions(&mut world, 4);
    let script = Script::sends(8).closes(Close::WhenTold);
    let late = world.client.connect(world.addresses.service(), script);
    world.run_for(Duration::from_secs(5));
    assert!(!world.client.end(late).is_established());
    assert!(world.drops(DropReason::TcpConnectionsFull) > 0);
    assert_eq!(world.sessions(), 4);
    // There is room for the late one, which tries again by itself, once another has left.
    close_both(&mut world, &clients[..1]);
    world.run_until(MINUTE, |world| world.client.end(late).received() == 8);
    close_both(&mut world, &clients);
    close_both(&mut world, &[late]);
    world.settle(MINUTE);
    for client in clients {
        check_whole(&world, client, 8, 8);
    }
}

fn out_of_half_open_connections(variant: Variant) {
    let setup = Setup::new(variant).set("limits.syn_backlog", "2");
    let mut world = World::new(&setup.client_link(Link::lossy(0, DELAY)));
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(8));
    let clients: Vec<EndId> = (0..6)
        .map(|_| {
            let script = Script::sends(8).closes(Close::AfterSending);
            world.client.connect(world.addresses.service(), script)
        })
        .collect();
    world.settle(MINUTE);
    // The native engine has cookies instead.
    match variant.engine {
        EngineKind::Native => assert!(world.count(Event::TcpCookiesSent) >= 4),
        EngineKind::Smoltcp => assert!(world.drops(DropReason::TcpBacklogFull) >= 4),
    }
    for client in clients {
        check_whole(&world, client, 8, 8);
    }
}

fn out_of_source_ports(variant: Variant) {
    let setup = Setup::new(variant).set("limits.source_ports", "40000-40015");
    let mut world = World::new(&setup);
    let clients = idle_sessions(&mut world, 16);
    let script = Script::sends(8).closes(Close::WhenTold);
    let late = world.client.connect(world.addresses.service(), script);
    world.run_until(MINUTE, |world| {
        world.client.end(late).ending() == Some(Ending::Reset)
    });
    assert_eq!(world.count(Event::TcpPortsExhausted), 1);
    assert_eq!(world.endings(), ["RC"]);
    assert_eq!(world.sessions(), 16);
    close_both(&mut world, &clients);
    world.settle(MINUTE);
    for client in clients {
        check_whole(&world, client, 8, 8);
    }
}

/// Draining: who is being served is served to the end, and nobody else is.
fn draining_lets_transfers_finish(variant: Variant) {
    let link = Link::lossy(0, DELAY);
    let mut world = World::new(&Setup::new(variant).client_link(link));
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(3_000_000));
    let script = Script::sends(8).closes(Close::AfterSending);
    let client = world.client.connect(world.addresses.service(), script);
    world.run_until(MINUTE, |world| {
        world.client.end(client).received() > 100_000
    });
    world.drain(MINUTE);
    world.run_for(2 * DELAY);
    let late = world.client.connect(world.addresses.service(), script);
    world.run_until(MINUTE, |world| {
        world.client.end(late).ending() == Some(Ending::Reset)
    });
    assert!(!world.is_finished());
    world.run_until(MINUTE, World::is_finished);
    check_whole(&world, client, 8, 3_000_000);
    assert_eq!(world.endings(), ["--"]);
    assert_eq!(world.drops(DropReason::TcpNoListener), 1);
}

fn draining_ends_in_time(variant: Variant) {
    let mut world = World::new(&Setup::new(variant));
    let clients = idle_sessions(&mut world, 3);
    world.drain(Duration::from_secs(5));
    let begun = world.now();
    world.run_until(MINUTE, World::is_finished);
    let taken = world.since(begun);
    assert!((5000..5100).contains(&taken.as_millis()), "{taken:?}");
    world.run_for(DELAY);
    for client in clients {
        assert_eq!(world.client.end(client).ending(), Some(Ending::Reset));
    }
    assert_eq!(world.endings(), ["KD"; 3]);
}

weirgate_tests::on_all_variants!(
    out_of_buffers,
    few_buffers_for_many_transfers,
    out_of_sessions,
    out_of_half_open_connections,
    out_of_source_ports,
    draining_lets_transfers_finish,
    draining_ends_in_time,
);
