//! Payloads: octets of a buffer by any number of handles and packets. net_ring hands over the very
//! buffers that were sent, so what is done with them shows.

mod rig;

use std::sync::Barrier;
use std::thread;

use dpdk_io::{Eal, Mbuf, Mempool, MempoolConfig, Queue};
use netstack::io::{BURST_SIZE, Burst, MAX_ATTACHED, PacketBuf, PacketIo, Payload};

#[test]
fn payloads_are_shared_and_every_buffer_comes_back() {
    let eal = rig::eal(&["net_ring0"]);
    let pool = rig::pool(&eal);
    let mut port = rig::open(&eal, "net_ring0", 1, &pool);
    let mut queue = rig::pair(&mut port);
    assert_eq!(queue.capabilities().tx_pieces, MAX_ATTACHED);
    // The queue keeps some buffers at hand from the first one on.
    drop(queue.alloc());

    handles_have_ranges_of_their_own(&pool);
    a_buffer_goes_back_with_its_last_handle_or_packet(&pool);
    a_payload_grows_only_while_it_is_the_only_handle(&pool);
    parts_of_a_payload_are_attached(&pool);
    a_sum_is_forgotten_with_the_octets_it_is_of(&pool);
    packets_are_cut_and_joined_across_payloads(&pool);
    a_packet_takes_so_many_payloads(&pool);
    packets_with_payloads_pass(&pool, &mut queue);
    references_are_counted_across_threads(&pool);
    without_references_nothing_is_attached(&eal);

    drop(queue);
    rig::finish(eal, vec![port], pool);
}

fn filled(pool: &Mempool, octets: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().unwrap();
    mbuf.append(octets.len()).unwrap().copy_from_slice(octets);
    mbuf
}

fn whole(mbuf: &Mbuf) -> Vec<u8> {
    mbuf.pieces().collect::<Vec<_>>().concat()
}

fn handles_have_ranges_of_their_own(pool: &Mempool) {
    let payload = filled(pool, b"0123456789").into_payload();
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

fn a_buffer_goes_back_with_its_last_handle_or_packet(pool: &Mempool) {
    let before = pool.in_use();
    let mut payload = filled(pool, b"header payload").into_payload();
    payload.trim_front(7);
    let other = payload.share();
    let mut packet = filled(pool, b"new ");
    assert!(packet.attach(&payload));
    assert_eq!((pool.in_use(), pool.references_in_use()), (before + 2, 1));
    drop((payload, other));
    assert_eq!(
        pool.in_use(),
        before + 2,
        "the packet still has it attached"
    );
    assert_eq!(whole(&packet), b"new payload");
    drop(packet);
    assert_eq!((pool.in_use(), pool.references_in_use()), (before, 0));

    // The other way round: the packet goes first, unsent.
    let payload = filled(pool, b"payload").into_payload();
    let mut packet = filled(pool, b"new ");
    assert!(packet.attach(&payload) && packet.attach(&payload));
    drop(packet);
    assert_eq!((pool.in_use(), pool.references_in_use()), (before + 1, 0));
    assert_eq!(payload.octets(), b"payload");
    drop(payload);
    assert_eq!(pool.in_use(), before);
}

fn a_payload_grows_only_while_it_is_the_only_handle(pool: &Mempool) {
    let mut payload = filled(pool, b"0123").into_payload();
    let other = payload.share();
    assert!(!payload.append(b"x"));
    drop(other);
    let mut packet = pool.alloc().unwrap();
    assert!(packet.attach(&payload));
    assert!(!payload.append(b"x"));
    drop(packet);
    assert!(payload.append(b"45"));
    payload.truncate(5);
    assert!(payload.append(b"x"));
    assert_eq!(payload.octets(), b"01234x");
    payload.trim_front(2);
    let room = filled(pool, b"01234x").tailroom();
    assert!(!payload.append(&vec![7; room + 1]));
    assert!(payload.append(&vec![7; room]));
    assert_eq!(payload.octets().len(), 4 + room);
    assert_eq!(&payload.octets()[..4], b"234x");
}

fn parts_of_a_payload_are_attached(pool: &Mempool) {
    let before = pool.in_use();
    let mut payload = filled(pool, b"0123456789").into_payload();
    payload.trim_front(2);
    payload.truncate(6);
    let mut packet = pool.alloc().unwrap();
    for part in [1..3, 0..1, 4..usize::MAX, 6..9, 3..3] {
        assert!(packet.attach_part(&payload, part));
    }
    assert_eq!((packet.segment_count(), packet.packet_len()), (4, 5));
    assert_eq!(whole(&packet), b"34267");
    drop((packet, payload));
    assert_eq!(pool.in_use(), before);
}

fn a_sum_is_forgotten_with_the_octets_it_is_of(pool: &Mempool) {
    let mut payload = filled(pool, b"0123456789").into_payload();
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

fn packets_are_cut_and_joined_across_payloads(pool: &Mempool) {
    let before = pool.in_use();
    let payload = filled(pool, b"payload").into_payload();
    let packet = || {
        let mut packet = filled(pool, b"data ");
        let mut nothing = payload.share();
        nothing.truncate(0);
        assert!(packet.attach(&nothing));
        assert!(packet.tailroom() > 0, "nothing was attached");
        assert!(packet.attach(&payload) && packet.attach(&payload));
        packet
    };
    let octets = b"data payloadpayload";
    for len in (0..=octets.len()).rev() {
        let mut cut = packet();
        assert_eq!((cut.tailroom(), cut.append(0)), (0, None));
        cut.truncate(len);
        assert_eq!(
            (cut.packet_len(), whole(&cut)),
            (len, octets[..len].to_vec())
        );
        assert!(cut.attach(&payload));
        assert_eq!(whole(&cut), [&octets[..len], b"payload"].concat());
        cut.prepend(3).unwrap()[..3].copy_from_slice(b"the");
        assert!(whole(&cut).starts_with(b"the"));
    }
    let mut joined = packet();
    assert!(joined.linearize());
    assert_eq!((joined.data(), joined.attached().count()), (&octets[..], 0));
    assert_eq!(pool.references_in_use(), 0);
    assert_eq!(packet().into_payload().octets(), octets);

    // What is attached is dropped if it does not fit.
    let mut long = filled(pool, &[1; 2000]);
    let other = filled(pool, &[2; 1500]).into_payload();
    assert!(long.attach(&other));
    assert_eq!(long.into_payload().octets(), [1; 2000]);
    assert_eq!(payload.octets(), b"payload");
    drop((joined, payload, other));
    assert_eq!(pool.in_use(), before);
}

fn a_packet_takes_so_many_payloads(pool: &Mempool) {
    let payload = filled(pool, &[5; 1448]).into_payload();
    let mut packet = pool.alloc().unwrap();
    for _ in 0..MAX_ATTACHED {
        assert!(packet.attach(&payload));
    }
    assert!(!packet.attach(&payload));
    assert_eq!(packet.packet_len(), MAX_ATTACHED * 1448);
    assert_eq!(pool.references_in_use(), MAX_ATTACHED as u32);
}

fn packets_with_payloads_pass(pool: &Mempool, queue: &mut Queue) {
    let before = pool.in_use();
    let frames = rig::frames(100);
    for frame in &frames {
        rig::send_in_pieces(queue, frame);
    }
    assert_eq!(pool.references_in_use(), 200);
    let received = rig::receive(queue, 100);
    rig::assert_frames(&received, &frames);

    // The receiver joins packets in their own head, so the sender's payload stays as it is, and
    // is free when the packet is.
    let payload = rig::payload(queue, &[9; 500]);
    let mut mbuf = rig::lend(queue, &rig::frame(1, 100));
    assert!(mbuf.attach(&payload));
    let mut burst = Burst::with_capacity(BURST_SIZE);
    burst.push(mbuf).unwrap();
    assert_eq!(queue.tx_burst(&mut burst), 1);
    assert_eq!(queue.rx_burst(&mut burst), 1);
    let mut received = burst.pop_front().unwrap();
    received.data_mut().fill(0);
    assert_eq!(payload.octets(), [9; 500]);
    assert_eq!((received.packet_len(), pool.references_in_use()), (600, 0));
    drop((received, payload));
    let spare = 32;
    assert!(pool.in_use() <= before + spare);
}

fn references_are_counted_across_threads(pool: &Mempool) {
    let before = pool.in_use();
    for _ in 0..200 {
        let payload = filled(pool, b"payload").into_payload();
        let handles = [payload.share(), payload.share()];
        drop(payload);
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            for handle in handles {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let more = handle.share();
                    drop(handle);
                    assert_eq!(more.octets(), b"payload");
                });
            }
        });
        assert_eq!(pool.in_use(), before);
    }
}

fn without_references_nothing_is_attached(eal: &Eal) {
    let config = MempoolConfig {
        name: "small, name of the longest".chars().take(24).collect(),
        buffers: 7,
        cache: 0,
        ..MempoolConfig::default()
    };
    let pool = Mempool::create(eal, &config).unwrap();
    let payload = filled(&pool, b"payload").into_payload();
    let mut packet = filled(&pool, b"data ");
    for _ in 0..7 {
        assert!(packet.attach(&payload));
    }
    let mut other = filled(&pool, b"other ");
    assert!(!other.attach(&payload));
    assert_eq!(whole(&other), b"other ");
    assert!(other.append(1).is_some());
    drop(packet);
    other.truncate(6);
    assert!(other.attach(&payload));
    assert_eq!(whole(&other), b"other payload");
    drop((other, payload));
    assert_eq!((pool.in_use(), pool.references_in_use()), (0, 0));
}
