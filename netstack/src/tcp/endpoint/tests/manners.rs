//! What the engines do differently, and may.
//!
//! Both keep the same contract and the same standards; what is here are the times and counts that
//! the standards leave open, and what smoltcp cannot do. A case asks here instead of naming an
//! engine.

use core::time::Duration;

use super::rig::{millis, seconds};
use crate::tcp::EngineKind;

/// What may be different.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a difference of its own"
)]
pub(super) struct Manners {
    /// How long an acknowledgment waits for company. RFC 9293 section 3.8.6.3 allows half a second.
    pub(super) delayed_ack: Duration,
    /// The retransmission timeout of the cases, whose round-trip time is zero: its floor. RFC 6298
    /// section 2.4 asks for a second, which smoltcp keeps; the native engine's is configured.
    pub(super) timeout: Duration,
    /// Whether time stamps are negotiated; our smoltcp sockets have no clock for them.
    pub(super) timestamps: bool,
    /// Whether an acknowledgment for which there is no buffer is sent when there is one. smoltcp
    /// answers from within the call that takes the segment in, and cannot try again.
    pub(super) answers_wait: bool,
    /// Whether received octets lie in a ring, and so come in pieces that end where it ends. Else
    /// each payload is a piece.
    pub(super) ring: bool,
    /// What the session writes is copied into packet buffers, and waits for one.
    pub(super) writing_takes_buffers: bool,
    /// Whether a connection that is given up in SYN-SENT sends an RST. RFC 9293 section 3.10.5 does
    /// not: there is nothing to reset.
    pub(super) resets_syn_sent: bool,
    /// Whether it says that a segment was refused, so that this one counts as dropped and not as
    /// word from the peer. smoltcp ignores what it refuses without a word.
    pub(super) says_what_it_refused: bool,
    /// Whether a segment that finds the window closed is still read for what it acknowledges, as RFC
    /// 9293 section 3.10.7.4 asks. smoltcp drops all of it.
    pub(super) takes_acknowledgments_of_probes: bool,
    /// Whether a handshake for which there is no room is answered by a cookie. A connection of
    /// smoltcp's cannot be made in the middle of a handshake.
    pub(super) cookies: bool,
    /// The largest segment for a peer over IPv6 that names none. RFC 9293 section 3.7.1 says 1220;
    /// smoltcp takes what it says for IPv4.
    default_mss_v6: usize,
}

impl Manners {
    /// The largest segment for a peer that names none (RFC 9293 section 3.7.1).
    pub(super) fn default_mss(self, version: u8) -> usize {
        if version == 4 {
            536
        } else {
            self.default_mss_v6
        }
    }

    pub(super) fn of(engine: EngineKind) -> Self {
        match engine {
            EngineKind::Native => Self {
                delayed_ack: millis(40),
                timeout: millis(200),
                timestamps: true,
                answers_wait: true,
                ring: false,
                writing_takes_buffers: true,
                resets_syn_sent: false,
                says_what_it_refused: true,
                takes_acknowledgments_of_probes: true,
                cookies: true,
                default_mss_v6: 1220,
            },
            EngineKind::Smoltcp => Self {
                delayed_ack: millis(10),
                timeout: seconds(1),
                timestamps: false,
                answers_wait: false,
                ring: true,
                writing_takes_buffers: false,
                resets_syn_sent: true,
                says_what_it_refused: false,
                takes_acknowledgments_of_probes: false,
                cookies: false,
                default_mss_v6: 536,
            },
        }
    }

    /// How often something is sent again within `time` if nobody answers: at doubling intervals
    /// (RFC 6298 section 5.5).
    pub(super) fn timeouts_within(&self, time: Duration) -> u64 {
        let mut at = self.timeout;
        let mut wait = self.timeout;
        let mut timeouts = 0;
        while at < time {
            timeouts += 1;
            wait *= 2;
            at += wait;
        }
        timeouts
    }
}
