//! Ports: asked what they can, planned, opened, started.
//!
//! *In*: the configuration, and the devices that DPDK found. *Out*: started ports with the plan of
//! each, which says who serves which receive queue.

use dpdk_io::{Device, Eal, Mempool, MempoolConfig, Offloads, Port, PortConfig, PortQueues};
use flow_rules::driver::{Driver, Release};
use flow_rules::plan::{Plan, RestBy};
use proxy::config::Config;
use proxy::packet_budget::{PacketBudget, QueueCounts};
use proxy::steering::{self, PortFacts};

use super::RunError;
use super::placement::Node;
use super::report;

/// What is to be done on each port, in configured order.
pub(super) struct Planned {
    /// What the devices say of themselves.
    pub(super) devices: Vec<Device>,
    /// Who serves which queue.
    pub(super) plans: Vec<Plan>,
    /// Queues of each port.
    pub(super) queues: Vec<QueueCounts>,
}

/// Asks the devices, and plans.
pub(super) fn plan(config: &Config, eal: &Eal) -> Result<Planned, RunError> {
    let devices = config
        .ports
        .iter()
        .map(|port| Device::describe(eal, &port.device))
        .collect::<Result<Vec<_>, _>>()?;
    let release = eal.version().parse().unwrap_or(Release::OLDEST_SUPPORTED);
    let facts = devices
        .iter()
        .zip(&config.ports)
        .map(|(device, port)| PortFacts {
            driver: Driver::of_port(&device.driver),
            members: Vec::new(),
            release,
            rx_queues: Some(device.max_rx_queues),
            mac: port.mac.unwrap_or(device.mac),
        });
    let facts: Vec<_> = facts.collect();
    let plans = steering::request(config, &facts).plan()?;
    let workers = config.workers() as u16;
    let queues = plans.iter().zip(&devices).map(|(plan, device)| {
        let rx = plan.queues.len() as u16;
        let tx = workers.min(device.max_tx_queues.max(1));
        QueueCounts {
            rx,
            // This driver has as many of either direction, and buffers are needed for all.
            tx: if plan.driver == Driver::Tap { rx } else { tx },
        }
    });
    Ok(Planned {
        queues: queues.collect(),
        devices,
        plans,
    })
}

impl Planned {
    /// The node of each port.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.devices.iter().map(|device| device.numa_node)
    }
}

/// Pools of packet buffers, and the nodes of the ports that they are for.
pub(super) struct Pools {
    pools: Vec<(Node, Mempool)>,
}

impl Pools {
    /// A pool on each node that has ports. They share what the budget has, as nobody knows which of
    /// them the traffic will need; one whose ports need more takes more of the memory.
    pub(super) fn create(
        config: &Config,
        eal: &Eal,
        planned: &Planned,
        budget: &PacketBudget,
    ) -> Result<Self, RunError> {
        let mut nodes: Vec<Node> = Vec::new();
        for node in planned.nodes() {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        let wanted = pool_configs(config, budget, &nodes);
        check_memory(config, &wanted)?;
        let pools = nodes.into_iter().zip(&wanted);
        let pools = pools.map(|(node, wanted)| Ok((node, Mempool::create(eal, wanted)?)));
        Ok(Self {
            pools: pools.collect::<Result<_, RunError>>()?,
        })
    }

    fn of(&self, node: Node) -> &Mempool {
        let own = self.pools.iter().find(|(of, _)| *of == node);
        &own.unwrap_or(&self.pools[0]).1
    }

    /// Buffers that are not back.
    pub(super) fn in_use(&self) -> u32 {
        self.pools.iter().map(|(_, pool)| pool.in_use()).sum()
    }
}

/// The pools for ports on these nodes: together as large as configured, or as can be needed.
pub(super) fn pool_configs(
    config: &Config,
    budget: &PacketBudget,
    nodes: &[Node],
) -> Vec<MempoolConfig> {
    let buffers = config.buffers.packets.unwrap_or(budget.buffers);
    let pools = nodes.len().max(1) as u32;
    let pool = |(index, node): (usize, &Node)| MempoolConfig {
        name: match pools {
            1 => MempoolConfig::default().name,
            _ => format!("packets{index}"),
        },
        buffers: buffers.div_ceil(pools),
        mtu: budget.mtu,
        lcores: budget.threads,
        cache: budget.cache,
        held: budget.held.div_ceil(pools),
        numa_node: *node,
    };
    nodes.iter().enumerate().map(pool).collect()
}

/// Whether the configured memory holds the packets. The check of the configuration has asked
/// already, with an estimate of its own; this is the pools'.
pub(super) fn check_memory(config: &Config, pools: &[MempoolConfig]) -> Result<(), RunError> {
    let configured = config.dpdk.memory >> 20;
    let needed = pools.iter().map(|pool| u64::from(pool.memory_mib())).sum();
    if needed > configured {
        return Err(RunError::Memory {
            configured,
            needed,
            buffers: pools.iter().map(|pool| pool.buffers).sum(),
        });
    }
    Ok(())
}

/// Opens the ports.
pub(super) fn open(
    config: &Config,
    eal: &Eal,
    pools: &Pools,
    planned: &Planned,
) -> Result<Vec<Port>, RunError> {
    let plans = planned.plans.iter().zip(&planned.queues);
    let ports = config.ports.iter().zip(plans).zip(planned.nodes());
    ports
        .map(|((port, (plan, queues)), node)| {
            let wanted = PortConfig {
                rx_queues: queues.rx,
                tx_queues: queues.tx,
                rx_descriptors: port.rx_descriptors,
                tx_descriptors: port.tx_descriptors,
                mtu: port.mtu,
                mac: port.mac,
                // Each buffer holds a frame, so frames need not be received in pieces, which is
                // slower with some drivers.
                offloads: Offloads {
                    rx_chains: false,
                    ..Offloads::ALL
                },
                isolated: plan.isolated,
                reta: reta(plan),
                rss_key: plan.rest.key.clone(),
            };
            Ok(Port::open(eal, &port.device, &wanted, pools.of(node))?)
        })
        .collect()
}

/// The queues that a redirection table is to name. Drivers fill theirs with all queues in turn, so
/// only another choice need be made.
fn reta(plan: &Plan) -> Option<Vec<u16>> {
    let all = plan.rest.queues.len() == plan.queues.len();
    (plan.rest.by == RestBy::Table && !all).then(|| plan.rest.queues.clone())
}

/// Starts the ports.
pub(super) fn start(config: &Config, ports: &mut [Port]) -> Result<Vec<PortQueues>, RunError> {
    let each = ports.iter_mut().zip(&config.ports);
    each.map(|(port, config)| {
        let queues = port.start()?;
        report::log_started(port, config);
        Ok(queues)
    })
    .collect()
}
