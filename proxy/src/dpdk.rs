//! `weirgate run`: the workers of a configuration on DPDK.
//!
//! The only module of this package, with those below it, that names DPDK. Order of things: EAL; a
//! plan for each port; pools of packet buffers; ports; flow rules; queues dealt to workers and
//! receivers, each of which has an lcore. Then this thread is the control thread until the workers
//! have drained, and gives everything back.

mod apply;
mod deal;
mod placement;
mod ports;
mod report;
mod rules;
mod taps;

use std::io;
use std::path::{Path, PathBuf};

use dpdk_io::{DpdkError, Eal, EalConfig, Lcore, LcoreId, LcoreJob, LogLevel};
use flow_rules::plan::PlanError;
use netstack::io::PacketIo;
use netstack::io::capture::CaptureError;
use proxy::assemble::{AssembleError, Assembly, Queues, assemble};
use proxy::config::Config;
use proxy::control::{self, Request, Stop};
use proxy::cpus::Cpus;
use proxy::drive::{Clock, drive};
use proxy::secret::{NoEntropy, Secrets};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;

pub(crate) use self::apply::apply;
use self::deal::{PortIo, Threads};
use self::ports::Pools;
use self::taps::Taps;

/// Why the workers could not run.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    /// DPDK refused something.
    #[error(transparent)]
    Dpdk(#[from] DpdkError),
    /// There is no plan for the ports.
    #[error("no plan for the receive queues of the ports: {0}")]
    Plan(#[from] PlanError),
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
        "[runtime] lists the lcore {lcore}, but this process may only use the CPUs {allowed}: list \
         those, also repeatedly, or allow more with taskset or the cpuset"
    )]
    Lcore {
        /// The first such element of `lcores` or `rx_lcores`.
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

/// Runs the workers until they are told to stop. `config` was read from the file `path`.
pub(crate) fn run(config: &Config, path: &Path, tap: Option<&Path>) -> Result<(), RunError> {
    let mut requests = RequestSignals::new(path)?;
    let secrets = match config.runtime.seed {
        Some(seed) => Secrets::from_seed(seed),
        None => Secrets::random()?,
    };
    let mut eal = start_eal(config)?;
    let mut lcores = eal.take_lcores();
    let planned = ports::plan(config, &eal)?;
    let budget = config.packet_budget_for(&planned.queues);
    let pools = Pools::create(config, &eal, &planned, &budget)?;
    let mut ports = ports::open(config, &eal, &pools, &planned)?;
    let queues = ports::start(config, &mut ports)?;
    let mut plans = planned.plans.clone();
    for (port, plan) in ports.iter().zip(&mut plans) {
        plan.isolated &= port.config().isolated;
    }
    let rules: Vec<_> = ports
        .iter_mut()
        .zip(&mut plans)
        .map(|(port, plan)| rules::apply(port, plan))
        .collect();
    plans.iter().for_each(report::log_plan);
    let threads = threads(config, &lcores);
    let nodes: Vec<_> = planned.nodes().collect();
    deal::warn_of_crossings(config, &nodes, &plans, &threads);
    let mut dealt = deal::deal(config, &ports, queues, &plans, &threads)?;
    dealt.layout.connection_packets = Some(budget.connections);
    let (ios, result) = run_with_taps(config, &secrets, &mut lcores, dealt, tap, &mut requests);
    let queues = ios.into_iter().flat_map(PortIo::into_queues);
    queues.for_each(|queue| report::log_queue_losses(&queue));
    for ((port, plan), rules) in ports.iter().zip(&plans).zip(rules) {
        report::log_port_counters(port);
        rules.end(&plan.port);
    }
    drop((lcores, ports));
    // With AF_XDP this is not 0: its driver does not empty its rings.
    let buffers_in_use = pools.in_use();
    drop(pools);
    tracing::info!(buffers_in_use, "stopped");
    eal.shutdown()?;
    result
}

/// Starts DPDK, with an lcore for each worker and then for each receiver.
fn start_eal(config: &Config) -> Result<Eal, RunError> {
    if let Some(allowed) = Cpus::allowed() {
        check_lcores(config, &allowed)?;
    }
    Ok(Eal::init(&eal_config(config))?)
}

/// Where workers and receivers run, whose lcores come in this order.
fn threads(config: &Config, lcores: &[Lcore]) -> Threads {
    let nodes: Vec<_> = lcores.iter().map(Lcore::numa_node).collect();
    let (workers, receivers) = nodes.split_at(config.workers().min(nodes.len()));
    Threads {
        workers: workers.to_vec(),
        receivers: receivers.to_vec(),
    }
}

/// What signals ask for: SIGTERM and SIGQUIT drain, the second of them and SIGINT stop at once;
/// SIGHUP reads the configuration file again.
struct RequestSignals<'a> {
    signals: Signals,
    drains: bool,
    /// The configuration file.
    path: &'a Path,
}

impl<'a> RequestSignals<'a> {
    fn new(path: &'a Path) -> Result<Self, RunError> {
        let signals =
            Signals::new([SIGTERM, SIGQUIT, SIGINT, SIGHUP]).map_err(RunError::Signals)?;
        Ok(Self {
            signals,
            drains: false,
            path,
        })
    }

    fn poll(&mut self) -> Option<Request> {
        let signal = self.signals.pending().next()?;
        if signal == SIGHUP {
            return Some(Request::Reload);
        }
        if signal == SIGINT || self.drains {
            return Some(Request::Stop(Stop::Now));
        }
        self.drains = true;
        Some(Request::Stop(Stop::Drain))
    }
}

/// The lcores of workers, and then of those that only receive.
fn lcores(config: &Config) -> impl Iterator<Item = u16> {
    let runtime = &config.runtime;
    runtime.lcores.iter().chain(&runtime.rx_lcores).copied()
}

fn eal_config(config: &Config) -> EalConfig {
    let dpdk = &config.dpdk;
    EalConfig {
        lcores: lcores(config).map(LcoreId).collect(),
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

/// Whether the workers may run where they are told to. `weirgate check` does not ask: it may run
/// on another machine.
fn check_lcores(config: &Config, allowed: &Cpus) -> Result<(), RunError> {
    match lcores(config).find(|lcore| !allowed.contains(*lcore)) {
        None => Ok(()),
        Some(lcore) => Err(RunError::Lcore {
            lcore,
            allowed: allowed.clone(),
        }),
    }
}

/// Runs the workers, with captures if they are wanted; gives back the queues.
fn run_with_taps(
    config: &Config,
    secrets: &Secrets,
    lcores: &mut [Lcore],
    queues: Queues<PortIo>,
    tap: Option<&Path>,
    requests: &mut RequestSignals<'_>,
) -> (Vec<PortIo>, Result<(), RunError>) {
    let Some(directory) = tap else {
        return match run_workers(config, secrets, lcores, queues, requests) {
            Ok(ios) => (ios, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
    };
    let names = config.ports.iter().map(|port| port.name.as_str());
    let run = || {
        let mut taps = Taps::new(directory, names.collect())?;
        let Queues {
            layout,
            workers,
            receivers,
        } = queues;
        let tapped = Queues {
            layout,
            workers: taps.around("worker", workers)?,
            receivers: taps.around("receiver", receivers)?,
        };
        Ok((
            run_workers(config, secrets, lcores, tapped, requests)?,
            taps,
        ))
    };
    match run() {
        Ok((tapped, taps)) => taps.finish(tapped),
        Err(error) => (Vec::new(), Err(error)),
    }
}

/// Runs the workers and receivers on their lcores; gives back their queues, those of the first
/// worker first.
fn run_workers<Io: PacketIo + Send + 'static>(
    config: &Config,
    secrets: &Secrets,
    lcores: &mut [Lcore],
    queues: Queues<Io>,
    requests: &mut RequestSignals<'_>,
) -> Result<Vec<Io>, RunError> {
    let clock = Clock::start();
    let idle = config.runtime.idle;
    let Assembly {
        workers,
        receivers,
        control,
    } = assemble(config, secrets, queues, clock.now())?;
    let mut jobs = Vec::with_capacity(lcores.len());
    let counts = (workers.len(), receivers.len());
    let (worker_lcores, receiver_lcores) = lcores.split_at_mut(workers.len());
    for (mut worker, lcore) in workers.into_iter().zip(worker_lcores) {
        jobs.push(lcore.launch(move || {
            drive(&mut worker, clock, idle);
            worker.into_ios()
        })?);
    }
    for (mut receiver, lcore) in receivers.into_iter().zip(receiver_lcores) {
        jobs.push(lcore.launch(move || {
            drive(&mut receiver, clock, idle);
            receiver.into_ios()
        })?);
    }
    tracing::info!(workers = counts.0, receivers = counts.1, "ready");
    let path = requests.path;
    control::run(config, path, &control, || requests.poll());
    let ios: Result<Vec<_>, _> = jobs.into_iter().map(LcoreJob::join).collect();
    control::log_counters(&control);
    Ok(ios?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use dpdk_io::{BufferDemand, MempoolConfig};

    use super::*;

    /// The example, which has two workers and two ports, with one text replaced by another.
    fn example_with(old: &str, new: &str) -> Config {
        const EXAMPLE: &str = include_str!("../examples/weirgate.toml");
        assert!(EXAMPLE.contains(old), "{old:?} is not in the example");
        let text = EXAMPLE.replacen(old, new, 1);
        Config::parse(&text, Path::new("w.toml")).unwrap().0
    }

    /// The pool for ports on one node.
    fn pool_of(config: &Config) -> MempoolConfig {
        ports::pool_configs(config, &config.packet_budget(), &[None]).remove(0)
    }

    #[test]
    fn an_lcore_that_may_not_be_used_is_named() {
        let config = example_with("lcores = [0, 1]", "lcores = [5, 1]");
        let check = |allowed| check_lcores(&config, &Cpus::parse(allowed).unwrap());
        check("1,4-6").unwrap();
        let error = check("1-3,8").unwrap_err().to_string();
        for part in ["[runtime] lists the lcore 5", "the CPUs 1-3,8"] {
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
            ("mtu = 1500", "mtu = 9000"),
            ("rx_descriptors = 512", "rx_descriptors = 4096"),
        ] {
            let config = example_with(old, new);
            let pool = pool_of(&config);
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
        let mut pool = pool_of(&config);
        ports::check_memory(&config, std::slice::from_ref(&pool)).unwrap();
        pool.buffers = 1 << 20;
        let error = ports::check_memory(&config, &[pool])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("1048576 packet buffers need 3112MiB"),
            "{error}"
        );
    }
}
