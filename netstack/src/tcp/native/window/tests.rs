use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant::from_millis(7_000_000);
const MSS: u16 = 1460;
const KIB: u32 = 1024;

/// Just before the wrap, so that every test crosses it.
const FIRST: u32 = u32::MAX - 5000;

fn window(initial: u32, max: u32, shift: u8) -> Window {
    Window::new(START, FIRST, (initial, max), MSS, shift)
}

#[test]
fn the_scale_fits_the_largest_window() {
    for (max, shift) in [
        (0, 0),
        (65_535, 0),
        (65_536, 1),
        (4 << 20, 7),
        (1 << 30, 14),
        (u32::MAX, 14),
    ] {
        assert_eq!(scale_for(max), shift, "{max}");
    }
}

#[test]
fn the_handshake_offers_what_fits_without_scaling() {
    assert_eq!(window(64 * KIB, 4 << 20, 7).open(FIRST), 65_535);
    assert_eq!(window(5000, 4 << 20, 7).open(FIRST), 5000);
}

/// RFC 9293 section 3.8.6.2.2.
#[test]
fn the_edge_advances_by_a_segment_or_not_at_all() {
    let mut window = window(10_000, 10_000, 0);
    let rcv_nxt = FIRST.wrapping_add(10_000);
    assert_eq!(window.offer(rcv_nxt, 10_000, Pressure::None), 0);
    assert_eq!(window.offer(rcv_nxt, 10_000 - 1459, Pressure::None), 0);
    assert_eq!(window.offer(rcv_nxt, 10_000 - 1460, Pressure::None), 1460);
    assert_eq!(window.offer(rcv_nxt, 10_000, Pressure::None), 1460);
}

#[test]
fn a_small_window_advances_by_half() {
    let mut window = window(1000, 1000, 0);
    let rcv_nxt = FIRST.wrapping_add(1000);
    assert_eq!(window.offer(rcv_nxt, 501, Pressure::None), 0);
    assert_eq!(window.offer(rcv_nxt, 500, Pressure::None), 500);
}

#[test]
fn a_closed_window_is_reopened_unasked_when_it_pays() {
    let mut window = window(20_000, 20_000, 0);
    let rcv_nxt = FIRST.wrapping_add(20_000);
    assert!(!window.update_due(rcv_nxt, 20_000 - 2919, Pressure::None));
    assert!(window.update_due(rcv_nxt, 20_000 - 2920, Pressure::None));
    window.offer(rcv_nxt, 20_000 - 2920, Pressure::None);
    assert!(!window.update_due(rcv_nxt, 20_000 - 2920, Pressure::None));
    // Open by two segments: the next update is worth as much again.
    assert!(!window.update_due(rcv_nxt, 20_000 - 5839, Pressure::None));
    assert!(window.update_due(rcv_nxt, 20_000 - 5840, Pressure::None));
}

#[test]
fn a_window_more_than_half_open_waits_for_the_next_ack() {
    let window = window(20_000, 20_000, 0);
    assert!(!window.update_due(FIRST.wrapping_add(9_999), 0, Pressure::None));
    assert!(window.update_due(FIRST.wrapping_add(10_000), 0, Pressure::None));
}

#[test]
fn a_window_smaller_than_the_unit_of_its_field_still_opens() {
    let mut window = window(1000, 1 << 30, 14);
    assert_eq!(window.target(), 16 * KIB);
    let rcv_nxt = FIRST.wrapping_add(16 * KIB);
    assert_eq!(window.offer(rcv_nxt, 16 * KIB, Pressure::None), 0);
    assert!(window.update_due(rcv_nxt, 0, Pressure::Critical));
    assert_eq!(window.offer(rcv_nxt, 0, Pressure::Critical), 1);
}

#[test]
fn rounding_never_takes_back_and_creeps_a_little() {
    let mut window = window(64 * KIB, 4 << 20, 7);
    let mut rcv_nxt = FIRST;
    let mut last = FIRST;
    let mut queued = 0;
    // A peer fills the window in odd steps, and nobody reads.
    while window.open(rcv_nxt) > 0 {
        let field = window.offer(rcv_nxt, queued, Pressure::None);
        let edge = rcv_nxt.wrapping_add(u32::from(field) << 7);
        assert!(seq::le(last, edge));
        last = edge;
        let step = 1447.min(window.open(rcv_nxt));
        queued += step;
        rcv_nxt = rcv_nxt.wrapping_add(step);
    }
    assert!(queued <= 70 * KIB, "{queued}");
}

#[test]
fn a_peer_that_sends_octet_by_octet_cannot_push_the_edge_for_ever() {
    let mut window = window(64 * KIB, 256 * KIB, 2);
    let mut queued = 0;
    while window.open(FIRST.wrapping_add(queued)) > 0 && queued < 1 << 20 {
        queued += 1;
        window.offer(FIRST.wrapping_add(queued), queued, Pressure::None);
    }
    assert!(queued <= (64 + 16) * KIB + 4, "{queued}");
}

/// Round trips of 10 ms in which `octets(nth)` arrive and are read.
fn read(window: &mut Window, rounds: u64, pressure: Pressure, octets: impl Fn(u64) -> u32) {
    for nth in 1..=rounds {
        window.consumed(octets(nth));
        let now = START + Duration::from_millis(10 * nth);
        window.tune(now, pressure);
    }
}

#[test]
fn the_target_follows_what_is_read_in_a_round_trip() {
    let mut window = window(64 * KIB, 16 << 20, 8);
    window.rtt_measured(10_000);
    read(&mut window, 20, Pressure::None, |_| 1 << 20);
    assert!(window.target() >= 2 << 20);
    let steady = window.target();
    read(&mut window, 100, Pressure::None, |_| 1 << 20);
    assert_eq!(window.target(), steady);
    read(&mut window, 100, Pressure::None, |_| 1 << 24);
    assert_eq!(window.target(), 65_535 << 8);
}

#[test]
fn slow_start_never_meets_the_window() {
    let mut window = window(64 * KIB, 16 << 20, 8);
    window.rtt_measured(10_000);
    for nth in 1..=9 {
        let sent = 14_600 << (nth - 1);
        assert!(window.target() >= sent, "{nth}: {}", window.target());
        window.consumed(sent);
        window.tune(START + Duration::from_millis(10 * nth), Pressure::None);
    }
}

#[test]
fn who_reads_little_gets_no_larger_window() {
    let mut window = window(64 * KIB, 16 << 20, 8);
    window.rtt_measured(10_000);
    read(&mut window, 50, Pressure::None, |_| 10_000);
    assert_eq!(window.target(), 64 * KIB);
    // A thousand round trips' worth, but in a thousand round trips.
    window.consumed(10_000_000);
    window.tune(START + Duration::from_millis(10_500), Pressure::None);
    assert_eq!(window.target(), 64 * KIB);
}

#[test]
fn pressure_stops_growth_then_shrinks_and_later_growth_resumes() {
    let mut window = window(256 * KIB, 16 << 20, 8);
    window.rtt_measured(10_000);
    read(&mut window, 20, Pressure::Moderate, |_| 1 << 20);
    assert_eq!(window.target(), 256 * KIB);
    read(&mut window, 20, Pressure::High, |_| 1 << 20);
    assert_eq!(window.target(), 4 * u32::from(MSS));
    read(&mut window, 60, Pressure::None, |_| 5000);
    assert!(window.target() >= 10_000, "{}", window.target());
}

#[test]
fn pressure_shrinks_a_window_whose_round_trip_is_unknown() {
    let mut window = window(256 * KIB, 16 << 20, 8);
    read(&mut window, 20, Pressure::High, |_| 0);
    assert_eq!(window.target(), 4 * u32::from(MSS));
}

#[test]
fn what_was_offered_stays_offered_under_pressure() {
    let mut window = window(60_000, 60_000, 0);
    read(&mut window, 20, Pressure::High, |_| 0);
    for pressure in [Pressure::High, Pressure::Critical] {
        assert_eq!(window.offer(FIRST, 0, pressure), 60_000);
        let half = FIRST.wrapping_add(30_000);
        assert_eq!(window.offer(half, 0, pressure), 30_000);
    }
}

#[test]
fn critical_pressure_offers_nothing_but_to_those_with_nothing_queued() {
    let mut window = window(60_000, 60_000, 0);
    let rcv_nxt = FIRST.wrapping_add(60_000);
    assert_eq!(window.offer(rcv_nxt, 1, Pressure::Critical), 0);
    assert!(!window.update_due(rcv_nxt, 1, Pressure::Critical));
    assert!(window.update_due(rcv_nxt, 0, Pressure::Critical));
    assert_eq!(window.offer(rcv_nxt, 0, Pressure::Critical), 4 * MSS);
}

#[test]
fn the_round_trip_is_seen_by_how_long_a_window_takes() {
    let mut window = window(10_000, 10_000, 0);
    let mut arrived = |millis, octets, paused| {
        let rcv_nxt = FIRST.wrapping_add(octets);
        window.arrived(START + Duration::from_millis(millis), rcv_nxt, paused);
        window.offer(rcv_nxt, 0, Pressure::None);
        window.rtt_micros()
    };
    // What fills the window may have been sent before we said anything; one more may not.
    assert_eq!(arrived(20, 10_000, false), 0);
    assert_eq!(arrived(30, 10_001, false), 30_000);
    assert_eq!(arrived(40, 20_000, false), 30_000);
    assert_eq!(arrived(50, 20_001, false), 20_000);
    assert_eq!(arrived(60, 30_000, false), 20_000);
    assert_eq!(arrived(90, 30_001, false), 20_000);
    // After a pause nothing is known about when the sender could send.
    assert_eq!(arrived(5_000, 35_000, true), 20_000);
    assert_eq!(arrived(5_001, 40_000, false), 20_000);
    assert_eq!(arrived(5_002, 40_001, false), 2_000);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u32),
    Read(u32),
    Offer(Pressure),
    Wait(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let pressure = prop_oneof![
        4 => Just(Pressure::None),
        1 => Just(Pressure::Moderate),
        1 => Just(Pressure::High),
        1 => Just(Pressure::Critical),
    ];
    prop_oneof![
        3 => prop_oneof![0_u32..300, 0_u32..100_000].prop_map(Step::Arrive),
        2 => prop_oneof![0_u32..300, 0_u32..100_000].prop_map(Step::Read),
        3 => pressure.prop_map(Step::Offer),
        1 => (0_u32..50_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn the_edge_stays_and_memory_is_bounded(
        initial in 1_u32..100_000,
        max in prop_oneof![1_u32..3000, 1_u32..10_000_000],
        shift in 0_u8..=14,
        steps in vec(any_step(), 0..300),
    ) {
        let mut window = window(initial, max, shift);
        let unit = 1_u32 << shift;
        let (mut now, mut rcv_nxt, mut queued) = (START, FIRST, 0_u32);
        let mut advertised = window.edge();
        for step in steps {
            let edge = window.edge();
            match step {
                Step::Arrive(len) => {
                    let len = len.min(window.open(rcv_nxt));
                    rcv_nxt = rcv_nxt.wrapping_add(len);
                    queued += len;
                    window.arrived(now, rcv_nxt, false);
                }
                Step::Read(len) => {
                    let len = len.min(queued);
                    queued -= len;
                    window.consumed(len);
                }
                Step::Wait(micros) => now += Duration::from_micros(u64::from(micros)),
                Step::Offer(pressure) => {
                    window.tune(now, pressure);
                    let field = u32::from(window.offer(rcv_nxt, queued, pressure)) << shift;
                    let right = rcv_nxt.wrapping_add(field);
                    // RFC 7323 section 2.4: less than a unit, if at all.
                    prop_assert!(seq::lt(advertised, right.wrapping_add(unit)));
                    prop_assert!(seq::le(right, window.edge()));
                    prop_assert!(!window.update_due(rcv_nxt, queued, pressure));
                    advertised = right;
                }
            }
            prop_assert!(seq::le(edge, window.edge()));
            prop_assert!(window.target() >= unit && window.target() <= window.max());
            let held = queued + window.open(rcv_nxt);
            prop_assert!(held <= window.max() + (window.max() / 16).max(unit));
        }
        // Whatever happened, a session that reads is told of a window sooner or later.
        rcv_nxt = window.edge();
        prop_assert!(window.update_due(rcv_nxt, 0, Pressure::Critical));
        prop_assert!(window.offer(rcv_nxt, 0, Pressure::Critical) > 0);
    }
}
