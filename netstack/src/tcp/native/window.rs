//! What window to offer the peer (RFC 9293 section 3.8.6), and how large it is to become.
//!
//! The right edge of the window, once offered, is never taken back (RFC 9293 section 3.8.6): data
//! up to it is taken in whatever happens. It advances in steps worth a segment (section 3.8.6.2.2,
//! silly window syndrome). How far it may be ahead of what the session has read is the target,
//! which follows what the session reads per round trip: twice that, so that a sender whose
//! congestion window doubles each round trip never finds the window closed. Under memory pressure
//! the target stops growing, then shrinks; what was offered stays offered.
//!
//! In: what arrived and what was read, the pressure. Out: the window field, and whether the peer
//! should be told of a larger window without having sent anything.
//!
//! A scaled window field has a unit of 2^shift octets (RFC 7323 section 2.3), and the octets that
//! arrive seldom add up to whole units. Rounding down would take back part of a unit, so the field
//! is rounded up, which moves the edge. That too is bounded, to a sixteenth of the largest window:
//! a peer that sends octets one by one to a session that does not read could otherwise push the
//! edge for ever. After that the field is rounded down (RFC 7323 section 2.4 tells senders to
//! expect it), and segments up to the edge are still taken in.

use crate::tcp::seq;
use crate::tcp::stamp::Stamp;
use crate::time::Instant;

/// How short the worker is of memory.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Pressure {
    /// There is plenty: windows grow as they like.
    #[default]
    None,
    /// Windows stay as they are.
    Moderate,
    /// Windows shrink by half each round trip, down to a few segments.
    High,
    /// Only who has nothing queued may receive, and little.
    Critical,
    /// There are none left: the same, and what arrives within windows that were offered before is
    /// refused, but for one segment of each. The peers send it again.
    Exhausted,
}

/// The window of one connection. All sizes are octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// First sequence number beyond everything ever offered.
    edge: u32,
    /// How far rounding has pushed the edge since it last advanced by itself.
    crept: u32,
    /// How far the edge may be ahead of what was read.
    target: u32,
    /// Limit of `target`; fits the scaled window field, and is at most [`MAX_WINDOW`].
    max: u32,
    /// The most that was read in a round trip.
    space: u32,
    /// Read since `period`.
    copied: u32,
    /// Begin of the current measurement. May be older than a stamp lasts; the measurement is
    /// then wrong once, to the low side.
    period: Stamp,
    /// Round-trip time in microseconds; 0 if unknown.
    rtt: u32,
    /// What arrives from beyond here was sent after `rtt_since` plus half a round trip.
    rtt_edge: u32,
    /// When `rtt_edge` was the edge. Set anew before the stamp is half used up.
    rtt_since: Stamp,
    /// The largest payload of a segment.
    mss: u16,
    shift: u8,
}

/// What is left of it after a pause, before which no measurement leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestingWindow {
    edge: u32,
    crept: u32,
    target: u32,
    max: u32,
    space: u32,
    rtt: u32,
    mss: u16,
    shift: u8,
}

impl RestingWindow {
    /// What is still open of what was offered.
    pub(super) fn open(&self, rcv_nxt: u32) -> u32 {
        open(self.edge, rcv_nxt)
    }
}

/// The largest window: RFC 7323 section 2.3 rules out more.
const MAX_WINDOW: u32 = 1 << 30;

/// What a session may read in a round trip before the window grows for the first time, in segments:
/// the initial window of a sender (RFC 6928).
const FIRST_SPACE_SEGMENTS: u32 = 10;

/// What the target has in addition to twice what was read, in segments.
const MARGIN_SEGMENTS: u32 = 16;

/// What the target shrinks to under pressure, in segments: enough for fast retransmit.
const FLOOR_SEGMENTS: u32 = 4;

/// How often a window shrinks under pressure while the round-trip time is unknown; microseconds.
const SHRINK_INTERVAL: u32 = 10_000;

/// The window scale that a window of `max` octets needs.
pub(super) fn scale_for(max: u32) -> u8 {
    (0..14)
        .find(|shift| u32::from(u16::MAX) << shift >= max)
        .unwrap_or(14)
}

impl Window {
    /// A window that begins at `rcv_nxt` with `initial` octets, of which the handshake, whose
    /// window field is not scaled, offers at most 65,535.
    pub(super) fn new(
        now: Instant,
        rcv_nxt: u32,
        (initial, max): (u32, u32),
        mss: u16,
        shift: u8,
    ) -> Self {
        let shift = shift.min(14);
        let mss = mss.max(1);
        // At least one unit of the window field, or the window could never open.
        let unit = 1 << shift;
        let max = max.clamp(unit, MAX_WINDOW.min(u32::from(u16::MAX) << shift));
        let target = initial.clamp(unit, max);
        let first = u32::from(mss) * FIRST_SPACE_SEGMENTS;
        let edge = rcv_nxt.wrapping_add(target.min(u32::from(u16::MAX)));
        Self {
            edge,
            crept: 0,
            target,
            max,
            space: first.min(target / 2).max(1),
            copied: 0,
            period: Stamp::at(now),
            rtt: 0,
            rtt_edge: edge,
            rtt_since: Stamp::at(now),
            mss,
            shift,
        }
    }

    /// What is to be remembered while nothing arrives.
    pub(super) fn rest(&self) -> RestingWindow {
        RestingWindow {
            edge: self.edge,
            crept: self.crept,
            target: self.target,
            max: self.max,
            space: self.space,
            rtt: self.rtt,
            mss: self.mss,
            shift: self.shift,
        }
    }

    /// The same again: whatever arrives next begins the measurements anew, because it comes after
    /// a pause.
    pub(super) fn resume(rest: RestingWindow) -> Self {
        Self {
            edge: rest.edge,
            crept: rest.crept,
            target: rest.target,
            max: rest.max,
            space: rest.space,
            copied: 0,
            period: Stamp::default(),
            rtt: rest.rtt,
            rtt_edge: rest.edge,
            rtt_since: Stamp::default(),
            mss: rest.mss,
            shift: rest.shift,
        }
    }

    /// First sequence number beyond everything ever offered.
    pub(super) fn edge(&self) -> u32 {
        self.edge
    }

    /// What is still open of what was offered.
    pub(super) fn open(&self, rcv_nxt: u32) -> u32 {
        open(self.edge, rcv_nxt)
    }

    /// How far the edge may be ahead of what was read.
    pub(super) fn target(&self) -> u32 {
        self.target
    }

    /// The largest that the target may become.
    pub(super) fn max(&self) -> u32 {
        self.max
    }

    /// The round-trip time as seen by the receiver, in microseconds; 0 if unknown.
    pub(super) fn rtt_micros(&self) -> u32 {
        self.rtt
    }

    /// Advances the edge as far as it should be and gives the window field for the next segment.
    /// `queued` octets wait to be read.
    pub(super) fn offer(&mut self, rcv_nxt: u32, queued: u32, pressure: Pressure) -> u16 {
        let unit = 1_u32 << self.shift;
        // Whole units only, so that the target is not exceeded.
        let wanted = self.wanted(rcv_nxt, queued, pressure) & !(unit - 1);
        let open = self.open(rcv_nxt);
        // RFC 9293 3.8.6.2.2: by a segment or half of the buffer, or not at all.
        let step = u32::from(self.mss).min(self.target / 2).max(1);
        if wanted >= open.saturating_add(step) {
            self.edge = rcv_nxt.wrapping_add(wanted);
            self.crept = 0;
            return self.field(wanted);
        }
        let rounded = open.next_multiple_of(unit);
        let crept = self.crept + (rounded - open);
        if crept > (self.max / 16).max(unit) || rounded >> self.shift > u32::from(u16::MAX) {
            return self.field(open);
        }
        if rounded != open {
            self.edge = rcv_nxt.wrapping_add(rounded);
            self.crept = crept;
        }
        self.field(rounded)
    }

    /// Whether the window has opened so far since the peer was last told that it should be told
    /// again now.
    pub(super) fn update_due(&self, rcv_nxt: u32, queued: u32, pressure: Pressure) -> bool {
        let open = self.open(rcv_nxt);
        let wanted = self.wanted(rcv_nxt, queued, pressure) & !((1 << self.shift) - 1);
        // A peer that has more than half of the window left sends anyway, and hears of the rest by
        // the next ACK. One that has less is told when it pays: the window has doubled, and that
        // by two segments or half of all there could be.
        let step = (2 * u32::from(self.mss)).min(self.target / 2).max(1);
        open <= self.target / 2 && wanted.saturating_sub(open) >= step.max(open)
    }

    /// Takes note that the session read `len` octets.
    pub(super) fn consumed(&mut self, len: u32) {
        self.copied = self.copied.saturating_add(len);
    }

    /// Takes note that in-order data arrived, so that the next expected is `rcv_nxt`. `paused`: so
    /// long after the last that nothing can be concluded from the time it took.
    pub(super) fn arrived(&mut self, now: Instant, rcv_nxt: u32, paused: bool) {
        let elapsed = self.rtt_since.micros_until(now);
        if paused || elapsed > u32::MAX / 2 {
            self.restart(now);
            self.period = Stamp::at(now);
            self.copied = 0;
        } else if seq::lt(self.rtt_edge, rcv_nxt) {
            // The peer could send this only after it was told of the window beyond `rtt_edge`: at
            // least a round trip, and more if the peer did not use all of its window.
            let sample = elapsed.max(1);
            if self.rtt == 0 || sample < self.rtt {
                self.rtt = sample;
            }
            self.restart(now);
        }
    }

    /// Takes in a round-trip time measured by timestamps, in microseconds.
    pub(super) fn rtt_measured(&mut self, sample: u32) {
        self.rtt = match self.rtt {
            0 => sample.max(1),
            rtt => (rtt - rtt / 8 + sample / 8).max(1),
        };
    }

    /// Adapts the target to what was read in the last round trip, and to the pressure.
    pub(super) fn tune(&mut self, now: Instant, pressure: Pressure) {
        let elapsed = self.period.micros_until(now);
        let period = match self.rtt {
            0 if pressure >= Pressure::High => SHRINK_INTERVAL,
            0 => return,
            rtt => rtt,
        };
        if elapsed < period {
            return;
        }
        if pressure >= Pressure::High {
            self.target = (self.target / 2).max(self.floor());
            self.space = self.space.min(self.target / 2).max(1);
        } else if pressure == Pressure::None {
            self.grow(elapsed);
        }
        self.copied = 0;
        self.period = Stamp::at(now);
    }

    /// Grows the target if more was read in `elapsed` microseconds than in any round trip before.
    fn grow(&mut self, elapsed: u32) {
        let mut copied = u64::from(self.copied);
        if elapsed / 2 >= self.rtt {
            copied = copied * u64::from(self.rtt) / u64::from(elapsed);
        }
        let space = u64::from(self.space);
        if copied <= space {
            return;
        }
        let steady = 2 * copied + u64::from(MARGIN_SEGMENTS) * u64::from(self.mss);
        // A sender in slow start goes on growing at this rate until the next measurement.
        let target = steady + steady * (copied - space) / space;
        let target = u32::try_from(target).unwrap_or(u32::MAX);
        self.target = target.clamp(self.target, self.max);
        self.space = copied as u32;
    }

    fn restart(&mut self, now: Instant) {
        self.rtt_edge = self.edge;
        self.rtt_since = Stamp::at(now);
    }

    /// How much the window should offer, if nothing had been offered before.
    fn wanted(&self, rcv_nxt: u32, queued: u32, pressure: Pressure) -> u32 {
        match pressure {
            Pressure::Critical | Pressure::Exhausted if queued == 0 => {
                self.target.min(self.floor())
            }
            Pressure::Critical | Pressure::Exhausted => self.open(rcv_nxt),
            _ => self.target.saturating_sub(queued),
        }
    }

    fn floor(&self) -> u32 {
        (u32::from(self.mss) * FLOOR_SEGMENTS)
            .max(1 << self.shift)
            .min(self.max)
    }

    /// The field for a window of `open` octets, or of the most that it can say.
    fn field(&self, open: u32) -> u16 {
        u16::try_from(open >> self.shift).unwrap_or(u16::MAX)
    }
}

fn open(edge: u32, rcv_nxt: u32) -> u32 {
    // A FIN is taken in even when it stands at the edge, and then `rcv_nxt` is beyond it.
    if seq::le(edge, rcv_nxt) {
        0
    } else {
        edge.wrapping_sub(rcv_nxt)
    }
}

#[cfg(test)]
mod tests;
