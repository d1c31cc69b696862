//! What a port counts, and the state of its link.

use core::ffi::{CStr, c_char};
use core::ptr;

use dpdk_sys as sys;

use crate::error::{DpdkError, check};

/// What every port counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PortStats {
    /// Frames received.
    pub rx_frames: u64,
    /// Octets of the frames received.
    pub rx_octets: u64,
    /// Frames that came and were lost because no descriptor was free.
    pub rx_missed: u64,
    /// Frames that came damaged.
    pub rx_errors: u64,
    /// Times that no buffer could be had for a frame.
    pub rx_no_buffer: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Octets of the frames sent.
    pub tx_octets: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
}

/// A counter of one driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtendedStat {
    /// The driver's name for it, such as `rx_q0_packets`.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkState {
    /// Whether frames can pass.
    pub up: bool,
    /// Mbit/s; `None` if the driver does not know.
    pub speed_mbit: Option<u32>,
    /// Whether both directions work at once.
    pub full_duplex: bool,
}

/// The basic counters of a port.
pub(crate) fn basic(port: u16, name: &str) -> Result<PortStats, DpdkError> {
    let mut stats = sys::rte_eth_stats::default();
    // SAFETY: any port number is checked by DPDK; `stats` lives through the call.
    let code = unsafe { sys::rte_eth_stats_get(port, &raw mut stats) };
    check("rte_eth_stats_get", name, code)?;
    Ok(PortStats {
        rx_frames: stats.ipackets,
        rx_octets: stats.ibytes,
        rx_missed: stats.imissed,
        rx_errors: stats.ierrors,
        rx_no_buffer: stats.rx_nombuf,
        tx_frames: stats.opackets,
        tx_octets: stats.obytes,
        tx_errors: stats.oerrors,
    })
}

/// All counters of a port with the driver's names.
pub(crate) fn extended(port: u16, name: &str) -> Result<Vec<ExtendedStat>, DpdkError> {
    // SAFETY: any port number is checked by DPDK; no room means that it only counts.
    let count = unsafe { sys::rte_eth_xstats_get_names(port, ptr::null_mut(), 0) };
    let count = check("rte_eth_xstats_get_names", name, count)?;
    let mut names = vec![sys::rte_eth_xstat_name { name: [0; 64] }; count as usize];
    // SAFETY: as above, with room for `count` names.
    let named = unsafe { sys::rte_eth_xstats_get_names(port, names.as_mut_ptr(), count) };
    let named = check("rte_eth_xstats_get_names", name, named)?;
    let mut values = vec![sys::rte_eth_xstat::default(); count as usize];
    // SAFETY: as above, with room for `count` values.
    let valued = unsafe { sys::rte_eth_xstats_get(port, values.as_mut_ptr(), count) };
    let valued = check("rte_eth_xstats_get", name, valued)?;
    // Should the number change between the calls, what has both a name and a value is told.
    names.truncate(named as usize);
    values.truncate(valued as usize);
    let stats = values.iter().filter_map(|stat| {
        let name = names.get(usize::try_from(stat.id).ok()?)?;
        Some(ExtendedStat {
            name: text(&name.name),
            value: stat.value,
        })
    });
    Ok(stats.collect())
}

/// The state of a port's link.
pub(crate) fn link(port: u16, name: &str) -> Result<LinkState, DpdkError> {
    let mut link = sys::dpdk_shim_link::default();
    // SAFETY: any port number is checked by DPDK; `link` lives through the call.
    let code = unsafe { sys::dpdk_shim_link(port, &raw mut link) };
    check("rte_eth_link_get_nowait", name, code)?;
    // DPDK has 0 for "none" and all ones for "unknown".
    let speed = link.speed_mbit;
    Ok(LinkState {
        up: link.up != 0,
        speed_mbit: (speed != 0 && speed != u32::MAX).then_some(speed),
        full_duplex: link.full_duplex != 0,
    })
}

/// A name in a field of fixed size.
pub(crate) fn text(field: &[c_char]) -> String {
    let octets: Vec<u8> = field.iter().map(|&octet| octet.cast_unsigned()).collect();
    CStr::from_bytes_until_nul(&octets)
        .map(|text| text.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_nul() {
        let field = b"rx\0tx\0".map(u8::cast_signed);
        assert_eq!(text(&field), "rx");
        assert_eq!(text(&[1; 4]), "");
    }
}
