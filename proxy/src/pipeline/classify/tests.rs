use core::net::IpAddr;

use netstack::counters::Counters;
use netstack::drop::DropReason;
use netstack::io::mem::MemBuf;
use netstack::io::{ChecksumStatus, PacketBuf, PortId, RxChecksum};
use netstack::ip::{FiveTuple, NetworkId};
use netstack::route::{LocalAddress, LocalAddresses, RouteTable};
use netstack::wire::ethernet::{MacAddr, ethertype};
use netstack::wire::ip_header::{Header, HeaderIp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::host::{Host, IpHost};
use crate::pipeline::parse::{self, IpLanes, Lanes};

const KEY: &[u8; 40] = b"Any key will do if it has enough octets.";
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const CLIENT: &str = "192.0.2.9 2001:db8::9";
const US: &str = "192.0.2.1 2001:db8::1";

fn toeplitz() -> Toeplitz {
    Toeplitz::new(KEY).unwrap()
}

/// The address of this version in a list of both.
fn address<I: Ip>(both: &str) -> I::Addr {
    let index = usize::from(I::VERSION == 6);
    match both.split(' ').nth(index).unwrap().parse().unwrap() {
        IpAddr::V4(address) => I::Addr::from_octets(&address.octets()).unwrap(),
        IpAddr::V6(address) => I::Addr::from_octets(&address.octets()).unwrap(),
    }
}

/// A frame to us: `between` are options of IPv4 or extension headers, the first of which IPv6 calls
/// `protocol`.
fn frame<I: HeaderIp>(protocol: u8, between: &[u8], upper: &[u8]) -> Vec<u8> {
    let header = Header::<I> {
        src: address::<I>(CLIENT),
        dst: address::<I>(US),
        protocol,
        hop_limit: 64,
        ecn: 0,
        payload_len: between.len() + upper.len(),
    };
    let mut frame = vec![0; ethernet::HEADER_LEN + I::HEADER_LEN];
    ethernet::Header {
        destination: MAC,
        source: MacAddr([2, 0, 0, 0, 0, 9]),
        ethertype: I::ETHERTYPE,
    }
    .emit(&mut frame);
    I::emit_header(&header, &mut frame[ethernet::HEADER_LEN..]);
    if I::VERSION == 4 {
        frame[ethernet::HEADER_LEN] += (between.len() / 4) as u8;
    }
    [&frame, between, upper].concat()
}

/// The first octets of a TCP segment with these flags, or of a datagram.
fn upper(sport: u16, dport: u16, flags: u8, len: usize) -> Vec<u8> {
    let mut octets = vec![0; len.max(20)];
    octets[..2].copy_from_slice(&sport.to_be_bytes());
    octets[2..4].copy_from_slice(&dport.to_be_bytes());
    octets[tcp::DATA_OFFSET_OFFSET] = 0x50;
    octets[tcp::FLAGS_OFFSET] = flags;
    octets.truncate(len);
    octets
}

fn classify(frame: &[u8]) -> Classified {
    Classifier::default().classify(frame)
}

fn ports_of(classified: Classified, frame: &[u8]) -> Option<(u16, u16)> {
    let at = usize::from(classified.ports?.offset.get());
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    Some((port(at), port(at + 2)))
}

/// The classes of TCP, UDP and VXLAN over a version, and the version.
fn classes<I: Ip>() -> ([Class; 3], Family) {
    if I::VERSION == 4 {
        let classes = [Class::Ipv4Tcp, Class::Ipv4Udp, Class::Ipv4Vxlan];
        (classes, Family::V4)
    } else {
        let classes = [Class::Ipv6Tcp, Class::Ipv6Udp, Class::Ipv6Vxlan];
        (classes, Family::V6)
    }
}

/// Options or extension headers that say nothing, `words` times 8 octets.
fn padding<I: Ip>(protocol: u8, words: usize) -> (u8, Vec<u8>) {
    if I::VERSION == 4 || words == 0 {
        return (protocol, vec![1; words * 8]);
    }
    let mut octets = [ipv6_ext::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(words);
    octets[(words - 1) * 8] = protocol;
    (ipv6_ext::DESTINATION_OPTIONS, octets)
}

fn classes_are_told_apart<I: HeaderIp>() {
    let ([tcp_class, udp_class, vxlan_class], family) = classes::<I>();
    for words in [0, 1, 5] {
        for (protocol, dport, len, class) in [
            (tcp::PROTOCOL, 80, 20, tcp_class),
            (tcp::PROTOCOL, VXLAN_PORT, 20, tcp_class),
            (udp::PROTOCOL, 80, 8, udp_class),
            (udp::PROTOCOL, VXLAN_PORT, 8, vxlan_class),
        ] {
            let (first, between) = padding::<I>(protocol, words);
            let frame = frame::<I>(first, &between, &upper(5000, dport, 0x10, len));
            let classified = classify(&frame);
            assert_eq!(classified.class, class);
            assert_eq!(classified.family, Some(family));
            assert_eq!(classified.protocol, protocol);
            assert_eq!(ports_of(classified, &frame), Some((5000, dport)));
            let flow = FiveTuple::<I> {
                src: address::<I>(CLIENT),
                dst: address::<I>(US),
                sport: 5000,
                dport,
                protocol,
            };
            let hash = toeplitz().hash_flow(&flow);
            assert_eq!(classified.hash(&frame, &toeplitz()), hash);
            // Padding of the frame changes nothing, an octet less does.
            let padded = [&frame[..], &[0; 9]].concat();
            assert_eq!(classify(&padded), classified);
            assert_eq!(classify(&frame[..frame.len() - 1]), Classified::NOT_IP);
        }
    }
}

#[test]
fn classes_are_told_apart_for_both_versions() {
    classes_are_told_apart::<V4>();
    classes_are_told_apart::<V6>();
}

#[test]
fn the_port_of_vxlan_is_a_setting() {
    let classifier = Classifier { vxlan_port: 8472 };
    let frame = |dport| frame::<V6>(udp::PROTOCOL, &[], &upper(1, dport, 0, 8));
    let class = |dport| classifier.classify(&frame(dport)).class;
    assert_eq!(class(8472), Class::Ipv6Vxlan);
    assert_eq!(class(VXLAN_PORT), Class::Ipv6Udp);
    // What answers comes from that port, and is not encapsulated.
    let reply = self::frame::<V6>(udp::PROTOCOL, &[], &upper(8472, 1, 0, 8));
    assert_eq!(classifier.classify(&reply).class, Class::Ipv6Udp);
}

#[test]
fn flags_tell_what_becomes_of_a_connection() {
    for (flags, kind) in [
        (Flags::SYN, Kind::Opening),
        (Flags::SYN | Flags::ECE | Flags::CWR, Kind::Opening),
        (Flags::SYN | Flags::ACK, Kind::Ongoing),
        (Flags::ACK, Kind::Ongoing),
        (Flags::ACK | Flags::PSH | Flags::URG, Kind::Ongoing),
        (Flags::FIN | Flags::ACK, Kind::Closing),
        (Flags::RST, Kind::Closing),
        (Flags::SYN | Flags::RST, Kind::Closing),
    ] {
        let frame = frame::<V4>(tcp::PROTOCOL, &[], &upper(1, 2, flags.0, 20));
        assert_eq!(classify(&frame).ports.unwrap().kind, kind, "{flags}");
    }
    let frame = frame::<V4>(udp::PROTOCOL, &[], &upper(1, 2, 0xff, 20));
    assert_eq!(classify(&frame).ports.unwrap().kind, Kind::Datagram);
}

fn hashed_by_addresses<I: Ip>(frame: &[u8]) {
    let classified = classify(frame);
    assert_eq!(classified.class, Class::Other);
    assert_eq!(classified.ports, None);
    let hash = toeplitz().hash_addresses::<I>(address::<I>(CLIENT), address::<I>(US));
    assert_eq!(classified.hash(frame, &toeplitz()), hash);
}

#[test]
fn all_fragments_go_one_way() {
    for field in [0x2000_u16, 0x0001, 0x2001, 0x1fff] {
        let mut frame = frame::<V4>(udp::PROTOCOL, &[], &upper(1, 2, 0, 32));
        frame[20..22].copy_from_slice(&field.to_be_bytes());
        hashed_by_addresses::<V4>(&frame);
    }
    // Only one of the bits says nothing of fragments, and a header in one piece does neither.
    let mut whole = frame::<V4>(udp::PROTOCOL, &[], &upper(1, 2, 0, 32));
    whole[20..22].copy_from_slice(&[0x40, 0]);
    assert_eq!(classify(&whole).class, Class::Ipv4Udp);
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        let header = [udp::PROTOCOL, 0, high, low, 0, 0, 0, 7];
        frame::<V6>(ipv6_ext::FRAGMENT, &header, &upper(1, 2, 0, 32))
    };
    for field in [1, 8, 9, 0xfff8] {
        hashed_by_addresses::<V6>(&fragment(field));
    }
    assert_eq!(classify(&fragment(0)).class, Class::Ipv6Udp);
}

#[test]
fn what_has_no_ports_is_hashed_by_addresses() {
    for (protocol, len) in [
        (V4::ICMP_PROTOCOL, 20),
        (47, 20),
        (tcp::PROTOCOL, 19),
        (tcp::PROTOCOL, 0),
        (udp::PROTOCOL, 7),
        (ipv6_ext::HOP_BY_HOP, 20),
        (ipv6_ext::FRAGMENT, 20),
    ] {
        hashed_by_addresses::<V4>(&frame::<V4>(protocol, &[], &upper(1, 2, 0, len)));
    }
    for (protocol, len) in [
        (V6::ICMP_PROTOCOL, 20),
        (47, 20),
        (tcp::PROTOCOL, 19),
        (udp::PROTOCOL, 7),
        (ipv6_ext::NO_NEXT_HEADER, 20),
        // A routing header that is not used up.
        (ipv6_ext::ROUTING, 7),
    ] {
        hashed_by_addresses::<V6>(&frame::<V6>(protocol, &[], &upper(1, 2, 0, len)));
    }
}

#[test]
fn everything_else_has_no_hash() {
    let whole = frame::<V4>(tcp::PROTOCOL, &[], &upper(1, 2, 2, 40));
    let changed = |at: usize, octets: &[u8]| {
        let mut frame = whole.clone();
        frame[at..at + octets.len()].copy_from_slice(octets);
        frame
    };
    for (what, frame) in [
        ("empty", Vec::new()),
        ("runt", whole[..33].to_vec()),
        ("ARP", changed(12, &ethertype::ARP.to_be_bytes())),
        ("VLAN", changed(12, &ethertype::VLAN.to_be_bytes())),
        (
            "IPv6 in name only",
            changed(12, &V6::ETHERTYPE.to_be_bytes()),
        ),
        ("version", changed(14, &[0x65])),
        ("header too short", changed(14, &[0x44])),
        (
            "header longer than the packet",
            changed(14, &[0x46, 0, 0, 20]),
        ),
        ("packet longer than the frame", changed(16, &[0, 61])),
        ("packet shorter than its header", changed(16, &[0, 19])),
    ] {
        let classified = classify(&frame);
        assert_eq!(classified, Classified::NOT_IP, "{what}");
        assert_eq!(classified.hash(&frame, &toeplitz()), 0, "{what}");
    }
}

fn host() -> Host {
    fn one<I: Ip>() -> IpHost<I> {
        let mut local = LocalAddresses::new();
        let address = LocalAddress {
            network: NetworkId::BARE,
            port: PortId(0),
            addr: address::<I>(US),
            prefix_len: 24,
        };
        local.add(address).unwrap();
        IpHost {
            local,
            routes: RouteTable::new(),
        }
    }
    Host {
        v4: one(),
        v6: one(),
    }
}

/// What a frame must be classified as, according to the stage that parses it. `None` if it says
/// nothing.
type Verdict = Option<(Class, Option<(u16, u16)>, u32)>;

fn verdict_of_lanes<I: parse::ParseIp>(lanes: &IpLanes<I, MemBuf>, vxlan_port: u16) -> Verdict {
    let ([tcp_class, udp_class, vxlan_class], _) = classes::<I>();
    if let Some(packet) = lanes.tcp.first() {
        let flow = &packet.as_ref().unwrap().flow;
        let hash = toeplitz().hash_flow(flow);
        return Some((tcp_class, Some((flow.sport, flow.dport)), hash));
    }
    let packet = lanes.icmp.first().or_else(|| lanes.other.first())?;
    let datagram = udp::Header::parse(packet.upper());
    let (udp::PROTOCOL, Ok(datagram)) = (packet.protocol, datagram) else {
        // Where the length of a datagram is wrong, it still has ports.
        let hash = toeplitz().hash_addresses::<I>(packet.src, packet.dst);
        let has_ports = packet.protocol == udp::PROTOCOL && packet.upper().len() >= 8;
        return (!has_ports).then_some((Class::Other, None, hash));
    };
    let flow = FiveTuple::<I> {
        src: packet.src,
        dst: packet.dst,
        sport: datagram.sport,
        dport: datagram.dport,
        protocol: udp::PROTOCOL,
    };
    let class = if datagram.dport == vxlan_port {
        vxlan_class
    } else {
        udp_class
    };
    let ports = Some((flow.sport, flow.dport));
    Some((class, ports, toeplitz().hash_flow(&flow)))
}

fn verdict(octets: &[u8], vxlan_port: u16) -> Verdict {
    let mut frame = MemBuf::from_frame(octets);
    // Otherwise whatever is changed is a wrong checksum and nothing else.
    frame.set_rx_checksum(RxChecksum {
        ip: ChecksumStatus::Good,
        l4: ChecksumStatus::Good,
    });
    assert_eq!(frame.data(), octets);
    let mut lanes = Lanes::with_capacity(1);
    let counters = Counters::new();
    parse::process(&host(), PortId(0), MAC, frame, &mut lanes, &counters);
    if !lanes.arp.is_empty() {
        return Some((Class::Other, None, 0));
    }
    if counters.drops(DropReason::IpFragment) == 1 {
        let hash = match octets[14] >> 4 {
            4 => toeplitz().hash_octets(&octets[26..34]),
            _ => toeplitz().hash_octets(&octets[22..54]),
        };
        return Some((Class::Other, None, hash));
    }
    let cut = [
        DropReason::FrameTruncated,
        DropReason::IpTruncated,
        DropReason::EtherTypeUnknown,
        DropReason::VlanUnexpected,
    ];
    if cut.iter().any(|&reason| counters.drops(reason) == 1) {
        return Some((Class::Other, None, 0));
    }
    verdict_of_lanes(&lanes.v4, vxlan_port).or_else(|| verdict_of_lanes(&lanes.v6, vxlan_port))
}

/// Frames that are right, and those with some octets changed or cut off.
fn any_frame<I: HeaderIp>() -> impl Strategy<Value = Vec<u8>> {
    let options = if I::VERSION == 4 {
        prop_oneof![
            4 => Just(Vec::new()),
            1 => vec(Just(1), 4..=4),
            1 => Just(vec![148, 4, 0, 0, 1, 1, 1, 1]),
            1 => vec(Just(1), 40..=40),
        ]
        .boxed()
    } else {
        let header =
            select(vec![0_u8, 43, 44, 60, 6, 17]).prop_map(|next| [next, 0, 0, 0, 0, 0, 0, 0]);
        prop_oneof![
            4 => Just(Vec::new()),
            4 => vec(header, 1..4).prop_map(|headers| headers.concat()),
        ]
        .boxed()
    };
    let numbers = (
        select(vec![6_u8, 6, 17, 17, 1, 58, 47, 0, 44, 60, 43]),
        any::<u16>(),
        prop_oneof![Just(VXLAN_PORT), any::<u16>()],
        any::<u8>(),
        0_usize..60,
    );
    let changes = vec((any::<Index>(), any::<u8>()), 0..3);
    (options, numbers, changes, any::<Index>(), 0_u8..4).prop_map(
        |(between, (protocol, sport, dport, flags, len), changes, cut, how)| {
            let mut upper = upper(sport, dport, flags, len);
            if protocol == udp::PROTOCOL && len >= 6 {
                upper[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            }
            let mut frame = frame::<I>(protocol, &between, &upper);
            match how {
                0 => frame.extend([0xee; 18]),
                1 => frame.truncate(cut.index(frame.len()) + 1),
                2 => {
                    for (at, value) in changes {
                        // Not in the addresses: what is not for us is not looked at any further.
                        let at = 12 + at.index(frame.len() - 12);
                        frame[at] = value;
                    }
                }
                _ => {}
            }
            frame
        },
    )
}

fn agrees(frame: &[u8]) -> Result<(), TestCaseError> {
    let classified = classify(frame);
    if let Some((class, ports, hash)) = verdict(frame, VXLAN_PORT) {
        prop_assert_eq!(classified.class, class);
        prop_assert_eq!(ports_of(classified, frame), ports);
        prop_assert_eq!(classified.hash(frame, &toeplitz()), hash);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn ipv4_is_what_the_parser_takes_it_for(frame in any_frame::<V4>()) {
        agrees(&frame)?;
    }

    #[test]
    fn ipv6_is_what_the_parser_takes_it_for(frame in any_frame::<V6>()) {
        agrees(&frame)?;
    }

    #[test]
    fn arbitrary_octets_never_panic(
        mut octets in vec(any::<u8>(), 0..120),
        ethertype in select(vec![V4::ETHERTYPE, V6::ETHERTYPE, 0]),
        start in vec(any::<u8>(), 0..8),
        other in vec(any::<u8>(), 0..120),
    ) {
        if ethertype != 0 && octets.len() >= 14 + start.len() {
            octets[12..14].copy_from_slice(&ethertype.to_be_bytes());
            octets[14..14 + start.len()].copy_from_slice(&start);
        }
        let classified = classify(&octets);
        classified.hash(&octets, &toeplitz());
        // Even with a frame that is not the one.
        classified.hash(&other, &toeplitz());
        prop_assert_eq!(classified.ports.is_none(), classified.class == Class::Other);
    }
}
