//! Frames as a port of a proxy receives them, and numbers to mix them with.

use netstack::ip::{IpAddress, V4, V6};
use netstack::wire::ethernet::{self, MacAddr, ethertype};
use netstack::wire::ip_header::{Header, HeaderIp};
use netstack::wire::tcp::Flags;
use netstack::wire::{arp, ipv6_ext, tcp, udp};
use proxy::pipeline::classify::VXLAN_PORT;

/// Numbers that look random and are the same each time (xorshift).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Another sequence for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    /// As many octets.
    pub fn octets<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        core::array::from_fn(|_| self.below(256) as u8)
    }
}

/// `count` frames of all kinds, half of them TCP, somewhat more IPv4 than IPv6. One in sixteen has
/// options or extension headers.
pub fn mixed(count: usize, random: &mut Random) -> Vec<Box<[u8]>> {
    let frames = (0..count).map(|_| match random.below(100) {
        0..2 => question(random),
        2..60 => ip_frame::<V4>(random),
        _ => ip_frame::<V6>(random),
    });
    frames.collect()
}

/// Frames of `count` flows, each of another port, half of them IPv4, most of them TCP.
pub fn flows(count: u16, random: &mut Random) -> Vec<Box<[u8]>> {
    let frames = (0..count).map(|flow| {
        let (protocol, len) = match random.below(4) {
            0 => (udp::PROTOCOL, 20),
            _ => (tcp::PROTOCOL, 20),
        };
        let upper = upper(10_000 + flow, 443, len);
        if flow % 2 == 0 {
            packet::<V4>(protocol, random, &[], &upper)
        } else {
            packet::<V6>(protocol, random, &[], &upper)
        }
    });
    frames.collect()
}

/// A frame of an IP version.
fn ip_frame<I: HeaderIp>(random: &mut Random) -> Box<[u8]> {
    let (protocol, dport, len) = match random.below(100) {
        0..55 => (tcp::PROTOCOL, 443, 20),
        55..80 => (udp::PROTOCOL, 443, 30),
        80..92 => (udp::PROTOCOL, VXLAN_PORT, 58),
        _ => (I::ICMP_PROTOCOL, 0, 30),
    };
    let upper = upper(random.below(1 << 16) as u16, dport, len);
    if random.below(16) > 0 {
        return packet::<I>(protocol, random, &[], &upper);
    }
    if I::VERSION == 4 {
        // An option that routers look at (RFC 2113), and padding.
        return packet::<I>(protocol, random, &[148, 4, 0, 0, 1, 1, 1, 0], &upper);
    }
    let extension = [protocol, 0, 1, 4, 0, 0, 0, 0];
    packet::<I>(ipv6_ext::DESTINATION_OPTIONS, random, &extension, &upper)
}

/// A TCP segment without payload, or what looks like it.
fn upper(sport: u16, dport: u16, len: usize) -> Vec<u8> {
    let header = tcp::Header {
        sport,
        dport,
        seq: 1,
        ack: 1,
        flags: Flags::ACK,
        window: 1000,
        urgent: 0,
        header_len: tcp::HEADER_LEN,
        options: tcp::Options::default(),
    };
    let mut octets = vec![0; len.max(tcp::HEADER_LEN)];
    header.emit(&mut octets);
    octets
}

/// A frame with a packet from anywhere to us; `between` stands behind the fixed header.
fn packet<I: HeaderIp>(
    protocol: u8,
    random: &mut Random,
    between: &[u8],
    upper: &[u8],
) -> Box<[u8]> {
    let address = |octets: [u8; 16]| {
        I::Addr::from_octets(&octets).expect("as many octets as the longest address")
    };
    let header = Header::<I> {
        src: address(random.octets()),
        dst: address([10; 16]),
        protocol,
        hop_limit: 60,
        ecn: 0,
        payload_len: between.len() + upper.len(),
    };
    let mut octets = vec![0; ethernet::HEADER_LEN + I::HEADER_LEN];
    ethernet_header(I::ETHERTYPE, &mut octets);
    I::emit_header(&header, &mut octets[ethernet::HEADER_LEN..]);
    if I::VERSION == 4 {
        octets[ethernet::HEADER_LEN] += (between.len() / 4) as u8;
    }
    octets.extend(between);
    octets.extend(upper);
    octets.resize(octets.len().max(MIN_FRAME), 0);
    octets.into()
}

/// Somebody asks for a neighbor.
fn question(random: &mut Random) -> Box<[u8]> {
    let mut octets = vec![0; MIN_FRAME];
    ethernet_header(ethertype::ARP, &mut octets);
    let question = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: OTHERS,
        sender_addr: random.octets::<4>().into(),
        target_mac: MacAddr::default(),
        target_addr: [10; 4].into(),
    };
    question.emit(&mut octets[ethernet::HEADER_LEN..]);
    octets.into()
}

fn ethernet_header(ethertype: u16, out: &mut [u8]) {
    let header = ethernet::Header {
        destination: MacAddr([2, 0, 0, 0, 0, 1]),
        source: OTHERS,
        ethertype,
    };
    header.emit(out);
}

const OTHERS: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// Octets of the shortest frame, without its checksum.
const MIN_FRAME: usize = 60;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use flow_rules::plan::Class;
    use proxy::pipeline::classify::Classifier;

    use super::*;

    #[test]
    fn mixed_traffic_has_all_classes() {
        let frames = mixed(256, &mut Random::new(1));
        let classes: HashSet<_> = frames
            .iter()
            .map(|frame| Classifier::default().classify(frame).class)
            .collect();
        assert_eq!(classes.len(), Class::ALL.len());
    }

    #[test]
    fn flows_have_ports() {
        let frames = flows(1000, &mut Random::new(1));
        let ports = |frame: &[u8]| Classifier::default().classify(frame).ports;
        assert!(frames.iter().all(|frame| ports(frame).is_some()));
    }
}
