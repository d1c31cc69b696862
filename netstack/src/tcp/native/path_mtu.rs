//! Finding out what a path takes when no router says so (PLPMTUD: RFC 4821, RFC 8899).
//!
//! In: timeouts, segments sent, acknowledgments. Out: how large segments may be. When segments of
//! full size time out again and again while nothing is acknowledged, they may be too large for a
//! path whose routers, or whose filters, say nothing (RFC 4821 section 7.7): they are made smaller,
//! step by step. It may as well have been an outage. So as soon as anything gets through, one
//! segment of the old size is sent: if it arrives, all is as before. If not, it may have been lost
//! as any other, so it takes three to say so; then larger segments are tried again every ten
//! minutes, the next step and the old size in turn.
//!
//! A path about which a router did say something is tried again after the same time (RFC 1191
//! section 6.3).

use core::time::Duration;

use super::open::Open;
use super::options::{SMALLEST_MSS, TIMESTAMPS_LEN};
use super::recovery::Phase;
use super::transmit::Part;
use crate::io::Payload;
use crate::tcp::seq;
use crate::time::Instant;

/// Timeouts without an acknowledgment after which segments are too large.
pub(super) const TIMEOUTS: u8 = 2;

/// Sizes that are tried, in octets of payload and options: tunnels, IPv6's least MTU, and what
/// hosts take of IPv4 at least.
const STEPS: [u16; 5] = [1400, 1220, 1024, 536, 512];

/// RFC 4821 section 7.5, RFC 1191 section 6.3: how long a path is taken for what it was found to be.
const PATIENCE: Duration = Duration::from_mins(10);

/// RFC 8899 section 5.1.2 (MAX_PROBES): so many segments of a size are lost before it is too large.
const MAX_PROBES: u8 = 3;

/// A path that takes less than was agreed on with the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// What was agreed on, without options.
    ceiling: u16,
    /// When something larger is tried; `None` until anything gets through.
    try_at: Option<Instant>,
    /// The next try is of the ceiling.
    try_ceiling: bool,
    /// Segments of the size that is being tried that were lost.
    failures: u8,
    /// The sequence numbers of the segment that is larger than what the path is known to take.
    probe: Option<(u32, u32)>,
    /// The size of that segment, with options.
    probed: u16,
}

/// The size below `size`, if there is one.
pub(super) fn step_below(size: u16) -> Option<u16> {
    STEPS.into_iter().find(|step| *step < size)
}

impl Search {
    /// Segments of `ceiling` were too large, as far as anybody can tell by their silence.
    pub(super) fn after_silence(ceiling: u16) -> Self {
        Self {
            ceiling,
            try_at: None,
            try_ceiling: true,
            failures: 0,
            probe: None,
            probed: 0,
        }
    }

    /// A router said so.
    pub(super) fn after_word(now: Instant, ceiling: u16) -> Self {
        Self {
            try_at: Some(now + PATIENCE),
            ..Self::after_silence(ceiling)
        }
    }

    /// What was agreed on.
    pub(super) fn ceiling(&self) -> u16 {
        self.ceiling
    }

    /// What the path takes has become less again: whatever was being tried was too large.
    pub(super) fn lowered(&mut self) {
        self.probe = None;
    }

    /// The size to be tried now, if any, on a path that takes `size`.
    pub(super) fn due(&self, now: Instant, size: u16) -> Option<u16> {
        if self.probe.is_some() || self.try_at.is_none_or(|at| now < at) {
            return None;
        }
        let mut larger = STEPS.into_iter().rev().filter(|step| *step > size);
        let next = larger.find(|_| !self.try_ceiling);
        Some(next.unwrap_or(self.ceiling).min(self.ceiling))
    }

    /// Whether the segment that begins at `seq` is the one that is being tried.
    pub(super) fn is_probe(&self, seq: u32) -> bool {
        self.probe.is_some_and(|(start, _)| start == seq)
    }

    /// Notes that the segment `start..end` is being tried, which takes `size` octets with options.
    pub(super) fn probing(&mut self, start: u32, end: u32, size: u16) {
        self.probe = Some((start, end));
        self.probed = size;
    }

    /// Notes that octets from `at` were sent again: if they are of the segment that was tried, the
    /// path did not take it. On a path that loses much that may be chance: it is tried again.
    pub(super) fn sent_again(&mut self, now: Instant, at: u32) {
        if let Some((start, end)) = self.probe
            && seq::le(start, at)
            && seq::lt(at, end)
        {
            self.probe = None;
            self.failures += 1;
            if self.failures < MAX_PROBES {
                return;
            }
            self.failures = 0;
            self.try_at = Some(now + PATIENCE);
            self.try_ceiling = !self.try_ceiling;
        }
    }

    /// Notes that everything before `una` is acknowledged. Returns the size of the segment
    /// that was tried if the path took it.
    pub(super) fn acknowledged(&mut self, now: Instant, una: u32) -> Option<u16> {
        // The first that gets through after the silence: was it only an outage?
        self.try_at.get_or_insert(now);
        let arrived = self.probe.is_some_and(|(_, end)| seq::le(end, una));
        if arrived {
            self.probe = None;
            self.failures = 0;
            // The next larger one at once.
            self.try_at = Some(now);
        }
        arrived.then_some(self.probed)
    }
}

impl<P: Payload> Open<P> {
    /// A smaller path MTU (RFC 1191 section 6.3, RFC 8201 section 5.2): the segments that were too
    /// large are sent again in smaller ones. Returns whether that is news.
    pub(super) fn handle_packet_too_big(&mut self, now: Instant, mss: u16) -> bool {
        let mss = mss.max(SMALLEST_MSS);
        let size = self.segment_room();
        if mss >= size {
            return false;
        }
        let ceiling = self.search.as_ref().map_or(size, |search| search.ceiling());
        self.search = Some(Box::new(Search::after_word(now, ceiling)));
        self.shrink(now, mss);
        true
    }

    /// A retransmission timeout has passed. Were the segments too large?
    pub(super) fn suspect_path(&mut self, now: Instant) {
        if self.send.silences < TIMEOUTS {
            return;
        }
        let size = self.segment_room();
        let largest = self.send.board.first().map_or(0, |first| first.len);
        // Smaller ones were lost as well: then it is not their size.
        let Some(step) = step_below(size).filter(|step| largest > u32::from(*step)) else {
            return;
        };
        match &mut self.search {
            Some(search) => search.lowered(),
            None => self.search = Some(Box::new(Search::after_silence(size))),
        }
        self.send.tally.black_holes = self.send.tally.black_holes.saturating_add(1);
        self.shrink(now, step);
    }

    /// Something new was acknowledged.
    pub(super) fn note_path_works(&mut self, now: Instant) {
        let (una, spent) = (self.send.una, self.spent());
        let Some(search) = &mut self.search else {
            return;
        };
        let Some(size) = search.acknowledged(now, una) else {
            return;
        };
        let done = size >= search.ceiling();
        self.send.window.smss = u32::from(size - spent);
        self.send.tally.path_raised = self.send.tally.path_raised.saturating_add(1);
        if done {
            self.search = None;
        }
    }

    /// A segment larger than the path is known to take, if it is time for one and there is so much
    /// to send. SACK blocks take `report_len` octets of its options.
    pub(super) fn path_probe(&mut self, now: Instant, report_len: u32) -> Option<Part> {
        let size = self.segment_room();
        let larger = self.search.as_ref()?.due(now, size)?;
        let len = u32::from(larger - self.spent()) - report_len;
        let (send, nxt) = (&self.send, self.send.nxt);
        let calm = matches!(send.phase, Phase::Open) && send.board.lost() == 0 && !send.probe;
        let room = send.unsent().min(send.usable()) >= len;
        if !calm || !room || send.pipe() + len > send.window.cwnd || !send.is_paced_in(now) {
            return None;
        }
        if let Some(search) = &mut self.search {
            search.probing(nxt, nxt.wrapping_add(len), larger);
        }
        Some(Part {
            seq: nxt,
            len,
            fin: false,
            again: None,
        })
    }

    /// Whether the segment at `seq` goes out whole although it is larger than others.
    pub(super) fn is_path_probe(&self, seq: u32) -> bool {
        self.search
            .as_ref()
            .is_some_and(|search| search.is_probe(seq))
    }

    fn shrink(&mut self, now: Instant, size: u16) {
        self.send.path_shrank(now, u32::from(size - self.spent()));
    }

    /// Octets of payload and options that segments have.
    fn segment_room(&self) -> u16 {
        self.send.window.smss as u16 + self.spent()
    }

    /// Octets of options in every segment.
    fn spent(&self) -> u16 {
        if self.in_use.timestamps {
            TIMESTAMPS_LEN
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1000);

    #[test]
    fn sizes_go_down_in_steps() {
        let mut size = 1460;
        let mut steps = vec![];
        while let Some(step) = step_below(size) {
            steps.push(step);
            size = step;
        }
        assert_eq!(steps, STEPS);
    }

    #[test]
    fn after_an_outage_the_old_size_is_tried_at_once() {
        let mut search = Search::after_silence(1460);
        assert_eq!(search.due(NOW, 1220), None, "nothing has got through");
        assert_eq!(search.acknowledged(NOW, 5), None);
        assert_eq!(search.due(NOW, 1220), Some(1460));
        search.probing(10, 1470, 1460);
        assert!(search.is_probe(10) && !search.is_probe(11));
        assert_eq!(search.due(NOW, 1220), None, "one at a time");
        assert_eq!(search.acknowledged(NOW, 1469), None);
        assert_eq!(search.acknowledged(NOW, 1470), Some(1460));
    }

    #[test]
    fn after_a_failure_steps_and_the_old_size_take_turns() {
        let mut search = Search::after_silence(1460);
        search.acknowledged(NOW, 5);
        let mut now = NOW;
        for (size, larger) in [(536, 1460), (536, 1024), (536, 1460)] {
            for _ in 0..MAX_PROBES {
                assert_eq!(search.due(now, size), Some(larger));
                search.probing(10, 20, larger);
                search.sent_again(now, 9);
                search.sent_again(now, 20);
                assert!(search.is_probe(10), "others were sent again");
                search.sent_again(now, 15);
            }
            assert_eq!(search.acknowledged(now, 20), None, "it came in pieces");
            let early = PATIENCE.saturating_sub(Duration::from_secs(1));
            assert_eq!(search.due(now + early, size), None);
            now += PATIENCE;
        }
    }

    #[test]
    fn a_size_is_not_given_up_because_one_segment_was_lost() {
        let mut search = Search::after_silence(1460);
        search.acknowledged(NOW, 5);
        for at in [10, 2000] {
            search.probing(at, at + 1448, 1460);
            search.sent_again(NOW, at);
        }
        search.probing(4000, 5448, 1460);
        assert_eq!(search.acknowledged(NOW, 5448), Some(1460));
        for at in [6000, 8000] {
            search.probing(at, at + 1448, 1460);
            search.sent_again(NOW, at);
        }
        assert_eq!(search.due(NOW, 1220), Some(1460), "they are counted anew");
    }

    #[test]
    fn a_word_of_a_router_counts_for_ten_minutes() {
        let mut search = Search::after_word(NOW, 1460);
        search.acknowledged(NOW, 5);
        assert_eq!(search.due(NOW, 1300), None);
        assert_eq!(search.due(NOW + PATIENCE, 1300), Some(1460));
    }
}
