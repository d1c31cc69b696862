//! ARP and neighbor discovery.

use core::net::Ipv6Addr;

use netstack::ip::{V4, V6};
use netstack::wire::ethernet::{MacAddr, ethertype};
use netstack::wire::ndp::{Message, solicited_node};
use weirgate_tests::station::frame::{
    CLIENT_MAC, TestIp, US_MAC, ethernet, ethernet_between, framed, ndp, neighbor_announcement,
    neighbor_request,
};

use crate::table::{case, dropped, run};

const ANSWERED: [(&str, u64); 3] = [("consumed", 1), ("generated", 1), ("neighbor_answered", 1)];

#[test]
fn arp() {
    let request = neighbor_request::<V4>(V4::CLIENT, CLIENT_MAC, V4::US);
    let newcomer = MacAddr([2, 0, 0, 0, 0, 0x77]);
    let with = |offset: usize, octet: u8| {
        let mut frame = request.clone();
        frame[14 + offset] = octet;
        frame
    };
    run(vec![
        case(
            "asked for our address",
            vec![request.clone()],
            &["client: arp we are here, client at client"],
            &ANSWERED,
        ),
        case(
            "asked for our address by somebody new",
            vec![neighbor_request::<V4>(V4::NOBODY, newcomer, V4::US)],
            &["02:00:00:00:00:77: arp we are here, nobody at 02:00:00:00:00:77"],
            &ANSWERED,
        ),
        case(
            "asked whether our address is free (RFC 5227)",
            vec![neighbor_request::<V4>([0; 4].into(), CLIENT_MAC, V4::US)],
            &["client: arp we are here, 0.0.0.0 at client"],
            &ANSWERED,
        ),
        dropped(
            "asked for another's address",
            neighbor_request::<V4>(V4::CLIENT, CLIENT_MAC, V4::NOBODY),
            "drop_arp_not_for_us",
        ),
        dropped(
            "announced by somebody who is known already",
            neighbor_announcement::<V4>(V4::CLIENT, CLIENT_MAC),
            "drop_arp_not_for_us",
        ),
        case(
            "announced by a known one that moved",
            vec![neighbor_announcement::<V4>(V4::CLIENT, newcomer)],
            &[],
            &[("consumed", 1), ("neighbor_learned", 1)],
        ),
        dropped(
            "announced by a stranger",
            neighbor_announcement::<V4>(V4::NOBODY, newcomer),
            "drop_arp_not_for_us",
        ),
        dropped(
            "somebody else has our address",
            neighbor_announcement::<V4>(V4::US, newcomer),
            "drop_arp_not_for_us",
        ),
        dropped("cut off", request[..14 + 27].to_vec(), "drop_arp_malformed"),
        dropped(
            "no content",
            ethernet(ethertype::ARP, &[]),
            "drop_arp_malformed",
        ),
        dropped("not for Ethernet", with(1, 6), "drop_arp_malformed"),
        dropped("not for IPv4", with(2, 0x86), "drop_arp_malformed"),
        dropped(
            "addresses of a wrong length",
            with(4, 8),
            "drop_arp_malformed",
        ),
        dropped("an unknown operation", with(7, 8), "drop_arp_malformed"),
    ]);
}

fn solicitation(source_mac: Option<MacAddr>) -> Message {
    Message::NeighborSolicitation {
        target: V6::US,
        source_mac,
    }
}

fn advertisement(target: Ipv6Addr, mac: MacAddr) -> Message {
    Message::NeighborAdvertisement {
        target,
        router: false,
        solicited: false,
        override_known: true,
        target_mac: Some(mac),
    }
}

#[test]
fn neighbor_solicitations() {
    let group = solicited_node(V6::US);
    let group_mac = MacAddr([0x33, 0x33, 0xff, 0, 0, 1]);
    let to_group = |packet: &[u8]| ethernet_between(CLIENT_MAC, group_mac, ethertype::IPV6, packet);
    let known = solicitation(Some(CLIENT_MAC));
    let other = Message::NeighborSolicitation {
        target: V6::NOBODY,
        source_mac: Some(CLIENT_MAC),
    };
    let probe = solicitation(None);
    let answer = "client: nd we are here, asked, to client";
    let mut bad_sum = to_group(&ndp(V6::CLIENT, group, 255, known));
    bad_sum[14 + 40 + 2] ^= 1;
    let mut bad_code = ndp(V6::CLIENT, group, 255, known);
    bad_code[41] = 1;
    run(vec![
        case(
            "to the group",
            vec![to_group(&ndp(V6::CLIENT, group, 255, known))],
            &[answer],
            &ANSWERED,
        ),
        case(
            "to us alone",
            vec![framed::<V6>(&ndp(V6::CLIENT, V6::US, 255, known))],
            &[answer],
            &ANSWERED,
        ),
        case(
            "to us alone, without a link-layer address",
            vec![framed::<V6>(&ndp(V6::CLIENT, V6::US, 255, probe))],
            &[answer],
            &ANSWERED,
        ),
        case(
            "whether our address is free",
            vec![to_group(&ndp(Ipv6Addr::UNSPECIFIED, group, 255, probe))],
            &["33:33:00:00:00:01: nd we are here, unasked, to ff02::1"],
            &ANSWERED,
        ),
        dropped(
            "no address, but a link-layer address",
            to_group(&ndp(Ipv6Addr::UNSPECIFIED, group, 255, known)),
            "drop_ndp_malformed",
        ),
        dropped(
            "for another's address",
            to_group(&ndp(V6::CLIENT, group, 255, other)),
            "drop_ndp_not_for_us",
        ),
        dropped(
            "from beyond a router",
            to_group(&ndp(V6::CLIENT, group, 254, known)),
            "drop_ndp_malformed",
        ),
        dropped("a wrong checksum", bad_sum, "drop_icmp_bad_checksum"),
        dropped(
            "a truncated one",
            framed::<V6>(&short_ndp()),
            "drop_ndp_malformed",
        ),
    ]);
}

/// A solicitation that ends before its target, with a right checksum.
fn short_ndp() -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    netstack::wire::icmp::fill_checksum::<V6>(V6::CLIENT, V6::US, &mut message);
    weirgate_tests::station::frame::packet_with_hops::<V6>(V6::CLIENT, V6::US, 58, 255, &message)
}

#[test]
fn neighbor_advertisements() {
    let stranger = MacAddr([2, 0, 0, 0, 0, 0x77]);
    let frame = |message| framed::<V6>(&ndp(V6::CLIENT, V6::US, 255, message));
    run(vec![
        dropped(
            "about a stranger",
            frame(advertisement(V6::NOBODY, stranger)),
            "drop_ndp_not_for_us",
        ),
        dropped(
            "that tells nothing new",
            frame(advertisement(V6::CLIENT, CLIENT_MAC)),
            "drop_ndp_not_for_us",
        ),
        dropped(
            "about our own address",
            frame(advertisement(V6::US, US_MAC)),
            "drop_ndp_not_for_us",
        ),
        case(
            "about a known one that moved",
            vec![frame(advertisement(V6::CLIENT, stranger))],
            &[],
            &[("consumed", 1), ("neighbor_learned", 1)],
        ),
        dropped(
            "of a router",
            frame(Message::Other { kind: 134 }),
            "drop_icmp_ignored",
        ),
    ]);
}
