//! `paths [--quick] [--rounds N] [--congestion NAME] [--only WORD] [FILE]`: measures Weirgate's TCP
//! beside that of Linux over bad paths, prints a table, and writes the figures to FILE as JSON.
//!
//! A figure is the median of so many rounds, each with random numbers of its own, the same for
//! both. `--only` leaves out all rows whose text does not contain the word. Needs root; all
//! interfaces are of its own making.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use weirgate_tests::paths::{Bed, Options, Report, USAGE};
use weirgate_tests::rig::{RigError, is_root};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = Options::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if !is_root() {
        eprintln!("paths: needs root, for its network namespaces");
        return ExitCode::FAILURE;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paths: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), RigError> {
    let bed = Bed::start()?;
    let mut report = Report::start(options);
    report.goodput(&bed)?;
    report.completion(&bed)?;
    report.fairness(&bed)?;
    report.write()
}
