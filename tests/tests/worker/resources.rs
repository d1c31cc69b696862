//! What happens when something has run out: new work is refused and counted, and what was begun
//! goes on as soon as it can.

use core::time::Duration;

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::ip::{IpAddress, V4, V6};
use netstack::tcp::EngineKind;
use netstack::wire::icmp::Message;
use netstack::wire::tcp::Flags;
use weirgate_tests::station::frame::{
    CLIENT_MAC, Tcp, TestIp, framed, icmp_frame, neighbor_request, packet, udp,
};
use weirgate_tests::station::{CONFIG, ENGINES, Station};

use crate::table::{case, run_in_a_row};
use crate::tcp::handshake;

const PING: Message = Message::EchoRequest {
    ident: 7,
    sequence: 1,
};

fn without_buffers<I: TestIp>(engine: EngineKind) {
    let mut station = Station::acquainted_with(engine);
    let hoard = station.hoard();
    let mut closed = Tcp::new(Flags::SYN);
    closed.dport = 81;
    let datagram = packet::<I>(I::CLIENT, I::US, 17, &udp::<I>(53, b""));
    run_in_a_row(
        &mut station,
        vec![
            case(
                "a ping is answered in place",
                vec![icmp_frame::<I>(PING, b"")],
                &["client: client echo reply 7 1 len 0"],
                &[("echo_answered", 1)],
            ),
            case(
                "a neighbor's question",
                vec![neighbor_request::<I>(I::CLIENT, CLIENT_MAC, I::US)],
                &[],
                &[
                    ("consumed", 1),
                    ("generated", 1),
                    ("buffers_exhausted", 1),
                    ("drop_no_buffer", 1),
                ],
            ),
            case(
                "a datagram for nobody",
                vec![framed::<I>(&datagram)],
                &[],
                &[("drop_udp_no_listener", 1), ("buffers_exhausted", 1)],
            ),
            case(
                "a SYN to a closed port",
                vec![closed.frame::<I>()],
                &[],
                &[
                    ("drop_tcp_no_listener", 1),
                    ("tcp_resets_suppressed", 1),
                    ("buffers_exhausted", 1),
                ],
            ),
            case(
                "a SYN to a listener",
                vec![Tcp::new(Flags::SYN).frame::<I>()],
                &[],
                &[
                    ("consumed", 1),
                    ("tcp_connections", 1),
                    ("tcp_half_open", 1),
                    ("buffers_exhausted", 1),
                ],
            ),
        ],
    );
    drop(hoard);
    let mss = 1500 - I::HEADER_LEN - 20;
    let answer = format!("client: client tcp 80>4000 SYN|ACK iss ack 1001 win 2048 mss {mss}");
    run_in_a_row(
        &mut station,
        vec![case(
            "buffers are there again",
            vec![],
            &[&answer],
            &[("generated", 1), ("idle_turns", 1)],
        )],
    );
    station.finish();
}

#[test]
fn out_of_buffers() {
    ENGINES.into_iter().for_each(without_buffers::<V4>);
    ENGINES.into_iter().for_each(without_buffers::<V6>);
}

/// A port that takes nothing for more than ten milliseconds loses what waits for it.
fn stalled<I: TestIp>(engine: EngineKind) {
    let mut station = Station::acquainted_with(engine);
    let ping = || vec![icmp_frame::<I>(PING, b"")];
    station.set_tx_limit(0);
    let waits = case("the answer waits", ping(), &[], &[("echo_answered", 1)]);
    run_in_a_row(&mut station, vec![waits]);
    station.advance(Duration::from_millis(11));
    let lost = case(
        "both answers are lost",
        ping(),
        &[],
        &[("echo_answered", 1), ("drop_tx_queue_full", 2)],
    );
    run_in_a_row(&mut station, vec![lost]);
    station.set_tx_limit(usize::MAX);
    let goes_on = case(
        "the port takes frames again",
        ping(),
        &["client: client echo reply 7 1 len 0"],
        &[("echo_answered", 1)],
    );
    run_in_a_row(&mut station, vec![goes_on]);
    station.finish();
}

#[test]
fn a_port_that_takes_nothing() {
    ENGINES.into_iter().for_each(stalled::<V4>);
    ENGINES.into_iter().for_each(stalled::<V6>);
}

/// A packet waits for a neighbor that never answers, while others are served.
fn silence<I: TestIp>(question: &str, doubt: &str) {
    let mut station = Station::acquainted();
    let octets = weirgate_tests::station::frame::icmp::<I>(I::NOBODY, I::US, PING, b"");
    let frame = framed::<I>(&packet::<I>(I::NOBODY, I::US, I::ICMP_PROTOCOL, &octets));
    let asked = [("generated", 1), ("neighbor_asked", 1)];
    let asked_and_answered = [
        ("generated", 1),
        ("neighbor_asked", 1),
        ("echo_answered", 1),
    ];
    let ping = || vec![icmp_frame::<I>(PING, b"")];
    let answer = "client: client echo reply 7 1 len 0";
    let wait = |station: &mut Station, seconds, row| {
        station.advance(Duration::from_secs(seconds));
        run_in_a_row(station, vec![row]);
    };
    let first = case("asked", vec![frame], &[question], &asked_and_answered);
    wait(&mut station, 0, first);
    let others = case(
        "others are served",
        ping(),
        &[answer],
        &[("echo_answered", 1)],
    );
    wait(&mut station, 0, others);
    let again = case(
        "asked again",
        vec![],
        &[question],
        &[&asked[..], &[("idle_turns", 1)]].concat(),
    );
    wait(&mut station, 1, again);
    let last = case(
        "for the last time",
        vec![],
        &[question],
        &[&asked[..], &[("idle_turns", 1)]].concat(),
    );
    wait(&mut station, 2, last);
    // By now we are about to forget the client, too; but that one is there.
    let given_up = case(
        "given up",
        ping(),
        &[doubt, answer],
        &[
            ("drop_neighbor_unreachable", 1),
            ("neighbor_failed", 1),
            ("echo_answered", 1),
            ("generated", 1),
            ("neighbor_asked", 1),
        ],
    );
    wait(&mut station, 2, given_up);
    station.finish();
}

#[test]
fn a_neighbor_that_never_answers() {
    silence::<V4>("all: arp who has nobody", "client: arp who has client");
    silence::<V6>(
        "33:33:ff:00:00:77: nd who has nobody, to ff02::1:ff00:77",
        "client: nd who has client, to client",
    );
}

/// More packets wait for silent neighbors than may; what else there is goes on.
fn many_silences<I: TestIp>() {
    const BUFFERS: usize = 1300;
    let config = CONFIG.replace("neighbors = 8", "neighbors = 100");
    let mut station = Station::new(&config, BUFFERS);
    station.meet();
    let (snd_nxt, _) = handshake::<I>(&mut station, 0);
    let ping_from = |last: u8| {
        let mut octets = [0; 16];
        I::CLIENT.write_octets(&mut octets);
        octets[I::Addr::LEN - 1] = last;
        let client = I::Addr::from_octets(&octets).expect("as long as an address");
        let ping = weirgate_tests::station::frame::icmp::<I>(client, I::US, PING, b"");
        framed::<I>(&packet::<I>(client, I::US, I::ICMP_PROTOCOL, &ping))
    };
    // Thirty pings of sixty stations.
    for _ in 0..30 {
        for last in 180..240 {
            station.inject(&ping_from(last));
        }
        station.turn();
        station.take_sent();
    }
    let counters = station.counters(0);
    assert_eq!(counters.event(Event::EchoAnswered), 1800);
    assert_eq!(counters.event(Event::NeighborAsked), 60);
    assert_eq!(counters.drops(DropReason::NeighborUnreachable), 1800 - 1024);
    assert!(station.hoard().len() >= BUFFERS - 1024 - 8);
    let mut blind = Tcp::new(Flags::RST);
    (blind.seq, blind.ack) = (1002, snd_nxt);
    let answer = format!("client: client tcp 80>4000 ACK seq {snd_nxt} ack 1001 win 2048");
    run_in_a_row(
        &mut station,
        vec![case(
            "a connection has buffers",
            vec![blind.frame::<I>()],
            &[&answer],
            &[
                ("drop_tcp_reset_not_exact", 1),
                ("generated", 1),
                ("tcp_challenge_acks", 1),
            ],
        )],
    );
    station.finish();
}

#[test]
fn many_neighbors_that_never_answer() {
    many_silences::<V4>();
    many_silences::<V6>();
}
