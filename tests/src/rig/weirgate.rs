//! Weirgate itself, as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Config, Counts, Namespace, Process, RigError};

/// A running Weirgate. Dropping it kills it; [`Weirgate::stop`] asks it to end.
#[derive(Debug)]
pub struct Weirgate {
    process: Process,
    config: PathBuf,
}

impl Weirgate {
    /// The binary to test: what `WEIRGATE_BIN` names, or else the one that Cargo built.
    ///
    /// The error says why there is none.
    ///
    /// # Panics
    /// If `WEIRGATE_BIN` names a file that is not there: whoever set it expects it to be used.
    pub fn program() -> Result<PathBuf, String> {
        if let Some(program) = std::env::var_os("WEIRGATE_BIN") {
            let program = PathBuf::from(program);
            assert!(
                program.is_file(),
                "WEIRGATE_BIN={}: no such file",
                program.display()
            );
            return Ok(program);
        }
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        ["debug", "release"]
            .iter()
            .map(|profile| target.join(profile).join("weirgate"))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                "no weirgate binary: build it with \
                 `cargo build --package proxy --features dpdk`"
                    .to_owned()
            })
    }

    /// Writes the configuration to `directory`, starts `program` in `namespace` and waits until it
    /// says that it is ready.
    pub fn start(
        program: &Path,
        namespace: &Namespace,
        config: &Config,
        directory: &Path,
    ) -> Result<Self, RigError> {
        // The namespace's name is unique, and so is what DPDK calls its files.
        let config = config.to_toml(namespace.name(), directory);
        Self::start_with(program, namespace, &config, directory)
    }

    /// The same, with the text of a configuration.
    pub fn start_with(
        program: &Path,
        namespace: &Namespace,
        config: &str,
        directory: &Path,
    ) -> Result<Self, RigError> {
        let path = directory.join("weirgate.toml");
        fs::write(&path, config).map_err(RigError::io(path.display().to_string()))?;
        let mut command = namespace.command(&program.to_string_lossy());
        command.arg("run").arg("--config").arg(&path);
        command.env("NO_COLOR", "1");
        let mut process = Process::start(&mut command, &directory.join("weirgate.log"))?;
        process.wait_until_ready(Duration::from_secs(30), |process| is_ready(&process.log()))?;
        Ok(Self {
            process,
            config: path,
        })
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it counted, once it has ended.
    pub fn counts(&self) -> Counts {
        Counts::of_log(&self.process.log())
    }

    /// The configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config
    }

    /// Sends SIGTERM: no new connections, those that are there may finish.
    pub fn drain(&self) -> Result<(), RigError> {
        self.process.signal(Signal::SIGTERM)
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, RigError> {
        self.process.wait(patience)
    }

    /// Drains it and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus, RigError> {
        self.drain()?;
        self.wait(Duration::from_secs(20))
    }
}

/// Whether a log has the message `ready`.
fn is_ready(log: &str) -> bool {
    log.lines()
        .any(|line| line.split_whitespace().any(|word| word == "ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_word_of_its_own() {
        assert!(is_ready(
            "a\n2026-01-01T00:00:00Z  INFO weirgate: ready workers=2\n"
        ));
        assert!(!is_ready("INFO weirgate: already there\n"));
    }
}
