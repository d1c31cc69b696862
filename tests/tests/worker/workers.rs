//! Several workers: what arrives at the wrong one, and what they tell each other.

use core::time::Duration;

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::ip::{V4, V6};
use netstack::tcp::EngineKind;
use netstack::wire::ethernet::HEADER_LEN;
use netstack::wire::icmp::{Error, Message, Unreachable};
use netstack::wire::tcp::Flags;
use weirgate_tests::station::frame::{
    CLIENT_MAC, Tcp, TestIp, framed, icmp_frame, neighbor_announcement, with_extensions,
    with_options,
};
use weirgate_tests::station::sent::{describe, segment};
use weirgate_tests::station::{CONFIG, ENGINES, Station, config_for};

use crate::tcp::handshake;

/// A stray segment for the second worker's source ports arrives at the first.
fn is_answered_by_its_owner<I: TestIp>(to_packet: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut station = Station::new(&CONFIG.replace("lcores = [0]", "lcores = [0, 1]"), 256);
    station.meet();
    let mut segment = Tcp::new(Flags::ACK);
    // Each has 32 ports, from 1024 on.
    (segment.dport, segment.ack) = (1060, 77);
    station.inject_to(0, &framed::<I>(&to_packet(segment.packet::<I>())));
    station.turn();
    let sent: Vec<_> = station
        .take_sent()
        .iter()
        .map(|frame| describe(frame))
        .collect();
    assert_eq!(sent, ["client: client tcp 1060>4000 RST seq 77"]);
    assert_eq!(station.counters(0).event(Event::HandedOver), 1);
    assert_eq!(station.counters(0).drops_total(), 0);
    assert_eq!(station.counters(1).event(Event::TakenOver), 1);
    assert_eq!(station.counters(1).drops(DropReason::TcpNoConnection), 1);
    station.finish();
}

#[test]
fn segments_of_another_worker_are_handed_over() {
    is_answered_by_its_owner::<V4>(|packet| packet);
    is_answered_by_its_owner::<V6>(|packet| packet);
}

#[test]
fn options_and_extension_headers_do_not_keep_a_segment_from_its_owner() {
    is_answered_by_its_owner::<V4>(|packet| with_options(&packet, &[1; 8]));
    let padding: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
    is_answered_by_its_owner::<V6>(|packet| with_extensions(&packet, &[(60, padding)]));
}

fn error_reaches_its_owner<I: TestIp>() {
    let mut station = Station::new(&CONFIG.replace("lcores = [0]", "lcores = [0, 1]"), 256);
    station.meet();
    let (_, connect) = handshake::<I>(&mut station, 1);
    let unreachable = Message::Error(Error::Unreachable(Unreachable::Host));
    station.inject_to(0, &icmp_frame::<I>(unreachable, &connect));
    station.turn();
    assert_eq!(station.counters(0).event(Event::HandedOver), 1);
    assert_eq!(station.counters(0).event(Event::IcmpErrorsReceived), 0);
    assert_eq!(station.counters(1).event(Event::TakenOver), 1);
    assert_eq!(station.counters(1).event(Event::IcmpErrorsReceived), 1);
    assert_eq!(station.counters(1).event(Event::SessionsNoBackend), 1);
    station.finish();
}

#[test]
fn icmp_errors_about_another_workers_connection_are_handed_over() {
    error_reaches_its_owner::<V4>();
    error_reaches_its_owner::<V6>();
}

/// A router's word about a segment to a client arrives at a worker that does not know the client.
fn too_big_reaches_the_worker_of_a_client<I: TestIp>() {
    let config = CONFIG.replace("lcores = [0]", "lcores = [0, 1, 2]");
    let mut station = Station::new(&config, 256);
    station.meet();
    station.inject_to(1, &Tcp::new(Flags::SYN).frame::<I>());
    station.turn();
    let syn_ack = station.take_sent()[0][HEADER_LEN..].to_vec();
    let too_big = Message::Error(Error::PacketTooBig { mtu: 1400 });
    station.inject_to(0, &icmp_frame::<I>(too_big, &syn_ack));
    station.turn();
    assert_eq!(station.counters(0).event(Event::PathNewsTold), 1);
    assert_eq!(station.counters(0).drops_total(), 0);
    for (worker, concerned) in [(0, 0), (1, 1), (2, 0)] {
        let counters = station.counters(worker);
        let seen = [Event::IcmpErrorsReceived, Event::TcpPathMtuRefused];
        let seen = seen.map(|event| counters.event(event));
        assert_eq!(seen, [concerned; 2], "worker {worker}");
    }
    station.finish();
}

#[test]
fn words_about_paths_to_clients_reach_their_workers() {
    too_big_reaches_the_worker_of_a_client::<V4>();
    too_big_reaches_the_worker_of_a_client::<V6>();
}

/// A segment for the source ports of the third of three workers.
fn for_the_third<I: TestIp>() -> Vec<u8> {
    let mut segment = Tcp::new(Flags::ACK);
    (segment.dport, segment.ack) = (1086, 77);
    segment.frame::<I>()
}

/// Forty turns of three workers in which the first two receive the frame 64 times each: twice
/// what the third takes from them in a turn, and in all more than its two rings of 1024 hold.
fn overrun_the_third(frame: &[u8]) -> Station {
    let config = CONFIG.replace("lcores = [0]", "lcores = [0, 1, 2]");
    let mut station = Station::new(&config, 8192);
    station.meet();
    for _ in 0..40 {
        for worker in [0, 1] {
            for _ in 0..64 {
                station.inject_to(worker, frame);
            }
        }
        station.turn();
        station.take_sent();
    }
    station
}

fn in_first_two(station: &Station, count: impl Fn(&Counters) -> u64) -> u64 {
    count(station.counters(0)) + count(station.counters(1))
}

fn overruns_its_owner<I: TestIp>() {
    let station = overrun_the_third(&for_the_third::<I>());
    let lost = in_first_two(&station, |counters| {
        counters.drops(DropReason::HandoverFull)
    });
    let handed_over = in_first_two(&station, |counters| counters.event(Event::HandedOver));
    assert_eq!(
        (handed_over, lost),
        (40 * 64 + 2 * 1024 - 64, 40 * 64 - 2 * 1024 + 64)
    );
    assert_eq!(station.counters(2).event(Event::TakenOver), 40 * 64);
    station.finish();
}

#[test]
fn segments_for_a_worker_that_is_overrun_are_dropped() {
    overruns_its_owner::<V4>();
    overruns_its_owner::<V6>();
}

fn news<I: TestIp>(far: I::Addr) {
    for (about, is_news) in [(far, false), (I::US, false), (I::NOBODY, true)] {
        let frame = neighbor_announcement::<I>(about, CLIENT_MAC);
        let mut station = overrun_the_third(&frame);
        let lost = in_first_two(&station, |counters| counters.event(Event::NeighborNewsLost));
        assert_eq!(lost > 0, is_news, "{about}: {lost}");
        // There is room for segments yet.
        for _ in 0..64 {
            station.inject_to(0, &for_the_third::<I>());
        }
        station.turn();
        assert_eq!(station.counters(0).event(Event::HandedOver), 64);
        assert_eq!(station.counters(0).drops(DropReason::HandoverFull), 0);
        station.finish();
    }
}

#[test]
fn news_of_neighbors_leave_room_for_segments() {
    news::<V4>([198, 51, 100, 9].into());
    news::<V6>([0x2001, 0xdb8, 1, 0, 0, 0, 0, 9].into());
}

/// Three workers, and a segment of a client whose connection the second has, at each of them.
fn is_found_by_asking<I: TestIp>(engine: EngineKind) {
    let config = config_for(engine).replace("lcores = [0]", "lcores = [0, 1, 2]");
    for (arrives_at, asked) in [(1, 0), (0, 1), (2, 2)] {
        let mut station = Station::new(&config, 512);
        station.meet();
        let (snd_nxt, _) = handshake::<I>(&mut station, 1);
        let mut segment = Tcp::new(Flags::ACK);
        (segment.seq, segment.ack, segment.payload) = (1001, snd_nxt, b"GET /".to_vec());
        let consumed = |station: &Station| station.counters(1).event(Event::Consumed);
        let before = consumed(&station);
        station.inject_to(arrives_at, &segment.frame::<I>());
        // Rings lead round: what the third worker asks the first, that one sees in the next turn.
        station.turn();
        station.turn();
        assert_eq!(consumed(&station), before + 1, "at {arrives_at}");
        let workers = [0, 1, 2].map(|worker| station.counters(worker));
        let all = |event| workers.iter().map(|each| each.event(event)).sum::<u64>();
        assert_eq!(all(Event::StraysAsked), asked);
        assert_eq!(all(Event::HandedOver), asked);
        assert_eq!(all(Event::TcpResetsSent), 0);
        station.finish();
    }
}

#[test]
fn segments_of_a_client_find_the_worker_that_knows_it() {
    for engine in ENGINES {
        is_found_by_asking::<V4>(engine);
        is_found_by_asking::<V6>(engine);
    }
}

/// The ACK of a handshake and the first octets come in one burst, to a port that may bring them
/// anywhere.
fn a_handshake_here_is_not_asked_about<I: TestIp>(engine: EngineKind) {
    let config = config_for(engine).replace("lcores = [0]", "lcores = [0, 1]");
    let mut station = Station::new(&config, 512);
    station.meet();
    station.inject_to(0, &Tcp::new(Flags::SYN).frame::<I>());
    station.turn();
    let sent = station.take_sent();
    let answer = segment::<I>(&sent[0]).expect("a SYN-ACK");
    for payload in [b"".as_slice(), b"GET /"] {
        let mut segment = Tcp::new(Flags::ACK);
        (segment.seq, segment.ack) = (1001, answer.header.seq.wrapping_add(1));
        segment.payload = payload.to_vec();
        station.inject_to(0, &segment.frame::<I>());
    }
    station.turn();
    station.turn();
    assert_eq!(station.counters(0).event(Event::StraysAsked), 0);
    assert_eq!(station.counters(0).event(Event::SessionsActive), 1);
    station.finish();
}

#[test]
fn a_handshake_is_not_asked_about() {
    for engine in ENGINES {
        a_handshake_here_is_not_asked_about::<V4>(engine);
        a_handshake_here_is_not_asked_about::<V6>(engine);
    }
}

/// A client's SYN and its repetition come to two workers, each of which begins a handshake. The client
/// goes on with the second, and what it sends comes to the first.
fn a_handshake_elsewhere_is_found<I: TestIp>(engine: EngineKind) {
    let config = config_for(engine).replace("lcores = [0]", "lcores = [0, 1]");
    let mut station = Station::new(&config, 512);
    station.meet();
    let mut snd_nxt = 0;
    for worker in [0, 1] {
        station.inject_to(worker, &Tcp::new(Flags::SYN).frame::<I>());
        station.turn();
        let sent = station.take_sent();
        let answer = segment::<I>(&sent[0]).expect("a SYN-ACK");
        snd_nxt = answer.header.seq.wrapping_add(1);
        station.advance(Duration::from_millis(100));
    }
    for (flags, payload) in [
        (Flags::ACK, b"".as_slice()),
        (Flags::ACK | Flags::PSH, b"GET /"),
    ] {
        let mut segment = Tcp::new(flags);
        (segment.seq, segment.ack) = (1001, snd_nxt);
        segment.payload = payload.to_vec();
        station.inject_to(0, &segment.frame::<I>());
        station.turn();
        station.turn();
    }
    let [first, second] = [0, 1].map(|worker| station.counters(worker));
    assert_eq!(first.event(Event::StraysAsked), 2);
    assert_eq!(second.event(Event::TcpAccepted), 1);
    for counters in [first, second] {
        assert_eq!(counters.event(Event::TcpResetsSent), 0);
    }
    // What fits neither is refused by the one that was asked last.
    let mut segment = Tcp::new(Flags::ACK);
    (segment.seq, segment.ack) = (1001, snd_nxt.wrapping_sub(1 << 30));
    segment.sport = 4001;
    station.inject_to(
        1,
        &Tcp {
            flags: Flags::SYN,
            ..segment.clone()
        }
        .frame::<I>(),
    );
    station.turn();
    station.inject_to(1, &segment.frame::<I>());
    station.turn();
    station.turn();
    assert_eq!(station.counters(0).event(Event::TcpResetsSent), 1);
    station.finish();
}

#[test]
fn a_handshake_at_another_worker_is_found() {
    for engine in ENGINES {
        a_handshake_elsewhere_is_found::<V4>(engine);
        a_handshake_elsewhere_is_found::<V6>(engine);
    }
}

fn nobodys_is_refused_once<I: TestIp>() {
    let config = CONFIG.replace("lcores = [0]", "lcores = [0, 1, 2]");
    let mut station = Station::new(&config, 512);
    station.meet();
    let mut segment = Tcp::new(Flags::ACK);
    (segment.seq, segment.ack) = (1001, 77);
    station.inject_to(1, &segment.frame::<I>());
    // The last one to be asked is the first worker, which refuses.
    station.turn();
    station.turn();
    let sent = station.take_sent();
    let sent: Vec<_> = sent.iter().map(|frame| describe(frame)).collect();
    assert_eq!(sent, ["client: client tcp 80>4000 RST seq 77"]);
    for (worker, asks, refuses) in [(0, 0, 1), (1, 1, 0), (2, 1, 0)] {
        let counters = station.counters(worker);
        assert_eq!(counters.event(Event::StraysAsked), asks, "{worker}");
        assert_eq!(counters.drops(DropReason::TcpNoConnection), refuses);
    }
    // Where nobody listens, nobody can know it.
    segment.dport = 81;
    station.inject_to(1, &segment.frame::<I>());
    station.turn();
    assert_eq!(station.take_sent().len(), 1);
    assert_eq!(station.counters(1).event(Event::StraysAsked), 1);
    station.finish();
}

#[test]
fn segments_that_no_worker_knows_are_refused_by_the_last() {
    nobodys_is_refused_once::<V4>();
    nobodys_is_refused_once::<V6>();
}

#[test]
fn strays_beyond_the_limit_are_dropped_and_not_refused() {
    let config = CONFIG.replace("lcores = [0]", "lcores = [0, 1]");
    let mut station = Station::new(&config, 4096);
    station.meet();
    let mut segment = Tcp::new(Flags::ACK);
    (segment.seq, segment.ack) = (1001, 77);
    let frame = segment.frame::<V4>();
    for _ in 0..40 {
        for _ in 0..64 {
            station.inject_to(0, &frame);
        }
        station.turn();
        station.take_sent();
    }
    // No time passes: what may be asked about at once is all there is.
    let counters = station.counters(0);
    assert_eq!(counters.event(Event::StraysAsked), 2000);
    assert_eq!(counters.drops(DropReason::StrayLimit), 40 * 64 - 2000);
    assert_eq!(counters.event(Event::TcpResetsSent), 0);
    assert_eq!(station.counters(1).event(Event::TakenOver), 2000);
    station.finish();
}
