//! What a simulated network is made of.

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use netstack::io::impair::Impairment;
use netstack::tcp::EngineKind;
use proxy::config::EngineConfig;
use proxy::layout::Layout;

/// An IP version, of both links.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a case runs with: it holds for all of these.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Variant {
    /// The IP version.
    pub family: Family,
    /// What runs Weirgate's connections, on both sides.
    pub engine: EngineKind,
}

/// Who has which address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// The client, on link 0.
    pub client: IpAddr,
    /// Weirgate on link 0; clients connect to it.
    pub front: IpAddr,
    /// Weirgate on link 1.
    pub back: IpAddr,
    /// The server, on link 1.
    pub server: IpAddr,
    /// Nobody, on link 1.
    pub nobody: IpAddr,
    /// The server again, on no link: Weirgate reaches it by way of the server's other address.
    pub beyond: IpAddr,
    /// Hosts that only flood; Weirgate's way to them is by the client, who knows none of them.
    pub strangers: IpAddr,
    /// Bits of their prefix.
    pub strangers_len: u8,
    /// Bits of a link's prefix.
    pub prefix_len: u8,
    /// Bits of a whole address.
    pub address_len: u8,
}

/// What happens to frames on a link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Link {
    /// From the host to Weirgate.
    pub towards: Impairment,
    /// From Weirgate to the host.
    pub back: Impairment,
}

/// How the ports spread frames over the workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpreadBy {
    /// By a hash that Weirgate is not told of.
    Ports,
    /// By the Toeplitz hash, with a key and a table that the ports tell.
    Toeplitz,
    /// Not at all: the first worker has the only queue in each direction. It hands out what it
    /// receives, and lends the others its queue to send on.
    OneQueue,
    /// The same queue, but who receives is no worker.
    Receiver,
}

/// A network to be made.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) family: Family,
    engine: EngineKind,
    pub(super) client_link: Link,
    pub(super) server_link: Link,
    pub(super) workers: usize,
    pub(super) spread: SpreadBy,
    pub(super) seed: u64,
    pub(super) packets: usize,
    pub(super) handover: usize,
    pub(super) host_buffer: usize,
    backends: Vec<SocketAddr>,
    settings: Vec<(&'static str, String)>,
    tuning: Vec<(&'static str, &'static str)>,
    group: String,
}

impl Variant {
    /// Who has which address.
    pub fn addresses(self) -> Addresses {
        self.family.addresses()
    }

    /// How long Weirgate's acknowledgments wait for company (RFC 9293 section 3.8.6.3 allows half a
    /// second).
    pub fn delayed_ack(self) -> Duration {
        match self.engine {
            EngineKind::Native => Duration::from_millis(40),
            EngineKind::Smoltcp => Duration::from_millis(10),
        }
    }
}

impl Family {
    /// Who has which address in this version.
    pub fn addresses(self) -> Addresses {
        match self {
            Self::V4 => Addresses {
                client: Ipv4Addr::new(192, 0, 2, 2).into(),
                front: Ipv4Addr::new(192, 0, 2, 1).into(),
                back: Ipv4Addr::new(198, 51, 100, 1).into(),
                server: Ipv4Addr::new(198, 51, 100, 2).into(),
                nobody: Ipv4Addr::new(198, 51, 100, 9).into(),
                beyond: Ipv4Addr::new(203, 0, 113, 10).into(),
                strangers: Ipv4Addr::new(198, 18, 0, 0).into(),
                strangers_len: 15,
                prefix_len: 24,
                address_len: 32,
            },
            Self::V6 => Addresses {
                client: on_link(1, 2),
                front: on_link(1, 1),
                back: on_link(2, 1),
                server: on_link(2, 2),
                nobody: on_link(2, 9),
                beyond: on_link(3, 10),
                strangers: on_link(4, 0),
                strangers_len: 64,
                prefix_len: 64,
                address_len: 128,
            },
        }
    }
}

fn on_link(link: u16, host: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, link, 0, 0, 0, host).into()
}

impl Addresses {
    /// Where clients connect.
    pub fn service(self) -> SocketAddr {
        SocketAddr::new(self.front, 80)
    }

    /// The route by which Weirgate answers strangers.
    fn route_to_strangers(self) -> String {
        let Self {
            client,
            strangers,
            strangers_len,
            ..
        } = self;
        format!("{{ to = \"{strangers}/{strangers_len}\", via = \"{client}\" }}")
    }

    /// The server's end number `index`.
    pub fn backend(self, index: u16) -> SocketAddr {
        SocketAddr::new(self.server, 8080 + index)
    }
}

impl Link {
    /// The same in both directions.
    pub fn both_ways(impairment: Impairment) -> Self {
        Self {
            towards: impairment,
            back: impairment,
        }
    }

    /// A link that loses so many frames in a million, and on which each takes so long.
    pub fn lossy(loss_ppm: u32, delay: Duration) -> Self {
        Self::both_ways(Impairment {
            loss_ppm,
            delay,
            ..Impairment::default()
        })
    }
}

impl Setup {
    /// Perfect links, one worker, one backend: the server's first end.
    pub fn new(variant: Variant) -> Self {
        let Variant { family, engine } = variant;
        Self {
            family,
            engine,
            client_link: Link::default(),
            server_link: Link::default(),
            workers: 1,
            spread: SpreadBy::Ports,
            seed: 1,
            packets: 8192,
            handover: Layout::DEFAULT_HANDOVER,
            host_buffer: 64 << 10,
            backends: vec![family.addresses().backend(0)],
            settings: Vec::new(),
            tuning: Vec::new(),
            group: String::new(),
        }
    }

    /// What happens on the client's link.
    #[must_use]
    pub fn client_link(self, client_link: Link) -> Self {
        Self {
            client_link,
            ..self
        }
    }

    /// What happens on the server's link.
    #[must_use]
    pub fn server_link(self, server_link: Link) -> Self {
        Self {
            server_link,
            ..self
        }
    }

    /// Several workers, and how the ports spread frames over them.
    #[must_use]
    pub fn workers(self, workers: usize, spread: SpreadBy) -> Self {
        Self {
            workers,
            spread,
            ..self
        }
    }

    /// Another run of everything that is random.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// KiB that a connection of Weirgate's may have received and not passed on, and sent and not seen
    /// acknowledged: the rings of smoltcp's, the largest windows of native ones, which are not below
    /// 4 KiB.
    #[must_use]
    pub fn windows_kib(self, kib: usize) -> Self {
        let (rings, windows) = (format!("{kib}KiB"), format!("{}KiB", kib.max(4)));
        self.set("buffers.client_receive", &rings)
            .set("buffers.client_send", &rings)
            .set("buffers.backend_receive", &rings)
            .set("buffers.backend_send", &rings)
            .set("tcp.receive_max", &windows)
            .set("tcp.send_max", &windows)
    }

    /// Packet buffers of each worker, of which native connections may hold half.
    #[must_use]
    pub fn packets(self, packets: usize) -> Self {
        Self { packets, ..self }
    }

    /// Packets that each ring from one worker to another holds.
    #[must_use]
    pub fn handover(self, handover: usize) -> Self {
        Self { handover, ..self }
    }

    /// Octets of each of the hosts' socket buffers.
    #[must_use]
    pub fn host_buffer(self, host_buffer: usize) -> Self {
        Self {
            host_buffer,
            ..self
        }
    }

    /// The backends, in the order in which they are tried.
    #[must_use]
    pub fn backends(self, backends: &[SocketAddr]) -> Self {
        Self {
            backends: backends.to_vec(),
            ..self
        }
    }

    /// Sets a key of Weirgate's configuration, such as `timeouts.user`.
    #[must_use]
    pub fn set(mut self, key: &'static str, value: &str) -> Self {
        let is_number = value.parse::<u64>().is_ok();
        let value = if is_number {
            value.to_owned()
        } else {
            format!("{value:?}")
        };
        self.settings.push((key, value));
        self
    }

    /// Sets a key of the engine that faces the clients, such as `pacing`, to a value as the
    /// configuration file has it.
    #[must_use]
    pub fn tune(mut self, key: &'static str, value: &'static str) -> Self {
        self.tuning.push((key, value));
        self
    }

    /// Adds keys, and tables such as `[backend_group.health]`, to the group of the backends, as the
    /// configuration file has them.
    #[must_use]
    pub fn group(mut self, toml: &str) -> Self {
        self.group.push_str(toml);
        self.group.push('\n');
        self
    }

    /// The keys that were set.
    fn settings_toml(&self) -> String {
        let line = |(key, value): &(&str, String)| format!("{key} = {value}\n");
        self.settings.iter().map(line).collect()
    }

    /// The keys of the engine that faces the clients.
    fn tuning_toml(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.tuning {
            writeln!(text, "{key} = {value}").expect("a String takes everything");
        }
        text
    }

    /// Weirgate's configuration file.
    pub fn to_toml(&self) -> String {
        let Addresses {
            front,
            back,
            server,
            beyond,
            prefix_len,
            address_len,
            ..
        } = self.family.addresses();
        let addresses = self.family.addresses();
        let (service, strangers) = (addresses.service(), addresses.route_to_strangers());
        let word =
            |(word, engine): &(&'static str, EngineKind)| (*engine == self.engine).then_some(*word);
        let engine = EngineConfig::ENGINES.iter().find_map(word);
        let engine = engine.expect("every engine has a word");
        let tuning = self.tuning_toml();
        let lcores: Vec<usize> = (0..self.workers).collect();
        let mut text = self.settings_toml();
        write!(
            text,
            r#"
[runtime]
lcores = {lcores:?}
seed = {seed}

[dpdk]
vdevs = ["net_null0", "net_null1"]

[[port]]
name = "front"
device = "net_null0"
addresses = ["{front}/{prefix_len}"]
routes = [{strangers}]

[[port]]
name = "back"
device = "net_null1"
addresses = ["{back}/{prefix_len}"]
routes = [{{ to = "{beyond}/{address_len}", via = "{server}" }}]

[[listener]]
name = "service"
addresses = ["{service}"]
backend_group = "servers"
engine = "{engine}"
{tuning}
[[backend_group]]
name = "servers"
engine = "{engine}"
{group}"#,
            seed = self.seed,
            group = self.group,
        )
        .expect("a String takes everything");
        for backend in &self.backends {
            write!(text, "[[backend_group.backend]]\naddress = \"{backend}\"\n")
                .expect("a String takes everything");
        }
        text
    }
}
