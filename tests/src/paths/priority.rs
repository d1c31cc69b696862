//! Real-time priority, so that what else the machine does disturbs a measurement less.
//!
//! It is asked for by `chrt`, for this process before it has other threads: they and all programs
//! that are started later have it too. A measurement without it is still made; the report says so.

use core::fmt;
use std::fs;
use std::process::{self, Command, Stdio};

/// With which priority this process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Priority {
    /// Before all ordinary processes (`SCHED_FIFO`).
    RealTime,
    /// As everybody else.
    Ordinary,
}

impl Priority {
    /// Asks for real-time priority; tells what there is now.
    pub fn claim() -> Self {
        let mut command = Command::new("chrt");
        command.args(["--fifo", "--pid", LEVEL, &process::id().to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // Without the program or the right to it, all stays as it is; that is looked at next.
        let _ = command.status();
        Self::current()
    }

    /// What there is.
    fn current() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        match policy(&stat) {
            Some("1" | "2") => Self::RealTime,
            _ => Self::Ordinary,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RealTime => "with real-time priority",
            Self::Ordinary => {
                "without real-time priority (`chrt` is missing, or may not set it): others on this \
                 machine disturb the figures"
            }
        })
    }
}

/// The scheduling policy in a line of `/proc/PID/stat`: the 41st field. The second may contain
/// anything but ends with the last parenthesis.
fn policy(stat: &str) -> Option<&str> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(38)
}

/// Above kernel threads that serve devices there would be no network.
const LEVEL: &str = "20";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_forty_first_field() {
        let fields: Vec<String> = (3..=52).map(|field| format!("f{field}")).collect();
        let stat = format!("7 (a (b) c) {}", fields.join(" "));
        assert_eq!(policy(&stat), Some("f41"));
        assert_eq!(policy("7 (short) S"), None);
    }
}
