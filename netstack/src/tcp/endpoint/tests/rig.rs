//! One endpoint, and a peer that does what the case tells it.

use core::time::Duration;
use std::sync::Arc;

use crate::counters::Counters;
use crate::io::PacketBuf;
use crate::io::mem::{MemBuf, MemPool};
use crate::ip::{FiveTuple, Ip, IpAddress, NetworkId};
use crate::tcp::endpoint::{
    Arrival, ConnId, ConnectTarget, Endpoint, EndpointConfig, Event, Misdirected,
};
use crate::tcp::{
    ConnectionOptions, EngineKind, Listener, ListenerId, Output, PROTOCOL, Segment, TcpIp, Timeouts,
};
use crate::time::Instant;
use crate::wire::ip_header::{self, HeaderIp};
use crate::wire::tcp::{Flags, HEADER_LEN, Header, Options};

pub(super) const MTU: usize = 1500;
pub(super) const LISTENER: ListenerId = ListenerId(3);
pub(super) const LISTEN_PORT: u16 = 80;
pub(super) const BACKEND_PORT: u16 = 8080;
pub(super) const OWNER: u32 = 7;
pub(super) const SECRET: [u64; 4] = [11, 12, 13, 14];
pub(super) const START: Instant = Instant::from_millis(1_000_000);
/// What the peer's sequence numbers start from; near the wrap.
pub(super) const PEER_ISS: u32 = u32::MAX - 100;

pub(super) const SYN: Flags = Flags::SYN;
pub(super) const ACK: Flags = Flags::ACK;
pub(super) const RST: Flags = Flags::RST;
pub(super) const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
pub(super) const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
pub(super) const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);

/// More turns in one second of virtual time are a busy loop.
const TURNS_PER_SECOND: u32 = 2_000;

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn address<I: Ip>(host: u8) -> I::Addr {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[I::Addr::LEN - 1] = host;
    I::Addr::from_octets(&octets).unwrap()
}

pub(super) fn options(engine: EngineKind) -> ConnectionOptions {
    ConnectionOptions {
        engine,
        receive_buffer: 4096,
        send_buffer: 4096,
        mss: u16::MAX,
        ..ConnectionOptions::default()
    }
}

pub(super) fn config() -> EndpointConfig {
    EndpointConfig {
        max_connections: 6,
        max_accepted: 5,
        syn_backlog: 3,
        time_wait_entries: 8,
        timeouts: Timeouts {
            handshake: seconds(10),
            connect: seconds(5),
            idle: seconds(300),
            half_closed: seconds(60),
            fin_wait_2: seconds(30),
            user: seconds(20),
            time_wait: seconds(60),
        },
        mtu: MTU,
        buffers: 200,
        resets_per_second: 10,
        source_ports: 40_000..=40_099,
        worker: 0,
        workers: 2,
        secret: SECRET,
    }
}

/// Where the endpoint's packets go.
pub(super) struct Lane {
    pool: MemPool,
    pub(super) sent: Vec<MemBuf>,
    pub(super) blocked: bool,
    pub(super) lost: u32,
}

impl Output for Lane {
    type Buf = MemBuf;

    fn alloc(&mut self) -> Option<MemBuf> {
        if self.blocked {
            return None;
        }
        self.pool.alloc()
    }

    fn send(&mut self, packet: MemBuf) {
        self.sent.push(packet);
    }

    fn lost(&mut self) {
        self.lost += 1;
    }
}

/// A packet of the endpoint, as the peer sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

impl Sent {
    pub(super) fn flags(&self) -> Flags {
        self.header.flags.without(Flags::PSH)
    }
}

/// The peer's end of a connection: what its next segment says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) sport: u16,
    pub(super) dport: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) options: Options,
}

impl Peer {
    pub(super) fn client(sport: u16) -> Self {
        Self {
            sport,
            dport: LISTEN_PORT,
            seq: PEER_ISS,
            ack: 0,
            window: 10_000,
            options: Options {
                mss: Some(1460),
                ..Options::default()
            },
        }
    }

    /// Whether the endpoint sent `packet` to this peer.
    fn is_for(&self, header: &Header) -> bool {
        (header.dport, header.sport) == (self.sport, self.dport)
    }

    pub(super) fn flow<I: Ip>(&self) -> FiveTuple<I> {
        FiveTuple {
            src: address::<I>(1),
            dst: address::<I>(2),
            sport: self.sport,
            dport: self.dport,
            protocol: PROTOCOL,
        }
    }
}

/// The endpoint, its surroundings, and the time.
pub(super) struct Rig<I: TcpIp> {
    pub(super) endpoint: Endpoint<MemBuf>,
    pub(super) counters: Arc<Counters>,
    pub(super) lane: Lane,
    pub(super) now: Instant,
    pub(super) accepted: Vec<ConnId>,
    pub(super) progress: Vec<ConnId>,
    /// What runs its connections.
    engine: EngineKind,
    second: (u64, u32),
    version: core::marker::PhantomData<I>,
}

/// The sums of what native connections do.
const SUMS: [&str; 4] = [
    "tcp_buffers_held",
    "tcp_loss_probes",
    "tcp_timeouts",
    "tcp_window_probes",
];

impl<I: TcpIp> Rig<I> {
    pub(super) fn new(engine: EngineKind) -> Self {
        Self::with(config(), options(engine))
    }

    pub(super) fn with(config: EndpointConfig, options: ConnectionOptions) -> Self {
        let counters = Arc::new(Counters::new());
        let listener = Listener {
            id: LISTENER,
            network: NetworkId::BARE,
            address: (address::<I>(2).into(), LISTEN_PORT).into(),
            options: Arc::new(options),
        };
        let endpoint = Endpoint::new(START, config, [listener], Arc::clone(&counters)).unwrap();
        Self {
            endpoint,
            counters,
            lane: Lane {
                pool: MemPool::new(256, MTU),
                sent: Vec::new(),
                blocked: false,
                lost: 0,
            },
            now: START,
            accepted: Vec::new(),
            progress: Vec::new(),
            engine: options.engine,
            second: (0, 0),
            version: core::marker::PhantomData,
        }
    }

    /// Connections that we begin are run by `engine` from now on.
    pub(super) fn become_engine(&mut self, engine: EngineKind) {
        self.engine = engine;
    }

    /// Hands in a segment of the peer, without a turn after it.
    pub(super) fn inject(
        &mut self,
        peer: &Peer,
        flags: Flags,
        payload: &[u8],
    ) -> Result<(), Misdirected<MemBuf>> {
        let octets = segment::<I>(peer, flags, payload);
        self.deliver(peer.flow(), &octets)
    }

    /// Hands in a packet.
    pub(super) fn deliver(
        &mut self,
        flow: FiveTuple<I>,
        octets: &[u8],
    ) -> Result<(), Misdirected<MemBuf>> {
        let segment = received_segment::<I>(octets);
        let arrival = Arrival {
            now: self.now,
            network: NetworkId::BARE,
            flow,
            mtu: MTU,
            guess: None,
            elsewhere: false,
        };
        self.endpoint
            .handle_segment(arrival, segment, &mut self.lane)
    }

    /// Hands in a segment of the peer, runs a turn, and returns what came back to this peer.
    pub(super) fn send(&mut self, peer: &Peer, flags: Flags, payload: &[u8]) -> Vec<Sent> {
        self.inject(peer, flags, payload).unwrap();
        self.settle();
        self.take(peer)
    }

    /// Does everything that is due without time passing.
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.endpoint.poll_event(self.now, &mut self.lane) {
            match event {
                Event::Accepted { id, listener, .. } => {
                    assert_eq!(listener, LISTENER);
                    self.endpoint.claim(id, OWNER);
                    self.accepted.push(id);
                    self.flush(id);
                }
                Event::Progress { id, owner } => {
                    assert_eq!(owner, OWNER);
                    self.progress.push(id);
                    self.flush(id);
                }
            }
        }
    }

    pub(super) fn turn(&mut self) {
        let second = self.now.as_nanos() / 1_000_000_000;
        if self.second.0 != second {
            self.second = (second, 0);
        }
        self.second.1 += 1;
        assert!(self.second.1 < TURNS_PER_SECOND, "a busy loop");
        self.endpoint.handle_timeouts(self.now);
        self.settle();
    }

    /// Lets time pass, with a turn whenever the endpoint wants one and at the end.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    /// What the endpoint has sent to `peer`. Nothing may have been sent to anybody else.
    pub(super) fn take(&mut self, peer: &Peer) -> Vec<Sent> {
        let sent: Vec<_> = self
            .lane
            .sent
            .drain(..)
            .map(|p| parse::<I>(p.data()))
            .collect();
        for packet in &sent {
            assert!(peer.is_for(&packet.header), "{packet:?} is for another");
        }
        sent
    }

    pub(super) fn flush(&mut self, id: ConnId) {
        self.endpoint.flush(id, self.now, &mut self.lane);
    }

    pub(super) fn release(&mut self, id: ConnId) {
        self.endpoint.release(id, self.now, &mut self.lane);
    }

    pub(super) fn close(&mut self, id: ConnId) {
        self.endpoint.connection(id).close();
        self.flush(id);
    }

    pub(super) fn write(&mut self, id: ConnId, octets: &[u8]) -> usize {
        let written = self
            .endpoint
            .connection(id)
            .send(crate::tcp::Chunk::new(octets), &mut self.lane);
        self.flush(id);
        written
    }

    /// Reads and consumes everything that is there.
    pub(super) fn read(&mut self, id: ConnId) -> Vec<u8> {
        let mut octets = Vec::new();
        while let Some(chunk) = self.endpoint.connection(id).received() {
            octets.extend_from_slice(chunk.octets());
            let len = chunk.octets().len();
            self.endpoint.connection(id).consume(len);
        }
        self.flush(id);
        octets
    }

    /// A client from `sport` with an established connection.
    pub(super) fn establish(&mut self, sport: u16) -> (ConnId, Peer) {
        self.establish_as(Peer::client(sport))
    }

    pub(super) fn establish_as(&mut self, mut peer: Peer) -> (ConnId, Peer) {
        let replies = self.send(&peer, SYN, &[]);
        assert_eq!(replies.len(), 1, "{replies:?}");
        assert_eq!(replies[0].flags(), SYN_ACK);
        peer.seq = peer.seq.wrapping_add(1);
        peer.ack = replies[0].header.seq.wrapping_add(1);
        peer.options = Options::default();
        assert!(self.send(&peer, ACK, &[]).is_empty());
        (self.accepted.pop().expect("accepted"), peer)
    }

    /// A connection that we begin, and the backend as it has to answer.
    pub(super) fn connect(&mut self) -> (ConnId, Peer) {
        let target = ConnectTarget::<I> {
            mtu: MTU,
            by: Instant::FAR_FUTURE,
            network: NetworkId::BARE,
            local: address::<I>(2),
            remote: (address::<I>(1), BACKEND_PORT),
        };
        let id = self
            .endpoint
            .connect(
                self.now,
                target,
                &Arc::new(options(self.engine)),
                OWNER,
                |_| true,
            )
            .unwrap();
        let dport = self.endpoint.flow(id).local().port();
        self.flush(id);
        let mut peer = Peer {
            sport: BACKEND_PORT,
            dport,
            ..Peer::client(BACKEND_PORT)
        };
        let sent = self.take(&peer);
        assert_eq!((sent.len(), sent[0].flags()), (1, SYN));
        peer.ack = sent[0].header.seq.wrapping_add(1);
        (id, peer)
    }

    /// An established connection that we began.
    pub(super) fn connected(&mut self) -> (ConnId, Peer) {
        let (id, mut peer) = self.connect();
        let replies = self.send(&peer, SYN_ACK, &[]);
        peer.seq = peer.seq.wrapping_add(1);
        peer.options = Options::default();
        assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
        assert_eq!(replies[0].header.ack, peer.seq);
        (id, peer)
    }

    /// All counters that are not zero, gauges included, are these.
    pub(super) fn assert_counters(&mut self, expected: &[(&str, u64)]) {
        self.endpoint.handle_timeouts(self.now);
        let mut counted = self.counters.non_zero();
        // What only the native engine tells of itself has cases of its own.
        counted.retain(|(name, _)| !SUMS.contains(&name.as_str()));
        counted.sort();
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        expected.sort();
        assert_eq!(counted, expected);
    }

    /// Nothing is left: no connection, no timer, no port, no buffer.
    pub(super) fn assert_empty(&mut self) {
        assert!(self.endpoint.is_empty(), "a connection is left");
        let timer = self.endpoint.timers.next_deadline();
        assert_eq!(timer, None, "a timer is left");
        assert_eq!((self.endpoint.accepted, self.endpoint.half_open), (0, 0));
        assert!(self.endpoint.demux.connections.is_empty(), "a flow is left");
        self.lane.sent.clear();
        assert_eq!(self.lane.pool.available(), 256, "a buffer is left");
        let held = self.endpoint.context.buffers_held();
        assert_eq!(held, 0, "the budget counts buffers that nobody holds");
    }
}

/// A packet as the worker's pipeline hands it in.
pub(super) fn received_segment<I: Ip>(octets: &[u8]) -> Segment<MemBuf> {
    Segment {
        header: Header::parse(&octets[I::HEADER_LEN..]).unwrap(),
        packet: MemBuf::from_frame(octets),
        tcp_offset: I::HEADER_LEN,
        payload_sum: None,
    }
}

/// A segment of the peer in an IP packet.
fn segment<I: HeaderIp>(peer: &Peer, flags: Flags, payload: &[u8]) -> Vec<u8> {
    segment_between::<I>((1, 2), peer, flags, payload)
}

/// A segment that says what `peer` says, from one host to another.
pub(super) fn segment_between<I: HeaderIp>(
    (from, to): (u8, u8),
    peer: &Peer,
    flags: Flags,
    payload: &[u8],
) -> Vec<u8> {
    let header = Header {
        sport: peer.sport,
        dport: peer.dport,
        seq: peer.seq,
        ack: if flags.contains(ACK) { peer.ack } else { 0 },
        flags,
        window: peer.window,
        urgent: 0,
        header_len: HEADER_LEN,
        options: peer.options,
    };
    let mut octets = vec![0; I::HEADER_LEN + header.emit_len()];
    header.emit(&mut octets[I::HEADER_LEN..]);
    octets.extend_from_slice(payload);
    let ip = ip_header::Header::<I> {
        src: address::<I>(from),
        dst: address::<I>(to),
        protocol: PROTOCOL,
        hop_limit: 64,
        ecn: 0,
        payload_len: octets.len() - I::HEADER_LEN,
    };
    I::emit_header(&ip, &mut octets);
    octets
}

/// What the endpoint sent, without its IP header.
pub(super) fn parse<I: Ip>(packet: &[u8]) -> Sent {
    assert_eq!(packet[0] >> 4, I::VERSION);
    assert!(packet.len() <= MTU);
    let octets = &packet[I::HEADER_LEN..];
    let header = Header::parse(octets).unwrap();
    assert!(header.flags.is_sane(), "{header:?}");
    Sent {
        payload: octets[header.header_len..].to_vec(),
        header,
    }
}
