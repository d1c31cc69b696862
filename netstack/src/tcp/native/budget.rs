//! How many packet buffers the connections of a worker may hold.
//!
//! Payload stays in the buffers in which it came, so what connections hold is missing from the pool
//! that receives. In: changes, by each connection. Out: how scarce buffers are ([`Pressure`]),
//! which makes windows smaller before anything has to be dropped.

use super::window::Pressure;

/// The buffers that the connections of a worker hold, and how many they may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    held: u64,
    limit: u64,
}

impl Budget {
    /// Nothing is held of `limit` buffers.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            held: 0,
            limit: (limit as u64).max(1),
        }
    }

    /// A connection that held `before` buffers holds `now`.
    pub(super) fn change(&mut self, before: u32, now: u32) {
        self.held = (self.held + u64::from(now)).saturating_sub(u64::from(before));
    }

    /// Buffers that are held.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// How scarce they are.
    pub(super) fn pressure(&self) -> Pressure {
        match self.held.saturating_mul(8) / self.limit {
            0..4 => Pressure::None,
            4..6 => Pressure::Moderate,
            6..7 => Pressure::High,
            7 => Pressure::Critical,
            _ => Pressure::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_with_what_is_held() {
        let mut budget = Budget::new(800);
        let mut before = 0;
        for (held, pressure) in [
            (399, Pressure::None),
            (400, Pressure::Moderate),
            (600, Pressure::High),
            (700, Pressure::Critical),
            (799, Pressure::Critical),
            (800, Pressure::Exhausted),
            (5000, Pressure::Exhausted),
            (0, Pressure::None),
        ] {
            budget.change(before, held);
            before = held;
            assert_eq!(
                (budget.held(), budget.pressure()),
                (u64::from(held), pressure)
            );
        }
    }
}
