//! The control thread, while the workers run.
//!
//! Writes a log line for each session that ended, and for each backend that came or went; watches
//! the counters and warns, at most once in ten seconds for each, when something ran out or packets
//! arrive damaged; passes signals on to the workers; reads the configuration file again when told to
//! ([`reload`](crate::reload)). Ends when all workers have ended.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::RecvTimeoutError;
use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;

use crate::assemble::ControlEnds;
use crate::config::{BackendGroupConfig, BackendGroupId, Check, Config};
use crate::l7::health::{Change, Failure, HealthReport};
use crate::l7::report::SessionReport;
use crate::log::SESSION_TARGET;
use crate::reload::Reloader;
use crate::worker::Command;

/// How often signals and counters are looked at when no session ends.
const TICK: Duration = Duration::from_millis(50);

/// How long a warning is not repeated.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// What the operator wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// No new sessions; those there are may finish, for the configured time.
    Drain,
    /// Reset all sessions.
    Now,
}

/// What somebody asks of the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// To end.
    Stop(Stop),
    /// To read the configuration file again.
    Reload,
}

/// What is watched for, and what it means for the operator.
const WATCHED_DROPS: [(DropReason, &str); 8] = [
    (
        DropReason::TcpBadChecksum,
        "TCP segments arrive with a wrong checksum; on a veth or tap, switch checksum and \
         segmentation offload off at both ends: ethtool -K DEV tx off rx off gso off tso off gro off",
    ),
    (
        DropReason::NoBuffer,
        "no packet buffer was free: raise buffers.packets and dpdk.memory",
    ),
    (
        DropReason::TcpConnectionsFull,
        "clients are turned away: limits.max_sessions is reached",
    ),
    (
        DropReason::TcpBacklogFull,
        "clients are turned away: limits.syn_backlog is reached",
    ),
    (
        DropReason::NeighborUnreachable,
        "packets were dropped: a neighbor (backend, client or gateway) does not answer",
    ),
    (
        DropReason::TxQueueFull,
        "packets were dropped: a port does not send",
    ),
    (
        DropReason::HandoverFull,
        "packets were dropped: another worker is too busy to take them",
    ),
    (
        DropReason::TcpEnginePanic,
        "the TCP engine failed and a connection was reset: please report",
    ),
];

/// Events that are watched for in the same way.
const WATCHED_EVENTS: [(Event, &str); 5] = [
    (
        Event::TcpPortsExhausted,
        "no source port towards a backend was free: widen limits.source_ports, or add an address",
    ),
    (
        Event::BuffersExhausted,
        "segments had to wait for a packet buffer: raise buffers.packets and dpdk.memory",
    ),
    (
        Event::TcpConnectRefused,
        "all connections of a worker are in use: raise limits.max_sessions",
    ),
    (
        Event::ReportsLost,
        "more sessions ended, or backends came and went, than could be logged",
    ),
    (
        Event::BackendsFailOpen,
        "every backend of a group is down or ejected: sessions are sent to all of them",
    ),
];

/// Runs until all workers have ended. `config` was read from the file `path`; `poll_request` tells
/// what was asked since it was last called.
pub fn run(
    config: &Config,
    path: &Path,
    ends: &ControlEnds,
    mut poll_request: impl FnMut() -> Option<Request>,
) {
    let mut reloader = Reloader::new(config, path);
    let mut watch = Watch::new();
    let mut next_look = Instant::now() + TICK;
    let mut ending = false;
    loop {
        match ends.reports.recv_deadline(next_look) {
            Ok(report) => log_session(config, &report),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        if now < next_look {
            continue;
        }
        next_look = now + TICK;
        log_health_changes(config, ends);
        match poll_request() {
            Some(Request::Stop(stop)) => {
                ending = true;
                stop_workers(config, ends, stop);
            }
            Some(Request::Reload) => reloader.reload(ends),
            None => {}
        }
        if ends.all_drained() {
            ends.tell_all(&Command::Finish);
        }
        // A worker that ended unasked has panicked, and its queues are served by nobody: better all
        // end, and whoever supervises us starts us again.
        if !ending && let Some(worker) = ends.gone().next() {
            ending = true;
            tracing::error!(
                worker,
                "a worker has ended unexpectedly; stopping the others"
            );
            stop_workers(config, ends, Stop::Drain);
        }
        watch.look(now, &ends.all_counters());
    }
    // A single worker ends without being told; those that receive for it do not.
    ends.tell_all(&Command::Finish);
    log_health_changes(config, ends);
    watch.look(Instant::now() + WARNING_INTERVAL, &ends.all_counters());
}

fn stop_workers(config: &Config, ends: &ControlEnds, stop: Stop) {
    let limit = match stop {
        Stop::Drain => config.timeouts.drain,
        Stop::Now => Duration::ZERO,
    };
    tracing::info!(
        drain_seconds = limit.as_secs_f64(),
        "stopping: no new connections; sessions may finish until then"
    );
    ends.tell_all(&Command::Drain(limit));
}

/// One line for one session.
pub fn log_session(config: &Config, report: &SessionReport) {
    let listener = &config.listeners[report.listener.0 as usize];
    let about = report.about.as_deref();
    let group = about.map_or(listener.backend_group, |about| BackendGroupId(about.group));
    let group = config.backend_group(group);
    let routes = listener
        .passthrough
        .as_ref()
        .map(|passthrough| &passthrough.routes);
    let route = about.and_then(|about| Some((about.route?, routes?)));
    let told = about.and_then(|about| about.endpoints);
    let preamble = Some(report.preamble).filter(|preamble| !preamble.is_zero());
    let alpn = about.filter(|about| !about.protocols.is_empty());
    let backend = report.backend.map(|id| &group.backends[id.index()]);
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(
        target: SESSION_TARGET,
        client = %report.client(),
        peer = told.map(|_| tracing::field::display(report.peer)),
        destination = told.map(|told| tracing::field::display(told.destination)),
        listener = listener.name,
        local = %report.local,
        sni = about.and_then(|about| about.server_name.as_deref()),
        alpn = alpn.map(|about| tracing::field::display(&about.protocols)),
        route = route.map(|(route, routes)| routes[route].label(route)),
        group = group.name,
        backend = backend.map(|backend| backend.name.as_str()),
        backend_address = backend.map(|backend| tracing::field::display(backend.address)),
        source = report.source.map(tracing::field::display),
        worker = report.worker,
        tries = report.tries,
        handshake_us = micros(report.handshake),
        preamble_us = preamble.map(micros),
        connect_us = report.connect.map(micros),
        total_us = micros(report.total),
        bytes_to_backend = report.bytes_to_backend,
        bytes_to_client = report.bytes_to_client,
        unique_id = about.and_then(|about| about.unique_id).map(tracing::field::display),
        code = %report.reason,
        side = report.reason.side.as_str(),
        cause = report.reason.cause.as_str(),
        "session ended"
    );
}

/// One line for each backend that came or went since this was last called.
fn log_health_changes(config: &Config, ends: &ControlEnds) {
    for report in ends.health.try_iter() {
        log_health(config, &report);
    }
}

/// One line for a backend that came or went.
pub fn log_health(config: &Config, report: &HealthReport) {
    let group = config.backend_group(report.group);
    let backend = &group.backends[report.backend.index()];
    let (worker, group_name) = (report.worker, group.name.as_str());
    let (name, address) = (backend.name.as_str(), backend.address);
    match report.change {
        Change::Down {
            reason,
            in_a_row,
            checks,
        } => tracing::warn!(
            group = group_name, backend = name, %address, worker,
            reason = down_reason(group, reason), failures = in_a_row, checks,
            "backend is down"
        ),
        Change::Up { in_a_row, checks } => tracing::info!(
            group = group_name, backend = name, %address, worker,
            successes = in_a_row, checks,
            "backend is up"
        ),
        Change::Ejected {
            reason,
            in_a_row,
            time,
        } => tracing::warn!(
            group = group_name, backend = name, %address, worker,
            reason = reason.as_str(), failures = in_a_row, seconds = time.as_secs_f64(),
            "backend is ejected: sessions failed there"
        ),
        Change::Returned => tracing::info!(
            group = group_name, backend = name, %address, worker,
            "backend is tried again"
        ),
    }
}

/// Why a backend is down, in words; what was expected and did not come, as it is configured.
fn down_reason(group: &BackendGroupConfig, reason: Failure) -> String {
    let check = group.health.as_ref().map(|health| &health.check);
    match (reason, check) {
        (Failure::Unexpected, Some(Check::SendExpect { expect, .. })) => {
            format!("expected \"{}\"", expect.escape_ascii())
        }
        _ => reason.to_string(),
    }
}

/// Writes all counters that are not zero, one line for each worker and each receiver.
pub fn log_counters(ends: &ControlEnds) {
    for (worker, counters) in ends.counters.iter().enumerate() {
        tracing::info!(worker, "counters: {}", listed(counters));
    }
    for (receiver, counters) in ends.receiving.iter().enumerate() {
        tracing::info!(receiver, "counters: {}", listed(counters));
    }
}

fn listed(counters: &Counters) -> String {
    let values = counters.non_zero().into_iter();
    let values = values.map(|(name, value)| format!("{name}={value}"));
    values.collect::<Vec<_>>().join(" ")
}

/// What was seen of the watched counters.
struct Watch {
    drops: [Seen; WATCHED_DROPS.len()],
    events: [Seen; WATCHED_EVENTS.len()],
}

/// What was seen of one counter.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Its value when the last warning was written.
    value: u64,
    /// When that was.
    at: Option<Instant>,
}

impl Seen {
    /// How much the counter has grown, if it is time to say so.
    fn growth(&mut self, now: Instant, value: u64) -> Option<u64> {
        let quiet = self
            .at
            .is_some_and(|at| now.duration_since(at) < WARNING_INTERVAL);
        if value == self.value || quiet {
            return None;
        }
        let growth = value - self.value;
        *self = Self {
            value,
            at: Some(now),
        };
        Some(growth)
    }
}

impl Watch {
    fn new() -> Self {
        Self {
            drops: [Seen::default(); WATCHED_DROPS.len()],
            events: [Seen::default(); WATCHED_EVENTS.len()],
        }
    }

    fn look(&mut self, now: Instant, counters: &[Arc<Counters>]) {
        for ((reason, meaning), seen) in WATCHED_DROPS.iter().zip(&mut self.drops) {
            let total = counters
                .iter()
                .map(|counters| counters.drops(*reason))
                .sum();
            if let Some(count) = seen.growth(now, total) {
                tracing::warn!(counter = reason.name(), count, "{meaning}");
            }
        }
        for ((event, meaning), seen) in WATCHED_EVENTS.iter().zip(&mut self.events) {
            let total = counters.iter().map(|counters| counters.event(*event)).sum();
            if let Some(count) = seen.growth(now, total) {
                tracing::warn!(counter = event.name(), count, "{meaning}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
