//! The one timer of a send half: retransmission, loss probe, reordering, or persist.
//!
//! They exclude each other: a connection waits for an acknowledgment, or, with nothing in flight,
//! for the window to open. In: what was sent and acknowledged. Out: the time, and what is to be
//! done when it has come ([`SendHalf::handle_timer`]).

use core::time::Duration;

use super::recovery::Phase;
use super::transmit::{Fin, SendHalf};
use crate::io::Payload;
use crate::time::Instant;

/// RFC 8985 section 7.2: how long a peer may keep an acknowledgment to itself.
const WORST_DELAYED_ACK: Duration = Duration::from_millis(200);

/// Before the first measurement of the round-trip time (RFC 8985 section 7.2).
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// What a send half waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Timer {
    /// Nothing.
    Off,
    /// An acknowledgment; then everything is lost (RFC 6298).
    Retransmission(Instant),
    /// An acknowledgment; then the tail may be lost (RFC 8985 section 7). The retransmission
    /// timeout would come at the second time.
    LossProbe(Instant, Instant),
    /// Segments that may only be late; then they are lost (RFC 8985 section 6.3). The
    /// retransmission timeout would come at the second time.
    Reordering(Instant, Instant),
    /// The peer's window to open (RFC 9293 section 3.8.6.1).
    Persist(Instant),
}

/// What a timer that has fired asks for besides what the half does by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fired {
    /// It was not time yet, or nothing else is to be done.
    Nothing,
    /// The window is to be asked about by a segment without payload.
    WindowProbe,
    /// A retransmission timeout passed.
    Timeout,
}

impl Timer {
    /// When it fires.
    pub(super) fn at(self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::Retransmission(at)
            | Self::LossProbe(at, _)
            | Self::Reordering(at, _)
            | Self::Persist(at) => Some(at),
        }
    }

    /// When the retransmission timeout passes, if it runs.
    fn retransmission(self) -> Option<Instant> {
        match self {
            Self::Off | Self::Persist(_) => None,
            Self::Retransmission(at) | Self::LossProbe(_, at) | Self::Reordering(_, at) => Some(at),
        }
    }
}

impl<P: Payload> SendHalf<P> {
    /// Sets the timer after a segment was sent; `idle` if nothing was in flight before it.
    pub(super) fn timer_after_sending(&mut self, now: Instant, idle: bool, again: bool) {
        let running = self.timer.retransmission().filter(|_| !idle);
        // RFC 6298 section 5.1: if the timer is not running, start it. A first segment that is
        // sent again starts it anew.
        let at = match running {
            Some(at) if !again || self.loss_probe.is_some() => at,
            _ => now + self.rto.timeout(),
        };
        self.timer = match self.timer {
            Timer::Reordering(reordering, _) if !idle => Timer::Reordering(reordering, at),
            _ => self.probe_or_wait(now, at),
        };
    }

    /// Sets the timer after an acknowledgment. `reordering` is how long RACK wants to wait;
    /// `progress` whether anything was delivered.
    pub(super) fn timer_after_ack(
        &mut self,
        now: Instant,
        reordering: Option<Duration>,
        progress: bool,
    ) {
        if self.board.is_empty() {
            let probing = matches!(self.timer, Timer::Persist(_));
            self.timer = self.persist(now);
            // The intervals of window probes are not those of retransmissions.
            if probing && self.timer == Timer::Off {
                self.rto.reset_backoff();
            }
            return;
        }
        // RFC 6298 section 5.3: restart it when something new is acknowledged.
        let at = match self.timer.retransmission() {
            Some(at) if !progress => at,
            _ => now + self.rto.timeout(),
        };
        self.timer = match reordering {
            Some(wait) => Timer::Reordering((now + wait).min(at), at),
            None if progress || !matches!(self.timer, Timer::LossProbe(..)) => {
                self.probe_or_wait(now, at)
            }
            None => self.timer,
        };
    }

    /// A loss probe if one may be sent (RFC 8985 section 7.2), else the retransmission timeout.
    fn probe_or_wait(&self, now: Instant, at: Instant) -> Timer {
        let may = self.sack
            && matches!(self.phase, Phase::Open)
            && self.board.sacked() == 0
            && self.loss_probe.is_none()
            && self.rto.backoff() == 0;
        if !may {
            return Timer::Retransmission(at);
        }
        let mut wait = self.rto.smoothed().map_or(FIRST_PROBE, |srtt| srtt * 2);
        if self.board.len() == 1 && self.outstanding() <= self.window.smss {
            wait += WORST_DELAYED_ACK;
        } else {
            wait += Duration::from_millis(2);
        }
        // RFC 8985 section 7.2: a probe comes in place of the timeout that would come before it.
        Timer::LossProbe((now + wait).min(at), at)
    }

    /// Nothing is in flight: wait for the window if it is what holds the rest back.
    fn persist(&self, now: Instant) -> Timer {
        let waiting = self.unsent() + u32::from(self.fin == Fin::Queued);
        let held_back = waiting > 0 && self.usable() < waiting;
        if !held_back || self.fin == Fin::Acknowledged {
            return Timer::Off;
        }
        match self.timer {
            Timer::Persist(at) if self.rto.backoff() > 0 => Timer::Persist(at),
            _ => Timer::Persist(now + self.rto.timeout()),
        }
    }

    /// Starts to wait for the window if nothing was sent because of it.
    pub(super) fn timer_when_held_back(&mut self, now: Instant) {
        if self.board.is_empty() && self.timer == Timer::Off {
            self.timer = self.persist(now);
        }
    }

    /// Does what the timer was set for, if its time has come.
    pub(super) fn handle_timer(&mut self, now: Instant) -> Fired {
        match self.timer {
            Timer::Retransmission(at) if at <= now => {
                self.time_out(now);
                Fired::Timeout
            }
            Timer::LossProbe(at, after) if at <= now => {
                self.probe = true;
                let after = if after > now {
                    after
                } else {
                    now + self.rto.timeout()
                };
                self.timer = Timer::Retransmission(after);
                self.tally.loss_probes = self.tally.loss_probes.saturating_add(1);
                Fired::Nothing
            }
            Timer::Reordering(at, after) if at <= now => {
                if after <= now {
                    self.time_out(now);
                    return Fired::Timeout;
                }
                self.timer = Timer::Retransmission(after);
                self.look_for_losses(now);
                Fired::Nothing
            }
            Timer::Persist(at) if at <= now => {
                // RFC 9293 section 3.8.6.1: at growing intervals, for as long as the peer answers.
                self.rto.back_off();
                self.tally.window_probes = self.tally.window_probes.saturating_add(1);
                self.timer = Timer::Persist(now + self.rto.timeout());
                if self.usable() > 0 {
                    self.probe = true;
                    return Fired::Nothing;
                }
                Fired::WindowProbe
            }
            _ => Fired::Nothing,
        }
    }
}
