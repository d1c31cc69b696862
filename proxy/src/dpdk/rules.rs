//! Flow rules on live ports: validated, installed, asked, removed.
//!
//! *In*: a started port and its plan. *Out*: [`LiveRules`], and the plan as it is in force: what the
//! device refuses is taken back from it, with a warning that says what software does now.

use dpdk_io::{FlowError, InstalledRule, Port};
use flow_rules::plan::{Fallback, Plan};

/// Rules that are on a device; they are removed when this is dropped.
#[derive(Debug, Default)]
pub(super) struct LiveRules {
    rules: Vec<(String, InstalledRule)>,
}

/// A rule that a device did not take.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What it was called.
    pub(super) rule: String,
    /// What the device said.
    pub(super) error: FlowError,
    /// What software does now.
    pub(super) fallback: Fallback,
}

/// Asks the device for each rule of the plan, and takes back those that it would refuse.
pub(super) fn validate(port: &Port, plan: &mut Plan) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut index = 0;
    while let Some(named) = plan.rules.get(index) {
        match port.validate_rule(&named.rule) {
            Ok(()) => index += 1,
            Err(error) => refusals.push(refuse(plan, index, error)),
        }
    }
    refusals
}

/// Installs the rules of the plan, and takes back those that the device refuses.
pub(super) fn install(port: &Port, plan: &mut Plan) -> (LiveRules, Vec<Refusal>) {
    let mut live = LiveRules::default();
    let mut refusals = Vec::new();
    while let Some(named) = plan.rules.get(live.rules.len()) {
        match port.install_rule(&named.rule) {
            Ok(rule) => live.rules.push((named.name.clone(), rule)),
            Err(error) => {
                refusals.push(refuse(plan, live.rules.len(), error));
                // What would do harm without it goes, too.
                live.rules.retain(|(_, installed)| {
                    plan.rules.iter().any(|kept| kept.rule == *installed.rule())
                });
            }
        }
    }
    (live, refusals)
}

/// What the device says to each rule of a plan. Unless it is a dry run, the rules are installed,
/// asked for their counts, and removed again.
pub(super) fn try_each(port: &Port, plan: &Plan, dry_run: bool) -> Vec<Result<(), FlowError>> {
    let rules = plan.rules.iter().map(|named| &named.rule);
    if dry_run {
        return rules.map(|rule| port.validate_rule(rule)).collect();
    }
    // All at once, as they would be in a run.
    let installed: Vec<_> = rules.map(|rule| port.install_rule(rule)).collect();
    let asked = installed.iter().map(|rule| match rule {
        Ok(rule) => match rule.count(false) {
            Ok(_) | Err(FlowError::NoCounter(_)) => Ok(()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error.clone()),
    });
    asked.collect()
}

fn refuse(plan: &mut Plan, index: usize, error: FlowError) -> Refusal {
    let named = plan.rules.get(index);
    Refusal {
        rule: named.map_or_else(String::new, |named| named.name.clone()),
        error,
        fallback: plan.refuse(index),
    }
}

/// Validates and installs the rules of a plan on its started port, says in the log what became of
/// them, and asks the device whether they are there.
pub(super) fn apply(port: &mut Port, plan: &mut Plan) -> LiveRules {
    if plan.rules.iter().next().is_none() {
        return LiveRules::default();
    }
    let isolated = plan.isolated;
    let mut refusals = validate(port, plan);
    let (live, refused_late) = install(port, plan);
    refusals.extend(refused_late);
    for refusal in &refusals {
        tracing::warn!(
            port = plan.port,
            rule = refusal.rule,
            error = %refusal.error,
            "the device refuses a flow rule. {}",
            refusal.fallback
        );
    }
    if isolated
        && !plan.isolated
        && let Err(error) = port.isolate(false)
    {
        tracing::warn!(port = plan.port, %error, "the port cannot be opened to all frames");
    }
    for (rule, installed) in &live.rules {
        tracing::info!(
            port = plan.port,
            rule,
            "rule installed: {}",
            installed.rule()
        );
    }
    let confirmed = live.verify(&plan.port);
    tracing::info!(
        port = plan.port,
        installed = live.rules.len(),
        confirmed,
        refused = refusals.len(),
        "flow rules"
    );
    live
}

impl LiveRules {
    /// Asks the device for the count of each rule that counts; a device that has no answer has lost
    /// the rule. Returns how many answered. Rules without a count cannot be asked for.
    fn verify(&self, port: &str) -> usize {
        let mut confirmed = 0;
        for (name, rule) in &self.rules {
            match rule.count(false) {
                Ok(_) => confirmed += 1,
                Err(FlowError::NoCounter(_)) => {}
                Err(error) => tracing::warn!(
                    port,
                    rule = name,
                    %error,
                    "a flow rule was installed, but the device does not know of it"
                ),
            }
        }
        confirmed
    }

    /// Says what each rule has counted, and removes them all.
    pub(super) fn end(self, port: &str) {
        let rules = self.rules.len();
        let mut removed = 0;
        for (name, rule) in self.rules {
            if let Ok(count) = rule.count(false) {
                tracing::info!(
                    port,
                    rule = name,
                    frames = count.frames,
                    octets = count.octets,
                    "flow rule counters"
                );
            }
            match rule.remove() {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!(
                    port,
                    rule = name,
                    %error,
                    "a flow rule cannot be removed; it ends with the port"
                ),
            }
        }
        if rules > 0 {
            tracing::info!(port, removed, "flow rules removed");
        }
    }
}
