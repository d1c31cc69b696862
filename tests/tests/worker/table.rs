//! Tables of cases, and how one is run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use netstack::counters::Counters;
use weirgate_tests::station::Station;
use weirgate_tests::station::sent::describe;

/// One row.
pub(crate) struct Case {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    sent: Vec<String>,
    counters: BTreeMap<String, u64>,
}

/// A row: `frames` arrive in one turn; in that turn the worker sends what `sent` describes and
/// moves `counters` by so much, and no other. Frames and octets received and sent, and turns, are
/// not to be named: they follow.
pub(crate) fn case(
    name: &'static str,
    frames: Vec<Vec<u8>>,
    sent: &[&str],
    counters: &[(&str, u64)],
) -> Case {
    Case {
        name,
        frames,
        sent: sent.iter().map(ToString::to_string).collect(),
        counters: counters
            .iter()
            .map(|(name, moved)| (name.to_string(), *moved))
            .collect(),
    }
}

/// A row for one frame that is dropped without an answer.
pub(crate) fn dropped(name: &'static str, frame: Vec<u8>, counter: &str) -> Case {
    case(name, vec![frame], &[], &[(counter, 1)])
}

/// Runs all rows, then fails if any did.
#[track_caller]
pub(crate) fn run(cases: Vec<Case>) {
    let mut failures = String::new();
    for case in cases {
        let mut station = Station::acquainted();
        check(&mut station, &case, &mut failures);
        station.finish();
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// Runs rows one after the other on one station.
#[track_caller]
pub(crate) fn run_in_a_row(station: &mut Station, cases: Vec<Case>) {
    let mut failures = String::new();
    for case in cases {
        check(station, &case, &mut failures);
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn check(station: &mut Station, case: &Case, failures: &mut String) {
    let before = snapshot(station.counters(0));
    let mut expected = case.counters.clone();
    let mut add = |name: &str, amount: usize| {
        if amount != 0 {
            *expected.entry(name.to_owned()).or_default() += amount as u64;
        }
    };
    for frame in &case.frames {
        station.inject(frame);
    }
    let octets = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).sum();
    add("rx_frames", case.frames.len());
    add("rx_bytes", octets(&case.frames));
    add("turns", 1);
    station.turn();
    let sent = station.take_sent();
    add("tx_frames", sent.len());
    add("tx_bytes", octets(&sent));
    let described: Vec<String> = sent.iter().map(|frame| describe(frame)).collect();
    let moved = moved(&before, station.counters(0));
    if described != case.sent || moved != expected {
        let text = format!(
            "{}:\n  sent     {described:#?}\n  expected {:#?}\n  moved    {moved:?}\n  expected {expected:?}\n",
            case.name, case.sent
        );
        failures.write_str(&text).unwrap();
    }
}

/// All counters that are not zero.
pub(crate) fn snapshot(counters: &Counters) -> BTreeMap<String, u64> {
    counters.non_zero().into_iter().collect()
}

/// By how much each counter moved that did; gauges may go down, which is no case of these tables.
fn moved(before: &BTreeMap<String, u64>, counters: &Counters) -> BTreeMap<String, u64> {
    let mut after = snapshot(counters);
    for (name, value) in before {
        let now = after.entry(name.clone()).or_default();
        *now = now
            .checked_sub(*value)
            .unwrap_or_else(|| panic!("{name} went down"));
    }
    after.retain(|_, moved| *moved != 0);
    after
}
