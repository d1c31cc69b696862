//! `weirgate check`: is the configuration sound, and what does it amount to?
//!
//! *Out*: a summary, after the warnings; or every error, and [`EXIT_CONFIG`].

use std::io::{self, Write};

use super::{CheckArgs, EXIT_CONFIG, EXIT_OK, load};
use netstack::tcp::EngineKind;

use crate::config::quantity::{ByteSize, TimeSpan};
use crate::config::{
    AnnounceVersion, BackendGroupConfig, Balance, Config, EngineConfig, ListenerConfig, Pairing,
};

/// Checks a configuration file. Writes the summary to `out`, errors and warnings to `err`.
///
/// Returns the exit code.
///
/// # Errors
/// If nothing can be written to `out` or `err`.
pub fn check(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let Some(config) = load(&args.config, err, |_| true)? else {
        return Ok(EXIT_CONFIG);
    };
    writeln!(out, "{}: ok", args.config.display())?;
    summarize(&config, out)?;
    Ok(EXIT_OK)
}

fn summarize(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    summarize_lcores(config, out)?;
    summarize_steering(config, out)?;
    for port in &config.ports {
        let addresses = port.addresses.iter();
        let addresses = addresses.map(|own| format!("{}/{}", own.address, own.prefix_len));
        let addresses = list(&addresses.collect::<Vec<_>>());
        writeln!(
            out,
            "  port {}: {addresses} on {}, MTU {}",
            port.name, port.device, port.mtu
        )?;
        for route in &port.routes {
            writeln!(
                out,
                "    route to {}/{} via {}",
                route.to, route.prefix_len, route.via
            )?;
        }
    }
    for listener in &config.listeners {
        let group = &config.backend_group(listener.backend_group).name;
        let addresses = list(&listener.addresses);
        writeln!(
            out,
            "  listener {}: {addresses}, served by {group}",
            listener.name
        )?;
        summarize_preface(config, listener, out)?;
        summarize_engine(listener.engine, out)?;
    }
    for group in &config.backend_groups {
        let balance = word(&Balance::WORDS, group.balance);
        writeln!(out, "  group {}: {balance}", group.name)?;
        if let Some(announce) = &group.announce {
            let version = match announce.version {
                AnnounceVersion::V1 => 1,
                AnnounceVersion::V2 => 2,
            };
            writeln!(out, "    sends PROXY headers of version {version}")?;
        }
        summarize_engine(group.engine, out)?;
        summarize_health(group, out)?;
        for backend in &group.backends {
            write!(out, "    {} weight {}", backend.address, backend.weight)?;
            match backend.max_connections {
                Some(limit) => writeln!(out, ", at most {limit} connections")?,
                None => writeln!(out)?,
            }
        }
    }
    summarize_tcp(config, out)?;
    writeln!(
        out,
        "  memory: {} of rings for {} sessions, {} for DPDK",
        ByteSize(config.ring_memory()),
        config.limits.max_sessions,
        ByteSize(config.dpdk.memory)
    )
}

/// What runs where.
fn summarize_lcores(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "  workers: {}, on lcores {}",
        config.workers(),
        list(&config.runtime.lcores)
    )?;
    if !config.runtime.rx_lcores.is_empty() {
        let pairing = match config.runtime.pairing {
            Pairing::Numa => "those of their NUMA node, or all if there are none",
            Pairing::All => "all",
        };
        writeln!(
            out,
            "  receivers: {}, on lcores {}, for the workers: {pairing}",
            config.runtime.rx_lcores.len(),
            list(&config.runtime.rx_lcores)
        )?;
    }
    Ok(())
}

/// What devices are to do, and how many queues that may take.
fn summarize_steering(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let steering = &config.steering;
    let mut parts = vec![match (steering.rules, &steering.classes[..]) {
        (false, _) => "no flow rules".to_owned(),
        (true, []) => "flow rules for no class".to_owned(),
        (true, classes) => format!("flow rules for {}", list(classes)),
    }];
    let wishes = [
        (steering.rules && steering.isolate, "isolated"),
        (
            steering.rules && steering.drop_foreign,
            "other addresses dropped",
        ),
        (steering.symmetric, "symmetric"),
    ];
    let wishes = wishes.iter().filter(|(wanted, _)| *wanted);
    parts.extend(wishes.map(|(_, what)| (*what).to_owned()));
    let queues = config.most_queues();
    let most = queues.iter().map(|queues| queues.rx).max().unwrap_or(0);
    parts.push(format!("up to {most} receive queues a port"));
    writeln!(out, "  steering: {}", list(&parts))
}

/// What clients of a listener have to say first, and where that leads.
fn summarize_preface(
    config: &Config,
    listener: &ListenerConfig,
    out: &mut dyn Write,
) -> io::Result<()> {
    if let Some(trusted) = &listener.proxy_trusted {
        writeln!(
            out,
            "    PROXY headers from {}, and no other clients",
            list(trusted)
        )?;
    }
    let Some(passthrough) = &listener.passthrough else {
        return Ok(());
    };
    let others = if passthrough.strict {
        "refused"
    } else {
        "served as above"
    };
    writeln!(
        out,
        "    TLS passed through; clients without a route are {others}"
    )?;
    for route in &passthrough.routes {
        let group = &config.backend_group(route.backend_group).name;
        let conditions = [
            ("sni", list(&route.names)),
            ("alpn", list(&route.alpn)),
            ("source", list(&route.source)),
        ];
        let conditions = conditions.iter().filter(|(_, values)| !values.is_empty());
        let conditions: Vec<_> = conditions
            .map(|(key, values)| format!("{key} {values}"))
            .collect();
        writeln!(
            out,
            "    route {}: served by {group}",
            conditions.join("; ")
        )?;
    }
    Ok(())
}

/// How the connections of a listener or group are run.
fn summarize_engine(config: EngineConfig, out: &mut dyn Write) -> io::Result<()> {
    let engine = word(&EngineConfig::ENGINES, config.engine);
    if config.engine == EngineKind::Smoltcp {
        return writeln!(out, "    engine {engine}");
    }
    writeln!(
        out,
        "    engine {engine}, congestion {}, pacing {}, ECN {}, SACK {}, time stamps {}",
        word(&EngineConfig::ALGORITHMS, config.congestion),
        on_or_off(config.paces()),
        on_or_off(config.ecn),
        on_or_off(config.sack),
        on_or_off(config.timestamps),
    )
}

/// How it is found out which backends of a group serve.
fn summarize_health(group: &BackendGroupConfig, out: &mut dyn Write) -> io::Result<()> {
    if let Some(health) = &group.health {
        writeln!(
            out,
            "    checks {}: every {}, down after {} failures, up after {} successes",
            health.check.word(),
            TimeSpan(health.interval),
            health.fall,
            health.rise
        )?;
    }
    if let Some(ejection) = &group.ejection {
        writeln!(
            out,
            "    ejection: after {} failed sessions, for {} to {}, at most {}% of the backends",
            ejection.failures,
            TimeSpan(ejection.base),
            TimeSpan(ejection.max),
            ejection.max_share
        )?;
    }
    match group.slow_start {
        Some(time) => writeln!(out, "    slow start: {}", TimeSpan(time)),
        None => Ok(()),
    }
}

/// What all connections have in common, and the packets that there are for them.
fn summarize_tcp(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let tcp = &config.tcp;
    if let Some(idle) = config.timeouts.keepalive {
        writeln!(
            out,
            "  keepalive: after {}, {} probes, one every {}",
            TimeSpan(idle),
            tcp.keepalive_probes,
            TimeSpan(tcp.keepalive_interval),
        )?;
    }
    let budget = config.packet_budget_for(&config.most_queues());
    if config.uses(EngineKind::Native) {
        writeln!(
            out,
            "  native connections: windows from {} up to {} to receive and {} to send, RTO floor {}",
            ByteSize(tcp.first_window as u64),
            ByteSize(tcp.receive_max as u64),
            ByteSize(tcp.send_max as u64),
            TimeSpan(tcp.rto_floor),
        )?;
    }
    writeln!(
        out,
        "  packets: {} in the pool, of which connections hold up to {}",
        config.buffers.packets.unwrap_or(budget.buffers),
        budget.connections,
    )
}

fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// The elements, separated by commas.
fn list<T: ToString>(elements: &[T]) -> String {
    elements
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The word for it in the configuration file.
fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], meant: T) -> &'static str {
    let word = words.iter().find(|(_, named)| *named == meant);
    word.map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn checked(path: &str) -> (u8, String, String) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&CheckArgs { config }, &mut out, &mut err).unwrap();
        (
            code,
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    #[test]
    fn a_sound_configuration_is_summarized() {
        let (code, out, err) = checked("examples/weirgate.toml");
        assert_eq!(code, EXIT_OK);
        for part in [
            "weirgate.toml: ok\n",
            "workers: 2, on lcores 0, 1\n",
            "steering: flow rules for ipv4-tcp, ipv6-tcp, up to 3 receive queues a port\n",
            "port edge: 192.0.2.1/24, 2001:db8::1/64 on net_af_packet0, MTU 1500\n",
            "route to ::/0 via fe80::1\n",
            "listener web: 192.0.2.1:80, [2001:db8::1]:80, served by nginx\n",
            "    PROXY headers from 192.0.2.8/32, 2001:db8:8::/48, and no other clients\n",
            "    TLS passed through; clients without a route are served as above\n",
            "    route sni www.example, *.example; alpn h2, http/1.1; source 0.0.0.0/0: served by \
             nginx\n",
            "group nginx: round_robin\n    sends PROXY headers of version 2\n",
            "checks http: every 2s, down after 3 failures, up after 2 successes\n",
            "ejection: after 5 failed sessions, for 10s to 5m, at most 50% of the backends\n",
            "slow start: 30s\n",
            "203.0.113.11:8080 weight 2\n",
            "    engine smoltcp\n",
            "    engine native, congestion cubic, pacing off, ECN off, SACK on, time stamps on\n",
            "keepalive: after 75s, 3 probes, one every 15s\n",
            "native connections: windows from 64KiB up to 16MiB to receive and 4MiB to send, RTO \
             floor 200ms\n",
            "of which connections hold up to",
            "memory: 1.2GiB of rings for 10000 sessions, 256MiB for DPDK\n",
        ] {
            assert!(out.contains(part), "{part:?} is missing: {out}");
        }
        assert!(err.contains("warning: `seed` in [runtime]"), "{err}");
    }

    #[test]
    fn what_devices_are_to_do_is_summarized() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("w.toml");
        let summary = |lines: &str| {
            let example = include_str!("../../examples/readme.toml");
            let text = example.replacen("[runtime]", &format!("{lines}\n[runtime]"), 1);
            let text = text.replacen("idle =", "rx_lcores = [2]\nidle =", 1);
            std::fs::write(&path, text).unwrap();
            let (code, out, err) = checked(path.to_str().unwrap());
            assert_eq!((code, err.as_str()), (EXIT_OK, ""));
            out
        };
        let out = summary("[steering]\nisolate = true\nsymmetric = true");
        let expected = "  receivers: 1, on lcores 2, for the workers: those of their NUMA node, or \
                        all if there are none\n  steering: flow rules for ipv4-tcp, ipv6-tcp, \
                        isolated, symmetric, up to 1 receive queues a port\n";
        assert!(out.contains(expected), "{out}");
        let out = summary("[steering]\nrules = false");
        assert!(out.contains("steering: no flow rules, up to"), "{out}");
        let out = summary("[steering]\nclasses = []\ndrop_foreign = true");
        let expected = "flow rules for no class, other addresses dropped, up to";
        assert!(out.contains(expected), "{out}");
    }

    #[test]
    fn errors_are_shown_and_counted() {
        let (code, out, err) = checked("Cargo.toml");
        assert_eq!(code, EXIT_CONFIG);
        assert_eq!(out, "");
        assert!(
            err.contains("Cargo.toml:1:2: error: `package`: unknown key"),
            "{err}"
        );
        assert!(err.trim_end().ends_with("errors"), "{err}");
    }
}
