//! A line that is slower than what frames came by, and the queue in front of it.
//!
//! Time is all the state there is: frames leave in the order in which they came, so the moment at
//! which the line is done with all of them says how many octets wait.

use core::time::Duration;

use crate::time::Instant;

/// A line of a given rate behind a queue that drops what it cannot hold (drop-tail).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bottleneck {
    /// Bits a second, of whole frames from the Ethernet header on. Not zero.
    pub rate: u64,
    /// Octets that wait at most, the frame on the line included. A frame that finds the line idle
    /// is taken however long it is.
    pub queue: usize,
}

impl Bottleneck {
    /// How long the line is busy with `octets`.
    ///
    /// # Panics
    /// If the rate is zero.
    pub fn time_for(&self, octets: usize) -> Duration {
        let nanos = octets as u128 * BIT_NANOS / u128::from(self.rate);
        Duration::from_nanos(nanos as u64)
    }
}

/// The line's state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// When all frames taken so far are through.
    free_at: Instant,
}

impl Line {
    /// Takes a frame of `len` octets that comes at `now`, unless the queue is full. Returns when it
    /// is through.
    pub(super) fn take(
        &mut self,
        bottleneck: &Bottleneck,
        now: Instant,
        len: usize,
    ) -> Option<Instant> {
        let wait = self.free_at.saturating_duration_since(now);
        let queued = wait.as_nanos() * u128::from(bottleneck.rate) / BIT_NANOS;
        if queued > 0 && queued + len as u128 > bottleneck.queue as u128 {
            return None;
        }
        self.free_at = self.free_at.max(now) + bottleneck.time_for(len);
        Some(self.free_at)
    }
}

/// Nanoseconds in a second, times bits in an octet.
const BIT_NANOS: u128 = 8 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 octets take a millisecond.
    const LINE: Bottleneck = Bottleneck {
        rate: 8_000_000,
        queue: 3000,
    };

    #[test]
    fn frames_go_through_one_after_the_other() {
        let mut line = Line::default();
        let now = Instant::from_millis(10);
        assert_eq!(line.take(&LINE, now, 1000), Some(Instant::from_millis(11)));
        assert_eq!(
            line.take(&LINE, now, 500),
            Some(Instant::from_micros(11_500))
        );
        let later = Instant::from_millis(20);
        assert_eq!(
            line.take(&LINE, later, 1000),
            Some(Instant::from_millis(21))
        );
    }

    #[test]
    fn a_full_queue_drops_until_there_is_room() {
        let mut line = Line::default();
        let now = Instant::ZERO;
        for millis in 1..=3 {
            assert_eq!(
                line.take(&LINE, now, 1000),
                Some(Instant::from_millis(millis))
            );
        }
        assert_eq!(line.take(&LINE, now, 1), None);
        // Half a millisecond later there is room for 500 octets, and no more.
        let now = Instant::from_micros(500);
        assert_eq!(line.take(&LINE, now, 501), None);
        assert_eq!(line.take(&LINE, now, 500), Some(Instant::from_micros(3500)));
    }

    #[test]
    fn an_idle_line_takes_a_frame_longer_than_the_queue() {
        let mut line = Line::default();
        assert_eq!(
            line.take(&LINE, Instant::ZERO, 9000),
            Some(Instant::from_millis(9))
        );
        assert_eq!(line.take(&LINE, Instant::ZERO, 60), None);
    }
}
