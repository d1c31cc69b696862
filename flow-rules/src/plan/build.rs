//! Makes the plan for one port.

use core::net::IpAddr;

use super::abilities::Abilities;
use super::class::{Class, Family};
use super::fallback::{Fallback, Why};
use super::layout::{Layout, Wanted};
use super::request::{Port, Request};
use super::rules::Sketch;
use super::{Control, Plan};
use crate::driver::{Condition, Driver, Quirk, Spread, Unsupported};

pub(super) fn plan(request: &Request, port: &Port) -> Plan {
    let mut planner = Planner::new(request, port);
    planner.decide_width();
    planner.decide_isolation();
    planner.decide_drops();
    let steering = planner.steer();
    let layout = planner.lay_out(&steering);
    planner.assemble(&layout)
}

/// The plan in the making. Each step takes tiers of priorities from those that are left.
pub(super) struct Planner<'a> {
    pub(super) request: &'a Request,
    pub(super) port: &'a Port,
    pub(super) can: Abilities,
    /// Addresses of packets that are for us.
    pub(super) ours: Vec<IpAddr>,
    /// Without "other".
    pub(super) classes: Vec<Class>,
    /// Receive queues that the port can have.
    pub(super) available: u16,
    /// Queues of a class with a rule, or why no rule brings it to the workers.
    width: Result<u16, Unsupported>,
    /// Why a class with a rule comes to one worker, which distributes it to the others.
    pub(super) one_receives: Option<Unsupported>,
    /// Priorities beyond the one of the classes that are not spoken for.
    pub(super) tiers_left: u32,
    pub(super) isolated: bool,
    /// Whether rules for the rest are possible.
    pub(super) rest_rules: bool,
    /// IP versions of which packets for other addresses are dropped.
    pub(super) drops: Vec<Family>,
    /// How a class with a rule is matched: for each of these addresses, or for all.
    pub(super) steered: Vec<(Class, Vec<Option<IpAddr>>)>,
    pub(super) fallbacks: Vec<Fallback>,
}

/// What can be steered, before it is known whether there are queues for it.
#[derive(Default)]
struct Steering {
    /// Queues of each class.
    width: u16,
    steered: Vec<Class>,
    enclosed: Vec<(Class, Why)>,
    others: Vec<(Class, Why)>,
}

impl<'a> Planner<'a> {
    fn new(request: &'a Request, port: &'a Port) -> Self {
        let can = Abilities::of(request, port);
        let ours = request.addresses_on(port);
        let available = if can.spread() == Spread::None {
            1
        } else {
            can.queues(port.rx_queues).unwrap_or(u16::MAX)
        };
        let mut fallbacks = Vec::new();
        let driver = port.driver;
        if driver.follows_members() && port.members.is_empty() {
            fallbacks.push(Fallback::MembersUnknown { driver });
        }
        if driver == Driver::Ipsec {
            fallbacks.push(Fallback::NoDevice { driver });
        }
        Self {
            request,
            port,
            classes: request.classes_for(&ours),
            tiers_left: can.priorities().saturating_sub(1),
            width: can.width(request.workers),
            one_receives: None,
            can,
            ours,
            available,
            isolated: false,
            rest_rules: false,
            drops: Vec::new(),
            steered: Vec::new(),
            fallbacks,
        }
    }

    pub(super) fn workers(&self) -> u16 {
        self.request.workers
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.ours.iter().any(|address| match family {
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        })
    }

    /// Whether the device takes what is sketched, at the first priority.
    pub(super) fn takes(&self, sketch: &Sketch) -> Result<Vec<Condition>, Unsupported> {
        self.can.takes(&sketch.rule(0, self.can.counts()))
    }

    pub(super) fn takes_all(&self, sketches: &[Sketch]) -> Result<(), Unsupported> {
        let mut sketches = sketches.iter();
        sketches.try_for_each(|sketch| self.takes(sketch).map(drop))
    }

    /// Why there is no tier left.
    fn no_priorities(&self) -> Why {
        Why::Priorities {
            driver: self.port.driver,
            has: self.can.priorities(),
        }
    }

    /// Where rules cannot spread, a class may have a queue of one worker, if another rule keeps the
    /// rest out of it.
    fn decide_width(&mut self) {
        let isolated = self.request.options.isolation && self.can.isolates();
        let Err(why) = self.width else {
            return;
        };
        if !self.can.leads_to_one(isolated) {
            return;
        }
        self.width = Ok(1);
        if self.rest_possible(isolated).is_ok() {
            self.one_receives = Some(why);
        } else {
            self.width = Err(why);
        }
    }

    /// A rule for the rest is needed on an isolated port, and where nothing else keeps the rest
    /// from the queues of the classes.
    fn decide_isolation(&mut self) {
        if self.request.options.isolation {
            let can = if self.can.isolates() || !self.request.options.rules {
                self.rest_possible(true)
            } else {
                Err(Why::NoIsolation(self.port.driver))
            };
            match can {
                Ok(()) => self.isolated = true,
                Err(why) => self.fallbacks.push(Fallback::NotIsolated { why }),
            }
        }
        let table = self.can.has_table(true);
        self.rest_rules = self.isolated || !table && self.rest_possible(false).is_ok();
        self.tiers_left -= u32::from(self.rest_rules);
    }

    /// Whether there can be rules for the rest, after all others.
    fn rest_possible(&self, isolated: bool) -> Result<(), Why> {
        let width = self.width.map_err(Why::Unsupported)?;
        let queues: Vec<_> = (0..width).collect();
        let sketches = self.rest_sketches(isolated, &queues, 0);
        self.takes_all(&sketches).map_err(Why::Unsupported)?;
        if self.tiers_left == 0 {
            return Err(self.no_priorities());
        }
        Ok(())
    }

    /// Rules that drop need rules before them for all that is ours.
    fn decide_drops(&mut self) {
        if !self.request.options.drops {
            return;
        }
        let mut drops = Vec::new();
        for family in Family::ALL {
            let sketches = self.drop_sketches(family, &[0], 0);
            let why = match self.takes_all(&sketches) {
                Err(unsupported) => Why::Unsupported(unsupported),
                Ok(()) if self.tiers_left < 2 => self.no_priorities(),
                Ok(()) => {
                    drops.push(family);
                    continue;
                }
            };
            self.note_foreign(family, why);
        }
        if !drops.is_empty() {
            self.tiers_left -= 2;
        }
        self.drops = drops;
    }

    /// Finds out which classes rules can bring to queues of their own.
    fn steer(&mut self) -> Steering {
        let mut steering = Steering::default();
        let all = |classes: &[Class], why: Why| {
            let pairs = classes.iter().map(|&class| (class, why));
            pairs.collect::<Vec<_>>()
        };
        match self.width {
            Ok(width) => steering.width = width,
            Err(unsupported) => {
                steering.others = all(&self.classes, Why::Unsupported(unsupported));
                return steering;
            }
        }
        for class in self.classes.clone() {
            let asked_for = self.request.classes.contains(&class);
            let why = if asked_for {
                match self.addresses_for(class, steering.width) {
                    Ok(addresses) => {
                        steering.steered.push(class);
                        self.steered.push((class, addresses));
                        continue;
                    }
                    Err(unsupported) => Why::Unsupported(unsupported),
                }
            } else {
                Why::NotAskedFor
            };
            // A rule for UDP takes VXLAN with it.
            let udp = class.enclosing();
            if udp.is_some_and(|udp| steering.steered.contains(&udp)) {
                steering.steered.push(class);
                steering.enclosed.push((class, why));
            } else {
                steering.others.push((class, why));
            }
        }
        self.tell_tunnels_apart(&mut steering);
        let spreads = self.rest_rules || self.can.spreads_beside_rules();
        if !steering.others.is_empty() && self.workers() > 1 && !spreads {
            steering.others = all(&self.classes, Why::RssNotWithRules(self.port.driver));
            self.give_up_steering(&mut steering);
        }
        steering
    }

    /// VXLAN apart from UDP takes rules that go before others.
    fn tell_tunnels_apart(&mut self, steering: &mut Steering) {
        let steered = steering.steered.clone();
        let tunnels = steered.iter().filter(|class| {
            let udp = class.enclosing();
            udp.is_some_and(|udp| steered.contains(&udp))
        });
        let tunnels: Vec<_> = tunnels.copied().collect();
        if tunnels.is_empty() {
            return;
        }
        let why = if let Some(driver) = self.can.quirk(Quirk::SameFields) {
            Why::SameFields(driver)
        } else if self.tiers_left == 0 {
            self.no_priorities()
        } else {
            self.tiers_left -= 1;
            return;
        };
        let known = |class: &Class| steering.enclosed.iter().any(|(other, _)| other == class);
        let more: Vec<_> = tunnels.into_iter().filter(|class| !known(class)).collect();
        steering
            .enclosed
            .extend(more.into_iter().map(|class| (class, why)));
    }

    fn give_up_steering(&mut self, steering: &mut Steering) {
        self.steered.clear();
        steering.steered.clear();
        steering.enclosed.clear();
    }

    /// The addresses for which a class needs rules, where `None` is a rule for all.
    fn addresses_for(&self, class: Class, width: u16) -> Result<Vec<Option<IpAddr>>, Unsupported> {
        let ours = self.ours.iter().copied();
        let ours = ours.filter(|ip| ip.is_ipv4() == (class.family() == Some(Family::V4)));
        let (each, any) = (ours.map(Some).collect::<Vec<_>>(), vec![None]);
        let queues: Vec<_> = (0..width).collect();
        let taken = |addresses: &[Option<IpAddr>]| {
            let sketches = self.class_sketches(class, addresses, &queues, 0);
            self.takes_all(&sketches)
        };
        let drops = class
            .family()
            .is_some_and(|family| self.drops.contains(&family));
        let [first, second] = if drops { [each, any] } else { [any, each] };
        let Err(why) = taken(&first) else {
            return Ok(first);
        };
        // Where a field is needed, what is wrong with the one that is there is more to the point.
        let needs_field = matches!(why, Unsupported::WholeProtocol { .. });
        match taken(&second) {
            Ok(()) => Ok(second),
            Err(more) if needs_field => Err(more),
            Err(_) => Err(why),
        }
    }

    /// Gives out queues, with less and less of one's own until there are enough.
    fn lay_out(&mut self, steering: &Steering) -> Layout {
        let enclosed: Vec<_> = steering.enclosed.iter().map(|(class, _)| *class).collect();
        let all_steered = steering.others.is_empty();
        let (control, missing) = self.control();
        let rest = match (all_steered, self.rest_rules) {
            (true, _) => 1,
            (false, true) => steering.width,
            (false, false) => self.workers(),
        };
        let wanted = Wanted {
            steered: &steering.steered,
            enclosed: &enclosed,
            width: steering.width,
            rest,
            other: !all_steered && !control.is_empty() && self.tiers_left > 0,
        };
        let mut others = steering.others.clone();
        if !steering.steered.is_empty() {
            match wanted.fit(self.available) {
                Ok(layout) => {
                    if !all_steered {
                        others.extend(missing.map(|why| (Class::Other, why)));
                    }
                    self.note_classified(&others);
                    self.note_sharing(steering, &layout, wanted.needed_unshared());
                    self.note_one_receiver(&layout);
                    return layout;
                }
                Err(needed) => {
                    let available = self.available;
                    let why = Why::Queues { needed, available };
                    self.steered.clear();
                    others = self.classes.iter().map(|&class| (class, why)).collect();
                }
            }
        }
        let layout = self.lay_out_without_classes(!control.is_empty());
        let apart = layout.other.is_some();
        let why = others.last().map(|(_, why)| *why);
        let why = missing.or_else(|| why.filter(|_| !apart));
        if !self.classes.is_empty() {
            others.extend(why.map(|why| (Class::Other, why)));
        }
        self.note_classified(&others);
        layout
    }

    /// All classes on the queues of the rest.
    fn lay_out_without_classes(&mut self, control: bool) -> Layout {
        let (workers, driver) = (self.workers(), self.port.driver);
        let needs_spread = !self.classes.is_empty();
        let one_receives = self.one_receives.filter(|_| self.isolated);
        let rest = if self.can.has_fixed_queues() && self.port.rx_queues.is_some() {
            self.available
        } else if needs_spread && one_receives.is_none() {
            workers.min(self.available)
        } else {
            1
        };
        if rest < workers && needs_spread {
            let (needed, available) = (workers.into(), self.available);
            let why = one_receives.filter(|_| available >= workers);
            self.fallbacks.push(Fallback::Distributed {
                classes: self.classes.clone(),
                receiving: rest,
                workers,
                why: why.map_or(Why::Queues { needed, available }, Why::Unsupported),
            });
        } else if rest % workers != 0 && rest > workers {
            self.fallbacks.push(Fallback::Uneven {
                queues: rest,
                workers,
                why: Why::FixedQueues(driver),
            });
        }
        let other = control && needs_spread && rest < self.available;
        Layout {
            groups: Vec::new(),
            rest: (0..rest).collect(),
            other: other.then_some(rest),
        }
    }

    /// What rules can take out of the rest to a queue that the rest does not reach, and why that is
    /// not all.
    pub(super) fn control(&self) -> (Vec<Control>, Option<Why>) {
        let (mut control, mut missing) = (Vec::new(), None);
        for each in Control::ALL {
            if !self.has(each.family()) {
                continue;
            }
            match self.takes(&self.control_sketch(each, 0)) {
                Ok(_) => control.push(each),
                Err(why) => missing = missing.or(Some(Why::Unsupported(why))),
            }
        }
        if !control.is_empty() && !self.can.has_table(true) {
            return (Vec::new(), Some(Why::NoTable(self.port.driver)));
        }
        (control, missing)
    }

    /// Notes classes without rules, together where the reason is the same.
    fn note_classified(&mut self, others: &[(Class, Why)]) {
        let mut reasons: Vec<(Why, Vec<Class>)> = Vec::new();
        for &(class, why) in others {
            match reasons.iter_mut().find(|(other, _)| *other == why) {
                Some((_, classes)) => classes.push(class),
                None => reasons.push((why, vec![class])),
            }
        }
        let fallbacks = reasons.into_iter();
        let fallbacks = fallbacks.map(|(why, classes)| Fallback::Classified { classes, why });
        self.fallbacks.extend(fallbacks);
    }

    /// Notes an IP version of which foreign packets arrive, together with the other if the reason is
    /// the same.
    pub(super) fn note_foreign(&mut self, family: Family, why: Why) {
        let same = |fallback: &mut Fallback| match fallback {
            Fallback::ForeignArrive {
                families,
                why: other,
            } if *other == why => {
                families.push(family);
                true
            }
            _ => false,
        };
        if !self.fallbacks.iter_mut().any(same) {
            let families = vec![family];
            self.fallbacks
                .push(Fallback::ForeignArrive { families, why });
        }
    }

    /// Notes classes that come to one worker each.
    fn note_one_receiver(&mut self, layout: &Layout) {
        let Some(why) = self.one_receives else {
            return;
        };
        let steered = |class: &Class| {
            let mut groups = layout.groups.iter();
            groups.any(|group| group.classes.contains(class))
        };
        let classes = self.classes.iter().copied();
        let classes = classes.filter(|class| layout.rest.len() == 1 || steered(class));
        self.fallbacks.push(Fallback::Distributed {
            classes: classes.collect(),
            receiving: 1,
            workers: self.workers(),
            why: Why::Unsupported(why),
        });
    }

    fn note_sharing(&mut self, steering: &Steering, layout: &Layout, needed: u32) {
        let enclosed = |class: &Class| {
            let mut enclosed = steering.enclosed.iter();
            enclosed.find(|(other, _)| other == class)
        };
        let available = self.available;
        for group in layout.groups.iter().filter(|group| group.classes.len() > 1) {
            let apart = group.classes.iter().filter(|each| enclosed(each).is_none());
            let first = group.classes.iter().find_map(enclosed);
            let why = match first {
                Some(&(_, why)) if apart.count() == 1 => why,
                _ => Why::Queues { needed, available },
            };
            let classes = group.classes.clone();
            self.fallbacks.push(Fallback::Shared { classes, why });
        }
        let workers = self.workers();
        if !steering.width.is_multiple_of(workers)
            && let Some((driver, takes)) = self.can.region()
        {
            self.fallbacks.push(Fallback::Uneven {
                queues: steering.width,
                workers,
                why: Why::Takes { driver, takes },
            });
        }
    }
}
