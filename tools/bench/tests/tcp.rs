//! The benchmarks' scripts, tiny: whether the worker does what is then measured.

use bench::tcp::bulk::Bulk;
use bench::tcp::flood::{Flood, Flooded};
use bench::tcp::request_response::RequestResponse;
use bench::tcp::rig::{Offload, Rig, Setup};
use bench::tcp::short_connections::ShortConnections;
use netstack::counters::Event;
use netstack::tcp::EngineKind::{self, Native, Smoltcp};

const CLIENTS: u32 = 50;

fn rig(engine: EngineKind, ring: usize) -> Rig {
    Rig::new(Setup {
        engine,
        offload: Offload::None,
        ring,
        max_sessions: 100,
        clients: 4 * CLIENTS,
    })
}

#[test]
fn requests_are_answered() {
    for engine in [Native, Smoltcp] {
        let mut rig = rig(engine, 2 << 10);
        let mut script = RequestResponse::connect(&mut rig, CLIENTS);
        assert_eq!(rig.worker().connections(), 2 * CLIENTS as usize);
        script.round(&mut rig, 20 * u64::from(CLIENTS));
        script.round(&mut rig, 1);
        assert_eq!(rig.worker().sessions(), CLIENTS as usize);
    }
}

#[test]
fn short_connections_end_and_leave_nothing() {
    for engine in [Native, Smoltcp] {
        let mut rig = rig(engine, 16 << 10);
        let mut script = ShortConnections::default();
        script.round(&mut rig, 2 * CLIENTS);
        script.round(&mut rig, 2 * CLIENTS);
        assert_eq!(rig.worker().sessions(), 0);
        assert_eq!(rig.worker().connections(), 0);
    }
}

#[test]
fn downloads_arrive_whole() {
    for engine in [Native, Smoltcp] {
        for ring in [2 << 10, 64 << 10] {
            let mut rig = rig(engine, ring);
            let mut script = Bulk::connect(&mut rig);
            let (octets, _) = script.round(&mut rig, 4 << 20);
            assert!(octets >= 4 << 20);
        }
    }
}

#[test]
fn downloads_go_on_in_a_flood() {
    let mut rig = Rig::new(Setup {
        engine: Native,
        offload: Offload::None,
        ring: 64 << 10,
        // More than the backlog, or it is the sessions that run out.
        max_sessions: 10_000,
        clients: 4 * CLIENTS,
    });
    let script = Bulk::connect(&mut rig);
    Flood::round(&mut rig, 1 << 12);
    let counters = rig.worker().counters();
    // The backlog takes a quarter of them, and the last are still on their way.
    let cookies = counters.event(Event::TcpCookiesSent);
    assert!(cookies + 64 >= 3 << 10, "{cookies}");
    let before = counters.event(Event::TcpCookiesSent);
    let (octets, syns, _) = Flooded::new(script).round(&mut rig, 4 << 20);
    assert!(octets >= 4 << 20 && syns > 1000);
    let cookies = rig.worker().counters().event(Event::TcpCookiesSent);
    assert!(cookies - before >= syns - 64);
}
