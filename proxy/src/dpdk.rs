//! `weirgate run`: the workers of a configuration on DPDK.
//!
//! The only module of this package that names DPDK. Order of things: EAL, one pool for all packets,
//! ports, one queue pair of each port for each worker, one lcore for each worker; then this thread
//! is the control thread until the workers have drained, and gives everything back.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use dpdk_io::{
    DpdkError, Eal, EalConfig, Lcore, LcoreId, LcoreJob, LogLevel, Mempool, MempoolConfig,
    Offloads, Port, PortConfig, PortQueues, Queue, QueueCounters,
};
use netstack::io::PacketIo;
use netstack::io::capture::CaptureError;
use netstack::io::tap::Tap;
use proxy::assemble::{AssembleError, Assembly, Queues, assemble};
use proxy::config::Config;
use proxy::control::{self, Stop};
use proxy::cpus::Cpus;
use proxy::drive::{Clock, drive};
use proxy::secret::{NoEntropy, Secrets};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

/// Why the workers could not run.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// DPDK refused something.
    #[error(transparent)]
    Dpdk(#[from] DpdkError),
    /// The workers could not be made.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The packet buffers do not fit the memory that DPDK is to take.
    #[error(
        "dpdk.memory is {configured}MiB, but {buffers} packet buffers need {needed}MiB: raise it, \
         or lower descriptors, workers or buffers.packets"
    )]
    Memory {
        /// Configured, in MiB.
        configured: u64,
        /// Needed, in MiB.
        needed: u64,
        /// How many buffers there would be.
        buffers: u32,
    },
    /// A worker is to run where this process may not.
    #[error(
        "lcores in [runtime] lists {lcore}, but this process may only use the CPUs {allowed}: list \
         those, also repeatedly, or allow more with taskset or the cpuset"
    )]
    Lcore {
        /// The first such element of `lcores`.
        lcore: u16,
        /// The CPUs that may be used.
        allowed: Cpus,
    },
    /// No keys.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// No handler for a signal.
    #[error("cannot handle signals: {0}")]
    Signals(#[source] io::Error),
    /// A capture file cannot be written.
    #[error("cannot write the capture {}: {source}", path.display())]
    Tap {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: CaptureError,
    },
    /// The directory for captures cannot be made, or a file in it.
    #[error("cannot make {}: {source}", path.display())]
    TapFile {
        /// The directory or file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Runs the workers until they are told to stop.
pub(crate) fn run(config: &Config, tap: Option<&Path>) -> Result<(), RunError> {
    let mut stop = StopSignals::new()?;
    let secrets = match config.runtime.seed {
        Some(seed) => Secrets::from_seed(seed),
        None => Secrets::random()?,
    };
    if let Some(allowed) = Cpus::allowed() {
        check_lcores(config, &allowed)?;
    }
    let pool_config = pool_config(config);
    check_memory(config, &pool_config)?;
    let mut eal = Eal::init(&eal_config(config))?;
    let mut lcores = eal.take_lcores();
    let pool = Mempool::create(&eal, &pool_config)?;
    let mut ports = open_ports(config, &eal, &pool)?;
    let queues = start_ports(config, &mut ports)?;
    let result = match tap {
        None => run_workers(config, &secrets, &mut lcores, queues, &mut stop)
            .map(|queues| queues.iter().flatten().for_each(log_queue_losses)),
        Some(directory) => tap_queues(config, queues, directory).and_then(|(queues, paths)| {
            let taps = run_workers(config, &secrets, &mut lcores, queues, &mut stop)?;
            let queues = taps.iter().flatten().map(Tap::inner);
            queues.for_each(log_queue_losses);
            finish_taps(taps, paths)
        }),
    };
    for port in &ports {
        log_port_counters(port);
    }
    drop((lcores, ports));
    // With AF_XDP this is not 0: its driver does not empty its rings.
    let buffers_in_use = pool.in_use();
    drop(pool);
    tracing::info!(buffers_in_use, "stopped");
    eal.shutdown()?;
    result
}

/// What signals ask for: SIGTERM and SIGQUIT drain, the second of them and SIGINT stop at once.
struct StopSignals {
    signals: Signals,
    drains: bool,
}

impl StopSignals {
    fn new() -> Result<Self, RunError> {
        let signals = Signals::new([SIGTERM, SIGQUIT, SIGINT]).map_err(RunError::Signals)?;
        Ok(Self {
            signals,
            drains: false,
        })
    }

    fn poll(&mut self) -> Option<Stop> {
        let signal = self.signals.pending().next()?;
        if signal == SIGINT || self.drains {
            return Some(Stop::Now);
        }
        self.drains = true;
        Some(Stop::Drain)
    }
}

fn eal_config(config: &Config) -> EalConfig {
    let dpdk = &config.dpdk;
    EalConfig {
        lcores: config.runtime.lcores.iter().copied().map(LcoreId).collect(),
        memory_mib: u32::try_from(dpdk.memory >> 20).unwrap_or(u32::MAX),
        huge_pages: dpdk.huge_pages,
        file_prefix: Some(dpdk.file_prefix.clone()),
        pci_devices: dpdk.devices.clone(),
        virtual_devices: dpdk.vdevs.clone(),
        log_level: match config.log.level.into_level() {
            None | Some(tracing::Level::ERROR) => LogLevel::Error,
            Some(tracing::Level::TRACE) => LogLevel::Debug,
            Some(tracing::Level::DEBUG) => LogLevel::Info,
            Some(_) => LogLevel::Warning,
        },
    }
}

/// The pool for all ports and workers: as large as configured, or as can be needed.
fn pool_config(config: &Config) -> MempoolConfig {
    let budget = config.packet_budget();
    MempoolConfig {
        buffers: config.buffers.packets.unwrap_or(budget.buffers),
        mtu: budget.mtu,
        lcores: budget.threads,
        cache: budget.cache,
        held: budget.held,
        ..MempoolConfig::default()
    }
}

/// Whether the configured memory holds the packets. The check of the configuration has asked
/// already, with an estimate of its own; this is the pool's.
fn check_memory(config: &Config, pool: &MempoolConfig) -> Result<(), RunError> {
    let configured = config.dpdk.memory >> 20;
    let needed = u64::from(pool.memory_mib());
    if needed > configured {
        return Err(RunError::Memory {
            configured,
            needed,
            buffers: pool.buffers,
        });
    }
    Ok(())
}

/// Whether the workers may run where they are told to. `weirgate check` does not ask: it may run
/// on another machine.
fn check_lcores(config: &Config, allowed: &Cpus) -> Result<(), RunError> {
    let mut lcores = config.runtime.lcores.iter().copied();
    match lcores.find(|lcore| !allowed.contains(*lcore)) {
        None => Ok(()),
        Some(lcore) => Err(RunError::Lcore {
            lcore,
            allowed: allowed.clone(),
        }),
    }
}

fn open_ports(config: &Config, eal: &Eal, pool: &Mempool) -> Result<Vec<Port>, RunError> {
    let open = |port: &proxy::config::PortConfig| {
        let wanted = PortConfig {
            rx_queues: config.workers() as u16,
            tx_queues: config.workers() as u16,
            rx_descriptors: port.rx_descriptors,
            tx_descriptors: port.tx_descriptors,
            mtu: port.mtu,
            mac: port.mac,
            // Each buffer holds a frame, so frames need not be received in pieces, which is slower
            // with some drivers.
            offloads: Offloads {
                rx_chains: false,
                ..Offloads::ALL
            },
            ..PortConfig::default()
        };
        Ok(Port::open(eal, &port.device, &wanted, pool)?)
    };
    config.ports.iter().map(open).collect()
}

/// Starts the ports; `queues[worker][port]`.
fn start_ports(config: &Config, ports: &mut [Port]) -> Result<Vec<Vec<Queue>>, RunError> {
    let mut queues: Vec<Vec<Queue>> = config.runtime.lcores.iter().map(|_| Vec::new()).collect();
    for (port, config) in ports.iter_mut().zip(&config.ports) {
        let PortQueues { rx, tx } = port.start()?;
        for (worker, (rx, tx)) in queues.iter_mut().zip(rx.into_iter().zip(tx)) {
            worker.push(Queue::pair(rx, tx)?);
        }
        log_started(port, config);
    }
    Ok(queues)
}

fn log_started(port: &Port, config: &proxy::config::PortConfig) {
    let offloads = port.offloads();
    let link = port.link().map(|link| if link.up { "up" } else { "down" });
    let in_force = port.config();
    tracing::info!(
        port = config.name,
        device = port.name(),
        driver = port.driver(),
        mac = %port.mac(),
        link = link.unwrap_or("unknown"),
        rx_queues = in_force.rx_queues,
        tx_queues = in_force.tx_queues,
        rx_descriptors = in_force.rx_descriptors,
        tx_descriptors = in_force.tx_descriptors,
        rx_checksum = offloads.rx_checksum,
        tx_checksum = offloads.tx_checksum,
        tx_chains = offloads.tx_chains,
        tso = offloads.tso,
        rss_known = port.capabilities().rss.is_some(),
        "port started"
    );
    let descriptors = [
        (
            "rx_descriptors",
            config.rx_descriptors,
            in_force.rx_descriptors,
        ),
        (
            "tx_descriptors",
            config.tx_descriptors,
            in_force.tx_descriptors,
        ),
    ];
    for (setting, configured, in_force) in descriptors {
        if configured != in_force {
            tracing::warn!(
                port = config.name,
                driver = port.driver(),
                setting,
                configured,
                in_force,
                "the driver uses another number of descriptors than is configured: configure \
                 the one in force"
            );
        }
    }
}

/// Runs the workers on their lcores; gives the queue pairs back.
fn run_workers<Io: PacketIo + Send + 'static>(
    config: &Config,
    secrets: &Secrets,
    lcores: &mut [Lcore],
    ios: Vec<Vec<Io>>,
    stop: &mut StopSignals,
) -> Result<Vec<Vec<Io>>, RunError> {
    let clock = Clock::start();
    let idle = config.runtime.idle;
    let Assembly {
        workers, control, ..
    } = assemble(config, secrets, Queues::pairs(ios), clock.now())?;
    let mut jobs = Vec::with_capacity(workers.len());
    for (mut worker, lcore) in workers.into_iter().zip(lcores) {
        jobs.push(lcore.launch(move || {
            drive(&mut worker, clock, idle);
            worker.into_ios()
        })?);
    }
    tracing::info!(workers = jobs.len(), "ready");
    control::run(config, &control, || stop.poll());
    let ios = jobs
        .into_iter()
        .map(LcoreJob::join)
        .collect::<Result<_, _>>();
    control::log_counters(&control);
    Ok(ios?)
}

/// The queue pairs with a capture around each.
type Tapped = Vec<Vec<Tap<Queue, BufWriter<File>>>>;

fn tap_queues(
    config: &Config,
    queues: Vec<Vec<Queue>>,
    directory: &Path,
) -> Result<(Tapped, Vec<PathBuf>), RunError> {
    std::fs::create_dir_all(directory).map_err(|source| RunError::TapFile {
        path: directory.to_owned(),
        source,
    })?;
    let mut paths = Vec::new();
    let mut tapped = Vec::new();
    for (worker, queues) in queues.into_iter().enumerate() {
        let mut taps = Vec::new();
        for (port, queue) in config.ports.iter().zip(queues) {
            let path = directory.join(format!("{}-worker{worker}.pcap", port.name));
            let file = File::create(&path).map_err(|source| RunError::TapFile {
                path: path.clone(),
                source,
            })?;
            let tap = Tap::new(queue, BufWriter::new(file)).map_err(|source| RunError::Tap {
                path: path.clone(),
                source,
            })?;
            tracing::info!(path = %path.display(), "capturing");
            paths.push(path);
            taps.push(tap);
        }
        tapped.push(taps);
    }
    Ok((tapped, paths))
}

fn finish_taps(taps: Tapped, paths: Vec<PathBuf>) -> Result<(), RunError> {
    for (tap, path) in taps.into_iter().flatten().zip(paths) {
        let (_queue, written) = tap.finish();
        written.map_err(|source| RunError::Tap { path, source })?;
    }
    Ok(())
}

/// Logs what neither the device nor the worker counts, if there is any. Frames that were refused
/// left the worker as sent.
fn log_queue_losses(queue: &Queue) {
    let counters = queue.counters();
    if counters == QueueCounters::default() {
        return;
    }
    tracing::warn!(
        port = queue.port_name(),
        rx_queue = queue.rx_index(),
        tx_queue = queue.tx_index(),
        rx_not_joined = counters.rx_not_joined,
        tx_refused = counters.tx_refused,
        no_buffer = counters.no_buffer,
        "a queue lost frames or had no buffers"
    );
}

fn log_port_counters(port: &Port) {
    match port.stats() {
        Ok(stats) => tracing::info!(
            port = port.name(),
            rx_frames = stats.rx_frames,
            rx_missed = stats.rx_missed,
            rx_errors = stats.rx_errors,
            rx_no_buffer = stats.rx_no_buffer,
            tx_frames = stats.tx_frames,
            tx_errors = stats.tx_errors,
            "port counters"
        ),
        Err(error) => tracing::warn!(port = port.name(), %error, "no port counters"),
    }
    if tracing::enabled!(tracing::Level::DEBUG) {
        log_driver_counters(port);
    }
}

/// Logs the counters of the driver, by its own names, that counted something.
fn log_driver_counters(port: &Port) {
    match port.extended_stats() {
        Ok(stats) => {
            for stat in stats.iter().filter(|stat| stat.value != 0) {
                tracing::debug!(
                    port = port.name(),
                    counter = stat.name,
                    value = stat.value,
                    "driver counter"
                );
            }
        }
        Err(error) => tracing::debug!(port = port.name(), %error, "no driver counters"),
    }
}

#[cfg(test)]
mod tests {
    use dpdk_io::BufferDemand;

    use super::*;

    /// The example, which has two workers and two ports, with one text replaced by another.
    fn example_with(old: &str, new: &str) -> Config {
        const EXAMPLE: &str = include_str!("../examples/weirgate.toml");
        assert!(EXAMPLE.contains(old), "{old:?} is not in the example");
        let text = EXAMPLE.replacen(old, new, 1);
        Config::parse(&text, Path::new("w.toml")).unwrap().0
    }

    #[test]
    fn an_lcore_that_may_not_be_used_is_named() {
        let config = example_with("lcores = [0, 1]", "lcores = [5, 1]");
        let check = |allowed| check_lcores(&config, &Cpus::parse(allowed).unwrap());
        check("1,4-6").unwrap();
        let error = check("1-3,8").unwrap_err().to_string();
        for part in ["lcores in [runtime] lists 5", "the CPUs 1-3,8"] {
            assert!(error.contains(part), "{part:?} is missing: {error}");
        }
    }

    /// The check of a configuration counts as the pool does.
    #[test]
    fn the_packet_budget_is_what_the_pool_needs() {
        for (old, new) in [
            ("seed = 42", ""),
            ("lcores = [0, 1]", "lcores = [0, 1, 2]"),
            ("mtu = 1500", "mtu = 2100"),
            ("mtu = 1500", "mtu = 9216"),
            ("rx_descriptors = 512", "rx_descriptors = 4096"),
        ] {
            let config = example_with(old, new);
            let pool = pool_config(&config);
            let ports = config.ports.iter().map(|port| BufferDemand {
                rx_queues: config.workers() as u16,
                rx_descriptors: port.rx_descriptors,
                tx_queues: config.workers() as u16,
                tx_descriptors: port.tx_descriptors,
                ..BufferDemand::default()
            });
            let demand = ports.map(|port| port.total()).sum::<u32>() + pool.demand().total();
            assert_eq!(pool.buffers, demand, "{new}");
            let estimate = config.packet_budget().memory_mib(pool.buffers);
            assert_eq!(estimate, u64::from(pool.memory_mib()), "{new}");
        }
    }

    #[test]
    fn memory_that_does_not_hold_the_pool_is_refused() {
        let config = example_with("seed = 42", "");
        let mut pool = pool_config(&config);
        check_memory(&config, &pool).unwrap();
        pool.buffers = 1 << 20;
        let error = check_memory(&config, &pool).unwrap_err().to_string();
        assert!(
            error.contains("1048576 packet buffers need 3112MiB"),
            "{error}"
        );
    }
}
