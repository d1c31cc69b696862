//! Round-trip times and the retransmission timeout (RFC 6298, RFC 7323 section 4).
//!
//! In: round-trip times as they are measured; timeouts. Out: the smoothed round-trip time, the
//! smallest of the last minutes, and how long to wait before sending again.
//!
//! The variation counts as at least the floor (200 ms unless configured): the timeout is always
//! that much above the smoothed time. RFC 6298 section 2.4 asks for a floor on the whole, of one
//! second; acknowledgments may be delayed up to the floor at any round-trip time, so it is the
//! distance that keeps timeouts from being premature.

use core::time::Duration;

use crate::time::Instant;

/// RFC 6298 section 2.1: before the first measurement.
pub(super) const INITIAL: Duration = Duration::from_secs(1);

/// RFC 6298 section 5.7: after a lost SYN, while nothing is measured.
const FALLBACK: Duration = Duration::from_secs(3);

/// Never longer than this, however often it was doubled (RFC 6298 section 2.5 allows it).
pub(super) const CEILING: Duration = Duration::from_mins(1);

/// Round trips are not longer than this: an echo that says so is of what was never sent, or of long
/// ago.
pub(super) const MAX_RTT_MILLIS: u32 = 60_000;

/// How long the smallest round-trip time counts.
const MINIMUM_LIVES: Duration = Duration::from_mins(5);

/// What is known of the round-trip time. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetransmissionTimeout {
    smoothed: u32,
    variation: u32,
    smallest: u32,
    floor: u32,
    /// How often the timeout was doubled.
    backoff: u8,
    /// When the smallest was measured.
    smallest_at: Instant,
}

impl RetransmissionTimeout {
    /// Nothing is known; the timeout will be `floor` above the round-trip time at least.
    pub(super) fn new(floor: Duration) -> Self {
        Self {
            smoothed: 0,
            variation: 0,
            smallest: 0,
            floor: micros(floor),
            backoff: 0,
            smallest_at: Instant::ZERO,
        }
    }

    /// The handshake took more than one attempt, and nothing was measured (RFC 6298 section 5.7).
    pub(super) fn fall_back(&mut self) {
        if self.smoothed == 0 {
            self.variation = micros(FALLBACK) / 4;
        }
    }

    /// Takes in a measured round-trip time.
    pub(super) fn measured(&mut self, now: Instant, time: Duration) {
        // What is too short to be measured still took some time.
        let time = micros(time).max(1);
        self.smooth(time);
        let expired = now.saturating_duration_since(self.smallest_at) > MINIMUM_LIVES;
        if self.smallest == 0 || time <= self.smallest || expired {
            self.smallest = time;
            self.smallest_at = now;
        }
    }

    /// Takes in a round-trip time in whole milliseconds, which cannot be the smallest.
    pub(super) fn measured_coarsely(&mut self, time: Duration) {
        self.smooth(micros(time).max(1));
    }

    fn smooth(&mut self, time: u32) {
        // RFC 6298 section 5: a measurement ends the doubling; by Karn's algorithm, an
        // acknowledgment of what was sent more than once does not.
        self.backoff = 0;
        if self.smoothed == 0 {
            // RFC 6298 section 2.2.
            self.smoothed = time;
            self.variation = time / 2;
        } else {
            // RFC 6298 section 2.3, with alpha 1/8 and beta 1/4.
            let difference = self.smoothed.abs_diff(time);
            self.variation = weighted(self.variation, difference, 4);
            self.smoothed = weighted(self.smoothed, time, 8).max(1);
        }
    }

    /// How long to wait for an acknowledgment.
    pub(super) fn timeout(&self) -> Duration {
        let base = self.base();
        base.saturating_mul(1 << self.backoff.min(16)).min(CEILING)
    }

    /// The same, as if no timeout had passed.
    pub(super) fn base(&self) -> Duration {
        if self.smoothed == 0 {
            return INITIAL.max(Duration::from_micros(4 * u64::from(self.variation)));
        }
        let margin = self.variation.saturating_mul(4).max(self.floor);
        Duration::from_micros(u64::from(self.smoothed) + u64::from(margin))
    }

    /// A timeout passed (RFC 6298 section 5.5).
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The timeouts were for nothing, or not of this timer.
    pub(super) fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// How often the timeout was doubled.
    pub(super) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The smoothed round-trip time.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        known(self.smoothed)
    }

    /// The variation of the round-trip time.
    pub(super) fn variation(&self) -> Duration {
        Duration::from_micros(u64::from(self.variation))
    }

    /// The smallest round-trip time of the last minutes.
    pub(super) fn smallest(&self) -> Option<Duration> {
        known(self.smallest)
    }
}

fn known(micros: u32) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(u64::from(micros)))
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The old value moved to the new one by a part.
fn weighted(old: u32, new: u32, part: u64) -> u32 {
    let sum = u64::from(old) * (part - 1) + u64::from(new);
    // Not above the larger of the two.
    (sum / part) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(200);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_measurement_counts_wholly() {
        let mut rto = RetransmissionTimeout::new(FLOOR);
        assert_eq!(rto.timeout(), INITIAL);
        rto.measured(Instant::from_millis(1), ms(300));
        assert_eq!(rto.smoothed(), Some(ms(300)));
        assert_eq!(rto.timeout(), ms(300 + 4 * 150));
    }

    #[test]
    fn a_steady_time_comes_down_to_the_floor_above_it() {
        let mut rto = RetransmissionTimeout::new(FLOOR);
        for at in 0..200 {
            rto.measured(Instant::from_millis(at), ms(20));
        }
        assert_eq!(rto.timeout(), ms(220));
    }

    #[test]
    fn timeouts_double_up_to_a_minute_and_an_ack_ends_that() {
        let mut rto = RetransmissionTimeout::new(FLOOR);
        rto.measured(Instant::ZERO, ms(100));
        rto.back_off();
        rto.back_off();
        assert_eq!(rto.timeout(), ms(4 * 300));
        for _ in 0..300 {
            rto.back_off();
        }
        assert_eq!(rto.timeout(), CEILING);
        rto.reset_backoff();
        assert_eq!(rto.timeout(), ms(300));
    }

    #[test]
    fn a_coarse_time_is_never_the_smallest() {
        let mut rto = RetransmissionTimeout::new(FLOOR);
        rto.measured(Instant::ZERO, Duration::from_micros(1900));
        rto.back_off();
        rto.measured_coarsely(ms(1));
        assert_eq!(rto.smallest(), Some(Duration::from_micros(1900)));
        assert!(rto.smoothed() < Some(Duration::from_micros(1900)));
        assert_eq!(rto.backoff(), 0);
    }

    #[test]
    fn the_smallest_time_is_forgotten_after_minutes() {
        let mut rto = RetransmissionTimeout::new(FLOOR);
        rto.measured(Instant::from_millis(0), ms(10));
        rto.measured(Instant::from_millis(1000), ms(50));
        assert_eq!(rto.smallest(), Some(ms(10)));
        rto.measured(Instant::from_millis(301_000), ms(50));
        assert_eq!(rto.smallest(), Some(ms(50)));
    }
}
