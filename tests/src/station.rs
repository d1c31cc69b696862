//! Workers in memory, alone on a link with whoever the test plays.
//!
//! *In*: frames, and how time passes. *Out*: frames, and what the workers counted. After every
//! turn a [`Station`] asserts what must hold whatever the frames were:
//!
//! * **conservation**, for each worker: every packet that came in or was made is accounted for,
//!   `rx_frames + taken_over + generated = tx_frames + consumed + drops + handed_over + distributed + held`.
//!   A packet that is answered in place (an echo request) was received and is sent, so it is
//!   neither consumed nor generated; a refused one is dropped, and its answer is generated; what
//!   the workers tell each other about neighbors are no packets.
//! * what a worker says it received and sent is what passed.
//!
//! At the end, [`Station::finish`] asserts that every buffer is back in its pool.

pub mod frame;
pub mod sent;

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use netstack::counters::{Counters, Event};
use netstack::io::mem::{MemBuf, MemIo, MemPool};
use netstack::io::{PacketBuf, PortId};
use netstack::tcp::EngineKind;
use netstack::time::Instant;
use proxy::assemble::{ControlEnds, Queues, assemble};
use proxy::config::{Config, EngineConfig};
use proxy::l7::report::SessionReport;
use proxy::layout::Layout;
use proxy::secret::Secrets;
use proxy::worker::{Turn, Worker};

use frame::{BACKEND_MAC, CLIENT_MAC, TestIp, US_MAC};
use netstack::ip::{V4, V6};

/// The MTU of the station's port.
pub const MTU: usize = 1500;

/// The configuration of a station: one worker, one port, a listener of each IP version with a
/// backend of the same, and limits that are easy to reach.
pub const CONFIG: &str = r#"
[runtime]
lcores = [0]
[dpdk]
vdevs = ["net_ring0"]
[[port]]
name = "edge"
device = "net_ring0"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
[[listener]]
name = "web4"
addresses = ["192.0.2.1:80"]
backend_group = "four"
[[listener]]
name = "web6"
addresses = ["[2001:db8::1]:80"]
backend_group = "six"
[[backend_group]]
name = "four"
[[backend_group.backend]]
address = "192.0.2.100:8080"
[[backend_group]]
name = "six"
[[backend_group.backend]]
address = "[2001:db8::64]:8080"
[buffers]
client_receive = "2KiB"
client_send = "2KiB"
backend_receive = "2KiB"
backend_send = "2KiB"
[limits]
max_sessions = 8
syn_backlog = 4
source_ports = "1024-1087"
time_wait = 4
neighbors = 8
resets_per_second = 3
icmp_per_second = 3
"#;

/// Both engines.
pub const ENGINES: [EngineKind; 2] = [EngineKind::Native, EngineKind::Smoltcp];

/// [`CONFIG`] for this engine, with windows as large as the rings are.
pub fn config_for(engine: EngineKind) -> String {
    let word = EngineConfig::ENGINES
        .iter()
        .find_map(|(word, named)| (*named == engine).then_some(*word))
        .expect("every engine has a word");
    let mut config = String::new();
    for line in CONFIG.lines() {
        config.push_str(line);
        config.push('\n');
        // One line of each listener and of each group.
        if line.starts_with("addresses = [\"192.0.2.1:")
            || line.starts_with("addresses = [\"[")
            || line == "[[backend_group]]"
        {
            config.extend(["engine = \"", word, "\"\n"]);
        }
    }
    config + "[tcp]\nfirst_window = \"2KiB\"\nreceive_max = \"4KiB\"\nsend_max = \"4KiB\"\n"
}

/// Workers in memory.
pub struct Station {
    engine: EngineKind,
    workers: Vec<Member>,
    pool: MemPool,
    buffers: usize,
    now: Instant,
    /// Kept so that the workers find somebody at the other end.
    control: ControlEnds,
}

/// A worker, and what passed between it and the test.
struct Member {
    worker: Worker<MemIo>,
    injected: u64,
    taken: u64,
}

impl Station {
    /// The workers of a configuration that is valid and has one port.
    ///
    /// # Panics
    /// If it is not, or has not.
    pub fn new(config: &str, buffers: usize) -> Self {
        Self::with_layout(config, buffers, |_| {})
    }

    /// The same with a port of which only the first worker has a receive queue.
    pub fn distributing(config: &str, buffers: usize) -> Self {
        Self::with_layout(config, buffers, |layout| {
            layout.flows = 1024;
            layout.ports[0].shared = true;
        })
    }

    fn with_layout(config: &str, buffers: usize, change: impl FnOnce(&mut Layout)) -> Self {
        let (config, _) = Config::parse(config, Path::new("station.toml"))
            .unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.ports.len(), 1, "a station has one port");
        let engine = config.listeners[0].engine.engine;
        let pool = MemPool::new(buffers, MTU);
        let ios = (0..config.workers())
            .map(|_| vec![MemIo::new(US_MAC, MTU, pool.clone())])
            .collect();
        let now = Instant::from_millis(1_000);
        let mut queues = Queues::pairs(ios);
        change(&mut queues.layout);
        let assembly = assemble(&config, &Secrets::from_seed(7), queues, now)
            .unwrap_or_else(|error| panic!("{error}"));
        let member = |worker| Member {
            worker,
            injected: 0,
            taken: 0,
        };
        Self {
            engine,
            workers: assembly.workers.into_iter().map(member).collect(),
            pool,
            buffers,
            now,
            control: assembly.control,
        }
    }

    /// The workers of [`CONFIG`] after their first turn; they know the MAC addresses of client and
    /// backend already, as these have asked for theirs.
    pub fn acquainted() -> Self {
        Self::acquainted_with(EngineKind::default())
    }

    /// The same, with this engine.
    pub fn acquainted_with(engine: EngineKind) -> Self {
        let mut station = Self::new(&config_for(engine), 256);
        station.meet();
        station
    }

    /// Lets client and backend ask for our addresses, and takes the answers.
    pub fn meet(&mut self) {
        self.turn();
        for worker in 0..self.workers.len() {
            for (mac, v4, v6) in [
                (CLIENT_MAC, V4::CLIENT, V6::CLIENT),
                (BACKEND_MAC, V4::BACKEND, V6::BACKEND),
            ] {
                self.inject_to(worker, &frame::neighbor_request::<V4>(v4, mac, V4::US));
                self.inject_to(worker, &frame::neighbor_request::<V6>(v6, mac, V6::US));
            }
        }
        self.turn();
        self.take_sent();
    }

    /// What runs the connections.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// Lets the first worker receive a frame in its next turn.
    pub fn inject(&mut self, frame: &[u8]) {
        self.inject_to(0, frame);
    }

    /// Lets a worker receive a frame in its next turn, in a buffer of the pool if it fits.
    pub fn inject_to(&mut self, worker: usize, frame: &[u8]) {
        let pooled = self.pool.alloc().and_then(|mut buffer| {
            buffer.append(frame.len())?.copy_from_slice(frame);
            Some(buffer)
        });
        let member = &mut self.workers[worker];
        member.injected += 1;
        let frame = pooled.unwrap_or_else(|| MemBuf::from_frame(frame));
        member.io().inject(frame);
    }

    /// Lets each worker's port hold at most `limit` sent frames, as a full queue does.
    pub fn set_tx_limit(&mut self, limit: usize) {
        for member in &mut self.workers {
            member.io().set_tx_limit(limit);
        }
    }

    /// Takes every buffer that is free now; the workers have none until they are dropped.
    pub fn hoard(&mut self) -> Vec<MemBuf> {
        core::iter::from_fn(|| self.pool.alloc()).collect()
    }

    /// One turn of every worker, the first one first. Returns what came of the last.
    pub fn turn(&mut self) -> Option<Turn> {
        self.turn_without(None)
    }

    /// The same, but one worker is busy with something else.
    pub fn turn_without(&mut self, absent: Option<usize>) -> Option<Turn> {
        let mut last = None;
        for (index, member) in self.workers.iter_mut().enumerate() {
            if Some(index) != absent {
                last = Some(member.worker.poll_once(self.now));
                member.check_conservation();
            }
        }
        last
    }

    /// What was sent since this was last asked, the first worker's frames first.
    pub fn take_sent(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for member in &mut self.workers {
            while let Some(frame) = member.io().take_sent() {
                member.taken += 1;
                frames.push(frame.data().to_vec());
            }
            assert_eq!(
                member.worker.counters().event(Event::TxFrames),
                member.taken,
                "frames counted as sent and frames sent"
            );
        }
        frames
    }

    /// What a worker counts.
    pub fn counters(&self, worker: usize) -> &Arc<Counters> {
        self.workers[worker].worker.counters()
    }

    /// The sessions that ended since this was last asked.
    pub fn reports(&self) -> Vec<SessionReport> {
        self.control.reports.try_iter().collect()
    }

    /// TCP connections of a worker.
    pub fn connections(&self, worker: usize) -> usize {
        self.workers[worker].worker.connections()
    }

    /// Ends the workers and asserts that no buffer is missing.
    pub fn finish(mut self) {
        self.take_sent();
        let Self {
            workers,
            pool,
            buffers,
            control,
            ..
        } = self;
        drop((workers, control));
        assert_eq!(pool.available(), buffers, "buffers that came back");
    }
}

impl Member {
    fn io(&mut self) -> &mut MemIo {
        self.worker.io_mut(PortId(0))
    }

    fn check_conservation(&mut self) {
        let pending = self.io().pending() as u64;
        let held = self.worker.packets_held() as u64;
        let counters = self.worker.counters();
        let event = |event| counters.event(event);
        assert_eq!(
            event(Event::RxFrames),
            self.injected - pending,
            "frames counted as received and frames received"
        );
        let came = event(Event::RxFrames) + event(Event::TakenOver) + event(Event::Generated);
        let went = event(Event::TxFrames)
            + event(Event::Consumed)
            + event(Event::HandedOver)
            + event(Event::Distributed)
            + counters.drops_total();
        assert_eq!(
            came,
            went + held,
            "packets are lost or doubled: {held} held, {:?}",
            counters.non_zero()
        );
    }
}
