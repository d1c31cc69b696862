//! Network namespaces.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::RigError;
use super::process::output;

/// A network namespace of our own; dropping it ends what still runs inside and removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback interface up. `role` becomes a part of its name.
    pub fn new(role: &str) -> Result<Self, RigError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        output(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Removes namespaces of processes that ended without doing it themselves.
    pub fn remove_abandoned() {
        let Ok(entries) = fs::read_dir(DIRECTORY) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let owner = rest.split('-').next().unwrap_or_default();
            if owner.parse::<u32>().is_ok() && !fs::exists(format!("/proc/{owner}")).unwrap_or(true)
            {
                drop(Self { name });
            }
        }
    }

    /// The name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs `program` inside. It is killed if this process is.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .args(["setpriv", "--pdeathsig", "KILL", "--", program])
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line, split at spaces, inside and returns what it prints.
    pub fn exec(&self, command_line: &str) -> Result<String, RigError> {
        let mut words = command_line.split_whitespace();
        let mut command = self.command(words.next().unwrap_or_default());
        output(command.args(words))
    }

    /// Runs `ip` on the namespace, with arguments split at spaces.
    pub fn ip(&self, arguments: &str) -> Result<String, RigError> {
        output(
            Command::new("ip")
                .args(["-netns", &self.name])
                .args(arguments.split_whitespace()),
        )
    }

    /// Runs `work` on a thread that is inside, so that its sockets are.
    ///
    /// # Panics
    /// If `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, RigError> {
        let path = format!("{DIRECTORY}/{}", self.name);
        let file = File::open(&path).map_err(RigError::io(&path))?;
        let result = thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| RigError::io(format!("entering {path}"))(errno.into()))?;
                Ok(work())
            });
            inside.join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Sets a `net.` kernel parameter inside, named by its path below `/proc/sys/net`.
    pub fn set_parameter(&self, path: &str, value: &str) -> Result<(), RigError> {
        let path = format!("/proc/sys/net/{path}");
        self.enter(|| fs::write(&path, value).map_err(RigError::io(&path)))?
    }

    /// Adds an address with its prefix length to an interface.
    pub fn add_address(&self, interface: &str, address: &str) -> Result<(), RigError> {
        // Duplicate address detection would keep an IPv6 address from being used for a second.
        let flags = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface} {flags}"))?;
        Ok(())
    }

    /// Joins two namespaces by a pair of Ethernet interfaces with `queues` queues in each
    /// direction, both up.
    pub fn connect(
        &self,
        interface: &str,
        other: &Self,
        other_interface: &str,
        queues: u16,
    ) -> Result<(), RigError> {
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        self.ip(&format!(
            "link add {interface} {queues} type veth \
             peer name {other_interface} {queues} netns {}",
            other.name
        ))?;
        for (end, name) in [(self, interface), (other, other_interface)] {
            // With offloads, frames have no checksum yet and are longer than the MTU: the kernel
            // finishes them where they leave the machine, which they never do.
            end.exec(&format!(
                "ethtool --offload {name} rx off tx off gso off tso off gro off"
            ))?;
            end.ip(&format!("link set {name} up"))?;
        }
        Ok(())
    }
}

impl Drop for Namespace {
    /// Removes the namespace; errors have nobody to tell them to.
    fn drop(&mut self) {
        let pids = output(Command::new("ip").args(["netns", "pids", &self.name]));
        for pid in pids.unwrap_or_default().lines() {
            if let Ok(pid) = pid.trim().parse() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = output(Command::new("ip").args(["netns", "delete", &self.name]));
    }
}

/// What the names of our namespaces begin with; the id of the process that made it follows.
const PREFIX: &str = "weirgate-";
/// Where `ip netns` keeps namespaces by name.
const DIRECTORY: &str = "/run/netns";
