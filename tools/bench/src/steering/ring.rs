//! The ring in which one lcore gives packets to another: one writer, one reader, bounded.

use netstack::io::PortId;
use rtrb::{Consumer, Producer, RingBuffer};

/// A packet on its way: the port where it arrived, and its frame.
pub type Item = (PortId, Box<[u8]>);

/// The writer's end.
#[derive(Debug)]
pub struct Sender {
    ring: Producer<Item>,
    /// Packets put in so far.
    sent: u16,
}

/// The reader's end.
#[derive(Debug)]
pub struct Receiver {
    ring: Consumer<Item>,
}

/// A ring that holds up to `capacity` packets.
pub fn ring(capacity: usize) -> (Sender, Receiver) {
    let (sender, receiver) = RingBuffer::new(capacity);
    (
        Sender {
            ring: sender,
            sent: 0,
        },
        Receiver { ring: receiver },
    )
}

impl Sender {
    /// Puts as many packets into the ring as there is room for, from the front of `packets`.
    pub fn send(&mut self, packets: &mut Vec<Item>) {
        let count = self.ring.slots().min(packets.len());
        if let Ok(chunk) = self.ring.write_chunk_uninit(count) {
            let sent = chunk.fill_from_iter(packets.drain(..count));
            self.sent = self.sent.wrapping_add(sent as u16);
        }
    }

    /// The number, wrapping, of the next packet.
    pub fn next_position(&self) -> u16 {
        self.sent
    }

    /// Packets in the ring.
    pub fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }
}

impl Receiver {
    /// Takes up to `limit` packets out of the ring.
    pub fn receive(&mut self, limit: usize, packets: &mut Vec<Item>) {
        let count = self.ring.slots().min(limit);
        if let Ok(chunk) = self.ring.read_chunk(count) {
            packets.extend(chunk);
        }
    }

    /// Whether the writer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_as_they_went_in() {
        let (mut sender, mut receiver) = ring(3);
        let item = |octet| (PortId(7), Box::from([octet]));
        let mut packets = (0..5).map(item).collect();
        sender.send(&mut packets);
        assert_eq!((packets.len(), sender.next_position()), (2, 3));
        assert_eq!(sender.waiting(), 3);
        let mut received = Vec::new();
        receiver.receive(2, &mut received);
        assert_eq!(received, [item(0), item(1)]);
        assert_eq!(sender.waiting(), 1);
    }
}
