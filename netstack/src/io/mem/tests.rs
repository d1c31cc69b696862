use proptest::prelude::*;

use super::*;
use crate::io::{PacketBuf, Payload, TxOffload};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

#[test]
fn buffers_return_to_the_pool() {
    let pool = MemPool::new(2, 1500);
    let first = pool.alloc().unwrap();
    let second = pool.alloc().unwrap();
    assert!(pool.alloc().is_none());
    drop(first);
    assert_eq!(pool.available(), 1);
    drop(second);
    assert_eq!(pool.available(), 2);
}

#[test]
fn buffers_grow_and_shrink_at_both_ends() {
    let mut buf = MemPool::new(1, 100).alloc().unwrap();
    buf.append(4).unwrap().copy_from_slice(b"data");
    buf.prepend(2).unwrap()[..2].copy_from_slice(b"a ");
    assert_eq!(buf.data(), b"a data");
    buf.trim_front(2);
    buf.truncate(3);
    assert_eq!(buf.data(), b"dat");
    assert!(buf.prepend(HEADROOM + 1).is_none());
    assert!(buf.append(buf.tailroom() + 1).is_none());
    buf.trim_front(99);
    assert_eq!(buf.data(), b"");
}

#[test]
fn a_full_transmit_queue_leaves_the_rest_in_the_burst() {
    let mut io = MemIo::new(MAC, 1500, MemPool::new(8, 1500));
    io.set_tx_limit(1);
    let mut burst = Burst::with_capacity(4);
    for octet in 0..3 {
        burst.push(MemBuf::from_frame(&[octet])).unwrap();
    }
    assert_eq!(io.tx_burst(&mut burst), 1);
    assert_eq!(burst.len(), 2);
    assert_eq!(io.take_sent().unwrap().data(), [0]);
    assert_eq!(io.tx_burst(&mut burst), 1);
    assert_eq!(io.take_sent().unwrap().data(), [1]);
}

#[test]
fn a_burst_takes_what_fits() {
    let mut io = MemIo::new(MAC, 1500, MemPool::new(8, 1500));
    for octet in 0..3 {
        io.inject(MemBuf::from_frame(&[octet]));
    }
    let mut burst = Burst::with_capacity(2);
    assert_eq!(io.rx_burst(&mut burst), 2);
    assert_eq!(io.pending(), 1);
}

/// A frame from `pool` that holds `octets`.
fn frame(pool: &MemPool, octets: &[u8]) -> MemBuf {
    let mut buf = pool.alloc().unwrap();
    buf.append(octets.len()).unwrap().copy_from_slice(octets);
    buf
}

fn whole(buf: &MemBuf) -> Vec<u8> {
    buf.pieces().collect::<Vec<_>>().concat()
}

#[test]
fn a_buffer_goes_back_with_its_last_handle_or_frame() {
    let pool = MemPool::new(3, 100);
    let mut payload = frame(&pool, b"header payload").into_payload();
    payload.trim_front(7);
    let other = payload.share();
    let mut carrier = frame(&pool, b"new ");
    assert!(carrier.attach(&payload));
    assert_eq!(pool.available(), 1);
    drop(payload);
    drop(other);
    assert_eq!(pool.available(), 1, "the frame still has it attached");
    assert_eq!(whole(&carrier), b"new payload");
    drop(carrier);
    assert_eq!(pool.available(), 3);

    // The other way round: the frame goes first.
    let payload = frame(&pool, b"payload").into_payload();
    let mut carrier = frame(&pool, b"new ");
    assert!(carrier.attach(&payload) && carrier.attach(&payload));
    drop(carrier);
    assert_eq!((pool.available(), payload.octets()), (2, &b"payload"[..]));
    drop(payload);
    assert_eq!(pool.available(), 3);
}

#[test]
fn handles_have_ranges_of_their_own() {
    let payload = frame(&MemPool::new(1, 100), b"0123456789").into_payload();
    let mut front = payload.share();
    let mut back = payload.share();
    front.truncate(4);
    front.truncate(9);
    back.trim_front(4);
    back.truncate(usize::MAX);
    assert_eq!(
        (front.octets(), back.octets()),
        (&b"0123"[..], &b"456789"[..])
    );
    assert_eq!(payload.octets(), b"0123456789");
    back.trim_front(usize::MAX);
    assert_eq!(back.octets(), b"");
}

#[test]
fn a_payload_grows_only_while_it_is_the_only_handle() {
    let pool = MemPool::new(2, 100);
    let mut payload = frame(&pool, b"0123").into_payload();
    let other = payload.share();
    assert!(!payload.append(b"x"));
    drop(other);
    let mut carrier = pool.alloc().unwrap();
    assert!(carrier.attach(&payload));
    assert!(!payload.append(b"x"));
    drop(carrier);
    assert!(payload.append(b"45"));
    assert_eq!(payload.octets(), b"012345");
    // What stands behind a shorter range is overwritten.
    payload.truncate(2);
    assert!(payload.append(b"ab"));
    assert_eq!(payload.octets(), b"01ab");
    let room = 100 + 14 - 4;
    assert!(!payload.append(&vec![7; room + 1]));
    assert_eq!(payload.octets(), b"01ab");
    assert!(payload.append(&vec![7; room]));
    assert_eq!(payload.octets().len(), 4 + room);
}

#[test]
fn attached_payloads_end_the_growing_at_the_back_only() {
    let pool = MemPool::new(2, 100);
    let payload = frame(&pool, b"payload").into_payload();
    let mut buf = frame(&pool, b"data ");
    let mut nothing = payload.share();
    nothing.truncate(0);
    assert!(buf.attach(&nothing));
    assert!(buf.tailroom() > 0, "nothing was attached");
    assert!(buf.attach(&payload));
    assert_eq!((buf.tailroom(), buf.append(0)), (0, None));
    buf.prepend(2).unwrap()[..2].copy_from_slice(b"a ");
    assert_eq!((buf.data(), buf.packet_len()), (&b"a data "[..], 14));
    assert_eq!(whole(&buf), b"a data payload");
    buf.trim_front(99);
    assert_eq!((buf.data(), whole(&buf)), (&b""[..], b"payload".to_vec()));
}

#[test]
fn parts_of_a_payload_are_attached() {
    let pool = MemPool::new(2, 100);
    let mut payload = frame(&pool, b"0123456789").into_payload();
    payload.trim_front(2);
    payload.truncate(6);
    let mut buf = pool.alloc().unwrap();
    for part in [1..3, 0..1, 4..usize::MAX, 6..9, 3..3] {
        assert!(buf.attach_part(&payload, part));
    }
    assert_eq!((buf.attached().count(), buf.packet_len()), (3, 5));
    assert_eq!(whole(&buf), b"34267");
    drop((buf, payload));
    assert_eq!(pool.available(), 2);
}

#[test]
fn a_sum_is_forgotten_with_the_octets_it_is_of() {
    let pool = MemPool::new(1, 100);
    let mut payload = frame(&pool, b"0123456789").into_payload();
    assert_eq!(payload.sum(), None);
    payload.set_sum(7);
    payload.trim_front(0);
    payload.truncate(10);
    assert_eq!((payload.sum(), payload.share().sum()), (Some(7), Some(7)));
    let (mut front, mut back) = (payload.share(), payload.share());
    front.truncate(9);
    back.trim_front(1);
    assert_eq!(
        (front.sum(), back.sum(), payload.sum()),
        (None, None, Some(7))
    );
    drop((front, back));
    assert!(payload.append(b"x"));
    assert_eq!(payload.sum(), None);
}

#[test]
fn a_frame_takes_so_many_payloads() {
    let pool = MemPool::new(2, 100);
    let payload = frame(&pool, b"12").into_payload();
    let mut buf = pool.alloc().unwrap();
    for _ in 0..MAX_ATTACHED {
        assert!(buf.attach(&payload));
    }
    assert!(!buf.attach(&payload));
    assert_eq!(buf.packet_len(), 2 * MAX_ATTACHED);
    buf.truncate(3);
    assert_eq!((buf.attached().count(), whole(&buf)), (2, b"121".to_vec()));
    assert!(buf.attach(&payload));
    assert_eq!(whole(&buf), b"12112");
}

#[test]
fn a_frame_with_payloads_becomes_a_payload() {
    let pool = MemPool::new(3, 20);
    let payload = frame(&pool, b"payload").into_payload();
    let mut fits = frame(&pool, b"data ");
    assert!(fits.attach(&payload));
    assert_eq!(fits.into_payload().octets(), b"data payload");
    let mut too_long = frame(&pool, &[b'x'; 30]);
    assert!(too_long.attach(&payload));
    assert_eq!(too_long.into_payload().octets(), [b'x'; 30]);
    drop(payload);
    assert_eq!(pool.available(), 3);
    assert_eq!(
        MemBuf::from_frame(b"own").into_payload().share().octets(),
        b"own"
    );
}

#[test]
fn what_was_sent_comes_in_one_piece() {
    let pool = MemPool::new(4, 100);
    let mut io = MemIo::new(MAC, 100, pool.clone());
    let payload = frame(&pool, &[7; 80]).into_payload();
    let mut burst = Burst::with_capacity(2);
    for pieces in [1, 2] {
        let mut buf = frame(&pool, b"head");
        for _ in 0..pieces {
            assert!(buf.attach(&payload));
        }
        buf.set_tx_offload(OFFLOAD);
        burst.push(buf).unwrap();
    }
    assert_eq!(io.tx_burst(&mut burst), 2);
    drop(payload);
    assert_eq!(pool.available(), 1);
    let fits = io.take_sent().unwrap();
    assert_eq!(fits.data(), [&b"head"[..], &[7; 80]].concat());
    let outside = io.take_sent().unwrap();
    assert_eq!(outside.data(), [&b"head"[..], &[7; 160]].concat());
    assert_eq!(outside.tx_offload(), Some(OFFLOAD));
    assert_eq!(
        pool.available(),
        3,
        "the second frame is in no buffer of the pool"
    );
    drop(fits);
    assert_eq!(pool.available(), 4);
}

/// Handles of the same buffers on several threads, dropped at once, again and again.
#[test]
fn no_buffer_is_lost_between_threads() {
    let pool = MemPool::new(8, 100);
    for _ in 0..200 {
        let payload = frame(&pool, b"payload").into_payload();
        let barrier = std::sync::Barrier::new(2);
        let mut carrier = pool.alloc().unwrap();
        assert!(carrier.attach(&payload));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                drop(carrier);
            });
            barrier.wait();
            drop(payload);
        });
        assert_eq!(pool.available(), 8);
    }
}

const OFFLOAD: TxOffload = TxOffload {
    ip_version: 4,
    l2_len: 14,
    l3_len: 20,
    l4_len: 20,
    ip_checksum: true,
    l4_checksum: None,
    tso_segment_size: Some(1000),
};

#[derive(Clone, Debug)]
enum Change {
    Attach(usize),
    Truncate(usize),
    TrimFront(usize),
    Prepend(usize),
    Append(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..40_usize).prop_map(Change::Attach),
        2 => (0..200_usize).prop_map(Change::Truncate),
        1 => (0..20_usize).prop_map(Change::TrimFront),
        1 => (0..20_usize).prop_map(Change::Prepend),
        1 => (0..20_usize).prop_map(Change::Append),
    ]
}

proptest! {
    /// A frame holds what a plain list of octets holds after the same changes.
    #[test]
    fn octets_survive_all_changes(changes in prop::collection::vec(change(), 0..60)) {
        let pool = MemPool::new(2, 300);
        let source: Vec<u8> = (0..=u8::MAX).collect();
        let payload = frame(&pool, &source).into_payload();
        let mut buf = pool.alloc().unwrap();
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Attach(len) => {
                    let mut piece = payload.share();
                    piece.trim_front(len);
                    piece.truncate(len);
                    if buf.attach(&piece) {
                        tail.extend_from_slice(&source[len..2 * len]);
                    }
                }
                Change::Truncate(len) => {
                    tail.truncate(len.saturating_sub(head.len()));
                    head.truncate(len);
                    buf.truncate(len);
                }
                Change::TrimFront(len) => {
                    head.drain(..len.min(head.len()));
                    buf.trim_front(len);
                }
                Change::Prepend(len) => {
                    if let Some(data) = buf.prepend(len) {
                        data[..len].fill(1);
                        head.splice(..0, vec![1; len]);
                    }
                }
                Change::Append(len) => {
                    let before = buf.data().len();
                    if let Some(data) = buf.append(len) {
                        data[before..].fill(2);
                        prop_assert!(tail.is_empty());
                        head.resize(before + len, 2);
                    }
                }
            }
            prop_assert_eq!(buf.data(), &head[..]);
            prop_assert_eq!(buf.attached().collect::<Vec<_>>().concat(), tail.clone());
            prop_assert_eq!(buf.packet_len(), head.len() + tail.len());
            prop_assert!(buf.attached().all(|piece| !piece.is_empty()));
        }
        let contiguous = buf.into_contiguous();
        prop_assert_eq!(contiguous.data(), [head, tail].concat());
        drop((contiguous, payload));
        prop_assert_eq!(pool.available(), 2);
    }
}
