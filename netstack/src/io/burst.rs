//! A burst: packets handled together, in a buffer that never grows.

use std::collections::VecDeque;
use std::collections::vec_deque::Drain;

/// Packets handled together: what one `rx_burst` takes from a queue.
pub const BURST_SIZE: usize = 64;

/// A first-in first-out sequence of packets with a capacity fixed at creation.
///
/// Used both for what one turn receives and for the lanes in which packets wait to be sent.
#[derive(Debug)]
pub struct Burst<B> {
    packets: VecDeque<B>,
    capacity: usize,
}

impl<B> Burst<B> {
    /// An empty burst that holds at most `capacity` packets. The only allocation.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            packets: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    /// Gives the packet back if the burst is full.
    pub fn push(&mut self, packet: B) -> Result<(), B> {
        if self.packets.len() == self.capacity {
            return Err(packet);
        }
        self.packets.push_back(packet);
        Ok(())
    }

    /// Takes the packet at the front.
    pub fn pop_front(&mut self) -> Option<B> {
        self.packets.pop_front()
    }

    /// Takes the first `count` packets (at most all), in order.
    pub fn drain_front(&mut self, count: usize) -> Drain<'_, B> {
        self.packets.drain(..count.min(self.packets.len()))
    }

    /// The packets in order, without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &B> {
        self.packets.iter()
    }

    /// The packets in order, to be changed where they are.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut B> {
        self.packets.iter_mut()
    }

    /// How many packets are in the burst.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether there is no packet in the burst.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// How many packets still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.packets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_burst_gives_the_packet_back() {
        let mut burst = Burst::with_capacity(2);
        assert_eq!(burst.push(1), Ok(()));
        assert_eq!(burst.push(2), Ok(()));
        assert_eq!(burst.push(3), Err(3));
        assert_eq!(burst.room(), 0);
    }

    #[test]
    fn order_is_kept_when_the_front_is_drained() {
        let mut burst = Burst::with_capacity(4);
        for packet in 0..4 {
            burst.push(packet).unwrap();
        }
        assert_eq!(burst.drain_front(2).collect::<Vec<_>>(), [0, 1]);
        burst.push(4).unwrap();
        assert_eq!(burst.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(burst.pop_front(), Some(2));
        assert_eq!(burst.drain_front(9).count(), 2);
        assert!(burst.is_empty());
    }
}
