//! What there is of everything now, for the worker's counters.

use super::Endpoint;
use crate::counters::Event;
use crate::io::PacketBuf;

impl<B: PacketBuf> Endpoint<B> {
    /// Sets the counters that say how much there is.
    pub(super) fn update_gauges(&self) {
        let time_wait = &self.demux.v4;
        let time_wait_6 = &self.demux.v6;
        for (event, value) in [
            (Event::TcpConnections, self.connections.len()),
            (Event::TcpHalfOpen, self.half_open),
            (Event::TcpBuffersHeld, self.context.buffers_held() as usize),
            (
                Event::TcpTimeWaitEntries,
                time_wait.len() + time_wait_6.len(),
            ),
        ] {
            self.counters.set(event, value as u64);
        }
        let evicted = time_wait.evicted() + time_wait_6.evicted();
        self.counters.set(Event::TcpTimeWaitEvicted, evicted);
    }
}
