//! A connection in which nothing is under way.
//!
//! Most connections of a busy proxy are idle most of the time, and there are very many of them. So
//! one in which nothing is queued, in flight, or to be said, and nothing has been for a while, is
//! kept as what cannot be made anew from that knowledge: numbers, windows, round-trip time. It
//! wakes when a segment comes or the session sends.
//!
//! In: [`Open::rest`], of a connection that [`Open::is_quiet`]. Out: [`Idle::resume`].

use core::time::Duration;

use super::activity::Activity;
use super::congestion::{Controller, Window};
use super::open::Open;
use super::options::InUse;
use super::pacing::Pacer;
use super::rack::{Rack, RestingRack};
use super::rate::{RateEstimator, Throughput};
use super::receive::{ReceiveHalf, RestingReceive};
use super::recovery::Phase;
use super::rto::RetransmissionTimeout;
use super::sack::Scoreboard;
use super::send_queue::SendQueue;
use super::tally::Tally;
use super::timer::Timer;
use super::transmit::{Fin, SendHalf};
use crate::io::Payload;
use crate::time::Instant;

/// How long a connection must have been quiet to be put to rest. Going to rest and waking cost
/// about as much as a segment.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// What is kept of a quiet connection.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    receive: RestingReceive,
    controller: Controller,
    rto: RetransmissionTimeout,
    sent_at: Instant,
    una: u32,
    wnd: u32,
    wl1: u32,
    max_wnd: u32,
    smss: u32,
    cwnd: u32,
    ssthresh: u32,
    retransmitted: u32,
    duplicated: u32,
    stamp_offset: u32,
    undone: u16,
    in_use: InUse,
    rack: RestingRack,
    paced: bool,
    reduced: bool,
}

impl Idle {
    /// The first sequence number not yet acknowledged by the peer, which is the next as well.
    pub(super) fn snd_una(&self) -> u32 {
        self.una
    }

    /// The next sequence number expected.
    pub(super) fn rcv_nxt(&self) -> u32 {
        self.receive.rcv_nxt()
    }

    /// Whether the peer may send `seq`.
    pub(super) fn is_in_window(&self, seq: u32) -> bool {
        self.receive.is_in_window(seq)
    }

    /// The peer's newest time stamp and our offset.
    pub(super) fn stamps(&self) -> Option<(u32, u32)> {
        Some((self.receive.timestamp_echo()?, self.stamp_offset))
    }

    /// The connection again.
    pub(super) fn resume<P: Payload>(&self) -> Open<P> {
        let send = SendHalf {
            una: self.una,
            nxt: self.una,
            wnd: self.wnd,
            wl1: self.wl1,
            wl2: self.una,
            max_wnd: self.max_wnd,
            dup_acks: 0,
            sack: self.in_use.sack,
            paced: self.paced,
            fin: Fin::Open,
            recovered: false,
            probe: false,
            reduced: self.reduced,
            cwnd_limited: false,
            waits_for_pacer: false,
            queue: SendQueue::new(self.una),
            board: Scoreboard::default(),
            rto: self.rto,
            rack: Rack::resume(self.rack, self.una),
            window: Window {
                cwnd: self.cwnd,
                ssthresh: self.ssthresh,
                smss: self.smss,
            },
            controller: self.controller.clone(),
            phase: Phase::Open,
            undo: None,
            rate: RateEstimator::default(),
            throughput: Throughput::default(),
            activity: Activity::default(),
            short_of_room: false,
            pacer: Pacer::new(self.smss),
            timer: Timer::Off,
            loss_probe: None,
            tally: Tally::default(),
            silences: 0,
            sent_at: self.sent_at,
            retransmitted: self.retransmitted,
            duplicated: self.duplicated,
            undone: self.undone,
        };
        Open::joined(
            send,
            ReceiveHalf::resume(&self.receive),
            self.in_use,
            self.stamp_offset,
        )
    }
}

impl<P: Payload> SendHalf<P> {
    /// Whether nothing is queued, in flight or waited for. BBR's model counts what is delivered,
    /// and is not put to rest.
    fn is_quiet(&self) -> bool {
        self.fin == Fin::Open
            && self.queue.len() == 0
            && self.board.is_empty()
            && self.timer == Timer::Off
            && matches!(self.phase, Phase::Open)
            && !self.probe
            && self.tally == Tally::default()
            && !matches!(self.controller, Controller::Bbr(_))
    }
}

impl<P: Payload> Open<P> {
    /// Whether nothing is under way, in either direction.
    pub(super) fn is_quiet(&self) -> bool {
        self.send.is_quiet()
            && self.receive.is_quiet()
            && !self.is_asking()
            && self.search.is_none()
    }

    /// When the connection may be put to rest, if nothing happens until then. One that was never
    /// used may at once.
    pub(super) fn rests_at(&self, heard_at: Instant) -> Option<Instant> {
        if !self.is_quiet() {
            return None;
        }
        if self.send.sent_at == Instant::FAR_FUTURE && self.receive.octets_received() == 0 {
            return Some(Instant::ZERO);
        }
        let last = if self.send.sent_at == Instant::FAR_FUTURE {
            heard_at
        } else {
            heard_at.max(self.send.sent_at)
        };
        Some(last + QUIET)
    }

    /// What is left to be remembered of a quiet connection.
    pub(super) fn rest(&self) -> Idle {
        let send = &self.send;
        Idle {
            receive: self.receive.rest(),
            controller: send.controller.clone(),
            rto: send.rto,
            sent_at: send.sent_at,
            una: send.una,
            wnd: send.wnd,
            wl1: send.wl1,
            max_wnd: send.max_wnd,
            smss: send.window.smss,
            cwnd: send.window.cwnd,
            ssthresh: send.window.ssthresh,
            retransmitted: send.retransmitted,
            duplicated: send.duplicated,
            stamp_offset: self.stamp_offset(),
            undone: send.undone,
            in_use: self.in_use,
            rack: send.rack.rest(),
            paced: send.paced,
            reduced: send.reduced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Idle>() <= 224, "{}", size_of::<Idle>());
    }
}
