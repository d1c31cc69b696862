//! Why a driver cannot do what a rule needs: one sentence each, for the operator.

use super::Driver;
use super::field_set::FieldSet;
use super::release::Release;
use super::rss::RuleQueues;
use crate::kind::{ActionKind, ItemKind};

/// Something that a driver lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unsupported {
    /// Rules are not wanted, whatever the driver can.
    #[error("flow rules are switched off")]
    SwitchedOff,
    /// The driver has no rules at all.
    #[error("{driver} has no flow rules")]
    Rules {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// A pattern item that the driver never had, or not any more, or not yet.
    #[error("{driver} has no `{item}` item in DPDK {release}{}", later(*.since))]
    Item {
        /// Whose profile was asked.
        driver: Driver,
        /// The item.
        item: ItemKind,
        /// The release that was asked about.
        release: Release,
        /// A later release that has it.
        since: Option<Release>,
    },
    /// Fields of an item that the driver cannot match.
    #[error("{driver} does not match {fields} of `{item}`: it matches {can}")]
    Fields {
        /// Whose profile was asked.
        driver: Driver,
        /// The item.
        item: ItemKind,
        /// The fields that it cannot match.
        fields: FieldSet,
        /// The fields that it can match.
        can: FieldSet,
    },
    /// Fields that the driver matches as a whole only.
    #[error("{driver} does not match a part of {fields} of `{item}`: give the whole value")]
    PartialMask {
        /// Whose profile was asked.
        driver: Driver,
        /// The item.
        item: ItemKind,
        /// The fields with a partial mask.
        fields: FieldSet,
    },
    /// An action that the driver never had, or not any more, or not yet.
    #[error("{driver} has no `{action}` action in DPDK {release}{}", later(*.since))]
    Action {
        /// Whose profile was asked.
        driver: Driver,
        /// The action.
        action: ActionKind,
        /// The release that was asked about.
        release: Release,
        /// A later release that has it.
        since: Option<Release>,
    },
    /// A set of queues that a rule cannot spread over.
    #[error("{driver} cannot spread a rule's packets over these queues: it takes {takes}")]
    RssQueues {
        /// Whose profile was asked.
        driver: Driver,
        /// What it takes.
        takes: RuleQueues,
    },
    /// A queue that the port does not have.
    #[error("there is no queue {queue}: the port has {port_queues}, numbered from 0")]
    NoSuchQueue {
        /// The number in the rule.
        queue: u16,
        /// How many there are.
        port_queues: u16,
    },
    /// A field that the profile does not speak of.
    #[error("nothing is known of {driver} matching {field} of `{item}`")]
    UnknownField {
        /// Whose profile was asked.
        driver: Driver,
        /// The item.
        item: ItemKind,
        /// The field, as testpmd calls it.
        field: &'static str,
    },
    /// Rules for a direction.
    #[error("{driver} takes no {direction} rules")]
    Direction {
        /// Whose profile was asked.
        driver: Driver,
        /// The direction, as testpmd calls it.
        direction: &'static str,
    },
    /// Groups.
    #[error("{driver} has group 0 only")]
    Group {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// As many priorities as the rule needs.
    #[error(
        "{driver} has no rules of priority {priorities} or more: use {}",
        if *priorities > 1 { "less" } else { "0" }
    )]
    Priority {
        /// Whose profile was asked.
        driver: Driver,
        /// How many there are.
        priorities: u32,
    },
    /// Rules that name no field.
    #[error("{driver} takes no rule for all packets of a protocol: name an address or a port")]
    WholeProtocol {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// The `rss` action in group 0.
    #[error("{driver} takes the `rss` action in a group other than 0 only")]
    RssGroup {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// A UDP port in a rule that is not of the first priority.
    #[error("{driver} takes a rule that names a UDP destination port at priority 0 only")]
    UdpPortPriority {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// A VLAN together with an IP address or port.
    #[error("{driver} takes no rule that names a VLAN and an IP address or a port")]
    VlanWithIp {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// A pattern that begins with another header.
    #[error("{driver} takes no pattern without the Ethernet header: begin it with `eth`")]
    NoEth {
        /// Whose profile was asked.
        driver: Driver,
    },
    /// A VLAN tag, and nothing on what is behind it.
    #[error("{driver} matches no packet by a VLAN alone: name its inner_type, or a header of IP")]
    VlanLast {
        /// Whose profile was asked.
        driver: Driver,
    },
}

fn later(release: Option<Release>) -> String {
    release.map_or_else(String::new, |release| format!("; DPDK {release} has it"))
}
