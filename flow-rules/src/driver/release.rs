//! DPDK releases: when a driver learnt something, and when it lost it.

use core::fmt;
use core::str::FromStr;

/// A release of DPDK: year and month, such as 22.11.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Release {
    year: u8,
    month: u8,
}

impl Release {
    /// What the capability table describes.
    pub const CAPABILITY_TABLE: Self = Self::new(18, 2);
    /// The first whose driver guides list items and actions.
    pub const LISTED: Self = Self::new(21, 2);
    /// The oldest that Weirgate runs on.
    pub const OLDEST_SUPPORTED: Self = Self::new(22, 11);

    /// `year` counts from 2000, `month` from 1.
    pub const fn new(year: u8, month: u8) -> Self {
        Self { year, month }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.year, self.month)
    }
}

/// A text that is no release of DPDK.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no release of DPDK: write year and month, such as 22.11")]
pub struct UnknownRelease(pub String);

impl FromStr for Release {
    type Err = UnknownRelease;

    /// Reads `22.11`, and what `rte_version` says: `DPDK 22.11.11`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownRelease(text.to_owned());
        let mut parts = text.strip_prefix("DPDK ").unwrap_or(text).split(['.', '-']);
        let mut number = || parts.next()?.parse::<u8>().ok();
        match (number(), number()) {
            (Some(year), Some(month)) if (1..=12).contains(&month) => Ok(Self::new(year, month)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_as_it_is_printed() {
        for text in ["16.11", "18.02", "22.11", "25.11"] {
            assert_eq!(text.parse::<Release>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_running_version_is_read() {
        assert_eq!("DPDK 22.11.11".parse(), Ok(Release::new(22, 11)));
        assert_eq!("DPDK 24.11.0-rc1".parse(), Ok(Release::new(24, 11)));
    }

    #[test]
    fn releases_are_ordered_in_time() {
        assert!(Release::CAPABILITY_TABLE < Release::LISTED);
        assert!(Release::LISTED < Release::OLDEST_SUPPORTED);
        assert!(Release::new(18, 11) < Release::new(19, 2));
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for text in ["", "22", "22.13", "22.0", "new", "v22.11", "2022.11"] {
            assert_eq!(
                text.parse::<Release>(),
                Err(UnknownRelease(text.to_owned()))
            );
        }
    }
}
