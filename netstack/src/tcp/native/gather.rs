//! Payloads that follow one another in the stream, and small ones put together.
//!
//! A payload holds a whole packet buffer. A peer that sends octet by octet would make us hold a
//! buffer for each, two thousand times what the window accounts for. So a small payload is copied
//! behind the one before it while there is room in that one's buffer; the copy costs no more than
//! the headers of its packet did.

use super::queue::Queue;
use crate::io::Payload;

/// Payloads of fewer octets are gathered.
pub(super) const SMALL: usize = 256;

/// Puts `payload` behind all others.
pub(super) fn push_back<P: Payload>(queue: &mut Queue<P>, payload: P) {
    if let Some(last) = queue.back_mut()
        && gathered(last, payload.octets())
    {
        return;
    }
    queue.push_back(payload);
}

/// Puts `payload` before all others.
pub(super) fn push_front<P: Payload>(queue: &mut Queue<P>, mut payload: P) {
    if let Some(first) = queue.front_mut()
        && gathered(&mut payload, first.octets())
    {
        *first = payload;
        return;
    }
    queue.push_front(payload);
}

/// Puts all of `behind` behind all of `queue`.
pub(super) fn append<P: Payload>(queue: &mut Queue<P>, mut behind: Queue<P>) {
    if let (Some(last), Some(next)) = (queue.back_mut(), behind.front())
        && gathered(last, next.octets())
    {
        behind.pop_front();
    }
    queue.append(behind);
}

/// Copies `octets` behind `payload` if they are few and there is room.
pub(super) fn gathered<P: Payload>(payload: &mut P, octets: &[u8]) -> bool {
    octets.len() < SMALL && payload.append(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::PacketBuf;
    use crate::io::mem::{MemPayload, MemPool};

    fn payload(pool: &MemPool, octets: &[u8]) -> MemPayload {
        let mut buf = pool.alloc().unwrap();
        buf.append(octets.len()).unwrap().copy_from_slice(octets);
        buf.into_payload()
    }

    fn stream(queue: &Queue<MemPayload>) -> Vec<u8> {
        queue.iter().flat_map(Payload::octets).copied().collect()
    }

    #[test]
    fn small_payloads_share_a_buffer_whichever_way_they_come() {
        let pool = MemPool::new(8, 1500);
        let mut queue = Queue::default();
        push_back(&mut queue, payload(&pool, b"cd"));
        push_back(&mut queue, payload(&pool, b"ef"));
        push_front(&mut queue, payload(&pool, b"ab"));
        let mut behind = Queue::default();
        push_back(&mut behind, payload(&pool, b"gh"));
        append(&mut queue, behind);
        assert_eq!(stream(&queue), b"abcdefgh");
        assert_eq!((queue.len(), pool.available()), (1, 7));
        queue.clear();
        assert_eq!(pool.available(), 8);
    }

    #[test]
    fn large_payloads_and_shared_buffers_stay_apart() {
        let pool = MemPool::new(8, 1500);
        let mut queue = Queue::default();
        push_back(&mut queue, payload(&pool, b"a"));
        push_back(&mut queue, payload(&pool, &[1; SMALL]));
        assert_eq!(queue.len(), 2);
        let shared = queue.back_mut().unwrap().share();
        push_back(&mut queue, payload(&pool, b"b"));
        assert_eq!(queue.len(), 3);
        drop(shared);
        push_back(&mut queue, payload(&pool, b"c"));
        assert_eq!(queue.len(), 3);
        assert_eq!(stream(&queue), [b"a", &[1; SMALL][..], b"bc"].concat());
    }

    #[test]
    fn a_payload_without_room_behind_it_is_left_alone() {
        let pool = MemPool::new(8, 300);
        let mut queue = Queue::default();
        for _ in 0..3 {
            push_back(&mut queue, payload(&pool, &[7; 200]));
        }
        assert_eq!(queue.len(), 3);
        assert_eq!(stream(&queue), [7; 600]);
    }
}
