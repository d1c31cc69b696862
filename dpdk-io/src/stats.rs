//! What a port counts, and the state of its link.

use core::ffi::{CStr, c_char};
use core::ops::Range;
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

/// What is counted of one RX queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueStats {
    /// Its number on the port.
    pub queue: u16,
    /// Frames received.
    pub rx_frames: u64,
    /// Octets of the frames received.
    pub rx_octets: u64,
    /// Frames that came damaged or were lost.
    pub rx_errors: u64,
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
    let stats = read(port, name)?;
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

fn read(port: u16, name: &str) -> Result<sys::rte_eth_stats, DpdkError> {
    let mut stats = sys::rte_eth_stats::default();
    // SAFETY: any port number is checked by DPDK; `stats` lives through the call.
    let code = unsafe { sys::rte_eth_stats_get(port, &raw mut stats) };
    check("rte_eth_stats_get", name, code)?;
    Ok(stats)
}

/// The counters of the RX queues `queues` of a port.
pub(crate) fn of_queues(
    port: u16,
    name: &str,
    queues: Range<u16>,
) -> Result<Vec<QueueStats>, DpdkError> {
    let basic = read(port, name)?;
    let extended = extended(port, name)?;
    let stats = queues.filter_map(|queue| of_queue(queue, &basic, &extended));
    Ok(stats.collect())
}

/// The counters of one RX queue. Those by name are the better ones: where the driver counts in the
/// basic counters, DPDK makes names for these, which have room for the first queues only; and some
/// drivers that have names leave the basic counters at 0, or sum all queues up in the first.
fn of_queue(
    queue: u16,
    basic: &sys::rte_eth_stats,
    extended: &[ExtendedStat],
) -> Option<QueueStats> {
    let named = |what| {
        let name = format!("rx_q{queue}_{what}");
        let stat = extended.iter().find(|stat| stat.name == name)?;
        Some(stat.value)
    };
    if let Some(rx_frames) = named("packets") {
        return Some(QueueStats {
            queue,
            rx_frames,
            rx_octets: named("bytes").unwrap_or(0),
            rx_errors: named("errors").unwrap_or(0),
        });
    }
    let index = usize::from(queue);
    Some(QueueStats {
        queue,
        rx_frames: *basic.q_ipackets.get(index)?,
        rx_octets: *basic.q_ibytes.get(index)?,
        rx_errors: *basic.q_errors.get(index)?,
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
    fn a_queue_is_counted_by_name_or_among_the_first() {
        let mut basic = sys::rte_eth_stats::default();
        let count = basic.q_ipackets.len() as u16;
        basic.q_ipackets[1] = 10;
        basic.q_ibytes[1] = 1000;
        basic.q_errors[1] = 1;
        let named = |name: &str, value| ExtendedStat {
            name: name.to_owned(),
            value,
        };
        let extended = [
            named("rx_q30_packets", 7),
            named("rx_q30_bytes", 700),
            named("rx_q0_packets", 3),
            named("rx_q0_errors", 2),
            named("tx_q1_packets", 99),
        ];
        let of = |queue| of_queue(queue, &basic, &extended);
        let stats = |queue, rx_frames, rx_octets, rx_errors| QueueStats {
            queue,
            rx_frames,
            rx_octets,
            rx_errors,
        };
        assert_eq!(of(0), Some(stats(0, 3, 0, 2)));
        assert_eq!(of(1), Some(stats(1, 10, 1000, 1)));
        assert_eq!(of(30), Some(stats(30, 7, 700, 0)));
        assert_eq!(of(3), Some(stats(3, 0, 0, 0)));
        assert_eq!(of(count), None);
    }

    #[test]
    fn names_end_at_the_first_nul() {
        let field = b"rx\0tx\0".map(u8::cast_signed);
        assert_eq!(text(&field), "rx");
        assert_eq!(text(&[1; 4]), "");
    }
}
