//! What an acknowledgment does to the send half (RFC 9293 section 3.10.7.4, fifth check).
//!
//! In: the acknowledgment with its window, SACK blocks, echoed time stamp and ECN mark. Out: what
//! it delivered, by way of the scoreboard, to everything that wants to know: the round-trip time,
//! RACK, the delivery rate, recovery, the congestion controller, the timer.

use core::time::Duration;

use super::congestion::Acked;
use super::recovery::Progress;
use super::rto::MAX_RTT_MILLIS;
use super::sack::Delivery;
use super::transmit::{Fin, SendHalf};
use crate::io::Payload;
use crate::tcp::seq;
use crate::time::Instant;
use crate::wire::tcp::SackBlocks;

/// An acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgment<'a> {
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// The window in octets.
    pub(super) wnd: u32,
    pub(super) blocks: &'a SackBlocks,
    /// The time stamp echoed, and our clock now, in milliseconds.
    pub(super) echo: Option<(u32, u32)>,
    /// The peer has seen congestion (RFC 3168).
    pub(super) congested: bool,
    /// The segment carries octets or a FIN: it is no duplicate acknowledgment.
    pub(super) occupies: bool,
}

impl<P: Payload> SendHalf<P> {
    /// Takes in an acknowledgment of something that was sent (not later than `nxt`).
    pub(super) fn handle_ack(&mut self, now: Instant, ack: &Acknowledgment<'_>) {
        if seq::lt(ack.ack, self.una) {
            return;
        }
        let advanced = ack.ack != self.una;
        let window_changed = self.update_window(ack);
        let duplicate = self.duplicate(ack);
        let (flight, pipe) = (self.outstanding(), self.pipe());
        let mut estimator = core::mem::take(&mut self.rate);
        let mut delivery = Delivery::new(now, &mut estimator);
        self.board.acknowledge(ack.ack, &mut delivery);
        if self.sack {
            let mss = self.window.smss;
            self.board.sack(ack.blocks, mss, &mut delivery);
        }
        self.count_nuisances(delivery.divided);
        self.recovered &= !advanced;
        if advanced {
            self.silences = 0;
        }
        self.una = ack.ack;
        self.queue.release(ack.ack);
        if advanced && self.fin == Fin::Sent && self.una == self.nxt {
            self.fin = Fin::Acknowledged;
        }
        let repeated = !advanced && !ack.occupies && !window_changed && flight > 0;
        self.count_duplicate(advanced, repeated, &mut delivery);
        let rtt = self.measure(now, ack, &delivery, advanced);
        self.note_order(now, ack, &delivery);
        let progress = Progress {
            delivered: delivery.octets(),
            advanced,
            sent_once: delivery.first_sent_once,
            echo: ack.echo.map(|(echo, _)| echo),
            duplicate,
            congested: ack.congested,
            flight,
            pipe,
        };
        self.end_loss_probe(&progress);
        let lost_before = self.board.lost();
        let wait = self.recover(now, &progress);
        let lost = self.board.lost().saturating_sub(lost_before);
        if delivery.octets() > 0 || lost > 0 {
            let acked = self.acked(now, &mut delivery, &progress, rtt, lost);
            if let Some(sample) = &acked.rate {
                self.throughput.measured(sample);
            }
            self.controller.on_ack(&mut self.window, &acked);
        }
        let moved = delivery.octets() > 0 || window_changed;
        self.rate = estimator;
        self.rate.on_lost(lost);
        // Whether the window is what limits is found out anew when the next segments are sent.
        if self.pipe() < self.window.cwnd / 2 {
            self.cwnd_limited = false;
        }
        self.timer_after_ack(now, wait, moved);
    }

    /// Tells RACK what was delivered.
    fn note_order(&mut self, now: Instant, ack: &Acknowledgment<'_>, delivery: &Delivery<'_>) {
        if !self.sack {
            return;
        }
        let echo_age = ack.echo.map(|(echo, clock)| clock.wrapping_sub(echo));
        let in_order = !self.rack.has_reordered();
        let (min_rtt, smss) = (self.rto.smallest(), self.window.smss);
        self.rack.delivered(now, delivery, min_rtt, echo_age, smss);
        if in_order && self.rack.has_reordered() {
            self.tally.reordered = self.tally.reordered.saturating_add(1);
        }
    }

    /// Counts what honest peers have little reason for: acknowledgments that end inside a segment of
    /// the wire, and SACK blocks that are no use.
    fn count_nuisances(&mut self, divided: Option<u32>) {
        let tally = &mut self.tally;
        if divided.is_some_and(|len| len <= self.window.smss) {
            tally.divided_acks = tally.divided_acks.saturating_add(1);
        }
        let refused = self.board.take_refused();
        tally.sack_refused = tally.sack_refused.saturating_add(refused);
    }

    /// RFC 9293 section 3.10.7.4: the window of the newest segment counts. Returns whether it
    /// changed.
    ///
    /// One that acknowledges more than any before is the newest, also if it fills a gap, which the
    /// test by its number takes for old.
    fn update_window(&mut self, ack: &Acknowledgment<'_>) -> bool {
        let acknowledges_more = seq::lt(self.una, ack.ack);
        let newer = seq::lt(self.wl1, ack.seq)
            || self.wl1 == ack.seq && seq::le(self.wl2, ack.ack)
            || acknowledges_more;
        if !newer {
            return false;
        }
        // Filling a gap is no reason to take what lies behind it for new again.
        if seq::lt(self.wl1, ack.seq) {
            self.wl1 = ack.seq;
        }
        self.wl2 = ack.ack;
        self.max_wnd = self.max_wnd.max(ack.wnd);
        let changed = self.wnd != ack.wnd;
        self.wnd = ack.wnd;
        changed
    }

    /// The range that the peer says it received twice (RFC 2883 section 4): the first block, if it
    /// lies before the acknowledgment or inside the second.
    fn duplicate(&self, ack: &Acknowledgment<'_>) -> Option<(u32, u32)> {
        let blocks = ack.blocks.as_slice();
        let &(left, right) = blocks.first()?;
        let below = seq::le(right, ack.ack) && seq::lt(left, right);
        let inside = blocks
            .get(1)
            .is_some_and(|&(l, r)| seq::le(l, left) && seq::le(right, r));
        // What was never sent was not received, and what is too old says nothing of now.
        let recent = ack.ack.wrapping_sub(left) <= self.max_wnd.max(1 << 16);
        (self.sack && (below && recent || inside)).then_some((left, right))
    }

    /// Without SACK, each duplicate acknowledgment says that one segment has left the network
    /// (RFC 5681 section 3.2).
    fn count_duplicate(&mut self, advanced: bool, repeated: bool, delivery: &mut Delivery<'_>) {
        if self.sack {
            return;
        }
        if repeated {
            // RFC 5681 section 5: a peer may make up as many as it likes; no more count than there
            // are segments in flight, which are small ones or large ones that a port has cut.
            let full = self.outstanding() / self.window.smss.max(1);
            let most = full
                .max(self.board.len() as u32)
                .min(u32::from(u16::MAX - 1));
            if u32::from(self.dup_acks) < most {
                self.dup_acks += 1;
                delivery.sacked += self.window.smss;
            }
        } else if advanced {
            // The segments counted are among those that are acknowledged now, but for the first,
            // which was missing.
            let smss = self.window.smss.max(1);
            let segments = (delivery.acked / smss).saturating_sub(1);
            let counted = segments.min(u32::from(self.dup_acks));
            delivery.acked = delivery.acked.saturating_sub(counted * smss);
            self.dup_acks -= counted as u16;
            if self.board.is_empty() {
                self.dup_acks = 0;
            }
        }
    }

    /// Measures the round-trip time: by what was sent only once (RFC 6298 section 3, Karn), else by
    /// the echoed time stamp (RFC 7323 section 4.1). Gives the exact ones.
    fn measure(
        &mut self,
        now: Instant,
        ack: &Acknowledgment<'_>,
        delivery: &Delivery<'_>,
        advanced: bool,
    ) -> Option<Duration> {
        if let (Some(first), Some(last)) = (delivery.first_sent_once, delivery.last_sent_once) {
            // The peer may have kept the acknowledgment of the first back; the timeout has to
            // allow for that, the congestion controller wants to know the path.
            let sent_at = if advanced { first } else { last };
            self.rto
                .measured(now, now.saturating_duration_since(sent_at));
            return Some(now.saturating_duration_since(last));
        }
        let (echo, clock) = ack.echo.filter(|_| advanced && delivery.octets() > 0)?;
        let millis = clock.wrapping_sub(echo);
        if millis > MAX_RTT_MILLIS {
            return None;
        }
        // Good enough for the timeout. For whoever wants to know the path it is too coarse: a round
        // trip of less than a millisecond would take no time at all.
        self.rto
            .measured_coarsely(Duration::from_millis(u64::from(millis)));
        None
    }

    /// RFC 8985 section 7.4: whether the loss probe repaired a loss that nobody else noticed.
    fn end_loss_probe(&mut self, progress: &Progress) {
        let Some((end, repeated)) = self.loss_probe else {
            return;
        };
        if seq::lt(self.una, end) {
            return;
        }
        let twice = progress.duplicate.is_some() || !progress.advanced && progress.delivered == 0;
        if !repeated || twice {
            // It was new, or came twice: nothing was lost.
            self.loss_probe = None;
        } else if self.una != end {
            // Only an acknowledgment beyond the probe comes after that of its first sending.
            self.loss_probe = None;
            self.reduce_once(progress);
        }
    }

    /// Whether the congestion window is what limits. RFC 7661 section 4.3 asks the same; in slow
    /// start, a window of which half is used may grow.
    pub(super) fn is_cwnd_limited(&self, flight: u32) -> bool {
        // Without a threshold of its own, BBR would always be in it.
        let slow_start =
            self.window.cwnd < self.window.ssthresh && !self.controller.controls_cwnd_in_recovery();
        self.cwnd_limited || slow_start && flight.saturating_mul(2) > self.window.cwnd
    }

    /// What the congestion controller is told of an acknowledgment.
    fn acked(
        &self,
        now: Instant,
        delivery: &mut Delivery<'_>,
        progress: &Progress,
        rtt: Option<Duration>,
        lost: u32,
    ) -> Acked {
        Acked {
            now,
            delivered: delivery.octets(),
            acked: delivery.acked,
            in_flight: progress.pipe,
            cwnd_limited: self.is_cwnd_limited(progress.pipe),
            rtt,
            srtt: self.rto.smoothed(),
            rate: delivery.rate(self.rto.smallest()),
            in_recovery: self.is_recovering(),
            snd_una: self.una,
            snd_nxt: self.nxt,
            lost,
            ce: progress.congested,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recovery::tests::{MSS, sending};
    use super::*;
    use crate::io::mem::MemPayload;

    /// A segment of the peer with octets from `seq` on.
    fn segment(send: &mut SendHalf<MemPayload>, seq: u32, ack: u32, wnd: u32) {
        let ack = Acknowledgment {
            seq,
            ack,
            wnd,
            blocks: &SackBlocks::default(),
            echo: None,
            congested: false,
            occupies: true,
        };
        send.handle_ack(Instant::from_millis(20), &ack);
    }

    #[test]
    fn the_window_of_a_segment_that_fills_a_gap_counts_if_it_acknowledges_more() {
        let mut send = sending(5);
        segment(&mut send, 9000, MSS, 60_000);
        segment(&mut send, 8000, 2 * MSS, 50_000);
        assert_eq!((send.una, send.wnd), (2 * MSS, 50_000));
        segment(&mut send, 8000, 2 * MSS, 40_000);
        assert_eq!(send.wnd, 50_000, "what lies before the newest is still old");
        segment(&mut send, 9000, 2 * MSS, 30_000);
        assert_eq!(send.wnd, 30_000, "the newest once more");
    }

    #[test]
    fn the_window_of_a_segment_that_fills_a_gap_does_not_count_by_itself() {
        let mut send = sending(5);
        segment(&mut send, 9000, MSS, 60_000);
        segment(&mut send, 8000, MSS, 50_000);
        assert_eq!(send.wnd, 60_000);
        segment(&mut send, 9001, 0, 40_000);
        assert_eq!(send.wnd, 60_000, "an acknowledgment from before");
    }
}
