//! Receive-side scaling as a device is really configured: its key and indirection table, read
//! back after the start.

use core::ptr;

use dpdk_sys as sys;
use netstack::io::Rss;

use crate::error::{DpdkError, check};

/// Octets of a Toeplitz key where the driver does not say: enough for two IPv6 addresses and two
/// ports.
const USUAL_KEY_LEN: usize = 40;
/// Entries of the indirection table that DPDK hands over at a time.
const GROUP: usize = sys::RTE_ETH_RETA_GROUP_SIZE as usize;

/// What the driver of a started port says; `None` if it cannot say both, or has no RSS.
pub(crate) fn read(port: u16, name: &str, info: &sys::rte_eth_dev_info) -> Option<Rss> {
    if info.reta_size == 0 {
        return None;
    }
    let key = read_key(port, name, usize::from(info.hash_key_size)).ok()?;
    let reta = read_reta(port, name, info.reta_size).ok()?;
    // A key of zeros hashes all packets to 0: it is a driver that filled in nothing.
    let says = key.iter().any(|&octet| octet != 0);
    says.then_some(Rss { key, reta })
}

fn read_key(port: u16, name: &str, key_len: usize) -> Result<Vec<u8>, DpdkError> {
    // Drivers write the key they have without looking at the room, so offer the most there can be.
    let mut key = [0; u8::MAX as usize];
    let mut conf = sys::rte_eth_rss_conf {
        rss_key: key.as_mut_ptr(),
        rss_key_len: u8::MAX,
        ..sys::rte_eth_rss_conf::default()
    };
    // SAFETY: any port number is checked by DPDK; `conf` and the key live through the call, and a
    // key is at most 255 octets as its length is 8 bits.
    let code = unsafe { sys::rte_eth_dev_rss_hash_conf_get(port, &raw mut conf) };
    check("rte_eth_dev_rss_hash_conf_get", name, code)?;
    let len = match (key_len, usize::from(conf.rss_key_len)) {
        (0, said) if said < usize::from(u8::MAX) && said >= USUAL_KEY_LEN => said,
        (0, _) => USUAL_KEY_LEN,
        (known, _) => known,
    };
    Ok(key[..len].to_vec())
}

fn read_reta(port: u16, name: &str, size: u16) -> Result<Vec<u16>, DpdkError> {
    let all = sys::rte_eth_rss_reta_entry64 {
        mask: u64::MAX,
        ..sys::rte_eth_rss_reta_entry64::default()
    };
    let mut groups = vec![all; usize::from(size).div_ceil(GROUP)];
    // SAFETY: any port number is checked by DPDK; `groups` has room for `size` entries.
    let code = unsafe { sys::rte_eth_dev_rss_reta_query(port, groups.as_mut_ptr(), size) };
    check("rte_eth_dev_rss_reta_query", name, code)?;
    let entries = groups.iter().flat_map(|group| group.reta);
    Ok(entries.take(usize::from(size)).collect())
}

/// The part of a port's configuration that turns RSS on for `fields`, with the driver's own key.
pub(crate) fn conf(fields: u64) -> sys::rte_eth_rss_conf {
    sys::rte_eth_rss_conf {
        rss_key: ptr::null_mut(),
        rss_hf: fields,
        ..sys::rte_eth_rss_conf::default()
    }
}
