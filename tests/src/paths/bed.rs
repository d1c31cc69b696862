//! Where paths are measured: namespaces, Weirgate, servers, and the path.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;

use super::octets::OctetServer;
use super::transfer::{Outcome, Transfer, Way};
use crate::rig::{
    Config, Driver, GATE_V4, ImpairedPath, PEER_V4, PathCounters, PathImpairment, PathTopology,
    RigError, SERVER_V4, Weirgate, take_turn, temporary_directory, wait_until,
};

/// Whose TCP faces the path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stack {
    /// The kernel's, with a congestion control by the kernel's name.
    Linux(&'static str),
    /// Our own, with a congestion control by the kernel's name.
    Native(&'static str),
    /// smoltcp's.
    Smoltcp,
}

/// The place. Parts are dropped in the order of the fields.
#[derive(Debug)]
pub struct Bed {
    path: ImpairedPath,
    /// Behind Weirgate, and then in the Linux host one for each congestion control.
    behind: OctetServer,
    beside: Vec<OctetServer>,
    weirgate: Weirgate,
    topology: PathTopology,
    directory: TempDir,
    _turn: File,
}

impl Bed {
    /// Builds it all.
    pub fn start() -> Result<Self, RigError> {
        let turn = take_turn()?;
        let directory = temporary_directory()?;
        let config = config();
        let topology = PathTopology::new(config.driver().queues())?;
        let path = ImpairedPath::start(&topology.road, PathTopology::NEAR, PathTopology::FAR)?;
        let behind = OctetServer::start(&topology.server, BACKEND_PORT, "cubic")?;
        let beside = ALGORITHMS
            .iter()
            .map(|(name, port, _)| OctetServer::start(&topology.peer, *port, name));
        let beside = beside.collect::<Result<_, _>>()?;
        let program = Weirgate::program().map_err(|reason| RigError::Timeout(reason))?;
        let weirgate = Weirgate::start(&program, &topology.gate, &config, directory.path())?;
        let bed = Self {
            path,
            behind,
            beside,
            weirgate,
            topology,
            directory,
            _turn: turn,
        };
        bed.warm_up()?;
        Ok(bed)
    }

    /// Changes the path; see [`ImpairedPath::change`].
    pub fn change_path(&self, impairment: PathImpairment) -> PathCounters {
        self.path.change(impairment)
    }

    /// The namespaces.
    pub fn topology(&self) -> &PathTopology {
        &self.topology
    }

    /// Weirgate.
    pub fn weirgate(&self) -> &Weirgate {
        &self.weirgate
    }

    /// Where files of this bed are.
    pub fn directory(&self) -> &TempDir {
        &self.directory
    }

    /// Transfers over the path as `impairment` makes it, to all of `stacks` at once, and returns
    /// what came of it and what the path did.
    ///
    /// # Panics
    /// If the path's thread has panicked.
    pub fn measure(
        &self,
        impairment: PathImpairment,
        stacks: &[Stack],
        transfer: &Transfer,
    ) -> Result<(Outcome, PathCounters), RigError> {
        let addresses: Vec<_> = stacks.iter().map(|stack| stack.address()).collect();
        let before = self.received();
        self.change_path(impairment);
        let run = || transfer.run(&addresses);
        let (flows, mut outcome) = self.topology.client.enter(run)?;
        if transfer.way == Way::Upload {
            outcome.arrived = self.received() - before;
        }
        let counters = self.change_path(PathImpairment::default());
        drop(flows);
        let servers = || self.beside.iter().chain([&self.behind]);
        wait_until("connections to end", PATIENCE, || {
            Ok(servers().all(|server| server.connections() == 0))
        })?;
        Ok((outcome, counters))
    }

    /// Octets that all servers received.
    fn received(&self) -> u64 {
        let servers = self.beside.iter().chain([&self.behind]);
        servers.map(OctetServer::received).sum()
    }

    /// Lets everybody find out where the others are.
    fn warm_up(&self) -> Result<(), RigError> {
        let transfer = Transfer {
            way: Way::Download,
            flows: 1,
            octets: 100,
            patience: PATIENCE,
        };
        let stacks = [
            Stack::Linux("cubic"),
            Stack::Native("cubic"),
            Stack::Smoltcp,
        ];
        let (outcome, _) = self.measure(PathImpairment::default(), &stacks, &transfer)?;
        match outcome.arrived {
            300 => Ok(()),
            _ => Err(RigError::Timeout(format!(
                "100 octets from each of {stacks:?}"
            ))),
        }
    }
}

impl Stack {
    /// The congestion controls that both know, by the kernel's names.
    pub const CONGESTION: [&str; 3] = [ALGORITHMS[0].0, ALGORITHMS[1].0, ALGORITHMS[2].0];

    /// Where it listens.
    fn address(self) -> SocketAddr {
        let port = |name| {
            let known = ALGORITHMS.iter().find(|(known, _, _)| *known == name);
            known.expect("a known congestion control").1
        };
        let (address, port) = match self {
            Self::Linux(name) => (PEER_V4, port(name)),
            Self::Native(name) => (GATE_V4, port(name)),
            Self::Smoltcp => (GATE_V4, SMOLTCP_PORT),
        };
        let address: IpAddr = address.parse().expect("a constant address");
        SocketAddr::new(address, port)
    }
}

/// Weirgate with a listener for each kind of connection, all with the same server behind.
fn config() -> Config {
    let backend = format!("{SERVER_V4}:{BACKEND_PORT}");
    let config = Config::new(Driver::AfPacket)
        .serve("smoltcp", SMOLTCP_PORT, &[&backend])
        .engine(&[("engine", "smoltcp")]);
    ALGORITHMS
        .iter()
        .fold(config, |config, (name, port, keys)| {
            config.serve(name, *port, &[&backend]).engine(keys)
        })
}

/// The kernel's name of a congestion control, the port for it, and Weirgate's configuration.
type Algorithm = (&'static str, u16, &'static [(&'static str, &'static str)]);

const ALGORITHMS: [Algorithm; 3] = [
    (
        "cubic",
        9001,
        &[("engine", "native"), ("congestion", "cubic")],
    ),
    (
        "reno",
        9002,
        &[("engine", "native"), ("congestion", "newreno")],
    ),
    ("bbr", 9003, &[("engine", "native"), ("congestion", "bbr")]),
];
const SMOLTCP_PORT: u16 = 9009;
const BACKEND_PORT: u16 = 9000;
/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(10);
