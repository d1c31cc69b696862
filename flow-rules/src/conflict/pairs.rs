//! Which pairs of rules can have to do with each other at all.
//!
//! To compare each rule with each other takes too long for thousands. But rules come in few shapes:
//! the same layers, with the same fields and masks. In two shapes, the bits that both look at must
//! be equal for a packet to match a rule of each; so, for each pair of shapes, only rules that agree
//! in these bits meet, and of those, only rules of which one may hide the other, or that have one
//! priority and different effects. That takes time in proportion to the rules and to the shapes. What
//! stays quadratic are rules that tell packets apart by nothing but ranges, and true conflicts.
//!
//! *In*: views of rules. *Out*: every pair that may be in conflict, once, in no order.

use core::cmp::Ordering;
use std::collections::HashMap;

use super::{LayerView, Relation, View, relate_kinds};
use crate::action::Action;
use crate::field::FieldInfo;
use crate::kind::ItemKind;
use crate::rule::Direction;

/// What rules have in common that differ only in values.
#[derive(Eq, Hash, PartialEq)]
struct Shape {
    group: u32,
    direction: Direction,
    inverted: bool,
    layers: Vec<(ItemKind, Vec<MaskedField>)>,
}

/// A field of a layer, and the bits of it that count; `None` for a range.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct MaskedField {
    info: FieldInfo,
    mask: Option<u128>,
}

/// A field that rules of two shapes look at.
struct CommonField {
    layer: usize,
    /// Its places among the fields of the layer, in either shape.
    places: [usize; 2],
    /// The bits that both look at.
    mask: u128,
}

/// Calls `meet` with each two rules that may be in conflict, the earlier first.
pub(super) fn for_each(views: &[View<'_>], mut meet: impl FnMut(usize, usize)) {
    let mut known: HashMap<Vec<&Action>, usize> = HashMap::new();
    let precedence = views.iter().map(|view| {
        let next = known.len();
        let effect = *known.entry(view.effects().collect()).or_insert(next);
        (view.rule.attributes().priority_number(), effect)
    });
    let precedence: Vec<(u32, usize)> = precedence.collect();
    let mut shapes: HashMap<Shape, Vec<usize>> = HashMap::new();
    for (index, view) in views.iter().enumerate() {
        shapes.entry(Shape::of(view)).or_default().push(index);
    }
    let shapes: Vec<_> = shapes.iter().collect();
    for (index, (one, rules)) in shapes.iter().enumerate() {
        for (other, others) in &shapes[index..] {
            let Some(common) = one.common(other) else {
                continue;
            };
            let same_shape = core::ptr::eq(*rules, *others);
            let hides = [one.may_cover(other), other.may_cover(one)];
            let matters = |rule: usize, other: usize| {
                let ((p, effect), (q, other)) = (precedence[rule], precedence[other]);
                match p.cmp(&q) {
                    Ordering::Less => hides[0],
                    Ordering::Equal => same_shape || effect != other,
                    Ordering::Greater => hides[1],
                }
            };
            let mut equal: HashMap<Vec<u128>, Vec<usize>> = HashMap::new();
            for &rule in *others {
                let key = key(&views[rule], &common, 1);
                equal.entry(key).or_default().push(rule);
            }
            for &rule in *rules {
                let met = equal.get(&key(&views[rule], &common, 0));
                for &other in met.into_iter().flatten() {
                    // Within a shape, each pair comes up from both sides.
                    let once = rule < other || rule != other && !same_shape;
                    if once && matters(rule, other) {
                        meet(rule.min(other), rule.max(other));
                    }
                }
            }
        }
    }
}

/// The values of the common fields in a rule of one of the two shapes.
fn key(view: &View<'_>, common: &[CommonField], side: usize) -> Vec<u128> {
    let value = |field: &CommonField| {
        let matches = &view.layers[field.layer].matches;
        matches[field.places[side]].bits.spec & field.mask
    };
    common.iter().map(value).collect()
}

impl Shape {
    fn of(view: &View<'_>) -> Self {
        let attributes = view.rule.attributes();
        let fields = |layer: &LayerView| {
            let fields = layer.matches.iter().map(|field| MaskedField {
                info: field.info,
                mask: (!field.is_range()).then_some(field.bits.mask),
            });
            (layer.kind, fields.collect())
        };
        Self {
            group: attributes.group_number(),
            direction: attributes.direction(),
            inverted: view.inverted,
            layers: view.layers.iter().map(fields).collect(),
        }
    }

    /// Whether a rule of this shape may take every packet of one of the other. The fields must be
    /// among the other's, as [`View::covers`] has it.
    fn may_cover(&self, other: &Self) -> bool {
        if self.inverted || other.inverted {
            return true;
        }
        let mut layers = self.layers.iter().zip(&other.layers);
        let all = layers.all(|(one, two)| {
            let there = |field: &MaskedField| two.1.iter().any(|other| other.info == field.info);
            one.0 == two.0 && one.0 != ItemKind::Any && one.1.iter().all(there)
        });
        all && self.layers.len() <= other.layers.len()
    }

    /// The fields in which rules of both shapes must agree to match the same packet; `None` if they
    /// have nothing to do with each other.
    fn common(&self, other: &Self) -> Option<Vec<CommonField>> {
        if self.group != other.group || self.direction != other.direction {
            return None;
        }
        let mut common = Vec::new();
        // What an inverted rule has no field for, it is for.
        if self.inverted || other.inverted {
            return Some(common);
        }
        for (layer, (one, two)) in self.layers.iter().zip(&other.layers).enumerate() {
            if one.0 != two.0 {
                let apart = relate_kinds(one.0, two.0) == Relation::Disjoint;
                return (!apart).then_some(common);
            }
            for (place, field) in one.1.iter().enumerate() {
                let same = |other: &MaskedField| other.info == field.info;
                let there = two.1.iter().position(same);
                let masks = there.map(|there| (there, field.mask, two.1[there].mask));
                if let Some((there, Some(mask), Some(other))) = masks {
                    common.push(CommonField {
                        layer,
                        places: [place, there],
                        mask: mask & other,
                    });
                }
            }
            if one.0 == ItemKind::Any {
                break;
            }
        }
        Some(common)
    }
}
