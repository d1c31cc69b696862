//! The TCP proxy: one worker, one port, IPv4, checksums in software.
//!
//! Each figure is there for both engines, with the prefix `native_` or `smoltcp_`; the plain name is
//! the default engine's.
//!
//! | figure | what is done |
//! |--------|--------------|
//! | `rr_1k_ns`, `rr_100k_ns` | [`request_response`] among so many connections; rings of 2 KiB |
//! | `connect_request_close_ns` | [`short_connections`]; rings of 16 KiB |
//! | `smoltcp_connect_request_close_64k_ns` | the same with rings of 64 KiB, which is the default |
//! | `bulk_gbit_s` | [`bulk`]: payload delivered; rings of 256 KiB; checksums in software |
//! | `bulk_offload_gbit_s` | the same on a port that checks, sums and cuts segments |
//! | `flood_syn_ns` | [`flood`]: a SYN that is answered by a cookie, and forgotten; native engine only |
//! | `flood_bulk_ratio` | downloads and a flood in the same turns, over the time that both take alone |
//! | `idle_bytes_per_half` | 100,000 connections that were made and left alone; rings of 2 KiB |
//!
//! The rings are smoltcp's only.
//!
//! Times are those inside the worker, over as much work; the median of some rounds. The worker
//! gets up to a whole burst a turn. Whether the allocator uses huge pages makes a difference with many
//! connections; `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` lets it, as `cargo xtask bench` does. Memory is what the process grew by while the worker was made and
//! the clients connected, tables included, without the peers' part.

pub mod bulk;
pub mod flood;
pub mod frame;
pub mod message;
pub mod peer;
pub mod request_response;
pub mod rig;
pub mod short_connections;

use std::io;

use self::bulk::Bulk;
use self::flood::{Flood, Flooded};
use self::request_response::RequestResponse;
use netstack::tcp::EngineKind;

use self::rig::{Offload, Rig, Setup, Stopwatch};
use self::short_connections::ShortConnections;
use crate::report::{Better, Figure, Report};

/// Measured rounds of each benchmark; one more goes before.
const ROUNDS: u32 = 5;

/// Requests of a round.
const REQUESTS: u64 = 100_000;

/// Connections of a round.
const SESSIONS: u32 = 10_000;

/// SYNs of a round.
const SYNS: usize = 1 << 17;

/// Octets delivered in a round.
const BULK: u64 = 256 << 20;

/// The smallest ring that may be configured.
const SMALL_RING: usize = 2 << 10;

/// Runs what `wanted` says, by the names of the figures.
pub fn run(wanted: &dyn Fn(&str) -> bool) -> io::Result<Report> {
    let mut report = Report::default();
    for engine in [EngineKind::Native, EngineKind::Smoltcp] {
        let bench = Bench { engine, wanted };
        bench.run(&mut report)?;
    }
    Ok(report)
}

/// The benchmarks of one engine.
struct Bench<'w> {
    engine: EngineKind,
    wanted: &'w dyn Fn(&str) -> bool,
}

impl Bench<'_> {
    fn run(&self, report: &mut Report) -> io::Result<()> {
        if self.wants("rr") || self.wants("idle") {
            self.few_and_many(report)?;
        }
        if self.wants("connect") {
            let what = "ns a connection of one request";
            let short = short(self.engine, what, 16 << 10);
            self.add(
                report,
                "connect_request_close_ns",
                &short.aiming(Better::Less, 5_000.0),
            );
            if self.engine == EngineKind::Smoltcp {
                let what = "the same with rings of 64 KiB";
                let figure = self::short(self.engine, what, 64 << 10);
                self.add(report, "connect_request_close_64k_ns", &figure);
            }
        }
        if self.wants("bulk") {
            let figure = downloads(self.engine, Offload::None);
            self.add(report, "bulk_gbit_s", &figure.aiming(Better::More, 20.0));
            let figure = downloads(self.engine, Offload::ChecksumsAndSegmentation);
            self.add(
                report,
                "bulk_offload_gbit_s",
                &figure.aiming(Better::More, 60.0),
            );
        }
        if self.engine == EngineKind::Native && self.wants("flood") {
            let (syn, ratio) = floods();
            self.add(report, "flood_syn_ns", &syn);
            self.add(report, "flood_bulk_ratio", &ratio.aiming(Better::Less, 1.1));
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        (self.wanted)(&format!("{}_{name}", prefix(self.engine)))
    }

    /// Adds a figure under the engine's name, and under the plain one if it is the default.
    fn add(&self, report: &mut Report, name: &str, figure: &Figure) {
        let named = |name: String| Figure {
            name,
            ..figure.clone()
        };
        report.add(named(format!("{}_{name}", prefix(self.engine))));
        if self.engine == EngineKind::default() {
            report.add(named(name.to_owned()));
        }
    }

    /// Requests among few and among many connections, and what many connections occupy.
    fn few_and_many(&self, report: &mut Report) -> io::Result<()> {
        const FEW: u32 = 1_000;
        const MANY: u32 = 100_000;
        let setup = Setup {
            engine: self.engine,
            offload: Offload::None,
            ring: SMALL_RING,
            max_sessions: MANY as usize,
            clients: MANY,
        };
        // First, because memory that was used and given back would not be counted.
        let mut rig = Rig::new(setup);
        let mut script = RequestResponse::connect(&mut rig, MANY);
        let occupied = rig.occupied()?;
        let half = quotient(occupied as u128, u128::from(2 * MANY));
        let idle = Figure::of_rounds("", "octets of memory a connection half, idle", vec![half]);
        self.add(
            report,
            "idle_bytes_per_half",
            &idle.aiming(Better::Less, 600.0),
        );
        let (many, many_tail) = requests(&mut rig, &mut script);
        drop(rig);

        let mut rig = Rig::new(setup);
        let mut script = RequestResponse::connect(&mut rig, FEW);
        let (few, few_tail) = requests(&mut rig, &mut script);
        let ratio = vec![many.value / few.value];
        let ratio = Figure::of_rounds("", "rr_100k_ns / rr_1k_ns", ratio);
        self.add(report, "rr_1k_ns", &few.aiming(Better::Less, 1_200.0));
        self.add(report, "rr_1k_turn_p99_ns", &few_tail);
        self.add(report, "rr_100k_ns", &many.aiming(Better::Less, 3_000.0));
        self.add(report, "rr_100k_turn_p99_ns", &many_tail);
        self.add(report, "rr_ratio", &ratio.aiming(Better::Less, 2.5));
        Ok(())
    }
}

/// What the names of an engine's figures begin with.
fn prefix(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Native => "native",
        EngineKind::Smoltcp => "smoltcp",
    }
}

/// Rounds of requests: time a request, and the 99th percentile of a turn.
fn requests(rig: &mut Rig, script: &mut RequestResponse) -> (Figure, Figure) {
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
        Figure::of_rounds("", "ns a request and response", times),
        Figure::of_rounds("", "ns of a turn, 99th percentile", tails),
    )
}

fn short(engine: EngineKind, what: &'static str, ring: usize) -> Figure {
    let mut rig = Rig::new(Setup {
        engine,
        offload: Offload::None,
        ring,
        max_sessions: 10_000,
        clients: (ROUNDS + 1) * SESSIONS,
    });
    let mut script = ShortConnections::default();
    script.round(&mut rig, SESSIONS);
    let rounds = (0..ROUNDS)
        .map(|_| nanos_each(&script.round(&mut rig, SESSIONS), SESSIONS.into()))
        .collect();
    Figure::of_rounds("", what, rounds)
}

fn downloads(engine: EngineKind, offload: Offload) -> Figure {
    let mut rig = Rig::new(Setup {
        engine,
        offload,
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
    Figure::of_rounds("", "Gbit/s of payload delivered", rounds)
}

/// Nanoseconds of a SYN, and what a flood costs downloads beyond its own time.
fn floods() -> (Figure, Figure) {
    let mut rig = Rig::new(Setup {
        engine: EngineKind::Native,
        offload: Offload::None,
        ring: 256 << 10,
        max_sessions: 10_000,
        clients: bulk::DOWNLOADS,
    });
    let mut script = Bulk::connect(&mut rig);
    Flood::round(&mut rig, SYNS);
    script.round(&mut rig, BULK);
    let mut script = Flooded::new(script);
    let (mut each, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let syn = nanos_each(&Flood::round(&mut rig, SYNS), SYNS as u64);
        let (octets, watch) = script.bulk.round(&mut rig, BULK);
        let octet = nanos_each(&watch, octets);
        let (octets, syns, watch) = script.round(&mut rig, BULK);
        let alone = syn * quotient(syns.into(), 1) + octet * quotient(octets.into(), 1);
        each.push(syn);
        ratios.push(quotient(watch.busy.as_nanos(), 1) / alone);
    }
    (
        Figure::of_rounds("", "ns a SYN that gets a cookie", each),
        Figure::of_rounds("", "downloads in a flood, over both alone", ratios),
    )
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
