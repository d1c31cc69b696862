//! The send half of a connection: what may be sent next.
//!
//! In: octets from the session, acknowledgments (by [`super::acknowledged`]), time. Out: which
//! piece of the stream goes into the next segment ([`SendHalf::poll`]), and when there will be
//! something to do ([`SendHalf::poll_timeout`]).
//!
//! What is sent is limited by the peer's window, by the congestion window (with what is in flight
//! by the scoreboard, RFC 6675), and by the pacing rate, in this order: what was lost goes first,
//! then new octets, then the FIN.

use core::time::Duration;

use super::activity::Activity;
use super::congestion::{Algorithm, Controller, Window};
use super::options::Negotiated;
use super::pacing::Pacer;
use super::rack::Rack;
use super::rate::{RateEstimator, Throughput};
use super::recovery::{Phase, Testing, Undo};
use super::rto::RetransmissionTimeout;
use super::sack::{Fate, Scoreboard, Sent};
use super::send_queue::SendQueue;
use super::tally::Tally;
use super::timer::Timer;
use crate::io::Payload;
use crate::time::Instant;

/// How far our direction has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fin {
    /// The session may send more.
    Open,
    /// The session is done; the FIN comes after what is queued.
    Queued,
    /// The FIN was sent.
    Sent,
    /// The peer acknowledged the FIN.
    Acknowledged,
}

/// A part of the stream that is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part {
    /// Its first sequence number.
    pub(super) seq: u32,
    /// Octets of payload.
    pub(super) len: u32,
    /// Whether the FIN follows them.
    pub(super) fin: bool,
    /// Which segment of the scoreboard this is, if it was sent before.
    pub(super) again: Option<usize>,
}

/// What the caller can send in one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Octets of payload in a segment of the wire, beside the options it will have.
    pub(super) mss: u32,
    /// Octets of payload that may be handed to a port which cuts them into segments; at least
    /// `mss`.
    pub(super) most: u32,
}

/// How a send half is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendOptions {
    pub(super) iss: u32,
    /// The peer's window when the handshake ended, in octets.
    pub(super) wnd: u32,
    /// The sequence number of the segment that said so.
    pub(super) wl1: u32,
    pub(super) algorithm: Algorithm,
    pub(super) pacing: bool,
    pub(super) rto_floor: Duration,
}

/// The send half.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be true with any of the others"
)]
pub(super) struct SendHalf<P> {
    pub(super) una: u32,
    pub(super) nxt: u32,
    pub(super) wnd: u32,
    /// The sequence and acknowledgment number of the segment that set the window last.
    pub(super) wl1: u32,
    pub(super) wl2: u32,
    /// The largest window that the peer ever offered.
    pub(super) max_wnd: u32,
    /// Acknowledgments in a row that acknowledged nothing, without SACK.
    pub(super) dup_acks: u16,
    pub(super) sack: bool,
    pub(super) paced: bool,
    pub(super) fin: Fin,
    /// `una` is where the last recovery ended: duplicates of it are of what was sent again.
    pub(super) recovered: bool,
    /// A loss probe, or a segment smaller than the window would like, is to be sent.
    pub(super) probe: bool,
    /// The window was reduced, and the peer is to be told (RFC 3168 section 6.1.2).
    pub(super) reduced: bool,
    /// The window limits what is sent, not the session.
    pub(super) cwnd_limited: bool,
    /// What was to be sent last waits for its time: nothing but pacing holds it back.
    pub(super) waits_for_pacer: bool,
    pub(super) queue: SendQueue<P>,
    pub(super) board: Scoreboard,
    pub(super) rto: RetransmissionTimeout,
    pub(super) rack: Rack,
    pub(super) window: Window,
    pub(super) controller: Controller,
    pub(super) phase: Phase,
    pub(super) undo: Option<Box<Undo>>,
    pub(super) rate: RateEstimator,
    /// What the last measurement that says something of the path said.
    pub(super) throughput: Throughput,
    pub(super) activity: Activity,
    /// The session had more than there was room for when it wrote last.
    pub(super) short_of_room: bool,
    pub(super) pacer: Pacer,
    pub(super) timer: Timer,
    /// Where the loss probe ended, while its answer is out (RFC 8985 section 7.3), and whether it
    /// repeated old octets.
    pub(super) loss_probe: Option<(u32, bool)>,
    /// When something was sent last.
    pub(super) sent_at: Instant,
    /// Octets sent again, ever.
    pub(super) retransmitted: u32,
    /// Octets of these that the peer had already, as it says.
    pub(super) duplicated: u32,
    /// Reductions of the window that were taken back.
    pub(super) undone: u16,
    /// What the worker has not been told.
    pub(super) tally: Tally,
    /// Timeouts since the peer acknowledged something new.
    pub(super) silences: u8,
}

impl<P: Payload> SendHalf<P> {
    pub(super) fn new(options: &SendOptions, negotiated: &Negotiated) -> Self {
        let start = options.iss.wrapping_add(1);
        Self {
            una: start,
            nxt: start,
            wnd: options.wnd,
            wl1: options.wl1,
            wl2: start,
            max_wnd: options.wnd,
            dup_acks: 0,
            sack: negotiated.sack,
            paced: options.pacing || options.algorithm == Algorithm::Bbr,
            fin: Fin::Open,
            recovered: false,
            probe: false,
            reduced: false,
            cwnd_limited: false,
            waits_for_pacer: false,
            queue: SendQueue::new(start),
            board: Scoreboard::default(),
            rto: RetransmissionTimeout::new(options.rto_floor),
            rack: Rack::new(start),
            window: Window::new(u32::from(negotiated.send_mss)),
            controller: Controller::new(options.algorithm, options.iss),
            phase: Phase::Open,
            undo: None,
            rate: RateEstimator::default(),
            throughput: Throughput::default(),
            activity: Activity::default(),
            short_of_room: false,
            pacer: Pacer::new(u32::from(negotiated.send_mss)),
            timer: Timer::Off,
            loss_probe: None,
            sent_at: Instant::FAR_FUTURE,
            retransmitted: 0,
            duplicated: 0,
            undone: 0,
            silences: 0,
            tally: Tally {
                small_mss: u16::from(negotiated.small_mss),
                ..Tally::default()
            },
        }
    }

    /// Sequence numbers sent and not acknowledged.
    pub(super) fn outstanding(&self) -> u32 {
        self.nxt.wrapping_sub(self.una)
    }

    /// Octets in flight.
    pub(super) fn pipe(&self) -> u32 {
        let duplicates = u32::from(self.dup_acks) * self.window.smss;
        self.board
            .pipe(self.outstanding())
            .saturating_sub(duplicates)
    }

    /// Whether the FIN, which comes after everything queued, has been sent.
    pub(super) fn fin_sent(&self) -> bool {
        matches!(self.fin, Fin::Sent | Fin::Acknowledged)
    }

    /// Octets that were never sent.
    pub(super) fn unsent(&self) -> u32 {
        if self.fin_sent() {
            0
        } else {
            self.queue.end().wrapping_sub(self.nxt)
        }
    }

    /// Octets that the peer's window has room for.
    pub(super) fn usable(&self) -> u32 {
        // A peer that shrank its window may have left less than nothing.
        self.wnd.saturating_sub(self.outstanding())
    }

    /// Ends our direction after what is queued.
    pub(super) fn close(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Queued;
        }
    }

    /// What is to be sent now, if anything.
    pub(super) fn poll(&mut self, now: Instant, room: Room) -> Option<Part> {
        self.waits_for_pacer = false;
        if self.probe {
            return self.probe_part(room);
        }
        let pipe = self.pipe();
        match self.testing() {
            Testing::Nothing => return None,
            Testing::NewOctets => {
                let most = room.mss;
                return self.new_part(Room { most, ..room });
            }
            Testing::No => {}
        }
        if let Some(index) = self.board.next_lost() {
            return self.lost_part(now, index, pipe, room);
        }
        let Some(part) = self.new_part(room) else {
            if self.unsent() == 0 && pipe < self.window.cwnd {
                self.rate.on_app_limited(pipe);
            }
            return None;
        };
        let len = part.len + u32::from(part.fin);
        if pipe > 0 && pipe + len > self.window.cwnd {
            self.cwnd_limited = true;
            let left = self.window.cwnd.saturating_sub(pipe);
            return self.cut(now, part, left, room);
        }
        self.pace(now).then_some(part)
    }

    /// A part of several segments, as much of it as the congestion window lets through.
    fn cut(&mut self, now: Instant, part: Part, left: u32, room: Room) -> Option<Part> {
        let len = left / room.mss * room.mss;
        (len > 0 && part.len > room.mss && self.pace(now)).then_some(Part {
            len,
            fin: false,
            ..part
        })
    }

    /// The next lost segment.
    fn lost_part(&mut self, now: Instant, index: usize, pipe: u32, room: Room) -> Option<Part> {
        let sent = *self.board.get(index)?;
        if pipe > 0 && pipe + sent.len.min(room.mss) > self.window.cwnd {
            return None;
        }
        // A peer that shrank its window gets no more than the first segment beyond it.
        let offset = sent.seq.wrapping_sub(self.una);
        if offset >= self.wnd && offset > 0 {
            return None;
        }
        if !self.pace(now) {
            return None;
        }
        // The path may take less than when it was sent first.
        if sent.len > room.mss {
            self.board.split(index, room.mss);
        }
        Some(self.again(index, self.board.get(index)?))
    }

    /// A segment of the scoreboard, to be sent again.
    fn again(&self, index: usize, sent: &Sent) -> Part {
        let fin = self.fin_sent() && sent.end() == self.nxt;
        Part {
            seq: sent.seq,
            len: sent.len - u32::from(fin),
            fin,
            again: Some(index),
        }
    }

    /// The next octets that were never sent, and the FIN.
    fn new_part(&self, room: Room) -> Option<Part> {
        let unsent = self.unsent();
        let fin_due = self.fin == Fin::Queued;
        if unsent == 0 && !fin_due {
            return None;
        }
        let usable = self.usable();
        let mut len = unsent.min(usable).min(room.most);
        if len > room.mss && len < unsent {
            len -= len % room.mss;
        }
        // RFC 9293 section 3.8.6.2.1: no small segments only because the window is small. There is
        // no Nagle: whoever relays does not wait for more.
        let all = len == unsent;
        if !all && len < room.mss && len < self.max_wnd / 2 {
            return None;
        }
        // A FIN takes a place in the window too. Beyond it, the acknowledgments that come after it
        // would have none either, and would not be looked at.
        let fin = fin_due && all && len < usable;
        (len > 0 || fin).then_some(Part {
            seq: self.nxt,
            len,
            fin,
            again: None,
        })
    }

    /// A loss probe (RFC 8985 section 7.3): new octets if the window lets them, else the newest
    /// segment again. And the segment that a window too small for a whole one gets in the end.
    fn probe_part(&mut self, room: Room) -> Option<Part> {
        let room = Room {
            most: room.mss,
            ..room
        };
        let new = self.new_part(room).or_else(|| self.forced_part(room));
        if new.is_some() {
            return new;
        }
        let newest = (0..self.board.len()).rev().find(|index| {
            self.board
                .get(*index)
                .is_some_and(|sent| sent.fate != Fate::Sacked)
        });
        let Some(mut index) = newest else {
            self.probe = false;
            return None;
        };
        let sent = *self.board.get(index)?;
        if sent.len > room.mss {
            let whole = (sent.len - 1) / room.mss * room.mss;
            self.board.split(index, whole);
            index += 1;
        }
        Some(self.again(index, self.board.get(index)?))
    }

    /// What fits a window that is smaller than a segment.
    fn forced_part(&self, room: Room) -> Option<Part> {
        let len = self.unsent().min(self.usable()).min(room.mss);
        (len > 0 && self.board.is_empty()).then_some(Part {
            seq: self.nxt,
            len,
            fin: false,
            again: None,
        })
    }

    pub(super) fn is_paced_in(&self, now: Instant) -> bool {
        !self.paced || self.pacer.may_send(now)
    }

    /// Whether something that all windows let through may leave now; if not, notes that it waits.
    fn pace(&mut self, now: Instant) -> bool {
        self.waits_for_pacer = !self.is_paced_in(now);
        !self.waits_for_pacer
    }

    /// Notes that a part was sent.
    pub(super) fn sent(&mut self, now: Instant, part: Part) {
        let len = part.len + u32::from(part.fin);
        let idle = self.board.is_empty();
        let rate = self.rate.on_sent(now, self.pipe());
        self.sent_at = now;
        let probed = core::mem::take(&mut self.probe);
        if let Some(index) = part.again {
            self.board.resent(index, now, rate);
            self.retransmitted = self.retransmitted.wrapping_add(part.len);
            self.note_resent(part);
        } else {
            self.board.push(Sent::new(part.seq, len, now, rate));
            self.nxt = self.nxt.wrapping_add(len);
            if part.fin {
                self.fin = Fin::Sent;
            }
            self.note_sent(len);
        }
        if probed && !idle {
            self.loss_probe = Some((self.nxt, part.again.is_some()));
        }
        if self.paced {
            let rate = self
                .controller
                .pacing_rate(&self.window, self.rto.smoothed());
            self.pacer.on_sent(now, len, self.window.smss, rate);
        }
        self.timer_after_sending(now, idle, part.again.is_some());
    }

    /// How long nothing was sent.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.sent_at)
    }

    /// When there will be something to do: a timer, or the next paced segment.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        // Due as long as it has not left: whoever looks when its time has come has to see it.
        let paced = self.waits_for_pacer.then(|| self.pacer.next_at());
        let timer = self.timer.at();
        match (paced, timer) {
            (Some(paced), Some(timer)) => Some(paced.min(timer)),
            (one, other) => one.or(other),
        }
    }
}
