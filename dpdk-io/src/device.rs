//! Devices by their names, before they are ports: which there are, and what their drivers say of
//! them.

use core::ffi::{CStr, c_char};
use std::ffi::CString;

use dpdk_sys as sys;
use netstack::wire::ethernet::MacAddr;

use crate::eal::Eal;
use crate::error::{DpdkError, check};
use crate::numa::NumaNode;
use crate::stats;

/// What a device is and can, as its driver says: to plan with before it is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// The name that [`Port::open`](crate::Port::open) takes.
    pub name: String,
    /// What its driver calls itself, such as `net_af_packet`.
    pub driver: String,
    /// Its MAC address now.
    pub mac: MacAddr,
    /// The NUMA node that it is connected to; `None` if it has none or the driver does not say.
    pub numa_node: Option<NumaNode>,
    /// RX queues it can have at most.
    pub max_rx_queues: u16,
    /// TX queues it can have at most. Not all drivers can have more of them than RX queues.
    pub max_tx_queues: u16,
    /// Entries of its RSS indirection table; 0 if there is none to be set. It may depend on the
    /// number of queues and is read again when the port is started.
    pub reta_size: u16,
    /// Octets of its RSS key; 0 if the driver does not say.
    pub rss_key_len: usize,
    /// The smallest MTU it can be given, in octets of IP packet.
    pub min_mtu: u16,
    /// The largest MTU it can be given, in octets of IP packet.
    pub max_mtu: u16,
}

impl Device {
    /// Asks the driver of the device `name`, which need not be open.
    ///
    /// # Errors
    /// An unknown device, or what the driver reports.
    pub fn describe(_eal: &Eal, name: &str) -> Result<Self, DpdkError> {
        let id = find(name)?;
        let info = info(id, name)?;
        Ok(Self {
            name: name.to_owned(),
            driver: driver_name(&info),
            mac: mac_address(id, name)?,
            numa_node: numa_node(id),
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            reta_size: info.reta_size,
            rss_key_len: usize::from(info.hash_key_size),
            min_mtu: info.min_mtu,
            max_mtu: info.max_mtu,
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
pub(crate) fn find(name: &str) -> Result<u16, DpdkError> {
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

pub(crate) fn info(id: u16, name: &str) -> Result<sys::rte_eth_dev_info, DpdkError> {
    let mut info = sys::rte_eth_dev_info::default();
    // SAFETY: any port number is checked by DPDK; `info` lives through the call.
    let code = unsafe { sys::rte_eth_dev_info_get(id, &raw mut info) };
    check("rte_eth_dev_info_get", name, code)?;
    Ok(info)
}

/// The NUMA node of the device.
pub(crate) fn numa_node(id: u16) -> Option<NumaNode> {
    // SAFETY: any port number is checked by DPDK, which has -1 for a device without a node.
    NumaNode::from_dpdk(unsafe { sys::rte_eth_dev_socket_id(id) })
}

/// The address that the device has.
pub(crate) fn mac_address(id: u16, name: &str) -> Result<MacAddr, DpdkError> {
    let mut mac = sys::rte_ether_addr::default();
    // SAFETY: any port number is checked by DPDK; `mac` lives through the call.
    let code = unsafe { sys::rte_eth_macaddr_get(id, &raw mut mac) };
    check("rte_eth_macaddr_get", name, code)?;
    Ok(MacAddr(mac.addr_bytes))
}

/// What the driver calls itself.
pub(crate) fn driver_name(info: &sys::rte_eth_dev_info) -> String {
    if info.driver_name.is_null() {
        return String::new();
    }
    // SAFETY: not null, and then a terminated string in the driver's library, which stays loaded.
    let name = unsafe { CStr::from_ptr(info.driver_name) };
    name.to_string_lossy().into_owned()
}
