//! A worker in memory, and the peers around it.
//!
//! Time is the worker's own: it advances by what its turns take of the core, and jumps when there is nothing
//! to do until a timer. So timers fire as often as they would on a core that is kept busy.
//!
//! Peers acknowledge as RFC 1122 section 4.2.3.2 wants: with what they send anyway, every second
//! segment, or after a while.

use core::fmt::Write as _;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

use netstack::io::mem::{MemBuf, MemIo, MemPool};
use netstack::io::{
    BURST_SIZE, ChecksumStatus, PacketBuf, PortId, RxChecksum, TxChecksumCapability,
};
use netstack::tcp::EngineKind;
use netstack::time::Instant;
use netstack::wire::tcp::Flags;
use nix::time::{ClockId, clock_gettime};
use proxy::assemble::{ControlEnds, Queues, assemble};
use proxy::config::Config;
use proxy::l7::report::SessionReport;
use proxy::secret::Secrets;
use proxy::worker::Worker;

use super::frame::{self, Heard, PROXY_MAC, Segment};
use super::peer::{
    BACKEND_PORT, BACKENDS, LISTENER, PROXY_ADDR, Peer, PeerId, ROUTER, backend_addr,
};
use crate::memory;

/// Frames that wait for the worker when its turn begins, if there are as many: a core that is kept
/// busy finds a whole burst in its queue.
pub const FRAMES_PER_TURN: usize = BURST_SIZE;

/// Octets of an Ethernet payload.
const MTU: usize = 1500;

/// Many more than are on their way at a time: a turn in which many timers are due sends many.
const BUFFERS: usize = 1 << 16;

/// Peers' acknowledgments wait while this many frames are on their way.
const MAX_IN_FLIGHT: usize = 512;

/// How long a peer waits for something to send an acknowledgment with, as Linux does.
const DELAYED_ACK: Duration = Duration::from_millis(40);

/// What the port of a rig does by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offload {
    /// Nothing.
    None,
    /// It checks and fills in checksums, and cuts large packets into segments.
    ChecksumsAndSegmentation,
}

/// What a rig is made with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What runs the connections.
    pub engine: EngineKind,
    /// What the port does by itself.
    pub offload: Offload,
    /// Octets of each of the four rings of a session.
    pub ring: usize,
    /// Sessions at once, at most.
    pub max_sessions: usize,
    /// Clients that may ever connect.
    pub clients: u32,
}

/// What peers do.
pub trait Script {
    /// A peer's handshake is over.
    fn established(&mut self, _rig: &mut Rig, _id: PeerId) {}

    /// A segment with payload or FIN arrived.
    fn heard(&mut self, rig: &mut Rig, id: PeerId, segment: &Segment<'_>);

    /// Frames may be added for the coming turn.
    fn before_turn(&mut self, _rig: &mut Rig) {}
}

/// A worker and the peers around it.
pub struct Rig {
    worker: Worker<MemIo>,
    control: ControlEnds,
    pool: MemPool,
    now: Instant,
    clients: Vec<Peer>,
    backends: Vec<Peer>,
    /// Frames on their way to the worker.
    to_worker: VecDeque<MemBuf>,
    /// Peers that will acknowledge, when, and what they had received then.
    acknowledgments: VecDeque<(Instant, PeerId)>,
    stopwatch: Stopwatch,
    offload: Offload,
    /// Strangers that have sent a SYN.
    strangers: u32,
    /// Octets of memory that the process had before the worker was made.
    resident_before: usize,
}

/// Time spent in the worker.
#[derive(Debug, Default)]
pub struct Stopwatch {
    /// In all turns.
    pub busy: Duration,
    /// Nanoseconds of each turn, if they are wanted.
    pub turns: Vec<u32>,
}

impl Rig {
    /// A worker without connections.
    ///
    /// # Panics
    /// If the setup asks for what no configuration may ask for.
    pub fn new(setup: Setup) -> Self {
        let pool = MemPool::new(BUFFERS, MTU);
        let clients = vec![Peer::new(1); setup.clients as usize];
        let backends = vec![Peer::new(1); usize::from(BACKENDS) << 16];
        touch(&pool);
        // Only what is compared with this matters, and that fails if it cannot be read either.
        let resident_before = memory::resident().unwrap_or_default();
        let (config, _) = Config::parse(&configuration(setup), Path::new("bench.toml"))
            .unwrap_or_else(|errors| panic!("{errors}"));
        let mut io = MemIo::new(PROXY_MAC, MTU, pool.clone());
        if setup.offload == Offload::ChecksumsAndSegmentation {
            let capabilities = io.capabilities_mut();
            capabilities.tx_checksum = TxChecksumCapability {
                ipv4: true,
                tcp: true,
                udp: true,
            };
            capabilities.tso_ipv4 = Some(u16::MAX.into());
            capabilities.tso_ipv6 = Some(u16::MAX.into());
        }
        let now = Instant::from_millis(1);
        let mut assembly = assemble(
            &config,
            &Secrets::from_seed(1),
            Queues::pairs(vec![vec![io]]),
            now,
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let mut rig = Self {
            worker: assembly.workers.remove(0),
            control: assembly.control,
            pool,
            now,
            clients,
            backends,
            resident_before,
            to_worker: VecDeque::with_capacity(BUFFERS),
            acknowledgments: VecDeque::with_capacity(BUFFERS),
            stopwatch: Stopwatch::default(),
            offload: setup.offload,
            strangers: 0,
        };
        rig.introduce();
        rig
    }

    /// Lets the worker know the router and the backends before a burst of packets would have to
    /// wait for them.
    fn introduce(&mut self) {
        let backends = (0..BACKENDS).map(backend_addr);
        for neighbor in backends.chain([ROUTER]) {
            let mut question = self.pool.alloc().expect("a buffer for a question");
            frame::write_question(&mut question, neighbor, PROXY_ADDR);
            self.to_worker.push_back(question);
        }
    }

    /// Lets a client connect.
    pub fn open(&mut self, client: u32) {
        let id = PeerId::Client(client);
        *self.peer_mut(id) = Peer::new(client.wrapping_mul(0x9e37_79b9));
        self.send(id, Flags::SYN, &[]);
    }

    /// Lets as many strangers send a SYN and never anything else.
    ///
    /// # Panics
    /// If all buffers are in use.
    pub fn flood(&mut self, syns: usize) {
        for _ in 0..syns {
            let id = PeerId::Client(self.clients.len() as u32 + self.strangers);
            self.strangers += 1;
            let mut stranger = Peer::new(self.strangers.wrapping_mul(0x9e37_79b9));
            let header = stranger.next_header(Flags::SYN, 0);
            let mut frame = self.pool.alloc().expect("buffers for the frames in flight");
            frame::write_segment(&mut frame, id.ends(), header, &[]);
            self.to_worker.push_back(frame);
        }
    }

    /// Lets a peer send a segment with the next octets of its direction.
    ///
    /// # Panics
    /// If all buffers are in use.
    pub fn send(&mut self, id: PeerId, flags: Flags, payload: &[u8]) {
        let header = self.peer_mut(id).next_header(flags, payload.len());
        let mut frame = self.pool.alloc().expect("buffers for the frames in flight");
        frame::write_segment(&mut frame, id.ends(), header, payload);
        if self.offload == Offload::ChecksumsAndSegmentation {
            frame.set_rx_checksum(RxChecksum {
                ip: ChecksumStatus::Good,
                l4: ChecksumStatus::Good,
            });
        }
        self.to_worker.push_back(frame);
    }

    /// The numbers of a peer.
    pub fn peer(&self, id: PeerId) -> &Peer {
        match id {
            PeerId::Client(number) => &self.clients[number as usize],
            PeerId::Backend(number) => &self.backends[number as usize],
        }
    }

    /// Frames on their way to the worker.
    pub fn in_flight(&self) -> usize {
        self.to_worker.len()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The worker.
    pub fn worker(&self) -> &Worker<MemIo> {
        &self.worker
    }

    /// The next report of an ended session.
    pub fn report(&mut self) -> Option<SessionReport> {
        self.control.reports.try_recv().ok()
    }

    /// Stops counting time and begins anew; returns what was counted.
    pub fn lap(&mut self) -> Stopwatch {
        let turns = Vec::with_capacity(self.stopwatch.turns.capacity());
        core::mem::replace(
            &mut self.stopwatch,
            Stopwatch {
                busy: Duration::ZERO,
                turns,
            },
        )
    }

    /// How much the process has grown by the worker: not by what belongs to the peers, which has
    /// all been written to before the worker was made.
    pub fn occupied(&self) -> io::Result<usize> {
        Ok(memory::resident()?.saturating_sub(self.resident_before))
    }

    /// Makes room to keep the times of so many turns.
    pub fn keep_turns(&mut self, turns: usize) {
        self.stopwatch.turns = Vec::with_capacity(turns);
    }

    /// One turn of the worker, and what peers answer to it.
    pub fn turn(&mut self, script: &mut impl Script) {
        self.send_due_acknowledgments();
        script.before_turn(self);
        let count = self.to_worker.len().min(FRAMES_PER_TURN);
        let io = self.worker.io_mut(PortId(0));
        for frame in self.to_worker.drain(..count) {
            io.inject(frame);
        }

        let start = cpu_time();
        let turn = self.worker.poll_once(self.now);
        let took = cpu_time().saturating_sub(start);

        self.stopwatch.busy += took;
        if self.stopwatch.turns.len() < self.stopwatch.turns.capacity() {
            self.stopwatch.turns.push(took.as_nanos() as u32);
        }
        self.now += took;
        while let Some(frame) = self.worker.io_mut(PortId(0)).take_sent() {
            self.receive(&frame, script);
        }
        if self.to_worker.is_empty() && !turn.busy {
            let acknowledgment = self.acknowledgments.front().map(|(at, _)| *at);
            let next = turn.next.into_iter().chain(acknowledgment).min();
            self.now = self.now.max(next.unwrap_or_default());
        }
    }

    fn receive(&mut self, frame: &MemBuf, script: &mut impl Script) {
        let summed = frame.tx_offload().is_none();
        let segment = match frame::read(frame.data(), summed) {
            Heard::Answer => return,
            Heard::Question(question) => {
                let mut answer = self.pool.alloc().expect("a buffer for an answer");
                frame::write_answer(&mut answer, &question);
                self.to_worker.push_back(answer);
                return;
            }
            Heard::Segment(segment) => segment,
        };
        let id = PeerId::of(segment.ends);
        if matches!(id, PeerId::Client(number) if number as usize >= self.clients.len()) {
            return;
        }
        let flags = segment.header.flags;
        if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) {
            *self.peer_mut(id) = Peer::new(segment.header.seq.wrapping_mul(5));
        }
        let finished = self
            .peer_mut(id)
            .receive(&segment.header, segment.payload.len());
        if flags.contains(Flags::SYN) {
            let syn_of_worker = !flags.contains(Flags::ACK);
            let answer = if syn_of_worker {
                Flags::SYN | Flags::ACK
            } else {
                Flags::ACK
            };
            self.send(id, answer, &[]);
        }
        if finished {
            script.established(self, id);
        }
        if !segment.payload.is_empty() || flags.contains(Flags::FIN) {
            script.heard(self, id, &segment);
            self.acknowledge(id);
        }
    }

    /// Tells the worker what arrived, unless the script has, now or a little later.
    fn acknowledge(&mut self, id: PeerId) {
        match self.peer(id).unacknowledged() {
            0 => {}
            octets if octets > u32::from(super::peer::MSS) => self.send(id, Flags::ACK, &[]),
            _ => self.acknowledgments.push_back((self.now + DELAYED_ACK, id)),
        }
    }

    fn send_due_acknowledgments(&mut self) {
        while let Some((at, id)) = self.acknowledgments.front().copied()
            && at <= self.now
            && self.to_worker.len() < MAX_IN_FLIGHT
        {
            self.acknowledgments.pop_front();
            if self.peer(id).unacknowledged() > 0 {
                self.send(id, Flags::ACK, &[]);
            }
        }
    }

    fn peer_mut(&mut self, id: PeerId) -> &mut Peer {
        match id {
            PeerId::Client(number) => &mut self.clients[number as usize],
            PeerId::Backend(number) => &mut self.backends[number as usize],
        }
    }
}

/// What this thread has used of its core. Other programs on the core do not count, as they would
/// by the clock on the wall.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("Linux has had this clock for ever")
        .into()
}

/// Writes to all buffers of a pool.
fn touch(pool: &MemPool) {
    let mut buffers: Vec<_> = core::iter::from_fn(|| pool.alloc()).collect();
    for buffer in &mut buffers {
        if let Some(octets) = buffer.append(buffer.tailroom()) {
            octets.fill(1);
        }
    }
}

/// The configuration of the worker.
fn configuration(setup: Setup) -> String {
    let Setup {
        engine,
        ring,
        max_sessions,
        ..
    } = setup;
    let engine = match engine {
        EngineKind::Native => "native",
        EngineKind::Smoltcp => "smoltcp",
    };
    let (listener_addr, listener_port) = LISTENER;
    let mut text = format!(
        r#"
[dpdk]
vdevs = ["net_null0"]
[[port]]
name = "edge"
device = "net_null0"
mac = "{PROXY_MAC}"
mtu = {MTU}
addresses = ["{PROXY_ADDR}/24"]
routes = [{{ to = "198.18.0.0/15", via = "{ROUTER}" }}]
[[listener]]
name = "listener"
addresses = ["{listener_addr}:{listener_port}"]
backend_group = "backends"
engine = "{engine}"
[buffers]
client_receive = "{ring}B"
client_send = "{ring}B"
backend_receive = "{ring}B"
backend_send = "{ring}B"
[limits]
max_sessions = {max_sessions}
source_ports = "1024-65535"
[[backend_group]]
name = "backends"
engine = "{engine}"
"#
    );
    for backend in (0..BACKENDS).map(backend_addr) {
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "[[backend_group.backend]]\naddress = \"{backend}:{BACKEND_PORT}\"\n"
        );
    }
    text
}
