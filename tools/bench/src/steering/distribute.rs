//! Everything that an lcore which receives for two workers does with a packet.

use core::hint::black_box;
use std::time::{Duration, Instant};

use netstack::flow_directory::{FlowDirectory, Kind, Rings};
use netstack::io::PortId;
use netstack::rss::Toeplitz;
use proxy::pipeline::classify::Classifier;

use super::BURST;
use super::ring::{Item, Receiver, Sender, ring};
use super::traffic::{self, Random};

/// Flows that are known.
const FLOWS: u16 = 10_000;

/// Workers that packets are given to.
const WORKERS: u8 = 2;

/// Packets that a ring holds, so that they need not be taken out while the clock runs.
const CAPACITY: usize = 8192;

/// Bursts between two looks at the clock.
const BURSTS: usize = 128;

/// Nanoseconds of a packet in each of so many rounds. What takes packets out of the rings again is
/// not counted.
///
/// # Panics
/// If a flow that is known has no record, or a packet finds no room.
pub fn distribute(count: usize, bursts: usize) -> Vec<f64> {
    let mut distributor = Distributor::new();
    let mut random = Random::new(4);
    let mut packets: Vec<Item> = traffic::flows(FLOWS, &mut random)
        .into_iter()
        .map(|frame| (PortId(0), frame))
        .collect();
    distributor.introduce(&packets);
    let turns = bursts.div_ceil(BURSTS);
    let figures = (0..=count).map(|_| {
        let mut busy = Duration::ZERO;
        for _ in 0..turns {
            // They came out by workers; on a wire they are in no order.
            for at in (1..packets.len()).rev() {
                packets.swap(at, random.below(at + 1));
            }
            let start = Instant::now();
            for _ in 0..BURSTS {
                let rest = packets.len() - BURST;
                distributor.burst(packets.drain(rest..));
            }
            busy += start.elapsed();
            distributor.take_out(&mut packets);
            assert_eq!(packets.len(), usize::from(FLOWS), "nothing found no room");
        }
        let packets = u32::try_from(turns * BURSTS * BURST).unwrap_or(u32::MAX);
        busy.as_secs_f64() * 1e9 / f64::from(packets)
    });
    let figures = figures.skip(1).collect();
    let counts = distributor.directory.counts();
    assert_eq!(counts.unknown, 0, "all flows are known");
    figures
}

struct Distributor {
    classifier: Classifier,
    toeplitz: Toeplitz,
    directory: FlowDirectory,
    rings: ToWorkers,
    receivers: Vec<Receiver>,
    burst: Vec<(u32, Kind, Item)>,
}

struct ToWorkers {
    senders: Vec<Sender>,
    staged: Vec<Vec<Item>>,
    /// Flows that each worker has.
    flows: Vec<u32>,
}

impl Rings for ToWorkers {
    fn least_loaded(&self) -> u8 {
        self.flows
            .iter()
            .zip(0..)
            .min()
            .map_or(0, |(_, worker)| worker)
    }

    fn by_hash(&self, hash: u32) -> u8 {
        (hash % u32::from(WORKERS)) as u8
    }

    fn next_position(&self, worker: u8) -> u16 {
        let worker = usize::from(worker);
        let staged = self.staged[worker].len() as u16;
        self.senders[worker].next_position().wrapping_add(staged)
    }

    fn waiting(&self, worker: u8) -> u16 {
        let worker = usize::from(worker);
        (self.senders[worker].waiting() + self.staged[worker].len()) as u16
    }
}

impl Distributor {
    fn new() -> Self {
        let key: [u8; 40] = Random::new(5).octets();
        let (senders, receivers) = (0..WORKERS).map(|_| ring(CAPACITY)).unzip();
        Self {
            classifier: Classifier::default(),
            toeplitz: Toeplitz::new(&key).expect("the key is long enough"),
            directory: FlowDirectory::new(2 * usize::from(FLOWS), WORKERS),
            rings: ToWorkers {
                senders,
                staged: vec![Vec::new(); usize::from(WORKERS)],
                flows: vec![0; usize::from(WORKERS)],
            },
            receivers,
            burst: Vec::with_capacity(BURST),
        }
    }

    /// Makes all flows known, each as a connection would.
    fn introduce(&mut self, packets: &[Item]) {
        for (_, frame) in packets {
            let hash = self.classifier.classify(frame).hash(frame, &self.toeplitz);
            let opening = self.directory.place(hash, Kind::Opening, 0, &self.rings);
            let ongoing = self.directory.place(hash, Kind::Ongoing, 0, &self.rings);
            assert!(ongoing.recorded, "there is room for twice as many");
            assert_eq!(opening, ongoing, "a known flow stays where it is");
            self.rings.flows[usize::from(ongoing.worker)] += 1;
        }
    }

    /// Distributes a burst. Each step has the next one's memory fetched for all packets.
    fn burst(&mut self, packets: impl Iterator<Item = Item>) {
        for packet in packets {
            black_box(packet.1[0]);
            self.burst.push((0, Kind::Datagram, packet));
        }
        for (hash, kind, (_, frame)) in &mut self.burst {
            let classified = self.classifier.classify(frame);
            *hash = classified.hash(frame, &self.toeplitz);
            self.directory.touch(*hash);
            *kind = classified.ports.map_or(Kind::Datagram, |ports| ports.kind);
        }
        for (hash, kind, item) in self.burst.drain(..) {
            let placement = self.directory.place(hash, kind, 1, &self.rings);
            self.rings.staged[usize::from(placement.worker)].push(item);
        }
        for (sender, staged) in self.rings.senders.iter_mut().zip(&mut self.rings.staged) {
            sender.send(black_box(staged));
        }
    }

    fn take_out(&mut self, packets: &mut Vec<Item>) {
        for receiver in &mut self.receivers {
            receiver.receive(CAPACITY, packets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_packets_come_out_again() {
        assert_eq!(distribute(2, BURSTS).len(), 2);
    }
}
