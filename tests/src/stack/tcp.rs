//! The only file here that knows `netstack`'s endpoints, connections and segments.
//!
//! An endpoint listens where it was told when it was made, so there is one for each local port,
//! made by `listen` or `connect`. Packets find theirs by the destination port; what is addressed to
//! a port without one goes to an endpoint that has nothing, and answers as such.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use netstack::counters::Counters;
use netstack::io::mem::MemBuf;
use netstack::ip::{FiveTuple, Ip, NetworkId, V4, V6};
use netstack::tcp::{
    Arrival, Chunk, CloseCause, ConnId, ConnectError, ConnectTarget, ConnectionOptions, Endpoint,
    EndpointConfig, EngineKind, Event, Info, Keepalive, Listener, ListenerId, PacketTooBig,
    Segment, State, TcpIp, UnreachableError,
};
use netstack::time::Instant;
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::icmp::{self, Error, IcmpIp, Message, Unreachable};
use netstack::wire::tcp::{Header, PROTOCOL};
use netstack::wire::{ipv4, ipv6};

use super::outbox::Outbox;
use super::{Errno, StackOptions};

/// Connections of a local port, in any state.
const MAX_CONNECTIONS: usize = 256;

/// Turns until an endpoint has nothing more to do at one moment. More of them means that it never
/// comes to rest.
const MAX_TURNS: usize = 1000;

/// The session that holds every connection.
const OWNER: u32 = 0;

/// A connection: its local port, and its name at the endpoint of that port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Conn {
    port: u16,
    id: ConnId,
}

/// A connection that a client opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) conn: Conn,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// All TCP of a host.
pub(super) struct Tcp {
    /// By local port.
    endpoints: BTreeMap<u16, Endpoint<MemBuf>>,
    /// Answers segments to ports without an endpoint.
    nobody: Endpoint<MemBuf>,
    accepted: VecDeque<Accepted>,
    /// The last ICMP error that a connection of the port was told of.
    unreachable: BTreeMap<u16, Errno>,
    mtu: usize,
    out: Outbox,
}

impl Tcp {
    pub(super) fn new(now: Instant, options: &StackOptions) -> Self {
        let nobody = endpoint(now, options, 1, 1, None).expect("one source port for one worker");
        Self {
            endpoints: BTreeMap::new(),
            nobody,
            accepted: VecDeque::new(),
            unreachable: BTreeMap::new(),
            mtu: options.mtu,
            out: Outbox::new(now, options.mtu, options.send_buffers),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.out.now()
    }

    /// Accepts connections to `local`.
    pub(super) fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        options: &StackOptions,
    ) -> Result<(), Errno> {
        let port = local.port();
        if self.endpoints.get(&port).is_some_and(|old| !old.is_empty()) {
            return Err(Errno::AddressInUse);
        }
        let listener = Listener {
            id: ListenerId(0),
            network: NetworkId::BARE,
            address: local,
            options: Arc::new(connection_options(options)),
        };
        let made = endpoint(self.now(), options, port, backlog.max(1), Some(listener));
        self.endpoints.insert(port, made.ok_or(Errno::Invalid)?);
        Ok(())
    }

    /// Accepts no more connections at `port`; those that exist go on.
    pub(super) fn stop_listening(&mut self, port: u16) {
        if let Some(endpoint) = self.endpoints.get_mut(&port) {
            endpoint.stop_listening();
        }
    }

    /// Opens a connection.
    pub(super) fn connect(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        options: &StackOptions,
    ) -> Result<Conn, Errno> {
        let now = self.now();
        let port = local.port();
        let endpoint = match self.endpoints.entry(port) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let made = endpoint(now, options, port, 1, None);
                entry.insert(made.ok_or(Errno::Invalid)?)
            }
        };
        let id = match (local.ip(), remote.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                connect::<V4>(endpoint, now, options, from, (to, remote.port()))
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                connect::<V6>(endpoint, now, options, from, (to, remote.port()))
            }
            _ => return Err(Errno::Invalid),
        };
        let id = id.map_err(|error| match error {
            ConnectError::NoPort => Errno::AddressInUse,
            ConnectError::NoConnection => Errno::NoBuffers,
        })?;
        let conn = Conn { port, id };
        self.flush(conn);
        Ok(conn)
    }

    /// The next connection that a client has opened.
    pub(super) fn poll_accepted(&mut self) -> Option<Accepted> {
        self.accepted.pop_front()
    }

    /// The connection's state.
    pub(super) fn state(&mut self, conn: Conn) -> State {
        self.connection(conn).state()
    }

    /// What the engine of the connection knows of it.
    pub(super) fn info(&mut self, conn: Conn) -> Info {
        let now = self.now();
        self.connection(conn).info(now)
    }

    /// How the connection ended; `None` while it lives.
    pub(super) fn ended(&mut self, conn: Conn) -> Option<CloseCause> {
        self.connection(conn).ended()
    }

    /// Whether the handshake is over and the connection has not ended.
    pub(super) fn is_established(&mut self, conn: Conn) -> bool {
        self.connection(conn).is_established()
    }

    /// Whether the peer has ended its direction and everything it sent has been read.
    pub(super) fn receive_finished(&mut self, conn: Conn) -> bool {
        self.connection(conn).receive_finished()
    }

    /// Whether there is anything to read.
    pub(super) fn has_received(&mut self, conn: Conn) -> bool {
        self.connection(conn).received().is_some()
    }

    /// Octets queued that the peer has not acknowledged.
    pub(super) fn send_queue(&mut self, conn: Conn) -> usize {
        self.connection(conn).send_queue()
    }

    /// Octets received and not read; of smoltcp's, those that are contiguous in memory.
    pub(super) fn receive_queue(&mut self, conn: Conn) -> usize {
        let now = self.now();
        let connection = self.connection(conn);
        let told = connection.info(now).receive_queue as usize;
        let next = connection.received().map(|chunk| chunk.octets().len());
        next.map_or(0, |next| next.max(told))
    }

    /// Why the network said that the peer of a connection cannot be reached.
    pub(super) fn unreachable(&self, conn: Conn) -> Option<Errno> {
        self.unreachable.get(&conn.port).copied()
    }

    /// Reads what was received, as much as there is and fits.
    pub(super) fn read(&mut self, conn: Conn, out: &mut [u8]) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(&conn.port) else {
            return 0;
        };
        let connection = endpoint.connection(conn.id);
        let mut len = 0;
        while len < out.len()
            && let Some(chunk) = connection.received()
        {
            let taken = chunk.octets().len().min(out.len() - len);
            out[len..len + taken].copy_from_slice(&chunk.octets()[..taken]);
            connection.consume(taken);
            len += taken;
        }
        self.flush(conn);
        len
    }

    /// Reads without taking away; only what is contiguous in memory.
    pub(super) fn peek(&mut self, conn: Conn, out: &mut [u8]) -> usize {
        let Some(chunk) = self.connection(conn).received() else {
            return 0;
        };
        let len = chunk.octets().len().min(out.len());
        out[..len].copy_from_slice(&chunk.octets()[..len]);
        len
    }

    /// Queues octets to be sent; returns how many.
    pub(super) fn write(&mut self, conn: Conn, octets: &[u8]) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(&conn.port) else {
            return 0;
        };
        let connection = endpoint.connection(conn.id);
        let mut len = 0;
        while len < octets.len() {
            let taken = connection.send(Chunk::new(&octets[len..]), &mut self.out);
            if taken == 0 {
                break;
            }
            len += taken;
        }
        self.flush(conn);
        len
    }

    /// Ends our direction after all that is queued.
    pub(super) fn close(&mut self, conn: Conn) {
        self.connection(conn).close();
        self.flush(conn);
    }

    /// Ends the connection by an RST.
    pub(super) fn abort(&mut self, conn: Conn) {
        self.connection(conn).abort();
        self.flush(conn);
    }

    /// Gives the connection up. It must not be named again.
    pub(super) fn release(&mut self, conn: Conn) {
        let now = self.now();
        if let Some(endpoint) = self.endpoints.get_mut(&conn.port) {
            endpoint.release(conn.id, now, &mut self.out);
        }
        self.settle();
    }

    /// Takes in a raw IP packet. One that is not right is dropped.
    pub(super) fn inject(&mut self, packet: &[u8]) {
        match packet.first().map(|first| first >> 4) {
            Some(V4::VERSION) => {
                if let Ok(header) = ipv4::Header::parse(packet)
                    && ipv4::verify_checksum(packet)
                {
                    self.inject_ip::<V4>(&packet[..header.total_len]);
                }
            }
            Some(V6::VERSION) => {
                if let Ok(header) = ipv6::Header::parse(packet) {
                    self.inject_ip::<V6>(&packet[..ipv6::HEADER_LEN + header.payload_len]);
                }
            }
            _ => {}
        }
        self.settle();
    }

    /// The oldest packet that was sent and not taken.
    pub(super) fn next_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.out.take()
    }

    /// When time must go on at the latest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.endpoints
            .values()
            .filter_map(Endpoint::poll_timeout)
            .min()
    }

    /// Moves the clock to `now` and does what is due.
    pub(super) fn set_now(&mut self, now: Instant) {
        self.out.set_now(now);
        self.settle();
    }

    fn connection(&mut self, conn: Conn) -> &mut netstack::tcp::Connection<MemBuf> {
        self.endpoints
            .get_mut(&conn.port)
            .expect("a connection's endpoint is not removed while it is held")
            .connection(conn.id)
    }

    fn flush(&mut self, conn: Conn) {
        let now = self.now();
        if let Some(endpoint) = self.endpoints.get_mut(&conn.port) {
            endpoint.flush(conn.id, now, &mut self.out);
        }
        self.settle();
    }

    /// Does everything that is due now.
    fn settle(&mut self) {
        let now = self.now();
        for (port, endpoint) in &mut self.endpoints {
            for _ in 0..MAX_TURNS {
                endpoint.handle_timeouts(now);
                while let Some(event) = endpoint.poll_event(now, &mut self.out) {
                    let id = match event {
                        Event::Accepted { id, flow, .. } => {
                            endpoint.claim(id, OWNER);
                            self.accepted.push_back(Accepted {
                                conn: Conn { port: *port, id },
                                local: flow.local(),
                                remote: flow.remote(),
                            });
                            id
                        }
                        Event::Progress { id, .. } => id,
                    };
                    endpoint.flush(id, now, &mut self.out);
                }
                if endpoint.poll_timeout().is_none_or(|at| at > now) {
                    break;
                }
            }
        }
    }

    fn inject_ip<I: TcpIp + IcmpIp>(&mut self, packet: &[u8]) {
        let Ok(header) = I::parse_quoted_header(packet) else {
            return;
        };
        // The engines take packets without IP options and extension headers, as the worker's parser
        // leaves them; none are sent here.
        if header.upper != Some(I::HEADER_LEN) {
            return;
        }
        let upper = &packet[I::HEADER_LEN..];
        if header.protocol == PROTOCOL {
            if let Ok(tcp) = Header::parse(upper)
                && tcp.flags.is_sane()
                && verify_transport_checksum::<I>(header.src, header.dst, PROTOCOL, upper)
            {
                let flow = FiveTuple::<I> {
                    src: header.src,
                    dst: header.dst,
                    sport: tcp.sport,
                    dport: tcp.dport,
                    protocol: PROTOCOL,
                };
                self.inject_segment(flow, packet, tcp);
            }
        } else if header.protocol == I::ICMP_PROTOCOL
            && icmp::verify_checksum::<I>(header.src, header.dst, upper)
            && let Ok(Message::Error(error)) = Message::parse::<I>(upper)
        {
            self.inject_error::<I>(error, &upper[icmp::HEADER_LEN..]);
        }
    }

    fn inject_segment<I: TcpIp>(&mut self, flow: FiveTuple<I>, packet: &[u8], header: Header) {
        let arrival = Arrival {
            now: self.now(),
            network: NetworkId::BARE,
            flow,
            mtu: self.mtu,
            guess: None,
            elsewhere: false,
        };
        let segment = Segment {
            packet: MemBuf::from_frame(packet),
            tcp_offset: I::HEADER_LEN,
            payload_sum: None,
            header,
        };
        let endpoint = self.endpoints.get_mut(&flow.dport);
        let endpoint = endpoint.unwrap_or(&mut self.nobody);
        let taken = endpoint.handle_segment(arrival, segment, &mut self.out);
        debug_assert!(taken.is_ok(), "there is only one worker");
    }

    /// Errors go the way of the proxy's ICMP stage.
    fn inject_error<I: TcpIp + IcmpIp>(&mut self, error: Error, quotation: &[u8]) {
        let Ok(quoted) = icmp::parse_quoted::<I>(quotation) else {
            return;
        };
        let errno = match error {
            Error::Unreachable(Unreachable::Network) => Errno::NetworkUnreachable,
            Error::Unreachable(Unreachable::Port) => Errno::ConnectionRefused,
            Error::Unreachable(_) => Errno::HostUnreachable,
            Error::ProtocolUnreachable { .. } => Errno::NoProtocolOption,
            Error::PacketTooBig { mtu } => {
                let flow = quoted.flow.reversed();
                if let Some(seq) = quoted.tcp_seq
                    && let Some(endpoint) = self.endpoints.get_mut(&flow.dport)
                {
                    let error = PacketTooBig { seq, mtu };
                    endpoint.handle_packet_too_big(self.out.now(), NetworkId::BARE, &flow, error);
                }
                return;
            }
            Error::TimeExceeded { .. } | Error::ParameterProblem { .. } => return,
        };
        let flow = quoted.flow.reversed();
        if let Some(seq) = quoted.tcp_seq
            && let Some(endpoint) = self.endpoints.get_mut(&flow.dport)
        {
            let error = UnreachableError { seq };
            if endpoint.handle_unreachable(NetworkId::BARE, &flow, error) {
                self.unreachable.insert(flow.dport, errno);
            }
        }
    }
}

fn connect<I: TcpIp>(
    endpoint: &mut Endpoint<MemBuf>,
    now: Instant,
    options: &StackOptions,
    local: I::Addr,
    remote: (I::Addr, u16),
) -> Result<ConnId, ConnectError> {
    let target = ConnectTarget::<I> {
        network: NetworkId::BARE,
        local,
        remote,
        mtu: options.mtu,
        by: Instant::FAR_FUTURE,
    };
    let options = Arc::new(connection_options(options));
    endpoint.connect(now, target, &options, OWNER, |_| true)
}

/// Where the options of connections are made.
fn connection_options(options: &StackOptions) -> ConnectionOptions {
    ConnectionOptions {
        engine: match options.engine {
            super::Engine::Native => EngineKind::Native,
            super::Engine::Smoltcp => EngineKind::Smoltcp,
        },
        receive_buffer: options.receive_buffer,
        first_window: options.first_window.unwrap_or(options.receive_buffer),
        send_buffer: options.send_buffer,
        mss: options.mss.unwrap_or(u16::MAX),
        keepalive: options.keepalive.map(|idle| Keepalive {
            idle,
            interval: options.keepalive_interval.unwrap_or(idle),
            probes: options.keepalive_probes,
        }),
        congestion: options.congestion,
        pacing: options.pacing,
        ecn: options.ecn,
        sack: options.sack,
        timestamps: options.timestamps,
        rto_floor: options.rto_floor,
    }
}

/// Where endpoints are made.
fn endpoint(
    now: Instant,
    options: &StackOptions,
    port: u16,
    backlog: usize,
    listener: Option<Listener>,
) -> Option<Endpoint<MemBuf>> {
    let config = EndpointConfig {
        max_connections: MAX_CONNECTIONS,
        max_accepted: MAX_CONNECTIONS,
        syn_backlog: backlog.min(MAX_CONNECTIONS),
        time_wait_entries: MAX_CONNECTIONS,
        timeouts: options.timeouts,
        mtu: options.mtu,
        buffers: options.held_buffers,
        resets_per_second: 1000,
        source_ports: port..=port,
        worker: 0,
        workers: 1,
        secret: [1, 2, 3, 4],
    };
    Endpoint::new(now, config, listener, Arc::new(Counters::new()))
}
