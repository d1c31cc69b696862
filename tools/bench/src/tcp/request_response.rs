//! Requests among many connections that are otherwise idle.
//!
//! [`OUTSTANDING`] clients at a time, chosen at random, wait for a response of 64 octets to a
//! request of 64 octets. So the worker meets a connection again only after that many others.

use netstack::wire::tcp::Flags;

use super::frame::Segment;
use super::message::{self, Kind, LEN, message};
use super::peer::PeerId;
use super::rig::{Rig, Script, Stopwatch};

/// Requests on their way at a time.
pub const OUTSTANDING: u64 = 256;

/// Handshakes on their way at a time.
const OPENING: u32 = 64;

/// The clients and backends of this benchmark.
#[derive(Debug)]
pub struct RequestResponse {
    clients: Vec<Client>,
    /// Handshakes that are over, on both sides.
    established: u32,
    /// Requests of this round: to be made, and answered.
    to_ask: u64,
    answered: u64,
    random: u64,
}

/// What a client expects.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    /// Requests sent.
    asked: u32,
    /// Whether the last one has not been answered.
    waiting: bool,
}

impl RequestResponse {
    /// Connects `clients` clients.
    pub fn connect(rig: &mut Rig, clients: u32) -> Self {
        let mut script = Self {
            clients: vec![Client::default(); clients as usize],
            established: 0,
            to_ask: 0,
            answered: 0,
            random: 1,
        };
        let mut opened = 0;
        while script.established < 2 * clients {
            while opened < clients && 2 * opened < script.established + 2 * OPENING {
                rig.open(opened);
                opened += 1;
            }
            rig.turn(&mut script);
        }
        script
    }

    /// Makes `requests` requests and returns the time in the worker.
    pub fn round(&mut self, rig: &mut Rig, requests: u64) -> Stopwatch {
        rig.lap();
        self.answered = 0;
        let first = OUTSTANDING
            .min(requests)
            .min(self.clients.len() as u64 / 2 + 1);
        self.to_ask = requests;
        for _ in 0..first {
            self.ask(rig);
        }
        while self.answered < requests {
            rig.turn(self);
        }
        rig.lap()
    }

    /// Lets a random client that waits for nothing make a request.
    fn ask(&mut self, rig: &mut Rig) {
        if self.to_ask == 0 {
            return;
        }
        self.to_ask -= 1;
        let number = loop {
            let number = self.next_random() as usize % self.clients.len();
            if !self.clients[number].waiting {
                break number;
            }
        };
        let client = &mut self.clients[number];
        client.waiting = true;
        client.asked += 1;
        let request = message(Kind::Request, number as u32, client.asked);
        let id = PeerId::Client(number as u32);
        rig.send(id, Flags::ACK | Flags::PSH, &request);
    }

    /// Xorshift: cheap, and random enough to defeat caches.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Script for RequestResponse {
    fn established(&mut self, _rig: &mut Rig, _id: PeerId) {
        self.established += 1;
    }

    fn heard(&mut self, rig: &mut Rig, id: PeerId, segment: &Segment<'_>) {
        assert_eq!(segment.payload.len(), LEN, "a message was cut");
        match id {
            PeerId::Backend(_) => {
                let (client, number) = message::read_request(segment.payload);
                let asked = self.clients[client as usize].asked;
                assert_eq!(asked, number, "a request came twice, or late");
                let response = message(Kind::Response, client, number);
                rig.send(id, Flags::ACK | Flags::PSH, &response);
            }
            PeerId::Client(number) => {
                let client = &mut self.clients[number as usize];
                assert!(client.waiting, "nobody asked");
                let expected = message(Kind::Response, number, client.asked);
                assert_eq!(segment.payload, expected, "another one's response");
                client.waiting = false;
                self.answered += 1;
                self.ask(rig);
            }
        }
    }
}
