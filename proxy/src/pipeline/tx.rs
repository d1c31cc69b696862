//! The last stage: IP packets become frames and leave.
//!
//! * **In**: IP packets without link-layer header or TCP checksum (the lane), and whole frames.
//! * **Out**: frames in the transmit queue of the port that leads to the next hop.
//! * **Drops**: no route, no answer from the neighbor, too big for the port, a port that takes
//!   nothing any more.
//!
//! A port that is merely slow is not overrun: while its lane is full, no buffers are lent for new
//! segments, so connections wait and lose nothing. A port that has taken nothing for ten
//! milliseconds loses what waits for it, so that it does not stop the other ports.

use core::time::Duration;

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::{Burst, Capabilities, L4Checksum, PacketBuf, PacketIo, PortId, TxOffload};
use netstack::ip::{Ip, IpAddress, NetworkId, V4, V6};
use netstack::neighbor::{Action, Neighbor, NeighborIp, Resolution, Speaker};
use netstack::route::{NextHop, is_link_local};
use netstack::tcp::Output;
use netstack::time::Instant;
use netstack::wire::checksum::pseudo_header;
use netstack::wire::ethernet::{self, MacAddr};
use netstack::wire::{ipv4, ipv6, tcp};

use crate::host::{Host, HostIp, Neighbors};

/// IP packets that may wait for the stage.
const LANE_CAPACITY: usize = 512;

/// Frames that may wait for a port.
const PORT_LANE_CAPACITY: usize = 1024;

/// How long a port may take nothing before what waits for it is dropped.
const STALL_LIMIT: Duration = Duration::from_millis(10);

/// One port as a worker sees it: its queue pair, and frames that wait for it.
#[derive(Debug)]
pub struct Port<Io: PacketIo> {
    /// The queue pair.
    pub io: Io,
    lane: Burst<Io::Buf>,
    /// Since when the port has taken nothing although something waits.
    stalled_since: Option<Instant>,
}

/// An IP packet on its way out.
#[derive(Debug)]
struct OutPacket<B> {
    packet: B,
    /// The port that the question came by, for an answer to an address of that link only.
    via: Option<PortId>,
}

/// The stage.
#[derive(Debug)]
pub struct Transmitter<Io: PacketIo> {
    /// All ports, in configured order.
    pub ports: Vec<Port<Io>>,
    lane: Burst<OutPacket<Io::Buf>>,
    neighbors: Neighbors<Io::Buf>,
}

/// Where the worker's TCP puts its segments.
#[derive(Debug)]
pub struct TcpOutput<'a, Io: PacketIo> {
    io: &'a mut Io,
    lane: &'a mut Burst<OutPacket<Io::Buf>>,
    /// Packets that may be added before a port would be overrun.
    room: usize,
    counters: &'a Counters,
}

impl<Io: PacketIo> Output for TcpOutput<'_, Io> {
    type Buf = Io::Buf;

    fn alloc(&mut self) -> Option<Io::Buf> {
        if self.room == 0 {
            return None;
        }
        let buffer = self.io.alloc();
        if buffer.is_none() {
            self.counters.increment(Event::BuffersExhausted);
        }
        buffer
    }

    fn send(&mut self, packet: Io::Buf) {
        self.room = self.room.saturating_sub(1);
        self.counters.increment(Event::Generated);
        if self.lane.push(OutPacket { packet, via: None }).is_err() {
            // `alloc` saw room; only a caller that sends more than it was lent comes here.
            self.counters.drop_packet(DropReason::TxQueueFull);
        }
    }

    fn lost(&mut self) {
        self.counters.increment(Event::Generated);
        self.counters.drop_packet(if self.room == 0 {
            DropReason::TxQueueFull
        } else {
            DropReason::NoBuffer
        });
    }
}

impl<Io: PacketIo> Transmitter<Io> {
    /// The stage for these queue pairs, one a port.
    pub fn new(ios: Vec<Io>, neighbors: Neighbors<Io::Buf>) -> Self {
        let ports = ios
            .into_iter()
            .map(|io| Port {
                io,
                lane: Burst::with_capacity(PORT_LANE_CAPACITY),
                stalled_since: None,
            })
            .collect();
        Self {
            ports,
            lane: Burst::with_capacity(LANE_CAPACITY),
            neighbors,
        }
    }

    /// Where TCP may put segments now.
    pub fn tcp_output<'a>(&'a mut self, counters: &'a Counters) -> TcpOutput<'a, Io> {
        let waiting = self.lane.len();
        let room = self
            .ports
            .iter()
            .map(|port| port.lane.room().saturating_sub(waiting))
            .fold(self.lane.room(), usize::min);
        TcpOutput {
            io: &mut self.ports[0].io,
            lane: &mut self.lane,
            room,
            counters,
        }
    }

    /// An empty buffer for an answer.
    pub fn alloc(&mut self) -> Option<Io::Buf> {
        self.ports[0].io.alloc()
    }

    /// Sends an IP packet; to an address that is valid on one link only, by port `via`.
    pub fn send_ip(&mut self, packet: Io::Buf, via: PortId, counters: &Counters) {
        let packet = OutPacket {
            packet,
            via: Some(via),
        };
        if self.lane.push(packet).is_err() {
            counters.drop_packet(DropReason::TxQueueFull);
        }
    }

    /// Sends a whole frame by `port`.
    pub fn send_frame(&mut self, port: PortId, frame: Io::Buf, counters: &Counters) {
        if self.ports[usize::from(port.0)].lane.push(frame).is_err() {
            counters.drop_packet(DropReason::TxQueueFull);
        }
    }

    /// Packets in the lane, in the lanes of ports, and waiting for a neighbor.
    pub fn waiting(&self) -> usize {
        let ports: usize = self.ports.iter().map(|port| port.lane.len()).sum();
        self.lane.len() + ports + self.neighbors.v4.waiting() + self.neighbors.v6.waiting()
    }

    /// The neighbors of one IP version.
    pub fn neighbors_mut(&mut self) -> &mut Neighbors<Io::Buf> {
        &mut self.neighbors
    }

    /// Makes frames of the IP packets in the lane.
    pub fn process(&mut self, now: Instant, host: &Host, counters: &Counters) {
        while let Some(OutPacket { packet, via }) = self.lane.pop_front() {
            let version = packet.data().first().map_or(0, |octet| octet >> 4);
            let result = if version == V4::VERSION {
                self.process_one::<V4>(now, host, packet, via, counters)
            } else {
                self.process_one::<V6>(now, host, packet, via, counters)
            };
            if let Err(reason) = result {
                counters.drop_packet(reason);
            }
        }
    }

    /// Hands frames to the ports.
    pub fn flush(&mut self, now: Instant, counters: &Counters) {
        for port in &mut self.ports {
            port.flush(now, counters);
        }
    }

    /// Runs the timers of the neighbor tables.
    pub fn handle_timeouts(&mut self, now: Instant, host: &Host, counters: &Counters) {
        self.neighbors.v4.handle_timeout(now);
        self.neighbors.v6.handle_timeout(now);
        self.run_actions::<V4>(host, counters);
        self.run_actions::<V6>(host, counters);
    }

    /// When something has to be done at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ports.iter().any(|port| !port.lane.is_empty()) || !self.lane.is_empty() {
            return Some(Instant::ZERO);
        }
        let events = self.ports.iter().filter_map(|port| port.io.next_event());
        let neighbors = [
            self.neighbors.v4.poll_timeout(),
            self.neighbors.v6.poll_timeout(),
        ];
        events.chain(neighbors.into_iter().flatten()).min()
    }

    /// Tells the stations on every link our addresses there.
    pub fn announce<I: HostIp>(&mut self, host: &Host, counters: &Counters) {
        for index in 0..self.ports.len() {
            let Ok(port) = u16::try_from(index).map(PortId) else {
                continue;
            };
            let mac = self.mac(port);
            for address in I::host(host).local.on_port(port) {
                let us = Speaker {
                    addr: address.addr,
                    mac,
                };
                self.send_made(port, counters, |buf| I::emit_announcement(buf, us));
            }
        }
    }

    /// Sends a frame that `emit` writes.
    pub fn send_made(
        &mut self,
        port: PortId,
        counters: &Counters,
        emit: impl FnOnce(&mut Io::Buf) -> Result<(), DropReason>,
    ) {
        counters.increment(Event::Generated);
        let Some(mut frame) = self.alloc() else {
            counters.increment(Event::BuffersExhausted);
            counters.drop_packet(DropReason::NoBuffer);
            return;
        };
        match emit(&mut frame) {
            Ok(()) => self.send_frame(port, frame, counters),
            Err(reason) => counters.drop_packet(reason),
        }
    }

    /// Does what a neighbor table asks for.
    pub fn run_actions<I: HostIp>(&mut self, host: &Host, counters: &Counters) {
        while let Some(action) = I::neighbors(&mut self.neighbors).poll_action() {
            match action {
                Action::Ask {
                    neighbor,
                    unicast_to,
                } => self.ask(host, neighbor, unicast_to, counters),
                Action::Send {
                    neighbor,
                    mac,
                    packet,
                } => {
                    if let Err(reason) = self.frame::<I>(neighbor.port, mac, packet, counters) {
                        counters.drop_packet(reason);
                    }
                }
                Action::Drop { .. } => counters.drop_packet(DropReason::NeighborUnreachable),
                Action::Failed { .. } => counters.increment(Event::NeighborFailed),
            }
        }
    }

    /// The MAC address of a port.
    pub fn mac(&self, port: PortId) -> MacAddr {
        self.ports[usize::from(port.0)].io.capabilities().mac
    }

    /// The MTU of a port, in octets.
    pub fn mtu(&self, port: PortId) -> usize {
        self.ports[usize::from(port.0)].io.capabilities().mtu
    }

    fn ask<I: HostIp>(
        &mut self,
        host: &Host,
        neighbor: Neighbor<I>,
        unicast_to: Option<MacAddr>,
        counters: &Counters,
    ) {
        let hop = NextHop {
            port: neighbor.port,
            addr: neighbor.addr,
        };
        let local = &I::host(host).local;
        let Some(addr) = local.source_for(neighbor.network, neighbor.addr, hop) else {
            return;
        };
        let us = Speaker {
            addr,
            mac: self.mac(neighbor.port),
        };
        counters.increment(Event::NeighborAsked);
        self.send_made(neighbor.port, counters, |buf| {
            I::emit_request(buf, us, neighbor.addr, unicast_to)
        });
    }

    fn process_one<I: HostIp + TransmitIp>(
        &mut self,
        now: Instant,
        host: &Host,
        mut packet: Io::Buf,
        via: Option<PortId>,
        counters: &Counters,
    ) -> Result<(), DropReason> {
        let (src, dst) = addresses::<I>(packet.data()).ok_or(DropReason::NoRoute)?;
        // An answer to a link-local address leaves by the link on which the question came.
        let on_link = via
            .filter(|_| is_link_local::<I>(dst))
            .map(|port| NextHop { port, addr: dst });
        let hop = on_link
            .or_else(|| I::host(host).routes.lookup(NetworkId::BARE, dst))
            .ok_or(DropReason::NoRoute)?;
        let capabilities = self.ports[usize::from(hop.port.0)].io.capabilities();
        if packet.data().len() > capabilities.mtu {
            return Err(DropReason::TooBig);
        }
        complete::<I, _>(&mut packet, src, dst, capabilities);
        let neighbor = Neighbor {
            network: NetworkId::BARE,
            port: hop.port,
            addr: hop.addr,
        };
        if let Some(mac) = I::neighbors(&mut self.neighbors).lookup(now, neighbor) {
            return self.frame::<I>(hop.port, mac, packet, counters);
        }
        let resolution = I::neighbors(&mut self.neighbors).resolve(now, neighbor, packet);
        self.run_actions::<I>(host, counters);
        match resolution {
            Resolution::Ready(mac, packet) => self.frame::<I>(hop.port, mac, packet, counters),
            Resolution::Queued => Ok(()),
            Resolution::Refused(_) => Err(DropReason::NeighborUnreachable),
        }
    }

    fn frame<I: Ip>(
        &mut self,
        port: PortId,
        destination: MacAddr,
        mut packet: Io::Buf,
        counters: &Counters,
    ) -> Result<(), DropReason> {
        let source = self.mac(port);
        let header = packet
            .prepend(ethernet::HEADER_LEN)
            .ok_or(DropReason::NoBuffer)?;
        ethernet::Header {
            destination,
            source,
            ethertype: I::ETHERTYPE,
        }
        .emit(header);
        self.send_frame(port, packet, counters);
        Ok(())
    }
}

impl<Io: PacketIo> Port<Io> {
    /// Hands the lane's frames to the device.
    fn flush(&mut self, now: Instant, counters: &Counters) {
        if self.lane.is_empty() {
            self.stalled_since = None;
            return;
        }
        let waiting = self.lane.len();
        let octets: usize = self.lane.iter().map(|frame| frame.data().len()).sum();
        let sent = self.io.tx_burst(&mut self.lane);
        let left: usize = self.lane.iter().map(|frame| frame.data().len()).sum();
        counters.add(Event::TxFrames, sent as u64);
        counters.add(Event::TxBytes, (octets - left) as u64);
        if sent > 0 {
            self.stalled_since = None;
            return;
        }
        let since = *self.stalled_since.get_or_insert(now);
        if now.saturating_duration_since(since) > STALL_LIMIT {
            self.stalled_since = None;
            for _ in self.lane.drain_front(waiting) {
                counters.drop_packet(DropReason::TxQueueFull);
            }
        }
    }
}

/// What the stage needs of an IP version.
trait TransmitIp: NeighborIp {
    /// Where the source address stands in the header; the destination follows.
    const SRC_OFFSET: usize;
    /// Where the header names the protocol.
    const PROTOCOL_OFFSET: usize;

    /// Fills in the header's own checksum, if it has one.
    fn fill_header_checksum(packet: &mut [u8]);

    /// Whether the port fills that in.
    fn offloads_header_checksum(capabilities: &Capabilities) -> bool;
}

impl TransmitIp for V4 {
    const SRC_OFFSET: usize = ipv4::SRC_OFFSET;
    const PROTOCOL_OFFSET: usize = ipv4::PROTOCOL_OFFSET;

    fn fill_header_checksum(packet: &mut [u8]) {
        ipv4::fill_checksum(packet);
    }

    fn offloads_header_checksum(capabilities: &Capabilities) -> bool {
        capabilities.tx_checksum.ipv4
    }
}

impl TransmitIp for V6 {
    const SRC_OFFSET: usize = ipv6::SRC_OFFSET;
    const PROTOCOL_OFFSET: usize = ipv6::NEXT_HEADER_OFFSET;

    fn fill_header_checksum(_packet: &mut [u8]) {}

    fn offloads_header_checksum(_capabilities: &Capabilities) -> bool {
        false
    }
}

/// Source and destination of a packet; `None` if it is shorter than its header.
fn addresses<I: TransmitIp>(packet: &[u8]) -> Option<(I::Addr, I::Addr)> {
    let (header, _) = packet.split_at_checked(I::HEADER_LEN)?;
    let src = I::Addr::from_octets(&header[I::SRC_OFFSET..])?;
    let dst = I::Addr::from_octets(&header[I::SRC_OFFSET + I::Addr::LEN..])?;
    Some((src, dst))
}

/// Fills in the checksums of a TCP packet, or asks the port to. It has neither IP options nor
/// extension headers, as TCP writes none. Packets of other protocols come with their checksums.
fn complete<I: TransmitIp, B: PacketBuf>(
    packet: &mut B,
    src: I::Addr,
    dst: I::Addr,
    capabilities: &Capabilities,
) {
    let is_tcp = packet.data()[I::PROTOCOL_OFFSET] == tcp::PROTOCOL
        && packet.data().len() >= I::HEADER_LEN + tcp::HEADER_LEN;
    if !is_tcp {
        return;
    }
    let ip_offload = I::offloads_header_checksum(capabilities);
    if !ip_offload {
        I::fill_header_checksum(packet.data_mut());
    }
    let segment = &mut packet.data_mut()[I::HEADER_LEN..];
    if !capabilities.tx_checksum.tcp {
        tcp::fill_checksum::<I>(src, dst, segment);
        return;
    }
    // The device adds the segment to the sum of the pseudo-header that it finds in the field.
    let sum = pseudo_header::<I>(src, dst, tcp::PROTOCOL, segment.len()).folded();
    segment[tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    let l4_len = (segment[tcp::DATA_OFFSET_OFFSET] >> 4) * 4;
    packet.set_tx_offload(TxOffload {
        ip_version: I::VERSION,
        l2_len: ethernet::HEADER_LEN as u8,
        l3_len: I::HEADER_LEN as u16,
        l4_len,
        ip_checksum: ip_offload,
        l4_checksum: Some(L4Checksum::Tcp),
        tso_segment_size: None,
    });
}
