//! Captures of everything that passes a queue, one file for each port and thread.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use netstack::io::tap::Tap;

use super::{PortIo, RunError};

/// The queues of a port with a capture around them.
pub(super) type Tapped = Tap<PortIo, BufWriter<File>>;

/// Captures that are being written.
pub(super) struct Taps<'a> {
    directory: &'a Path,
    /// Names of the ports.
    ports: Vec<&'a str>,
    /// The files, in the order of the taps.
    paths: Vec<PathBuf>,
}

impl<'a> Taps<'a> {
    /// Captures in this directory, which is made if it is not there.
    pub(super) fn new(directory: &'a Path, ports: Vec<&'a str>) -> Result<Self, RunError> {
        std::fs::create_dir_all(directory).map_err(|source| RunError::TapFile {
            path: directory.to_owned(),
            source,
        })?;
        Ok(Self {
            directory,
            ports,
            paths: Vec::new(),
        })
    }

    /// Puts a capture around each of `queues[thread][port]`; `kind` is what the threads are.
    pub(super) fn around(
        &mut self,
        kind: &str,
        queues: Vec<Vec<PortIo>>,
    ) -> Result<Vec<Vec<Tapped>>, RunError> {
        let mut tapped = Vec::with_capacity(queues.len());
        for (thread, queues) in queues.into_iter().enumerate() {
            let mut taps = Vec::with_capacity(queues.len());
            for (port, queues) in self.ports.iter().zip(queues) {
                let path = self.directory.join(format!("{port}-{kind}{thread}.pcap"));
                let file = File::create(&path).map_err(|source| RunError::TapFile {
                    path: path.clone(),
                    source,
                })?;
                let tap = Tap::new(queues, BufWriter::new(file)).map_err(|source| {
                    let path = path.clone();
                    RunError::Tap { path, source }
                })?;
                tracing::info!(path = %path.display(), "capturing");
                self.paths.push(path);
                taps.push(tap);
            }
            tapped.push(taps);
        }
        Ok(tapped)
    }

    /// Ends the captures, which come in the order in which they were begun; gives back what was
    /// inside.
    pub(super) fn finish(
        self,
        taps: impl IntoIterator<Item = Tapped>,
    ) -> (Vec<PortIo>, Result<(), RunError>) {
        let mut result = Ok(());
        let mut queues = Vec::new();
        for (tap, path) in taps.into_iter().zip(self.paths) {
            let (inner, written) = tap.finish();
            queues.push(inner);
            if let Err(source) = written
                && result.is_ok()
            {
                result = Err(RunError::Tap { path, source });
            }
        }
        (queues, result)
    }
}
