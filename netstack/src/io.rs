//! The seam between the stack and whatever moves packets.
//!
//! A [`PacketIo`] is one queue pair of one port: it hands over received frames, takes frames to
//! send, and lends empty buffers. A [`PacketBuf`] is one owned frame; dropping it gives its memory
//! back. Received frames are contiguous: a device that receives in pieces joins them before the
//! stack sees the frame.
//!
//! What a frame brought can go out again without being copied: a [`Payload`] is a handle on octets
//! of a buffer, made of a frame by [`PacketBuf::into_payload`] and hung behind the headers of
//! others by [`PacketBuf::attach`]. Such octets are shared, so nobody writes them.
//!
//! Backends: [`mem`] (queues in memory) and [`pcap`] (capture files in virtual time) here, DPDK
//! queues in the `dpdk-io` crate. Wrappers around any backend, and around each other: [`tap`]
//! (writes what passes to a capture) and [`impair`] (loses, delays, reorders, duplicates and
//! corrupts). [`capture`] reads and writes the capture files themselves.
//!
//! Some of these live in time, so each turn of a worker starts by [`PacketIo::begin_turn`], and a
//! driver that wants to sleep, or to jump ahead in virtual time, asks [`PacketIo::next_event`].

mod burst;
pub mod capture;
pub mod impair;
pub mod mem;
pub mod pcap;
pub mod tap;

use core::ops::Range;

pub use burst::{BURST_SIZE, Burst};

use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// A NIC port, by the number that whoever opened the ports gave it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortId(pub u16);

/// Payloads that one frame takes at most: 64 KiB for a device that cuts them into segments, in the
/// pieces in which they came from Ethernet (46 of 1448 octets), and some more that are partly used.
pub const MAX_ATTACHED: usize = 64;

/// An owned frame buffer: `headroom | data | tailroom`, and payloads attached behind the data.
///
/// The packet is the data, which is this buffer's own and writable, and the octets of the attached
/// payloads after it, which may be shared and are only read. Received frames have none attached.
pub trait PacketBuf: Send + 'static {
    /// Handles on octets of these buffers.
    type Payload: Payload;

    /// The frame, starting at its Ethernet header, up to what is attached.
    fn data(&self) -> &[u8];

    /// The same, writable.
    fn data_mut(&mut self) -> &mut [u8];

    /// Octets of the packet: the data and everything attached.
    fn packet_len(&self) -> usize;

    /// The octets attached behind the data, in order, piece by piece.
    fn attached(&self) -> impl Iterator<Item = &[u8]>;

    /// The octets of the packet, piece by piece: the data, and what is attached.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self.data()).chain(self.attached())
    }

    /// Attaches those octets of `payload` that are in `part` (cut where the payload ends) behind
    /// the packet, by reference. `false`, and no change, if it cannot: [`MAX_ATTACHED`] are
    /// attached already, or there is nothing to hold the reference with. The caller copies then.
    /// No octets change nothing.
    ///
    /// Whether a device takes such frames as they are is for [`Capabilities::tx_pieces`] to say.
    fn attach_part(&mut self, payload: &Self::Payload, part: Range<usize>) -> bool;

    /// Attaches all octets of `payload`, as [`Self::attach_part`] does.
    fn attach(&mut self, payload: &Self::Payload) -> bool {
        self.attach_part(payload, 0..payload.octets().len())
    }

    /// Makes a payload of the data. What is attached is copied behind it if it fits the buffer,
    /// and else dropped.
    fn into_payload(self) -> Self::Payload;

    /// Octets free before the data.
    fn headroom(&self) -> usize;

    /// Octets free after the data; none once something is attached.
    fn tailroom(&self) -> usize;

    /// Grows the data by `len` octets at its front and returns all of it; the new octets hold
    /// anything. `None`, and no change, if the headroom is too small.
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Grows the data by `len` octets at its end and returns all of it; the new octets hold
    /// anything. `None`, and no change, if the tailroom is too small.
    fn append(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Removes `len` octets (at most all) from the front of the data.
    fn trim_front(&mut self, len: usize);

    /// Shortens the packet to `len` octets, what is attached last first; no change if it is
    /// shorter already.
    fn truncate(&mut self, len: usize);

    /// What the device found out about the checksums of this received frame.
    fn rx_checksum(&self) -> RxChecksum;

    /// The RSS hash that the device computed, if it did.
    fn rss_hash(&self) -> Option<u32>;

    /// Asks the device to do work on this frame while it sends it. Only what the port's
    /// [`Capabilities`] offer may be asked for.
    fn set_tx_offload(&mut self, offload: TxOffload);

    /// Brings the first cache line of the data closer; a hint.
    fn prefetch(&self) {}
}

/// A handle on octets of a buffer that once was a frame.
///
/// Several handles may share one buffer, each with a range of its own; they may be on several
/// threads. The buffer goes back to its pool when the last handle and the last frame with it
/// attached are gone.
pub trait Payload: Send + Sized + 'static {
    /// The octets.
    fn octets(&self) -> &[u8];

    /// Another handle on the same octets.
    ///
    /// # Panics
    /// A backend may count handles in few bits: 32,767 of one buffer are never too many.
    fn share(&self) -> Self;

    /// The ones' complement sum of the octets (RFC 1071), folded, if it is known. So what was
    /// summed when it arrived need not be read again when it is sent.
    fn sum(&self) -> Option<u16>;

    /// Says what the sum of the octets is. It is forgotten when others become the octets of this
    /// handle, and known to handles that are shared from this one.
    fn set_sum(&mut self, sum: u16);

    /// Removes `len` octets (at most all) from the front.
    fn trim_front(&mut self, len: usize);

    /// Shortens the octets to `len`; no change if they are fewer already.
    fn truncate(&mut self, len: usize);

    /// Copies `octets` into the same buffer, behind the octets of this handle; what stood there is
    /// overwritten. `false`, and no change, if the buffer has other handles or frames, or too
    /// little room. To gather small segments in one buffer.
    fn append(&mut self, octets: &[u8]) -> bool;
}

/// One queue pair of one port.
pub trait PacketIo {
    /// The buffers this queue pair works with.
    type Buf: PacketBuf;

    /// Appends received frames to `burst`, as many as are there and fit. Returns how many.
    fn rx_burst(&mut self, burst: &mut Burst<Self::Buf>) -> usize;

    /// Takes frames from the front of `burst` and sends them. Returns how many were taken; the
    /// rest stays in `burst`, in order, and the caller decides what becomes of it.
    ///
    /// Taken is not always sent: a frame of which more is asked than the device can do would block
    /// those behind it for ever, so it is taken and dropped, and the backend counts it.
    fn tx_burst(&mut self, burst: &mut Burst<Self::Buf>) -> usize;

    /// Lends an empty buffer with room for headers and at least one MTU of packet.
    ///
    /// `None` when the pool is empty: the caller counts it and does without.
    fn alloc(&mut self) -> Option<Self::Buf>;

    /// What the port can do. Does not change while the worker runs.
    fn capabilities(&self) -> &Capabilities;

    /// Tells the time. To be called once a turn, before anything is received or sent; time does
    /// not go backwards. Only those that live in time care.
    fn begin_turn(&mut self, _now: Instant) {}

    /// When this queue pair will next do something by itself: have a frame to receive, or send one
    /// that it held back. Not later than that, and in the past if it could do so now.
    ///
    /// `None` if there is nothing, or if nobody can know, as with frames that come from outside.
    fn next_event(&self) -> Option<Instant> {
        None
    }
}

/// What a port can do for the stack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// The MAC address the port answers to.
    pub mac: MacAddr,
    /// The largest IP packet that fits a frame, in octets.
    pub mtu: usize,
    /// Checksums the port fills in when a frame asks for it by [`TxOffload`].
    pub tx_checksum: TxChecksumCapability,
    /// How many payloads a frame may have attached for the port to send it as it is. With more
    /// the frame is sent all the same if it can be copied together; 0 if that is always done.
    pub tx_pieces: usize,
    /// The largest TCP segment (octets of IP packet) the port cuts up itself, for IPv4.
    pub tso_ipv4: Option<usize>,
    /// The largest TCP segment (octets of IP packet) the port cuts up itself, for IPv6.
    pub tso_ipv6: Option<usize>,
    /// How the port spreads received packets over its queues; `None` if nobody can tell.
    pub rss: Option<Rss>,
}

/// Which checksums a port computes on transmit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TxChecksumCapability {
    /// The IPv4 header checksum.
    pub ipv4: bool,
    /// The TCP checksum. The field must hold the pseudo-header sum.
    pub tcp: bool,
    /// The UDP checksum. The field must hold the pseudo-header sum.
    pub udp: bool,
}

/// Receive-side scaling as the port is configured: the hash key and the indirection table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rss {
    /// Toeplitz key, at least 40 octets.
    pub key: Vec<u8>,
    /// Redirection table (RETA): the queue for each value of `hash % reta.len()`.
    pub reta: Vec<u16>,
}

/// What the device says about one layer's checksum of a received frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ChecksumStatus {
    /// The device did not look: verify in software.
    #[default]
    Unknown,
    /// The device verified it.
    Good,
    /// The device found it wrong.
    Bad,
}

/// What the device says about the checksums of a received frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RxChecksum {
    /// The IPv4 header checksum.
    pub ip: ChecksumStatus,
    /// The TCP or UDP checksum.
    pub l4: ChecksumStatus,
}

/// Work for the device while it sends one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TxOffload {
    /// IP version of the packet, 4 or 6.
    pub ip_version: u8,
    /// Octets of the Ethernet header.
    pub l2_len: u8,
    /// Octets of the IP header with options or extension headers.
    pub l3_len: u16,
    /// Octets of the TCP or UDP header with options.
    pub l4_len: u8,
    /// Fill in the IPv4 header checksum.
    pub ip_checksum: bool,
    /// Fill in this layer-4 checksum; the field holds the pseudo-header sum.
    pub l4_checksum: Option<L4Checksum>,
    /// Cut the payload into TCP segments of this many octets. The TCP checksum field holds the
    /// sum of the pseudo-header with a length of 0, that of IPv4 holds 0, and the lengths in the
    /// IP header are those of the whole packet.
    pub tso_segment_size: Option<u16>,
}

/// A layer-4 protocol whose checksum a device can fill in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum L4Checksum {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}
