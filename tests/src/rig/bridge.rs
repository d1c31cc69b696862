//! Another program of DPDK between the wires and Weirgate, where Weirgate's ports are shared memory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proxy::cpus::Cpus;

use super::{Namespace, Process, RigError};

/// A testpmd that carries frames between the gate's interfaces and Weirgate's net_memif ports, queue
/// by queue: what the kernel spreads over the queues of a packet socket stays spread.
#[derive(Debug)]
pub struct Bridge {
    _process: Process,
}

impl Bridge {
    /// DPDK's program.
    pub const PROGRAM: &str = "dpdk-testpmd";

    /// The socket by which the port number `index` is found.
    pub fn socket(directory: &Path, index: usize) -> PathBuf {
        directory.join(format!("memif{index}"))
    }

    /// Starts it in `gate`, for ports of `queues` queues whose sockets are in `directory`, and waits
    /// until it has found Weirgate, which must run.
    ///
    /// # Panics
    /// If the kernel does not say which CPUs this process may use.
    pub fn start(gate: &Namespace, directory: &Path, queues: u16) -> Result<Self, RigError> {
        // It polls for ever: whoever has something to do goes first.
        let mut command = gate.command("nice");
        command.args(["-n", "19", Self::PROGRAM, "--no-huge", "-m", "256"]);
        command.args(["--no-pci", "--no-telemetry"]);
        command.arg(format!("--file-prefix={}-bridge", gate.name()));
        // One thread for its commands, another that carries.
        let cpus = Cpus::allowed().expect("the kernel says which CPUs may be used");
        command.arg(format!("--lcores=0@({cpus}),1@({cpus})"));
        // Frames go between the first port and the second, the third and the fourth.
        for (index, interface) in [(0, "g0"), (1, "g1")] {
            let socket = Self::socket(directory, index);
            command.arg(format!(
                "--vdev=net_memif{index},role=client,socket={},socket-abstract=no",
                socket.display()
            ));
            command.arg(format!(
                "--vdev=net_af_packet{index},iface={interface},qpairs={queues},framecnt=4096"
            ));
        }
        command.args(["--", "--forward-mode=io", "--port-topology=paired"]);
        command.arg(format!("--rxq={queues}"));
        command.arg(format!("--txq={queues}"));
        // With this it asks for no key.
        command.args(["--nb-cores=1", "--stats-period=3600"]);
        command.arg("--total-num-mbufs=16384");
        let mut process = Process::start(&mut command, &directory.join("bridge.log"))?;
        process.wait_until_ready(Duration::from_mins(1), |process| {
            process.log().contains("packet forwarding - ports=4")
        })?;
        Ok(Self { _process: process })
    }
}
