//! How Weirgate starts and ends: wrong configurations, and SIGTERM.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{
    Config, Driver, FAMILIES, Family, Page, Rig, Weirgate, temporary_directory, wait_until,
};

on_each_driver!(sigterm_lets_transfers_finish; smoltcp: sigterm_lets_transfers_finish);

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

fn sigterm_lets_transfers_finish(config: Config) {
    let config = config.timeout("drain", "60s");
    let Some(mut rig) = Rig::start(config, &Page::ALL) else {
        return;
    };
    // At least four seconds for the page.
    let slow = ["--limit-rate", "25M"];
    let fetch = thread::scope(|scope| {
        let transfer = scope.spawn(|| rig.fetch(Family::V4, Config::PORT, Page::Large, &slow));
        thread::sleep(Duration::from_secs(1));
        rig.weirgate.drain().unwrap();
        for family in FAMILIES {
            assert_refuses(&rig, family);
        }
        assert!(
            !transfer.is_finished(),
            "the transfer was over before the drain"
        );
        transfer.join().unwrap()
    });
    assert_eq!(fetch.exit_code, Some(0), "{}", fetch.errors);
    assert_eq!(fetch.checksum, rig.nginx.checksum(Page::Large));
    let status = rig.weirgate.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    // The driver of AF_XDP does not empty its rings when a port is closed.
    if rig.config.driver() == Driver::AfPacket {
        let log = rig.weirgate.process().log();
        assert!(log.contains("buffers_in_use=0"), "{log}");
    }
}

/// Waits until new connections are refused, by a reset.
fn assert_refuses(rig: &Rig, family: Family) {
    let address = SocketAddr::from((family.gate(), Config::PORT));
    let connect = || TcpStream::connect_timeout(&address, PATIENCE);
    wait_until("new connections to be refused", PATIENCE, || {
        match rig.topology.client.enter(connect)? {
            Ok(_) => Ok(false),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::ConnectionRefused,
                    "{family:?}: {error}"
                );
                Ok(true)
            }
        }
    })
    .unwrap();
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let program = match Weirgate::program() {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let directory = temporary_directory().unwrap();
    let path = directory.path().join("wrong.toml");
    let right = Config::new(Driver::AfPacket).to_toml("wrong", directory.path());
    let wrong = right.replace("backend_group = ", "backend_gruop = ");
    let line = 1 + wrong
        .lines()
        .position(|line| line.contains("gruop"))
        .unwrap();
    std::fs::write(&path, wrong).unwrap();
    for command in ["run", "check"] {
        let output = Command::new(&program)
            .args([command, "--config"])
            .arg(&path)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {errors}");
        assert!(
            errors.contains(&format!("wrong.toml:{line}")),
            "{command}: {errors}"
        );
        assert!(
            errors.contains("backend_group"),
            "{command} suggests nothing: {errors}"
        );
    }
}
