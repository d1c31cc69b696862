//! CUBIC (RFC 9438): the window is a cubic function of the time since the last reduction.
//!
//! The curve `W(t) = C (t - K)^3 + W_max` rises fast from where the reduction left the window,
//! flattens around `W_max`, the window at which the last loss happened, and then rises faster and
//! faster to find out whether there is more. Where Reno would be faster (short round trips, small
//! windows) an estimate of Reno's window is followed instead.
//!
//! The curve is fixed by `W_max` and by the time at which it is reached; so that time is all that
//! an epoch stores, and time during which the application had nothing to send just moves it.
//! Windows are in octets and times in milliseconds modulo 2^32; the curve is computed in integers,
//! to a thousandth of a segment.

use core::time::Duration;

use super::hystart::{Growth, HyStart};
use super::{Acked, Backoff, Congestion, MAX_CWND, Window};
use crate::time::Instant;

/// CUBIC's state of a connection.
#[derive(Clone, Debug)]
pub(in super::super) struct Cubic {
    phase: Phase,
    backoff: Backoff,
    /// The window around which growth is slowest, in octets; zero while none is known.
    w_max: u32,
    /// `w_max` before the last reduction.
    prior_w_max: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first slow start.
    Starting(HyStart),
    /// In recovery, or in a later slow start: no epoch has begun.
    Between {
        /// The window was restored, so it belongs to a place on the old curve.
        undone: bool,
    },
    /// Congestion avoidance.
    Avoiding(Epoch),
}

/// A time of congestion avoidance without a reduction.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// The plateau of the curve, in octets: `w_max`, or where the epoch began.
    plateau: u32,
    /// When the curve reaches it, in milliseconds.
    plateau_at: u32,
    /// When the last acknowledgment came, in milliseconds.
    last_ack: u32,
    /// What Reno's window would be, in octets.
    w_est: u32,
    /// Octets delivered since `w_est` last grew.
    w_est_delivered: u32,
    /// What the window is owed in growth: octets times `cwnd`; less than one octet.
    owed: u32,
}

/// No time on the curve is further than this from the plateau, in milliseconds: there the curve is
/// 57 million segments high.
const MAX_TIME: i32 = 1 << 19;

/// While no plateau is known, the window grows by one part in so many each round trip.
///
/// RFC 9438 leaves the end of slow start to HyStart, which may see a queue that others have filled.
/// From there the curve takes seconds to get off its plateau; Linux, too, does not wait for it.
const SEARCH_DIVISOR: u32 = 20;

impl Cubic {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Starting(HyStart::new()),
            backoff: Backoff::default(),
            w_max: 0,
            prior_w_max: 0,
        }
    }

    pub(super) fn on_ack(&mut self, window: &mut Window, ack: &Acked) {
        if ack.in_recovery {
            return;
        }
        self.backoff.cwnd_limited = ack.cwnd_limited;
        let growth = match &mut self.phase {
            Phase::Starting(hystart) => hystart.on_ack(ack),
            Phase::Between { .. } | Phase::Avoiding(_) => Growth::Full,
        };
        if growth == Growth::Done {
            window.ssthresh = window.cwnd;
            self.phase = Phase::Between { undone: false };
        }
        // RFC 3042 section 2: duplicates let segments out, and leave the window as it is.
        if ack.acked == 0 {
            return;
        }
        // RFC 9438 section 5.8: a window that is not used does not grow, and that time does not
        // count.
        if !ack.cwnd_limited {
            if let Phase::Avoiding(epoch) = &mut self.phase {
                epoch.pause_until(millis(ack.now));
            }
            return;
        }
        let delivered = match growth {
            Growth::Divided(by) => ack.delivered / by,
            Growth::Full | Growth::Done => ack.delivered,
        };
        let rest = window.slow_start(delivered);
        if rest > 0 {
            self.avoid_congestion(window, ack, rest);
        }
    }

    #[cfg(test)]
    pub(super) fn w_max(&self) -> u32 {
        self.w_max
    }

    fn avoid_congestion(&mut self, window: &mut Window, ack: &Acked, delivered: u32) {
        let now = millis(ack.now);
        let mut epoch = match self.phase {
            Phase::Avoiding(epoch) => epoch,
            Phase::Between { undone } => self.begin_epoch(window, now, undone),
            Phase::Starting(_) => self.begin_epoch(window, now, false),
        };
        epoch.last_ack = now;
        epoch.follow_reno(window, delivered, self.backoff.cwnd);
        let time = epoch.time(now);
        let searching = self.w_max == 0;
        // RFC 9438 section 4.3: where Reno would have the larger window, so do we.
        if !searching && curve(time, epoch.plateau, window.smss) < u64::from(epoch.w_est) {
            window.cwnd = window.cwnd.max(epoch.w_est).min(MAX_CWND);
            epoch.owed = 0;
        } else {
            let ahead = ack.srtt.map_or(0, |srtt| {
                i32::try_from(srtt.as_millis()).unwrap_or(MAX_TIME)
            });
            let mut target = curve(time.saturating_add(ahead), epoch.plateau, window.smss);
            if searching {
                let least = window.cwnd + window.cwnd / SEARCH_DIVISOR;
                target = target.max(u64::from(least.max(epoch.w_est)));
            }
            epoch.approach(window, target, delivered);
        }
        self.phase = Phase::Avoiding(epoch);
    }

    /// Congestion avoidance begins. RFC 9438 section 4.2.
    fn begin_epoch(&mut self, window: &Window, now: u32, undone: bool) -> Epoch {
        // RFC 9438 section 4.8 and section 4.10: without a plateau above us, this is one.
        if self.w_max != 0 && self.w_max < window.cwnd && !undone {
            self.w_max = window.cwnd;
        }
        let plateau = if self.w_max == 0 {
            window.cwnd
        } else {
            self.w_max
        };
        let to_plateau = time_for(window.cwnd.abs_diff(plateau), window.smss);
        let plateau_at = if window.cwnd <= plateau {
            now.wrapping_add(to_plateau)
        } else {
            now.wrapping_sub(to_plateau)
        };
        Epoch {
            plateau,
            plateau_at,
            last_ack: now,
            w_est: window.cwnd,
            w_est_delivered: 0,
            owed: 0,
        }
    }

    pub(super) fn on_congestion(&mut self, window: &mut Window, in_flight: u32, by: Congestion) {
        self.backoff.begin(window, by == Congestion::Loss);
        self.prior_w_max = self.w_max;
        let load = self.backoff.load(window, in_flight);
        // RFC 9438 section 4.7: a window that stays below the last plateau has new competitors,
        // which get room sooner if the next plateau is lower still.
        self.w_max = if load < self.w_max {
            scale(load, 17, 20)
        } else {
            load
        };
        // RFC 9438 section 4.6, with a factor of 0.7.
        window.reduce_threshold(scale(load, 7, 10));
        self.phase = Phase::Between { undone: false };
    }

    pub(super) fn on_timeout(&mut self, window: &mut Window, in_flight: u32) {
        // RFC 5681 section 3.1: the threshold is not cut twice for the loss of one window, be it
        // that the timer fires again or that it ends a fast recovery.
        if !self.backoff.open {
            self.on_congestion(window, in_flight, Congestion::Loss);
        } else if !self.backoff.undoable {
            self.prior_w_max = self.w_max;
            self.backoff.begin(window, true);
        }
        // RFC 9438 section 4.8: the curve starts afresh from where slow start will end.
        self.w_max = 0;
        window.cwnd = window.smss;
        self.phase = Phase::Between { undone: false };
    }

    pub(super) fn undo(&mut self, window: &mut Window) {
        if !self.backoff.undo(window) {
            return;
        }
        self.w_max = self.prior_w_max;
        self.phase = if window.ssthresh == u32::MAX {
            Phase::Starting(HyStart::new())
        } else {
            Phase::Between {
                undone: !window.in_slow_start(),
            }
        };
    }

    pub(super) fn on_recovery_end(&mut self) {
        self.backoff.open = false;
    }

    pub(super) fn on_idle(
        &mut self,
        window: &mut Window,
        now: Instant,
        idle: Duration,
        rto: Duration,
    ) {
        let before = window.cwnd;
        window.decay(idle, rto);
        if let Phase::Avoiding(epoch) = &mut self.phase {
            if window.cwnd < before {
                self.phase = Phase::Between { undone: false };
            } else {
                epoch.pause_until(millis(now));
            }
        }
    }
}

impl Epoch {
    /// Since the last acknowledgment there was too little to send: that time did not pass.
    fn pause_until(&mut self, now: u32) {
        let paused = now.wrapping_sub(self.last_ack);
        self.plateau_at = self.plateau_at.wrapping_add(paused);
        self.last_ack = now;
    }

    /// Milliseconds since the plateau; negative before it.
    fn time(&mut self, now: u32) -> i32 {
        let time = now.wrapping_sub(self.plateau_at).cast_signed();
        if time > MAX_TIME {
            // Keeps the difference from wrapping around in an epoch of weeks.
            self.plateau_at = now.wrapping_sub(MAX_TIME.unsigned_abs());
        }
        time.min(MAX_TIME)
    }

    /// RFC 9438 section 4.3: grows the estimate of Reno's window.
    ///
    /// Until it has reached the window before the reduction it grows by 9/17 of a segment each
    /// round trip, so that with the smaller reduction it averages what Reno does; then by one.
    fn follow_reno(&mut self, window: &Window, delivered: u32, cwnd_prior: u32) {
        let needed = if self.w_est < cwnd_prior {
            scale(window.cwnd, 17, 9)
        } else {
            window.cwnd
        };
        self.w_est_delivered = self.w_est_delivered.saturating_add(delivered);
        if self.w_est_delivered >= needed {
            self.w_est_delivered = (self.w_est_delivered - needed).min(needed);
            self.w_est = self.w_est.saturating_add(window.smss).min(MAX_CWND);
        }
    }

    /// RFC 9438 section 4.4: goes towards `target` so as to be there in a round trip, but not
    /// beyond one and a half times the window.
    fn approach(&mut self, window: &mut Window, target: u64, delivered: u32) {
        let cwnd = u64::from(window.cwnd.max(1));
        let distance = target.clamp(cwnd, cwnd + cwnd / 2) - cwnd;
        let owed = u64::from(self.owed) + distance * u64::from(delivered);
        self.owed = (owed % cwnd) as u32;
        window.grow((owed / cwnd) as u32);
    }
}

/// The curve `time` milliseconds after its plateau at `w_max`, in octets (RFC 9438 equation 1,
/// with C = 0.4 segments per cubed second).
fn curve(time: i32, w_max: u32, smss: u32) -> u64 {
    let time = i64::from(time.clamp(-MAX_TIME, MAX_TIME));
    // At most 2^58; then thousandths of a segment, at most 2^36.
    let above = time * time * time * 2 / 5_000_000;
    let octets = above * i64::from(smss) / 1_000;
    u64::try_from(i64::from(w_max) + octets).unwrap_or(0)
}

/// How long the curve takes for the last `octets` before its plateau, in milliseconds (RFC 9438
/// equation 2).
fn time_for(octets: u32, smss: u32) -> u32 {
    let cube = u64::from(octets.min(MAX_CWND)) * 2_500_000_000 / u64::from(smss.max(1));
    cube_root(cube).min(MAX_TIME.unsigned_abs())
}

/// The cube root, rounded down; exact up to 2^63.
fn cube_root(cube: u64) -> u32 {
    let mut root = 0_u64;
    for bit in (0..21).rev() {
        let larger = root | 1 << bit;
        if larger * larger * larger <= cube {
            root = larger;
        }
    }
    root as u32
}

fn scale(octets: u32, numerator: u64, denominator: u64) -> u32 {
    (u64::from(octets) * numerator / denominator) as u32
}

/// Milliseconds modulo 2^32.
fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}
