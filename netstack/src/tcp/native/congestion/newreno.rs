//! NewReno (RFC 5681): one segment more each round trip, half of it at a loss.
//!
//! The plain algorithm that the others are compared with. Fast recovery itself (RFC 6582) is not
//! here but in the loss recovery of the connection.

use super::hystart::{Growth, HyStart};
use super::{Acked, Backoff, Congestion, Window};

/// NewReno's state of a connection.
#[derive(Clone, Debug)]
pub(in super::super) struct NewReno {
    phase: Phase,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first slow start.
    Starting(HyStart),
    /// After that.
    Steady {
        /// Octets delivered in congestion avoidance since `cwnd` last grew; less than `cwnd`.
        delivered: u32,
    },
}

impl NewReno {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Starting(HyStart::new()),
            backoff: Backoff::default(),
        }
    }

    pub(super) fn on_ack(&mut self, window: &mut Window, ack: &Acked) {
        if ack.in_recovery {
            return;
        }
        self.backoff.cwnd_limited = ack.cwnd_limited;
        let growth = match &mut self.phase {
            Phase::Starting(hystart) => hystart.on_ack(ack),
            Phase::Steady { .. } => Growth::Full,
        };
        if growth == Growth::Done {
            window.ssthresh = window.cwnd;
            self.phase = Phase::Steady { delivered: 0 };
        }
        // RFC 3042 section 2: duplicates let segments out, and leave the window as it is.
        if ack.acked == 0 {
            return;
        }
        // A window that was not used has not been tested (RFC 7661 section 3).
        if !ack.cwnd_limited {
            return;
        }
        let delivered = match growth {
            Growth::Divided(by) => ack.delivered / by,
            Growth::Full | Growth::Done => ack.delivered,
        };
        let rest = window.slow_start(delivered);
        if rest > 0 {
            self.avoid_congestion(window, rest);
        }
    }

    /// RFC 5681 section 3.1 by octets (RFC 3465 section 2.1): a segment more for each window that
    /// was delivered.
    fn avoid_congestion(&mut self, window: &mut Window, octets: u32) {
        let before = match self.phase {
            Phase::Starting(_) => 0,
            Phase::Steady { delivered } => delivered,
        };
        let mut delivered = before.saturating_add(octets);
        if delivered >= window.cwnd {
            delivered -= window.cwnd;
            window.grow(window.smss);
        }
        let delivered = delivered.min(window.cwnd);
        self.phase = Phase::Steady { delivered };
    }

    pub(super) fn on_congestion(&mut self, window: &mut Window, in_flight: u32, by: Congestion) {
        self.backoff.begin(window, by == Congestion::Loss);
        // RFC 5681 equation 4; RFC 3168 section 6.1.2 asks for the same at a congestion mark.
        window.reduce_threshold(self.backoff.load(window, in_flight) / 2);
        self.phase = Phase::Steady { delivered: 0 };
    }

    pub(super) fn on_timeout(&mut self, window: &mut Window, in_flight: u32) {
        // RFC 5681 section 3.1: the threshold is not cut twice for the loss of one window, be it
        // that the timer fires again or that it ends a fast recovery.
        if !self.backoff.open {
            self.on_congestion(window, in_flight, Congestion::Loss);
        } else if !self.backoff.undoable {
            self.backoff.begin(window, true);
        }
        window.cwnd = window.smss;
    }

    pub(super) fn undo(&mut self, window: &mut Window) {
        if self.backoff.undo(window) && window.ssthresh == u32::MAX {
            self.phase = Phase::Starting(HyStart::new());
        }
    }

    pub(super) fn on_recovery_end(&mut self) {
        self.backoff.open = false;
    }
}
