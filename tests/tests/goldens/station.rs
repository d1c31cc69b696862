//! A station on a link of Weirgate's: clients and servers with a script, on one MAC address.
//!
//! In: frames that Weirgate sends. Out: frames in answer. Nothing is ever lost on the link, so
//! nobody here sends anything again: each side of a connection acknowledges what it receives and
//! goes on with its script.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use netstack::ip::{Ip as _, V6};
use netstack::wire::ethernet::{self, ethertype};
use netstack::wire::tcp::{self, Flags};
use netstack::wire::{arp, ipv4, ipv6, ndp};

use crate::frames::{Macs, Segment};

/// Octets of payload in a segment.
const SEGMENT_LEN: usize = 1_000;

/// What one side of a connection does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Sends so many octets.
    Send(usize),
    /// Waits until so many octets have arrived, all in all.
    Expect(usize),
    /// Ends its direction.
    Close,
    /// Waits for the end of the other direction.
    ExpectEnd,
    /// Resets the connection.
    Reset,
    /// Waits for a reset.
    ExpectReset,
}

/// Everybody on one link.
#[derive(Debug)]
pub(crate) struct Station {
    macs: Macs,
    /// Addresses whose owners are here.
    addresses: Vec<IpAddr>,
    /// Where connections are accepted, and what then happens. Others are refused.
    servers: Vec<(SocketAddr, Vec<Step>)>,
    talks: Vec<Talk>,
}

/// One side of a connection.
#[derive(Debug)]
struct Talk {
    macs: Macs,
    local: SocketAddr,
    remote: SocketAddr,
    snd_nxt: u32,
    rcv_nxt: u32,
    received: usize,
    ended: bool,
    reset: bool,
    script: VecDeque<Step>,
}

impl Station {
    pub(crate) fn new(macs: Macs) -> Self {
        Self {
            macs,
            addresses: Vec::new(),
            servers: Vec::new(),
            talks: Vec::new(),
        }
    }

    /// Serves connections to `address` by `script`.
    pub(crate) fn serve(&mut self, address: &str, script: &[Step]) {
        let address: SocketAddr = address.parse().unwrap();
        self.addresses.push(address.ip());
        self.servers.push((address, script.to_vec()));
    }

    /// Makes `address` exist, with no server on it.
    pub(crate) fn live_at(&mut self, address: &str) {
        self.addresses.push(address.parse().unwrap());
    }

    /// Lets a client connect from `local` to `remote` and follow `script`. Returns its SYN.
    pub(crate) fn connect(&mut self, local: &str, remote: &str, script: &[Step]) -> Vec<u8> {
        let (local, remote): (SocketAddr, SocketAddr) =
            (local.parse().unwrap(), remote.parse().unwrap());
        self.addresses.push(local.ip());
        let mut talk = self.talk(local, remote, script);
        let syn = talk
            .macs
            .segment(local, remote, &Segment::syn(talk.snd_nxt));
        talk.snd_nxt += 1;
        self.talks.push(talk);
        syn
    }

    /// Steps that nobody got to.
    pub(crate) fn left_to_do(&self) -> Vec<(SocketAddr, Vec<Step>)> {
        let unfinished = self.talks.iter().filter(|talk| !talk.script.is_empty());
        unfinished
            .map(|talk| (talk.local, talk.script.iter().copied().collect()))
            .collect()
    }

    /// Takes in a frame. Returns the answers.
    pub(crate) fn handle(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let header = ethernet::Header::parse(frame).unwrap();
        let packet = &frame[ethernet::HEADER_LEN..];
        match header.ethertype {
            ethertype::ARP => self.handle_arp(&arp::Packet::parse(packet).unwrap()),
            ethertype::IPV4 => {
                let header = ipv4::Header::parse(packet).unwrap();
                let hosts = (header.src.into(), header.dst.into());
                self.handle_packet(hosts, header.protocol, header.payload(packet))
            }
            ethertype::IPV6 => {
                let header = ipv6::Header::parse(packet).unwrap();
                let hosts = (header.src.into(), header.dst.into());
                self.handle_packet(hosts, header.next_header, header.payload(packet))
            }
            other => panic!("Weirgate sent a frame of type {other:#06x}"),
        }
    }

    fn handle_arp(&self, packet: &arp::Packet) -> Vec<Vec<u8>> {
        let asked = packet.operation == arp::Operation::Request;
        if !asked || !self.addresses.contains(&packet.target_addr.into()) {
            return Vec::new();
        }
        let asker = (packet.sender_mac, packet.sender_addr);
        vec![self.macs.arp_reply(packet.target_addr, asker)]
    }

    fn handle_packet(
        &mut self,
        (src, dst): (IpAddr, IpAddr),
        protocol: u8,
        payload: &[u8],
    ) -> Vec<Vec<u8>> {
        if protocol == tcp::PROTOCOL {
            let header = tcp::Header::parse(payload).unwrap();
            let ends = (
                SocketAddr::new(dst, header.dport),
                SocketAddr::new(src, header.sport),
            );
            return self.handle_segment(ends, &header, &payload[header.header_len..]);
        }
        let (IpAddr::V6(src), IpAddr::V6(dst), V6::ICMP_PROTOCOL) = (src, dst, protocol) else {
            return Vec::new();
        };
        match ndp::Message::parse(src, dst, ndp::HOP_LIMIT, payload) {
            Ok(ndp::Message::NeighborSolicitation { target, .. })
                if self.addresses.contains(&target.into()) =>
            {
                vec![self.macs.advertisement(target, src)]
            }
            _ => Vec::new(),
        }
    }

    fn handle_segment(
        &mut self,
        (local, remote): (SocketAddr, SocketAddr),
        header: &tcp::Header,
        payload: &[u8],
    ) -> Vec<Vec<u8>> {
        let known = self
            .talks
            .iter_mut()
            .find(|talk| (talk.local, talk.remote) == (local, remote));
        if let Some(talk) = known {
            return talk.handle(header, payload);
        }
        if header.flags != Flags::SYN {
            return Vec::new();
        }
        let Some((_, script)) = self.servers.iter().find(|(address, _)| *address == local) else {
            let refusal = Segment {
                ack: header.seq.wrapping_add(1),
                flags: Flags::RST | Flags::ACK,
                ..Segment::default()
            };
            return vec![self.macs.segment(local, remote, &refusal)];
        };
        let mut talk = self.talk(local, remote, &script.clone());
        let answer = talk.accept(header);
        self.talks.push(talk);
        vec![answer]
    }

    fn talk(&self, local: SocketAddr, remote: SocketAddr, script: &[Step]) -> Talk {
        Talk {
            macs: self.macs,
            local,
            remote,
            snd_nxt: 1_000_000 * (self.talks.len() as u32 + 1),
            rcv_nxt: 0,
            received: 0,
            ended: false,
            reset: false,
            script: script.iter().copied().collect(),
        }
    }
}

impl Talk {
    /// Answers a SYN.
    fn accept(&mut self, header: &tcp::Header) -> Vec<u8> {
        self.rcv_nxt = header.seq.wrapping_add(1);
        let answer = Segment {
            ack: self.rcv_nxt,
            flags: Flags::SYN | Flags::ACK,
            ..Segment::syn(self.snd_nxt)
        };
        self.snd_nxt += 1;
        self.macs.segment(self.local, self.remote, &answer)
    }

    fn handle(&mut self, header: &tcp::Header, payload: &[u8]) -> Vec<Vec<u8>> {
        let syn = header.flags.contains(Flags::SYN);
        let fin = header.flags.contains(Flags::FIN);
        if syn {
            self.rcv_nxt = header.seq.wrapping_add(1);
        } else if header.flags.contains(Flags::RST) {
            self.reset = true;
        } else {
            assert_eq!(header.seq, self.rcv_nxt, "{}: out of order", self.local);
            self.rcv_nxt = self
                .rcv_nxt
                .wrapping_add(payload.len() as u32 + u32::from(fin));
            self.received += payload.len();
            self.ended |= fin;
        }
        let mut answers = Vec::new();
        self.go_on(&mut answers);
        if answers.is_empty() && (syn || fin || !payload.is_empty()) {
            answers.push(self.emit(Flags::ACK, Vec::new()));
        }
        answers
    }

    /// Does what can be done now.
    fn go_on(&mut self, answers: &mut Vec<Vec<u8>>) {
        while let Some(step) = self.script.front() {
            match *step {
                Step::Expect(octets) if self.received < octets => return,
                Step::ExpectEnd if !self.ended => return,
                Step::ExpectReset if !self.reset => return,
                Step::Expect(_) | Step::ExpectEnd | Step::ExpectReset => {}
                Step::Send(octets) => {
                    let octets: Vec<u8> = (0..octets).map(|at| b'a' + (at % 26) as u8).collect();
                    for payload in octets.chunks(SEGMENT_LEN) {
                        answers.push(self.emit(Flags::ACK | Flags::PSH, payload.to_vec()));
                    }
                }
                Step::Close => {
                    answers.push(self.emit(Flags::ACK | Flags::FIN, Vec::new()));
                    self.snd_nxt = self.snd_nxt.wrapping_add(1);
                }
                Step::Reset => answers.push(self.emit(Flags::RST | Flags::ACK, Vec::new())),
            }
            self.script.pop_front();
        }
    }

    fn emit(&mut self, flags: Flags, payload: Vec<u8>) -> Vec<u8> {
        let seq = self.snd_nxt;
        self.snd_nxt = self.snd_nxt.wrapping_add(payload.len() as u32);
        let segment = Segment {
            seq,
            ack: self.rcv_nxt,
            flags,
            payload,
            ..Segment::default()
        };
        self.macs.segment(self.local, self.remote, &segment)
    }
}
