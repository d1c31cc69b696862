//! Points in time, as an argument.
//!
//! The stack never asks what time it is. Whoever drives a worker passes an [`Instant`]: the wall
//! clock plus a monotonic offset in production, the record's time stamp when a capture is
//! replayed, a plain counter in a test. Durations are `core::time::Duration`.

use core::ops::{Add, AddAssign};
use core::time::Duration;

/// Nanoseconds since an origin that the driver of the worker chose.
///
/// In production the origin is the Unix epoch, so that captures carry usable time stamps; the
/// value still never goes backwards, because only its starting point comes from the wall clock.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// A point that never comes.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The point `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }

    /// The point `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates, so that "for ever" may be written as a huge duration.
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates() {
        assert_eq!(
            Instant::from_nanos(5) + Duration::MAX,
            Instant::from_nanos(u64::MAX)
        );
        assert_eq!(
            Instant::from_millis(1) + Duration::from_micros(5),
            Instant::from_micros(1_005)
        );
    }

    #[test]
    fn differences_do_not_go_below_zero() {
        let early = Instant::from_micros(1);
        let late = Instant::from_micros(3);
        assert_eq!(
            late.saturating_duration_since(early),
            Duration::from_micros(2)
        );
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
    }
}
