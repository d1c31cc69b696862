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
//! A timer that is moved to a later time mostly stays where it is, and goes to its place when time
//! reaches it there: of the timers of a busy connection, which are moved with every segment,
//! hardly any is ever linked anew.
//!
//! Deadlines are rounded up to whole ticks: a timer never fires early, and at most one tick late
//! if the wheel is polled in time.

use core::hint::black_box;
use core::time::Duration;

use crate::time::Instant;

/// Timers by token, expiring in the order of their ticks.
#[derive(Debug)]
pub struct TimerWheel {
    /// Nanoseconds of a tick.
    tick_nanos: u64,
    /// The current tick. Invariant: the tick of every timer is greater, but for those in the
    /// level 0 slot of the current tick (due) and those in the slot `cascading`; and none lies in
    /// a slot after that of its tick.
    current: u64,
    /// One for each token.
    timers: Box<[Timer]>,
    /// The timers of each slot; a slot is numbered `level * 64 + index`.
    slots: Box<[List]>,
    /// For each level, which slots are in use.
    occupied: [u64; LEVELS],
    /// A slot that time has reached, and whose timers have not all moved to lower levels yet.
    cascading: Option<u16>,
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
        }
    }

    /// Arms the timer of `token`, or moves it if it is armed. A deadline that has passed is due at
    /// once: re-arming that way in a loop over [`Self::poll_expired`] gives the same token again.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn schedule(&mut self, token: u32, deadline: Instant) {
        let tick = deadline
            .as_nanos()
            .div_ceil(self.tick_nanos)
            .max(self.current);
        let timer = &mut self.timers[token as usize];
        timer.tick = tick;
        let linked = timer.slot;
        if linked != NO_SLOT {
            // Slots come in the order of time, the current one first.
            if linked <= self.slot_of(tick) {
                return;
            }
            self.unlink(token);
        }
        self.link(token);
    }

    /// Disarms the timer of `token`. Returns whether it was armed.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn cancel(&mut self, token: u32) -> bool {
        let armed = self.is_armed(token);
        if armed {
            self.unlink(token);
        }
        armed
    }

    /// Whether the timer of `token` is armed.
    fn is_armed(&self, token: u32) -> bool {
        self.timers[token as usize].slot != NO_SLOT
    }

    /// Has the timer of `token` fetched from memory, and does not wait for it.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn touch(&self, token: u32) {
        black_box(self.timers[token as usize].slot);
    }

    /// The same for the timers next to it, which linking it anew writes to.
    ///
    /// # Panics
    /// If `token` is not less than the capacity.
    pub fn touch_neighbors(&self, token: u32) {
        let Timer { previous, next, .. } = self.timers[token as usize];
        for neighbor in [previous, next] {
            black_box(self.timers.get(neighbor as usize).map(|timer| timer.slot));
        }
    }

    /// Takes the next timer that is due at `now`, which it disarms; earlier ticks first. To be
    /// called until it returns `None`, once a turn. A `now` earlier than that of a previous call
    /// counts as that.
    ///
    /// The work of one call is bounded: it moves at most [`MOVES_PER_CALL`] timers to other slots.
    /// So `None` may come while timers are due; then [`Self::next_deadline`] is not after `now`,
    /// and the next turn goes on.
    pub fn poll_expired(&mut self, now: Instant) -> Option<u32> {
        let now = now.as_nanos() / self.tick_nanos;
        let mut moves = MOVES_PER_CALL;
        loop {
            if !self.cascade(&mut moves) || !self.put_off(&mut moves) {
                return None;
            }
            if let Some(token) = self.take_due() {
                return Some(token);
            }
            match self.next_slot() {
                Some((slot, start)) if start <= now => {
                    self.current = start;
                    // A slot of level 0 holds a single tick: its timers are due, or were moved to
                    // a later time.
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
    /// earliest timer lies in, and for a timer that was moved to a later time it may be the time
    /// before that. Polling then moves the timer to its place, so that a driver which jumps from
    /// one such time to the next gets to the deadline in at most eleven jumps more.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = self.cascading.is_some() || self.slots[self.due_slot()].head != NO_TOKEN;
        let tick = if due {
            self.current
        } else {
            self.next_slot()?.1
        };
        Some(self.time_of(tick))
    }

    /// When a tick begins.
    fn time_of(&self, tick: u64) -> Instant {
        Instant::from_nanos(tick.saturating_mul(self.tick_nanos))
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

    /// Moves timers at the head of the current slot that were moved to later times, at most
    /// `moves`, which it counts down. Returns whether the next one there, if any, is due.
    fn put_off(&mut self, moves: &mut usize) -> bool {
        loop {
            let token = self.slots[self.due_slot()].head;
            if token == NO_TOKEN || self.timers[token as usize].tick <= self.current {
                return true;
            }
            if *moves == 0 {
                return false;
            }
            *moves -= 1;
            self.unlink(token);
            self.link(token);
        }
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
        let number = self.slot_of(tick);
        let slot = usize::from(number);
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
            slot: number,
        };
        self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
    }

    /// The slot of a tick that has not passed.
    fn slot_of(&self, tick: u64) -> u16 {
        let differing = tick ^ self.current;
        let level = (differing | 1).ilog2() / SLOT_BITS;
        let index = tick >> (level * SLOT_BITS) & (SLOTS as u64 - 1);
        level as u16 * SLOTS as u16 + index as u16
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

/// The most timers that one call of [`TimerWheel::poll_expired`] moves to other slots.
pub const MOVES_PER_CALL: usize = 256;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Enough for all 64 bits of a tick.
const LEVELS: usize = u64::BITS.div_ceil(SLOT_BITS) as usize;

const NO_TOKEN: u32 = u32::MAX;
const NO_SLOT: u16 = u16::MAX;

#[cfg(test)]
mod tests;
