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
    assert_eq!(wheel.poll_expired(Instant::from_micros(2_999)), None);
    assert_eq!(wheel.next_deadline(), Some(Instant::from_millis(3)));
    assert_eq!(wheel.poll_expired(Instant::from_millis(3)), Some(7));
    assert_eq!(wheel.poll_expired(Instant::from_millis(9)), None);
    assert_eq!(wheel.next_deadline(), None);
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
fn near_deadlines_are_told_exactly_even_after_an_idle_time() {
    let mut wheel = wheel();
    let now = Instant::from_millis(64 * 1_000);
    assert_eq!(wheel.poll_expired(now), None);
    let deadline = now + Duration::from_millis(63);
    wheel.schedule(1, deadline);
    assert_eq!(wheel.next_deadline(), Some(deadline));
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
    assert_eq!(wheel.next_deadline(), None);
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
            let armed = (0..CAPACITY).filter(|token| wheel.is_armed(*token));
            prop_assert!(armed.eq(by_token.keys().copied()));
            let earliest = by_tick.first().map(|&(due, _)| due.saturating_mul(tick));
            let next = wheel.next_deadline().map(Instant::as_nanos);
            prop_assert_eq!(next.is_some(), earliest.is_some());
            prop_assert!(next <= earliest, "{:?} after {:?}", next, earliest);
        }
    }
}
