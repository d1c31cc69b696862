//! A wrapper that makes a good network bad.
//!
//! [`Impair`] goes around any [`PacketIo`] and loses, corrupts, duplicates, delays and reorders
//! frames, each direction by its own [`Impairment`]. What happens to a frame follows from the seed
//! and the frame's place in its direction alone, so that a run can be repeated. Frames may be lost
//! one by one or in runs ([`BurstLoss`]), and may have to queue for a line that is slower than what
//! they came by ([`Bottleneck`]); there it matters too when they come.
//!
//! Frames that are delayed are held until their time has come; [`PacketIo::next_event`] tells the
//! driver. As in a network, a direction holds a bounded number of frames, and drops what is more.
//! Sent frames count as sent for the worker once they are here: what becomes of them is the
//! network's doing, and counted by [`Impair::tx_counters`].
//!
//! Offloads of the inner side are not offered: a checksum that is filled in later would hide what
//! was corrupted, and a copy of a frame does not carry its requests. Copies of received frames
//! carry no verdict of the device either, so that the stack verifies them.

mod bottleneck;
mod burst_loss;

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::BinaryHeap;

pub use bottleneck::Bottleneck;
pub use burst_loss::BurstLoss;

use bottleneck::Line;

use super::{BURST_SIZE, Burst, Capabilities, PacketBuf, PacketIo, TxChecksumCapability};
use crate::time::Instant;
use crate::wire::ethernet;

/// What happens to the frames of one direction. Nothing, by default.
///
/// Probabilities are in parts per million, and independent of each other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Impairment {
    /// How many frames are lost.
    pub loss_ppm: u32,
    /// More losses, that come in runs.
    pub burst_loss: Option<BurstLoss>,
    /// The line that frames queue for once they are not lost.
    pub bottleneck: Option<Bottleneck>,
    /// In how many frames one bit behind the Ethernet header is wrong.
    pub corrupt_ppm: u32,
    /// How many frames come twice.
    pub duplicate_ppm: u32,
    /// How many frames are late, so that others overtake them.
    pub reorder_ppm: u32,
    /// By how much at least.
    pub reorder_delay: Duration,
    /// By how much more at most.
    pub reorder_jitter: Duration,
    /// What every frame takes.
    pub delay: Duration,
    /// What a frame takes more, at most. Does not change the order of frames.
    pub jitter: Duration,
}

/// What an impairment did in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ImpairCounters {
    /// Frames that came in.
    pub frames: u64,
    /// Frames lost on purpose, one by one or in runs.
    pub lost: u64,
    /// Frames dropped because the queue of the bottleneck was full.
    pub queue_full: u64,
    /// Frames dropped because too many are held.
    pub overflowed: u64,
    /// Frames corrupted.
    pub corrupted: u64,
    /// Copies added.
    pub duplicated: u64,
    /// Frames made late.
    pub reordered: u64,
    /// Copies, for corruption or duplication, not made for want of a buffer.
    pub no_buffer: u64,
}

/// A queue pair on a bad network.
pub struct Impair<Io: PacketIo> {
    inner: Io,
    capabilities: Capabilities,
    rx: Direction<Io::Buf>,
    tx: Direction<Io::Buf>,
    /// Frames from the inner side, and frames for it that it has not taken yet.
    arriving: Burst<Io::Buf>,
    leaving: Burst<Io::Buf>,
    now: Instant,
}

impl<Io: PacketIo> Impair<Io> {
    /// Impairs received frames by `rx` and sent frames by `tx`, and holds at most `limit` frames
    /// of each.
    pub fn new(inner: Io, seed: u64, rx: Impairment, tx: Impairment, limit: usize) -> Self {
        let capabilities = Capabilities {
            tx_checksum: TxChecksumCapability::default(),
            tso_ipv4: None,
            tso_ipv6: None,
            ..inner.capabilities().clone()
        };
        // Both directions draw from streams of their own.
        let mut seeds = Prng(seed);
        Self {
            inner,
            capabilities,
            rx: Direction::new(rx, seeds.next(), limit),
            tx: Direction::new(tx, seeds.next(), limit),
            arriving: Burst::with_capacity(BURST_SIZE),
            leaving: Burst::with_capacity(BURST_SIZE),
            now: Instant::ZERO,
        }
    }

    /// Changes what happens to frames received from now on.
    pub fn set_rx(&mut self, impairment: Impairment) {
        self.rx.impairment = impairment;
    }

    /// Changes what happens to frames sent from now on.
    pub fn set_tx(&mut self, impairment: Impairment) {
        self.tx.impairment = impairment;
    }

    /// What happened to received frames so far.
    pub fn rx_counters(&self) -> ImpairCounters {
        self.rx.counters
    }

    /// What happened to sent frames so far.
    pub fn tx_counters(&self) -> ImpairCounters {
        self.tx.counters
    }

    /// How many frames are held, in both directions.
    pub fn held(&self) -> usize {
        self.rx.held.len() + self.tx.held.len() + self.leaving.len()
    }

    /// The queue pair inside.
    pub fn inner(&self) -> &Io {
        &self.inner
    }

    /// The queue pair inside.
    pub fn inner_mut(&mut self) -> &mut Io {
        &mut self.inner
    }

    /// The queue pair alone; held frames are lost.
    pub fn into_inner(self) -> Io {
        self.inner
    }

    /// Gives held frames whose time has come to the inner side, as many as it takes.
    fn flush(&mut self) {
        loop {
            self.tx.release(self.now, &mut self.leaving);
            if self.inner.tx_burst(&mut self.leaving) == 0 {
                return;
            }
        }
    }
}

impl<Io: PacketIo> PacketIo for Impair<Io> {
    type Buf = Io::Buf;

    fn rx_burst(&mut self, burst: &mut Burst<Io::Buf>) -> usize {
        for _ in 0..ARRIVALS_PER_CALL {
            if self.inner.rx_burst(&mut self.arriving) == 0 {
                break;
            }
            while let Some(frame) = self.arriving.pop_front() {
                self.rx.enter(frame, self.now, || self.inner.alloc());
            }
        }
        self.rx.release(self.now, burst)
    }

    fn tx_burst(&mut self, burst: &mut Burst<Io::Buf>) -> usize {
        let count = burst.len();
        for frame in burst.drain_front(count) {
            self.tx.enter(frame, self.now, || self.inner.alloc());
        }
        self.flush();
        count
    }

    fn alloc(&mut self) -> Option<Io::Buf> {
        self.inner.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.inner.begin_turn(now);
        self.flush();
    }

    fn next_event(&self) -> Option<Instant> {
        // Frames that the inner side refused can be tried again at any time.
        let refused = (!self.leaving.is_empty()).then_some(self.now);
        let events = [
            refused,
            self.rx.next_release(),
            self.tx.next_release(),
            self.inner.next_event(),
        ];
        events.into_iter().flatten().min()
    }
}

/// One direction: its frames on their way.
struct Direction<B> {
    impairment: Impairment,
    prng: Prng,
    /// For what was added later: what a seed does to frames is written down in tests and stays.
    second_prng: Prng,
    /// Whether a run of losses is under way.
    in_burst: bool,
    line: Line,
    held: BinaryHeap<Held<B>>,
    limit: usize,
    /// When the last frame that keeps its place is released: none after it may be earlier.
    last_release: Instant,
    sequence: u64,
    counters: ImpairCounters,
}

impl<B: PacketBuf> Direction<B> {
    fn new(impairment: Impairment, seed: u64, limit: usize) -> Self {
        Self {
            impairment,
            prng: Prng(seed),
            second_prng: Prng(!seed),
            in_burst: false,
            line: Line::default(),
            held: BinaryHeap::with_capacity(limit),
            limit,
            last_release: Instant::ZERO,
            sequence: 0,
            counters: ImpairCounters::default(),
        }
    }

    /// Takes a frame in at `now` and decides what becomes of it.
    fn enter(&mut self, frame: B, now: Instant, mut alloc: impl FnMut() -> Option<B>) {
        self.counters.frames += 1;
        // Always the same number of draws for a frame, so that changing one probability leaves
        // the other decisions as they are.
        let lost = self.prng.chance(self.impairment.loss_ppm);
        let corrupted = self.prng.chance(self.impairment.corrupt_ppm);
        let bit = self.prng.next();
        let duplicated = self.prng.chance(self.impairment.duplicate_ppm);
        let reordered = self.prng.chance(self.impairment.reorder_ppm);
        let jitter = self.prng.up_to(self.impairment.jitter);
        let lateness =
            self.impairment.reorder_delay + self.second_prng.up_to(self.impairment.reorder_jitter);
        if self.is_in_burst() || lost {
            self.counters.lost += 1;
            return;
        }
        let Some(through) = self.line_through(now, frame.packet_len()) else {
            self.counters.queue_full += 1;
            return;
        };

        let mut release = (through + self.impairment.delay + jitter).max(self.last_release);
        if reordered {
            self.counters.reordered += 1;
            release += lateness;
        } else {
            self.last_release = release;
        }
        let second = if duplicated {
            self.copy(&frame, &mut alloc)
        } else {
            None
        };
        let first = if corrupted {
            self.corrupt(frame, bit, &mut alloc)
        } else {
            frame
        };
        self.hold(first, release);
        if let Some(second) = second {
            self.counters.duplicated += 1;
            self.hold(second, release);
        }
    }

    /// Whether a run of losses takes the next frame.
    fn is_in_burst(&mut self) -> bool {
        // Drawn also where there are no runs, for the same reason as above.
        let draw = self.second_prng.below(PPM);
        self.in_burst = self
            .impairment
            .burst_loss
            .is_some_and(|bursts| bursts.takes_next(self.in_burst, draw as u32));
        self.in_burst
    }

    /// When a frame of `len` octets has gone through the bottleneck; `None` if it is dropped there.
    fn line_through(&mut self, now: Instant, len: usize) -> Option<Instant> {
        match &self.impairment.bottleneck {
            Some(bottleneck) => self.line.take(bottleneck, now, len),
            None => Some(now),
        }
    }

    /// A copy of a frame in a buffer of its own, in one piece.
    fn copy(&mut self, frame: &B, alloc: &mut impl FnMut() -> Option<B>) -> Option<B> {
        let copy = alloc().and_then(|mut copy| {
            let mut room = copy.append(frame.packet_len())?;
            for piece in frame.pieces() {
                let (place, rest) = room.split_at_mut_checked(piece.len())?;
                place.copy_from_slice(piece);
                room = rest;
            }
            Some(copy)
        });
        self.counters.no_buffer += u64::from(copy.is_none());
        copy
    }

    /// The frame with one bit changed; as it is if it has no bits behind the Ethernet header.
    fn corrupt(&mut self, frame: B, bit: u64, alloc: &mut impl FnMut() -> Option<B>) -> B {
        let bits = 8 * frame.packet_len().saturating_sub(ethernet::HEADER_LEN);
        if bits == 0 {
            return frame;
        }
        // In a copy, because of the device's verdict on the checksums.
        let Some(mut copy) = self.copy(&frame, alloc) else {
            return frame;
        };
        let bit = (bit % bits as u64) as usize;
        copy.data_mut()[ethernet::HEADER_LEN + bit / 8] ^= 1 << (bit % 8);
        self.counters.corrupted += 1;
        copy
    }

    fn hold(&mut self, frame: B, release: Instant) {
        if self.held.len() == self.limit {
            self.counters.overflowed += 1;
            return;
        }
        self.sequence += 1;
        self.held.push(Held {
            release,
            sequence: self.sequence,
            frame,
        });
    }

    /// Moves frames whose time has come to `burst`, as many as fit. Returns how many.
    fn release(&mut self, now: Instant, burst: &mut Burst<B>) -> usize {
        let before = burst.len();
        while burst.room() > 0
            && self.next_release().is_some_and(|release| release <= now)
            && let Some(held) = self.held.pop()
        {
            // There is room: it was looked at.
            let _ = burst.push(held.frame);
        }
        burst.len() - before
    }

    fn next_release(&self) -> Option<Instant> {
        self.held.peek().map(|held| held.release)
    }
}

/// A frame on its way. Greater means earlier, for the heap.
struct Held<B> {
    release: Instant,
    /// Keeps frames of one release time in order.
    sequence: u64,
    frame: B,
}

impl<B> Ord for Held<B> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.release, other.sequence).cmp(&(self.release, self.sequence))
    }
}

impl<B> PartialOrd for Held<B> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<B> PartialEq for Held<B> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<B> Eq for Held<B> {}

/// SplitMix64: the same numbers from the same seed, on every machine and for ever.
struct Prng(u64);

impl Prng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; zero if that is zero.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// True `ppm` times in a million.
    fn chance(&mut self, ppm: u32) -> bool {
        self.below(PPM) < u64::from(ppm)
    }

    /// A duration from zero to `most`.
    fn up_to(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }
}

/// All of them, in parts per million.
const PPM: u64 = 1_000_000;

/// How many bursts of the inner side one call of `rx_burst` takes in, so that frames do not wait
/// for a turn that a sleeping driver takes late.
const ARRIVALS_PER_CALL: usize = 64;

#[cfg(test)]
mod tests;
