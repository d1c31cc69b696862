//! What software does in place of the device, and what that costs.

use core::fmt;

use super::Purpose;
use super::class::{Class, Family};
use crate::driver::{Driver, Quirk, RuleQueues, Unsupported};

/// Something that was wanted of the device and is done by software, or not at all.
/// [`fmt::Display`] says why and what it costs, in one or more sentences.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fallback {
    /// No rule tells these classes from the rest: the stage `classify` does.
    Classified {
        /// The classes.
        classes: Vec<Class>,
        /// Why.
        why: Why,
    },
    /// Classes come to the same queues.
    Shared {
        /// The classes.
        classes: Vec<Class>,
        /// Why.
        why: Why,
    },
    /// Some workers serve more queues of a class than others.
    Uneven {
        /// Queues of each class.
        queues: u16,
        /// Workers.
        workers: u16,
        /// Why.
        why: Why,
    },
    /// Workers that receive hand packets to workers that do not.
    Distributed {
        /// Of these classes.
        classes: Vec<Class>,
        /// Workers that receive each of them.
        receiving: u16,
        /// Workers.
        workers: u16,
        /// Why.
        why: Why,
    },
    /// The queue of a reply is not known beforehand.
    RepliesHandedOver {
        /// Of these classes.
        classes: Vec<Class>,
        /// Why.
        quirk: Quirk,
        /// Workers.
        workers: u16,
    },
    /// The two directions of a flow may come to different workers.
    NotSymmetric {
        /// Why.
        why: Why,
    },
    /// Frames that no rule matches arrive, too.
    NotIsolated {
        /// Why.
        why: Why,
    },
    /// Packets for other addresses arrive, too.
    ForeignArrive {
        /// Of these IP versions.
        families: Vec<Family>,
        /// Why.
        why: Why,
    },
    /// What no rule matches comes to any queue.
    RestAnywhere {
        /// Why.
        why: Why,
    },
    /// The driver stands for no device.
    NoDevice {
        /// Which.
        driver: Driver,
    },
    /// The members of the port were not told.
    MembersUnknown {
        /// The port's driver.
        driver: Driver,
    },
    /// The live device refused a rule of the plan.
    Refused {
        /// What the rule was called.
        rule: String,
        /// What it was for.
        purpose: Purpose,
        /// Whether the port is not isolated any more for that.
        gave_up_isolation: bool,
        /// Rules that are not installed for that.
        left_out: usize,
    },
}

/// Why the device does not do something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// No rules were asked for.
    NotAskedFor,
    /// Its driver cannot.
    Unsupported(Unsupported),
    /// Its driver cannot isolate.
    NoIsolation(Driver),
    /// Rules would have to come one after the other.
    Priorities {
        /// Whose.
        driver: Driver,
        /// How many it has.
        has: u32,
    },
    /// All rules for one kind of packet have to name the same fields.
    SameFields(Driver),
    /// The port's own RSS and rules exclude each other.
    RssNotWithRules(Driver),
    /// No RSS key can be set.
    NoKey(Driver),
    /// Too few queues.
    Queues {
        /// As many would do.
        needed: u32,
        /// There are.
        available: u16,
    },
    /// A rule takes only some sets of queues.
    Takes {
        /// Whose.
        driver: Driver,
        /// What it takes.
        takes: RuleQueues,
    },
    /// Packets come to all queues that the device was made with.
    FixedQueues(Driver),
    /// The table that spreads the rest cannot be set, and a rule for the rest cannot be made.
    NoTable(Driver),
}

/// Nanoseconds that a packet costs to classify at most. `cargo xtask bench steering` measures it as
/// `classify_ns` and has this as its aim: 8.9 on a virtual core of a cloud Xeon of 2023, in mixed
/// traffic that is in a cache.
pub const CLASSIFY_NS: u32 = 10;
/// Nanoseconds that a packet costs to hand to another worker at most, in bursts of 32. The same
/// benchmark has this as its aim and measures, on the same machine, 2 on a single core
/// (`handover_ns`), which is what the instructions cost, and 8 to 11 on each of two
/// (`handover_two_cores_ns`), between which the ring's cache lines move. What is left is for the
/// packet's own, which the other core has to fetch.
pub const HAND_OVER_NS: u32 = 25;

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIsolated { why } => write!(
                f,
                "Not isolated: {why}. Frames for others that the port lets in are dropped by \
                 software, for up to {CLASSIFY_NS} ns each."
            ),
            Self::ForeignArrive { families, why } => write!(
                f,
                "{} packets for other addresses are dropped by software: {why}. It costs up to \
                 {CLASSIFY_NS} ns a packet.",
                Listed(families)
            ),
            Self::NoDevice { driver } => write!(
                f,
                "{driver} is no device. {} Make the plan for the driver of the device.",
                Quirk::NotADevice
            ),
            Self::MembersUnknown { driver } => write!(
                f,
                "{driver} hands rules to its members, which were not told: the plan is without \
                 rules. Name the drivers of the members."
            ),
            Self::Refused {
                rule,
                purpose,
                gave_up_isolation,
                left_out,
            } => {
                write!(f, "The device refused the rule `{rule}`: {purpose}.")?;
                if *left_out > 0 {
                    write!(f, " {left_out} other rules that rely on it are left out.")?;
                }
                if *gave_up_isolation {
                    f.write_str(" The port is not isolated: frames for others may arrive.")?;
                }
                Ok(())
            }
            steering => steering.write_steering(f),
        }
    }
}

impl Fallback {
    /// The sentences on how packets come to workers.
    fn write_steering(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classified { classes, why } => write!(
                f,
                "{} {} told apart by software: {why}. It costs up to {CLASSIFY_NS} ns a packet.",
                Listed(classes),
                Listed(classes).verb()
            ),
            Self::Shared { classes, why } => write!(
                f,
                "{} are in the same queues: {why}. Software tells them apart, for up to \
                 {CLASSIFY_NS} ns a packet; a flood of one can delay the others.",
                Listed(classes)
            ),
            Self::Uneven {
                queues,
                workers,
                why,
            } => write!(
                f,
                "{queues} queues of a class for {workers} workers: {why}. Some workers serve one \
                 queue more than others, and get as much more of new flows."
            ),
            Self::Distributed {
                classes,
                receiving,
                workers,
                why,
            } => write!(
                f,
                "{receiving} of {workers} workers receive {}{}: {why}. They leave known flows \
                 where they are and hand new ones to the worker with the least to do. It costs up \
                 to {HAND_OVER_NS} ns for each packet that is handed over, and a class is no \
                 faster than those that receive it.",
                if classes.len() > 1 { "each of " } else { "" },
                Listed(classes)
            ),
            Self::RestAnywhere { why } => write!(
                f,
                "What no rule matches comes to any queue: {why}. Its worker tells it apart, for up \
                 to {CLASSIFY_NS} ns a packet."
            ),
            Self::RepliesHandedOver {
                classes,
                quirk,
                workers,
            } => write!(
                f,
                "Replies of backends by {} are handed over. {quirk} That costs up to \
                 {HAND_OVER_NS} ns for {} of {workers} such packets.",
                Listed(classes),
                workers.saturating_sub(1)
            ),
            Self::NotSymmetric { why } => write!(
                f,
                "The directions of a flow may come to different workers: {why}. The packets of one \
                 are handed over, for up to {HAND_OVER_NS} ns each."
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAskedFor => f.write_str("no rules were asked for"),
            Self::Unsupported(unsupported) => unsupported.fmt(f),
            Self::NoIsolation(driver) => write!(f, "{driver} has no isolated mode"),
            Self::Priorities { driver, has } => {
                let plural = if *has == 1 { "priority" } else { "priorities" };
                write!(
                    f,
                    "{driver} has {has} {plural}, too few to put one rule before the other"
                )
            }
            Self::SameFields(driver) => write!(
                f,
                "all rules of {driver} for one kind of packet have to name the same fields"
            ),
            Self::RssNotWithRules(driver) => write!(
                f,
                "rules of {driver} switch off its RSS, which is needed for other classes"
            ),
            Self::NoKey(driver) => write!(f, "{driver} takes no RSS key"),
            Self::Queues {
                needed,
                available: 1,
            } => write!(f, "there is 1 queue, and {needed} would be needed"),
            Self::Queues { needed, available } => {
                write!(
                    f,
                    "there are {available} queues, and {needed} would be needed"
                )
            }
            Self::Takes { driver, takes } => write!(f, "a rule of {driver} takes {takes}"),
            Self::FixedQueues(driver) => {
                write!(f, "{driver} fills all queues that its device was made with")
            }
            Self::NoTable(driver) => write!(
                f,
                "{driver} spreads it by itself, and a rule for the rest is not possible"
            ),
        }
    }
}

/// Things one after the other, as part of a sentence.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, each) in self.0.iter().enumerate() {
            let before = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{each}")?;
        }
        Ok(())
    }
}

impl<T> Listed<'_, T> {
    /// The verb after them.
    fn verb(&self) -> &'static str {
        if self.0.len() == 1 { "is" } else { "are" }
    }
}
