//! Deals the queues of started ports to workers and receivers.
//!
//! *In*: the queues of each port, and the plans, which say who serves which receive queue. *Out*:
//! for each worker and receiver one [`PortIo`] a port, and the layout for the stages that depend on
//! it. A worker without a receive queue gets frames from others, one without a transmit queue
//! borrows another's.

use dpdk_io::{DpdkError, NumaNode, Port, PortQueues as Started, Queue, RxQueue, TxQueue};
use flow_rules::plan::{Class, Destination, Plan, Replies};
use netstack::io::{Capabilities, Rss};
use proxy::assemble::Queues;
use proxy::config::{Config, SteeringConfig};
use proxy::layout::{Layout, PortLayout};
use proxy::port_queues::PortQueues;

use super::RunError;
use super::placement::{self, Node};

/// All queues of a port that one thread has to do with.
pub(super) type PortIo = PortQueues<Queue>;

/// Where the threads run.
pub(super) struct Threads {
    /// The node of each worker.
    pub(super) workers: Vec<Node>,
    /// The node of each receiver.
    pub(super) receivers: Vec<Node>,
}

/// Deals the queues. `plans` are in force: what devices refused is not in them any more.
pub(super) fn deal(
    config: &Config,
    ports: &[Port],
    started: Vec<Started>,
    plans: &[Plan],
    threads: &Threads,
) -> Result<Queues<PortIo>, RunError> {
    let receives = !threads.receivers.is_empty();
    let mut queues = Queues {
        layout: layout(config, ports, plans, threads),
        workers: threads.workers.iter().map(|_| Vec::new()).collect(),
        receivers: threads.receivers.iter().map(|_| Vec::new()).collect(),
    };
    for ((port, started), plan) in ports.iter().zip(started).zip(plans) {
        let mut rx = split(started.rx, plan);
        let mut tx = started.tx.into_iter();
        if receives {
            for (ios, rx) in queues.receivers.iter_mut().zip(&mut rx) {
                let rx = core::mem::take(rx);
                ios.push(join(port, rx, None)?);
            }
        }
        let mut dealt: Vec<PortIo> = Vec::with_capacity(queues.workers.len());
        let mut lenders = 0;
        for worker in 0..queues.workers.len() {
            let own = if receives {
                Vec::new()
            } else {
                rx.get_mut(worker).map(core::mem::take).unwrap_or_default()
            };
            let tx = tx.next();
            let borrows = tx.is_none();
            let mut io = join(port, own, tx)?;
            if borrows && lenders > 0 {
                io.borrow_from(&mut dealt[worker % lenders]);
            } else {
                lenders += 1;
            }
            dealt.push(io);
        }
        for (ios, io) in queues.workers.iter_mut().zip(dealt) {
            ios.push(io);
        }
    }
    Ok(queues)
}

/// The receive queues of each of those who receive.
fn split(rx: Vec<RxQueue>, plan: &Plan) -> Vec<Vec<RxQueue>> {
    let mut split: Vec<Vec<RxQueue>> = (0..plan.workers).map(|_| Vec::new()).collect();
    for queue in rx {
        let worker = plan.worker_of(queue.index()).unwrap_or_default();
        if let Some(queues) = split.get_mut(usize::from(worker)) {
            queues.push(queue);
        }
    }
    split
}

/// The queues of one thread as one.
fn join(port: &Port, rx: Vec<RxQueue>, tx: Option<TxQueue>) -> Result<PortIo, DpdkError> {
    let mut rx = rx.into_iter();
    let first = match (rx.next(), tx) {
        (Some(rx), Some(tx)) => Queue::pair(rx, tx)?,
        (Some(rx), None) => Queue::receiving(rx),
        (None, Some(tx)) => Queue::sending(tx),
        (None, None) => Queue::lending(port),
    };
    Ok(PortQueues::new(first, rx.map(Queue::receiving)))
}

fn layout(config: &Config, ports: &[Port], plans: &[Plan], threads: &Threads) -> Layout {
    let steering = &config.steering;
    let receives = !threads.receivers.is_empty();
    let pairing = config.runtime.pairing;
    let receivers = threads.receivers.iter();
    let each = plans.iter().zip(ports);
    Layout {
        ports: each
            .map(|(plan, port)| port_layout(plan, &port.capabilities(), receives))
            .collect(),
        receivers: receivers
            .map(|node| placement::paired(pairing, *node, &threads.workers))
            .collect(),
        connection_packets: None,
        flows: steering.flow_capacity(config.limits.max_sessions),
        handover: steering.handover as usize,
        vxlan_port: steering.vxlan_port,
    }
}

/// What workers must know of a port. `receives` says whether threads of their own receive.
fn port_layout(plan: &Plan, capabilities: &Capabilities, receives: bool) -> PortLayout {
    let shared = !receives && leaves_out_workers(plan);
    let foreseen = |class| {
        if shared || receives {
            // Whoever receives knows the owner of a reply.
            return None;
        }
        let rss = capabilities.rss.as_ref()?;
        match plan.replies(class)? {
            Replies::ByPort => by_worker(rss, plan),
            Replies::Worker(_) | Replies::Unforeseen => None,
        }
    };
    let [tcp_v4, tcp_v6] = SteeringConfig::SERVED.map(foreseen);
    // An IP version without an address has no flows.
    let is_settled = |class: Class, rss: &Option<Rss>| plan.class(class).is_none() || rss.is_some();
    let [v4, v6] = SteeringConfig::SERVED;
    let alone = plan.workers == 1 && !receives;
    PortLayout {
        shared,
        settled: alone || is_settled(v4, &tcp_v4) && is_settled(v6, &tcp_v6),
        tcp_v4,
        tcp_v6,
    }
}

/// Whether some worker has no queue for a class that workers serve.
fn leaves_out_workers(plan: &Plan) -> bool {
    let served = SteeringConfig::SERVED.iter();
    let mut classes = served.filter_map(|class| plan.class(*class));
    classes.any(|class| class.destinations.contains(&Destination::HandedOver))
}

/// The same hash, with workers in place of their queues.
fn by_worker(rss: &Rss, plan: &Plan) -> Option<Rss> {
    let workers = rss.reta.iter().map(|queue| plan.worker_of(*queue));
    Some(Rss {
        key: rss.key.clone(),
        reta: workers.collect::<Option<_>>()?,
    })
}

/// Warns of packets that cross from one node to another.
pub(super) fn warn_of_crossings(
    config: &Config,
    port_nodes: &[Node],
    plans: &[Plan],
    threads: &Threads,
) {
    let name = |kind: &str, lcores: &[u16], index: usize| {
        let lcore = lcores.get(index).copied().unwrap_or_default();
        format!("{kind} {index} (lcore {lcore})")
    };
    let worker = |index| name("worker", &config.runtime.lcores, index);
    let receiver = |index| name("receiver", &config.runtime.rx_lcores, index);
    let (kind, nodes): (&dyn Fn(usize) -> String, &[Option<NumaNode>]) =
        if threads.receivers.is_empty() {
            (&worker, &threads.workers)
        } else {
            (&receiver, &threads.receivers)
        };
    for (plan, port) in plans.iter().zip(port_nodes) {
        for (index, node) in nodes.iter().enumerate() {
            let mut serving = plan.queues.iter().map(|queue| usize::from(queue.worker));
            if !serving.any(|worker| worker == index) {
                continue;
            }
            let from = format!("port {:?}", plan.port);
            warn_of(placement::crossing((&from, *port), (&kind(index), *node)));
        }
    }
    for (index, node) in threads.receivers.iter().enumerate() {
        for to in placement::paired(config.runtime.pairing, *node, &threads.workers) {
            let to = usize::from(to);
            let ends = (receiver(index), worker(to));
            let to_node = threads.workers[to];
            warn_of(placement::crossing((&ends.0, *node), (&ends.1, to_node)));
        }
    }
}

fn warn_of(crossing: Option<placement::Crossing>) {
    if let Some(crossing) = crossing {
        tracing::warn!("{crossing}");
    }
}
