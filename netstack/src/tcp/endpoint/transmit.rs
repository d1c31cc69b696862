//! What connections send, and when they are looked at again.
//!
//! A connection sends until it has nothing more to send, until others get their turn, or until
//! there is no buffer. In the first case its timer is set to what it waits for; in the others it
//! waits for the next turn.

use core::time::Duration;

use super::{ConnId, Endpoint, Entry, Holder};
use crate::counters::{Counters, Event};
use crate::io::PacketBuf;
use crate::tcp::bare::{self, Bare};
use crate::tcp::connection::{CloseCause, Timeout, Transmitted};
use crate::tcp::{Flow, Output};
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// Segments of one connection sent before others get their turn.
const SEGMENTS_PER_FLUSH: usize = 64;

/// When a segment for which there was no buffer is tried again at the latest.
const BUFFER_RETRY: Duration = Duration::from_millis(1);

impl<B: PacketBuf> Endpoint<B> {
    /// Sends what a connection has to send and arms its timer. To be called after whatever a
    /// session did to it.
    pub fn flush<O: Output<Buf = B>>(&mut self, id: ConnId, now: Instant, out: &mut O) {
        let entry = &mut self.connections[id.index()];
        let transmitted = entry.connection.poll_transmit(
            &mut self.context,
            now,
            &entry.flow,
            out,
            SEGMENTS_PER_FLUSH,
        );
        if entry.connection.take_panic() {
            self.counters.increment(Event::TcpEnginePanics);
            reset_after_panic(entry, now, &self.counters, out);
            // Nothing else will tell the session: a connection that is over has no timer.
            self.enqueue_news(id);
        }
        let entry = &mut self.connections[id.index()];
        for (event, sent) in [
            (Event::TcpRetransmits, entry.connection.take_retransmits()),
            (Event::TcpResetsSent, entry.connection.take_resets()),
        ] {
            if sent > 0 {
                self.counters.add(event, u64::from(sent));
            }
        }
        if let Some(tally) = entry.connection.take_tally() {
            tally.count(&self.counters);
        }
        let over = entry.connection.ended().is_some();
        let starved = entry.connection.take_starved();
        // The session is to try again when there may be a buffer.
        entry.news |= starved;
        match (transmitted, entry.holder) {
            (Transmitted::All, Holder::Session(_)) if starved => {
                self.postpone(id, now, now + BUFFER_RETRY);
            }
            (Transmitted::All, Holder::Handshake(_) | Holder::Orphan) if over => {
                self.bury(id, now);
            }
            (Transmitted::All, _) => self.arm(id, now),
            (Transmitted::Allowed, _) => self.postpone(id, now, now),
            (Transmitted::NoBuffer, _) => self.postpone(id, now, now + BUFFER_RETRY),
        }
    }

    /// Ends a connection whose deadline has passed, or has it looked at if it has to send.
    pub(super) fn handle_timer(&mut self, id: ConnId, now: Instant) {
        let Some(entry) = self.connections.get_mut(id.index()) else {
            return;
        };
        let passed = match self.config.timeouts.deadline(&entry.connection) {
            Some((at, timeout)) if at <= now => Some(timeout),
            _ if entry.connection.is_dead(now, &entry.flow) => Some(Timeout::Keepalive),
            _ => None,
        };
        if let Some(timeout) = passed {
            entry.connection.end(CloseCause::TimedOut(timeout));
            self.counters.increment(timeout_counter(timeout));
            self.enqueue_news(id);
            return;
        }
        let due = entry
            .connection
            .poll_timeout(&mut self.context, now, &entry.flow);
        if due.is_some_and(|at| at <= now) {
            self.enqueue(id);
        } else {
            self.arm(id, now);
        }
    }

    /// Makes sure that the timer fires no later than needed.
    fn arm(&mut self, id: ConnId, now: Instant) {
        let entry = &mut self.connections[id.index()];
        let engine = entry
            .connection
            .poll_timeout(&mut self.context, now, &entry.flow);
        if entry.connection.has_panicked() {
            self.enqueue_news(id);
        } else {
            self.schedule(id, engine);
        }
    }

    /// Looks at a connection again in the next turn, which must come at `at`.
    fn postpone(&mut self, id: ConnId, now: Instant, at: Instant) {
        // A turn that is due for one is due for all.
        self.later_at = if self.later.is_empty() || self.later_at < now {
            at
        } else {
            self.later_at.min(at)
        };
        let entry = &mut self.connections[id.index()];
        entry.attended = false;
        if !entry.queued {
            entry.queued = true;
            self.later.push_back(id);
        }
        self.schedule(id, None);
    }

    /// Sets the timer to the connection's deadline, or to `engine` if that is earlier.
    fn schedule(&mut self, id: ConnId, engine: Option<Instant>) {
        let entry = &self.connections[id.index()];
        let deadline = self.config.timeouts.deadline(&entry.connection);
        let deadline = deadline.map(|(at, _)| at);
        let Some(at) = deadline.into_iter().chain(engine).min() else {
            return;
        };
        self.timers.schedule(id.0, at);
    }
}

/// Tells the peer of a connection whose engine is out of order that it is over.
fn reset_after_panic<B: PacketBuf, O: Output<Buf = B>>(
    entry: &mut Entry<B>,
    now: Instant,
    counters: &Counters,
    out: &mut O,
) {
    let reset = Bare {
        window: 0,
        flags: Flags::RST | Flags::ACK,
        ..entry.connection.bare_ack(now)
    };
    let sent = match entry.flow {
        Flow::V4(flow) => bare::send(out, flow, reset),
        Flow::V6(flow) => bare::send(out, flow, reset),
    };
    if sent {
        counters.increment(Event::TcpResetsSent);
    }
}

fn timeout_counter(timeout: Timeout) -> Event {
    match timeout {
        Timeout::Handshake => Event::TcpHandshakeTimeouts,
        Timeout::Connect => Event::TcpConnectTimeouts,
        Timeout::Idle => Event::TcpIdleTimeouts,
        Timeout::HalfClosed => Event::TcpHalfClosedTimeouts,
        Timeout::FinWait2 => Event::TcpFinWait2Timeouts,
        Timeout::User => Event::TcpUserTimeouts,
        Timeout::Keepalive => Event::TcpKeepaliveTimeouts,
    }
}
