//! All queues of one port that a worker has to do with, as one.
//!
//! *In*: the receive queues that the worker serves, and how it sends on the port. *Out*: a
//! [`PacketIo`], so the worker itself knows of one queue pair for each port.
//!
//! * **Receiving.** A port may have a queue for each class of traffic and worker. They are asked in
//!   turn, each first as often as the others, so that a flood of one class cannot shut the others
//!   out.
//! * **Sending.** A device may have fewer transmit queues than there are workers. Those without one
//!   borrow another worker's: their frames go over a bounded ring to it, which sends them at the
//!   beginning of its turn. What does not fit stays with the sender, as it does before a full queue.

use netstack::io::{BURST_SIZE, Burst, Capabilities, PacketIo};
use netstack::time::Instant;
use rtrb::{Consumer, Producer, RingBuffer};

/// Room in a burst with which every driver still receives: some handle so many frames at once.
const LEAST_ROOM: usize = BURST_SIZE / 2;

/// Frames of one borrower that may wait for the worker whose transmit queue it is.
const LENT_CAPACITY: usize = 512;

/// The queues of a port, to one worker.
#[derive(Debug)]
pub struct PortQueues<Io: PacketIo> {
    /// Those that receive. The first one also lends buffers and, if it is its own, sends.
    queues: Vec<Io>,
    sending: Sending<Io::Buf>,
    /// The queue that is asked first.
    first: usize,
}

/// How a worker sends on a port.
#[derive(Debug)]
enum Sending<B> {
    /// On a queue of its own, which others may borrow.
    Own {
        borrowers: Vec<Consumer<B>>,
        /// Frames of borrowers that the queue has not taken yet.
        waiting: Burst<B>,
    },
    /// On another worker's.
    Borrowed(Producer<B>),
}

impl<Io: PacketIo> PortQueues<Io> {
    /// For a worker that sends and receives on `pair`, and receives on `others` too. Either may be
    /// a queue on which nothing ever arrives.
    pub fn new(pair: Io, others: impl IntoIterator<Item = Io>) -> Self {
        Self {
            queues: core::iter::once(pair).chain(others).collect(),
            sending: Sending::Own {
                borrowers: Vec::new(),
                waiting: Burst::with_capacity(BURST_SIZE),
            },
            first: 0,
        }
    }

    /// From now on sends on the queue of `lender`, of the same port. A lender that borrows itself
    /// lends nothing: then nothing changes, and this is `false`.
    pub fn borrow_from(&mut self, lender: &mut Self) -> bool {
        let Sending::Own { borrowers, .. } = &mut lender.sending else {
            return false;
        };
        let (to_lender, from_us) = RingBuffer::new(LENT_CAPACITY);
        borrowers.push(from_us);
        self.sending = Sending::Borrowed(to_lender);
        true
    }

    /// The queues, the one that sends first.
    pub fn queues(&self) -> &[Io] {
        &self.queues
    }

    /// The same, to be changed.
    pub fn queues_mut(&mut self) -> &mut [Io] {
        &mut self.queues
    }

    /// Frames of borrowers that the queue has not taken yet.
    pub fn lent(&self) -> usize {
        match &self.sending {
            Sending::Own { borrowers, waiting } => {
                waiting.len() + borrowers.iter().map(Consumer::slots).sum::<usize>()
            }
            Sending::Borrowed(_) => 0,
        }
    }

    /// Gives the queues back, the one that sends first, after a last try to send what is left of
    /// the borrowers.
    pub fn into_queues(mut self) -> Vec<Io> {
        self.send_for_borrowers();
        self.queues
    }

    /// Sends what borrowers have left.
    fn send_for_borrowers(&mut self) {
        let Sending::Own { borrowers, waiting } = &mut self.sending else {
            return;
        };
        let Some(queue) = self.queues.first_mut() else {
            return;
        };
        for ring in borrowers {
            // More than once, as a ring holds more than a burst.
            loop {
                let count = ring.slots().min(waiting.room());
                if let Ok(frames) = ring.read_chunk(count) {
                    for frame in frames {
                        // There is room for each.
                        let _ = waiting.push(frame);
                    }
                }
                if waiting.is_empty() || queue.tx_burst(waiting) == 0 {
                    break;
                }
            }
        }
    }
}

impl<Io: PacketIo> PacketIo for PortQueues<Io> {
    type Buf = Io::Buf;

    fn rx_burst(&mut self, burst: &mut Burst<Io::Buf>) -> usize {
        let before = burst.len();
        let queues = self.queues.len();
        for turn in 0..queues {
            if turn > 0 && burst.room() < LEAST_ROOM {
                self.first = (self.first + turn) % queues;
                return burst.len() - before;
            }
            self.queues[(self.first + turn) % queues].rx_burst(burst);
        }
        self.first = (self.first + 1) % queues.max(1);
        burst.len() - before
    }

    fn tx_burst(&mut self, burst: &mut Burst<Io::Buf>) -> usize {
        match &mut self.sending {
            Sending::Own { .. } => self.queues[0].tx_burst(burst),
            Sending::Borrowed(ring) => {
                let count = ring.slots().min(burst.len());
                let chunk = ring.write_chunk_uninit(count);
                chunk.map_or(0, |chunk| chunk.fill_from_iter(burst.drain_front(count)))
            }
        }
    }

    fn alloc(&mut self) -> Option<Io::Buf> {
        self.queues[0].alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        self.queues[0].capabilities()
    }

    fn begin_turn(&mut self, now: Instant) {
        for queue in &mut self.queues {
            queue.begin_turn(now);
        }
        self.send_for_borrowers();
    }

    fn next_event(&self) -> Option<Instant> {
        if self.lent() > 0 {
            return Some(Instant::ZERO);
        }
        let events = self.queues.iter().filter_map(PacketIo::next_event);
        events.min()
    }
}

#[cfg(test)]
mod tests {
    use netstack::io::PacketBuf;
    use netstack::io::mem::{MemBuf, MemIo, MemPool};
    use netstack::wire::ethernet::MacAddr;

    use super::*;

    fn queue() -> MemIo {
        MemIo::new(MacAddr([2, 0, 0, 0, 0, 1]), 1500, MemPool::new(4, 1500))
    }

    fn frame(mark: u8) -> MemBuf {
        MemBuf::from_frame(&[mark; 60])
    }

    fn received(queues: &mut PortQueues<MemIo>) -> Vec<u8> {
        let mut burst = Burst::with_capacity(BURST_SIZE);
        let count = queues.rx_burst(&mut burst);
        assert_eq!(count, burst.len());
        burst.iter().map(|frame| frame.data()[0]).collect()
    }

    #[test]
    fn a_flooded_queue_leaves_turns_to_the_others() {
        let mut queues = PortQueues::new(queue(), [queue(), queue()]);
        for _ in 0..BURST_SIZE * 3 {
            queues.queues[0].inject(frame(0));
        }
        queues.queues[1].inject(frame(1));
        queues.queues[2].inject(frame(2));
        let first = received(&mut queues);
        assert_eq!(first, [0; BURST_SIZE]);
        let second = received(&mut queues);
        assert_eq!(second[..2], [1, 2]);
        assert_eq!(second.len(), BURST_SIZE);
        assert_eq!(received(&mut queues).len(), BURST_SIZE);
        assert_eq!(received(&mut queues), [0, 0]);
        assert!(received(&mut queues).is_empty());
    }

    fn sent(queues: &mut PortQueues<MemIo>) -> Vec<u8> {
        let sent = core::iter::from_fn(|| queues.queues[0].take_sent());
        sent.map(|frame| frame.data()[0]).collect()
    }

    fn send(queues: &mut PortQueues<MemIo>, marks: core::ops::Range<u8>) -> usize {
        let mut burst = Burst::with_capacity(1024);
        for mark in marks {
            burst.push(frame(mark)).unwrap();
        }
        queues.tx_burst(&mut burst)
    }

    #[test]
    fn a_borrower_sends_through_its_lender() {
        let mut lender = PortQueues::new(queue(), []);
        let mut borrower = PortQueues::new(queue(), []);
        assert!(borrower.borrow_from(&mut lender));
        assert_eq!(send(&mut borrower, 0..100), 100);
        assert_eq!(send(&mut lender, 100..102), 2);
        assert_eq!(lender.next_event(), Some(Instant::ZERO));
        assert_eq!(sent(&mut lender), [100, 101]);
        lender.begin_turn(Instant::ZERO);
        assert_eq!(sent(&mut lender), (0..100).collect::<Vec<_>>());
        assert!(sent(&mut borrower).is_empty());
        assert_eq!(lender.next_event(), None);
        // What is borrowed is not lent on.
        let mut third = PortQueues::new(queue(), []);
        assert!(!third.borrow_from(&mut borrower));
    }

    #[test]
    fn a_full_queue_keeps_order_and_stops_the_borrower() {
        let mut lender = PortQueues::new(queue(), []);
        let mut borrower = PortQueues::new(queue(), []);
        borrower.borrow_from(&mut lender);
        lender.queues[0].set_tx_limit(10);
        assert_eq!(send(&mut borrower, 0..200), 200);
        assert_eq!(send(&mut borrower, 0..200), 200);
        assert_eq!(send(&mut borrower, 0..200), LENT_CAPACITY - 400);
        assert_eq!(send(&mut borrower, 0..1), 0);
        lender.begin_turn(Instant::ZERO);
        assert_eq!(sent(&mut lender), (0..10).collect::<Vec<_>>());
        lender.queues[0].set_tx_limit(1024);
        lender.begin_turn(Instant::ZERO);
        let rest = sent(&mut lender);
        assert_eq!(rest[..3], [10, 11, 12]);
        assert_eq!(rest.len(), LENT_CAPACITY - 10);
    }
}
