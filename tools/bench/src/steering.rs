//! Steering by software: what an lcore that receives for several workers spends on a packet.
//!
//! | figure | what is done |
//! |--------|--------------|
//! | `classify_ns` | a frame of mixed [`traffic`] is classified, in bursts of 32 |
//! | `toeplitz_v4_ns`, `toeplitz_v6_ns` | addresses and ports are hashed as a NIC does it |
//! | `handover_ns` | a packet goes into a worker's ring and out of it, in bursts of 32, on one core |
//! | `handover_two_cores_ns` | the same on each of two cores, which send all packets back and forth |
//! | `distribute_ns` | the stage `steer` gives a frame of one of 10,000 known flows to one of two workers |
//!
//! Times are those of a thread that does nothing else, over as much work; the median of some rounds.
//! Frames come in an order that does not repeat for long: a processor learns by heart what its
//! branches do in a short one. They are in a cache, as a NIC leaves them there.

pub mod distribute;
pub mod handover;
pub mod traffic;

use core::hint::black_box;
use std::io;
use std::time::Instant;

use flow_rules::plan::{CLASSIFY_NS, Class, HAND_OVER_NS};
use netstack::rss::Toeplitz;
use proxy::pipeline::classify::Classifier;

use self::traffic::Random;
use crate::report::{Better, Figure, Report};

/// Packets of a burst.
pub const BURST: usize = 32;

/// Measured rounds of each benchmark; one more goes before.
const ROUNDS: usize = 9;

/// Bursts of a round.
const BURSTS: usize = 1 << 14;

/// What a hash of IPv4 should cost at most.
const TOEPLITZ_NS: f64 = 8.0;

/// Runs what `wanted` says, by the names of the figures.
///
/// # Errors
/// If threads cannot be bound to CPUs.
pub fn run(wanted: &dyn Fn(&str) -> bool) -> io::Result<Report> {
    let mut report = Report::default();
    if wanted("classify_ns") {
        let figure = Figure::of_rounds("classify_ns", "ns to classify a frame", classify());
        report.add(figure.aiming(Better::Less, CLASSIFY_NS.into()));
    }
    if wanted("toeplitz_v4_ns") {
        let what = "ns to hash addresses and ports of IPv4";
        let figure = Figure::of_rounds("toeplitz_v4_ns", what, hash::<12>());
        report.add(figure.aiming(Better::Less, TOEPLITZ_NS));
    }
    if wanted("toeplitz_v6_ns") {
        let what = "ns to hash addresses and ports of IPv6";
        report.add(Figure::of_rounds("toeplitz_v6_ns", what, hash::<36>()));
    }
    if wanted("handover_ns") {
        let what = "ns to put a packet into a ring and take it out";
        let figure = Figure::of_rounds("handover_ns", what, handover::on_one_core(ROUNDS, BURSTS));
        report.add(figure.aiming(Better::Less, HAND_OVER_NS.into()));
    }
    if wanted("handover_two_cores_ns")
        && let Some(rounds) = handover::between_two_cores(ROUNDS, BURSTS)?
    {
        let what = "the same on each of two cores";
        report.add(Figure::of_rounds("handover_two_cores_ns", what, rounds));
    }
    if wanted("distribute_ns") {
        let what = "ns to distribute a packet of a known flow";
        let rounds = distribute::distribute(ROUNDS, BURSTS / 4);
        report.add(Figure::of_rounds("distribute_ns", what, rounds));
    }
    Ok(report)
}

/// Nanoseconds of a packet in each round; `round` is told which bursts to work on.
fn rounds(count: usize, bursts: usize, mut round: impl FnMut(usize)) -> Vec<f64> {
    (0..=count)
        .map(|_| {
            let start = Instant::now();
            (0..bursts).for_each(&mut round);
            per_packet(start, bursts * BURST)
        })
        .skip(1)
        .collect()
}

/// Nanoseconds since `start` for each of so many packets.
#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds and packets of seconds are far from 2^52"
)]
fn per_packet(start: Instant, packets: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / packets as f64
}

fn classify() -> Vec<f64> {
    let frames = traffic::mixed(256, &mut Random::new(1));
    let mut random = Random::new(2);
    let order: Vec<_> = (0..1 << 16).map(|_| random.below(frames.len())).collect();
    let (bursts, _) = order.as_chunks::<BURST>();
    let classifier = black_box(Classifier::default());
    let mut classes = [Class::Other; BURST];
    rounds(ROUNDS, BURSTS, |burst| {
        let burst = &bursts[burst % bursts.len()];
        let classified = burst.map(|frame| classifier.classify(&frames[frame]));
        for (class, classified) in classes.iter_mut().zip(black_box(classified)) {
            *class = classified.class;
        }
        black_box(&classes);
    })
}

fn hash<const OCTETS: usize>() -> Vec<f64> {
    let mut random = Random::new(3);
    let toeplitz = Toeplitz::new(&random.octets::<40>()).expect("the key is long enough");
    let inputs: Vec<[u8; OCTETS]> = (0..1 << 10).map(|_| random.octets()).collect();
    let (bursts, _) = inputs.as_chunks::<BURST>();
    let mut hashes = [0; BURST];
    rounds(ROUNDS, BURSTS, |burst| {
        let burst = &bursts[burst % bursts.len()];
        for (hash, input) in hashes.iter_mut().zip(burst) {
            *hash = toeplitz.hash_octets(input);
        }
        black_box(&hashes);
    })
}
