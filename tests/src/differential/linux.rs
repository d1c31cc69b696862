//! Plays cases to the kernel's TCP.
//!
//! ```text
//!   kernel              peers
//!   listeners :8000     a raw socket that sends frames from any address,
//!   a0 ---------------- b0     and hears everything
//! ```
//! The peers' addresses lie behind a gateway that is not there but for its MAC address, and the
//! kernel on their side has no address at all: it is silent. Connections are played side by side,
//! those of one IP version after those of the other, since most of the time is waiting.

use core::marker::PhantomData;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use netstack::io::mem::MemBuf;
use netstack::io::{Burst, PacketBuf, PacketIo};
use netstack::ip::{IpAddress, V4, V6};
use netstack::wire::ethernet;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::Player;
use super::case::{Case, Step};
use super::peer::{self, Observation, Outcome, Peer, STEP, octet};
use crate::rig::{Family, Namespace, PacketSocket, RigError};
use crate::stack;
use crate::station::frame::{self, CLIENT_MAC, TestIp, US_MAC};

const PORT: u16 = 8000;

/// Cases that are played side by side: as many connections as the listener lets wait.
const AT_ONCE: usize = 100;

/// Frames that may be on their way from or to the raw socket.
const BUFFERS: usize = 256;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The kernel's settings under which cases are played: its limits on answers are wide, because
/// they would depend on what other connections do at the same time. Those of TCP are for both IP
/// versions.
const SETTINGS: [(&str, &str); 6] = [
    ("ipv4/tcp_invalid_ratelimit", "0"),
    ("ipv4/tcp_challenge_ack_limit", "2147483647"),
    ("ipv4/tcp_no_metrics_save", "1"),
    ("ipv4/tcp_syncookies", "0"),
    ("ipv4/tcp_max_syn_backlog", "1024"),
    ("ipv4/conf/all/rp_filter", "0"),
];

/// The kernel's TCP in a namespace, and a raw socket in another.
#[derive(Debug)]
pub struct Linux {
    kernel: Namespace,
    /// Kept for its end of the cable.
    _peers: Namespace,
    wire: Wire,
    v4: Side<V4>,
    v6: Side<V6>,
}

impl Linux {
    /// Makes both namespaces. Needs root.
    pub fn new() -> Result<Self, RigError> {
        Namespace::remove_abandoned();
        let kernel = Namespace::new("kernel")?;
        let peers = Namespace::new("peers")?;
        peers.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        kernel.connect("a0", &peers, "b0", 1)?;
        kernel.ip(&format!("link set a0 address {US_MAC}"))?;
        peers.ip(&format!("link set b0 address {CLIENT_MAC}"))?;
        for (name, value) in SETTINGS {
            kernel.set_parameter(name, value)?;
        }
        let v4 = Side::new(&kernel)?;
        let v6 = Side::new(&kernel)?;
        let wire = peers.enter(Wire::new)??;
        Ok(Self {
            kernel,
            _peers: peers,
            wire,
            v4,
            v6,
        })
    }
}

impl Player for Linux {
    fn play(&mut self, cases: &[Case]) -> Result<Vec<Vec<Observation>>, RigError> {
        let mut observed = vec![Vec::new(); cases.len()];
        for family in [Family::V4, Family::V6] {
            let places = (0..cases.len()).filter(|at| cases[*at].family == family);
            let places: Vec<usize> = places.collect();
            for places in places.chunks(AT_ONCE) {
                let cases: Vec<&Case> = places.iter().map(|at| &cases[*at]).collect();
                let played = match family {
                    Family::V4 => self.v4.play(&self.kernel, &mut self.wire, &cases),
                    Family::V6 => self.v6.play(&self.kernel, &mut self.wire, &cases),
                };
                for (at, played) in places.iter().zip(played?) {
                    observed[*at] = played;
                }
            }
        }
        Ok(observed)
    }
}

/// An IP version of the kernel's side.
trait PlayIp: TestIp {
    /// Its addresses and those of the gateway share so many bits.
    const LINK: u8;
    /// Where the peers' addresses begin: with no other that the kernel knows.
    const PEERS: Self::Addr;
    /// The peers' addresses share so many bits.
    const PREFIX: u8;
    /// The kernel's table of connections.
    const TABLE: &'static str;
}

impl PlayIp for V4 {
    const LINK: u8 = 24;
    const PEERS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
    const PREFIX: u8 = 16;
    const TABLE: &'static str = "/proc/thread-self/net/tcp";
}

impl PlayIp for V6 {
    const LINK: u8 = 64;
    const PEERS: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0);
    const PREFIX: u8 = 64;
    const TABLE: &'static str = "/proc/thread-self/net/tcp6";
}

/// One IP version's part of the kernel.
#[derive(Debug)]
struct Side<I> {
    listener: TcpListener,
    /// Connections that were made: each has a peer's address and port of its own.
    used: u32,
    version: PhantomData<I>,
}

impl<I: PlayIp> Side<I> {
    /// Gives the kernel its address, a way to the peers, and a listener.
    fn new(kernel: &Namespace) -> Result<Self, RigError> {
        let (address, gateway, link) = (I::US, I::CLIENT, I::LINK);
        kernel.add_address("a0", &format!("{address}/{link}"))?;
        // The neighbor must not be asked for in the middle of a case; it would not answer, either.
        kernel.ip(&format!(
            "neigh replace {gateway} lladdr {CLIENT_MAC} dev a0 nud permanent"
        ))?;
        let (peers, prefix) = (I::PEERS, I::PREFIX);
        kernel.ip(&format!("route add {peers}/{prefix} via {gateway}"))?;
        let listener = kernel.enter(|| {
            let listener = TcpListener::bind(SocketAddr::new(address.into(), PORT))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        Ok(Self {
            listener: listener.map_err(RigError::io("the listener"))?,
            used: 0,
            version: PhantomData,
        })
    }

    /// An address and port that no connection had before.
    fn fresh_peer(&mut self) -> (I::Addr, u16) {
        let number = self.used;
        self.used += 1;
        let mut octets = [0; 16];
        I::PEERS.write_octets(&mut octets);
        let [_, _, last @ ..] = (number / 60_000).to_be_bytes();
        octets[I::Addr::LEN - last.len()..I::Addr::LEN].copy_from_slice(&last);
        let address = I::Addr::from_octets(&octets).unwrap_or(I::PEERS);
        (address, 2000 + (number % 60_000) as u16)
    }

    /// Plays cases side by side.
    fn play(
        &mut self,
        kernel: &Namespace,
        wire: &mut Wire,
        cases: &[&Case],
    ) -> Result<Vec<Vec<Observation>>, RigError> {
        let peers = cases.iter().map(|case| {
            let local = self.fresh_peer();
            Peer::new(local, (I::US, PORT), case.handshake)
        });
        let peers: Vec<Peer<I>> = peers.collect();
        let listener = &self.listener;
        // Inside, because the kernel lists the connections of the namespace of whoever asks.
        let played = kernel.enter(move || {
            let mut round = Round::new(wire, peers);
            round.open(listener)?;
            round.play(cases)
        })?;
        played.map_err(RigError::io("playing to the kernel"))
    }
}

/// The raw socket at the peers' end of the cable.
#[derive(Debug)]
struct Wire {
    socket: PacketSocket,
    /// Frames that the socket did not take yet.
    out: Burst<MemBuf>,
    heard: Burst<MemBuf>,
}

impl Wire {
    fn new() -> Result<Self, RigError> {
        Ok(Self {
            socket: PacketSocket::open("b0", BUFFERS)?,
            out: Burst::with_capacity(BUFFERS / 2),
            heard: Burst::with_capacity(BUFFERS / 4),
        })
    }

    fn send<I: TestIp>(&mut self, packet: &[u8]) -> io::Result<()> {
        let octets = frame::framed::<I>(packet);
        let mut frame = self.socket.alloc().ok_or(io::ErrorKind::OutOfMemory)?;
        let room = frame.append(octets.len());
        room.ok_or(io::ErrorKind::OutOfMemory)?
            .copy_from_slice(&octets);
        self.out.push(frame).map_err(|_| Errno::ENOBUFS)?;
        self.socket.tx_burst(&mut self.out);
        Ok(())
    }

    /// Gives `hear` the packets of that IP version that are there.
    fn receive<I: TestIp>(&mut self, mut hear: impl FnMut(&[u8])) {
        self.socket.tx_burst(&mut self.out);
        loop {
            let count = self.socket.rx_burst(&mut self.heard);
            if count == 0 {
                return;
            }
            for frame in self.heard.drain_front(count) {
                let packet = frame.data().get(ethernet::HEADER_LEN..);
                let header = ethernet::Header::parse(frame.data());
                if header.is_ok_and(|header| header.ethertype == I::ETHERTYPE) {
                    hear(packet.unwrap_or_default());
                }
            }
        }
    }
}

/// One connection of a round.
struct Seat<I: TestIp> {
    peer: Peer<I>,
    stream: Option<TcpStream>,
    closed: bool,
    read: u32,
    written: u32,
}

/// Connections that are played side by side.
struct Round<'w, I: TestIp> {
    wire: &'w mut Wire,
    seats: Vec<Seat<I>>,
    /// Which seat has a peer's address and port.
    places: HashMap<SocketAddr, usize>,
}

impl<'w, I: PlayIp> Round<'w, I> {
    fn new(wire: &'w mut Wire, peers: Vec<Peer<I>>) -> Self {
        let places = peers.iter().enumerate();
        let places = places
            .map(|(place, peer)| (peer.address(), place))
            .collect();
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
            self.wire.send::<I>(&seat.peer.syn())?;
        }
        self.hear_until(|round| round.seats.iter().all(|seat| seat.peer.is_answered()));
        for seat in &self.seats {
            self.wire.send::<I>(&seat.peer.third())?;
        }
        self.hear_until(|round| {
            while let Ok((stream, from)) = listener.accept() {
                round.sit_down(stream, from);
            }
            round.seats.iter().all(|seat| seat.stream.is_some())
        });
        for seat in &mut self.seats {
            seat.peer.observe(None, None);
        }
        Ok(())
    }

    fn sit_down(&mut self, stream: TcpStream, from: SocketAddr) {
        let ready = stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true));
        if let Some(place) = self.places.get(&from)
            && ready.is_ok()
        {
            self.seats[*place].stream = Some(stream);
        }
    }

    /// Plays the cases step by step.
    fn play(&mut self, cases: &[&Case]) -> io::Result<Vec<Vec<Observation>>> {
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
                self.hear();
                thread::sleep(Duration::from_millis(2));
            }
            self.hear();
            let states = states::<I>()?;
            for (place, case) in cases.iter().enumerate() {
                let seat = &mut self.seats[place];
                let connected = seat.stream.is_some() || seat.closed;
                if connected && at < case.steps.len() {
                    let state = states.get(&seat.peer.address()).copied();
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
            self.wire.send::<I>(&seat.peer.segment(segment))?;
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
    fn hear_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + HANDSHAKE;
        while !is_so(self) && Instant::now() < end {
            self.hear();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes in the packets that are there.
    fn hear(&mut self) {
        let Self {
            wire,
            seats,
            places,
        } = self;
        wire.receive::<I>(|packet| {
            let Some((ip, header, payload)) = peer::open::<I>(packet) else {
                return;
            };
            let to = SocketAddr::new(ip.dst.into(), header.dport);
            if let Some(place) = places.get(&to) {
                seats[*place].peer.take(&header, payload);
            }
        });
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
fn states<I: PlayIp>() -> io::Result<HashMap<SocketAddr, &'static str>> {
    let table = fs::read_to_string(I::TABLE)?;
    Ok(table.lines().filter_map(state::<I>).collect())
}

/// A line of the kernel's table: number, local end, remote end, state, ...
fn state<I: PlayIp>(line: &str) -> Option<(SocketAddr, &'static str)> {
    let mut words = line.split_whitespace().skip(2);
    let (address, port) = words.next()?.split_once(':')?;
    let state = u64::from_str_radix(words.next()?, 16).ok()?;
    // The address stands there in groups of 32 bits, as the machine has them in memory.
    let mut octets = Vec::new();
    for group in address.as_bytes().chunks(8) {
        let group = core::str::from_utf8(group).ok()?;
        octets.extend(u32::from_str_radix(group, 16).ok()?.to_ne_bytes());
    }
    let address = I::Addr::from_octets(&octets)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let peer = SocketAddr::new(address.into(), port);
    Some((peer, peer::state_name(state)?))
}
