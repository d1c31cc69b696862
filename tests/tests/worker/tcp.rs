//! TCP segments of no connection, of new ones, and of one that lives.

use core::time::Duration;

use netstack::ip::{V4, V6};
use netstack::tcp::EngineKind;
use netstack::wire::ethernet::HEADER_LEN;
use netstack::wire::tcp::{CHECKSUM_OFFSET, DATA_OFFSET_OFFSET, Flags, fill_checksum};
use weirgate_tests::station::frame::{Tcp, TestIp, framed};
use weirgate_tests::station::sent::segment;
use weirgate_tests::station::{ENGINES, Station};

use crate::table::{Case, case, dropped, run, run_in_a_row};

fn flags<I: TestIp>() -> Vec<Case> {
    let (syn, fin, rst, ack) = (Flags::SYN, Flags::FIN, Flags::RST, Flags::ACK);
    let bad = |name, flags| dropped(name, Tcp::new(flags).frame::<I>(), "drop_tcp_bad_flags");
    vec![
        bad("null", Flags::default()),
        bad("all", Flags(0xff)),
        bad("Christmas tree", fin | Flags::PSH | Flags::URG),
        bad("SYN and FIN", syn | fin),
        bad("SYN, FIN and ACK", syn | fin | ack),
        bad("SYN and RST", syn | rst),
        bad("FIN without ACK", fin),
        bad("FIN and RST without ACK", fin | rst),
        bad("PSH alone", Flags::PSH),
        bad("URG alone", Flags::URG),
    ]
}

#[test]
fn flags_that_no_tcp_sends() {
    run(flags::<V4>());
    run(flags::<V6>());
}

fn headers<I: TestIp>() -> Vec<Case> {
    let syn = Tcp::new(Flags::SYN);
    // The octet at `offset` of the segment changed, and the checksum right.
    let with = |offset: usize, octet: u8| {
        let mut packet = syn.packet::<I>();
        let segment = &mut packet[I::HEADER_LEN..];
        segment[offset] = octet;
        fill_checksum::<I>(I::CLIENT, I::US, segment);
        framed::<I>(&packet)
    };
    let mut bad_sum = syn.frame::<I>();
    bad_sum[14 + I::HEADER_LEN + CHECKSUM_OFFSET] ^= 1;
    let ports = |sport, dport| {
        let mut segment = syn.clone();
        (segment.sport, segment.dport) = (sport, dport);
        segment.frame::<I>()
    };
    let cut = |len: usize| {
        let segment = &syn.segment::<I>(I::CLIENT, I::US)[..len];
        framed::<I>(&weirgate_tests::station::frame::packet::<I>(
            I::CLIENT,
            I::US,
            6,
            segment,
        ))
    };
    vec![
        dropped("no octet", cut(0), "drop_tcp_malformed"),
        dropped("cut in the header", cut(19), "drop_tcp_malformed"),
        dropped(
            "a header of 16 octets",
            with(DATA_OFFSET_OFFSET, 0x40),
            "drop_tcp_malformed",
        ),
        dropped(
            "a header longer than the segment",
            with(DATA_OFFSET_OFFSET, 0x60),
            "drop_tcp_malformed",
        ),
        dropped("a wrong checksum", bad_sum, "drop_tcp_bad_checksum"),
        dropped("from port 0", ports(0, 80), "drop_tcp_bad_port"),
        dropped("to port 0", ports(4000, 0), "drop_tcp_bad_port"),
    ]
}

#[test]
fn headers_that_are_wrong() {
    run(headers::<V4>());
    run(headers::<V6>());
}

/// The answer to a SYN with the port's MSS and a window of the ring's size.
fn syn_ack<I: TestIp>(more: &str) -> String {
    let mss = 1500 - I::HEADER_LEN - 20;
    format!("client: client tcp 80>4000 SYN|ACK iss ack 1001 win 2048 mss {mss}{more}")
}

const ACCEPTED: [(&str, u64); 4] = [
    ("consumed", 1),
    ("generated", 1),
    ("tcp_connections", 1),
    ("tcp_half_open", 1),
];

fn options<I: TestIp>() -> Vec<Case> {
    let syn = |options: &[u8]| {
        let mut segment = Tcp::new(Flags::SYN);
        segment.options = options.to_vec();
        vec![segment.frame::<I>()]
    };
    let bad = |name, octets: &[u8]| case(name, syn(octets), &[], &[("drop_tcp_bad_options", 1)]);
    let good = |name, octets: &[u8], more: &str| {
        case(name, syn(octets), &[&syn_ack::<I>(more)], &ACCEPTED)
    };
    let usual = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    vec![
        bad("length zero", &[2, 0, 5, 0xb4]),
        bad("length one", &[2, 1, 5, 0xb4]),
        bad("length past the end", &[2, 5, 5, 0xb4]),
        bad("far past the end", &[1, 1, 200, 255]),
        bad("kind without a length", &[1, 1, 1, 2]),
        bad("an MSS of three octets", &[2, 5, 5, 0xb4, 0, 0, 0, 0]),
        bad("a shift of two octets", &[3, 4, 7, 7]),
        bad("half a SACK block", &[5, 6, 0, 0, 0, 1, 0, 0]),
        bad(
            "a bomb of empty options",
            &[30, 2]
                .repeat(19)
                .into_iter()
                .chain([30, 1])
                .collect::<Vec<_>>(),
        ),
        good("40 NOPs", &[1; 40], ""),
        good("20 unknown ones", &[30, 2].repeat(20), ""),
        good("nothing behind the end", &[0, 2, 0, 0], ""),
        good("what Linux sends", &usual, " scale 0"),
        good("a shift that is too large", &[3, 3, 255, 0], " scale 0"),
        good(
            "the same option again and again",
            &[2, 4, 5, 0xb4].repeat(10),
            "",
        ),
    ]
}

#[test]
fn options_of_a_syn() {
    run(options::<V4>());
    run(options::<V6>());
}

fn strays<I: TestIp>() -> Vec<Case> {
    let to = |dport, flags, ack, payload: &[u8]| {
        let mut segment = Tcp::new(flags);
        (segment.dport, segment.ack) = (dport, ack);
        segment.payload = payload.to_vec();
        vec![segment.frame::<I>()]
    };
    let reset = |reason| [(reason, 1), ("generated", 1), ("tcp_resets_sent", 1)];
    let (no_listener, no_connection) = (
        reset("drop_tcp_no_listener"),
        reset("drop_tcp_no_connection"),
    );
    let (syn, ack, rst, fin) = (Flags::SYN, Flags::ACK, Flags::RST, Flags::FIN);
    vec![
        // RFC 9293 section 3.10.7.1.
        case(
            "SYN, closed port",
            to(81, syn, 0, b""),
            &["client: client tcp 81>4000 RST|ACK seq 0 ack 1001"],
            &no_listener,
        ),
        case(
            "SYN with data",
            to(81, syn, 0, b"abc"),
            &["client: client tcp 81>4000 RST|ACK seq 0 ack 1004"],
            &no_listener,
        ),
        case(
            "SYN-ACK",
            to(81, syn | ack, 77, b""),
            &["client: client tcp 81>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "ACK",
            to(81, ack, 77, b""),
            &["client: client tcp 81>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "ACK to a listener",
            to(80, ack, 77, b""),
            &["client: client tcp 80>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "SYN-ACK to a listener",
            to(80, syn | ack, 77, b""),
            &["client: client tcp 80>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "data",
            to(81, ack | Flags::PSH, 77, b"abc"),
            &["client: client tcp 81>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "FIN",
            to(81, fin | ack, 77, b""),
            &["client: client tcp 81>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "to a source port of ours",
            to(1030, ack, 77, b""),
            &["client: client tcp 1030>4000 RST seq 77"],
            &no_connection,
        ),
        case(
            "RST",
            to(81, rst, 0, b""),
            &[],
            &[("drop_tcp_no_connection", 1)],
        ),
        case(
            "RST-ACK to a listener",
            to(80, rst | ack, 77, b""),
            &[],
            &[("drop_tcp_no_connection", 1)],
        ),
    ]
}

#[test]
fn segments_of_no_connection() {
    run(strays::<V4>());
    run(strays::<V6>());
}

/// The answer to a client that no route leads to.
fn no_way_back<I: TestIp>(client: I::Addr) {
    let syn = Tcp::new(Flags::SYN).between::<I>(client, I::US);
    let mut counters = ACCEPTED.to_vec();
    counters.push(("drop_no_route", 1));
    run(vec![case(
        "SYN from afar",
        vec![framed::<I>(&syn)],
        &[],
        &counters,
    )]);
}

#[test]
fn a_client_that_no_route_leads_to() {
    no_way_back::<V4>([198, 51, 100, 9].into());
    no_way_back::<V6>([0x2001, 0xdb8, 1, 0, 0, 0, 0, 9].into());
}

/// A reset is what RFC 9293 says, octet by octet.
#[test]
fn a_reset_octet_by_octet() {
    let mut segment = Tcp::new(Flags::ACK);
    (segment.dport, segment.ack) = (81, 0x0102_0304);
    let mut station = Station::acquainted();
    station.inject(&segment.frame::<V4>());
    station.turn();
    let mut expected = vec![
        2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0xb6, 0xc4, // IPv4, do not fragment
        192, 0, 2, 1, 192, 0, 2, 9, // addresses
        0, 81, 0x0f, 0xa0, 1, 2, 3, 4, 0, 0, 0, 0, // ports and numbers
        0x50, 4, 0, 0, 0, 0, 0, 0, // RST
    ];
    V4::mend(&mut expected[14..]);
    fill_checksum::<V4>(V4::US, V4::CLIENT, &mut expected[34..]);
    assert_eq!(station.take_sent(), [expected]);
    station.finish();
}

/// Three resets a second are allowed here.
fn resets_are_limited<I: TestIp>(engine: EngineKind) {
    let mut station = Station::acquainted_with(engine);
    let mut segment = Tcp::new(Flags::SYN);
    segment.dport = 81;
    let burst = || {
        vec![case(
            "five SYNs",
            vec![segment.frame::<I>(); 5],
            &["client: client tcp 81>4000 RST|ACK seq 0 ack 1001"; 3],
            &[
                ("drop_tcp_no_listener", 5),
                ("tcp_resets_sent", 3),
                ("tcp_resets_suppressed", 2),
                ("generated", 3),
            ],
        )]
    };
    run_in_a_row(&mut station, burst());
    station.advance(Duration::from_secs(1));
    run_in_a_row(&mut station, burst());
    station.finish();
}

/// Four handshakes may be half open here. The native engine answers the others by cookies, at once.
fn a_full_backlog<I: TestIp>() {
    let syns: Vec<_> = (0..6)
        .map(|client| {
            let mut segment = Tcp::new(Flags::SYN);
            segment.sport += client;
            segment.frame::<I>()
        })
        .collect();
    let answers: Vec<_> = [4004, 4005, 4000, 4001, 4002, 4003]
        .iter()
        .map(|port| syn_ack::<I>("").replace("4000", &port.to_string()))
        .collect();
    let answers: Vec<_> = answers.iter().map(String::as_str).collect();
    let row = case(
        "six SYNs",
        syns,
        &answers[2..],
        &[
            ("drop_tcp_backlog_full", 2),
            ("consumed", 4),
            ("generated", 4),
            ("tcp_connections", 4),
            ("tcp_half_open", 4),
        ],
    );
    run(vec![row.natively(
        &answers,
        &[
            ("tcp_cookies_sent", 2),
            ("consumed", 6),
            ("generated", 6),
            ("tcp_connections", 4),
            ("tcp_half_open", 4),
        ],
    )]);
}

#[test]
fn floods() {
    ENGINES.into_iter().for_each(resets_are_limited::<V4>);
    ENGINES.into_iter().for_each(resets_are_limited::<V6>);
    a_full_backlog::<V4>();
    a_full_backlog::<V6>();
}

/// A handshake with a worker's listener; returns our sequence number after it, and the packet with
/// which the worker connects to the backend.
pub(crate) fn handshake<I: TestIp>(station: &mut Station, worker: usize) -> (u32, Vec<u8>) {
    station.inject_to(worker, &Tcp::new(Flags::SYN).frame::<I>());
    station.turn();
    let sent = station.take_sent();
    let answer = segment::<I>(&sent[0]).expect("a SYN-ACK");
    let mut ack = Tcp::new(Flags::ACK);
    (ack.seq, ack.ack) = (1001, answer.header.seq.wrapping_add(1));
    station.inject_to(worker, &ack.frame::<I>());
    station.turn();
    // The worker connects to the backend.
    let sent = station.take_sent();
    let connect = segment::<I>(&sent[0]).expect("a SYN");
    assert_eq!((connect.dst, connect.header.dport), (I::BACKEND, 8080));
    assert_eq!(connect.header.flags, Flags::SYN);
    // The gauges are set before the sessions run: they show it a turn later.
    station.turn();
    (ack.ack, sent[0][HEADER_LEN..].to_vec())
}

fn in_a_connection<I: TestIp>(engine: EngineKind) {
    let mut station = Station::acquainted_with(engine);
    let (snd_nxt, _) = handshake::<I>(&mut station, 0);
    let frame = |flags, seq| {
        let mut segment = Tcp::new(flags);
        (segment.seq, segment.ack) = (seq, snd_nxt);
        vec![segment.frame::<I>()]
    };
    // With the window that the connection has: a challenge must not stall it.
    let answer = format!("client: client tcp 80>4000 ACK seq {snd_nxt} ack 1001 win 2048");
    let challenged = |reason| [(reason, 1), ("generated", 1), ("tcp_challenge_acks", 1)];
    // RFC 5961 sections 3.2 and 4.2.
    for (what, flags, seq, reason) in [
        ("a blind RST", Flags::RST, 1002, "drop_tcp_reset_not_exact"),
        ("a blind SYN", Flags::SYN, 5, "drop_tcp_syn_in_connection"),
    ] {
        let row = case(what, frame(flags, seq), &[&answer], &challenged(reason));
        run_in_a_row(&mut station, vec![row]);
        // Again at once, it is not answered.
        let row = case(what, frame(flags, seq), &[], &[(reason, 1)]);
        run_in_a_row(&mut station, vec![row]);
        station.advance(Duration::from_millis(100));
    }
    assert_eq!(station.connections(0), 2);
    station.inject(&frame(Flags::RST, 1001)[0]);
    station.turn();
    station.turn();
    assert_eq!(
        station.connections(0),
        0,
        "the client's reset ends both halves"
    );
    station.finish();
}

#[test]
fn blind_attacks_on_a_connection() {
    ENGINES.into_iter().for_each(in_a_connection::<V4>);
    ENGINES.into_iter().for_each(in_a_connection::<V6>);
}
