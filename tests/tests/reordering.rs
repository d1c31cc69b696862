//! A path that loses nothing and is unpunctual: two native engines in virtual time.
//!
//! One in twenty packets is late by up to a quarter of the round trip, in both directions, and is
//! overtaken by those behind it. Nothing is lost, so whatever is sent again was sent in vain; that
//! must stay below one octet in a hundred, and the window must not stay small for it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use netstack::time::Instant;
use weirgate_tests::stack::{Engine, Errno, Fd, Host, Stack, StackOptions, TcpInfo};

/// Octets that are transferred, and time for it: at less than two thirds of the line's rate.
const OCTETS: usize = 20_000_000;
const LIMIT: Duration = Duration::from_secs(5);
/// Octets a millisecond: 50 Mbit/s.
const RATE: u64 = 6_250;
/// Of a thousand packets, so many are late.
const LATE: u64 = 50;

/// A packet on its way: when it arrives, its place among those that arrive then, to which host.
type InFlight = Reverse<(Instant, u64, usize, Vec<u8>)>;

/// Two hosts and the path between them.
struct Path {
    hosts: [Host; 2],
    rtt: Duration,
    in_flight: BinaryHeap<InFlight>,
    /// When the line has sent what it got so far, in each direction.
    line_free: [Instant; 2],
    /// The last arrival of those that are not late, in each direction.
    last: [Instant; 2],
    random: u64,
    carried: u64,
}

impl Path {
    fn new(addresses: [IpAddr; 2], rtt: Duration, seed: u64) -> Self {
        let options = StackOptions {
            receive_buffer: 4 << 20,
            first_window: Some(64 << 10),
            send_buffer: 4 << 20,
            ..StackOptions::new(Engine::Native)
        };
        Self {
            hosts: addresses.map(|address| Host::new(Instant::ZERO, vec![address], options)),
            rtt,
            in_flight: BinaryHeap::new(),
            line_free: [Instant::ZERO; 2],
            last: [Instant::ZERO; 2],
            random: seed,
            carried: 0,
        }
    }

    /// Below `bound`. A linear congruential generator's upper half (Knuth's constants).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// Puts what the hosts have sent on its way.
    fn collect(&mut self) {
        for from in 0..2 {
            while let Some((sent_at, packet)) = self.hosts[from].next_packet() {
                let time = Duration::from_nanos(packet.len() as u64 * 1_000_000 / RATE);
                let through = self.line_free[from].max(sent_at) + time;
                self.line_free[from] = through;
                let mut arrival = (through + self.rtt / 2).max(self.last[from]);
                if self.below(1_000) < LATE {
                    let quarter = u64::try_from(self.rtt.as_micros()).expect("a short time") / 4;
                    arrival += Duration::from_micros(self.below(quarter));
                } else {
                    self.last[from] = arrival;
                }
                self.carried += 1;
                let packet = (arrival, self.carried, 1 - from, packet);
                self.in_flight.push(Reverse(packet));
            }
        }
    }

    /// Goes on to the next arrival or deadline.
    fn step(&mut self) {
        self.collect();
        let arrival = self.in_flight.peek().map(|Reverse(packet)| packet.0);
        let deadlines = self.hosts.iter().map(Stack::next_deadline);
        let next = deadlines.chain([arrival]).flatten().min();
        let now = next.expect("somebody waits for something");
        for host in &mut self.hosts {
            host.advance_to(now);
        }
        while let Some(Reverse((at, ..))) = self.in_flight.peek()
            && *at <= now
        {
            let Some(Reverse((_, _, to, packet))) = self.in_flight.pop() else {
                return;
            };
            self.hosts[to].inject(&packet);
        }
    }

    /// Connects host 0 to host 1; gives the sockets of both ends.
    fn connect(&mut self, to: SocketAddr) -> [Fd; 2] {
        let listening = self.hosts[1].socket().expect("a socket");
        self.hosts[1].bind(listening, to).expect("a free port");
        self.hosts[1].listen(listening, 1).expect("it may listen");
        let client = self.hosts[0].socket().expect("a socket");
        assert_eq!(self.hosts[0].connect(client, to), Err(Errno::InProgress));
        loop {
            self.step();
            match self.hosts[1].accept(listening) {
                Ok((server, _)) => return [client, server],
                Err(Errno::Again) => {}
                Err(error) => panic!("accept: {error:?}"),
            }
        }
    }

    /// Sends octets from host 0 to host 1; tells how long it took and what the sender says of it.
    fn transfer(&mut self, [from, to]: [Fd; 2]) -> (Duration, TcpInfo) {
        let piece = vec![7; 64 << 10];
        let mut buffer = vec![0; 64 << 10];
        let start = self.hosts[0].now();
        let (mut written, mut read) = (0, 0);
        while read < OCTETS {
            let len = piece.len().min(OCTETS - written);
            if len > 0 {
                written += self.hosts[0].write(from, &piece[..len]).unwrap_or(0);
            }
            self.step();
            while let Ok(len @ 1..) = self.hosts[1].read(to, &mut buffer) {
                read += len;
            }
        }
        let time = self.hosts[0].now().saturating_duration_since(start);
        let info = self.hosts[0].tcp_info(from).expect("a connection");
        (time, info)
    }
}

fn little_is_sent_in_vain(addresses: [IpAddr; 2]) {
    for rtt in [20, 100] {
        for seed in 1..=3 {
            let mut path = Path::new(addresses, Duration::from_millis(rtt), seed);
            let ends = path.connect(SocketAddr::new(addresses[1], 80));
            let (time, info) = path.transfer(ends);
            let field = |name| info.field(name).expect("it is known");
            let again = field("tcpi_bytes_retrans");
            println!("{addresses:?} {rtt} ms, seed {seed}: {again} octets again, {time:?}");
            assert!(again * 100 <= OCTETS as u64, "{again} octets in vain");
            assert_eq!(field("tcpi_reord_seen"), 1);
            assert!(time < LIMIT, "{time:?}");
        }
    }
}

#[test]
fn little_is_sent_in_vain_over_ipv4() {
    little_is_sent_in_vain(
        [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)].map(Into::into),
    );
}

#[test]
fn little_is_sent_in_vain_over_ipv6() {
    let address = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into();
    little_is_sent_in_vain([address(1), address(2)]);
}
