//! A hierarchical timer wheel: one timer for each of many small numbers.
//!
//! Tokens are dense numbers chosen by the caller, usually indices into a slab. Arming, moving and
//! cancelling a timer take constant time, and nothing is allocated after creation: timers are
//! doubly linked through one preallocated array.
//!
//! Time is cut into ticks. Each level has 64 slots, and a slot of one level spans all 64 slots of
//! the level below, so that 11 levels reach every point in time. A timer lies on the level of the
//! highest group of six bits in which its tick differs from the current one. When time reaches a
//! slot of a higher level, its timers move to lower ones. A bitmap for each level says which slots
//! are in use, so that a jump of hours costs no more than a jump of one tick.
//!
//! Deadlines are rounded up to whole ticks: a timer never fires early, and at most one tick late
//! if the wheel is polled in time.

use core::time::Duration;

use crate::time::Instant;

/// Timers by token, expiring in the order of their ticks.
#[derive(Debug)]
pub struct TimerWheel {
    /// Nanoseconds of a tick.
    tick_nanos: u64,
    /// The current tick. Invariant: the tick of every timer is greater, but for those in the
    /// level 0 slot of the current tick (due) and those in the slot `cascading`.
    current: u64,
    /// One for each token.
    timers: Box<[Timer]>,
    /// The timers of each slot; a slot is numbered `level * 64 + index`.
    slots: Box<[List]>,
    /// For each level, which slots are in use.
    occupied: [u64; LEVELS],
    /// A slot that time has reached, and whose timers have not all moved to lower levels yet.
    cascading: Option<u16>,
    armed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    /// When to fire. Meaningless if not armed.
    tick: u64,
    previous: u32,
    next: u32,
    /// The slot it is linked into, or `NO_SLOT` if not armed.
    slot: u16,
}

/// Both ends of a doubly linked list of tokens; `NO_TOKEN` if empty.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

impl TimerWheel {
    /// The tick that suits network timers.
    pub const DEFAULT_TICK: Duration = Duration::from_millis(1);

    /// A wheel for the tokens `0..capacity`, none armed, whose time starts at `now`. The only
    /// allocation.
    ///
    /// # Panics
    /// If `tick` is zero or more than a minute, or `capacity` is `u32::MAX`.
    pub fn new(capacity: u32, tick: Duration, now: Instant) -> Self {
        assert!(
            !tick.is_zero() && tick <= Duration::from_mins(1),
            "a tick of a timer wheel lasts up to a minute, not {tick:?}"
        );
        assert!(capacity < NO_TOKEN, "too many timers");
        let timer = Timer {
            tick: 0,
            previous: NO_TOKEN,
            next: NO_TOKEN,
            slot: NO_SLOT,
        };
        let list = List {
            head: NO_TOKEN,
            tail: NO_TOKEN,
        };
        let tick_nanos = tick.as_nanos() as u64;
        Self {
            tick_nanos,
            current: now.as_nanos() / tick_nanos,
            timers: vec![timer; capacity as usize].into_boxed_slice(),
            slots: vec![list; LEVELS * SLOTS].into_boxed_slice(),
            occupied: [0; LEVELS],
            cascading: None,
            armed: 0,
        }
    }

    /// Arms the timer of `token`, or moves it if it is armed. A deadline that has passed is due at
    /// once: re-arming that way in a loop over [`Self::poll_expired`] gives the same token again.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn schedule(&mut self, token: u32, deadline: Instant) {
        self.cancel(token);
        self.timers[token as usize].tick = deadline
            .as_nanos()
            .div_ceil(self.tick_nanos)
            .max(self.current);
        self.link(token);
        self.armed += 1;
    }

    /// Disarms the timer of `token`. Returns whether it was armed.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn cancel(&mut self, token: u32) -> bool {
        let armed = self.is_armed(token);
        if armed {
            self.unlink(token);
            self.armed -= 1;
        }
        armed
    }

    /// Whether the timer of `token` is armed.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn is_armed(&self, token: u32) -> bool {
        self.timers[token as usize].slot != NO_SLOT
    }

    /// How many timers are armed.
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// Takes the next timer that is due at `now`, which it disarms; earlier ticks first. To be
    /// called until it returns `None`, once a turn. A `now` earlier than that of a previous call
    /// counts as that.
    ///
    /// The work of one call is bounded: it moves at most [`MOVES_PER_CALL`] timers to lower levels.
    /// So `None` may come while timers are due; then [`Self::next_deadline`] is not after `now`,
    /// and the next turn goes on.
    pub fn poll_expired(&mut self, now: Instant) -> Option<u32> {
        let now = now.as_nanos() / self.tick_nanos;
        let mut moves = MOVES_PER_CALL;
        loop {
            if !self.cascade(&mut moves) {
                return None;
            }
            if let Some(token) = self.take_due() {
                return Some(token);
            }
            match self.next_slot() {
                Some((slot, start)) if start <= now => {
                    self.current = start;
                    // A slot of level 0 holds a single tick: its timers are due as they are.
                    self.cascading = (slot as usize >= SLOTS).then_some(slot);
                }
                _ => {
                    self.current = self.current.max(now);
                    return None;
                }
            }
        }
    }

    /// When to call [`Self::poll_expired`] next; `None` if no timer is armed.
    ///
    /// Never later than the earliest deadline, rounded up to a whole tick. It is exact up to 64
    /// ticks ahead at best; beyond, it may be the start of the slot of a higher level that the
    /// earliest timer lies in. Polling then moves that timer closer, so that a driver which jumps
    /// from one such time to the next gets to the deadline in at most eleven jumps.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = self.cascading.is_some() || self.slots[self.due_slot()].head != NO_TOKEN;
        let tick = if due {
            self.current
        } else {
            self.next_slot()?.1
        };
        Some(Instant::from_nanos(tick.saturating_mul(self.tick_nanos)))
    }

    /// Moves timers of the slot `cascading` to lower levels, at most `moves`, which it counts
    /// down. Returns whether the slot is done.
    fn cascade(&mut self, moves: &mut usize) -> bool {
        while let Some(slot) = self.cascading {
            let token = self.slots[slot as usize].head;
            if token == NO_TOKEN {
                self.cascading = None;
            } else if *moves == 0 {
                return false;
            } else {
                *moves -= 1;
                self.unlink(token);
                self.link(token);
            }
        }
        true
    }

    fn take_due(&mut self) -> Option<u32> {
        let token = self.slots[self.due_slot()].head;
        (token != NO_TOKEN && self.cancel(token)).then_some(token)
    }

    /// The slot of the current tick.
    fn due_slot(&self) -> usize {
        self.current as usize % SLOTS
    }

    /// The first slot in use after the current tick, and the tick at which it starts.
    fn next_slot(&self) -> Option<(u16, u64)> {
        // The timers of a level are all within one slot of the next level, so the lowest level in
        // use comes first, and on it the lowest slot.
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let index = self.occupied[level].trailing_zeros();
        let shift = level as u32 * SLOT_BITS;
        // Shifting by the whole width (above the top level) leaves nothing.
        let group = self
            .current
            .checked_shr(shift + SLOT_BITS)
            .map_or(0, |group| group << (shift + SLOT_BITS));
        let start = group | u64::from(index) << shift;
        Some(((level * SLOTS) as u16 + index as u16, start))
    }

    /// Links a timer into the slot that its tick belongs to, at the end.
    fn link(&mut self, token: u32) {
        let tick = self.timers[token as usize].tick;
        let differing = tick ^ self.current;
        let level = (differing | 1).ilog2() / SLOT_BITS;
        let index = tick >> (level * SLOT_BITS) & (SLOTS as u64 - 1);
        let slot = level as usize * SLOTS + index as usize;

        let previous = self.slots[slot].tail;
        match previous {
            NO_TOKEN => self.slots[slot].head = token,
            _ => self.timers[previous as usize].next = token,
        }
        self.slots[slot].tail = token;
        self.timers[token as usize] = Timer {
            tick,
            previous,
            next: NO_TOKEN,
            slot: slot as u16,
        };
        self.occupied[level as usize] |= 1 << index;
    }

    /// Takes an armed timer out of its slot.
    fn unlink(&mut self, token: u32) {
        let Timer {
            previous,
            next,
            slot,
            ..
        } = self.timers[token as usize];
        let slot = slot as usize;
        match previous {
            NO_TOKEN => self.slots[slot].head = next,
            _ => self.timers[previous as usize].next = next,
        }
        match next {
            NO_TOKEN => self.slots[slot].tail = previous,
            _ => self.timers[next as usize].previous = previous,
        }
        if self.slots[slot].head == NO_TOKEN {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
        self.timers[token as usize].slot = NO_SLOT;
    }
}

/// The most timers that one call of [`TimerWheel::poll_expired`] moves to lower levels.
pub const MOVES_PER_CALL: usize = 256;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Enough for all 64 bits of a tick.
const LEVELS: usize = u64::BITS.div_ceil(SLOT_BITS) as usize;

const NO_TOKEN: u32 = u32::MAX;
const NO_SLOT: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const CAPACITY: u32 = 400;

    fn wheel() -> TimerWheel {
        TimerWheel::new(CAPACITY, TimerWheel::DEFAULT_TICK, Instant::ZERO)
    }

    /// Everything due at `now`, in order. Every call that returns `None` while timers are due must
    /// have moved some.
    fn drain(wheel: &mut TimerWheel, now: Instant) -> Vec<u32> {
        let mut expired = Vec::new();
        for _ in 0..100 {
            while let Some(token) = wheel.poll_expired(now) {
                expired.push(token);
            }
            if wheel.next_deadline().is_none_or(|next| next > now) {
                return expired;
            }
        }
        panic!("the wheel makes no progress");
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        let mut wheel = wheel();
        wheel.schedule(7, Instant::from_micros(2_001));
        assert_eq!(wheel.armed(), 1);
        assert_eq!(wheel.poll_expired(Instant::from_micros(2_999)), None);
        assert_eq!(wheel.next_deadline(), Some(Instant::from_millis(3)));
        assert_eq!(wheel.poll_expired(Instant::from_millis(3)), Some(7));
        assert_eq!(wheel.poll_expired(Instant::from_millis(9)), None);
        assert_eq!((wheel.armed(), wheel.next_deadline()), (0, None));
    }

    #[test]
    fn a_deadline_that_has_passed_is_due_at_once() {
        let mut wheel = wheel();
        assert_eq!(wheel.poll_expired(Instant::from_millis(500)), None);
        wheel.schedule(1, Instant::from_millis(3));
        assert!(wheel.next_deadline().unwrap() <= Instant::from_millis(500));
        assert_eq!(wheel.poll_expired(Instant::from_millis(500)), Some(1));
    }

    #[test]
    fn a_moved_timer_fires_at_its_new_deadline_only() {
        let mut wheel = wheel();
        wheel.schedule(1, Instant::from_millis(10));
        wheel.schedule(1, Instant::from_millis(90_000));
        assert_eq!(drain(&mut wheel, Instant::from_millis(89_999)), []);
        assert_eq!(drain(&mut wheel, Instant::from_millis(90_000)), [1]);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire() {
        let mut wheel = wheel();
        for token in 0..3 {
            wheel.schedule(token, Instant::from_millis(10));
        }
        assert!(wheel.cancel(1));
        assert!(!wheel.cancel(1));
        assert!(!wheel.is_armed(1));
        assert_eq!(drain(&mut wheel, Instant::from_millis(10)), [0, 2]);
    }

    #[test]
    fn a_jump_of_a_year_visits_only_slots_in_use() {
        let mut wheel = wheel();
        let year = Instant::ZERO + Duration::from_hours(365 * 24);
        wheel.schedule(2, Instant::ZERO + Duration::from_hours(24));
        wheel.schedule(1, Instant::from_millis(1));
        wheel.schedule(3, year);
        let mut jumps = 0;
        let mut expired = Vec::new();
        while let Some(now) = wheel.next_deadline() {
            jumps += 1;
            expired.extend(drain(&mut wheel, now));
        }
        assert_eq!(expired, [1, 2, 3]);
        assert!(jumps <= 3 * LEVELS, "{jumps}");
    }

    #[test]
    fn for_ever_is_a_deadline() {
        let mut wheel = TimerWheel::new(1, Duration::from_nanos(1), Instant::ZERO);
        wheel.schedule(0, Instant::from_nanos(u64::MAX));
        assert_eq!(wheel.poll_expired(Instant::from_nanos(u64::MAX - 1)), None);
        assert_eq!(wheel.poll_expired(Instant::from_nanos(u64::MAX)), Some(0));
    }

    #[test]
    fn one_call_moves_a_bounded_number_of_timers() {
        let capacity = 3 * MOVES_PER_CALL as u32;
        let mut wheel = TimerWheel::new(capacity, TimerWheel::DEFAULT_TICK, Instant::ZERO);
        // All within one slot of level 1, which starts at 64 ms.
        let due = |token| 64 + u64::from(capacity - token) % 60;
        for token in 0..capacity {
            wheel.schedule(token, Instant::from_millis(due(token)));
        }
        let now = Instant::from_millis(130);
        assert_eq!(wheel.poll_expired(now), None);
        assert!(wheel.next_deadline().unwrap() <= now);
        // What is armed or cancelled meanwhile is neither lost nor fired.
        wheel.schedule(5, Instant::from_millis(64));
        wheel.cancel(capacity - 1);
        let expired = drain(&mut wheel, now);
        assert_eq!(expired.len(), capacity as usize - 1);
        assert!(expired.is_sorted_by_key(|&token| if token == 5 { 64 } else { due(token) }));
        assert_eq!(wheel.armed(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule { token: u32, after: u64 },
        Cancel { token: u32 },
        Advance { nanos: u64 },
    }

    /// Spans of all magnitudes, from nanoseconds to weeks.
    fn span() -> impl Strategy<Value = u64> {
        (0..50u32, any::<u64>()).prop_map(|(bits, value)| value >> (63 - bits))
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..CAPACITY, span()).prop_map(|(token, after)| Step::Schedule { token, after }),
            1 => (0..CAPACITY).prop_map(|token| Step::Cancel { token }),
            2 => span().prop_map(|nanos| Step::Advance { nanos }),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_map(
            steps in steps(),
            start in span(),
            tick in prop_oneof![Just(1), Just(1_000_000), 1..60_000_000_000u64],
        ) {
            let mut now = start;
            let mut wheel =
                TimerWheel::new(CAPACITY, Duration::from_nanos(tick), Instant::from_nanos(now));
            let mut by_token = BTreeMap::new();
            let mut by_tick = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Schedule { token, after } => {
                        let due = (now + after).div_ceil(tick);
                        wheel.schedule(token, Instant::from_nanos(now + after));
                        if let Some(old) = by_token.insert(token, due) {
                            by_tick.remove(&(old, token));
                        }
                        by_tick.insert((due, token));
                    }
                    Step::Cancel { token } => {
                        let old = by_token.remove(&token);
                        prop_assert_eq!(wheel.cancel(token), old.is_some());
                        by_tick.retain(|&(_, other)| other != token);
                    }
                    Step::Advance { nanos } => {
                        now += nanos;
                        let expired = drain(&mut wheel, Instant::from_nanos(now));
                        let later = by_tick.split_off(&(now / tick + 1, 0));
                        let mut due_ticks = Vec::new();
                        for token in &expired {
                            due_ticks.push(by_token.remove(token).unwrap());
                            prop_assert!(!wheel.is_armed(*token));
                        }
                        prop_assert!(due_ticks.is_sorted(), "{:?}", due_ticks);
                        let expired: BTreeSet<_> = due_ticks.into_iter().zip(expired).collect();
                        prop_assert_eq!(expired, by_tick);
                        by_tick = later;
                    }
                }
                prop_assert_eq!(wheel.armed(), by_token.len());
                let earliest = by_tick.first().map(|&(due, _)| due.saturating_mul(tick));
                let next = wheel.next_deadline().map(Instant::as_nanos);
                prop_assert_eq!(next.is_some(), earliest.is_some());
                prop_assert!(next <= earliest, "{:?} after {:?}", next, earliest);
            }
        }
    }
}
