//! The rig: three namespaces in a row, and the programs in them.
//!
//! ```text
//!   client            gate                     server
//!   curl, iperf3      Weirgate                 nginx, iperf3 -s
//!         c0 -------- g0        g1 ----------- s0
//!   10.64.0.2         10.64.0.1 10.64.1.1      10.64.1.2
//!   fd64::2           fd64::1   fd64:1::1      fd64:1::2
//! ```
//!
//! In the gate the kernel has no address, so that all that arrives is Weirgate's; see
//! [`Gate`] for the other way to set it up. Whatever a part of the rig makes, it removes when it
//! is dropped, also when a test panics. A process that is killed outright cannot do that: its
//! namespaces are removed by the next rig.

mod bridge;
mod config;
mod counts;
mod curl;
mod iperf;
mod namespace;
mod nginx;
mod packet_socket;
mod page;
mod path;
mod process;
mod topology;
mod weirgate;

pub use bridge::Bridge;
pub use config::{Config, Driver};
pub use counts::Counts;
pub use curl::{Fetch, fetch, fetch_all};
pub use iperf::{Direction, IperfServer};
pub use namespace::Namespace;
pub use netstack::tcp::EngineKind;
pub use nginx::Nginx;
pub(crate) use packet_socket::PacketSocket;
pub use page::Page;
pub use path::{Path as ImpairedPath, PathCounters, PathImpairment};
pub use process::{Process, wait_until};
pub use topology::{
    CLIENT_V4, CLIENT_V6, FAMILIES, Family, GATE_V4, GATE_V6, Gate, PEER_V4, PEER_V6, PathTopology,
    SERVER_V4, SERVER_V6, Topology,
};
pub(crate) use topology::{GATE_SERVER_V4, GATE_SERVER_V6};
pub use weirgate::Weirgate;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitStatus;

use tempfile::TempDir;

/// Namespaces, nginx and Weirgate, for one test at a time.
///
/// Parts are dropped in the order of the fields: programs first, the namespaces they live in last.
#[derive(Debug)]
pub struct Rig {
    /// The program under test.
    pub weirgate: Weirgate,
    /// What is between it and the wires, for [`Driver::Memif`].
    _bridge: Option<Bridge>,
    /// The backend of the group [`Config::NGINX`].
    pub nginx: Nginx,
    /// What Weirgate was told.
    pub config: Config,
    /// The namespaces.
    pub topology: Topology,
    /// For the files of this rig.
    pub directory: TempDir,
    /// Two workers and the programs around them keep a small machine busy: rigs take turns.
    _turn: File,
}

impl Rig {
    /// Starts everything, with Weirgate configured by `config` and nginx serving `pages`.
    ///
    /// Returns `None`, and says why, if the test cannot run here.
    ///
    /// # Panics
    /// If the rig cannot be built: then the test has failed.
    pub fn start(config: Config, pages: &[Page]) -> Option<Self> {
        if !can_run() {
            return None;
        }
        let program = match Weirgate::program() {
            Ok(program) => program,
            Err(reason) => {
                println!("skipped: {reason}");
                return None;
            }
        };
        if config.driver() == Driver::Memif && !is_installed(Bridge::PROGRAM) {
            println!("skipped: needs {}, of Debian's dpdk-dev", Bridge::PROGRAM);
            return None;
        }
        match Self::try_start(&program, config, pages) {
            Ok(rig) => Some(rig),
            Err(error) => panic!("the rig does not start: {error}"),
        }
    }

    /// Fetches a page through Weirgate's listener on `port`.
    ///
    /// # Panics
    /// If curl cannot be run.
    pub fn fetch(&self, family: Family, port: u16, page: Page, options: &[&str]) -> Fetch {
        let url = family.url(port, page.file_name());
        fetch(&self.topology.client, &url, self.directory.path(), options).expect("curl runs")
    }

    /// Fetches a page through the listener of nginx and checks every octet of it.
    ///
    /// # Panics
    /// If the page does not arrive whole.
    pub fn fetch_whole(&self, family: Family, port: u16, page: Page) -> Fetch {
        let fetch = self.fetch(family, port, page, &[]);
        let what = format!("{} from port {port} over {family:?}", page.file_name());
        assert_eq!(fetch.exit_code, Some(0), "{what}: {}", fetch.errors);
        assert_eq!(fetch.size, page.size(), "{what}");
        assert_eq!(fetch.checksum, self.nginx.checksum(page), "{what}");
        fetch
    }

    fn try_start(program: &Path, config: Config, pages: &[Page]) -> Result<Self, RigError> {
        let turn = take_turn()?;
        let directory = temporary_directory()?;
        let topology = Topology::new(Gate::Bare, config.queues())?;
        let nginx = Nginx::start(&topology.server, &directory.path().join("nginx"), pages)?;
        let weirgate = Weirgate::start(program, &topology.gate, &config, directory.path())?;
        let bridge = match config.driver() {
            Driver::Memif => Some(Bridge::start(
                &topology.gate,
                directory.path(),
                config.queues(),
            )?),
            Driver::AfPacket | Driver::AfXdp => None,
        };
        Ok(Self {
            weirgate,
            _bridge: bridge,
            nginx,
            config,
            topology,
            directory,
            _turn: turn,
        })
    }
}

/// Why a part of the rig does not work.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed ({status}): {output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed.
        output: String,
    },
    /// A program ended although it should run on.
    #[error("`{command}` ended ({status}); its last lines:\n{log}")]
    Ended {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        log: String,
    },
    /// Something did not happen in time.
    #[error("waited too long for {0}")]
    Timeout(String),
    /// A file or a system call.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and on what.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program printed something that cannot be read.
    #[error("`{command}` printed something unexpected: {output}")]
    Output {
        /// The command line.
        command: String,
        /// What it printed.
        output: String,
    },
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl RigError {
    /// Turns an I/O error into one that says what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Whether this process belongs to root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Waits until no other rig of this machine has its turn; it lasts until the file is dropped.
pub fn take_turn() -> Result<File, RigError> {
    let path = std::env::temp_dir().join("weirgate-rig.lock");
    let what = || RigError::io(path.display().to_string());
    let file = File::create(&path).map_err(what())?;
    file.lock().map_err(what())?;
    Ok(file)
}

/// A directory that goes away with the rig.
pub fn temporary_directory() -> Result<TempDir, RigError> {
    let builder = tempfile::Builder::new().prefix("weirgate-").tempdir();
    builder.map_err(RigError::io("a temporary directory"))
}

/// Whether a program is where programs are.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Whether a test that needs no more than namespaces can run here; says why, if it cannot.
pub fn can_run() -> bool {
    if !is_root() {
        println!("skipped: needs root");
    }
    is_root()
}
