//! `weirgate check`: is the configuration sound, and what does it amount to?
//!
//! *Out*: a summary, after the warnings; or every error, and [`EXIT_CONFIG`].

use std::io::{self, Write};

use super::{CheckArgs, EXIT_CONFIG, EXIT_OK, load};
use crate::config::quantity::ByteSize;
use crate::config::{Balance, Config};

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
    writeln!(
        out,
        "  workers: {}, on lcores {}",
        config.workers(),
        list(&config.runtime.lcores)
    )?;
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
    }
    for group in &config.backend_groups {
        writeln!(out, "  group {}: {}", group.name, word(group.balance))?;
        for backend in &group.backends {
            write!(out, "    {} weight {}", backend.address, backend.weight)?;
            match backend.max_connections {
                Some(limit) => writeln!(out, ", at most {limit} connections")?,
                None => writeln!(out)?,
            }
        }
    }
    writeln!(
        out,
        "  memory: {} of rings for {} sessions, {} for DPDK",
        ByteSize(config.ring_memory()),
        config.limits.max_sessions,
        ByteSize(config.dpdk.memory)
    )
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
fn word(balance: Balance) -> &'static str {
    let word = Balance::WORDS.iter().find(|(_, named)| *named == balance);
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
            "port edge: 192.0.2.1/24, 2001:db8::1/64 on net_af_packet0, MTU 1500\n",
            "route to ::/0 via fe80::1\n",
            "listener web: 192.0.2.1:80, [2001:db8::1]:80, served by nginx\n",
            "group nginx: round_robin\n",
            "203.0.113.11:8080 weight 2\n",
            "memory: 2.4GiB of rings for 10000 sessions, 256MiB for DPDK\n",
        ] {
            assert!(out.contains(part), "{part:?} is missing: {out}");
        }
        assert!(err.contains("warning: `seed` in [runtime]"), "{err}");
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
