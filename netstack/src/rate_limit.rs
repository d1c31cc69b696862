//! A token bucket: how often something may be done that a stranger provokes.
//!
//! Used for ICMP errors (RFC 4443 section 2.4(f) requires a limit, RFC 1812 section 4.3.2.8 wants
//! one) and for TCP resets. Time is an argument; nothing has to be called while the bucket fills.

use core::time::Duration;

use crate::time::Instant;

/// Allows so many events a second, and a burst after a pause.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Time in which one token drips in; `None` if none ever does.
    interval: Option<Duration>,
    /// How far the bucket may be ahead of an even pace: the time in which it fills, less one token.
    tolerance: Duration,
    /// When the next event would be due at an even pace. Invariant: never more than `tolerance`
    /// plus `interval` after the time of the last allowed event.
    due: Instant,
}

impl RateLimit {
    /// A full bucket of `burst` tokens (at least one) that gets `per_second` tokens a second.
    /// With `per_second` zero nothing is ever allowed.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = (per_second != 0).then(|| Duration::from_secs(1) / per_second);
        let tolerance = interval.unwrap_or_default() * burst.saturating_sub(1);
        Self {
            interval,
            tolerance,
            due: Instant::ZERO,
        }
    }

    /// Takes a token, if there is one. The caller does the thing only if this is `true`.
    pub fn allow(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else {
            return false;
        };
        let due = self.due.max(now);
        if due.saturating_duration_since(now) > self.tolerance {
            return false;
        }
        self.due = due + interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut limit = RateLimit::new(10, 3);
        let passed = |limit: &mut RateLimit, millis| {
            (0..10)
                .filter(|_| limit.allow(Instant::from_millis(millis)))
                .count()
        };
        assert_eq!(passed(&mut limit, 5_000), 3);
        assert_eq!(passed(&mut limit, 5_099), 0);
        assert_eq!(passed(&mut limit, 5_100), 1);
        assert_eq!(passed(&mut limit, 5_250), 1);
        assert_eq!(passed(&mut limit, 5_300), 1, "half a token was kept");
        assert_eq!(
            passed(&mut limit, 60_000),
            3,
            "the bucket does not overflow"
        );
    }

    #[test]
    fn zero_allows_nothing() {
        let mut limit = RateLimit::new(0, 100);
        assert!(!limit.allow(Instant::from_millis(1)));
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst(
            per_second in 1_u32..1000,
            burst in 1_u32..50,
            steps in vec(0_u64..20_000, 1..200),
        ) {
            let mut limit = RateLimit::new(per_second, burst);
            let mut micros = 0;
            let mut allowed = 0;
            for step in steps {
                micros += step;
                allowed += u64::from(limit.allow(Instant::from_micros(micros)));
            }
            // One more for the interval that is rounded down to nanoseconds.
            let most = u64::from(burst) + micros * u64::from(per_second) / 1_000_000 + 1;
            prop_assert!(allowed <= most, "{allowed} of {most}");
        }
    }
}
