//! Weirgate's configuration, for the addresses of the rig.

use std::path::Path;

use netstack::tcp::EngineKind;
use proxy::config::EngineConfig;
use proxy::cpus::Cpus;

use super::Bridge;
use super::topology::{GATE_SERVER_V4, GATE_SERVER_V6, GATE_V4, GATE_V6, SERVER_V4, SERVER_V6};

/// The DPDK driver that takes over the gate's interfaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Driver {
    /// Packet sockets, one ring for each queue.
    AfPacket,
    /// An AF_XDP socket. DPDK's driver takes one queue of a veth and so serves one worker: it counts
    /// combined channels, which a veth does not report.
    AfXdp,
    /// Shared memory. At its other end a [`super::Bridge`] carries frames to and from the gate's
    /// interfaces.
    Memif,
}

impl Driver {
    /// The name of DPDK's driver.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfPacket => "net_af_packet",
            Self::AfXdp => "net_af_xdp",
            Self::Memif => "net_memif",
        }
    }

    /// Queues of each port, and workers, unless a test wants others.
    fn usual_queues(self) -> u16 {
        match self {
            Self::AfPacket | Self::Memif => 2,
            Self::AfXdp => 1,
        }
    }
}

/// A configuration file in the making. There is always a listener on [`Config::PORT`] with nginx,
/// reached over IPv4, behind it.
#[derive(Clone, Debug)]
pub struct Config {
    driver: Driver,
    queues: u16,
    workers: u16,
    receivers: u16,
    /// The driver's default if `None`.
    ring_frames: Option<u16>,
    /// Of every service whose own keys say nothing; the product's default if `None`.
    engine: Option<EngineKind>,
    services: Vec<Service>,
    /// Of the port on the client's side.
    routes: Vec<String>,
    timeouts: Vec<(&'static str, &'static str)>,
}

impl Config {
    /// The port of the listener that is always there.
    pub const PORT: u16 = 80;
    /// The name of the backend group that is always there.
    pub const NGINX: &str = "nginx";

    /// A worker for each queue, two ports over the gate's interfaces, nginx behind port 80. Keys
    /// about engines are left to their defaults.
    pub fn new(driver: Driver) -> Self {
        let config = Self {
            driver,
            queues: driver.usual_queues(),
            workers: driver.usual_queues(),
            receivers: 0,
            ring_frames: None,
            engine: None,
            services: Vec::new(),
            routes: Vec::new(),
            timeouts: Vec::new(),
        };
        config.serve(Self::NGINX, Self::PORT, &[&format!("{SERVER_V4}:80")])
    }

    /// The same, with all connections run by `engine`.
    pub fn with_engine(driver: Driver, engine: EngineKind) -> Self {
        Self {
            engine: Some(engine),
            ..Self::new(driver)
        }
    }

    /// Adds nginx, reached over IPv6, behind `port`.
    pub fn nginx_over_ipv6(self, port: u16) -> Self {
        self.serve("nginx-v6", port, &[&format!("[{SERVER_V6}]:80")])
    }

    /// Adds a listener on `port` of both addresses, and its backends.
    #[must_use]
    pub fn serve(mut self, name: &str, port: u16, backends: &[&str]) -> Self {
        let backends = backends.iter().map(|&backend| backend.to_owned());
        self.services.push(Service {
            name: name.to_owned(),
            port,
            backends: backends.collect(),
            engine: &[],
            group: "",
        });
        self
    }

    /// Adds keys and tables to the backend group of what was served last, as the configuration file
    /// has them.
    #[must_use]
    pub fn group(mut self, toml: &'static str) -> Self {
        if let Some(service) = self.services.last_mut() {
            service.group = toml;
        }
        self
    }

    /// Sets keys about the engine of the connections of what was served last, on both sides.
    #[must_use]
    pub fn engine(mut self, keys: &'static [(&'static str, &'static str)]) -> Self {
        if let Some(service) = self.services.last_mut() {
            service.engine = keys;
        }
        self
    }

    /// Adds a route of the port on the client's side.
    #[must_use]
    pub fn route(mut self, to: &str, via: &str) -> Self {
        self.routes
            .push(format!("{{ to = \"{to}\", via = \"{via}\" }}"));
        self
    }

    /// Sets a key of `[timeouts]`.
    #[must_use]
    pub fn timeout(mut self, key: &'static str, value: &'static str) -> Self {
        self.timeouts.push((key, value));
        self
    }

    /// Gives each port so many queues in each direction.
    #[must_use]
    pub fn with_queues(self, queues: u16) -> Self {
        Self { queues, ..self }
    }

    /// So many workers.
    #[must_use]
    pub fn with_workers(self, workers: u16) -> Self {
        Self { workers, ..self }
    }

    /// So many lcores that only receive.
    #[must_use]
    pub fn with_receivers(self, receivers: u16) -> Self {
        Self { receivers, ..self }
    }

    /// Frames of each ring of a packet socket. When one is three quarters full, the kernel puts frames
    /// of a large flow into the ring of another queue.
    #[must_use]
    pub fn with_ring_frames(self, frames: u16) -> Self {
        Self {
            ring_frames: Some(frames),
            ..self
        }
    }

    /// The driver of both ports.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Queues of each port. The veth must have as many: a packet on a queue that nobody reads goes
    /// to the kernel.
    pub fn queues(&self) -> u16 {
        self.queues
    }

    /// The CPUs of the workers and of those that only receive: all of `cpus` in turn.
    fn lcores(&self, cpus: &Cpus) -> (Vec<u16>, Vec<u16>) {
        let once: Vec<u16> = cpus.iter().collect();
        let mut turns = once.iter().copied().cycle();
        let workers = turns.by_ref().take(self.workers.into()).collect();
        (workers, turns.take(self.receivers.into()).collect())
    }

    /// The description of the device number `index` over `interface`, as DPDK takes it. A socket
    /// that it needs is in `directory`.
    fn vdev(&self, index: usize, interface: &str, directory: &Path) -> String {
        let name = self.driver.name();
        let queues = self.queues;
        match self.driver {
            Driver::AfPacket => {
                let frames = self.ring_frames.map(|frames| format!(",framecnt={frames}"));
                let frames = frames.unwrap_or_default();
                format!("{name}{index},iface={interface},qpairs={queues}{frames}")
            }
            Driver::AfXdp => {
                format!("{name}{index},iface={interface},start_queue=0,queue_count={queues}")
            }
            Driver::Memif => {
                let socket = Bridge::socket(directory, index);
                format!(
                    "{name}{index},role=server,socket={},socket-abstract=no",
                    socket.display()
                )
            }
        }
    }

    /// The file's text. Processes of DPDK that run side by side need different `file_prefix`es;
    /// sockets are in `directory`. Where there are fewer CPUs than workers, workers share them.
    ///
    /// # Panics
    /// If the kernel does not say which CPUs this process may use.
    pub fn to_toml(&self, file_prefix: &str, directory: &Path) -> String {
        let cpus = Cpus::allowed().expect("the kernel says which CPUs may be used");
        let (lcores, rx_lcores) = self.lcores(&cpus);
        let runtime = format!(
            "[runtime]\nlcores = {lcores:?}\nrx_lcores = {rx_lcores:?}\nidle = \"adaptive\"\n\n\
             [dpdk]\nmemory = \"256MiB\"\nhuge_pages = false\nfile_prefix = \"{file_prefix}\"\n\
             vdevs = [{:?}, {:?}]\n",
            self.vdev(0, "g0", directory),
            self.vdev(1, "g1", directory),
        );
        let ports = [
            (0, "client", GATE_V4, GATE_V6, self.routes.join(", ")),
            (1, "server", GATE_SERVER_V4, GATE_SERVER_V6, String::new()),
        ];
        let ports = ports.map(|(index, name, v4, v6, routes)| {
            format!(
                "\n[[port]]\nname = \"{name}\"\ndevice = \"{}{index}\"\nmtu = 1500\n\
                 addresses = [\"{v4}/24\", \"{v6}/64\"]\nroutes = [{routes}]\n",
                self.driver.name(),
            )
        });
        let mut engines = EngineConfig::ENGINES.iter();
        let engine = engines.find(|(_, engine)| Some(*engine) == self.engine);
        let engine = engine.map_or_else(String::new, |(word, _)| format!("engine = \"{word}\"\n"));
        let services = self.services.iter();
        let services = services.map(|service| service.to_toml(&engine));
        let timeouts = self.timeouts.iter();
        let timeouts = timeouts.map(|(key, value)| format!("{key} = \"{value}\"\n"));
        [runtime]
            .into_iter()
            .chain(ports)
            .chain(services)
            .chain(["\n[log]\nformat = \"text\"\n\n[timeouts]\n".to_owned()])
            .chain(timeouts)
            .collect()
    }
}

/// A listener and the backends behind it.
#[derive(Clone, Debug)]
struct Service {
    name: String,
    port: u16,
    backends: Vec<String>,
    engine: &'static [(&'static str, &'static str)],
    group: &'static str,
}

impl Service {
    /// Its lines; `default` stands for keys of its own.
    fn to_toml(&self, default: &str) -> String {
        let Self {
            name,
            port,
            backends,
            engine,
            group,
        } = self;
        let engine = engine.iter();
        let engine: Vec<_> = engine
            .map(|(key, value)| format!("{key} = \"{value}\"\n"))
            .collect();
        let engine = match engine.concat() {
            own if own.is_empty() => default.to_owned(),
            own => own,
        };
        let head = format!(
            "\n[[listener]]\nname = \"{name}\"\n\
             addresses = [\"{GATE_V4}:{port}\", \"[{GATE_V6}]:{port}\"]\n\
             backend_group = \"{name}\"\n{engine}\
             \n[[backend_group]]\nname = \"{name}\"\nbalance = \"round_robin\"\n{engine}{group}"
        );
        let backends = backends.iter();
        let backends =
            backends.map(|backend| format!("[[backend_group.backend]]\naddress = \"{backend}\"\n"));
        [head].into_iter().chain(backends).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_run_on_allowed_cpus_and_share_them_if_they_must() {
        let config = Config::new(Driver::AfPacket).with_receivers(1);
        let lcores = |list| config.lcores(&Cpus::parse(list).unwrap());
        assert_eq!(lcores("0-7"), (vec![0, 1], vec![2]));
        assert_eq!(lcores("2,5"), (vec![2, 5], vec![2]));
        assert_eq!(lcores("3"), (vec![3, 3], vec![3]));
    }
}
