//! The configuration: from a TOML file to types that cannot be wrong.
//!
//! *In*: the text of the file. *Out*: a [`Config`] and warnings, or [`ConfigErrors`]: everything
//! that is wrong with it, each with line, column and what to do, before anything has been started.
//!
//! The file has one table for each struct below that ends in `Config`: `[runtime]`, `[dpdk]`,
//! `[timeouts]`, `[tcp]`, `[buffers]`, `[limits]`, `[steering]`, `[log]`, which may all be left out, and at least one
//! each of `[[port]]`, `[[listener]]` and `[[backend_group]]` with its
//! `[[backend_group.backend]]` and, if they are wanted, `[backend_group.health]` and
//! `[backend_group.ejection]`. The fields' documentation names the keys and their defaults;
//! `examples/weirgate.toml` shows every key. Durations are texts such as `"250ms"`, sizes texts
//! such as `"64KiB"` ([`quantity`]). Addresses are numbers: names are not looked up.
//!
//! Reading takes two steps: each table is read key by key, so that every unknown key and every
//! wrong value is found at once (`settings`, `topology`); then what they say about each other is
//! checked (`check`): names, addresses, routes, and whether the packets fit the memory.

mod check;
pub mod fault;
mod group;
mod health;
mod listener;
pub mod quantity;
pub mod report;
mod runtime;
mod section;
mod settings;
mod steering;
mod tcp;
mod topology;
mod value;

#[cfg(test)]
mod tests;

use core::net::IpAddr;
use core::time::Duration;
use std::path::Path;

use netstack::ip::IpAddress;
use netstack::tcp::EngineKind;
use netstack::wire::ethernet::MacAddr;
use toml::de::DeTable;
use tracing::level_filters::LevelFilter;

use self::fault::Fault;
pub use self::group::{
    AnnounceConfig, AnnounceVersion, BackendConfig, BackendGroupConfig, BackendGroupId, Balance,
    ProxyTlv,
};
pub use self::health::{Check, EjectionConfig, HealthConfig};
pub use self::listener::{ListenerConfig, NamePattern, PassthroughConfig, Prefix, RouteConfig};
use self::report::Findings;
pub use self::report::{ConfigError, ConfigErrors, ConfigWarning};
pub use self::runtime::{IdlePolicy, Pairing, RuntimeConfig};
use self::section::Section;
pub use self::steering::SteeringConfig;
pub use self::tcp::{EngineConfig, TcpConfig};
use crate::packet_budget::{PacketBudget, QueueCounts, Threads};

/// The most workers there can be: as many lcores as DPDK is built for.
pub const MAX_WORKERS: usize = 128;

/// Source ports that each worker must have, so that its share of the range is of use.
pub const MIN_SOURCE_PORTS_PER_WORKER: usize = 16;

/// A whole configuration. Everything in it has been checked, each by itself and with the rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// `[runtime]`.
    pub runtime: RuntimeConfig,
    /// `[dpdk]`.
    pub dpdk: DpdkConfig,
    /// Every `[[port]]`, in the order of the file; at least one.
    pub ports: Vec<PortConfig>,
    /// Every `[[listener]]`, in the order of the file; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// Every `[[backend_group]]`, in the order of the file; at least one.
    pub backend_groups: Vec<BackendGroupConfig>,
    /// `[timeouts]`.
    pub timeouts: TimeoutConfig,
    /// `[tcp]`.
    pub tcp: TcpConfig,
    /// `[buffers]`.
    pub buffers: BufferConfig,
    /// `[limits]`.
    pub limits: LimitConfig,
    /// `[steering]`.
    pub steering: SteeringConfig,
    /// `[log]`.
    pub log: LogConfig,
}

impl Config {
    /// Reads the text of a configuration file. `path` is what errors call the file.
    pub fn parse(text: &str, path: &Path) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let mut findings = Findings::new(text);
        let config = Self::read(text, &mut findings);
        let warnings = findings.conclude(text, path)?;
        Ok((
            config.expect("a configuration that is not whole has an error"),
            warnings,
        ))
    }

    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<(Self, Vec<ConfigWarning>), ConfigErrors> {
        let octets = std::fs::read(path).map_err(|error| ConfigErrors::unreadable(path, error))?;
        match String::from_utf8(octets) {
            Ok(text) => Self::parse(&text, path),
            Err(error) => {
                // Up to the first bad octet the lossy text is the file, so the place is right.
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                let mut findings = Findings::new(&text);
                findings.error(valid..valid, "", Fault::NotUtf8);
                Err(findings
                    .conclude(&text, path)
                    .expect_err("an error has just been added"))
            }
        }
    }

    /// Reads what can be read. `None`, or anything at all, if an error was found.
    fn read(text: &str, findings: &mut Findings) -> Option<Self> {
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            // What the parser makes of the rest of such a file is guesswork: do not judge it.
            for error in syntax_errors {
                let span = error.span().unwrap_or_default();
                findings.error(span, "", Fault::Syntax(error.message().to_owned()));
            }
            return None;
        }
        let mut root = Section::new("", 0..0, document.get_ref());
        let runtime = runtime::runtime(&mut root, findings);
        let before = findings.error_count();
        let (dpdk, memory_span) = settings::dpdk(&mut root, findings);
        let devices = (findings.error_count() == before).then_some(&dpdk);
        let topology = topology::read(&mut root, runtime.lcores.len(), findings);
        let timeouts = settings::timeouts(&mut root, findings);
        let (tcp, first_window_span) = tcp::tcp(&mut root, findings);
        let (buffers, spans) = settings::buffers(&mut root, runtime.lcores.len(), findings);
        let limits = settings::limits(&mut root, runtime.lcores.len(), findings);
        let steering = steering::steering(&mut root, findings);
        let log = settings::log(&mut root, findings);
        root.finish(findings);
        let (ports, listeners, backend_groups) =
            check::check(topology, devices, &limits, findings)?;
        let config = Self {
            runtime,
            dpdk,
            ports,
            listeners,
            backend_groups,
            timeouts,
            tcp,
            buffers,
            limits,
            steering,
            log,
        };
        check::check_packets(&config, &spans, memory_span, findings);
        check::check_peeking(&config, &spans, first_window_span, findings);
        Some(config)
    }

    /// Number of workers: one for each lcore.
    pub fn workers(&self) -> usize {
        self.runtime.lcores.len()
    }

    /// What the packets of all ports and workers need if each worker has a queue pair of each port.
    pub fn packet_budget(&self) -> PacketBudget {
        let workers = self.workers() as u16;
        let pairs = QueueCounts {
            rx: workers,
            tx: workers,
        };
        self.packet_budget_for(&vec![pairs; self.ports.len()])
    }

    /// The most queues that each port can be planned to have, without asking the devices.
    pub fn most_queues(&self) -> Vec<QueueCounts> {
        let receivers = self.runtime.receivers();
        let counts = self.ports.iter().map(|port| QueueCounts {
            rx: self.steering.most_rx_queues(port, receivers),
            tx: self.workers() as u16,
        });
        counts.collect()
    }

    /// What the packets of all ports and workers need with so many queues, in the order of the
    /// ports.
    pub fn packet_budget_for(&self, queues: &[QueueCounts]) -> PacketBudget {
        let threads = Threads {
            workers: self.workers(),
            receivers: self.runtime.rx_lcores.len(),
            handover: self.steering.handover,
        };
        let budget = PacketBudget::new(threads, &self.ports, queues);
        if !self.uses(EngineKind::Native) {
            return budget;
        }
        match (self.buffers.connection_packets, self.buffers.packets) {
            (Some(packets), _) => budget.with_connections(packets),
            (None, Some(packets)) => budget.filling(packets),
            (None, None) => budget.filling(budget.packets_in(self.dpdk.memory)),
        }
    }

    /// Whether any listener or group has its connections run by this engine.
    pub fn uses(&self, engine: EngineKind) -> bool {
        self.listener_uses(engine) || self.group_uses(engine)
    }

    fn listener_uses(&self, engine: EngineKind) -> bool {
        let mut engines = self.listeners.iter().map(|listener| listener.engine.engine);
        engines.any(|used| used == engine)
    }

    fn group_uses(&self, engine: EngineKind) -> bool {
        let mut engines = self.backend_groups.iter().map(|group| group.engine.engine);
        engines.any(|used| used == engine)
    }

    /// Bytes of all connection rings if there are as many sessions as there may be. Only smoltcp's
    /// connections have rings.
    pub fn ring_memory(&self) -> u64 {
        let BufferConfig {
            client_receive,
            client_send,
            backend_receive,
            backend_send,
            ..
        } = self.buffers;
        let client = [client_receive, client_send];
        let backend = [backend_receive, backend_send];
        let of_smoltcp = |rings: [usize; 2], used: bool| {
            let rings: usize = rings.iter().filter(|_| used).sum();
            rings as u64
        };
        let session = of_smoltcp(client, self.listener_uses(EngineKind::Smoltcp))
            + of_smoltcp(backend, self.group_uses(EngineKind::Smoltcp));
        session.saturating_mul(self.limits.max_sessions as u64)
    }

    /// The group that a listener or anything else names.
    ///
    /// # Panics
    /// If `id` comes from another configuration.
    pub fn backend_group(&self, id: BackendGroupId) -> &BackendGroupConfig {
        &self.backend_groups[id.0]
    }
}

/// `[dpdk]`: what DPDK is started with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DpdkConfig {
    /// `memory = "256MiB"`: bytes of memory for packets and rings; whole MiB, and enough for the
    /// packet buffers.
    pub memory: u64,
    /// `huge_pages = false`: whether the memory is made of huge pages.
    pub huge_pages: bool,
    /// `file_prefix = "weirgate"`: tells processes that use DPDK on one host apart.
    pub file_prefix: String,
    /// `devices = []`: PCI devices to be used, such as `"0000:03:00.0"`; device arguments may
    /// follow after a comma. The domain is always written out here.
    pub devices: Vec<String>,
    /// `vdevs = []`: virtual devices to be made, such as `"net_af_packet0,iface=veth0"`.
    pub vdevs: Vec<String>,
}

/// A `[[port]]`: a device of DPDK's, and what Weirgate is on its network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortConfig {
    /// `name`: required; unlike that of any other port.
    pub name: String,
    /// `device`: required; the name of a virtual device in `vdevs`, or a PCI address in
    /// `devices`.
    pub device: String,
    /// `mac`, if given; the device's own otherwise. Replaying needs it, having no device.
    pub mac: Option<MacAddr>,
    /// `mtu = 1500`: bytes of the largest IP packet.
    pub mtu: u16,
    /// `addresses`: required; at least one.
    pub addresses: Vec<InterfaceAddress>,
    /// `routes = []`: what can be reached through gateways. The longest prefix wins.
    pub routes: Vec<Route>,
    /// `rx_descriptors = 512`: packets that a receive queue holds; a power of two.
    pub rx_descriptors: u16,
    /// `tx_descriptors = 512`: packets that a transmit queue holds; a power of two.
    pub tx_descriptors: u16,
}

impl PortConfig {
    /// The `mtu` of a port that does not say.
    pub const DEFAULT_MTU: u16 = 1500;
    /// The descriptors of a queue of a port that does not say.
    pub const DEFAULT_DESCRIPTORS: u16 = 512;
}

/// An address of a port, and how much of it names the network that the port is attached to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Bits that all addresses on the network share.
    pub prefix_len: u8,
}

impl InterfaceAddress {
    /// Whether `address` is on the same network: neighbor resolution will find it.
    pub fn is_on_link(self, address: IpAddr) -> bool {
        shares_prefix(self.address, address, self.prefix_len)
    }

    /// The first address of the network.
    pub fn network(self) -> IpAddr {
        value::network_of(self.address, self.prefix_len)
    }
}

/// A static route, `{ to = "0.0.0.0/0", via = "192.0.2.254" }`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// `to`, before the slash: first address of the destination.
    pub to: IpAddr,
    /// `to`, after the slash: bits that all destinations share.
    pub prefix_len: u8,
    /// `via`: the gateway, on-link and of the same family.
    pub via: IpAddr,
}

impl Route {
    /// Whether the route leads to `address`.
    pub fn matches(self, address: IpAddr) -> bool {
        shares_prefix(self.to, address, self.prefix_len)
    }
}

fn shares_prefix(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.shares_prefix(b, prefix_len),
        (IpAddr::V6(a), IpAddr::V6(b)) => a.shares_prefix(b, prefix_len),
        _ => false,
    }
}

/// `[timeouts]`: how long what may take. `None` is `"off"` in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimeoutConfig {
    /// `handshake = "10s"`: from a client's SYN to its ACK.
    pub handshake: Duration,
    /// `connect = "5s"`: from the SYN to one backend to its answer.
    pub connect: Duration,
    /// `connect_total = "15s"`: from the choice of the first backend until one has answered.
    pub connect_total: Duration,
    /// `idle = "5m"`, or `"off"`: a session without a byte in either direction.
    pub idle: Option<Duration>,
    /// `half_closed = "1m"`, or `"off"`: a session without a byte of which one direction has
    /// ended. The half that goes on sending is in FIN-WAIT-2, so `fin_wait_2` applies as well, and
    /// the shorter of the two ends the session.
    pub half_closed: Option<Duration>,
    /// `fin_wait_2 = "60s"`: a connection that we have closed, without a byte from the peer, which
    /// has not closed.
    pub fin_wait_2: Duration,
    /// `time_wait = "60s"`: a closed connection is remembered to refuse segments that come late.
    pub time_wait: Duration,
    /// `keepalive = "75s"`, or `"off"`: silence after which a peer is asked whether it is there.
    pub keepalive: Option<Duration>,
    /// `user = "2m"`, or `"off"`: how long sent bytes may stay unacknowledged (RFC 9293, user
    /// timeout).
    pub user: Option<Duration>,
    /// `proxy_header = "3s"`: from the end of a client's handshake to the end of its PROXY header.
    pub proxy_header: Duration,
    /// `client_hello = "5s"`: from then, or from the end of its handshake, to the end of its
    /// ClientHello.
    pub client_hello: Duration,
    /// `drain = "30s"`: how long sessions may go on after SIGTERM; `"0s"` resets them at once.
    pub drain: Duration,
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            connect_total: Duration::from_secs(15),
            idle: Some(Duration::from_mins(5)),
            half_closed: Some(Duration::from_mins(1)),
            fin_wait_2: Duration::from_mins(1),
            time_wait: Duration::from_mins(1),
            keepalive: Some(Duration::from_secs(75)),
            user: Some(Duration::from_mins(2)),
            proxy_header: Duration::from_secs(3),
            client_hello: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}

/// `[buffers]`: memory of a connection, and of packets.
///
/// The four rings are those of smoltcp's connections, from 2 KiB to 16 MiB, in bytes. A ring bounds the bytes in flight: a
/// connection carries at most one ring a round trip.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BufferConfig {
    /// `client_receive = "64KiB"`: bytes from the client that the backend has not taken.
    pub client_receive: usize,
    /// `client_send = "64KiB"`: bytes to the client that it has not acknowledged.
    pub client_send: usize,
    /// `backend_receive = "64KiB"`: bytes from the backend that the client has not taken.
    pub backend_receive: usize,
    /// `backend_send = "64KiB"`: bytes to the backend that it has not acknowledged.
    pub backend_send: usize,
    /// `packets = 0`: packet buffers in the one pool that all ports and workers share; 0 in the
    /// file means that the number is computed from ports, descriptors and workers, which is `None`
    /// here. Otherwise at least the number that would be computed.
    pub packets: Option<u32>,
    /// `connection_packets = 0`: packet buffers that native connections hold at most, in all
    /// workers together: what they received and nobody has read, and what they sent and nobody has
    /// acknowledged. They are part of the pool. 0 in the file means as many as `packets`, or else
    /// `memory` in `[dpdk]`, has room for, within reason; that is `None` here. Otherwise at least
    /// 256 a worker.
    pub connection_packets: Option<u32>,
}

impl Default for BufferConfig {
    fn default() -> Self {
        const RING: usize = 64 << 10;
        Self {
            client_receive: RING,
            client_send: RING,
            backend_receive: RING,
            backend_send: RING,
            packets: None,
            connection_packets: None,
        }
    }
}

/// `[limits]`: how much there may be of what. All but `neighbors` are split equally among the
/// workers; every worker needs to know all neighbors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitConfig {
    /// `max_sessions = 10000`: clients served at a time; at least the number of workers.
    pub max_sessions: usize,
    /// `syn_backlog = 1024`: clients in their handshake.
    pub syn_backlog: usize,
    /// `source_ports = "32768-60999"`: ports to connect to backends from; at least 16 a worker.
    pub source_ports: PortRange,
    /// `time_wait = 65536`: closed connections that are remembered; so many of IPv4 and as many
    /// of IPv6.
    pub time_wait: usize,
    /// `resets_per_second = 1000`: answers to segments that belong to no connection.
    pub resets_per_second: u32,
    /// `icmp_per_second = 100`: ICMP errors sent.
    pub icmp_per_second: u32,
    /// `neighbors = 1024`: hosts on the networks of all ports whose MAC addresses are kept; so
    /// many of IPv4 and as many of IPv6.
    pub neighbors: usize,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            max_sessions: 10_000,
            syn_backlog: 1_024,
            source_ports: PortRange {
                first: 32_768,
                last: 60_999,
            },
            time_wait: 65_536,
            resets_per_second: 1_000,
            icmp_per_second: 100,
            neighbors: 1_024,
        }
    }
}

/// TCP ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortRange {
    /// The first port; at least 1.
    pub first: u16,
    /// The last port; not before the first.
    pub last: u16,
}

impl PortRange {
    /// How many ports there are: at least one.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

impl Default for DpdkConfig {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            huge_pages: false,
            file_prefix: "weirgate".to_owned(),
            devices: Vec::new(),
            vdevs: Vec::new(),
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogConfig {
    /// `format = "text"`, or `"json"`.
    pub format: LogFormat,
    /// `level = "info"`; or `"off"`, `"error"`, `"warn"`, `"debug"`, `"trace"`.
    pub level: LevelFilter,
    /// `connections = true`: whether a line is written for each session that ends, whatever
    /// `level` says.
    pub connections: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LevelFilter::INFO,
            connections: true,
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
