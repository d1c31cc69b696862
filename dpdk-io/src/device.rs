//! Devices by their names, before they are ports: which there are, and what their drivers say.

use core::ffi::{CStr, c_char};
use std::ffi::CString;

use dpdk_sys as sys;

use crate::error::{DpdkError, check};
use crate::stats;

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

/// What the driver calls itself.
pub(crate) fn driver_name(info: &sys::rte_eth_dev_info) -> String {
    if info.driver_name.is_null() {
        return String::new();
    }
    // SAFETY: not null, and then a terminated string in the driver's library, which stays loaded.
    let name = unsafe { CStr::from_ptr(info.driver_name) };
    name.to_string_lossy().into_owned()
}
