//! Programs that run beside us.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::RigError;

/// A program whose output goes to a file; dropping it kills it and all that it
/// started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    command: String,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with everything it prints in the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, RigError> {
        let what = || RigError::io(log.display().to_string());
        let file = File::create(log).map_err(what())?;
        let errors = file.try_clone().map_err(what())?;
        command.stdout(file).stderr(errors);
        // Not in the group of the terminal: Ctrl-C is for us, and we stop our programs in order.
        command.process_group(0);
        let child = command.spawn().map_err(|source| RigError::Start {
            command: describe(command),
            source,
        })?;
        Ok(Self {
            child,
            command: describe(command),
            log: log.to_owned(),
        })
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where everything goes that the program prints.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        let octets = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) -> Result<(), RigError> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal)
            .map_err(|errno| RigError::io(format!("{signal} to `{}`", self.command))(errno.into()))
    }

    /// Kills the program and all that it started.
    pub fn kill(&mut self) {
        // It leads a process group; that no process of the group is left is no error.
        let _ = killpg(Pid::from_raw(self.pid().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// How the program ended, if it did.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, RigError> {
        self.child
            .try_wait()
            .map_err(RigError::io(format!("waiting for `{}`", self.command)))
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, RigError> {
        let what = format!("the end of `{}`", self.command);
        let mut ended = None;
        wait_until(&what, patience, || {
            ended = self.status()?;
            Ok(ended.is_some())
        })?;
        ended.ok_or(RigError::Timeout(what))
    }

    /// Waits until `ready` says so; an error if the program ends before that.
    pub fn wait_until_ready(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut(&Self) -> bool,
    ) -> Result<(), RigError> {
        let what = format!("`{}` to be ready", self.command);
        wait_until(&what, patience, || {
            if let Some(status) = self.status()? {
                return Err(RigError::Ended {
                    command: self.command.clone(),
                    status,
                    log: last_lines(&self.log(), 20),
                });
            }
            Ok(ready(self))
        })
    }

    /// The resident memory of the program, in octets.
    pub fn resident_memory(&self) -> Result<u64, RigError> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).map_err(RigError::io(&path))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        let kilobytes: u64 = kilobytes.ok_or(RigError::Output {
            command: path,
            output: status,
        })?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            // A panic here would end the clean-up, so not `eprintln`: that the reader of our output
            // is gone may be why we are here.
            let _ = writeln!(
                io::stderr(),
                "last lines of `{}`:\n{}",
                self.command,
                last_lines(&self.log(), 30)
            );
        }
    }
}

/// Runs `command` to its end and returns what it prints.
pub(super) fn output(command: &mut Command) -> Result<String, RigError> {
    // Ctrl-C must not stop what sets up or cleans up halfway.
    let output = command
        .process_group(0)
        .output()
        .map_err(|source| RigError::Start {
            command: describe(command),
            source,
        })?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(RigError::Failed {
        command: describe(command),
        status: output.status,
        output: format!("{printed}{errors}").trim().to_owned(),
    })
}

/// Asks `happened` every few milliseconds until it says yes; `what` is for the error if it never
/// does.
pub fn wait_until(
    what: &str,
    patience: Duration,
    mut happened: impl FnMut() -> Result<bool, RigError>,
) -> Result<(), RigError> {
    let start = Instant::now();
    while !happened()? {
        if start.elapsed() > patience {
            return Err(RigError::Timeout(what.to_owned()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The command line of `command`, for messages.
pub(super) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
