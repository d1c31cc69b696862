//! Frames that scripted peers make and read.
//!
//! One Ethernet link: the worker's port at one end, everybody else at the other. All peers share
//! one MAC address, as stations behind a router do.

use core::net::Ipv4Addr;

use netstack::io::PacketBuf;
use netstack::ip::{Ip, V4};
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::ethernet::{self, MacAddr, ethertype};
use netstack::wire::ip_header::{self, HeaderIp};
use netstack::wire::{arp, ipv4, tcp};

/// The worker's port.
pub const PROXY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// Everybody else.
pub const PEERS_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// Both ends of a connection between a peer and the worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ends {
    /// The peer's address and port.
    pub peer: (Ipv4Addr, u16),
    /// The worker's address and port.
    pub proxy: (Ipv4Addr, u16),
}

/// What the worker sent.
#[derive(Debug)]
pub enum Heard<'f> {
    /// It asks who has an address.
    Question(arp::Packet),
    /// It tells an address that it has.
    Answer,
    /// A segment of a connection.
    Segment(Segment<'f>),
}

/// A received segment.
#[derive(Debug)]
pub struct Segment<'f> {
    /// Whose it is.
    pub ends: Ends,
    /// Its header.
    pub header: tcp::Header,
    /// Its payload.
    pub payload: &'f [u8],
}

/// Reads a frame of the worker's; `summed` unless the port was asked to fill in the checksums.
///
/// # Panics
/// If it is not a right frame: the figures would mean nothing.
pub fn read(frame: &[u8], summed: bool) -> Heard<'_> {
    let header = ethernet::Header::parse(frame).expect("the worker sends whole frames");
    assert_eq!(header.source, PROXY_MAC, "a frame of somebody else's");
    let packet = &frame[ethernet::HEADER_LEN..];
    match header.ethertype {
        ethertype::ARP => {
            let packet = arp::Packet::parse(packet).expect("the worker sends right ARP packets");
            if packet.operation == arp::Operation::Request
                && packet.sender_addr != packet.target_addr
            {
                Heard::Question(packet)
            } else {
                Heard::Answer
            }
        }
        ethertype::IPV4 => {
            assert_eq!(header.destination, PEERS_MAC, "not to the router");
            Heard::Segment(read_segment(packet, summed))
        }
        other => panic!("the worker sent a frame of type {other:#x}"),
    }
}

fn read_segment(packet: &[u8], summed: bool) -> Segment<'_> {
    let ip = ipv4::Header::parse(packet).expect("the worker sends right IPv4 packets");
    assert!(
        !summed || ipv4::verify_checksum(packet),
        "wrong IPv4 header checksum"
    );
    assert_eq!(ip.protocol, tcp::PROTOCOL, "not TCP");
    let segment = ip.payload(packet);
    assert!(
        !summed || verify_transport_checksum::<V4>(ip.src, ip.dst, tcp::PROTOCOL, segment),
        "wrong TCP checksum"
    );
    let header = tcp::Header::parse(segment).expect("the worker sends right segments");
    Segment {
        ends: Ends {
            peer: (ip.dst, header.dport),
            proxy: (ip.src, header.sport),
        },
        header,
        payload: &segment[header.header_len..],
    }
}

/// Writes an answer to `question` into an empty buffer: whoever is asked for is here.
pub fn write_answer(frame: &mut impl PacketBuf, question: &arp::Packet) {
    let answer = arp::Packet {
        operation: arp::Operation::Reply,
        sender_mac: PEERS_MAC,
        sender_addr: question.target_addr,
        target_mac: question.sender_mac,
        target_addr: question.sender_addr,
    };
    write_arp(frame, &answer);
}

/// Writes the question of the station with address `sender` who has `target`. The worker learns
/// from it where the sender is.
pub fn write_question(frame: &mut impl PacketBuf, sender: Ipv4Addr, target: Ipv4Addr) {
    let question = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: PEERS_MAC,
        sender_addr: sender,
        target_mac: MacAddr::default(),
        target_addr: target,
    };
    write_arp(frame, &question);
}

fn write_arp(frame: &mut impl PacketBuf, packet: &arp::Packet) {
    let octets = frame
        .append(ethernet::HEADER_LEN + arp::PACKET_LEN)
        .expect("a buffer takes a frame");
    ethernet_header(PROXY_MAC, ethertype::ARP).emit(octets);
    packet.emit(&mut octets[ethernet::HEADER_LEN..]);
}

/// Writes a segment of a peer's into an empty buffer; ports are filled in.
pub fn write_segment(
    frame: &mut impl PacketBuf,
    ends: Ends,
    mut header: tcp::Header,
    payload: &[u8],
) {
    header.sport = ends.peer.1;
    header.dport = ends.proxy.1;
    let segment_len = header.emit_len() + payload.len();
    let octets = frame
        .append(ethernet::HEADER_LEN + V4::HEADER_LEN + segment_len)
        .expect("a buffer takes a frame");
    ethernet_header(PROXY_MAC, ethertype::IPV4).emit(octets);
    let packet = &mut octets[ethernet::HEADER_LEN..];
    let ip = ip_header::Header::<V4> {
        src: ends.peer.0,
        dst: ends.proxy.0,
        protocol: tcp::PROTOCOL,
        hop_limit: ip_header::DEFAULT_HOP_LIMIT,
        ecn: 0,
        payload_len: segment_len,
    };
    V4::emit_header(&ip, packet);
    let segment = &mut packet[V4::HEADER_LEN..];
    header.emit(segment);
    segment[header.emit_len()..].copy_from_slice(payload);
    tcp::fill_checksum::<V4>(ip.src, ip.dst, segment);
}

fn ethernet_header(destination: MacAddr, ethertype: u16) -> ethernet::Header {
    ethernet::Header {
        destination,
        source: PEERS_MAC,
        ethertype,
    }
}
