//! Mempools: all packet buffers of a program, made once and never more.
//!
//! A pool is sized from the configuration. What its users can hold at the same time is a
//! [`BufferDemand`]; each port reserves its own when it is opened, and one that does not fit is an
//! error with the figures. So a pool that is too small shows at the start and not as packets lost
//! under load.
//!
//! There may be several pools, such as one for each NUMA node with ports. A port receives into
//! buffers of its own, and sends those of any.
//!
//! With each pool goes one of references, small structures by which packets have the payload of
//! others attached ([`netstack::io::PacketBuf::attach`]): as many as there are buffers. That is
//! enough for each buffer to be on its way in one packet. When there are none left, payload is
//! copied, so nobody reserves them.

use core::fmt;
use core::ptr::{self, NonNull};
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use netstack::io::BURST_SIZE;

use crate::eal::{Eal, EalHandle};
use crate::error::{DpdkError, Errno};
use crate::mbuf::Mbuf;
use crate::numa::{self, NumaNode};

/// Octets that a frame has besides its MTU: Ethernet header, two VLAN tags, frame check sequence.
const FRAME_OVERHEAD: u16 = 14 + 2 * 4 + 4;
/// The least room for frame data: many NICs count their buffers in units of 2 KiB.
const LEAST_ROOM: u16 = 2048;
/// Octets before the data of a fresh buffer.
const HEADROOM: u16 = dpdk_sys::RTE_PKTMBUF_HEADROOM as u16;
/// The largest MTU for which a buffer can be made.
const LARGEST_MTU: u16 = u16::MAX - HEADROOM - FRAME_OVERHEAD - CACHE_LINE;
const CACHE_LINE: u16 = 64;
/// How many buffers a queue keeps at hand, so that it asks the pool once for many.
pub(crate) const SPARE_BUFFERS: usize = 32;

/// How a pool is to be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MempoolConfig {
    /// A name of at most 24 characters, not used by another pool.
    pub name: String,
    /// How many buffers. `2^n - 1` uses memory best.
    pub buffers: u32,
    /// The largest MTU of its ports: each buffer holds one frame of it.
    pub mtu: u16,
    /// How many threads of DPDK use it: the lcores, and the control thread.
    pub lcores: u32,
    /// Buffers that each of those threads keeps for itself, at most 512.
    pub cache: u32,
    /// Buffers that the program itself may hold at once: what waits in its tables and queues, up
    /// to 32 in each [`Queue`](crate::Queue) without an RX queue, and what is in TX descriptors of
    /// ports that have another pool.
    pub held: u32,
    /// The NUMA node for its memory; `None` for any. Without huge pages the kernel chooses, and
    /// this is only checked.
    pub numa_node: Option<NumaNode>,
}

impl Default for MempoolConfig {
    /// 8191 buffers for Ethernet's usual MTU, and one thread with a cache of 256.
    fn default() -> Self {
        Self {
            name: "packets".to_owned(),
            buffers: 8191,
            mtu: 1500,
            lcores: 1,
            cache: 256,
            held: 0,
            numa_node: None,
        }
    }
}

impl MempoolConfig {
    /// What the pool needs without any port.
    pub fn demand(&self) -> BufferDemand {
        BufferDemand {
            lcores: self.lcores,
            cache: self.cache,
            held: self.held,
            ..BufferDemand::default()
        }
    }

    /// Memory that the pool takes, in MiB; an upper estimate to configure the EAL with.
    pub fn memory_mib(&self) -> u32 {
        // Of each buffer: the mbuf structure, the pool's header and padding, its places in rings.
        // A reference is just that.
        const OVERHEAD: u64 = 128 + 64 + 64 + 32;
        // Buffers do not straddle pages, and the allocator has its own need.
        const ALLOCATOR: u64 = 16 << 20;
        let octets = u64::from(self.buffers) * (u64::from(self.data_room()) + 2 * OVERHEAD);
        (octets * 9 / 8 + ALLOCATOR).div_ceil(1 << 20) as u32
    }

    /// Octets of a buffer: headroom and room for a frame.
    fn data_room(&self) -> u16 {
        let frame = self.mtu.min(LARGEST_MTU) + FRAME_OVERHEAD;
        HEADROOM + frame.max(LEAST_ROOM).next_multiple_of(CACHE_LINE)
    }
}

/// How many buffers something can hold at once; the parts that are 0 need nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BufferDemand {
    /// RX queues.
    pub rx_queues: u16,
    /// Descriptors of each RX queue: the device holds a buffer in each.
    pub rx_descriptors: u16,
    /// TX queues.
    pub tx_queues: u16,
    /// Descriptors of each TX queue: the device may keep what it has sent.
    pub tx_descriptors: u16,
    /// Threads that keep buffers for themselves.
    pub lcores: u32,
    /// Buffers that such a thread keeps on average; it may keep half as many more.
    pub cache: u32,
    /// Buffers that the program holds.
    pub held: u32,
}

impl BufferDemand {
    /// Buffers of an RX queue besides its descriptors: a burst, and spare ones to lend.
    const PER_RX_QUEUE: u32 = (BURST_SIZE + SPARE_BUFFERS) as u32;
    /// Buffers of a TX queue besides its descriptors: a burst.
    const PER_TX_QUEUE: u32 = BURST_SIZE as u32;

    /// The sum.
    pub fn total(&self) -> u32 {
        let parts = [
            u32::from(self.rx_queues) * Self::PER_RX_QUEUE,
            u32::from(self.tx_queues) * Self::PER_TX_QUEUE,
            self.lcores.saturating_mul(self.full_cache()),
            self.held,
        ];
        let sum = |total: u32, part| total.saturating_add(part);
        parts.into_iter().fold(self.in_descriptors(), sum)
    }

    /// What the device holds in the descriptors of all queues.
    pub(crate) fn in_descriptors(&self) -> u32 {
        let rx = u32::from(self.rx_queues) * u32::from(self.rx_descriptors);
        let tx = u32::from(self.tx_queues) * u32::from(self.tx_descriptors);
        rx.saturating_add(tx)
    }

    /// DPDK lets a cache grow to one and a half times its size before it gives buffers back.
    fn full_cache(&self) -> u32 {
        self.cache.saturating_mul(3) / 2
    }
}

impl fmt::Display for BufferDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if self.rx_queues > 0 {
            let (queues, descriptors) = (self.rx_queues, self.rx_descriptors);
            let besides = Self::PER_RX_QUEUE;
            write!(
                f,
                "{queues} RX queues x ({descriptors} descriptors + {besides} in bursts and spare)"
            )?;
            separator = " + ";
        }
        if self.tx_queues > 0 {
            let (queues, descriptors) = (self.tx_queues, self.tx_descriptors);
            let besides = Self::PER_TX_QUEUE;
            write!(
                f,
                "{separator}{queues} TX queues x ({descriptors} descriptors + {besides} in bursts)"
            )?;
            separator = " + ";
        }
        if self.lcores > 0 {
            let cache = self.full_cache();
            write!(f, "{separator}{} threads x {cache} cached", self.lcores)?;
            separator = " + ";
        }
        if self.held > 0 {
            write!(f, "{separator}{} held by the program", self.held)?;
        }
        Ok(())
    }
}

/// A pool of packet buffers. Clones are handles to the same pool.
///
/// Its memory stays until [`Eal::shutdown`], which refuses while a buffer is out.
#[derive(Clone, Debug)]
pub struct Mempool {
    shared: Arc<PoolShared>,
}

#[derive(Debug)]
struct PoolShared {
    raw: RawPool,
    references: RawPool,
    config: MempoolConfig,
    /// Buffers promised, at most `config.buffers`.
    reserved: AtomicU32,
    /// Invariant 1 of [`RawPool`].
    _eal: EalHandle,
}

/// The pool as DPDK knows it.
///
/// # Invariants
/// 1. Points to a pool that `rte_pktmbuf_pool_create` or `dpdk_shim_pool_create` made. It is never
///    freed before `rte_eal_cleanup`, so it is valid as long as an `EalHandle` or a buffer of it is
///    there.
/// 2. The pool is for several producers and consumers: its functions may be called on any thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawPool(NonNull<dpdk_sys::rte_mempool>);

// SAFETY: invariant 2.
unsafe impl Send for RawPool {}
// SAFETY: invariant 2.
unsafe impl Sync for RawPool {}

impl Mempool {
    /// Makes a pool.
    ///
    /// # Errors
    /// If the caches and what the program holds exceed the pool already, a figure is out of
    /// range, the name is taken, or the EAL has not enough memory, on that node or at all.
    pub fn create(eal: &Eal, config: &MempoolConfig) -> Result<Self, DpdkError> {
        config.check()?;
        config.check_node(NumaNode::with_memory(Path::new(numa::SYSTEM)))?;
        let references = RawPool::create_references(config)?;
        let eal = eal.handle();
        eal.resources().pools.push(references);
        let raw = RawPool::create(config, references)?;
        eal.resources().pools.push(raw);
        let pool = Self {
            shared: Arc::new(PoolShared {
                raw,
                references,
                config: config.clone(),
                reserved: AtomicU32::new(0),
                _eal: eal,
            }),
        };
        pool.reserve("the pool itself", &config.demand())?;
        Ok(pool)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// The largest MTU of which a frame fits one buffer.
    pub fn mtu(&self) -> u16 {
        self.shared.config.mtu
    }

    /// How many buffers are out: with the program, in devices' rings, spare in queues.
    pub fn in_use(&self) -> u32 {
        self.shared.raw.in_use()
    }

    /// How many references are out: payloads attached to packets that are not freed yet.
    pub fn references_in_use(&self) -> u32 {
        self.shared.references.in_use()
    }

    /// How many buffers could be lent now, if asked for by all threads.
    pub fn available(&self) -> u32 {
        // SAFETY: invariants 1 and 2 of `RawPool`; `_eal` is the handle.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw().as_ptr()) }
    }

    /// Lends one buffer, or `None` if there is none. Queues lend faster, for the packet path.
    pub fn alloc(&self) -> Option<Mbuf> {
        self.shared.raw.alloc()
    }

    /// Octets from the start of a frame to the end of its buffer.
    pub(crate) fn frame_room(&self) -> usize {
        usize::from(self.shared.config.data_room() - HEADROOM)
    }

    pub(crate) fn raw(&self) -> RawPool {
        self.shared.raw
    }

    /// Promises the buffers of `demand` to `subject`.
    pub(crate) fn reserve(&self, subject: &str, demand: &BufferDemand) -> Result<(), DpdkError> {
        let buffers = self.shared.config.buffers;
        let needed = demand.total();
        let promise = |reserved: u32| {
            let sum = reserved.checked_add(needed)?;
            (sum <= buffers).then_some(sum)
        };
        self.shared
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, promise)
            .map(|_| ())
            .map_err(|reserved| DpdkError::PoolTooSmall {
                pool: self.name().to_owned(),
                buffers,
                reserved,
                subject: subject.to_owned(),
                needed,
                demand: *demand,
            })
    }

    /// Takes a promise back.
    pub(crate) fn release(&self, demand: &BufferDemand) {
        let reserved = &self.shared.reserved;
        reserved.fetch_sub(demand.total(), Ordering::Relaxed);
    }
}

impl RawPool {
    /// The pool of buffers, whose references come from `references`.
    fn create(config: &MempoolConfig, references: Self) -> Result<Self, DpdkError> {
        const CALL: &str = "rte_mempool_create_empty";
        let name = pool_name(CALL, config, "")?;
        // SAFETY: the name is terminated and copied; the numbers are checked by DPDK; invariant 1
        // for `references`. All buffers are plain mbufs, without private data.
        let raw = unsafe {
            dpdk_sys::dpdk_shim_pool_create(
                name.as_ptr(),
                config.buffers,
                config.cache,
                config.data_room(),
                references.as_ptr(),
                NumaNode::to_dpdk(config.numa_node),
            )
        };
        Self::created(raw, CALL, config)
    }

    /// The pool of references: mbufs without room for data.
    fn create_references(config: &MempoolConfig) -> Result<Self, DpdkError> {
        const CALL: &str = "rte_pktmbuf_pool_create";
        let name = pool_name(CALL, config, REFERENCES_SUFFIX)?;
        // SAFETY: the name is terminated and copied; the numbers are checked by DPDK.
        let raw = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                name.as_ptr(),
                config.buffers,
                config.cache,
                0,
                0,
                NumaNode::to_dpdk(config.numa_node),
            )
        };
        Self::created(raw, CALL, config)
    }

    fn created(
        raw: *mut dpdk_sys::rte_mempool,
        call: &'static str,
        config: &MempoolConfig,
    ) -> Result<Self, DpdkError> {
        NonNull::new(raw).map(Self).ok_or_else(|| {
            let error = DpdkError::last(call, &format!("mempool `{}`", config.name));
            config.explain(error)
        })
    }

    /// The pool for DPDK.
    pub(crate) fn as_ptr(self) -> *mut dpdk_sys::rte_mempool {
        self.0.as_ptr()
    }

    /// How many buffers are out.
    pub(crate) fn in_use(&self) -> u32 {
        // SAFETY: invariants 1 and 2; whoever calls has a handle of the EAL.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.as_ptr()) }
    }

    /// One buffer.
    pub(crate) fn alloc(self) -> Option<Mbuf> {
        let mut raw = ptr::null_mut();
        // SAFETY: invariants 1 and 2, and room for the one buffer asked for.
        let code = unsafe { dpdk_sys::dpdk_shim_mbuf_alloc_bulk(self.as_ptr(), &raw mut raw, 1) };
        let raw = NonNull::new(raw).filter(|_| code == 0)?;
        // SAFETY: a buffer that DPDK just lent is owned by the caller, whole and unshared.
        Some(unsafe { Mbuf::from_raw(raw) })
    }

    /// [`SPARE_BUFFERS`] buffers in front of `spare`, or none.
    pub(crate) fn alloc_spare(self, spare: &mut Vec<Mbuf>) {
        let mut raw = [ptr::null_mut(); SPARE_BUFFERS];
        let count = raw.len() as u32;
        // SAFETY: invariants 1 and 2, and room for the buffers asked for.
        let code =
            unsafe { dpdk_sys::dpdk_shim_mbuf_alloc_bulk(self.as_ptr(), raw.as_mut_ptr(), count) };
        if code != 0 {
            return;
        }
        for raw in raw.into_iter().filter_map(NonNull::new) {
            // SAFETY: a buffer that DPDK just lent is owned by the caller, whole and unshared.
            spare.push(unsafe { Mbuf::from_raw(raw) });
        }
    }
}

/// Invalid argument.
const EINVAL: i32 = 22;
/// What the name of a pool of references has more than that of its pool.
const REFERENCES_SUFFIX: &str = "&";

fn pool_name(
    call: &'static str,
    config: &MempoolConfig,
    suffix: &str,
) -> Result<CString, DpdkError> {
    CString::new(format!("{}{suffix}", config.name))
        .map_err(|_| DpdkError::returned(call, &config.name, -EINVAL))
}

impl MempoolConfig {
    /// Refuses what DPDK would answer with a bare error number.
    fn check(&self) -> Result<(), DpdkError> {
        let range = |what, value, least, most| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(DpdkError::OutOfRange {
                what,
                subject: self.name.clone(),
                value,
                least,
                most,
            })
        };
        range("the MTU", u32::from(self.mtu), 68, u32::from(LARGEST_MTU))?;
        range("the number of buffers", self.buffers, 1, i32::MAX as u32)?;
        // A cache that could hold the whole pool is refused by DPDK.
        let most = (self.buffers / 3 * 2).min(dpdk_sys::RTE_MEMPOOL_CACHE_MAX_SIZE);
        range("the cache", self.cache, 0, most)
    }

    /// Refuses a NUMA node without memory, if the kernel says which have some: without huge pages
    /// DPDK takes any other instead, and does not say so.
    fn check_node(&self, with_memory: Option<Vec<NumaNode>>) -> Result<(), DpdkError> {
        match (self.numa_node, with_memory) {
            (Some(node), Some(nodes)) if !nodes.contains(&node) => {
                Err(DpdkError::NumaNodeWithoutMemory {
                    pool: self.name.clone(),
                    node,
                    nodes,
                })
            }
            _ => Ok(()),
        }
    }

    /// Says more about an error of making the pool where its number allows.
    fn explain(&self, error: DpdkError) -> DpdkError {
        match (self.numa_node, &error) {
            (
                Some(node),
                DpdkError::Call {
                    errno: Errno::ENOMEM,
                    ..
                },
            ) => DpdkError::NumaNodeFull {
                pool: self.name.clone(),
                node,
                needed_mib: self.memory_mib(),
            },
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_sums_up_and_shows_its_parts() {
        let demand = BufferDemand {
            rx_queues: 4,
            rx_descriptors: 1024,
            tx_queues: 2,
            tx_descriptors: 512,
            lcores: 5,
            cache: 256,
            held: 1000,
        };
        let queues = 4 * (1024 + 96) + 2 * (512 + 64);
        assert_eq!(demand.total(), queues + 5 * 384 + 1000);
        assert_eq!(demand.in_descriptors(), 4 * 1024 + 2 * 512);
        assert_eq!(
            demand.to_string(),
            "4 RX queues x (1024 descriptors + 96 in bursts and spare) + \
             2 TX queues x (512 descriptors + 64 in bursts) + \
             5 threads x 384 cached + 1000 held by the program"
        );
        let sending = BufferDemand {
            tx_queues: 1,
            tx_descriptors: 64,
            ..BufferDemand::default()
        };
        assert_eq!(
            sending.to_string(),
            "1 TX queues x (64 descriptors + 64 in bursts)"
        );
        let huge = BufferDemand {
            rx_queues: u16::MAX,
            rx_descriptors: u16::MAX,
            tx_queues: u16::MAX,
            tx_descriptors: u16::MAX,
            ..BufferDemand::default()
        };
        assert_eq!(huge.total(), u32::MAX);
        assert_eq!(BufferDemand::default().total(), 0);
    }

    #[test]
    fn a_buffer_has_room_for_a_frame_of_the_mtu() {
        for mtu in [68, 1500, 2048, 9000, LARGEST_MTU] {
            let config = MempoolConfig {
                mtu,
                ..MempoolConfig::default()
            };
            assert!(config.data_room() - HEADROOM >= mtu + 14, "{mtu}");
            config.check().unwrap();
        }
    }

    #[test]
    fn a_node_without_memory_is_told_with_those_that_have_some() {
        let on = |node| MempoolConfig {
            numa_node: Some(NumaNode(node)),
            ..MempoolConfig::default()
        };
        let nodes = || Some(vec![NumaNode(0), NumaNode(2)]);
        on(2).check_node(nodes()).unwrap();
        on(1).check_node(None).unwrap();
        MempoolConfig::default().check_node(nodes()).unwrap();
        assert_eq!(
            on(1).check_node(nodes()).unwrap_err().to_string(),
            "mempool `packets` cannot be on NUMA node 1, which has no memory: configure one that \
             has, 0 or 2, or none"
        );
        let full = DpdkError::returned("rte_mempool_create_empty", "mempool", -12);
        assert_eq!(
            on(1).explain(full.clone()).to_string(),
            "mempool `packets` needs 41 MiB, and DPDK has not as much on NUMA node 1: configure \
             more memory, fewer buffers or another node. Huge pages are reserved for each node \
             (`echo N > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages`)"
        );
        assert_eq!(MempoolConfig::default().explain(full.clone()), full);
    }

    #[test]
    fn figures_out_of_range_are_refused() {
        let config = MempoolConfig {
            cache: 513,
            ..MempoolConfig::default()
        };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "the cache of `packets` is 513: it must be 0 to 512"
        );
    }
}
