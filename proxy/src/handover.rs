//! What one worker tells another.
//!
//! From every worker two bounded rings lead to each other one, so that each ring has one writer and
//! one reader: one for packets that are the other's to handle, and one for news, which is what was
//! learned of neighbors and paths, since an answer or the word of a router arrives at whatever
//! worker the port chooses. Anybody on the link can make news, and packets must keep their room.
//!
//! Nothing waits for room: what does not fit is the sender's to drop and to count. Within a ring
//! the order stays. Lcores that only receive have rings to the workers and none from them.

use netstack::io::PortId;
use netstack::ip::{V4, V6};
use netstack::neighbor::Heard;
use netstack::tcp::{Flow, PacketTooBig};
use rtrb::{Consumer, Producer, RingBuffer};

/// News that wait for a worker from one other.
const NEWS_CAPACITY: usize = 256;

/// A packet for another worker.
#[derive(Debug)]
pub struct Message<B> {
    /// The port it arrived on.
    pub port: PortId,
    /// What the packet is, and why it is handed over.
    pub kind: Kind,
    /// The packet.
    pub packet: B,
}

/// What a handed-over packet is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A frame as it was received: whoever received it does so for several workers.
    Frame,
    /// An IP packet, from its IP header, of a connection that lives there.
    Packet,
    /// An IP packet, from its IP header, of a client's connection that none of the workers knows
    /// that were asked before.
    Stray {
        /// How many were asked.
        asked: u16,
    },
}

/// What another worker should know.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// A router's word about a packet that was too large, of a flow that the sender does not have.
    PacketTooBig(Flow, PacketTooBig),
    /// An answer of an IPv4 neighbor, heard on a port.
    NeighborV4(PortId, Heard<V4>),
    /// An answer of an IPv6 neighbor, heard on a port.
    NeighborV6(PortId, Heard<V6>),
}

/// A worker's ends of the rings.
#[derive(Debug)]
pub struct Mailbox<B> {
    own: u16,
    inbox: Inbox<B>,
    outbox: Outbox<B>,
}

/// Rings to workers, by their numbers.
#[derive(Debug)]
pub struct Outbox<B> {
    to: Vec<Option<Slot<B>>>,
}

/// Both rings to one worker.
#[derive(Debug)]
struct Slot<B> {
    packets: Producer<Message<B>>,
    news: Producer<News>,
    /// Packets put into the ring so far.
    sent: u16,
}

/// Rings from all others.
#[derive(Debug)]
struct Inbox<B> {
    from: Vec<(Consumer<Message<B>>, Consumer<News>)>,
    /// Whose packets are looked at first, so that nobody's wait for ever.
    first: usize,
}

/// The rings of all who share some work.
#[derive(Debug)]
pub struct Mailboxes<B> {
    /// One for each worker, in their order.
    pub workers: Vec<Mailbox<B>>,
    /// One for each lcore that only receives.
    pub receivers: Vec<Outbox<B>>,
}

impl<B> Mailboxes<B> {
    /// The rings for `workers` workers and `receivers` lcores that receive for them, each of which
    /// holds `capacity` packets.
    pub fn new(workers: u16, receivers: u16, capacity: usize) -> Self {
        let mut inboxes: Vec<_> = (0..workers).map(|_| Inbox::new()).collect();
        let mut outbox = |own: Option<u16>| Outbox {
            to: (0..workers)
                .map(|to| {
                    let inbox = &mut inboxes[usize::from(to)];
                    (Some(to) != own).then(|| inbox.connect(capacity))
                })
                .collect(),
        };
        let outboxes: Vec<_> = (0..workers).map(|own| outbox(Some(own))).collect();
        let receivers = (0..receivers).map(|_| outbox(None)).collect();
        let workers = (0..).zip(outboxes).zip(inboxes);
        Self {
            workers: workers
                .map(|((own, outbox), inbox)| Mailbox { own, inbox, outbox })
                .collect(),
            receivers,
        }
    }
}

impl<B> Mailbox<B> {
    /// Moves packets for this worker to `packets`, at most `limit` and in the order in which each
    /// sender sent them. Returns how many.
    pub fn receive(&mut self, limit: usize, packets: &mut Vec<Message<B>>) -> usize {
        self.inbox.receive(limit, packets)
    }

    /// The next news for this worker.
    pub fn receive_news(&mut self) -> Option<News> {
        let mut senders = self.inbox.from.iter_mut();
        senders.find_map(|(_, news)| news.pop().ok())
    }

    /// Whether there is nothing for this worker.
    pub fn is_empty(&self) -> bool {
        let mut senders = self.inbox.from.iter();
        senders.all(|(packets, news)| packets.is_empty() && news.is_empty())
    }

    /// The worker whose mailbox it is.
    pub fn own(&self) -> u16 {
        self.own
    }

    /// How many workers there are.
    pub fn workers(&self) -> u16 {
        self.outbox.to.len() as u16
    }

    /// The other workers.
    pub fn others(&self) -> impl Iterator<Item = u16> + use<B> {
        let own = self.own;
        (0..self.workers()).filter(move |worker| *worker != own)
    }

    /// The rings to the other workers.
    pub fn outbox(&self) -> &Outbox<B> {
        &self.outbox
    }

    /// The rings to the other workers.
    pub fn outbox_mut(&mut self) -> &mut Outbox<B> {
        &mut self.outbox
    }

    /// Gives a packet to another worker.
    ///
    /// # Errors
    /// Gives it back if the ring to that worker is full, or there is no such other worker.
    pub fn send(&mut self, worker: u16, message: Message<B>) -> Result<(), Message<B>> {
        self.outbox.send(worker, message)
    }

    /// Gives another worker news of a neighbor or a path.
    ///
    /// # Errors
    /// Gives them back if there is no room for news, or no such other worker.
    pub fn send_news(&mut self, worker: u16, news: News) -> Result<(), News> {
        match self.outbox.slot(worker) {
            Some(slot) => slot.news.push(news).map_err(|_| news),
            None => Err(news),
        }
    }
}

impl<B> Outbox<B> {
    fn slot(&mut self, worker: u16) -> Option<&mut Slot<B>> {
        self.to.get_mut(usize::from(worker))?.as_mut()
    }

    fn send(&mut self, worker: u16, message: Message<B>) -> Result<(), Message<B>> {
        let Some(slot) = self.slot(worker) else {
            return Err(message);
        };
        slot.packets
            .push(message)
            .map_err(|rtrb::PushError::Full(message)| message)?;
        slot.sent = slot.sent.wrapping_add(1);
        Ok(())
    }

    /// Gives packets to a worker all at once, from the front of `messages`, as many as there is room
    /// for. Returns how many; the others stay.
    pub fn send_burst(&mut self, worker: u16, messages: &mut Vec<Message<B>>) -> usize {
        let Some(slot) = self.slot(worker) else {
            return 0;
        };
        let count = slot.packets.slots().min(messages.len());
        let Ok(chunk) = slot.packets.write_chunk_uninit(count) else {
            return 0;
        };
        let sent = chunk.fill_from_iter(messages.drain(..count));
        slot.sent = slot.sent.wrapping_add(sent as u16);
        sent
    }

    /// The number, wrapping, that the packet will have that is sent to `worker` after `ahead` others.
    pub fn next_position(&self, worker: u16, ahead: usize) -> u16 {
        let slot = self.to.get(usize::from(worker)).and_then(Option::as_ref);
        slot.map_or(0, |slot| slot.sent.wrapping_add(ahead as u16))
    }

    /// Packets in the ring to `worker`.
    pub fn waiting(&self, worker: u16) -> usize {
        let slot = self.to.get(usize::from(worker)).and_then(Option::as_ref);
        slot.map_or(0, |slot| {
            slot.packets.buffer().capacity() - slot.packets.slots()
        })
    }
}

impl<B> Inbox<B> {
    fn new() -> Self {
        Self {
            from: Vec::new(),
            first: 0,
        }
    }

    /// New rings that lead here.
    fn connect(&mut self, capacity: usize) -> Slot<B> {
        let (packets, packets_here) = RingBuffer::new(capacity.max(1));
        let (news, news_here) = RingBuffer::new(NEWS_CAPACITY);
        self.from.push((packets_here, news_here));
        Slot {
            packets,
            news,
            sent: 0,
        }
    }

    fn receive(&mut self, limit: usize, packets: &mut Vec<Message<B>>) -> usize {
        let senders = self.from.len();
        let mut left = limit;
        for turn in 0..senders {
            let (ring, _) = &mut self.from[(self.first + turn) % senders];
            let count = ring.slots().min(left);
            if let Ok(chunk) = ring.read_chunk(count) {
                packets.extend(chunk);
                left -= count;
            }
        }
        if senders > 0 {
            self.first = (self.first + 1) % senders;
        }
        limit - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(packet: u8) -> Message<u8> {
        Message {
            port: PortId(0),
            kind: Kind::Packet,
            packet,
        }
    }

    fn mailboxes(workers: u16, capacity: usize) -> Vec<Mailbox<u8>> {
        Mailboxes::new(workers, 0, capacity).workers
    }

    fn received(mailbox: &mut Mailbox<u8>, limit: usize) -> Vec<u8> {
        let mut packets = Vec::new();
        let count = mailbox.receive(limit, &mut packets);
        assert_eq!(count, packets.len());
        packets.into_iter().map(|message| message.packet).collect()
    }

    #[test]
    fn packets_reach_the_worker_they_are_for() {
        let mut mailboxes = mailboxes(3, 4);
        assert!(mailboxes[0].send(2, message(7)).is_ok());
        assert!(mailboxes[0].is_empty() && mailboxes[1].is_empty());
        assert!(!mailboxes[2].is_empty());
        assert_eq!(received(&mut mailboxes[2], 9), [7]);
        assert!(mailboxes[2].is_empty());
        assert_eq!(mailboxes[1].others().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn a_full_ring_and_an_unknown_worker_give_the_packet_back() {
        let mut mailboxes = mailboxes(3, 1);
        assert!(mailboxes[0].send(1, message(1)).is_ok());
        assert_eq!(mailboxes[0].send(1, message(2)).unwrap_err().packet, 2);
        assert!(mailboxes[0].send(0, message(3)).is_err());
        assert!(mailboxes[0].send(9, message(3)).is_err());
        // The ring of another sender is not full.
        assert!(mailboxes[2].send(1, message(4)).is_ok());
        assert_eq!(received(&mut mailboxes[1], 9), [1, 4]);
    }

    #[test]
    fn senders_take_turns() {
        let mut mailboxes = mailboxes(3, 8);
        for packet in 0..8 {
            mailboxes[0].send(2, message(packet)).unwrap();
            mailboxes[1].send(2, message(10 + packet)).unwrap();
        }
        assert_eq!(received(&mut mailboxes[2], 4), [0, 1, 2, 3]);
        assert_eq!(received(&mut mailboxes[2], 4), [10, 11, 12, 13]);
        assert_eq!(received(&mut mailboxes[2], 5), [4, 5, 6, 7, 14]);
    }

    #[test]
    fn bursts_fill_a_ring_and_leave_the_rest() {
        let Mailboxes {
            mut workers,
            mut receivers,
        } = Mailboxes::new(1, 1, 4);
        let mut burst: Vec<_> = (0..6).map(message).collect();
        assert_eq!(receivers[0].next_position(0, 2), 2);
        assert_eq!(receivers[0].send_burst(0, &mut burst), 4);
        assert_eq!(burst.len(), 2);
        assert_eq!(receivers[0].waiting(0), 4);
        assert_eq!(receivers[0].next_position(0, 0), 4);
        assert_eq!(received(&mut workers[0], 3), [0, 1, 2]);
        assert_eq!(receivers[0].waiting(0), 1);
        assert_eq!(receivers[0].send_burst(0, &mut burst), 2);
        assert_eq!(received(&mut workers[0], 9), [3, 4, 5]);
        assert_eq!(receivers[0].send_burst(3, &mut vec![message(1)]), 0);
    }

    #[test]
    fn news_have_rings_of_their_own() {
        let mut mailboxes = mailboxes(2, 8);
        let heard = Heard::Answer {
            about: core::net::Ipv4Addr::new(192, 0, 2, 9),
            mac: None,
            solicited: true,
            override_known: true,
        };
        let news = News::NeighborV4(PortId(0), heard);
        let taken = (0..300).filter(|_| mailboxes[0].send_news(1, news).is_ok());
        assert_eq!(taken.count(), NEWS_CAPACITY);
        assert!(mailboxes[0].send_news(9, news).is_err());
        assert!(mailboxes[0].send(1, message(1)).is_ok());
        assert!(matches!(
            mailboxes[1].receive_news(),
            Some(News::NeighborV4(PortId(0), _))
        ));
    }
}
