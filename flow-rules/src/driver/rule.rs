//! Whether a driver takes a rule as a whole: its attributes, items with their fields, and actions.

use core::fmt;

use super::Driver;
use super::field_set::{FieldName, FieldSet};
use super::profile::{Profile, Support};
use super::quirk::Quirk;
use super::release::Release;
use super::unsupported::Unsupported;
use crate::action::Action;
use crate::field::Part;
use crate::item::Item;
use crate::kind::{ActionKind, ItemKind};
use crate::rule::{Direction, FlowRule};

/// What else a rule takes: the live port may lack it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Condition {
    /// Whose profile says so.
    pub driver: Driver,
    /// The part of a rule that needs it.
    pub part: RulePart,
    /// The end of a sentence that begins with "only".
    pub only: &'static str,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} only {}", self.driver, self.part, self.only)
    }
}

/// An item or an action.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RulePart {
    /// An item of the pattern.
    Item(ItemKind),
    /// An action.
    Action(ActionKind),
}

impl fmt::Display for RulePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(kind) => write!(f, "item `{kind}`"),
            Self::Action(kind) => write!(f, "action `{kind}`"),
        }
    }
}

/// The receive queues that an action names.
fn queues_of(action: &Action) -> &[u16] {
    match action {
        Action::Queue { index } => core::slice::from_ref(index),
        Action::Rss(rss) => rss.queues(),
        _ => &[],
    }
}

impl Profile {
    /// Whether the driver takes `rule` on a port with `port_queues` receive queues; if so, what
    /// that depends on.
    ///
    /// What it says of several rules together ([`Quirk::SameFields`]) is not looked at.
    pub fn supports_rule(
        &self,
        release: Release,
        rule: &FlowRule,
        port_queues: u16,
    ) -> Result<Vec<Condition>, Unsupported> {
        let mut conditions = Vec::new();
        let mut note = |part, support: Support| {
            conditions.extend(support.condition.map(|only| Condition {
                driver: self.driver,
                part,
                only,
            }));
        };
        for item in rule.items().iter() {
            let support = self.supports_item_of_rule(release, item)?;
            note(RulePart::Item(item.kind()), support);
        }
        for action in rule.actions().iter() {
            if let Some(queue) = queues_of(action)
                .iter()
                .copied()
                .find(|queue| *queue >= port_queues)
            {
                return Err(Unsupported::NoSuchQueue { queue, port_queues });
            }
            let support = match action {
                Action::Rss(rss) => self.supports_rss(release, rss.queues(), port_queues)?,
                _ => self.supports_action(release, action.kind())?,
            };
            note(RulePart::Action(action.kind()), support);
        }
        self.check_attributes(rule)?;
        self.check_quirks(release, rule)?;
        Ok(conditions)
    }

    fn supports_item_of_rule(&self, release: Release, item: &Item) -> Result<Support, Unsupported> {
        let kind = item.kind();
        let known = self.item(release, kind)?.fields;
        let (mut whole, mut partial) = (FieldSet::EMPTY, FieldSet::EMPTY);
        for field in item.matches() {
            let info = field.info();
            let name = field_name(kind, info.name, known);
            let name = name.ok_or(Unsupported::UnknownField {
                driver: self.driver,
                item: kind,
                field: info.name,
            })?;
            let all = field.value(Part::Mask).count_ones() == info.width && !field.is_range();
            let set = if all && name.word() == info.name {
                &mut whole
            } else {
                &mut partial
            };
            *set = set.union(FieldSet::of(&[name]));
        }
        if item.raw().is_some() {
            whole = FieldSet::of(&[FieldName::Pattern]);
        }
        self.supports_item(release, kind, whole)?;
        self.supports_partial_mask(release, kind, partial)
    }

    fn check_attributes(&self, rule: &FlowRule) -> Result<(), Unsupported> {
        let (driver, has) = (self.driver, self.attributes);
        let wants = rule.attributes();
        let direction = match wants.direction() {
            Direction::Ingress => has.ingress,
            Direction::Egress => has.egress,
            Direction::Transfer => has.transfer,
        };
        if !direction {
            let direction = wants.direction().name();
            return Err(Unsupported::Direction { driver, direction });
        }
        if wants.group_number() != 0 && !has.groups {
            return Err(Unsupported::Group { driver });
        }
        if wants.priority_number() >= has.priorities {
            return Err(Unsupported::Priority {
                driver,
                priorities: has.priorities,
            });
        }
        Ok(())
    }

    fn check_quirks(&self, release: Release, rule: &FlowRule) -> Result<(), Unsupported> {
        let driver = self.driver;
        let items = rule.items();
        let names_field = |item: &Item| !item.matches().is_empty() || item.raw().is_some();
        if !self.attributes.whole_protocol && !items.iter().any(names_field) {
            return Err(Unsupported::WholeProtocol { driver });
        }
        let names = |kind, field: &str| {
            let mut items = items.iter();
            items.any(|item: &Item| item.kind() == kind && item.field(field).is_some())
        };
        let attributes = rule.attributes();
        let has_rss = rule.actions().fate().kind() == ActionKind::Rss;
        for quirk in self.quirks(release) {
            match quirk {
                Quirk::RssNeedsGroup if has_rss && attributes.group_number() == 0 => {
                    return Err(Unsupported::RssGroup { driver });
                }
                Quirk::PriorityNotWithUdpPort
                    if attributes.priority_number() != 0 && names(ItemKind::Udp, "dst") =>
                {
                    return Err(Unsupported::UdpPortPriority { driver });
                }
                Quirk::VlanNotWithIp if names_vlan_and_more(items) => {
                    return Err(Unsupported::VlanWithIp { driver });
                }
                Quirk::EthFirst if !begins_with_eth(items) => {
                    return Err(Unsupported::NoEth { driver });
                }
                Quirk::VlanNotLast if ends_with_vlan(items) => {
                    return Err(Unsupported::VlanLast { driver });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A profile's name for a field of a rule. Where a profile knows the control information of a VLAN
/// tag as a whole only, its parts are parts of that.
fn field_name(item: ItemKind, name: &str, known: FieldSet) -> Option<FieldName> {
    match (item, name) {
        (ItemKind::PortRepresentor | ItemKind::RepresentedPort, _) => Some(FieldName::Id),
        (ItemKind::Gtp | ItemKind::Gtpc | ItemKind::Gtpu, "v_pt_rsv_flags") => {
            Some(FieldName::Flags)
        }
        (ItemKind::Vlan, "pcp" | "dei" | "vid") => {
            let own = name.parse().ok()?;
            let by_tci = !known.contains(own) && known.contains(FieldName::Tci);
            Some(if by_tci { FieldName::Tci } else { own })
        }
        _ => name.parse().ok(),
    }
}

/// Whether a pattern names a VLAN, and an address of IP or a port.
fn names_vlan_and_more(items: &[Item]) -> bool {
    let names = |kinds: &[ItemKind]| {
        let mut items = items.iter();
        items.any(|item| kinds.contains(&item.kind()) && !item.matches().is_empty())
    };
    names(&[ItemKind::Vlan])
        && names(&[ItemKind::Ipv4, ItemKind::Ipv6, ItemKind::Tcp, ItemKind::Udp])
}

/// Whether a pattern begins at the Ethernet header.
fn begins_with_eth(items: &[Item]) -> bool {
    let mut layers = items.iter().filter(|item| item.kind().is_layer());
    layers
        .next()
        .is_some_and(|item| item.kind() == ItemKind::Eth)
}

/// Whether a pattern ends with a VLAN tag, and does not even say what is behind it.
fn ends_with_vlan(items: &[Item]) -> bool {
    let mut layers = items.iter().filter(|item| item.kind().is_layer());
    layers
        .next_back()
        .is_some_and(|item| item.kind() == ItemKind::Vlan && item.field("inner_type").is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(driver: Driver, rule: &str) -> Result<Vec<Condition>, Unsupported> {
        let rule: FlowRule = rule.parse().expect(rule);
        driver
            .profile()
            .supports_rule(Release::OLDEST_SUPPORTED, &rule, 8)
    }

    fn refusal(driver: Driver, rule: &str) -> String {
        ask(driver, rule).expect_err(rule).to_string()
    }

    #[test]
    fn a_rule_is_taken_with_what_it_depends_on() {
        let rule = "ingress pattern eth / ipv4 / tcp / end actions rss types ipv4-tcp end \
                    queues 0 1 end / end";
        assert_eq!(ask(Driver::Mlx5, rule), Ok(vec![]));
        let tap = Driver::Tap.profile();
        let rule: FlowRule = rule.parse().expect(rule);
        let conditions = tap.supports_rule(Release::LISTED, &rule, 8).expect("then");
        let conditions: Vec<_> = conditions.iter().map(ToString::to_string).collect();
        assert_eq!(
            conditions,
            ["net_tap has action `rss` only if the kernel lets the driver load BPF programs"]
        );
        let refusal = tap.supports_rule(Release::OLDEST_SUPPORTED, &rule, 8);
        assert_eq!(
            refusal.expect_err("the kernel does not").to_string(),
            "net_tap has no `rss` action in DPDK 22.11"
        );
    }

    #[test]
    fn a_queue_that_the_port_does_not_have_is_named() {
        for actions in ["queue index 8", "rss types none end queues 7 8 end"] {
            let rule = format!("ingress pattern eth / ipv4 / end actions {actions} / end");
            let text = refusal(Driver::Mlx5, &rule);
            let expected = "there is no queue 8: the port has 8, numbered from 0";
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn each_part_of_a_rule_can_be_what_a_driver_lacks() {
        let drop = "ingress pattern eth / ipv6 / end actions drop / end";
        assert_eq!(
            refusal(Driver::Mlx4, drop),
            "net_mlx4 has no `ipv6` item in DPDK 22.11"
        );
        assert_eq!(refusal(Driver::Memif, drop), "net_memif has no flow rules");
        assert_eq!(
            refusal(Driver::Ice, drop),
            "net_ice takes no rule for all packets of a protocol: name an address or a port"
        );
        assert_eq!(
            refusal(Driver::Sfc, &format!("priority 1 {drop}")),
            "net_sfc_efx has no rules of priority 1 or more: use 0"
        );
        assert_eq!(
            refusal(Driver::Tap, &drop.replace("ingress", "transfer")),
            "net_tap takes no transfer rules"
        );
        assert_eq!(
            refusal(Driver::I40e, &format!("group 1 {drop}")),
            "net_i40e has group 0 only"
        );
        assert_eq!(
            refusal(
                Driver::Mlx4,
                "priority 1 ingress pattern eth / ipv4 / udp dst is 4789 / end actions drop / end"
            ),
            "net_mlx4 takes a rule that names a UDP destination port at priority 0 only"
        );
        assert_eq!(
            refusal(
                Driver::Bnxt,
                "ingress pattern eth / ipv4 dst is 192.0.2.1 / end actions rss types none end \
                 queues 0 1 end / end"
            ),
            "net_bnxt takes the `rss` action in a group other than 0 only"
        );
        assert_eq!(
            refusal(
                Driver::Mlx5,
                "ingress pattern eth / ipv4 packet_id is 1 / end actions drop / end"
            ),
            "nothing is known of net_mlx5 matching packet_id of `ipv4`"
                .replace("net_mlx5", "mlx5_pci")
        );
    }

    #[test]
    fn a_tap_device_wants_to_know_what_is_around_a_tag() {
        let drop = |pattern| {
            let rule = format!("ingress pattern {pattern} / end actions drop / end");
            ask(Driver::Tap, &rule).map_err(|refusal| refusal.to_string())
        };
        let taken = Ok(vec![]);
        assert_eq!(drop("eth / vlan inner_type is 0x800"), taken);
        assert_eq!(drop("eth / vlan vid is 5 / ipv4"), taken);
        assert_eq!(
            drop("eth / vlan vid is 5"),
            Err(
                "net_tap matches no packet by a VLAN alone: name its inner_type, or a header of IP"
                    .into()
            )
        );
        assert_eq!(
            drop("ipv4 / tcp"),
            Err("net_tap takes no pattern without the Ethernet header: begin it with `eth`".into())
        );
        assert_eq!(
            drop("eth / vlan pcp is 5 / ipv4"),
            Err("net_tap does not match pcp of `vlan`: it matches vid, inner_type".into())
        );
    }

    #[test]
    fn a_part_of_a_field_is_more_than_the_field() {
        let rule = |address: &str| {
            format!("ingress pattern eth / ipv4 dst {address} / end actions drop / end")
        };
        assert!(ask(Driver::Mlx4, &rule("is 192.0.2.1")).is_ok());
        assert_eq!(
            refusal(Driver::Mlx4, &rule("spec 192.0.2.0 dst prefix 24")),
            "net_mlx4 does not match a part of dst of `ipv4`: give the whole value"
        );
        let vlan = "ingress pattern eth / vlan vid is 5 / end actions drop / end";
        assert!(ask(Driver::Mlx4, vlan).is_ok());
        assert!(ask(Driver::Enic, vlan).is_ok());
        assert_eq!(
            refusal(Driver::Ice, vlan),
            "net_ice does not match a part of tci of `vlan`: give the whole value"
        );
    }
}
