//! The goldens: who does what on each link.
//!
//! The configurations lie with the captures. Weirgate is 192.0.2.1 and 2001:db8::1 on the link of
//! its first port, `edge`, and 198.51.100.1 and 2001:db8:1::1 on that of its second, `inside`, if
//! it has one.

use std::time::Duration;

use netstack::io::mem::MemPool;
use netstack::ip::{Ip, IpAddress as _, V4, V6};
use netstack::time::Instant;
use netstack::wire::ethernet::{HEADER_LEN, MacAddr, ethertype};
use netstack::wire::icmp::IcmpIp;
use netstack::wire::ip_header::HeaderIp;
use netstack::wire::tcp::{self, Flags};
use netstack::wire::{arp, ipv4};

use crate::captures::Format;
use crate::frames::{Macs, Segment};
use crate::link::{Link, STATION};
use crate::station::Step::{self, Close, Expect, ExpectEnd, ExpectReset, Reset, Send};

/// The MAC addresses of Weirgate's ports: as `weirgate replay` makes them up, so that captures
/// without a packet to Weirgate fit as well.
pub(crate) const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];

/// When every capture begins.
pub(crate) const START: Instant = Instant::from_millis(1_700_000_000_000);

/// One golden.
pub(crate) struct Case {
    /// Name of its directory.
    pub(crate) name: &'static str,
    /// What its inputs are written as.
    pub(crate) format: Format,
    /// Makes the links of its ports.
    pub(crate) links: fn() -> Vec<Link>,
}

/// Every golden.
pub(crate) const CASES: [Case; 17] = [
    case("request-v4", request::<V4>),
    case("request-v6", request::<V6>),
    Case {
        format: Format::PcapNg,
        ..case("pcapng", request::<V4>)
    },
    Case {
        format: Format::PcapMicros,
        ..case("microseconds", request::<V6>)
    },
    case("echo-and-neighbors", echo_and_neighbors),
    case("half-close", half_close),
    case("client-resets", client_resets),
    case("backend-resets", backend_resets),
    case("backend-refuses", backend_refuses),
    case("bad-frames", bad_frames),
    case("burst-of-one-time", burst_of_one_time),
    // The same again with the native engine.
    case("native-request-v4", request::<V4>),
    case("native-request-v6", request::<V6>),
    case("native-half-close", half_close),
    case("native-client-resets", client_resets),
    case("native-backend-resets", backend_resets),
    case("native-backend-refuses", backend_refuses),
];

const fn case(name: &'static str, links: fn() -> Vec<Link>) -> Case {
    Case {
        name,
        format: Format::Pcap,
        links,
    }
}

/// An IP version with the addresses of the goldens.
trait Addresses: Ip {
    const CLIENT: &'static str;
    const LISTENER: &'static str;
    const SERVER: &'static str;
}

impl Addresses for V4 {
    const CLIENT: &'static str = "192.0.2.9:40000";
    const LISTENER: &'static str = "192.0.2.1:80";
    const SERVER: &'static str = "198.51.100.10:8080";
}

impl Addresses for V6 {
    const CLIENT: &'static str = "[2001:db8::9]:40000";
    const LISTENER: &'static str = "[2001:db8::1]:80";
    const SERVER: &'static str = "[2001:db8:1::10]:8080";
}

fn links<const PORTS: usize>() -> [Link; PORTS] {
    let pool = MemPool::new(8192, 1500);
    std::array::from_fn(|port| Link::new(MACS[port], pool.clone()))
}

fn after(micros: u64) -> Instant {
    START + Duration::from_micros(micros)
}

/// Lets a client on the link connect at `at`.
fn connect(link: &mut Link, at: Instant, (from, to): (&str, &str), script: &[Step]) {
    let syn = link.station.connect(from, to, script);
    link.deliver(at, syn);
}

/// A request of one segment and a response of many; then the client closes first.
fn request<I: Addresses>() -> Vec<Link> {
    let [mut edge, mut inside] = links();
    inside
        .station
        .serve(I::SERVER, &[Expect(100), Send(5_500), ExpectEnd, Close]);
    let script = [Send(100), Expect(5_500), Close, ExpectEnd];
    connect(&mut edge, after(1_000), (I::CLIENT, I::LISTENER), &script);
    vec![edge, inside]
}

/// Both sides of two sessions end their directions in either order, with octets after the first
/// end.
fn half_close() -> Vec<Link> {
    let [mut edge, mut inside] = links();
    inside
        .station
        .serve(V4::SERVER, &[ExpectEnd, Send(3_000), Close]);
    inside
        .station
        .serve(V6::SERVER, &[Send(3_000), Close, ExpectEnd]);
    let early = [Send(2_000), Close, Expect(3_000), ExpectEnd];
    let late = [Expect(3_000), ExpectEnd, Send(2_000), Close];
    connect(&mut edge, after(1_000), (V4::CLIENT, V4::LISTENER), &early);
    connect(&mut edge, after(1_250), (V6::CLIENT, V6::LISTENER), &late);
    vec![edge, inside]
}

/// A client that has enough resets; the backend is reset too.
fn client_resets() -> Vec<Link> {
    let [mut edge, mut inside] = links();
    inside
        .station
        .serve(V4::SERVER, &[Expect(10), Send(20_000), ExpectReset]);
    let script = [Send(10), Expect(2_000), Reset];
    connect(&mut edge, after(1_000), (V4::CLIENT, V4::LISTENER), &script);
    vec![edge, inside]
}

/// A backend resets in the middle of its response; the client is reset too.
fn backend_resets() -> Vec<Link> {
    let [mut edge, mut inside] = links();
    inside
        .station
        .serve(V6::SERVER, &[Expect(10), Send(2_000), Reset]);
    let script = [Send(10), ExpectReset];
    connect(&mut edge, after(1_000), (V6::CLIENT, V6::LISTENER), &script);
    vec![edge, inside]
}

/// The first backend refuses, the second serves.
fn backend_refuses() -> Vec<Link> {
    let [mut edge, mut inside] = links();
    inside.station.live_at("198.51.100.10");
    inside.station.serve(
        "198.51.100.11:8080",
        &[Expect(10), Send(20), Close, ExpectEnd],
    );
    let script = [Send(10), Expect(20), ExpectEnd, Close];
    connect(&mut edge, after(1_000), (V4::CLIENT, V4::LISTENER), &script);
    vec![edge, inside]
}

/// Questions for Weirgate's MAC address, then pings, of both IP versions.
fn echo_and_neighbors() -> Vec<Link> {
    let [mut edge] = links();
    edge.station.live_at("192.0.2.9");
    edge.station.live_at("2001:db8::9");
    let macs = to_edge();
    for (at, frame) in [
        (
            1_000,
            macs.arp_request(addr("192.0.2.9"), addr("192.0.2.1")),
        ),
        (2_000, macs.ping::<V4>(addr("192.0.2.9"), addr("192.0.2.1"))),
        (
            3_000,
            macs.solicitation(addr("2001:db8::9"), addr("2001:db8::1")),
        ),
        (
            4_000,
            macs.ping::<V6>(addr("2001:db8::9"), addr("2001:db8::1")),
        ),
        // For somebody else; and from somebody whom Weirgate has to ask for first.
        (
            5_000,
            macs.arp_request(addr("192.0.2.9"), addr("192.0.2.3")),
        ),
        (
            6_000,
            macs.solicitation(addr("2001:db8::9"), addr("2001:db8::3")),
        ),
    ] {
        edge.deliver(after(at), frame);
    }
    edge.station.live_at("192.0.2.8");
    edge.deliver(
        after(7_000),
        macs.ping::<V4>(addr("192.0.2.8"), addr("192.0.2.1")),
    );
    vec![edge]
}

/// What no station should send, of both IP versions.
fn bad_frames() -> Vec<Link> {
    let [mut edge] = links();
    edge.station.live_at("192.0.2.9");
    edge.station.live_at("2001:db8::9");
    let macs = to_edge();
    let mut frames = vec![
        macs.arp_request(addr("192.0.2.9"), addr("192.0.2.1")),
        macs.solicitation(addr("2001:db8::9"), addr("2001:db8::1")),
        vec![2; HEADER_LEN - 1],
        macs.frame(0x88cc, &[0; 46]),
        macs.frame(ethertype::VLAN, &[0; 46]),
        macs.frame(ethertype::ARP, &[0; arp::PACKET_LEN]),
        macs.frame(ethertype::ARP, &[0; 3]),
    ];
    frames.extend(bad_packets::<V4>("192.0.2.9", "192.0.2.1"));
    frames.extend(bad_packets::<V6>("2001:db8::9", "2001:db8::1"));
    let syn = |flags| segment::<V4>(flags);
    frames.push(changed(syn(Flags::SYN), |packet| {
        packet[ipv4::CHECKSUM_OFFSET] ^= 1;
    }));
    frames.push(changed(syn(Flags::SYN), |packet| {
        packet[6] = 0x20; // More fragments.
        ipv4::fill_checksum(packet);
    }));
    for (at, frame) in (1..).zip(frames) {
        edge.deliver(after(1_000 * at), frame);
    }
    vec![edge]
}

/// Packets that are wrong in ways that both IP versions know.
fn bad_packets<I: Addresses + HeaderIp + IcmpIp>(client: &str, own: &str) -> Vec<Vec<u8>>
where
    I::Addr: std::str::FromStr<Err: std::fmt::Debug>,
{
    let macs = to_edge();
    let (client, own): (I::Addr, I::Addr) = (addr(client), addr(own));
    let whole = macs.ping::<I>(client, own);
    let last = whole.len() - 1;
    let tcp = HEADER_LEN + I::HEADER_LEN;
    let mut other_station = whole.clone();
    other_station[5] ^= 0x40;
    let mut bad_echo = whole.clone();
    bad_echo[last] ^= 1;
    let mut bad_segment = segment::<I>(Flags::SYN);
    bad_segment[tcp + tcp::CHECKSUM_OFFSET] ^= 1;
    vec![
        other_station,
        bad_echo,
        bad_segment,
        whole[..HEADER_LEN + 7].to_vec(),
        whole[..last].to_vec(),
        // From nobody, from us to us, and to somebody else.
        macs.ping::<I>(I::Addr::UNSPECIFIED, own),
        macs.ping::<I>(own, own),
        macs.ping::<I>(client, client),
        segment::<I>(Flags::default()),
        segment::<I>(Flags::SYN | Flags::FIN),
        segment::<I>(Flags(0xff)),
        // Of no connection: reset. To no UDP service, of no known protocol: ICMP errors.
        segment::<I>(Flags::ACK),
        macs.datagram::<I>((client, own), (53, 53)),
        macs.packet::<I>((client, own), (253, 64), b"experiment"),
        // A header and nothing else.
        macs.packet::<I>((client, own), (tcp::PROTOCOL, 64), &[0; 19]),
    ]
}

/// More connections at one time than a burst has room for; all but a few find no listener.
fn burst_of_one_time() -> Vec<Link> {
    let [mut edge] = links();
    edge.station.live_at("192.0.2.9");
    let macs = to_edge();
    edge.deliver(
        after(500),
        macs.arp_request(addr("192.0.2.9"), addr("192.0.2.1")),
    );
    for sport in 1..=150 {
        let from = format!("192.0.2.9:{sport}").parse().unwrap();
        let to = "192.0.2.1:81".parse().unwrap();
        edge.deliver(after(1_000), macs.segment(from, to, &Segment::syn(7)));
    }
    vec![edge]
}

/// From the station on the first link to Weirgate.
fn to_edge() -> Macs {
    Macs {
        source: STATION,
        destination: MACS[0],
    }
}

/// A segment from the client to the listener.
fn segment<I: Addresses>(flags: Flags) -> Vec<u8> {
    let segment = Segment {
        flags,
        ..Segment::default()
    };
    to_edge().segment(
        I::CLIENT.parse().unwrap(),
        I::LISTENER.parse().unwrap(),
        &segment,
    )
}

/// The frame with its packet changed.
fn changed(mut frame: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut frame[HEADER_LEN..]);
    frame
}

fn addr<A: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> A {
    text.parse().unwrap()
}
