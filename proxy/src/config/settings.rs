//! The tables that stand for themselves: `[dpdk]`, `[timeouts]`, `[buffers]`,
//! `[limits]` and `[log]`. Each function reads one; what is not in the file has its default.

use core::ops::{Range, RangeInclusive};
use core::time::Duration;

use toml::Spanned;
use toml::de::DeValue;
use tracing::level_filters::LevelFilter;

use super::fault::{Caution, Fault};
use super::report::Findings;
use super::section::Section;
use super::{
    BufferConfig, DpdkConfig, LimitConfig, LogConfig, LogFormat, MIN_SOURCE_PORTS_PER_WORKER,
    TimeoutConfig, value,
};

/// A ring holds at least one segment of the usual size, and no more than scaled windows carry.
const RING: RangeInclusive<u64> = 2 << 10..=16 << 20;
/// With fewer packets than that for its connections, a worker gets nowhere.
const CONNECTION_PACKETS_PER_WORKER: u32 = 256;
/// DPDK needs some memory for itself; the upper bound catches slips.
const MEMORY: RangeInclusive<u64> = 16 << 20..=4 << 40;
/// Entries of tables; the upper bound catches slips before memory is asked for.
const ENTRIES: RangeInclusive<usize> = 1..=16 << 20;

/// Reads `[dpdk]`; also returns the place of `memory`, or where it could be written.
pub(super) fn dpdk(root: &mut Section<'_>, findings: &mut Findings) -> (DpdkConfig, Range<usize>) {
    let default = DpdkConfig::default();
    let Some(mut section) = root.table("dpdk", "[dpdk]", findings) else {
        return (default, root.span());
    };
    let memory = section.optional("memory", findings, |value| {
        let memory = value::size(value, MEMORY)?;
        // DPDK is told a number of MiB.
        if memory.is_multiple_of(1 << 20) {
            Ok(memory)
        } else {
            Err(Fault::NotWholeMebibytes { bytes: memory })
        }
    });
    let memory_span = memory
        .as_ref()
        .map_or_else(|| section.span(), Spanned::span);
    let huge_pages = section.or("huge_pages", default.huge_pages, findings, value::boolean);
    let file_prefix = section.or("file_prefix", default.file_prefix, findings, value::name);
    let devices = section
        .list(
            "devices",
            "devices = [\"0000:03:00.0\"]",
            findings,
            value::pci_device,
        )
        .map_or_else(Vec::new, Spanned::into_inner);
    let vdevs = section
        .list(
            "vdevs",
            "vdevs = [\"net_af_packet0,iface=veth0\"]",
            findings,
            value::vdev,
        )
        .map_or_else(Vec::new, Spanned::into_inner);
    for (key, list) in [("devices", &devices), ("vdevs", &vdevs)] {
        let names = list
            .iter()
            .map(|device| (device.span(), value::device_name(device.get_ref())));
        findings.unique(&section.subject(key), names);
    }
    section.finish(findings);
    let dpdk = DpdkConfig {
        memory: memory.map_or(default.memory, Spanned::into_inner),
        huge_pages,
        file_prefix,
        devices: devices.into_iter().map(Spanned::into_inner).collect(),
        vdevs: vdevs.into_iter().map(Spanned::into_inner).collect(),
    };
    (dpdk, memory_span)
}

/// Reads `[timeouts]`.
pub(super) fn timeouts(root: &mut Section<'_>, findings: &mut Findings) -> TimeoutConfig {
    let default = TimeoutConfig::default();
    let Some(mut section) = root.table("timeouts", "[timeouts]", findings) else {
        return default;
    };
    let connect = section.optional("connect", findings, value::duration);
    let connect_span = connect.as_ref().map(Spanned::span);
    let mut above_zero = |key, default: Duration, findings: &mut Findings| {
        section.or(key, default, findings, value::duration)
    };
    let handshake = above_zero("handshake", default.handshake, findings);
    let connect_total = above_zero("connect_total", default.connect_total, findings);
    let fin_wait_2 = above_zero("fin_wait_2", default.fin_wait_2, findings);
    let time_wait = above_zero("time_wait", default.time_wait, findings);
    let proxy_header = above_zero("proxy_header", default.proxy_header, findings);
    let client_hello = above_zero("client_hello", default.client_hello, findings);
    let mut or_off = |key, default: Option<Duration>, findings: &mut Findings| {
        section.or(key, default, findings, value::duration_or_off)
    };
    let timeouts = TimeoutConfig {
        handshake,
        connect: connect.map_or(default.connect, Spanned::into_inner),
        connect_total,
        idle: or_off("idle", default.idle, findings),
        half_closed: or_off("half_closed", default.half_closed, findings),
        fin_wait_2,
        time_wait,
        keepalive: or_off("keepalive", default.keepalive, findings),
        user: or_off("user", default.user, findings),
        proxy_header,
        client_hello,
        drain: section.or("drain", default.drain, findings, value::duration_or_zero),
    };
    if timeouts
        .half_closed
        .is_none_or(|half_closed| half_closed > timeouts.fin_wait_2)
    {
        let subject = section.subject("half_closed");
        findings.warn(section.span(), subject, Caution::HalfClosedCutShort);
    }
    if timeouts.connect > timeouts.connect_total {
        let span = connect_span.unwrap_or_else(|| section.span());
        findings.warn(
            span,
            section.subject("connect"),
            Caution::ConnectOutlivesBudget,
        );
    }
    section.finish(findings);
    timeouts
}

/// Where sizes that depend on other things are written, or could be.
pub(super) struct BufferSpans {
    pub(super) packets: Range<usize>,
    pub(super) connection_packets: Range<usize>,
    pub(super) client_receive: Range<usize>,
}

/// Reads `[buffers]`.
pub(super) fn buffers(
    root: &mut Section<'_>,
    workers: usize,
    findings: &mut Findings,
) -> (BufferConfig, BufferSpans) {
    let default = BufferConfig::default();
    let Some(mut section) = root.table("buffers", "[buffers]", findings) else {
        let spans = BufferSpans {
            packets: root.span(),
            connection_packets: root.span(),
            client_receive: root.span(),
        };
        return (default, spans);
    };
    let read_ring = |value: &DeValue<'_>| value::size(value, RING).map(|bytes| bytes as usize);
    let client_receive = section.optional("client_receive", findings, read_ring);
    let client_receive_span = client_receive.as_ref().map(Spanned::span);
    let mut ring = |key, default: usize, findings: &mut Findings| {
        section.or(key, default, findings, read_ring)
    };
    let client_send = ring("client_send", default.client_send, findings);
    let backend_receive = ring("backend_receive", default.backend_receive, findings);
    let backend_send = ring("backend_send", default.backend_send, findings);
    let packets = section.optional("packets", findings, |value| {
        value::integer(value, 0..=u32::MAX >> 4)
    });
    let least = (workers as u32).saturating_mul(CONNECTION_PACKETS_PER_WORKER);
    let connection_packets =
        section.optional(
            "connection_packets",
            findings,
            |value| match value::integer(value, 0..=u32::MAX >> 4)? {
                0 => Ok(0),
                _ => value::integer(value, least..=u32::MAX >> 4),
            },
        );
    let span_of = |value: &Option<Spanned<u32>>| {
        let span = value.as_ref().map(Spanned::span);
        span.unwrap_or_else(|| section.span())
    };
    let spans = BufferSpans {
        packets: span_of(&packets),
        connection_packets: span_of(&connection_packets),
        client_receive: client_receive_span.unwrap_or_else(|| section.span()),
    };
    section.finish(findings);
    let above_zero = |value: Option<Spanned<u32>>| {
        let value = value.map(Spanned::into_inner);
        value.filter(|packets| *packets != 0)
    };
    let buffers = BufferConfig {
        client_receive: client_receive.map_or(default.client_receive, Spanned::into_inner),
        client_send,
        backend_receive,
        backend_send,
        packets: above_zero(packets),
        connection_packets: above_zero(connection_packets),
    };
    (buffers, spans)
}

/// Reads `[limits]`, which are split among `workers`.
pub(super) fn limits(
    root: &mut Section<'_>,
    workers: usize,
    findings: &mut Findings,
) -> LimitConfig {
    let default = LimitConfig::default();
    let Some(mut section) = root.table("limits", "[limits]", findings) else {
        return default;
    };
    let source_ports = section.or("source_ports", default.source_ports, findings, |value| {
        let range = value::port_range(value)?;
        let least = workers * MIN_SOURCE_PORTS_PER_WORKER;
        if range.count() < least {
            return Err(Fault::TooFewSourcePorts {
                ports: range.count(),
                workers,
                least,
            });
        }
        Ok(range)
    });
    let mut entries = |key, default, findings: &mut Findings| {
        section.or(key, default, findings, |value| {
            let entries = value::integer(value, ENTRIES)?;
            value::share(entries as u64, workers, false).map(|()| entries)
        })
    };
    let max_sessions = entries("max_sessions", default.max_sessions, findings);
    let syn_backlog = entries("syn_backlog", default.syn_backlog, findings);
    let time_wait = entries("time_wait", default.time_wait, findings);
    let neighbors = entries("neighbors", default.neighbors, findings);
    let mut rate = |key, default, findings: &mut Findings| {
        section.or(key, default, findings, |value| {
            value::integer(value, 0..=100_000_000)
        })
    };
    let resets_per_second = rate("resets_per_second", default.resets_per_second, findings);
    let icmp_per_second = rate("icmp_per_second", default.icmp_per_second, findings);
    section.finish(findings);
    LimitConfig {
        max_sessions,
        syn_backlog,
        source_ports,
        time_wait,
        resets_per_second,
        icmp_per_second,
        neighbors,
    }
}

/// Reads `[log]`.
pub(super) fn log(root: &mut Section<'_>, findings: &mut Findings) -> LogConfig {
    let default = LogConfig::default();
    let Some(mut section) = root.table("log", "[log]", findings) else {
        return default;
    };
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let format = section.or("format", default.format, findings, |value| {
        value::choice(value, &formats)
    });
    let level = section.or("level", default.level, findings, |value| {
        value::choice(value, &levels)
    });
    let connections = section.or("connections", default.connections, findings, value::boolean);
    section.finish(findings);
    LogConfig {
        format,
        level,
        connections,
    }
}
