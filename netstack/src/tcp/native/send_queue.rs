//! What is to be sent: chunks of payload, held until the peer has acknowledged them.
//!
//! In: chunks from the session, by reference; small ones are copied behind the one before. Out:
//! pieces of them by sequence number, for a segment sent first or again.

use core::ops::Range;

use super::gather;
use super::queue::Queue;
use crate::io::Payload;
use crate::tcp::seq;

/// A chunk and where it stands in the stream.
#[derive(Debug)]
struct Queued<P> {
    seq: u32,
    payload: P,
}

impl<P: Payload> Queued<P> {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.payload.octets().len() as u32)
    }
}

/// Octets queued to be sent or to be acknowledged.
#[derive(Debug)]
pub(super) struct SendQueue<P> {
    chunks: Queue<Queued<P>>,
    /// The first number that is not acknowledged.
    start: u32,
    /// The number after the last octet.
    end: u32,
}

impl<P: Payload> SendQueue<P> {
    /// An empty queue whose first octet will have the number `start`.
    pub(super) fn new(start: u32) -> Self {
        Self {
            chunks: Queue::default(),
            start,
            end: start,
        }
    }

    /// The number after the last octet.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Octets that are not acknowledged.
    pub(super) fn len(&self) -> u32 {
        self.end.wrapping_sub(self.start)
    }

    /// The oldest chunk.
    pub(super) fn first(&self) -> Option<&P> {
        self.chunks.front().map(|chunk| &chunk.payload)
    }

    /// Buffers that are held.
    pub(super) fn buffers(&self) -> usize {
        self.chunks.len()
    }

    /// Adds a chunk at the end; an empty one is dropped.
    pub(super) fn push(&mut self, payload: P) {
        let len = payload.octets().len() as u32;
        if len > 0 {
            self.chunks.push_back(Queued {
                seq: self.end,
                payload,
            });
            self.end = self.end.wrapping_add(len);
        }
    }

    /// Adds a chunk at the end, or its octets behind the last chunk if they can be gathered there.
    pub(super) fn push_gathered(&mut self, payload: P) {
        if !self.gather(payload.octets()) {
            self.push(payload);
        }
    }

    /// Copies octets behind the last chunk, if they are few and its buffer has room and is nobody
    /// else's.
    pub(super) fn gather(&mut self, octets: &[u8]) -> bool {
        let last = self.chunks.back_mut();
        let gathered = last.is_some_and(|last| gather::gathered(&mut last.payload, octets));
        if gathered {
            self.end = self.end.wrapping_add(octets.len() as u32);
        }
        gathered
    }

    /// Lets go of everything before `una`.
    pub(super) fn release(&mut self, una: u32) {
        while self
            .chunks
            .front()
            .is_some_and(|first| seq::le(first.end(), una))
        {
            self.chunks.pop_front();
        }
        let una = if seq::lt(self.end, una) {
            self.end
        } else {
            una
        };
        if seq::lt(self.start, una) {
            self.start = una;
        }
    }

    /// The chunks that hold the octets from `seq` on, at most `len`, and which part of each.
    pub(super) fn pieces(&self, seq: u32, len: u32) -> impl Iterator<Item = (&P, Range<usize>)> {
        let end = seq.wrapping_add(len);
        let first = self
            .chunks
            .partition_point(|chunk| seq::le(chunk.end(), seq));
        (first..)
            .map_while(|index| self.chunks.get(index))
            .take_while(move |chunk| seq::lt(chunk.seq, end))
            .map(move |chunk| {
                let from = if seq::lt(chunk.seq, seq) {
                    seq.wrapping_sub(chunk.seq) as usize
                } else {
                    0
                };
                let all = chunk.payload.octets().len();
                let to = (end.wrapping_sub(chunk.seq) as usize).min(all);
                (&chunk.payload, from..to)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::PacketBuf;
    use crate::io::mem::{MemBuf, MemPool};

    fn payload(octets: &[u8]) -> <MemBuf as PacketBuf>::Payload {
        MemBuf::from_frame(octets).into_payload()
    }

    fn read(queue: &SendQueue<<MemBuf as PacketBuf>::Payload>, seq: u32, len: u32) -> Vec<u8> {
        queue
            .pieces(seq, len)
            .flat_map(|(payload, part)| payload.octets()[part].to_vec())
            .collect()
    }

    #[test]
    fn pieces_are_found_by_number_across_the_wrap() {
        let start = 0u32.wrapping_sub(4);
        let mut queue = SendQueue::new(start);
        for chunk in [&b"abc"[..], b"defgh", b"", b"ij"] {
            queue.push(payload(chunk));
        }
        assert_eq!((queue.len(), queue.buffers()), (10, 3));
        assert_eq!(read(&queue, start, 100), b"abcdefghij");
        assert_eq!(read(&queue, start.wrapping_add(2), 4), b"cdef");
        assert_eq!(read(&queue, start.wrapping_add(8), 1), b"i");
        queue.release(start.wrapping_add(4));
        assert_eq!((queue.len(), queue.buffers()), (6, 2));
        assert_eq!(read(&queue, start.wrapping_add(4), 3), b"efg");
        queue.release(start.wrapping_add(11));
        assert_eq!((queue.len(), queue.buffers()), (0, 0));
    }

    #[test]
    fn few_octets_join_a_buffer_that_has_room() {
        let pool = MemPool::new(1, 1000);
        let mut first = pool.alloc().unwrap();
        first.append(3).unwrap().copy_from_slice(b"abc");
        let mut queue = SendQueue::new(0);
        assert!(!queue.gather(b"x"));
        queue.push(first.into_payload());
        assert!(queue.gather(b"de"));
        queue.push_gathered(payload(b"f"));
        assert_eq!(read(&queue, 1, 9), b"bcdef");
        assert_eq!(queue.buffers(), 1);
        queue.push_gathered(payload(&[0; gather::SMALL]));
        assert_eq!(
            (queue.buffers(), queue.len()),
            (2, 6 + gather::SMALL as u32)
        );
    }
}
