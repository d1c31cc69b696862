//! What BBR knows about the path: bandwidth, delay, and how much it holds.
//!
//! Bandwidth is the largest delivery rate of the last two probing cycles, delay the shortest round
//! trip of the last ten seconds. Losses bound both: a short-term bound follows what is delivered
//! while the flow just cruises and goes away when it next probes; a long-term bound is the most
//! that was in flight before probing caused too much loss. Section numbers are those of
//! draft-ietf-ccwg-bbr-06, rates are in octets a second, volumes in octets.

use core::time::Duration;

use super::super::super::rate::RateSample;
use super::super::{Acked, MAX_CWND, initial_window, micros};
use crate::tcp::seq;
use crate::time::Instant;

/// No bound, for volumes.
pub(super) const UNBOUNDED: u32 = u32::MAX;

/// Rates above this are not believed: a terabyte a second.
const MAX_RATE: u64 = 1 << 40;

/// How long a shortest round trip is remembered (section 5.5.7).
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);

/// How old the shortest round trip may get before it is looked for (section 5.3.4).
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// How much loss means that too much was in flight: one part in so many (`LossThresh`, 2 %).
const LOSS_THRESHOLD: u32 = 50;

/// Rounds in each half of the filter for aggregation (section 5.5.9: ten in all).
const EXTRA_ACKED_ROUNDS: u8 = 5;

/// The model of the path.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Octets delivered in all, modulo 2^32.
    pub delivered: u32,
    /// Round trips counted by packets (section 5.5.1).
    pub round_count: u32,
    /// Whether the current acknowledgment begins a round.
    pub round_start: bool,
    next_round_delivered: u32,
    /// The largest delivery rates of the last cycle and of this one.
    max_bw: [u64; 2],
    /// What the flow may count on: the largest rate within the short-term bound.
    pub bw: u64,
    /// Bounds from losses while not probing; `u64::MAX` and [`UNBOUNDED`] without any.
    pub bw_shortterm: u64,
    pub inflight_shortterm: u32,
    /// The most in flight that was safe when probing; [`UNBOUNDED`] before it was not.
    pub inflight_longterm: u32,
    /// The most of the current round that has a loss, or would have.
    bw_latest: u64,
    pub inflight_latest: u32,
    loss_round_delivered: u32,
    /// Whether the current acknowledgment ends such a round.
    pub loss_round_start: bool,
    loss_in_round: bool,
    /// Acknowledgments in this round that told of losses.
    pub loss_events: u8,
    pub min_rtt: MinRtt,
    extra_acked: [u32; 2],
    extra_acked_rounds: u8,
    extra_acked_delivered: u32,
    pub extra_acked_since: Instant,
    pub full_pipe: FullPipe,
}

/// The shortest round trip (section 5.3.4.3), in two filters: the shorter-lived one says when it has
/// to be looked for again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MinRtt {
    /// The shortest of the last ten seconds.
    pub shortest: Option<Duration>,
    at: Instant,
    /// The shortest since it was last looked for.
    recent: Option<Duration>,
    recent_at: Instant,
    /// Whether `recent` is out of date.
    pub is_due: bool,
}

/// Tells by a plateau of the delivery rate that the pipe is full (section 5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    bw: u64,
    rounds: u8,
    /// It is full now.
    pub now: bool,
    /// It has been full at least once.
    pub reached: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            delivered: 0,
            round_count: 0,
            round_start: false,
            next_round_delivered: 0,
            max_bw: [0; 2],
            bw: 0,
            bw_shortterm: u64::MAX,
            inflight_shortterm: UNBOUNDED,
            inflight_longterm: UNBOUNDED,
            bw_latest: 0,
            inflight_latest: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            loss_in_round: false,
            loss_events: 0,
            min_rtt: MinRtt::default(),
            extra_acked: [0; 2],
            extra_acked_rounds: 0,
            extra_acked_delivered: 0,
            extra_acked_since: Instant::ZERO,
            full_pipe: FullPipe::default(),
        }
    }

    /// The largest delivery rate of the last two cycles.
    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// Takes in a measurement: rounds, bandwidth, and what is delivered in a round with losses.
    /// `probing` says whether losses are the price of probing just now.
    pub(super) fn measure(&mut self, sample: &RateSample, cwnd: u32, probing: bool) {
        let rate = sample.rate.min(MAX_RATE);
        self.delivered = sample.total_delivered;
        // Section 5.5.10.3.
        self.bw_latest = self.bw_latest.max(rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        self.loss_round_start = seq::le(self.loss_round_delivered, sample.prior_delivered);
        if self.loss_round_start {
            self.loss_round_delivered = self.delivered;
        }
        self.round_start = seq::le(self.next_round_delivered, sample.prior_delivered);
        if self.round_start {
            self.start_round();
            self.round_count = self.round_count.wrapping_add(1);
        }
        // Section 5.5.5: an application that sends little shows at least that much bandwidth.
        if rate > 0 && (rate >= self.max_bw() || !sample.is_app_limited) {
            self.max_bw[1] = self.max_bw[1].max(rate);
        }
        if self.loss_round_start {
            if self.loss_in_round && !probing {
                self.lower_bounds(cwnd);
            }
            self.loss_in_round = false;
        }
    }

    /// Section 5.5.10.3: slows down to what gets through, but not by more than 30 %.
    fn lower_bounds(&mut self, cwnd: u32) {
        if self.bw_shortterm == u64::MAX {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == UNBOUNDED {
            self.inflight_shortterm = cwnd;
        }
        self.bw_shortterm = self.bw_latest.max(self.bw_shortterm / 10 * 7);
        self.inflight_shortterm = self.inflight_latest.max(beta(self.inflight_shortterm));
    }

    /// Ends the processing of an acknowledgment: a new round of losses, and the rate to count on.
    pub(super) fn advance(&mut self, sample: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = sample.rate.min(MAX_RATE);
            self.inflight_latest = sample.delivered;
            self.loss_events = 0;
        }
        self.bw = self.max_bw().min(self.bw_shortterm);
    }

    /// Something was lost, or marked.
    pub(super) fn note_loss(&mut self) {
        if !self.loss_in_round {
            self.loss_round_delivered = self.delivered;
        }
        self.loss_in_round = true;
        self.loss_events = self.loss_events.saturating_add(1);
    }

    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    pub(super) fn forget_congestion(&mut self) {
        self.loss_in_round = false;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    pub(super) fn forget_losses_of_round(&mut self) {
        self.loss_in_round = false;
    }

    pub(super) fn lift_shortterm_bounds(&mut self) {
        self.bw_shortterm = u64::MAX;
        self.inflight_shortterm = UNBOUNDED;
    }

    /// A cycle is over (section 5.5.6). One without a measurement does not count.
    pub(super) fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0 {
            self.max_bw = [self.max_bw[1], 0];
        }
    }

    /// Section 5.5.9: how much more comes acknowledged at once than the bandwidth explains.
    pub(super) fn update_aggregation(&mut self, ack: &Acked, cwnd: u32) {
        let rounds = if self.full_pipe.reached {
            EXTRA_ACKED_ROUNDS
        } else {
            1
        };
        if self.round_start {
            self.extra_acked_rounds += 1;
            if self.extra_acked_rounds >= rounds {
                self.extra_acked_rounds = 0;
                self.extra_acked = [self.extra_acked[1], 0];
            }
        }
        let since = ack.now.saturating_duration_since(self.extra_acked_since);
        let mut expected = volume(self.bw, since);
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_since = ack.now;
            expected = 0;
        }
        self.extra_acked_delivered = self.extra_acked_delivered.saturating_add(ack.delivered);
        let extra = (self.extra_acked_delivered - expected).min(cwnd);
        self.extra_acked[1] = self.extra_acked[1].max(extra);
    }

    pub(super) fn extra_acked(&self) -> u32 {
        self.extra_acked[0].max(self.extra_acked[1])
    }

    /// So many per cent of the bandwidth-delay product; of the initial window before there is one.
    pub(super) fn bdp(&self, percent: u32, smss: u32) -> u32 {
        let bdp = self.min_rtt.shortest.map_or_else(
            || initial_window(smss).min(MAX_CWND),
            |rtt| volume(self.bw, rtt),
        );
        (u64::from(bdp) * u64::from(percent) / 100).min(u64::from(MAX_CWND)) as u32
    }
}

impl MinRtt {
    pub(super) fn update(&mut self, rtt: Option<Duration>, now: Instant) {
        self.is_due = self.recent.is_some() && now > self.recent_at + PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (self.is_due || self.recent.is_none_or(|recent| rtt < recent))
        {
            self.recent = Some(rtt);
            self.recent_at = now;
        }
        let is_old = now > self.at + MIN_RTT_FILTER;
        if let Some(recent) = self.recent
            && (is_old || self.shortest.is_none_or(|shortest| recent < shortest))
        {
            self.shortest = Some(recent);
            self.at = self.recent_at;
        }
    }

    /// It was looked for: the next time is due an interval after `now`.
    pub(super) fn refreshed(&mut self, now: Instant) {
        self.recent_at = now;
    }
}

impl FullPipe {
    /// Starts looking, with the rate that has to be exceeded clearly.
    pub(super) fn reset(&mut self, bw: u64) {
        self.bw = bw.min(MAX_RATE);
        self.rounds = 0;
        self.now = false;
    }

    /// To be called for the first measurement of a round that is not limited by the application.
    pub(super) fn check(&mut self, rate: u64) {
        if self.now {
            return;
        }
        if rate.min(MAX_RATE) >= self.bw + self.bw / 4 {
            self.reset(rate);
            return;
        }
        self.rounds = self.rounds.saturating_add(1);
        self.now = self.rounds >= 3;
        self.reached |= self.now;
    }
}

/// Whether the losses since a segment was sent say that too much was in flight then (section
/// 5.5.10.2).
///
/// What was in flight when the segment was sent has been delivered or lost when it is
/// acknowledged, so the measurement has it.
pub(super) fn is_inflight_too_high(sample: &RateSample) -> bool {
    sample.lost > sample.delivered.saturating_add(sample.lost) / LOSS_THRESHOLD
}

/// How much may be in flight by a measurement with too many losses: what was delivered, and the
/// losses that are tolerated with it.
pub(super) fn safe_inflight(sample: &RateSample) -> u32 {
    let tolerated = sample.delivered / (LOSS_THRESHOLD - 1);
    sample.delivered.saturating_add(tolerated).min(MAX_CWND)
}

/// A volume reduced as CUBIC would reduce it.
pub(super) fn beta(octets: u32) -> u32 {
    (u64::from(octets) * 7 / 10) as u32
}

/// Octets that pass at `rate` in `time`, up to the largest window.
fn volume(rate: u64, time: Duration) -> u32 {
    // A product that saturates is beyond the largest window anyway.
    let octets = rate.saturating_mul(u64::from(micros(time))) / 1_000_000;
    octets.min(u64::from(MAX_CWND)) as u32
}
