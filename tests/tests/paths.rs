//! Weirgate's native TCP beside that of Linux over a few bad paths, and whether the paths are what
//! they claim to be. The whole table is a benchmark: `cargo xtask bench paths`.

use std::time::Duration;

use netstack::io::impair::{Bottleneck, Impairment};
use weirgate_tests::paths::{Bed, Cell, Line, Loss, Stack, Transfer, Way};
use weirgate_tests::rig::{Family, PEER_V4, PathImpairment, Weirgate, can_run};

/// The place, or `None` if the test cannot run here; says why.
fn bed() -> Option<Bed> {
    if !can_run() {
        return None;
    }
    match Weirgate::program() {
        Ok(program) => Some(Bed::start(&program).expect("the rig starts")),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

#[test]
fn the_path_is_as_long_and_as_narrow_as_stated() {
    let Some(bed) = bed() else {
        return;
    };
    let long = Impairment {
        delay: Duration::from_millis(30),
        ..Impairment::default()
    };
    bed.change_path(PathImpairment::both_ways(1, long));
    let ping = format!("ping -c 20 -i 0.05 -q {PEER_V4}");
    let text = bed.topology().client.exec(&ping).unwrap();
    let counters = bed.change_path(PathImpairment::default());
    let least = least_round_trip(&text);
    assert!((60.0..63.0).contains(&least), "{text}");
    assert!(counters.towards_near.frames >= 20, "{counters:?}");

    let narrow = Impairment {
        bottleneck: Some(Bottleneck {
            rate: 20_000_000,
            queue: 100_000,
        }),
        ..long
    };
    let transfer = Transfer {
        family: Family::V4,
        way: Way::Download,
        flows: 1,
        octets: u64::MAX,
        patience: Duration::from_secs(4),
    };
    let path = PathImpairment::both_ways(1, narrow);
    let (outcome, counters) = bed
        .measure(path, &[Stack::Linux("cubic")], &transfer)
        .unwrap();
    // Headers take 66 octets of 1514.
    let most = 20.0 * 1448.0 / 1514.0;
    let goodput = outcome.goodput();
    assert!(goodput <= most * 1.01 && goodput > most * 0.6, "{goodput}");
    assert!(counters.towards_near.queue_full > 0, "{counters:?}");
    assert_eq!((counters.towards_near.lost, counters.refused), (0, 0));
}

#[test]
fn the_native_engine_keeps_up_with_linux_on_bad_paths() {
    let Some(bed) = bed() else {
        return;
    };
    let good = Cell::new(20);
    let lossy = Cell {
        loss: Loss::Random(10_000),
        ..good.clone()
    };
    let reordering = Cell {
        reordered: 50_000,
        ..good.clone()
    };
    let narrow = Cell {
        line: Line::narrow(30, 20, 100),
        ..good
    };
    keeps_up(&bed, &lossy, Way::Download);
    keeps_up(&bed, &lossy, Way::Upload);
    keeps_up(&bed, &reordering, Way::Download);
    keeps_up(&bed, &narrow, Way::Download);
}

/// Asserts that in one of three rounds the native engine has seven tenths of what Linux has: on a
/// busy machine one round alone may say anything.
fn keeps_up(bed: &Bed, cell: &Cell, way: Way) {
    let mut seen = Vec::new();
    for seed in 1..=3 {
        let goodput = |stack| {
            let outcome = cell.measure(bed, stack, way, seed, Duration::from_secs(3));
            outcome.unwrap().goodput()
        };
        let (linux, native) = (
            goodput(Stack::Linux("cubic")),
            goodput(Stack::Native("cubic")),
        );
        println!("{cell:?} {way:?}: Linux {linux:.1}, native {native:.1} Mbit/s");
        if native >= 0.7 * linux {
            return;
        }
        seen.push((linux, native));
    }
    panic!("{cell:?} {way:?}: (Linux, native) {seen:?} Mbit/s");
}

/// The least round-trip time of a summary of ping, in milliseconds.
fn least_round_trip(text: &str) -> f64 {
    let numbers = text.split(" = ").nth(1).unwrap_or_default();
    let least = numbers.split('/').next().unwrap_or_default();
    least
        .parse()
        .unwrap_or_else(|_| panic!("no round trips: {text}"))
}
