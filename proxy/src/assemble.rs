//! Workers from a configuration.
//!
//! *In*: a checked configuration, secrets, and the queue pairs that each worker is to drive, one a
//! port. *Out*: workers that are ready for their first turn, and the control thread's ends of what
//! connects it to them. Limits of the whole are split here: each worker gets an equal share.

use core::net::IpAddr;
use std::sync::{Arc, Weak};

use crossbeam_channel::{self as channel, Sender, bounded};
use netstack::counters::{Counters, Event};
use netstack::flow_directory::{FlowDirectory, MAX_CAPACITY};
use netstack::io::{BURST_SIZE, PacketBuf, PacketIo, PortId};
use netstack::ip::NetworkId;
use netstack::neighbor::{NeighborConfig, NeighborTable};
use netstack::rate_limit::RateLimit;
use netstack::route::RouteError;
use netstack::rss::{RssError, Steering, Toeplitz};
use netstack::tcp::{
    ConnectionOptions, Endpoint, EndpointConfig, EngineKind, Keepalive, Listener, ListenerId,
    PortOwners, Timeouts,
};
use netstack::time::Instant;
use thiserror::Error;

use crate::config::{
    BackendGroupConfig, BackendGroupId, BufferConfig, Config, EngineConfig, ListenerConfig,
    TimeoutConfig,
};
use crate::handover::{Mailbox, Mailboxes, Outbox};
use crate::host::{Host, Neighbors};
use crate::l7::backend_path::BackendPath;
use crate::l7::backend_pool::{BackendId, BackendPool, PoolContext};
use crate::l7::health::{Board, Checks, HealthReport, Target, Teller};
use crate::l7::report::SessionReport;
use crate::l7::session::{Group, ListenerPlan, Preface, Sessions, SessionsConfig};
use crate::l7::sni::Routes;
use crate::layout::Layout;
use crate::pipeline::classify::Classifier;
use crate::pipeline::steer::{Steer, SteerParts};
use crate::pipeline::tcp_in::Strays;
use crate::pipeline::tx::Transmitter;
use crate::receiver::{Receiver, ReceiverParts};
use crate::secret::Secrets;
use crate::worker::{Command, Commands, Worker, WorkerParts};

/// Packets of one IP version that may wait for neighbors in a worker. The pool of buffers is sized
/// for 4096 packets a worker that are neither a connection's nor a port's: those in these two
/// tables, in rings, and in the lanes between stages.
const WAITING_FOR_NEIGHBORS: usize = 1024;

/// Reports of ended sessions that may wait for the control thread.
const REPORT_CAPACITY: usize = 16_384;

/// Reports of backends that came or went that may wait for it: several of each in a large
/// configuration.
const HEALTH_CAPACITY: usize = 4096;

/// Commands that may wait for a worker.
const COMMAND_CAPACITY: usize = 16;

/// The largest payload of a TCP segment that an IP packet can have; ports ask for less.
const MAX_SEGMENT: u16 = u16::MAX - 40;

/// Workers, and what the control thread talks to them by.
pub struct Assembly<Io: PacketIo> {
    /// The workers, in order.
    pub workers: Vec<Worker<Io>>,
    /// Those that only receive, in order.
    pub receivers: Vec<Receiver<Io>>,
    /// The control thread's side.
    pub control: ControlEnds,
}

/// The control thread's ends of what connects it to the workers.
#[derive(Debug)]
pub struct ControlEnds {
    /// Ways to each worker, and then to each lcore that only receives.
    pub ends: Vec<End>,
    /// Ended sessions of all workers.
    pub reports: channel::Receiver<SessionReport>,
    /// Backends that came or went, as all workers saw it.
    pub health: channel::Receiver<HealthReport>,
    /// The counters of each worker.
    pub counters: Vec<Arc<Counters>>,
    /// The counters of each lcore that only receives.
    pub receiving: Vec<Arc<Counters>>,
}

/// The way to one worker, or to one lcore that only receives.
#[derive(Debug)]
pub struct End {
    commands: Sender<Command>,
    alive: Weak<()>,
}

impl End {
    fn is_gone(&self) -> bool {
        self.alive.strong_count() == 0
    }
}

impl ControlEnds {
    /// Gives a command to all workers. Returns how many did not take it: those that have ended, and
    /// those that do not read their commands, of which some wait for them then.
    pub fn tell_all(&self, command: &Command) -> usize {
        let ends = self.ends.iter();
        let told = ends.map(|end| end.commands.try_send(command.clone()));
        told.filter(Result::is_err).count()
    }

    /// Whether all workers were told to drain and none has a client left. A worker that has ended
    /// has none.
    pub fn all_drained(&self) -> bool {
        let mut workers = self.ends.iter().zip(&self.counters);
        workers.all(|(end, counters)| {
            end.is_gone()
                || counters.event(Event::Draining) > 0
                    && counters.event(Event::SessionsActive) == 0
                    && counters.event(Event::TcpHalfOpen) == 0
        })
    }

    /// The workers that have ended, and behind their numbers the lcores that only receive.
    pub fn gone(&self) -> impl Iterator<Item = usize> {
        let ends = self.ends.iter().enumerate();
        ends.filter(|(_, end)| end.is_gone()).map(|(at, _)| at)
    }

    /// What all workers, and then all lcores that only receive, count.
    pub fn all_counters(&self) -> Vec<Arc<Counters>> {
        let all = self.counters.iter().chain(&self.receiving);
        all.cloned().collect()
    }
}

/// Why no workers could be made of a configuration that is right by itself.
#[derive(Debug, Error)]
pub enum AssembleError {
    /// Addresses or routes contradict each other.
    #[error("addresses and routes: {0}")]
    Route(#[from] RouteError),
    /// Nothing leads to a backend.
    #[error("backend {backend} of group {group:?}: no route, or no address of ours on the way")]
    NoPath {
        /// The group's name.
        group: String,
        /// The backend's address.
        backend: core::net::SocketAddr,
    },
    /// A worker would have no source port.
    #[error("source_ports: fewer ports than workers")]
    SourcePorts,
    /// Flows cannot be told apart.
    #[error("the key that flows are hashed with: {0}")]
    FlowKey(#[from] RssError),
}

/// The queues of all ports, and who has them.
pub struct Queues<Io> {
    /// What they receive.
    pub layout: Layout,
    /// Those of each worker, one a port.
    pub workers: Vec<Vec<Io>>,
    /// Those of each lcore that only receives, one a port.
    pub receivers: Vec<Vec<Io>>,
}

impl<Io: PacketIo> Queues<Io> {
    /// Each worker has the pair of its own number on every port: `workers[worker][port]`.
    pub fn pairs(workers: Vec<Vec<Io>>) -> Self {
        let ports = workers.first().into_iter().flatten();
        Self {
            layout: Layout::of_pairs(ports.map(PacketIo::capabilities)),
            workers,
            receivers: Vec::new(),
        }
    }
}

/// Makes the workers, and those that only receive.
pub fn assemble<Io: PacketIo>(
    config: &Config,
    secrets: &Secrets,
    queues: Queues<Io>,
    now: Instant,
) -> Result<Assembly<Io>, AssembleError> {
    let Queues {
        layout,
        workers: worker_ios,
        receivers: receiver_ios,
    } = queues;
    let workers = worker_ios.len() as u16;
    let (report_sender, reports) = bounded(REPORT_CAPACITY);
    let (health_sender, health) = bounded(HEALTH_CAPACITY);
    let groups = config.backend_groups.iter();
    let rings = Mailboxes::new(workers, receiver_ios.len() as u16, layout.handover);
    let mut assembler = Assembler {
        config,
        secrets,
        host: Host::new(config)?,
        layout: &layout,
        counters: (0..workers).map(|_| Arc::new(Counters::new())).collect(),
        reports: report_sender,
        health: health_sender,
        boards: groups
            .map(|group| Board::new(group.backends.len()))
            .collect(),
        now,
        owners: None,
        ends: Vec::new(),
    };
    let mut made = Vec::with_capacity(worker_ios.len());
    for ((worker, ios), mailbox) in (0..).zip(worker_ios).zip(rings.workers) {
        made.push(assembler.worker(Share { worker, workers }, ios, mailbox)?);
    }
    let mut receivers = Vec::with_capacity(receiver_ios.len());
    let paired = layout.receivers.iter().zip(receiver_ios);
    for ((paired, ios), outbox) in paired.zip(rings.receivers) {
        receivers.push(assembler.receiver(paired, ios, outbox)?);
    }
    let Assembler { counters, ends, .. } = assembler;
    Ok(Assembly {
        control: ControlEnds {
            ends,
            reports,
            health,
            counters,
            receiving: receivers.iter().map(Receiver::counters).cloned().collect(),
        },
        workers: made,
        receivers,
    })
}

/// What all workers are made from.
struct Assembler<'a> {
    config: &'a Config,
    secrets: &'a Secrets,
    host: Host,
    layout: &'a Layout,
    /// Of all workers.
    counters: Vec<Arc<Counters>>,
    reports: Sender<SessionReport>,
    health: Sender<HealthReport>,
    /// One for each backend group.
    boards: Vec<Board>,
    now: Instant,
    /// Known as soon as one worker is made.
    owners: Option<PortOwners>,
    /// To those that are made.
    ends: Vec<End>,
}

impl Assembler<'_> {
    fn worker<Io: PacketIo>(
        &mut self,
        share: Share,
        ios: Vec<Io>,
        mailbox: Mailbox<Io::Buf>,
    ) -> Result<Worker<Io>, AssembleError> {
        let (config, secrets) = (self.config, self.secrets);
        let counters = Arc::clone(&self.counters[usize::from(share.worker)]);
        let groups = self.groups(&ios, share)?;
        let targets = self.targets(&groups, share);
        let tcp = self
            .endpoint(&ios, share, targets.len(), Arc::clone(&counters))
            .ok_or(AssembleError::SourcePorts)?;
        let checks = (!targets.is_empty()).then(|| {
            let teller = self.teller(share.worker);
            Checks::new(self.now, targets, secrets.check_times, teller)
        });
        let sessions = SessionsConfig {
            worker: share.worker,
            max_sessions: share.of(config.limits.max_sessions),
            groups,
            listeners: config.listeners.iter().map(plan).collect(),
            proxy_header: config.timeouts.proxy_header,
            client_hello: config.timeouts.client_hello,
            process: secrets.process,
            connect_total: config.timeouts.connect_total,
            reports: self.reports.clone(),
        };
        let sessions = Sessions::new(sessions, self.now);
        let owners = tcp.port_owners().clone();
        let ports = &self.layout.ports;
        let shared = ports.iter().any(|port| port.shared);
        let steer = shared.then(|| {
            let all: Vec<_> = (0..share.workers).collect();
            self.steer(&owners, &all, Some(share.worker), ios.len())
        });
        self.owners = Some(owners);
        let per_second = share.of(config.limits.icmp_per_second as usize) as u32;
        Ok(Worker::new(WorkerParts {
            steer: steer.transpose()?,
            strays: Strays::new(ports.iter().map(|port| !port.settled).collect()),
            host: self.host.clone(),
            transmitter: Transmitter::new(ios, neighbors(config, secrets)),
            tcp,
            sessions,
            checks,
            icmp_limit: RateLimit::new(per_second, per_second),
            mailbox,
            commands: self.end(),
            counters,
        }))
    }

    fn endpoint<Io: PacketIo>(
        &self,
        ios: &[Io],
        share: Share,
        checks: usize,
        counters: Arc<Counters>,
    ) -> Option<Endpoint<Io::Buf>> {
        let (config, secrets) = (self.config, self.secrets);
        let limits = &config.limits;
        let connection_packets = self
            .layout
            .connection_packets
            .unwrap_or_else(|| config.packet_budget().connections);
        let max_sessions = share.of(limits.max_sessions);
        let syn_backlog = share.of(limits.syn_backlog);
        let endpoint = EndpointConfig {
            // Two halves a session, handshakes, and connections that outlive their session a little:
            // those that wait for the last ACK. The same for checks, of which each has one.
            max_connections: 2 * max_sessions + syn_backlog + max_sessions / 4 + 64 + 2 * checks,
            max_accepted: max_sessions,
            syn_backlog,
            time_wait_entries: share.of(limits.time_wait),
            timeouts: timeouts(&config.timeouts),
            mtu: ios
                .iter()
                .map(|io| io.capabilities().mtu)
                .max()
                .unwrap_or(0),
            buffers: share.of(connection_packets as usize),
            resets_per_second: share.of(limits.resets_per_second as usize) as u32,
            source_ports: limits.source_ports.first..=limits.source_ports.last,
            worker: share.worker,
            workers: share.workers,
            secret: secrets.tcp,
        };
        let BufferConfig {
            client_receive,
            client_send,
            ..
        } = config.buffers;
        let listeners = (0..).zip(&config.listeners).flat_map(|(id, listener)| {
            let rings = (client_receive, client_send);
            let options = Arc::new(connection_options(config, listener.engine, rings));
            listener.addresses.iter().map(move |address| Listener {
                id: ListenerId(id),
                network: NetworkId::BARE,
                address: *address,
                options: Arc::clone(&options),
            })
        });
        Endpoint::new(self.now, endpoint, listeners, counters)
    }

    /// One that receives for the workers that it is `paired` with.
    fn receiver<Io: PacketIo>(
        &mut self,
        paired: &[u16],
        ios: Vec<Io>,
        outbox: Outbox<Io::Buf>,
    ) -> Result<Receiver<Io>, AssembleError> {
        let owners = self.owners.clone().ok_or(AssembleError::SourcePorts)?;
        Ok(Receiver::new(ReceiverParts {
            steer: self.steer(&owners, paired, None, ios.len())?,
            ios,
            outbox,
            commands: self.end(),
            counters: Arc::new(Counters::new()),
        }))
    }

    /// A new way for the control thread to say something.
    fn end(&mut self) -> Commands {
        let (sender, receiver) = bounded(COMMAND_CAPACITY);
        let alive = Arc::new(());
        self.ends.push(End {
            commands: sender,
            alive: Arc::downgrade(&alive),
        });
        Commands { receiver, alive }
    }

    /// What chooses among `workers` for frames of `ports` ports.
    fn steer<B: PacketBuf>(
        &self,
        owners: &PortOwners,
        workers: &[u16],
        own: Option<u16>,
        ports: usize,
    ) -> Result<Steer<B>, AssembleError> {
        let Layout {
            flows, vxlan_port, ..
        } = *self.layout;
        let with_counters = |worker: &u16| {
            let counters = &self.counters[usize::from(*worker)];
            (*worker, Arc::clone(counters))
        };
        let parts = SteerParts {
            classifier: Classifier { vxlan_port },
            toeplitz: Toeplitz::new(&self.secrets.flows)?,
            directory: FlowDirectory::new(flows.min(MAX_CAPACITY), workers.len() as u8),
            owners: owners.clone(),
            workers: workers.iter().map(with_counters).collect(),
            own,
            shared: self.layout.ports.iter().map(|port| port.shared).collect(),
        };
        let all = self.counters.len() as u16;
        Ok(Steer::new(parts, all, ports * BURST_SIZE))
    }

    fn groups<Io: PacketIo>(&self, ios: &[Io], share: Share) -> Result<Vec<Group>, AssembleError> {
        let BufferConfig {
            backend_receive,
            backend_send,
            ..
        } = self.config.buffers;
        let rings = (backend_receive, backend_send);
        let group = |(index, group): (usize, &BackendGroupConfig)| {
            let paths = group.backends.iter().map(|backend| {
                let path = self.path_to(ios, share.worker, backend.address.ip());
                path.ok_or_else(|| AssembleError::NoPath {
                    group: group.name.clone(),
                    backend: backend.address,
                })
            });
            let context = PoolContext {
                group: BackendGroupId(index),
                worker: (share.worker, share.workers),
                hash_key: self.secrets.source_hash,
                board: self.boards[index].clone(),
                teller: self.teller(share.worker),
            };
            Ok(Group {
                paths: paths.collect::<Result<_, _>>()?,
                pool: BackendPool::new(group, context),
                options: Arc::new(connection_options(self.config, group.engine, rings)),
                tries: group.tries,
                announce: group.announce.clone(),
            })
        };
        let groups = self.config.backend_groups.iter().enumerate();
        groups.map(group).collect()
    }

    /// The backends that a worker is to check: of all that are checked, every one whose turn it is.
    fn targets(&self, groups: &[Group], share: Share) -> Vec<Target> {
        let config = self.config;
        let checked = config.backend_groups.iter().enumerate().zip(groups);
        let targets = checked.filter_map(|((index, config), group)| {
            let health = Arc::new(config.health.clone()?);
            let announce = &group.announce;
            let backends = config.backends.iter().zip(&group.paths).enumerate();
            Some(backends.map(move |(place, (backend, path))| Target {
                group: BackendGroupId(index),
                backend: BackendId::new(place),
                address: backend.address,
                path: path.clone(),
                options: Arc::clone(&group.options),
                announce: announce.as_ref().map(|announce| announce.version),
                config: Arc::clone(&health),
                board: self.boards[index].clone(),
            }))
        });
        let Share { worker, workers } = share;
        let own = targets.flatten().skip(usize::from(worker));
        own.step_by(usize::from(workers)).collect()
    }

    /// How a worker tells what happens to backends.
    fn teller(&self, worker: u16) -> Teller {
        Teller {
            worker,
            reports: self.health.clone(),
            counters: Arc::clone(&self.counters[usize::from(worker)]),
        }
    }

    /// How `worker` reaches a backend.
    fn path_to<Io: PacketIo>(
        &self,
        ios: &[Io],
        worker: u16,
        backend: IpAddr,
    ) -> Option<BackendPath> {
        let (source, PortId(port)) = self.host.path_to(backend)?;
        let capabilities = ios.get(usize::from(port))?.capabilities();
        let layout = self.layout.ports.get(usize::from(port))?;
        let chosen = match backend {
            IpAddr::V4(_) => &layout.tcp_v4,
            IpAddr::V6(_) => &layout.tcp_v6,
        };
        // A table that cannot be used is as good as none: replies then reach their worker over a
        // ring.
        let steering = chosen.as_ref().and_then(|rss| Steering::new(rss).ok());
        Some(BackendPath {
            source,
            mtu: capabilities.mtu,
            steering: steering.map(|steering| (steering, worker)),
        })
    }
}

/// One worker's share of what there is.
#[derive(Clone, Copy, Debug)]
struct Share {
    worker: u16,
    workers: u16,
}

impl Share {
    fn of(self, total: usize) -> usize {
        let (worker, workers) = (usize::from(self.worker), usize::from(self.workers));
        total / workers + usize::from(worker < total % workers)
    }
}

/// What sessions need to know of a listener.
fn plan(listener: &ListenerConfig) -> ListenerPlan {
    ListenerPlan {
        group: listener.backend_group.0,
        preface: Preface {
            trusted: listener.proxy_trusted.clone(),
            routes: listener.passthrough.as_ref().map(Routes::new),
        },
    }
}

/// What the connections of a listener or group are made with. `rings` are the sizes, to receive
/// and to send, that smoltcp's connections have from the beginning; native ones grow.
fn connection_options(
    config: &Config,
    engine: EngineConfig,
    rings: (usize, usize),
) -> ConnectionOptions {
    let tcp = &config.tcp;
    let (receive_buffer, send_buffer) = match engine.engine {
        EngineKind::Native => (tcp.receive_max, tcp.send_max),
        EngineKind::Smoltcp => rings,
    };
    let keepalive = config.timeouts.keepalive.map(|idle| Keepalive {
        idle,
        interval: tcp.keepalive_interval,
        probes: tcp.keepalive_probes,
    });
    ConnectionOptions {
        engine: engine.engine,
        receive_buffer,
        first_window: tcp.first_window,
        send_buffer,
        mss: MAX_SEGMENT,
        keepalive,
        congestion: engine.congestion,
        pacing: engine.paces(),
        ecn: engine.ecn,
        sack: engine.sack,
        timestamps: engine.timestamps,
        rto_floor: tcp.rto_floor,
    }
}

fn timeouts(config: &TimeoutConfig) -> Timeouts {
    // "off" is a deadline that never comes.
    let never = core::time::Duration::MAX;
    Timeouts {
        handshake: config.handshake,
        connect: config.connect,
        idle: config.idle.unwrap_or(never),
        half_closed: config.half_closed.unwrap_or(never),
        fin_wait_2: config.fin_wait_2,
        user: config.user.unwrap_or(never),
        time_wait: config.time_wait,
    }
}

fn neighbors<B>(config: &Config, secrets: &Secrets) -> Neighbors<B> {
    let limits = NeighborConfig {
        // Not split: a worker may have to do with any of them.
        max_entries: config.limits.neighbors,
        max_waiting_total: WAITING_FOR_NEIGHBORS,
        ..NeighborConfig::default()
    };
    Neighbors {
        v4: NeighborTable::new(limits, secrets.neighbors),
        v6: NeighborTable::new(limits, secrets.neighbors),
    }
}
