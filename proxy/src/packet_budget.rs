//! How many packet buffers a configuration needs, and how much memory they take.
//!
//! *In*: workers, ports and their queues. *Out*: a [`PacketBudget`], plain numbers that need no DPDK, so that a
//! configuration which cannot run is refused where it is checked. All ports and workers share one
//! pool; a pool that is too small would show as packets lost under load.
//!
//! The pool itself is made, and its memory asked for, by `dpdk-io`, which has the last word: a
//! device may want more descriptors than it was told. The figures here are the same otherwise, and
//! a test of `weirgate run` compares them.

use netstack::io::BURST_SIZE;

use crate::config::PortConfig;

/// Buffers that each thread keeps at hand.
const CACHE: u32 = 128;

/// Frames that a worker may hold for each port while they wait to be sent.
const HELD_PER_PORT: u64 = 1024;

/// What a worker's connections may hold if nobody says: at least so much, whatever the memory, so
/// that some hundred connections get on; and no more than that, which fills a path of 10 Gbit/s
/// and 40 ms.
const CONNECTIONS_PER_WORKER: core::ops::RangeInclusive<u64> = 2048..=32_768;

/// Packets that a worker may hold otherwise, beside those handed over to it: on their way out, waiting
/// for neighbors.
const HELD_PER_WORKER: u64 = 3072;

/// What the allocator needs for itself.
const POOL_OVERHEAD: u64 = 16 << 20;

/// Buffers of a queue of either direction besides its descriptors: a burst.
const BURST: u64 = BURST_SIZE as u64;

/// Buffers that a receive queue keeps to lend; so does a worker without one, for each port.
const SPARE: u64 = 32;

/// AF_XDP fixes the size of its rings: 2048 each way, and as many to refill or to complete.
const AF_XDP_RINGS: u64 = 2 * 2048;

/// How many queues a port has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct QueueCounts {
    /// Receive queues.
    pub rx: u16,
    /// Transmit queues.
    pub tx: u16,
}

/// The threads that handle packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Threads {
    /// Workers.
    pub workers: usize,
    /// Threads that only receive.
    pub receivers: usize,
    /// Packets that may wait on the way from one thread to a worker.
    pub handover: u32,
}

/// What packets need. Figures too large for their types are the largest there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketBudget {
    /// Octets of the largest IP packet on any port: each buffer holds one.
    pub mtu: u16,
    /// Workers, which share what connections may hold.
    pub workers: u32,
    /// Threads that keep buffers for themselves.
    pub threads: u32,
    /// Buffers that each of those threads keeps; it may keep half as many more.
    pub cache: u32,
    /// Buffers that workers hold at most in their connections, lanes, queues and tables, all
    /// together.
    pub held: u32,
    /// Of these, what the native engine's connections hold at most.
    pub connections: u32,
    /// Buffers that can be out at the same time: the pool needs as many.
    pub buffers: u32,
}

impl PacketBudget {
    /// What these threads and `ports` need, of which each has as many queues as `queues` says in the
    /// same place.
    pub fn new(threads: Threads, ports: &[PortConfig], queues: &[QueueCounts]) -> Self {
        let (workers, others) = (threads.workers as u64, threads.receivers as u64);
        // One ring into each worker may be full. Where several are, it is overloaded, and what
        // comes to it is better lost than kept.
        let handed_over = u64::from(threads.handover);
        let per_port = HELD_PER_PORT + SPARE;
        let per_worker = ports.len() as u64 * per_port + HELD_PER_WORKER + handed_over;
        let held = workers * per_worker;
        // The control thread is one of DPDK's too.
        let threads = workers + others + 1;
        let cached = threads * u64::from(CACHE * 3 / 2);
        let ports_and_queues = ports.iter().zip(queues);
        let queues: u64 = ports_and_queues
            .map(|(port, queues)| in_queues(port, *queues))
            .sum();
        let mtu = ports.iter().map(|port| port.mtu).max();
        Self {
            mtu: mtu.unwrap_or(PortConfig::DEFAULT_MTU),
            threads: saturated(threads),
            cache: CACHE,
            held: saturated(held),
            connections: 0,
            workers: saturated(workers),
            buffers: saturated(cached + held + queues),
        }
    }

    /// The same, with connections that hold up to so many buffers beside.
    pub fn with_connections(self, connections: u32) -> Self {
        Self {
            held: (self.held - self.connections).saturating_add(connections),
            buffers: (self.buffers - self.connections).saturating_add(connections),
            connections,
            ..self
        }
    }

    /// The same, with connections that hold what a pool of `packets` has beside all others, within
    /// reason.
    pub fn filling(self, packets: u32) -> Self {
        let workers = u64::from(self.workers.max(1));
        let others = self.buffers - self.connections;
        let left = u64::from(packets.saturating_sub(others));
        let (least, most) = CONNECTIONS_PER_WORKER.into_inner();
        self.with_connections(saturated(left.clamp(workers * least, workers * most)))
    }

    /// How many buffers may be in a pool without its taking more than three quarters of `memory`
    /// octets.
    pub fn packets_in(&self, memory: u64) -> u32 {
        let room = (memory / 4 * 3).saturating_sub(POOL_OVERHEAD);
        saturated(room / 9 * 8 / self.buffer_len())
    }

    /// Memory for a pool of so many buffers, in MiB; an upper estimate.
    pub fn memory_mib(&self, buffers: u32) -> u64 {
        // Buffers do not straddle pages.
        let pool = u64::from(buffers) * self.buffer_len() * 9 / 8 + POOL_OVERHEAD;
        pool.div_ceil(1 << 20)
    }

    /// Octets that a buffer takes.
    fn buffer_len(&self) -> u64 {
        // Headroom, frame with two VLAN tags and check sequence, in whole cache lines; many NICs
        // count buffers in units of 2 KiB.
        let frame = (u64::from(self.mtu) + 26).max(2048).next_multiple_of(64);
        // The mbuf structure, the pool's header and padding, places in rings; and the same for a
        // reference, by which another packet has the buffer's payload attached.
        128 + frame + 2 * 288
    }
}

/// The most buffers that the queues of a port can hold.
fn in_queues(port: &PortConfig, queues: QueueCounts) -> u64 {
    let of_direction = |queues: u16, descriptors: u16, besides: u64| {
        let rings = if port.device.starts_with("net_af_xdp") {
            u64::from(descriptors).max(AF_XDP_RINGS)
        } else {
            u64::from(descriptors)
        };
        u64::from(queues) * (rings + besides)
    };
    of_direction(queues.rx, port.rx_descriptors, BURST + SPARE)
        + of_direction(queues.tx, port.tx_descriptors, BURST)
}

fn saturated(figure: u64) -> u32 {
    u32::try_from(figure).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(device: &str, mtu: u16) -> PortConfig {
        PortConfig {
            name: "edge".to_owned(),
            device: device.to_owned(),
            mac: None,
            mtu,
            addresses: Vec::new(),
            routes: Vec::new(),
            rx_descriptors: 512,
            tx_descriptors: 256,
        }
    }

    /// What so many workers need with a queue pair of each port.
    fn budget(workers: u16, ports: &[PortConfig]) -> PacketBudget {
        let threads = Threads {
            workers: workers.into(),
            receivers: 0,
            handover: 1024,
        };
        let (rx, tx) = (workers, workers);
        PacketBudget::new(threads, ports, &vec![QueueCounts { rx, tx }; ports.len()])
    }

    #[test]
    fn all_that_can_hold_a_buffer_is_counted() {
        let ports = [port("net_af_packet0", 1500), port("net_af_xdp0", 9000)];
        let budget = budget(2, &ports);
        let queues = 2 * (512 + 256 + 160 + 4 * 2048 + 160);
        let held: u32 = 2 * (2 * (1024 + 32) + 3072 + 1024);
        let expected = PacketBudget {
            mtu: 9000,
            workers: 2,
            threads: 3,
            cache: 128,
            held,
            connections: 0,
            buffers: 3 * 192 + held + queues,
        };
        assert_eq!(budget, expected);
    }

    #[test]
    fn receivers_and_queues_are_counted_each() {
        let with = |receivers, rx, tx| {
            let threads = Threads {
                workers: 1,
                receivers,
                handover: 64,
            };
            let ports = [port("net_ring0", 1500)];
            PacketBudget::new(threads, &ports, &[QueueCounts { rx, tx }])
        };
        let one = with(0, 1, 1);
        assert_eq!(with(0, 3, 1).buffers, one.buffers + 2 * (512 + 96));
        assert_eq!(with(0, 1, 2).buffers, one.buffers + 256 + 64);
        let two = with(1, 1, 1);
        assert_eq!((two.workers, two.threads), (1, 3));
        assert_eq!(two.buffers, one.buffers + 192);
        assert_eq!(two.filling(0).connections, one.filling(0).connections);
    }

    #[test]
    fn memory_grows_with_buffers_and_mtu() {
        let memory = |mtu, buffers| {
            let ports = [port("net_ring0", mtu)];
            budget(1, &ports).memory_mib(buffers)
        };
        assert_eq!(memory(1500, 0), 16);
        // A buffer and a reference to it of 2752 octets, and an eighth more.
        assert_eq!(memory(1500, 1 << 20), 3096 + 16);
        assert_eq!(memory(9000, 1 << 20), 9792 * 9 / 8 + 16);
    }

    #[test]
    fn connections_get_what_others_leave() {
        let budget = budget(2, &[port("net_ring0", 1500)]);
        let with = budget.with_connections(1000);
        assert_eq!(
            (with.held, with.buffers),
            (budget.held + 1000, budget.buffers + 1000)
        );
        assert_eq!(with.with_connections(0), budget);
        let filling = |packets| budget.filling(packets).connections;
        assert_eq!(filling(0), 2 * 2048);
        assert_eq!(filling(budget.buffers + 10_000), 10_000);
        assert_eq!(filling(u32::MAX), 2 * 32_768);
    }

    #[test]
    fn a_computed_pool_fits_its_memory() {
        for mtu in [1500, 9000] {
            let budget = budget(1, &[port("net_ring0", mtu)]);
            let packets = budget.packets_in(256 << 20);
            let needed = budget.memory_mib(packets);
            assert!((190..=192).contains(&needed), "{needed}");
            assert_eq!(budget.packets_in(1 << 20), 0);
        }
    }

    #[test]
    fn figures_that_are_too_large_stay_too_large() {
        let ports = vec![port("net_ring0", 1500); 100_000];
        let budget = budget(128, &ports);
        assert_eq!(budget.buffers, u32::MAX);
        assert!(budget.memory_mib(budget.buffers) > 4 << 20);
    }
}
