//! The stage `steer`, on an lcore that receives for two workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netstack::counters::Counters;
use netstack::flow_directory::FlowDirectory;
use netstack::io::mem::MemBuf;
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PortId};
use netstack::rss::Toeplitz;
use netstack::tcp::{PortOwners, PortShares};
use netstack::time::Instant as Now;
use netstack::wire::tcp::Flags;
use proxy::handover::{Mailbox, Mailboxes, Message, Outbox};
use proxy::pipeline::classify::Classifier;
use proxy::pipeline::steer::{Steer, SteerParts};

use super::BURST;
use super::traffic::{self, Random};

/// Flows that are known.
const FLOWS: u16 = 10_000;

/// Workers that packets are given to.
const WORKERS: u8 = 2;

/// Packets that a ring holds, so that they need not be taken out while the clock runs.
const CAPACITY: usize = 8192;

/// Bursts between two looks at the clock.
const BURSTS: usize = 128;

/// Where the flags are in a frame of TCP over IPv4 and over IPv6 without options.
const FLAGS_AT: [usize; 2] = [14 + 20 + 13, 14 + 40 + 13];

/// Nanoseconds of a packet in each of so many rounds. What takes packets out of the rings again is
/// not counted.
///
/// # Panics
/// If a packet finds no room, or flows do not stay where they are.
pub fn distribute(count: usize, bursts: usize) -> Vec<f64> {
    let mut distributor = Distributor::new();
    let mut random = Random::new(4);
    let frames = traffic::flows(FLOWS, &mut random);
    let mut packets = distributor.introduce(&frames);
    let turns = bursts.div_ceil(BURSTS);
    let figures = (0..=count).map(|_| {
        let mut busy = Duration::ZERO;
        for _ in 0..turns {
            // They came out by workers; on a wire they are in no order.
            for at in (1..packets.len()).rev() {
                packets.swap(at, random.below(at + 1));
            }
            let mut ready: Vec<Burst<MemBuf>> = (0..BURSTS)
                .map(|_| burst_of(packets.drain(packets.len() - BURST..)))
                .collect();
            let start = Instant::now();
            for burst in &mut ready {
                distributor.burst(burst);
            }
            busy += start.elapsed();
            distributor.take_out(&mut packets);
            assert_eq!(packets.len(), usize::from(FLOWS), "nothing found no room");
        }
        let packets = u32::try_from(turns * BURSTS * BURST).unwrap_or(u32::MAX);
        busy.as_secs_f64() * 1e9 / f64::from(packets)
    });
    figures.skip(1).collect()
}

fn burst_of(packets: impl Iterator<Item = MemBuf>) -> Burst<MemBuf> {
    let mut burst = Burst::with_capacity(BURST_SIZE);
    for packet in packets {
        burst.push(packet).expect("a burst has room for them");
    }
    burst
}

struct Distributor {
    steer: Steer<MemBuf>,
    outbox: Outbox<MemBuf>,
    workers: Vec<Mailbox<MemBuf>>,
    counters: Counters,
    taken: Vec<Message<MemBuf>>,
}

impl Distributor {
    fn new() -> Self {
        let key: [u8; 40] = Random::new(5).octets();
        let mailboxes = Mailboxes::new(WORKERS.into(), 1, CAPACITY);
        let [outbox] = mailboxes.receivers.try_into().expect("one was asked for");
        let parts = SteerParts {
            classifier: Classifier::default(),
            toeplitz: Toeplitz::new(&key).expect("the key is long enough"),
            directory: FlowDirectory::new(2 * usize::from(FLOWS), WORKERS),
            owners: PortOwners::new(
                PortShares::new(64_000..=64_999, WORKERS.into()).expect("there are enough"),
                Vec::new(),
            ),
            workers: (0..WORKERS.into())
                .map(|worker| (worker, Arc::new(Counters::new())))
                .collect(),
            own: None,
            shared: vec![true],
        };
        Self {
            steer: Steer::new(parts, WORKERS.into(), BURST_SIZE),
            outbox,
            workers: mailboxes.workers,
            counters: Counters::new(),
            taken: Vec::new(),
        }
    }

    /// Makes all flows known, each by a SYN before it; gives back their packets.
    fn introduce(&mut self, frames: &[Box<[u8]>]) -> Vec<MemBuf> {
        let mut packets = Vec::new();
        for frame in frames {
            let mut opening = MemBuf::from_frame(frame);
            // Where it is UDP, this is an octet of payload.
            opening.data_mut()[FLAGS_AT[usize::from(frame[12] == 0x86)]] = Flags::SYN.0;
            let mut burst = burst_of([opening, MemBuf::from_frame(frame)].into_iter());
            self.burst(&mut burst);
            let mut both = Vec::new();
            self.take_out(&mut both);
            assert_eq!(both.len(), 2);
            packets.extend(both.pop());
        }
        packets
    }

    fn burst(&mut self, burst: &mut Burst<MemBuf>) {
        burst.iter().for_each(PacketBuf::prefetch);
        let (now, port) = (Now::from_millis(1), PortId(0));
        self.steer.process(now, port, burst, &self.outbox);
        self.steer.flush(&mut self.outbox, &self.counters);
    }

    fn take_out(&mut self, packets: &mut Vec<MemBuf>) {
        for worker in &mut self.workers {
            worker.receive(CAPACITY, &mut self.taken);
        }
        packets.extend(self.taken.drain(..).map(|message| message.packet));
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
