//! The loop that gives a worker its turns in virtual time.

use core::time::Duration;

use netstack::counters::{Counters, Event};
use netstack::io::PacketIo;
use netstack::time::Instant;

use crate::worker::Worker;

/// How far time goes on when the worker wants its next turn at once but moves no frame, as when
/// all buffers are lent. A worker on real ports sleeps about as long.
const STALL_STEP: Duration = Duration::from_micros(50);

/// Gives `worker` its turns, from `start` on, and calls `after_turn` after each with its time.
/// Returns the time of the last one.
///
/// Each turn is at the time that the one before it asked for: when a port has a frame to receive,
/// or the worker something to do; at the same time again if that has come already. When no port
/// will receive anything any more, as far as [`PacketIo::next_event`] tells, this goes on for
/// `linger` after the last turn that received a frame. There is always a turn at the end of that,
/// which leaves the gauges as they are then. With ports that always have a frame to receive there
/// is no end.
pub fn drive<Io: PacketIo>(
    worker: &mut Worker<Io>,
    start: Instant,
    linger: Duration,
    mut after_turn: impl FnMut(Instant, &Worker<Io>),
) -> Instant {
    let mut now = start;
    let mut deadline = start + linger;
    let mut before = Frames::of(worker.counters());
    loop {
        let turn = worker.poll_once(now);
        after_turn(now, worker);
        let frames = Frames::of(worker.counters());
        if frames.received > before.received {
            deadline = now + linger;
        }
        let next = turn.next.map(|wanted| match wanted {
            later if later > now => later,
            _ if frames == before => now + STALL_STEP,
            _ => now,
        });
        before = frames;
        let input_ended = worker.ios().all(|io| io.next_event().is_none());
        match next {
            Some(next) if next <= deadline || !input_ended => now = next,
            _ => break,
        }
    }
    let end = now.max(deadline);
    worker.poll_once(end);
    after_turn(end, worker);
    end
}

/// Frames that a worker has moved.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Frames {
    received: u64,
    sent: u64,
}

impl Frames {
    fn of(counters: &Counters) -> Self {
        Self {
            received: counters.event(Event::RxFrames),
            sent: counters.event(Event::TxFrames),
        }
    }
}
