//! ICMP, UDP and protocols that nobody here speaks.

use netstack::counters::Event;
use netstack::ip::{V4, V6};
use netstack::wire::ethernet::HEADER_LEN;
use netstack::wire::icmp::{Error, Message, Unreachable, fill_checksum};
use netstack::wire::tcp::Flags;
use netstack::wire::udp;
use weirgate_tests::station::frame::{
    BACKEND_MAC, Tcp, TestIp, US_MAC, ethernet_between, framed, icmp, icmp_frame, packet,
    udp as datagram, with_extensions, with_options,
};
use weirgate_tests::station::sent::{SentSegment, describe, segment};
use weirgate_tests::station::{CONFIG, Station};

use crate::table::{Case, case, dropped, run, run_in_a_row};
use crate::tcp::handshake;

const PING: Message = Message::EchoRequest {
    ident: 7,
    sequence: 1,
};

fn echo<I: TestIp>() -> Vec<Case> {
    let mut bad_sum = icmp_frame::<I>(PING, b"abc");
    *bad_sum.last_mut().expect("an octet") ^= 1;
    let message =
        |octets: &[u8]| framed::<I>(&packet::<I>(I::CLIENT, I::US, I::ICMP_PROTOCOL, octets));
    let answered = [("echo_answered", 1)];
    let reply = Message::EchoReply {
        ident: 7,
        sequence: 1,
    };
    let oversized = vec![0; 1500 - I::HEADER_LEN - 8 + 1];
    let largest = vec![0; 1500 - I::HEADER_LEN - 8];
    let to_group = icmp::<I>(I::CLIENT, I::GROUP, PING, b"");
    vec![
        case(
            "ping",
            vec![icmp_frame::<I>(PING, b"abcd")],
            &["client: client echo reply 7 1 len 4"],
            &answered,
        ),
        case(
            "ping, odd",
            vec![icmp_frame::<I>(PING, b"abc")],
            &["client: client echo reply 7 1 len 3"],
            &answered,
        ),
        case(
            "ping, empty",
            vec![icmp_frame::<I>(PING, b"")],
            &["client: client echo reply 7 1 len 0"],
            &answered,
        ),
        case(
            "ping, as large as fits",
            vec![icmp_frame::<I>(PING, &largest)],
            &[&format!(
                "client: client echo reply 7 1 len {}",
                largest.len()
            )],
            &answered,
        ),
        case(
            "ping, oversized",
            vec![icmp_frame::<I>(PING, &oversized)],
            &[],
            &[("echo_answered", 1), ("drop_too_big", 1)],
        ),
        dropped("a wrong checksum", bad_sum, "drop_icmp_bad_checksum"),
        dropped(
            "cut off",
            message(&[I::ECHO_REQUEST, 0, 0, 0, 0, 7, 0]),
            "drop_icmp_malformed",
        ),
        dropped("nothing", message(&[]), "drop_icmp_malformed"),
        dropped(
            "a reply nobody asked for",
            icmp_frame::<I>(reply, b""),
            "drop_icmp_ignored",
        ),
        dropped(
            "an unknown type",
            icmp_frame::<I>(
                Message::Other {
                    kind: 200,
                    code: 0,
                    rest: [0; 4],
                },
                b"",
            ),
            "drop_icmp_ignored",
        ),
        dropped(
            "ping to a group that we are not in",
            framed::<I>(&packet::<I>(
                I::CLIENT,
                I::GROUP,
                I::ICMP_PROTOCOL,
                &to_group,
            )),
            "drop_not_local",
        ),
    ]
}

#[test]
fn echo_requests() {
    run(echo::<V4>());
    run(echo::<V6>());
    let all_nodes = netstack::wire::ndp::ALL_NODES;
    let to_all = icmp::<V6>(V6::CLIENT, all_nodes, PING, b"");
    let v4 = packet::<V4>(
        V4::CLIENT,
        V4::US,
        1,
        &icmp::<V4>(V4::CLIENT, V4::US, PING, b"abc"),
    );
    let v6 = packet::<V6>(
        V6::CLIENT,
        V6::US,
        58,
        &icmp::<V6>(V6::CLIENT, V6::US, PING, b"abc"),
    );
    let padding: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
    let answer = ["client: client echo reply 7 1 len 3"];
    run(vec![
        dropped(
            "ping to all nodes",
            framed::<V6>(&packet::<V6>(V6::CLIENT, all_nodes, 58, &to_all)),
            "drop_icmp_ignored",
        ),
        case(
            "ping behind IPv4 options",
            vec![framed::<V4>(&with_options(&v4, &[1; 8]))],
            &answer,
            &[("echo_answered", 1)],
        ),
        case(
            "ping behind an extension header",
            vec![framed::<V6>(&with_extensions(&v6, &[(60, padding)]))],
            &answer,
            &[("echo_answered", 1)],
        ),
    ]);
}

/// An echo reply is the request with its type, addresses and hop limit changed, octet by octet.
#[test]
fn an_echo_reply_octet_by_octet() {
    let request: &[u8] = &[
        0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x09, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 0x1f, 0x12, 0x34, 0, 0, 0x20, 0x01, 0x04, 0x8d, // IPv4, to the checksum
        192, 0, 2, 9, 192, 0, 2, 1, // addresses
        0x08, 0, 0x35, 0x94, 0, 0x07, 0, 0x01, 0x61, 0x62, 0x63, // echo request, "abc"
    ];
    let mut request = request.to_vec();
    V4::mend(&mut request[14..]);
    fill_checksum::<V4>(V4::CLIENT, V4::US, &mut request[34..]);
    let mut reply = request.clone();
    reply[..12].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
    reply[14 + 8] = 64;
    reply[26..34].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 9]);
    reply[34] = 0;
    V4::mend(&mut reply[14..]);
    fill_checksum::<V4>(V4::US, V4::CLIENT, &mut reply[34..]);
    let mut station = Station::acquainted();
    station.inject(&request);
    station.turn();
    assert_eq!(station.take_sent(), [reply]);
    station.finish();
}

fn datagrams<I: TestIp>() -> Vec<Case> {
    let frame = |octets: &[u8]| framed::<I>(&packet::<I>(I::CLIENT, I::US, udp::PROTOCOL, octets));
    let good = datagram::<I>(53, b"abc");
    let mut bad_sum = good.clone();
    bad_sum[8] ^= 1;
    let mut too_short = good.clone();
    too_short[5] = 7;
    let mut too_long = good.clone();
    too_long[5] = 12;
    // RFC 768: the datagram ends where it says, whatever IP says.
    let followed = [&good[..], &[0xee; 5]].concat();
    let refused = [
        ("drop_udp_no_listener", 1),
        ("icmp_errors_sent", 1),
        ("generated", 1),
    ];
    let answer = |quoted: usize| format!("client: client error Unreachable(Port) len {quoted}");
    vec![
        case(
            "no listener",
            vec![frame(&good)],
            &[&answer(I::HEADER_LEN + 11)],
            &refused,
        ),
        case(
            "shorter than its packet",
            vec![frame(&followed)],
            &[&answer(I::HEADER_LEN + 16)],
            &refused,
        ),
        dropped("a wrong checksum", frame(&bad_sum), "drop_udp_bad_checksum"),
        dropped(
            "shorter than its header",
            frame(&too_short),
            "drop_udp_malformed",
        ),
        dropped(
            "longer than its packet",
            frame(&too_long),
            "drop_udp_malformed",
        ),
        dropped("cut off", frame(&good[..7]), "drop_udp_malformed"),
    ]
}

#[test]
fn datagrams_that_nobody_takes() {
    run(datagrams::<V4>());
    run(datagrams::<V6>());
    let mut no_sum = datagram::<V4>(53, b"abc");
    no_sum[6..8].fill(0);
    run(vec![
        case(
            "no checksum over IPv4",
            vec![framed::<V4>(&packet::<V4>(V4::CLIENT, V4::US, 17, &no_sum))],
            &["client: client error Unreachable(Port) len 31"],
            &[
                ("drop_udp_no_listener", 1),
                ("icmp_errors_sent", 1),
                ("generated", 1),
            ],
        ),
        dropped(
            "no checksum over IPv6",
            framed::<V6>(&packet::<V6>(V6::CLIENT, V6::US, 17, &no_sum)),
            "drop_udp_bad_checksum",
        ),
    ]);
}

fn unknown_protocol<I: TestIp>(pointer: u32) -> Vec<Case> {
    let frame = framed::<I>(&packet::<I>(I::CLIENT, I::US, 132, &[1; 100]));
    let answer = format!(
        "client: client error ProtocolUnreachable {{ pointer: {pointer} }} len {}",
        I::HEADER_LEN + 100
    );
    vec![case(
        "SCTP",
        vec![frame],
        &[&answer],
        &[
            ("drop_protocol_unknown", 1),
            ("icmp_errors_sent", 1),
            ("generated", 1),
        ],
    )]
}

#[test]
fn protocols_that_nobody_speaks() {
    run(unknown_protocol::<V4>(0));
    run(unknown_protocol::<V6>(6));
}

/// Three errors a second are allowed here; a second later there may be more.
fn errors_are_limited<I: TestIp>() {
    let mut station = Station::acquainted();
    let frame = framed::<I>(&packet::<I>(I::CLIENT, I::US, 17, &datagram::<I>(53, b"")));
    let answer = format!(
        "client: client error Unreachable(Port) len {}",
        I::HEADER_LEN + 8
    );
    let burst = || {
        vec![case(
            "five datagrams",
            vec![frame.clone(); 5],
            &[&answer; 3].map(String::as_str),
            &[
                ("drop_udp_no_listener", 5),
                ("icmp_errors_sent", 3),
                ("icmp_errors_suppressed", 2),
                ("generated", 3),
            ],
        )]
    };
    run_in_a_row(&mut station, burst());
    station.advance(core::time::Duration::from_secs(1));
    run_in_a_row(&mut station, burst());
    station.finish();
}

#[test]
fn errors_are_limited_in_both_versions() {
    errors_are_limited::<V4>();
    errors_are_limited::<V6>();
}

fn errors_about<I: TestIp>() -> Vec<Case> {
    let unreachable = Message::Error(Error::Unreachable(Unreachable::Host));
    // As if we had sent it; but no such connection is there.
    let mut ours = Tcp::new(Flags::SYN);
    (ours.sport, ours.dport) = (1030, 8080);
    let quoted = ours.between::<I>(I::US, I::BACKEND);
    let udp = packet::<I>(I::US, I::BACKEND, udp::PROTOCOL, &datagram::<I>(53, b""));
    let mut bad_sum = icmp_frame::<I>(unreachable, &quoted);
    *bad_sum.last_mut().expect("an octet") ^= 1;
    let cut = I::HEADER_LEN + 3;
    vec![
        dropped(
            "about an unknown flow",
            icmp_frame::<I>(unreachable, &quoted),
            "drop_icmp_unknown_flow",
        ),
        dropped(
            "about a datagram",
            icmp_frame::<I>(unreachable, &udp),
            "drop_icmp_unknown_flow",
        ),
        dropped(
            "about nothing",
            icmp_frame::<I>(unreachable, &[]),
            "drop_icmp_malformed",
        ),
        dropped(
            "cut before the ports",
            icmp_frame::<I>(unreachable, &quoted[..cut]),
            "drop_icmp_malformed",
        ),
        dropped(
            "cut before the sequence number",
            icmp_frame::<I>(unreachable, &quoted[..I::HEADER_LEN + 4]),
            "drop_icmp_unknown_flow",
        ),
        dropped("a wrong checksum", bad_sum, "drop_icmp_bad_checksum"),
        dropped(
            "too big, about an unknown flow",
            icmp_frame::<I>(Message::Error(Error::PacketTooBig { mtu: 1280 }), &quoted),
            "drop_icmp_unknown_flow",
        ),
        dropped(
            "lived too long",
            icmp_frame::<I>(Message::Error(Error::TimeExceeded { code: 0 }), &quoted),
            "drop_icmp_ignored",
        ),
    ]
}

#[test]
fn errors_about_packets_that_we_did_not_send() {
    run(errors_about::<V4>());
    run(errors_about::<V6>());
}

/// Both backends of a group turn out to be unreachable, one after the other. The second one has the
/// client's address.
fn unreachable_backends<I: TestIp>() {
    let config = ["192.0.2.{}", "[2001:db8::{}]"]
        .into_iter()
        .zip(["100", "64"])
        .fold(CONFIG.to_owned(), |config, (address, last)| {
            let line = |last| format!("address = \"{}:8080\"\n", address.replace("{}", last));
            let both = format!("{}[[backend_group.backend]]\n{}", line(last), line("9"));
            config.replace(&line(last), &both)
        });
    let mut station = Station::new(&config, 256);
    station.meet();
    let to_client = |sent: &[Vec<u8>], port| {
        let to_it =
            |segment: &SentSegment<I>| (segment.dst, segment.header.dport) == (I::CLIENT, port);
        let found = sent
            .iter()
            .find_map(|frame| Some((frame[14..].to_vec(), segment::<I>(frame).filter(to_it)?)));
        found.unwrap_or_else(|| {
            let sent: Vec<_> = sent.iter().map(|frame| describe(frame)).collect();
            panic!("nothing to port {port}: {sent:?}")
        })
    };
    let (_, connect) = handshake::<I>(&mut station, 0);
    let unreachable = Message::Error(Error::Unreachable(Unreachable::Host));
    station.inject(&icmp_frame::<I>(unreachable, &connect));
    station.turn();
    let sent = station.take_sent();
    let (connect, next) = to_client(&sent, 8080);
    assert_eq!(next.header.flags, Flags::SYN);
    assert_eq!(station.counters(0).event(Event::SessionsRetried), 1);
    assert_eq!(station.counters(0).event(Event::IcmpErrorsReceived), 1);

    station.inject(&icmp_frame::<I>(unreachable, &connect));
    station.turn();
    let sent = station.take_sent();
    let (_, refused) = to_client(&sent, 4000);
    assert!(refused.header.flags.contains(Flags::RST));
    assert_eq!(station.counters(0).event(Event::SessionsNoBackend), 1);
    assert_eq!(station.counters(0).event(Event::IcmpErrorsReceived), 2);
    station.finish();
}

#[test]
fn backends_that_are_unreachable() {
    unreachable_backends::<V4>();
    unreachable_backends::<V6>();
}

/// A router between us and the backend takes packets of 1400 octets at most.
fn a_smaller_path<I: TestIp>() {
    let group = "[[backend_group]]\n";
    let native = format!("{group}engine = \"native\"\n");
    let mut station = Station::new(&CONFIG.replace(group, &native), 256);
    station.meet();
    let (snd_nxt, connect) = handshake::<I>(&mut station, 0);
    let connect = netstack::wire::tcp::Header::parse(&connect[I::HEADER_LEN..]).expect("a SYN");
    // The backend agrees to segments of 1460 octets.
    let mut answer = Tcp::new(Flags::SYN | Flags::ACK);
    (answer.sport, answer.dport) = (8080, connect.sport);
    answer.ack = connect.seq.wrapping_add(1);
    answer.options = vec![2, 4, 5, 0xb4];
    let answer = answer.between::<I>(I::BACKEND, I::US);
    station.inject(&ethernet_between(
        BACKEND_MAC,
        US_MAC,
        I::ETHERTYPE,
        &answer,
    ));
    station.turn();
    station.take_sent();
    let mut data = Tcp::new(Flags::ACK);
    (data.seq, data.ack) = (1001, snd_nxt);
    data.payload = vec![7; 1440];
    station.inject(&data.frame::<I>());
    station.turn();
    let to_backend = |station: &mut Station| -> Vec<Vec<u8>> {
        let frames = station.take_sent().into_iter();
        let frames = frames
            .filter(|frame| segment::<I>(frame).is_some_and(|segment| segment.dst == I::BACKEND));
        frames.map(|frame| frame[HEADER_LEN..].to_vec()).collect()
    };
    let sent = to_backend(&mut station);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].len(), I::HEADER_LEN + 20 + 1440);
    let before = station.counters(0).event(Event::TcpPathMtuLowered);
    let error = Message::Error(Error::PacketTooBig { mtu: 1400 });
    let quoted = &sent[0][..I::HEADER_LEN + 8];
    station.inject(&icmp_frame::<I>(error, quoted));
    station.turn();
    let counters = station.counters(0);
    assert_eq!(counters.event(Event::TcpPathMtuLowered), before + 1);
    assert_eq!(counters.event(Event::IcmpErrorsReceived), 1);
    let again: Vec<usize> = to_backend(&mut station).iter().map(Vec::len).collect();
    let headers = I::HEADER_LEN + 20;
    assert_eq!(again, [1400, headers + 1440 - (1400 - headers)]);
    station.finish();
}

#[test]
fn segments_that_are_too_big_for_a_router_are_sent_again_smaller() {
    a_smaller_path::<V4>();
    a_smaller_path::<V6>();
}
