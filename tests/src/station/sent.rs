//! What a worker sent, checked and put into words.
//!
//! [`describe`] panics on a frame that the station must never send: wrong lengths, wrong
//! checksums, another source. What is left is said in one line, so that tables of tests can say
//! what they expect. Addresses of [`TestIp`] are called by their names, initial sequence numbers
//! `iss`.

use core::fmt::Write as _;

use netstack::ip::{Ip, V4, V6};
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::ethernet::{self, MacAddr};
use netstack::wire::icmp::{self, Message};
use netstack::wire::tcp::{Flags, Header};
use netstack::wire::{arp, ndp, tcp};

use super::MTU;
use super::frame::{BACKEND_MAC, CLIENT_MAC, Opened, TestIp, US_MAC};

/// A TCP segment that the station sent.
#[derive(Clone, Copy, Debug)]
pub struct SentSegment<I: Ip> {
    /// To whom.
    pub dst: I::Addr,
    /// The header.
    pub header: Header,
    /// Octets of payload.
    pub payload_len: usize,
}

/// The TCP segment in a frame that was sent; `None` if there is none of this IP version.
pub fn segment<I: TestIp>(frame: &[u8]) -> Option<SentSegment<I>> {
    let header = ethernet::Header::parse(frame).ok()?;
    if header.ethertype != I::ETHERTYPE {
        return None;
    }
    let packet = I::open(frame.get(ethernet::HEADER_LEN..)?);
    if packet.protocol != tcp::PROTOCOL {
        return None;
    }
    let header = Header::parse(packet.upper).ok()?;
    Some(SentSegment {
        dst: packet.dst,
        header,
        payload_len: packet.upper.len() - header.header_len,
    })
}

/// Checks a frame and says in one line what it is.
///
/// # Panics
/// If the station must never send such a frame.
pub fn describe(frame: &[u8]) -> String {
    let header = ethernet::Header::parse(frame).expect("an Ethernet header");
    assert_eq!(header.source, US_MAC, "the source of a frame of ours");
    let payload = &frame[ethernet::HEADER_LEN..];
    assert!(payload.len() <= MTU, "a packet larger than the MTU");
    let what = match header.ethertype {
        ethernet::ethertype::ARP => describe_arp(payload),
        ethernet::ethertype::IPV4 => describe_ip(&V4::open(payload)),
        ethernet::ethertype::IPV6 => {
            let packet = V6::open(payload);
            match packet.upper {
                [kind, ..] if packet.protocol == V6::ICMP_PROTOCOL && ndp::is_ndp(*kind) => {
                    describe_ndp(&packet)
                }
                _ => describe_ip(&packet),
            }
        }
        other => panic!("a frame of type {other:04x}"),
    };
    format!("{}: {what}", mac_name(header.destination))
}

fn describe_arp(payload: &[u8]) -> String {
    let packet = arp::Packet::parse(payload).expect("an ARP packet");
    assert_eq!(packet.sender_mac, US_MAC);
    assert_eq!(packet.sender_addr, V4::US);
    let target = address_name::<V4>(packet.target_addr);
    match packet.operation {
        arp::Operation::Request => format!("arp who has {target}"),
        arp::Operation::Reply => {
            let target_mac = mac_name(packet.target_mac);
            format!("arp we are here, {target} at {target_mac}")
        }
    }
}

fn describe_ndp(packet: &Opened<'_, V6>) -> String {
    check_icmp(packet);
    let dst = address_name::<V6>(packet.dst);
    let message = ndp::Message::parse(packet.src, packet.dst, packet.hop_limit, packet.upper);
    match message.expect("neighbor discovery by the rules") {
        ndp::Message::NeighborSolicitation { target, source_mac } => {
            assert_eq!(source_mac, Some(US_MAC));
            format!("nd who has {}, to {dst}", address_name::<V6>(target))
        }
        ndp::Message::NeighborAdvertisement {
            target,
            router,
            solicited,
            override_known,
            target_mac,
        } => {
            assert_eq!((target, target_mac), (V6::US, Some(US_MAC)));
            assert!(!router && override_known);
            let asked = if solicited { "asked" } else { "unasked" };
            format!("nd we are here, {asked}, to {dst}")
        }
        ndp::Message::Other { kind } => panic!("we never send type {kind}"),
    }
}

fn describe_ip<I: TestIp>(packet: &Opened<'_, I>) -> String {
    assert_eq!(packet.src, I::US, "the source of a packet of ours");
    assert_eq!(packet.hop_limit, 64);
    let dst = address_name::<I>(packet.dst);
    let what = if packet.protocol == tcp::PROTOCOL {
        describe_tcp(packet)
    } else if packet.protocol == I::ICMP_PROTOCOL {
        describe_icmp(packet)
    } else {
        panic!("we never send protocol {}", packet.protocol);
    };
    format!("{dst} {what}")
}

fn describe_tcp<I: TestIp>(packet: &Opened<'_, I>) -> String {
    let segment = packet.upper;
    assert!(
        verify_transport_checksum::<I>(packet.src, packet.dst, tcp::PROTOCOL, segment),
        "the TCP checksum"
    );
    let header = Header::parse(segment).expect("a TCP segment");
    let flags = header.flags;
    assert!(flags.is_sane(), "{flags}");
    let mut text = format!("tcp {}>{} {flags}", header.sport, header.dport);
    let write = if flags.contains(Flags::SYN) {
        write!(text, " iss")
    } else {
        write!(text, " seq {}", header.seq)
    };
    write.expect("strings take everything");
    let mut part = |name: &str, value: Option<u32>| {
        if let Some(value) = value {
            write!(text, " {name} {value}").expect("strings take everything");
        }
    };
    part("ack", flags.contains(Flags::ACK).then_some(header.ack));
    part("win", (header.window != 0).then_some(header.window.into()));
    part("mss", header.options.mss.map(u32::from));
    part("scale", header.options.window_scale.map(u32::from));
    let len = (segment.len() - header.header_len) as u32;
    part("len", (len != 0).then_some(len));
    text
}

fn describe_icmp<I: TestIp>(packet: &Opened<'_, I>) -> String {
    check_icmp(packet);
    let rest = packet.upper.len() - icmp::HEADER_LEN;
    match Message::parse::<I>(packet.upper).expect("an ICMP message") {
        Message::EchoReply { ident, sequence } => {
            format!("echo reply {ident} {sequence} len {rest}")
        }
        Message::Error(error) => format!("error {error:?} len {rest}"),
        other => panic!("we never send {other:?}"),
    }
}

fn check_icmp<I: TestIp>(packet: &Opened<'_, I>) {
    assert!(
        icmp::verify_checksum::<I>(packet.src, packet.dst, packet.upper),
        "the ICMP checksum"
    );
}

fn mac_name(mac: MacAddr) -> String {
    match mac {
        CLIENT_MAC => "client".to_owned(),
        BACKEND_MAC => "backend".to_owned(),
        MacAddr::BROADCAST => "all".to_owned(),
        other => other.to_string(),
    }
}

fn address_name<I: TestIp>(address: I::Addr) -> String {
    let names = [
        (I::US, "us"),
        (I::CLIENT, "client"),
        (I::BACKEND, "backend"),
        (I::NOBODY, "nobody"),
    ];
    match names.into_iter().find(|(known, _)| *known == address) {
        Some((_, name)) => name.to_owned(),
        None => address.to_string(),
    }
}
