//! The handshake: SYN-SENT and SYN-RECEIVED (RFC 9293 sections 3.5 and 3.10.7.3).
//!
//! In: the peer's SYN or SYN-ACK, time. Out: our SYN or SYN-ACK, sent again at growing intervals,
//! and in the end what was agreed on. A connection that is opened from both ends at once goes from
//! SYN-SENT to SYN-RECEIVED (RFC 9293 figure 8).

use core::time::Duration;

use super::options::{Negotiated, Offer};
use super::rto;
use crate::tcp::seq;
use crate::time::Instant;
use crate::wire::tcp::{Flags, Header, Options};

/// After so many SYNs without an answer, ECN is no longer asked for: there are networks that drop
/// such SYNs (RFC 3168 section 6.1.1.1).
const ECN_ATTEMPTS: u8 = 2;

/// Where a connection begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) struct Start {
    /// Our initial sequence number.
    pub(super) iss: u32,
    /// What is added to the time in milliseconds to give our time stamps.
    pub(super) stamp_offset: u32,
    /// What we offer.
    pub(super) offer: Offer,
}

impl Start {
    /// Our time stamp now.
    pub(super) fn stamp(&self, now: Instant) -> u32 {
        super::stamp_at(now, self.stamp_offset)
    }
}

/// When a SYN is sent, and sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    /// How often it was sent.
    made: u8,
    /// When it is due.
    due: Instant,
    /// When it was sent last.
    sent_at: Instant,
}

impl Attempts {
    fn new(now: Instant) -> Self {
        Self {
            made: 0,
            due: now,
            sent_at: now,
        }
    }

    /// When it is to be sent.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// It is to be sent now.
    fn ask_again(&mut self, now: Instant) {
        self.due = now;
    }

    /// Notes that it was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        let wait = rto::INITIAL.saturating_mul(1 << self.made.min(16));
        self.made = self.made.saturating_add(1);
        self.sent_at = now;
        self.due = now + wait.min(rto::CEILING);
    }

    /// Whether it was sent.
    pub(super) fn made_any(&self) -> bool {
        self.made > 0
    }

    /// Whether it was sent more than once.
    pub(super) fn repeated(&self) -> bool {
        self.made > 1
    }

    /// How long the answer took; `None` if nobody knows to which of several it is
    /// (RFC 6298 section 3).
    pub(super) fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.made == 1).then(|| now.saturating_duration_since(self.sent_at))
    }
}

/// We sent a SYN.
#[derive(Clone, Copy, Debug)]
pub(super) struct SynSent {
    pub(super) start: Start,
    pub(super) attempts: Attempts,
}

/// What a segment does to SYN-SENT.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answered {
    /// Nothing: it is not an answer to our SYN.
    Not,
    /// The peer refuses.
    Refused,
    /// The peer agrees.
    Agreed(Agreement),
    /// The peer opens the connection too.
    Simultaneous(SynReceived),
}

/// How a handshake ended well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreement {
    pub(super) start: Start,
    pub(super) negotiated: Negotiated,
    /// The peer's initial sequence number.
    pub(super) irs: u32,
    /// The peer's window, in octets.
    pub(super) wnd: u32,
    /// The sequence number of the segment that said so.
    pub(super) wl1: u32,
    /// The peer's time stamp.
    pub(super) stamp: Option<u32>,
    /// How long the peer took to answer.
    pub(super) round_trip: Option<Duration>,
    /// A SYN or SYN-ACK of ours was lost (RFC 5681 section 3.1).
    pub(super) repeated: bool,
}

impl SynSent {
    pub(super) fn new(start: Start, now: Instant) -> Self {
        Self {
            start,
            attempts: Attempts::new(now),
        }
    }

    /// Our SYN, with this window.
    pub(super) fn syn(&self, now: Instant, window: u16) -> Header {
        Header {
            options: self.start.offer.options(self.start.stamp(now)),
            window,
            ..super::header(self.start.iss, 0, self.flags())
        }
    }

    fn flags(&self) -> Flags {
        if self.attempts.made < ECN_ATTEMPTS {
            self.start.offer.flags()
        } else {
            Flags::SYN
        }
    }

    /// Takes in a segment (RFC 9293 section 3.10.7.3).
    pub(super) fn handle(&self, now: Instant, header: &Header) -> Answered {
        let flags = header.flags;
        let acknowledges =
            flags.contains(Flags::ACK) && header.ack == self.start.iss.wrapping_add(1);
        if flags.contains(Flags::RST) {
            return if acknowledges {
                Answered::Refused
            } else {
                Answered::Not
            };
        }
        if !flags.contains(Flags::SYN) {
            return Answered::Not;
        }
        if flags.contains(Flags::ACK) {
            if !acknowledges {
                return Answered::Not;
            }
            let offered = self.start.offer.timestamps;
            let stamps = header.options.timestamps.filter(|_| offered);
            let echoes = stamps.is_none_or(|stamps| {
                // RFC 7323 section 3.2: the echo is of our SYN.
                seq::le(stamps.echo, self.start.stamp(now))
            });
            if !echoes {
                return Answered::Not;
            }
            return Answered::Agreed(Agreement {
                start: self.start,
                negotiated: Negotiated::new(&self.start.offer, header),
                irs: header.seq,
                // RFC 7323 section 2.2: the window of a SYN is never shifted.
                wnd: u32::from(header.window),
                wl1: header.seq,
                stamp: header.options.timestamps.map(|stamps| stamps.value),
                round_trip: self.attempts.round_trip(now),
                repeated: self.attempts.repeated(),
            });
        }
        Answered::Simultaneous(SynReceived::new(self.start, header, now))
    }
}

/// We got a SYN and answered it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SynReceived {
    pub(super) start: Start,
    pub(super) negotiated: Negotiated,
    pub(super) irs: u32,
    /// The peer's time stamp, newest.
    pub(super) stamp: Option<u32>,
    pub(super) attempts: Attempts,
}

impl SynReceived {
    /// The state after the SYN `header`.
    pub(super) fn new(start: Start, header: &Header, now: Instant) -> Self {
        Self {
            start,
            negotiated: Negotiated::new(&start.offer, header),
            irs: header.seq,
            stamp: header.options.timestamps.map(|stamps| stamps.value),
            attempts: Attempts::new(now),
        }
    }

    /// The flags of our SYN-ACK.
    pub(super) fn flags(&self) -> Flags {
        let flags = Flags::SYN | Flags::ACK;
        if self.negotiated.ecn {
            flags | Flags::ECE
        } else {
            flags
        }
    }

    /// Our SYN-ACK, with this window.
    pub(super) fn syn_ack(&self, now: Instant, window: u16) -> Header {
        let ack = self.irs.wrapping_add(1);
        Header {
            options: self.options(now),
            window,
            ..super::header(self.start.iss, ack, self.flags())
        }
    }

    /// The options of our SYN-ACK.
    pub(super) fn options(&self, now: Instant) -> Options {
        let stamp = self.start.stamp(now);
        self.negotiated
            .answer(&self.start.offer, stamp, self.stamp.unwrap_or(0))
    }

    /// Whether `header` is the peer's SYN once more; then the answer is due again.
    pub(super) fn repeats_syn(&mut self, now: Instant, header: &Header) -> bool {
        let repeats = header.flags.contains(Flags::SYN) && header.seq == self.irs;
        if repeats && !header.flags.contains(Flags::ACK) {
            self.attempts.ask_again(now);
        }
        repeats
    }

    /// Whether a segment begins in the window of `window` octets that we offered.
    pub(super) fn has_room_for(&self, header: &Header, window: u32) -> bool {
        let offset = header.seq.wrapping_sub(self.irs.wrapping_add(1));
        offset <= window
    }

    /// Whether `header` acknowledges our SYN (RFC 9293 section 3.10.7.4, fifth check).
    pub(super) fn is_acknowledged_by(&self, header: &Header) -> bool {
        header.flags.contains(Flags::ACK) && header.ack == self.start.iss.wrapping_add(1)
    }

    /// What the acknowledgment `header` of our SYN makes of the handshake.
    pub(super) fn agree(&self, now: Instant, header: &Header) -> Agreement {
        let syn = header.flags.contains(Flags::SYN);
        let shift = if syn { 0 } else { self.negotiated.send_shift };
        Agreement {
            start: self.start,
            negotiated: self.negotiated,
            irs: self.irs,
            wnd: u32::from(header.window) << shift,
            wl1: header.seq,
            stamp: self.stamp,
            round_trip: self.attempts.round_trip(now),
            repeated: self.attempts.repeated(),
        }
    }
}
