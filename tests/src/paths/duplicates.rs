//! What a host received twice, as its kernel counted it.

use std::fs;

use crate::rig::{Namespace, RigError};

/// Segments that the host of `client` has reported as received twice (RFC 2883), so far.
pub(super) fn reported(client: &Namespace) -> Result<u64, RigError> {
    let read = || fs::read_to_string(COUNTERS);
    let text = client.enter(read)?.map_err(RigError::io(COUNTERS))?;
    Ok(NAMES.iter().filter_map(|name| counter(&text, name)).sum())
}

/// A counter of the group `TcpExt`: a line of names, and a line of values.
fn counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|known| known == name)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

/// Of the thread's namespace; the process is in another.
const COUNTERS: &str = "/proc/thread-self/net/netstat";
/// Below what was acknowledged, and beyond a gap.
const NAMES: [&str; 2] = ["TCPDSACKOldSent", "TCPDSACKOfoSent"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_their_names() {
        let text = "TcpExt: A B C\nTcpExt: 1 22 3\nIpExt: B\nIpExt: 5\n";
        assert_eq!(counter(text, "B"), Some(22));
        assert_eq!(counter(text, "D"), None);
    }
}
