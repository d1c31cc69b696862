//! Two hosts, and a path between them that is long, narrow, lossy or unpunctual, in virtual time.
//!
//! Packets queue for a line in each direction, and are then under way for half of the round trip.
//! Some are lost before the line, one by one or in runs; some are late, and overtaken. What happens
//! follows from the seed, so that a run can be repeated.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use netstack::io::impair::BurstLoss;
use netstack::time::Instant;

use super::{Errno, Fd, Host, Stack, StackOptions};

/// What a path does to packets, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The round trip without queueing.
    pub rtt: Duration,
    /// The line, in octets a millisecond.
    pub rate: u64,
    /// Octets that wait for the line at most.
    pub queue: u64,
    /// Of a million packets, so many are lost by themselves.
    pub loss_ppm: u64,
    /// More losses, that come in runs.
    pub burst_loss: Option<BurstLoss>,
    /// Of a million packets, so many are late by up to a quarter of the round trip.
    pub late_ppm: u64,
}

/// A packet on its way: when it arrives, its place among those that arrive then, to which host.
type InFlight = Reverse<(Instant, u64, usize, Vec<u8>)>;

/// One way of the path.
#[derive(Clone, Copy, Debug)]
struct Direction {
    /// When the line has sent what it got so far.
    line_free: Instant,
    /// The last arrival of those that are not late.
    last: Instant,
    /// The last packet was lost in a run.
    in_burst: bool,
    /// When a host last sent a packet into it.
    sent_at: Instant,
}

/// Two hosts and the path between them.
pub struct Path {
    /// The hosts; connections are opened by the first.
    pub hosts: [Host; 2],
    /// What the path does; may be changed at any time.
    pub weather: Weather,
    in_flight: BinaryHeap<InFlight>,
    directions: [Direction; 2],
    random: u64,
    carried: u64,
    lost: u64,
}

impl Path {
    /// A path between two hosts with these addresses and, in the same order, options.
    pub fn new(
        addresses: [IpAddr; 2],
        options: [StackOptions; 2],
        weather: Weather,
        seed: u64,
    ) -> Self {
        let host = |side: usize| Host::new(Instant::ZERO, vec![addresses[side]], options[side]);
        let direction = Direction {
            line_free: Instant::ZERO,
            last: Instant::ZERO,
            in_burst: false,
            sent_at: Instant::ZERO,
        };
        Self {
            hosts: [host(0), host(1)],
            weather,
            in_flight: BinaryHeap::new(),
            directions: [direction; 2],
            random: seed,
            carried: 0,
            lost: 0,
        }
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.hosts[0].now()
    }

    /// Packets lost so far, by chance or to a full queue.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// When the host last sent something.
    pub fn sent_at(&self, host: usize) -> Instant {
        self.directions[host].sent_at
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
                self.directions[from].sent_at = sent_at;
                if self.is_lost(from, sent_at, packet.len() as u64) {
                    self.lost += 1;
                    continue;
                }
                let arrival = self.arrival(from, sent_at, packet.len() as u64);
                self.carried += 1;
                let packet = (arrival, self.carried, 1 - from, packet);
                self.in_flight.push(Reverse(packet));
            }
        }
    }

    fn is_lost(&mut self, from: usize, sent_at: Instant, len: u64) -> bool {
        if let Some(burst_loss) = self.weather.burst_loss {
            let draw = self.below(1_000_000) as u32;
            let in_burst = burst_loss.takes_next(self.directions[from].in_burst, draw);
            self.directions[from].in_burst = in_burst;
            if in_burst {
                return true;
            }
        }
        if self.below(1_000_000) < self.weather.loss_ppm {
            return true;
        }
        let wait = self.directions[from]
            .line_free
            .saturating_duration_since(sent_at);
        let waiting = wait.as_micros() as u64 * self.weather.rate / 1_000;
        waiting > 0 && waiting + len > self.weather.queue
    }

    fn arrival(&mut self, from: usize, sent_at: Instant, len: u64) -> Instant {
        let time = Duration::from_nanos(len * 1_000_000 / self.weather.rate);
        let direction = &mut self.directions[from];
        let through = direction.line_free.max(sent_at) + time;
        direction.line_free = through;
        let arrival = (through + self.weather.rtt / 2).max(direction.last);
        if self.below(1_000_000) < self.weather.late_ppm {
            let quarter = (self.weather.rtt.as_micros() as u64 / 4).max(1);
            return arrival + Duration::from_micros(self.below(quarter));
        }
        self.directions[from].last = arrival;
        arrival
    }

    /// When something happens next, if ever.
    pub fn next_event(&mut self) -> Option<Instant> {
        self.collect();
        let arrival = self.in_flight.peek().map(|Reverse(packet)| packet.0);
        let deadlines = self.hosts.iter().map(Stack::next_deadline);
        deadlines.chain([arrival]).flatten().min()
    }

    /// Goes on to the next arrival or deadline.
    ///
    /// # Panics
    /// If nobody waits for anything.
    pub fn step(&mut self) {
        let next = self.next_event().expect("somebody waits for something");
        let now = next.max(self.now());
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

    /// Opens so many connections from the first host to `to` at the second; gives the sockets of
    /// both ends of each.
    ///
    /// # Panics
    /// If a connection is refused.
    pub fn connect(&mut self, to: SocketAddr, connections: usize) -> Vec<[Fd; 2]> {
        let listening = self.hosts[1].socket().expect("a socket");
        self.hosts[1].bind(listening, to).expect("a free port");
        self.hosts[1]
            .listen(listening, connections)
            .expect("it may listen");
        let mut ends = Vec::new();
        for _ in 0..connections {
            let client = self.hosts[0].socket().expect("a socket");
            assert_eq!(self.hosts[0].connect(client, to), Err(Errno::InProgress));
            let server = loop {
                self.step();
                match self.hosts[1].accept(listening) {
                    Ok((server, _)) => break server,
                    Err(Errno::Again) => {}
                    Err(error) => panic!("accept: {error:?}"),
                }
            };
            ends.push([client, server]);
        }
        ends
    }
}
