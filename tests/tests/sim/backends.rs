//! Backends that refuse, are silent, or vanish; and clients that do.

use core::time::Duration;

use netstack::counters::Event;
use netstack::tcp::EngineKind;
use proxy::termination::{Cause, Side};
use weirgate_tests::sim::{Close, EndId, Ending, Script, Setup, Variant, World};

use crate::check::{check_honest, check_whole};

const MINUTE: Duration = Duration::from_mins(1);

/// A world in which the end of the server number `working` serves, if any.
fn world_with(setup: &Setup, working: Option<u16>) -> World {
    let mut world = World::new(setup);
    if let Some(index) = working {
        let backend = world.addresses.backend(index);
        world.server.serve(backend, Script::sends(1000));
    }
    world
}

/// `count` ends of the server.
fn backends(variant: Variant, count: u16) -> Vec<core::net::SocketAddr> {
    (0..count)
        .map(|index| variant.addresses().backend(index))
        .collect()
}

fn connect(world: &mut World) -> EndId {
    let script = Script::sends(1000).closes(Close::AfterSending);
    world.client.connect(world.addresses.service(), script)
}

fn refused_by_one_then_served_by_the_next(variant: Variant) {
    let mut world = world_with(
        &Setup::new(variant).backends(&backends(variant, 2)),
        Some(1),
    );
    let client = connect(&mut world);
    world.settle(MINUTE);
    check_whole(&world, client, 1000, 1000);
    assert_eq!(world.count(Event::SessionsRetried), 1);
    let reports = world.reports();
    assert_eq!(
        (reports[0].tries, reports[0].reason.to_string().as_str()),
        (2, "--")
    );
}

fn silent_then_served_by_the_next(variant: Variant) {
    let setup = Setup::new(variant)
        .backends(&backends(variant, 2))
        .set("timeouts.connect", "2s");
    let mut world = world_with(&setup, Some(1));
    world.server.ignore_port(world.addresses.backend(0).port());
    let client = connect(&mut world);
    world.settle(MINUTE);
    check_whole(&world, client, 1000, 1000);
    assert_eq!(world.count(Event::TcpConnectTimeouts), 1);
    let connect = world.reports()[0].connect.expect("a backend answered");
    assert!((2000..2100).contains(&connect.as_millis()), "{connect:?}");
}

fn all_refuse_then_the_client_is_reset(variant: Variant) {
    let mut world = world_with(&Setup::new(variant).backends(&backends(variant, 3)), None);
    let client = connect(&mut world);
    world.settle(MINUTE);
    assert_eq!(world.client.end(client).ending(), Some(Ending::Reset));
    assert!(!world.client.end(client).peer_closed());
    assert_eq!(world.count(Event::SessionsNoBackend), 1);
    assert_eq!(world.endings(), ["SC"]);
}

/// Trying goes on for `connect_total` and no longer.
fn all_silent_then_the_client_is_reset(variant: Variant) {
    let setup = Setup::new(variant)
        .backends(&backends(variant, 8))
        .set("timeouts.connect", "2s")
        .set("timeouts.connect_total", "5s");
    let mut world = world_with(&setup, None);
    for index in 0..8 {
        world
            .server
            .ignore_port(world.addresses.backend(index).port());
    }
    let client = connect(&mut world);
    world.settle(MINUTE);
    assert_eq!(world.client.end(client).ending(), Some(Ending::Reset));
    let reports = world.reports();
    assert_eq!(
        (reports[0].tries, reports[0].reason.to_string().as_str()),
        (3, "sC")
    );
    assert!(
        (5000..5100).contains(&reports[0].total.as_millis()),
        "{:?}",
        reports[0].total
    );
}

/// Nobody answers for the first backend's address.
fn a_neighbor_that_never_answers(variant: Variant) {
    let addresses = variant.addresses();
    let nowhere = core::net::SocketAddr::new(addresses.nobody, 8080);
    let setup = Setup::new(variant)
        .backends(&[nowhere, addresses.backend(0)])
        .set("timeouts.connect", "6s");
    let mut world = world_with(&setup, Some(0));
    let client = connect(&mut world);
    world.settle(MINUTE);
    check_whole(&world, client, 1000, 1000);
    assert_eq!(world.count(Event::NeighborFailed), 1);
    assert_eq!(world.count(Event::SessionsRetried), 1);
}

fn a_backend_behind_a_gateway(variant: Variant) {
    let beyond = core::net::SocketAddr::new(variant.addresses().beyond, 8080);
    let mut world = World::new(&Setup::new(variant).backends(&[beyond]));
    world.server.serve(beyond, Script::sends(100_000));
    let client = connect(&mut world);
    world.settle(MINUTE);
    check_whole(&world, client, 1000, 100_000);
}

/// A transfer of 100 MB in both directions that has begun.
fn long_transfer(setup: &Setup) -> (World, EndId) {
    let mut world = World::new(setup);
    world
        .server
        .serve(world.addresses.backend(0), Script::sends(LONG));
    let client = world
        .client
        .connect(world.addresses.service(), Script::sends(LONG));
    world.run_until(MINUTE, |world| {
        world.client.end(client).received() > 100_000
    });
    (world, client)
}

const LONG: u64 = 100_000_000;

fn a_client_that_vanishes_in_mid_transfer(variant: Variant) {
    let (mut world, client) = long_transfer(&Setup::new(variant).set("timeouts.user", "20s"));
    world.client.set_present(false);
    world.run_until(2 * MINUTE, |world| world.sessions() == 0);
    let taken = world.reports().remove(0);
    assert_eq!(taken.reason.to_string(), "cD");
    assert!(
        (20..22).contains(&taken.total.as_secs()),
        "{:?}",
        taken.total
    );
    world.run_until(MINUTE, |world| {
        world.server.ends()[0].ending() == Some(Ending::Reset)
    });
    assert_eq!(world.count(Event::TcpUserTimeouts), 1);
    check_honest(&world, client, (LONG, LONG));
    world.client.set_present(true);
    world.check_buffers();
}

fn a_backend_that_vanishes_in_mid_transfer(variant: Variant) {
    let (mut world, client) = long_transfer(&Setup::new(variant).set("timeouts.user", "20s"));
    world.server.set_present(false);
    world.run_until(2 * MINUTE, |world| world.sessions() == 0);
    assert_eq!(world.endings(), ["sD"]);
    world.run_until(MINUTE, |world| {
        world.client.end(client).ending() == Some(Ending::Reset)
    });
    check_honest(&world, client, (LONG, LONG));
    world.server.set_present(true);
    world.check_buffers();
}

/// Nothing is in flight when the client vanishes: only keepalives find out.
fn a_client_that_vanishes_while_idle(variant: Variant) {
    let setup = Setup::new(variant)
        .set("timeouts.user", "20s")
        .set("timeouts.keepalive", "10s");
    let mut world = World::new(&setup);
    let script = Script::sends(8).closes(Close::WhenTold);
    world.server.serve(world.addresses.backend(0), script);
    let client = world.client.connect(world.addresses.service(), script);
    // As long as the client is there, it answers.
    world.run_for(3 * MINUTE);
    assert_eq!(world.sessions(), 1);
    world.client.set_present(false);
    let begun = world.now();
    world.run_until(2 * MINUTE, |world| world.sessions() == 0);
    let taken = world.since(begun).as_secs();
    assert!((20..=41).contains(&taken), "{taken} s");
    assert_eq!(world.endings(), ["cD"]);
    assert_eq!(world.client.end(client).received(), 8);
}

/// The log says that keepalive ended a session. smoltcp does not count probes: there it is what
/// stays unanswered for `user`.
fn keepalive_ends_a_session(variant: Variant) {
    let setup = Setup::new(variant)
        .set("timeouts.user", "60s")
        .set("timeouts.keepalive", "10s")
        .set("tcp.keepalive_interval", "5s")
        .set("tcp.keepalive_probes", "4");
    for (vanishes, code) in [(Side::Client, "cD"), (Side::Backend, "sD")] {
        let mut world = World::new(&setup);
        let script = Script::sends(8).closes(Close::WhenTold);
        world.server.serve(world.addresses.backend(0), script);
        let client = world.client.connect(world.addresses.service(), script);
        world.run_for(MINUTE);
        match vanishes {
            Side::Client => world.client.set_present(false),
            _ => world.server.set_present(false),
        }
        let begun = world.now();
        world.run_until(2 * MINUTE, |world| world.sessions() == 0);
        let taken = world.since(begun).as_secs();
        let reports = world.reports();
        let [report] = reports.as_slice() else {
            world.fail("not one session");
        };
        let (expected, event, cause) = match variant.engine {
            // The last answer came up to 10 s ago.
            EngineKind::Native => (20..=30, Event::TcpKeepaliveTimeouts, Cause::Unanswered),
            EngineKind::Smoltcp => (60..=70, Event::TcpUserTimeouts, Cause::TimedOut),
        };
        assert!(expected.contains(&taken), "{vanishes:?}: {taken} s");
        assert_eq!(report.reason.to_string(), code);
        assert_eq!((report.reason.side, report.reason.cause), (vanishes, cause));
        assert_eq!(world.count(event), 1);
        if vanishes == Side::Backend {
            world.run_for(Duration::from_secs(1));
            assert_eq!(world.client.end(client).ending(), Some(Ending::Reset));
        }
    }
}

fn an_idle_session_ends(variant: Variant) {
    let setup = Setup::new(variant)
        .set("timeouts.idle", "30s")
        .set("timeouts.keepalive", "10s");
    let mut world = World::new(&setup);
    let script = Script::sends(8).closes(Close::WhenTold);
    world.server.serve(world.addresses.backend(0), script);
    let client = world.client.connect(world.addresses.service(), script);
    world.settle(MINUTE);
    assert!(
        (30..32).contains(&world.elapsed().as_secs()),
        "{:?}",
        world.elapsed()
    );
    assert_eq!(world.client.end(client).ending(), Some(Ending::Reset));
    assert_eq!(world.server.ends()[0].ending(), Some(Ending::Reset));
    assert!(world.count(Event::TcpIdleTimeouts) >= 1);
}

/// A session in which octets move does not time out, though the backend's half has delivered
/// everything, and its end, long before.
fn a_slow_client_does_not_time_out(variant: Variant) {
    let setup = Setup::new(variant)
        .host_buffer(4 << 10)
        .set("timeouts.idle", "10s")
        .set("timeouts.half_closed", "10s")
        .set("timeouts.fin_wait_2", "10s");
    let mut world = World::new(&setup);
    let script = Script::sends(60_000).closes(Close::AfterSending);
    world.server.serve(world.addresses.backend(0), script);
    let client = world
        .client
        .connect(world.addresses.service(), Script::sends(8));
    while world.client.end(client).received() < 60_000 {
        assert!(world.client.end(client).ending().is_none());
        world.client.end_mut(client).set_reading(false);
        world.run_for(Duration::from_secs(5));
        world.client.end_mut(client).set_reading(true);
        world.run_for(Duration::from_micros(20));
    }
    assert!(world.elapsed() > 2 * Duration::from_secs(10));
    world.settle(MINUTE);
    check_whole(&world, client, 8, 60_000);
}

/// A client that only connects and says nothing more than its SYN.
fn a_handshake_that_is_never_finished(variant: Variant) {
    let setup = Setup::new(variant).set("timeouts.handshake", "5s");
    let mut world = World::new(&setup);
    connect(&mut world);
    world.run_until(MINUTE, |world| world.count(Event::TcpHalfOpen) == 1);
    world.client.set_present(false);
    world.run_until(MINUTE, |world| world.connections() == 0);
    assert!(
        (5..6).contains(&world.elapsed().as_secs()),
        "{:?}",
        world.elapsed()
    );
    assert_eq!(world.count(Event::TcpHandshakeTimeouts), 1);
    assert_eq!(world.count(Event::SessionsOpened), 0);
}

weirgate_tests::on_all_variants!(
    refused_by_one_then_served_by_the_next,
    silent_then_served_by_the_next,
    all_refuse_then_the_client_is_reset,
    all_silent_then_the_client_is_reset,
    a_neighbor_that_never_answers,
    a_backend_behind_a_gateway,
    a_client_that_vanishes_in_mid_transfer,
    a_backend_that_vanishes_in_mid_transfer,
    a_client_that_vanishes_while_idle,
    keepalive_ends_a_session,
    an_idle_session_ends,
    a_slow_client_does_not_time_out,
    a_handshake_that_is_never_finished,
);
