//! A host that has nothing in common with Weirgate: plain smoltcp on Ethernet.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;

use netstack::time::Instant;
use netstack::wire::ethernet::MacAddr;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{icmp, tcp};
use smoltcp::time::Instant as SmoltcpInstant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr,
    IpAddress, IpCidr, IpListenEndpoint,
};

use super::end::{End, Ending, Script};
use super::switch;

/// Names an end of a connection at its host, in order of their making.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndId(usize);

/// The identifier of our pings.
const PING_IDENT: u16 = 0x5157;

/// A host on one link.
pub struct SimHost {
    interface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    ends: Vec<End>,
    listeners: Vec<Listener>,
    accepted: Vec<EndId>,
    /// TCP ports whose segments are ignored, as by a firewall.
    ignored: Vec<u16>,
    /// Octets of each socket's two buffers.
    buffer: usize,
    next_port: u16,
    next_seed: u64,
    ping: SocketHandle,
    pongs: usize,
    present: bool,
}

struct Listener {
    at: SocketAddr,
    script: Script,
    /// The socket that the next client reaches.
    waiting: SocketHandle,
}

impl SimHost {
    /// A host with these addresses, which are on the link with their prefixes.
    pub fn new(mac: MacAddr, addresses: &[(IpAddr, u8)], buffer: usize, seed: u64) -> Self {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, SmoltcpInstant::ZERO);
        interface.update_ip_addrs(|known| {
            for (address, prefix_len) in addresses {
                let cidr = IpCidr::new(IpAddress::from(*address), *prefix_len);
                known.push(cidr).expect("a host has few addresses");
            }
        });
        let mut sockets = SocketSet::new(Vec::new());
        let packets = || {
            let metadata = vec![icmp::PacketMetadata::EMPTY; 16];
            icmp::PacketBuffer::new(metadata, vec![0; 16 << 10])
        };
        let mut socket = icmp::Socket::new(packets(), packets());
        socket
            .bind(icmp::Endpoint::Ident(PING_IDENT))
            .expect("a fresh socket can be bound");
        let ping = sockets.add(socket);
        Self {
            interface,
            wire,
            sockets,
            ends: Vec::new(),
            listeners: Vec::new(),
            accepted: Vec::new(),
            ignored: Vec::new(),
            buffer,
            next_port: 49_152,
            next_seed: seed,
            ping,
            pongs: 0,
            present: true,
        }
    }

    /// Sends what is not on the link to `gateway`.
    pub fn route_by(&mut self, gateway: IpAddr) {
        let routes = self.interface.routes_mut();
        let result = match gateway {
            IpAddr::V4(gateway) => routes.add_default_ipv4_route(gateway),
            IpAddr::V6(gateway) => routes.add_default_ipv6_route(gateway),
        };
        result.expect("there is room for one route of each family");
    }

    /// Connects to `to` from a fresh port.
    pub fn connect(&mut self, to: SocketAddr, script: Script) -> EndId {
        let port = self.next_port;
        self.next_port += 1;
        self.connect_from(port, to, script)
    }

    /// Connects to `to` from a port. What this host remembers of an earlier connection from there
    /// is forgotten.
    pub fn connect_from(&mut self, port: u16, to: SocketAddr, script: Script) -> EndId {
        for end in &self.ends {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(end.socket);
            if socket.state() == tcp::State::TimeWait
                && socket
                    .local_endpoint()
                    .is_some_and(|local| local.port == port)
            {
                socket.abort();
                *socket = new_socket(0);
            }
        }
        let mut socket = new_socket(self.buffer);
        socket
            .connect(self.interface.context(), to, port)
            .expect("the host has an address of the family, and the port is free");
        self.add_end(socket, script)
    }

    /// Accepts connections at `at`, each of which does what `script` says.
    pub fn serve(&mut self, at: SocketAddr, script: Script) {
        let waiting = self.sockets.add(listening(at, self.buffer));
        self.listeners.push(Listener {
            at,
            script,
            waiting,
        });
    }

    /// Accepts no more connections at `at`, and refuses them.
    pub fn stop_serving(&mut self, at: SocketAddr) {
        let sockets = &mut self.sockets;
        self.listeners.retain(|listener| {
            if listener.at == at {
                sockets.remove(listener.waiting);
            }
            listener.at != at
        });
    }

    /// Ignores segments to `port`, as a firewall that drops.
    pub fn ignore_port(&mut self, port: u16) {
        self.ignored.push(port);
    }

    /// Lets them through again.
    pub fn heed_port(&mut self, port: u16) {
        self.ignored.retain(|ignored| *ignored != port);
    }

    /// Cuts the host off, or connects it again.
    pub fn set_present(&mut self, present: bool) {
        self.present = present;
    }

    /// Resets a connection.
    pub fn abort(&mut self, id: EndId) {
        let end = &mut self.ends[id.0];
        end.note_abort();
        self.sockets.get_mut::<tcp::Socket<'_>>(end.socket).abort();
    }

    /// An end of a connection.
    pub fn end(&self, id: EndId) -> &End {
        &self.ends[id.0]
    }

    /// An end of a connection, to be told something.
    pub fn end_mut(&mut self, id: EndId) -> &mut End {
        &mut self.ends[id.0]
    }

    /// All ends of connections that this host opened or accepted.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The ends of accepted connections, in order of their SYNs.
    pub fn accepted(&self) -> &[EndId] {
        &self.accepted
    }

    /// Sends an echo request with `payload` octets.
    pub fn ping(&mut self, to: IpAddr, sequence: u16, payload: usize) {
        let data = vec![0xa5; payload];
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(self.ping);
        let checksums = phy::ChecksumCapabilities::default();
        match to {
            IpAddr::V4(_) => {
                let request = Icmpv4Repr::EchoRequest {
                    ident: PING_IDENT,
                    seq_no: sequence,
                    data: &data,
                };
                let octets = socket
                    .send(request.buffer_len(), to.into())
                    .expect("there is room for a ping");
                request.emit(&mut Icmpv4Packet::new_unchecked(octets), &checksums);
            }
            IpAddr::V6(to) => {
                let from = self.interface.get_source_address_ipv6(&to);
                let request = Icmpv6Repr::EchoRequest {
                    ident: PING_IDENT,
                    seq_no: sequence,
                    data: &data,
                };
                let octets = socket
                    .send(request.buffer_len(), to.into())
                    .expect("there is room for a ping");
                let mut packet = Icmpv6Packet::new_unchecked(octets);
                request.emit(&from, &to, &mut packet, &checksums);
            }
        }
    }

    /// Echo replies received.
    pub fn pongs(&self) -> usize {
        self.pongs
    }

    /// An end, and the state of its socket, in words for somebody who looks for a fault.
    pub(super) fn describe(&self, end: &End) -> String {
        let socket = self.sockets.get::<tcp::Socket<'_>>(end.socket);
        format!(
            "{:?}, {} octets to send, {} to read: {end:?}",
            socket.state(),
            socket.send_queue(),
            socket.recv_queue(),
        )
    }

    /// Takes a frame from the link.
    pub(super) fn receive(&mut self, frame: Vec<u8>) {
        let ignored =
            switch::tcp_flow(&frame).is_some_and(|flow| self.ignored.contains(&flow.dport()));
        if self.present && !ignored {
            self.wire.received.push_back(frame);
        }
    }

    /// The next frame for the link.
    pub(super) fn transmit(&mut self) -> Option<Vec<u8>> {
        let frame = self.wire.sent.pop_front();
        if self.present {
            return frame;
        }
        self.wire.sent.clear();
        None
    }

    /// Lets the stack and the scripts do what they have to do.
    pub(super) fn poll(&mut self, now: Instant) {
        let at = to_smoltcp(now);
        loop {
            while !self.wire.received.is_empty() {
                self.interface
                    .poll_ingress_single(at, &mut self.wire, &mut self.sockets);
                // The next frame may be the next client's SYN.
                self.accept();
                // One acknowledgment for each segment, and not one for all that came at a time:
                // senders grow their windows by the number of acknowledgments.
                self.interface
                    .poll_egress(at, &mut self.wire, &mut self.sockets);
            }
            self.interface.poll(at, &mut self.wire, &mut self.sockets);
            if !self.act() {
                break;
            }
        }
        let ping = self.sockets.get_mut::<icmp::Socket<'_>>(self.ping);
        while ping.recv().is_ok() {
            self.pongs += 1;
        }
    }

    /// When the stack must be polled at the latest.
    pub(super) fn next_event(&mut self, now: Instant) -> Option<Instant> {
        if !self.wire.sent.is_empty() || !self.wire.received.is_empty() {
            return Some(now);
        }
        let delay = self.interface.poll_delay(to_smoltcp(now), &self.sockets)?;
        Some(now + Duration::from(delay))
    }

    /// Turns sockets that a client has reached into ends.
    fn accept(&mut self) {
        let mut reached = Vec::new();
        for listener in &mut self.listeners {
            let socket = self.sockets.get::<tcp::Socket<'_>>(listener.waiting);
            if socket.state() != tcp::State::Listen {
                let fresh = self.sockets.add(listening(listener.at, self.buffer));
                let handle = core::mem::replace(&mut listener.waiting, fresh);
                reached.push((handle, listener.script));
            }
        }
        for (handle, script) in reached {
            let id = self.name_end(handle, script);
            self.accepted.push(id);
        }
    }

    fn act(&mut self) -> bool {
        let mut acted = false;
        for end in &mut self.ends {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(end.socket);
            acted |= end.act(socket);
            if end.ending() == Some(Ending::Reset) && socket.state() == tcp::State::Listen {
                // Nobody else is to reach what was one client's.
                socket.close();
            }
        }
        acted
    }

    fn add_end(&mut self, socket: tcp::Socket<'static>, script: Script) -> EndId {
        let handle = self.sockets.add(socket);
        self.name_end(handle, script)
    }

    fn name_end(&mut self, handle: SocketHandle, script: Script) -> EndId {
        self.next_seed = self.next_seed.wrapping_add(1);
        self.ends
            .push(End::new(handle, script.of_stream(self.next_seed)));
        EndId(self.ends.len() - 1)
    }
}

fn new_socket(buffer: usize) -> tcp::Socket<'static> {
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(vec![0; buffer]),
        tcp::SocketBuffer::new(vec![0; buffer]),
    );
    socket.set_nagle_enabled(false);
    // Acknowledges at once, so that Weirgate cannot rely on peers that take their time.
    socket.set_ack_delay(None);
    socket.set_congestion_control(tcp::CongestionControl::Cubic);
    socket
}

fn listening(at: SocketAddr, buffer: usize) -> tcp::Socket<'static> {
    let mut socket = new_socket(buffer);
    let endpoint = IpListenEndpoint {
        addr: Some(at.ip().into()),
        port: at.port(),
    };
    socket
        .listen(endpoint)
        .expect("a fresh socket listens on any port but 0");
    socket
}

fn to_smoltcp(now: Instant) -> SmoltcpInstant {
    SmoltcpInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// smoltcp's end of the cable.
#[derive(Default)]
struct Wire {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl phy::Device for Wire {
    type RxToken<'t> = RxToken;
    type TxToken<'t> = TxToken<'t>;

    fn receive(&mut self, _now: SmoltcpInstant) -> Option<(RxToken, TxToken<'_>)> {
        let frame = self.received.pop_front()?;
        Some((RxToken(frame), TxToken(&mut self.sent)))
    }

    fn transmit(&mut self, _now: SmoltcpInstant) -> Option<TxToken<'_>> {
        Some(TxToken(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct RxToken(Vec<u8>);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct TxToken<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}
