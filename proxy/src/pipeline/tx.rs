//! The last stage: IP packets become frames and leave.
//!
//! * **In**: IP packets without link-layer header or TCP checksum (the lane), and whole frames.
//! * **Out**: frames in the transmit queue of the port that leads to the next hop.
//! * **Drops**: no route, no answer from the neighbor, too big for the port (or to be cut by a port
//!   that does not), a port that takes nothing any more.
//!
//! A port that is merely slow is not overrun: while its lane is full, no buffers are lent for new
//! segments, so connections wait and lose nothing. A port that has taken nothing for ten
//! milliseconds loses what waits for it, so that it does not stop the other ports.

mod complete;

use core::num::NonZeroU16;
use core::time::Duration;

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::{Burst, PacketBuf, PacketIo, PortId};
use netstack::ip::{Ip, NetworkId, V4, V6};
use netstack::neighbor::{Action, Neighbor, Resolution, Speaker};
use netstack::route::{NextHop, is_link_local};
use netstack::tcp::Output;
use netstack::time::Instant;
use netstack::wire::ethernet::{self, MacAddr};

use self::complete::{TcpPayload, TransmitIp, addresses, complete};
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
    /// The port is to make TCP segments with at most so much payload.
    segment_size: Option<NonZeroU16>,
    /// The ones' complement sum of a TCP packet's payload, folded, if it is known.
    payload_sum: Option<u16>,
}

impl<B> OutPacket<B> {
    fn new(packet: B) -> Self {
        Self {
            packet,
            via: None,
            segment_size: None,
            payload_sum: None,
        }
    }
}

/// The stage.
#[derive(Debug)]
pub struct Transmitter<Io: PacketIo> {
    /// All ports, in configured order.
    pub ports: Vec<Port<Io>>,
    lane: Burst<OutPacket<Io::Buf>>,
    neighbors: Neighbors<Io::Buf>,
    limits: Limits,
}

/// What every port can do, so that TCP need not know by which one a packet leaves.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Payloads attached to a packet.
    attach: usize,
    /// Octets of a packet that is cut into segments, over IPv4.
    segmentation_v4: Option<usize>,
    /// The same over IPv6.
    segmentation_v6: Option<usize>,
    /// Some port leaves TCP checksums to us.
    sums: bool,
}

/// Where the worker's TCP puts its segments.
#[derive(Debug)]
pub struct TcpOutput<'a, Io: PacketIo> {
    io: &'a mut Io,
    lane: &'a mut Burst<OutPacket<Io::Buf>>,
    /// Packets that may be added before a port would be overrun.
    room: usize,
    limits: Limits,
    counters: &'a Counters,
}

impl<Io: PacketIo> TcpOutput<'_, Io> {
    fn push(&mut self, packet: OutPacket<Io::Buf>) {
        self.room = self.room.saturating_sub(1);
        self.counters.increment(Event::Generated);
        if self.lane.push(packet).is_err() {
            // `alloc` saw room; only a caller that sends more than it was lent comes here.
            self.counters.drop_packet(DropReason::TxQueueFull);
        }
    }
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
        self.push(OutPacket::new(packet));
    }

    fn send_segments(&mut self, packet: Io::Buf, segment_size: u16) {
        self.push(OutPacket {
            segment_size: NonZeroU16::new(segment_size),
            ..OutPacket::new(packet)
        });
    }

    fn wants_sums(&self) -> bool {
        self.limits.sums
    }

    fn send_summed(&mut self, packet: Io::Buf, payload_sum: u16) {
        self.push(OutPacket {
            payload_sum: Some(payload_sum),
            ..OutPacket::new(packet)
        });
    }

    fn attach_limit(&self) -> usize {
        self.limits.attach
    }

    fn segmentation_limit(&self, ip_version: u8) -> Option<usize> {
        if ip_version == V4::VERSION {
            self.limits.segmentation_v4
        } else {
            self.limits.segmentation_v6
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

impl Limits {
    fn of<Io: PacketIo>(ios: &[Io]) -> Self {
        let ports = || ios.iter().map(PacketIo::capabilities);
        // What one port cannot do is less than what the others can.
        Self {
            attach: ports().map(|port| port.tx_pieces).min().unwrap_or(0),
            segmentation_v4: ports().map(V4::segmentation_limit).min().flatten(),
            segmentation_v6: ports().map(V6::segmentation_limit).min().flatten(),
            sums: ports().any(|port| !port.tx_checksum.tcp),
        }
    }
}

impl<Io: PacketIo> Transmitter<Io> {
    /// The stage for these queue pairs, one a port.
    pub fn new(ios: Vec<Io>, neighbors: Neighbors<Io::Buf>) -> Self {
        let limits = Limits::of(&ios);
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
            limits,
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
            limits: self.limits,
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
            via: Some(via),
            ..OutPacket::new(packet)
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
        while let Some(packet) = self.lane.pop_front() {
            let version = packet.packet.data().first().map_or(0, |octet| octet >> 4);
            let result = if version == V4::VERSION {
                self.process_one::<V4>(now, host, packet, counters)
            } else {
                self.process_one::<V6>(now, host, packet, counters)
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
        out: OutPacket<Io::Buf>,
        counters: &Counters,
    ) -> Result<(), DropReason> {
        let OutPacket {
            mut packet,
            via,
            segment_size,
            payload_sum,
        } = out;
        let (src, dst) = addresses::<I>(packet.data()).ok_or(DropReason::NoRoute)?;
        // An answer to a link-local address leaves by the link on which the question came.
        let on_link = via
            .filter(|_| is_link_local::<I>(dst))
            .map(|port| NextHop { port, addr: dst });
        let hop = on_link
            .or_else(|| I::host(host).routes.lookup(NetworkId::BARE, dst))
            .ok_or(DropReason::NoRoute)?;
        let capabilities = self.ports[usize::from(hop.port.0)].io.capabilities();
        let tcp = TcpPayload {
            segment_size,
            sum: payload_sum,
        };
        complete::<I, _>(&mut packet, src, dst, tcp, capabilities)?;
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
        let octets: usize = self.lane.iter().map(PacketBuf::packet_len).sum();
        let sent = self.io.tx_burst(&mut self.lane);
        let left: usize = self.lane.iter().map(PacketBuf::packet_len).sum();
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

#[cfg(test)]
mod tests;
