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

mod pairs;

use core::fmt;
use core::ops::Deref;

use crate::action::Action;
use crate::field::{FieldMatch, Part, Triple};
use crate::item::Item;
use crate::kind::{ActionKind, ItemKind};
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
    pairs::for_each(&views, |first, second| {
        let conflict = judge(&views, [first, second], name);
        conflicts.extend(conflict.map(|conflict| (second, first, conflict)));
    });
    conflicts.sort_unstable_by_key(|&(second, first, _)| (second, first));
    conflicts
        .into_iter()
        .map(|(.., conflict)| conflict)
        .collect()
}

/// The conflict of two rules of a group and direction, if there is one.
fn judge(
    views: &[View<'_>],
    [first, second]: [usize; 2],
    name: impl Fn(usize) -> RuleName,
) -> Option<Conflict> {
    let (a, b) = (&views[first], &views[second]);
    let priority = |view: &View<'_>| view.rule.attributes().priority_number();
    let (p, q) = (priority(a), priority(b));
    if p < q && a.hides(b) {
        let (hidden, by) = (name(second), name(first));
        Some(Conflict::Shadowed { hidden, by })
    } else if q < p && b.hides(a) {
        let (hidden, by) = (name(first), name(second));
        Some(Conflict::Shadowed { hidden, by })
    } else if p == q && !a.does_as(b) && a.overlaps(b) {
        let (first, second) = (name(first), name(second));
        let priority = p;
        Some(Conflict::Ambiguous {
            first,
            second,
            priority,
        })
    } else if p == q && a.rule.items() == b.rule.items() && a.does_as(b) {
        let (first, second) = (name(first), name(second));
        Some(Conflict::Superfluous { first, second })
    } else {
        None
    }
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
        self.effects().eq(other.effects())
    }

    /// What is done with packets, but for the counting.
    fn effects(&self) -> impl Iterator<Item = &'a Action> {
        let quiet = [ActionKind::Count, ActionKind::Void];
        let actions = self.rule.actions().iter();
        actions.filter(move |action| !quiet.contains(&action.kind()))
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
mod tests;
