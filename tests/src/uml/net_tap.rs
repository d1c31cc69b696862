//! Weirgate over net_tap: a device whose other end is an interface of the guest's kernel.

use std::path::Path;

use netstack::io::{Burst, PacketBuf, PacketIo};
use tempfile::TempDir;

use crate::rig::{
    CLIENT_V4, CLIENT_V6, GATE_SERVER_V4, GATE_SERVER_V6, GATE_V4, GATE_V6, Namespace, Nginx,
    PacketSocket, Page, RigError, SERVER_V4, SERVER_V6, Weirgate, temporary_directory,
};

/// Weirgate on one port, and everybody else at its other end.
///
/// ```text
///   Weirgate                  the kernel: client and server
///   net_tap0 ---------------- dtap0
///   10.64.0.1 10.64.1.1       10.64.0.2 10.64.1.2
///   fd64::1   fd64:1::1       fd64::2   fd64:1::2
/// ```
///
/// Parts are dropped in the order of the fields.
#[derive(Debug)]
pub struct NetTap {
    /// The program under test.
    pub weirgate: Weirgate,
    /// The backend of the listener on port 80, reached over IPv4, and on 8080, over IPv6.
    pub nginx: Nginx,
    /// Where all of them are.
    pub namespace: Namespace,
    /// For files.
    pub directory: TempDir,
}

impl NetTap {
    /// The kernel's end of the device.
    pub const INTERFACE: &str = "dtap0";
    /// The listeners with nginx behind them, reached over IPv4 and over IPv6.
    pub const PORTS: [u16; 2] = [80, 8080];

    /// Starts everything, with nginx serving `pages` and what [`Self::configuration`] says.
    pub fn start(
        program: &Path,
        workers: usize,
        steering: &str,
        pages: &[Page],
    ) -> Result<Self, RigError> {
        let directory = temporary_directory()?;
        let namespace = Namespace::new("gate")?;
        let config = Self::configuration(workers, steering);
        let weirgate = Weirgate::start_with(program, &namespace, &config, directory.path())?;
        for (v4, v6) in [(CLIENT_V4, CLIENT_V6), (SERVER_V4, SERVER_V6)] {
            namespace.add_address(Self::INTERFACE, &format!("{v4}/24"))?;
            namespace.add_address(Self::INTERFACE, &format!("{v6}/64"))?;
        }
        let nginx = Nginx::start(&namespace, &directory.path().join("nginx"), pages)?;
        Ok(Self {
            weirgate,
            nginx,
            namespace,
            directory,
        })
    }

    /// A configuration with `workers` workers, which take turns on the guest's CPU, and with these
    /// lines in its section `[steering]`.
    pub fn configuration(workers: usize, steering: &str) -> String {
        let listeners = Self::PORTS.iter().zip([
            ("nginx", format!("{SERVER_V4}:80")),
            ("nginx-v6", format!("[{SERVER_V6}]:80")),
        ]);
        let listeners = listeners.map(|(port, (name, backend))| {
            format!(
                "\n[[listener]]\nname = \"{name}\"\n\
                 addresses = [\"{GATE_V4}:{port}\", \"[{GATE_V6}]:{port}\"]\n\
                 backend_group = \"{name}\"\nengine = \"native\"\n\
                 \n[[backend_group]]\nname = \"{name}\"\nengine = \"native\"\n\
                 [[backend_group.backend]]\naddress = \"{backend}\"\n"
            )
        });
        format!(
            "[runtime]\nlcores = {lcores:?}\nidle = \"adaptive\"\n\n\
             [steering]\n{steering}\n\n\
             [dpdk]\nmemory = \"128MiB\"\nhuge_pages = false\n\
             vdevs = [\"net_tap0,iface={interface}\"]\n\n\
             [[port]]\nname = \"tap\"\ndevice = \"net_tap0\"\nmtu = 1500\n\
             addresses = [\"{GATE_V4}/24\", \"{GATE_V6}/64\", \"{GATE_SERVER_V4}/24\", \
             \"{GATE_SERVER_V6}/64\"]\n{listeners}",
            lcores = vec![0; workers],
            interface = Self::INTERFACE,
            listeners = listeners.collect::<String>(),
        )
    }

    /// Sends the same frame `count` times from the kernel's end.
    pub fn send(&self, frame: &[u8], count: usize) -> Result<(), RigError> {
        self.namespace.enter(|| {
            let mut socket = PacketSocket::open(Self::INTERFACE, 1)?;
            let mut burst = Burst::with_capacity(1);
            for _ in 0..count {
                let mut buffer = socket.alloc().expect("the one before is sent");
                let room = buffer.append(frame.len()).expect("a frame fits");
                room.copy_from_slice(frame);
                let _ = burst.push(buffer);
                while !burst.is_empty() {
                    socket.tx_burst(&mut burst);
                }
            }
            Ok(())
        })?
    }
}
