//! Payloads that arrived ahead of a gap (RFC 9293 section 3.10.7.4), and what is told of them by
//! selective acknowledgments (RFC 2018; duplicates: RFC 2883).
//!
//! What is held is a sorted list of ranges of sequence numbers that neither overlap nor touch, each
//! with its payloads in order. Of octets that come twice the first copy stays. The FIN counts as
//! the octet it is in sequence space: a range that ends with it is one longer than its payloads.
//! Nothing is allocated before something arrives out of order.
//!
//! A peer chooses what arrives, so the work per segment is bounded (that it was not is what
//! CVE-2018-5390 was about): a binary search in, and a shift of, at most `Limits::ranges` entries.
//! Joining ranges costs in proportion to how many are joined, which one segment each had made
//! before; payloads are moved when ranges join, but only those of the range that has fewer. Copied
//! are only small payloads next to each other, fewer than 256 octets for each that is taken in.

use std::collections::VecDeque;

use super::gather;
use super::queue::Queue;
use crate::io::Payload;
use crate::tcp::seq;
use crate::wire::tcp::SackBlocks;

/// What is held ahead of gaps; see the module.
#[derive(Debug)]
pub(super) struct Reassembly<P>(Option<Box<Held<P>>>);

/// How much may be held. Octets are bounded by the window already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Gaps, each of which is before a range.
    pub(super) ranges: usize,
    /// Payloads, each of which holds a packet buffer.
    pub(super) payloads: usize,
}

impl Limits {
    /// For what is next in order, which is taken out again at once.
    pub(super) const NONE: Self = Self {
        ranges: usize::MAX,
        payloads: usize::MAX,
    };
}

/// Why something was not taken in. Each is a counter's business; the peer sends it again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// There are too many gaps already.
    TooManyGaps,
    /// Too many packet buffers are held already.
    TooManyBuffers,
    /// Octets beyond the FIN, or a FIN before octets that arrived: the peer contradicts itself.
    BeyondFin,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Inserted {
    /// The first range of octets that had been here already: `left..right`.
    pub(super) duplicate: Option<(u32, u32)>,
    /// All or a part of the segment was refused.
    pub(super) refused: Option<Refusal>,
}

/// What follows the octets received in order.
#[derive(Debug)]
pub(super) struct Taken<P> {
    /// First sequence number after it.
    pub(super) right: u32,
    /// The octets.
    pub(super) payloads: Queue<P>,
    /// The FIN is the last of the sequence numbers.
    pub(super) fin: bool,
}

#[derive(Debug)]
struct Held<P> {
    /// Invariant: sorted, and each ends before the next begins. Not empty between calls.
    ranges: VecDeque<Range<P>>,
    /// Payloads in all ranges.
    payloads: usize,
    /// Where the FIN stands, if it is in the last range.
    fin: Option<u32>,
    /// A sequence number of each range that changed lately, the last first.
    recent: Recent,
}

#[derive(Debug)]
struct Range<P> {
    left: u32,
    /// The one after the last.
    right: u32,
    payloads: Queue<P>,
}

impl<P> Default for Reassembly<P> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P: Payload> Reassembly<P> {
    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many payloads are held.
    pub(super) fn payloads(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.payloads)
    }

    /// Where the FIN stands, if it arrived ahead of a gap.
    pub(super) fn fin(&self) -> Option<u32> {
        self.0.as_ref().and_then(|held| held.fin)
    }

    /// Takes in the octets of a segment from `left` on, and its FIN if it has one. They begin at
    /// the next expected sequence number or later, and end within the window.
    pub(super) fn insert(&mut self, left: u32, payload: P, fin: bool, limits: Limits) -> Inserted {
        let held = self.0.get_or_insert_default();
        let inserted = held.insert(left, payload, fin, limits);
        if held.ranges.is_empty() {
            self.0 = None;
        }
        inserted
    }

    /// Gives out what begins at `rcv_nxt`, if anything does.
    pub(super) fn take(&mut self, rcv_nxt: u32) -> Option<Taken<P>> {
        let held = self.0.as_mut()?;
        if held.ranges.front()?.left != rcv_nxt {
            return None;
        }
        let range = held.ranges.pop_front()?;
        held.payloads -= range.payloads.len();
        held.recent.forget(range.left, range.right);
        let fin = held.fin.is_some() && held.ranges.is_empty();
        if held.ranges.is_empty() {
            self.0 = None;
        }
        Some(Taken {
            right: range.right,
            payloads: range.payloads,
            fin,
        })
    }

    /// Adds to `blocks` what is held, until there are `max` blocks.
    ///
    /// RFC 2018 section 4: the range that changed last comes first, then those that changed before,
    /// as long as they are remembered; then those nearest to the gap that is waited for.
    pub(super) fn sack_blocks(&self, blocks: &mut SackBlocks, max: usize) {
        let Some(held) = self.0.as_ref() else {
            return;
        };
        let before = blocks.as_slice().len();
        let recent = held.recent.as_slice().iter();
        for range in recent.filter_map(|&octet| held.containing(octet)) {
            if blocks.as_slice().len() < max {
                blocks.push(range.left, range.right);
            }
        }
        for range in held.ranges.iter().take(max) {
            let block = (range.left, range.right);
            let room = blocks.as_slice().len() < max;
            if room && !blocks.as_slice()[before..].contains(&block) {
                blocks.push(range.left, range.right);
            }
        }
    }
}

impl<P> Default for Held<P> {
    fn default() -> Self {
        Self {
            ranges: VecDeque::new(),
            payloads: 0,
            fin: None,
            recent: Recent::default(),
        }
    }
}

impl<P: Payload> Held<P> {
    fn insert(&mut self, left: u32, mut payload: P, fin: bool, limits: Limits) -> Inserted {
        let mut inserted = Inserted::default();
        let mut right = left.wrapping_add(payload.octets().len() as u32);
        // RFC 9293 3.10.7.4, seventh step: no text comes after a FIN.
        if let Some(end) = self.fin.filter(|&end| seq::lt(end, right)) {
            inserted.refused = Some(Refusal::BeyondFin);
            if seq::le(end, left) {
                return inserted;
            }
            payload.truncate(end.wrapping_sub(left) as usize);
            right = end;
        }
        if left != right {
            match self.insert_octets(left, payload, limits) {
                Ok(duplicate) => inserted.duplicate = duplicate,
                Err(refusal) => {
                    inserted.refused = Some(refusal);
                    return inserted;
                }
            }
        }
        if fin && let Err(refusal) = self.insert_fin(right, limits) {
            inserted.refused = Some(refusal);
        }
        inserted
    }

    fn insert_octets(
        &mut self,
        left: u32,
        payload: P,
        limits: Limits,
    ) -> Result<Option<(u32, u32)>, Refusal> {
        let right = left.wrapping_add(payload.octets().len() as u32);
        // The first range that ends at `left` or later: all before it have nothing to do with this.
        let at = self
            .ranges
            .partition_point(|range| seq::lt(range.right, left));
        let touches = self
            .ranges
            .get(at)
            .is_some_and(|range| seq::le(range.left, right));
        if self.payloads >= limits.payloads {
            return Err(Refusal::TooManyBuffers);
        }
        if touches {
            return Ok(self.join(at, Rest::new(left, right, payload)));
        }
        if self.ranges.len() >= limits.ranges {
            return Err(Refusal::TooManyGaps);
        }
        let mut payloads = Queue::default();
        payloads.push_back(payload);
        self.payloads += 1;
        let range = Range {
            left,
            right,
            payloads,
        };
        self.ranges.insert(at, range);
        self.recent.touch(left, right);
        Ok(None)
    }

    /// Puts `rest` where there is nothing yet, into the range at index `at`, which it overlaps or
    /// touches, and joins to that range those behind it that are no longer apart from it. Returns
    /// the first octets of `rest` that had been there.
    fn join(&mut self, at: usize, mut rest: Rest<P>) -> Option<(u32, u32)> {
        let mut duplicate = None;
        let mut range = core::mem::take(&mut self.ranges[at]);
        self.payloads -= range.payloads.len();
        if seq::lt(rest.left, range.left) {
            let left = rest.left;
            if let Some(piece) = rest.split_to(range.left) {
                gather::push_front(&mut range.payloads, piece);
                range.left = left;
            }
        }
        let mut joined = 0;
        loop {
            let overlap = rest.skip_to(range.right);
            duplicate = duplicate.or(overlap);
            let next = self.ranges.get_mut(at + 1 + joined);
            let next = next.filter(|next| seq::le(next.left, rest.right));
            let gap_end = next.as_ref().map_or(rest.right, |next| next.left);
            if let Some(piece) = rest.split_to(gap_end) {
                gather::push_back(&mut range.payloads, piece);
                range.right = gap_end;
            }
            let Some(next) = next.map(core::mem::take) else {
                break;
            };
            self.payloads -= next.payloads.len();
            gather::append(&mut range.payloads, next.payloads);
            range.right = next.right;
            joined += 1;
        }
        self.ranges.drain(at + 1..at + 1 + joined);
        self.payloads += range.payloads.len();
        self.recent.touch(range.left, range.right);
        self.ranges[at] = range;
        duplicate
    }

    fn insert_fin(&mut self, at: u32, limits: Limits) -> Result<(), Refusal> {
        match (self.fin, self.ranges.back_mut()) {
            (Some(known), _) if known == at => return Ok(()),
            (Some(_), _) => return Err(Refusal::BeyondFin),
            (None, Some(last)) if seq::lt(at, last.right) => return Err(Refusal::BeyondFin),
            (None, Some(last)) if last.right == at => last.right = at.wrapping_add(1),
            (None, _) => {
                if self.ranges.len() >= limits.ranges {
                    return Err(Refusal::TooManyGaps);
                }
                self.ranges.push_back(Range {
                    left: at,
                    right: at.wrapping_add(1),
                    payloads: Queue::default(),
                });
            }
        }
        self.fin = Some(at);
        if let Some(last) = self.ranges.back() {
            self.recent.touch(last.left, last.right);
        }
        Ok(())
    }

    fn containing(&self, octet: u32) -> Option<&Range<P>> {
        let at = self
            .ranges
            .partition_point(|range| seq::le(range.right, octet));
        self.ranges
            .get(at)
            .filter(|range| seq::le(range.left, octet))
    }
}

impl<P> Default for Range<P> {
    fn default() -> Self {
        Self {
            left: 0,
            right: 0,
            payloads: Queue::default(),
        }
    }
}

/// What of a segment has not found its place yet: from `left` to `right`.
struct Rest<P> {
    left: u32,
    right: u32,
    /// Octets from `left` on; none once all have found their place.
    payload: Option<P>,
}

impl<P: Payload> Rest<P> {
    fn new(left: u32, right: u32, payload: P) -> Self {
        Self {
            left,
            right,
            payload: Some(payload),
        }
    }

    /// Drops what comes before `to`. Returns what that was, if anything.
    fn skip_to(&mut self, to: u32) -> Option<(u32, u32)> {
        let left = self.left;
        let to = if seq::lt(self.right, to) {
            self.right
        } else {
            to
        };
        if seq::le(to, left) {
            return None;
        }
        if to == self.right {
            self.payload = None;
        } else if let Some(payload) = &mut self.payload {
            payload.trim_front(to.wrapping_sub(left) as usize);
        }
        self.left = to;
        Some((left, to))
    }

    /// Takes off what comes before `to`, which is not beyond the end.
    fn split_to(&mut self, to: u32) -> Option<P> {
        if seq::le(to, self.left) {
            return None;
        }
        let piece = if to == self.right {
            self.payload.take()
        } else {
            let mut piece = self.payload.as_ref().map(P::share);
            let len = to.wrapping_sub(self.left) as usize;
            if let Some(piece) = &mut piece {
                piece.truncate(len);
            }
            if let Some(payload) = &mut self.payload {
                payload.trim_front(len);
            }
            piece
        };
        self.left = to;
        piece
    }
}

/// A sequence number of each of the ranges that changed last, the last first. A range that grows
/// or is joined to another still contains the number.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    octets: [u32; 4],
    len: u8,
}

impl Recent {
    fn as_slice(&self) -> &[u32] {
        &self.octets[..usize::from(self.len)]
    }

    /// The range `left..right` changed.
    fn touch(&mut self, left: u32, right: u32) {
        self.forget(left, right);
        self.octets.copy_within(0..3, 1);
        self.octets[0] = left;
        self.len = (self.len + 1).min(4);
    }

    /// Removes the numbers in `left..right`.
    fn forget(&mut self, left: u32, right: u32) {
        let mut kept = Self::default();
        for &octet in self.as_slice() {
            if seq::lt(octet, left) || seq::le(right, octet) {
                kept.octets[usize::from(kept.len)] = octet;
                kept.len += 1;
            }
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests;
