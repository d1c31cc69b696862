//! The states of an entry (RFC 4861 section 7.3.2), and what follows from a state alone.

use std::collections::VecDeque;

use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// What is known of a neighbor. DELAY of the RFC is a probe that has not asked yet.
#[derive(Debug)]
pub(super) enum State<B> {
    Incomplete(Incomplete<B>),
    Reachable(Reachable),
    Stale(Stale),
    Probe(Probe),
    Failed(Failed),
}

/// Everybody was asked; no answer yet.
#[derive(Debug)]
pub(super) struct Incomplete<B> {
    pub(super) queue: VecDeque<B>,
    pub(super) asked: u32,
    pub(super) next_at: Instant,
}

/// The neighbor gave a sign of life lately.
#[derive(Debug)]
pub(super) struct Reachable {
    pub(super) mac: MacAddr,
    pub(super) until: Instant,
}

/// The MAC address was right once; nobody has used it since.
#[derive(Debug)]
pub(super) struct Stale {
    pub(super) mac: MacAddr,
    pub(super) since: Instant,
}

/// The MAC address is in use while the neighbor is asked whether it is still there.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) mac: MacAddr,
    pub(super) asked: u32,
    pub(super) next_at: Instant,
}

/// The neighbor did not answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) until: Instant,
}

/// How useless an idle entry is: what failed goes first, then what has been stale longest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Idle {
    Failed(Instant),
    Stale(Instant),
}

impl<B> State<B> {
    /// When time changes the state, if it does.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Incomplete(Incomplete { next_at, .. }) | Self::Probe(Probe { next_at, .. }) => {
                Some(*next_at)
            }
            Self::Reachable(Reachable { until, .. }) | Self::Failed(Failed { until }) => {
                Some(*until)
            }
            Self::Stale(_) => None,
        }
    }

    /// Whether the entry may make room for another, and how readily.
    pub(super) fn idle(&self) -> Option<Idle> {
        match self {
            Self::Failed(failed) => Some(Idle::Failed(failed.until)),
            Self::Stale(stale) => Some(Idle::Stale(stale.since)),
            _ => None,
        }
    }

    /// The MAC address to use.
    pub(super) fn mac(&self) -> Option<MacAddr> {
        match self {
            Self::Reachable(Reachable { mac, .. })
            | Self::Stale(Stale { mac, .. })
            | Self::Probe(Probe { mac, .. }) => Some(*mac),
            Self::Incomplete(_) | Self::Failed(_) => None,
        }
    }
}
