//! No allocation per packet: counted over rounds of the benchmarks, worker and peers together.
//!
//! In a program of its own, because all threads of a program allocate from one allocator; and in
//! one test, because tests run at the same time.

use std::alloc::System;

use bench::tcp::bulk::Bulk;
use bench::tcp::request_response::RequestResponse;
use bench::tcp::rig::{Rig, Setup};
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

#[test]
fn packets_of_connections_that_are_there_allocate_nothing() {
    let mut rig = Rig::new(Setup {
        ring: 16 << 10,
        max_sessions: 100,
        clients: CLIENTS,
    });
    let connecting = allocations(|| {
        RequestResponse::connect(&mut rig, CLIENTS);
    });
    assert!(connecting > 4 * CLIENTS as usize, "rings are allocated");

    let mut rig = Rig::new(Setup {
        ring: 16 << 10,
        max_sessions: 100,
        clients: CLIENTS,
    });
    let mut script = RequestResponse::connect(&mut rig, CLIENTS);
    script.round(&mut rig, 2_000);
    let asking = allocations(|| {
        script.round(&mut rig, 2_000);
    });
    assert_eq!(asking, 0, "in 2,000 requests");

    let mut rig = Rig::new(Setup {
        ring: 64 << 10,
        max_sessions: 100,
        clients: CLIENTS,
    });
    let mut script = Bulk::connect(&mut rig);
    script.round(&mut rig, 8 << 20);
    let loading = allocations(|| {
        script.round(&mut rig, 8 << 20);
    });
    assert_eq!(loading, 0, "in 8 MiB");
}
