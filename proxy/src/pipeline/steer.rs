//! Gives each received frame to the worker whose it is, where the port has fewer receive queues
//! than there are workers, or lcores of their own receive.
//!
//! * **In**: frames as received, for several workers.
//! * **Out**: frames for this worker, in a burst; all others over the rings to their workers.
//! * **Drops**: frames for a worker whose ring is full.
//!
//! A reply of a backend names its worker by the port it is addressed to. Every other flow with
//! ports is looked up in a directory: known flows stay where they are, new ones go to the worker with
//! the least to do. The rest (ARP, ICMP, neighbor discovery, fragments) is little, and goes to one
//! worker; workers tell each other what they learn from it.

use std::sync::Arc;

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::flow_directory::{FlowDirectory, Rings};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PortId};
use netstack::rss::Toeplitz;
use netstack::tcp::PortOwners;
use netstack::time::Instant;
use netstack::wire::tcp;

use super::classify::{Classified, Classifier};
use crate::handover::{Kind, Message, Outbox};

/// Frames that wait for a worker and weigh as much as a client.
const FRAMES_A_CLIENT: usize = 16;

/// What the stage is made of.
#[derive(Debug)]
pub struct SteerParts {
    /// Tells frames apart.
    pub classifier: Classifier,
    /// Hashes flows; under a key that nobody outside knows.
    pub toeplitz: Toeplitz,
    /// Which of the workers has a flow, by their places in the list.
    pub directory: FlowDirectory,
    /// Whose the source ports of connections to backends are.
    pub owners: PortOwners,
    /// The workers to choose from, with what they count; not empty.
    pub workers: Vec<(u16, Arc<Counters>)>,
    /// The worker that does this itself, if it is one.
    pub own: Option<u16>,
    /// The ports on which some worker has no queue.
    pub shared: Vec<bool>,
}

/// The stage.
#[derive(Debug)]
pub struct Steer<B> {
    parts: SteerParts,
    /// Frames of this turn for each worker, in the order of the list of workers, and then for those
    /// that are not in it but own a source port.
    lanes: Lanes<B>,
    /// What the frames of the burst are.
    seen: Vec<(Classified, u32)>,
}

/// Frames on their way to the rings.
#[derive(Debug)]
struct Lanes<B> {
    /// By the number of the worker.
    frames: Vec<Vec<Message<B>>>,
    /// New flows that each worker got in this turn, of which its counters cannot know yet.
    fresh: Vec<u16>,
}

impl<B: PacketBuf> Steer<B> {
    /// The stage, with rings to `workers` workers in all, for at most `capacity` frames a turn.
    pub fn new(parts: SteerParts, workers: u16, capacity: usize) -> Self {
        Self {
            lanes: Lanes {
                frames: (0..workers).map(|_| Vec::with_capacity(capacity)).collect(),
                fresh: vec![0; usize::from(workers)],
            },
            seen: Vec::with_capacity(BURST_SIZE),
            parts,
        }
    }

    /// Whether frames of `port` may be other workers'.
    pub fn is_for(&self, port: PortId) -> bool {
        self.parts.shared.get(usize::from(port.0)) == Some(&true)
    }

    /// Takes the frames of `burst`, which arrived on `port`, but leaves this worker's own, in order.
    pub fn process(
        &mut self,
        now: Instant,
        port: PortId,
        burst: &mut Burst<B>,
        outbox: &Outbox<B>,
    ) {
        self.seen.clear();
        for frame in burst.iter() {
            let classified = self.parts.classifier.classify(frame.data());
            let hash = classified.hash(frame.data(), &self.parts.toeplitz);
            if classified.ports.is_some() {
                self.parts.directory.touch(hash);
            }
            self.seen.push((classified, hash));
        }
        for index in 0..self.seen.len() {
            let Some(packet) = burst.pop_front() else {
                return;
            };
            let (classified, hash) = self.seen[index];
            let worker = self.worker_for(now, classified, hash, packet.data(), outbox);
            if Some(worker) == self.parts.own {
                // As many were taken from the front.
                let _ = burst.push(packet);
            } else if let Some(lane) = self.lanes.frames.get_mut(usize::from(worker)) {
                let kind = Kind::Frame;
                lane.push(Message { port, kind, packet });
            }
        }
    }

    /// Hands over what the turn has collected. To be called once a turn, after all ports.
    pub fn flush(&mut self, outbox: &mut Outbox<B>, counters: &Counters) {
        self.lanes.fresh.fill(0);
        for (worker, lane) in (0..).zip(&mut self.lanes.frames) {
            if lane.is_empty() {
                continue;
            }
            let sent = outbox.send_burst(worker, lane);
            counters.add(Event::Distributed, sent as u64);
            for _ in lane.drain(..) {
                counters.drop_packet(DropReason::HandoverFull);
            }
        }
    }

    fn worker_for(
        &mut self,
        now: Instant,
        classified: Classified,
        hash: u32,
        frame: &[u8],
        outbox: &Outbox<B>,
    ) -> u16 {
        let SteerParts {
            directory,
            owners,
            workers,
            own,
            ..
        } = &mut self.parts;
        let Some(ports) = classified.ports else {
            return own.unwrap_or(workers[0].0);
        };
        let dport = ports.destination(frame);
        if classified.protocol == tcp::PROTOCOL
            && let Some(owner) = owners.owner(dport)
        {
            return owner;
        }
        let recorded = directory.counts().recorded;
        let view = View {
            workers,
            outbox,
            lanes: &self.lanes,
            first: recorded as usize,
        };
        // Seconds; they wrap.
        let tick = (now.as_micros() / 1_000_000) as u16;
        let placement = directory.place(hash, ports.kind, tick, &view);
        let (worker, _) = workers[usize::from(placement.worker)];
        if directory.counts().recorded != recorded
            && let Some(fresh) = self.lanes.fresh.get_mut(usize::from(worker))
        {
            *fresh = fresh.saturating_add(1);
        }
        worker
    }
}

/// The rings to the workers, by their places in the list.
struct View<'a, B> {
    workers: &'a [(u16, Arc<Counters>)],
    outbox: &'a Outbox<B>,
    lanes: &'a Lanes<B>,
    /// Which of them gets a flow if none has less to do than the others: not always the same one.
    first: usize,
}

impl<B> View<'_, B> {
    fn number(&self, place: u8) -> u16 {
        self.workers[usize::from(place)].0
    }

    /// Frames of this turn for the worker that no ring has yet.
    fn ahead(&self, worker: u16) -> usize {
        self.lanes
            .frames
            .get(usize::from(worker))
            .map_or(0, Vec::len)
    }

    /// What a worker has to do: its clients, those that it does not know of yet, and a little for
    /// frames on their way to it. Clients stay, while frames are soon gone.
    fn load(&self, worker: u16, counters: &Counters) -> u64 {
        let clients = counters.event(Event::SessionsActive) + counters.event(Event::TcpHalfOpen);
        let fresh = self.lanes.fresh.get(usize::from(worker));
        let waiting = self.outbox.waiting(worker) / FRAMES_A_CLIENT;
        clients + u64::from(fresh.copied().unwrap_or_default()) + waiting as u64
    }
}

impl<B> Rings for View<'_, B> {
    fn least_loaded(&self) -> u8 {
        let count = self.workers.len();
        let places = (0..count).map(|place| (self.first + place) % count);
        let least = places.min_by_key(|place| {
            let (worker, counters) = &self.workers[*place];
            self.load(*worker, counters)
        });
        least.unwrap_or_default() as u8
    }

    fn by_hash(&self, hash: u32) -> u8 {
        (hash % self.workers.len().max(1) as u32) as u8
    }

    fn next_position(&self, place: u8) -> u16 {
        let worker = self.number(place);
        self.outbox.next_position(worker, self.ahead(worker))
    }

    fn waiting(&self, place: u8) -> u16 {
        let worker = self.number(place);
        (self.outbox.waiting(worker) + self.ahead(worker)) as u16
    }
}
