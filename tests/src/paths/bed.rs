//! Where paths are measured: namespaces, Weirgate, servers, and the path.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::octets::OctetServer;
use super::transfer::{Outcome, Transfer, Way};
use crate::rig::{
    Config, Driver, FAMILIES, Family, ImpairedPath, PEER_V4, PEER_V6, PathCounters, PathImpairment,
    PathTopology, RigError, SERVER_V4, Weirgate, take_turn, temporary_directory, wait_until,
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
    /// Behind Weirgate, and then in the Linux host one for each congestion control that its kernel
    /// has.
    behind: OctetServer,
    beside: Vec<(&'static str, OctetServer)>,
    _weirgate: Weirgate,
    topology: PathTopology,
    _directory: TempDir,
    _turn: File,
}

impl Bed {
    /// Builds it all, around the binary `program`; see [`Weirgate::program`].
    pub fn start(program: &Path) -> Result<Self, RigError> {
        let turn = take_turn()?;
        let directory = temporary_directory()?;
        let config = config();
        let topology = PathTopology::new(config.queues())?;
        let path = ImpairedPath::start(&topology.road, PathTopology::NEAR, PathTopology::FAR)?;
        let behind = OctetServer::start(&topology.server, BACKEND_PORT, "cubic")?;
        let mut beside = Vec::new();
        for (name, port, _) in ALGORITHMS {
            match OctetServer::start(&topology.peer, port, name) {
                Ok(server) => beside.push((name, server)),
                // The kernel was built without it.
                Err(RigError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let weirgate = Weirgate::start(program, &topology.gate, &config, directory.path())?;
        let bed = Self {
            path,
            behind,
            beside,
            _weirgate: weirgate,
            topology,
            _directory: directory,
            _turn: turn,
        };
        bed.warm_up()?;
        Ok(bed)
    }

    /// Changes the path; see [`ImpairedPath::change`].
    pub fn change_path(&self, impairment: PathImpairment) -> PathCounters {
        self.path.change(impairment)
    }

    /// Whether the kernel has the congestion control `name`, so that there is something to compare.
    pub fn has(&self, name: &str) -> bool {
        self.beside.iter().any(|(known, _)| *known == name)
    }

    /// The namespaces.
    pub fn topology(&self) -> &PathTopology {
        &self.topology
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
        let addresses: Vec<_> = stacks
            .iter()
            .map(|stack| stack.address(transfer.family))
            .collect();
        let before = self.received();
        self.change_path(impairment);
        let run = || transfer.run(&addresses);
        let (flows, mut outcome) = self.topology.client.enter(run)?;
        if transfer.way == Way::Upload {
            outcome.arrived = self.received() - before;
        }
        let counters = self.change_path(PathImpairment::default());
        drop(flows);
        wait_until("connections to end", PATIENCE, || {
            Ok(self.servers().all(|server| server.connections() == 0))
        })?;
        Ok((outcome, counters))
    }

    /// Octets that all servers received.
    fn received(&self) -> u64 {
        self.servers().map(OctetServer::received).sum()
    }

    fn servers(&self) -> impl Iterator<Item = &OctetServer> {
        let beside = self.beside.iter().map(|(_, server)| server);
        beside.chain([&self.behind])
    }

    /// Lets everybody find out where the others are.
    fn warm_up(&self) -> Result<(), RigError> {
        let stacks = [
            Stack::Linux("cubic"),
            Stack::Native("cubic"),
            Stack::Smoltcp,
        ];
        for family in FAMILIES {
            let transfer = Transfer {
                family,
                way: Way::Download,
                flows: 1,
                octets: 100,
                patience: PATIENCE,
            };
            let (outcome, _) = self.measure(PathImpairment::default(), &stacks, &transfer)?;
            if outcome.arrived != 300 {
                let what = format!("100 octets over {} from each of {stacks:?}", family.name());
                return Err(RigError::Timeout(what));
            }
        }
        Ok(())
    }
}

impl Stack {
    /// The congestion controls that both know, by the kernel's names.
    pub const CONGESTION: [&str; 3] = [ALGORITHMS[0].0, ALGORITHMS[1].0, ALGORITHMS[2].0];

    /// Where it listens.
    fn address(self, family: Family) -> SocketAddr {
        let port = |name| {
            let known = ALGORITHMS.iter().find(|(known, _, _)| *known == name);
            known.expect("a known congestion control").1
        };
        let peer = || -> IpAddr {
            let address = match family {
                Family::V4 => PEER_V4,
                Family::V6 => PEER_V6,
            };
            address.parse().expect("a constant address")
        };
        match self {
            Self::Linux(name) => SocketAddr::new(peer(), port(name)),
            Self::Native(name) => SocketAddr::new(family.gate(), port(name)),
            Self::Smoltcp => SocketAddr::new(family.gate(), SMOLTCP_PORT),
        }
    }
}

/// Weirgate with a listener for each kind of connection, all with the same server behind.
fn config() -> Config {
    let backend = format!("{SERVER_V4}:{BACKEND_PORT}");
    // Only the path is to put packets in another order, and no ring of the kernel.
    let config = Config::new(Driver::AfPacket)
        .with_ring_frames(4096)
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
