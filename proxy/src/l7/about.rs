//! What a session knows about its client beyond the connection: from a PROXY header, and from a
//! ClientHello. Most sessions know nothing of the kind and have no such thing.

use core::fmt;
use core::net::SocketAddr;

use netstack::time::Instant;

use super::client_hello::Protocols;
use super::proxy_protocol::Endpoints;

/// What is known about a client.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The ends of the client's own connection, which ends before us, if we were told.
    pub endpoints: Option<Endpoints>,
    /// Whoever serves it: a place in the configured backend groups.
    pub group: usize,
    /// The place of the route that it took, in those of its listener.
    pub route: Option<usize>,
    /// The server that it asked for.
    pub server_name: Option<Box<str>>,
    /// The protocols that it offered.
    pub protocols: Protocols,
    /// What its session was called to the backend.
    pub unique_id: Option<UniqueId>,
    /// When everything that it had to say first had been said.
    pub ready_at: Instant,
    /// What the backend is to be told first and there was no room for.
    pub unsent: Vec<u8>,
}

impl About {
    /// Nothing, of a client that `group` serves unless a route says otherwise.
    pub fn nothing(group: usize, now: Instant) -> Self {
        Self {
            endpoints: None,
            group,
            route: None,
            server_name: None,
            protocols: Protocols::default(),
            unique_id: None,
            ready_at: now,
            unsent: Vec::new(),
        }
    }

    /// The client, if it is not who connected to us.
    pub fn client(&self) -> Option<SocketAddr> {
        self.endpoints.map(|endpoints| endpoints.source)
    }
}

/// Tells a session apart from all others of all processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UniqueId {
    /// Of the process.
    pub process: u64,
    /// Of the worker in it.
    pub worker: u16,
    /// Of the session in that.
    pub number: u64,
}

impl fmt::Display for UniqueId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (process, worker) = (self.process, self.worker);
        let number = self.number & 0xffff_ffff_ffff;
        write!(f, "{process:016x}{worker:04x}{number:012x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_32_digits() {
        let id = UniqueId {
            process: 0xab,
            worker: 1,
            number: u64::MAX,
        };
        assert_eq!(id.to_string(), "00000000000000ab0001ffffffffffff");
    }
}
