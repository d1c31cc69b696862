use super::*;
use crate::io::mem::{MemBuf, MemIo, MemPool};
use crate::io::{ChecksumStatus, RxChecksum};
use crate::wire::ethernet::MacAddr;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const GOOD: Impairment = Impairment {
    loss_ppm: 0,
    burst_loss: None,
    bottleneck: None,
    corrupt_ppm: 0,
    duplicate_ppm: 0,
    reorder_ppm: 0,
    reorder_delay: Duration::ZERO,
    reorder_jitter: Duration::ZERO,
    delay: Duration::ZERO,
    jitter: Duration::ZERO,
};
const ALWAYS: u32 = 1_000_000;

fn impair(rx: Impairment, tx: Impairment, limit: usize) -> Impair<MemIo> {
    let inner = MemIo::new(MAC, 1500, MemPool::new(4096, 100));
    Impair::new(inner, 42, rx, tx, limit)
}

fn numbered(number: u32) -> MemBuf {
    let mut frame = [0; 18];
    frame[14..].copy_from_slice(&number.to_be_bytes());
    MemBuf::from_frame(&frame)
}

fn number(frame: &MemBuf) -> u32 {
    u32::from_be_bytes(*frame.data()[14..].first_chunk().unwrap())
}

fn inject(io: &mut Impair<MemIo>, numbers: core::ops::Range<u32>) {
    for number in numbers {
        io.inner_mut().inject(numbered(number));
    }
}

fn received(io: &mut Impair<MemIo>, now: Instant) -> Vec<u32> {
    io.begin_turn(now);
    let mut burst = Burst::with_capacity(4096);
    assert_eq!(io.rx_burst(&mut burst), burst.len());
    burst.iter().map(number).collect()
}

fn send(io: &mut Impair<MemIo>, numbers: core::ops::Range<u32>) {
    let mut burst = Burst::with_capacity(4096);
    for number in numbers {
        burst.push(numbered(number)).unwrap();
    }
    let count = burst.len();
    assert_eq!(io.tx_burst(&mut burst), count);
}

fn sent(io: &mut Impair<MemIo>) -> Vec<u32> {
    core::iter::from_fn(|| io.inner_mut().take_sent())
        .map(|frame| number(&frame))
        .collect()
}

fn in_order(numbers: core::ops::Range<u32>) -> Vec<u32> {
    numbers.collect()
}

#[test]
fn a_good_network_changes_nothing() {
    let mut io = impair(GOOD, GOOD, 1000);
    inject(&mut io, 0..500);
    assert_eq!(received(&mut io, Instant::ZERO), in_order(0..500));
    send(&mut io, 0..500);
    assert_eq!(sent(&mut io), in_order(0..500));
    assert_eq!((io.held(), io.next_event()), (0, None));
    assert_eq!(io.rx_counters().frames, 500);
    assert_eq!(io.tx_counters().frames, 500);
}

#[test]
fn a_delay_holds_each_direction_for_its_own_time() {
    let rx = Impairment {
        delay: Duration::from_millis(5),
        ..GOOD
    };
    let tx = Impairment {
        delay: Duration::from_millis(3),
        ..GOOD
    };
    let mut io = impair(rx, tx, 1000);
    inject(&mut io, 0..2);
    assert_eq!(received(&mut io, Instant::from_millis(10)), []);
    send(&mut io, 7..9);
    assert_eq!(io.held(), 4);

    assert_eq!(io.next_event(), Some(Instant::from_millis(13)));
    assert_eq!(received(&mut io, Instant::from_millis(13)), []);
    assert_eq!(sent(&mut io), [7, 8]);

    assert_eq!(io.next_event(), Some(Instant::from_millis(15)));
    assert_eq!(received(&mut io, Instant::from_millis(15)), [0, 1]);
    assert_eq!((io.held(), io.next_event()), (0, None));
}

#[test]
fn jitter_spreads_frames_and_keeps_their_order() {
    let jittery = Impairment {
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(9),
        ..GOOD
    };
    let mut io = impair(jittery, GOOD, 1000);
    let mut all = Vec::new();
    let mut times = Vec::new();
    for millis in 0..400 {
        inject(&mut io, millis..millis + 1);
        let now = Instant::from_millis(u64::from(millis));
        for number in received(&mut io, now) {
            all.push(number);
            times.push(millis - number);
        }
    }
    all.extend(received(&mut io, Instant::from_millis(500)));
    assert_eq!(all, in_order(0..400));
    // A release between two turns is seen at the later one.
    assert!(times.iter().all(|delay| (1..=10).contains(delay)));
    assert!(times.contains(&2) && times.contains(&10), "{times:?}");
}

#[test]
fn late_frames_are_overtaken() {
    let reordering = Impairment {
        reorder_ppm: 100_000,
        reorder_delay: Duration::from_millis(2),
        ..GOOD
    };
    let mut io = impair(reordering, GOOD, 1000);
    inject(&mut io, 0..1000);
    let on_time = received(&mut io, Instant::ZERO);
    let late = received(&mut io, Instant::from_millis(2));
    assert!(on_time.is_sorted() && late.is_sorted());
    assert_eq!(on_time.len() + late.len(), 1000);
    assert_eq!(io.rx_counters().reordered, late.len() as u64);
    assert!((70..130).contains(&late.len()), "{}", late.len());
}

#[test]
fn losses_come_as_often_as_stated() {
    for (loss_ppm, expected) in [(0, 0..1), (50_000, 400..600), (ALWAYS, 10_000..10_001)] {
        let mut io = impair(GOOD, Impairment { loss_ppm, ..GOOD }, 100_000);
        for start in (0..10_000).step_by(1000) {
            send(&mut io, start..start + 1000);
        }
        let lost = io.tx_counters().lost;
        assert!(expected.contains(&lost), "{lost} at {loss_ppm} ppm");
        assert_eq!(sent(&mut io).len() as u64, 10_000 - lost);
    }
}

#[test]
fn late_frames_are_late_by_different_times() {
    let reordering = Impairment {
        reorder_ppm: ALWAYS,
        reorder_delay: Duration::from_millis(2),
        reorder_jitter: Duration::from_millis(3),
        ..GOOD
    };
    let mut io = impair(reordering, GOOD, 1000);
    inject(&mut io, 0..1000);
    assert_eq!(received(&mut io, Instant::ZERO), []);
    assert_eq!(received(&mut io, Instant::from_micros(1999)), []);
    let first = received(&mut io, Instant::from_micros(3500));
    assert!((400..600).contains(&first.len()), "{}", first.len());
    assert!(!first.is_sorted());
    assert_eq!(
        received(&mut io, Instant::from_millis(5)).len() + first.len(),
        1000
    );
}

#[test]
fn losses_in_runs_are_as_many_and_as_long_as_stated() {
    let bursty = Impairment {
        burst_loss: Some(BurstLoss::new(50_000, 5)),
        ..GOOD
    };
    let mut io = impair(GOOD, bursty, 100_000);
    for start in (0..100_000).step_by(1000) {
        send(&mut io, start..start + 1000);
    }
    let lost = io.tx_counters().lost;
    assert!((4_000..6_000).contains(&lost), "{lost}");
    let through = sent(&mut io);
    assert_eq!(through.len() as u64, 100_000 - lost);
    let runs = through.windows(2).filter(|pair| pair[1] - pair[0] > 1);
    let runs = runs.count() as u64;
    assert!((4 * runs..6 * runs).contains(&lost), "{runs}");
}

#[test]
fn a_bottleneck_spreads_a_burst_and_drops_its_end() {
    // Frames of 18 octets, one a millisecond.
    let slow = Impairment {
        bottleneck: Some(Bottleneck {
            rate: 18 * 8 * 1000,
            queue: 18 * 10,
        }),
        delay: Duration::from_millis(5),
        ..GOOD
    };
    let mut io = impair(slow, GOOD, 1000);
    inject(&mut io, 0..15);
    assert_eq!(received(&mut io, Instant::ZERO), []);
    assert_eq!(io.rx_counters().queue_full, 5);
    for number in 0..10 {
        let time = Instant::from_millis(u64::from(number) + 6);
        assert_eq!(io.next_event(), Some(time));
        assert_eq!(received(&mut io, time), [number]);
    }
    assert_eq!(io.held(), 0);
}

#[test]
fn duplicates_are_copies_behind_the_original() {
    let doubling = Impairment {
        duplicate_ppm: ALWAYS,
        ..GOOD
    };
    let mut io = impair(doubling, doubling, 1000);
    inject(&mut io, 1..3);
    assert_eq!(received(&mut io, Instant::ZERO), [1, 1, 2, 2]);
    send(&mut io, 3..4);
    assert_eq!(sent(&mut io), [3, 3]);
    assert_eq!(io.rx_counters().duplicated, 2);
    assert_eq!(io.tx_counters().duplicated, 1);
}

#[test]
fn without_a_buffer_there_is_no_copy() {
    let doubling = Impairment {
        duplicate_ppm: ALWAYS,
        corrupt_ppm: ALWAYS,
        ..GOOD
    };
    let inner = MemIo::new(MAC, 1500, MemPool::new(0, 100));
    let mut io = Impair::new(inner, 1, doubling, GOOD, 10);
    inject(&mut io, 5..6);
    assert_eq!(received(&mut io, Instant::ZERO), [5]);
    assert_eq!(io.rx_counters().no_buffer, 2);
    assert_eq!(io.rx_counters().duplicated + io.rx_counters().corrupted, 0);
}

#[test]
fn corruption_changes_one_bit_and_loses_the_verdict_of_the_device() {
    let corrupting = Impairment {
        corrupt_ppm: ALWAYS,
        ..GOOD
    };
    let mut io = impair(corrupting, GOOD, 10);
    let mut frame = numbered(0);
    frame.set_rx_checksum(RxChecksum {
        ip: ChecksumStatus::Good,
        l4: ChecksumStatus::Good,
    });
    io.inner_mut().inject(frame);
    io.inner_mut().inject(MemBuf::from_frame(&[9; 14]));
    let mut burst = Burst::with_capacity(4);
    io.rx_burst(&mut burst);
    let corrupted = burst.pop_front().unwrap();
    assert_eq!(number(&corrupted).count_ones(), 1);
    assert_eq!(corrupted.data()[..14], [0; 14]);
    assert_eq!(corrupted.rx_checksum(), RxChecksum::default());
    // A frame without content has nothing to corrupt.
    assert_eq!(burst.pop_front().unwrap().data(), [9; 14]);
    assert_eq!(io.rx_counters().corrupted, 1);
}

#[test]
fn copies_hold_what_is_attached() {
    let bad = Impairment {
        duplicate_ppm: ALWAYS,
        corrupt_ppm: ALWAYS,
        ..GOOD
    };
    let mut io = impair(GOOD, bad, 10);
    let mut frame = MemBuf::from_frame(&[0; 14]);
    assert!(frame.attach(&MemBuf::from_frame(&[0; 50]).into_payload()));
    let mut burst = Burst::with_capacity(1);
    burst.push(frame).unwrap();
    assert_eq!(io.tx_burst(&mut burst), 1);
    let corrupted = io.inner_mut().take_sent().unwrap();
    let bits = |octets: &[u8]| octets.iter().map(|octet| octet.count_ones()).sum::<u32>();
    assert_eq!((corrupted.data().len(), bits(corrupted.data())), (64, 1));
    assert_eq!(bits(&corrupted.data()[..14]), 0);
    assert_eq!(io.inner_mut().take_sent().unwrap().data(), [0; 64]);
}

#[test]
fn held_frames_are_bounded_and_the_rest_is_counted() {
    let slow = Impairment {
        delay: Duration::from_secs(1),
        ..GOOD
    };
    let mut io = impair(GOOD, slow, 10);
    send(&mut io, 0..25);
    assert_eq!(io.held(), 10);
    assert_eq!(io.tx_counters().overflowed, 15);
    io.begin_turn(Instant::from_millis(1000));
    assert_eq!(sent(&mut io), in_order(0..10));
}

#[test]
fn what_the_inner_side_refuses_is_sent_later_in_order() {
    let mut io = impair(GOOD, GOOD, 1000);
    io.inner_mut().set_tx_limit(3);
    io.begin_turn(Instant::from_millis(4));
    send(&mut io, 0..200);
    let mut all = Vec::new();
    while io.held() > 0 {
        assert_eq!(io.next_event(), Some(Instant::from_millis(4)));
        all.extend(sent(&mut io));
        io.begin_turn(Instant::from_millis(4));
    }
    all.extend(sent(&mut io));
    assert_eq!(all, in_order(0..200));
}

#[test]
fn a_small_burst_leaves_the_rest_for_the_next_call() {
    let mut io = impair(GOOD, GOOD, 1000);
    inject(&mut io, 0..5);
    let mut burst = Burst::with_capacity(2);
    assert_eq!(io.rx_burst(&mut burst), 2);
    assert_eq!(io.rx_burst(&mut burst), 0);
    assert!(io.next_event().unwrap() <= Instant::ZERO);
    assert_eq!(received(&mut io, Instant::ZERO), [2, 3, 4]);
}

#[test]
fn the_same_seed_repeats_a_run_and_another_does_not() {
    let bad = Impairment {
        loss_ppm: 100_000,
        corrupt_ppm: 100_000,
        duplicate_ppm: 100_000,
        reorder_ppm: 100_000,
        reorder_delay: Duration::from_micros(700),
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(1),
        ..GOOD
    };
    let run = |seed| {
        let inner = MemIo::new(MAC, 1500, MemPool::new(4096, 100));
        let mut io = Impair::new(inner, seed, bad, bad, 1000);
        let mut seen = Vec::new();
        for millis in 0..20 {
            inject(&mut io, millis * 10..millis * 10 + 10);
            seen.push(received(&mut io, Instant::from_millis(u64::from(millis))));
            send(&mut io, millis * 10..millis * 10 + 10);
            seen.push(sent(&mut io));
        }
        (seen, io.rx_counters(), io.tx_counters())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let (_, rx, tx) = run(1);
    assert_ne!(rx, tx, "the directions draw the same numbers");
}

#[test]
fn changing_one_probability_leaves_other_decisions_alone() {
    let run = |duplicate_ppm| {
        let lossy = Impairment {
            loss_ppm: 200_000,
            duplicate_ppm,
            ..GOOD
        };
        let mut io = impair(lossy, GOOD, 4096);
        inject(&mut io, 0..500);
        let mut numbers = received(&mut io, Instant::ZERO);
        numbers.dedup();
        numbers
    };
    assert_eq!(run(0), run(500_000));
}

#[test]
fn offloads_are_not_offered() {
    let mut inner = MemIo::new(MAC, 1400, MemPool::new(1, 100));
    inner.capabilities_mut().tx_checksum.tcp = true;
    inner.capabilities_mut().tso_ipv4 = Some(65_000);
    inner.capabilities_mut().tso_ipv6 = Some(65_000);
    let io = Impair::new(inner, 0, GOOD, GOOD, 1);
    assert_eq!(
        *io.capabilities(),
        *MemIo::new(MAC, 1400, MemPool::new(1, 100)).capabilities()
    );
}

#[test]
fn wrappers_nest() {
    let slow = Impairment {
        delay: Duration::from_millis(1),
        ..GOOD
    };
    let mut io = Impair::new(impair(slow, slow, 10), 1, slow, slow, 10);
    io.inner_mut().inner_mut().inject(numbered(1));
    let mut burst = Burst::with_capacity(4);
    let mut turns = 0;
    let mut now = Instant::ZERO;
    io.begin_turn(now);
    while io.rx_burst(&mut burst) == 0 {
        now = io.next_event().unwrap();
        io.begin_turn(now);
        turns += 1;
    }
    assert_eq!((now, turns), (Instant::from_millis(2), 2));
}
