//! `cargo xtask fuzz`: libFuzzer over the functions of the package `fuzz-targets`.
//!
//! All targets are in one instrumented binary, built by cargo-fuzz outside the workspace; an
//! environment variable tells it which one to run. So a new target is a function and a line in
//! `tests/fuzz-targets`, and nothing here. An input that crashes a target is left in
//! `tests/fuzz/crashes/TARGET/`, where `cargo test` runs it again from then on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Error;
use crate::step::{describe, foreground};
use crate::workspace::Workspace;

/// What to fuzz and for how long.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Options<'a> {
    /// For all targets together; building is not counted.
    pub(crate) time: Duration,
    /// One target only.
    pub(crate) target: Option<&'a str>,
}

impl Default for Options<'_> {
    /// All targets, long enough to find a parser that falls over at once and short enough for
    /// every push.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            target: None,
        }
    }
}

impl<'a> Options<'a> {
    /// Reads `[--seconds N] [TARGET]`.
    pub(crate) fn parse(arguments: &[&'a str]) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(&argument) = arguments.next() {
            if argument == "--seconds" {
                let seconds = arguments.next().copied().unwrap_or_default().parse();
                let seconds = seconds.map_err(|source| Error::Seconds {
                    option: "--seconds",
                    source,
                })?;
                options.time = Duration::from_secs(seconds);
            } else if argument.starts_with('-') || options.target.is_some() {
                return Err(Error::Usage(format!("fuzz {argument}")));
            } else {
                options.target = Some(argument);
            }
        }
        Ok(options)
    }
}

/// Builds the fuzzer and gives each target its share of the time.
pub(crate) fn run(workspace: &Workspace, options: &Options<'_>) -> Result<(), Error> {
    let root = workspace.root();
    let targets = select(list(root)?, options.target)?;
    // The first start also builds: a run of no inputs keeps that out of the time.
    fuzzer(root, &targets[0], &["-runs=0"])?;
    let share = (options.time.as_secs() / targets.len() as u64).max(1);
    for target in &targets {
        println!("-- {target}: {share} s");
        let start = Instant::now();
        fuzzer(root, target, &[&format!("-max_total_time={share}")])?;
        println!(
            "-- {target}: nothing found in {:.0} s",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Runs the differential fuzzer, which reads its options itself.
pub(crate) fn differential(workspace: &Workspace, options: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("cargo");
    command
        .current_dir(workspace.root())
        .args(["run", "--quiet", "--package", "weirgate-tests"])
        .args(["--bin", "differential", "--"])
        .args(options);
    foreground(&mut command)
}

/// The names of all targets, as the package `fuzz-targets` prints them.
fn list(root: &Path) -> Result<Vec<String>, Error> {
    let mut command = Command::new("cargo");
    command
        .current_dir(root)
        .args(["run", "--quiet", "--package", "fuzz-targets"]);
    let output = command.output().map_err(|source| Error::Start {
        command: describe(&command),
        source,
    })?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(Error::Failed {
            command: describe(&command),
            status: output.status,
        });
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.lines().map(String::from).collect())
}

/// All targets, or the one that was asked for.
fn select(known: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>, Error> {
    let Some(name) = wanted else {
        return Ok(known);
    };
    if known.iter().any(|target| target == name) {
        return Ok(vec![name.to_owned()]);
    }
    Err(Error::NoSuchTarget {
        name: name.to_owned(),
        known: known.join(", "),
    })
}

/// Runs libFuzzer on one target with its growing corpus and the committed seeds.
fn fuzzer(root: &Path, target: &str, options: &[&str]) -> Result<(), Error> {
    let fuzz = root.join("tests/fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let crashes = fuzz.join("crashes").join(target);
    let seeds = root.join("tests/fuzz-targets/seeds").join(target);
    for directory in [&corpus, &crashes] {
        fs::create_dir_all(directory).map_err(|source| Error::Create {
            path: directory.display().to_string(),
            source,
        })?;
    }
    let mut command = Command::new("cargo");
    command
        .current_dir(root)
        // The sanitizer and coverage flags are unstable compiler options; the pinned stable
        // compiler takes them under this variable, so no second toolchain is needed.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("WEIRGATE_FUZZ_TARGET", target)
        .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", "any"])
        .arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command
        .arg("--")
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .args(["-print_final_stats=0", "-verbosity=0", "-max_len=4096"])
        .args(options);
    let result = foreground(&mut command);
    // Git keeps no empty directories and neither does the replay test need them.
    let _ = fs::remove_dir(&crashes);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_any_order() {
        let expected = Options {
            time: Duration::from_secs(7),
            target: Some("tcp"),
        };
        assert_eq!(
            Options::parse(&["tcp", "--seconds", "7"]).unwrap(),
            expected
        );
        assert_eq!(
            Options::parse(&["--seconds", "7", "tcp"]).unwrap(),
            expected
        );
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn wrong_options_are_refused() {
        for wrong in [
            &["--seconds"][..],
            &["--seconds", "x"],
            &["-x"],
            &["a", "b"],
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_unknown_target_is_answered_with_the_known_ones() {
        let known = vec!["arp".to_owned(), "tcp".to_owned()];
        assert_eq!(select(known.clone(), Some("tcp")).unwrap(), ["tcp"]);
        assert_eq!(select(known.clone(), None).unwrap(), known);
        let error = select(known, Some("udp")).unwrap_err().to_string();
        assert!(error.contains("arp, tcp"), "{error}");
    }
}
