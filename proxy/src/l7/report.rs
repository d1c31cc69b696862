//! What is told about a session when it has ended.
//!
//! Workers write no log: they hand a report over a bounded channel to the control thread, which
//! does. A report that finds the channel full is counted and dropped; the session is not delayed.

use core::net::SocketAddr;
use core::time::Duration;

use netstack::tcp::ListenerId;

use super::about::About;
use super::backend_pool::BackendId;
use crate::termination::CloseReason;

/// One ended session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    /// The worker that served it.
    pub worker: u16,
    /// The listener that accepted it.
    pub listener: ListenerId,
    /// The address and port of who connected: the client, or one that speaks for it.
    pub peer: SocketAddr,
    /// Our address and port, as the client saw them.
    pub local: SocketAddr,
    /// The backend that served it last, if any was chosen.
    pub backend: Option<BackendId>,
    /// Our address and port, as the backend saw them.
    pub source: Option<SocketAddr>,
    /// Backends that were tried.
    pub tries: u8,
    /// From the client's SYN to its ACK.
    pub handshake: Duration,
    /// From the client's ACK until it had said what it had to say first.
    pub preamble: Duration,
    /// From then to the backend's SYN-ACK; `None` if no backend answered.
    pub connect: Option<Duration>,
    /// From the client's SYN to the end.
    pub total: Duration,
    /// Octets from the client that the backend's half took.
    pub bytes_to_backend: u64,
    /// Octets from the backend that the client's half took.
    pub bytes_to_client: u64,
    /// What is known about the client beyond that.
    pub about: Option<Box<About>>,
    /// Why it ended.
    pub reason: CloseReason,
}

impl SessionReport {
    /// The client's address and port, as far as we know.
    pub fn client(&self) -> SocketAddr {
        let told = self.about.as_ref().and_then(|about| about.client());
        told.unwrap_or(self.peer)
    }
}
