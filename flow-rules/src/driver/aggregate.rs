//! `net_bonding` and `net_failsafe`, which hand rules to the ports that they are made of, and
//! inline IPsec, which adds a security session to a rule.

use super::FieldName::Spi;
use super::{
    ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk, Profile, Quirk,
    Release, Rss, RuleAttributes, RuleQueues, Source, Spread,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const OBSERVED: Source = Source::Observed("testpmd, `show port info` and `flow isolate`");
const FOLLOWS_MEMBERS: NotedQuirk = NotedQuirk::new(
    Quirk::FollowsMembers,
    Evidence::new(
        Release::CAPABILITY_TABLE,
        Source::Guide("nics/overview.html"),
    ),
);
/// Each member has a key and a table of its own.
const SPREAD_ELSEWHERE: NotedQuirk = NotedQuirk::new(
    Quirk::SpreadElsewhere,
    Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
);
const NO_ISOLATION: NotedQuirk =
    NotedQuirk::new(Quirk::NoIsolation, TABLE.until(Release::OLDEST_SUPPORTED));
/// The least; what the members can do comes on top.
const ATTRIBUTES: RuleAttributes = RuleAttributes {
    ingress: true,
    egress: false,
    transfer: false,
    groups: false,
    priorities: 1,
    whole_protocol: false,
    evidence: Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
};
const RSS: Rss = Rss {
    spread: Spread::Elsewhere { by: "each member" },
    evidence: Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
    beside_rules: None,
    rule_queues: RuleQueues::Never,
};

pub(super) static BONDING: Profile = Profile {
    driver: Driver::Bonding,
    items: &[],
    actions: &[
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::End, TABLE),
    ],
    attributes: ATTRIBUTES,
    rss: RSS,
    isolation: Some(Evidence::new(Release::OLDEST_SUPPORTED, OBSERVED)),
    rx_offloads: &[],
    tx_offloads: &[],
    limits: Limits {
        rx_queues: Some(Known::new(1024, OBSERVED)),
        tx_queues: Some(Known::new(1024, OBSERVED)),
        mac_addresses: Some(Known::new(16, OBSERVED)),
        frame_len: Some(Known::new(16128, OBSERVED)),
        ..Limits::UNKNOWN
    },
    quirks: &[FOLLOWS_MEMBERS, SPREAD_ELSEWHERE, NO_ISOLATION],
};

pub(super) static FAILSAFE: Profile = Profile {
    driver: Driver::Failsafe,
    items: &[],
    actions: &[],
    attributes: ATTRIBUTES,
    rss: RSS,
    isolation: Some(Evidence::new(
        Release::OLDEST_SUPPORTED,
        Source::Driver("librte_net_failsafe 22.11: \"Enabling flow isolation\""),
    )),
    rx_offloads: &[],
    tx_offloads: &[],
    limits: Limits::UNKNOWN,
    quirks: &[FOLLOWS_MEMBERS, SPREAD_ELSEWHERE, NO_ISOLATION],
};

pub(super) static IPSEC: Profile = Profile {
    driver: Driver::Ipsec,
    items: &[ItemSupport::new(ItemKind::Esp, TABLE).whole(&[Spi])],
    actions: &[
        ActionSupport::new(ActionKind::Passthru, TABLE),
        ActionSupport::new(ActionKind::Rss, TABLE),
        ActionSupport::new(ActionKind::Security, TABLE),
    ],
    attributes: ATTRIBUTES,
    rss: Rss {
        spread: Spread::None,
        ..RSS
    },
    isolation: None,
    rx_offloads: &[],
    tx_offloads: &[],
    limits: Limits::UNKNOWN,
    quirks: &[
        NotedQuirk::new(
            Quirk::NotADevice,
            Evidence::new(
                Release::CAPABILITY_TABLE,
                Source::Guide("prog_guide/rte_security.html"),
            ),
        ),
        NotedQuirk::new(Quirk::NoIsolation, TABLE),
    ],
};
