//! Protection against wrapped sequence numbers (RFC 7323 section 5).
//!
//! With timestamps, a segment that is older than the newest one in order is recognised by its
//! clock, even if its sequence number fits because the numbers have gone round. In: the clock of
//! each segment of a connection that negotiated timestamps. Out: whether the segment is too old,
//! and what to echo to the peer.

use crate::tcp::seq;
use crate::time::Instant;

/// What to think of a segment by its timestamp.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing speaks against it.
    Fresh,
    /// It is from the past: to be acknowledged and dropped.
    Old,
    /// It has no timestamp although all must have: to be dropped silently.
    Missing,
}

/// The peer's clock, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paws {
    /// TS.Recent: what we echo.
    recent: u32,
    /// When `recent` was set: seconds, modulo 2^32.
    recent_at: u32,
}

/// Seconds after which `recent` says nothing any more: the peer's clock, at its fastest of one
/// tick a millisecond, may have gone half-way round (RFC 7323 section 5.5).
const MAX_AGE_SECS: u32 = 24 * 24 * 60 * 60;

impl Paws {
    /// Begins with the timestamp of the peer's SYN.
    pub(super) fn new(now: Instant, value: u32) -> Self {
        Self {
            recent: value,
            recent_at: secs(now),
        }
    }

    /// TS.Recent, which goes out as the echo.
    pub(super) fn recent(self) -> u32 {
        self.recent
    }

    /// Judges a segment by its timestamp `value`, before its sequence number is looked at.
    pub(super) fn check(self, now: Instant, value: Option<u32>, reset: bool) -> Verdict {
        // RFC 7323 5.2: a reset counts whatever its timestamp says.
        if reset {
            return Verdict::Fresh;
        }
        match value {
            // RFC 7323 3.2: once negotiated, a segment without timestamps should be dropped.
            None => Verdict::Missing,
            // RFC 7323 5.3 R1, and 5.5 for when the last one is too long ago.
            Some(value) if seq::lt(value, self.recent) && !self.is_outdated(now) => Verdict::Old,
            Some(_) => Verdict::Fresh,
        }
    }

    /// Takes over the timestamp of an acceptable segment that begins at `seq`.
    pub(super) fn update(&mut self, now: Instant, value: u32, seq: u32, last_ack_sent: u32) {
        // RFC 7323 4.3 (2): only a segment that begins where our last ACK ends, or before, so that
        // with delayed ACKs the first segment is echoed, and none that came past a gap.
        let covers_last_ack = seq::le(seq, last_ack_sent);
        if covers_last_ack && (seq::le(self.recent, value) || self.is_outdated(now)) {
            self.recent = value;
            self.recent_at = secs(now);
        }
    }

    fn is_outdated(self, now: Instant) -> bool {
        secs(now).wrapping_sub(self.recent_at) > MAX_AGE_SECS
    }
}

fn secs(now: Instant) -> u32 {
    (now.as_micros() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const NOW: Instant = Instant::from_millis(1_000_000);

    #[test]
    fn older_segments_are_refused_across_the_wrap() {
        let paws = Paws::new(NOW, 5);
        for (value, verdict) in [
            (5, Verdict::Fresh),
            (6, Verdict::Fresh),
            (4, Verdict::Old),
            (u32::MAX, Verdict::Old),
            (1 << 31, Verdict::Fresh),
            ((1 << 31) + 6, Verdict::Old),
        ] {
            assert_eq!(paws.check(NOW, Some(value), false), verdict, "{value}");
        }
        let paws = Paws::new(NOW, u32::MAX);
        assert_eq!(paws.check(NOW, Some(0), false), Verdict::Fresh);
        assert_eq!(paws.check(NOW, Some(u32::MAX - 1), false), Verdict::Old);
    }

    #[test]
    fn resets_are_exempt_and_a_missing_timestamp_is_told_apart() {
        let paws = Paws::new(NOW, 5);
        assert_eq!(paws.check(NOW, Some(4), true), Verdict::Fresh);
        assert_eq!(paws.check(NOW, None, true), Verdict::Fresh);
        assert_eq!(paws.check(NOW, None, false), Verdict::Missing);
    }

    #[test]
    fn after_24_days_any_clock_is_believed() {
        let mut paws = Paws::new(NOW, 1 << 30);
        let limit = NOW + Duration::from_hours(24 * 24);
        assert_eq!(paws.check(limit, Some(1), false), Verdict::Old);
        let after = limit + Duration::from_secs(1);
        assert_eq!(paws.check(after, Some(1), false), Verdict::Fresh);
        paws.update(after, 1, 100, 100);
        assert_eq!(paws.recent(), 1);
        assert_eq!(paws.check(after, Some(0), false), Verdict::Old);
    }

    #[test]
    fn only_what_begins_at_the_last_ack_sent_or_before_is_echoed() {
        let mut paws = Paws::new(NOW, 5);
        paws.update(NOW, 7, 101, 100);
        assert_eq!(paws.recent(), 5);
        paws.update(NOW, 7, 100, 100);
        assert_eq!(paws.recent(), 7);
        paws.update(NOW, 8, u32::MAX, 0);
        assert_eq!(paws.recent(), 8);
        paws.update(NOW, 6, 0, 0);
        assert_eq!(paws.recent(), 8);
    }
}
