//! What a connection spends its time on: sending, or waiting to.
//!
//! In: what holds the send half back, whenever something has happened to it. Out: [`SendTimes`], as
//! Linux's `tcp_info` has them. At any time one thing at most holds a connection back; while it has
//! nothing to send and nothing in flight, none does and no time counts. A connection that is put to
//! rest begins anew: what is kept of it has no room for times.

use core::time::Duration;

use super::transmit::SendHalf;
use crate::io::Payload;
use crate::time::Instant;

/// How long a connection had something to send or in flight, since it last was at rest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SendTimes {
    /// In all.
    pub busy: Duration,
    /// Of this, only the peer's window kept it from sending more.
    pub window_limited: Duration,
    /// Of this, the session had more than the connection had room for, and all there was had been
    /// sent.
    pub buffer_limited: Duration,
}

/// What holds a connection back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Limit {
    /// There is nothing to send, nor in flight.
    #[default]
    Idle,
    /// The path: the congestion window, pacing, or what is lost.
    Path,
    /// The peer's window.
    Window,
    /// Room to write into.
    Buffer,
}

/// Keeps the times of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Activity {
    times: SendTimes,
    limit: Limit,
    since: Instant,
}

impl Activity {
    /// The times until `now`.
    pub(super) fn times(&self, now: Instant) -> SendTimes {
        let passed = now.saturating_duration_since(self.since);
        let mut times = self.times;
        match self.limit {
            Limit::Idle => return times,
            Limit::Path => {}
            Limit::Window => times.window_limited += passed,
            Limit::Buffer => times.buffer_limited += passed,
        }
        times.busy += passed;
        times
    }

    fn change(&mut self, now: Instant, limit: Limit) {
        if self.limit != limit {
            *self = Self {
                times: self.times(now),
                limit,
                since: now,
            };
        }
    }
}

impl<P: Payload> SendHalf<P> {
    /// Notes what holds the connection back from now on.
    pub(super) fn note_activity(&mut self, now: Instant) {
        let limit = self.limit();
        self.activity.change(now, limit);
    }

    fn limit(&self) -> Limit {
        let unsent = self.unsent();
        if unsent == 0 && self.board.is_empty() {
            return Limit::Idle;
        }
        let segment = self.window.smss;
        if self.pipe() + segment > self.window.cwnd || self.board.lost() > 0 {
            return Limit::Path;
        }
        if unsent > 0 && self.usable() < unsent.min(segment) {
            return Limit::Window;
        }
        if unsent == 0 && self.short_of_room {
            return Limit::Buffer;
        }
        Limit::Path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_counts_once() {
        let at = |seconds: u64| Instant::from_millis(1_000_000 + 1000 * seconds);
        let mut activity = Activity::default();
        for (seconds, limit) in [
            (0, Limit::Path),
            (1, Limit::Path),
            (3, Limit::Window),
            (7, Limit::Buffer),
            (8, Limit::Idle),
            (100, Limit::Window),
        ] {
            activity.change(at(seconds), limit);
        }
        let expected = SendTimes {
            busy: Duration::from_secs(8 + 2),
            window_limited: Duration::from_secs(4 + 2),
            buffer_limited: Duration::from_secs(1),
        };
        assert_eq!(activity.times(at(102)), expected);
    }
}
