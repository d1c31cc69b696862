//! Tables of cases, and how one is run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use netstack::counters::Counters;
use netstack::tcp::EngineKind;
use weirgate_tests::station::sent::describe;
use weirgate_tests::station::{ENGINES, Station};

/// One row.
pub(crate) struct Case {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    sent: Vec<String>,
    counters: BTreeMap<String, u64>,
    /// What the native engine sends and counts, if that is something else.
    native: Option<(Vec<String>, BTreeMap<String, u64>)>,
}

impl Case {
    /// With the native engine, this is what is sent and counted.
    pub(crate) fn natively(self, sent: &[&str], counters: &[(&str, u64)]) -> Self {
        let Self { sent, counters, .. } = case(self.name, Vec::new(), sent, counters);
        Self {
            native: Some((sent, counters)),
            ..self
        }
    }
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
        native: None,
    }
}

/// A row for one frame that is dropped without an answer.
pub(crate) fn dropped(name: &'static str, frame: Vec<u8>, counter: &str) -> Case {
    case(name, vec![frame], &[], &[(counter, 1)])
}

/// Runs all rows with both engines, then fails if any did.
#[track_caller]
pub(crate) fn run(cases: Vec<Case>) {
    let mut failures = String::new();
    for case in cases {
        for engine in ENGINES {
            let mut station = Station::acquainted_with(engine);
            check(&mut station, &case, &mut failures);
            station.finish();
        }
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
    let (expected_sent, counters) = match (&case.native, station.engine()) {
        (Some((sent, counters)), EngineKind::Native) => (sent, counters),
        _ => (&case.sent, &case.counters),
    };
    let mut expected = counters.clone();
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
    if described != *expected_sent || moved != expected {
        let text = format!(
            "{}, {engine:?}:\n  sent     {described:#?}\n  expected {:#?}\n  moved    {moved:?}\n  expected {expected:?}\n",
            case.name,
            expected_sent,
            engine = station.engine(),
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
