//! A Linux kernel of a test's own: user-mode Linux, a kernel that is a program.
//!
//! The host's kernel may lack what a test needs, such as the filters that net_tap makes of flow
//! rules. Debian's `user-mode-linux` has them. It boots in a second or two, as an ordinary process
//! of an ordinary user; the guest's root is the host's file system, so every program of the host
//! can be run in it, also what Cargo has just built. The guest has one CPU, no network but its own,
//! and its own `/proc`, `/sys`, `/dev` and `/run`.
//!
//! A [`Guest`] runs one command and ends. [`run_inside`] has a test run itself again in a guest.
//! The test is skipped if there is no user-mode Linux; a guest that does not boot is a failure.

mod filters;
mod init;
mod net_tap;
mod xsave;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::rig::{self, Process, RigError};

pub use filters::{Fate, Filter};
pub use net_tap::NetTap;

/// A kernel that is about to run a command.
#[derive(Clone, Debug)]
pub struct Guest {
    kernel: PathBuf,
    memory_mib: u32,
    patience: Duration,
}

impl Guest {
    /// A guest with half a gigabyte of memory that may run for two minutes.
    ///
    /// Returns `None`, and says why, if there is no user-mode Linux here.
    pub fn new() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut programs = env::split_paths(&path).map(|directory| directory.join(KERNEL));
        let Some(kernel) = programs.find(|program| program.is_file()) else {
            println!("skipped: no {KERNEL}: install Debian's package user-mode-linux");
            return None;
        };
        Some(Self {
            kernel,
            memory_mib: 512,
            patience: Duration::from_mins(2),
        })
    }

    /// With other memory than that; it is taken as the guest uses it.
    #[must_use]
    pub fn memory_mib(self, memory_mib: u32) -> Self {
        Self { memory_mib, ..self }
    }

    /// With another limit: after this time the guest is killed.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Boots, runs `command` as root of the guest, and ends with it.
    ///
    /// Of the command all counts but its standard streams: input is empty, output goes to the
    /// console. Its environment is what it sets, and a `PATH` and a `TMPDIR` of the guest, whose
    /// files go with it.
    pub fn run(&self, command: &Command) -> Result<Outcome, UmlError> {
        let directory = rig::temporary_directory()?;
        // What the filter forbids, it forbids this thread for ever; and the guest dies with it.
        let result = thread::scope(|scope| {
            let thread = scope.spawn(|| self.run_from_here(command, directory.path()));
            thread.join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn run_from_here(&self, command: &Command, directory: &Path) -> Result<Outcome, UmlError> {
        let file = |name| directory.join(name);
        init::write(command, directory).map_err(RigError::io(directory.display().to_string()))?;
        if xsave::is_too_large() {
            seccompiler::apply_filter(&xsave::filter()?)?;
        }
        // Processes of the guest are processes of the host, and become ours if the guest panics.
        set_child_subreaper(true)
            .map_err(|errno| RigError::io("adopting the guest's processes")(errno.into()))?;
        let mut process = Process::start(&mut self.command_line(directory), &file("console"))?;
        let ended = process.wait(self.patience);
        process.kill();
        let group = Pid::from_raw(-process.pid().cast_signed());
        while waitpid(group, None).is_ok() {}
        let console = process.log();
        if let Err(RigError::Timeout(_)) = ended {
            return Err(UmlError::Timeout {
                patience: self.patience,
                console,
            });
        }
        ended?;
        let status = fs::read_to_string(file(init::STATUS)).ok();
        match status.and_then(|status| status.trim().parse().ok()) {
            Some(status) => Ok(Outcome { status, console }),
            None => Err(UmlError::NoStatus { console }),
        }
    }

    fn command_line(&self, directory: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.kernel)
            .arg(format!("mem={}M", self.memory_mib))
            .args(["rootfstype=hostfs", "rootflags=/", "rw"])
            .arg(format!("init={}", directory.join(init::INIT).display()))
            // Where its sockets for management go; it wants the slash.
            .arg(format!("uml_dir={}/", directory.display()))
            .args(["con=null", "con0=fd:0,fd:1", "quiet"])
            .stdin(std::process::Stdio::null());
        if xsave::is_too_large() {
            command.arg(xsave::NO_AVX);
        }
        command
    }
}

/// What came of a command in a guest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command's exit status, as a shell has it: 128 more than the signal that killed it.
    pub status: i32,
    /// What it and the guest's kernel printed.
    pub console: String,
}

/// Why a command did not come to its end in a guest.
#[derive(Debug, thiserror::Error)]
pub enum UmlError {
    /// A program or file of the host.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// The seccomp filter cannot be made.
    #[error("no seccomp filter for user-mode Linux: {0}")]
    Filter(#[from] seccompiler::BackendError),
    /// The seccomp filter cannot be put to use.
    #[error("cannot apply the seccomp filter for user-mode Linux: {0}")]
    Apply(#[from] seccompiler::Error),
    /// It takes too long.
    #[error("the guest ran for {} s and was killed; its console:\n{console}", patience.as_secs())]
    Timeout {
        /// How long it was given.
        patience: Duration,
        /// What was printed until then.
        console: String,
    },
    /// The guest does not boot, or panicked.
    #[error("the guest did not run the command to its end; its console:\n{console}")]
    NoStatus {
        /// What was printed.
        console: String,
    },
}

/// Runs a test in a guest: on the host, runs this test program again in a guest, with `test` (the
/// path of the calling test) as the only test; in the guest, calls `inside`.
///
/// Returns what the guest's console says, or `None` in the guest and where the test is skipped.
///
/// # Panics
/// If the guest does not boot, or the test fails in it.
pub fn run_inside(test: &str, inside: impl FnOnce()) -> Option<String> {
    if is_guest() {
        inside();
        return None;
    }
    let guest = Guest::new()?;
    let mut command = Command::new(env::current_exe().expect("a program has a path"));
    command.args([test, "--exact", "--nocapture"]);
    for name in PASSED_ON {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    Some(run_test(&guest, &mut command))
}

/// Runs a test program in a guest and returns what the console says.
///
/// # Panics
/// If the guest does not boot, or not just one test is run and passes.
pub fn run_test(guest: &Guest, command: &mut Command) -> String {
    // Rigs of one machine take turns; they belong to root.
    let _turn = rig::is_root().then(|| rig::take_turn().expect("a turn"));
    let outcome = match guest.run(command) {
        Ok(outcome) => outcome,
        Err(error) => panic!("{error}"),
    };
    println!("{}", outcome.console);
    assert_eq!(outcome.status, 0, "in the guest");
    assert!(
        outcome.console.contains("test result: ok. 1 passed"),
        "one test in the guest"
    );
    outcome.console
}

/// Whether this process runs in a guest.
pub fn is_guest() -> bool {
    let cpu = fs::read_to_string("/proc/cpuinfo");
    cpu.is_ok_and(|cpu| cpu.contains("User Mode Linux"))
}

/// The name of Debian's user-mode Linux.
const KERNEL: &str = "linux.uml";
/// What a test may want to know in the guest as well.
const PASSED_ON: [&str; 2] = ["WEIRGATE_BIN", "RUST_BACKTRACE"];
