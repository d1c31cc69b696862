//! Receive-side scaling: how a port spreads packets, alone and by rules.

use core::fmt;

use super::evidence::Evidence;

/// What a driver can do to spread packets over receive queues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rss {
    /// What becomes of packets that no rule matches.
    pub spread: Spread,
    /// Since when, and on what condition.
    pub evidence: Evidence,
    /// When [`Self::spread`] goes on while rules that name queues exist; `None` is never.
    pub beside_rules: Option<Evidence>,
    /// The sets of queues that a rule's `rss` action may name.
    pub rule_queues: RuleQueues,
}

/// How a port chooses the queue of a packet that no rule matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spread {
    /// By a Toeplitz hash of addresses and ports, and a redirection table (RETA).
    Toeplitz {
        /// The hash key.
        key: Access,
        /// The redirection table.
        reta: Access,
    },
    /// Something else chooses, such as the peer or the kernel.
    Elsewhere {
        /// What chooses, as a part of a sentence.
        by: &'static str,
    },
    /// There is nothing to spread.
    None,
}

impl Spread {
    /// Whether the queue of a packet can be computed in software.
    pub const fn is_computable(self) -> bool {
        matches!(
            self,
            Self::Toeplitz {
                key: Access::Read | Access::Write,
                reta: Access::Read | Access::Write,
            }
        )
    }
}

/// What can be done with a part of a device's RSS configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Nothing, it is not even told.
    Hidden,
    /// Read only.
    Read,
    /// Read and set.
    Write,
}

/// The sets of queues that a device accepts in the `rss` action of a rule with a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RuleQueues {
    /// None: there is no such action, or it takes no pattern.
    Never,
    /// All queues of the port, only.
    WholePort,
    /// Consecutive queues, a power of two, at least two.
    Region,
    /// Consecutive queues, a power of two, the first at a multiple of their number.
    AlignedRegion,
    /// Any.
    Any,
}

impl RuleQueues {
    /// Whether a rule may spread over `queues` on a port that has `port_queues`.
    pub fn allows(self, queues: &[u16], port_queues: u16) -> bool {
        let Some(&first) = queues.first() else {
            return false;
        };
        let consecutive = queues
            .windows(2)
            .all(|pair| u32::from(pair[1]) == u32::from(pair[0]) + 1);
        match self {
            Self::Never => false,
            Self::WholePort => consecutive && first == 0 && queues.len() == port_queues.into(),
            Self::Region => consecutive && queues.len() > 1 && queues.len().is_power_of_two(),
            Self::AlignedRegion => {
                consecutive
                    && queues.len().is_power_of_two()
                    && usize::from(first).is_multiple_of(queues.len())
            }
            Self::Any => true,
        }
    }
}

impl fmt::Display for RuleQueues {
    /// What a rule may spread over, as the end of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "no queues at all, only the port as a whole does, without a pattern",
            Self::WholePort => "all queues of the port",
            Self::Region => "consecutive queues whose number is 2, 4, 8 or another power of two",
            Self::AlignedRegion => {
                "consecutive queues whose number is a power of two, \
                 the first of them a multiple of that number"
            }
            Self::Any => "any queues",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_its_own_sets_of_queues() {
        let sets: [&[u16]; 8] = [
            &[],
            &[0],
            &[0, 1],
            &[1, 2],
            &[2, 3],
            &[0, 1, 2],
            &[0, 2],
            &[0, 1, 2, 3],
        ];
        for (kind, allowed) in [
            (RuleQueues::Never, [false; 8]),
            (
                RuleQueues::WholePort,
                [false, false, false, false, false, false, false, true],
            ),
            (
                RuleQueues::Region,
                [false, false, true, true, true, false, false, true],
            ),
            (
                RuleQueues::AlignedRegion,
                [false, true, true, false, true, false, false, true],
            ),
            (
                RuleQueues::Any,
                [false, true, true, true, true, true, true, true],
            ),
        ] {
            for (set, allowed) in sets.iter().zip(allowed) {
                assert_eq!(kind.allows(set, 4), allowed, "{kind:?} {set:?}");
            }
        }
    }

    #[test]
    fn the_last_queue_number_does_not_overflow() {
        assert!(!RuleQueues::Region.allows(&[u16::MAX, 0], 2));
    }

    #[test]
    fn a_queue_is_computable_where_key_and_table_are_told() {
        let toeplitz = |key, reta| Spread::Toeplitz { key, reta };
        assert!(toeplitz(Access::Write, Access::Read).is_computable());
        assert!(!toeplitz(Access::Write, Access::Hidden).is_computable());
        assert!(!toeplitz(Access::Hidden, Access::Write).is_computable());
        assert!(!Spread::Elsewhere { by: "the peer" }.is_computable());
        assert!(!Spread::None.is_computable());
    }
}
