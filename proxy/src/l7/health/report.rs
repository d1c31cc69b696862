//! What is told about backends that come and go.
//!
//! As with sessions, workers write no log: a report goes over a bounded channel to the control
//! thread. One that finds the channel full is counted and dropped; the backend's state is not in
//! it, only the news.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crossbeam_channel::Sender;
use netstack::counters::{Counters, Event};

use crate::config::BackendGroupId;
use crate::l7::backend_pool::BackendId;
use crate::termination::Cause;

/// A backend came or went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HealthReport {
    /// The worker that found it out.
    pub worker: u16,
    /// The backend's group.
    pub group: BackendGroupId,
    /// The backend.
    pub backend: BackendId,
    /// What happened.
    pub change: Change,
}

/// What happened to a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Checks failed; no worker uses it any more.
    Down {
        /// How the last of them failed.
        reason: Failure,
        /// How many in a row.
        in_a_row: u16,
        /// Checks of the backend so far.
        checks: u64,
    },
    /// Checks succeeded; all workers use it again.
    Up {
        /// How many in a row.
        in_a_row: u16,
        /// Checks of the backend so far.
        checks: u64,
    },
    /// Sessions of the worker failed; it does not use the backend.
    Ejected {
        /// How the last of them failed.
        reason: Cause,
        /// How many in a row.
        in_a_row: u16,
        /// How long it stays away.
        time: Duration,
    },
    /// That time is over; the worker tries it again.
    Returned,
}

/// How a check failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// A RST answered the SYN.
    Refused,
    /// The connection was reset.
    Reset,
    /// The network said that nobody is there.
    Unreachable,
    /// The SYN was not answered in time.
    NotConnected,
    /// The connection was there, and the answer was not, or not all of it.
    NotAnswered,
    /// The backend ended the connection before it had answered.
    Closed,
    /// What was expected was not in the answer.
    Unexpected,
    /// The answer was none of HTTP/1.
    NotHttp,
    /// The answer had a status that is not good.
    Status(u16),
    /// Our TCP engine failed.
    Internal,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::Unreachable => "unreachable",
            Self::NotConnected => "timed out while connecting",
            Self::NotAnswered => "timed out while waiting for the answer",
            Self::Closed => "connection closed before the answer",
            Self::Unexpected => "the answer has not what was expected",
            Self::NotHttp => "the answer is not HTTP",
            Self::Status(status) => return write!(f, "status {status}"),
            Self::Internal => "internal fault",
        })
    }
}

/// A worker's way to tell what happens to backends.
#[derive(Clone, Debug)]
pub struct Teller {
    /// The worker.
    pub worker: u16,
    /// Where reports go.
    pub reports: Sender<HealthReport>,
    /// The worker's counters.
    pub counters: Arc<Counters>,
}

impl Teller {
    /// Reports a change, if there is room.
    pub(crate) fn tell(&self, group: BackendGroupId, backend: BackendId, change: Change) {
        let report = HealthReport {
            worker: self.worker,
            group,
            backend,
            change,
        };
        if self.reports.try_send(report).is_err() {
            self.counters.increment(Event::ReportsLost);
        }
    }

    /// Changes a gauge that several parts of the worker change.
    pub(crate) fn adjust(&self, gauge: Event, by: i64) {
        let value = self.counters.event(gauge).saturating_add_signed(by);
        self.counters.set(gauge, value);
    }
}
