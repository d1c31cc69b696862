//! TCP (RFC 9293): one seam, an engine behind it, and the layer around it.
//!
//! [`Connection`] is the seam: segments go in as owned packet buffers and come out the same way,
//! time is an argument, received octets are looked at as [`Chunk`]s. Behind it stands an engine
//! that runs the state machine of one connection: our own, or smoltcp.
//!
//! [`Endpoint`] is the layer around the connections of one worker, the same for every engine:
//! it finds the connection of a segment, listens, limits half-open handshakes, chooses initial
//! sequence numbers and source ports, keeps deadlines, remembers TIME-WAIT without a connection,
//! and answers what belongs to nobody. In: parsed segments, time. Out: IP packets without
//! checksums and without a link-layer header, by the caller's [`Output`]; and events, by
//! [`Endpoint::poll_event`].

mod bare;
mod chunk;
mod connection;
mod connection_options;
mod deadline;
mod demux;
mod endpoint;
mod engine;
mod isn;
mod listen;
mod native;
mod path_mtu;
mod ports;
mod run;
pub mod seq;
mod smoltcp_engine;
mod stamp;
mod syncookie;
mod time_wait;

pub use chunk::Chunk;
pub use connection::{CloseCause, Connection, State, Timeout};
pub use connection_options::{ConnectionOptions, Keepalive};
pub use deadline::Timeouts;
pub use demux::TcpIp;
pub use endpoint::{
    Arrival, ConnId, ConnectError, ConnectTarget, Endpoint, EndpointConfig, Event, LookAhead,
    Misdirected, PacketTooBig, UnreachableError,
};
pub use engine::EngineKind;
pub use isn::IsnGenerator;
pub use listen::{Listener, ListenerId};
pub use native::{Algorithm, Info, Numbers, Recovering, SendTimes};
pub use ports::{PortOwners, PortShares};
pub use run::Run;

use crate::io::PacketBuf;
use crate::ip::{FiveTuple, Ip, V4, V6};
use crate::wire::tcp::Header;

pub use crate::wire::tcp::PROTOCOL;

/// The flow of a connection, as in a received packet: the peer is the source.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Flow {
    /// Over IPv4.
    V4(FiveTuple<V4>),
    /// Over IPv6.
    V6(FiveTuple<V6>),
}

impl Flow {
    /// The IP version, 4 or 6.
    pub fn version(&self) -> u8 {
        match self {
            Self::V4(_) => V4::VERSION,
            Self::V6(_) => V6::VERSION,
        }
    }

    /// Our end.
    pub fn local(self) -> core::net::SocketAddr {
        match self {
            Self::V4(flow) => (flow.dst, flow.dport).into(),
            Self::V6(flow) => (flow.dst, flow.dport).into(),
        }
    }

    /// The peer's end.
    pub fn remote(self) -> core::net::SocketAddr {
        match self {
            Self::V4(flow) => (flow.src, flow.sport).into(),
            Self::V6(flow) => (flow.src, flow.sport).into(),
        }
    }
}

/// A received segment whose checksum and header have been checked.
#[derive(Debug)]
pub struct Segment<B> {
    /// The packet, from its IP header (without options or extension headers) to the end of the
    /// segment: no link-layer header, no padding.
    pub packet: B,
    /// Where in the packet the TCP header begins.
    pub tcp_offset: usize,
    /// The TCP header.
    pub header: Header,
    /// The ones' complement sum of the payload, folded, if the checksum was verified here.
    pub payload_sum: Option<u16>,
}

impl<B: PacketBuf> Segment<B> {
    /// The ECN field of the IP header (RFC 3168 section 5).
    pub fn ecn(&self) -> u8 {
        match self.packet.data() {
            [first, second, ..] if first >> 4 == V4::VERSION => second & 3,
            [_, second, ..] => second >> 4 & 3,
            _ => 0,
        }
    }

    /// Whether a router marked the packet instead of dropping it (congestion experienced, RFC 3168
    /// section 5).
    pub fn is_marked(&self) -> bool {
        self.ecn() == 3
    }

    /// Octets of payload.
    pub fn payload_len(&self) -> usize {
        (self.packet.data().len() - self.tcp_offset).saturating_sub(self.header.header_len)
    }
}

/// The smallest segments that a port is asked to cut: many devices refuse smaller ones.
pub const LEAST_CUT: u16 = 256;

/// Where segments to be sent go.
///
/// They are IP packets whose checksums are not filled in; the buffer has headroom for the
/// link-layer header.
pub trait Output {
    /// The buffers of the worker.
    type Buf: PacketBuf;

    /// Lends an empty buffer; `None` if there is none, or no room to send it.
    fn alloc(&mut self) -> Option<Self::Buf>;

    /// Takes a packet. Room for it was promised by `alloc`.
    fn send(&mut self, packet: Self::Buf);

    /// A packet was not made because `alloc` had no buffer, and will not be made again.
    fn lost(&mut self);

    /// How many payloads a packet may have attached so that every port sends it as it is; 0 if
    /// attaching gains nothing, because some port wants its frames in one piece.
    fn attach_limit(&self) -> usize {
        0
    }

    /// Whether it helps to know the sum of a packet's payload: some port leaves checksums to us.
    fn wants_sums(&self) -> bool {
        false
    }

    /// Takes a packet, as [`Self::send`] does, whose payload has this ones' complement sum, folded.
    fn send_summed(&mut self, packet: Self::Buf, _payload_sum: u16) {
        self.send(packet);
    }

    /// The largest packet of that IP version, in octets, that every port can cut into segments;
    /// `None` if some port cannot.
    fn segmentation_limit(&self, _ip_version: u8) -> Option<usize> {
        None
    }

    /// Takes a packet of which the port makes segments with up to `segment_size` octets of payload
    /// each. It is no larger than [`Self::segmentation_limit`] allows, has at most
    /// [`Self::attach_limit`] payloads attached, and the lengths in its IP header are its own. The
    /// size is at least [`LEAST_CUT`] if there is more than one segment.
    /// Room for it was promised by `alloc`. Not for an output without such a limit.
    fn send_segments(&mut self, packet: Self::Buf, _segment_size: u16) {
        self.send(packet);
    }
}
