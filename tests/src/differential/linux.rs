//! Plays cases to the kernel's TCP.
//!
//! ```text
//!   kernel             peers
//!   listener :8000     raw sockets that send packets of any source,
//!   a0 10.77.0.1 ------ b0 10.77.0.2     and hear everything
//! ```
//! The peers' addresses belong to nobody, and the kernel on their side forwards nothing: it is
//! silent. Connections are played side by side, since most of the time is waiting.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto,
    setsockopt, socket, sockopt,
};

use super::Player;
use super::case::{Case, Step};
use super::peer::{self, Observation, Outcome, Peer, STEP, octet};
use crate::rig::{Namespace, RigError};
use crate::stack;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PORT: u16 = 8000;

/// Cases that are played side by side: as many connections as the listener lets wait.
const AT_ONCE: usize = 100;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The kernel's settings under which cases are played: its limits on answers are wide, because
/// they would depend on what other connections do at the same time.
const SETTINGS: [(&str, &str); 6] = [
    ("ipv4/tcp_invalid_ratelimit", "0"),
    ("ipv4/tcp_challenge_ack_limit", "2147483647"),
    ("ipv4/tcp_no_metrics_save", "1"),
    ("ipv4/tcp_syncookies", "0"),
    ("ipv4/tcp_max_syn_backlog", "1024"),
    ("ipv4/conf/all/rp_filter", "0"),
];

/// The kernel's TCP in a namespace, and raw sockets in another.
#[derive(Debug)]
pub struct Linux {
    kernel: Namespace,
    /// Kept for its end of the cable.
    _peers: Namespace,
    listener: TcpListener,
    wire: Wire,
    /// Connections that were made: each has a peer's address and port of its own.
    used: u32,
}

impl Linux {
    /// Makes both namespaces. Needs root.
    pub fn new() -> Result<Self, RigError> {
        Namespace::remove_abandoned();
        let kernel = Namespace::new("kernel")?;
        let peers = Namespace::new("peers")?;
        for namespace in [&kernel, &peers] {
            namespace.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        }
        kernel.connect("a0", &peers, "b0", 1)?;
        kernel.add_address("a0", "10.77.0.1/24")?;
        peers.add_address("b0", "10.77.0.2/24")?;
        kernel.ip("route add default via 10.77.0.2")?;
        // One packet each way, so that both know each other's MAC addresses.
        kernel.exec("ping -c 1 -W 2 10.77.0.2")?;
        for (name, value) in SETTINGS {
            kernel.set_parameter(name, value)?;
        }
        for (end, interface, other) in [(&kernel, "a0", "10.77.0.2"), (&peers, "b0", "10.77.0.1")] {
            // The neighbor must not be asked for again in the middle of a case.
            let known = end.ip(&format!("neigh show {other} dev {interface}"))?;
            let mut words = known
                .split_whitespace()
                .skip_while(|word| *word != "lladdr");
            let mac = words.nth(1).unwrap_or_default();
            end.ip(&format!(
                "neigh replace {other} lladdr {mac} dev {interface} nud permanent"
            ))?;
        }
        let listener = kernel.enter(|| {
            let listener = TcpListener::bind((ADDRESS, PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        let listener = listener.map_err(RigError::io("the listener"))?;
        let wire = peers.enter(Wire::new)?;
        let wire = wire.map_err(|errno| RigError::io("raw sockets")(errno.into()))?;
        Ok(Self {
            kernel,
            _peers: peers,
            listener,
            wire,
            used: 0,
        })
    }

    /// An address and port that no connection had before.
    fn fresh_peer(&mut self) -> (Ipv4Addr, u16) {
        let number = self.used;
        self.used += 1;
        let [_, _, high, low] = (number / 60_000).to_be_bytes();
        let address = Ipv4Addr::new(198, 18, high, low);
        (address, 2000 + (number % 60_000) as u16)
    }
}

impl Player for Linux {
    fn play(&mut self, cases: &[Case]) -> Result<Vec<Vec<Observation>>, RigError> {
        let mut observed = Vec::new();
        for cases in cases.chunks(AT_ONCE) {
            let peers = cases.iter().map(|case| {
                let local = self.fresh_peer();
                Peer::new(local, (ADDRESS, PORT), case.handshake)
            });
            let peers: Vec<Peer> = peers.collect();
            let (listener, wire) = (&self.listener, &self.wire);
            // Inside, because the kernel lists the connections of the namespace of whoever asks.
            let played = self.kernel.enter(move || {
                let mut round = Round::new(wire, peers);
                round.open(listener)?;
                round.play(cases)
            })?;
            observed.extend(played.map_err(RigError::io("playing to the kernel"))?);
        }
        Ok(observed)
    }
}

/// The raw sockets.
#[derive(Debug)]
struct Wire {
    send: OwnedFd,
    receive: OwnedFd,
}

impl Wire {
    fn new() -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let raw = SockProtocol::Raw;
        let send = socket(AddressFamily::Inet, SockType::Raw, flags, raw)?;
        let all = SockProtocol::EthAll;
        // Without their Ethernet headers.
        let receive = socket(AddressFamily::Packet, SockType::Datagram, flags, all)?;
        setsockopt(&receive, sockopt::RcvBufForce, &(8 << 20))?;
        Ok(Self { send, receive })
    }

    fn send(&self, packet: &[u8]) -> Result<(), Errno> {
        let [a, b, c, d] = ADDRESS.octets();
        let to = SockaddrIn::new(a, b, c, d, 0);
        sendto(self.send.as_raw_fd(), packet, &to, MsgFlags::empty())?;
        Ok(())
    }

    /// The next packet, if there is one.
    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, Errno> {
        match recv(self.receive.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(len) => Ok(Some(&buffer[..len])),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// One connection of a round.
struct Seat {
    peer: Peer,
    stream: Option<TcpStream>,
    closed: bool,
    read: u32,
    written: u32,
}

/// Connections that are played side by side.
struct Round<'w> {
    wire: &'w Wire,
    seats: Vec<Seat>,
    /// Which seat has a peer's address and port.
    places: HashMap<(Ipv4Addr, u16), usize>,
}

impl<'w> Round<'w> {
    fn new(wire: &'w Wire, peers: Vec<Peer>) -> Self {
        let places = peers.iter().enumerate();
        let places = places.map(|(place, peer)| (peer.local, place)).collect();
        let seats = peers.into_iter().map(|peer| Seat {
            peer,
            stream: None,
            closed: false,
            read: 1,
            written: 1,
        });
        Self {
            wire,
            seats: seats.collect(),
            places,
        }
    }

    /// Opens all connections.
    fn open(&mut self, listener: &TcpListener) -> io::Result<()> {
        for seat in &self.seats {
            self.wire.send(&seat.peer.syn())?;
        }
        self.hear_until(|round| round.seats.iter().all(|seat| seat.peer.is_answered()))?;
        for seat in &self.seats {
            self.wire.send(&seat.peer.third())?;
        }
        self.hear_until(|round| {
            while let Ok((stream, from)) = listener.accept() {
                round.sit_down(stream, from);
            }
            round.seats.iter().all(|seat| seat.stream.is_some())
        })?;
        for seat in &mut self.seats {
            seat.peer.observe(None, None);
        }
        Ok(())
    }

    fn sit_down(&mut self, stream: TcpStream, from: SocketAddr) {
        let SocketAddr::V4(from) = from else { return };
        let ready = stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true));
        if let Some(place) = self.places.get(&(*from.ip(), from.port()))
            && ready.is_ok()
        {
            self.seats[*place].stream = Some(stream);
        }
    }

    /// Plays the cases step by step.
    fn play(&mut self, cases: &[Case]) -> io::Result<Vec<Vec<Observation>>> {
        let mut observed = vec![Vec::new(); cases.len()];
        let steps = cases.iter().map(|case| case.steps.len()).max();
        for at in 0..steps.unwrap_or(0) {
            let end = Instant::now() + STEP;
            let mut outcomes = vec![None; cases.len()];
            for (place, case) in cases.iter().enumerate() {
                if let Some(step) = case.steps.get(at) {
                    outcomes[place] = self.step(place, step)?;
                }
            }
            while Instant::now() < end {
                self.hear()?;
                thread::sleep(Duration::from_millis(2));
            }
            self.hear()?;
            let states = states()?;
            for (place, case) in cases.iter().enumerate() {
                let seat = &mut self.seats[place];
                let connected = seat.stream.is_some() || seat.closed;
                if connected && at < case.steps.len() {
                    let state = states.get(&seat.peer.local).copied();
                    let state = state.unwrap_or("TCP_CLOSE");
                    let state = seat.stream.is_some().then_some(state);
                    observed[place].push(seat.peer.observe(outcomes[place], state));
                }
            }
        }
        for stream in self.seats.iter_mut().filter_map(|seat| seat.stream.take()) {
            reset_on_close(&stream)?;
        }
        Ok(observed)
    }

    fn step(&mut self, place: usize, step: &Step) -> io::Result<Option<Outcome>> {
        let seat = &mut self.seats[place];
        if let Step::Segment(segment) = step {
            self.wire.send(&seat.peer.segment(segment))?;
            return Ok(None);
        }
        let Some(stream) = &mut seat.stream else {
            return Ok(None);
        };
        let result = match step {
            Step::Write(len) => {
                let end = seat.written.wrapping_add(u32::from(*len));
                let octets: Vec<u8> = (seat.written..end).map(octet).collect();
                let result = stream.write(&octets);
                seat.written += *result.as_ref().unwrap_or(&0) as u32;
                result
            }
            Step::Read(len) => {
                let mut octets = vec![0; usize::from(*len)];
                let result = stream.read(&mut octets);
                let len = *result.as_ref().unwrap_or(&0);
                seat.peer.check_read(seat.read, &octets[..len]);
                seat.read += len as u32;
                result
            }
            Step::Shutdown => stream.shutdown(Shutdown::Write).map(|()| 0),
            Step::Close | Step::Segment(_) => Ok(0),
        };
        if *step == Step::Close {
            seat.stream = None;
            seat.closed = true;
        }
        Ok(Some(outcome(result)))
    }

    /// Takes in packets until that is so.
    fn hear_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) -> io::Result<()> {
        let end = Instant::now() + HANDSHAKE;
        while !is_so(self) && Instant::now() < end {
            self.hear()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Takes in the packets that are there.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; 2048];
        while let Some(packet) = self.wire.receive(&mut buffer)? {
            let Some((ip, header, payload)) = peer::open(packet) else {
                continue;
            };
            // The socket also hears what we send.
            if ip.src == ADDRESS
                && let Some(place) = self.places.get(&(ip.dst, header.dport))
            {
                self.seats[*place].peer.take(&header, payload);
            }
        }
        Ok(())
    }
}

/// What a call gave.
fn outcome(result: io::Result<usize>) -> Outcome {
    match result {
        Ok(len) => Outcome::Octets(len),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Outcome::Wait,
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(0);
            Outcome::Failed(stack::Errno::from_number(number).map_or("?", stack::Errno::name))
        }
    }
}

/// Lets a connection vanish with its socket.
fn reset_on_close(stream: &TcpStream) -> Result<(), Errno> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(stream, sockopt::Linger, &linger)
}

/// The states of all connections of this thread's namespace, by the peers' addresses and ports.
fn states() -> io::Result<HashMap<(Ipv4Addr, u16), &'static str>> {
    let table = fs::read_to_string("/proc/thread-self/net/tcp")?;
    Ok(table.lines().filter_map(state).collect())
}

/// A line of the kernel's table: number, local end, remote end, state, ...
fn state(line: &str) -> Option<((Ipv4Addr, u16), &'static str)> {
    let mut words = line.split_whitespace().skip(2);
    let (address, port) = words.next()?.split_once(':')?;
    let state = u64::from_str_radix(words.next()?, 16).ok()?;
    // The address stands there as the machine has it in memory.
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(((address.into(), port), peer::state_name(state)?))
}
