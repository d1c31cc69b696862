//! What an operator should know of a driver before trusting it with rules.

use core::fmt;

use super::evidence::Evidence;
use crate::kind::{ActionKind, ItemKind};

/// A quirk, and for which releases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotedQuirk {
    /// What.
    pub quirk: Quirk,
    /// When, and who says so.
    pub evidence: Evidence,
}

impl NotedQuirk {
    /// A quirk with its evidence.
    pub const fn new(quirk: Quirk, evidence: Evidence) -> Self {
        Self { quirk, evidence }
    }
}

/// An oddity of a driver. [`fmt::Display`] gives the sentence for the operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quirk {
    /// No rules at all.
    NoRules,
    /// Rules are made on the members.
    FollowsMembers,
    /// Not a network device.
    NotADevice,
    /// An item is missing that most drivers have.
    NoItem(ItemKind),
    /// An action is missing that most drivers have.
    NoAction(ActionKind),
    /// An item that few devices of the driver have.
    RareItem(ItemKind),
    /// An action that only newer devices have.
    NewerAction(ActionKind),
    /// Of an Ethernet header, the destination is all that can be matched.
    EthDestinationOnly,
    /// A VLAN can be matched by its tag control information only.
    VlanTciOnly,
    /// No isolation.
    NoIsolation,
    /// RSS and rules exclude each other.
    RssNotWithRules,
    /// The `rss` action has to name the whole port.
    RssWholePortOnly,
    /// The `rss` action takes no pattern with queues.
    RssWithoutPattern,
    /// The `rss` action takes consecutive queues, a power of two.
    RssRegion,
    /// The `rss` action takes consecutive queues, a power of two, aligned.
    RssAlignedRegion,
    /// The `rss` action needs a group other than 0.
    RssNeedsGroup,
    /// The `rss` action has a key of its own.
    RssOwnKey,
    /// How the `rss` action chooses among its queues is not known, as of every driver so far.
    RssUndocumented,
    /// Rules for one kind of packet have to name the same fields.
    SameFields,
    /// A rule has to name a field of its last header.
    FieldNeeded,
    /// A VLAN and an IP address or port exclude each other.
    VlanNotWithIp,
    /// A priority and a UDP port exclude each other.
    PriorityNotWithUdpPort,
    /// The kernel does the work.
    KernelClassifier,
    /// Something else chooses the queue.
    SpreadElsewhere,
    /// The device chooses the queue by a key or a table that it does not tell.
    HashHidden,
    /// The port says that it has more queues than it starts with.
    FewerQueues,
    /// What it says to a rule before it is installed does not count.
    RefusesLate,
    /// A pattern has to begin with `eth`.
    EthFirst,
    /// A VLAN without what is behind it matches nothing.
    VlanNotLast,
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoItem(item) => write!(
                f,
                "It has no `{item}` item: such packets are told apart in software."
            ),
            Self::NoAction(action) => {
                write!(f, "It has no `{action}` action: software does it instead.")
            }
            Self::RareItem(item) => write!(
                f,
                "Few of its devices have the `{item}` item: the device is asked before use."
            ),
            Self::NewerAction(action) => write!(
                f,
                "Only newer devices have the `{action}` action: the device is asked before use."
            ),
            other => f.write_str(other.sentence()),
        }
    }
}

impl Quirk {
    /// The sentence of a quirk that is about no item or action.
    const fn sentence(self) -> &'static str {
        match self {
            Self::NoRules => "It has no flow rules: packets are told apart in software.",
            Self::FollowsMembers => {
                "It hands rules to its members: what they all can do, it can do."
            }
            Self::NotADevice => {
                "It stands for inline IPsec, not for a network device: \
                 a rule names the security session of an ESP packet."
            }
            Self::EthDestinationOnly => {
                "Of an Ethernet header it matches the destination only, \
                 so ARP cannot be told apart by its EtherType."
            }
            Self::VlanTciOnly => "It matches a VLAN by its id only, not that there is any VLAN.",
            Self::NoIsolation => {
                "It has no isolated mode: packets that no rule matches still arrive."
            }
            Self::SameFields => {
                "All rules for one kind of packet have to name the same fields with the same masks."
            }
            Self::FieldNeeded => {
                "A rule has to name an address or a port: \
                 one for all packets of a protocol is not possible."
            }
            Self::VlanNotWithIp => "A rule that names a VLAN cannot name an IP address or a port.",
            Self::PriorityNotWithUdpPort => {
                "A rule that names a UDP destination port cannot have a priority other than 0."
            }
            Self::KernelClassifier => {
                "The kernel's traffic control does the work: \
                 it needs sch_multiq, sch_ingress, cls_flower, act_mirred, act_gact and act_skbedit, \
                 and costs CPU time."
            }
            Self::SpreadElsewhere => {
                "Something else chooses the queue of a packet, \
                 so replies are not foreseen: they may be handed over between workers."
            }
            Self::FewerQueues => {
                "Its ports start with no more queues than its profile says, whatever they say \
                 themselves: with more, DPDK ends the process."
            }
            Self::RefusesLate => {
                "Asked beforehand, it accepts rules that it refuses when they are installed: \
                 only installing them shows what it takes."
            }
            Self::EthFirst => "A pattern has to begin with the Ethernet header.",
            Self::VlanNotLast => {
                "A rule that names a VLAN has to say what is behind the tag: \
                 an EtherType, or a header of IP."
            }
            Self::HashHidden => {
                "It does not tell the key or the table by which it spreads packets, \
                 so replies are not foreseen: they may be handed over between workers."
            }
            other => other.rss_sentence(),
        }
    }

    /// The sentence of a quirk that is about the `rss` action.
    const fn rss_sentence(self) -> &'static str {
        match self {
            Self::RssNotWithRules => {
                "RSS does not work together with rules: a class with a rule gets a single queue, \
                 and software spreads it."
            }
            Self::RssWholePortOnly => {
                "The `rss` action spreads over all queues of the port, not over some: \
                 a class of several queues is spread by software."
            }
            Self::RssWithoutPattern => {
                "The `rss` action takes no queues together with a pattern: \
                 a class of several queues is spread by software."
            }
            Self::RssRegion => {
                "The `rss` action takes consecutive queues, and a power of two of them."
            }
            Self::RssAlignedRegion => {
                "The `rss` action takes consecutive queues, a power of two of them, \
                 beginning at a multiple of their number."
            }
            Self::RssNeedsGroup => "A rule with the `rss` action needs a group other than 0.",
            Self::RssOwnKey => {
                "Packets spread by a rule are hashed with a key of the driver's own, \
                 so replies are not foreseen: they may be handed over between workers."
            }
            Self::RssUndocumented => {
                "How a rule spreads packets over its queues is not documented, so replies are not \
                 foreseen. Ask for no rules for these classes to have them spread by the port."
            }
            _ => "",
        }
    }
}
