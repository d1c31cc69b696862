//! What a driver can do with flow rules.

use super::Driver;
use super::evidence::Evidence;
use super::field_set::{FieldName, FieldSet};
use super::limits::Limits;
use super::offload::{RxOffload, TxOffload};
use super::quirk::{NotedQuirk, Quirk};
use super::release::Release;
use super::rss::Rss;
use super::unsupported::Unsupported;
use crate::kind::{ActionKind, ItemKind};

/// All that is known of a driver. Every fact says since when it holds and who says so.
#[derive(Debug)]
pub struct Profile {
    /// Whose profile it is.
    pub driver: Driver,
    /// Pattern items.
    pub items: &'static [ItemSupport],
    /// Actions.
    pub actions: &'static [ActionSupport],
    /// What can be said of a rule as a whole.
    pub attributes: RuleAttributes,
    /// How packets are spread over queues.
    pub rss: Rss,
    /// Isolated mode, in which nothing arrives but what a rule matches.
    pub isolation: Option<Evidence>,
    /// What the device does with received frames.
    pub rx_offloads: &'static [OffloadSupport<RxOffload>],
    /// What the device does with frames to send.
    pub tx_offloads: &'static [OffloadSupport<TxOffload>],
    /// Numbers that it will not go beyond.
    pub limits: Limits,
    /// What an operator should know.
    pub quirks: &'static [NotedQuirk],
}

/// A pattern item of a driver.
#[derive(Clone, Copy, Debug)]
pub struct ItemSupport {
    /// The item.
    pub kind: ItemKind,
    /// The fields that can be matched.
    pub fields: FieldSet,
    /// Those of [`Self::fields`] of which a part can be matched.
    pub maskable: FieldSet,
    /// When, and who says so.
    pub evidence: Evidence,
}

impl ItemSupport {
    /// An item that can be matched by its presence.
    pub const fn new(kind: ItemKind, evidence: Evidence) -> Self {
        Self {
            kind,
            fields: FieldSet::EMPTY,
            maskable: FieldSet::EMPTY,
            evidence,
        }
    }

    /// Adds fields that can be matched as a whole.
    pub const fn whole(mut self, fields: &[FieldName]) -> Self {
        self.fields = self.fields.union(FieldSet::of(fields));
        self
    }

    /// Adds fields of which any part can be matched.
    pub const fn masked(mut self, fields: &[FieldName]) -> Self {
        self.maskable = self.maskable.union(FieldSet::of(fields));
        self.whole(fields)
    }
}

/// An action of a driver.
#[derive(Clone, Copy, Debug)]
pub struct ActionSupport {
    /// The action.
    pub kind: ActionKind,
    /// When, and who says so.
    pub evidence: Evidence,
}

impl ActionSupport {
    /// An action with its evidence.
    pub const fn new(kind: ActionKind, evidence: Evidence) -> Self {
        Self { kind, evidence }
    }
}

/// An offload of a driver.
#[derive(Clone, Copy, Debug)]
pub struct OffloadSupport<T> {
    /// The offload.
    pub offload: T,
    /// When, and who says so.
    pub evidence: Evidence,
}

impl<T> OffloadSupport<T> {
    /// An offload with its evidence.
    pub const fn new(offload: T, evidence: Evidence) -> Self {
        Self { offload, evidence }
    }
}

/// What a driver takes of a rule beside its pattern and actions.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "rte_flow has these as flags")]
pub struct RuleAttributes {
    /// Rules for received packets.
    pub ingress: bool,
    /// Rules for sent packets.
    pub egress: bool,
    /// Rules for the device's switch.
    pub transfer: bool,
    /// Groups other than 0.
    pub groups: bool,
    /// How many priorities there are; 1 is priority 0 alone.
    pub priorities: u32,
    /// Whether a rule may match a protocol alone, without a field of it: "all of TCP".
    pub whole_protocol: bool,
    /// When, and who says so.
    pub evidence: Evidence,
}

/// The answer to a question about a driver, if it is yes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Support {
    /// What else it takes, as the end of a sentence that begins with "only".
    pub condition: Option<&'static str>,
    /// Whether somebody else can look it up. If not, ask the device before relying on it.
    pub confirmed: bool,
}

impl From<Evidence> for Support {
    fn from(evidence: Evidence) -> Self {
        Self {
            condition: evidence.condition,
            confirmed: evidence.source.is_confirmed(),
        }
    }
}

impl Profile {
    /// Whether the driver has rules of its own in a release.
    pub fn has_rules(&self, release: Release) -> bool {
        self.actions
            .iter()
            .any(|action| action.evidence.holds_in(release))
    }

    /// Whether a pattern may have this item, with these fields.
    pub fn supports_item(
        &self,
        release: Release,
        kind: ItemKind,
        fields: FieldSet,
    ) -> Result<Support, Unsupported> {
        let item = self.item(release, kind)?;
        let missing = fields.without(item.fields);
        if !missing.is_empty() {
            return Err(Unsupported::Fields {
                driver: self.driver,
                item: kind,
                fields: missing,
                can: item.fields,
            });
        }
        Ok(item.evidence.into())
    }

    /// Whether a pattern may have this item, with only a part of each of these fields.
    pub fn supports_partial_mask(
        &self,
        release: Release,
        kind: ItemKind,
        fields: FieldSet,
    ) -> Result<Support, Unsupported> {
        let support = self.supports_item(release, kind, fields)?;
        let whole = fields.without(self.item(release, kind)?.maskable);
        if !whole.is_empty() {
            return Err(Unsupported::PartialMask {
                driver: self.driver,
                item: kind,
                fields: whole,
            });
        }
        Ok(support)
    }

    /// What the driver has of an item.
    pub fn item(&self, release: Release, kind: ItemKind) -> Result<&ItemSupport, Unsupported> {
        self.expect_rules(release)?;
        let of_kind = || self.items.iter().filter(|item| item.kind == kind);
        of_kind()
            .find(|item| item.evidence.holds_in(release))
            .ok_or_else(|| Unsupported::Item {
                driver: self.driver,
                item: kind,
                release,
                since: first_after(release, of_kind().map(|item| item.evidence)),
            })
    }

    /// Whether a rule may have this action. For `rss`, see [`Self::supports_rss`], too.
    pub fn supports_action(
        &self,
        release: Release,
        kind: ActionKind,
    ) -> Result<Support, Unsupported> {
        self.expect_rules(release)?;
        let of_kind = || self.actions.iter().filter(|action| action.kind == kind);
        of_kind()
            .find(|action| action.evidence.holds_in(release))
            .map(|action| action.evidence.into())
            .ok_or_else(|| Unsupported::Action {
                driver: self.driver,
                action: kind,
                release,
                since: first_after(release, of_kind().map(|action| action.evidence)),
            })
    }

    /// Whether a rule with a pattern may spread packets over `queues` of a port that has
    /// `port_queues`.
    pub fn supports_rss(
        &self,
        release: Release,
        queues: &[u16],
        port_queues: u16,
    ) -> Result<Support, Unsupported> {
        let support = self.supports_action(release, ActionKind::Rss)?;
        if !self.rss.rule_queues.allows(queues, port_queues) {
            return Err(Unsupported::RssQueues {
                driver: self.driver,
                takes: self.rss.rule_queues,
            });
        }
        Ok(support)
    }

    /// Whether the port goes on spreading what no rule matches while there are rules.
    pub fn spreads_beside_rules(&self, release: Release) -> bool {
        self.rss
            .beside_rules
            .is_some_and(|evidence| evidence.holds_in(release))
    }

    /// Whether the port can be told to take nothing but what a rule matches.
    pub fn isolates(&self, release: Release) -> bool {
        self.isolation
            .is_some_and(|evidence| evidence.holds_in(release))
    }

    /// What an operator should know of the driver in a release.
    pub fn quirks(&self, release: Release) -> impl Iterator<Item = Quirk> {
        self.quirks
            .iter()
            .filter(move |noted| noted.evidence.holds_in(release))
            .map(|noted| noted.quirk)
    }

    /// What the device does with received frames in a release.
    pub fn rx_offloads(&self, release: Release) -> impl Iterator<Item = RxOffload> {
        offloads(self.rx_offloads, release)
    }

    /// What the device does with frames to send in a release.
    pub fn tx_offloads(&self, release: Release) -> impl Iterator<Item = TxOffload> {
        offloads(self.tx_offloads, release)
    }

    fn expect_rules(&self, release: Release) -> Result<(), Unsupported> {
        if self.has_rules(release) {
            return Ok(());
        }
        Err(Unsupported::Rules {
            driver: self.driver,
        })
    }
}

fn offloads<T: Copy>(
    all: &'static [OffloadSupport<T>],
    release: Release,
) -> impl Iterator<Item = T> {
    all.iter()
        .filter(move |support| support.evidence.holds_in(release))
        .map(|support| support.offload)
}

/// The first release after `release` for which there is evidence.
fn first_after(release: Release, evidence: impl Iterator<Item = Evidence>) -> Option<Release> {
    evidence
        .map(|evidence| evidence.since)
        .filter(|&since| since > release)
        .min()
}
