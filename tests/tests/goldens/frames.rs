//! Frames of the stations around Weirgate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netstack::ip::{Ip, V4, V6};
use netstack::wire::ethernet::{self, MacAddr, ethertype};
use netstack::wire::icmp::{self, IcmpIp};
use netstack::wire::ip_header::{self, HeaderIp};
use netstack::wire::tcp::{self, Flags, Options};
use netstack::wire::{arp, ndp, udp};

/// The station that sends, and the one that receives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Macs {
    pub(crate) source: MacAddr,
    pub(crate) destination: MacAddr,
}

impl Macs {
    pub(crate) fn frame(self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ethernet::HEADER_LEN];
        let header = ethernet::Header {
            destination: self.destination,
            source: self.source,
            ethertype,
        };
        header.emit(&mut frame);
        frame.extend_from_slice(payload);
        frame
    }

    fn to(self, destination: MacAddr) -> Self {
        Self {
            destination,
            ..self
        }
    }

    pub(crate) fn packet<I: HeaderIp>(
        self,
        (src, dst): (I::Addr, I::Addr),
        (protocol, hop_limit): (u8, u8),
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = vec![0; I::HEADER_LEN];
        let header = ip_header::Header::<I> {
            src,
            dst,
            protocol,
            hop_limit,
            ecn: 0,
            payload_len: payload.len(),
        };
        I::emit_header(&header, &mut packet);
        packet.extend_from_slice(payload);
        self.frame(I::ETHERTYPE, &packet)
    }

    /// A TCP segment with its checksums.
    pub(crate) fn segment(self, src: SocketAddr, dst: SocketAddr, segment: &Segment) -> Vec<u8> {
        let ports = (src.port(), dst.port());
        match (src.ip(), dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.tcp::<V4>((src, dst), ports, segment),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.tcp::<V6>((src, dst), ports, segment),
            _ => panic!("{src} and {dst} are of different IP versions"),
        }
    }

    fn tcp<I: HeaderIp>(
        self,
        (src, dst): (I::Addr, I::Addr),
        (sport, dport): (u16, u16),
        segment: &Segment,
    ) -> Vec<u8> {
        let header = tcp::Header {
            sport,
            dport,
            seq: segment.seq,
            ack: segment.ack,
            flags: segment.flags,
            window: u16::MAX,
            urgent: 0,
            header_len: 0,
            options: segment.options,
        };
        let mut octets = vec![0; header.emit_len()];
        header.emit(&mut octets);
        octets.extend_from_slice(&segment.payload);
        tcp::fill_checksum::<I>(src, dst, &mut octets);
        self.packet::<I>((src, dst), (tcp::PROTOCOL, 64), &octets)
    }

    /// A UDP datagram with its checksums.
    pub(crate) fn datagram<I: HeaderIp>(
        self,
        (src, dst): (I::Addr, I::Addr),
        (sport, dport): (u16, u16),
    ) -> Vec<u8> {
        let mut octets = vec![0; udp::HEADER_LEN];
        let header = udp::Header {
            sport,
            dport,
            len: udp::HEADER_LEN,
            checksum: 0,
        };
        header.emit(&mut octets);
        udp::fill_checksum::<I>(src, dst, &mut octets);
        self.packet::<I>((src, dst), (udp::PROTOCOL, 64), &octets)
    }

    /// An echo request with some octets.
    pub(crate) fn ping<I: HeaderIp + IcmpIp>(self, src: I::Addr, dst: I::Addr) -> Vec<u8> {
        let mut octets = vec![0; icmp::HEADER_LEN];
        let message = icmp::Message::EchoRequest {
            ident: 7,
            sequence: 1,
        };
        message.emit::<I>(&mut octets);
        octets.extend_from_slice(b"anybody home?");
        icmp::fill_checksum::<I>(src, dst, &mut octets);
        self.packet::<I>((src, dst), (I::ICMP_PROTOCOL, 64), &octets)
    }

    /// Asks who has `target`.
    pub(crate) fn arp_request(self, src: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        self.to(MacAddr::BROADCAST)
            .arp(arp::Operation::Request, src, (MacAddr::default(), target))
    }

    /// Tells that `src` is here.
    pub(crate) fn arp_reply(self, src: Ipv4Addr, target: (MacAddr, Ipv4Addr)) -> Vec<u8> {
        self.arp(arp::Operation::Reply, src, target)
    }

    fn arp(
        self,
        operation: arp::Operation,
        sender_addr: Ipv4Addr,
        (target_mac, target_addr): (MacAddr, Ipv4Addr),
    ) -> Vec<u8> {
        let mut octets = [0; arp::PACKET_LEN];
        let packet = arp::Packet {
            operation,
            sender_mac: self.source,
            sender_addr,
            target_mac,
            target_addr,
        };
        packet.emit(&mut octets);
        self.frame(ethertype::ARP, &octets)
    }

    /// Asks who has `target`.
    pub(crate) fn solicitation(self, src: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
        let message = ndp::Message::NeighborSolicitation {
            target,
            source_mac: Some(self.source),
        };
        let group = ndp::solicited_node(target);
        self.to(ndp::multicast_mac(group))
            .neighbor_discovery(src, group, &message)
    }

    /// Tells `asker` that `src` is here.
    pub(crate) fn advertisement(self, src: Ipv6Addr, asker: Ipv6Addr) -> Vec<u8> {
        let message = ndp::Message::NeighborAdvertisement {
            target: src,
            router: false,
            solicited: true,
            override_known: true,
            target_mac: Some(self.source),
        };
        self.neighbor_discovery(src, asker, &message)
    }

    fn neighbor_discovery(self, src: Ipv6Addr, dst: Ipv6Addr, message: &ndp::Message) -> Vec<u8> {
        let mut octets = vec![0; message.emit_len()];
        message.emit(src, dst, &mut octets);
        let protocol = (V6::ICMP_PROTOCOL, ndp::HOP_LIMIT);
        self.packet::<V6>((src, dst), protocol, &octets)
    }
}

/// What a TCP segment says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) options: Options,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    /// The first segment of a connection.
    pub(crate) fn syn(seq: u32) -> Self {
        Self {
            seq,
            flags: Flags::SYN,
            options: Options {
                mss: Some(1200),
                ..Options::default()
            },
            ..Self::default()
        }
    }
}
