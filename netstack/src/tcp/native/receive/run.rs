//! The short ways through the receive half, for octets that come and go in order.
//!
//! In: a segment of which it is known that it says what the one before said, and that it is what
//! comes next. Out: whole payloads, by value.

use super::{ReceiveHalf, gather};
use crate::io::Payload;
use crate::time::Instant;

impl<P: Payload> ReceiveHalf<P> {
    /// Whether a segment of so many octets (and no FIN) is simply the next in order.
    pub(in crate::tcp::native) fn expects(&self, seq: u32, len: usize) -> bool {
        seq == self.rcv_nxt
            && len <= self.window.open(self.rcv_nxt) as usize
            && !self.finished
            && self.reassembly.is_empty()
            && self.queue.len() < 2 * self.max_payloads()
    }

    /// Takes in a segment that [`Self::expects`] was asked about; its time stamps are those of the
    /// segment before.
    pub(in crate::tcp::native) fn handle_next(&mut self, now: Instant, payload: P) {
        let len = payload.octets().len() as u32;
        gather::push_back(&mut self.queue, payload);
        self.advance(len, false);
        self.measure(now, 0, len, None);
    }

    /// Takes the next payload in order, which counts as read, if it has at most `max` octets.
    pub(in crate::tcp::native) fn take(&mut self, max: usize) -> Option<P> {
        let len = self.queue.front()?.octets().len();
        if len > max {
            return None;
        }
        self.queued -= len as u32;
        self.window.consumed(len as u32);
        self.queue.pop_front()
    }
}
