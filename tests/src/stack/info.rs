//! What an engine tells of a connection, by the names and in the units of Linux's `tcp_info`.
//!
//! Sizes that Linux counts in segments are divided by the largest segment, and rounded up: a small
//! segment is one too. Times are in microseconds. Differences: `tcpi_lost` leaves out what was sent
//! again since, `tcpi_reord_seen` only says whether, not how often, and delivery rate and times
//! begin anew after a connection had nothing to do for some seconds.

use core::time::Duration;

use netstack::tcp::{Info, Recovering};

use super::TcpInfo;

/// `tcpi_snd_ssthresh` while there is no threshold.
const NO_THRESHOLD: u64 = 0x7fff_ffff;

/// Linux's `tcp_reordering`: what it allows for in any case, in segments.
const LEAST_REORDERING: u32 = 3;

/// Adds everything of `info` but the state to `told`.
pub(super) fn tell(told: TcpInfo, info: &Info) -> TcpInfo {
    let segments = |octets: u32| u64::from(octets.div_ceil(info.smss.max(1)));
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let threshold = if info.ssthresh == u32::MAX {
        NO_THRESHOLD
    } else {
        u64::from(info.ssthresh / info.smss.max(1))
    };
    let recovering = match info.recovering {
        Recovering::No => 0,
        Recovering::Disorder => 1,
        Recovering::Reducing => 2,
        Recovering::Loss => 3,
        Recovering::Timeout => 4,
    };
    told.with("tcpi_ca_state", recovering)
        .with("tcpi_snd_mss", u64::from(info.smss))
        .with("tcpi_snd_cwnd", u64::from(info.cwnd / info.smss.max(1)))
        .with("tcpi_snd_ssthresh", threshold)
        .with("tcpi_unacked", segments(info.outstanding))
        .with("tcpi_sacked", segments(info.sacked))
        .with("tcpi_lost", segments(info.lost))
        .with("tcpi_retrans", segments(info.resent))
        .with("tcpi_bytes_retrans", u64::from(info.retransmitted))
        .with("tcpi_reord_seen", u64::from(info.reordering > 0))
        .with(
            "tcpi_reordering",
            u64::from(info.reordering.max(LEAST_REORDERING)),
        )
        .with("tcpi_delivery_rate", info.delivery_rate)
        .with(
            "tcpi_delivery_rate_app_limited",
            u64::from(info.app_limited),
        )
        .with("tcpi_busy_time", micros(info.times.busy))
        .with("tcpi_rwnd_limited", micros(info.times.window_limited))
        .with("tcpi_sndbuf_limited", micros(info.times.buffer_limited))
        .with("tcpi_rtt", micros(info.srtt))
        .with("tcpi_rttvar", micros(info.rttvar))
        .with("tcpi_min_rtt", micros(info.min_rtt))
        .with("tcpi_rto", micros(info.rto))
        .with("tcpi_backoff", u64::from(info.backoff))
        .with("tcpi_pacing_rate", info.pacing_rate.unwrap_or(u64::MAX))
        .with("tcpi_snd_wnd", u64::from(info.snd_wnd))
        .with("tcpi_rcv_wnd", u64::from(info.rcv_wnd))
        .with("tcpi_notsent_bytes", u64::from(info.unsent))
}
