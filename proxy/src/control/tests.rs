use std::io;
use std::sync::Mutex;

use super::*;
use crate::config::{BackendGroupId, LogConfig};
use crate::l7::backend_pool::BackendId;
use crate::termination::Cause;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the log says of a change of the first backend of a group of the example.
fn logged(group: usize, change: Change) -> String {
    let example = include_str!("../../examples/weirgate.toml");
    let (config, _) = Config::parse(example, Path::new("w.toml")).unwrap();
    let report = HealthReport {
        worker: 1,
        group: BackendGroupId(group),
        backend: BackendId::new(0),
        change,
    };
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = crate::log::subscriber(&LogConfig::default(), move || writer.clone());
    tracing::subscriber::with_default(subscriber, || log_health(&config, &report));
    let octets = lines.0.lock().unwrap().clone();
    String::from_utf8(octets).unwrap()
}

#[test]
fn a_backend_that_comes_or_goes_is_named_with_the_reason() {
    let down = |reason| Change::Down {
        reason,
        in_a_row: 3,
        checks: 12,
    };
    let up = Change::Up {
        in_a_row: 2,
        checks: 20,
    };
    let ejected = Change::Ejected {
        reason: Cause::Refused,
        in_a_row: 5,
        time: Duration::from_secs(10),
    };
    for (group, change, parts) in [
        (
            0,
            down(Failure::Status(503)),
            &[
                " WARN ",
                "backend is down group=\"nginx\" backend=\"n1\"",
                "address=198.51.100.10:8080 worker=1",
                "reason=\"status 503\" failures=3 checks=12",
            ][..],
        ),
        (0, down(Failure::Refused), &["\"connection refused\""]),
        (0, down(Failure::NotAnswered), &["\"timed out while"]),
        (
            1,
            down(Failure::Unexpected),
            &["reason=\"expected \\\"250\\\"\""],
        ),
        (0, up, &[" INFO ", "backend is up", "successes=2 checks=20"]),
        (
            0,
            ejected,
            &[
                " WARN ",
                "backend is ejected",
                "reason=\"refused\" failures=5 seconds=10",
            ],
        ),
        (0, Change::Returned, &[" INFO ", "backend is tried again"]),
    ] {
        let line = logged(group, change);
        for part in parts {
            assert!(line.contains(part), "{part:?} is missing: {line}");
        }
    }
}

#[test]
fn a_warning_is_repeated_only_after_a_while_and_only_for_news() {
    let mut seen = Seen::default();
    let start = Instant::now();
    assert_eq!(seen.growth(start, 0), None);
    assert_eq!(seen.growth(start, 5), Some(5));
    assert_eq!(seen.growth(start + Duration::from_secs(1), 7), None);
    let later = start + WARNING_INTERVAL;
    assert_eq!(seen.growth(later, 7), Some(2));
    assert_eq!(seen.growth(later + WARNING_INTERVAL, 7), None);
}
