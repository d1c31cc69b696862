//! `cargo xtask`: the tasks of this repository.
//!
//! Everything that a developer or a CI machine runs is one of the commands below; `make test` and
//! `make demo` install what is missing and then call them. Each command prints what it runs, so
//! that a step which fails can be repeated by hand.

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod demo;
mod fuzz;
mod golden;
mod rules;
mod step;
mod workspace;

use std::num::ParseIntError;
use std::process::ExitCode;

use workspace::Workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out the command that `arguments` name.
fn run(arguments: &[&str]) -> Result<(), Error> {
    match arguments {
        ["ci"] => ci::run(&Workspace::load()?),
        ["rules"] => rules::check(&Workspace::load()?),
        ["fuzz", "differential", options @ ..] => fuzz::differential(&Workspace::load()?, options),
        ["fuzz", options @ ..] => fuzz::run(&Workspace::load()?, &fuzz::Options::parse(options)?),
        ["golden-update"] => golden::update(&Workspace::load()?),
        ["bench", "paths", options @ ..] => bench::paths(&Workspace::load()?, options),
        ["bench", name, figures @ ..] => bench::run(&Workspace::load()?, name, figures),
        ["demo"] => demo::run(&Workspace::load()?),
        ["help" | "--help" | "-h"] | [] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Error::Usage(arguments.join(" "))),
    }
}

/// Why a task did not succeed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no such command: `{0}`\n\n{USAGE}")]
    Usage(String),
    #[error("{option} takes a number of seconds: {source}")]
    Seconds {
        option: &'static str,
        source: ParseIntError,
    },
    #[error("no fuzz target is called `{name}`; there are: {known}")]
    NoSuchTarget { name: String, known: String },
    #[error("`cargo metadata` does not describe this workspace: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    #[error("cannot start `{command}`: {source}")]
    Start {
        command: String,
        source: std::io::Error,
    },
    #[error("`{command}` failed ({status})")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
    },
    #[error("cannot read {path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("cannot create {path}: {source}")]
    Create {
        path: String,
        source: std::io::Error,
    },
    #[error("{path}:{line}: not valid Rust: {source}")]
    Parse {
        path: String,
        line: usize,
        source: syn::Error,
    },
    #[error("{0} rule(s) of this repository broken; CONTRIBUTING.md explains each")]
    Rules(usize),
    #[error("step `{name}` failed: {source}")]
    Step {
        name: &'static str,
        source: Box<Self>,
    },
}

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci                             all checks and tests; what CI runs
  rules                          dependency rule, where `unsafe` may stand, sizes and names
  fuzz [--seconds N] [TARGET]    fuzz one target or all of them, N seconds in total
  fuzz differential [--seconds N] [--seed S] [linux|smoltcp]
                                 play the same to our TCP and to others; the kernel needs root
  golden-update                  write the captures in tests/goldens anew
  bench NAME [FIGURE ...]        measure something on this machine: `tcp`, `steering`
  bench paths [OPTIONS]          TCP beside that of Linux over bad paths, in namespaces
  demo                           curl through Weirgate to nginx, in namespaces of its own";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_named() {
        let error = run(&["cii"]).unwrap_err();
        assert!(error.to_string().contains("`cii`"), "{error}");
    }
}
