//! Points in time in four octets, for durations of minutes at most.
//!
//! A connection keeps several points in time, and an idle connection is to be small. A [`Stamp`] is
//! the low half of the microseconds of an [`Instant`]: it comes round after 71 minutes, so it is
//! only good for what is asked again well before that. Who keeps one says why that is so.

use core::time::Duration;

use crate::time::Instant;

/// A point in time, modulo 2^32 microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Stamp(u32);

impl Stamp {
    /// The stamp of `now`.
    pub(super) const fn at(now: Instant) -> Self {
        Self(now.as_micros() as u32)
    }

    /// A stamp half an hour before `now`.
    pub(super) const fn long_before(now: Instant) -> Self {
        Self(Self::at(now).0.wrapping_sub(u32::MAX / 2))
    }

    /// Microseconds from here to `now`, which is not earlier.
    pub(super) const fn micros_until(self, now: Instant) -> u32 {
        Self::at(now).0.wrapping_sub(self.0)
    }

    /// The point in time, if it is less than 35 minutes from `now`, in either direction.
    pub(super) fn near(self, now: Instant) -> Instant {
        let ahead = self.0.wrapping_sub(Self::at(now).0).cast_signed();
        let micros = now.as_micros().saturating_add_signed(i64::from(ahead));
        Instant::ZERO + Duration::from_micros(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_survive_the_wrap() {
        let early = Instant::from_micros((1 << 32) - 5);
        let late = Instant::from_micros((1 << 32) + 7);
        assert_eq!(Stamp::at(early).micros_until(late), 12);
        assert_eq!(Stamp::at(late).near(early), late);
        assert_eq!(Stamp::at(early).near(late), early);
    }
}
