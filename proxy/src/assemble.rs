//! Workers from a configuration.
//!
//! *In*: a checked configuration, secrets, and the queue pairs that each worker is to drive, one a
//! port. *Out*: workers that are ready for their first turn, and the control thread's ends of what
//! connects it to them. Limits of the whole are split here: each worker gets an equal share.

use core::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use netstack::counters::{Counters, Event};
use netstack::io::{PacketIo, PortId};
use netstack::ip::NetworkId;
use netstack::neighbor::{NeighborConfig, NeighborTable};
use netstack::rate_limit::RateLimit;
use netstack::route::RouteError;
use netstack::rss::Steering;
use netstack::tcp::{
    ConnectionOptions, Endpoint, EndpointConfig, EngineKind, Keepalive, Listener, ListenerId,
    Timeouts,
};
use netstack::time::Instant;
use thiserror::Error;

use crate::config::{BackendGroupConfig, BufferConfig, Config, EngineConfig, TimeoutConfig};
use crate::handover::Mailboxes;
use crate::host::{Host, Neighbors};
use crate::l7::backend_pool::BackendPool;
use crate::l7::report::SessionReport;
use crate::l7::session::{BackendPath, Group, Sessions, SessionsConfig};
use crate::pipeline::tcp_in::Strays;
use crate::pipeline::tx::Transmitter;
use crate::secret::Secrets;
use crate::worker::{Command, Worker, WorkerParts};

/// Messages that may wait for a worker.
const MAILBOX_CAPACITY: usize = 1024;

/// Packets of one IP version that may wait for neighbors in a worker. The pool of buffers is sized
/// for 4096 packets a worker that are neither a connection's nor a port's: those in these two
/// tables, in the mailbox, and in the lanes between stages.
const WAITING_FOR_NEIGHBORS: usize = 1024;

/// Reports of ended sessions that may wait for the control thread.
const REPORT_CAPACITY: usize = 16_384;

/// Commands that may wait for a worker.
const COMMAND_CAPACITY: usize = 16;

/// The largest payload of a TCP segment that an IP packet can have; ports ask for less.
const MAX_SEGMENT: u16 = u16::MAX - 40;

/// Workers, and what the control thread talks to them by.
pub struct Assembly<Io: PacketIo> {
    /// The workers, in order.
    pub workers: Vec<Worker<Io>>,
    /// The control thread's side.
    pub control: ControlEnds,
}

/// The control thread's ends of what connects it to the workers.
#[derive(Debug)]
pub struct ControlEnds {
    /// Commands to each worker.
    pub commands: Vec<Sender<Command>>,
    /// Ended sessions of all workers.
    pub reports: Receiver<SessionReport>,
    /// The counters of each worker.
    pub counters: Vec<Arc<Counters>>,
}

impl ControlEnds {
    /// Gives a command to all workers.
    pub fn tell_all(&self, command: Command) {
        for worker in &self.commands {
            // A worker that has ended already needs no telling; one that does not read its commands
            // will find the earlier ones.
            let _ = worker.try_send(command);
        }
    }

    /// Whether all workers were told to drain and none has a client left. A worker that has ended
    /// has none.
    pub fn all_drained(&self) -> bool {
        self.counters.iter().all(|counters| {
            is_gone(counters)
                || counters.event(Event::Draining) > 0
                    && counters.event(Event::SessionsActive) == 0
                    && counters.event(Event::TcpHalfOpen) == 0
        })
    }

    /// The workers that have ended.
    pub fn gone(&self) -> impl Iterator<Item = usize> {
        self.counters
            .iter()
            .enumerate()
            .filter(|(_, counters)| is_gone(counters))
            .map(|(worker, _)| worker)
    }
}

/// Whether the worker of these counters has ended: nobody but us holds them any more.
fn is_gone(counters: &Arc<Counters>) -> bool {
    Arc::strong_count(counters) == 1
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
}

/// Makes the workers. `ios[worker][port]` are the queue pairs.
pub fn assemble<Io: PacketIo>(
    config: &Config,
    secrets: &Secrets,
    ios: Vec<Vec<Io>>,
    now: Instant,
) -> Result<Assembly<Io>, AssembleError> {
    let host = Host::new(config)?;
    let workers = ios.len() as u16;
    let (report_sender, reports) = bounded(REPORT_CAPACITY);
    let mut assembly = Assembly {
        workers: Vec::with_capacity(ios.len()),
        control: ControlEnds {
            commands: Vec::new(),
            reports,
            counters: Vec::new(),
        },
    };
    let mailboxes = Mailboxes::new(workers, 0, MAILBOX_CAPACITY).workers;
    for ((worker, ios), mailbox) in (0..).zip(ios).zip(mailboxes) {
        let share = Share { worker, workers };
        let counters = Arc::new(Counters::new());
        let (command_sender, commands) = bounded(COMMAND_CAPACITY);
        let sessions = Sessions::new(SessionsConfig {
            worker,
            max_sessions: share.of(config.limits.max_sessions),
            groups: groups(config, secrets, &host, &ios, share)?,
            group_of_listener: config
                .listeners
                .iter()
                .map(|listener| listener.backend_group.0)
                .collect(),
            connect_total: config.timeouts.connect_total,
            reports: report_sender.clone(),
        });
        let tcp = endpoint(config, secrets, &ios, share, now, Arc::clone(&counters))
            .ok_or(AssembleError::SourcePorts)?;
        // Where the port tells where it puts the packets of a flow, it puts them there always.
        let elsewhere = ios.iter().map(|io| io.capabilities().rss.is_none());
        let strays = Strays::new(elsewhere.collect());
        let per_second = share.of(config.limits.icmp_per_second as usize) as u32;
        assembly.workers.push(Worker::new(WorkerParts {
            host: host.clone(),
            transmitter: Transmitter::new(ios, neighbors(config, secrets)),
            tcp,
            sessions,
            icmp_limit: RateLimit::new(per_second, per_second),
            mailbox,
            strays,
            commands,
            counters: Arc::clone(&counters),
        }));
        assembly.control.commands.push(command_sender);
        assembly.control.counters.push(counters);
    }
    Ok(assembly)
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

fn endpoint<Io: PacketIo>(
    config: &Config,
    secrets: &Secrets,
    ios: &[Io],
    share: Share,
    now: Instant,
    counters: Arc<Counters>,
) -> Option<Endpoint<Io::Buf>> {
    let limits = &config.limits;
    let max_sessions = share.of(limits.max_sessions);
    let syn_backlog = share.of(limits.syn_backlog);
    let endpoint = EndpointConfig {
        // Two halves a session, handshakes, and connections that outlive their session a little:
        // those that wait for the last ACK.
        max_connections: 2 * max_sessions + syn_backlog + max_sessions / 4 + 64,
        max_accepted: max_sessions,
        syn_backlog,
        time_wait_entries: share.of(limits.time_wait),
        timeouts: timeouts(&config.timeouts),
        mtu: ios
            .iter()
            .map(|io| io.capabilities().mtu)
            .max()
            .unwrap_or(0),
        buffers: share.of(config.packet_budget().connections as usize),
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
    Endpoint::new(now, endpoint, listeners, counters)
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

fn groups<Io: PacketIo>(
    config: &Config,
    secrets: &Secrets,
    host: &Host,
    ios: &[Io],
    share: Share,
) -> Result<Vec<Group>, AssembleError> {
    let BufferConfig {
        backend_receive,
        backend_send,
        ..
    } = config.buffers;
    let rings = (backend_receive, backend_send);
    let group = |group: &BackendGroupConfig| {
        let paths = group
            .backends
            .iter()
            .map(|backend| {
                path_to(host, ios, share.worker, backend.address.ip()).ok_or_else(|| {
                    AssembleError::NoPath {
                        group: group.name.clone(),
                        backend: backend.address,
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Group {
            pool: BackendPool::new(group, share.worker, share.workers, secrets.source_hash),
            paths,
            options: Arc::new(connection_options(config, group.engine, rings)),
            tries: group.tries,
        })
    };
    config.backend_groups.iter().map(group).collect()
}

/// How `worker` reaches a backend.
fn path_to<Io: PacketIo>(
    host: &Host,
    ios: &[Io],
    worker: u16,
    backend: IpAddr,
) -> Option<BackendPath> {
    let (source, PortId(port)) = host.path_to(backend)?;
    let capabilities = ios.get(usize::from(port))?.capabilities();
    // Each worker drives the queue of its own number on every port. A table that cannot be used
    // is as good as none: replies then reach their worker over its mailbox.
    let steering = capabilities
        .rss
        .as_ref()
        .and_then(|rss| Steering::new(rss).ok())
        .map(|steering| (steering, worker));
    Some(BackendPath {
        source,
        mtu: capabilities.mtu,
        steering,
    })
}
