//! What connections are made with.
//!
//! In: the configuration, by listener and backend group. Out: [`ConnectionOptions`], shared by all
//! connections that are made alike.

use core::time::Duration;

use super::engine::EngineKind;
use super::native::Algorithm;
use crate::ip::Ip;
use crate::wire::tcp::HEADER_LEN;

/// What a connection is made with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each switches one extension, with any of the others"
)]
pub struct ConnectionOptions {
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Octets that the peer may send ahead of the session that reads, at most.
    pub receive_buffer: usize,
    /// Octets of the window that is offered first; it grows as the path needs it. smoltcp's engine
    /// offers all of `receive_buffer`.
    pub first_window: usize,
    /// Octets that the session may write ahead of the peer's acknowledgments, at most.
    pub send_buffer: usize,
    /// The largest payload of a segment in either direction, in octets.
    pub mss: u16,
    /// Probe a peer that is silent.
    pub keepalive: Option<Keepalive>,
    /// How the native engine reacts to congestion.
    pub congestion: Algorithm,
    /// Whether the native engine spreads segments over the round-trip time.
    pub pacing: bool,
    /// Whether the native engine asks for ECN (RFC 3168).
    pub ecn: bool,
    /// Whether the native engine offers SACK (RFC 2018), and agrees to it.
    pub sack: bool,
    /// Whether the native engine offers time stamps (RFC 7323), and agrees to them.
    pub timestamps: bool,
    /// How far the native engine's retransmission timeout is above the round-trip time at least.
    pub rto_floor: Duration,
}

/// When a silent peer is probed (RFC 9293 section 3.8.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// After this long without a segment.
    pub idle: Duration,
    /// Again after this long without an answer.
    pub interval: Duration,
    /// The connection is given up when so many are not answered. smoltcp's engine does not count.
    pub probes: u8,
}

impl Default for ConnectionOptions {
    /// Windows of up to 4 MiB that begin at 64 KiB, and what else hosts of the internet do.
    fn default() -> Self {
        Self {
            engine: EngineKind::default(),
            receive_buffer: 4 << 20,
            first_window: 64 << 10,
            send_buffer: 4 << 20,
            mss: u16::MAX,
            keepalive: None,
            congestion: Algorithm::default(),
            pacing: false,
            ecn: false,
            sack: true,
            timestamps: true,
            rto_floor: Duration::from_millis(200),
        }
    }
}

impl ConnectionOptions {
    /// The same, for a path with this MTU in octets: a segment must fit a packet of it.
    pub fn on_path<I: Ip>(&self, mtu: usize) -> Self {
        let fits = mtu.saturating_sub(I::HEADER_LEN + HEADER_LEN);
        Self {
            mss: self.mss.min(u16::try_from(fits).unwrap_or(u16::MAX)),
            ..*self
        }
    }
}
