//! How many packet buffers a configuration needs, and how much memory they take.
//!
//! *In*: workers and ports. *Out*: a [`PacketBudget`], plain numbers that need no DPDK, so that a
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

/// Packets that a worker may hold otherwise: on their way out, handed over, waiting for neighbors.
const HELD_PER_WORKER: u64 = 4096;

/// What the allocator needs for itself.
const POOL_OVERHEAD: u64 = 16 << 20;

/// Buffers of a queue pair besides its descriptors: a burst each way, and those it keeps to lend.
const BURSTS_AND_SPARE: u64 = 2 * BURST_SIZE as u64 + 32;

/// AF_XDP fixes the size of its rings: 2048 each way, and as many to refill and to complete.
const AF_XDP_RINGS: u64 = 4 * 2048;

/// What packets need. Figures too large for their types are the largest there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketBudget {
    /// Octets of the largest IP packet on any port: each buffer holds one.
    pub mtu: u16,
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
    /// What so many workers with a queue pair of each of `ports` need.
    pub fn new(workers: usize, ports: &[PortConfig]) -> Self {
        let workers = workers as u64;
        // The control thread is one of DPDK's too.
        let threads = workers + 1;
        let held = workers * (ports.len() as u64 * HELD_PER_PORT + HELD_PER_WORKER);
        let cached = threads * u64::from(CACHE * 3 / 2);
        let queues = workers * ports.iter().map(queue_pair).sum::<u64>();
        let mtu = ports.iter().map(|port| port.mtu).max();
        Self {
            mtu: mtu.unwrap_or(PortConfig::DEFAULT_MTU),
            threads: saturated(threads),
            cache: CACHE,
            held: saturated(held),
            connections: 0,
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
        let workers = u64::from(self.threads.saturating_sub(1).max(1));
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

/// The most buffers that one queue pair of a port can hold.
fn queue_pair(port: &PortConfig) -> u64 {
    let descriptors = u64::from(port.rx_descriptors) + u64::from(port.tx_descriptors);
    let rings = if port.device.starts_with("net_af_xdp") {
        descriptors.max(AF_XDP_RINGS)
    } else {
        descriptors
    };
    rings + BURSTS_AND_SPARE
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

    #[test]
    fn all_that_can_hold_a_buffer_is_counted() {
        let ports = [port("net_af_packet0", 1500), port("net_af_xdp0", 9000)];
        let budget = PacketBudget::new(2, &ports);
        let queues = 2 * (512 + 256 + 160 + 4 * 2048 + 160);
        let expected = PacketBudget {
            mtu: 9000,
            threads: 3,
            cache: 128,
            held: 2 * (2 * 1024 + 4096),
            connections: 0,
            buffers: 3 * 192 + 2 * (2 * 1024 + 4096) + queues,
        };
        assert_eq!(budget, expected);
    }

    #[test]
    fn memory_grows_with_buffers_and_mtu() {
        let memory = |mtu, buffers| {
            let ports = [port("net_ring0", mtu)];
            PacketBudget::new(1, &ports).memory_mib(buffers)
        };
        assert_eq!(memory(1500, 0), 16);
        // A buffer and a reference to it of 2752 octets, and an eighth more.
        assert_eq!(memory(1500, 1 << 20), 3096 + 16);
        assert_eq!(memory(9000, 1 << 20), 9792 * 9 / 8 + 16);
    }

    #[test]
    fn connections_get_what_others_leave() {
        let budget = PacketBudget::new(2, &[port("net_ring0", 1500)]);
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
            let budget = PacketBudget::new(1, &[port("net_ring0", mtu)]);
            let packets = budget.packets_in(256 << 20);
            let needed = budget.memory_mib(packets);
            assert!((190..=192).contains(&needed), "{needed}");
            assert_eq!(budget.packets_in(1 << 20), 0);
        }
    }

    #[test]
    fn figures_that_are_too_large_stay_too_large() {
        let ports = vec![port("net_ring0", 1500); 100_000];
        let budget = PacketBudget::new(128, &ports);
        assert_eq!(budget.buffers, u32::MAX);
        assert!(budget.memory_mib(budget.buffers) > 4 << 20);
    }
}
