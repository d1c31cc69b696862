//! A worker over captures, in virtual time.
//!
//! *In*: a configuration, a seed, and for each port a capture of what it received. *Out*: captures
//! of what each port sends, reports of the sessions that ended, and every counter that moved.
//!
//! The worker is the one of `weirgate run`, made by [`assemble`] with [`Secrets::from_seed`]; only
//! its ports are captures ([`PcapIo`]) and its clock is theirs. Time jumps to the next record or
//! to the next thing the worker has to do, whichever comes first ([`drive`]), so an hour of silence
//! costs one turn, and the same captures with the same seed give the same output to the octet, on
//! every machine. Records of one time stamp are received in one turn, as far as a burst has room.
//!
//! There is one worker, however many lcores the configuration names: what several workers do
//! depends on how fast each of them is. So all limits of the configuration are the one worker's,
//! and source ports are taken from the whole range. A capture is played as it is: frames in it that
//! answer what another run sent (another sequence number, another source port) are not adapted. A
//! capture that was taken of a worker with the same seed, configuration and clock fits, and is
//! answered as it was then.
//!
//! [`captures`] says which file belongs to which port and what the port's MAC address is;
//! [`drive`] is the loop, and runs over any kind of port.

pub mod captures;
mod drive;

use core::time::Duration;
use std::io::{self, Cursor, Read, Write};

use netstack::io::capture::{CaptureError, CaptureWriter};
use netstack::io::mem::MemPool;
use netstack::io::pcap::{PcapCounters, PcapIo};
use netstack::time::Instant;
use netstack::wire::ethernet::MacAddr;
use thiserror::Error;

pub use self::drive::drive;
use crate::assemble::{AssembleError, Queues, assemble};
use crate::config::Config;
use crate::l7::report::SessionReport;
use crate::secret::Secrets;

/// How long virtual time goes on after the last received frame, unless told otherwise.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(5);

/// Packet buffers, unless the configuration says how many: more than the worker's lanes and
/// queues take together.
const DEFAULT_BUFFERS: usize = 8192;

/// What a replay depends on besides configuration and captures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// What all secrets are made of.
    pub seed: u64,
    /// How long virtual time goes on after the last received frame, while anything is scheduled.
    pub linger: Duration,
}

/// What a port is in a replay.
pub struct ReplayPort {
    /// Its MAC address.
    pub mac: MacAddr,
    /// The capture of what it receives; `None`: nothing.
    pub input: Option<Box<dyn Read>>,
    /// Where the capture of what it sends goes; `None`: nowhere.
    pub output: Option<Box<dyn Write>>,
}

/// What came of a replay.
#[derive(Debug)]
pub struct Outcome {
    /// Names and values of the worker's counters that moved.
    pub counters: Vec<(String, u64)>,
    /// What became of each port's captures.
    pub ports: Vec<PortOutcome>,
}

/// What became of a port's captures.
#[derive(Debug)]
pub struct PortOutcome {
    /// Records and sent frames.
    pub counters: PcapCounters,
    /// What ended the reading before the end of the capture. What came before was replayed.
    pub read_error: Option<CaptureError>,
    /// What ended the writing.
    pub write_error: Option<CaptureError>,
}

/// Why a replay could not begin.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A capture cannot be read from, or written to, at all.
    #[error("port {port}: {source}")]
    Capture {
        /// Position of the port in the configuration.
        port: usize,
        /// Why.
        source: CaptureError,
    },
    /// The configuration cannot be carried out.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// The queue pair of a port in a replay.
type ReplayIo = PcapIo<Box<dyn Read>, Box<dyn Write>>;

/// Replays captures through one worker. `ports` are in the order of the configuration;
/// `on_session` is told of each session that ends, with the time of the turn in which it did.
///
/// # Errors
/// If it cannot begin. What goes wrong later is part of the outcome.
pub fn replay(
    config: &Config,
    settings: Settings,
    ports: Vec<ReplayPort>,
    mut on_session: impl FnMut(Instant, &SessionReport),
) -> Result<Outcome, ReplayError> {
    let ios = open(config, ports)?;
    let start = ios.iter().filter_map(ReplayIo::first_stamp).min();
    let start = start.unwrap_or_default();
    let secrets = Secrets::from_seed(settings.seed);
    let mut assembly = assemble(config, &secrets, Queues::pairs(vec![ios]), start)?;
    let mut worker = assembly.workers.remove(0);
    let reports = assembly.control.reports;
    drive(&mut worker, start, settings.linger, |now, _| {
        for report in reports.try_iter() {
            on_session(now, &report);
        }
    });
    let counters = worker.counters().non_zero();
    let ports = worker.into_ios().into_iter().map(PortOutcome::of).collect();
    Ok(Outcome { counters, ports })
}

/// Makes queue pairs of captures.
fn open(config: &Config, ports: Vec<ReplayPort>) -> Result<Vec<ReplayIo>, ReplayError> {
    // Buffers go from port to port, so all must fit the longest packet.
    let longest = config.ports.iter().map(|port| port.mtu).max();
    let buffers = config.buffers.packets;
    let pool = MemPool::new(
        buffers.map_or(DEFAULT_BUFFERS, |buffers| buffers as usize),
        usize::from(longest.unwrap_or_default()),
    );
    let mut ios = Vec::with_capacity(ports.len());
    for (index, (config, port)) in config.ports.iter().zip(ports).enumerate() {
        let failed = |source| ReplayError::Capture {
            port: index,
            source,
        };
        let input = match port.input {
            Some(input) => input,
            None => Box::new(empty_capture().map_err(failed)?),
        };
        let output = port.output.unwrap_or_else(|| Box::new(io::sink()));
        let mtu = usize::from(config.mtu);
        let io = PcapIo::new(port.mac, mtu, pool.clone(), input, output);
        ios.push(io.map_err(failed)?);
    }
    Ok(ios)
}

/// A capture without records.
fn empty_capture() -> Result<Cursor<Vec<u8>>, CaptureError> {
    CaptureWriter::new(Vec::new())?.finish().map(Cursor::new)
}

impl PortOutcome {
    /// Closes the captures.
    fn of(mut io: ReplayIo) -> Self {
        Self {
            counters: io.counters(),
            read_error: io.take_read_error(),
            write_error: io.finish().err(),
        }
    }
}

#[cfg(test)]
mod tests;
