//! curl, as a client that says what happened.

use std::fs;
use std::path::Path;

use super::page::checksum;
use super::process::describe;
use super::{Namespace, RigError};

/// What came of fetching pages with one run of curl.
#[derive(Debug)]
pub struct Fetch {
    /// curl's exit code: 0 if all is well, 7 no connection, 18 too short, 52 nothing, 56 reset.
    pub exit_code: Option<i32>,
    /// Octets of the last page.
    pub size: u64,
    /// Seconds for the last page, connecting included.
    pub seconds: f64,
    /// Octets a second of the last page, as curl reckons.
    pub rate: f64,
    /// Connections that were made for all pages together.
    pub connections: u32,
    /// SHA-256 checksum of the last page.
    pub checksum: String,
    /// What curl complains about.
    pub errors: String,
}

/// Fetches one page; a failure to transfer it is not an error but the result.
pub fn fetch(
    namespace: &Namespace,
    url: &str,
    directory: &Path,
    options: &[&str],
) -> Result<Fetch, RigError> {
    fetch_all(namespace, &[url.to_owned()], directory, options)
}

/// Fetches pages one after the other with one run of curl.
pub fn fetch_all(
    namespace: &Namespace,
    urls: &[String],
    directory: &Path,
    options: &[&str],
) -> Result<Fetch, RigError> {
    let directory =
        tempfile::tempdir_in(directory).map_err(RigError::io(directory.display().to_string()))?;
    let page = directory.path().join("page");
    let mut command = namespace.command("curl");
    command
        .args(["--disable", "--silent", "--show-error", "--globoff"])
        .args([
            "--noproxy",
            "*",
            "--connect-timeout",
            "10",
            "--max-time",
            "120",
        ])
        .args([
            "--write-out",
            "%{size_download} %{time_total} %{speed_download} %{num_connects}\\n",
        ])
        .args(options);
    for url in urls {
        command.arg("--output").arg(&page).arg(url);
    }
    let output = command.output().map_err(|source| RigError::Start {
        command: describe(&command),
        source,
    })?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let (size, seconds, rate, connections) = read(&printed).ok_or_else(|| RigError::Output {
        command: describe(&command),
        output: format!("{printed}{}", String::from_utf8_lossy(&output.stderr)),
    })?;
    let checksum = if fs::exists(&page).unwrap_or(false) {
        checksum(&page).map_err(RigError::io(page.display().to_string()))?
    } else {
        String::new()
    };
    Ok(Fetch {
        exit_code: output.status.code(),
        size,
        seconds,
        rate,
        connections,
        checksum,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Reads what `--write-out` printed, one line a page: size, time and rate of the last,
/// connections of all.
fn read(printed: &str) -> Option<(u64, f64, f64, u32)> {
    let mut result = None;
    let mut connections = 0;
    for line in printed.lines() {
        let mut words = line.split(' ');
        let size = words.next()?.parse().ok()?;
        let seconds = words.next()?.parse().ok()?;
        let rate = words.next()?.parse().ok()?;
        connections += words.next()?.parse::<u32>().ok()?;
        result = Some((size, seconds, rate));
    }
    let (size, seconds, rate) = result?;
    Some((size, seconds, rate, connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_all_pages_are_added() {
        assert_eq!(
            read("1 0.5 2 1\n100 0.25 400 0\n"),
            Some((100, 0.25, 400.0, 1))
        );
        assert_eq!(read(""), None);
        assert_eq!(read("1 0.5 2\n"), None);
    }
}
