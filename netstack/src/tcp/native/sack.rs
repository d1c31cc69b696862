//! The scoreboard: what was sent and what the peer said about it (RFC 2018, RFC 6675 section 4).
//!
//! One entry a sent segment, in order of sequence numbers. In: segments as they are sent,
//! acknowledgments and SACK blocks. Out: a [`Delivery`] that says what an acknowledgment delivered,
//! and the number of octets in flight ([`Scoreboard::pipe`]).
//!
//! A peer decides which blocks it sends, so the work for them is bounded: an entry is cut only at
//! multiples of the segment size it was sent with, never smaller (the attacks of CVE-2019-11477 and
//! CVE-2019-11478 lived on fragments), and what the previous acknowledgment already said is not
//! looked at again.

use core::ops::Range;
use core::time::Duration;

use super::queue::Queue;
use super::rate::{AckRate, RateEstimator, RateSample, SentRate};
use crate::tcp::seq;
use crate::time::Instant;
use crate::wire::tcp::SackBlocks;

/// What is believed of a sent segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is under way.
    InFlight,
    /// It was lost and is to be sent again.
    Lost,
    /// The peer has it, beyond a gap.
    Sacked,
}

/// A sent segment.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "`sent_at` is what it is called everywhere"
)]
pub(super) struct Sent {
    /// Its first sequence number.
    pub(super) seq: u32,
    /// The sequence numbers it occupies.
    pub(super) len: u32,
    /// When it was sent last.
    pub(super) sent_at: Instant,
    /// For the delivery rate.
    pub(super) rate: SentRate,
    /// What is believed of it.
    pub(super) fate: Fate,
    /// Whether it was sent more than once.
    pub(super) retransmitted: bool,
}

impl Sent {
    /// The sequence number after its last.
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }
}

/// What an acknowledgment delivered.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    now: Instant,
    estimator: &'a mut RateEstimator,
    rate: AckRate,
    /// Octets acknowledged cumulatively that were not known to have arrived.
    pub(super) acked: u32,
    /// Octets newly acknowledged selectively.
    pub(super) sacked: u32,
    /// The delivered segment that was sent last.
    pub(super) newest: Option<Sent>,
    /// When the oldest of the segments was sent that were sent only once; for the round-trip time
    /// as the peer's delayed acknowledgment sees it.
    pub(super) first_sent_once: Option<Instant>,
    /// When the newest of them was sent: the round-trip time without the peer's delay.
    pub(super) last_sent_once: Option<Instant>,
    /// The lowest sequence number delivered by a segment that was sent only once.
    pub(super) lowest_sent_once: Option<u32>,
    /// Whether a segment was delivered that was sent again since.
    pub(super) retransmitted: bool,
}

impl<'a> Delivery<'a> {
    /// Nothing was delivered yet by the acknowledgment that came `now`.
    pub(super) fn new(now: Instant, estimator: &'a mut RateEstimator) -> Self {
        Self {
            now,
            estimator,
            rate: AckRate::default(),
            acked: 0,
            sacked: 0,
            newest: None,
            first_sent_once: None,
            last_sent_once: None,
            lowest_sent_once: None,
            retransmitted: false,
        }
    }

    /// The delivery rate that it tells.
    pub(super) fn rate(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        self.estimator.sample(&self.rate, min_rtt)
    }

    /// Octets that are newly known to have arrived.
    pub(super) fn octets(&self) -> u32 {
        self.acked + self.sacked
    }

    fn note(&mut self, sent: &Sent) {
        self.estimator
            .on_delivered(&mut self.rate, &sent.rate, sent.len, sent.sent_at, self.now);
        let newer = self.newest.is_none_or(|newest| {
            newest.sent_at < sent.sent_at
                || newest.sent_at == sent.sent_at && seq::lt(newest.end(), sent.end())
        });
        if newer {
            self.newest = Some(*sent);
        }
        if sent.retransmitted {
            self.retransmitted = true;
            return;
        }
        let earliest = self.first_sent_once.unwrap_or(sent.sent_at);
        self.first_sent_once = Some(earliest.min(sent.sent_at));
        self.last_sent_once = self.last_sent_once.max(Some(sent.sent_at));
        if self
            .lowest_sent_once
            .is_none_or(|lowest| seq::lt(sent.seq, lowest))
        {
            self.lowest_sent_once = Some(sent.seq);
        }
    }
}

/// What was sent and not yet acknowledged.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    sent: Queue<Sent>,
    /// Octets that are [`Fate::Sacked`].
    sacked: u32,
    /// Octets that are [`Fate::Lost`].
    lost: u32,
    /// Nothing before this is [`Fate::Lost`]. Looking for the next lost segment begins here: a
    /// peer with a large window and small segments could make a search from the front long.
    lost_from: u32,
    /// The end of the highest selectively acknowledged segment, if there is one.
    highest_sacked: Option<u32>,
    /// The blocks of the previous acknowledgment.
    seen: Option<Box<SackBlocks>>,
}

impl Scoreboard {
    /// Nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// How many segments are remembered.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Octets selectively acknowledged.
    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Octets believed lost and not sent again.
    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// Octets that were sent again and are under way. Looks at every segment.
    pub(super) fn resent_octets(&self) -> u32 {
        let resent = |sent: &&Sent| sent.retransmitted && sent.fate == Fate::InFlight;
        self.iter().filter(resent).map(|sent| sent.len).sum()
    }

    /// The end of the highest selectively acknowledged segment.
    #[cfg(test)]
    pub(super) fn highest_sacked(&self) -> Option<u32> {
        self.highest_sacked
    }

    /// Octets in flight, of `outstanding` ones (RFC 6675 section 4, `SetPipe`).
    pub(super) fn pipe(&self, outstanding: u32) -> u32 {
        outstanding.saturating_sub(self.sacked + self.lost)
    }

    /// Notes a new segment, which comes after all others.
    pub(super) fn push(&mut self, sent: Sent) {
        self.sent.push_back(sent);
    }

    /// The oldest segment.
    pub(super) fn first(&self) -> Option<&Sent> {
        self.sent.front()
    }

    /// The segments, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter()
    }

    /// The segment at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&Sent> {
        self.sent.get(index)
    }

    /// Takes in that everything before `una` has arrived.
    pub(super) fn acknowledge(&mut self, una: u32, delivery: &mut Delivery<'_>) {
        while let Some(first) = self.sent.front().copied() {
            if !seq::lt(first.seq, una) {
                break;
            }
            if seq::le(first.end(), una) {
                self.sent.pop_front();
                self.forget(first.fate, first.len);
                if first.fate != Fate::Sacked {
                    delivery.acked += first.len;
                    delivery.note(&first);
                }
                continue;
            }
            // RFC 9293 section 3.4: an acknowledgment may end inside a segment.
            let part = una.wrapping_sub(first.seq);
            self.forget(first.fate, part);
            if let Some(entry) = self.sent.front_mut() {
                entry.seq = una;
                entry.len -= part;
            }
            if first.fate != Fate::Sacked {
                delivery.acked += part;
                delivery.note(&Sent { len: part, ..first });
            }
            break;
        }
        if self.sent.is_empty() || self.highest_sacked.is_some_and(|high| seq::le(high, una)) {
            self.highest_sacked = None;
            self.seen = None;
        }
    }

    /// Takes in the blocks of an acknowledgment. Those that lie outside what is under way are
    /// passed over (RFC 2018 section 4 leaves D-SACK blocks and lies there).
    pub(super) fn sack(&mut self, blocks: &SackBlocks, mss: u32, delivery: &mut Delivery<'_>) {
        let Some((una, nxt)) = self.range() else {
            return;
        };
        let mut useful = SackBlocks::default();
        for &(left, right) in blocks.as_slice() {
            let inside = seq::le(una, left) && seq::lt(left, right) && seq::le(right, nxt);
            if inside {
                useful.push(left, right);
            }
        }
        for &(left, right) in useful.as_slice() {
            let known = self.seen.as_ref().and_then(|seen| {
                let inside = |&&(l, r): &&(u32, u32)| seq::le(left, l) && seq::le(r, right);
                seen.as_slice().iter().find(inside).copied()
            });
            match known {
                Some((l, r)) => {
                    self.sack_range(left..l, mss, delivery);
                    self.sack_range(r..right, mss, delivery);
                }
                None => self.sack_range(left..right, mss, delivery),
            }
        }
        if !useful.as_slice().is_empty() {
            match &mut self.seen {
                Some(seen) => **seen = useful,
                None => self.seen = Some(Box::new(useful)),
            }
        }
    }

    fn sack_range(&mut self, range: Range<u32>, mss: u32, delivery: &mut Delivery<'_>) {
        if !seq::lt(range.start, range.end) {
            return;
        }
        let mut index = self.cut(range.start, mss, true);
        let end = self.cut(range.end, mss, false);
        while index < end {
            let Some(sent) = self.sent.get_mut(index) else {
                return;
            };
            index += 1;
            if sent.fate == Fate::Sacked {
                continue;
            }
            if sent.fate == Fate::Lost {
                self.lost -= sent.len;
            }
            sent.fate = Fate::Sacked;
            self.sacked += sent.len;
            delivery.sacked += sent.len;
            delivery.note(sent);
            if self
                .highest_sacked
                .is_none_or(|high| seq::lt(high, sent.end()))
            {
                self.highest_sacked = Some(sent.end());
            }
        }
    }

    /// The index of the first segment at or after `at`. A segment of several `mss` is cut there,
    /// at the multiple of `mss` after `at` (`up`) or before it.
    fn cut(&mut self, at: u32, mss: u32, up: bool) -> usize {
        let index = self.index_of(at);
        let Some(sent) = self.sent.get(index).copied() else {
            return index;
        };
        let offset = at.wrapping_sub(sent.seq);
        if offset == 0 || offset >= sent.len {
            return index;
        }
        let whole = offset / mss * mss;
        let first = if up && whole != offset {
            whole + mss
        } else {
            whole
        };
        if first == 0 {
            return index;
        }
        if first >= sent.len {
            return index + 1;
        }
        self.split(index, first);
        index + 1
    }

    /// The index of the segment that contains `at`, or of the first after it.
    fn index_of(&self, at: u32) -> usize {
        self.sent.partition_point(|sent| seq::le(sent.end(), at))
    }

    /// Makes two segments of one, the first of `len` octets.
    pub(super) fn split(&mut self, index: usize, len: u32) {
        let Some(first) = self.sent.get_mut(index) else {
            return;
        };
        let mut rest = *first;
        rest.seq = first.seq.wrapping_add(len);
        rest.len -= len;
        first.len = len;
        self.sent.insert(index + 1, rest);
    }

    /// Believes the segment at `index` lost, unless it was before. Returns the octets that are.
    pub(super) fn mark_lost(&mut self, index: usize) -> u32 {
        match self.sent.get_mut(index) {
            Some(sent) if sent.fate == Fate::InFlight => {
                sent.fate = Fate::Lost;
                if self.lost == 0 || seq::lt(sent.seq, self.lost_from) {
                    self.lost_from = sent.seq;
                }
                self.lost += sent.len;
                sent.len
            }
            _ => 0,
        }
    }

    /// Believes everything lost that was not selectively acknowledged. With `renege`, the peer may
    /// have dropped that as well (RFC 2018 section 8). Returns the octets that are newly lost.
    pub(super) fn mark_all_lost(&mut self, renege: bool) -> u32 {
        let before = self.lost;
        self.lost_from = self.sent.front().map_or(0, |first| first.seq);
        for sent in self.sent.iter_mut() {
            match sent.fate {
                Fate::InFlight => self.lost += sent.len,
                Fate::Sacked if renege => {
                    self.sacked -= sent.len;
                    self.lost += sent.len;
                }
                Fate::Sacked | Fate::Lost => continue,
            }
            sent.fate = Fate::Lost;
        }
        if renege {
            self.highest_sacked = None;
            self.seen = None;
        }
        self.lost - before
    }

    /// Believes of all that is lost that it is under way after all.
    pub(super) fn restore_lost(&mut self) {
        self.lost = 0;
        for sent in self.sent.iter_mut() {
            if sent.fate == Fate::Lost {
                sent.fate = Fate::InFlight;
            }
        }
    }

    /// The first lost segment.
    pub(super) fn next_lost(&mut self) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        let from = self.lost_from;
        let start = self.sent.partition_point(|sent| seq::lt(sent.seq, from));
        let is_lost = |index: &usize| {
            let sent = self.sent.get(*index);
            sent.is_some_and(|sent| sent.fate == Fate::Lost)
        };
        let found = (start..self.sent.len()).find(is_lost)?;
        self.lost_from = self.sent.get(found)?.seq;
        Some(found)
    }

    /// Notes that the segment at `index` was sent again.
    pub(super) fn resent(&mut self, index: usize, now: Instant, rate: SentRate) {
        if let Some(sent) = self.sent.get_mut(index) {
            if sent.fate == Fate::Lost {
                self.lost -= sent.len;
                sent.fate = Fate::InFlight;
            }
            sent.sent_at = now;
            sent.rate = rate;
            sent.retransmitted = true;
        }
    }

    fn range(&self) -> Option<(u32, u32)> {
        Some((self.sent.front()?.seq, self.sent.back()?.end()))
    }

    fn forget(&mut self, fate: Fate, len: u32) {
        match fate {
            Fate::InFlight => {}
            Fate::Lost => self.lost -= len,
            Fate::Sacked => self.sacked -= len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn sent_rate() -> SentRate {
        RateEstimator::default().on_sent(Instant::ZERO, 0)
    }

    fn board(first: u32, segments: u32) -> Scoreboard {
        let mut board = Scoreboard::default();
        for index in 0..segments {
            board.push(Sent {
                seq: first.wrapping_add(index * MSS),
                len: MSS,
                sent_at: Instant::from_millis(u64::from(index)),
                rate: sent_rate(),
                fate: Fate::InFlight,
                retransmitted: false,
            });
        }
        board
    }

    fn blocks(pairs: &[(u32, u32)]) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        for (left, right) in pairs {
            blocks.push(*left, *right);
        }
        blocks
    }

    #[test]
    fn what_is_acknowledged_is_delivered_once_across_the_wrap() {
        let first = 0u32.wrapping_sub(2500);
        let mut board = board(first, 5);
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        let at = |offset: u32| first.wrapping_add(offset);
        board.sack(&blocks(&[(at(2000), at(4000))]), MSS, &mut delivery);
        assert_eq!((delivery.sacked, board.sacked()), (2000, 2000));
        assert_eq!(board.pipe(5000), 3000);
        assert_eq!(board.highest_sacked(), Some(at(4000)));
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        board.acknowledge(at(3500), &mut delivery);
        assert_eq!(delivery.acked, 2000);
        assert_eq!((board.sacked(), board.pipe(1500)), (500, 1000));
        assert_eq!(delivery.lowest_sent_once, Some(first));
    }

    #[test]
    fn blocks_outside_what_is_under_way_say_nothing() {
        let mut board = board(10_000, 3);
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        let lies = blocks(&[(9_000, 10_000), (12_000, 14_000), (12_000, 11_000)]);
        board.sack(&lies, MSS, &mut delivery);
        assert_eq!((delivery.octets(), board.sacked()), (0, 0));
    }

    #[test]
    fn a_block_smaller_than_a_segment_cuts_nothing() {
        let mut board = board(0, 1);
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        for left in (0..900).step_by(2) {
            board.sack(&blocks(&[(left, left + 1)]), MSS, &mut delivery);
        }
        assert_eq!((board.len(), delivery.sacked), (1, 0));
    }

    #[test]
    fn a_large_segment_is_cut_where_segments_of_the_wire_end() {
        let mut board = Scoreboard::default();
        board.push(Sent {
            len: 10 * MSS,
            ..*board_one().first().unwrap()
        });
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        board.sack(&blocks(&[(2500, 5500)]), MSS, &mut delivery);
        assert_eq!(delivery.sacked, 2000);
        let parts: Vec<_> = board
            .iter()
            .map(|sent| (sent.seq, sent.len, sent.fate == Fate::Sacked))
            .collect();
        assert_eq!(
            parts,
            [(0, 3000, false), (3000, 2000, true), (5000, 5000, false)]
        );
    }

    fn board_one() -> Scoreboard {
        board(0, 1)
    }

    #[test]
    fn a_block_that_grew_is_looked_at_where_it_grew() {
        let mut board = board(0, 10);
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        board.sack(&blocks(&[(3000, 5000)]), MSS, &mut delivery);
        board.sack(&blocks(&[(2000, 7000)]), MSS, &mut delivery);
        assert_eq!(delivery.sacked, 5000);
        board.sack(&blocks(&[(2000, 7000)]), MSS, &mut delivery);
        assert_eq!((delivery.sacked, board.sacked()), (5000, 5000));
    }

    #[test]
    fn lost_segments_leave_the_pipe_until_they_are_sent_again() {
        let mut board = board(0, 4);
        assert_eq!(board.mark_lost(0), 1000);
        assert_eq!(board.mark_lost(0), 0);
        assert_eq!((board.pipe(4000), board.next_lost()), (3000, Some(0)));
        board.resent(0, Instant::from_millis(50), sent_rate());
        assert_eq!((board.pipe(4000), board.next_lost()), (4000, None));
        assert_eq!(board.mark_all_lost(false), 4000);
        board.restore_lost();
        assert_eq!(board.pipe(4000), 4000);
    }

    #[test]
    fn the_first_lost_segment_is_found_whatever_came_before() {
        let first = 0u32.wrapping_sub(2500);
        let mut board = board(first, 6);
        let again = |board: &mut Scoreboard, index| {
            board.resent(index, Instant::from_millis(50), sent_rate());
        };
        board.mark_lost(4);
        assert_eq!(board.next_lost(), Some(4));
        // One before it, found later, comes first.
        board.mark_lost(1);
        assert_eq!(board.next_lost(), Some(1));
        again(&mut board, 1);
        assert_eq!(board.next_lost(), Some(4));
        // What was sent again is lost again.
        board.mark_lost(1);
        assert_eq!(board.next_lost(), Some(1));
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
        board.acknowledge(first.wrapping_add(2000), &mut delivery);
        assert_eq!(board.next_lost(), Some(2));
        again(&mut board, 2);
        assert_eq!(board.next_lost(), None);
        board.mark_all_lost(false);
        assert_eq!(board.next_lost(), Some(0));
    }

    #[test]
    fn a_timeout_may_assume_that_the_peer_reneged() {
        let mut board = board(0, 4);
        board.sack(
            &blocks(&[(1000, 2000)]),
            MSS,
            &mut Delivery::new(Instant::ZERO, &mut RateEstimator::default()),
        );
        assert_eq!(board.mark_all_lost(false), 3000);
        assert_eq!(board.mark_all_lost(true), 1000);
        assert_eq!((board.sacked(), board.lost()), (0, 4000));
    }
}
