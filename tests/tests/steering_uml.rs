//! Flow rules on a live driver: net_tap in user-mode Linux, whose kernel makes filters of rules.
//!
//! What runs in the guest is this program again, or a test of another package.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use weirgate_tests::rig::{FAMILIES, Family, GATE_V4, GATE_V6, Page, Weirgate, fetch};
use weirgate_tests::uml::{Fate, Filter, Guest, NetTap, UmlError, run_inside, run_test};

#[test]
fn a_command_runs_in_a_guest() {
    let Some(guest) = Guest::new() else {
        return;
    };
    let mut command = Command::new("sh");
    command.args(["-c", "grep vendor_id /proc/cpuinfo; pwd; exit 7"]);
    command.current_dir("/usr");
    let outcome = guest.run(&command);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.status, 7, "{}", outcome.console);
    for line in ["vendor_id\t: User Mode Linux", "/usr"] {
        let mut lines = outcome.console.lines();
        assert!(lines.any(|other| other == line), "{}", outcome.console);
    }
}

#[test]
fn a_guest_that_hangs_is_killed() {
    let Some(guest) = Guest::new() else {
        return;
    };
    let guest = guest.patience(Duration::from_secs(5));
    let start = Instant::now();
    let mut command = Command::new("sh");
    let error = guest.run(command.args(["-c", "echo sleeping; sleep 1000"]));
    let UmlError::Timeout { console, .. } = error.unwrap_err() else {
        panic!("it ended by itself");
    };
    assert!(console.contains("sleeping"), "{console}");
    assert!(start.elapsed() < Duration::from_mins(1));
}

/// The test of dpdk-io, which says so and passes where the kernel has no filters.
#[test]
fn each_class_comes_on_its_queue() {
    let Some(guest) = Guest::new() else {
        return;
    };
    let dpdk = Command::new("pkg-config")
        .args(["--exists", "libdpdk"])
        .status();
    if !dpdk.is_ok_and(|status| status.success()) {
        println!("skipped: no DPDK to build dpdk-io with");
        return;
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(test_program(&workspace, "flow_tap"));
    command.args(["each_class_comes_on_its_queue", "--exact", "--nocapture"]);
    command.current_dir(workspace.join("dpdk-io"));
    let console = run_test(&guest, &mut command);
    assert!(!console.contains("skipped"), "{console}");
}

/// Builds a test program as `cargo xtask ci` does, which is where there is nothing to build then.
fn test_program(workspace: &Path, name: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["test", "--workspace", "--features", "proxy/dpdk"])
        .args(["--no-run", "--message-format=json", "--test", name])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages.lines();
    let mut messages = messages.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.find_map(|message| {
        let is_it = message["target"]["name"] == name && message["profile"]["test"] == true;
        message["executable"]
            .as_str()
            .filter(|_| is_it)
            .map(PathBuf::from)
    });
    program.expect("cargo names the program that it built")
}

#[test]
fn pages_arrive_over_net_tap() {
    let program = match Weirgate::program() {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    run_inside("pages_arrive_over_net_tap", || {
        let mut tap = NetTap::start(&program, &[Page::One, Page::Medium]).unwrap();
        ping(&tap, GATE_V4);
        ping(&tap, GATE_V6);
        for family in FAMILIES {
            for port in NetTap::PORTS {
                for page in [Page::One, Page::Medium] {
                    let url = family.url(port, page.file_name());
                    let fetch = fetch(&tap.namespace, &url, tap.directory.path(), &[]).unwrap();
                    assert_eq!(fetch.exit_code, Some(0), "{url}: {}", fetch.errors);
                    assert_eq!(fetch.size, page.size(), "{url}");
                    assert_eq!(fetch.checksum, tap.nginx.checksum(page), "{url}");
                }
            }
        }
        assert!(tap.weirgate.stop().unwrap().success());
        println!("{}", tap.weirgate.process().log());
    });
}

/// A class of traffic: the keys of the filter that is for it, and what sends some of it.
type Class = (&'static [(&'static str, &'static str)], fn(&NetTap));

/// Everything for Weirgate, and something that is not.
const CLASSES: [Class; 7] = [
    (
        &[
            ("eth_type", "ipv4"),
            ("ip_proto", "tcp"),
            ("dst_ip", GATE_V4),
        ],
        |tap| {
            fetch_one(tap, Family::V4);
        },
    ),
    (
        &[
            ("eth_type", "ipv6"),
            ("ip_proto", "tcp"),
            ("dst_ip", GATE_V6),
        ],
        |tap| {
            fetch_one(tap, Family::V6);
        },
    ),
    (&[("eth_type", "ipv4"), ("dst_ip", GATE_V4)], |tap| {
        ping(tap, GATE_V4);
    }),
    (&[("eth_type", "ipv6"), ("dst_ip", GATE_V6)], |tap| {
        ping(tap, GATE_V6);
    }),
    // Who has 10.64.0.1?
    (&[("dst_mac", "ff:ff:ff:ff:ff:ff")], |tap| {
        tap.namespace.ip("-4 neigh flush dev dtap0").unwrap();
        ping(tap, GATE_V4);
    }),
    // Who has fd64::1?
    (
        &[("eth_type", "ipv6"), ("dst_ip", "ff02::1:ff00:1")],
        |tap| {
            tap.namespace.ip("-6 neigh flush dev dtap0").unwrap();
            ping(tap, GATE_V6);
        },
    ),
    // A packet to somebody else, in a frame for nobody in particular.
    (&[("eth_type", "ipv4")], |tap| {
        let neighbor = "neigh replace 10.64.0.77 lladdr ff:ff:ff:ff:ff:ff dev dtap0";
        tap.namespace.ip(neighbor).unwrap();
        let lost = tap.namespace.exec("ping -n -c 1 -W 1 10.64.0.77");
        lost.unwrap_err();
    }),
];

#[test]
fn rules_steer_each_class_to_the_promised_queue() {
    let program = match Weirgate::program() {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    run_inside("rules_steer_each_class_to_the_promised_queue", || {
        let mut tap = NetTap::start(&program, &[Page::One]).unwrap();
        let log = tap.weirgate.process().log();
        let installed = log.lines().filter(|line| line.contains("rule installed"));
        let filters = Filter::list(&tap.namespace).unwrap();
        assert!(!filters.is_empty(), "no rules in the kernel");
        assert_eq!(filters.len(), installed.count(), "{filters:#?}");
        for (keys, send) in CLASSES {
            let before = packets(&tap, keys);
            send(&tap);
            assert!(packets(&tap, keys) > before, "no filter counts {keys:?}");
        }
        let filters = Filter::list(&tap.namespace).unwrap();
        assert!(tap.weirgate.stop().unwrap().success());
        queues_have_what_filters_promise(&filters, &tap.weirgate.process().log());
        let interface = format!("/sys/class/net/{}", NetTap::INTERFACE);
        let gone = tap.namespace.enter(|| !fs::exists(interface).unwrap());
        assert!(gone.unwrap(), "the device outlives its process");
    });
}

/// Compares what filters sent to each queue with what Weirgate says of it in the end.
fn queues_have_what_filters_promise(filters: &[Filter], log: &str) {
    let of_queues = log.lines().filter(|line| line.contains("queue counters"));
    let received = of_queues.map(|line| {
        let value = |name: &str| {
            let mut fields = line
                .split_whitespace()
                .filter_map(|word| word.split_once('='));
            let (_, value) = fields.find(|(field, _)| *field == name)?;
            value.parse::<u64>().ok()
        };
        let read = value("queue").zip(value("rx_frames"));
        read.unwrap_or_else(|| panic!("no queue and rx_frames: {line}"))
    });
    let received: Vec<_> = received.collect();
    assert!(!received.is_empty(), "no counters of queues:\n{log}");
    for (queue, frames) in received {
        let promised = |filter: &&Filter| filter.fate == Fate::Queue(queue as u16);
        let promised: u64 = filters
            .iter()
            .filter(promised)
            .map(|filter| filter.packets)
            .sum();
        // Some came after the filters were asked.
        assert!(
            frames >= promised && frames <= promised + 20,
            "{frames} frames on queue {queue}, {promised} promised: {filters:#?}"
        );
    }
}

/// Packets that the filters with these keys matched.
fn packets(tap: &NetTap, keys: &[(&str, &str)]) -> u64 {
    let filters = Filter::list(&tap.namespace).unwrap();
    let filters = filters.iter().filter(|filter| filter.matches(keys));
    filters.map(|filter| filter.packets).sum()
}

fn ping(tap: &NetTap, address: &str) {
    let ping = format!("ping -n -c 3 -i 0.2 -W 5 {address}");
    tap.namespace.exec(&ping).unwrap();
}

fn fetch_one(tap: &NetTap, family: Family) {
    let url = family.url(NetTap::PORTS[0], Page::One.file_name());
    let fetch = fetch(&tap.namespace, &url, tap.directory.path(), &[]).unwrap();
    assert_eq!(fetch.exit_code, Some(0), "{url}: {}", fetch.errors);
}
