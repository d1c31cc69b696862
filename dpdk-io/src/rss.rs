//! Receive-side scaling as a device is really configured: its key, the header fields it hashes and
//! its indirection table, read back after the start.
//!
//! They tell on which queue the packets of a connection will arrive, so a device of which this
//! would be a guess has none: the stack then finds the right worker by itself.

use core::ptr;

use dpdk_sys as sys;
use netstack::io::Rss;

use crate::error::{DpdkError, check};

/// Octets of a Toeplitz key where the driver does not say: enough for two IPv6 addresses and two
/// ports.
const USUAL_KEY_LEN: usize = 40;
/// Entries of the indirection table that DPDK hands over at a time.
const GROUP: usize = sys::RTE_ETH_RETA_GROUP_SIZE as usize;

/// Fields without which a TCP connection has no queue of its own, over either IP version.
const TCP_FIELDS: u64 = sys::DPDK_ETH_RSS_NONFRAG_IPV4_TCP | sys::DPDK_ETH_RSS_NONFRAG_IPV6_TCP;
/// With one of these, addresses or ports of one end only are hashed.
const ONE_END: u64 = sys::DPDK_ETH_RSS_L3_SRC_ONLY
    | sys::DPDK_ETH_RSS_L3_DST_ONLY
    | sys::DPDK_ETH_RSS_L4_SRC_ONLY
    | sys::DPDK_ETH_RSS_L4_DST_ONLY;

/// What the driver of a started port says; `None` if it cannot say all of it, has no RSS, or does
/// not hash TCP connections by addresses and ports.
pub(crate) fn read(port: u16, name: &str, info: &sys::rte_eth_dev_info) -> Option<Rss> {
    if info.reta_size == 0 {
        return None;
    }
    let (key, fields) = read_hash(port, name, usize::from(info.hash_key_size)).ok()?;
    if !hashes_connections(fields) {
        return None;
    }
    let reta = read_reta(port, name, info.reta_size).ok()?;
    // A key of zeros hashes all packets to 0: it is a driver that filled in nothing.
    let says = key.iter().any(|&octet| octet != 0);
    says.then_some(Rss { key, reta })
}

/// Whether a device that hashes `fields` hashes both addresses and both ports of each TCP packet
/// that is no fragment, over both IP versions. Otherwise it takes the addresses alone, or nothing.
fn hashes_connections(fields: u64) -> bool {
    fields & TCP_FIELDS == TCP_FIELDS && fields & ONE_END == 0
}

/// The key, and the fields that are hashed with it, in DPDK's bits.
fn read_hash(port: u16, name: &str, key_len: usize) -> Result<(Vec<u8>, u64), DpdkError> {
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
    Ok((key[..len].to_vec(), conf.rss_hf))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_must_be_hashed_over_both_ip_versions() {
        let usual = sys::DPDK_ETH_RSS_IP | sys::DPDK_ETH_RSS_TCP | sys::DPDK_ETH_RSS_UDP;
        assert!(hashes_connections(usual));
        assert!(hashes_connections(TCP_FIELDS));
        for missing in [
            sys::DPDK_ETH_RSS_NONFRAG_IPV4_TCP,
            sys::DPDK_ETH_RSS_NONFRAG_IPV6_TCP,
        ] {
            assert!(!hashes_connections(usual & !missing), "{missing:#x}");
        }
        // A driver that fills in nothing, and one that hashes addresses alone.
        assert!(!hashes_connections(0));
        assert!(!hashes_connections(sys::DPDK_ETH_RSS_IP));
    }

    #[test]
    fn both_ends_must_be_hashed() {
        for one_end in [
            sys::DPDK_ETH_RSS_L3_SRC_ONLY,
            sys::DPDK_ETH_RSS_L3_DST_ONLY,
            sys::DPDK_ETH_RSS_L4_SRC_ONLY,
            sys::DPDK_ETH_RSS_L4_DST_ONLY,
        ] {
            assert!(!hashes_connections(TCP_FIELDS | one_end), "{one_end:#x}");
        }
    }
}
