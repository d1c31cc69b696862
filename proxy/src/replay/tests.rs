//! The loop, over ports in memory that have a plan.

use core::time::Duration;
use std::collections::VecDeque;
use std::path::Path;

use netstack::counters::Event;
use netstack::io::mem::{MemBuf, MemIo};
use netstack::io::{BURST_SIZE, Burst, Capabilities, PacketIo};

use super::*;
use crate::worker::Worker;

const CONFIG: &str = r#"
[dpdk]
vdevs = ["net_ring0"]
[[port]]
name = "edge"
device = "net_ring0"
addresses = ["192.0.2.1/24"]
[[listener]]
name = "web"
addresses = ["192.0.2.1:80"]
backend_group = "nginx"
[[backend_group]]
name = "nginx"
[[backend_group.backend]]
address = "192.0.2.10:8080"
[limits]
max_sessions = 8
"#;

/// A port that receives frames at times known before, if it has buffers.
struct Planned {
    inner: MemIo,
    frames: VecDeque<Instant>,
    now: Instant,
    /// No frame can be received before.
    blocked_until: Instant,
}

impl PacketIo for Planned {
    type Buf = MemBuf;

    fn rx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let mut count = 0;
        while self.now >= self.blocked_until
            && burst.room() > 0
            && self.frames.front().is_some_and(|at| *at <= self.now)
        {
            self.frames.pop_front();
            // Too short for anything: received and dropped.
            burst.push(MemBuf::from_frame(&[0; 4])).unwrap();
            count += 1;
        }
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        self.inner.tx_burst(burst)
    }

    fn alloc(&mut self) -> Option<MemBuf> {
        self.inner.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn begin_turn(&mut self, now: Instant) {
        assert!(now >= self.now, "time went backwards");
        self.now = now;
    }

    fn next_event(&self) -> Option<Instant> {
        self.frames.front().copied()
    }
}

fn worker(plan: impl IntoIterator<Item = Instant>, blocked_until: Instant) -> Worker<Planned> {
    let (config, _) = Config::parse(CONFIG, Path::new("w.toml")).unwrap();
    let io = Planned {
        inner: MemIo::new(captures::default_mac(0), 1500, MemPool::new(64, 1500)),
        frames: plan.into_iter().collect(),
        now: Instant::ZERO,
        blocked_until,
    };
    let secrets = Secrets::from_seed(0);
    let assembly = assemble(
        &config,
        &secrets,
        Queues::pairs(vec![vec![io]]),
        Instant::ZERO,
    )
    .unwrap();
    assembly.workers.into_iter().next().unwrap()
}

/// The times of turns, and how many frames had been received after each; without the last turn,
/// which is at the end of lingering.
fn turns(worker: &mut Worker<Planned>, start: Instant, linger: Duration) -> Vec<(Instant, u64)> {
    let mut turns = Vec::new();
    let last = drive(worker, start, linger, |now, worker| {
        turns.push((now, worker.counters().event(Event::RxFrames)));
    });
    let (at, received) = turns.pop().unwrap();
    assert_eq!((at, received), (last, turns.last().unwrap().1));
    assert_eq!(at, turns.last().unwrap().0 + linger);
    turns
}

#[test]
fn time_jumps_from_frame_to_frame() {
    let [first, second] = [5_000, 3_600_000].map(Instant::from_millis);
    let mut worker = worker([first, first, second], Instant::ZERO);
    assert_eq!(
        turns(&mut worker, first, DEFAULT_LINGER),
        [(first, 2), (second, 3)]
    );
}

#[test]
fn more_frames_of_one_time_than_a_burst_take_turns_at_that_time() {
    let at = Instant::from_millis(7);
    let mut worker = worker(vec![at; 2 * BURST_SIZE + 1], Instant::ZERO);
    let burst = BURST_SIZE as u64;
    assert_eq!(
        turns(&mut worker, at, DEFAULT_LINGER),
        [(at, burst), (at, 2 * burst), (at, 2 * burst + 1)]
    );
}

#[test]
fn a_frame_from_the_past_does_not_turn_time_back() {
    let [late, early] = [9, 2].map(Instant::from_millis);
    let mut worker = worker([late, early], Instant::ZERO);
    assert_eq!(turns(&mut worker, late, DEFAULT_LINGER), [(late, 2)]);
}

#[test]
fn a_port_that_cannot_receive_yet_does_not_stop_time() {
    let (at, blocked_until) = (Instant::from_millis(7), Instant::from_millis(8));
    let mut worker = worker([at], blocked_until);
    let turns = turns(&mut worker, at, DEFAULT_LINGER);
    assert_eq!(turns.first(), Some(&(at, 0)));
    assert_eq!(turns.last(), Some(&(blocked_until, 1)));
}

#[test]
fn without_any_frame_there_is_one_turn() {
    let start = Instant::from_millis(1);
    let mut worker = worker([], Instant::ZERO);
    assert_eq!(turns(&mut worker, start, DEFAULT_LINGER), [(start, 0)]);
}
