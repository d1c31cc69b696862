//! Why a segment was refused, and what the peer is told.
//!
//! In: what the checks of a connection and its engine find (RFC 9293 section 3.10.7.4, RFC 5961).
//! Out: what the layer around connections counts, and whether it answers with a challenge ACK or an
//! RST.

use crate::drop::DropReason;

/// Why a segment was not taken in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) struct Rejected {
    pub(in crate::tcp) reason: DropReason,
    /// Whether the peer is to be told what we expect (RFC 5961).
    pub(in crate::tcp) challenge: bool,
    /// Whether the peer is to be told that there is no such connection.
    pub(in crate::tcp) reset: bool,
    /// Whether it is word from the peer all the same: what it acknowledges was taken in.
    pub(in crate::tcp) heard: bool,
}

impl Rejected {
    /// Without an answer.
    pub(in crate::tcp) fn silently(reason: DropReason) -> Self {
        Self {
            reason,
            challenge: false,
            reset: false,
            heard: false,
        }
    }

    /// What it acknowledges was taken in.
    pub(in crate::tcp) fn heard(self) -> Self {
        Self {
            heard: true,
            ..self
        }
    }

    /// The peer is told what we expect.
    pub(in crate::tcp) fn with_challenge(reason: DropReason) -> Self {
        Self {
            challenge: true,
            ..Self::silently(reason)
        }
    }
}
