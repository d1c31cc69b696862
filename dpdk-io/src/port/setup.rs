//! The configuration of a port: what is wanted, what of it cannot work, and how DPDK is told.

use dpdk_sys as sys;
use netstack::wire::ethernet::MacAddr;

use super::PortShared;
use crate::device;
use crate::driver::Traits;
use crate::error::{Direction, DpdkError, check};
use crate::mempool::{BufferDemand, Mempool};
use crate::numa::NumaNode;
use crate::offload::{Offered, Offloads};
use crate::rss::{self, Key};

/// How a port is to be set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortConfig {
    /// RX queues. Each on which frames can come must be received on.
    pub rx_queues: u16,
    /// TX queues: as many as workers that send by themselves.
    pub tx_queues: u16,
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
    /// Whether only what flow rules bring to the port is received. A driver that refuses it opens
    /// the port not isolated.
    pub isolated: bool,
    /// The RX queues that the entries of the RSS indirection table name, in turn, again and again.
    /// If there is none here, the driver fills the table. Without meaning with one RX queue.
    pub reta: Option<Vec<u16>>,
    /// The key of the RSS hash; the driver has its own if there is none here. Without meaning with
    /// one RX queue.
    pub rss_key: Option<Vec<u8>>,
}

impl Default for PortConfig {
    /// One queue each way with 512 descriptors, Ethernet's MTU, the device's own MAC address,
    /// all offloads there are, not isolated, RSS as the driver sets it up.
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 512,
            tx_descriptors: 512,
            mtu: 1500,
            mac: None,
            offloads: Offloads::ALL,
            isolated: false,
            reta: None,
            rss_key: None,
        }
    }
}

/// What the device offers to a port that is configured like this.
pub(super) fn offered(info: &sys::rte_eth_dev_info, config: &PortConfig) -> Offered {
    Offered {
        rx: info.rx_offload_capa,
        tx: info.tx_offload_capa,
        rss_fields: info.flow_type_rss_offloads,
        queues: config.rx_queues,
        tx_descriptors: config.tx_descriptors,
        frame_segments: info.tx_desc_lim.nb_mtu_seg_max,
        tso_segments: info.tx_desc_lim.nb_seg_max,
    }
}

/// What a port that is configured like this can hold at once.
///
/// # Errors
/// [`DpdkError::UnequalQueues`] for numbers of queues that the driver cannot have.
pub(super) fn demand(
    name: &str,
    config: &PortConfig,
    driver: &str,
    traits: Traits,
) -> Result<BufferDemand, DpdkError> {
    let (rx, tx) = (config.rx_queues, config.tx_queues);
    // What the device spreads over RX queues that nobody receives on would be lost; TX queues
    // that nobody sends on do no harm.
    if traits.pairs_queues && tx > rx {
        return Err(DpdkError::UnequalQueues {
            device: name.to_owned(),
            driver: driver.to_owned(),
            rx,
            tx,
        });
    }
    Ok(BufferDemand {
        rx_queues: rx,
        rx_descriptors: config.rx_descriptors,
        tx_queues: if traits.pairs_queues { rx } else { tx },
        tx_descriptors: config.tx_descriptors,
        ..BufferDemand::default()
    })
}

/// Refuses what the device or the pool cannot do.
pub(super) fn check_config(
    name: &str,
    config: &PortConfig,
    info: &sys::rte_eth_dev_info,
    pool: &Mempool,
) -> Result<(), DpdkError> {
    let offers = [
        (Direction::Rx, config.rx_queues, info.max_rx_queues),
        (Direction::Tx, config.tx_queues, info.max_tx_queues),
    ];
    for (direction, wanted, offered) in offers {
        if wanted > offered {
            return Err(DpdkError::TooManyQueues {
                device: name.to_owned(),
                direction,
                wanted,
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
    range("the number of RX queues", config.rx_queues, 1, u16::MAX)?;
    range("the number of TX queues", config.tx_queues, 1, u16::MAX)?;
    if let Some(reta) = &config.reta {
        let queues = u16::try_from(reta.len()).unwrap_or(u16::MAX);
        range("the number of queues in the RETA", queues, 1, u16::MAX)?;
        let greatest = reta.iter().copied().max().unwrap_or(0);
        range("a queue in the RETA", greatest, 0, config.rx_queues - 1)?;
    }
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
pub(super) fn adjust_descriptors(
    id: u16,
    name: &str,
    config: &PortConfig,
    traits: Traits,
) -> Result<PortConfig, DpdkError> {
    let mut config = config.clone();
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

/// Configures the port, with `key` for RSS or the driver's own. DPDK keeps a pointer to the key.
pub(super) fn configure(
    port: &PortShared,
    config: &PortConfig,
    key: Option<&Key>,
) -> Result<(), DpdkError> {
    let granted = &port.granted;
    let mut conf = sys::rte_eth_conf::default();
    conf.rxmode.mtu = u32::from(config.mtu);
    conf.rxmode.offloads = granted.rx;
    conf.txmode.offloads = granted.tx;
    if granted.rss_fields != 0 {
        conf.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf = rss::conf(granted.rss_fields, key);
    }
    let (rx, tx) = (port.demand.rx_queues, port.demand.tx_queues);
    // SAFETY: invariant 1 of `PortShared`; not started yet; `conf` lives through the call,
    // and the key as long as the port (invariant 5).
    let code = unsafe { sys::rte_eth_dev_configure(port.id, rx, tx, &raw const conf) };
    check("rte_eth_dev_configure", &port.name, code).map(|_| ())
}

pub(super) fn set_up_queues(
    port: &PortShared,
    info: &sys::rte_eth_dev_info,
) -> Result<(), DpdkError> {
    let demand = &port.demand;
    let numa_node = NumaNode::to_dpdk(device::numa_node(port.id)).cast_unsigned();
    for index in 0..demand.rx_queues {
        // SAFETY: invariants 1 and 4 of `PortShared`: a port that is configured with this many
        // queues and not started, and a pool that outlives it. DPDK copies the configuration.
        let code = unsafe {
            sys::rte_eth_rx_queue_setup(
                port.id,
                index,
                demand.rx_descriptors,
                numa_node,
                &raw const info.default_rxconf,
                port.pool.raw().as_ptr(),
            )
        };
        check("rte_eth_rx_queue_setup", &port.name, code)?;
    }
    for index in 0..demand.tx_queues {
        // SAFETY: as for the RX queues.
        let code = unsafe {
            sys::rte_eth_tx_queue_setup(
                port.id,
                index,
                demand.tx_descriptors,
                numa_node,
                &raw const info.default_txconf,
            )
        };
        check("rte_eth_tx_queue_setup", &port.name, code)?;
    }
    Ok(())
}
