//! Runs every fuzz target over inputs that are known beforehand: a few that no parser likes, the
//! committed seeds, and each crash file that the fuzzer ever left.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::{TARGETS, find};

#[test]
fn simple_inputs_do_not_crash() {
    for (_, target) in TARGETS {
        target(&[]);
        for octet in [0x00, 0x01, 0x45, 0x60, 0xff] {
            for len in [1, 13, 14, 20, 40, 54, 60, 1514] {
                target(&vec![octet; len]);
            }
        }
        let counting: Vec<u8> = (0..=255).cycle().take(1514).collect();
        for len in 0..counting.len() {
            target(&counting[..len]);
        }
    }
}

#[test]
fn seeds_do_not_crash() {
    replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds"));
}

#[test]
fn what_crashed_once_does_not_crash_again() {
    replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/crashes"));
}

/// Runs the files of `root`/TARGET/ through their targets. A `root` that is not there is empty.
fn replay(root: &Path) {
    for directory in entries(root) {
        let name = directory
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let target = find(&name)
            .unwrap_or_else(|| panic!("{}: no target is called `{name}`", directory.display()));
        for file in entries(&directory) {
            // The test's output is shown if it fails: the last file named is the culprit.
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
