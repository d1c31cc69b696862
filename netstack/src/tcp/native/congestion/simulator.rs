//! One bottleneck, several flows, no randomness but a seed: what the controllers are tested with.
//!
//! Every packet is a segment of new data. It waits in the bottleneck's queue, or is dropped if the
//! queue is full or chance wants it; a round trip after leaving the queue it is acknowledged by
//! itself. A packet is lost once three later ones were acknowledged. In fast recovery, `cwnd` is
//! `ssthresh` unless the controller keeps it. Timers tick once a millisecond.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use super::super::pacing::Pacer;
use super::super::rate::{AckRate, RateEstimator, SentRate};
use super::{Acked, Algorithm, Congestion, Controller, Window};
use crate::tcp::seq;
use crate::time::Instant;

pub(super) const MSS: u32 = 1_460;
const TICK: u64 = 1_000;

/// The bottleneck.
#[derive(Clone, Copy)]
pub(super) struct Path {
    /// Octets a second.
    pub rate: u64,
    /// Round trip without queueing.
    pub rtt: Duration,
    /// Octets that the queue holds.
    pub queue: u64,
    /// Packets in a thousand that are lost by chance.
    pub loss_per_mille: u64,
}

impl Path {
    pub(super) fn bdp(&self) -> u64 {
        self.rate * self.rtt.as_micros() as u64 / 1_000_000
    }
}

struct Packet {
    seq: u32,
    sent_at: Instant,
    rate: SentRate,
}

pub(super) struct Flow {
    pub controller: Controller,
    pub window: Window,
    /// Octets delivered in all.
    pub delivered: u64,
    /// Octets lost in all.
    pub lost: u64,
    pub timeouts: u32,
    /// Sum of `cwnd` and the number of acknowledgments, for its mean.
    cwnd_sum: (u64, u64),
    start: u64,
    pacer: Pacer,
    estimator: RateEstimator,
    srtt: Option<Duration>,
    min_rtt: Option<Duration>,
    outstanding: VecDeque<Packet>,
    snd_nxt: u32,
    /// What was sent before this number belongs to the last recovery.
    recovery_point: u32,
    in_recovery: bool,
    by_timeout: bool,
    limited_until: u32,
    last_progress: u64,
}

pub(super) struct Simulator {
    pub path: Path,
    pub flows: Vec<Flow>,
    now: u64,
    next_tick: u64,
    link_free_at: u64,
    acks: BinaryHeap<Reverse<(u64, u64, usize, u32)>>,
    order: u64,
    random: u64,
}

impl Simulator {
    pub(super) fn new(path: Path, seed: u64) -> Self {
        Self {
            path,
            flows: Vec::new(),
            now: 0,
            next_tick: 0,
            link_free_at: 0,
            acks: BinaryHeap::new(),
            order: 0,
            random: seed * 2 + 1,
        }
    }

    /// Adds a flow that begins at `start` milliseconds.
    pub(super) fn add(&mut self, algorithm: Algorithm, start: u64) {
        let seed = 77 + self.flows.len() as u32;
        self.flows.push(Flow {
            controller: Controller::new(algorithm, seed),
            window: Window::new(MSS),
            delivered: 0,
            lost: 0,
            timeouts: 0,
            cwnd_sum: (0, 0),
            start: start * 1_000,
            pacer: Pacer::new(MSS),
            estimator: RateEstimator::default(),
            srtt: None,
            min_rtt: None,
            outstanding: VecDeque::new(),
            // The sequence numbers wrap early.
            snd_nxt: u32::MAX - 100 * MSS,
            recovery_point: u32::MAX - 100 * MSS,
            in_recovery: false,
            by_timeout: false,
            limited_until: u32::MAX - 100 * MSS,
            last_progress: 0,
        });
    }

    /// Runs for so long; gives the octets that each flow delivered meanwhile.
    pub(super) fn run(&mut self, duration: Duration) -> Vec<u64> {
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.delivered).collect();
        for flow in &mut self.flows {
            flow.cwnd_sum = (0, 0);
        }
        let end = self.now + duration.as_micros() as u64;
        while self.now < end {
            match self.acks.peek() {
                Some(&Reverse((at, _, flow, seq))) if at <= self.next_tick => {
                    self.acks.pop();
                    self.now = at;
                    self.flows[flow].acknowledge(seq, Instant::from_micros(at));
                    self.send(flow);
                }
                _ => self.tick(),
            }
        }
        let after = self.flows.iter().map(|flow| flow.delivered);
        after
            .zip(before)
            .map(|(after, before)| after - before)
            .collect()
    }

    fn tick(&mut self) {
        self.now = self.next_tick;
        self.next_tick += TICK;
        for flow in 0..self.flows.len() {
            if self.flows[flow].start <= self.now {
                self.flows[flow].check_timeout(self.now);
                self.send(flow);
            }
        }
    }

    fn send(&mut self, index: usize) {
        let now = Instant::from_micros(self.now);
        while let Some(seq) = self.flows[index].send_one(now) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let unlucky = self.random % 1_000 < self.path.loss_per_mille;
            let wait = self.link_free_at.saturating_sub(self.now);
            let is_full = wait * self.path.rate / 1_000_000 + u64::from(MSS) > self.path.queue;
            if unlucky || is_full {
                continue;
            }
            // Nanoseconds would be exact; a link in microseconds is a little slow or fast.
            let serialized = u64::from(MSS) * 1_000_000 / self.path.rate;
            self.link_free_at = self.link_free_at.max(self.now) + serialized;
            let at = self.link_free_at + self.path.rtt.as_micros() as u64;
            self.order += 1;
            self.acks.push(Reverse((at, self.order, index, seq)));
        }
    }
}

impl Flow {
    /// The mean of `cwnd` over the acknowledgments of the last run.
    pub(super) fn mean_cwnd(&self) -> u64 {
        self.cwnd_sum.0 / self.cwnd_sum.1.max(1)
    }

    fn in_flight(&self) -> u32 {
        self.outstanding.len() as u32 * MSS
    }

    fn snd_una(&self) -> u32 {
        self.outstanding
            .front()
            .map_or(self.snd_nxt, |packet| packet.seq)
    }

    fn send_one(&mut self, now: Instant) -> Option<u32> {
        if self.in_flight() + MSS > self.window.cwnd {
            self.limited_until = self.snd_nxt;
            return None;
        }
        if !self.pacer.may_send(now) {
            return None;
        }
        let rate = self.controller.pacing_rate(&self.window, self.srtt);
        self.pacer.on_sent(now, MSS, MSS, rate);
        let packet = Packet {
            seq: self.snd_nxt,
            sent_at: now,
            rate: self.estimator.on_sent(now, self.in_flight()),
        };
        if self.outstanding.is_empty() {
            self.last_progress = now.as_micros();
        }
        self.snd_nxt = self.snd_nxt.wrapping_add(MSS);
        let seq = packet.seq;
        self.outstanding.push_back(packet);
        Some(seq)
    }

    fn acknowledge(&mut self, acked: u32, now: Instant) {
        let Some(index) = self
            .outstanding
            .iter()
            .position(|packet| packet.seq == acked)
        else {
            return;
        };
        let in_flight = self.in_flight();
        let flight_size = self.snd_nxt.wrapping_sub(self.snd_una());
        let packet = self.outstanding.remove(index).unwrap();
        let mut ack = AckRate::default();
        self.estimator
            .on_delivered(&mut ack, &packet.rate, MSS, packet.sent_at, now);
        self.delivered += u64::from(MSS);
        self.last_progress = now.as_micros();
        let rtt = now.saturating_duration_since(packet.sent_at);
        self.srtt = Some(self.srtt.map_or(rtt, |srtt| srtt * 7 / 8 + rtt / 8));
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |min| min.min(rtt)));
        let lost = self.detect_loss(acked.wrapping_sub(3 * MSS), flight_size);
        let snd_una = self.snd_una();
        let ack = Acked {
            now,
            delivered: MSS,
            acked: MSS,
            in_flight,
            cwnd_limited: seq::le(snd_una, self.limited_until),
            rtt: Some(rtt),
            srtt: self.srtt,
            rate: self.estimator.sample(&ack, self.min_rtt),
            in_recovery: self.in_recovery && !self.by_timeout,
            snd_una,
            snd_nxt: self.snd_nxt,
            lost,
            ce: false,
        };
        self.controller.on_ack(&mut self.window, &ack);
        self.cwnd_sum.0 += u64::from(self.window.cwnd);
        self.cwnd_sum.1 += 1;
    }

    /// Everything up to `horizon` that is still outstanding is lost.
    fn detect_loss(&mut self, horizon: u32, flight_size: u32) -> u32 {
        let is_lost = |packet: &Packet| seq::le(packet.seq, horizon);
        let newest = self
            .outstanding
            .iter()
            .rfind(|packet| is_lost(packet))
            .map(|packet| packet.seq);
        let before = self.outstanding.len();
        self.outstanding.retain(|packet| !is_lost(packet));
        let lost = (before - self.outstanding.len()) as u32 * MSS;
        self.estimator.on_lost(lost);
        self.lost += u64::from(lost);
        if self.in_recovery && seq::le(self.recovery_point, self.snd_una()) {
            self.in_recovery = false;
            self.by_timeout = false;
            self.controller.on_recovery_end(&mut self.window);
        }
        if newest.is_some_and(|seq| seq::le(self.recovery_point, seq)) {
            self.recovery_point = self.snd_nxt;
            self.in_recovery = true;
            let by = Congestion::Loss;
            self.controller
                .on_congestion(&mut self.window, flight_size, by);
            if !self.controller.controls_cwnd_in_recovery() {
                self.window.cwnd = self.window.ssthresh;
            }
        }
        lost
    }

    fn check_timeout(&mut self, now: u64) {
        let rto = self
            .srtt
            .map_or(1_000_000, |srtt| 200_000 + 2 * srtt.as_micros() as u64);
        if self.outstanding.is_empty() || now < self.last_progress + rto {
            return;
        }
        let flight_size = self.snd_nxt.wrapping_sub(self.snd_una());
        let lost = self.in_flight();
        self.outstanding.clear();
        self.estimator.on_lost(lost);
        self.lost += u64::from(lost);
        self.timeouts += 1;
        self.last_progress = now;
        self.recovery_point = self.snd_nxt;
        self.in_recovery = true;
        self.by_timeout = true;
        self.controller.on_timeout(&mut self.window, flight_size);
    }
}
