//! User-mode Linux, and net_tap in it: a live driver, whose kernel makes filters of flow rules.
//!
//! What runs in the guest is this program again, or a test of another package.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use weirgate_tests::rig::{FAMILIES, GATE_V4, GATE_V6, Page, Weirgate, fetch};
use weirgate_tests::uml::{Guest, NetTap, UmlError, run_inside, run_test};

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
        let mut tap =
            NetTap::start(&program, 2, "rules = false", &[Page::One, Page::Medium]).unwrap();
        for address in [GATE_V4, GATE_V6] {
            let ping = format!("ping -n -c 3 -i 0.2 -W 5 {address}");
            tap.namespace.exec(&ping).unwrap();
        }
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
