//! What a receive half keeps while nothing is under way towards it.

use super::super::acknowledge::{Acknowledge, RestingAcknowledge};
use super::super::paws::Paws;
use super::super::queue::Queue;
use super::super::reassembly::Reassembly;
use super::super::window::{RestingWindow, Window};
use super::ReceiveHalf;
use crate::io::Payload;
use crate::tcp::stamp::Stamp;

/// A receive half without anything received: see [`ReceiveHalf::rest`].
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct RestingReceive {
    octets: u64,
    rcv_nxt: u32,
    last_echo: u32,
    stray_answered: Stamp,
    sack: bool,
    paws: Option<Paws>,
    acknowledge: RestingAcknowledge,
    window: RestingWindow,
}

impl RestingReceive {
    /// Whether the peer may send `seq`.
    pub(in super::super) fn is_in_window(&self, seq: u32) -> bool {
        seq.wrapping_sub(self.rcv_nxt) <= self.window.open(self.rcv_nxt)
    }

    /// The next sequence number expected.
    pub(in super::super) fn rcv_nxt(&self) -> u32 {
        self.rcv_nxt
    }

    /// The timestamp to echo, if timestamps are used.
    pub(in super::super) fn timestamp_echo(&self) -> Option<u32> {
        self.paws.map(Paws::recent)
    }
}

impl<P: Payload> ReceiveHalf<P> {
    /// Whether nothing is held, nothing has to be said, and the peer has not ended its direction.
    pub(in super::super) fn is_quiet(&self) -> bool {
        self.queue.is_empty()
            && self.reassembly.is_empty()
            && self.duplicate.is_none()
            && !self.finished
            && self.acknowledge.is_quiet()
    }

    /// What is left to be remembered of a quiet half.
    pub(in super::super) fn rest(&self) -> RestingReceive {
        RestingReceive {
            octets: self.octets,
            rcv_nxt: self.rcv_nxt,
            last_echo: self.last_echo,
            stray_answered: self.stray_answered,
            sack: self.sack,
            paws: self.paws,
            acknowledge: self.acknowledge.rest(),
            window: self.window.rest(),
        }
    }

    /// The half again.
    pub(in super::super) fn resume(rest: &RestingReceive) -> Self {
        Self {
            rcv_nxt: rest.rcv_nxt,
            queue: Queue::default(),
            queued: 0,
            sack: rest.sack,
            finished: false,
            reassembly: Reassembly::default(),
            octets: rest.octets,
            duplicate: None,
            last_echo: rest.last_echo,
            stray_answered: rest.stray_answered,
            paws: rest.paws,
            acknowledge: Acknowledge::resume(rest.acknowledge),
            window: Window::resume(rest.window),
        }
    }
}
