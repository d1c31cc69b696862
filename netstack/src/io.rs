//! The seam between the stack and whatever moves packets.
//!
//! A [`PacketIo`] is one queue pair of one port: it hands over received frames, takes frames to
//! send, and lends empty buffers. A [`PacketBuf`] is one owned frame; dropping it gives its memory
//! back. Buffers are contiguous on the way in and out: a device that receives in pieces joins them
//! before the stack sees the frame.
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

pub use burst::{BURST_SIZE, Burst};

use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

/// A NIC port, by the number that whoever opened the ports gave it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortId(pub u16);

/// An owned frame buffer: `headroom | data | tailroom`.
pub trait PacketBuf: Send + 'static {
    /// The frame, starting at its Ethernet header.
    fn data(&self) -> &[u8];

    /// The frame, writable.
    fn data_mut(&mut self) -> &mut [u8];

    /// Octets free before the data.
    fn headroom(&self) -> usize;

    /// Octets free after the data.
    fn tailroom(&self) -> usize;

    /// Grows the data by `len` octets at its front and returns all of it; the new octets hold
    /// anything. `None`, and no change, if the headroom is too small.
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Grows the data by `len` octets at its end and returns all of it; the new octets hold
    /// anything. `None`, and no change, if the tailroom is too small.
    fn append(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Removes `len` octets (at most all) from the front.
    fn trim_front(&mut self, len: usize);

    /// Shortens the data to `len` octets; no change if it is shorter already.
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
    /// Cut the payload into TCP segments of this many octets.
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
