//! `differential [--seconds N] [--seed S] [--cases N] [--differences N] [linux|smoltcp]`: looks for
//! differences between the native engine and others; for `cargo xtask fuzz differential`.

#![forbid(unsafe_code)]

use core::time::Duration;
use std::process::ExitCode;

use weirgate_tests::differential::{Effort, Linux, Memory, Reference, Report, hunt};
use weirgate_tests::rig::{self, RigError};
use weirgate_tests::stack::Engine;

const USAGE: &str = "usage: differential [--seconds N] [--seed S] [--cases N] [--differences N] \
                     [linux|smoltcp]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((effort, references)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut found = 0;
    for reference in references {
        if reference == Reference::Linux && !rig::can_run() {
            continue;
        }
        match run(&effort, reference) {
            Ok(report) => {
                println!("native against {reference:?}: {report}");
                found += report.found.len();
            }
            Err(error) => {
                eprintln!("native against {reference:?}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(effort: &Effort, reference: Reference) -> Result<Report, RigError> {
    let mut ours = Memory::new(Engine::Native);
    match reference {
        Reference::Linux => hunt(effort, reference, &mut ours, &mut Linux::new()?),
        Reference::Smoltcp => {
            let mut theirs = Memory::new(Engine::Smoltcp);
            hunt(effort, reference, &mut ours, &mut theirs)
        }
    }
}

/// What the arguments ask for; the time is shared by all references.
fn parse(arguments: &[String]) -> Option<(Effort, Vec<Reference>)> {
    let mut effort = Effort {
        seed: 1,
        cases: u64::MAX,
        time: Duration::from_secs(30),
        differences: 5,
    };
    let mut references = vec![Reference::Smoltcp, Reference::Linux];
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse::<u64>().ok();
        match argument.as_str() {
            "--seconds" => effort.time = Duration::from_secs(number()?),
            "--seed" => effort.seed = number()?,
            "--cases" => effort.cases = number()?,
            "--differences" => effort.differences = number()? as usize,
            "linux" => references = vec![Reference::Linux],
            "smoltcp" => references = vec![Reference::Smoltcp],
            _ => return None,
        }
    }
    effort.time /= references.len() as u32;
    Some((effort, references))
}
