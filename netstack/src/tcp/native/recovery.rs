//! Loss recovery: when the window shrinks, what is sent meanwhile, and when that was a mistake.
//!
//! RFC 6675 and RFC 5681 as changed by RACK (RFC 8985), which finds losses, and PRR (RFC 6937),
//! which says how much is sent for each acknowledgment; RFC 6582 for peers without SACK; F-RTO
//! (RFC 5682) after a timeout; ECN (RFC 3168 section 6.1.2). Mistakes are noticed by time stamps
//! (RFC 4015's way) and by D-SACK (RFC 3708's), and undone.
//!
//! In: deliveries, time. Out: `cwnd` and what the scoreboard believes lost.

use core::time::Duration;

use super::congestion::Congestion;
use super::rack::Patience;
use super::sack::Fate;
use super::timer::Timer;
use super::transmit::{Part, SendHalf};
use crate::io::Payload;
use crate::tcp::seq;
use crate::time::Instant;

/// RFC 5681 section 3.2: so many duplicate acknowledgments make a loss.
const DUP_ACKS: u16 = 3;

/// Whether a send half is recovering, and from what.
#[derive(Debug)]
pub(super) enum Phase {
    /// It is not.
    Open,
    /// The network said that it is congested, without a loss (RFC 3168).
    Reducing(Box<Prr>),
    /// Segments were lost.
    Recovery(Box<Prr>),
    /// A retransmission timeout passed.
    Timeout(Box<AfterTimeout>),
}

/// Proportional rate reduction (RFC 6937 section 3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Prr {
    /// The episode ends when this is acknowledged.
    end: u32,
    /// Octets in flight when it began, `RecoverFS`.
    flight: u32,
    delivered: u32,
    out: u32,
}

/// What is remembered after a timeout.
#[derive(Clone, Copy, Debug)]
pub(super) struct AfterTimeout {
    /// The episode ends when this is acknowledged.
    end: u32,
    /// Whether the timeout may still turn out to be spurious.
    doubt: Doubt,
    /// When it passed.
    at: Instant,
}

/// How far F-RTO is (RFC 5682 section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doubt {
    /// Nothing has come since the first segment was sent again.
    Fresh,
    /// What was sent again has been acknowledged. Now new octets are sent, in so many segments,
    /// and nothing is sent again until it is clear whether the old ones arrive.
    Testing(u8),
    /// The timeout was for a reason, or nobody can tell.
    Over,
}

/// What a timeout that is in doubt lets through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Testing {
    /// It is not in doubt: what was lost goes first.
    No,
    /// New octets go first.
    NewOctets,
    /// Nothing until something arrives.
    Nothing,
}

/// What tells that a reduction was a mistake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    /// Where the episode began.
    from: u32,
    /// The time stamp of the first retransmission.
    stamp: Option<u32>,
    /// Retransmissions that the peer has not reported as duplicates. At zero, all were needless.
    needed: u32,
    /// Whether there was a retransmission.
    any: bool,
}

/// What an acknowledgment means for recovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Octets newly delivered.
    pub(super) delivered: u32,
    /// Whether `una` moved.
    pub(super) advanced: bool,
    /// Whether a segment was delivered that was sent only once, when it was first sent.
    pub(super) sent_once: Option<Instant>,
    /// The time stamp that the peer echoed.
    pub(super) echo: Option<u32>,
    /// A range that the peer got twice.
    pub(super) duplicate: Option<(u32, u32)>,
    /// The network is congested.
    pub(super) congested: bool,
    /// Octets sent and not acknowledged before it, lost ones included.
    pub(super) flight: u32,
    /// Octets in flight before it.
    pub(super) pipe: u32,
}

impl Prr {
    fn new(end: u32, flight: u32) -> Self {
        Self {
            end,
            flight: flight.max(1),
            delivered: 0,
            out: 0,
        }
    }

    /// How many octets may be sent now, in answer to an acknowledgment that delivered `delivered`.
    fn allowed(&mut self, delivered: u32, pipe: u32, ssthresh: u32, safe: bool, smss: u32) -> u32 {
        self.delivered = self.delivered.saturating_add(delivered);
        let allowed = if pipe > ssthresh {
            let share = u64::from(self.delivered) * u64::from(ssthresh);
            let due = share.div_ceil(u64::from(self.flight));
            u32::try_from(due)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.out)
        } else {
            // RFC 6937 section 3: conservation, and one segment more while all goes well.
            let mut limit = self.delivered.saturating_sub(self.out);
            if safe {
                limit = limit.max(delivered) + smss;
            }
            limit.min(ssthresh - pipe)
        };
        // The first retransmission goes out whatever is in flight.
        if self.out == 0 {
            allowed.max(smss)
        } else {
            allowed
        }
    }
}

impl<P: Payload> SendHalf<P> {
    /// Takes in what an acknowledgment means. Returns how long RACK wants to wait.
    pub(super) fn recover(&mut self, now: Instant, progress: &Progress) -> Option<Duration> {
        if let Some(range) = progress.duplicate {
            self.note_duplicate(range);
        }
        if self.is_undone(progress) {
            self.undo();
        }
        self.after_timeout(progress);
        self.end_episode();
        let lost_before = self.board.lost();
        let (_, wait) = self.find_losses(now, progress);
        self.begin_episode(progress);
        self.reduce(progress, self.board.lost() > lost_before);
        wait
    }

    /// Looks for losses when no acknowledgment came: the reordering timer has fired.
    pub(super) fn look_for_losses(&mut self, now: Instant) {
        let (flight, pipe) = (self.outstanding(), self.pipe());
        let patience = self.patience();
        let (lost, _) = self.rack.detect(now, &mut self.board, patience);
        if lost > 0 {
            let progress = Progress {
                delivered: 0,
                advanced: false,
                sent_once: None,
                echo: None,
                duplicate: None,
                congested: false,
                flight,
                pipe,
            };
            self.begin_episode(&progress);
            self.reduce(&progress, true);
        }
    }

    /// The retransmission timeout has passed (RFC 5681 section 3.1, RFC 6298 section 5.4 to 5.6).
    pub(super) fn time_out(&mut self, now: Instant) {
        self.tally.timeouts = self.tally.timeouts.saturating_add(1);
        let flight = self.outstanding();
        let again = matches!(self.phase, Phase::Timeout(_));
        if !again {
            self.controller.on_timeout(&mut self.window, flight);
            self.start_undo();
            self.reduced = true;
        }
        // A peer that lets the first segment time out though it reported what comes after it may
        // have dropped that (RFC 2018 section 8).
        let renege = self
            .board
            .first()
            .is_some_and(|first| first.fate == Fate::Sacked);
        self.board.mark_all_lost(renege);
        self.window.cwnd = self.window.smss;
        self.dup_acks = 0;
        self.rto.back_off();
        self.silences = self.silences.saturating_add(1);
        self.loss_probe = None;
        self.probe = false;
        self.phase = Phase::Timeout(Box::new(AfterTimeout {
            end: self.nxt,
            // RFC 5682 section 2.1: not when recovering already from an earlier one.
            doubt: if again || !self.sack {
                Doubt::Over
            } else {
                Doubt::Fresh
            },
            at: now,
        }));
        self.pacer.restart(self.window.smss);
        self.timer = Timer::Retransmission(now + self.rto.timeout());
    }

    /// Notes that a part was sent again.
    pub(super) fn note_resent(&mut self, part: Part) {
        let len = part.len + u32::from(part.fin);
        if let Phase::Recovery(prr) | Phase::Reducing(prr) = &mut self.phase {
            prr.out = prr.out.saturating_add(len);
        }
        if let Some(undo) = &mut self.undo {
            undo.needed += 1;
            undo.any = true;
        }
    }

    /// Notes that new octets were sent.
    pub(super) fn note_sent(&mut self, len: u32) {
        if let Phase::Timeout(after) = &mut self.phase
            && let Doubt::Testing(left) = &mut after.doubt
        {
            *left = left.saturating_sub(1);
        }
        if let Phase::Recovery(prr) | Phase::Reducing(prr) = &mut self.phase {
            prr.out = prr.out.saturating_add(len);
        }
    }

    /// Notes the time stamp of a retransmission.
    pub(super) fn note_stamp(&mut self, stamp: u32) {
        if let Some(undo) = &mut self.undo {
            undo.stamp.get_or_insert(stamp);
        }
    }

    /// Whether a recovery is going on in which `cwnd` is not the controller's to grow.
    pub(super) fn is_recovering(&self) -> bool {
        matches!(self.phase, Phase::Recovery(_) | Phase::Reducing(_))
    }

    fn patience(&self) -> Patience {
        Patience {
            in_recovery: matches!(self.phase, Phase::Recovery(_) | Phase::Timeout(_)),
            mss: self.window.smss,
            min_rtt: self.rto.smallest(),
            srtt: self.rto.smoothed(),
        }
    }

    fn find_losses(&mut self, now: Instant, progress: &Progress) -> (u32, Option<Duration>) {
        if self.sack {
            let patience = self.patience();
            return self.rack.detect(now, &mut self.board, patience);
        }
        // RFC 5681 section 3.2 step 2, and RFC 6582 section 3.2 step 3: the first segment is lost
        // after three duplicates, and after each acknowledgment that leaves some of the episode.
        let partial = progress.advanced && matches!(self.phase, Phase::Recovery(_));
        let repeated =
            self.dup_acks >= DUP_ACKS && matches!(self.phase, Phase::Open) && !self.recovered;
        if (partial || repeated) && !self.board.is_empty() {
            return (self.board.mark_lost(0), None);
        }
        (0, None)
    }

    fn begin_episode(&mut self, progress: &Progress) {
        let lost = self.board.lost() > 0;
        if lost {
            // What the probe may show is known (RFC 8985 section 7.4).
            self.loss_probe = None;
        }
        match &self.phase {
            Phase::Open | Phase::Reducing(_) if lost => {
                if matches!(self.phase, Phase::Open) {
                    let by = Congestion::Loss;
                    self.controller
                        .on_congestion(&mut self.window, progress.flight, by);
                    self.start_undo();
                    self.reduced = true;
                }
                self.tally.recoveries = self.tally.recoveries.saturating_add(1);
                self.phase = Phase::Recovery(Box::new(Prr::new(self.nxt, progress.flight)));
            }
            Phase::Open if progress.congested => {
                let by = Congestion::Ecn;
                self.controller
                    .on_congestion(&mut self.window, progress.flight, by);
                self.undo = None;
                self.reduced = true;
                self.phase = Phase::Reducing(Box::new(Prr::new(self.nxt, progress.flight)));
            }
            _ => {}
        }
    }

    /// Lets as much out as the reduction allows (RFC 6937).
    fn reduce(&mut self, progress: &Progress, more_lost: bool) {
        if self.controller.controls_cwnd_in_recovery() {
            return;
        }
        let pipe = self.pipe();
        let (ssthresh, smss) = (self.window.ssthresh, self.window.smss);
        if let Phase::Recovery(prr) | Phase::Reducing(prr) = &mut self.phase {
            let safe = progress.advanced && !more_lost;
            let allowed = prr.allowed(progress.delivered, pipe, ssthresh, safe, smss);
            self.window.cwnd = pipe.saturating_add(allowed).max(smss);
        }
    }

    fn end_episode(&mut self) {
        let end = match &self.phase {
            Phase::Open => return,
            Phase::Reducing(prr) | Phase::Recovery(prr) => prr.end,
            Phase::Timeout(after) => after.end,
        };
        if seq::lt(self.una, end) {
            return;
        }
        // RFC 6582 section 3.2 step 1: only what lies beyond the last episode begins another.
        self.recovered = self.una == end;
        match self.phase {
            Phase::Recovery(_) => {
                self.rack.recovered();
                self.leave_reduction();
            }
            Phase::Reducing(_) => self.leave_reduction(),
            // What the window is now, slow start has made it; but BBR knows what it was.
            Phase::Timeout(_) if self.controller.controls_cwnd_in_recovery() => {
                self.controller.on_recovery_end(&mut self.window);
            }
            Phase::Open | Phase::Timeout(_) => {}
        }
        self.dup_acks = 0;
        self.phase = Phase::Open;
    }

    fn leave_reduction(&mut self) {
        if !self.controller.controls_cwnd_in_recovery() {
            self.window.cwnd = self.window.ssthresh.max(self.window.smss);
        }
        self.controller.on_recovery_end(&mut self.window);
    }

    /// The path takes no more than `mss` any more: what is under way is lost, but not to congestion
    /// (RFC 8201 section 5.2), and is sent again in smaller segments.
    pub(super) fn path_shrank(&mut self, now: Instant, mss: u32) {
        self.window.smss = mss;
        self.loss_probe = None;
        self.probe = false;
        for index in 0..self.board.len() {
            if self.board.get(index).is_some_and(|sent| sent.len > mss) {
                self.board.mark_lost(index);
            }
        }
        self.timer = Timer::Retransmission(now + self.rto.timeout());
    }

    /// Reduces the window once for a loss that needs no recovery any more: the loss probe has
    /// repaired it (RFC 8985 section 7.4.2).
    pub(super) fn reduce_once(&mut self, progress: &Progress) {
        if matches!(self.phase, Phase::Open) {
            let by = Congestion::Loss;
            self.controller
                .on_congestion(&mut self.window, progress.flight, by);
            self.undo = None;
            self.leave_reduction();
        }
    }

    fn start_undo(&mut self) {
        self.undo = Some(Box::new(Undo {
            from: self.una,
            stamp: None,
            needed: 0,
            any: false,
        }));
    }

    /// RFC 5682 section 3.1, with SACK: after the first segment was sent again, something that was
    /// sent before the timeout arrives. So it was not lost, only late.
    fn after_timeout(&mut self, progress: &Progress) {
        let (unsent, usable) = (self.unsent(), self.usable());
        let Phase::Timeout(after) = &mut self.phase else {
            return;
        };
        match after.doubt {
            Doubt::Over => {}
            _ if progress.sent_once.is_some_and(|sent_at| sent_at < after.at) => self.undo(),
            Doubt::Fresh if progress.advanced => {
                let partial = seq::lt(self.una, after.end) && unsent > 0 && usable > 0;
                after.doubt = if partial {
                    Doubt::Testing(2)
                } else {
                    Doubt::Over
                };
            }
            Doubt::Fresh | Doubt::Testing(_) => after.doubt = Doubt::Over,
        }
    }

    /// What goes next while a timeout is in doubt.
    pub(super) fn testing(&self) -> Testing {
        match &self.phase {
            Phase::Timeout(after) => match after.doubt {
                Doubt::Testing(0) => Testing::Nothing,
                Doubt::Testing(_) => Testing::NewOctets,
                Doubt::Fresh | Doubt::Over => Testing::No,
            },
            _ => Testing::No,
        }
    }

    /// Whether an acknowledgment tells that the last reduction was a mistake.
    fn is_undone(&self, progress: &Progress) -> bool {
        let Some(undo) = &self.undo else {
            return false;
        };
        // RFC 4015 section 3: what is acknowledged left before it was sent again.
        let late = progress.advanced
            && matches!(self.phase, Phase::Recovery(_) | Phase::Timeout(_))
            && match (undo.stamp, progress.echo) {
                (Some(stamp), Some(echo)) => seq::lt(echo, stamp),
                _ => false,
            };
        // What was believed lost may arrive before any of it is sent again.
        let all_arrived = undo.any || self.board.lost() == 0;
        late || undo.needed == 0 && all_arrived
    }

    /// RFC 3708 section 3: each duplicate accounts for a retransmission.
    fn note_duplicate(&mut self, (left, right): (u32, u32)) {
        // More duplicates than there were octets sent again are the network's: they say nothing of
        // our patience.
        let reported = self.duplicated.saturating_add(right.wrapping_sub(left));
        if reported > self.retransmitted {
            return;
        }
        self.duplicated = reported;
        if self.sack {
            self.rack.duplicate_reported(self.una, self.nxt);
        }
        if let Some(undo) = &mut self.undo
            && seq::le(undo.from, left)
        {
            undo.needed = undo.needed.saturating_sub(1);
        }
    }

    /// Takes the last reduction back.
    fn undo(&mut self) {
        self.controller.undo(&mut self.window);
        self.board.restore_lost();
        self.rack.was_hasty();
        self.rto.reset_backoff();
        self.undo = None;
        self.dup_acks = 0;
        self.phase = Phase::Open;
        self.undone = self.undone.saturating_add(1);
        self.tally.undone = self.tally.undone.saturating_add(1);
    }
}

#[cfg(test)]
pub(super) mod tests;
