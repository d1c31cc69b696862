//! When to acknowledge (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2).
//!
//! Whoever receives in order waits a little, because an answer or a second segment may make a
//! pure ACK needless. It does not wait when two full segments' worth of octets is unacknowledged,
//! however many packets that came in; when the peer needs to know now (a gap, the filling of
//! one, a duplicate, a FIN, a probe); or while the sender's congestion window is small and grows
//! with every ACK: at the beginning, after a pause, and after a loss.
//!
//! In: what arrived, and that an ACK went out with whatever segment. Out: [`AckDue`], to
//! be asked for after a whole burst has been taken in, so that a burst causes one ACK. Also here:
//! the echo of congestion marks (RFC 3168 section 6.1.3).

use core::time::Duration;

use crate::tcp::stamp::Stamp;
use crate::time::Instant;

/// Whether an ACK is to be sent by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AckDue {
    /// There is nothing to acknowledge.
    None,
    /// At this time, unless a segment has carried it until then.
    At(Instant),
    /// At once.
    Now,
}

/// What decides when to acknowledge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledge {
    /// When in-order data arrived last; before that, when the connection began.
    last_arrival: Instant,
    /// RFC 7323's Last.ACK.sent.
    last_sent: u32,
    /// When a delayed ACK is due, if `delayed`. Polled far sooner than a stamp lasts.
    due: Stamp,
    /// Smoothed time between arrivals of in-order data, microseconds.
    interval: u32,
    /// The largest payload of a segment, in octets, as we announced it.
    mss: u16,
    /// The same as the peer seems to use it.
    segment_len: u16,
    /// Octets in the last segment.
    last_len: u16,
    /// How many full segments will still be acknowledged one by one.
    quick: u8,
    immediate: bool,
    delayed: bool,
    /// Our ACKs have gone out with data: it pays to wait for that.
    interactive: bool,
    congestion: CongestionEcho,
}

/// What is left of it after a pause in which everything was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestingAcknowledge {
    last_sent: u32,
    mss: u16,
    segment_len: u16,
    interactive: bool,
    congestion: CongestionEcho,
}

/// What is said of congestion marks (RFC 3168 section 6.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CongestionEcho {
    /// They were not negotiated.
    Off,
    /// None has been seen that the peer has not responded to.
    Silent,
    /// One has been seen.
    Echoing,
}

/// A sender that was silent for longer, and for longer than two round trips, has started again
/// with a small congestion window: after a timeout, which no sender has sooner, or a rest.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an ACK waits for company at most. RFC 9293 3.8.6.3: less than half a second.
const MAX_DELAY: Duration = Duration::from_millis(40);

/// An ACK is never delayed by less, or it would meet no answer even of a fast session.
const MIN_DELAY: Duration = Duration::from_millis(5);

/// The segments of an unknown peer are taken to be this large (RFC 9293 section 3.7.1).
const DEFAULT_SEGMENT: u16 = 536;

/// Bounds of how many segments are acknowledged one by one.
const QUICK: core::ops::RangeInclusive<u32> = 2..=16;

impl Acknowledge {
    /// Begins when `rcv_nxt` has been acknowledged by the handshake, with a window of `window`
    /// octets. `ecn`: congestion marks were negotiated.
    pub(super) fn new(now: Instant, (rcv_nxt, window): (u32, u32), mss: u16, ecn: bool) -> Self {
        let mss = mss.max(1);
        Self {
            last_arrival: now,
            last_sent: rcv_nxt,
            due: Stamp::default(),
            interval: 0,
            mss,
            segment_len: DEFAULT_SEGMENT.min(mss),
            last_len: 0,
            quick: quick_for(window, mss),
            immediate: false,
            delayed: false,
            interactive: false,
            congestion: if ecn {
                CongestionEcho::Silent
            } else {
                CongestionEcho::Off
            },
        }
    }

    /// What is to be remembered while nothing arrives.
    pub(super) fn rest(&self) -> RestingAcknowledge {
        RestingAcknowledge {
            last_sent: self.last_sent,
            mss: self.mss,
            segment_len: self.segment_len,
            interactive: self.interactive,
            congestion: self.congestion,
        }
    }

    /// The same again: whatever comes next comes after a pause, with which counting begins anew.
    pub(super) fn resume(rest: RestingAcknowledge) -> Self {
        Self {
            last_arrival: Instant::ZERO,
            last_sent: rest.last_sent,
            due: Stamp::default(),
            interval: 0,
            mss: rest.mss,
            segment_len: rest.segment_len,
            last_len: 0,
            quick: *QUICK.start() as u8,
            immediate: false,
            delayed: false,
            interactive: rest.interactive,
            congestion: rest.congestion,
        }
    }

    /// Whether there is nothing to say.
    pub(super) fn is_quiet(&self) -> bool {
        !self.immediate && !self.delayed && !self.echoes_congestion()
    }

    /// RFC 7323's Last.ACK.sent: the last acknowledgment number that went out.
    pub(super) fn last_sent(&self) -> u32 {
        self.last_sent
    }

    /// Octets in a full segment of the peer, as far as is known.
    pub(super) fn segment_len(&self) -> u16 {
        self.segment_len
    }

    /// Time since in-order data arrived last.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_arrival)
    }

    /// Takes note of in-order data: `len` octets in one segment, at most `window` more to come.
    /// `rtt_micros` is 0 if unknown. Returns whether there was a pause before it.
    pub(super) fn arrived(
        &mut self,
        now: Instant,
        len: usize,
        window: u32,
        rtt_micros: u32,
    ) -> bool {
        let silence = self.silence(now);
        let paused = silence > PAUSE.max(2 * Duration::from_micros(rtt_micros.into()));
        self.last_arrival = now;
        if paused {
            self.quick = quick_for(window, self.mss);
            self.interval = 0;
        } else {
            let silence = silence.as_micros() as u32;
            self.interval = self.interval - self.interval / 8 + silence / 8;
        }
        let full = len >= usize::from(self.segment_len);
        self.estimate_segment(len);
        // A segment that is not full is no sender's growing window, but a request.
        if full && self.quick > 0 && !self.interactive {
            self.immediate = true;
        }
        if !self.delayed {
            self.delayed = true;
            self.due = Stamp::at(now + self.delay(rtt_micros));
        }
        paused
    }

    /// Asks for an ACK at once: of a duplicate, a probe, a FIN, something outside the window.
    pub(super) fn demand(&mut self) {
        self.immediate = true;
    }

    /// Takes note of a gap, or of the filling of one: an ACK at once (RFC 5681 section 4.2), and
    /// for some segments that follow, because the sender has reduced its window.
    pub(super) fn disordered(&mut self, window: u32) {
        self.immediate = true;
        self.interactive = false;
        self.quick = self.quick.max(quick_for(window, self.mss));
    }

    /// Takes note that a segment with the acknowledgment number `rcv_nxt` went out.
    pub(super) fn sent(&mut self, rcv_nxt: u32, with_data: bool) {
        if with_data && self.delayed {
            self.interactive = true;
        }
        self.last_sent = rcv_nxt;
        if self.delayed || self.immediate {
            self.quick = self.quick.saturating_sub(1);
        }
        self.immediate = false;
        self.delayed = false;
    }

    /// Whether an ACK is to be sent by itself. To be asked after a burst.
    pub(super) fn poll(&self, now: Instant, rcv_nxt: u32) -> AckDue {
        let unacknowledged = rcv_nxt.wrapping_sub(self.last_sent);
        // RFC 9293 3.8.6.3 (MUST-58, SHLD-18): two full segments, by octets.
        if self.immediate || unacknowledged >= 2 * u32::from(self.segment_len) {
            return AckDue::Now;
        }
        if !self.delayed {
            return AckDue::None;
        }
        match self.due.near(now) {
            due if due <= now => AckDue::Now,
            due => AckDue::At(due),
        }
    }

    /// Takes note of the congestion bits of an acceptable segment: `ce`, congestion experienced,
    /// from its IP header if it brought new data; `cwr`, congestion window reduced.
    pub(super) fn congestion_bits(&mut self, ce: bool, cwr: bool) {
        if self.congestion == CongestionEcho::Off {
            return;
        }
        // RFC 3168 6.1.3: the sender has responded, but a mark on this very segment is a new one.
        if cwr {
            self.congestion = CongestionEcho::Silent;
        }
        if ce {
            self.immediate |= self.congestion == CongestionEcho::Silent;
            self.congestion = CongestionEcho::Echoing;
        }
    }

    /// Whether segments carry ECE.
    pub(super) fn echoes_congestion(&self) -> bool {
        self.congestion == CongestionEcho::Echoing
    }

    /// How long an ACK waits for company: about as long as it takes a segment to follow, or an
    /// answer to our last ACK to arrive.
    fn delay(&self, rtt_micros: u32) -> Duration {
        if rtt_micros == 0 {
            return MAX_DELAY;
        }
        let micros = u64::from(rtt_micros).max(2 * u64::from(self.interval));
        Duration::from_micros(micros).clamp(MIN_DELAY, MAX_DELAY)
    }

    /// The largest segment so far; a smaller size if it comes twice in a row, because then the
    /// peer has found a smaller path.
    fn estimate_segment(&mut self, len: usize) {
        let len = u16::try_from(len).unwrap_or(u16::MAX).min(self.mss);
        let repeated = len == self.last_len && len >= DEFAULT_SEGMENT;
        if len > self.segment_len || repeated {
            self.segment_len = len;
        }
        self.last_len = len;
    }
}

/// How many segments to acknowledge one by one before a window of `window` octets is half used.
fn quick_for(window: u32, mss: u16) -> u8 {
    let half = window / (2 * u32::from(mss));
    half.clamp(*QUICK.start(), *QUICK.end()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u16 = 1460;
    const START: Instant = Instant::from_millis(5_000_000);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A connection that has acknowledged 100 and is past its quick beginning.
    fn settled() -> Acknowledge {
        let mut ack = Acknowledge::new(START, (100, 65_535), MSS, true);
        ack.quick = 0;
        ack.segment_len = MSS;
        ack
    }

    #[test]
    fn nothing_is_acknowledged_twice() {
        let mut ack = settled();
        assert_eq!(ack.poll(START, 100), AckDue::None);
        ack.arrived(START, 10, 65_535, 0);
        assert_ne!(ack.poll(START, 110), AckDue::None);
        ack.sent(110, false);
        assert_eq!(ack.poll(START + millis(500), 110), AckDue::None);
    }

    /// RFC 9293 section 3.8.6.3.
    #[test]
    fn one_segment_waits_and_two_do_not() {
        let mut ack = settled();
        ack.arrived(START, 1460, 65_535, 0);
        let due = START + millis(40);
        assert_eq!(ack.poll(START, 1560), AckDue::At(due));
        assert_eq!(ack.poll(due, 1560), AckDue::Now);
        ack.arrived(START + millis(1), 1459, 65_535, 0);
        assert_eq!(ack.poll(START, 3019), AckDue::At(due));
        ack.arrived(START + millis(1), 1, 65_535, 0);
        assert_eq!(ack.poll(START, 3020), AckDue::Now);
    }

    #[test]
    fn a_segment_that_a_device_joined_counts_by_its_octets() {
        let mut ack = settled();
        ack.arrived(START, 2920, 65_535, 0);
        assert_eq!(ack.poll(START, 3020), AckDue::Now);
    }

    #[test]
    fn two_segments_of_a_peer_whose_segments_are_smaller_are_enough() {
        let mut ack = settled();
        for nth in 1..=4 {
            ack.arrived(START, 1000, 65_535, 0);
            let expected = if nth < 2 {
                AckDue::At(START + millis(40))
            } else {
                AckDue::Now
            };
            assert_eq!(ack.poll(START, 100 + nth * 1000), expected, "{nth}");
        }
    }

    #[test]
    fn the_first_full_segments_are_acknowledged_one_by_one() {
        let mut ack = Acknowledge::new(START, (0, 65_535), MSS, false);
        for nth in 1..=16 {
            ack.arrived(START, 1460, 65_535, 0);
            assert_eq!(ack.poll(START, nth * 1460), AckDue::Now, "{nth}");
            ack.sent(nth * 1460, false);
        }
        ack.arrived(START, 1460, 65_535, 0);
        assert_ne!(ack.poll(START, 17 * 1460), AckDue::Now);
    }

    #[test]
    fn a_small_request_waits_for_its_answer_from_the_beginning() {
        let mut ack = Acknowledge::new(START, (0, 65_535), MSS, false);
        ack.arrived(START, 300, 65_535, 0);
        let due = START + millis(40);
        assert_eq!(ack.poll(START, 300), AckDue::At(due));
    }

    #[test]
    fn who_answers_with_data_leaves_the_quick_mode_until_a_gap() {
        let mut ack = Acknowledge::new(START, (0, 65_535), MSS, false);
        ack.arrived(START, 1460, 65_535, 0);
        ack.sent(1460, true);
        ack.arrived(START, 1460, 65_535, 0);
        assert_ne!(ack.poll(START, 2920), AckDue::Now);
        ack.disordered(65_535);
        assert_eq!(ack.poll(START, 2920), AckDue::Now);
        ack.sent(2920, false);
        ack.arrived(START, 1460, 65_535, 0);
        assert_eq!(ack.poll(START, 4380), AckDue::Now);
    }

    #[test]
    fn a_pause_brings_the_quick_mode_back() {
        let mut ack = settled();
        assert!(!ack.arrived(START + PAUSE, 1460, 65_535, 0));
        assert_ne!(ack.poll(START + PAUSE, 1560), AckDue::Now);
        let later = START + PAUSE * 2 + millis(1);
        assert!(ack.arrived(later, 1460, 65_535, 0));
        assert_eq!(ack.poll(later, 3020), AckDue::Now);
    }

    #[test]
    fn on_a_long_path_a_timeout_is_no_pause() {
        let silence = PAUSE + millis(50);
        let micros = |time: Duration| time.as_micros() as u32;
        let mut ack = settled();
        assert!(!ack.arrived(START + silence, 1460, 65_535, micros(PAUSE)));
        let mut ack = settled();
        assert!(ack.arrived(START + silence, 1460, 65_535, micros(PAUSE) / 2));
    }

    #[test]
    fn the_delay_follows_the_round_trip_and_the_pace() {
        for (rtt_micros, expected) in [(0, 40), (200, 5), (20_000, 20), (90_000, 40)] {
            let mut ack = settled();
            ack.arrived(START, 1, 65_535, rtt_micros);
            let due = START + millis(expected);
            assert_eq!(ack.poll(START, 101), AckDue::At(due));
        }
        let mut ack = settled();
        let mut now = START;
        for nth in 0..100 {
            now += millis(10);
            ack.sent(100 + nth, false);
            ack.arrived(now, 1, 65_535, 200);
        }
        let AckDue::At(due) = ack.poll(now, 200) else {
            panic!("one octet waits");
        };
        let delay = due.saturating_duration_since(now);
        assert!(delay > millis(18) && delay <= millis(20), "{delay:?}");
    }

    #[test]
    fn the_delay_holds_across_the_wrap_of_the_stamp() {
        let now = Instant::from_micros((1 << 32) - 10);
        let mut ack = Acknowledge::new(now, (0, 1000), MSS, false);
        ack.arrived(now, 1, 1000, 0);
        assert_eq!(ack.poll(now, 1), AckDue::At(now + millis(40)));
        assert_eq!(ack.poll(now + millis(40), 1), AckDue::Now);
    }

    /// RFC 3168 section 6.1.3.
    #[test]
    fn a_congestion_mark_is_echoed_until_the_peer_responds() {
        let mut ack = settled();
        ack.congestion_bits(true, false);
        assert_eq!(ack.poll(START, 100), AckDue::Now);
        ack.sent(100, false);
        assert!(ack.echoes_congestion());
        ack.congestion_bits(true, false);
        assert_eq!(ack.poll(START, 100), AckDue::None);
        ack.congestion_bits(true, true);
        assert!(ack.echoes_congestion());
        ack.congestion_bits(false, true);
        assert!(!ack.echoes_congestion());
    }

    #[test]
    fn marks_mean_nothing_unless_negotiated() {
        let mut ack = Acknowledge::new(START, (0, 65_535), MSS, false);
        ack.congestion_bits(true, false);
        assert!(!ack.echoes_congestion());
    }
}
