//! Checks between the rules of one set: none hides or contradicts another.
//!
//! rte_flow looks at the rules of a group from priority 0 on and takes the first that matches; what
//! happens to a packet that two rules of one priority match is undefined. So, in one group and
//! direction:
//!
//! - a rule is *shadowed* if one of higher priority takes every packet of it;
//! - two rules of one priority that some packet can match are *ambiguous* if they do different
//!   things with it, and one is *superfluous* if they are the same.
//!
//! "Shadowed" is said only where it is certain; a rule that several rules hide together is not
//! found. "Ambiguous" is said unless it is certain that no packet matches both: items such as `any`
//! or `raw` may make two rules look alike that are not, and another priority is cheap.

use core::fmt;
use core::ops::Deref;

use crate::action::{Action, ActionKind};
use crate::field::{FieldMatch, Part, Triple};
use crate::item::{Item, ItemKind};
use crate::rule::{FlowRule, carried};

/// A rule and what people call it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedRule {
    /// What it is called in messages.
    pub name: String,
    /// The rule.
    pub rule: FlowRule,
}

/// Rules for one port that do not hide or contradict each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RuleSet(Vec<NamedRule>);

impl RuleSet {
    /// The set of these rules.
    ///
    /// # Errors
    /// All the pairs that do not go together.
    pub fn new(rules: Vec<NamedRule>) -> Result<Self, Conflicts> {
        let conflicts = find(&rules);
        if conflicts.is_empty() {
            Ok(Self(rules))
        } else {
            Err(Conflicts(conflicts))
        }
    }
}

impl Deref for RuleSet {
    type Target = [NamedRule];

    fn deref(&self) -> &[NamedRule] {
        &self.0
    }
}

/// All conflicts among rules, one a line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, conflict) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{conflict}")?;
        }
        Ok(())
    }
}

/// Two rules that do not go together. Rules are named with their number in the set, from 0.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// No packet ever reaches the hidden rule.
    #[error(
        "rule {hidden} never matches: {by} goes first and takes every packet of it. Give \
         {hidden} a lower priority number than {by}, or remove it"
    )]
    Shadowed {
        /// The rule without effect.
        hidden: RuleName,
        /// The rule that hides it.
        by: RuleName,
    },
    /// What happens to a packet that both match is undefined.
    #[error(
        "rules {first} and {second} have priority {priority} both, can match the same packet and \
         do different things with it. Give the one that is to win a lower priority number"
    )]
    Ambiguous {
        /// One rule.
        first: RuleName,
        /// The other.
        second: RuleName,
        /// Their priority.
        priority: u32,
    },
    /// Two rules say the same.
    #[error("rule {second} says what {first} says: remove one")]
    Superfluous {
        /// One rule.
        first: RuleName,
        /// The other.
        second: RuleName,
    },
}

/// Which rule of a set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleName {
    /// Its place in the set, from 0.
    pub index: usize,
    /// What it is called.
    pub name: String,
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (#{})", self.name, self.index)
    }
}

/// All conflicts among `rules`, in their order.
pub fn find(rules: &[NamedRule]) -> Vec<Conflict> {
    let views: Vec<_> = rules.iter().map(|each| View::of(&each.rule)).collect();
    let name = |index: usize| RuleName {
        index,
        name: rules[index].name.clone(),
    };
    let mut conflicts = Vec::new();
    for (second, b) in views.iter().enumerate() {
        for (first, a) in views[..second].iter().enumerate() {
            let (p, q) = (a.rule.attributes(), b.rule.attributes());
            if p.group_number() != q.group_number() || p.direction() != q.direction() {
                continue;
            }
            let (p, q) = (p.priority_number(), q.priority_number());
            if p < q && a.hides(b) {
                let (hidden, by) = (name(second), name(first));
                conflicts.push(Conflict::Shadowed { hidden, by });
            } else if q < p && b.hides(a) {
                let (hidden, by) = (name(first), name(second));
                conflicts.push(Conflict::Shadowed { hidden, by });
            } else if p == q && !a.does_as(b) && a.overlaps(b) {
                conflicts.push(Conflict::Ambiguous {
                    first: name(first),
                    second: name(second),
                    priority: p,
                });
            } else if p == q && a.rule.items() == b.rule.items() && a.does_as(b) {
                let (first, second) = (name(first), name(second));
                conflicts.push(Conflict::Superfluous { first, second });
            }
        }
    }
    conflicts
}

/// A rule as these checks look at it.
struct View<'a> {
    rule: &'a FlowRule,
    inverted: bool,
    /// The layers from Ethernet on, with what the layer after each says of it.
    layers: Vec<LayerView>,
    /// What is matched besides the layers.
    others: Vec<&'a Item>,
}

struct LayerView {
    kind: ItemKind,
    matches: Vec<FieldMatch>,
}

/// What two stacks of layers have to do with each other.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Relation {
    /// No packet has both.
    Disjoint,
    /// Every packet of the second is one of the first.
    Covers,
    /// Perhaps some packet has both.
    Perhaps,
}

impl<'a> View<'a> {
    fn of(rule: &'a FlowRule) -> Self {
        let mut layers: Vec<LayerView> = Vec::new();
        let (mut others, mut inverted) = (Vec::new(), false);
        for item in rule.items().iter() {
            match item.kind() {
                ItemKind::Void => {}
                ItemKind::Invert => inverted = true,
                kind if kind.is_layer() => {
                    // A pattern that begins with IP is for IP in any frame.
                    if layers.is_empty() && matches!(kind, ItemKind::Ipv4 | ItemKind::Ipv6) {
                        layers.push(LayerView::of(ItemKind::Eth, &[]));
                    }
                    if let Some(below) = layers.last_mut() {
                        below.carries(kind);
                    }
                    layers.push(LayerView::of(kind, item.matches()));
                }
                _ => others.push(item),
            }
        }
        Self {
            rule,
            inverted,
            layers,
            others,
        }
    }

    /// Whether nothing is left of `other` when this rule goes first.
    fn hides(&self, other: &Self) -> bool {
        // A packet that is passed on is looked at again.
        *self.rule.actions().fate() != Action::Passthru && self.covers(other)
    }

    fn covers(&self, other: &Self) -> bool {
        match (self.inverted, other.inverted) {
            (false, false) => self.relation(other) == Relation::Covers,
            // All but A has all of B, if A has nothing of B.
            (true, false) => self.relation(other) == Relation::Disjoint,
            // All but A has all that is all but B, if B has all of A.
            (true, true) => other.relation(self) == Relation::Covers,
            // Only what is everything has all but something.
            (false, true) => self.layers.is_empty() && self.others.is_empty(),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self.inverted, other.inverted) {
            (false, false) => self.relation(other) != Relation::Disjoint,
            (true, false) => self.relation(other) != Relation::Covers,
            (false, true) => other.relation(self) != Relation::Covers,
            (true, true) => true,
        }
    }

    /// Whether the same is done with packets, but for the counting.
    fn does_as(&self, other: &Self) -> bool {
        fn effects(rule: &FlowRule) -> impl Iterator<Item = &Action> {
            let quiet = [ActionKind::Count, ActionKind::Void];
            let actions = rule.actions().iter();
            actions.filter(move |action| !quiet.contains(&action.kind()))
        }
        effects(self.rule).eq(effects(other.rule))
    }

    /// How the patterns are related, without their inversion.
    fn relation(&self, other: &Self) -> Relation {
        let layers = relate_layers(&self.layers, &other.layers);
        match (layers, relate_others(&self.others, &other.others)) {
            (Relation::Disjoint, _) | (_, Relation::Disjoint) => Relation::Disjoint,
            (Relation::Covers, Relation::Covers) => Relation::Covers,
            _ => Relation::Perhaps,
        }
    }
}

impl LayerView {
    fn of(kind: ItemKind, matches: &[FieldMatch]) -> Self {
        Self {
            kind,
            matches: matches.to_vec(),
        }
    }

    /// Notes what `above` says of this layer.
    fn carries(&mut self, above: ItemKind) {
        // The field of an IPv6 header may name an extension header instead.
        if self.kind == ItemKind::Ipv6 {
            return;
        }
        let Some((name, value)) = carried(self.kind, above) else {
            return;
        };
        let fields = self.kind.fields().iter();
        let Some(&info) = fields.clone().find(|field| field.name == name) else {
            return;
        };
        self.matches.retain(|field| field.info != info);
        let bits = Triple::exact(value, info.width);
        self.matches.push(FieldMatch { info, bits });
    }
}

fn relate_layers(a: &[LayerView], b: &[LayerView]) -> Relation {
    let mut relation = Relation::Covers;
    for (a, b) in a.iter().zip(b) {
        if a.kind != b.kind {
            if relate_kinds(a.kind, b.kind) == Relation::Disjoint {
                return Relation::Disjoint;
            }
            // What comes after them cannot be compared.
            return Relation::Perhaps;
        }
        match relate_fields(&a.matches, &b.matches) {
            Relation::Disjoint => return Relation::Disjoint,
            Relation::Perhaps => relation = Relation::Perhaps,
            Relation::Covers => {}
        }
        if a.kind == ItemKind::Any {
            return Relation::Perhaps;
        }
    }
    if a.len() > b.len() {
        return Relation::Perhaps;
    }
    relation
}

/// Layers of different kinds in the same place.
fn relate_kinds(a: ItemKind, b: ItemKind) -> Relation {
    use ItemKind as K;
    let families: [&[K]; 4] = [
        &[K::Gre, K::Nvgre],
        &[K::Gtp, K::Gtpc, K::Gtpu],
        &[K::Icmp6, K::Icmp6NdNs, K::Icmp6NdNa],
        &[K::Vxlan, K::VxlanGpe],
    ];
    let related = families
        .iter()
        .any(|family| family.contains(&a) && family.contains(&b));
    if related || a == K::Any || b == K::Any {
        Relation::Perhaps
    } else {
        Relation::Disjoint
    }
}

fn relate_fields(a: &[FieldMatch], b: &[FieldMatch]) -> Relation {
    let mut relation = Relation::Covers;
    for field in a {
        match b.iter().find(|other| other.info == field.info) {
            Some(other) if !field.bits.overlaps(other.bits) => return Relation::Disjoint,
            Some(other) if field.bits.covers(other.bits) => {}
            _ => relation = Relation::Perhaps,
        }
    }
    relation
}

/// Items that are no layers.
fn relate_others(a: &[&Item], b: &[&Item]) -> Relation {
    if a == b {
        return Relation::Covers;
    }
    let mut relation = Relation::Covers;
    for item in a {
        let same = b.iter().find(|other| other.kind() == item.kind());
        // A loose match lets in more than the pattern says, so it takes nothing away.
        let loose = item.kind() == ItemKind::Fuzzy;
        match same {
            Some(same) if item.kind() != ItemKind::Raw && !loose => {
                match relate_fields(item.matches(), same.matches()) {
                    Relation::Disjoint => return Relation::Disjoint,
                    Relation::Covers => {}
                    Relation::Perhaps => relation = Relation::Perhaps,
                }
            }
            _ if loose => {}
            _ => relation = Relation::Perhaps,
        }
    }
    let is_loose = |item: &&Item| {
        let thresh = item.field("thresh");
        item.kind() == ItemKind::Fuzzy && thresh.is_none_or(|field| field.value(Part::Spec) > 0)
    };
    if b.iter().any(is_loose) {
        return Relation::Perhaps;
    }
    relation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflicts(rules: &[(&str, &str)]) -> Vec<String> {
        let rules: Vec<_> = rules
            .iter()
            .map(|(name, text)| NamedRule {
                name: (*name).to_owned(),
                rule: text.parse().unwrap(),
            })
            .collect();
        find(&rules).iter().map(ToString::to_string).collect()
    }

    /// How rules with these patterns at priorities 0 and 1 are related: hidden, or not.
    fn hides(first: &str, second: &str) -> bool {
        let first = format!("ingress pattern {first} / end actions drop / end");
        let second =
            format!("priority 1 ingress pattern {second} / end actions queue index 0 / end");
        !conflicts(&[("first", &first), ("second", &second)]).is_empty()
    }

    /// Whether rules with these patterns at the same priority clash.
    fn clash(first: &str, second: &str) -> bool {
        let first = format!("ingress pattern {first} / end actions drop / end");
        let second = format!("ingress pattern {second} / end actions queue index 0 / end");
        !conflicts(&[("first", &first), ("second", &second)]).is_empty()
    }

    #[test]
    fn a_hidden_rule_is_named_with_the_one_that_hides_it() {
        let all = "ingress pattern eth / ipv4 / end actions drop / end";
        let web = "priority 2 ingress pattern eth / ipv4 / tcp dst is 80 / end \
                   actions queue index 1 / end";
        assert_eq!(
            conflicts(&[("web", web), ("all of IPv4", all)]),
            [
                "rule `web` (#0) never matches: `all of IPv4` (#1) goes first and takes every packet \
              of it. Give `web` (#0) a lower priority number than `all of IPv4` (#1), or remove it"
            ]
        );
        let pass = "ingress pattern eth / ipv4 / end actions mark id 1 / passthru / end";
        assert!(conflicts(&[("web", web), ("pass", pass)]).is_empty());
        let elsewhere = "group 1 ingress pattern eth / ipv4 / end actions drop / end";
        assert!(conflicts(&[("web", web), ("elsewhere", elsewhere)]).is_empty());
        let sent = "egress pattern eth / ipv4 / end actions drop / end";
        assert!(conflicts(&[("web", web), ("sent", sent)]).is_empty());
    }

    #[test]
    fn rules_of_one_priority_must_not_meet_with_different_fates() {
        let a = "ingress pattern eth / ipv4 / tcp src is 5 / end actions queue index 1 / end";
        let b = "ingress pattern eth / ipv4 / tcp dst is 6 / end actions queue index 2 / end";
        assert_eq!(
            conflicts(&[("a", a), ("b", b)]),
            [
                "rules `a` (#0) and `b` (#1) have priority 0 both, can match the same packet and do \
              different things with it. Give the one that is to win a lower priority number"
            ]
        );
        let same = "ingress pattern eth / ipv4 / tcp dst is 6 / end \
                    actions count identifier 0 / queue index 1 / end";
        assert!(conflicts(&[("a", a), ("same fate", same)]).is_empty());
        assert_eq!(
            conflicts(&[("a", a), ("a again", a)]),
            ["rule `a again` (#1) says what `a` (#0) says: remove one"]
        );
    }

    #[test]
    fn layers_cover_what_stands_on_them() {
        assert!(hides("eth", "ipv6 / udp"));
        assert!(hides("ipv4", "eth / ipv4 / udp / vxlan / eth"));
        assert!(hides("eth type is 0x0800", "eth / ipv4 / tcp"));
        assert!(hides("ipv4 proto is 6", "ipv4 / tcp dst is 80"));
        assert!(!hides("eth / ipv4 / tcp", "eth / ipv4"));
        assert!(!hides("eth / vlan / ipv4", "eth / ipv4"));
        assert!(!hides("eth / any / tcp", "eth / ipv4 / tcp"), "not certain");
        assert!(!hides("eth type is 0x0806", "eth / ipv4"));
    }

    #[test]
    fn fields_cover_by_mask_and_range() {
        let net = "ipv4 dst spec 10.0.0.0 dst prefix 8";
        assert!(hides(net, "ipv4 dst is 10.1.2.3 / tcp"));
        assert!(hides(net, "ipv4 dst spec 10.1.0.0 dst prefix 16"));
        assert!(!hides(net, "ipv4 dst spec 10.0.0.0 dst prefix 7"));
        assert!(!hides(net, "ipv4 src is 10.1.2.3"));
        let ports = "ipv6 / tcp dst spec 80 dst last 90 dst mask 0xffff";
        assert!(hides(ports, "ipv6 / tcp dst is 90 src is 1"));
        assert!(!hides(ports, "ipv6 / tcp dst is 91"));
    }

    #[test]
    fn what_excludes_each_other_does_not_clash() {
        assert!(!clash("eth / ipv4 / tcp", "eth / ipv4 / udp"));
        assert!(!clash("eth / ipv4 / tcp", "eth / ipv6 / tcp"));
        assert!(!clash("eth type is 0x0806", "ipv4"));
        assert!(!clash(
            "ipv4 / udp / vxlan vni is 5",
            "ipv4 / udp / vxlan vni is 6"
        ));
        assert!(!clash("port_id id is 0 / eth", "port_id id is 1 / eth"));
        assert!(clash("ipv4 / gre", "ipv4 / nvgre tni is 5"));
        assert!(clash("ipv6 / icmp6 type is 135", "ipv6 / icmp6_nd_ns"));
        assert!(clash("eth / any / tcp", "eth / ipv4 / tcp dst is 5"));
        let get = "ipv4 / tcp / raw relative is 1 pattern_hex is 474554";
        assert!(clash(get, "ipv4 / tcp"));
    }

    #[test]
    fn inverted_rules_are_for_the_rest() {
        assert!(hides("invert / ipv4", "ipv6 / tcp"));
        assert!(!hides("invert / ipv4", "ipv4 / tcp"));
        assert!(!clash("invert / ipv4", "ipv4 / tcp"));
        assert!(clash("invert / ipv4 / tcp", "ipv4"));
        assert!(hides("invert / ipv4 / tcp", "invert / ipv4"));
        assert!(clash("invert / ipv4", "invert / ipv6"));
    }

    #[test]
    fn a_loose_match_is_not_known_to_be_covered() {
        assert!(!hides("ipv4", "fuzzy thresh is 5 / ipv4 / tcp"));
        assert!(hides("fuzzy thresh is 5 / ipv4", "ipv4 / tcp"));
    }

    #[test]
    fn a_set_has_no_conflicts() {
        let named = |name: &str, text: &str| NamedRule {
            name: name.to_owned(),
            rule: text.parse().unwrap(),
        };
        let tcp = named(
            "tcp",
            "ingress pattern ipv4 / tcp / end actions queue index 0 / end",
        );
        let rest = named(
            "rest",
            "priority 1 ingress pattern eth / end actions queue index 1 / end",
        );
        let set = RuleSet::new(vec![tcp.clone(), rest.clone()]).unwrap();
        assert_eq!(set[1], rest);
        let error = RuleSet::new(vec![tcp.clone(), rest, tcp]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rule `tcp` (#2) says what `tcp` (#0) says: remove one"
        );
    }
}
