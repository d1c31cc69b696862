//! The scoreboard: what is noted, and how much work peers can make.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MSS: u32 = 1000;

fn sent_rate() -> SentRate {
    RateEstimator::default().on_sent(Instant::ZERO, 0)
}

fn board(first: u32, segments: u32) -> Scoreboard {
    let mut board = Scoreboard::default();
    for index in 0..segments {
        let seq = first.wrapping_add(index * MSS);
        let sent_at = Instant::from_millis(u64::from(index));
        board.push(Sent::new(seq, MSS, sent_at, sent_rate()));
    }
    board
}

fn blocks(pairs: &[(u32, u32)]) -> SackBlocks {
    let mut blocks = SackBlocks::default();
    for (left, right) in pairs {
        blocks.push(*left, *right);
    }
    blocks
}

#[test]
fn what_is_acknowledged_is_delivered_once_across_the_wrap() {
    let first = 0u32.wrapping_sub(2500);
    let mut board = board(first, 5);
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    let at = |offset: u32| first.wrapping_add(offset);
    board.sack(&blocks(&[(at(2000), at(4000))]), MSS, &mut delivery);
    assert_eq!((delivery.sacked, board.sacked()), (2000, 2000));
    assert_eq!(board.pipe(5000), 3000);
    assert_eq!(board.highest_sacked(), Some(at(4000)));
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    board.acknowledge(at(3500), &mut delivery);
    assert_eq!(delivery.acked, 2000);
    assert_eq!((board.sacked(), board.pipe(1500)), (500, 1000));
    assert_eq!(delivery.lowest_sent_once, Some(first));
}

#[test]
fn blocks_outside_what_is_under_way_say_nothing() {
    let mut board = board(10_000, 3);
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    let lies = blocks(&[(9_000, 10_000), (12_000, 14_000), (12_000, 11_000)]);
    board.sack(&lies, MSS, &mut delivery);
    assert_eq!((delivery.octets(), board.sacked()), (0, 0));
}

#[test]
fn a_block_smaller_than_a_segment_cuts_nothing() {
    let mut board = board(0, 1);
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    for left in (0..900).step_by(2) {
        board.sack(&blocks(&[(left, left + 1)]), MSS, &mut delivery);
    }
    assert_eq!((board.len(), delivery.sacked), (1, 0));
}

#[test]
fn a_large_segment_is_cut_where_segments_of_the_wire_end() {
    let mut board = Scoreboard::default();
    board.push(Sent {
        len: 10 * MSS,
        ..*board_one().first().unwrap()
    });
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    board.sack(&blocks(&[(2500, 5500)]), MSS, &mut delivery);
    assert_eq!(delivery.sacked, 2000);
    let parts: Vec<_> = board
        .iter()
        .map(|sent| (sent.seq, sent.len, sent.fate == Fate::Sacked))
        .collect();
    assert_eq!(
        parts,
        [(0, 3000, false), (3000, 2000, true), (5000, 5000, false)]
    );
}

fn board_one() -> Scoreboard {
    board(0, 1)
}

#[test]
fn a_block_that_grew_is_looked_at_where_it_grew() {
    let mut board = board(0, 10);
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    board.sack(&blocks(&[(3000, 5000)]), MSS, &mut delivery);
    board.sack(&blocks(&[(2000, 7000)]), MSS, &mut delivery);
    assert_eq!(delivery.sacked, 5000);
    board.sack(&blocks(&[(2000, 7000)]), MSS, &mut delivery);
    assert_eq!((delivery.sacked, board.sacked()), (5000, 5000));
}

#[test]
fn lost_segments_leave_the_pipe_until_they_are_sent_again() {
    let mut board = board(0, 4);
    assert_eq!(board.mark_lost(0), 1000);
    assert_eq!(board.mark_lost(0), 0);
    assert_eq!((board.pipe(4000), board.next_lost()), (3000, Some(0)));
    board.resent(0, Instant::from_millis(50), sent_rate());
    assert_eq!((board.pipe(4000), board.next_lost()), (4000, None));
    board.mark_all_lost(false);
    assert_eq!(board.lost(), 4000);
    board.restore_lost();
    assert_eq!(board.pipe(4000), 4000);
}

#[test]
fn the_first_lost_segment_is_found_whatever_came_before() {
    let first = 0u32.wrapping_sub(2500);
    let mut board = board(first, 6);
    let again = |board: &mut Scoreboard, index| {
        board.resent(index, Instant::from_millis(50), sent_rate());
    };
    board.mark_lost(4);
    assert_eq!(board.next_lost(), Some(4));
    // One before it, found later, comes first.
    board.mark_lost(1);
    assert_eq!(board.next_lost(), Some(1));
    again(&mut board, 1);
    assert_eq!(board.next_lost(), Some(4));
    // What was sent again is lost again.
    board.mark_lost(1);
    assert_eq!(board.next_lost(), Some(1));
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    board.acknowledge(first.wrapping_add(2000), &mut delivery);
    assert_eq!(board.next_lost(), Some(2));
    again(&mut board, 2);
    assert_eq!(board.next_lost(), None);
    board.mark_all_lost(false);
    assert_eq!(board.next_lost(), Some(0));
}

#[test]
fn a_timeout_may_assume_that_the_peer_reneged() {
    let mut board = board(0, 4);
    board.sack(
        &blocks(&[(1000, 2000)]),
        MSS,
        &mut Delivery::new(Instant::ZERO, &mut RateEstimator::default()),
    );
    board.mark_all_lost(false);
    assert_eq!((board.sacked(), board.lost()), (1000, 3000));
    board.mark_all_lost(true);
    assert_eq!((board.sacked(), board.lost()), (0, 4000));
}

/// Tiny segments that fill the largest window.
const MANY: u32 = 40_000;

/// What all acknowledgments may look at: each segment when it is delivered and when it is judged,
/// and for each acknowledgment a number of segments that does not depend on how many there are.
fn assert_bounded(board: &Scoreboard, acks: usize, per_ack: usize, what: &str) {
    let most = 6 * MANY as usize + acks * per_ack;
    assert!(
        board.steps <= most,
        "{what}: {} steps for {acks} acknowledgments",
        board.steps
    );
}

/// A board whose first segment is missing for ever, and was sent again.
fn attacked() -> Scoreboard {
    let mut board = board(0, MANY);
    board.mark_lost(0);
    board.resent(0, Instant::from_millis(u64::from(MANY)), sent_rate());
    board
}

/// Takes in blocks in units of segments, and looks for losses as a recovery does.
fn attack(board: &mut Scoreboard, pairs: &[(u32, u32)]) {
    let mut estimator = RateEstimator::default();
    let now = Instant::from_millis(u64::from(MANY) + 10);
    let mut delivery = Delivery::new(now, &mut estimator);
    let scaled: Vec<_> = pairs.iter().map(|(l, r)| (l * MSS, r * MSS)).collect();
    board.sack(&blocks(&scaled), MSS, &mut delivery);
    board.lose(Duration::ZERO, |_| Judgement::Wait(Duration::from_secs(1)));
    assert_eq!(board.next_lost(), None);
}

#[test]
fn blocks_that_shrink_by_a_segment_each_are_cheap() {
    for (what, left, right) in [
        ("from the left", 1, 0),
        ("from the right", 0, 1),
        ("from both", 1, 1),
    ] {
        let mut board = attacked();
        for step in 0..10_000 {
            attack(&mut board, &[(1 + left * step, MANY - right * step)]);
        }
        assert_bounded(&board, 10_000, 80, what);
    }
}

#[test]
fn every_second_segment_then_all_again_and_again_is_cheap() {
    let mut board = attacked();
    for odd in (1..MANY / 2).step_by(8) {
        attack(
            &mut board,
            &[(odd, odd + 1), (odd + 2, odd + 3), (odd + 4, odd + 5)],
        );
    }
    for step in 0..5_000 {
        // The last acknowledgment's blocks are remembered: never the same twice.
        let (a, b) = (1 + step, MANY - 1 - step);
        attack(
            &mut board,
            &[(a, b), (a + 1, b), (a, b - 1), (a + 2, b - 2)],
        );
    }
    assert_bounded(
        &board,
        5_000 + MANY as usize / 16,
        4 * 80,
        "every second one",
    );
}

#[test]
fn looking_for_losses_goes_on_where_it_stopped() {
    let mut board = board(0, MANY);
    let mut estimator = RateEstimator::default();
    // Everything is sent again, a segment at a time, and each acknowledgment looks for losses.
    for round in 0..3 {
        board.mark_all_lost(false);
        for step in 0..MANY {
            let index = board.next_lost().unwrap();
            let now = Instant::from_millis(u64::from(MANY * (round + 1) + step));
            board.resent(index, now, sent_rate());
            board.lose(Duration::ZERO, |_| Judgement::TooEarly);
        }
        assert_eq!(board.lost(), 0);
    }
    let most = 3 * 4 * MANY as usize;
    assert!(board.steps <= most, "{} steps", board.steps);
    // All of it is judged in the order of the last sending, to the octet.
    let cut = Instant::from_millis(u64::from(MANY * 3 + 100));
    let older = |sent: &Sent| {
        if sent.sent_at < cut {
            Judgement::Lost
        } else {
            Judgement::TooEarly
        }
    };
    assert_eq!(board.lose(Duration::ZERO, older), (100 * MSS, None));
    let mut delivery = Delivery::new(cut, &mut estimator);
    board.acknowledge(MANY * MSS, &mut delivery);
    assert!(board.is_empty() && board.again.is_empty());
}

#[test]
fn a_mistake_taken_back_is_judged_anew() {
    let mut board = board(0, 6);
    board.mark_lost(2);
    board.resent(2, Instant::from_millis(50), sent_rate());
    board.lose(Duration::ZERO, |_| Judgement::Lost);
    assert_eq!(board.lost(), 6 * MSS);
    board.restore_lost();
    let longest = Duration::from_secs(9);
    let wait = |sent: &Sent| {
        let resent = u64::from(sent.resent);
        Judgement::Wait(Duration::from_secs(1 + resent))
    };
    let (lost, waits) = board.lose(longest, wait);
    assert_eq!((lost, waits), (0, Some(Duration::from_secs(2))));
    assert_eq!(board.lose(longest, |_| Judgement::Lost).0, 6 * MSS);
}

#[test]
fn entries_are_not_cut_without_end() {
    let mut board = Scoreboard::default();
    let segments = MOST_CUT as u32 * 2;
    let sent_at = Instant::ZERO;
    // As a port that cuts segments takes them.
    for index in 0..segments / 40 {
        let len = 40 * MSS;
        board.push(Sent::new(index * len, len, sent_at, sent_rate()));
    }
    let mut estimator = RateEstimator::default();
    let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
    for odd in (1..segments / 40 * 40).step_by(2) {
        let pair = (odd * MSS, (odd + 1) * MSS);
        board.sack(&blocks(&[pair]), MSS, &mut delivery);
    }
    assert!(board.len() <= MOST_CUT + 1, "{}", board.len());
    assert!(board.take_refused() > 0);
    // What is not noted to the octet is not believed, and whole entries still are.
    let all = board.iter().map(|sent| sent.len).sum::<u32>();
    assert_eq!(all, segments / 40 * 40 * MSS);
    assert!(board.sacked() < all / 2);
    board.sack(&blocks(&[(0, all)]), MSS, &mut delivery);
    assert_eq!(board.sacked(), all);
}

#[test]
fn blocks_about_nothing_in_flight_are_counted() {
    let mut board = board(10_000, 4);
    let mut delivery_of = |pairs: &[(u32, u32)]| {
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(Instant::ZERO, &mut estimator);
        board.sack(&blocks(pairs), MSS, &mut delivery);
        (delivery.sacked, board.take_refused())
    };
    // A duplicate of what was acknowledged is none (RFC 2883 section 4).
    assert_eq!(delivery_of(&[(8_000, 9_000), (12_000, 13_000)]), (1000, 0));
    assert_eq!(delivery_of(&[(13_000, 15_000), (9_000, 11_000)]), (0, 2));
    assert_eq!(delivery_of(&[(13_000, 12_000), (20_000, 21_000)]), (0, 2));
}

proptest! {
    /// Whatever a peer reports, what is noted is what a list of segments says.
    #[test]
    fn notes_what_a_list_does(
        acks in vec((vec((0_u32..60, 0_u32..60), 1..4), any::<bool>()), 1..60),
        first in any::<u32>(),
    ) {
        let mut board = board(first, 60);
        let mut model = [false; 60];
        let mut estimator = RateEstimator::default();
        for (pairs, renege) in acks {
            let mut delivery = Delivery::new(Instant::from_millis(90), &mut estimator);
            let at = |segment: u32| first.wrapping_add(segment * MSS);
            let scaled: Vec<_> = pairs.iter().map(|(l, r)| (at(*l), at(*r))).collect();
            board.sack(&blocks(&scaled), MSS, &mut delivery);
            let mut new = 0;
            for (left, right) in pairs {
                for has in model.iter_mut().take(right as usize).skip(left as usize) {
                    new += u32::from(!core::mem::replace(has, true));
                }
            }
            prop_assert_eq!(delivery.sacked, new * MSS);
            let sacked: Vec<_> = board.iter().map(|sent| sent.fate == Fate::Sacked).collect();
            prop_assert_eq!(&sacked[..], &model[..]);
            if renege {
                board.mark_all_lost(true);
                model = [false; 60];
            }
        }
    }
}
