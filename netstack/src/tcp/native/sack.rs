//! The scoreboard: what was sent and what the peer said about it (RFC 2018, RFC 6675 section 4).
//!
//! One entry a sent segment, in order of sequence numbers. In: segments as they are sent,
//! acknowledgments and SACK blocks. Out: a [`Delivery`] that says what an acknowledgment delivered,
//! and the number of octets in flight ([`Scoreboard::pipe`]).
//!
//! A peer decides which blocks it sends, so the work for them is bounded: an entry is cut only at
//! multiples of the segment size it was sent with, never smaller (the attacks of CVE-2019-11477 and
//! CVE-2019-11478 lived on fragments) and only while there are few enough of them; a run of
//! segments that the peer has is stepped over, however it words its blocks; and looking for losses
//! goes on where it stopped ([`Scoreboard::lose`]).
//! So all acknowledgments together look at each sending of a segment a few times, and each of them
//! at a bounded number more.

mod losses;

use core::ops::Range;
use core::time::Duration;

pub(super) use self::losses::Judgement;
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
    pub(super) resent: bool,
    /// If the peer has it: so far, it has everything that follows as well. It may have more.
    run_end: u32,
}

impl Sent {
    /// A segment that is sent for the first time.
    pub(super) fn new(seq: u32, len: u32, sent_at: Instant, rate: SentRate) -> Self {
        Self {
            seq,
            len,
            sent_at,
            rate,
            fate: Fate::InFlight,
            resent: false,
            run_end: seq,
        }
    }

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
    /// The length of the segment inside of which the cumulative acknowledgment ended.
    pub(super) divided: Option<u32>,
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
            divided: None,
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
        if sent.resent {
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

/// A segment that was sent again.
#[derive(Clone, Copy, Debug)]
struct Again {
    /// The sequence number after its last.
    end: u32,
    sent_at: Instant,
}

/// Segments that are not cut any further while there are so many.
const MOST_CUT: usize = 1 << 14;

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
    /// Nothing before this is in flight for the first time. Looking for losses begins here.
    first_from: u32,
    /// What is in flight again, in the order of sending; and some that is not any more.
    again: Queue<Again>,
    /// The end of the highest selectively acknowledged segment, if there is one.
    highest_sacked: Option<u32>,
    /// Blocks that were about nothing in flight, or could not be noted to the octet.
    refused: u16,
    /// Segments looked at.
    #[cfg(test)]
    pub(super) steps: usize,
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
        let resent = |sent: &&Sent| sent.resent && sent.fate == Fate::InFlight;
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
        if self.sent.is_empty() {
            self.first_from = sent.seq;
        }
        self.sent.push_back(sent);
    }

    /// Blocks that were about nothing in flight, or could not be noted to the octet, since this was
    /// last asked.
    pub(super) fn take_refused(&mut self) -> u16 {
        core::mem::take(&mut self.refused)
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
            delivery.divided = Some(first.len);
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
        if seq::lt(self.first_from, una) {
            self.first_from = una;
        }
        let is_over = |again: &Again| seq::le(again.end, una);
        while self.again.front().is_some_and(is_over) {
            self.again.pop_front();
        }
        if self.sent.is_empty() || self.highest_sacked.is_some_and(|high| seq::le(high, una)) {
            self.highest_sacked = None;
        }
    }

    /// Takes in the blocks of an acknowledgment. Those that lie outside what is under way are
    /// passed over (RFC 2018 section 4 leaves D-SACK blocks and lies there).
    pub(super) fn sack(&mut self, blocks: &SackBlocks, mss: u32, delivery: &mut Delivery<'_>) {
        let Some((una, nxt)) = self.range() else {
            return;
        };
        for &(left, right) in blocks.as_slice() {
            if seq::le(una, left) && seq::lt(left, right) && seq::le(right, nxt) {
                self.sack_range(left..right, mss, delivery);
            } else if seq::lt(una, right) {
                // Not a duplicate of what was acknowledged.
                self.refused = self.refused.saturating_add(1);
            }
        }
    }

    fn sack_range(&mut self, range: Range<u32>, mss: u32, delivery: &mut Delivery<'_>) {
        let mut index = self.cut(range.start, mss, true);
        let end = self.cut(range.end, mss, false);
        let last = end.checked_sub(1).and_then(|last| self.sent.get(last));
        let Some(run_end) = last.map(Sent::end) else {
            return;
        };
        while index < end {
            self.count_step();
            let next = self.after(index);
            let Some(sent) = self.sent.get_mut(index) else {
                return;
            };
            index = next;
            if sent.fate == Fate::Sacked {
                // Whoever comes here next does not stop where this one has.
                if seq::lt(sent.run_end, run_end) {
                    sent.run_end = run_end;
                }
                continue;
            }
            sent.run_end = run_end;
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
        if self.sent.len() >= MOST_CUT {
            self.refused = self.refused.saturating_add(1);
            return if up { index + 1 } else { index };
        }
        self.split(index, first);
        index + 1
    }

    /// The index of the segment that contains `at`, or of the first after it.
    fn index_of(&self, at: u32) -> usize {
        self.sent.partition_point(|sent| seq::le(sent.end(), at))
    }

    /// The index of the segment after the one at `index`, or after the run that the peer has.
    fn after(&self, index: usize) -> usize {
        match self.sent.get(index) {
            Some(sent) if sent.fate == Fate::Sacked && seq::lt(sent.end(), sent.run_end) => {
                self.index_of(sent.run_end)
            }
            _ => index + 1,
        }
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
    /// have dropped that as well (RFC 2018 section 8).
    pub(super) fn mark_all_lost(&mut self, renege: bool) {
        self.again = Queue::default();
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
        }
    }

    /// Believes of all that is lost that it is under way after all.
    pub(super) fn restore_lost(&mut self) {
        self.lost = 0;
        for sent in self.sent.iter_mut() {
            if sent.fate == Fate::Lost {
                sent.fate = Fate::InFlight;
            }
        }
        self.first_from = self.sent.front().map_or(0, |first| first.seq);
        let resent = |sent: &&Sent| sent.resent && sent.fate == Fate::InFlight;
        let again = self.iter().filter(resent).map(|sent| Again {
            end: sent.end(),
            sent_at: sent.sent_at,
        });
        let mut again: Vec<_> = again.collect();
        again.sort_by_key(|again| again.sent_at);
        self.again = Queue::default();
        for again in again {
            self.again.push_back(again);
        }
    }

    /// The first lost segment.
    pub(super) fn next_lost(&mut self) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        let from = self.lost_from;
        let mut index = self.sent.partition_point(|sent| seq::lt(sent.seq, from));
        loop {
            let sent = self.sent.get(index)?;
            if sent.fate == Fate::Lost {
                self.lost_from = sent.seq;
                return Some(index);
            }
            self.count_step();
            index = self.after(index);
        }
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
            sent.resent = true;
            let end = sent.end();
            self.again.push_back(Again { end, sent_at: now });
        }
    }

    #[cfg(test)]
    fn count_step(&mut self) {
        self.steps += 1;
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests count")]
    fn count_step(&self) {}

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
mod tests;
