//! Backends that come and go, and what checks and sessions find out about them.

use core::net::SocketAddr;
use core::time::Duration;

use netstack::counters::Event;
use proxy::l7::backend_pool::{BackendId, Setting};
use proxy::l7::health::{Change, Failure};
use proxy::termination::Cause;
use weirgate_tests::sim::{Close, End, EndId, Ending, Script, Setup, SpreadBy, Variant, World};

use crate::check::check_whole;

const MINUTE: Duration = Duration::from_mins(1);

/// One check a second, to the microsecond.
const TCP_CHECK: &str = "[backend_group.health]\ncheck = \"tcp\"\ninterval = \"1s\"\njitter = 0\n\
                         timeout = \"500ms\"";

const HTTP_CHECK: &str = "[backend_group.health]\ncheck = \"http\"\ninterval = \"1s\"\njitter = 0\n\
                          timeout = \"500ms\"\npath = \"/health\"";

/// `count` ends of the server.
fn backends(variant: Variant, count: u16) -> Vec<SocketAddr> {
    let ends = 0..count;
    ends.map(|index| variant.addresses().backend(index))
        .collect()
}

/// So many backends that are checked, or treated, as `group` says.
fn setup(variant: Variant, count: u16, group: &str) -> Setup {
    Setup::new(variant)
        .backends(&backends(variant, count))
        .group(group)
}

fn serve(world: &mut World, index: u16) {
    let at = world.addresses.backend(index);
    world.server.serve(at, Script::sends(1000));
}

fn stop(world: &mut World, index: u16) {
    let at = world.addresses.backend(index);
    world.server.stop_serving(at);
}

fn connect(world: &mut World) -> EndId {
    let script = Script::sends(1000).closes(Close::AfterSending);
    world.client.connect(world.addresses.service(), script)
}

/// Serves so many clients, one after the other. Returns the backends of their sessions.
fn clients(world: &mut World, count: usize) -> Vec<Option<usize>> {
    for _ in 0..count {
        let client = connect(world);
        world.run_until(MINUTE, |world| {
            world.sessions() == 0 && { world.client.end(client).ending().is_some() }
        });
        check_whole(world, client, 1000, 1000);
    }
    let backends = world.reports().into_iter();
    backends
        .map(|report| report.backend.map(BackendId::index))
        .collect()
}

/// What happened to backends: (backend, change).
fn changes(world: &mut World) -> Vec<(usize, Change)> {
    let reports = world.health_reports().into_iter();
    reports
        .map(|report| (report.backend.index(), report.change))
        .collect()
}

fn down(reason: Failure, checks: u64) -> Change {
    Change::Down {
        reason,
        in_a_row: 3,
        checks,
    }
}

/// Both backends serve; then one stops, and starts again.
fn refused_then_served_by_others_then_back(variant: Variant) {
    let mut world = World::new(&setup(variant, 2, TCP_CHECK));
    serve(&mut world, 0);
    serve(&mut world, 1);
    world.run_for(Duration::from_millis(4500));
    assert_eq!(world.count(Event::HealthChecks), 10);
    assert_eq!(world.count(Event::HealthChecksFailed), 0);
    // Their connections end as clients end theirs.
    assert_eq!(world.count(Event::TcpResetsSent), 0);
    let ends = world.server.ends();
    assert!(
        ends.iter().all(|end| end.ending() == Some(Ending::Closed)),
        "{ends:?}"
    );

    stop(&mut world, 0);
    let stopped = world.now();
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 1);
    assert!(
        world.since(stopped) < Duration::from_secs(3),
        "{:?}",
        world.since(stopped)
    );
    assert_eq!(changes(&mut world), [(0, down(Failure::Refused, 8))]);
    assert_eq!(clients(&mut world, 4), [Some(1); 4]);
    assert_eq!(world.count(Event::SessionsRetried), 0);
    assert_eq!(world.count(Event::BackendsFailOpen), 0);

    serve(&mut world, 0);
    let started = world.now();
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 0);
    assert!(
        world.since(started) < Duration::from_secs(2),
        "{:?}",
        world.since(started)
    );
    let up = changes(&mut world);
    assert!(
        matches!(up[..], [(0, Change::Up { in_a_row: 2, .. })]),
        "{up:?}"
    );
    let served = clients(&mut world, 4);
    assert_eq!(
        served.iter().filter(|backend| **backend == Some(0)).count(),
        2
    );
}

fn silent_then_back(variant: Variant) {
    let mut world = World::new(&setup(variant, 2, TCP_CHECK));
    serve(&mut world, 0);
    serve(&mut world, 1);
    let port = world.addresses.backend(0).port();
    world.server.ignore_port(port);
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 1);
    // The third check began after two seconds, and half a second is the timeout.
    let elapsed = world.elapsed().as_millis();
    assert!((2500..2520).contains(&elapsed), "{elapsed}");
    assert_eq!(changes(&mut world), [(0, down(Failure::NotConnected, 3))]);
    assert_eq!(clients(&mut world, 2), [Some(1); 2]);
    world.server.heed_port(port);
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 0);
}

/// Nobody has the first backend's address.
fn nobody_is_there(variant: Variant) {
    let addresses = variant.addresses();
    let nowhere = SocketAddr::new(addresses.nobody, 8080);
    let setup = Setup::new(variant)
        .backends(&[nowhere, addresses.backend(0)])
        .group(TCP_CHECK);
    let mut world = World::new(&setup);
    serve(&mut world, 0);
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 1);
    assert_eq!(changes(&mut world), [(0, down(Failure::NotConnected, 3))]);
    assert_eq!(clients(&mut world, 2), [Some(1); 2]);
}

fn answers_of_http_decide(variant: Variant) {
    let mut world = World::new(&setup(variant, 1, HTTP_CHECK));
    let at = world.addresses.backend(0);
    let good = Script::says("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    world.server.serve(at, good);
    world.run_for(Duration::from_millis(2500));
    assert_eq!(world.count(Event::HealthChecksFailed), 0);
    let request = "GET /health HTTP/1.1\r\n".len() as u64;
    assert!(
        world
            .server
            .ends()
            .iter()
            .all(|end| end.received() > request)
    );
    for (answer, reason) in [
        (
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            Failure::Status(503),
        ),
        ("SSH-2.0-OpenSSH\r\n", Failure::NotHttp),
        ("HTTP/1.1 ", Failure::Closed),
        ("", Failure::Closed),
    ] {
        world.server.stop_serving(at);
        world.server.serve(at, Script::says(answer));
        world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 1);
        let changed = changes(&mut world);
        assert!(
            matches!(changed[..], [(0, Change::Down { reason: found, .. })] if found == reason),
            "{answer:?}: {changed:?}"
        );
        world.server.stop_serving(at);
        world.server.serve(at, good);
        world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 0);
        changes(&mut world);
    }
    // One that says nothing, and reads nothing.
    world.server.stop_serving(at);
    let mute = Script::listens().closes(Close::WhenTold).without_reading();
    world.server.serve(at, mute);
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 1);
    let changed = changes(&mut world);
    let expected = Failure::NotAnswered;
    assert!(
        matches!(changed[..], [(0, Change::Down { reason, .. })] if reason == expected),
        "{changed:?}"
    );
}

/// A backend that is told who clients are is told by checks that they speak for nobody.
fn checks_announce_themselves(variant: Variant) {
    for (version, header) in [("v1", 15), ("v2", 16)] {
        let group = format!("proxy_protocol = \"{version}\"\n{TCP_CHECK}");
        let mut world = World::new(&setup(variant, 1, &group));
        serve(&mut world, 0);
        world.run_for(Duration::from_millis(500));
        let received: Vec<_> = world.server.ends().iter().map(End::received).collect();
        assert_eq!(received, [header]);
        assert_eq!(world.count(Event::HealthChecksFailed), 0);
    }
}

/// The checked port is another than that of sessions, and what is expected comes in the middle.
fn what_is_expected_comes_or_not(variant: Variant) {
    let check = "[backend_group.health]\ncheck = \"send_expect\"\ninterval = \"1s\"\n\
                 send = \"PING\\r\\n\"\nexpect = \"+PONG\"\nport = 9000\nfall = 2";
    let mut world = World::new(&setup(variant, 1, check));
    serve(&mut world, 0);
    let at = SocketAddr::new(world.addresses.server, 9000);
    world.server.serve(at, Script::says("* hello\r\n+PONG\r\n"));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.count(Event::HealthChecksFailed), 0);
    world.server.stop_serving(at);
    world
        .server
        .serve(at, Script::says("* hello\r\n-LOADING\r\n"));
    world.run_until(MINUTE, |world| world.count(Event::BackendsDown) == 1);
    let changed = changes(&mut world);
    assert!(
        matches!(
            changed[..],
            [(
                0,
                Change::Down {
                    reason: Failure::Unexpected,
                    ..
                }
            )]
        ),
        "{changed:?}"
    );
    // It is the only one, and so it serves all the same.
    assert_eq!(clients(&mut world, 2), [Some(0); 2]);
    assert_eq!(world.count(Event::BackendsFailOpen), 2);
}

/// A backend that goes on sending after it has passed is not listened to for ever.
fn an_endless_answer_is_cut_off(variant: Variant) {
    let mut world = World::new(&setup(variant, 1, TCP_CHECK));
    let at = world.addresses.backend(0);
    world.server.serve(at, Script::sends(10 << 20));
    world.run_for(Duration::from_millis(3500));
    assert_eq!(world.count(Event::HealthChecks), 4);
    assert_eq!(world.count(Event::HealthChecksFailed), 0);
    assert_eq!(world.connections(), 0);
    let ends = world.server.ends();
    assert!(ends.iter().all(|end| end.sent() < 1 << 20), "{ends:?}");
}

fn sessions_that_fail_eject(variant: Variant) {
    let ejection = "[backend_group.ejection]\nfailures = 3\nbase = \"5s\"";
    let mut world = World::new(&setup(variant, 2, ejection));
    serve(&mut world, 1);
    assert_eq!(clients(&mut world, 12), [Some(1); 12]);
    assert_eq!(world.count(Event::SessionsRetried), 3);
    assert_eq!(world.count(Event::BackendsEjected), 1);
    let time = Duration::from_secs(5);
    let ejected = |in_a_row, time| Change::Ejected {
        reason: Cause::Refused,
        in_a_row,
        time,
    };
    assert_eq!(changes(&mut world), [(0, ejected(3, time))]);
    // It comes back, although no client asks for it, and fails the first one.
    world.run_until(MINUTE, |world| world.count(Event::BackendsEjected) == 0);
    assert_eq!(clients(&mut world, 4), [Some(1); 4]);
    assert_eq!(world.count(Event::SessionsRetried), 4);
    assert_eq!(
        changes(&mut world),
        [(0, Change::Returned), (0, ejected(3, 2 * time))]
    );
    serve(&mut world, 0);
    world.run_until(MINUTE, |world| world.count(Event::BackendsEjected) == 0);
    let served = clients(&mut world, 4);
    assert_eq!(
        served.iter().filter(|backend| **backend == Some(0)).count(),
        2
    );
    assert_eq!(world.count(Event::HealthChecks), 0);
}

/// A server that accepts and resets before it has said anything has failed; one that resets later
/// has not.
fn resets_before_the_first_octet_eject(variant: Variant) {
    let ejection = "[backend_group.ejection]\nfailures = 2\nmax_share = 100";
    let mut world = World::new(&setup(variant, 1, ejection));
    let at = world.addresses.backend(0);
    let script = |octets| Script::sends(octets).closes(Close::WhenTold);
    for (octets, ejections) in [(5, 0), (5, 0), (0, 0), (5, 0), (0, 0), (0, 1)] {
        world.server.stop_serving(at);
        world.server.serve(at, script(octets));
        let before = world.server.accepted().len();
        let client = world.client.connect(world.addresses.service(), script(10));
        world.run_until(MINUTE, |world| {
            let accepted = world.server.accepted().get(before).copied();
            accepted.is_some_and(|end| world.server.end(end).received() == 10)
                && world.client.end(client).received() == octets
        });
        let end = world.server.accepted()[before];
        world.server.abort(end);
        world.run_until(MINUTE, |world| world.sessions() == 0);
        assert_eq!(world.count(Event::BackendEjections), ejections);
    }
}

/// Each backend is checked by one worker, and all know what it found.
fn workers_share_the_work_and_the_result(variant: Variant) {
    let setup = setup(variant, 3, TCP_CHECK).workers(2, SpreadBy::Toeplitz);
    let mut world = World::new(&setup);
    for index in 0..3 {
        serve(&mut world, index);
    }
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.count_of(0, Event::HealthChecks), 2);
    assert_eq!(world.count_of(1, Event::HealthChecks), 1);
    assert_eq!(world.count(Event::HandedOver), 0);
    stop(&mut world, 1);
    world.run_until(MINUTE, |world| world.count_of(1, Event::BackendsDown) == 1);
    assert!(
        clients(&mut world, 30)
            .iter()
            .all(|backend| *backend != Some(1))
    );
    let served = [0, 1].map(|worker| world.count_of(worker, Event::SessionsOpened));
    assert!(served.iter().all(|count| *count > 0), "{served:?}");
    assert_eq!(world.count(Event::SessionsRetried), 0);
}

fn new_weights_and_drains_are_obeyed(variant: Variant) {
    let mut world = World::new(&setup(variant, 2, ""));
    serve(&mut world, 0);
    serve(&mut world, 1);
    // A session that was there before goes on.
    let script = Script::sends(1000).closes(Close::WhenTold);
    let client = world.client.connect(world.addresses.service(), script);
    world.run_until(MINUTE, |world| world.client.end(client).received() == 1000);
    world.set_backend(0, Setting::Drain(true));
    world.run_for(Duration::from_millis(1));
    assert_eq!(clients_beside(&mut world, 4), [Some(1); 4]);
    world.set_backend(0, Setting::Drain(false));
    world.set_backend(0, Setting::Weight(3));
    world.run_for(Duration::from_millis(1));
    let served = clients_beside(&mut world, 8);
    assert_eq!(
        served.iter().filter(|backend| **backend == Some(0)).count(),
        6
    );
    world.client.end_mut(client).send_more(1000);
    world.client.end_mut(client).close();
    world.settle(MINUTE);
    check_whole(&world, client, 2000, 1000);
}

/// As [`clients`], beside one session that goes on.
fn clients_beside(world: &mut World, count: usize) -> Vec<Option<usize>> {
    for _ in 0..count {
        let client = connect(world);
        world.run_until(MINUTE, |world| {
            world.sessions() == 1 && { world.client.end(client).ending().is_some() }
        });
    }
    let backends = world.reports().into_iter();
    backends
        .map(|report| report.backend.map(BackendId::index))
        .collect()
}

/// Checks do not keep a worker from ending, nor does one that is going on.
fn draining_ends_checks(variant: Variant) {
    let mut world = World::new(&setup(variant, 2, TCP_CHECK));
    serve(&mut world, 0);
    let port = world.addresses.backend(1).port();
    world.server.ignore_port(port);
    world.run_for(Duration::from_millis(1100));
    assert!(world.connections() > 0);
    world.drain(Duration::from_secs(10));
    world.run_until(Duration::from_secs(1), World::is_finished);
    let checks = world.count(Event::HealthChecks);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.count(Event::HealthChecks), checks);
    world.settle(MINUTE);
}

weirgate_tests::on_all_variants!(
    refused_then_served_by_others_then_back,
    silent_then_back,
    nobody_is_there,
    answers_of_http_decide,
    checks_announce_themselves,
    what_is_expected_comes_or_not,
    an_endless_answer_is_cut_off,
    sessions_that_fail_eject,
    resets_before_the_first_octet_eject,
    workers_share_the_work_and_the_result,
    new_weights_and_drains_are_obeyed,
    draining_ends_checks,
);
