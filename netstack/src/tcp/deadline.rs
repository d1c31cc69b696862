//! How long a connection may stay as it is.
//!
//! Independent of the engine's own timers (retransmission, probes): these end a connection that
//! gets nowhere. All are counted from the last progress, which is payload received in order or
//! payload of ours newly acknowledged; a peer that only answers keepalives makes no progress. For
//! two connections that are halves of one session, it is the last progress of either.

use core::time::Duration;

use super::connection::{Connection, State, Timeout};
use crate::io::PacketBuf;
use crate::time::Instant;

/// The deadlines of a worker's connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// From a client's SYN to its ACK.
    pub handshake: Duration,
    /// From our SYN to the backend's SYN-ACK.
    pub connect: Duration,
    /// Without progress while both directions are open.
    pub idle: Duration,
    /// Without progress after the peer has ended its direction and we have not.
    pub half_closed: Duration,
    /// Without progress after we have ended our direction and the peer has not (FIN-WAIT-2).
    pub fin_wait_2: Duration,
    /// Without any segment from the peer although something is waiting to be acknowledged
    /// (RFC 9293 section 3.8.3, "R2").
    pub user: Duration,
    /// How long TIME-WAIT lasts: twice the maximum segment lifetime.
    pub time_wait: Duration,
}

impl Timeouts {
    /// When `connection` must be given up if nothing happens, and why.
    pub(super) fn deadline<B: PacketBuf>(
        &self,
        connection: &Connection<B>,
    ) -> Option<(Instant, Timeout)> {
        let progress = connection.last_progress();
        let by_state = match connection.state() {
            State::SynSent => {
                let at = connection.opened_at() + self.connect;
                Some((at.min(connection.connect_by()), Timeout::Connect))
            }
            State::SynReceived => {
                Some((connection.opened_at() + self.handshake, Timeout::Handshake))
            }
            State::CloseWait => Some((progress + self.half_closed, Timeout::HalfClosed)),
            State::FinWait2 => Some((progress + self.fin_wait_2, Timeout::FinWait2)),
            State::Established | State::FinWait1 | State::Closing | State::LastAck => {
                Some((progress + self.idle, Timeout::Idle))
            }
            State::TimeWait | State::Closed => None,
        };
        let by_silence = connection
            .unanswered_since()
            .map(|since| (since + self.user, Timeout::User));
        match (by_state, by_silence) {
            (Some(state), Some(silence)) => Some(if silence.0 < state.0 { silence } else { state }),
            (Some(state), None) => Some(state),
            (None, _) => None,
        }
    }
}
