//! Sockets on Weirgate's TCP.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use netstack::tcp::{CloseCause, State};
use netstack::time::Instant;

use super::info::tell;
use super::socket::{Role, Socket, Stream};
use super::tcp::Tcp;
use super::{
    Engine, Errno, Fd, OptionName, PollEvents, SettingError, Shutdown, SocketOption, Stack,
    StackOptions, TCP_STATES, TcpInfo,
};

/// The number of the first socket: 0 to 2 are taken in any program.
const FIRST_FD: i32 = 3;

/// The first port that a socket without one gets.
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

/// The least step of time: whoever is never at rest must not hold the clock.
const LEAST_STEP: Duration = Duration::from_millis(1);

/// Weirgate's TCP behind sockets, in virtual time.
pub struct Host {
    tcp: Tcp,
    sockets: BTreeMap<Fd, Socket>,
    options: StackOptions,
    /// Our addresses; the first of an IP version is that of a socket without one.
    addresses: Vec<IpAddr>,
    next_port: u16,
}

impl Host {
    /// A host without sockets that has these addresses. Its clock stands at `now`.
    pub fn new(now: Instant, addresses: Vec<IpAddr>, options: StackOptions) -> Self {
        Self {
            tcp: Tcp::new(now, &options),
            sockets: BTreeMap::new(),
            options,
            addresses,
            next_port: FIRST_EPHEMERAL_PORT,
        }
    }

    fn open(&mut self, socket: Socket) -> Fd {
        // The lowest number that is free, as POSIX has it.
        let taken = self.sockets.keys().map(|fd| fd.0);
        let mut numbers = (FIRST_FD..).zip(taken.chain([i32::MAX]));
        let fd = Fd(numbers
            .find(|(free, taken)| free != taken)
            .map_or(FIRST_FD, |(free, _)| free));
        self.sockets.insert(fd, socket);
        fd
    }

    fn at(&self, fd: Fd) -> Result<&Socket, Errno> {
        self.sockets.get(&fd).ok_or(Errno::BadFd)
    }

    fn at_mut(&mut self, fd: Fd) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(&fd).ok_or(Errno::BadFd)
    }

    /// The local address of a socket, which is chosen if it has none. `like` is an address of the
    /// same IP version, if only that is known.
    fn local_end(&mut self, fd: Fd, like: Option<IpAddr>) -> Result<SocketAddr, Errno> {
        let bound = self.at(fd)?.local;
        let like = bound.map(|bound| bound.ip()).or(like);
        let like = like.ok_or(Errno::Invalid)?;
        let address = match bound {
            Some(bound) if !bound.ip().is_unspecified() => bound.ip(),
            _ => {
                let same = |address: &&IpAddr| address.is_ipv4() == like.is_ipv4();
                let ours = self.addresses.iter().find(same);
                *ours.ok_or(Errno::AddressNotAvailable)?
            }
        };
        let port = match bound.map_or(0, |bound| bound.port()) {
            0 => {
                let port = self.next_port;
                self.next_port = port.checked_add(1).ok_or(Errno::AddressNotAvailable)?;
                port
            }
            port => port,
        };
        let local = SocketAddr::new(address, port);
        self.at_mut(fd)?.local = Some(local);
        Ok(local)
    }

    /// The error with which a stream's connection ended, if nobody has been told.
    fn pending_error(tcp: &mut Tcp, stream: &Stream) -> Option<Errno> {
        if stream.error_told {
            return None;
        }
        match tcp.ended(stream.conn)? {
            CloseCause::Finished => None,
            // Linux: the peer had ended its direction before.
            CloseCause::Reset if tcp.receive_finished(stream.conn) => Some(Errno::BrokenPipe),
            CloseCause::Reset => Some(Errno::ConnectionReset),
            CloseCause::Refused => Some(Errno::ConnectionRefused),
            CloseCause::Unreachable => {
                let told = tcp.unreachable(stream.conn);
                Some(told.unwrap_or(Errno::HostUnreachable))
            }
            CloseCause::TimedOut(_) => Some(Errno::TimedOut),
            CloseCause::Aborted => Some(Errno::ConnectionAborted),
            CloseCause::EnginePanic => Some(Errno::Io),
        }
    }

    /// The stream of a socket, or the error that it died of, once.
    fn stream(&mut self, fd: Fd, unconnected: Errno) -> Result<(&mut Tcp, &mut Stream), Errno> {
        let socket = self.sockets.get_mut(&fd).ok_or(Errno::BadFd)?;
        let Role::Stream(stream) = &mut socket.role else {
            return Err(unconnected);
        };
        if let Some(error) = Self::pending_error(&mut self.tcp, stream) {
            stream.error_told = true;
            return Err(error);
        }
        Ok((&mut self.tcp, stream))
    }

    fn receive(
        &mut self,
        fd: Fd,
        out: &mut [u8],
        take: fn(&mut Tcp, super::tcp::Conn, &mut [u8]) -> usize,
    ) -> Result<usize, Errno> {
        let (tcp, stream) = self.stream(fd, Errno::NotConnected)?;
        if stream.read_shut {
            return Ok(0);
        }
        let conn = stream.conn;
        if tcp.has_received(conn) {
            let len = take(tcp, conn, out);
            self.collect_accepted();
            return Ok(len);
        }
        if tcp.receive_finished(conn) || tcp.ended(conn).is_some() {
            return Ok(0);
        }
        Err(Errno::Again)
    }

    /// Puts connections that clients have opened to the sockets that listen.
    fn collect_accepted(&mut self) {
        while let Some(accepted) = self.tcp.poll_accepted() {
            let listening = self.sockets.values_mut().find_map(|socket| {
                let at = socket.local.map(|local| local.port());
                match &mut socket.role {
                    Role::Listening { waiting } if at == Some(accepted.local.port()) => {
                        Some(waiting)
                    }
                    _ => None,
                }
            });
            if let Some(waiting) = listening {
                waiting.push_back(accepted);
            } else {
                // Its handshake ended after the socket was closed.
                self.tcp.abort(accepted.conn);
                self.tcp.release(accepted.conn);
            }
        }
    }

    fn poll_stream(tcp: &mut Tcp, stream: &Stream, send_buffer: usize) -> PollEvents {
        let conn = stream.conn;
        let mut events = PollEvents::default();
        let mut set = |condition, event| {
            if condition {
                events = events.union(event);
            }
        };
        let over = tcp.ended(conn).is_some();
        let connected = tcp.is_established(conn) || over;
        let read_ended = stream.read_shut || over || tcp.receive_finished(conn);
        let readable = connected && (read_ended || tcp.has_received(conn));
        let room = stream.write_shut || over || tcp.send_queue(conn) < send_buffer;
        set(readable, PollEvents::IN);
        set(connected && read_ended, PollEvents::RDHUP);
        set(connected && room, PollEvents::OUT);
        set(over || (read_ended && stream.write_shut), PollEvents::HUP);
        let failed = Self::pending_error(tcp, stream).is_some();
        set(failed, PollEvents::ERR);
        events
    }
}

impl Stack for Host {
    fn now(&self) -> Instant {
        self.tcp.now()
    }

    fn configure(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.options.set(name, value)
    }

    fn socket(&mut self) -> Result<Fd, Errno> {
        Ok(self.open(Socket::new(self.options)))
    }

    fn bind(&mut self, fd: Fd, local: SocketAddr) -> Result<(), Errno> {
        let taken = self.sockets.iter().any(|(other, socket)| {
            let listens = matches!(socket.role, Role::Listening { .. });
            *other != fd && listens && local.port() != 0 && socket.local == Some(local)
        });
        if taken {
            return Err(Errno::AddressInUse);
        }
        let socket = self.at_mut(fd)?;
        if socket.local.is_some() || !matches!(socket.role, Role::Fresh) {
            return Err(Errno::Invalid);
        }
        socket.local = Some(local);
        Ok(())
    }

    fn listen(&mut self, fd: Fd, backlog: usize) -> Result<(), Errno> {
        if !matches!(self.at(fd)?.role, Role::Fresh) {
            return Err(Errno::Invalid);
        }
        let local = self.local_end(fd, None)?;
        let options = self.at(fd)?.options;
        self.tcp.listen(local, backlog, &options)?;
        self.at_mut(fd)?.role = Role::Listening {
            waiting: VecDeque::new(),
        };
        Ok(())
    }

    fn accept(&mut self, fd: Fd) -> Result<(Fd, SocketAddr), Errno> {
        let socket = self.at_mut(fd)?;
        let options = socket.options;
        let Role::Listening { waiting } = &mut socket.role else {
            return Err(Errno::Invalid);
        };
        let accepted = waiting.pop_front().ok_or(Errno::Again)?;
        let accepted_fd = self.open(Socket {
            role: Role::Stream(Stream::new(accepted.conn, false)),
            local: Some(accepted.local),
            ..Socket::new(options)
        });
        Ok((accepted_fd, accepted.remote))
    }

    fn connect(&mut self, fd: Fd, remote: SocketAddr) -> Result<(), Errno> {
        match &self.at(fd)?.role {
            Role::Fresh => {}
            Role::Listening { .. } => return Err(Errno::IsConnected),
            // The attempt before has failed, and that was told: this is another one.
            Role::Stream(stream) if stream.connecting && stream.error_told => {
                let conn = stream.conn;
                self.tcp.release(conn);
                self.at_mut(fd)?.role = Role::Fresh;
            }
            Role::Stream(_) => {
                let (tcp, stream) = self.stream(fd, Errno::NotConnected)?;
                if !stream.connecting {
                    return Err(Errno::IsConnected);
                }
                // It may have been established and have ended since.
                if !tcp.is_established(stream.conn) && tcp.ended(stream.conn).is_none() {
                    return Err(Errno::Already);
                }
                stream.connecting = false;
                return Ok(());
            }
        }
        let local = self.local_end(fd, Some(remote.ip()))?;
        let options = self.at(fd)?.options;
        let conn = self.tcp.connect(local, remote, &options)?;
        self.at_mut(fd)?.role = Role::Stream(Stream::new(conn, true));
        Err(Errno::InProgress)
    }

    fn read(&mut self, fd: Fd, out: &mut [u8]) -> Result<usize, Errno> {
        self.receive(fd, out, Tcp::read)
    }

    fn peek(&mut self, fd: Fd, out: &mut [u8]) -> Result<usize, Errno> {
        self.receive(fd, out, Tcp::peek)
    }

    fn write(&mut self, fd: Fd, octets: &[u8]) -> Result<usize, Errno> {
        let (tcp, stream) = self.stream(fd, Errno::BrokenPipe)?;
        let conn = stream.conn;
        if stream.write_shut || tcp.ended(conn).is_some() {
            return Err(Errno::BrokenPipe);
        }
        if !tcp.is_established(conn) {
            return Err(Errno::Again);
        }
        let len = tcp.write(conn, octets);
        self.collect_accepted();
        if len == 0 && !octets.is_empty() {
            return Err(Errno::Again);
        }
        Ok(len)
    }

    fn shutdown(&mut self, fd: Fd, how: Shutdown) -> Result<(), Errno> {
        let (tcp, stream) = self.stream(fd, Errno::NotConnected)?;
        if tcp.ended(stream.conn).is_some() {
            return Err(Errno::NotConnected);
        }
        stream.read_shut |= matches!(how, Shutdown::Read | Shutdown::Both);
        if matches!(how, Shutdown::Write | Shutdown::Both) && !stream.write_shut {
            stream.write_shut = true;
            tcp.close(stream.conn);
        }
        self.collect_accepted();
        Ok(())
    }

    fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        let socket = self.sockets.remove(&fd).ok_or(Errno::BadFd)?;
        match socket.role {
            Role::Fresh => {}
            Role::Listening { waiting } => {
                if let Some(local) = socket.local {
                    self.tcp.stop_listening(local.port());
                }
                for accepted in waiting {
                    self.tcp.abort(accepted.conn);
                    self.tcp.release(accepted.conn);
                }
            }
            Role::Stream(stream) => {
                // RFC 1122 section 4.2.2.13: who gives up what was received and not read has to
                // tell the peer by a reset.
                if socket.resets_on_close || self.tcp.has_received(stream.conn) {
                    self.tcp.abort(stream.conn);
                } else {
                    self.tcp.close(stream.conn);
                }
                self.tcp.release(stream.conn);
            }
        }
        self.collect_accepted();
        Ok(())
    }

    fn set_option(&mut self, fd: Fd, option: SocketOption) -> Result<(), Errno> {
        let socket = self.at_mut(fd)?;
        let fresh = matches!(socket.role, Role::Fresh);
        match option {
            SocketOption::ReuseAddress(_) | SocketOption::NoDelay(_) => {}
            SocketOption::Linger(time) => socket.resets_on_close = time == Some(Duration::ZERO),
            // A connection is made with the others.
            _ if !fresh => return Err(Errno::Invalid),
            SocketOption::ReceiveBuffer(octets) => {
                socket.options.receive_buffer = octets;
                socket.options.first_window = None;
            }
            SocketOption::SendBuffer(octets) => socket.options.send_buffer = octets,
            SocketOption::KeepAlive(on) => {
                socket.options.keepalive = on.then_some(socket.options.keepalive_idle);
            }
            SocketOption::KeepIdle(idle) => {
                socket.options.keepalive_idle = idle;
                let on = socket.options.keepalive.is_some();
                socket.options.keepalive = on.then_some(idle);
            }
            SocketOption::KeepInterval(interval) => {
                socket.options.keepalive_interval = Some(interval);
            }
            SocketOption::KeepCount(probes) => socket.options.keepalive_probes = probes,
            SocketOption::MaxSegment(octets) => socket.options.mss = Some(octets),
            SocketOption::UserTimeout(time) => socket.options.timeouts.user = time,
        }
        Ok(())
    }

    fn option(&mut self, fd: Fd, name: OptionName) -> Result<i32, Errno> {
        let options = self.at(fd)?.options;
        let octets = |octets: usize| i32::try_from(octets).unwrap_or(i32::MAX);
        match name {
            OptionName::Error => match self.stream(fd, Errno::NotConnected) {
                Ok(_) | Err(Errno::NotConnected) => Ok(0),
                Err(error) => Ok(error.number()),
            },
            OptionName::ReceiveBuffer => Ok(octets(options.receive_buffer)),
            OptionName::SendBuffer => Ok(octets(options.send_buffer)),
            OptionName::MaxSegment => options.mss.map(i32::from).ok_or(Errno::NoProtocolOption),
        }
    }

    fn is_blocking(&self, fd: Fd) -> Result<bool, Errno> {
        Ok(self.at(fd)?.blocking)
    }

    fn set_blocking(&mut self, fd: Fd, blocking: bool) -> Result<(), Errno> {
        self.at_mut(fd)?.blocking = blocking;
        Ok(())
    }

    fn poll(&mut self, fd: Fd) -> Result<PollEvents, Errno> {
        let socket = self.sockets.get(&fd).ok_or(Errno::BadFd)?;
        Ok(match &socket.role {
            Role::Fresh => PollEvents::OUT.union(PollEvents::HUP),
            Role::Listening { waiting } if waiting.is_empty() => PollEvents::default(),
            Role::Listening { .. } => PollEvents::IN,
            Role::Stream(stream) => {
                Self::poll_stream(&mut self.tcp, stream, socket.options.send_buffer)
            }
        })
    }

    fn tcp_info(&mut self, fd: Fd) -> Result<TcpInfo, Errno> {
        let socket = self.sockets.get(&fd).ok_or(Errno::BadFd)?;
        let state = match &socket.role {
            Role::Fresh => "TCP_CLOSE",
            Role::Listening { .. } => "TCP_LISTEN",
            Role::Stream(stream) => state_name(self.tcp.state(stream.conn)),
        };
        let number = TCP_STATES.into_iter().find(|(name, _)| *name == state);
        let number = number.map_or(0, |(_, number)| number);
        let told = TcpInfo::default().with("tcpi_state", number);
        Ok(match (&socket.role, socket.options.engine) {
            (Role::Stream(stream), Engine::Native) => {
                let info = self.tcp.info(stream.conn);
                tell(told, &info)
            }
            _ => told,
        })
    }

    fn inject(&mut self, packet: &[u8]) {
        self.tcp.inject(packet);
        self.collect_accepted();
    }

    fn next_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.tcp.next_packet()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.tcp.next_deadline()
    }

    fn advance_to(&mut self, at: Instant) {
        while let Some(due) = self.tcp.next_deadline()
            && due <= at
        {
            let now = self.tcp.now();
            let next = if due > now { due } else { now + LEAST_STEP };
            if next > at {
                break;
            }
            self.tcp.set_now(next);
            self.collect_accepted();
        }
        self.tcp.set_now(at);
        self.collect_accepted();
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::SynSent => "TCP_SYN_SENT",
        State::SynReceived => "TCP_SYN_RECV",
        State::Established => "TCP_ESTABLISHED",
        State::FinWait1 => "TCP_FIN_WAIT1",
        State::FinWait2 => "TCP_FIN_WAIT2",
        State::CloseWait => "TCP_CLOSE_WAIT",
        State::Closing => "TCP_CLOSING",
        State::LastAck => "TCP_LAST_ACK",
        State::TimeWait => "TCP_TIME_WAIT",
        State::Closed => "TCP_CLOSE",
    }
}

#[cfg(test)]
mod tests {
    use netstack::ip::{V4, V6};

    use super::*;
    use crate::stack::Engine;
    use crate::station::frame::{self, TestIp};

    const START: Instant = Instant::from_millis(1_000_000);

    fn host() -> Host {
        let addresses = vec![V4::US.into(), V6::US.into()];
        Host::new(START, addresses, StackOptions::new(Engine::Smoltcp))
    }

    fn backend<I: TestIp>() -> SocketAddr {
        SocketAddr::new(I::BACKEND.into(), 80)
    }

    #[test]
    fn a_socket_gets_the_lowest_free_number() {
        let mut host = host();
        let numbers = [host.socket(), host.socket(), host.socket()];
        assert_eq!(numbers, [Ok(Fd(3)), Ok(Fd(4)), Ok(Fd(5))]);
        host.close(Fd(4)).unwrap();
        assert_eq!(host.socket(), Ok(Fd(4)));
        assert_eq!(host.socket(), Ok(Fd(6)));
    }

    fn an_unbound_socket_connects_from_our_address<I: TestIp>() {
        let mut host = host();
        let fd = host.socket().unwrap();
        assert_eq!(host.connect(fd, backend::<I>()), Err(Errno::InProgress));
        let (at, syn) = host.next_packet().unwrap();
        assert_eq!(at, START);
        let syn = I::open(&syn);
        assert_eq!((syn.src, syn.dst), (I::US, I::BACKEND));
    }

    fn a_wildcard_address_is_ours<I: TestIp>() {
        let mut host = host();
        let fd = host.socket().unwrap();
        let unspecified = match backend::<I>() {
            SocketAddr::V4(_) => IpAddr::from([0; 4]),
            SocketAddr::V6(_) => IpAddr::from([0; 16]),
        };
        host.bind(fd, SocketAddr::new(unspecified, 80)).unwrap();
        host.listen(fd, 1).unwrap();
        let syn = frame::Tcp::new(netstack::wire::tcp::Flags::SYN);
        host.inject(&syn.packet::<I>());
        let (_, answer) = host.next_packet().unwrap();
        assert_eq!(I::open(&answer).src, I::US);
    }

    fn a_damaged_packet_is_dropped<I: TestIp>() {
        let mut host = host();
        let mut syn = frame::Tcp::new(netstack::wire::tcp::Flags::SYN).packet::<I>();
        host.inject(&syn);
        assert!(host.next_packet().is_some(), "a reset");
        *syn.last_mut().unwrap() ^= 1;
        host.inject(&syn);
        assert_eq!(host.next_packet(), None);
        for len in 0..syn.len() {
            host.inject(&syn[..len]);
        }
        assert_eq!(host.next_packet(), None);
    }

    #[test]
    fn unbound_sockets_connect_from_our_address() {
        an_unbound_socket_connects_from_our_address::<V4>();
        an_unbound_socket_connects_from_our_address::<V6>();
    }

    #[test]
    fn wildcard_addresses_are_ours() {
        a_wildcard_address_is_ours::<V4>();
        a_wildcard_address_is_ours::<V6>();
    }

    #[test]
    fn damaged_packets_are_dropped() {
        a_damaged_packet_is_dropped::<V4>();
        a_damaged_packet_is_dropped::<V6>();
    }
}
