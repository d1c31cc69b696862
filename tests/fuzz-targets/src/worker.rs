//! A whole worker fed arbitrary frames, in memory and in a time of its own.
//!
//! The input is a list of actions: frames that are noise; frames whose outer headers are right, so
//! that noise gets further in; segments of flows that exist, aimed near their sequence numbers;
//! time that passes; a port that takes nothing. The [`Station`] asserts conservation after every
//! turn and that no buffer is lost at the end; everything the worker sends must be well-formed.

use core::time::Duration;

use netstack::ip::{V4, V6};
use netstack::wire::icmp::{Error, Message, Unreachable};
use netstack::wire::tcp::Flags;
use netstack::wire::udp;
use weirgate_tests::station::frame::{
    BACKEND_MAC, CLIENT_MAC, Tcp, TestIp, US_MAC, ethernet, ethernet_between, icmp, packet,
    packet_with_hops,
};
use weirgate_tests::station::sent::{describe, segment};
use weirgate_tests::station::{CONFIG, Station};

/// Buffers of the station: few, so that running out is tried too.
const BUFFERS: usize = 48;

/// Flows that are remembered.
const MAX_FLOWS: usize = 16;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut play = Play {
        station: Station::new(CONFIG, BUFFERS),
        v4: Vec::new(),
        v6: Vec::new(),
    };
    play.station.meet();
    while let Some(action) = input.octet() {
        play.act(action, &mut input);
        // Frames of several actions may share a turn.
        if action & 0x80 == 0 {
            play.turn();
        }
    }
    play.station.set_tx_limit(usize::MAX);
    for _ in 0..8 {
        play.turn();
        play.station.advance(Duration::from_secs(61));
    }
    play.station.finish();
}

/// Octets that are taken from the front; zeros once they have run out.
struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*octet)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([
            self.octet().unwrap_or_default(),
            self.octet().unwrap_or_default(),
        ])
    }

    /// As many octets as the next one says, times `scale`.
    fn octets(&mut self, scale: usize) -> &'d [u8] {
        let len = usize::from(self.octet().unwrap_or_default()) * scale;
        let (octets, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        octets
    }
}

/// A flow with the station, as the other end sees it.
#[derive(Clone, Copy)]
struct Flow<I: TestIp> {
    peer: I::Addr,
    /// Port of the peer.
    sport: u16,
    /// Port of the station.
    dport: u16,
    /// What the station expects next.
    seq: u32,
    /// What the station sends next.
    ack: u32,
}

struct Play {
    station: Station,
    v4: Vec<Flow<V4>>,
    v6: Vec<Flow<V6>>,
}

impl Play {
    fn act(&mut self, action: u8, input: &mut Input<'_>) {
        match action & 0x0f {
            0 => self.station.inject(input.octets(8)),
            1 => {
                let kinds = [0x0800, 0x0806, 0x86dd, 0x8100];
                let kind = kinds[usize::from(input.octet().unwrap_or_default() & 3)];
                let frame = ethernet(kind, input.octets(6));
                self.station.inject(&frame);
            }
            2 => self.noise_in_packet::<V4>(input),
            3 => self.noise_in_packet::<V6>(input),
            4 => self.icmp::<V4>(input),
            5 => self.icmp::<V6>(input),
            6 | 7 => self.opening::<V4>(input),
            8 => self.opening::<V6>(input),
            9 | 10 => {
                let flows = self.v4.clone();
                self.segment(&flows, input);
            }
            11 => {
                let flows = self.v6.clone();
                self.segment(&flows, input);
            }
            12 => self
                .station
                .advance(Duration::from_millis(input.word().into())),
            13 => self
                .station
                .advance(Duration::from_secs(input.word().into())),
            14 => {
                let limit = usize::from(input.octet().unwrap_or_default());
                self.station
                    .set_tx_limit(if limit > 127 { usize::MAX } else { limit });
            }
            _ => self.unreachable(input),
        }
    }

    fn turn(&mut self) {
        self.station.turn();
        for frame in self.station.take_sent() {
            describe(&frame);
            note(&mut self.v4, &frame);
            note(&mut self.v6, &frame);
        }
    }

    /// A packet of any protocol with noise in it; a datagram has a right header every other time.
    fn noise_in_packet<I: TestIp>(&mut self, input: &mut Input<'_>) {
        let (protocol, hop_limit) = (input.word() as u8, 255);
        let noise = input.octets(6);
        let packet = if protocol == udp::PROTOCOL && noise.len().is_multiple_of(2) {
            let datagram = weirgate_tests::station::frame::udp::<I>(53, noise);
            packet::<I>(I::CLIENT, I::US, protocol, &datagram)
        } else {
            packet_with_hops::<I>(I::CLIENT, I::US, protocol, hop_limit, noise)
        };
        self.station.inject(&ethernet(I::ETHERTYPE, &packet));
    }

    /// An ICMP message of any type with a right checksum, to us or to a group.
    fn icmp<I: TestIp>(&mut self, input: &mut Input<'_>) {
        let [kind, code] = input.word().to_be_bytes();
        let [r0, r1] = input.word().to_be_bytes();
        let rest = [r0, r1, 0, 0];
        let octets = icmp::<I>(
            I::CLIENT,
            I::US,
            Message::Other { kind, code, rest },
            input.octets(6),
        );
        let packet = packet_with_hops::<I>(I::CLIENT, I::US, I::ICMP_PROTOCOL, 255, &octets);
        self.station.inject(&ethernet(I::ETHERTYPE, &packet));
    }

    /// A SYN to the listener, with any options.
    fn opening<I: TestIp>(&mut self, input: &mut Input<'_>) {
        let mut syn = Tcp::new(Flags::SYN);
        syn.sport += u16::from(input.octet().unwrap_or_default());
        syn.seq = u32::from(input.word()) << 16 | 0xffff;
        syn.options = input.octets(1).to_vec();
        self.station.inject(&syn.frame::<I>());
    }

    /// A segment of a flow, near what the station expects.
    fn segment<I: TestIp>(&mut self, flows: &[Flow<I>], input: &mut Input<'_>) {
        let [which, flags] = input.word().to_be_bytes();
        let near = |input: &mut Input<'_>| {
            let shift = i32::from(input.octet().unwrap_or_default().cast_signed());
            // Small steps exactly, larger ones out of any window.
            (if shift.abs() < 64 { shift } else { shift << 20 }).cast_unsigned()
        };
        let (seq, ack) = (near(input), near(input));
        let Some(flow) = flows.get(usize::from(which) % flows.len().max(1)) else {
            return;
        };
        let segment = Tcp {
            sport: flow.sport,
            dport: flow.dport,
            seq: flow.seq.wrapping_add(seq),
            ack: flow.ack.wrapping_add(ack),
            flags: Flags(flags),
            window: input.word(),
            options: input.octets(1).to_vec(),
            payload: input.octets(12).to_vec(),
        };
        let source = if flow.peer == I::BACKEND {
            BACKEND_MAC
        } else {
            CLIENT_MAC
        };
        let packet = segment.between::<I>(flow.peer, I::US);
        self.station
            .inject(&ethernet_between(source, US_MAC, I::ETHERTYPE, &packet));
    }

    /// The network's word that a segment of a flow did not arrive.
    fn unreachable(&mut self, input: &mut Input<'_>) {
        let [which, kind] = input.word().to_be_bytes();
        let Some(flow) = self.v4.get(usize::from(which) % self.v4.len().max(1)) else {
            return;
        };
        let quoted = Tcp {
            sport: flow.dport,
            dport: flow.sport,
            seq: flow.ack.wrapping_sub(1),
            ..Tcp::new(Flags::SYN)
        };
        let quoted = quoted.between::<V4>(V4::US, flow.peer);
        let error = match kind % 3 {
            0 => Error::Unreachable(Unreachable::Host),
            1 => Error::ProtocolUnreachable { pointer: 0 },
            _ => Error::PacketTooBig { mtu: 68 },
        };
        let octets = icmp::<V4>(V4::CLIENT, V4::US, Message::Error(error), &quoted);
        let packet = packet::<V4>(V4::CLIENT, V4::US, 1, &octets);
        self.station.inject(&ethernet(0x0800, &packet));
    }
}

/// Notes what a frame of the station tells about a flow.
fn note<I: TestIp>(flows: &mut Vec<Flow<I>>, frame: &[u8]) {
    let Some(sent) = segment::<I>(frame) else {
        return;
    };
    let header = sent.header;
    let marks =
        u32::from(header.flags.contains(Flags::SYN)) + u32::from(header.flags.contains(Flags::FIN));
    let flow = Flow {
        peer: sent.dst,
        sport: header.dport,
        dport: header.sport,
        seq: header.ack,
        ack: header.seq.wrapping_add(sent.payload_len as u32 + marks),
    };
    let ends = |flow: &Flow<I>| (flow.peer, flow.sport, flow.dport);
    match flows.iter().position(|known| ends(known) == ends(&flow)) {
        Some(at) => flows[at] = flow,
        None if flows.len() < MAX_FLOWS => flows.push(flow),
        None => {}
    }
}
