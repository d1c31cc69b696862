//! Turns of a worker or receiver, one after the other, in real time.
//!
//! The only place of the data plane that reads a clock: once a turn. What happens between turns
//! is the idle policy.
//!
//! * **busy**: the next turn begins at once. A packet waits for one turn at most; the CPU is always
//!   busy.
//! * **adaptive**: after a number of turns without work the worker sleeps, for the configured time
//!   or until its next timer, whichever is first. A packet that comes in such a silence waits for
//!   the sleep to end: the configured time, plus what the kernel takes to wake a thread (with
//!   Linux's usual timer slack about 50 microseconds more). Under load there is no silence and no
//!   sleep.

use std::thread;
use std::time::{Duration, Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use netstack::counters::{Counters, Event};
use netstack::io::PacketIo;
use netstack::time::Instant;

use crate::config::IdlePolicy;
use crate::receiver::Receiver;
use crate::worker::{Turn, Worker};

/// The time for workers: what the wall clock said at the start, plus what has passed since. So it
/// never goes backwards, and captures carry usable time stamps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    started: SystemInstant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since_epoch.map_or(0, |since| since.as_nanos());
        Self {
            origin: Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            started: SystemInstant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.origin + self.started.elapsed()
    }
}

/// Whatever works in turns: a worker, or an lcore that only receives.
pub trait InTurns {
    /// One turn.
    fn poll_once(&mut self, now: Instant) -> Turn;

    /// What it counts.
    fn counters(&self) -> &Counters;
}

impl<Io: PacketIo> InTurns for Worker<Io> {
    fn poll_once(&mut self, now: Instant) -> Turn {
        self.poll_once(now)
    }

    fn counters(&self) -> &Counters {
        self.counters()
    }
}

impl<Io: PacketIo> InTurns for Receiver<Io> {
    fn poll_once(&mut self, now: Instant) -> Turn {
        self.poll_once(now)
    }

    fn counters(&self) -> &Counters {
        self.counters()
    }
}

/// Lets it take its turns until it has finished.
pub fn drive(what: &mut impl InTurns, clock: Clock, idle: IdlePolicy) {
    let mut silent_turns = 0;
    loop {
        let now = clock.now();
        let turn = what.poll_once(now);
        if turn.finished {
            return;
        }
        silent_turns = if turn.busy {
            0
        } else {
            u32::saturating_add(silent_turns, 1)
        };
        if let Some(length) = sleep_length(idle, silent_turns, now, turn.next) {
            what.counters().increment(Event::Sleeps);
            thread::sleep(length);
        }
    }
}

/// How long to sleep after so many turns without work, if at all.
fn sleep_length(
    idle: IdlePolicy,
    silent_turns: u32,
    now: Instant,
    next: Option<Instant>,
) -> Option<Duration> {
    let IdlePolicy::Adaptive {
        spins,
        longest_sleep,
    } = idle
    else {
        return None;
    };
    if silent_turns <= spins {
        return None;
    }
    let until_next = next.map_or(longest_sleep, |next| next.saturating_duration_since(now));
    Some(until_next.min(longest_sleep)).filter(|length| !length.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: IdlePolicy = IdlePolicy::Adaptive {
        spins: 10,
        longest_sleep: Duration::from_micros(50),
    };

    #[test]
    fn a_busy_worker_never_sleeps() {
        assert_eq!(
            sleep_length(IdlePolicy::Busy, u32::MAX, Instant::ZERO, None),
            None
        );
        assert_eq!(sleep_length(ADAPTIVE, 10, Instant::ZERO, None), None);
    }

    #[test]
    fn a_sleep_ends_with_the_next_timer() {
        let now = Instant::from_millis(1);
        let sleep =
            |micros| sleep_length(ADAPTIVE, 11, now, Some(now + Duration::from_micros(micros)));
        assert_eq!(sleep(20), Some(Duration::from_micros(20)));
        assert_eq!(sleep(70), Some(Duration::from_micros(50)));
        assert_eq!(sleep(0), None);
        assert_eq!(sleep_length(ADAPTIVE, 11, now, Some(Instant::ZERO)), None);
        assert_eq!(
            sleep_length(ADAPTIVE, 11, now, None),
            Some(Duration::from_micros(50))
        );
    }

    #[test]
    fn the_clock_does_not_go_backwards() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
        // After 2020, so it is the wall clock's.
        assert!(first > Instant::from_nanos(1_577_836_800_000_000_000));
    }
}
