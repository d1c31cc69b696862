//! No allocation per packet: counted over rounds of the benchmarks, worker and peers together.
//!
//! In a program of its own, because all threads of a program allocate from one allocator; and in
//! one test, because tests run at the same time.

use std::alloc::System;

use bench::tcp::bulk::Bulk;
use bench::tcp::request_response::RequestResponse;
use bench::tcp::rig::{Offload, Rig, Setup};
use netstack::tcp::EngineKind;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CLIENTS: u32 = 50;

/// How often `act` asks for memory.
fn allocations(act: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    act();
    let change = region.change();
    change.allocations + change.reallocations
}

fn rig(engine: EngineKind, ring: usize) -> Rig {
    Rig::new(Setup {
        engine,
        offload: Offload::None,
        ring,
        max_sessions: 100,
        clients: CLIENTS,
    })
}

/// Allocations in 2,000 requests, and in 8 MiB of downloads, once both are under way.
fn of_packets(engine: EngineKind) -> (usize, usize) {
    let mut requests = rig(engine, 16 << 10);
    let mut script = RequestResponse::connect(&mut requests, CLIENTS);
    script.round(&mut requests, 2_000);
    let asking = allocations(|| {
        script.round(&mut requests, 2_000);
    });
    let mut downloads = rig(engine, 64 << 10);
    let mut script = Bulk::connect(&mut downloads);
    script.round(&mut downloads, 8 << 20);
    let loading = allocations(|| {
        script.round(&mut downloads, 8 << 20);
    });
    (asking, loading)
}

#[test]
fn packets_of_connections_that_are_there_allocate_nothing() {
    let mut connecting_rig = rig(EngineKind::Smoltcp, 16 << 10);
    let connecting = allocations(|| {
        RequestResponse::connect(&mut connecting_rig, CLIENTS);
    });
    assert!(connecting > 4 * CLIENTS as usize, "rings are allocated");
    assert_eq!(of_packets(EngineKind::Smoltcp), (0, 0));
    let (asking, loading) = of_packets(EngineKind::Native);
    assert_eq!(asking, 0, "in 2,000 requests");
    // Queues grow with what is in flight, and give their memory back when they are empty.
    let segments = (8 << 20) / 1448;
    assert!(loading < segments / 10, "{loading} in {segments} segments");
}
