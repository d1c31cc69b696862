//! What BBR does with its model: the pacing rate, and `cwnd` (sections 5.6.2 and 5.6.4).

use core::time::Duration;

use super::super::super::pacing::Pacer;
use super::super::{Acked, MAX_CWND, Window, initial_window, micros};
use super::model::UNBOUNDED;
use super::{Bbr, STARTUP_GAIN, State};

/// Sends a little less than was measured, to keep queues from building up (section 5.6.2).
const PACING_MARGIN: u64 = 99;

impl Bbr {
    pub(in super::super) fn pacing_rate(
        &self,
        window: &Window,
        srtt: Option<Duration>,
    ) -> Option<u64> {
        if self.pacing_rate > 0 {
            Some(self.pacing_rate)
        } else {
            initial_rate(window, srtt)
        }
    }

    /// Section 5.6.2: until the pipe has been full, the rate only grows.
    pub(super) fn set_pacing_rate(&mut self, gain: u64) {
        let rate = self.model.bw * gain / 100 * PACING_MARGIN / 100;
        if rate > self.pacing_rate || (self.model.full_pipe.reached && rate > 0) {
            self.pacing_rate = rate;
        }
    }

    /// Section 5.6.4.6.
    pub(super) fn set_cwnd(&self, window: &mut Window, ack: &Acked) {
        let extra = self.model.extra_acked();
        let bdp = self.model.bdp(self.state.cwnd_gain(), window.smss);
        let most = self.at_least_quanta(window, bdp.saturating_add(extra).min(MAX_CWND));
        let grown = window.cwnd.saturating_add(ack.delivered);
        if self.model.full_pipe.reached {
            window.cwnd = grown.min(most);
        } else if window.cwnd < most || self.delivered < initial_window(window.smss) {
            window.cwnd = grown;
        }
        window.cwnd = window.cwnd.clamp(min_pipe(window), MAX_CWND);
        self.bound_cwnd(window);
    }

    /// Sections 5.6.4.5 and 5.6.4.7.
    pub(super) fn bound_cwnd(&self, window: &mut Window) {
        if self.state == State::ProbeRtt {
            window.cwnd = window.cwnd.min(self.probe_rtt_cwnd(window));
        }
        let longterm = match self.state {
            State::Startup | State::Drain => UNBOUNDED,
            State::Down | State::Refill | State::Up => self.model.inflight_longterm,
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(window),
        };
        let most = longterm
            .min(self.model.inflight_shortterm)
            .max(min_pipe(window));
        window.cwnd = window.cwnd.min(most);
    }

    /// Section 5.6.4.2: what has to be in flight for so many per cent of the bandwidth.
    pub(super) fn inflight(&self, window: &Window, percent: u32) -> u32 {
        self.at_least_quanta(window, self.model.bdp(percent, window.smss))
    }

    /// Segments leave and are acknowledged several at once; that needs some of them in flight.
    fn at_least_quanta(&self, window: &Window, inflight: u32) -> u32 {
        let quantum = Pacer::quantum(window.smss, Some(self.pacing_rate));
        let most = inflight
            .max(quantum.saturating_mul(3))
            .max(min_pipe(window));
        if self.state == State::Up {
            most.saturating_add(window.smss.saturating_mul(2))
        } else {
            most
        }
    }

    /// Leaves 15 % of the long-term bound to others.
    pub(super) fn inflight_with_headroom(&self, window: &Window) -> u32 {
        let longterm = self.model.inflight_longterm;
        if longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = (longterm / 20 * 3).max(window.smss);
        longterm.saturating_sub(headroom).max(min_pipe(window))
    }

    pub(super) fn target_inflight(&self, window: &Window) -> u32 {
        self.model.bdp(100, window.smss).min(window.cwnd)
    }

    pub(super) fn probe_rtt_cwnd(&self, window: &Window) -> u32 {
        let half = self.model.bdp(State::ProbeRtt.cwnd_gain(), window.smss);
        half.max(min_pipe(window))
    }
}

/// Four segments: with less, delayed acknowledgments stop the flow (section 5.6.4.3).
fn min_pipe(window: &Window) -> u32 {
    window.smss.saturating_mul(4)
}

/// Section 5.6.2: the initial window in a round trip, with the gain of Startup.
pub(super) fn initial_rate(window: &Window, srtt: Option<Duration>) -> Option<u64> {
    let octets = u64::from(initial_window(window.smss)) * STARTUP_GAIN / 100;
    Some((octets * 1_000_000 / u64::from(micros(srtt?)).max(1)).max(1))
}
