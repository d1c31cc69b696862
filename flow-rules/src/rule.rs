//! A rule: attributes, pattern and actions that fit each other.

use crate::action::{Action, ActionError, ActionList};
use crate::field::MatchError;
use crate::item::{Item, RawError};
use crate::kind::{ActionKind, ItemKind};
use crate::pattern::{ItemList, PatternError};
use crate::rss::RssError;

/// Which packets are for what, and when.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FlowRule {
    attributes: Attributes,
    items: ItemList,
    actions: ActionList,
}

impl FlowRule {
    /// A rule of parts that fit.
    ///
    /// # Errors
    /// A field that contradicts the layer after it, an action that the direction does not have,
    /// actions that undo each other, a jump to the group of the rule.
    pub fn new(
        attributes: Attributes,
        pattern: impl Into<ItemList>,
        actions: impl Into<ActionList>,
    ) -> Result<Self, RuleError> {
        let (items, actions) = (pattern.into(), actions.into());
        actions.check()?;
        check_stacking(&items)?;
        for (index, action) in actions.iter().enumerate() {
            let kind = action.kind();
            if kind.is_for_ingress() && attributes.direction != Direction::Ingress {
                return Err(RuleError::NoReceiveQueue {
                    index,
                    action: kind,
                    direction: attributes.direction.name(),
                });
            }
            if *action
                == (Action::Jump {
                    group: attributes.group,
                })
            {
                return Err(RuleError::JumpToItself {
                    index,
                    group: attributes.group,
                });
            }
        }
        Ok(Self {
            attributes,
            items,
            actions,
        })
    }

    /// Group, priority, direction.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// The items of the pattern.
    pub fn items(&self) -> &ItemList {
        &self.items
    }

    /// The actions.
    pub fn actions(&self) -> &ActionList {
        &self.actions
    }
}

/// When a rule is looked at.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Attributes {
    group: u32,
    priority: u32,
    direction: Direction,
}

impl Attributes {
    /// For packets that the port receives; group 0, priority 0.
    pub fn ingress() -> Self {
        Self::of(Direction::Ingress)
    }

    /// For packets that the port sends; group 0, priority 0.
    pub fn egress() -> Self {
        Self::of(Direction::Egress)
    }

    /// For all packets in the switch of the device; group 0, priority 0.
    pub fn transfer() -> Self {
        Self::of(Direction::Transfer)
    }

    /// In this group. Packets begin in group 0 and reach others by a jump.
    pub fn group(mut self, group: u32) -> Self {
        self.group = group;
        self
    }

    /// With this priority: 0 goes first.
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// The group.
    pub fn group_number(self) -> u32 {
        self.group
    }

    /// The priority: 0 goes first.
    pub fn priority_number(self) -> u32 {
        self.priority
    }

    /// The direction.
    pub fn direction(self) -> Direction {
        self.direction
    }

    pub(crate) fn of(direction: Direction) -> Self {
        Self {
            group: 0,
            priority: 0,
            direction,
        }
    }
}

/// Where the packets of a rule are met.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// Received by the port.
    Ingress,
    /// Sent by the port.
    Egress,
    /// In the switch of the device, whatever port they are for.
    Transfer,
}

impl Direction {
    /// All directions.
    pub const ALL: [Self; 3] = [Self::Ingress, Self::Egress, Self::Transfer];

    /// As testpmd calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Transfer => "transfer",
        }
    }
}

/// A rule that makes no sense. Indices count from 0.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// Its items.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Its actions.
    #[error(transparent)]
    Actions(#[from] ActionError),
    /// Its RSS.
    #[error(transparent)]
    Rss(#[from] RssError),
    /// A raw item.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// A comparison.
    #[error(transparent)]
    Match(#[from] MatchError),
    /// A field and the next layer exclude each other.
    #[error(
        "item {index}, {item}, has a {field} that cannot be before {above}: leave {field} out, or \
         make it {expected:#x}"
    )]
    Contradiction {
        /// Which item.
        index: usize,
        /// What it is.
        item: ItemKind,
        /// Its field.
        field: &'static str,
        /// The layer after it.
        above: ItemKind,
        /// What the field is before that layer.
        expected: u128,
    },
    /// A receive queue where there is none.
    #[error(
        "action {index}, {action}, names a receive queue, which a rule for {direction} does not \
         have: make the rule ingress"
    )]
    NoReceiveQueue {
        /// Which action.
        index: usize,
        /// What it is.
        action: ActionKind,
        /// The rule's direction.
        direction: &'static str,
    },
    /// A loop.
    #[error("action {index}, jump, leads to group {group}, where the rule is: jump to another")]
    JumpToItself {
        /// Which action.
        index: usize,
        /// The group.
        group: u32,
    },
}

/// Refuses fields that say that the next layer is another than it is.
fn check_stacking(items: &[Item]) -> Result<(), RuleError> {
    let layers = items.iter().enumerate();
    let mut layers = layers.filter(|(_, item)| item.kind().is_layer()).peekable();
    while let Some((index, item)) = layers.next() {
        let Some(&(_, above)) = layers.peek() else {
            break;
        };
        let Some((field, expected)) = carried(item.kind(), above.kind()) else {
            continue;
        };
        let excluded = |value: u128| {
            let given = item.field(field);
            given.is_some_and(|given| !given.bits.admits(value))
        };
        // RFC 8200 4: extension headers may stand between an IPv6 header and the upper layer.
        let extensions = IPV6_EXTENSIONS.iter();
        let by_extension = item.kind() == ItemKind::Ipv6
            && extensions.copied().any(|extension| !excluded(extension));
        if excluded(expected) && !by_extension {
            return Err(RuleError::Contradiction {
                index,
                item: item.kind(),
                field,
                above: above.kind(),
                expected,
            });
        }
    }
    Ok(())
}

/// The field of `below` that says that `above` follows, and its value then.
pub(crate) fn carried(below: ItemKind, above: ItemKind) -> Option<(&'static str, u128)> {
    use ItemKind as K;
    let field = match below {
        K::Eth => "type",
        K::Vlan => "inner_type",
        K::Gre | K::Geneve => "protocol",
        K::Ipv4 | K::Ipv6 => "proto",
        _ => return None,
    };
    let value = match (below, above) {
        // IANA, protocol numbers.
        (K::Ipv4 | K::Ipv6, K::Ipv4) => 4,
        (K::Ipv4 | K::Ipv6, K::Ipv6) => 41,
        (K::Ipv4, K::Icmp) => 1,
        (_, K::Tcp) => 6,
        (_, K::Udp) => 17,
        (_, K::Gre | K::Nvgre) => 47,
        (_, K::Esp) => 50,
        (K::Ipv6, K::Icmp6 | K::Icmp6NdNs | K::Icmp6NdNa) => 58,
        (_, K::Sctp) => 132,
        // IEEE, EtherTypes. A tag may have another one (802.1ad, MPLS multicast): not checked.
        (_, K::Ipv4) => 0x0800,
        (_, K::Arp) => 0x0806,
        (_, K::Ipv6) => 0x86dd,
        (K::Gre | K::Geneve, K::Eth) => 0x6558,
        _ => return None,
    };
    Some((field, value))
}

/// Protocol numbers of IPv6 extension headers (IANA): what may stand before the upper layer.
const IPV6_EXTENSIONS: [u128; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actions, Eth, Gre, Ipv4, Ipv6, Match, Pattern, Protocol, Rss, Tcp, Udp, Vlan};

    #[test]
    fn a_field_must_fit_the_next_layer() {
        let rule = |pattern: ItemList| {
            FlowRule::new(Attributes::ingress(), pattern, Actions::new().drop())
        };
        let error = rule(
            Pattern::new()
                .then(Eth::with(Eth::TYPE, 0x86dd))
                .void()
                .then(Ipv4::any())
                .into(),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "item 0, eth, has a type that cannot be before ipv4: leave type out, or make it 0x800"
        );
        let good = Pattern::new()
            .then(Eth::with(Eth::TYPE, 0x8100))
            .then(Vlan::with(Vlan::INNER_TYPE, 0x0800))
            .then(Ipv4::with(Ipv4::PROTO, 47))
            .then(Gre::with(Gre::PROTOCOL, 0x6558))
            .then(Eth::any());
        assert!(rule(good.into()).is_ok());

        let ranged = Match::range(7_u8, 16).unwrap();
        let bad = Pattern::new()
            .then(Ipv4::any().matching(Ipv4::PROTO, ranged))
            .then(Udp::any());
        assert!(rule(bad.into()).is_err());

        let behind = |proto| {
            Pattern::new()
                .then(Ipv6::with(Ipv6::PROTO, proto))
                .then(Tcp::any())
        };
        assert!(rule(behind(6).into()).is_ok());
        assert!(rule(behind(44).into()).is_ok(), "a fragment header");
        assert!(rule(behind(17).into()).is_err());
    }

    #[test]
    fn only_ingress_has_receive_queues() {
        let rule = |attributes, actions: ActionList| {
            FlowRule::new(attributes, Pattern::new().then(Eth::any()), actions)
        };
        let error = rule(Attributes::egress(), Actions::new().queue(1).into());
        assert_eq!(
            error.unwrap_err().to_string(),
            "action 0, queue, names a receive queue, which a rule for egress does not have: make \
             the rule ingress"
        );
        let rss = Rss::new([0]).unwrap();
        assert!(rule(Attributes::transfer(), Actions::new().rss(rss).into()).is_err());
        assert!(rule(Attributes::transfer(), Actions::new().drop().into()).is_ok());
    }

    #[test]
    fn a_rule_does_not_jump_to_its_own_group() {
        let rule = |group| {
            let attributes = Attributes::ingress().group(group);
            FlowRule::new(attributes, Pattern::new(), Actions::new().jump(1))
        };
        assert!(rule(0).is_ok());
        let error = rule(1).unwrap_err();
        assert_eq!(error, RuleError::JumpToItself { index: 0, group: 1 });
    }
}
