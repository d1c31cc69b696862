//! When a backend is checked next.
//!
//! Intervals are counted from beginning to beginning, and each is a little longer or shorter, so
//! that the checks of many backends, or of many instances of Weirgate, do not stay in step. By how
//! much follows from the secret, so a replay with the same seed does the same.

use core::time::Duration;

use netstack::time::Instant;

use crate::config::BackendGroupId;
use crate::l7::backend_pool::BackendId;

/// The checks of one backend in time.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// Percent of the interval.
    jitter: u8,
    /// A sequence of numbers that nobody can tell in advance without the secret.
    state: u64,
    next: Instant,
}

impl Schedule {
    /// Of a backend; `key` is the secret.
    pub(super) fn new(
        interval: Duration,
        jitter: u8,
        (key, BackendGroupId(group), backend): (u64, BackendGroupId, BackendId),
    ) -> Self {
        let place = (group as u64) << 32 | backend.index() as u64;
        Self {
            interval,
            jitter,
            state: key ^ mixed(place.wrapping_add(1)),
            next: Instant::ZERO,
        }
    }

    /// A check begins now.
    pub(super) fn advance(&mut self, now: Instant) {
        self.state = self.state.wrapping_add(INCREMENT);
        let interval = self.interval.as_nanos() as u64;
        let most = interval / 100 * u64::from(self.jitter);
        // From `interval - most` to `interval + most`, both included.
        let nanos = interval - most + mixed(self.state) % (2 * most + 1);
        self.next = now + Duration::from_nanos(nanos);
    }

    /// When the next one begins.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}

/// SplitMix64: its increment,
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// and how it turns its state into a number.
fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals(jitter: u8, key: u64, backend: usize) -> Vec<u64> {
        let of = (key, BackendGroupId(0), BackendId::new(backend));
        let mut schedule = Schedule::new(Duration::from_secs(2), jitter, of);
        let now = Instant::from_millis(500);
        let interval = |_| {
            schedule.advance(now);
            schedule.next().saturating_duration_since(now).as_micros() as u64
        };
        (0..1000).map(interval).collect()
    }

    #[test]
    fn intervals_stay_within_the_jitter_and_use_all_of_it() {
        let intervals = intervals(10, 7, 0);
        let (least, most) = (intervals.iter().min(), intervals.iter().max());
        assert!((1_800_000..1_820_000).contains(least.unwrap()), "{least:?}");
        assert!((2_180_000..=2_200_000).contains(most.unwrap()), "{most:?}");
        let mean = intervals.iter().sum::<u64>() / 1000;
        assert!((1_980_000..2_020_000).contains(&mean), "{mean}");
    }

    #[test]
    fn they_follow_from_the_secret_and_differ_between_backends() {
        assert_eq!(intervals(10, 7, 0), intervals(10, 7, 0));
        assert_ne!(intervals(10, 7, 0), intervals(10, 8, 0));
        assert_ne!(intervals(10, 7, 0), intervals(10, 7, 1));
        assert!(intervals(0, 7, 0).iter().all(|micros| *micros == 2_000_000));
    }
}
