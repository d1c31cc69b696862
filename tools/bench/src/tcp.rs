//! The TCP proxy: one worker, one port, IPv4, checksums in software.
//!
//! | figure | what is done |
//! |--------|--------------|
//! | `rr_1k_ns`, `rr_100k_ns` | [`request_response`] among so many connections; rings of 2 KiB |
//! | `connect_request_close_ns` | [`short_connections`]; rings of 16 KiB |
//! | `connect_request_close_64k_ns` | the same with rings of 64 KiB, which is the default |
//! | `bulk_gbit_s` | [`bulk`]: payload delivered; rings of 256 KiB |
//! | `idle_bytes_per_half` | 100,000 connections that were made and left alone; rings of 2 KiB |
//!
//! Times are those inside the worker, over as much work; the median of some rounds. The worker
//! gets up to 32 frames a turn. Whether the allocator uses huge pages makes a difference with many
//! connections; `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` lets it, as `cargo xtask bench` does. Memory is what the process grew by while the worker was made and
//! the clients connected, tables included, without the peers' part.

pub mod bulk;
pub mod frame;
pub mod message;
pub mod peer;
pub mod request_response;
pub mod rig;
pub mod short_connections;

use std::io;

use self::bulk::Bulk;
use self::request_response::RequestResponse;
use self::rig::{Rig, Setup, Stopwatch};
use self::short_connections::ShortConnections;
use crate::memory;
use crate::report::{Better, Figure, Report};

/// Measured rounds of each benchmark; one more goes before.
const ROUNDS: u32 = 5;

/// Requests of a round.
const REQUESTS: u64 = 100_000;

/// Connections of a round.
const SESSIONS: u32 = 10_000;

/// Octets delivered in a round.
const BULK: u64 = 256 << 20;

/// The smallest ring that may be configured.
const SMALL_RING: usize = 2 << 10;

/// Runs all of it.
pub fn run() -> io::Result<Report> {
    let mut report = Report::default();
    few_and_many(&mut report)?;
    let what = "ns a connection of one request";
    let short = short("connect_request_close_ns", what, 16 << 10);
    report.add(short.aiming(Better::Less, 10_000.0));
    let what = "the same with rings of 64 KiB";
    report.add(self::short("connect_request_close_64k_ns", what, 64 << 10));
    report.add(downloads());
    Ok(report)
}

/// Requests among few and among many connections, and what many connections occupy.
fn few_and_many(report: &mut Report) -> io::Result<()> {
    const FEW: u32 = 1_000;
    const MANY: u32 = 100_000;
    let setup = Setup {
        ring: SMALL_RING,
        max_sessions: MANY as usize,
        clients: MANY,
    };
    // First, because memory that was used and given back would not be counted.
    let before = memory::resident()?;
    let mut rig = Rig::new(setup);
    let peers = rig.touch_peers()?;
    let mut script = RequestResponse::connect(&mut rig, MANY);
    let occupied = memory::resident()?.saturating_sub(before + peers);
    let half = quotient(occupied as u128, u128::from(2 * MANY));
    let what = "octets of memory a connection half, idle";
    let idle = Figure::of_rounds("idle_bytes_per_half", what, vec![half]);
    report.add(idle.aiming(Better::Less, 6.0 * 1024.0));
    let names = ["rr_100k_ns", "rr_100k_turn_p99_ns"];
    let (many, many_tail) = requests(&mut rig, &mut script, names);
    drop(rig);

    let mut rig = Rig::new(setup);
    let mut script = RequestResponse::connect(&mut rig, FEW);
    let names = ["rr_1k_ns", "rr_1k_turn_p99_ns"];
    let (few, few_tail) = requests(&mut rig, &mut script, names);
    let ratio = vec![many.value / few.value];
    let ratio = Figure::of_rounds("rr_ratio", "rr_100k_ns / rr_1k_ns", ratio);
    report.add(few.aiming(Better::Less, 2_500.0));
    report.add(few_tail);
    report.add(many.aiming(Better::Less, 6_000.0));
    report.add(many_tail);
    report.add(ratio.aiming(Better::Less, 2.5));
    Ok(())
}

/// Rounds of requests: time a request, and the 99th percentile of a turn.
fn requests(
    rig: &mut Rig,
    script: &mut RequestResponse,
    [request, turn]: [&'static str; 2],
) -> (Figure, Figure) {
    rig.keep_turns(REQUESTS as usize);
    script.round(rig, REQUESTS);
    let mut times = Vec::new();
    let mut tails = Vec::new();
    for _ in 0..ROUNDS {
        let mut watch = script.round(rig, REQUESTS);
        times.push(nanos_each(&watch, REQUESTS));
        watch.turns.sort_unstable();
        let tail = watch.turns[watch.turns.len() * 99 / 100];
        tails.push(f64::from(tail));
    }
    (
        Figure::of_rounds(request, "ns a request and response", times),
        Figure::of_rounds(turn, "ns of a turn, 99th percentile", tails),
    )
}

fn short(name: &'static str, what: &'static str, ring: usize) -> Figure {
    let mut rig = Rig::new(Setup {
        ring,
        max_sessions: 10_000,
        clients: (ROUNDS + 1) * SESSIONS,
    });
    let mut script = ShortConnections::default();
    script.round(&mut rig, SESSIONS);
    let rounds = (0..ROUNDS)
        .map(|_| nanos_each(&script.round(&mut rig, SESSIONS), SESSIONS.into()))
        .collect();
    Figure::of_rounds(name, what, rounds)
}

fn downloads() -> Figure {
    let mut rig = Rig::new(Setup {
        ring: 256 << 10,
        max_sessions: bulk::DOWNLOADS as usize,
        clients: bulk::DOWNLOADS,
    });
    let mut script = Bulk::connect(&mut rig);
    script.round(&mut rig, BULK);
    let rounds = (0..ROUNDS)
        .map(|_| {
            let (octets, watch) = script.round(&mut rig, BULK);
            quotient(u128::from(octets) * 8, watch.busy.as_nanos())
        })
        .collect();
    Figure::of_rounds("bulk_gbit_s", "Gbit/s of payload delivered", rounds)
        .aiming(Better::More, 8.0)
}

fn nanos_each(watch: &Stopwatch, count: u64) -> f64 {
    quotient(watch.busy.as_nanos(), count.into())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds and octets of minutes are far from 2^52"
)]
fn quotient(dividend: u128, divisor: u128) -> f64 {
    dividend as f64 / divisor as f64
}
