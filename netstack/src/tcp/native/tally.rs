//! What a connection has done since its worker asked: for the sums that the worker shows.
//!
//! In: increments, where things happen. Out: a [`Tally`], taken when the connection is flushed;
//! mostly there is none.

use crate::counters::{Counters, Event};

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Retransmission timeouts.
    pub(super) timeouts: u16,
    /// Recoveries begun because segments were lost.
    pub(super) recoveries: u16,
    /// Reductions of the window that were taken back.
    pub(super) undone: u16,
    /// Loss probes (RFC 8985 section 7).
    pub(super) loss_probes: u16,
    /// Probes of a closed window.
    pub(super) window_probes: u16,
    /// Paths found to swallow large segments silently.
    pub(super) black_holes: u16,
    /// Paths found to take larger segments than before.
    pub(super) path_raised: u16,
    /// Peers that asked for smaller segments than we send.
    pub(super) small_mss: u16,
    /// Acknowledgments that end inside a segment.
    pub(super) divided_acks: u16,
    /// Paths seen to reorder for the first time.
    pub(super) reordered: u16,
    /// SACK blocks about nothing in flight, or cut finer than is noted.
    pub(super) sack_refused: u16,
}

impl Tally {
    /// What there is, if anything; from now on, nothing.
    pub(super) fn take(&mut self) -> Option<Self> {
        if *self == Self::default() {
            return None;
        }
        Some(core::mem::take(self))
    }

    /// Adds it to the worker's sums.
    pub(crate) fn count(&self, counters: &Counters) {
        for (event, times) in [
            (Event::TcpTimeouts, self.timeouts),
            (Event::TcpRecoveries, self.recoveries),
            (Event::TcpRecoveriesUndone, self.undone),
            (Event::TcpLossProbes, self.loss_probes),
            (Event::TcpWindowProbes, self.window_probes),
            (Event::TcpBlackHoles, self.black_holes),
            (Event::TcpPathMtuRaised, self.path_raised),
            (Event::TcpSmallMss, self.small_mss),
            (Event::TcpDividedAcks, self.divided_acks),
            (Event::TcpReordered, self.reordered),
            (Event::TcpSackRefused, self.sack_refused),
        ] {
            if times > 0 {
                counters.add(event, u64::from(times));
            }
        }
    }
}
