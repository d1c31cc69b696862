//! Pacing: spreads what the window allows over the round trip.
//!
//! A leaky bucket kept as one point in time: each octet sent moves [`Pacer::next_at`] by the time
//! that it takes at the pacing rate, and nothing is sent before that time. Timers tick in
//! milliseconds, so a sender that comes late may catch up: it is given credit for up to about a
//! millisecond (two segments at least), which keeps the rate from drifting below what was asked
//! for. More than that would be a burst, so it is forgotten. The first segments of a connection,
//! and those after an idle time, leave unpaced: there is no clock of acknowledgments yet, and ten
//! segments are what RFC 6928 allows.
//!
//! In: time, octets sent, a rate in octets a second. Without a rate nothing is held back.

use core::time::Duration;

use crate::time::Instant;

/// The pacer of a connection.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    /// When the next segment is due.
    next_at: Instant,
    /// Octets that may leave unpaced.
    burst: u32,
}

/// For how long a late sender is given credit, and how long a burst may last.
const QUANTUM: Duration = Duration::from_millis(1);

/// Segments that leave unpaced at the start and after an idle time (RFC 6928 section 2).
const INITIAL_BURST: u32 = 10;

/// The largest burst, in octets: what a port segments in one go.
const MAX_QUANTUM: u64 = 65_536;

impl Pacer {
    /// The pacer of a connection that has sent nothing.
    pub(super) fn new(smss: u32) -> Self {
        Self {
            next_at: Instant::ZERO,
            burst: smss.saturating_mul(INITIAL_BURST),
        }
    }

    /// The connection was idle, and starts again.
    pub(super) fn restart(&mut self, smss: u32) {
        self.burst = smss.saturating_mul(INITIAL_BURST);
    }

    /// Whether a segment may leave now.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.burst > 0 || self.next_at <= now
    }

    /// When a segment may leave, if none may now.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Octets were sent, in one segment or in several; `rate` is in octets a second.
    pub(super) fn on_sent(&mut self, now: Instant, octets: u32, smss: u32, rate: Option<u64>) {
        let unpaced = octets.min(self.burst);
        self.burst -= unpaced;
        let Some(rate) = rate else {
            return;
        };
        let credit = QUANTUM.max(time_for(smss.saturating_mul(2), rate));
        let earliest = now.as_nanos().saturating_sub(nanos(credit));
        let due = self.next_at.max(Instant::from_nanos(earliest));
        self.next_at = due + time_for(octets - unpaced, rate);
    }

    /// How many octets to send in one go: what leaves in a millisecond, so that timers are rare
    /// and bursts short, but no less than two segments.
    pub(super) fn quantum(smss: u32, rate: Option<u64>) -> u32 {
        let worth = rate.map_or(MAX_QUANTUM, |rate| (rate / 1_000).min(MAX_QUANTUM));
        (worth as u32).max(smss.saturating_mul(2))
    }
}

fn time_for(octets: u32, rate: u64) -> Duration {
    Duration::from_nanos(u64::from(octets) * 1_000_000_000 / rate.max(1))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMSS: u32 = 1_000;

    /// Sends whole segments whenever the pacer allows, asking it only every `tick` nanoseconds;
    /// gives the octets sent and the largest burst, in segments.
    fn run(rate: u64, tick: u64, duration: Duration) -> (u64, u32) {
        let mut pacer = Pacer::new(SMSS);
        let mut now = Instant::from_millis(5_000);
        pacer.on_sent(now, 10 * SMSS, SMSS, Some(rate));
        let end = now + duration;
        let (mut sent, mut largest) = (0, 0);
        while now < end {
            now += Duration::from_nanos(tick);
            let mut burst = 0;
            while pacer.may_send(now) {
                pacer.on_sent(now, SMSS, SMSS, Some(rate));
                burst += 1;
            }
            sent += u64::from(burst * SMSS);
            largest = largest.max(burst);
        }
        (sent, largest)
    }

    #[test]
    fn the_rate_is_kept_however_coarse_the_timer() {
        for rate in [50_000, 1_000_000, 12_345_678, 1_000_000_000] {
            for tick in [10_000, 300_000, 1_000_000] {
                let (sent, _) = run(rate, tick, Duration::from_secs(1));
                let error = sent.abs_diff(rate);
                // Credit for a quantum at the start, and a segment that does not fit at the end.
                let quantum =
                    u64::from(Pacer::quantum(SMSS, Some(rate)).max((rate / 1_000) as u32));
                assert!(
                    error <= quantum + u64::from(2 * SMSS),
                    "{rate} {tick}: {sent}"
                );
            }
        }
    }

    #[test]
    fn bursts_stay_within_the_quantum() {
        let (_, largest) = run(1_000_000, 1_000_000, Duration::from_secs(1));
        assert!(largest <= 3, "{largest}: two segments and the one due");
        // 100 segments a millisecond, and the timer is 20 times later than it should be.
        let (_, largest) = run(100_000_000, 20_000_000, Duration::from_secs(1));
        assert!((100..=101).contains(&largest), "{largest}");
    }

    #[test]
    fn ten_segments_leave_at_once_at_the_start_and_after_idle() {
        let now = Instant::from_millis(1);
        let mut pacer = Pacer::new(SMSS);
        let count = |pacer: &mut Pacer| {
            let mut sent = 0;
            while pacer.may_send(now) {
                pacer.on_sent(now, SMSS, SMSS, Some(10_000));
                sent += 1;
            }
            sent
        };
        assert!((10..=12).contains(&count(&mut pacer)));
        assert_eq!(count(&mut pacer), 0);
        assert!(pacer.next_at() > now);
        pacer.restart(SMSS);
        assert_eq!(count(&mut pacer), 10);
    }

    #[test]
    fn without_a_rate_nothing_is_held_back() {
        let mut pacer = Pacer::new(SMSS);
        for _ in 0..1_000 {
            assert!(pacer.may_send(Instant::ZERO));
            pacer.on_sent(Instant::ZERO, u32::MAX, SMSS, None);
        }
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        let mut pacer = Pacer::new(u32::MAX);
        pacer.on_sent(Instant::FAR_FUTURE, u32::MAX, u32::MAX, Some(0));
        pacer.on_sent(Instant::ZERO, u32::MAX, u32::MAX, Some(u64::MAX));
        assert_eq!(Pacer::quantum(1, Some(u64::MAX)), 65_536);
        assert_eq!(Pacer::quantum(1_460, Some(1)), 2_920);
    }

    #[test]
    fn the_size_stays_small() {
        assert!(size_of::<Pacer>() <= 16);
    }
}
