//! Receive-side scaling as a device is really configured: its key, the header fields it hashes and
//! its indirection table (RETA), set as wanted and read back after the start.
//!
//! They tell on which queue the packets of a connection will arrive, so a device of which this
//! would be a guess has none: the stack then finds the right worker by itself.

use std::sync::Arc;

use dpdk_sys as sys;
use netstack::io::Rss;

use crate::error::Errno;

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
pub(crate) fn read(port: u16, info: &sys::rte_eth_dev_info) -> Option<Rss> {
    if info.reta_size == 0 {
        return None;
    }
    let (key, fields) = read_hash(port, usize::from(info.hash_key_size)).ok()?;
    if !hashes_connections(fields) {
        return None;
    }
    let reta = read_reta(port, info.reta_size).ok()?;
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
fn read_hash(port: u16, key_len: usize) -> Result<(Vec<u8>, u64), Errno> {
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
    succeeded(code)?;
    let len = match (key_len, usize::from(conf.rss_key_len)) {
        (0, said) if said < usize::from(u8::MAX) && said >= USUAL_KEY_LEN => said,
        (0, _) => USUAL_KEY_LEN,
        (known, _) => known,
    };
    Ok((key[..len].to_vec(), conf.rss_hf))
}

fn read_reta(port: u16, size: u16) -> Result<Vec<u16>, Errno> {
    let all = sys::rte_eth_rss_reta_entry64 {
        mask: u64::MAX,
        ..sys::rte_eth_rss_reta_entry64::default()
    };
    let mut groups = vec![all; usize::from(size).div_ceil(GROUP)];
    // SAFETY: any port number is checked by DPDK; `groups` has room for `size` entries.
    let code = unsafe { sys::rte_eth_dev_rss_reta_query(port, groups.as_mut_ptr(), size) };
    succeeded(code)?;
    let entries = groups.iter().flat_map(|group| group.reta);
    Ok(entries.take(usize::from(size)).collect())
}

/// Sees to it that a started port hashes `fields` with `key`: most drivers take a key when the port
/// is configured, some only then, some only now.
pub(crate) fn set_key(
    port: u16,
    info: &sys::rte_eth_dev_info,
    fields: u64,
    key: &Key,
) -> Result<(), Errno> {
    let in_force = || {
        let (key, _) = read_hash(port, usize::from(info.hash_key_size))?;
        Ok::<_, Errno>(key)
    };
    if in_force().is_ok_and(|in_force| in_force == key.octets()) {
        return Ok(());
    }
    let mut conf = conf(fields, Some(key));
    // SAFETY: any port number is checked by DPDK; `conf` and the key live through the call, and a
    // `Key` has as many octets as a driver could read.
    succeeded(unsafe { sys::rte_eth_dev_rss_hash_update(port, &raw mut conf) })?;
    match in_force() {
        Ok(in_force) if in_force == key.octets() => Ok(()),
        _ => Err(Errno::ENOTSUP),
    }
}

/// Gives a started port a RETA whose entries name `queues` in turn, again and again.
pub(crate) fn set_reta(
    port: u16,
    info: &sys::rte_eth_dev_info,
    queues: &[u16],
) -> Result<(), Errno> {
    let size = usize::from(info.reta_size);
    if size == 0 {
        return Err(Errno::ENOTSUP);
    }
    let wanted: Vec<u16> = queues.iter().copied().cycle().take(size).collect();
    let mut groups: Vec<_> = wanted.chunks(GROUP).map(group).collect();
    // SAFETY: any port number is checked by DPDK; `groups` holds `reta_size` entries.
    let code =
        unsafe { sys::rte_eth_dev_rss_reta_update(port, groups.as_mut_ptr(), info.reta_size) };
    succeeded(code)?;
    match read_reta(port, info.reta_size) {
        Ok(in_force) if in_force == wanted => Ok(()),
        _ => Err(Errno::ENOTSUP),
    }
}

/// Up to [`GROUP`] entries as DPDK wants them handed over: with a mask of those that are meant.
fn group(queues: &[u16]) -> sys::rte_eth_rss_reta_entry64 {
    let mut group = sys::rte_eth_rss_reta_entry64::default();
    for (entry, (place, queue)) in group.reta.iter_mut().zip(queues).enumerate() {
        *place = *queue;
        group.mask |= 1 << entry;
    }
    group
}

/// `Ok` for a result of DPDK that is not negative.
fn succeeded(code: i32) -> Result<(), Errno> {
    if code < 0 {
        return Err(Errno(code.saturating_neg()));
    }
    Ok(())
}

/// A key for the calls into DPDK: drivers read as much as their device takes, whatever they are
/// told, so there are always as many octets as can be. Clones are of the same octets, which stay
/// where they are while there is one.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    octets: Arc<[u8; u8::MAX as usize]>,
    len: u8,
}

impl Key {
    /// The octets as a key for a device that states `stated` as the length of its keys, or 0.
    ///
    /// # Errors
    /// The length that the key must have.
    pub(crate) fn new(octets: &[u8], stated: u8) -> Result<Self, usize> {
        let expected = match usize::from(stated) {
            0 => USUAL_KEY_LEN,
            stated => stated,
        };
        if octets.len() != expected {
            return Err(expected);
        }
        let mut key = [0; u8::MAX as usize];
        key[..expected].copy_from_slice(octets);
        Ok(Self {
            octets: Arc::new(key),
            len: expected as u8,
        })
    }

    /// The octets as DPDK wants them: it only reads them.
    fn as_ptr(&self) -> *mut u8 {
        Arc::as_ptr(&self.octets).cast_mut().cast()
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// The part of a port's configuration that turns RSS on for `fields`, with `key` or the driver's
/// own. It points to the octets of the key.
pub(crate) fn conf(fields: u64, key: Option<&Key>) -> sys::rte_eth_rss_conf {
    let mut conf = sys::rte_eth_rss_conf {
        rss_hf: fields,
        ..sys::rte_eth_rss_conf::default()
    };
    if let Some(key) = key {
        conf.rss_key = key.as_ptr();
        conf.rss_key_len = key.len;
    }
    conf
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
    fn a_key_is_as_long_as_the_device_wants_it() {
        let octets: Vec<u8> = (0..=u8::MAX).collect();
        for (stated, len) in [(0, 40), (40, 40), (52, 52), (u8::MAX, 255)] {
            let key = Key::new(&octets[..len], stated).ok().unwrap();
            assert_eq!(key.octets(), &octets[..len]);
            for wrong in [0, 39, 41, 256] {
                assert_eq!(Key::new(&octets[..wrong], stated).err(), Some(len));
            }
        }
    }

    #[test]
    fn entries_of_a_short_group_are_those_of_the_mask() {
        let queues: Vec<u16> = (7..17).collect();
        let short = group(&queues);
        assert_eq!(short.mask, (1 << 10) - 1);
        assert_eq!(short.reta[..10], queues);
        let whole = group(&[3; GROUP]);
        assert_eq!((whole.mask, whole.reta), (u64::MAX, [3; GROUP]));
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
