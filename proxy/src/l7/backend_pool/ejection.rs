//! Backends that sessions avoid because others have failed there.
//!
//! *In*: how a worker's sessions fare. *Out*: who is ejected, and for how long. What counts is what
//! this worker has seen: workers do not tell each other, so with several of them it takes as many
//! failures at each.
//!
//! The first time is the shortest, each further one is twice as long. Whoever comes back is on
//! probation: one failure is enough to go again. Who then serves for as long as it was away is
//! forgiven. At most a share of the group, by number, is ejected at a time: failures of all are
//! hardly the fault of each, and a client who can make servers reset its connections must not be
//! able to take them all away.

use core::time::Duration;

use netstack::time::Instant;

use crate::config::EjectionConfig;

/// Who is ejected of a group.
#[derive(Debug)]
pub(super) struct Ejections {
    config: EjectionConfig,
    backends: Vec<Conduct>,
    ejected: usize,
    /// When the next one comes back.
    next_return: Option<Instant>,
}

/// How one backend has behaved.
#[derive(Clone, Debug, Default)]
struct Conduct {
    /// Failures in a row.
    failures: u16,
    /// How long it is, or was last, away.
    time: Duration,
    /// When it comes back.
    until: Option<Instant>,
    /// When it came back last.
    returned: Option<Instant>,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Stays,
    /// Too many others are ejected.
    Withheld,
    /// The backend is ejected.
    Ejected {
        /// After so many failures in a row.
        in_a_row: u16,
        /// For so long.
        time: Duration,
    },
}

impl Ejections {
    /// Nobody of so many.
    pub(super) fn new(config: EjectionConfig, backends: usize) -> Self {
        Self {
            config,
            backends: vec![Conduct::default(); backends],
            ejected: 0,
            next_return: None,
        }
    }

    /// Whether a backend is ejected.
    pub(super) fn is_ejected(&self, index: usize) -> bool {
        self.backends[index].until.is_some()
    }

    /// When a backend came back, if it was ever away.
    pub(super) fn returned_at(&self, index: usize) -> Option<Instant> {
        self.backends[index].returned
    }

    /// When the next backend comes back.
    pub(super) fn next_return(&self) -> Option<Instant> {
        self.next_return
    }

    /// A session was served.
    pub(super) fn note_served(&mut self, now: Instant, index: usize) {
        let conduct = &mut self.backends[index];
        conduct.failures = 0;
        if conduct.returned.is_some_and(|at| now >= at + conduct.time) {
            conduct.time = Duration::ZERO;
        }
    }

    /// A session failed; `takers` is how many backends there are that the operator wants used.
    pub(super) fn note_failed(&mut self, now: Instant, index: usize, takers: usize) -> Verdict {
        let conduct = &mut self.backends[index];
        if conduct.until.is_some() {
            // It was begun before, or because there is nobody else.
            return Verdict::Stays;
        }
        conduct.failures = conduct.failures.saturating_add(1);
        if conduct.failures < self.config.failures {
            return Verdict::Stays;
        }
        if self.ejected >= self.config.most_of(takers) {
            return Verdict::Withheld;
        }
        let EjectionConfig { base, max, .. } = self.config;
        conduct.time = conduct.time.saturating_mul(2).clamp(base, max);
        let until = now + conduct.time;
        conduct.until = Some(until);
        self.ejected += 1;
        self.next_return = Some(self.next_return.map_or(until, |next| next.min(until)));
        Verdict::Ejected {
            in_a_row: conduct.failures,
            time: conduct.time,
        }
    }

    /// The next backend whose time is over; it is ejected no more.
    pub(super) fn take_back(&mut self, now: Instant) -> Option<usize> {
        let is_over = |conduct: &Conduct| conduct.until.is_some_and(|until| until <= now);
        let index = self.backends.iter().position(is_over);
        if let Some(index) = index {
            let conduct = &mut self.backends[index];
            conduct.until = None;
            conduct.returned = Some(now);
            conduct.failures = self.config.failures - 1;
            self.ejected -= 1;
        }
        let ends = self.backends.iter().filter_map(|conduct| conduct.until);
        self.next_return = ends.min();
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: EjectionConfig = EjectionConfig {
        failures: 3,
        base: Duration::from_secs(10),
        max: Duration::from_secs(35),
        max_share: 50,
    };

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn seconds(verdict: Verdict) -> Option<u64> {
        match verdict {
            Verdict::Ejected { time, .. } => Some(time.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let mut ejections = Ejections::new(CONFIG, 2);
        let fail = |ejections: &mut Ejections| seconds(ejections.note_failed(at(0), 0, 2));
        assert_eq!([fail(&mut ejections), fail(&mut ejections)], [None; 2]);
        ejections.note_served(at(0), 0);
        assert_eq!([fail(&mut ejections), fail(&mut ejections)], [None; 2]);
        assert_eq!(fail(&mut ejections), Some(10));
        assert!(ejections.is_ejected(0) && !ejections.is_ejected(1));
        assert_eq!(ejections.next_return(), Some(at(10)));
        assert_eq!(ejections.take_back(at(9)), None);
        assert_eq!(ejections.take_back(at(10)), Some(0));
        assert_eq!(ejections.take_back(at(10)), None);
        assert_eq!(ejections.returned_at(0), Some(at(10)));
        assert_eq!(ejections.next_return(), None);
    }

    #[test]
    fn the_time_doubles_up_to_a_limit_until_it_is_forgiven() {
        let mut ejections = Ejections::new(CONFIG, 2);
        let mut now = 0;
        for _ in 0..2 {
            ejections.note_failed(at(now), 0, 2);
        }
        for time in [10, 20, 35, 35] {
            // After the first time a single failure is enough.
            assert_eq!(seconds(ejections.note_failed(at(now), 0, 2)), Some(time));
            now += time;
            assert_eq!(ejections.take_back(at(now)), Some(0));
        }
        // It serves, but not for long enough.
        ejections.note_served(at(now + 34), 0);
        for _ in 0..2 {
            assert_eq!(ejections.note_failed(at(now + 34), 0, 2), Verdict::Stays);
        }
        assert_eq!(seconds(ejections.note_failed(at(now + 34), 0, 2)), Some(35));
        now += 34 + 35;
        ejections.take_back(at(now));
        ejections.note_served(at(now + 35), 0);
        for _ in 0..2 {
            ejections.note_failed(at(now + 35), 0, 2);
        }
        assert_eq!(seconds(ejections.note_failed(at(now + 35), 0, 2)), Some(10));
    }

    #[test]
    fn no_more_than_a_share_is_ejected() {
        let mut ejections = Ejections::new(CONFIG, 5);
        for index in 0..5 {
            for _ in 0..2 {
                ejections.note_failed(at(0), index, 5);
            }
        }
        let verdicts: Vec<_> = (0..5)
            .map(|index| ejections.note_failed(at(index), index as usize, 5))
            .collect();
        assert!(
            verdicts[..2]
                .iter()
                .all(|verdict| seconds(*verdict) == Some(10))
        );
        assert_eq!(verdicts[2..], [Verdict::Withheld; 3]);
        // Another failure of one that is away changes nothing.
        assert_eq!(ejections.note_failed(at(5), 0, 5), Verdict::Stays);
        assert_eq!(ejections.next_return(), Some(at(10)));
        assert_eq!(ejections.take_back(at(10)), Some(0));
        assert_eq!(ejections.next_return(), Some(at(11)));
        assert_eq!(seconds(ejections.note_failed(at(10), 4, 5)), Some(10));
    }
}
