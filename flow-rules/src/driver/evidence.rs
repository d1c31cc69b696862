//! Where a fact about a driver comes from, and for which releases it holds.

use super::release::Release;

/// Who says so, for which releases, and on what condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// The first release that has it, or the first of which we know that it has.
    pub since: Release,
    /// The first release without it.
    pub until: Option<Release>,
    /// Who says so.
    pub source: Source,
    /// What else it takes, as the end of a sentence that begins with "only"; mostly hardware.
    pub condition: Option<&'static str>,
}

impl Evidence {
    /// Stands in the capability table, without a remark.
    pub const TABLE: Self = Self::table(Remark::None);

    /// Stands in the capability table.
    pub const fn table(remark: Remark) -> Self {
        Self::new(Release::CAPABILITY_TABLE, Source::CapabilityTable(remark))
    }

    /// Stated by `source`, for `since` and all later releases.
    pub const fn new(since: Release, source: Source) -> Self {
        Self {
            since,
            until: None,
            source,
            condition: None,
        }
    }

    /// Gone with this release.
    pub const fn until(mut self, release: Release) -> Self {
        self.until = Some(release);
        self
    }

    /// Only under a condition: the end of a sentence that begins with "only".
    pub const fn only(mut self, condition: &'static str) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Whether the fact holds in a release.
    pub fn holds_in(&self, release: Release) -> bool {
        self.since <= release && self.until.is_none_or(|until| release < until)
    }
}

/// Who states a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The capability table (`tests/data/capability_table.txt` of this crate): what was noted of
    /// each driver at the time of DPDK 18.02.
    CapabilityTable(Remark),
    /// DPDK's documentation; the page.
    Guide(&'static str),
    /// The driver itself: its source, or what it says when it refuses a rule; where.
    Driver(&'static str),
    /// Seen on a live port with DPDK 22.11.11; how.
    Observed(&'static str),
    /// Common knowledge that no page confirmed. Trust the live port more.
    Unconfirmed,
}

impl Source {
    /// Whether somebody else can look it up.
    pub const fn is_confirmed(self) -> bool {
        !matches!(self, Self::Unconfirmed)
    }
}

/// What the capability table remarks on an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remark {
    /// Nothing.
    None,
    /// Few devices of the driver have it.
    Rare,
    /// Only newer devices or releases have it.
    Newer,
    /// The table is in doubt itself.
    Doubtful,
    /// Only some fields of the item can be matched.
    OnlyFields,
}

/// A number that is known of a device, and from whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known<T> {
    /// The number.
    pub value: T,
    /// Who says so.
    pub source: Source,
}

impl<T> Known<T> {
    /// `value` as stated by `source`.
    pub const fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_holds_from_its_first_release_to_the_one_that_loses_it() {
        let gone = Evidence::TABLE.until(Release::new(22, 11));
        assert!(!gone.holds_in(Release::new(17, 11)));
        assert!(gone.holds_in(Release::CAPABILITY_TABLE));
        assert!(gone.holds_in(Release::new(22, 7)));
        assert!(!gone.holds_in(Release::new(22, 11)));
        assert!(Evidence::TABLE.holds_in(Release::new(99, 11)));
    }
}
