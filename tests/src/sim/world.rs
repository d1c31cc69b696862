//! Hosts, links and workers, driven through virtual time.

use core::time::Duration;
use std::path::Path;

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::io::impair::Impair;
use netstack::io::mem::{MemIo, MemPool};
use netstack::io::{PacketBuf, PortId};
use netstack::time::Instant;
use netstack::wire::ethernet::MacAddr;
use proxy::assemble::{ControlEnds, Queues, assemble};
use proxy::config::{BackendGroupId, Config};
use proxy::l7::backend_pool::{BackendId, Setting};
use proxy::l7::health::HealthReport;
use proxy::l7::report::SessionReport;
use proxy::port_queues::PortQueues;
use proxy::receiver::Receiver;
use proxy::secret::Secrets;
use proxy::worker::{Command, SetBackend, Worker};

use super::conservation;
use super::end::End;
use super::host::{EndId, SimHost};
use super::setup::{Addresses, Link, Setup, SpreadBy};
use super::switch::{self, Switch};

/// What a turn of everything takes. So even a perfect link has a round-trip time.
const TURN: Duration = Duration::from_micros(10);

/// When the simulation begins: not at zero, so that no time is special.
const START: Instant = Instant::from_millis(1_000_000);

/// When something is that will not happen.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// Turns of one simulation at most; more means that something goes round in circles.
const MAX_TURNS: u64 = 2_000_000;

/// Frames that a direction of a link holds.
const LINK_CAPACITY: usize = 4096;

const MTU: usize = 1500;

const CLIENT_LINK: PortId = PortId(0);
const SERVER_LINK: PortId = PortId(1);

/// A worker's queues of a link.
type Io = PortQueues<Impair<MemIo>>;

/// A simulated network.
pub struct World {
    /// The host on link 0.
    pub client: SimHost,
    /// The host on link 1.
    pub server: SimHost,
    /// Who has which address.
    pub addresses: Addresses,
    workers: Vec<Worker<Io>>,
    /// Who receives for all workers, if it is none of them.
    receiver: Option<Receiver<Io>>,
    pools: Vec<MemPool>,
    packets: usize,
    control: ControlEnds,
    switch: Switch,
    now: Instant,
    turns: u64,
    /// Whether a frame moved, or a worker told another something, in the last turn.
    moved: bool,
    /// When the workers want their next turn.
    next_turn: Option<Instant>,
    finished: bool,
    /// The worker that has no turns at present.
    absent: Option<usize>,
    /// Frames lost because a port had no buffer to receive them in.
    no_rx_buffer: u64,
}

impl World {
    /// Makes a network. Nothing has happened in it yet.
    pub fn new(setup: &Setup) -> Self {
        let (mut config, _) =
            Config::parse(&setup.to_toml(), Path::new("sim.toml")).expect("the setup is sound");
        // Below what a configuration may say: pools are as small here as a case wants them.
        let connections = setup.packets / 2 * setup.workers;
        config.buffers.connection_packets = u32::try_from(connections).ok();
        let addresses = setup.family.addresses();
        let pools: Vec<MemPool> = (0..setup.workers)
            .map(|_| MemPool::new(setup.packets, MTU))
            .collect();
        let secrets = Secrets::from_seed(setup.seed);
        let mut assembly =
            assemble(&config, &secrets, queues(setup, &pools), START).expect("the setup is sound");
        let on_link = setup.family.addresses().prefix_len;
        let mut client = SimHost::new(
            MacAddr([2, 0, 0, 0, 0, 0x10]),
            &[(addresses.client, on_link)],
            setup.host_buffer,
            setup.seed,
        );
        client.route_by(addresses.front);
        let server_addresses = [
            (addresses.server, on_link),
            (addresses.beyond, addresses.address_len),
        ];
        let mut server = SimHost::new(
            MacAddr([2, 0, 0, 0, 0, 0x20]),
            &server_addresses,
            setup.host_buffer,
            setup.seed + 1_000_000,
        );
        server.route_by(addresses.back);
        Self {
            client,
            server,
            addresses,
            workers: assembly.workers,
            receiver: assembly.receivers.pop(),
            pools,
            packets: setup.packets,
            control: assembly.control,
            switch: Switch::new(setup.workers, setup.spread),
            now: START,
            turns: 0,
            moved: true,
            next_turn: None,
            finished: false,
            absent: None,
            no_rx_buffer: 0,
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Virtual time that has passed since `earlier`.
    pub fn since(&self, earlier: Instant) -> Duration {
        self.now.saturating_duration_since(earlier)
    }

    /// Virtual time that has passed since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.since(START)
    }

    /// Lets time pass until `happened`.
    ///
    /// # Panics
    /// If that does not happen within `limit`.
    pub fn run_until(&mut self, limit: Duration, happened: impl FnMut(&mut Self) -> bool) {
        if !self.try_run_until(limit, happened) {
            self.fail(&format!("it did not happen within {limit:?}"));
        }
    }

    /// Lets time pass until `happened`, but no longer than `limit`; returns whether it did.
    pub fn try_run_until(
        &mut self,
        limit: Duration,
        mut happened: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let deadline = self.now + limit;
        // An end may have been told something since.
        self.moved = true;
        while !happened(self) {
            if self.now >= deadline {
                return false;
            }
            self.now = self.next_moment().min(deadline);
            self.turn();
        }
        true
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.try_run_until(time, |_| false);
    }

    /// A frame of somebody else arrives on the client's link.
    pub fn arrive(&mut self, frame: &[u8]) {
        self.carry(CLIENT_LINK, frame);
    }

    /// Lets time pass until both ends of connections have ended, at either host, and nothing is
    /// left of them at Weirgate; then checks that every buffer is back.
    pub fn settle(&mut self, limit: Duration) {
        self.run_until(limit, |world| {
            let hosts = [&world.client, &world.server];
            let ended = |host: &SimHost| host.ends().iter().all(|end| end.ending().is_some());
            hosts.into_iter().all(ended) && world.connections() == 0
        });
        self.check_buffers();
    }

    /// Checks that every packet buffer is back in its pool, once what is under way has arrived.
    pub fn check_buffers(&mut self) {
        let packets = self.packets;
        self.run_until(Duration::from_secs(30), |world| {
            world.pools.iter().all(|pool| pool.available() == packets)
        });
        assert_eq!(self.sessions(), 0);
    }

    /// How often something was counted, by all workers and whoever receives for them.
    pub fn count(&self, event: Event) -> u64 {
        let counters = self.control.all_counters().into_iter();
        counters.map(|counters| counters.event(event)).sum()
    }

    /// How often something was counted by one worker.
    pub fn count_of(&self, worker: usize, event: Event) -> u64 {
        self.control.counters[worker].event(event)
    }

    /// How many packets were dropped for a reason, by all of them.
    pub fn drops(&self, reason: DropReason) -> u64 {
        let counters = self.control.all_counters().into_iter();
        counters.map(|counters| counters.drops(reason)).sum()
    }

    /// The sessions that have ended since this was last asked.
    pub fn reports(&mut self) -> Vec<SessionReport> {
        self.control.reports.try_iter().collect()
    }

    /// What happened to backends since this was last asked.
    pub fn health_reports(&mut self) -> Vec<HealthReport> {
        self.control.health.try_iter().collect()
    }

    /// Uses a backend otherwise from now on.
    pub fn set_backend(&mut self, index: usize, setting: Setting) {
        let change = SetBackend {
            group: BackendGroupId(0),
            backend: BackendId::new(index),
            setting,
        };
        let deaf = self
            .control
            .tell_all(&Command::SetBackends([change].into()));
        assert_eq!(deaf, 0, "workers that did not take it");
    }

    /// The codes of the sessions that have ended since the reports were last taken.
    pub fn endings(&mut self) -> Vec<String> {
        let reports = self.reports();
        reports.iter().map(|r| r.reason.to_string()).collect()
    }

    /// Sessions that are going on.
    pub fn sessions(&self) -> usize {
        self.workers.iter().map(Worker::sessions).sum()
    }

    /// TCP connections of Weirgate, in any state.
    pub fn connections(&self) -> usize {
        self.workers.iter().map(Worker::connections).sum()
    }

    /// Tells Weirgate to take no more clients, and to end.
    pub fn drain(&mut self, limit: Duration) {
        self.control.tell_all(&Command::Drain(limit));
    }

    /// Whether all workers have said that they are done.
    pub fn is_finished(&mut self) -> bool {
        self.finished
    }

    /// Lets so much time pass in which one worker has no turn, as if its core had something else to
    /// do.
    pub fn run_without(&mut self, worker: usize, time: Duration) {
        self.absent = Some(worker);
        self.run_for(time);
        self.absent = None;
    }

    /// Changes what happens on the client's link.
    pub fn set_client_link(&mut self, link: Link) {
        self.set_link(CLIENT_LINK, link);
    }

    /// Changes what happens on the server's link.
    pub fn set_server_link(&mut self, link: Link) {
        self.set_link(SERVER_LINK, link);
    }

    /// Frames that a port lost because there was no buffer to receive them in.
    pub fn no_rx_buffer(&self) -> u64 {
        self.no_rx_buffer
    }

    /// The accepted end at the server that the octets of `client` have reached.
    pub fn partner_of(&self, client: EndId) -> Option<&End> {
        let seed = self.client.end(client).seed();
        let ends = self.server.accepted().iter();
        ends.map(|id| self.server.end(*id))
            .find(|end| end.incoming().seed() == Some(seed))
    }

    /// Fails the test and tells what there is to know.
    pub fn fail(&self, what: &str) -> ! {
        use core::fmt::Write as _;
        let mut dump = format!("{what}\nafter {:?}, {} turns\n", self.elapsed(), self.turns);
        for (name, host) in [("client", &self.client), ("server", &self.server)] {
            for end in host.ends() {
                writeln!(dump, "{name}: {}", host.describe(end))
                    .expect("a String takes everything");
            }
        }
        for (index, worker) in self.workers.iter().enumerate() {
            writeln!(
                dump,
                "worker {index}: {} sessions, {} connections, {} packets held\n{:?}",
                worker.sessions(),
                worker.connections(),
                worker.packets_held(),
                worker.counters().non_zero(),
            )
            .expect("a String takes everything");
        }
        panic!("{dump}");
    }

    /// Everybody has a turn.
    fn turn(&mut self) {
        self.turns += 1;
        if self.turns > MAX_TURNS {
            self.fail("this goes round in circles");
        }
        let now = self.now;
        self.client.poll(now);
        self.server.poll(now);
        self.moved = self.carry_to_workers();
        self.next_turn = None;
        self.finished = true;
        if let Some(receiver) = &mut self.receiver {
            let turn = receiver.poll_once(now);
            self.next_turn = turn.next;
            let (came, went) = conservation::balance(receiver.counters(), 0);
            if came != went {
                self.fail(&format!("receiver: {came} packets came, {went} went"));
            }
        }
        for index in 0..self.workers.len() {
            if self.absent == Some(index) {
                continue;
            }
            let worker = &mut self.workers[index];
            let turn = worker.poll_once(now);
            let (came, went) = conservation::balance(worker.counters(), worker.packets_held());
            if came != went {
                self.fail(&format!("worker {index}: {came} packets came, {went} went"));
            }
            self.finished &= turn.finished;
            // Another worker may have been told something after its own turn.
            self.moved |= turn.busy && self.pools.len() > 1;
            self.next_turn = self.next_turn.into_iter().chain(turn.next).min();
        }
        self.moved |= self.carry_to_hosts();
        // What the control thread does.
        if !self.finished && self.control.all_drained() {
            self.control.tell_all(&Command::Finish);
        }
    }

    /// Frames of the hosts go to the queues that the ports choose.
    fn carry_to_workers(&mut self) -> bool {
        let mut moved = false;
        while let Some(frame) = self.client.transmit() {
            moved = true;
            self.carry(CLIENT_LINK, &frame);
        }
        while let Some(frame) = self.server.transmit() {
            moved = true;
            self.carry(SERVER_LINK, &frame);
        }
        moved
    }

    /// A frame arrives at the queue that the port chooses.
    fn carry(&mut self, link: PortId, frame: &[u8]) {
        let queue = self.switch.queue_for(frame);
        let Some(mut buffer) = self.pools[queue].alloc() else {
            self.no_rx_buffer += 1;
            return;
        };
        buffer
            .append(frame.len())
            .expect("hosts respect the MTU")
            .copy_from_slice(frame);
        let io = match &mut self.receiver {
            Some(receiver) => receiver.io_mut(link),
            None => self.workers[queue].io_mut(link),
        };
        queue_of(io).inner_mut().inject(buffer);
    }

    fn carry_to_hosts(&mut self) -> bool {
        let mut moved = false;
        for worker in &mut self.workers {
            for (host, link) in [
                (&mut self.client, CLIENT_LINK),
                (&mut self.server, SERVER_LINK),
            ] {
                let io = queue_of(worker.io_mut(link)).inner_mut();
                while let Some(frame) = io.take_sent() {
                    moved = true;
                    host.receive(frame.data().to_vec());
                }
            }
        }
        moved
    }

    /// When the next turn is due: at once if there is anything to go on with.
    fn next_moment(&mut self) -> Instant {
        let soon = self.now + TURN;
        if self.moved {
            return soon;
        }
        let hosts = [
            self.client.next_event(self.now),
            self.server.next_event(self.now),
        ];
        let next = hosts.into_iter().flatten().chain(self.next_turn).min();
        next.map_or(NEVER, |next| next.max(soon))
    }

    fn set_link(&mut self, port: PortId, link: Link) {
        let workers = self.workers.iter_mut().map(|worker| worker.io_mut(port));
        let receiver = self.receiver.iter_mut().map(|one| one.io_mut(port));
        for io in workers.chain(receiver) {
            let queue = queue_of(io);
            queue.set_rx(link.towards);
            queue.set_tx(link.back);
        }
    }
}

/// The one queue pair that there is, which may be another's to send on.
fn queue_of(io: &mut Io) -> &mut Impair<MemIo> {
    &mut io.queues_mut()[0]
}

/// The queues of all, as the setup has them. Buffers of whoever receives for others are those of the
/// first worker.
fn queues(setup: &Setup, pools: &[MemPool]) -> Queues<Io> {
    let mut workers: Vec<_> = (0..)
        .zip(pools)
        .map(|(worker, pool)| ios(setup, worker, pool))
        .collect();
    if matches!(setup.spread, SpreadBy::OneQueue | SpreadBy::Receiver)
        && let Some((first, others)) = workers.split_first_mut()
    {
        for other in others {
            for (io, lender) in other.iter_mut().zip(&mut *first) {
                assert!(io.borrow_from(lender), "the first worker has a queue");
            }
        }
    }
    let mut queues = Queues::pairs(workers);
    let layout = &mut queues.layout;
    layout.flows = 1024;
    layout.handover = setup.handover;
    match setup.spread {
        SpreadBy::Ports | SpreadBy::Toeplitz => {}
        SpreadBy::OneQueue => layout.ports.iter_mut().for_each(|port| port.shared = true),
        SpreadBy::Receiver => {
            layout.receivers = vec![(0..setup.workers as u16).collect()];
            queues.receivers = vec![ios(setup, setup.workers as u64, &pools[0])];
        }
    }
    queues
}

/// A worker's queue pairs on both links.
fn ios(setup: &Setup, worker: u64, pool: &MemPool) -> Vec<Io> {
    let links = [(1, setup.client_link), (2, setup.server_link)];
    let io = |(number, link): (u8, Link)| {
        let mut io = MemIo::new(MacAddr([2, 0, 0, 0, 0, number]), MTU, pool.clone());
        io.capabilities_mut().rss = switch::rss(setup.workers, setup.spread);
        let seed = (setup.seed << 16) + (worker << 8) + u64::from(number);
        let io = Impair::new(io, seed, link.towards, link.back, LINK_CAPACITY);
        PortQueues::new(io, [])
    };
    links.map(io).into()
}
