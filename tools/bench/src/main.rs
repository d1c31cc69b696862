//! `bench NAME`: runs one benchmark, prints its figures and writes them to `target/bench`.

#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::report::Report;
use bench::{steering, tcp};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, figures @ ..] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let wanted = |figure: &str| {
        figures.is_empty() || figures.iter().any(|part| figure.contains(part.as_str()))
    };
    let report = match name.as_str() {
        "tcp" => tcp::run(&wanted),
        "steering" => steering::run(&wanted),
        _ => {
            eprintln!("bench: no such benchmark: `{name}`\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match report.and_then(|report| publish(name, &report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the figures and writes them next to where Cargo put this program.
fn publish(name: &str, report: &Report) -> io::Result<()> {
    print!("{report}");
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .nth(2)
        .map_or_else(PathBuf::new, PathBuf::from);
    let path = target.join("bench").join(format!("{name}.json"));
    report.write_json(&path)?;
    println!("written to {}", path.display());
    Ok(())
}

const USAGE: &str = "\
usage: bench NAME [PART OF A FIGURE'S NAME ...]

  tcp       the TCP proxy in memory: requests, short connections, bulk data, memory
  steering  how packets come to their workers: classifier, hash, rings, directory";
