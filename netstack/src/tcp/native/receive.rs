//! The receive half of a connection: from segments to octets in order (RFC 9293 section 3.10.7.4).
//!
//! In: segments that belong to the connection, by [`ReceiveHalf::handle`], and what the session has
//! read, by [`ReceiveHalf::consume`]. Out: payloads in order, by [`ReceiveHalf::received`], still in
//! the packet buffers they came in; and what every segment that we send says about the direction
//! towards us: acknowledgment number, window, selective acknowledgments, timestamp echo, ECE.
//!
//! The half joins the parts next to it: [`Queue`] for what waits to be read, [`Reassembly`] for
//! what is ahead of a gap, [`Window`], [`Acknowledge`] and [`Paws`]. SYN, RST and ACK are not its
//! business; whoever looks at those asks [`ReceiveHalf::acceptance`] and [`ReceiveHalf::check_age`]
//! first.

mod limits;
mod rest;
mod run;

use core::time::Duration;

use super::acknowledge::{AckDue, Acknowledge};
use super::gather;
use super::paws::{Paws, Verdict};
use super::queue::Queue;
use super::reassembly::{Inserted, Limits, Reassembly, Refusal};
use super::rto::MAX_RTT_MILLIS;
use super::window::{Pressure, Window};
use crate::io::Payload;
use crate::tcp::seq;
use crate::tcp::stamp::Stamp;
use crate::time::Instant;
use crate::wire::tcp::{SackBlocks, Timestamps};

pub(super) use rest::RestingReceive;

/// What the handshake and the configuration say about the direction towards us.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveOptions {
    /// Octets of window at the beginning.
    pub(super) initial_window: u32,
    /// Octets of window at most.
    pub(super) max_window: u32,
    /// Our window scale; 0 unless both ends announced one.
    pub(super) shift: u8,
    /// The largest payload of a segment, in octets, as we announced it.
    pub(super) mss: u16,
    /// Both ends announced selective acknowledgments.
    pub(super) sack: bool,
    /// The timestamp of the peer's SYN, if both ends announced timestamps.
    pub(super) timestamp: Option<u32>,
    /// Congestion marks were negotiated (RFC 3168).
    pub(super) ecn: bool,
}

/// A segment, as far as it concerns the receive half.
#[derive(Debug)]
pub(super) struct Arrival<P> {
    /// Sequence number of the first octet.
    pub(super) seq: u32,
    /// Its octets; may be empty.
    pub(super) payload: P,
    /// It carries a FIN.
    pub(super) fin: bool,
    /// Its timestamps.
    pub(super) timestamps: Option<Timestamps>,
    /// Its IP header says that congestion was experienced.
    pub(super) congestion: bool,
    /// It carries CWR.
    pub(super) window_reduced: bool,
}

/// Whether a segment is acceptable (RFC 9293 section 3.10.7.4, first step).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Acceptance {
    /// It has a place in the window.
    Acceptable,
    /// All of it came before.
    Old,
    /// It begins beyond the window, which may be closed.
    Beyond,
}

/// What a segment was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// Neither octets nor a FIN.
    Bare,
    /// The next in order.
    InOrder,
    /// The next in order, while there was more behind a gap.
    Filling,
    /// Ahead of a gap.
    Ahead,
    /// Nothing that had not arrived already.
    Duplicate,
    /// Outside the window; a probe, if the window is closed.
    Outside,
    /// It had a place, but was not taken in, or not as a whole.
    Refused(Refusal),
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Received {
    /// Octets that can be read now and could not before.
    pub(super) advanced: u32,
    /// The peer's direction ended by this: everything up to its FIN has arrived.
    pub(super) fin: bool,
    /// What it was.
    pub(super) class: Class,
}

/// The receive half; see the module.
#[derive(Debug)]
pub(super) struct ReceiveHalf<P> {
    rcv_nxt: u32,
    /// Received in order and not read.
    queue: Queue<P>,
    /// Octets in `queue`.
    queued: u32,
    sack: bool,
    finished: bool,
    reassembly: Reassembly<P>,
    /// Octets received in order, ever.
    octets: u64,
    /// What arrived twice and is to be reported once: `left..right`.
    duplicate: Option<(u32, u32)>,
    /// The last timestamp that was echoed to us with data.
    last_echo: u32,
    /// When an empty segment outside the window was answered last. If that is longer ago than a
    /// stamp lasts, one of them may go without an answer.
    stray_answered: Stamp,
    paws: Option<Paws>,
    acknowledge: Acknowledge,
    window: Window,
}

/// The least time between answers to empty segments outside the window; shorter than any keepalive
/// or probe interval.
const STRAY_INTERVAL: Duration = Duration::from_millis(100);

impl<P: Payload> ReceiveHalf<P> {
    /// Begins after the peer's SYN, whose sequence number is `irs`.
    pub(super) fn new(now: Instant, irs: u32, options: &ReceiveOptions) -> Self {
        let rcv_nxt = irs.wrapping_add(1);
        let sizes = (options.initial_window, options.max_window);
        let window = Window::new(now, rcv_nxt, sizes, options.mss, options.shift);
        let acknowledge = Acknowledge::new(
            now,
            (rcv_nxt, window.open(rcv_nxt)),
            options.mss,
            options.ecn,
        );
        Self {
            rcv_nxt,
            queue: Queue::default(),
            queued: 0,
            sack: options.sack,
            finished: false,
            reassembly: Reassembly::default(),
            octets: 0,
            duplicate: None,
            last_echo: 0,
            stray_answered: Stamp::at(now),
            paws: options.timestamp.map(|value| Paws::new(now, value)),
            acknowledge,
            window,
        }
    }

    /// Judges a segment by its timestamp, before anything else is looked at. Whoever drops it as
    /// old calls [`Self::demand_ack`].
    pub(super) fn check_age(
        &self,
        now: Instant,
        timestamps: Option<Timestamps>,
        reset: bool,
    ) -> Verdict {
        let value = timestamps.map(|timestamps| timestamps.value);
        self.paws
            .map_or(Verdict::Fresh, |paws| paws.check(now, value, reset))
    }

    /// Judges a segment of `len` octets by its sequence number.
    ///
    /// RFC 9293 3.10.7.4 has four cases, by whether the segment and the window are empty. Here
    /// they are two, and a little more is acceptable than there. An empty segment may stand at the
    /// right edge itself: so do the ACKs of a peer that has filled the window. A FIN may, too,
    /// because it takes no memory.
    pub(super) fn acceptance(&self, seq: u32, len: u32, fin: bool) -> Acceptance {
        let edge = self.edge();
        let right = seq.wrapping_add(len);
        if len == 0 && !fin {
            return match (seq::lt(seq, self.rcv_nxt), seq::le(seq, edge)) {
                (true, _) => Acceptance::Old,
                (false, true) => Acceptance::Acceptable,
                (false, false) => Acceptance::Beyond,
            };
        }
        if seq::le(right.wrapping_add(u32::from(fin)), self.rcv_nxt) {
            return Acceptance::Old;
        }
        let new = later_of(seq, self.rcv_nxt);
        if seq::lt(new, edge) || (fin && new == right && new == edge) {
            Acceptance::Acceptable
        } else {
            Acceptance::Beyond
        }
    }

    /// Takes in a segment. `timestamp_now` is our timestamp clock, in milliseconds.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        timestamp_now: u32,
        arrival: Arrival<P>,
    ) -> Received {
        let len = arrival.payload.octets().len() as u32;
        let acceptance = self.acceptance(arrival.seq, len, arrival.fin);
        if acceptance != Acceptance::Acceptable {
            return self.handle_stray(now, &arrival, acceptance);
        }
        if let (Some(paws), Some(timestamps)) = (&mut self.paws, arrival.timestamps) {
            let last_sent = self.acknowledge.last_sent();
            paws.update(now, timestamps.value, arrival.seq, last_sent);
        }
        if len == 0 && !arrival.fin {
            self.acknowledge
                .congestion_bits(false, arrival.window_reduced);
            return Received::nothing(Class::Bare);
        }
        if self.finished {
            // RFC 9293 3.10.7.4, seventh step: after a FIN there is no text.
            return Received::nothing(Class::Refused(Refusal::BeyondFin));
        }
        self.acknowledge
            .congestion_bits(arrival.congestion && len > 0, arrival.window_reduced);
        let echo = arrival.timestamps.map(|timestamps| timestamps.echo);
        let (seq, payload, fin) = self.trim(arrival);
        if seq != self.rcv_nxt {
            return self.handle_ahead(seq, payload, fin);
        }
        let received = self.handle_in_order(payload, fin);
        if received.advanced > 0 {
            self.measure(now, timestamp_now, len, echo);
        }
        received
    }

    /// The next octets in order, as many as are in one payload.
    pub(super) fn received(&self) -> Option<&P> {
        self.queue.front()
    }

    /// All that can be read, payload by payload.
    pub(super) fn all_received(&self) -> impl Iterator<Item = &P> {
        self.queue.iter()
    }

    /// Says that the first `len` octets of what was received have been read.
    pub(super) fn consume(&mut self, len: u32) {
        let len = len.min(self.queued);
        let mut rest = len as usize;
        while let Some(front) = self.queue.front_mut().filter(|_| rest > 0) {
            let front_len = front.octets().len();
            if front_len > rest {
                front.trim_front(rest);
                break;
            }
            rest -= front_len;
            self.queue.pop_front();
        }
        self.queued -= len;
        self.window.consumed(len);
    }

    /// Octets that can be read.
    pub(super) fn queued(&self) -> u32 {
        self.queued
    }

    /// Handles on packet buffers that are held, in order and ahead of gaps.
    pub(super) fn buffers_held(&self) -> usize {
        self.queue.len() + self.reassembly.payloads()
    }

    /// The next sequence number expected: what segments that we send acknowledge.
    pub(super) fn rcv_nxt(&self) -> u32 {
        self.rcv_nxt
    }

    /// Whether the window is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.window.open(self.rcv_nxt) == 0
    }

    /// Octets received in order, ever.
    pub(super) fn octets_received(&self) -> u64 {
        self.octets
    }

    /// Whether the peer has ended its direction, and everything has arrived. What was received
    /// stays readable.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The round-trip time as the receiver sees it.
    #[cfg(test)]
    pub(super) fn rtt(&self) -> Option<Duration> {
        let micros = self.window.rtt_micros();
        (micros != 0).then(|| Duration::from_micros(u64::from(micros)))
    }

    /// Octets that the window is to have while nothing waits to be read.
    pub(super) fn window_target(&self) -> u32 {
        self.window.target()
    }

    /// Whether an ACK is to be sent by itself; to be asked after a burst, and after the session
    /// has read.
    pub(super) fn poll_ack(&mut self, now: Instant, pressure: Pressure) -> AckDue {
        self.window.tune(now, pressure);
        let update = !self.finished && self.window.update_due(self.rcv_nxt, self.queued, pressure);
        if update {
            return AckDue::Now;
        }
        self.acknowledge.poll(now, self.rcv_nxt)
    }

    /// Asks for an ACK at once, for a reason that is the caller's.
    pub(super) fn demand_ack(&mut self) {
        self.acknowledge.demand();
    }

    /// The window field of the next segment that is sent, unless it is a SYN.
    pub(super) fn window_field(&mut self, pressure: Pressure) -> u16 {
        self.window.offer(self.rcv_nxt, self.queued, pressure)
    }

    /// The window field of a SYN, which is never scaled (RFC 7323 section 2.2).
    #[cfg(test)]
    pub(super) fn syn_window_field(&self) -> u16 {
        u16::try_from(self.window.open(self.rcv_nxt)).unwrap_or(u16::MAX)
    }

    /// The selective acknowledgments of the next segment that is sent, `max` at most. A duplicate
    /// comes first (RFC 2883 section 4) until [`Self::ack_sent`] is told that it has been reported.
    pub(super) fn sack_blocks(&self, max: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        if self.sack {
            if let Some((left, right)) = self.duplicate.filter(|_| max > 0) {
                blocks.push(left, right);
            }
            self.reassembly.sack_blocks(&mut blocks, max);
        }
        blocks
    }

    /// The timestamp to echo, if timestamps are used.
    pub(super) fn timestamp_echo(&self) -> Option<u32> {
        self.paws.map(Paws::recent)
    }

    /// Whether segments that we send carry ECE.
    pub(super) fn echoes_congestion(&self) -> bool {
        self.acknowledge.echoes_congestion()
    }

    /// Takes note that a segment with all of the above went out, with or without data of ours.
    pub(super) fn ack_sent(&mut self, with_data: bool) {
        self.acknowledge.sent(self.rcv_nxt, with_data);
        self.duplicate = None;
    }

    /// Answers what is not acceptable by an ACK (RFC 9293 section 3.10.7.4).
    ///
    /// Not always if it is empty: two ends that disagree would answer each other's ACKs for ever.
    fn handle_stray(
        &mut self,
        now: Instant,
        arrival: &Arrival<P>,
        acceptance: Acceptance,
    ) -> Received {
        let len = arrival.payload.octets().len() as u32;
        if len > 0 || arrival.fin {
            self.acknowledge.demand();
        } else if self.stray_answered.micros_until(now) >= STRAY_INTERVAL.as_micros() as u32 {
            self.stray_answered = Stamp::at(now);
            self.acknowledge.demand();
        }
        if acceptance == Acceptance::Beyond {
            return Received::nothing(Class::Outside);
        }
        self.note_duplicate(arrival.seq, arrival.seq.wrapping_add(len));
        Received::nothing(Class::Duplicate)
    }

    /// Cuts off what lies outside the window. What is left begins in the window.
    fn trim(&mut self, arrival: Arrival<P>) -> (u32, P, bool) {
        let Arrival {
            mut seq,
            mut payload,
            mut fin,
            ..
        } = arrival;
        if seq::lt(seq, self.rcv_nxt) {
            self.note_duplicate(seq, self.rcv_nxt);
            self.acknowledge.demand();
            payload.trim_front(self.rcv_nxt.wrapping_sub(seq) as usize);
            seq = self.rcv_nxt;
        }
        let room = self.edge().wrapping_sub(seq) as usize;
        if payload.octets().len() > room {
            payload.truncate(room);
            fin = false;
            self.acknowledge.demand();
        }
        (seq, payload, fin)
    }

    fn handle_in_order(&mut self, payload: P, fin: bool) -> Received {
        if self.queue.len() >= 2 * self.max_payloads() {
            self.acknowledge.demand();
            return Received::nothing(Class::Refused(Refusal::TooManyBuffers));
        }
        let advanced = payload.octets().len() as u32;
        let end = self.rcv_nxt.wrapping_add(advanced);
        let known_before = |known| seq::lt(known, end);
        if fin && !self.reassembly.fin().is_some_and(known_before) {
            // RFC 9293 3.10.7.4, eighth step: the peer's direction is complete with this. What is
            // held lies beyond its end, where there is nothing.
            self.reassembly = Reassembly::default();
        } else if !self.reassembly.is_empty() {
            return self.handle_filling(payload, fin);
        }
        if advanced > 0 {
            gather::push_back(&mut self.queue, payload);
        }
        self.advance(advanced, fin);
        Received {
            advanced,
            fin,
            class: Class::InOrder,
        }
    }

    /// Takes in what is next in order while something is held ahead of gaps.
    fn handle_filling(&mut self, payload: P, fin: bool) -> Received {
        self.acknowledge.disordered(self.window.open(self.rcv_nxt));
        let inserted = self
            .reassembly
            .insert(self.rcv_nxt, payload, fin, Limits::NONE);
        self.note_inserted(inserted);
        let class = inserted.refused.map_or(Class::Filling, Class::Refused);
        let Some(taken) = self.reassembly.take(self.rcv_nxt) else {
            return Received::nothing(class);
        };
        let advanced = taken.right.wrapping_sub(self.rcv_nxt) - u32::from(taken.fin);
        gather::append(&mut self.queue, taken.payloads);
        self.advance(advanced, taken.fin);
        Received {
            advanced,
            fin: taken.fin,
            class,
        }
    }

    /// Takes in what is ahead of a gap.
    fn handle_ahead(&mut self, seq: u32, payload: P, fin: bool) -> Received {
        self.acknowledge.disordered(self.window.open(self.rcv_nxt));
        let limits = Limits {
            ranges: self.max_gaps(),
            payloads: self.max_payloads(),
        };
        let right = seq.wrapping_add(payload.octets().len() as u32);
        let fin_known = self.reassembly.fin().is_some();
        let inserted = self.reassembly.insert(seq, payload, fin, limits);
        self.note_inserted(inserted);
        let all_known = seq == right || inserted.duplicate == Some((seq, right));
        let class = match inserted.refused {
            Some(refusal) => Class::Refused(refusal),
            None if all_known && (!fin || fin_known) => Class::Duplicate,
            None => Class::Ahead,
        };
        Received::nothing(class)
    }

    fn advance(&mut self, octets: u32, fin: bool) {
        self.rcv_nxt = self.rcv_nxt.wrapping_add(octets + u32::from(fin));
        self.queued += octets;
        self.octets += u64::from(octets);
        if fin {
            self.finished = true;
            self.acknowledge.demand();
        }
    }

    /// Takes note of when in-order data arrived: `len` octets in the segment, with the timestamp
    /// `echo` of ours.
    fn measure(&mut self, now: Instant, timestamp_now: u32, len: u32, echo: Option<u32>) {
        let silence = self.acknowledge.silence(now).as_micros();
        let echo = echo.filter(|&echo| self.paws.is_some() && echo != self.last_echo);
        if let Some(echo) = echo
            && len >= u32::from(self.acknowledge.segment_len())
        {
            self.last_echo = echo;
            let millis = timestamp_now.wrapping_sub(echo);
            let sample = millis.clamp(1, MAX_RTT_MILLIS) * 1_000;
            // A sender that had nothing to send echoes late. It shows in the silence before, but
            // so does a window of one segment; so such a sample may lower the time, not raise it.
            let rtt = self.window.rtt_micros();
            let idle = rtt != 0 && sample > rtt && 2 * silence > u128::from(sample);
            if millis <= MAX_RTT_MILLIS && !idle {
                self.window.rtt_measured(sample);
            }
        }
        let open = self.window.open(self.rcv_nxt);
        let rtt = self.window.rtt_micros();
        let paused = self.acknowledge.arrived(now, len as usize, open, rtt);
        self.window.arrived(now, self.rcv_nxt, paused);
    }

    fn note_inserted(&mut self, inserted: Inserted) {
        if let Some((left, right)) = inserted.duplicate {
            self.note_duplicate(left, right);
        }
    }

    /// Remembers that `left..right` arrived again, as far as it can have arrived before.
    fn note_duplicate(&mut self, left: u32, right: u32) {
        // What is older than everything received is no duplicate, but a stray or a forgery.
        let known = u32::try_from(self.octets).map_or(u32::MAX / 2, |all| all.min(u32::MAX / 2));
        let oldest = self.rcv_nxt.wrapping_sub(known + u32::from(self.finished));
        let left = later_of(left, oldest);
        if seq::le(right, left) {
            return;
        }
        // RFC 2883 4: one contiguous range. Segments of a burst that follow one another are one.
        self.duplicate = match self.duplicate {
            Some((first, end)) if end == left => Some((first, right)),
            _ => Some((left, right)),
        };
    }

    /// The right edge of the window; `rcv_nxt` if a FIN has gone beyond it.
    fn edge(&self) -> u32 {
        later_of(self.window.edge(), self.rcv_nxt)
    }
}

impl Received {
    const fn nothing(class: Class) -> Self {
        Self {
            advanced: 0,
            fin: false,
            class,
        }
    }
}

fn later_of(a: u32, b: u32) -> u32 {
    if seq::lt(a, b) { b } else { a }
}

#[cfg(test)]
mod tests;
