//! `paths [--quick] [--rounds N] [--congestion NAME] [--only WORD] [FILE]`: measures Weirgate's TCP
//! beside that of Linux over bad paths, prints tables, and writes the figures to FILE as JSON and
//! the tables beside it, row by row, as Markdown.
//!
//! A figure is the median of so many rounds, each with random numbers of its own, the same for
//! both. `--only` leaves out all rows whose text does not contain the word. Needs root; all
//! interfaces are of its own making.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use weirgate_tests::paths::{Bed, Options, Priority, Report, USAGE};
use weirgate_tests::rig::{RigError, Weirgate, is_root};

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
    let program = match Weirgate::program() {
        Ok(program) => program,
        Err(reason) => {
            eprintln!("paths: {reason}");
            return ExitCode::FAILURE;
        }
    };
    match run(&program, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("paths: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &Path, options: &Options) -> Result<(), RigError> {
    let priority = Priority::claim();
    let bed = Bed::start(program)?;
    let mut report = Report::start(options, priority)?;
    report.goodput(&bed)?;
    report.reordering(&bed)?;
    report.completion(&bed)?;
    report.fairness(&bed)?;
    report.write()
}
