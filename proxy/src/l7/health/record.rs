//! What the checks of one backend have come to.
//!
//! ```text
//!        fall failures in a row
//!   up ----------------------------> down
//!      <----------------------------
//!        rise successes in a row
//! ```
//! A backend is up until it is proven down. Clients are then served from the first moment, and a
//! backend that is down from the beginning costs its first clients a try. The first check has no
//! more say than any other, because it is the one that is likeliest to fail for reasons of ours:
//! links come up and neighbors are asked for the first time while it waits.

/// The state of one backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    rise: u16,
    fall: u16,
    up: bool,
    /// Results in a row that contradict `up`.
    streak: u16,
    /// Checks that had a result.
    checks: u64,
}

impl Record {
    /// Of a backend that was never checked, and takes so many results in a row to change.
    pub(super) fn new(rise: u16, fall: u16) -> Self {
        Self {
            rise,
            fall,
            up: true,
            streak: 0,
            checks: 0,
        }
    }

    /// Takes in a result. Returns the results in a row that changed the state, if they did.
    pub(super) fn note(&mut self, passed: bool) -> Option<u16> {
        self.checks += 1;
        if passed == self.up {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        let needed = if self.up { self.fall } else { self.rise };
        if self.streak < needed {
            return None;
        }
        self.up = passed;
        Some(core::mem::take(&mut self.streak))
    }

    /// Checks that had a result.
    pub(super) fn checks(&self) -> u64 {
        self.checks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The states after each of these results: `+` passed, `-` failed.
    fn states(rise: u16, fall: u16, results: &str) -> String {
        let mut record = Record::new(rise, fall);
        let mut states = String::new();
        for result in results.chars() {
            let before = record.up;
            let changed = record.note(result == '+');
            assert_eq!(changed.is_some(), before != record.up);
            states.push(if record.up { 'U' } else { 'd' });
        }
        states
    }

    #[test]
    fn it_takes_as_many_in_a_row_as_configured() {
        assert_eq!(states(2, 3, "--+---++--++"), "UUUUUdd".to_owned() + "UUUUU");
        assert_eq!(states(3, 1, "+-++-+++"), "UddddddU");
    }

    proptest! {
        /// Whatever the results: the state changes only after that many equal ones, and always
        /// after that many.
        #[test]
        fn streaks_decide(
            rise in 1_u16..5,
            fall in 1_u16..5,
            results in prop::collection::vec(any::<bool>(), 1..200),
        ) {
            let mut record = Record::new(rise, fall);
            let mut row = 0;
            let mut last = None;
            for passed in results {
                row = if last == Some(passed) { row + 1 } else { 1 };
                last = Some(passed);
                let changed = record.note(passed);
                let needed = if passed { rise } else { fall };
                if changed.is_some() {
                    prop_assert!(row >= needed);
                    prop_assert_eq!(record.up, passed);
                }
                if row >= needed {
                    prop_assert_eq!(record.up, passed);
                }
            }
        }
    }
}
