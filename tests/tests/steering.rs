//! Several workers on ports of every shape: as many queues as workers, fewer, one, and lcores that
//! only receive. Whoever receives what, every connection works.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use netstack::counters::Event;
use netstack::drop::DropReason;
use weirgate_tests::rig::{Config, Counts, Driver, EngineKind, FAMILIES, Family, Page, Rig};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);
/// The listener whose backend is reached over IPv6.
const V6_BACKEND: u16 = 81;
/// Clients that connect side by side, again and again.
const CLIENTS: usize = 8;
/// Connections of each of them.
const CONNECTIONS: usize = 50;
/// Clients that are connected all at once.
const AT_ONCE: usize = 100;
/// Requests on one connection.
const REQUESTS: usize = 50;

/// The native engine over packet sockets.
fn packet_sockets(queues: u16, workers: u16) -> Config {
    Config::with_engine(Driver::AfPacket, EngineKind::Native)
        .with_queues(queues)
        .with_workers(workers)
}

/// Lets clients of all kinds loose on Weirgate, over both IP versions, to backends over both, and
/// sees to it that each gets all that it asks for. Returns what Weirgate counted until its end.
fn serve_everybody(config: Config) -> Option<Counts> {
    let config = config.nginx_over_ipv6(V6_BACKEND);
    let mut rig = Rig::start(config, &Page::ALL)?;
    let start = Instant::now();
    let large = |family, port| rig.fetch_whole(family, port, Page::Large);
    thread::scope(|scope| {
        for family in FAMILIES {
            for port in [Config::PORT, V6_BACKEND] {
                let address = SocketAddr::from((family.gate(), port));
                let client = &rig.topology.client;
                for _ in 0..CLIENTS / 4 {
                    scope.spawn(move || client.enter(|| connect_again(address)).unwrap());
                }
                scope.spawn(move || client.enter(|| keep_alive(address)).unwrap());
            }
        }
        scope.spawn(|| large(Family::V4, V6_BACKEND));
        scope.spawn(|| large(Family::V6, Config::PORT));
    });
    let at_once = || connect_at_once(&FAMILIES.map(|family| (family.gate(), Config::PORT).into()));
    rig.topology.client.enter(at_once).unwrap();
    for family in FAMILIES {
        rig.fetch_whole(family, Config::PORT, Page::Medium);
        rig.fetch_whole(family, V6_BACKEND, Page::Medium);
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = rig.weirgate.stop().unwrap();
    assert!(status.success(), "{status}");
    let counts = rig.weirgate.counts();
    report(&counts, seconds);
    let sessions = CLIENTS * CONNECTIONS + 4 + 2 * AT_ONCE + 2 + 4;
    let opened = counts.sum(Event::SessionsOpened);
    assert_eq!(opened, sessions as u64, "sessions");
    for refused in [Event::TcpResetsSent, Event::TcpResetsReceived] {
        assert_eq!(counts.sum(refused), 0, "{}", refused.name());
    }
    Some(counts)
}

/// Says what somebody who reads the output wants to know.
fn report(counts: &Counts, seconds: f64) {
    println!("{seconds:.1} s");
    for event in [
        Event::RxFrames,
        Event::SessionsOpened,
        Event::Distributed,
        Event::HandedOver,
        Event::StraysAsked,
        Event::TcpRetransmits,
    ] {
        println!("{}: {:?}", event.name(), counts.by_worker(event));
    }
    println!(
        "handover_full: {}, tx_queue_full: {}",
        counts.drops(DropReason::HandoverFull),
        counts.drops(DropReason::TxQueueFull)
    );
}

/// Each worker has at least `percent` of what would be its fair share of the sessions.
fn assert_spread(counts: &Counts, percent: u64) {
    let sessions = counts.by_worker(Event::SessionsOpened);
    let fair = sessions.iter().sum::<u64>() / sessions.len() as u64;
    let fewest = sessions.iter().min().copied().unwrap_or_default();
    assert!(fewest * 100 >= fair * percent, "spread: {sessions:?}");
}

/// A worker with the only queue, or a receiver, found the worker of every frame.
fn assert_distributed(counts: &Counts) {
    assert!(counts.sum(Event::Distributed) > 0);
    for lost in [Event::HandedOver, Event::StraysAsked] {
        assert_eq!(counts.sum(lost), 0, "{}", lost.name());
    }
}

#[test]
fn two_queues_serve_two_workers() {
    let Some(counts) = serve_everybody(packet_sockets(2, 2)) else {
        return;
    };
    // The kernel spreads by a hash of its own, which nobody is told.
    assert_spread(&counts, 50);
    assert!(counts.by_worker(Event::RxFrames).iter().all(|rx| *rx > 0));
    assert_eq!(counts.sum(Event::Distributed), 0);
}

#[test]
fn one_queue_serves_two_workers() {
    let Some(counts) = serve_everybody(packet_sockets(1, 2)) else {
        return;
    };
    assert_spread(&counts, 90);
    assert_distributed(&counts);
    assert_eq!(counts.by_worker(Event::RxFrames)[1], 0);
}

#[test]
fn a_receiver_serves_two_workers() {
    let config = packet_sockets(1, 2).with_receivers(1);
    let Some(counts) = serve_everybody(config) else {
        return;
    };
    assert_spread(&counts, 90);
    assert_distributed(&counts);
    assert_eq!(counts.by_worker(Event::RxFrames), [0, 0]);
    assert_eq!(counts.by_receiver(Event::Distributed).len(), 1);
}

#[test]
fn two_queues_serve_three_workers() {
    let Some(counts) = serve_everybody(packet_sockets(2, 3)) else {
        return;
    };
    assert_spread(&counts, 80);
    assert!(counts.sum(Event::Distributed) > 0);
    assert_eq!(counts.by_worker(Event::RxFrames)[2], 0);
}

#[test]
fn two_queues_of_shared_memory_serve_two_workers() {
    let config = Config::with_engine(Driver::Memif, EngineKind::Native);
    let Some(counts) = serve_everybody(config) else {
        return;
    };
    assert_spread(&counts, 50);
    assert!(counts.by_worker(Event::RxFrames).iter().all(|rx| *rx > 0));
    assert_eq!(counts.sum(Event::Distributed), 0);
}

/// A ring of a packet socket that is three quarters full makes the kernel put frames into another
/// queue's (`PACKET_FANOUT_FLAG_ROLLOVER`, which DPDK's driver asks for). Its worker asks the others
/// about segments that it does not know, and no connection is lost.
#[test]
fn rings_that_run_over_lose_no_connection() {
    /// DPDK's driver takes no fewer than it needs for a block of memory.
    const SMALL: u16 = 64;
    let config = packet_sockets(2, 2).with_ring_frames(SMALL);
    let Some(counts) = serve_everybody(config) else {
        return;
    };
    println!("strays: {}", counts.sum(Event::StraysAsked));
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One connection after the other, for a small page each.
fn connect_again(address: SocketAddr) {
    for _ in 0..CONNECTIONS {
        let mut stream = connect(address);
        stream.write_all(b"GET /1B HTTP/1.0\r\n\r\n").unwrap();
        assert_one_octet(&mut stream);
    }
}

/// Many connections at the same time.
fn connect_at_once(addresses: &[SocketAddr]) {
    for address in addresses {
        let mut streams: Vec<_> = (0..AT_ONCE).map(|_| connect(*address)).collect();
        for stream in &mut streams {
            stream.write_all(b"GET /1B HTTP/1.0\r\n\r\n").unwrap();
        }
        streams.iter_mut().for_each(assert_one_octet);
    }
}

fn assert_one_octet(stream: &mut TcpStream) {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let head = response.windows(4).position(|octets| octets == b"\r\n\r\n");
    assert_eq!(head.map(|head| response.len() - head - 4), Some(1));
}

/// Many requests for a page that takes some segments, on one connection.
fn keep_alive(address: SocketAddr) {
    let mut stream = BufReader::new(connect(address));
    let mut page = vec![0; Page::Medium.size() as usize];
    for _ in 0..REQUESTS {
        let request = "GET /100kB HTTP/1.1\r\nHost: rig\r\n\r\n";
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0, "closed");
        }
        stream.read_exact(&mut page).unwrap();
    }
}
