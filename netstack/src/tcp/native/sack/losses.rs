//! Which segments are lost, and the order in which they are looked at.
//!
//! In: a judgement of single segments, which is RACK's. Out: what is lost, and how long to wait for
//! the rest. Segments are lost in the order in which they were sent last. Those that were sent once
//! lie in that order on the scoreboard, those that were sent again in a queue beside it; so what
//! has been judged lies before what has not, and is not looked at again.

use core::time::Duration;

use super::{Fate, Scoreboard, Sent};

/// What is to be thought of a segment in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp::native) enum Judgement {
    /// Nothing that was sent after it has been delivered.
    TooEarly,
    /// It is lost if nothing is heard of it for so long.
    Wait(Duration),
    /// It is lost.
    Lost,
}

/// Segments looked at beyond the first that is not lost yet.
const MOST_LOOKED_AT: usize = 64;

impl Scoreboard {
    /// Believes lost what `judge` says is. Returns the newly lost octets, and for how long the last
    /// of those to be waited for is, which is `longest` if there are too many.
    pub(in crate::tcp::native) fn lose(
        &mut self,
        longest: Duration,
        judge: impl Fn(&Sent) -> Judgement,
    ) -> (u32, Option<Duration>) {
        let (lost, wait) = self.lose_first(longest, &judge);
        let (lost_again, wait_again) = self.lose_again(longest, &judge);
        (lost + lost_again, wait.max(wait_again))
    }

    /// Judges segments in flight for the first time; they lie in the order in which they were sent.
    fn lose_first(
        &mut self,
        longest: Duration,
        judge: &impl Fn(&Sent) -> Judgement,
    ) -> (u32, Option<Duration>) {
        let (mut lost, mut wait, mut looked_at) = (0, None, 0);
        let mut index = self.index_of(self.first_from);
        while let Some(sent) = self.sent.get(index) {
            let judgement = (sent.fate == Fate::InFlight && !sent.resent).then(|| judge(sent));
            if judgement == Some(Judgement::TooEarly) {
                break;
            }
            if let Some(Judgement::Wait(time)) = judgement {
                if wait.is_none() {
                    self.first_from = sent.seq;
                }
                wait = wait.max(Some(time));
            } else if judgement == Some(Judgement::Lost) {
                lost += self.mark_lost(index);
            }
            self.count_step();
            index = self.after(index);
            looked_at += usize::from(wait.is_some());
            if looked_at > MOST_LOOKED_AT {
                return (lost, Some(longest));
            }
        }
        if wait.is_none() {
            let end = self.sent.back().map_or(0, Sent::end);
            self.first_from = self.sent.get(index).map_or(end, |sent| sent.seq);
        }
        (lost, wait)
    }

    /// Judges segments that were sent again.
    fn lose_again(
        &mut self,
        longest: Duration,
        judge: &impl Fn(&Sent) -> Judgement,
    ) -> (u32, Option<Duration>) {
        let (mut lost, mut wait) = (0, None);
        let mut waiting = 0;
        while let Some(again) = self.again.get(waiting).copied() {
            self.count_step();
            let index = self.index_of(again.end.wrapping_sub(1));
            let sent = self.sent.get(index).filter(|sent| {
                let same = sent.end() == again.end && sent.sent_at == again.sent_at;
                same && sent.fate == Fate::InFlight
            });
            match sent.map(judge) {
                Some(Judgement::TooEarly) => break,
                Some(Judgement::Wait(time)) => wait = wait.max(Some(time)),
                Some(Judgement::Lost) => lost += self.mark_lost(index),
                None => {}
            }
            if wait.is_none() {
                self.again.pop_front();
                continue;
            }
            waiting += 1;
            if waiting > MOST_LOOKED_AT {
                return (lost, Some(longest));
            }
        }
        (lost, wait)
    }
}
