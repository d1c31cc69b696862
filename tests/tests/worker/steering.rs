//! A port with one receive queue for several workers: the first one receives for all.

use core::time::Duration;

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::ip::{V4, V6};
use netstack::wire::tcp::{self, Flags, Header};
use netstack::wire::{ethernet, icmp};
use weirgate_tests::station::frame::{
    BACKEND_MAC, Tcp, TestIp, US_MAC, ethernet_between, icmp_frame, packet,
};
use weirgate_tests::station::sent::segment;
use weirgate_tests::station::{CONFIG, Station};

/// Clients of a test.
const CLIENTS: u16 = 60;

/// Workers of which the first receives for all, with room for the clients.
fn station(workers: usize) -> Station {
    let lcores = format!("lcores = {:?}", vec![0; workers]);
    let config = CONFIG
        .replace("lcores = [0]", &lcores)
        .replace("max_sessions = 8", "max_sessions = 256")
        .replace("syn_backlog = 4", "syn_backlog = 256")
        .replace(
            "source_ports = \"1024-1087\"",
            "source_ports = \"1024-2047\"",
        );
    let mut station = Station::distributing(&config, 8192);
    station.meet();
    station
}

/// The segments that were sent since this was last asked, of this IP version.
fn segments<I: TestIp>(station: &mut Station) -> Vec<(I::Addr, Header)> {
    let sent = station.take_sent();
    let segments = sent.iter().filter_map(|frame| segment::<I>(frame));
    segments.map(|sent| (sent.dst, sent.header)).collect()
}

fn from_client(sport: u16, flags: Flags, seq: u32, ack: u32) -> Tcp {
    let mut segment = Tcp::new(flags);
    (segment.sport, segment.seq, segment.ack) = (sport, seq, ack);
    segment
}

/// Lets all clients connect, and all backends accept; returns what each client acknowledges next.
fn connect<I: TestIp>(station: &mut Station) -> Vec<(u16, u32)> {
    let ports = (0..CLIENTS).map(|client| 4000 + client);
    for sport in ports {
        station.inject(&from_client(sport, Flags::SYN, 1000, 0).frame::<I>());
        // They come one by one, not in a burst of which no worker knows yet.
        station.turn();
    }
    let answers = segments::<I>(station);
    assert_eq!(answers.len(), usize::from(CLIENTS));
    let clients = answers.iter().map(|(dst, header)| {
        assert_eq!((*dst, header.flags), (I::CLIENT, Flags::SYN | Flags::ACK));
        (header.dport, header.seq.wrapping_add(1))
    });
    let clients: Vec<_> = clients.collect();
    for (sport, ack) in &clients {
        station.inject(&from_client(*sport, Flags::ACK, 1001, *ack).frame::<I>());
    }
    station.turn();
    for (dst, connect) in segments::<I>(station) {
        assert_eq!((dst, connect.flags), (I::BACKEND, Flags::SYN));
        let mut accept = Tcp::new(Flags::SYN | Flags::ACK);
        (accept.sport, accept.dport) = (8080, connect.sport);
        (accept.seq, accept.ack) = (5000, connect.seq.wrapping_add(1));
        let accept = accept.segment::<I>(I::BACKEND, I::US);
        let packet = packet::<I>(I::BACKEND, I::US, tcp::PROTOCOL, &accept);
        let frame = ethernet_between(BACKEND_MAC, US_MAC, I::ETHERTYPE, &packet);
        station.inject(&frame);
    }
    station.turn();
    station.turn();
    clients
}

fn sum(station: &Station, workers: usize, event: Event) -> u64 {
    let workers = 0..workers;
    workers
        .map(|worker| station.counters(worker).event(event))
        .sum()
}

fn clients_are_spread<I: TestIp>(workers: usize) {
    let mut station = station(workers);
    let clients = connect::<I>(&mut station);
    let share = u64::from(CLIENTS) / workers as u64;
    for worker in 0..workers {
        let counters = station.counters(worker);
        assert_eq!(counters.event(Event::TcpAccepted), share, "{worker}");
        assert_eq!(counters.event(Event::TcpConnected), share);
    }
    // What comes later finds its connection, whichever worker has it.
    for (sport, ack) in &clients {
        let mut data = from_client(*sport, Flags::ACK | Flags::PSH, 1001, *ack);
        data.payload = b"GET /".to_vec();
        station.inject(&data.frame::<I>());
    }
    station.turn();
    station.turn();
    assert_eq!(
        sum(&station, workers, Event::BytesToBackend),
        5 * u64::from(CLIENTS)
    );
    for silent in [Event::StraysAsked, Event::HandedOver, Event::TcpResetsSent] {
        assert_eq!(sum(&station, workers, silent), 0, "{silent:?}");
    }
    let others = workers as u64 - 1;
    // SYN, ACK, data of each, and the backends' answers.
    assert_eq!(
        station.counters(0).event(Event::Distributed),
        4 * others * share
    );
    station.finish();
}

#[test]
fn one_queue_serves_several_workers() {
    for workers in [2, 3] {
        clients_are_spread::<V4>(workers);
        clients_are_spread::<V6>(workers);
    }
}

/// While one worker is busy with something else, its ring runs over. What is lost is counted, and
/// nothing but packets is.
fn a_full_ring<I: TestIp>() {
    let mut station = station(2);
    let clients = connect::<I>(&mut station);
    let resend = |station: &mut Station| {
        for (sport, ack) in &clients {
            let mut data = from_client(*sport, Flags::ACK | Flags::PSH, 1001, *ack);
            data.payload = b"GET /".to_vec();
            station.inject(&data.frame::<I>());
        }
    };
    // Half of the frames are the second worker's; its ring holds 1024.
    for _ in 0..50 {
        resend(&mut station);
        station.turn_without(Some(1));
        station.take_sent();
    }
    let half = u64::from(CLIENTS) / 2;
    let lost = station.counters(0).drops(DropReason::HandoverFull);
    assert_eq!(lost, 50 * half - 1024);
    // It comes back, and nobody's connection has suffered.
    for _ in 0..20 {
        station.turn();
        station.take_sent();
    }
    resend(&mut station);
    station.turn();
    assert_eq!(station.counters(0).drops(DropReason::HandoverFull), lost);
    for worker in 0..2 {
        let counters = station.counters(worker);
        assert_eq!(counters.event(Event::SessionsActive), half);
        assert_eq!(counters.event(Event::BytesToBackend), 5 * half);
        assert_eq!(counters.event(Event::TcpResetsSent), 0);
    }
    station.finish();
}

#[test]
fn a_ring_that_is_full_loses_counted_packets_and_no_connection() {
    a_full_ring::<V4>();
    a_full_ring::<V6>();
}

/// The sequence number of an echo reply.
fn echo_reply<I: TestIp>(frame: &[u8]) -> Option<u16> {
    let header = ethernet::Header::parse(frame).ok()?;
    if header.ethertype != I::ETHERTYPE {
        return None;
    }
    let packet = I::open(frame.get(ethernet::HEADER_LEN..)?);
    let message = icmp::Message::parse::<I>(packet.upper).ok()?;
    match message {
        icmp::Message::EchoReply { sequence, .. } => Some(sequence),
        _ => None,
    }
}

/// While a worker is away, those who send on its queue wait, and at last count what they drop. What
/// found room is sent, in order, once it is back.
fn a_lender_that_is_away<I: TestIp>() {
    let config = CONFIG.replace("lcores = [0]", "lcores = [0, 0]");
    let mut station = Station::lending(&config, 8192);
    station.meet();
    let ping = |station: &mut Station, sequences: core::ops::Range<u16>| {
        for sequence in sequences {
            let request = icmp::Message::EchoRequest { ident: 1, sequence };
            station.inject_to(1, &icmp_frame::<I>(request, b"ping"));
        }
    };
    let replies = |station: &mut Station| -> Vec<u16> {
        let sent = station.take_sent();
        let replies = sent.iter().filter_map(|frame| echo_reply::<I>(frame));
        replies.collect()
    };
    ping(&mut station, 0..600);
    for _ in 0..30 {
        station.turn_without(Some(0));
    }
    assert!(replies(&mut station).is_empty());
    // Nothing is dropped at once; what does not fit the ring waits with the borrower.
    let lost = |station: &Station| station.counters(1).drops(DropReason::TxQueueFull);
    assert_eq!(lost(&station), 0);
    for _ in 0..30 {
        station.turn();
    }
    assert_eq!(replies(&mut station), (0..600).collect::<Vec<_>>());
    // Away for longer than anything should wait.
    ping(&mut station, 0..700);
    for _ in 0..30 {
        station.turn_without(Some(0));
        station.advance(Duration::from_millis(1));
    }
    let dropped = lost(&station);
    assert!(dropped > 0);
    for _ in 0..30 {
        station.turn();
    }
    let sent = replies(&mut station);
    assert_eq!(sent.len() as u64 + dropped, 700);
    assert!(sent.is_sorted());
    station.finish();
}

#[test]
fn a_lender_that_is_away_holds_up_who_sends_on_its_queue() {
    a_lender_that_is_away::<V4>();
    a_lender_that_is_away::<V6>();
}
