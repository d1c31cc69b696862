//! Ports: from a device's name to running queues.
//!
//! [`Port::open`] configures a device: what does not fit (queues, MTU, buffers) is an error before
//! the device is touched, and offloads are those that are both wanted and offered.
//! [`Port::start`] starts it and hands out its queues, RX and TX apart. The port itself stays with
//! the control thread: counters, link, promiscuous mode, stop.

mod mac;
mod setup;
mod steering;

use core::cell::Cell;
use core::marker::PhantomData;
use std::sync::Arc;

use dpdk_sys as sys;
use netstack::io::Capabilities;
use netstack::wire::ethernet::{self, MacAddr};

use crate::device;
use crate::driver::Traits;
use crate::eal::{Eal, EalHandle};
use crate::error::{DpdkError, check};
use crate::flow::{FlowError, RuleTable};
use crate::mempool::{BufferDemand, Mempool};
use crate::offload::{Granted, Offloads};
use crate::queue::{PortQueues, RxQueue, TxQueue};
use crate::rss::Key;
use crate::stats::{self, ExtendedStat, LinkState, PortStats, QueueStats};
use mac::{check_mac_address, set_mac_address};
pub use setup::PortConfig;
use setup::{adjust_descriptors, check_config, demand, offered, set_up_queues};
use steering::Steering;
pub use steering::SteeringFault;

/// The largest IP packet of which TSO can cut segments: its length field has 16 bits.
const LARGEST_IP_PACKET: usize = u16::MAX as usize;

/// An open device.
#[derive(Debug)]
pub struct Port {
    shared: Arc<PortShared>,
    config: PortConfig,
    /// What the driver calls itself.
    driver: String,
    mac: MacAddr,
    steering: Steering,
    /// Not `Sync`: DPDK's control functions of a port are for one thread at a time.
    not_sync: PhantomData<Cell<()>>,
}

/// What a port and its queues hold together.
///
/// # Invariants
/// 1. `id` is a port of the EAL that `claim` keeps, and no other `PortShared` has it.
/// 2. The port is configured, with `demand.rx_queues` RX and `demand.tx_queues` TX queues. It is
///    closed when this is dropped: when neither the port nor any queue is left.
/// 3. The port is stopped or started only while no queue exists: with this borrowed mutably
///    through its `Arc`, or before the queues are made.
/// 4. All mbufs it receives into come from `pool`, which outlives it.
/// 5. `rss_key` is the key that the port is configured with, if there is one: DPDK points to its
///    octets until the port is closed.
#[derive(Debug)]
pub(crate) struct PortShared {
    id: u16,
    name: String,
    pool: Mempool,
    demand: BufferDemand,
    granted: Granted,
    traits: Traits,
    rules: Arc<RuleTable>,
    /// Invariant 5.
    _rss_key: Option<Key>,
    /// Given back after the port is closed.
    claim: Claim,
}

/// The right to be the owner of a port, given back on drop.
#[derive(Debug)]
struct Claim {
    id: u16,
    eal: EalHandle,
}

impl Claim {
    fn new(eal: &Eal, id: u16, name: &str) -> Result<Self, DpdkError> {
        let eal = eal.handle();
        if !eal.resources().open_ports.insert(id) {
            return Err(DpdkError::DeviceInUse(name.to_owned()));
        }
        Ok(Self { id, eal })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.eal.resources().open_ports.remove(&self.id);
    }
}

impl PortShared {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pool(&self) -> &Mempool {
        &self.pool
    }

    pub(crate) fn granted(&self) -> &Granted {
        &self.granted
    }

    fn stop(&self) -> Result<(), DpdkError> {
        self.rules.end();
        // SAFETY: invariants 1 to 3; called with no queue left.
        let code = unsafe { sys::rte_eth_dev_stop(self.id) };
        check("rte_eth_dev_stop", &self.name, code).map(|_| ())
    }
}

impl Drop for PortShared {
    fn drop(&mut self) {
        // Closing must go on if a driver cannot stop, and nobody is left to be told.
        let _ = self.stop();
        // SAFETY: invariants 1 and 2: our port, and nobody uses it any more.
        let _ = unsafe { sys::rte_eth_dev_close(self.id) };
        if self.traits.keeps_buffers {
            let mut resources = self.claim.eal.resources();
            resources.kept_by_drivers += self.demand.in_descriptors();
        } else {
            self.pool.release(&self.demand);
        }
    }
}

impl Port {
    /// Opens and configures the device `name`, whose frames live in buffers of `pool`.
    ///
    /// A device can be opened once: closing (by dropping) ends it. After an error that comes from
    /// the checks of the configuration it can be opened with another one.
    ///
    /// # Errors
    /// An unknown or open device; more queues, a larger MTU or more buffers than there are; a MAC
    /// address that the driver does not take; or what else it reports.
    pub fn open(
        eal: &Eal,
        name: &str,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<Self, DpdkError> {
        let id = device::find(name)?;
        let claim = Claim::new(eal, id, name)?;
        let info = device::info(id, name)?;
        check_config(name, config, &info, pool)?;
        let driver = device::driver_name(&info);
        let traits = Traits::of(&driver);
        let mut config = adjust_descriptors(id, name, config, traits)?;
        let demand = demand(name, &config, &driver, traits)?;
        let wanted = Offloads {
            tx_chains: config.offloads.tx_chains && !traits.sums_pieces_wrongly,
            ..config.offloads
        };
        let granted = Granted::negotiate(wanted, &offered(&info, &config));
        let mut steering = Steering::new(name, &driver, &config, &info, granted.rss_fields);
        pool.reserve(name, &demand)?;
        claim.eal.resources().drivers_linger |= traits.lingers;
        // From here on the device is touched: an error closes it.
        let shared = Arc::new(PortShared {
            id,
            name: name.to_owned(),
            pool: pool.clone(),
            demand,
            granted,
            traits,
            rules: RuleTable::new(id, name),
            _rss_key: steering.key().cloned(),
            claim,
        });
        if !traits.isolates_late {
            steering.isolate(&shared, &mut config);
        }
        steering.configure(&shared, &config)?;
        set_up_queues(&shared, &info)?;
        if traits.isolates_late {
            steering.isolate(&shared, &mut config);
        }
        if let Some(wanted) = config.mac {
            set_mac_address(&shared, &driver, wanted)?;
        }
        Ok(Self {
            mac: device::mac_address(id, name)?,
            driver,
            steering,
            shared,
            config,
            not_sync: PhantomData,
        })
    }

    /// Starts the port and hands out its queues, in the order of their numbers. Frames for its
    /// address, for all and for any group are received.
    ///
    /// # Errors
    /// [`DpdkError::QueuesInUse`] if queues of an earlier start are left, or what the driver
    /// reports.
    pub fn start(&mut self) -> Result<PortQueues, DpdkError> {
        self.without_queues("start")?;
        let (id, name) = (self.shared.id, self.shared.name.clone());
        // SAFETY: invariants 1 to 3 of `PortShared`: configured, and no queue is left.
        let code = unsafe { sys::rte_eth_dev_start(id) };
        check("rte_eth_dev_start", &name, code)?;
        // Neighbor solicitations for our IPv6 addresses go to multicast groups. A driver that has
        // no such switch receives all frames anyway, so its answer does not matter.
        // SAFETY: invariant 1 of `PortShared`: the port is open.
        unsafe { sys::rte_eth_allmulticast_enable(id) };
        // Some drivers decide on these at the start only.
        self.mac = device::mac_address(id, &name)?;
        if let Some(wanted) = self.config.mac {
            check_mac_address(&self.shared, &self.driver, wanted, self.mac)?;
        }
        self.steering.start(id, &device::info(id, &name)?);
        let capabilities = Arc::new(self.capabilities());
        let parts = || (Arc::clone(&self.shared), Arc::clone(&capabilities));
        let rx = (0..self.config.rx_queues).map(|index| {
            let (shared, capabilities) = parts();
            // SAFETY: invariant 2 of `PortShared` for the index, which is below the number set up;
            // no queue was left, so each is made once.
            unsafe { RxQueue::new(shared, index, capabilities) }
        });
        let tx = (0..self.config.tx_queues).map(|index| {
            let (shared, capabilities) = parts();
            // SAFETY: as for the RX queues.
            unsafe { TxQueue::new(shared, index, capabilities) }
        });
        Ok(PortQueues {
            rx: rx.collect(),
            tx: tx.collect(),
        })
    }

    /// Stops the port, which removes its flow rules. It can be started again.
    ///
    /// # Errors
    /// [`DpdkError::QueuesInUse`] while one of its queues exists, or what the driver reports.
    pub fn stop(&mut self) -> Result<(), DpdkError> {
        self.without_queues("stop")?;
        self.shared.stop()
    }

    /// The name it was opened by.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What its driver calls itself, such as `net_af_packet`.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// Its MAC address.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// The configuration in force: the numbers of descriptors as the driver adjusted them, isolated
    /// or not. Key and RETA are as they were configured; those in force are among the
    /// [`capabilities`](Self::capabilities).
    pub fn config(&self) -> &PortConfig {
        &self.config
    }

    /// What of the configured steering is not in force, and why: isolation is known from opening
    /// on, RSS key and RETA from the start on. Something for the log.
    pub fn steering_faults(&self) -> impl Iterator<Item = &SteeringFault> {
        self.steering.faults()
    }

    /// The offloads that were granted in full.
    pub fn offloads(&self) -> Offloads {
        self.shared.granted.summary()
    }

    /// What the stack gets to know. RSS is read at the start: before, there is none.
    pub fn capabilities(&self) -> Capabilities {
        // In one piece, a packet that can be cut is one that fits a buffer.
        let room = if self.shared.granted.sends_chains() {
            LARGEST_IP_PACKET
        } else {
            self.shared.pool.frame_room() - ethernet::HEADER_LEN
        };
        let tso = self
            .shared
            .granted
            .tso()
            .then(|| room.min(LARGEST_IP_PACKET));
        Capabilities {
            mac: self.mac,
            mtu: usize::from(self.config.mtu),
            tx_checksum: self.shared.granted.tx_checksum(),
            tx_pieces: self.shared.granted.tx_pieces(),
            tso_ipv4: tso,
            tso_ipv6: tso.filter(|_| !self.shared.traits.cuts_ipv4_only),
            rss: self.steering.rss().cloned(),
        }
    }

    /// Receives all frames, or only those for the port's address, broadcast and multicast.
    pub fn set_promiscuous(&self, on: bool) -> Result<(), DpdkError> {
        let id = self.shared.id;
        let (call, code) = if on {
            // SAFETY: invariant 1 of `PortShared`.
            let code = unsafe { sys::rte_eth_promiscuous_enable(id) };
            ("rte_eth_promiscuous_enable", code)
        } else {
            // SAFETY: invariant 1 of `PortShared`.
            let code = unsafe { sys::rte_eth_promiscuous_disable(id) };
            ("rte_eth_promiscuous_disable", code)
        };
        check(call, &self.shared.name, code).map(|_| ())
    }

    /// Whether all frames are received.
    pub fn is_promiscuous(&self) -> bool {
        // SAFETY: invariant 1 of `PortShared`.
        unsafe { sys::rte_eth_promiscuous_get(self.shared.id) == 1 }
    }

    /// Isolates the port, or ends that: an isolated port receives what its rules bring to it and
    /// nothing else. Some drivers do it before the port is configured only:
    /// [`PortConfig::isolated`].
    ///
    /// # Errors
    /// What the driver reports; nothing has changed then.
    pub fn isolate(&mut self, on: bool) -> Result<(), FlowError> {
        self.shared.rules.isolate(on)?;
        self.config.isolated = on;
        self.steering.isolated();
        Ok(())
    }

    /// The state of the link, without waiting for it.
    pub fn link(&self) -> Result<LinkState, DpdkError> {
        stats::link(self.shared.id, &self.shared.name)
    }

    /// What each of its RX queues has counted, in the order of their numbers. A queue that the
    /// driver does not count is missing, or stays at 0.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn queue_stats(&self) -> Result<Vec<QueueStats>, DpdkError> {
        let queues = 0..self.config.rx_queues;
        stats::of_queues(self.shared.id, &self.shared.name, queues)
    }

    /// The counters that every port has.
    pub fn stats(&self) -> Result<PortStats, DpdkError> {
        stats::basic(self.shared.id, &self.shared.name)
    }

    /// All counters of the driver, by its names.
    pub fn extended_stats(&self) -> Result<Vec<ExtendedStat>, DpdkError> {
        stats::extended(self.shared.id, &self.shared.name)
    }

    /// What it shares with its queues.
    pub(crate) fn shared(&self) -> &Arc<PortShared> {
        &self.shared
    }

    /// Its flow rules.
    pub(crate) fn rules(&self) -> &Arc<RuleTable> {
        &self.shared.rules
    }

    /// Checks that no queue is left; from then on there is none until `start`.
    fn without_queues(&mut self, action: &'static str) -> Result<(), DpdkError> {
        let queues = Arc::strong_count(&self.shared) - 1;
        // Unlike the count, `get_mut` orders what the queues did before what follows.
        if Arc::get_mut(&mut self.shared).is_some() {
            return Ok(());
        }
        Err(DpdkError::QueuesInUse {
            device: self.shared.name.clone(),
            action,
            queues,
        })
    }
}
