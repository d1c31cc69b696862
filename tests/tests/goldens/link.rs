//! A port of Weirgate's with a station at the other end of its wire, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use netstack::io::mem::{MemBuf, MemIo, MemPool};
use netstack::io::{Burst, Capabilities, PacketBuf as _, PacketIo};
use netstack::time::Instant;
use netstack::wire::ethernet::MacAddr;

use crate::frames::Macs;
use crate::station::Station;

/// The MAC address of the station on every link.
pub(crate) const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0xee, 1]);

/// How long a frame takes each way together: a whole number of microseconds, so that captures with
/// microseconds lose nothing.
const ROUND_TRIP: Duration = Duration::from_micros(150);

/// A port and its link.
pub(crate) struct Link {
    port: MemIo,
    /// Frames on their way to the port, in the order of their arrival.
    arriving: VecDeque<(Instant, Vec<u8>)>,
    pub(crate) station: Station,
    now: Instant,
}

impl Link {
    /// The link of a port with address `mac`, whose buffers come from `pool`.
    pub(crate) fn new(mac: MacAddr, pool: MemPool) -> Self {
        let macs = Macs {
            source: STATION,
            destination: mac,
        };
        Self {
            port: MemIo::new(mac, 1500, pool),
            arriving: VecDeque::new(),
            station: Station::new(macs),
            now: Instant::ZERO,
        }
    }

    /// Lets a frame arrive at `at`, after those that arrive then already.
    pub(crate) fn deliver(&mut self, at: Instant, frame: Vec<u8>) {
        let position = self.arriving.partition_point(|(other, _)| *other <= at);
        self.arriving.insert(position, (at, frame));
    }
}

impl PacketIo for Link {
    type Buf = MemBuf;

    fn rx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        while self.arriving.front().is_some_and(|(at, _)| *at <= self.now) {
            if let Some((_, frame)) = self.arriving.pop_front() {
                self.port.inject(MemBuf::from_frame(&frame));
            }
        }
        self.port.rx_burst(burst)
    }

    fn tx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let count = self.port.tx_burst(burst);
        while let Some(frame) = self.port.take_sent() {
            for answer in self.station.handle(frame.data()) {
                self.deliver(self.now + ROUND_TRIP, answer);
            }
        }
        count
    }

    fn alloc(&mut self) -> Option<MemBuf> {
        self.port.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        self.port.capabilities()
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
    }

    fn next_event(&self) -> Option<Instant> {
        let waiting = (self.port.pending() > 0).then_some(self.now);
        waiting.or_else(|| self.arriving.front().map(|(at, _)| *at))
    }
}
