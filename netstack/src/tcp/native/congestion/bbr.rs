//! BBR, version 3 (draft-ietf-ccwg-bbr-06): sends as fast as the path delivers, by a model of it.
//!
//! [`model`] keeps what is known of the path. Here are the states in which a flow explores it; the
//! pacing rate and `cwnd`, which follow from model and state, are in [`control`], and what losses do
//! beyond the model in [`recovery`].
//!
//! ```text
//!   Startup -> Drain -> Down -> Cruise -> Refill -> Up -+
//!                        ^                              |
//!                        +------------------------------+     any -> ProbeRtt -> Cruise | Startup
//! ```
//!
//! Unlike the draft, losses are not looked at segment by segment but acknowledgment by
//! acknowledgment, and what was in flight when a segment was sent is taken from the measurement
//! (what was delivered or lost until it was acknowledged) instead of being stored with each
//! segment. A congestion mark (RFC 3168), of which the draft says nothing, counts as a loss in its
//! round, and ends probing like too many losses. Section numbers are the draft's.

mod control;
mod model;
mod recovery;
#[cfg(test)]
mod tests;

use core::time::Duration;

use self::control::initial_rate;
use self::model::{Model, UNBOUNDED, beta, is_inflight_too_high, safe_inflight};
use self::recovery::Undo;
use super::super::rate::RateSample;
use super::{Acked, MAX_CWND, Window};
use crate::tcp::seq;
use crate::time::Instant;

/// BBR's state of a connection.
#[derive(Clone, Debug)]
pub(in super::super) struct Bbr {
    model: Model,
    state: State,
    /// State of the generator that spreads probes: never zero.
    random: u32,
    /// Octets a second; zero before the first measurement.
    pacing_rate: u64,
    /// Octets delivered since the start, up to the initial window: after that the model counts.
    delivered: u32,
    /// Octets in flight after the current acknowledgment.
    in_flight: u32,
    probe: Probe,
    probe_rtt: ProbeRtt,
    /// Until so much is delivered, measurements say little, as too little was in flight.
    limited_until: Option<u32>,
    idle_restart: bool,
    in_recovery: bool,
    /// The last `cwnd` before recovery or ProbeRTT cut it.
    prior_cwnd: u32,
    undo: Undo,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Doubles the rate each round, to find the bandwidth.
    Startup,
    /// Drains the queue that this made.
    Drain,
    /// Sends a little slower than the path delivers, to drain the queue and leave room.
    Down,
    /// Sends as fast as the path delivers.
    Cruise,
    /// The same for one round, without short-term bounds, to fill the pipe before it probes.
    Refill,
    /// Sends faster, to find more bandwidth.
    Up,
    /// Sends little, to find the round trip without a queue.
    ProbeRtt,
}

/// Which acknowledgments come in (section 5.3.3.9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum AckPhase {
    /// For data from before the probe, or long after it.
    Init,
    Refilling,
    /// Probing has begun; for data from before.
    Starting,
    /// For data of the probe.
    Feedback,
    /// Probing has ended; for data of the probe.
    Stopping,
}

/// A cycle of probing for bandwidth.
#[derive(Clone, Copy, Debug)]
struct Probe {
    ack_phase: AckPhase,
    /// When the cycle began, and how long it lasts unless rounds end it.
    cycle_at: Instant,
    wait: Duration,
    /// `round_count` from which rounds are counted.
    since_round: u32,
    /// Whether too much loss now is the probe's fault, and has not been answered.
    is_sample: bool,
    /// The last probe caused too much loss.
    too_high: bool,
    /// The last probe ended early, because of that.
    precautionary: bool,
    up_rounds: u8,
    up_acked: u32,
    up_acked_per_inc: u32,
    drain_start_round: u32,
}

/// A stay in ProbeRTT.
#[derive(Clone, Copy, Debug, Default)]
struct ProbeRtt {
    /// When it has lasted long enough; `None` while too much is in flight.
    done_at: Option<Instant>,
    round_done: bool,
}

/// In ProbeRTT, so long with little in flight (section 5.3.4).
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// Acknowledgments with losses in a round that end Startup (section 5.3.1.3).
const STARTUP_LOSS_EVENTS: u8 = 6;

/// Rounds after which Drain ends whatever is in flight (section 5.3.2).
const DRAIN_ROUNDS: u32 = 3;

/// The most rounds between two probes, so that Reno flows have a chance (section 5.3.3.8.2).
const RENO_ROUNDS: u32 = 63;

const STARTUP_GAIN: u64 = 277;

impl State {
    fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// Whether losses are the price of looking for bandwidth.
    fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }

    /// In per cent of the bandwidth (section 5.6.1).
    fn pacing_gain(self) -> u64 {
        match self {
            Self::Startup => STARTUP_GAIN,
            Self::Drain => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
            Self::Up => 125,
        }
    }

    /// In per cent of the bandwidth-delay product (section 5.6.1).
    fn cwnd_gain(self) -> u32 {
        match self {
            Self::Up => 225,
            Self::ProbeRtt => 50,
            _ => 200,
        }
    }
}

impl Bbr {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            model: Model::new(),
            state: State::Startup,
            random: seed.wrapping_mul(0x9e37_79b9) | 1,
            pacing_rate: 0,
            delivered: 0,
            in_flight: 0,
            probe: Probe {
                ack_phase: AckPhase::Init,
                cycle_at: Instant::ZERO,
                wait: Duration::ZERO,
                since_round: 0,
                is_sample: false,
                too_high: false,
                precautionary: false,
                up_rounds: 0,
                up_acked: 0,
                up_acked_per_inc: UNBOUNDED,
                drain_start_round: 0,
            },
            probe_rtt: ProbeRtt::default(),
            limited_until: None,
            idle_restart: false,
            in_recovery: false,
            prior_cwnd: 0,
            undo: Undo::default(),
        }
    }

    pub(super) fn on_ack(&mut self, window: &mut Window, ack: &Acked) {
        self.in_flight = ack
            .in_flight
            .saturating_sub(ack.delivered)
            .saturating_sub(ack.lost);
        self.delivered = self.delivered.saturating_add(ack.delivered);
        if self.pacing_rate == 0 {
            self.pacing_rate = initial_rate(window, ack.srtt).unwrap_or(0);
        }
        if ack.lost > 0 || ack.ce {
            self.model.note_loss();
        }
        if let Some(sample) = ack.rate {
            let sample = self.judge(sample);
            self.update_model_and_state(window, ack, &sample);
        }
        self.set_pacing_rate(self.state.pacing_gain());
        self.set_cwnd(window, ack);
    }

    /// What was measured while this kept too little in flight is marked as limited.
    fn judge(&mut self, mut sample: RateSample) -> RateSample {
        if let Some(until) = self.limited_until {
            if seq::lt(until, sample.prior_delivered) {
                self.limited_until = None;
            } else {
                sample.is_app_limited = true;
            }
        }
        sample
    }

    /// Section 5.2.3.
    fn update_model_and_state(&mut self, window: &mut Window, ack: &Acked, sample: &RateSample) {
        self.model
            .measure(sample, window.cwnd, self.state.is_probing());
        self.model.update_aggregation(ack, window.cwnd);
        if self.model.round_start && !sample.is_app_limited && sample.rate > 0 {
            self.model.full_pipe.check(sample.rate);
        }
        self.check_startup(window, ack, sample);
        self.check_drain(window, ack.now);
        self.update_probe_bw(window, ack, sample);
        self.model.min_rtt.update(ack.rtt, ack.now);
        self.check_probe_rtt(window, ack.now);
        self.model.advance(sample);
    }

    /// Sections 5.3.1.2 and 5.3.1.3: Startup ends at a plateau, or at too many losses.
    fn check_startup(&mut self, window: &Window, ack: &Acked, sample: &RateSample) {
        if self.state != State::Startup {
            return;
        }
        let too_many_losses = self.in_recovery
            && self.model.loss_round_start
            && self.model.loss_events >= STARTUP_LOSS_EVENTS
            && is_inflight_too_high(sample);
        if too_many_losses {
            self.undo.state = Some(State::Startup);
        }
        if too_many_losses || ack.ce {
            self.model.full_pipe.reached = true;
            let safe = self.model.inflight_latest.min(MAX_CWND);
            self.model.inflight_longterm = self.model.bdp(100, window.smss).max(safe);
        }
        if self.model.full_pipe.reached {
            self.state = State::Drain;
            self.probe.drain_start_round = self.model.round_count;
        }
    }

    /// Section 5.3.2.
    fn check_drain(&mut self, window: &Window, now: Instant) {
        let rounds = self
            .model
            .round_count
            .wrapping_sub(self.probe.drain_start_round);
        if self.state == State::Drain
            && (self.in_flight <= self.inflight(window, 100) || rounds > DRAIN_ROUNDS)
        {
            self.start_down(now);
        }
    }

    /// Section 5.3.3.9.
    fn update_probe_bw(&mut self, window: &Window, ack: &Acked, sample: &RateSample) {
        if !self.model.full_pipe.reached
            || self.adapt_longterm(window, ack, sample)
            || !self.state.is_probe_bw()
        {
            return;
        }
        match self.state {
            State::Down | State::Cruise if self.is_time_to_probe(window, ack.now) => {
                self.start_refill();
            }
            State::Down if self.is_time_to_cruise(window) => self.state = State::Cruise,
            State::Refill if self.model.round_start => {
                self.probe.is_sample = true;
                self.start_up(window, sample);
            }
            State::Up => self.check_up(window, ack, sample),
            _ => {}
        }
    }

    fn start_down(&mut self, now: Instant) {
        self.model.forget_congestion();
        self.probe.up_acked_per_inc = UNBOUNDED;
        // Section 5.3.3.8: two to three seconds, and a round more or less, at random.
        let random = self.next_random();
        self.probe.wait = Duration::from_millis(2_000 + u64::from(random >> 8) % 1_000);
        self.probe.since_round = self.model.round_count.wrapping_sub(random & 1);
        self.probe.cycle_at = now;
        self.probe.ack_phase = AckPhase::Stopping;
        self.model.start_round();
        self.state = State::Down;
    }

    fn start_refill(&mut self) {
        self.model.lift_shortterm_bounds();
        self.probe.up_rounds = 0;
        self.probe.up_acked = 0;
        self.probe.precautionary = false;
        self.probe.ack_phase = AckPhase::Refilling;
        self.model.start_round();
        self.state = State::Refill;
    }

    fn start_up(&mut self, window: &Window, sample: &RateSample) {
        self.probe.ack_phase = AckPhase::Starting;
        self.model.start_round();
        self.model.full_pipe.reset(sample.rate);
        self.state = State::Up;
        self.raise_slope(window);
    }

    fn is_time_to_probe(&self, window: &Window, now: Instant) -> bool {
        // As often as a Reno flow of this size would lose something.
        let target = self.target_inflight(window) / window.smss.max(1);
        let rounds = self.model.round_count.wrapping_sub(self.probe.since_round);
        now > self.probe.cycle_at + self.probe.wait || rounds >= target.min(RENO_ROUNDS)
    }

    fn is_time_to_cruise(&self, window: &Window) -> bool {
        self.in_flight <= self.inflight_with_headroom(window)
            && self.in_flight <= self.inflight(window, 100)
    }

    /// Section 5.3.3.7, except for losses: ends the probe if it has gone far enough.
    fn check_up(&mut self, window: &Window, ack: &Acked, sample: &RateSample) {
        let longterm = self.model.inflight_longterm;
        // Section 5.3.3.6: last time this much was too much, so look before staying here.
        let is_risky = self.probe.too_high && self.in_flight >= longterm;
        if !is_risky && ack.cwnd_limited && window.cwnd >= longterm {
            // It is the bound that keeps the rate from growing, not the path.
            self.model.full_pipe.reset(sample.rate);
        }
        if is_risky || self.model.full_pipe.now {
            self.probe.precautionary |= is_risky;
            self.probe.too_high = false;
            self.start_down(ack.now);
        }
    }

    /// Section 5.3.3.9: follows the probe through its acknowledgments, and moves the long-term
    /// bound. Says whether it changed the state.
    fn adapt_longterm(&mut self, window: &Window, ack: &Acked, sample: &RateSample) -> bool {
        if self.model.round_start {
            match self.probe.ack_phase {
                AckPhase::Starting => self.probe.ack_phase = AckPhase::Feedback,
                AckPhase::Stopping => {
                    self.probe.is_sample = false;
                    self.probe.ack_phase = AckPhase::Init;
                    if self.state.is_probe_bw() && !sample.is_app_limited {
                        self.model.advance_max_bw();
                    }
                    // Section 5.3.3.6: nothing happened, so probe in earnest now.
                    if self.state.is_probe_bw() && self.probe.precautionary && !self.probe.too_high
                    {
                        self.start_refill();
                        return true;
                    }
                }
                AckPhase::Init | AckPhase::Refilling | AckPhase::Feedback => {}
            }
        }
        if is_inflight_too_high(sample) || ack.ce {
            return self.probe.is_sample && self.handle_inflight_too_high(window, ack.now, sample);
        }
        if self.model.inflight_longterm != UNBOUNDED {
            let proven = sample.delivered.saturating_add(sample.lost).min(MAX_CWND);
            self.model.inflight_longterm = self.model.inflight_longterm.max(proven);
            if self.state == State::Up {
                self.probe_upward(window, ack);
            }
        }
        false
    }

    /// Section 5.5.10.2: probing lost too much. Says whether it changed the state.
    fn handle_inflight_too_high(
        &mut self,
        window: &Window,
        now: Instant,
        sample: &RateSample,
    ) -> bool {
        self.probe.too_high = true;
        self.probe.is_sample = false;
        if !sample.is_app_limited {
            let least = beta(self.target_inflight(window));
            self.model.inflight_longterm = safe_inflight(sample).max(least);
        }
        let was_up = self.state == State::Up;
        if was_up {
            self.undo.state = Some(State::Up);
            self.start_down(now);
        }
        was_up
    }

    /// Section 5.3.3.5: raises the long-term bound while it is what limits the flow.
    fn probe_upward(&mut self, window: &Window, ack: &Acked) {
        if !ack.cwnd_limited || window.cwnd < self.model.inflight_longterm {
            return;
        }
        self.probe.up_acked = self.probe.up_acked.saturating_add(ack.delivered);
        let steps = self.probe.up_acked / self.probe.up_acked_per_inc.max(1);
        self.probe.up_acked -= steps * self.probe.up_acked_per_inc;
        let raised = self
            .model
            .inflight_longterm
            .saturating_add(steps.saturating_mul(window.smss));
        self.model.inflight_longterm = raised.min(MAX_CWND);
        if self.model.round_start {
            self.raise_slope(window);
        }
    }

    /// Twice as many segments a round as in the round before.
    fn raise_slope(&mut self, window: &Window) {
        let growth = 1 << self.probe.up_rounds;
        self.probe.up_rounds = (self.probe.up_rounds + 1).min(30);
        self.probe.up_acked_per_inc = (window.cwnd / growth).max(window.smss).max(1);
    }

    /// Section 5.3.4.3.
    fn check_probe_rtt(&mut self, window: &mut Window, now: Instant) {
        if self.state != State::ProbeRtt && self.model.min_rtt.is_due && !self.idle_restart {
            self.save_cwnd(window);
            self.state = State::ProbeRtt;
            self.probe_rtt = ProbeRtt::default();
            self.probe.ack_phase = AckPhase::Stopping;
            self.model.start_round();
        }
        self.idle_restart = false;
        if self.state != State::ProbeRtt {
            return;
        }
        // What is measured here says nothing about the bandwidth.
        self.limited_until = Some(self.model.delivered.wrapping_add(self.in_flight));
        if self.probe_rtt.done_at.is_some() {
            self.probe_rtt.round_done |= self.model.round_start;
            if self.probe_rtt.round_done {
                self.check_probe_rtt_done(window, now);
            }
        } else if self.in_flight <= self.probe_rtt_cwnd(window) {
            self.probe_rtt = ProbeRtt {
                done_at: Some(now + PROBE_RTT_DURATION),
                round_done: false,
            };
            self.model.start_round();
        }
    }

    fn check_probe_rtt_done(&mut self, window: &mut Window, now: Instant) {
        if self.probe_rtt.done_at.is_none_or(|at| now <= at) {
            return;
        }
        self.model.min_rtt.refreshed(now);
        self.restore_cwnd(window);
        // Section 5.3.4.4: with little in flight there is no queue to drain.
        self.model.lift_shortterm_bounds();
        if self.model.full_pipe.reached {
            self.start_down(now);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }

    /// Section 5.4.1: goes on at the rate that was known, without a burst.
    pub(super) fn on_idle(&mut self, window: &mut Window, now: Instant) {
        self.idle_restart = true;
        self.model.extra_acked_since = now;
        if self.state.is_probe_bw() {
            self.set_pacing_rate(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(window, now);
        }
    }

    /// Marsaglia's xorshift.
    fn next_random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}
