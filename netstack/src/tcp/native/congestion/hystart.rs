//! HyStart++ (RFC 9406): leaves slow start before it overflows the bottleneck's queue.
//!
//! Once a round, the shortest round-trip time is compared with the round before. If it rose by an
//! eighth (at least 4 ms, at most 16 ms), a queue is probably building up: growth slows down to a
//! quarter ("conservative slow start"). If the rise goes away, it was noise, and slow start goes
//! on; if it lasts for a second round, slow start is over. A round with fewer than eight measurements
//! decides nothing, so a peer that acknowledges rarely is left to plain slow start.
//!
//! Section 4.3 recommends five rounds, in which the window grows threefold: several flows that
//! start together then fill any queue to the brim, and each loses a hundred segments and more. Two
//! rounds tell noise from a queue, and CUBIC goes on searching from there (see [`super::cubic`]).
//!
//! The limit on growth per acknowledgment is left out, as section 4.3 says for paced senders.
//! Only the first slow start of a connection uses this: later ones have a threshold.

use core::time::Duration;

use super::{Acked, micros};
use crate::tcp::seq;

/// The state of a first slow start.
#[derive(Clone, Copy, Debug)]
pub(super) struct HyStart {
    /// The round ends when this is acknowledged.
    window_end: u32,
    /// In slow start the shortest round trip of the last round, in conservative slow start the one
    /// that caused it; in microseconds, `u32::MAX` if unknown.
    reference: u32,
    /// Shortest round trip of this round, in microseconds; `u32::MAX` if there was none.
    current: u32,
    /// Measurements in this round, up to [`N_RTT_SAMPLE`].
    samples: u8,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// No acknowledgment yet, so there is no round.
    New,
    SlowStart,
    /// Conservative slow start, with the number of rounds that have begun in it.
    Conservative(u8),
}

/// What an acknowledgment means for slow start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Growth {
    /// Grow by what was delivered.
    Full,
    /// Grow by this fraction of it: one over the number.
    Divided(u32),
    /// Slow start is over.
    Done,
}

const MIN_RTT_THRESH: u32 = 4_000;
const MAX_RTT_THRESH: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 2;

impl HyStart {
    pub(super) fn new() -> Self {
        Self {
            window_end: 0,
            reference: u32::MAX,
            current: u32::MAX,
            samples: 0,
            phase: Phase::New,
        }
    }

    /// Takes in an acknowledgment.
    pub(super) fn on_ack(&mut self, ack: &Acked) -> Growth {
        let growth = self.follow_rounds(ack);
        if let Some(rtt) = ack.rtt {
            self.measure(rtt);
        }
        growth
    }

    /// RFC 9406 section 4.2: a round ends when what was sent at its beginning is acknowledged.
    fn follow_rounds(&mut self, ack: &Acked) -> Growth {
        let round_ended = self.phase == Phase::New || seq::le(self.window_end, ack.snd_una);
        if round_ended {
            self.window_end = ack.snd_nxt;
        }
        match self.phase {
            Phase::New => self.phase = Phase::SlowStart,
            Phase::SlowStart if round_ended => {
                self.reference = self.current;
                self.forget_round();
            }
            Phase::Conservative(CSS_ROUNDS..) if round_ended => return Growth::Done,
            Phase::Conservative(rounds) if round_ended => {
                self.phase = Phase::Conservative(rounds + 1);
                self.forget_round();
            }
            Phase::SlowStart | Phase::Conservative(_) => {}
        }
        match self.phase {
            Phase::Conservative(_) => Growth::Divided(CSS_GROWTH_DIVISOR),
            Phase::New | Phase::SlowStart => Growth::Full,
        }
    }

    fn forget_round(&mut self) {
        self.current = u32::MAX;
        self.samples = 0;
    }

    fn measure(&mut self, rtt: Duration) {
        self.current = self.current.min(micros(rtt));
        self.samples = self.samples.saturating_add(1).min(N_RTT_SAMPLE);
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.phase {
            Phase::SlowStart => {
                let threshold =
                    (self.reference / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                // Saturation keeps an unknown reference above everything but an unknown round.
                if self.current >= self.reference.saturating_add(threshold) {
                    self.reference = self.current;
                    // The round in which it begins counts as one.
                    self.phase = Phase::Conservative(1);
                }
            }
            // RFC 9406 section 4.2: back below the baseline, so the rise was noise. The round that
            // showed so is what the next rise is measured against.
            Phase::Conservative(_) if self.current < self.reference => {
                self.reference = self.current;
                self.phase = Phase::SlowStart;
            }
            Phase::New | Phase::Conservative(_) => {}
        }
    }
}
