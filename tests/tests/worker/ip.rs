//! IP headers, options, extension headers and addresses.

use core::net::Ipv4Addr;

use netstack::ip::{IpAddress, V4, V6};
use netstack::wire::ethernet::ethertype;
use netstack::wire::tcp::Flags;
use netstack::wire::{ipv4, ipv6_ext};
use weirgate_tests::station::frame::{
    Tcp, TestIp, ethernet, framed, packet, with_extensions, with_options,
};

use crate::table::{Case, case, dropped, run};

/// The answer to a SYN.
fn syn_ack<I: TestIp>() -> String {
    let mss = 1500 - I::HEADER_LEN - 20;
    format!("client: client tcp 80>4000 SYN|ACK iss ack 1001 win 2048 mss {mss}")
}

const ACCEPTED: [(&str, u64); 4] = [
    ("consumed", 1),
    ("generated", 1),
    ("tcp_connections", 1),
    ("tcp_half_open", 1),
];

fn accepted<I: TestIp>(name: &'static str, packet: &[u8]) -> Case {
    case(
        name,
        vec![framed::<I>(packet)],
        &[&syn_ack::<I>()],
        &ACCEPTED,
    )
}

/// A packet for us whose length field is moved by `by`.
fn with_len<I: TestIp>(by: i16) -> Vec<u8> {
    let mut packet = Tcp::new(Flags::SYN).packet::<I>();
    let field = &mut packet[I::LEN_OFFSET..I::LEN_OFFSET + 2];
    let len = u16::from_be_bytes([field[0], field[1]]).wrapping_add_signed(by);
    field.copy_from_slice(&len.to_be_bytes());
    I::mend(&mut packet);
    framed::<I>(&packet)
}

fn lengths<I: TestIp>() -> Vec<Case> {
    let packet = Tcp::new(Flags::SYN).packet::<I>();
    let padded = [&packet[..], &[0xee; 6]].concat();
    vec![
        dropped(
            "cut in the header",
            framed::<I>(&packet[..I::HEADER_LEN - 1]),
            "drop_ip_truncated",
        ),
        dropped(
            "cut behind the header",
            framed::<I>(&packet[..I::HEADER_LEN]),
            "drop_ip_truncated",
        ),
        dropped(
            "cut by one octet",
            framed::<I>(&packet[..packet.len() - 1]),
            "drop_ip_truncated",
        ),
        dropped(
            "longer than the frame",
            with_len::<I>(1),
            "drop_ip_truncated",
        ),
        dropped(
            "much longer than the frame",
            with_len::<I>(30_000),
            "drop_ip_truncated",
        ),
        // The length is part of what TCP sums up.
        dropped(
            "shorter than its segment",
            with_len::<I>(-1),
            "drop_tcp_malformed",
        ),
        accepted::<I>("padded by the frame", &padded),
    ]
}

#[test]
fn lengths_that_are_wrong() {
    run(lengths::<V4>());
    run(lengths::<V6>());
}

/// A SYN between any two addresses.
fn between<I: TestIp>(src: I::Addr, dst: I::Addr) -> Vec<u8> {
    framed::<I>(&Tcp::new(Flags::SYN).between::<I>(src, dst))
}

fn addresses<I: TestIp>() -> Vec<Case> {
    let none = I::Addr::UNSPECIFIED;
    let mut land = Tcp::new(Flags::SYN);
    land.sport = 80;
    let from_us = framed::<I>(&packet::<I>(I::US, I::US, 17, &[0; 8]));
    vec![
        dropped(
            "from loopback",
            between::<I>(I::LOOPBACK, I::US),
            "drop_martian_source",
        ),
        dropped(
            "from a group",
            between::<I>(I::GROUP, I::US),
            "drop_martian_source",
        ),
        dropped(
            "from nobody",
            between::<I>(none, I::US),
            "drop_martian_source",
        ),
        dropped("from ourselves", from_us, "drop_martian_source"),
        dropped(
            "to loopback",
            between::<I>(I::CLIENT, I::LOOPBACK),
            "drop_martian_destination",
        ),
        dropped(
            "to no address",
            between::<I>(I::CLIENT, none),
            "drop_martian_destination",
        ),
        dropped(
            "to a group",
            between::<I>(I::CLIENT, I::GROUP),
            "drop_not_local",
        ),
        dropped(
            "to another host",
            between::<I>(I::CLIENT, I::NOBODY),
            "drop_not_local",
        ),
        dropped(
            "land attack",
            framed::<I>(&land.between::<I>(I::US, I::US)),
            "drop_tcp_land",
        ),
    ]
}

#[test]
fn addresses_that_cannot_be() {
    run(addresses::<V4>());
    run(addresses::<V6>());
    let broadcast = Ipv4Addr::BROADCAST;
    let of_the_link = Ipv4Addr::new(192, 0, 2, 255);
    run(vec![
        dropped(
            "from everybody",
            between::<V4>(broadcast, V4::US),
            "drop_martian_source",
        ),
        dropped(
            "from the link",
            between::<V4>(of_the_link, V4::US),
            "drop_martian_source",
        ),
        dropped(
            "to everybody",
            between::<V4>(V4::CLIENT, broadcast),
            "drop_not_local",
        ),
        dropped(
            "to the link",
            between::<V4>(V4::CLIENT, of_the_link),
            "drop_not_local",
        ),
    ]);
}

/// A SYN in an IPv4 packet of which one octet is changed; the checksum is right.
fn v4_with(offset: usize, octet: u8) -> Vec<u8> {
    let mut packet = Tcp::new(Flags::SYN).packet::<V4>();
    packet[offset] = octet;
    V4::mend(&mut packet);
    framed::<V4>(&packet)
}

fn v4_with_options(options: &[u8]) -> Vec<u8> {
    with_options(&Tcp::new(Flags::SYN).packet::<V4>(), options)
}

#[test]
fn ipv4_headers() {
    let mut bad_sum = Tcp::new(Flags::SYN).frame::<V4>();
    bad_sum[14 + ipv4::CHECKSUM_OFFSET] ^= 1;
    let fragment = 6;
    let more_fragments = 0x20;
    run(vec![
        dropped("a wrong header checksum", bad_sum, "drop_ipv4_bad_checksum"),
        dropped("version 5", v4_with(0, 0x55), "drop_ip_malformed"),
        dropped(
            "a header of 16 octets",
            v4_with(0, 0x44),
            "drop_ip_malformed",
        ),
        dropped(
            "the first fragment",
            v4_with(fragment, more_fragments),
            "drop_ip_fragment",
        ),
        dropped(
            "a fragment that overlaps a header",
            v4_with(fragment + 1, 1),
            "drop_ip_fragment",
        ),
        dropped(
            "the last fragment",
            v4_with(fragment, 0x1f),
            "drop_ip_fragment",
        ),
    ]);
}

#[test]
fn ipv4_options() {
    let option = |octets: &[u8]| framed::<V4>(&v4_with_options(octets));
    let nops = [1; 40];
    run(vec![
        dropped(
            "loose source route",
            option(&[131, 7, 4, 192, 0, 2, 77, 0]),
            "drop_ipv4_source_route",
        ),
        dropped(
            "strict source route behind padding",
            option(&[1, 137, 7, 4, 192, 0, 2, 77]),
            "drop_ipv4_source_route",
        ),
        dropped(
            "an option of length zero",
            option(&[7, 0, 0, 0]),
            "drop_ip_malformed",
        ),
        dropped(
            "an option of length one",
            option(&[7, 1, 0, 0]),
            "drop_ip_malformed",
        ),
        dropped(
            "an option past the end",
            option(&[7, 5, 0, 0]),
            "drop_ip_malformed",
        ),
        dropped(
            "an option without a length",
            option(&[1, 1, 1, 7]),
            "drop_ip_malformed",
        ),
        accepted::<V4>("as much padding as fits", &v4_with_options(&nops)),
        accepted::<V4>("record route", &v4_with_options(&[7, 7, 4, 0, 0, 0, 0, 0])),
        accepted::<V4>("router alert", &v4_with_options(&[148, 4, 0, 0])),
    ]);
}

/// An extension header of 8 octets with nothing but padding in it.
const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

fn v6_with(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    with_extensions(&Tcp::new(Flags::SYN).packet::<V6>(), extensions)
}

#[test]
fn ipv6_extension_headers() {
    use ipv6_ext::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING};
    let bad = |name, extensions: &[(u8, &[u8])]| {
        let frame = framed::<V6>(&v6_with(extensions));
        dropped(name, frame, "drop_ipv6_bad_extension_header")
    };
    let routing_0: &[u8] = &[
        2, 0, 1, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77,
    ];
    let used_up: &[u8] = &[0, 0, 0, 0, 0, 0, 0];
    let unknown_option: &[u8] = &[0, 0xde, 4, 0, 0, 0, 0];
    run(vec![
        bad("routing header of type 0", &[(ROUTING, routing_0)]),
        bad(
            "hop-by-hop not first",
            &[(DESTINATION_OPTIONS, PADDING), (HOP_BY_HOP, PADDING)],
        ),
        bad(
            "two hop-by-hop",
            &[(HOP_BY_HOP, PADDING), (HOP_BY_HOP, PADDING)],
        ),
        bad(
            "an option that insists",
            &[(DESTINATION_OPTIONS, unknown_option)],
        ),
        bad(
            "an option past the end",
            &[(HOP_BY_HOP, &[0, 1, 5, 0, 0, 0, 0])],
        ),
        bad(
            "a header past the end",
            &[(DESTINATION_OPTIONS, &[200, 1, 4, 0, 0, 0, 0])],
        ),
        bad("too many headers", &[(DESTINATION_OPTIONS, PADDING); 9]),
        dropped(
            "the first fragment",
            framed::<V6>(&v6_with(&[(FRAGMENT, &[0, 0, 1, 0, 0, 0, 7])])),
            "drop_ip_fragment",
        ),
        dropped(
            "a later fragment",
            framed::<V6>(&v6_with(&[(FRAGMENT, &[0, 0, 8, 0, 0, 0, 7])])),
            "drop_ip_fragment",
        ),
        accepted::<V6>(
            "an atomic fragment",
            &v6_with(&[(FRAGMENT, &[0, 0, 0, 0, 0, 0, 7])]),
        ),
        accepted::<V6>(
            "a routing header that is used up",
            &v6_with(&[(ROUTING, used_up)]),
        ),
        accepted::<V6>(
            "all kinds that are harmless",
            &v6_with(&[
                (HOP_BY_HOP, PADDING),
                (DESTINATION_OPTIONS, PADDING),
                (ROUTING, used_up),
            ]),
        ),
        accepted::<V6>(
            "eight headers",
            &v6_with(&[(DESTINATION_OPTIONS, PADDING); 8]),
        ),
        // RFC 8200 section 4.7: nothing follows, so there is nothing to complain about.
        dropped(
            "nothing at all",
            framed::<V6>(&packet::<V6>(
                V6::CLIENT,
                V6::US,
                ipv6_ext::NO_NEXT_HEADER,
                &[],
            )),
            "drop_protocol_unknown",
        ),
    ]);
    let mut version = Tcp::new(Flags::SYN).packet::<V6>();
    version[0] = 0x70;
    run(vec![dropped(
        "version 7",
        ethernet(ethertype::IPV6, &version),
        "drop_ip_malformed",
    )]);
}
