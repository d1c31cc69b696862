//! What one worker tells another.
//!
//! Every worker has one bounded queue into which all others put what is theirs to handle: packets
//! of connections that live there, and what was learned about neighbors and paths, as an answer or
//! the word of a router arrives at whatever worker the port chooses. Nothing waits for room: what
//! does not fit is dropped by the sender, which counts it. News may fill half a queue: anybody on
//! the link can make them, and packets of connections must keep room.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use netstack::io::PortId;
use netstack::ip::{V4, V6};
use netstack::neighbor::Heard;
use netstack::tcp::{Flow, PacketTooBig};

/// Something for another worker.
#[derive(Debug)]
pub enum Message<B> {
    /// An IP packet, from its IP header, of a connection that lives there.
    Packet {
        /// The port it arrived on.
        port: PortId,
        /// The packet.
        packet: B,
    },
    /// A router's word about a packet that was too large, of a flow that the sender does not have.
    PacketTooBig(Flow, PacketTooBig),
    /// An answer of an IPv4 neighbor, heard on a port.
    NeighborV4(PortId, Heard<V4>),
    /// An answer of an IPv6 neighbor, heard on a port.
    NeighborV6(PortId, Heard<V6>),
}

/// A worker's end of the queues.
#[derive(Debug)]
pub struct Mailbox<B> {
    own: usize,
    queues: Vec<Arc<ArrayQueue<Message<B>>>>,
}

impl<B> Mailbox<B> {
    /// One mailbox for each of `workers` workers, whose queues hold `capacity` messages.
    pub fn for_workers(workers: usize, capacity: usize) -> Vec<Self> {
        let queues: Vec<_> = (0..workers)
            .map(|_| Arc::new(ArrayQueue::new(capacity.max(1))))
            .collect();
        (0..workers)
            .map(|own| Self {
                own,
                queues: queues.clone(),
            })
            .collect()
    }

    /// The next message for this worker.
    pub fn receive(&self) -> Option<Message<B>> {
        self.queues[self.own].pop()
    }

    /// Whether there is a message for this worker.
    pub fn is_empty(&self) -> bool {
        self.queues[self.own].is_empty()
    }

    /// Gives a message to another worker.
    ///
    /// # Errors
    /// Gives it back if that worker's queue is full, or there is no such worker.
    pub fn send(&self, worker: u16, message: Message<B>) -> Result<(), Message<B>> {
        match self.queues.get(usize::from(worker)) {
            Some(queue) => queue.push(message),
            None => Err(message),
        }
    }

    /// Gives another worker news of a neighbor or a path, unless its queue is more than half full. Other
    /// senders may add to it meanwhile, so news may take a few places of the other half.
    ///
    /// # Errors
    /// Gives them back if there is no room for news, or no such worker.
    pub fn send_news(&self, worker: u16, news: Message<B>) -> Result<(), Message<B>> {
        match self.queues.get(usize::from(worker)) {
            Some(queue) if queue.len() <= queue.capacity() / 2 => queue.push(news),
            _ => Err(news),
        }
    }

    /// The other workers.
    pub fn others(&self) -> impl Iterator<Item = u16> + use<B> {
        let own = self.own;
        (0..self.queues.len())
            .filter(move |worker| *worker != own)
            .filter_map(|worker| u16::try_from(worker).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(packet: u8) -> Message<u8> {
        Message::Packet {
            port: PortId(0),
            packet,
        }
    }

    #[test]
    fn messages_reach_the_worker_they_are_for() {
        let mailboxes = Mailbox::for_workers(3, 4);
        assert!(mailboxes[0].send(2, packet(7)).is_ok());
        assert!(mailboxes[0].is_empty() && mailboxes[1].is_empty());
        assert!(matches!(
            mailboxes[2].receive(),
            Some(Message::Packet { packet: 7, .. })
        ));
        assert!(mailboxes[2].is_empty());
        assert_eq!(mailboxes[1].others().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_full_queue_and_an_unknown_worker_give_the_message_back() {
        let mailboxes = Mailbox::for_workers(2, 1);
        assert!(mailboxes[0].send(1, packet(1)).is_ok());
        assert!(matches!(
            mailboxes[0].send(1, packet(2)),
            Err(Message::Packet { packet: 2, .. })
        ));
        assert!(mailboxes[0].send(9, packet(3)).is_err());
    }

    #[test]
    fn news_leave_half_a_queue_to_packets() {
        let mailboxes = Mailbox::for_workers(2, 8);
        let news = || {
            let about = core::net::Ipv4Addr::new(192, 0, 2, 9);
            let heard = Heard::Answer {
                about,
                mac: None,
                solicited: true,
                override_known: true,
            };
            Message::<u8>::NeighborV4(PortId(0), heard)
        };
        let taken = (0..8).filter(|_| mailboxes[0].send_news(1, news()).is_ok());
        assert_eq!(taken.count(), 5);
        assert!(mailboxes[0].send_news(9, news()).is_err());
        let taken = (0..8).filter(|n| mailboxes[0].send(1, packet(*n)).is_ok());
        assert_eq!(taken.count(), 3);
    }
}
