//! What a port can do, as the planner asks it.

use super::request::{Port, Request};
use crate::driver::{
    Access, Condition, Driver, Profile, Quirk, Release, RuleQueues, Spread, Unsupported,
};
use crate::kind::ActionKind;
use crate::rss::Rss;
use crate::rule::FlowRule;

/// Profiles of a port: its own, for what no rule matches, and those that rules are put to.
pub(super) struct Abilities {
    own: &'static Profile,
    /// The members' profiles, or its own where there are no members. A rule must suit all.
    rulers: Vec<&'static Profile>,
    release: Release,
    /// Whether there are to be rules.
    wanted: bool,
}

impl Abilities {
    pub(super) fn of(request: &Request, port: &Port) -> Self {
        let own = port.driver.profile();
        let mut rulers: Vec<_> = port.members.iter().map(|each| each.profile()).collect();
        if rulers.is_empty() {
            rulers.push(own);
        }
        Self {
            own,
            rulers,
            release: port.release,
            wanted: request.options.rules,
        }
    }

    /// Whether all take the rule, and on what condition. How many queues the port has does not
    /// matter: no rule of a plan is for all of them.
    pub(super) fn takes(&self, rule: &FlowRule) -> Result<Vec<Condition>, Unsupported> {
        if !self.wanted {
            return Err(Unsupported::SwitchedOff);
        }
        let mut conditions = Vec::new();
        for profile in &self.rulers {
            conditions.extend(profile.supports_rule(self.release, rule, u16::MAX)?);
        }
        Ok(conditions)
    }

    /// How many priorities there are.
    pub(super) fn priorities(&self) -> u32 {
        let each = self.rulers.iter();
        each.map(|profile| profile.attributes.priorities)
            .min()
            .unwrap_or(0)
    }

    /// How many queues a rule needs to reach `workers`, or why it cannot.
    pub(super) fn width(&self, workers: u16) -> Result<u16, Unsupported> {
        if !self.wanted {
            return Err(Unsupported::SwitchedOff);
        }
        if workers == 1 {
            return Ok(1);
        }
        let width = if self.region().is_some() {
            workers.checked_next_power_of_two().unwrap_or(u16::MAX)
        } else {
            workers
        };
        let queues: Vec<_> = (0..width).collect();
        for profile in &self.rulers {
            profile.supports_rss(self.release, &queues, u16::MAX)?;
            if usize::from(width) > Rss::MAX_QUEUES {
                return Err(Unsupported::RssQueues {
                    driver: profile.driver,
                    takes: profile.rss.rule_queues,
                });
            }
        }
        Ok(width)
    }

    /// Whether a class that rules cannot spread is better led to a queue of one worker than left to
    /// the port: an isolated port lets in only what rules lead somewhere, and where something else
    /// chooses queues it would choose those of the other classes, too.
    pub(super) fn leads_to_one(&self, isolated: bool) -> bool {
        let mut rulers = self.rulers.iter();
        let queue = |profile: &&Profile| profile.supports_action(self.release, ActionKind::Queue);
        // Members spread by themselves, and better than a single worker.
        let by_members = self.own.driver.follows_members();
        let elsewhere = !by_members && matches!(self.own.rss.spread, Spread::Elsewhere { .. });
        self.wanted && (isolated || elsewhere) && rulers.all(|profile| queue(profile).is_ok())
    }

    /// The driver that takes consecutive queues only, a power of two.
    pub(super) fn region(&self) -> Option<(Driver, RuleQueues)> {
        let mut rulers = self.rulers.iter();
        let region = rulers.find(|profile| is_region(profile.rss.rule_queues));
        region.map(|profile| (profile.driver, profile.rss.rule_queues))
    }

    /// The `rss` action needs a group of its own for each set of queues.
    pub(super) fn groups_of_queues(&self) -> bool {
        self.quirk(Quirk::RssNeedsGroup).is_some()
    }

    /// Which driver has a quirk, if one has.
    pub(super) fn quirk(&self, quirk: Quirk) -> Option<Driver> {
        let mut rulers = self.rulers.iter();
        let has = |profile: &&&Profile| profile.quirks(self.release).any(|each| each == quirk);
        rulers.find(has).map(|profile| profile.driver)
    }

    /// Whether a rule can count its packets, whatever the device is.
    pub(super) fn counts(&self) -> bool {
        self.rulers.iter().all(|profile| {
            let count = profile.supports_action(self.release, ActionKind::Count);
            count.is_ok_and(|support| support.condition.is_none())
        })
    }

    pub(super) fn isolates(&self) -> bool {
        self.own.isolates(self.release)
    }

    /// Whether packets that no rule matches go where the redirection table says, and it can be set,
    /// with or without rules beside it.
    pub(super) fn has_table(&self, beside_rules: bool) -> bool {
        let settable = matches!(
            self.own.rss.spread,
            Spread::Toeplitz {
                reta: Access::Write,
                ..
            }
        );
        settable && (!beside_rules || self.spreads_beside_rules())
    }

    /// Whether the port goes on spreading what no rule matches while there are rules.
    pub(super) fn spreads_beside_rules(&self) -> bool {
        self.own.spreads_beside_rules(self.release)
    }

    /// What spreads packets that no rule matches.
    pub(super) fn spread(&self) -> Spread {
        self.own.rss.spread
    }

    /// The length of a key that can be set, in octets.
    pub(super) fn key_len(&self) -> Option<u16> {
        let settable = matches!(
            self.own.rss.spread,
            Spread::Toeplitz {
                key: Access::Write,
                ..
            }
        );
        let len = self.own.limits.rss_key_len.map(|known| known.value);
        len.filter(|_| settable && self.quirk(Quirk::RssOwnKey).is_none())
    }

    /// The quirk that keeps the queue of a packet from being computed, where rules spread it, or
    /// the port does.
    pub(super) fn unforeseen(&self, rules: bool) -> Option<Quirk> {
        match self.own.rss.spread {
            _ if rules && self.quirk(Quirk::RssOwnKey).is_some() => Some(Quirk::RssOwnKey),
            _ if rules => Some(Quirk::RssUndocumented),
            spread if spread.is_computable() => None,
            Spread::Toeplitz { .. } => Some(Quirk::HashHidden),
            Spread::Elsewhere { .. } | Spread::None => Some(Quirk::SpreadElsewhere),
        }
    }

    /// Whether packets come to each queue that the device was made with, whether or not it is
    /// asked for: the kernel spreads over all sockets of the interface.
    pub(super) fn has_fixed_queues(&self) -> bool {
        matches!(self.own.driver, Driver::AfPacket | Driver::AfXdp)
    }

    /// Receive queues of a port that says that it has `told`.
    pub(super) fn queues(&self, told: Option<u16>) -> Option<u16> {
        let known = self.own.limits.rx_queues.map(|known| known.value);
        let mut quirks = self.own.quirks(self.release);
        let overstated = quirks.any(|quirk| quirk == Quirk::FewerQueues);
        match (told, known) {
            (Some(told), Some(known)) if overstated => Some(told.min(known)),
            (told, known) => told.or(known),
        }
    }
}

fn is_region(queues: RuleQueues) -> bool {
    matches!(queues, RuleQueues::Region | RuleQueues::AlignedRegion)
}
