//! The MAC address of a port: set, and checked to be what was asked for.

use dpdk_sys as sys;
use netstack::wire::ethernet::MacAddr;

use super::PortShared;
use crate::device::mac_address;
use crate::error::{DpdkError, Errno};

/// Gives the device the address `wanted`. A device that has it already need not be able to.
pub(super) fn set_mac_address(
    port: &PortShared,
    driver: &str,
    wanted: MacAddr,
) -> Result<(), DpdkError> {
    let own = mac_address(port.id, &port.name)?;
    if own == wanted {
        return Ok(());
    }
    let mut mac = sys::rte_ether_addr {
        addr_bytes: wanted.0,
    };
    // SAFETY: invariant 1 of `PortShared`; `mac` lives through the call, which copies it.
    let code = unsafe { sys::rte_eth_dev_default_mac_addr_set(port.id, &raw mut mac) };
    if code < 0 {
        return Err(mac_not_set(port, driver, wanted, own, Errno(-code)));
    }
    check_mac_address(port, driver, wanted, mac_address(port.id, &port.name)?)
}

/// Refuses an address that is not the configured one, though the driver did not say no.
pub(super) fn check_mac_address(
    port: &PortShared,
    driver: &str,
    wanted: MacAddr,
    own: MacAddr,
) -> Result<(), DpdkError> {
    if own == wanted {
        return Ok(());
    }
    Err(mac_not_set(port, driver, wanted, own, Errno::ENOTSUP))
}

fn mac_not_set(
    port: &PortShared,
    driver: &str,
    wanted: MacAddr,
    own: MacAddr,
    errno: Errno,
) -> DpdkError {
    DpdkError::MacNotSet {
        device: port.name.clone(),
        driver: driver.to_owned(),
        wanted,
        own,
        errno,
    }
}
