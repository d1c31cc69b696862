//! Loss detection by time: RACK (RFC 8985 section 6).
//!
//! In: what each acknowledgment delivered. Out: which segments are lost, and when to look again.
//! A segment is lost when one that was sent later has been delivered and reordering can no longer
//! explain it: the time since it was sent exceeds the round-trip time by the reordering window.
//! That window is nothing until the path has been seen to reorder, then a quarter of the smallest
//! round-trip time, and more each time the peer reports that a segment came twice.

use core::time::Duration;

use super::sack::{Delivery, Judgement, Scoreboard, Sent};
use crate::tcp::seq;
use crate::time::Instant;

/// RFC 8985 section 6.2 step 4: without reordering, so many delivered segments beyond a gap make
/// it a loss at once.
const DUP_THRESH: u32 = 3;

/// How many recoveries a widened reordering window lasts (RFC 8985 section 6.2 step 4).
const PERSIST: u8 = 16;

/// What RACK knows of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rack {
    /// When the newest delivered segment was sent.
    sent_at: Instant,
    /// Where it ended.
    end: u32,
    /// Its round-trip time, in microseconds.
    rtt: u32,
    /// The end of the highest delivered segment.
    highest: u32,
    /// How many segments late the path has delivered one, at most; zero if it keeps the order.
    distance: u8,
    /// Quarters of the smallest round-trip time in the reordering window.
    multiplier: u8,
    /// Recoveries until the window shrinks again.
    persist: u8,
    /// The peer reported a duplicate in the round that ends at this number.
    dsack_round: Option<u32>,
}

/// What is left of it when nothing is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestingRack {
    distance: u8,
    multiplier: u8,
    persist: u8,
}

/// What decides how patient RACK is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Whether a recovery is going on.
    pub(super) in_recovery: bool,
    /// The segment size, in octets.
    pub(super) mss: u32,
    /// The smallest round-trip time.
    pub(super) min_rtt: Option<Duration>,
    /// The smoothed round-trip time.
    pub(super) srtt: Option<Duration>,
}

impl Rack {
    /// Nothing has been delivered; the first number sent was `iss`.
    pub(super) fn new(iss: u32) -> Self {
        Self {
            sent_at: Instant::ZERO,
            end: iss,
            rtt: 0,
            highest: iss,
            distance: 0,
            multiplier: 1,
            persist: 0,
            dsack_round: None,
        }
    }

    /// What is left to be remembered when nothing is under way.
    pub(super) fn rest(&self) -> RestingRack {
        RestingRack {
            distance: self.distance,
            multiplier: self.multiplier,
            persist: self.persist,
        }
    }

    /// The same again; the next number to be sent is `nxt`.
    pub(super) fn resume(rest: RestingRack, nxt: u32) -> Self {
        Self {
            distance: rest.distance,
            multiplier: rest.multiplier,
            persist: rest.persist,
            ..Self::new(nxt)
        }
    }

    /// Whether the path has been seen to reorder.
    pub(super) fn has_reordered(&self) -> bool {
        self.distance > 0
    }

    /// How many segments late the path has delivered one, at most; zero if it keeps the order.
    pub(super) fn distance(&self) -> u8 {
        self.distance
    }

    /// The reordering window in quarters of the smallest round-trip time.
    pub(super) fn multiplier(&self) -> u8 {
        self.multiplier
    }

    /// Takes in what an acknowledgment delivered (RFC 8985 section 6.2 steps 2 and 3). `echo_age` is
    /// the age of the time stamp that it echoes, in milliseconds of a clock that goes with `now`;
    /// `mss` the size of a segment.
    pub(super) fn delivered(
        &mut self,
        now: Instant,
        delivery: &Delivery<'_>,
        min_rtt: Option<Duration>,
        echo_age: Option<u32>,
        mss: u32,
    ) {
        if let Some(lowest) = delivery.lowest_sent_once
            && seq::lt(lowest, self.highest)
        {
            let late = self.highest.wrapping_sub(lowest).div_ceil(mss.max(1));
            self.distance = self.distance.max(u8::try_from(late).unwrap_or(u8::MAX));
        }
        let Some(newest) = delivery.newest else {
            return;
        };
        if seq::lt(self.highest, newest.end()) {
            self.highest = newest.end();
        }
        let rtt = now.saturating_duration_since(newest.sent_at);
        // RFC 8985 section 6.2 step 2: an acknowledgment that came too soon after a retransmission,
        // or echoes a time before it, is for the first sending.
        if newest.resent {
            let millis = |at: Instant| at.as_micros() / 1000;
            let sent_ago = millis(now).saturating_sub(millis(newest.sent_at));
            let older = echo_age.is_some_and(|age| u64::from(age) > sent_ago);
            if older || min_rtt.is_some_and(|min| rtt < min) {
                return;
            }
        }
        self.rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        if self.sent_at < newest.sent_at
            || self.sent_at == newest.sent_at && seq::lt(self.end, newest.end())
        {
            self.sent_at = newest.sent_at;
            self.end = newest.end();
        }
    }

    /// Something was taken for lost that was only late: the path reorders.
    pub(super) fn was_hasty(&mut self) {
        self.distance = self.distance.max(1);
    }

    /// The peer has received a segment twice (RFC 8985 section 6.2 step 4): patience was too short.
    ///
    /// Unless nothing was ever seen out of order: then a copy was made on the way, or a
    /// retransmission repaired too much, and more patience would only delay what is really lost.
    pub(super) fn duplicate_reported(&mut self, una: u32, nxt: u32) {
        if self.distance == 0 {
            return;
        }
        if self.dsack_round.is_none_or(|end| seq::le(end, una)) {
            self.dsack_round = Some(nxt);
            self.multiplier = self.multiplier.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    /// A recovery is over.
    pub(super) fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.multiplier = 1;
        }
    }

    /// Marks what is lost (RFC 8985 section 6.2 step 5). Returns the newly lost octets, and how
    /// long to wait before looking again.
    pub(super) fn detect(
        &self,
        now: Instant,
        board: &mut Scoreboard,
        patience: Patience,
    ) -> (u32, Option<Duration>) {
        let allowed = Duration::from_micros(u64::from(self.rtt)) + self.window(board, patience);
        let left = |sent_at| allowed.saturating_sub(now.saturating_duration_since(sent_at));
        board.lose(left(self.sent_at), |sent| {
            if !self.is_after(sent) {
                return Judgement::TooEarly;
            }
            match left(sent.sent_at) {
                Duration::ZERO => Judgement::Lost,
                wait => Judgement::Wait(wait),
            }
        })
    }

    /// Whether something was delivered that was sent after `sent`.
    fn is_after(&self, sent: &Sent) -> bool {
        sent.sent_at < self.sent_at || sent.sent_at == self.sent_at && seq::lt(sent.end(), self.end)
    }

    /// RFC 8985 section 6.2 step 4.
    fn window(&self, board: &Scoreboard, patience: Patience) -> Duration {
        if !self.has_reordered() {
            let certain = board.sacked() >= DUP_THRESH * patience.mss;
            if patience.in_recovery || certain {
                return Duration::ZERO;
            }
        }
        let quarter = patience.min_rtt.unwrap_or_default() / 4;
        let window = quarter * u32::from(self.multiplier);
        window.min(patience.srtt.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rate::{RateEstimator, SentRate};
    use super::super::sack::Fate;
    use super::*;
    use crate::wire::tcp::SackBlocks;

    const MSS: u32 = 1000;
    const PATIENCE: Patience = Patience {
        in_recovery: false,
        mss: MSS,
        min_rtt: Some(Duration::from_millis(40)),
        srtt: Some(Duration::from_millis(40)),
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1000 + millis)
    }

    /// Ten segments, one a millisecond.
    fn board() -> Scoreboard {
        let mut board = Scoreboard::default();
        for index in 0..10 {
            let sent_at = at(u64::from(index));
            board.push(Sent::new(index * MSS, MSS, sent_at, sent_rate()));
        }
        board
    }

    fn sent_rate() -> SentRate {
        RateEstimator::default().on_sent(Instant::ZERO, 0)
    }

    /// The peer says that it has the segments from `left` to `right`.
    fn sack(rack: &mut Rack, board: &mut Scoreboard, now: Instant, (left, right): (u32, u32)) {
        let mut blocks = SackBlocks::default();
        blocks.push(left * MSS, right * MSS);
        let mut estimator = RateEstimator::default();
        let mut delivery = Delivery::new(now, &mut estimator);
        board.sack(&blocks, MSS, &mut delivery);
        rack.delivered(now, &delivery, PATIENCE.min_rtt, None, MSS);
    }

    #[test]
    fn three_segments_beyond_a_gap_make_it_a_loss_at_once() {
        let (mut board, mut rack) = (board(), Rack::new(0));
        for last in 2..=3 {
            sack(&mut rack, &mut board, at(40 + u64::from(last)), (1, last));
            let (lost, wait) = rack.detect(at(40 + u64::from(last)), &mut board, PATIENCE);
            assert_eq!(lost, 0);
            assert!(wait.is_some());
        }
        sack(&mut rack, &mut board, at(43), (1, 4));
        assert_eq!(rack.detect(at(43), &mut board, PATIENCE), (MSS, None));
    }

    #[test]
    fn a_gap_of_few_segments_is_a_loss_after_the_reordering_window() {
        let (mut board, mut rack) = (board(), Rack::new(0));
        sack(&mut rack, &mut board, at(41), (1, 2));
        // Sent at 0; 40 ms round trip and 10 ms more are allowed.
        let (lost, wait) = rack.detect(at(41), &mut board, PATIENCE);
        assert_eq!((lost, wait), (0, Some(Duration::from_millis(9))));
        assert_eq!(rack.detect(at(50), &mut board, PATIENCE).0, MSS);
    }

    #[test]
    fn a_path_that_reorders_gets_patience_even_in_recovery() {
        let (mut board, mut rack) = (board(), Rack::new(0));
        sack(&mut rack, &mut board, at(45), (5, 6));
        sack(&mut rack, &mut board, at(46), (1, 2));
        assert!(rack.has_reordered());
        assert_eq!(rack.distance(), 5);
        let in_recovery = Patience {
            in_recovery: true,
            ..PATIENCE
        };
        let (lost, wait) = rack.detect(at(46), &mut board, in_recovery);
        assert_eq!(lost, 0);
        assert!(wait.is_some());
    }

    #[test]
    fn reported_duplicates_widen_the_window_once_a_round_trip() {
        let mut rack = Rack::new(0);
        rack.was_hasty();
        rack.duplicate_reported(0, 5000);
        rack.duplicate_reported(1000, 6000);
        assert_eq!(rack.multiplier(), 2);
        rack.duplicate_reported(5000, 9000);
        assert_eq!(rack.multiplier(), 3);
        for _ in 0..PERSIST {
            rack.recovered();
        }
        assert_eq!(rack.multiplier(), 1);
    }

    /// As for a path that makes copies of what it carries.
    #[test]
    fn duplicates_alone_do_not_make_a_path_one_that_reorders() {
        let (mut board, mut rack) = (board(), Rack::new(0));
        rack.duplicate_reported(0, 5000);
        rack.duplicate_reported(5000, 9000);
        assert_eq!((rack.has_reordered(), rack.multiplier()), (false, 1));
        sack(&mut rack, &mut board, at(43), (1, 4));
        assert_eq!(rack.detect(at(43), &mut board, PATIENCE), (MSS, None));
    }

    #[test]
    fn a_retransmission_that_got_lost_is_noticed() {
        let (mut board, mut rack) = (board(), Rack::new(0));
        sack(&mut rack, &mut board, at(49), (2, 10));
        board.mark_lost(0);
        board.resent(0, at(50), sent_rate());
        board.mark_lost(1);
        board.resent(1, at(51), sent_rate());
        // The second retransmission arrives, 40 ms later.
        sack(&mut rack, &mut board, at(91), (1, 2));
        let in_recovery = Patience {
            in_recovery: true,
            ..PATIENCE
        };
        let (lost, _) = rack.detect(at(91), &mut board, in_recovery);
        assert_eq!(lost, MSS);
        assert_eq!(board.get(0).unwrap().fate, Fate::Lost);
    }
}
