//! How fast the path delivers: one measurement for each acknowledgment.
//!
//! By draft-cheng-iccrg-delivery-rate-estimation (now section 4.1 of draft-ietf-ccwg-bbr): each
//! segment remembers how much had been delivered when it was sent ([`SentRate`]). When it is
//! delivered itself, the difference is what the path carried meanwhile. The time for that is the
//! longer one of two: in which it was sent and in which it was acknowledged; so neither a burst of
//! ours nor acknowledgments that come in a bunch look like bandwidth. A measurement is marked as
//! limited by the application if there was not always something to send.
//!
//! In: segments sent, delivered, found lost. Out: a [`RateSample`] for each acknowledgment, for
//! BBR and for whoever reads the connection's figures. Counters are in octets, modulo 2^32, and
//! times in microseconds modulo 2^32; only differences within a few round trips are used.

use core::time::Duration;

use super::super::seq;
use crate::time::Instant;

/// The estimator of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct RateEstimator {
    /// Octets delivered, in all.
    delivered: u32,
    /// Octets found lost, in all.
    lost: u32,
    /// When `delivered` last grew.
    delivered_at: u32,
    /// When the segment was sent that was delivered last: the send time of a measurement begins.
    first_sent_at: u32,
    /// Until `delivered` is here, measurements are limited by the application.
    app_limited_until: Option<u32>,
}

/// What a segment remembers of the moment when it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentRate {
    delivered: u32,
    delivered_at: u32,
    first_sent_at: u32,
    /// Twice the octets found lost, plus one if the application was the limit.
    lost_and_limited: u32,
}

/// Collects what one acknowledgment delivers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckRate {
    /// Of the delivered segments, the one that was sent last, with the time when it was.
    newest: Option<(SentRate, u32)>,
    /// How long it took to send what the measurement is about, in microseconds.
    send_elapsed: u32,
}

/// What the path delivered between the sending of a segment and its acknowledgment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct RateSample {
    /// Octets delivered in `interval`.
    pub delivered: u32,
    /// Octets found lost since the segment was sent.
    pub lost: u32,
    /// The time that it took.
    pub interval: Duration,
    /// Octets a second; zero if the interval is too short to be true.
    pub rate: u64,
    /// Whether the application had too little to send.
    pub is_app_limited: bool,
    /// Octets that had been delivered in all when the segment was sent.
    pub prior_delivered: u32,
    /// Octets delivered in all.
    pub total_delivered: u32,
}

/// How fast the path has lately been seen to deliver.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Throughput {
    /// Octets a second; zero before the first measurement.
    pub(super) rate: u64,
    /// The application had too little to send for the path to show what it can.
    pub(super) is_app_limited: bool,
}

impl Throughput {
    /// Takes in a measurement. One that the application limited only says what the path can do at
    /// least.
    pub(super) fn measured(&mut self, sample: &RateSample) {
        if sample.rate > 0 && (!sample.is_app_limited || sample.rate >= self.rate) {
            *self = Self {
                rate: sample.rate,
                is_app_limited: sample.is_app_limited,
            };
        }
    }
}

impl RateEstimator {
    /// A segment is sent (or sent again), `in_flight` octets being in flight already.
    pub(super) fn on_sent(&mut self, now: Instant, in_flight: u32) -> SentRate {
        if in_flight == 0 {
            // Idle time is not time that delivery took.
            self.first_sent_at = micros(now);
            self.delivered_at = self.first_sent_at;
        }
        SentRate {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost_and_limited: self.lost << 1 | u32::from(self.app_limited_until.is_some()),
        }
    }

    /// A segment of `octets`, last sent at `sent_at`, is acknowledged, or selectively so, for the
    /// first time. `sent` is what [`RateEstimator::on_sent`] gave for it.
    pub(super) fn on_delivered(
        &mut self,
        ack: &mut AckRate,
        sent: &SentRate,
        octets: u32,
        sent_at: Instant,
        now: Instant,
    ) {
        self.delivered = self.delivered.wrapping_add(octets);
        self.delivered_at = micros(now);
        let sent_at = micros(sent_at);
        let is_newer = match &ack.newest {
            None => true,
            Some((newest, newest_at)) => {
                seq::lt(newest.delivered, sent.delivered)
                    || (newest.delivered == sent.delivered && seq::lt(*newest_at, sent_at))
            }
        };
        if is_newer {
            ack.newest = Some((*sent, sent_at));
            ack.send_elapsed = elapsed(sent.first_sent_at, sent_at);
            self.first_sent_at = sent_at;
        }
    }

    /// Octets were found lost.
    pub(super) fn on_lost(&mut self, octets: u32) {
        self.lost = self.lost.wrapping_add(octets);
    }

    /// There is room in the window, but nothing to send: what is in flight now says nothing about
    /// the path's bandwidth.
    pub(super) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = Some(self.delivered.wrapping_add(in_flight));
    }

    /// The measurement of an acknowledgment, after everything that it delivered and everything
    /// that was lost by it; `None` if it delivered nothing.
    pub(super) fn sample(
        &mut self,
        ack: &AckRate,
        min_rtt: Option<Duration>,
    ) -> Option<RateSample> {
        if self
            .app_limited_until
            .is_some_and(|until| seq::lt(until, self.delivered))
        {
            self.app_limited_until = None;
        }
        let (sent, _) = ack.newest?;
        let ack_elapsed = elapsed(sent.delivered_at, self.delivered_at);
        let interval = u64::from(ack.send_elapsed.max(ack_elapsed));
        let delivered = self.delivered.wrapping_sub(sent.delivered);
        // Nothing is delivered faster than in the shortest round trip: then it was an earlier copy
        // of a segment sent again that arrived, and the times are not those of that copy.
        let plausible =
            interval > 0 && min_rtt.is_none_or(|rtt| u128::from(interval) >= rtt.as_micros());
        let rate = if plausible {
            u64::from(delivered) * 1_000_000 / interval
        } else {
            0
        };
        Some(RateSample {
            delivered,
            // The segment remembers 31 bits of the counter.
            lost: (self.lost << 1).wrapping_sub(sent.lost_and_limited & !1) >> 1,
            interval: Duration::from_micros(interval),
            rate,
            is_app_limited: sent.lost_and_limited & 1 == 1,
            prior_delivered: sent.delivered,
            total_delivered: self.delivered,
        })
    }
}

/// Microseconds from one time to a later one; zero if it is not later.
fn elapsed(from: u32, to: u32) -> u32 {
    u32::try_from(to.wrapping_sub(from).cast_signed()).unwrap_or(0)
}

/// Microseconds modulo 2^32.
fn micros(now: Instant) -> u32 {
    now.as_micros() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn at(micros: u64) -> Instant {
        // Close before the wrap of the 32-bit clock, so that every test crosses it.
        Instant::from_micros(u64::from(u32::MAX) - 1_000 + micros)
    }

    /// Sends segments at the given times, then acknowledges each by itself.
    fn samples(estimator: &mut RateEstimator, sent: &[u64], acked: &[u64]) -> Vec<RateSample> {
        let mut in_flight = 0;
        let mut segments = Vec::new();
        for &time in sent {
            segments.push((estimator.on_sent(at(time), in_flight), at(time)));
            in_flight += MSS;
        }
        let mut samples = Vec::new();
        for ((segment, sent_at), &time) in segments.iter().zip(acked) {
            let mut ack = AckRate::default();
            estimator.on_delivered(&mut ack, segment, MSS, *sent_at, at(time));
            samples.extend(estimator.sample(&ack, None));
        }
        samples
    }

    #[test]
    fn steady_delivery_is_measured_exactly() {
        let mut estimator = RateEstimator::default();
        // A segment a millisecond, both ways, 10 ms late.
        let sent: Vec<u64> = (0..20).map(|i| i * 1_000).collect();
        let acked: Vec<u64> = sent.iter().map(|time| time + 10_000).collect();
        let all = samples(&mut estimator, &sent, &acked);
        let last = all.last().unwrap();
        assert_eq!(last.interval, Duration::from_millis(29));
        assert_eq!(last.delivered, 20 * MSS);
        assert_eq!(last.rate, 20_000_000_000 / 29_000);
        assert!(!last.is_app_limited);
    }

    #[test]
    fn bunched_acknowledgments_are_not_bandwidth() {
        let mut estimator = RateEstimator::default();
        let sent: Vec<u64> = (0..10).map(|i| i * 1_000).collect();
        let acked = [50_000; 10];
        let last = *samples(&mut estimator, &sent, &acked).last().unwrap();
        assert_eq!(last.rate, 200_000, "all that was sent, over 50 ms");
    }

    #[test]
    fn a_burst_of_ours_is_not_bandwidth() {
        let mut estimator = RateEstimator::default();
        let acked: Vec<u64> = (1..=10).map(|i| 10_000 + i * 1_000).collect();
        let last = *samples(&mut estimator, &[0; 10], &acked).last().unwrap();
        assert_eq!(last.rate, 500_000, "ten segments in 20 ms");
    }

    #[test]
    fn a_time_shorter_than_the_round_trip_is_not_believed() {
        let mut estimator = RateEstimator::default();
        let segment = estimator.on_sent(at(0), 0);
        let mut ack = AckRate::default();
        estimator.on_delivered(&mut ack, &segment, MSS, at(0), at(50));
        let sample = estimator
            .sample(&ack, Some(Duration::from_micros(100)))
            .unwrap();
        assert_eq!(sample.rate, 0);
        assert_eq!(sample.delivered, MSS, "but it was delivered");
        assert!(estimator.sample(&AckRate::default(), None).is_none());
    }

    #[test]
    fn the_limit_by_the_application_ends_with_what_was_in_flight() {
        let mut estimator = RateEstimator::default();
        let before = estimator.on_sent(at(0), 0);
        estimator.on_app_limited(MSS);
        let during = estimator.on_sent(at(10), MSS);
        let mut limited = Vec::new();
        for (i, segment) in [before, during].iter().enumerate() {
            let mut ack = AckRate::default();
            let now = at(100 + 100 * i as u64);
            estimator.on_delivered(&mut ack, segment, MSS, at(0), now);
            limited.push(estimator.sample(&ack, None).unwrap().is_app_limited);
        }
        assert_eq!(limited, [false, true]);
        let after = estimator.on_sent(at(300), 0);
        assert_eq!(after.lost_and_limited & 1, 0);
    }

    #[test]
    fn a_rate_that_the_application_limits_lowers_nothing() {
        let sample = |rate, is_app_limited| RateSample {
            rate,
            is_app_limited,
            ..RateSample::default()
        };
        let mut seen = Throughput::default();
        for (rate, limited, shown) in [
            (500, true, (500, true)),
            (400, true, (500, true)),
            (300, false, (300, false)),
            (200, true, (300, false)),
            (0, false, (300, false)),
            (900, true, (900, true)),
        ] {
            seen.measured(&sample(rate, limited));
            assert_eq!((seen.rate, seen.is_app_limited), shown);
        }
    }

    #[test]
    fn losses_since_a_segment_was_sent_are_counted() {
        let mut estimator = RateEstimator {
            lost: u32::MAX - 5,
            ..RateEstimator::default()
        };
        estimator.on_lost(7_000);
        let segment = estimator.on_sent(at(0), 0);
        estimator.on_lost(3_000);
        let mut ack = AckRate::default();
        estimator.on_delivered(&mut ack, &segment, MSS, at(0), at(1_000));
        assert_eq!(estimator.sample(&ack, None).unwrap().lost, 3_000);
    }

    #[test]
    fn idle_time_does_not_count() {
        let mut estimator = RateEstimator::default();
        samples(&mut estimator, &[0], &[10_000]);
        let all = samples(
            &mut estimator,
            &[5_000_000, 5_001_000],
            &[5_010_000, 5_011_000],
        );
        assert_eq!(all[1].interval, Duration::from_millis(11));
        assert_eq!(all[1].delivered, 2 * MSS);
    }

    #[test]
    fn sizes_stay_small() {
        assert_eq!(size_of::<SentRate>(), 16);
        assert!(size_of::<RateEstimator>() <= 24);
    }
}
