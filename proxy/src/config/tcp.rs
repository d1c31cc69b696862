//! `[tcp]`, and what each `[[listener]]` and `[[backend_group]]` says about its connections.
//!
//! An engine is chosen for each of them; congestion control, pacing, ECN,
//! SACK and time stamps belong to that choice.
//! What `[tcp]` says is the same for all connections: keepalive of both engines, and the windows
//! and timeouts of the native one, whose memory follows the bytes and not the windows.

use core::ops::Range;
use core::ops::RangeInclusive;
use core::time::Duration;

use netstack::tcp::{Algorithm, EngineKind};
use toml::Spanned;

use super::fault::Caution;
use super::report::Findings;
use super::section::Section;
use super::value;

/// A window holds a few segments, and no more than RFC 7323 section 2.3 can announce.
const WINDOW: RangeInclusive<u64> = 4 << 10..=1 << 30;
/// The first window is the smallest that a native connection has without need.
const LEAST_FIRST_WINDOW: u64 = 2 << 10;
/// Below, delayed acknowledgments would be taken for losses; above is RFC 6298 itself.
const RTO_FLOOR: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1);

/// `[tcp]`: what holds for all TCP connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TcpConfig {
    /// `receive_max = "16MiB"`: bytes that a peer of a native connection may send ahead of who
    /// reads them; the window grows up to that as the path needs it.
    pub receive_max: usize,
    /// `send_max = "4MiB"`: bytes to a peer of a native connection that it has not acknowledged.
    pub send_max: usize,
    /// `first_window = "64KiB"`: the window that a native connection offers at first; at most
    /// `receive_max`.
    pub first_window: usize,
    /// `rto_floor = "200ms"`: the least retransmission timeout of a native connection above its
    /// round-trip time.
    pub rto_floor: Duration,
    /// `keepalive_interval = "15s"`: time between the probes of a peer that has been silent for
    /// `keepalive` in `[timeouts]`.
    pub keepalive_interval: Duration,
    /// `keepalive_probes = 3`: probes without an answer after which a native connection is given
    /// up.
    pub keepalive_probes: u8,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            receive_max: 16 << 20,
            send_max: 4 << 20,
            first_window: 64 << 10,
            rto_floor: Duration::from_millis(200),
            keepalive_interval: Duration::from_secs(15),
            keepalive_probes: 3,
        }
    }
}

/// How the connections of a listener or of a backend group are run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key that is true or false"
)]
pub struct EngineConfig {
    /// `engine`: `"native"` or `"smoltcp"`.
    pub engine: EngineKind,
    /// `congestion = "cubic"`, of the native engine.
    pub congestion: Algorithm,
    /// `pacing = false`: whether the native engine spreads segments over the round-trip time.
    /// BBR always does.
    pub pacing: bool,
    /// `ecn = false`: whether the native engine asks for ECN and agrees to it.
    pub ecn: bool,
    /// `sack = true`: whether the native engine offers SACK and agrees to it.
    pub sack: bool,
    /// `timestamps = true`: whether the native engine offers time stamps and agrees to them.
    pub timestamps: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            engine: EngineKind::default(),
            congestion: Algorithm::default(),
            pacing: false,
            ecn: false,
            sack: true,
            timestamps: true,
        }
    }
}

impl EngineConfig {
    /// The words of the configuration file for an engine.
    pub const ENGINES: [(&'static str, EngineKind); 2] = [
        ("native", EngineKind::Native),
        ("smoltcp", EngineKind::Smoltcp),
    ];

    /// The words of the configuration file for congestion control.
    pub const ALGORITHMS: [(&'static str, Algorithm); 3] = [
        ("cubic", Algorithm::Cubic),
        ("newreno", Algorithm::NewReno),
        ("bbr", Algorithm::Bbr),
    ];

    /// Whether segments are paced: asked for, or part of the algorithm.
    pub fn paces(self) -> bool {
        self.pacing || self.congestion == Algorithm::Bbr
    }
}

/// Reads the keys of a listener or a group that are about its connections.
pub(super) fn engine(section: &mut Section<'_>, findings: &mut Findings) -> EngineConfig {
    let default = EngineConfig::default();
    let engine = section.or("engine", default.engine, findings, |value| {
        value::choice(value, &EngineConfig::ENGINES)
    });
    let congestion = section.optional("congestion", findings, |value| {
        value::choice(value, &EngineConfig::ALGORITHMS)
    });
    let pacing = section.optional("pacing", findings, value::boolean);
    let ecn = section.optional("ecn", findings, value::boolean);
    let sack = section.optional("sack", findings, value::boolean);
    let timestamps = section.optional("timestamps", findings, value::boolean);
    if engine == EngineKind::Smoltcp {
        let given = [
            ("congestion", congestion.as_ref().map(Spanned::span)),
            ("pacing", pacing.as_ref().map(Spanned::span)),
            ("ecn", ecn.as_ref().map(Spanned::span)),
            ("sack", sack.as_ref().map(Spanned::span)),
            ("timestamps", timestamps.as_ref().map(Spanned::span)),
        ];
        for (key, span) in given {
            if let Some(span) = span {
                findings.warn(span, section.subject(key), Caution::OnlyWhenNative);
            }
        }
    } else if let (Some(Algorithm::Bbr), Some(pacing)) = (
        congestion.as_ref().map(|congestion| *congestion.get_ref()),
        &pacing,
    ) && !pacing.get_ref()
    {
        findings.warn(pacing.span(), section.subject("pacing"), Caution::BbrPaces);
    }
    EngineConfig {
        engine,
        congestion: congestion.map_or(default.congestion, Spanned::into_inner),
        pacing: pacing.map_or(default.pacing, Spanned::into_inner),
        ecn: ecn.map_or(default.ecn, Spanned::into_inner),
        sack: sack.map_or(default.sack, Spanned::into_inner),
        timestamps: timestamps.map_or(default.timestamps, Spanned::into_inner),
    }
}

/// Reads `[tcp]`; also returns the place of `first_window`, or where it could be written.
pub(super) fn tcp(root: &mut Section<'_>, findings: &mut Findings) -> (TcpConfig, Range<usize>) {
    let default = TcpConfig::default();
    let Some(mut section) = root.table("tcp", "[tcp]", findings) else {
        return (default, root.span());
    };
    let mut window = |key, default: usize, findings: &mut Findings| {
        section.or(key, default, findings, |value| {
            value::size(value, WINDOW).map(|bytes| bytes as usize)
        })
    };
    let receive_max = window("receive_max", default.receive_max, findings);
    let send_max = window("send_max", default.send_max, findings);
    let first_window = section.optional("first_window", findings, |value| {
        let possible = LEAST_FIRST_WINDOW..=receive_max as u64;
        value::size(value, possible).map(|bytes| bytes as usize)
    });
    let first_window_span = first_window
        .as_ref()
        .map_or_else(|| section.span(), Spanned::span);
    let rto_floor = section.or("rto_floor", default.rto_floor, findings, |value| {
        value::duration_within(value, RTO_FLOOR)
    });
    let keepalive_interval = section.or(
        "keepalive_interval",
        default.keepalive_interval,
        findings,
        value::duration,
    );
    let keepalive_probes = section.or(
        "keepalive_probes",
        default.keepalive_probes,
        findings,
        |value| value::integer(value, 1..=100),
    );
    section.finish(findings);
    let tcp = TcpConfig {
        receive_max,
        send_max,
        first_window: first_window.map_or_else(
            || default.first_window.min(receive_max),
            Spanned::into_inner,
        ),
        rto_floor,
        keepalive_interval,
        keepalive_probes,
    };
    (tcp, first_window_span)
}
