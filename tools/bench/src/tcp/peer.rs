//! Peers that follow a script: no TCP stack, just the numbers that one keeps.
//!
//! Nothing is lost or reordered between them and the worker, so they need neither timers nor
//! queues: a segment that is not exactly the next one is a fault of the worker's.

use core::net::Ipv4Addr;

use netstack::wire::tcp::{Flags, Header, Options};

use super::frame::Ends;

/// Where the worker listens.
pub const LISTENER: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 80);

/// The worker's only address; it connects to backends from there.
pub const PROXY_ADDR: Ipv4Addr = LISTENER.0;

/// The way to clients.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// Where backends listen, each at an address of its own.
pub const BACKEND_PORT: u16 = 8080;

/// Backends: a worker with one address has 2^16 source ports towards each.
pub const BACKENDS: u8 = 4;

const FIRST_BACKEND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

/// The address of the first client; as many use it as there are [`CLIENT_PORTS`].
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const FIRST_CLIENT_PORT: u16 = 1024;
const CLIENT_PORTS: u32 = 60_000;

/// The address of a backend.
pub fn backend_addr(backend: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST_BACKEND) + u32::from(backend))
}

/// What peers announce: the payload of an Ethernet frame.
pub const MSS: u16 = 1460;

/// What peers announce: 2^16 times this much is more than any ring.
const WINDOW_SCALE: u8 = 7;

/// One end of a connection to the worker: a client, or a backend's side of a connection from one
/// of the worker's ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerId {
    /// The client of this number.
    Client(u32),
    /// A backend, and the port the worker connects from: `backend << 16 | port`.
    Backend(u32),
}

impl PeerId {
    /// Whose end of the connection `ends` this is.
    pub fn of(ends: Ends) -> Self {
        if ends.peer.1 == BACKEND_PORT && ends.proxy != LISTENER {
            let backend = u32::from(ends.peer.0) - u32::from(FIRST_BACKEND);
            assert!(
                backend < u32::from(BACKENDS),
                "no backend has {}",
                ends.peer.0
            );
            return Self::Backend(backend << 16 | u32::from(ends.proxy.1));
        }
        let address = u32::from(ends.peer.0) - u32::from(FIRST_CLIENT);
        Self::Client(address * CLIENT_PORTS + u32::from(ends.peer.1 - FIRST_CLIENT_PORT))
    }

    /// The connection.
    pub fn ends(self) -> Ends {
        match self {
            Self::Client(number) => Ends {
                peer: (
                    Ipv4Addr::from(u32::from(FIRST_CLIENT) + number / CLIENT_PORTS),
                    FIRST_CLIENT_PORT + (number % CLIENT_PORTS) as u16,
                ),
                proxy: LISTENER,
            },
            Self::Backend(number) => Ends {
                peer: (backend_addr((number >> 16) as u8), BACKEND_PORT),
                proxy: (PROXY_ADDR, number as u16),
            },
        }
    }
}

/// The numbers of one end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    snd_una: u32,
    snd_nxt: u32,
    rcv_nxt: u32,
    /// What the worker knows to have arrived.
    acknowledged: u32,
    /// What the worker takes beyond `snd_una`.
    snd_wnd: u32,
    max_snd_wnd: u32,
    snd_wnd_scale: u8,
    established: bool,
}

impl Peer {
    /// An end that has not spoken; `iss` is its first sequence number.
    pub fn new(iss: u32) -> Self {
        Self {
            snd_una: iss,
            snd_nxt: iss,
            ..Self::default()
        }
    }

    /// Whether the handshake is over.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// How many octets the next segment may have: a full one, or what the worker takes if that
    /// is at least half of what it ever took (RFC 9293 section 3.8.6.2.1), or none.
    pub fn room(&self) -> u32 {
        let in_flight = self.snd_nxt.wrapping_sub(self.snd_una);
        let room = self.snd_wnd.saturating_sub(in_flight).min(MSS.into());
        if room >= (self.max_snd_wnd / 2).min(MSS.into()) {
            room
        } else {
            0
        }
    }

    /// Received octets that the worker has not been told of.
    pub fn unacknowledged(&self) -> u32 {
        self.rcv_nxt.wrapping_sub(self.acknowledged)
    }

    /// The header of the next segment, with `len` octets of payload.
    pub fn next_header(&mut self, flags: Flags, len: usize) -> Header {
        let syn = flags.contains(Flags::SYN);
        let header = Header {
            sport: 0,
            dport: 0,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags,
            window: u16::MAX,
            urgent: 0,
            header_len: 0,
            options: Options {
                mss: syn.then_some(MSS),
                window_scale: syn.then_some(WINDOW_SCALE),
                ..Options::default()
            },
        };
        let fin = flags.contains(Flags::FIN);
        self.snd_nxt = self
            .snd_nxt
            .wrapping_add(len as u32 + u32::from(syn) + u32::from(fin));
        self.acknowledged = self.rcv_nxt;
        header
    }

    /// Takes in a segment of the worker's with `len` octets of payload. Returns whether it
    /// finished the handshake.
    ///
    /// # Panics
    /// If it is not the next segment.
    pub fn receive(&mut self, header: &Header, len: usize) -> bool {
        let flags = header.flags;
        assert!(!flags.contains(Flags::RST), "the worker reset {header:?}");
        if flags.contains(Flags::SYN) {
            self.rcv_nxt = header.seq.wrapping_add(1);
            self.acknowledged = header.seq;
            self.snd_wnd_scale = header.options.window_scale.unwrap_or(0);
        } else {
            assert_eq!(header.seq, self.rcv_nxt, "not the next segment: {header:?}");
            let fin = u32::from(flags.contains(Flags::FIN));
            self.rcv_nxt = self.rcv_nxt.wrapping_add(len as u32 + fin);
        }
        if !flags.contains(Flags::ACK) {
            return false;
        }
        self.snd_una = header.ack;
        let scale = if flags.contains(Flags::SYN) {
            0
        } else {
            self.snd_wnd_scale
        };
        self.snd_wnd = u32::from(header.window) << scale;
        self.max_snd_wnd = self.max_snd_wnd.max(self.snd_wnd);
        let finished = !self.established;
        self.established = true;
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ends_belong_together() {
        for id in [
            PeerId::Client(0),
            PeerId::Client(59_999),
            PeerId::Client(60_000),
            PeerId::Backend(1),
            PeerId::Backend(3 << 16 | 0xffff),
        ] {
            assert_eq!(PeerId::of(id.ends()), id);
        }
    }
}
