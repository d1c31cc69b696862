//! What the process occupies, as Linux counts it.

use std::fs;
use std::io::{self, ErrorKind};

/// Octets of memory that the process occupies now: the `VmRSS` line of `/proc/self/status`, which
/// is the second number of `/proc/self/statm` without the need to know the size of a page.
pub fn resident() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    parse(&status).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no VmRSS in kB"))
}

fn parse(status: &str) -> Option<usize> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        let status = "Name:\tbench\nVmHWM:\t 5 kB\nVmRSS:\t   12 kB\nThreads:\t1\n";
        assert_eq!(parse(status), Some(12 * 1024));
        assert_eq!(parse("VmRSS: 12 MB"), None);
    }
}
