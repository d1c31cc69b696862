//! Several workers on ports of every shape: as many queues as workers, fewer, one, and lcores that
//! only receive. Whoever receives what, every connection works.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use netstack::counters::Event;
use netstack::drop::DropReason;
use nix::sys::signal::Signal;
use weirgate_tests::rig::{
    Config, Counts, Driver, EngineKind, FAMILIES, Family, Page, Rig, SERVER_V4, wait_until,
};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_mins(1);
/// The listener whose backend is reached over IPv6.
const V6_BACKEND: u16 = 81;
/// Clients that connect side by side, again and again.
const CLIENTS: usize = 8;
/// Connections of each of them.
const CONNECTIONS: usize = 50;
/// Clients of each IP version that are connected all at once.
const AT_ONCE: usize = 100;
/// Requests on one connection.
const REQUESTS: usize = 50;

/// Connections that clients close first. On a busy machine a segment may be repeated for nothing, and
/// come when its connection is over and unknown to all.
const LATE: u64 = 6;
/// A port behind which everything comes back.
const ECHO: u16 = 7;
/// Blocks that are sent there on each connection, of 16 KiB.
const BLOCKS: usize = 1000;
/// Frames of the ring of a packet socket that runs over soon. The driver's default is 512.
const FEW_FRAMES: u16 = 64;

/// The native engine over packet sockets.
fn packet_sockets(queues: u16, workers: u16) -> Config {
    Config::with_engine(Driver::AfPacket, EngineKind::Native)
        .with_queues(queues)
        .with_workers(workers)
}

/// What came of a rig full of clients.
struct Outcome {
    /// What Weirgate counted until its end.
    counts: Counts,
    /// How many each worker had of the clients that were connected at the same time.
    spread: Vec<u64>,
}

/// Lets clients of all kinds loose on Weirgate, over both IP versions, to backends over both, and
/// sees to it that each gets all that it asks for.
fn serve_everybody(config: Config) -> Option<Outcome> {
    let config = config.nginx_over_ipv6(V6_BACKEND);
    let mut rig = Rig::start(config, &Page::ALL)?;
    let start = Instant::now();
    let at_once = rig.topology.client.enter(connect_at_once).unwrap();
    let first = start.elapsed();
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
    let second = start.elapsed();
    let status = rig.weirgate.stop().unwrap();
    assert!(status.success(), "{status}");
    let counts = rig.weirgate.counts();
    let spread = counts.clients_by_worker(&at_once);
    println!("{first:.1?} for those at once, {second:.1?} with all others; spread {spread:?}");
    report(&counts);
    let sessions = at_once.len() + CLIENTS * CONNECTIONS + 4 + 2;
    let opened = counts.sum(Event::SessionsOpened);
    assert_eq!(opened, sessions as u64, "sessions");
    Some(Outcome { counts, spread })
}

/// Says what somebody who reads the output wants to know.
fn report(counts: &Counts) {
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

impl Outcome {
    /// Nothing was refused, but for what was late.
    fn assert_no_resets(&self) {
        assert_eq!(self.counts.sum(Event::TcpResetsReceived), 0);
        let sent = self.counts.sum(Event::TcpResetsSent);
        assert!(sent <= LATE, "{sent} resets sent");
    }

    /// The workers have equal shares of clients, but for so many percent.
    fn assert_fair(&self, percent: u64) {
        let fair = self.spread.iter().sum::<u64>() / self.spread.len() as u64;
        let most = fair * (100 + percent) / 100;
        let least = fair * (100 - percent) / 100;
        let mut shares = self.spread.iter();
        let is_fair = shares.all(|share| (least..=most).contains(share));
        assert!(is_fair, "{:?}", self.spread);
    }

    /// Whoever received a frame knew at once whose it is.
    fn assert_distributed(&self) {
        self.assert_no_resets();
        assert!(self.counts.sum(Event::Distributed) > 0);
        let strays = self.counts.sum(Event::StraysAsked);
        assert!(strays <= LATE, "{strays} strays");
        assert_eq!(self.counts.sum(Event::HandedOver), strays);
    }

    /// Whether each worker received frames.
    fn receives(&self) -> Vec<bool> {
        let frames = self.counts.by_worker(Event::RxFrames);
        frames.into_iter().map(|frames| frames > 0).collect()
    }
}

#[test]
fn two_queues_serve_two_workers() {
    let Some(outcome) = serve_everybody(packet_sockets(2, 2)) else {
        return;
    };
    outcome.assert_no_resets();
    // The kernel spreads by a hash of its own, of which nobody is told.
    outcome.assert_fair(50);
    assert_eq!(outcome.receives(), [true, true]);
    assert_eq!(outcome.counts.sum(Event::Distributed), 0);
}

#[test]
fn one_queue_serves_two_workers() {
    let Some(outcome) = serve_everybody(packet_sockets(1, 2)) else {
        return;
    };
    outcome.assert_distributed();
    outcome.assert_fair(10);
    assert_eq!(outcome.receives(), [true, false]);
}

#[test]
fn a_receiver_serves_two_workers() {
    let config = packet_sockets(1, 2).with_receivers(1);
    let Some(outcome) = serve_everybody(config) else {
        return;
    };
    outcome.assert_distributed();
    outcome.assert_fair(10);
    assert_eq!(outcome.receives(), [false, false]);
}

/// What comes on two queues is distributed by two who do not know what the other does.
#[test]
fn two_queues_serve_three_workers() {
    let Some(outcome) = serve_everybody(packet_sockets(2, 3)) else {
        return;
    };
    outcome.assert_fair(20);
    assert!(outcome.counts.sum(Event::Distributed) > 0);
    assert_eq!(outcome.receives(), [true, true, false]);
}

#[test]
fn two_queues_of_shared_memory_serve_two_workers() {
    let config = Config::with_engine(Driver::Memif, EngineKind::Native);
    let Some(outcome) = serve_everybody(config) else {
        return;
    };
    outcome.assert_no_resets();
    outcome.assert_fair(50);
    assert_eq!(outcome.receives(), [true, true]);
    assert_eq!(outcome.counts.sum(Event::Distributed), 0);
}

/// A ring of a packet socket that is three quarters full makes the kernel put frames into another
/// queue's (`PACKET_FANOUT_FLAG_ROLLOVER`, which DPDK's driver asks for). Its worker asks the others
/// about segments that it does not know, and no connection is lost.
#[test]
fn rings_that_run_over_lose_no_connection() {
    serve_everybody(packet_sockets(2, 2).with_ring_frames(FEW_FRAMES));
}

/// The same with as much as will go through in both directions, and pauses in which nobody empties
/// the rings: each of them runs over.
#[test]
fn pauses_lose_no_connection() {
    let backend = format!("{SERVER_V4}:{ECHO}");
    let config = packet_sockets(2, 2).with_ring_frames(FEW_FRAMES);
    let config = config.serve("echo", ECHO, &[&backend]);
    let Some(mut rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    let flows = 2 * FAMILIES.len();
    let server = rig.topology.server.enter(|| TcpListener::bind(&backend));
    let server = server.unwrap().unwrap();
    server.set_nonblocking(true).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..flows {
                let stream = accept(&server);
                scope.spawn(move || echo(stream));
            }
        });
        let client = &rig.topology.client;
        let clients = FAMILIES.repeat(2).into_iter().map(|family| {
            let address = SocketAddr::from((family.gate(), ECHO));
            scope.spawn(move || client.enter(|| exchange(address)).unwrap())
        });
        let clients: Vec<_> = clients.collect();
        let process = rig.weirgate.process();
        while !clients.iter().all(ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(20));
            process.signal(Signal::SIGSTOP).unwrap();
            thread::sleep(Duration::from_millis(10));
            process.signal(Signal::SIGCONT).unwrap();
        }
    });
    assert!(rig.weirgate.stop().unwrap().success());
    let counts = rig.weirgate.counts();
    report(&counts);
    assert_eq!(counts.sum(Event::SessionsOpened), flows as u64);
    assert!(counts.sum(Event::StraysAsked) > 0, "no ring ran over");
}

/// The next connection, if it comes in time.
fn accept(server: &TcpListener) -> TcpStream {
    let mut accepted = None;
    wait_until("a connection", PATIENCE, || {
        accepted = server.accept().ok();
        Ok(accepted.is_some())
    })
    .unwrap();
    let (stream, _) = accepted.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Sends back what comes.
fn echo(mut stream: TcpStream) {
    let mut sender = stream.try_clone().unwrap();
    std::io::copy(&mut stream, &mut sender).unwrap();
    sender.shutdown(Shutdown::Write).unwrap();
}

/// Sends a lot, and reads that it all comes back.
fn exchange(address: SocketAddr) {
    let stream = connect(address);
    // Octets that differ from those a block before and after.
    let block = |number: usize| -> Vec<u8> {
        let octets = (0..1 << 14).map(|octet| octet * 31 + number * 7);
        octets.map(|octet: usize| octet.to_le_bytes()[0]).collect()
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..BLOCKS {
                (&stream).write_all(&block(number)).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = vec![0; 1 << 14];
        for number in 0..BLOCKS {
            (&stream).read_exact(&mut back).unwrap();
            assert!(back == block(number), "block {number} differs");
        }
        assert_eq!((&stream).read(&mut back).unwrap(), 0);
    });
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

/// Many connections at the same time; returns which.
fn connect_at_once() -> Vec<SocketAddr> {
    let addresses = FAMILIES.map(|family| SocketAddr::from((family.gate(), Config::PORT)));
    let mut streams: Vec<_> = addresses
        .iter()
        .flat_map(|address| (0..AT_ONCE).map(|_| connect(*address)))
        .collect();
    for stream in &mut streams {
        stream.write_all(b"GET /1B HTTP/1.0\r\n\r\n").unwrap();
    }
    streams.iter_mut().for_each(assert_one_octet);
    let clients = streams.iter().map(TcpStream::local_addr);
    clients.collect::<Result<_, _>>().unwrap()
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
