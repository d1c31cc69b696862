//! Limits and times of a neighbor table, with the defaults of RFC 4861 section 10.

use core::time::Duration;

/// Limits and times.
#[derive(Clone, Copy, Debug)]
pub struct NeighborConfig {
    /// Most neighbors known at a time.
    pub max_entries: usize,
    /// Most packets that wait for one neighbor; at least 1.
    pub max_waiting: usize,
    /// Most packets that wait in the whole table, for whichever neighbors: they hold buffers that
    /// all else needs, too. At least 1.
    pub max_waiting_total: usize,
    /// Questions asked before a neighbor is given up (RFC 4861 MAX_MULTICAST_SOLICIT and
    /// MAX_UNICAST_SOLICIT); at least 1.
    pub tries: u32,
    /// Time from the first question to the second (RFC 4861 RETRANS_TIMER). Each further wait is
    /// twice as long.
    pub first_retry: Duration,
    /// The longest wait between two questions.
    pub max_retry: Duration,
    /// How long an answer is believed without a further sign of life (RFC 4861 REACHABLE_TIME).
    pub reachable_time: Duration,
    /// Time from the first use of a stale entry to the first question
    /// (RFC 4861 DELAY_FIRST_PROBE_TIME).
    pub probe_delay: Duration,
    /// How long packets to a neighbor that did not answer are refused without asking again.
    pub failed_hold: Duration,
}

impl Default for NeighborConfig {
    fn default() -> Self {
        Self {
            max_entries: 1024,
            max_waiting: 32,
            max_waiting_total: 1024,
            tries: 3,
            first_retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(2),
            reachable_time: Duration::from_secs(30),
            probe_delay: Duration::from_secs(5),
            failed_hold: Duration::from_secs(3),
        }
    }
}
