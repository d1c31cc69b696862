//! Questions and answers about MAC addresses, as frames: what differs between ARP and neighbor
//! discovery.
//!
//! Both directions have a common form. [`Heard`] is what a parsed message means to the table;
//! [`NeighborIp`] writes whole frames into buffers that the caller lends.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::{Ip, V4, V6};
use crate::wire::ethernet::{self, MacAddr, ethertype};
use crate::wire::{arp, ipv6, ndp};

/// A question or an answer, with what the table wants to know of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard<I: Ip> {
    /// Somebody asks who has `target`.
    Request {
        /// The address asked for.
        target: I::Addr,
        /// Who asks.
        asker: Asker<I>,
        /// The message tells the asker's MAC address, not only the frame.
        teaches: bool,
    },
    /// Somebody tells a MAC address: an answer, or an announcement that nobody asked for.
    Answer {
        /// Whose MAC address.
        about: I::Addr,
        /// The MAC address; `None` if only reachability is told.
        mac: Option<MacAddr>,
        /// It answers a question.
        solicited: bool,
        /// It replaces what is known.
        override_known: bool,
    },
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asker<I: Ip> {
    /// Its address; unspecified while it checks whether an address is free (RFC 5227, RFC 4862).
    pub addr: I::Addr,
    /// Where the answer goes.
    pub mac: MacAddr,
}

/// Who speaks: we, by one of our addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Speaker<I: Ip> {
    /// Our address.
    pub addr: I::Addr,
    /// The MAC address of the port.
    pub mac: MacAddr,
}

/// How an IP version asks for, tells and announces MAC addresses.
///
/// Every function replaces the content of `buf` by a whole frame, and fails with
/// [`DropReason::NoBuffer`] if that does not fit.
pub trait NeighborIp: Ip {
    /// Asks who has `target`: everybody, or only the station that is believed to have it.
    fn emit_request<B: PacketBuf>(
        buf: &mut B,
        us: Speaker<Self>,
        target: Self::Addr,
        unicast_to: Option<MacAddr>,
    ) -> Result<(), DropReason>;

    /// Tells `asker`, who asked for the address of `us`, our MAC address.
    fn emit_answer<B: PacketBuf>(
        buf: &mut B,
        us: Speaker<Self>,
        asker: Asker<Self>,
    ) -> Result<(), DropReason>;

    /// Tells everybody our MAC address: a gratuitous ARP, or an unsolicited advertisement. To be
    /// sent for each of our addresses when a port comes up.
    fn emit_announcement<B: PacketBuf>(buf: &mut B, us: Speaker<Self>) -> Result<(), DropReason>;
}

impl Heard<V4> {
    /// What an ARP packet means.
    pub fn from_arp(packet: &arp::Packet) -> Self {
        let gratuitous = packet.sender_addr == packet.target_addr;
        match packet.operation {
            arp::Operation::Request if !gratuitous => Self::Request {
                target: packet.target_addr,
                asker: Asker {
                    addr: packet.sender_addr,
                    mac: packet.sender_mac,
                },
                teaches: !packet.sender_addr.is_unspecified(),
            },
            // RFC 5227 3: a sender that asks for itself announces.
            arp::Operation::Request | arp::Operation::Reply => Self::Answer {
                about: packet.sender_addr,
                mac: Some(packet.sender_mac),
                solicited: !gratuitous,
                override_known: true,
            },
        }
    }
}

impl Heard<V6> {
    /// What a neighbor discovery message from `src`, in a frame from `frame_source`, means; `None`
    /// if it is about routers.
    pub fn from_ndp(src: Ipv6Addr, frame_source: MacAddr, message: &ndp::Message) -> Option<Self> {
        match *message {
            ndp::Message::NeighborSolicitation { target, source_mac } => Some(Self::Request {
                target,
                asker: Asker {
                    addr: src,
                    mac: source_mac.unwrap_or(frame_source),
                },
                teaches: source_mac.is_some(),
            }),
            ndp::Message::NeighborAdvertisement {
                target,
                solicited,
                override_known,
                target_mac,
                ..
            } => Some(Self::Answer {
                about: target,
                mac: target_mac,
                solicited,
                override_known,
            }),
            ndp::Message::Other { .. } => None,
        }
    }
}

impl NeighborIp for V4 {
    fn emit_request<B: PacketBuf>(
        buf: &mut B,
        us: Speaker<Self>,
        target: Ipv4Addr,
        unicast_to: Option<MacAddr>,
    ) -> Result<(), DropReason> {
        let packet = arp::Packet {
            operation: arp::Operation::Request,
            sender_mac: us.mac,
            sender_addr: us.addr,
            target_mac: unicast_to.unwrap_or_default(),
            target_addr: target,
        };
        emit_arp(buf, unicast_to.unwrap_or(MacAddr::BROADCAST), &packet)
    }

    fn emit_answer<B: PacketBuf>(
        buf: &mut B,
        us: Speaker<Self>,
        asker: Asker<Self>,
    ) -> Result<(), DropReason> {
        let packet = arp::Packet {
            operation: arp::Operation::Reply,
            sender_mac: us.mac,
            sender_addr: us.addr,
            target_mac: asker.mac,
            target_addr: asker.addr,
        };
        emit_arp(buf, asker.mac, &packet)
    }

    fn emit_announcement<B: PacketBuf>(buf: &mut B, us: Speaker<Self>) -> Result<(), DropReason> {
        Self::emit_request(buf, us, us.addr, None)
    }
}

impl NeighborIp for V6 {
    fn emit_request<B: PacketBuf>(
        buf: &mut B,
        us: Speaker<Self>,
        target: Ipv6Addr,
        unicast_to: Option<MacAddr>,
    ) -> Result<(), DropReason> {
        let message = ndp::Message::NeighborSolicitation {
            target,
            source_mac: Some(us.mac),
        };
        // RFC 4861 7.2.2: to the group of the target, or straight to it when it is probed.
        let group = ndp::solicited_node(target);
        match unicast_to {
            Some(mac) => emit_ndp(buf, us, (target, mac), &message),
            None => emit_ndp(buf, us, (group, ndp::multicast_mac(group)), &message),
        }
    }

    fn emit_answer<B: PacketBuf>(
        buf: &mut B,
        us: Speaker<Self>,
        asker: Asker<Self>,
    ) -> Result<(), DropReason> {
        // RFC 4861 7.2.4: who has no address yet is answered through the group of all nodes.
        if asker.addr.is_unspecified() {
            return Self::emit_announcement(buf, us);
        }
        emit_ndp(buf, us, (asker.addr, asker.mac), &advertisement(us, true))
    }

    fn emit_announcement<B: PacketBuf>(buf: &mut B, us: Speaker<Self>) -> Result<(), DropReason> {
        let everybody = (ndp::ALL_NODES, ndp::multicast_mac(ndp::ALL_NODES));
        emit_ndp(buf, us, everybody, &advertisement(us, false))
    }
}

fn advertisement(us: Speaker<V6>, solicited: bool) -> ndp::Message {
    ndp::Message::NeighborAdvertisement {
        target: us.addr,
        router: false,
        solicited,
        override_known: true,
        target_mac: Some(us.mac),
    }
}

fn emit_arp<B: PacketBuf>(
    buf: &mut B,
    destination: MacAddr,
    packet: &arp::Packet,
) -> Result<(), DropReason> {
    let (header, body) = start_frame(buf, MIN_FRAME_LEN)?;
    ethernet::Header {
        destination,
        source: packet.sender_mac,
        ethertype: ethertype::ARP,
    }
    .emit(header);
    let (packet_octets, padding) = body.split_at_mut(arp::PACKET_LEN);
    packet.emit(packet_octets);
    padding.fill(0);
    Ok(())
}

fn emit_ndp<B: PacketBuf>(
    buf: &mut B,
    us: Speaker<V6>,
    (dst, destination): (Ipv6Addr, MacAddr),
    message: &ndp::Message,
) -> Result<(), DropReason> {
    let payload_len = message.emit_len();
    let frame_len = ethernet::HEADER_LEN + ipv6::HEADER_LEN + payload_len;
    let (header, body) = start_frame(buf, frame_len)?;
    ethernet::Header {
        destination,
        source: us.mac,
        ethertype: ethertype::IPV6,
    }
    .emit(header);
    ipv6::Header {
        traffic_class: 0,
        flow_label: 0,
        payload_len,
        next_header: V6::ICMP_PROTOCOL,
        hop_limit: ndp::HOP_LIMIT,
        src: us.addr,
        dst,
    }
    .emit(body);
    message.emit(us.addr, dst, &mut body[ipv6::HEADER_LEN..]);
    Ok(())
}

/// Octets of the shortest Ethernet frame, without its check sequence.
const MIN_FRAME_LEN: usize = 60;

/// Makes `buf` a frame of `len` octets with any content: its Ethernet header and the rest.
fn start_frame<B: PacketBuf>(
    buf: &mut B,
    len: usize,
) -> Result<(&mut [u8], &mut [u8]), DropReason> {
    buf.truncate(0);
    let frame = buf.append(len).ok_or(DropReason::NoBuffer)?;
    Ok(frame.split_at_mut(ethernet::HEADER_LEN))
}
