//! `make demo`: curl fetches pages from nginx through Weirgate on DPDK queues.
//!
//! Usage: `demo WEIRGATE DIRECTORY`, as root; `cargo xtask demo` builds Weirgate and calls this.
//! Namespaces and programs are gone when it ends, also after Ctrl-C; the directory keeps
//! configuration and logs for a look.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use weirgate_tests::rig::{
    Config, Driver, FAMILIES, Family, Gate, Nginx, Page, RigError, Topology, Weirgate, fetch,
    is_root,
};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [weirgate, directory] = &arguments[..] else {
        eprintln!("usage: demo WEIRGATE DIRECTORY (`make demo` calls it so)");
        return ExitCode::FAILURE;
    };
    if !is_root() {
        eprintln!("demo: network namespaces need root; `make demo` asks sudo for it");
        return ExitCode::FAILURE;
    }
    match demonstrate(weirgate, directory) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("demo: not every page arrived as nginx has it");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the rig, fetches all pages and says where to look next. Returns whether all of them
/// arrived whole.
fn demonstrate(program: &Path, directory: &Path) -> Result<bool, RigError> {
    // A signal ends the program that runs in the foreground, curl; then all is dropped in order.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(RigError::io("catching signals"))?;
    }
    fs::create_dir_all(directory).map_err(RigError::io(directory.display().to_string()))?;
    let config = Config::new(Driver::AfPacket);
    say(format_args!(
        "client (curl) -- Weirgate, 2 workers, {} -- nginx",
        config.driver().name()
    ))?;

    let topology = Topology::new(Gate::Bare, config.queues())?;
    let pages = tempfile::tempdir().map_err(RigError::io("a temporary directory"))?;
    let nginx = Nginx::start(&topology.server, pages.path(), &Page::ALL)?;
    let mut weirgate = Weirgate::start(program, &topology.gate, &config, directory)?;

    say(format_args!(
        "\n{:>6}  {:6} {:>9} {:>8}  checksum",
        "page", "family", "time", "MB/s"
    ))?;
    let mut all_whole = true;
    for page in Page::ALL {
        for family in FAMILIES {
            let whole = show(&topology, &nginx, page, family, pages.path());
            if interrupted.load(Ordering::Relaxed) {
                return Err(RigError::Interrupted);
            }
            all_whole &= whole?;
        }
    }
    let status = weirgate.stop()?;
    say(format_args!(
        "\nWeirgate was sent SIGTERM and ended with {status}."
    ))?;
    say_where_to_look(&weirgate)?;
    Ok(all_whole && status.success())
}

/// Fetches one page and prints a line about it. Returns whether it arrived whole.
fn show(
    topology: &Topology,
    nginx: &Nginx,
    page: Page,
    family: Family,
    directory: &Path,
) -> Result<bool, RigError> {
    let url = family.url(Config::PORT, page.file_name());
    let fetch = fetch(&topology.client, &url, directory, &[])?;
    let whole = fetch.exit_code == Some(0) && fetch.checksum == nginx.checksum(page);
    // A rate of a page that fits into a packet or two would be one of latency.
    let rate = match page {
        Page::One => "-".to_owned(),
        _ => format!("{:.1}", fetch.rate / 1e6),
    };
    say(format_args!(
        "{:>6}  {:6} {:>7.3} s {rate:>8}  {}",
        page.file_name(),
        family.name(),
        fetch.seconds,
        if whole { "ok" } else { "WRONG" }
    ))?;
    if !fetch.errors.is_empty() {
        say(format_args!("        {}", fetch.errors.trim()))?;
    }
    Ok(whole)
}

fn say_where_to_look(weirgate: &Weirgate) -> Result<(), RigError> {
    say(format_args!(
        "
Where to look next
  configuration  {}
  log            {}
                 one line for each connection at its end; the last:",
        weirgate.config_path().display(),
        weirgate.process().log_path().display()
    ))?;
    let log = weirgate.process().log();
    let connections: Vec<_> = log
        .lines()
        .filter(|line| line.contains("10.64.1.2:80"))
        .collect();
    for line in connections.iter().rev().take(1) {
        say(format_args!("                 {line}"))?;
    }
    say(format_args!(
        "  documentation  README.md (the way of one packet), ARCHITECTURE.md"
    ))
}

/// Prints a line. That nobody reads it any more ends the demo in good order, as an error.
fn say(line: fmt::Arguments<'_>) -> Result<(), RigError> {
    writeln!(io::stdout(), "{line}").map_err(RigError::io("writing to standard output"))
}
