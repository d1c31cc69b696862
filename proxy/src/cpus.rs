//! The CPUs that this process may use.
//!
//! *In*: `Cpus_allowed_list` of `/proc/self/status` (proc_pid_status(5)). *Out*: [`Cpus`]. It is
//! less than all there are inside of a container, a cpuset, or under `taskset`. Asked once at the
//! start.

use core::fmt::{self, Display};
use core::ops::RangeInclusive;
use std::path::Path;

/// Numbers of CPUs, ascending, as the kernel lists them: `0-3,8`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cpus {
    ranges: Vec<RangeInclusive<u16>>,
}

impl Cpus {
    /// The CPUs that this process may use; `None` if the kernel does not say.
    pub fn allowed() -> Option<Self> {
        Self::of_status(Path::new("/proc/self/status"))
    }

    /// Every CPU, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.ranges.iter().cloned().flatten()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&cpu))
    }

    fn of_status(path: &Path) -> Option<Self> {
        let status = std::fs::read_to_string(path).ok()?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Self::parse(list.trim())
    }

    /// Reads a list as the kernel writes it; `None` if it is none.
    pub fn parse(list: &str) -> Option<Self> {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        };
        let ranges = list.split(',').map(range).collect::<Option<_>>()?;
        Some(Self { ranges })
    }
}

impl Display for Cpus {
    /// The list as the kernel writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_kernel_is_read() {
        for (list, cpus) in [
            ("0", vec![0]),
            ("0-1", vec![0, 1]),
            ("1,4-6,1023", vec![1, 4, 5, 6, 1023]),
        ] {
            let parsed = Cpus::parse(list).unwrap();
            assert_eq!(parsed.iter().collect::<Vec<_>>(), cpus, "{list}");
            assert_eq!(parsed.to_string(), list);
            assert!(parsed.contains(*cpus.last().unwrap()), "{list}");
            assert!(!parsed.contains(7), "{list}");
        }
        for list in ["", "0-", "a", "0,,1", "65536"] {
            assert_eq!(Cpus::parse(list), None, "{list:?}");
        }
    }

    #[test]
    fn this_process_may_use_some() {
        assert!(Cpus::allowed().unwrap().iter().next().is_some());
        assert_eq!(Cpus::of_status(Path::new("/nonexistent/status")), None);
    }
}
