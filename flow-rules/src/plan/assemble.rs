//! Puts the plan for a port together, once it is decided what is steered to which queues.

use core::net::IpAddr;

use super::build::Planner;
use super::class::{Class, Family};
use super::fallback::{Fallback, Why};
use super::layout::Layout;
use super::rules::{self, Fate, Scope, Sketch, Tier};
use super::{ClassPlan, Control, Plan, Purpose, Queue, Replies, Rest, RestBy, destinations};
use crate::conflict::{NamedRule, RuleSet};
use crate::driver::{Condition, Quirk, RulePart, Spread, Unsupported};
use crate::kind::ActionKind;
use crate::rss::{Rss, RssType};
use crate::value::Mac;

impl Planner<'_> {
    pub(super) fn assemble(mut self, layout: &Layout) -> Plan {
        let mut sketches = self.sketch_classes(layout);
        if let Some(queue) = layout.other {
            let control = self.control().0.into_iter();
            sketches.extend(control.map(|each| self.control_sketch(each, queue)));
        }
        self.reconsider_rest(layout, !sketches.is_empty());
        let other = layout
            .other
            .or_else(|| layout.rest.first().copied())
            .unwrap_or(0);
        if self.rest_rules {
            sketches.extend(self.rest_sketches(self.isolated, &layout.rest, other));
        }
        for family in self.drops.clone() {
            match self.checked_drops(family, &layout.rest, other) {
                Ok(drops) => sketches.extend(drops),
                Err(unsupported) => self.note_foreign(family, Why::Unsupported(unsupported)),
            }
        }
        sketches.sort_by_key(|sketch| sketch.tier);
        let rest = self.rest(layout, !sketches.is_empty());
        let queues = self.queues(layout, &rest);
        self.note_asymmetry(&sketches, &rest);
        let mut classes = self.class_plans(layout, &rest);
        for plan in &mut classes {
            plan.destinations = destinations(&plan.queues, &queues, self.workers());
        }
        let mut plan = Plan {
            number: self.port.number,
            port: self.port.name.clone(),
            driver: self.port.driver,
            release: self.port.release,
            workers: self.workers(),
            queues,
            classes,
            rest,
            isolated: self.isolated,
            conditions: self.conditions(&sketches),
            notes: self.notes(&sketches),
            purposes: sketches.iter().map(|sketch| sketch.purpose).collect(),
            rules: self.rules(sketches),
            fallbacks: Vec::new(),
        };
        self.note_replies(&plan);
        plan.fallbacks = self.fallbacks;
        plan
    }

    /// Rules for the rest are for the sake of other rules, or of isolation, and must suit the queues
    /// that there are.
    fn reconsider_rest(&mut self, layout: &Layout, steers: bool) {
        self.rest_rules &= self.isolated || steers;
        if !self.rest_rules {
            return;
        }
        let sketches = self.rest_sketches(self.isolated, &layout.rest, 0);
        if let Err(unsupported) = self.takes_all(&sketches) {
            self.rest_rules = false;
            if self.isolated {
                self.isolated = false;
                let why = Why::Unsupported(unsupported);
                self.fallbacks.push(Fallback::NotIsolated { why });
            }
        }
    }

    /// The rules that drop, if they suit the queues that there are.
    fn checked_drops(
        &self,
        family: Family,
        rest: &[u16],
        other: u16,
    ) -> Result<Vec<Sketch>, Unsupported> {
        if rest.len() > Rss::MAX_QUEUES {
            self.can.width(rest.len() as u16)?;
        }
        let sketches = self.drop_sketches(family, rest, other);
        self.takes_all(&sketches)?;
        Ok(sketches)
    }

    fn sketch_classes(&self, layout: &Layout) -> Vec<Sketch> {
        let mut sketches = Vec::new();
        for (index, group) in layout.groups.iter().enumerate() {
            for (class, addresses) in &self.steered {
                // Where VXLAN is with UDP, UDP's rule is for both.
                let with_udp = class.enclosing();
                if with_udp.is_some_and(|udp| group.classes.contains(&udp)) {
                    continue;
                }
                if group.classes.contains(class) {
                    let more = self.class_sketches(*class, addresses, &group.queues, index);
                    sketches.extend(more);
                }
            }
        }
        sketches
    }

    /// Rules for a class, one for each address.
    pub(super) fn class_sketches(
        &self,
        class: Class,
        addresses: &[Option<IpAddr>],
        queues: &[u16],
        group: usize,
    ) -> Vec<Sketch> {
        let scope = self.scope(self.isolated);
        let udp = class.enclosing();
        let before = udp.is_some_and(|udp| self.steered.iter().any(|(other, _)| *other == udp));
        let own_group = self.can.groups_of_queues() && queues.len() > 1;
        let sketches = addresses.iter().map(|&address| Sketch {
            tier: if before { Tier::Tunnel } else { Tier::Class },
            name: match address {
                Some(address) => format!("{class} to {address}"),
                None => class.to_string(),
            },
            purpose: Purpose::Class(class),
            pattern: scope.class(class, address),
            fate: self.receive(queues, class.hashed()),
            group: if own_group { group as u32 + 1 } else { 0 },
        });
        sketches.collect()
    }

    pub(super) fn control_sketch(&self, control: Control, queue: u16) -> Sketch {
        Sketch {
            tier: if self.steered.is_empty() {
                Tier::Class
            } else {
                Tier::Control
            },
            name: control.name().to_owned(),
            purpose: Purpose::Control(control),
            pattern: rules::control(control),
            fate: self.receive(&[queue], None),
            group: 0,
        }
    }

    /// Rules for all that is left: on an isolated port for frames to us, otherwise for all.
    pub(super) fn rest_sketches(&self, isolated: bool, rest: &[u16], other: u16) -> Vec<Sketch> {
        let sketch = |to: Option<Mac>, queues: &[u16]| Sketch {
            tier: Tier::Rest,
            name: match to {
                Some(mac) => format!("rest to {mac}"),
                None => "rest".to_owned(),
            },
            purpose: Purpose::Rest,
            pattern: rules::frames(to),
            fate: self.receive(queues, self.rest_types()),
            group: 0,
        };
        if !isolated {
            return vec![sketch(None, rest)];
        }
        let mut groups = vec![Mac([0xff; 6])];
        for address in &self.ours {
            if let IpAddr::V6(address) = address {
                groups.extend(rules::groups_of(*address).map(rules::multicast_mac));
            }
        }
        groups.sort_unstable();
        groups.dedup();
        let to_us = sketch(Some(self.port.mac), rest);
        let to_groups = groups.into_iter().map(|mac| sketch(Some(mac), &[other]));
        core::iter::once(to_us).chain(to_groups).collect()
    }

    /// Rules that let pass what is for our addresses of a version, and drop what is for others.
    pub(super) fn drop_sketches(&self, family: Family, rest: &[u16], other: u16) -> Vec<Sketch> {
        let of_family = |address: &&IpAddr| address.is_ipv4() == (family == Family::V4);
        let ours = self.ours.iter().filter(of_family);
        let mut groups: Vec<_> = ours
            .clone()
            .filter_map(|address| match address {
                IpAddr::V6(address) => Some(rules::groups_of(*address)),
                IpAddr::V4(_) => None,
            })
            .flatten()
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let sketch = |scope: Scope, address: IpAddr, queues: &[u16]| Sketch {
            tier: Tier::Ours,
            name: format!("rest to {address}"),
            purpose: Purpose::Ours(family),
            pattern: scope.address(address),
            fate: self.receive(queues, self.rest_types()),
            group: 0,
        };
        let ours = ours.map(|&address| sketch(self.scope(self.isolated), address, rest));
        let groups = groups.into_iter();
        let groups = groups.map(|group| sketch(self.scope(false), group.into(), &[other]));
        let mut sketches: Vec<_> = ours.chain(groups).collect();
        sketches.push(Sketch {
            tier: Tier::Foreign,
            name: format!("{family} to others"),
            purpose: Purpose::Foreign(family),
            pattern: rules::family(family),
            fate: Fate::Drop,
            group: 0,
        });
        sketches
    }

    fn scope(&self, isolated: bool) -> Scope {
        Scope {
            mac: isolated.then_some(self.port.mac),
            vxlan_port: self.request.options.vxlan_port,
        }
    }

    fn receive(&self, queues: &[u16], types: impl IntoIterator<Item = RssType>) -> Fate {
        Fate::Receive(self.rss(queues, types))
    }

    /// What spreads packets over the queues of a rule: at least one, and no more than fit a rule.
    fn rss(&self, queues: &[u16], types: impl IntoIterator<Item = RssType>) -> Rss {
        let rss = Rss::new(queues).expect("a rule has queues, and no more than it can name");
        let rss = rss.types(types);
        let keyed = self.key().and_then(|key| rss.clone().key(key).ok());
        keyed.unwrap_or(rss)
    }

    /// The key of symmetric RSS: two octets again and again give the same hash for both directions.
    fn key(&self) -> Option<Vec<u8>> {
        let wanted = self.request.options.symmetric && self.workers() > 1;
        let len = self.can.key_len().filter(|_| wanted)?;
        Some([0x6d, 0x5a].into_iter().cycle().take(len.into()).collect())
    }

    /// What the port hashes: addresses, and ports of the classes that come with the rest.
    fn rest_types(&self) -> Vec<RssType> {
        let steered = |class: &&Class| self.steered.iter().all(|(other, _)| other != *class);
        let classes = self.classes.iter().filter(steered);
        let mut types: Vec<_> = classes.filter_map(|class| class.hashed()).collect();
        for (family, more) in [
            (Family::V4, [RssType::Ipv4, RssType::Ipv4Frag]),
            (Family::V6, [RssType::Ipv6, RssType::Ipv6Frag]),
        ] {
            if self.has(family) {
                types.extend(more);
            }
        }
        types.sort_unstable();
        types.dedup();
        types
    }

    fn rest(&mut self, layout: &Layout, has_rules: bool) -> Rest {
        let by = match (
            self.rest_rules,
            self.can.has_table(has_rules),
            self.can.spread(),
        ) {
            (true, ..) => RestBy::Rules,
            (_, true, _) => RestBy::Table,
            (_, _, Spread::Elsewhere { by }) => RestBy::Fixed { by },
            (_, _, Spread::Toeplitz { .. }) => RestBy::Fixed { by: "the device" },
            (_, _, Spread::None) => RestBy::Fixed { by: "nobody" },
        };
        let anywhere = matches!(by, RestBy::Fixed { .. }) && has_rules;
        if anywhere {
            let why = Why::NoTable(self.port.driver);
            self.fallbacks.push(Fallback::RestAnywhere { why });
        }
        let queues = if anywhere {
            (0..layout.len()).collect()
        } else {
            layout.rest.clone()
        };
        let spread = queues.len() > 1 && by == RestBy::Table;
        Rest {
            types: if spread {
                self.rest_types()
            } else {
                Vec::new()
            },
            key: self.key().filter(|_| spread),
            queues,
            by,
        }
    }

    fn queues(&self, layout: &Layout, rest: &Rest) -> Vec<Queue> {
        let mut queues: Vec<Queue> = Vec::new();
        let mut add = |first: usize, classes: &[Class], count: usize| {
            let workers = (0..self.workers()).cycle().skip(first).take(count);
            queues.extend(workers.map(|worker| Queue {
                worker,
                classes: classes.to_vec(),
            }));
        };
        // Where one worker receives a class, workers take turns.
        let turn = |index: usize| match self.one_receives {
            Some(_) => index % usize::from(self.workers()),
            None => 0,
        };
        for (index, group) in layout.groups.iter().enumerate() {
            add(turn(index), &group.classes, group.queues.len());
        }
        let unsteered = self.unsteered(layout);
        let first = match unsteered[..] {
            [Class::Other] => 0,
            _ => turn(layout.groups.len()),
        };
        add(first, &unsteered, layout.rest.len());
        add(0, &[Class::Other], layout.other.iter().count());
        for &number in &rest.queues {
            let classes = &mut queues[usize::from(number)].classes;
            let missing = unsteered.iter().filter(|class| !classes.contains(class));
            let missing: Vec<_> = missing.copied().collect();
            classes.extend(missing);
        }
        queues
    }

    /// The classes that come with the rest.
    fn unsteered(&self, layout: &Layout) -> Vec<Class> {
        let steered = |class: &Class| {
            let mut groups = layout.groups.iter();
            groups.any(|group| group.classes.contains(class))
        };
        let classes = self.classes.iter().copied().chain([Class::Other]);
        classes.filter(|class| !steered(class)).collect()
    }

    fn class_plans(&self, layout: &Layout, rest: &Rest) -> Vec<ClassPlan> {
        let classes = self.classes.iter().copied().chain([Class::Other]);
        let plan = |class: Class| {
            let mut groups = layout.groups.iter();
            let group = groups.find(|group| group.classes.contains(&class));
            let queues = group.map_or(&rest.queues, |group| &group.queues).clone();
            let spread = group.filter(|group| group.queues.len() > 1);
            let rss = spread.map(|group| self.rss(&group.queues, class.hashed()));
            ClassPlan {
                class,
                by_rule: group.is_some(),
                queues,
                rss,
                destinations: Vec::new(),
            }
        };
        let mut plans: Vec<_> = classes.map(plan).collect();
        if let (Some(queue), Some(other)) = (layout.other, plans.last_mut()) {
            other.by_rule = true;
            other.queues.push(queue);
        }
        plans
    }

    /// What makes the two directions of a flow come to different workers.
    fn note_asymmetry(&mut self, sketches: &[Sketch], rest: &Rest) {
        let spreads =
            |sketch: &Sketch| matches!(&sketch.fate, Fate::Receive(rss) if rss.queues().len() > 1);
        let spread = rest.queues.len() > 1 || sketches.iter().any(spreads);
        let wanted = self.request.options.symmetric && self.workers() > 1 && spread;
        if wanted && self.key().is_none() {
            let why = Why::NoKey(self.port.driver);
            self.fallbacks.push(Fallback::NotSymmetric { why });
        }
    }

    /// What makes replies come to another worker than the one that expects them: by rules, and by
    /// the port.
    fn note_replies(&mut self, plan: &Plan) {
        for by_rule in [true, false] {
            let unforeseen = |class: &&ClassPlan| {
                let connects = class.class.hashed().is_some() && class.class.enclosing().is_none();
                connects
                    && plan.is_by_rules(class) == by_rule
                    && plan.replies(class.class) == Some(Replies::Unforeseen)
            };
            let classes: Vec<_> = plan.classes.iter().filter(unforeseen).collect();
            if classes.is_empty() {
                continue;
            }
            if let Some(quirk) = self.can.unforeseen(by_rule) {
                self.fallbacks.push(Fallback::RepliesHandedOver {
                    classes: classes.iter().map(|plan| plan.class).collect(),
                    quirk,
                    workers: plan.workers,
                });
            }
        }
    }

    /// What the rules depend on, each once.
    fn conditions(&self, sketches: &[Sketch]) -> Vec<Condition> {
        // A condition that the plan itself keeps to.
        let kept = |condition: &Condition| {
            let rss = RulePart::Action(ActionKind::Rss);
            self.can.groups_of_queues() && condition.part == rss
        };
        let each = sketches.iter().filter_map(|each| self.takes(each).ok());
        let mut conditions = Vec::new();
        for condition in each.flatten().filter(|condition| !kept(condition)) {
            if !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        conditions
    }

    /// Quirks of the rules that no fall-back tells of.
    fn notes(&self, sketches: &[Sketch]) -> Vec<Quirk> {
        let noted = [Quirk::KernelClassifier, Quirk::RefusesLate].into_iter();
        let has = |quirk: &Quirk| !sketches.is_empty() && self.can.quirk(*quirk).is_some();
        noted.filter(has).collect()
    }

    /// Gives priorities to the tiers that there are.
    fn rules(&self, sketches: Vec<Sketch>) -> RuleSet {
        let mut tiers: Vec<_> = sketches.iter().map(|sketch| sketch.tier).collect();
        tiers.dedup();
        let named = sketches.into_iter().map(|sketch| {
            let priority = tiers.partition_point(|tier| *tier < sketch.tier) as u32;
            NamedRule {
                rule: sketch.rule(priority, self.can.counts()),
                name: sketch.name,
            }
        });
        RuleSet::new(named.collect()).expect("classes and tiers keep rules apart")
    }
}
