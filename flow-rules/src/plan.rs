//! Plans: which receive queues a port gets, and which rules bring each class of traffic to them.
//!
//! In: a [`Request`] (ports with their drivers, workers, classes, addresses, what is wanted). Out: a
//! [`Plan`] for each port, which holds nothing that the driver's profile does not have. What the
//! device cannot do is a [`Fallback`] that says what software does instead, and what that costs. No
//! device is asked; a live port may refuse a rule all the same: [`Plan::refuse`].
//!
//! How it is decided, and why:
//!
//! - Each class has a queue for each worker. "Other" (ARP, ICMP, ...) has one, of the first worker:
//!   it is little, and workers tell each other what they learn of neighbors.
//! - A class is steered if a rule can name it and spread it over all workers. If a rule could only
//!   lead to a single queue, the port's own RSS serves better: a packet costs less to classify than
//!   to hand over. Then rules take ARP and ICMP out of the way, if they can.
//! - Not so on an isolated port, which lets in only what a rule leads somewhere, and where something
//!   else chooses the queues of what no rule matches (net_tap: the kernel), also those of a class.
//!   There each class has one queue; workers take turns, and those that receive distribute.
//! - A rule is for all of a protocol where the device can; otherwise, and if other addresses are
//!   dropped, there is one for each address of ours. Ports are not named: backends reply to any.
//! - What no rule matches goes to the queues that the redirection table names. Where there is none,
//!   and on an isolated port, a last rule takes all the rest. A device is isolated only if that rule
//!   is possible: without it, fragments and neighbor discovery would be lost.
//! - With too few queues, VXLAN shares those of UDP first, as its packets are UDP; then IPv6 shares
//!   those of IPv4; then all share. With fewer queues than workers, those that receive hand over.
//! - VXLAN is matched by its UDP port, which more devices can than have the item.
//! - A device that takes only powers of two gets as many queues as the next one; some workers serve
//!   two of a class. To leave workers without any would be worse.
//! - Rules do not set a key: any will do, as replies are foreseen with the one that the port tells.
//!   Only symmetric RSS needs one of its own.
//! - Where a rule spreads packets over queues, nobody documents how, so replies are not foreseen
//!   ([`Replies`]); where the port does, they are. A class that is served [without
//!   rules](Request::without_rules) is left to the port for that.
//! - VLANs are not planned: frames with a tag come with the rest, and software tells them apart.
//! - An IP version without an address has no classes: its packets are not for us.
//!
//! ```
//! use flow_rules::Mac;
//! use flow_rules::driver::{Driver, Release};
//! use flow_rules::plan::{Class, Options, Port, Request};
//!
//! let port = Port {
//!     number: 0,
//!     name: "edge".to_owned(),
//!     driver: Driver::I40e,
//!     members: vec![],
//!     release: Release::OLDEST_SUPPORTED,
//!     rx_queues: Some(8),
//!     mac: Mac([2, 0, 0, 0, 0, 1]),
//!     addresses: vec!["192.0.2.1".parse().expect("an address")],
//! };
//! let request = Request {
//!     ports: vec![port],
//!     workers: 2,
//!     classes: vec![Class::Ipv4Tcp],
//!     without_rules: vec![],
//!     listeners: vec![],
//!     options: Options::default(),
//! };
//! let plans = request.plan().expect("there is a plan");
//! assert_eq!(plans[0].other_queue(), Some(2));
//! assert!(plans[0].to_string().contains("flow create 0 ingress pattern eth type is 0x806 / end"));
//! ```

mod abilities;
mod assemble;
mod build;
mod class;
mod fallback;
mod layout;
mod replies;
mod request;
mod rules;
mod text;

use core::fmt;

pub use class::{Class, Family};
pub use fallback::{CLASSIFY_NS, Fallback, HAND_OVER_NS, Why};
pub use replies::Replies;
pub use request::{Listener, Options, PlanError, Port, Request, Transport};

use crate::conflict::RuleSet;
use crate::driver::{Condition, Driver, Quirk, Release};
use crate::rss::{Rss, RssType};

impl Request {
    /// A plan for each port, in their order.
    ///
    /// # Errors
    /// No worker, a port without queues, addresses that no host has, a UDP port that is VXLAN's
    /// and a listener's.
    pub fn plan(&self) -> Result<Vec<Plan>, PlanError> {
        self.check()?;
        let ports = self.ports.iter();
        Ok(ports.map(|port| build::plan(self, port)).collect())
    }
}

/// What to configure on a port. [`fmt::Display`] prints it as commands for testpmd, with comments.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// DPDK's number of the port.
    pub number: u16,
    /// What people call it.
    pub port: String,
    /// Its driver.
    pub driver: Driver,
    /// The DPDK that runs it.
    pub release: Release,
    /// How many workers there are.
    pub workers: u16,
    /// The receive queues to configure, by their numbers.
    pub queues: Vec<Queue>,
    /// The classes, [`Class::Other`] last.
    pub classes: Vec<ClassPlan>,
    /// What becomes of packets that no rule matches.
    pub rest: Rest,
    /// Whether to isolate the port, before it is configured.
    pub isolated: bool,
    /// The rules, in the order in which to install them.
    pub rules: RuleSet,
    /// What each of the rules is for, in the same order.
    pub purposes: Vec<Purpose>,
    /// What software does in place of the device.
    pub fallbacks: Vec<Fallback>,
    /// What the rules depend on: to be asked of the live port.
    pub conditions: Vec<Condition>,
    /// What else an operator should know of the rules.
    pub notes: Vec<Quirk>,
}

/// A receive queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Queue {
    /// Who serves it.
    pub worker: u16,
    /// What arrives there, if the device does as planned.
    pub classes: Vec<Class>,
}

/// Where a class arrives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClassPlan {
    /// The class.
    pub class: Class,
    /// Whether rules bring it there; otherwise it is what no rule matches.
    pub by_rule: bool,
    /// Its queues, ascending.
    pub queues: Vec<u16>,
    /// How rules spread it, if they lead to several queues.
    pub rss: Option<Rss>,
    /// How it reaches each worker.
    pub destinations: Vec<Destination>,
}

/// How a class reaches a worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// On queues of its own.
    Queues(Vec<u16>),
    /// From the workers that receive it.
    HandedOver,
}

/// What becomes of packets that no rule matches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rest {
    /// Where they go.
    pub queues: Vec<u16>,
    /// What brings them there.
    pub by: RestBy,
    /// What the port hashes; empty if it is the device's matter, or there is one queue.
    pub types: Vec<RssType>,
    /// The key to set on the port, if not any will do.
    pub key: Option<Vec<u8>>,
}

/// What brings packets that no class has a rule for to their queues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestBy {
    /// The redirection table (RETA): its entries name [`Rest::queues`], again and again.
    Table,
    /// Rules of [`Purpose::Rest`].
    Rules,
    /// Something that cannot be set.
    Fixed {
        /// What, as part of a sentence.
        by: &'static str,
    },
}

/// What a rule of a plan is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A class has its queues.
    Class(Class),
    /// What keeps the network going has a queue.
    Control(Control),
    /// Other packets for our addresses are kept from being dropped.
    Ours(Family),
    /// Packets for other addresses are dropped.
    Foreign(Family),
    /// All the rest arrives.
    Rest,
}

/// Packets of [`Class::Other`] that a rule can name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// ARP.
    Arp,
    /// ICMP over IPv4.
    Icmp,
    /// ICMPv6, with neighbor discovery.
    Icmp6,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Arp, Self::Icmp, Self::Icmp6];

    /// The IP version that it serves.
    pub const fn family(self) -> Family {
        match self {
            Self::Arp | Self::Icmp => Family::V4,
            Self::Icmp6 => Family::V6,
        }
    }

    /// What it is called in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Icmp => "icmp",
            Self::Icmp6 => "icmp6",
        }
    }
}

impl Plan {
    /// The plan for a class.
    pub fn class(&self, class: Class) -> Option<&ClassPlan> {
        self.classes.iter().find(|each| each.class == class)
    }

    /// The queue for what is no class of its own, if it is there for that alone.
    pub fn other_queue(&self) -> Option<u16> {
        let mut queues = (0..).zip(&self.queues);
        let other = queues.find(|(_, queue)| queue.classes == [Class::Other]);
        other.map(|(number, _)| number)
    }

    /// Takes back the rule at `index`, which the live device refused, and what would do harm
    /// without it: packets of ours are not dropped, and nothing of ours is kept from an isolated
    /// port. Rules after it move up. Returns what software does now, with the warning to give.
    ///
    /// # Panics
    /// There is no rule at `index`.
    pub fn refuse(&mut self, index: usize) -> Fallback {
        let purpose = self.purposes[index];
        let mut rules = self.rules.to_vec();
        let refused = rules.remove(index);
        self.purposes.remove(index);
        let needs_it = |other: Purpose| match (purpose, other) {
            (Purpose::Ours(a), Purpose::Foreign(b)) => a == b,
            _ => false,
        };
        let left_out = self.purposes.iter().filter(|each| needs_it(**each)).count();
        let mut kept = self.purposes.iter().map(|each| !needs_it(*each));
        rules.retain(|_| kept.next().unwrap_or(true));
        self.purposes.retain(|each| !needs_it(*each));
        self.rules = RuleSet::new(rules).expect("fewer rules have no more conflicts");
        if let Purpose::Class(class) = purpose {
            self.reclassify(class);
        }
        let gave_up_isolation = self.isolated && purpose == Purpose::Rest;
        self.isolated &= !gave_up_isolation;
        if purpose == Purpose::Rest {
            self.leave_rest_to_device();
        }
        self.forget_distribution();
        let fallback = Fallback::Refused {
            rule: refused.name,
            purpose,
            gave_up_isolation,
            left_out,
        };
        self.fallbacks.push(fallback.clone());
        fallback
    }

    /// Packets that no rule matches may come to any queue, and with them the classes without rules.
    fn leave_rest_to_device(&mut self) {
        if !self.purposes.contains(&Purpose::Rest) {
            let by = "the device";
            self.rest.by = RestBy::Fixed { by };
        }
        self.rest.queues = (0..self.queues.len() as u16).collect();
        let with_rest = self.classes.iter().filter(|plan| !plan.by_rule);
        let with_rest: Vec<_> = with_rest
            .map(|plan| plan.class)
            .chain([Class::Other])
            .collect();
        for class in with_rest {
            self.reclassify(class);
        }
    }

    /// Classes that reach all workers now are not distributed any more.
    fn forget_distribution(&mut self) {
        let classes = &self.classes;
        let is_handed_over = |class: &Class| {
            let mut plans = classes.iter().filter(|plan| plan.class == *class);
            plans.any(|plan| plan.destinations.contains(&Destination::HandedOver))
        };
        self.fallbacks.retain_mut(|fallback| match fallback {
            Fallback::Distributed { classes, .. } => {
                classes.retain(is_handed_over);
                !classes.is_empty()
            }
            _ => true,
        });
    }

    /// Finds out anew where a class arrives of which a rule is gone, and VXLAN that came with it.
    fn reclassify(&mut self, class: Class) {
        let has_rule = |class| self.purposes.contains(&Purpose::Class(class));
        if has_rule(class) {
            return;
        }
        let with_it = self.classes.iter().map(|plan| plan.class);
        let with_it = with_it.filter(|each| each.enclosing() == Some(class) && !has_rule(*each));
        for class in with_it.chain([class]).collect::<Vec<_>>() {
            let udp = class.enclosing().and_then(|udp| self.class(udp));
            let udp = udp.filter(|plan| plan.by_rule && has_rule(plan.class));
            let numbers = udp.map_or(&self.rest.queues, |plan| &plan.queues).clone();
            let moved = ClassPlan {
                class,
                by_rule: udp.is_some(),
                rss: udp.and_then(|plan| plan.rss.clone()),
                destinations: destinations(&numbers, &self.queues, self.workers),
                queues: numbers,
            };
            for (number, queue) in (0..).zip(&mut self.queues) {
                queue.classes.retain(|each| *each != class);
                if moved.queues.contains(&number) {
                    queue.classes.push(class);
                }
            }
            self.classes
                .iter_mut()
                .filter(|plan| plan.class == class)
                .for_each(|plan| {
                    plan.clone_from(&moved);
                });
        }
    }
}

/// How what arrives on `numbers` of the `queues` reaches each worker.
fn destinations(numbers: &[u16], queues: &[Queue], workers: u16) -> Vec<Destination> {
    let of_worker = |worker: u16| {
        let own = |number: &u16| queues[usize::from(*number)].worker == worker;
        let own: Vec<_> = numbers.iter().copied().filter(own).collect();
        if own.is_empty() {
            Destination::HandedOver
        } else {
            Destination::Queues(own)
        }
    };
    (0..workers).map(of_worker).collect()
}

impl fmt::Display for Purpose {
    /// What software does if there is no such rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => write!(
                f,
                "{class} comes with what no rule matches, and software tells it apart and hands it \
                 to its workers, for up to {} ns a packet",
                CLASSIFY_NS + HAND_OVER_NS
            ),
            Self::Control(_) => write!(
                f,
                "such packets come to the queues of the classes, and software tells them apart, \
                 for up to {CLASSIFY_NS} ns a packet"
            ),
            Self::Ours(family) | Self::Foreign(family) => write!(
                f,
                "{family} packets for other addresses are dropped by software, for up to \
                 {CLASSIFY_NS} ns a packet"
            ),
            Self::Rest => write!(
                f,
                "what no rule matches comes to the queues that the device chooses, and software \
                 tells it apart, for up to {CLASSIFY_NS} ns a packet"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
