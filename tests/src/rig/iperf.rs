//! iperf3: bulk data in one direction, and how fast it went.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::{Namespace, Process, RigError};

/// A running iperf3 server.
#[derive(Debug)]
pub struct IperfServer {
    _process: Process,
}

/// Which end sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The client sends.
    Upload,
    /// The server sends.
    Download,
}

impl IperfServer {
    /// The port it listens on.
    pub const PORT: u16 = 5201;

    /// Starts the server in `namespace` and waits until it listens.
    pub fn start(namespace: &Namespace, directory: &Path) -> Result<Self, RigError> {
        let mut command = namespace.command("iperf3");
        command.arg("--server");
        let mut process = Process::start(&mut command, &directory.join("iperf3.log"))?;
        process.wait_until_ready(Duration::from_secs(10), |_| {
            namespace
                .exec("ss --listening --tcp --numeric --no-header sport = :5201")
                .is_ok_and(|sockets| !sockets.is_empty())
        })?;
        Ok(Self { _process: process })
    }

    /// Runs a client in `namespace` for two seconds; returns the octets that arrived.
    pub fn measure(
        namespace: &Namespace,
        server: IpAddr,
        direction: Direction,
    ) -> Result<u64, RigError> {
        let reverse = match direction {
            Direction::Upload => "",
            Direction::Download => "--reverse",
        };
        let command = format!("iperf3 --client {server} --time 2 --json {reverse}");
        let output = namespace.exec(&command)?;
        let report: serde_json::Value = serde_json::from_str(&output).unwrap_or_default();
        report["end"]["sum_received"]["bytes"]
            .as_u64()
            .ok_or(RigError::Output { command, output })
    }
}
