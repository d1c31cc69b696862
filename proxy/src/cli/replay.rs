//! `weirgate replay`: what would the worker have done?
//!
//! *Out*: a line for each session that ends, when it ends; then a line `name value` for each
//! counter that moved: the worker's, then those of each port's captures. Everything printed follows
//! from configuration, captures and seed alone, so two runs print the same. The counters of a
//! capture:
//!
//! | counter | records or frames |
//! |---------|-------------------|
//! | `capture.PORT.received` | given to the worker |
//! | `capture.PORT.cut_short` | skipped: only the beginning of the frame was captured |
//! | `capture.PORT.too_long` | skipped: longer than the largest `mtu` of the configuration |
//! | `capture.PORT.own` | skipped: the port itself sent them when the capture was taken |
//! | `capture.PORT.written` | sent, and written to the output |
//! | `capture.PORT.discarded` | sent by a port that has no output |
//! | `capture.PORT.unwritten` | sent after the output had failed |

use core::fmt;
use core::time::Duration;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use netstack::io::capture::CaptureError;
use netstack::time::Instant;
use netstack::wire::ethernet::MacAddr;
use thiserror::Error;

use super::{EXIT_CONFIG, EXIT_OK, EXIT_RUNTIME, EXIT_USAGE, load};
use crate::config::fault::Caution;
use crate::config::quantity::{QuantityError, TimeSpan, parse_duration};
use crate::config::{Config, ConfigWarning, PortConfig};
use crate::l7::report::SessionReport;
use crate::replay::captures::{self, AssignError};
use crate::replay::{
    self, DEFAULT_LINGER, Outcome, PortOutcome, ReplayError, ReplayPort, Settings,
};

/// The arguments of `weirgate replay`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
#[command(after_help = "Examples:\n  \
        weirgate replay --config w.toml --in edge.pcap --out sent.pcap\n  \
        weirgate replay --config w.toml --in edge=a.pcap --in inside=b.pcapng --out inside=c.pcap")]
pub struct ReplayArgs {
    /// The configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// What a port receives: a capture file, for the only port or that of --port; or PORT=FILE, for
    /// one port each. Ports without one receive nothing
    #[arg(long = "in", value_name = "[PORT=]FILE", required = true)]
    pub inputs: Vec<OsString>,
    /// Where to write what a port sends, in the same form. What other ports send is discarded
    #[arg(long = "out", value_name = "[PORT=]FILE")]
    pub outputs: Vec<OsString>,
    /// The port that files without a port belong to
    #[arg(long, value_name = "NAME")]
    pub port: Option<String>,
    /// What all secrets are made of [default: `seed` of the configuration, or 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long time goes on after the last received frame, while anything is scheduled
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        default_value_t = TimeSpan(DEFAULT_LINGER)
    )]
    pub linger: TimeSpan,
}

fn duration(text: &str) -> Result<TimeSpan, QuantityError> {
    parse_duration(text).map(TimeSpan)
}

/// Replays captures. Writes sessions and counters to `out`, errors and warnings to `err`.
///
/// Returns the exit code.
///
/// # Errors
/// If nothing can be written to `out` or `err`.
pub fn replay(args: &ReplayArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    // A fixed seed is what a replay wants.
    let matters = |warning: &ConfigWarning| !matches!(warning.caution, Caution::FixedSeed);
    let Some(config) = load(&args.config, err, matters)? else {
        return Ok(EXIT_CONFIG);
    };
    let files = match Files::assign(args, &config) {
        Ok(files) => files,
        Err(error) => {
            writeln!(err, "weirgate replay: {error}")?;
            return Ok(EXIT_USAGE);
        }
    };
    match run(args, &config, &files, out)? {
        Ok(outcome) => conclude(&config, &files, outcome, out, err),
        Err(error) => {
            writeln!(err, "weirgate replay: {error}")?;
            Ok(EXIT_RUNTIME)
        }
    }
}

/// Replays; writes a line for each session that ends.
fn run(
    args: &ReplayArgs,
    config: &Config,
    files: &Files,
    out: &mut dyn Write,
) -> io::Result<Result<Outcome, Failure>> {
    let ports = match files.open(config) {
        Ok(ports) => ports,
        Err(failure) => return Ok(Err(failure)),
    };
    let settings = Settings {
        seed: args.seed.or(config.runtime.seed).unwrap_or(0),
        linger: args.linger.0,
    };
    let mut written = Ok(());
    let outcome = replay::replay(config, settings, ports, |now, report| {
        let line = SessionLine {
            config,
            now,
            report,
        };
        if written.is_ok() {
            written = writeln!(out, "{line}");
        }
    });
    written?;
    Ok(outcome.map_err(|error| match error {
        ReplayError::Capture { port, source } => files.blame(port, source),
        ReplayError::Assemble(error) => Failure::Assemble(error),
    }))
}

/// Writes the counters, and what went wrong with the files.
fn conclude(
    config: &Config,
    files: &Files,
    outcome: Outcome,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    for (name, value) in &outcome.counters {
        writeln!(out, "{name} {value}")?;
    }
    let mut code = EXIT_OK;
    for (index, (port, outcome)) in config.ports.iter().zip(outcome.ports).enumerate() {
        let to_file = files.outputs[index].is_some();
        for (name, value) in capture_counters(&outcome, to_file) {
            if value != 0 {
                writeln!(out, "capture.{}.{name} {value}", port.name)?;
            }
        }
        for error in [outcome.read_error, outcome.write_error]
            .into_iter()
            .flatten()
        {
            writeln!(err, "weirgate replay: {}", files.blame(index, error))?;
            code = EXIT_RUNTIME;
        }
    }
    out.flush()?;
    Ok(code)
}

fn capture_counters(outcome: &PortOutcome, to_file: bool) -> [(&'static str, u64); 6] {
    let counters = outcome.counters;
    let sent = if to_file { "written" } else { "discarded" };
    [
        ("received", counters.received),
        ("cut_short", counters.cut_short),
        ("too_long", counters.too_long),
        ("own", counters.own),
        (sent, counters.written),
        ("unwritten", counters.unwritten),
    ]
}

/// The files of each port, in the order of the configuration.
#[derive(Debug)]
struct Files {
    inputs: Vec<Option<PathBuf>>,
    outputs: Vec<Option<PathBuf>>,
}

/// Why a replay could not begin, or not be completed.
#[derive(Debug, Error)]
enum Failure {
    #[error("{}: {source}; {}", path.display(), advice(source))]
    Capture { path: PathBuf, source: CaptureError },
    #[error("{}: cannot open the capture: {source}", .0.display(), source = .1)]
    Open(PathBuf, #[source] io::Error),
    #[error("{}: cannot create the file: {source}", .0.display(), source = .1)]
    Create(PathBuf, #[source] io::Error),
    #[error(
        "{}: the file is both read and written, or written twice: give each --out a file of its \
         own",
        .0.display()
    )]
    Clash(PathBuf),
    #[error(
        "{}: can be read only once, but the port's MAC address has to be looked for in it first: \
         set `mac` of port {port:?} in the configuration",
        path.display()
    )]
    NotRegular { path: PathBuf, port: String },
    #[error(transparent)]
    Assemble(crate::assemble::AssembleError),
}

/// What to do about it.
fn advice(error: &CaptureError) -> &'static str {
    match error {
        CaptureError::NotACapture => "give a file that `tcpdump -w` wrote",
        CaptureError::Truncated { .. } | CaptureError::Malformed { .. } => {
            "the records before it were replayed; take the capture again, or cut it there by \
             `editcap -r`"
        }
        CaptureError::LinkType(_) => "the records before that were replayed",
        CaptureError::Read(_) => "is it a file that you may read?",
        CaptureError::Write(_) => "is there room on the disk?",
    }
}

impl Files {
    fn assign(args: &ReplayArgs, config: &Config) -> Result<Self, AssignError> {
        let assign = |option, values: &[OsString]| {
            let values = values.iter().map(OsString::as_os_str);
            captures::assign(config, args.port.as_deref(), option, values)
        };
        Ok(Self {
            inputs: assign("--in", &args.inputs)?,
            outputs: assign("--out", &args.outputs)?,
        })
    }

    /// The failure of a file of a port.
    fn blame(&self, port: usize, source: CaptureError) -> Failure {
        let file = match source {
            CaptureError::Write(_) => &self.outputs[port],
            _ => &self.inputs[port],
        };
        let path = file.clone().unwrap_or_default();
        Failure::Capture { path, source }
    }

    /// Opens every input, then creates every output: nothing is overwritten if anything that is to
    /// be read is missing.
    fn open(&self, config: &Config) -> Result<Vec<ReplayPort>, Failure> {
        let mut ports = Vec::with_capacity(config.ports.len());
        let mut seen = HashSet::new();
        for ((index, port), path) in (0..).zip(&config.ports).zip(&self.inputs) {
            let mac = self.mac(index, port)?;
            let mut input = None;
            if let Some(path) = path {
                let file = open(path)?;
                seen.extend(identity(&file));
                input = Some(Box::new(BufReader::new(file)) as Box<dyn Read>);
            }
            ports.push(ReplayPort {
                mac,
                input,
                output: None,
            });
        }
        for (port, path) in ports.iter_mut().zip(&self.outputs) {
            let Some(path) = path else { continue };
            // Looked at before it is created: creating it would empty it.
            if fs::metadata(path).is_ok_and(|it| it.is_file() && seen.contains(&key(&it))) {
                return Err(Failure::Clash(path.clone()));
            }
            let file = File::create(path).map_err(|error| Failure::Create(path.clone(), error))?;
            seen.extend(identity(&file));
            port.output = Some(Box::new(BufWriter::new(file)));
        }
        Ok(ports)
    }

    /// The port's MAC address: as configured, or as the capture shows, or one made up.
    fn mac(&self, index: u16, port: &PortConfig) -> Result<MacAddr, Failure> {
        if let Some(mac) = port.mac {
            return Ok(mac);
        }
        let mut found = None;
        if let Some(path) = &self.inputs[usize::from(index)] {
            let file = open(path)?;
            if !file.metadata().is_ok_and(|it| it.is_file()) {
                return Err(Failure::NotRegular {
                    path: path.clone(),
                    port: port.name.clone(),
                });
            }
            // An error is met again, and reported, when the capture is replayed.
            found = captures::find_mac(BufReader::new(file), port).unwrap_or_default();
        }
        Ok(found.unwrap_or_else(|| captures::default_mac(index)))
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::Open(path.to_owned(), error))
}

/// What tells a regular file from every other; `None` for devices and pipes.
fn identity(file: &File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    metadata.is_file().then(|| key(&metadata))
}

fn key(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A session that ended, as a line.
struct SessionLine<'a> {
    config: &'a Config,
    now: Instant,
    report: &'a SessionReport,
}

impl fmt::Display for SessionLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let listener = &self.config.listeners[report.listener.0 as usize];
        let nanos = self.now.as_nanos();
        let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        write!(
            f,
            "session at={seconds}.{nanos:09} code={} cause={:?} listener={} client={} local={}",
            report.reason,
            report.reason.cause.as_str(),
            listener.name,
            report.client(),
            report.local,
        )?;
        if let Some(backend) = report.backend {
            let group = self.config.backend_group(listener.backend_group);
            write!(
                f,
                " backend={}/{}",
                group.name,
                group.backends[backend.index()].name
            )?;
        }
        if let Some(source) = report.source {
            write!(f, " source={source}")?;
        }
        write!(
            f,
            " tries={} handshake={}",
            report.tries,
            micros(report.handshake)
        )?;
        if let Some(connect) = report.connect {
            write!(f, " connect={}", micros(connect))?;
        }
        write!(
            f,
            " total={} to_backend={} to_client={}",
            micros(report.total),
            report.bytes_to_backend,
            report.bytes_to_client
        )
    }
}

/// A time, to the microsecond.
fn micros(duration: Duration) -> String {
    format!("{}us", duration.as_micros())
}

#[cfg(test)]
mod tests;
