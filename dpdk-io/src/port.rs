//! Ports: from a device's name to running queues.
//!
//! [`Port::open`] configures a device: what does not fit (queues, MTU, buffers) is an error before
//! the device is touched, and offloads are those that are both wanted and offered.
//! [`Port::start`] starts it and hands out its queues, one for each worker. The port itself stays
//! with the control thread: counters, link, promiscuous mode, stop.

mod mac;

use core::cell::Cell;
use core::ffi::{CStr, c_char};
use core::marker::PhantomData;
use std::ffi::CString;
use std::sync::Arc;

use dpdk_sys as sys;
use netstack::io::{Capabilities, Rss};
use netstack::wire::ethernet::{self, MacAddr};

use crate::driver::Traits;
use crate::eal::{Eal, EalHandle};
use crate::error::{Direction, DpdkError, check};
use crate::flow::RuleTable;
use crate::mempool::{BufferDemand, Mempool};
use crate::offload::{Granted, Offered, Offloads};
use crate::queue::Queue;
use crate::rss;
use crate::stats::{self, ExtendedStat, LinkState, PortStats};
use mac::{check_mac_address, mac_address, set_mac_address};

/// The largest IP packet of which TSO can cut segments: its length field has 16 bits.
const LARGEST_IP_PACKET: usize = u16::MAX as usize;

/// How a port is to be set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortConfig {
    /// Queue pairs: one for each worker.
    pub queues: u16,
    /// Descriptors of each RX queue. A driver may round or limit the number.
    pub rx_descriptors: u16,
    /// Descriptors of each TX queue. A driver may round or limit the number.
    pub tx_descriptors: u16,
    /// The largest IP packet in a frame, in octets. A device that stands on an interface of the
    /// kernel does not change the MTU of that interface.
    pub mtu: u16,
    /// The MAC address to give the device; it keeps its own if there is none here. A device that
    /// stands on an interface of the kernel may change the address of that interface, which then
    /// keeps it after the port is closed: `net_af_packet` does.
    pub mac: Option<MacAddr>,
    /// Work that the device is to do if it can.
    pub offloads: Offloads,
    /// Whether only what flow rules bring to the port is received.
    pub isolated: bool,
}

impl Default for PortConfig {
    /// One queue pair with 512 descriptors each way, Ethernet's MTU, the device's own MAC address,
    /// all offloads there are, not isolated.
    fn default() -> Self {
        Self {
            queues: 1,
            rx_descriptors: 512,
            tx_descriptors: 512,
            mtu: 1500,
            mac: None,
            offloads: Offloads::ALL,
            isolated: false,
        }
    }
}

/// An open device.
#[derive(Debug)]
pub struct Port {
    shared: Arc<PortShared>,
    config: PortConfig,
    granted: Granted,
    /// What the driver calls itself.
    driver: String,
    mac: MacAddr,
    rss: Option<Rss>,
    /// Not `Sync`: DPDK's control functions of a port are for one thread at a time.
    not_sync: PhantomData<Cell<()>>,
}

/// What a port and its queues hold together.
///
/// # Invariants
/// 1. `id` is a port of the EAL that `claim` keeps, and no other `PortShared` has it.
/// 2. The port is configured, with a queue pair for each index below the configured number. It is
///    closed when this is dropped: when neither the port nor any queue is left.
/// 3. The port is stopped or started only while no queue exists: with this borrowed mutably
///    through its `Arc`, or before the queues are made.
/// 4. All its mbufs come from `pool`, which outlives it.
#[derive(Debug)]
pub(crate) struct PortShared {
    id: u16,
    name: String,
    pool: Mempool,
    demand: BufferDemand,
    traits: Traits,
    rules: Arc<RuleTable>,
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
        let id = find(name)?;
        let claim = Claim::new(eal, id, name)?;
        let info = device_info(id, name)?;
        check_config(name, config, &info, pool)?;
        let driver = driver_name(&info);
        let traits = Traits::of(&driver);
        let config = adjust_descriptors(id, name, config, traits)?;
        let wanted = Offloads {
            tx_chains: config.offloads.tx_chains && !traits.sums_pieces_wrongly,
            ..config.offloads
        };
        let granted = Granted::negotiate(wanted, &offered(&info, &config));
        let demand = BufferDemand {
            queues: config.queues,
            rx_descriptors: config.rx_descriptors,
            tx_descriptors: config.tx_descriptors,
            ..BufferDemand::default()
        };
        pool.reserve(name, &demand)?;
        claim.eal.resources().drivers_linger |= traits.lingers;
        // From here on the device is touched: an error closes it.
        let shared = Arc::new(PortShared {
            id,
            name: name.to_owned(),
            pool: pool.clone(),
            demand,
            traits,
            rules: RuleTable::new(id, name),
            claim,
        });
        // Some drivers isolate a port before it is configured only.
        if config.isolated {
            shared.rules.isolate(true)?;
        }
        configure(&shared, &config, &granted)?;
        set_up_queues(&shared, &config, &info)?;
        if let Some(wanted) = config.mac {
            set_mac_address(&shared, &driver, wanted)?;
        }
        Ok(Self {
            mac: mac_address(id, name)?,
            driver,
            rss: None,
            shared,
            config,
            granted,
            not_sync: PhantomData,
        })
    }

    /// Starts the port and hands out its queues, in the order of their numbers. Frames for its
    /// address, for all and for any group are received.
    ///
    /// # Errors
    /// [`DpdkError::QueuesInUse`] if queues of an earlier start are left, or what the driver
    /// reports.
    pub fn start(&mut self) -> Result<Vec<Queue>, DpdkError> {
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
        self.mac = mac_address(id, &name)?;
        if let Some(wanted) = self.config.mac {
            check_mac_address(&self.shared, &self.driver, wanted, self.mac)?;
        }
        self.rss = rss::read(id, &name, &device_info(id, &name)?);
        let capabilities = self.capabilities();
        let queues = (0..self.config.queues).map(|index| {
            let shared = Arc::clone(&self.shared);
            // SAFETY: invariant 2 of `PortShared` for the index; no queue was left, so each is
            // made once.
            unsafe { Queue::new(shared, index, capabilities.clone(), &self.granted) }
        });
        Ok(queues.collect())
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

    /// The configuration in force: the numbers of descriptors as the driver adjusted them.
    pub fn config(&self) -> &PortConfig {
        &self.config
    }

    /// The offloads that were granted in full.
    pub fn offloads(&self) -> Offloads {
        self.granted.summary()
    }

    /// What the stack gets to know. RSS is read at the start: before, there is none.
    pub fn capabilities(&self) -> Capabilities {
        // In one piece, a packet that can be cut is one that fits a buffer.
        let room = if self.granted.sends_chains() {
            LARGEST_IP_PACKET
        } else {
            self.shared.pool.frame_room() - ethernet::HEADER_LEN
        };
        let tso = self.granted.tso().then(|| room.min(LARGEST_IP_PACKET));
        Capabilities {
            mac: self.mac,
            mtu: usize::from(self.config.mtu),
            tx_checksum: self.granted.tx_checksum(),
            tx_pieces: self.granted.tx_pieces(),
            tso_ipv4: tso,
            tso_ipv6: tso.filter(|_| !self.shared.traits.cuts_ipv4_only),
            rss: self.rss.clone(),
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

    /// The state of the link, without waiting for it.
    pub fn link(&self) -> Result<LinkState, DpdkError> {
        stats::link(self.shared.id, &self.shared.name)
    }

    /// The counters that every port has.
    pub fn stats(&self) -> Result<PortStats, DpdkError> {
        stats::basic(self.shared.id, &self.shared.name)
    }

    /// All counters of the driver, by its names.
    pub fn extended_stats(&self) -> Result<Vec<ExtendedStat>, DpdkError> {
        stats::extended(self.shared.id, &self.shared.name)
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

/// The names of all ports.
pub(crate) fn names() -> Vec<String> {
    let mut names = Vec::new();
    let mut next = 0;
    loop {
        // SAFETY: any number is fine: DPDK looks from there on.
        let id = unsafe { sys::rte_eth_find_next(next) };
        if u32::from(id) >= sys::RTE_MAX_ETHPORTS {
            return names;
        }
        let mut name: [c_char; sys::RTE_ETH_NAME_MAX_LEN as usize] = [0; _];
        // SAFETY: any port number is checked by DPDK, and a name has at most this many octets.
        let code = unsafe { sys::rte_eth_dev_get_name_by_port(id, name.as_mut_ptr()) };
        if code == 0 {
            names.push(stats::text(&name));
        }
        next = id + 1;
    }
}

/// The number of the port `name`.
fn find(name: &str) -> Result<u16, DpdkError> {
    let mut id = 0;
    let found = CString::new(name).is_ok_and(|name| {
        // SAFETY: a terminated name and a place for the number.
        let code = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
        code == 0
    });
    if found {
        return Ok(id);
    }
    Err(DpdkError::UnknownDevice {
        name: name.to_owned(),
        known: names(),
    })
}

fn device_info(id: u16, name: &str) -> Result<sys::rte_eth_dev_info, DpdkError> {
    let mut info = sys::rte_eth_dev_info::default();
    // SAFETY: any port number is checked by DPDK; `info` lives through the call.
    let code = unsafe { sys::rte_eth_dev_info_get(id, &raw mut info) };
    check("rte_eth_dev_info_get", name, code)?;
    Ok(info)
}

/// What the device offers to a port that is configured like this.
fn offered(info: &sys::rte_eth_dev_info, config: &PortConfig) -> Offered {
    Offered {
        rx: info.rx_offload_capa,
        tx: info.tx_offload_capa,
        rss_fields: info.flow_type_rss_offloads,
        queues: config.queues,
        tx_descriptors: config.tx_descriptors,
        frame_segments: info.tx_desc_lim.nb_mtu_seg_max,
        tso_segments: info.tx_desc_lim.nb_seg_max,
    }
}

/// Refuses what the device or the pool cannot do.
fn check_config(
    name: &str,
    config: &PortConfig,
    info: &sys::rte_eth_dev_info,
    pool: &Mempool,
) -> Result<(), DpdkError> {
    let offers = [
        (Direction::Rx, info.max_rx_queues),
        (Direction::Tx, info.max_tx_queues),
    ];
    for (direction, offered) in offers {
        if config.queues > offered {
            return Err(DpdkError::TooManyQueues {
                device: name.to_owned(),
                direction,
                wanted: config.queues,
                offered,
            });
        }
    }
    let range = |what, value: u16, least: u16, most: u16| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(DpdkError::OutOfRange {
            what,
            subject: name.to_owned(),
            value: u32::from(value),
            least: u32::from(least),
            most: u32::from(most),
        })
    };
    range("the number of queues", config.queues, 1, u16::MAX)?;
    range("the MTU", config.mtu, info.min_mtu, info.max_mtu)?;
    if config.mtu > pool.mtu() {
        return Err(DpdkError::BufferTooSmall {
            pool: pool.name().to_owned(),
            pool_mtu: pool.mtu(),
            device: name.to_owned(),
            mtu: config.mtu,
        });
    }
    Ok(())
}

/// The configuration with numbers of descriptors that the driver takes.
fn adjust_descriptors(
    id: u16,
    name: &str,
    config: &PortConfig,
    traits: Traits,
) -> Result<PortConfig, DpdkError> {
    let mut config = *config;
    if let Some(descriptors) = traits.descriptors {
        config.rx_descriptors = descriptors;
        config.tx_descriptors = descriptors;
        return Ok(config);
    }
    let (rx, tx) = (
        &raw mut config.rx_descriptors,
        &raw mut config.tx_descriptors,
    );
    // SAFETY: any port number is checked by DPDK; both numbers live through the call.
    let code = unsafe { sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, rx, tx) };
    check("rte_eth_dev_adjust_nb_rx_tx_desc", name, code)?;
    Ok(config)
}

fn configure(port: &PortShared, config: &PortConfig, granted: &Granted) -> Result<(), DpdkError> {
    let mut conf = sys::rte_eth_conf::default();
    conf.rxmode.mtu = u32::from(config.mtu);
    conf.rxmode.offloads = granted.rx;
    conf.txmode.offloads = granted.tx;
    if granted.rss_fields != 0 {
        conf.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf = rss::conf(granted.rss_fields);
    }
    let queues = config.queues;
    // SAFETY: invariant 1 of `PortShared`; not started yet; `conf` lives through the call.
    let code = unsafe { sys::rte_eth_dev_configure(port.id, queues, queues, &raw const conf) };
    check("rte_eth_dev_configure", &port.name, code).map(|_| ())
}

fn set_up_queues(
    port: &PortShared,
    config: &PortConfig,
    info: &sys::rte_eth_dev_info,
) -> Result<(), DpdkError> {
    // SAFETY: invariant 1 of `PortShared`.
    let numa_node = unsafe { sys::rte_eth_dev_socket_id(port.id) };
    // A device without a node says -1, which means "any" here too.
    let numa_node = numa_node.cast_unsigned();
    for index in 0..config.queues {
        // SAFETY: invariants 1 and 4 of `PortShared`: a port that is configured with this many
        // queues and not started, and a pool that outlives it. DPDK copies the configuration.
        let code = unsafe {
            sys::rte_eth_rx_queue_setup(
                port.id,
                index,
                config.rx_descriptors,
                numa_node,
                &raw const info.default_rxconf,
                port.pool.raw().as_ptr(),
            )
        };
        check("rte_eth_rx_queue_setup", &port.name, code)?;
        // SAFETY: as for the RX queue.
        let code = unsafe {
            sys::rte_eth_tx_queue_setup(
                port.id,
                index,
                config.tx_descriptors,
                numa_node,
                &raw const info.default_txconf,
            )
        };
        check("rte_eth_tx_queue_setup", &port.name, code)?;
    }
    Ok(())
}

fn driver_name(info: &sys::rte_eth_dev_info) -> String {
    if info.driver_name.is_null() {
        return String::new();
    }
    // SAFETY: not null, and then a terminated string in the driver's library, which stays loaded.
    let name = unsafe { CStr::from_ptr(info.driver_name) };
    name.to_string_lossy().into_owned()
}
