//! Goldens: captures go into `weirgate replay`, and captures and counters come out that are
//! compared to the octet.
//!
//! Each directory of `tests/goldens` is one: `config.toml`, `in.pcap` and `out.pcap`, and in
//! `counters.txt` what is printed. With several ports the captures carry their names:
//! `in-edge.pcap`.
//!
//! The inputs come from a generator: the worker of `weirgate run`, on links in memory and in
//! virtual time, with stations that follow a script at the other ends; a tap on each port writes
//! what passes in both directions. So an input also holds what the worker sent back then, and a
//! replay must send exactly that, at the same times, and count the same: this is what the tests
//! below check, and that the generator still writes the same captures.
//!
//! After a change that is meant to alter what is sent, `cargo xtask golden-update` writes all of
//! them anew; look at the difference before you commit it.

#![forbid(unsafe_code)]

mod captures;
mod cases;
mod frames;
mod link;
mod station;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use netstack::counters::Event;
use netstack::io::PacketIo as _;
use netstack::io::tap::Tap;
use netstack::time::Instant;
use proxy::assemble::{Queues, assemble};
use proxy::cli::{EXIT_OK, ReplayArgs};
use proxy::config::Config;
use proxy::config::quantity::TimeSpan;
use proxy::replay::{DEFAULT_LINGER, drive};
use proxy::secret::Secrets;

use crate::captures::{read, sent_by};
use crate::cases::{CASES, Case, MACS, START};

/// Set by `cargo xtask golden-update`.
const UPDATE: &str = "WEIRGATE_UPDATE_GOLDENS";

/// The seed of all goldens but those whose configuration has one.
const SEED: u64 = 0;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

impl Case {
    fn directory(&self) -> PathBuf {
        goldens().join(self.name)
    }

    fn config(&self) -> Config {
        let path = self.directory().join("config.toml");
        let (config, _) = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        config
    }

    /// The name of a port's capture.
    fn file_name(direction: &str, config: &Config, port: usize, extension: &str) -> String {
        match config.ports.as_slice() {
            [_] => format!("{direction}.{extension}"),
            ports => format!("{direction}-{}.{extension}", ports[port].name),
        }
    }

    fn input(&self, config: &Config, port: usize) -> PathBuf {
        let name = Self::file_name("in", config, port, self.format.extension());
        self.directory().join(name)
    }
}

/// What a live run left.
struct Recorded {
    /// The capture of each port, as a tap wrote it.
    captures: Vec<Vec<u8>>,
    counters: Vec<(String, u64)>,
}

/// Lets a worker and the stations of a case talk to each other.
fn record(case: &Case, config: &Config) -> Recorded {
    let taps = (case.links)().into_iter();
    let taps: Vec<_> = taps
        .map(|link| Tap::new(link, Vec::new()).unwrap())
        .collect();
    assert_eq!(taps.len(), config.ports.len());
    let secrets = Secrets::from_seed(config.runtime.seed.unwrap_or(SEED));
    let mut assembly = assemble(config, &secrets, Queues::pairs(vec![taps]), START).unwrap();
    let mut worker = assembly.workers.remove(0);
    drive(&mut worker, START, DEFAULT_LINGER, |_, worker| {
        let counters = worker.counters();
        let come = counters.event(Event::RxFrames) + counters.event(Event::Generated);
        let gone = counters.event(Event::TxFrames) + counters.event(Event::Consumed);
        let left = gone + counters.drops_total() + worker.packets_held() as u64;
        assert_eq!(come, left, "{}: a packet has vanished", case.name);
    });
    let counters = worker.counters().non_zero();
    let mut captures = Vec::new();
    for tap in worker.into_ios() {
        assert_eq!(tap.capabilities().mac, MACS[captures.len()]);
        let (link, capture) = tap.finish();
        assert_eq!(link.station.left_to_do(), [], "{}: steps left", case.name);
        captures.push(capture.unwrap());
    }
    Recorded { captures, counters }
}

/// What a replay left.
struct Replayed {
    captures: Vec<Vec<u8>>,
    /// What was printed.
    text: String,
}

/// Replays the inputs of a case that lie in its directory.
fn replay(case: &Case, config: &Config) -> Replayed {
    let outputs = tempfile::tempdir().unwrap();
    let value = |port: usize, path: &Path| {
        let mut value = OsString::from(format!("{}=", config.ports[port].name));
        value.push(path);
        value
    };
    let ports = 0..config.ports.len();
    let output = |port: usize| outputs.path().join(port.to_string());
    let args = ReplayArgs {
        config: case.directory().join("config.toml"),
        inputs: ports
            .clone()
            .map(|port| value(port, &case.input(config, port)))
            .collect(),
        outputs: ports
            .clone()
            .map(|port| value(port, &output(port)))
            .collect(),
        port: None,
        seed: None,
        linger: TimeSpan(DEFAULT_LINGER),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = proxy::cli::replay(&args, &mut out, &mut err).unwrap();
    let err = String::from_utf8(err).unwrap();
    assert_eq!((code, err.as_str()), (EXIT_OK, ""), "{}", case.name);
    Replayed {
        captures: ports.map(|port| fs::read(output(port)).unwrap()).collect(),
        text: String::from_utf8(out).unwrap(),
    }
}

/// Compares a file with what it should hold, or writes it.
#[track_caller]
fn check(path: &Path, found: &[u8]) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(path, found).unwrap();
        return;
    }
    let golden = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if golden == found {
        return;
    }
    let path = path.display();
    if let (Ok(golden), Ok(found)) = (str::from_utf8(&golden), str::from_utf8(found)) {
        panic!("{path} has\n{golden}\nbut this came out:\n{found}");
    }
    compare(&path.to_string(), &read(&golden), &read(found));
    panic!("{path} has the same frames, but is written in another way");
}

/// Asserts that both captures have the same frames at the same times.
#[track_caller]
fn compare(what: &str, expected: &[(Instant, Vec<u8>)], found: &[(Instant, Vec<u8>)]) {
    if expected == found {
        return;
    }
    let same = expected
        .iter()
        .zip(found)
        .take_while(|(a, b)| a == b)
        .count();
    panic!(
        "{what}: frame {} of {} (of {}) differs:\nexpected {:x?}\nfound    {:x?}\n\
         After a change on purpose run `cargo xtask golden-update`.",
        same + 1,
        found.len(),
        expected.len(),
        expected.get(same),
        found.get(same),
    );
}

#[test]
fn replays_come_out_as_they_did() {
    for case in &CASES {
        let config = case.config();
        let recorded = record(case, &config);
        for (port, capture) in recorded.captures.iter().enumerate() {
            check(
                &case.input(&config, port),
                &case.format.write(&read(capture)),
            );
        }
        let replayed = replay(case, &config);
        for (port, capture) in replayed.captures.iter().enumerate() {
            // Frame by frame and nanosecond by nanosecond what the worker sent when it was live.
            let live = sent_by(MACS[port], &recorded.captures[port]);
            assert!(!live.is_empty(), "{}: nothing was sent", case.name);
            compare(case.name, &live, &read(capture));
            let name = Case::file_name("out", &config, port, "pcap");
            check(&case.directory().join(name), capture);
        }
        let counters = replayed
            .text
            .lines()
            .filter(|line| !line.starts_with("session ") && !line.starts_with("capture."));
        let live = recorded
            .counters
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        assert_eq!(
            counters.collect::<Vec<_>>(),
            live.collect::<Vec<_>>(),
            "{}: a replay counts something else",
            case.name
        );
        check(
            &case.directory().join("counters.txt"),
            replayed.text.as_bytes(),
        );
    }
}

#[test]
fn a_live_run_is_the_same_every_time() {
    for case in &CASES {
        let config = case.config();
        let (first, second) = (record(case, &config), record(case, &config));
        assert_eq!(first.captures, second.captures, "{}", case.name);
        assert_eq!(first.counters, second.counters, "{}", case.name);
    }
}

#[test]
fn formats_make_no_difference() {
    let out = |case: &str, port: &str| {
        let path = goldens().join(case).join(format!("out-{port}.pcap"));
        fs::read(path).unwrap()
    };
    for port in ["edge", "inside"] {
        assert_eq!(out("pcapng", port), out("request-v4", port));
        assert_eq!(out("microseconds", port), out("request-v6", port));
    }
}

#[test]
fn every_directory_is_a_case() {
    let directories = fs::read_dir(goldens()).unwrap();
    let directories: BTreeSet<_> = directories
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let cases: BTreeSet<_> = CASES.iter().map(|case| case.name.to_owned()).collect();
    assert_eq!(directories, cases);
    assert_eq!(cases.len(), CASES.len());
}
