//! nginx, with a configuration of its own and pages of known content.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::page::Page;
use super::topology::{SERVER_V4, SERVER_V6};
use super::{Namespace, Process, RigError};

/// A running nginx that serves pages on a port of both of the server's addresses.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    pages: Vec<(Page, String)>,
    directory: PathBuf,
}

impl Nginx {
    /// Writes configuration and pages to `directory`, starts nginx in `namespace` and waits until
    /// it listens on port 80.
    pub fn start(
        namespace: &Namespace,
        directory: &Path,
        pages: &[Page],
    ) -> Result<Self, RigError> {
        Self::start_on(80, namespace, directory, pages)
    }

    /// The same on another port.
    pub fn start_on(
        port: u16,
        namespace: &Namespace,
        directory: &Path,
        pages: &[Page],
    ) -> Result<Self, RigError> {
        let files = directory.join("pages");
        fs::create_dir_all(&files).map_err(RigError::io(files.display().to_string()))?;
        let mut written = Vec::new();
        for page in pages {
            let path = files.join(page.file_name());
            let checksum = page.write(&path);
            let checksum = checksum.map_err(RigError::io(path.display().to_string()))?;
            written.push((*page, checksum));
        }
        let config = directory.join("nginx.conf");
        fs::write(&config, configuration(directory, port))
            .map_err(RigError::io(config.display().to_string()))?;

        let mut command = namespace.command("nginx");
        command.arg("-c").arg(&config).arg("-p").arg(directory);
        command.arg("-e").arg(directory.join("error.log"));
        let mut process = Process::start(&mut command, &directory.join("nginx.log"))?;
        process.wait_until_ready(Duration::from_secs(20), |_| {
            namespace
                .exec(&format!(
                    "ss --listening --tcp --numeric --no-header sport = :{port}"
                ))
                .is_ok_and(|sockets| sockets.lines().count() == 2)
        })?;
        Ok(Self {
            process,
            pages: written,
            directory: directory.to_owned(),
        })
    }

    /// The SHA-256 checksum of a page.
    ///
    /// # Panics
    /// If the page is not served.
    pub fn checksum(&self, page: Page) -> &str {
        let served = self.pages.iter().find(|(served, _)| *served == page);
        let (_, checksum) = served.expect("nginx was started without this page");
        checksum
    }

    /// Kills master and workers at once, in the middle of what they do.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Where configuration, pages and logs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// nginx's configuration: everything it writes stays in `directory`.
fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type application/octet-stream;
    server {{
        listen {SERVER_V4}:{port} backlog=4096;
        listen [{SERVER_V6}]:{port} backlog=4096;
        root {directory}/pages;
    }}
}}
"
    )
}
