//! `weirgate replay` as a process: two runs that print and write the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/goldens")
        .join(name)
}

/// Replays a golden of two ports with these arguments besides; outputs go to `directory`.
fn replay(name: &str, directory: &Path, arguments: &[&str]) -> Output {
    let golden = golden(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
    command
        .arg("replay")
        .arg("--config")
        .arg(golden.join("config.toml"));
    for port in ["edge", "inside"] {
        let input = golden.join(format!("in-{port}.pcap"));
        let output = directory.join(format!("out-{port}.pcap"));
        command
            .arg("--in")
            .arg(format!("{port}={}", input.display()))
            .arg("--out")
            .arg(format!("{port}={}", output.display()));
    }
    command.args(arguments).output().unwrap()
}

fn outputs(directory: &Path) -> [Vec<u8>; 2] {
    ["edge", "inside"].map(|port| fs::read(directory.join(format!("out-{port}.pcap"))).unwrap())
}

#[test]
fn two_runs_are_equal_to_the_octet() {
    for name in ["request-v4", "request-v6", "half-close"] {
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [first, second] = directories.each_ref().map(|directory| {
            let run = replay(name, directory.path(), &[]);
            assert_eq!(run.status.code(), Some(0), "{name}: {run:?}");
            assert_eq!(run.stderr, b"", "{name}");
            (run.stdout, outputs(directory.path()))
        });
        assert_eq!(first, second, "{name}");
        let counters = fs::read(golden(name).join("counters.txt")).unwrap();
        assert_eq!(first, (counters, outputs(&golden(name))), "{name}");
    }
}

#[test]
fn another_seed_is_another_run() {
    let [zero, one] = ["0", "1"].map(|seed| {
        let directory = tempfile::tempdir().unwrap();
        let run = replay("request-v4", directory.path(), &["--seed", seed]);
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        outputs(directory.path())
    });
    assert_eq!(zero, outputs(&golden("request-v4")));
    assert_ne!(one, zero);
}

#[test]
fn what_is_wrong_goes_to_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let run = replay("request-v4", directory.path(), &["--in", "edge=again.pcap"]);
    assert_eq!(
        (run.status.code(), run.stdout.as_slice()),
        (Some(2), &b""[..])
    );
    let message = "weirgate replay: --in: port \"edge\" has two files";
    let errors = String::from_utf8(run.stderr).unwrap();
    assert!(errors.starts_with(message), "{errors}");
}
