//! Frames that are no packet for us.

use netstack::ip::{Ip, V4, V6};
use netstack::wire::ethernet::{MacAddr, ethertype};
use netstack::wire::tcp::Flags;
use weirgate_tests::station::frame::{CLIENT_MAC, Tcp, TestIp, US_MAC, ethernet, ethernet_between};

use crate::table::{Case, case, dropped, run};

#[test]
fn frames_that_carry_nothing_for_us() {
    let frame = ethernet(ethertype::IPV4, &[0; 46]);
    let stranger = MacAddr([2, 0, 0, 0, 0, 0x77]);
    let tagged = [&[0, 1, 8, 0][..], &Tcp::new(Flags::SYN).packet::<V4>()].concat();
    run(vec![
        dropped("no octet", Vec::new(), "drop_frame_truncated"),
        dropped(
            "one octet less than a header",
            frame[..13].to_vec(),
            "drop_frame_truncated",
        ),
        dropped(
            "nothing but a header",
            frame[..14].to_vec(),
            "drop_ip_truncated",
        ),
        dropped(
            "a VLAN tag",
            ethernet(ethertype::VLAN, &tagged),
            "drop_vlan_unexpected",
        ),
        dropped(
            "a service tag",
            ethernet(ethertype::SERVICE_VLAN, &tagged),
            "drop_vlan_unexpected",
        ),
        dropped("LLDP", ethernet(0x88cc, &[0; 46]), "drop_ethertype_unknown"),
        dropped(
            "a length instead of a type (802.3)",
            ethernet(46, &[0; 46]),
            "drop_ethertype_unknown",
        ),
        dropped(
            "another station's",
            ethernet_between(CLIENT_MAC, stranger, ethertype::IPV4, &[0; 46]),
            "drop_frame_not_for_us",
        ),
        case(
            "more frames than a burst holds",
            vec![ethernet(0x88cc, &[]); 64],
            &[],
            &[("drop_ethertype_unknown", 64)],
        ),
    ]);
}

#[test]
fn packets_in_the_wrong_kind_of_frame() {
    run([in_wrong_frames::<V4>(), in_wrong_frames::<V6>()]
        .into_iter()
        .flatten()
        .collect());
    run(vec![
        dropped(
            "IPv6 in a frame of IPv4",
            ethernet(ethertype::IPV4, &Tcp::new(Flags::SYN).packet::<V6>()),
            "drop_ip_malformed",
        ),
        dropped(
            "IPv4 in a frame of IPv6",
            ethernet(ethertype::IPV6, &Tcp::new(Flags::SYN).packet::<V4>()),
            "drop_ip_malformed",
        ),
    ]);
}

fn in_wrong_frames<I: TestIp>() -> Vec<Case> {
    let packet = Tcp::new(Flags::SYN).packet::<I>();
    let frame = |destination| ethernet_between(CLIENT_MAC, destination, I::ETHERTYPE, &packet);
    vec![
        // RFC 1122 section 3.3.6.
        dropped(
            "broadcast frame, our address",
            frame(MacAddr::BROADCAST),
            "drop_martian_destination",
        ),
        dropped(
            "multicast frame, our address",
            frame(MacAddr([1, 0, 0x5e, 0, 0, 5])),
            "drop_martian_destination",
        ),
        case(
            "the right frame",
            vec![frame(US_MAC)],
            &["client: client tcp 80>4000 SYN|ACK iss ack 1001 win 2048 mss MSS"]
                .map(|text| {
                    if I::VERSION == V4::VERSION {
                        text.replace("MSS", "1460")
                    } else {
                        text.replace("MSS", "1440")
                    }
                })
                .each_ref()
                .map(String::as_str),
            &[
                ("consumed", 1),
                ("generated", 1),
                ("tcp_connections", 1),
                ("tcp_half_open", 1),
            ],
        ),
    ]
}
