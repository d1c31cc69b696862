//! An lcore that only receives: it hands every frame to one of the workers it is paired with.
//!
//! For devices with fewer receive queues than workers, and for those who want the cores that
//! receive apart from those that run TCP. It sends nothing and has no connections.

use std::sync::Arc;

use netstack::counters::{Counters, Event};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo, PortId};
use netstack::time::Instant;

use crate::handover::Outbox;
use crate::pipeline::parse;
use crate::pipeline::steer::Steer;
use crate::worker::{Command, Commands, Turn};

/// What a receiver is made of.
#[derive(Debug)]
pub struct ReceiverParts<Io: PacketIo> {
    /// Its queues of each port, in configured order.
    pub ios: Vec<Io>,
    /// Decides whose a frame is.
    pub steer: Steer<Io::Buf>,
    /// Rings to the workers.
    pub outbox: Outbox<Io::Buf>,
    /// What the control thread says.
    pub commands: Commands,
    /// What it counts.
    pub counters: Arc<Counters>,
}

/// One lcore that only receives.
#[derive(Debug)]
pub struct Receiver<Io: PacketIo> {
    parts: ReceiverParts<Io>,
    burst: Burst<Io::Buf>,
    finished: bool,
}

impl<Io: PacketIo> Receiver<Io> {
    /// A receiver of these parts.
    pub fn new(parts: ReceiverParts<Io>) -> Self {
        Self {
            parts,
            burst: Burst::with_capacity(BURST_SIZE),
            finished: false,
        }
    }

    /// One turn.
    pub fn poll_once(&mut self, now: Instant) -> Turn {
        let ReceiverParts {
            ios,
            steer,
            outbox,
            commands,
            counters,
        } = &mut self.parts;
        let mut received = 0;
        for (port, io) in (0..).zip(&mut *ios) {
            io.begin_turn(now);
            let count = io.rx_burst(&mut self.burst);
            received += count;
            self.burst.iter().for_each(PacketBuf::prefetch);
            parse::count_received(&self.burst, counters);
            steer.process(now, PortId(port), &mut self.burst, outbox);
        }
        steer.flush(outbox, counters);
        while let Ok(command) = commands.receiver.try_recv() {
            // Workers drain with what they receive; a receiver goes on until none needs it.
            self.finished |= command == Command::Finish;
        }
        counters.increment(Event::Turns);
        if received == 0 {
            counters.increment(Event::IdleTurns);
        }
        Turn {
            busy: received > 0,
            next: ios.iter().filter_map(PacketIo::next_event).min(),
            finished: self.finished,
        }
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.parts.counters
    }

    /// Its queues of a port.
    pub fn io_mut(&mut self, port: PortId) -> &mut Io {
        &mut self.parts.ios[usize::from(port.0)]
    }

    /// Gives the queues back, in the order of the ports.
    pub fn into_ios(self) -> Vec<Io> {
        self.parts.ios
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use netstack::drop::DropReason;
    use netstack::io::mem::{MemBuf, MemIo, MemPool};
    use netstack::wire::ethernet::MacAddr;

    use super::*;
    use crate::assemble::{Assembly, Queues, assemble};
    use crate::config::Config;
    use crate::layout::{Layout, PortLayout};
    use crate::secret::Secrets;

    const CONFIG: &str = r#"
        [runtime]
        lcores = [0, 0, 0]
        [dpdk]
        vdevs = ["net_ring0"]
        [[port]]
        name = "edge"
        device = "net_ring0"
        addresses = ["192.0.2.1/24"]
        [[listener]]
        name = "web"
        addresses = ["192.0.2.1:80"]
        backend_group = "group"
        [[backend_group]]
        name = "group"
        [[backend_group.backend]]
        address = "192.0.2.100:8080"
    "#;

    fn io() -> MemIo {
        MemIo::new(MacAddr([2, 0, 0, 0, 0, 1]), 1500, MemPool::new(64, 1500))
    }

    /// Three workers, of which the receiver serves the last two.
    fn assembly() -> Assembly<MemIo> {
        let (config, _) = Config::parse(CONFIG, Path::new("receiver.toml")).unwrap();
        let queues = Queues {
            layout: Layout {
                ports: vec![PortLayout::default()],
                receivers: vec![vec![1, 2]],
                flows: 64,
                handover: 64,
                vxlan_port: Layout::DEFAULT_VXLAN_PORT,
                connection_packets: None,
            },
            workers: (0..3).map(|_| vec![io()]).collect(),
            receivers: vec![vec![io()]],
        };
        assemble(&config, &Secrets::from_seed(1), queues, Instant::ZERO).unwrap()
    }

    /// A SYN to the listener from this port; with a checksum of TCP that is wrong, which is for
    /// the worker to find.
    fn syn(sport: u8) -> MemBuf {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0];
        frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        frame.extend([192, 0, 2, 9, 192, 0, 2, 1]);
        frame.extend([
            16, sport, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 32, 0, 0, 0, 0, 0,
        ]);
        MemBuf::from_frame(&frame)
    }

    #[test]
    fn flows_go_to_the_workers_of_the_receiver_and_stay_there() {
        let mut assembly = assembly();
        let receiver = &mut assembly.receivers[0];
        for _ in 0..2 {
            for sport in 0..20 {
                receiver.parts.ios[0].inject(syn(sport));
            }
            assert!(receiver.poll_once(Instant::ZERO).busy);
        }
        let counters = Arc::clone(receiver.counters());
        assert_eq!(counters.event(Event::RxFrames), 40);
        assert_eq!(counters.event(Event::Distributed), 40);
        let taken: Vec<_> = assembly
            .workers
            .iter_mut()
            .map(|worker| {
                worker.poll_once(Instant::ZERO);
                worker.counters().event(Event::TakenOver)
            })
            .collect();
        assert_eq!(taken, [0, 20, 20]);
    }

    #[test]
    fn what_no_ring_takes_is_counted_and_the_end_is_obeyed() {
        let mut assembly = assembly();
        let receiver = &mut assembly.receivers[0];
        for round in 0..4 {
            for sport in 0..50 {
                receiver.parts.ios[0].inject(syn(round * 50 + sport));
            }
            receiver.poll_once(Instant::ZERO);
        }
        // Two rings of 64.
        let counters = Arc::clone(receiver.counters());
        assert_eq!(counters.event(Event::Distributed), 128);
        assert_eq!(counters.drops(DropReason::HandoverFull), 200 - 128);
        assert!(!receiver.poll_once(Instant::ZERO).finished);
        assembly.control.tell_all(&Command::Finish);
        assert!(assembly.receivers[0].poll_once(Instant::ZERO).finished);
    }
}
