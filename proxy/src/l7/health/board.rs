//! Which backends of a group are up, for all workers to see.
//!
//! Each backend is checked by one worker, which writes its entry; all workers read it when they
//! choose a backend, once a session. An entry is one relaxed atomic: a state, which cannot be lost
//! as a message in a full ring could be, and which nobody waits for. Who reads it a moment late
//! sends a session to a backend that has just gone, which the session then finds out by itself.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use netstack::time::Instant;

/// What the checks say of the backends of a group, in their order. Clones are of the same board.
#[derive(Clone, Debug)]
pub struct Board(Arc<[AtomicU64]>);

/// What the checks say of a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It has not been down.
    Up,
    /// It came back then.
    UpSince(Instant),
    /// It does not serve.
    Down,
}

impl Board {
    /// A board that says that all `backends` are up, as it stays where nothing is checked.
    pub fn new(backends: usize) -> Self {
        Self((0..backends).map(|_| AtomicU64::new(UP)).collect())
    }

    /// What it says of the backend at this place of the group; up if there is none.
    pub fn standing(&self, index: usize) -> Standing {
        let word = self
            .0
            .get(index)
            .map_or(UP, |word| word.load(Ordering::Relaxed));
        match word {
            UP => Standing::Up,
            DOWN => Standing::Down,
            nanos => Standing::UpSince(Instant::from_nanos(nanos)),
        }
    }

    /// Changes what it says. Only the worker that checks the backend may do that.
    pub fn set(&self, index: usize, standing: Standing) {
        let word = match standing {
            Standing::Up => UP,
            Standing::UpSince(at) => at.as_nanos().clamp(UP + 1, DOWN - 1),
            Standing::Down => DOWN,
        };
        if let Some(entry) = self.0.get(index) {
            entry.store(word, Ordering::Relaxed);
        }
    }
}

/// The word for a backend that has not been down; all others but [`DOWN`] are when it came back,
/// in nanoseconds.
const UP: u64 = 0;
const DOWN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_on_every_clone() {
        let board = Board::new(2);
        let other = board.clone();
        for standing in [
            Standing::Down,
            Standing::UpSince(Instant::from_millis(7)),
            Standing::Up,
        ] {
            board.set(1, standing);
            assert_eq!(other.standing(1), standing);
            assert_eq!(other.standing(0), Standing::Up);
        }
        board.set(1, Standing::UpSince(Instant::ZERO));
        assert_eq!(other.standing(1), Standing::UpSince(Instant::from_nanos(1)));
        board.set(2, Standing::Down);
        assert_eq!(other.standing(2), Standing::Up);
    }
}
