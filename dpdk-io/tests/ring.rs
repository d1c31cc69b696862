//! net_ring: what is sent on a queue is received on it. Here the whole way of a buffer is looked
//! at: bursts that the device takes in part, workers, chains, buffers back in the pool.

mod rig;

use dpdk_io::{Eal, EalConfig, LcoreId, Mbuf, Mempool, Queue};
use netstack::io::{BURST_SIZE, Burst, ChecksumStatus, L4Checksum, PacketBuf, PacketIo, TxOffload};

/// What a ring of the driver holds.
const RING: usize = 1023;

#[test]
fn frames_pass_and_every_buffer_comes_back() {
    let mut eal = Eal::init(&EalConfig {
        lcores: vec![LcoreId(0)],
        virtual_devices: vec!["net_ring0".to_owned()],
        ..EalConfig::default()
    })
    .unwrap();
    let pool = rig::pool(&eal);
    let mut port = rig::open(&eal, "net_ring0", 1, &pool);
    assert_eq!(port.driver(), "net_ring");
    let mut queue = rig::pair(&mut port);
    assert!(port.link().unwrap().up);

    let sent = rig::frames(500);
    rig::send(&mut queue, &sent);
    rig::assert_frames(&rig::receive(&mut queue, 500), &sent);
    assert_eq!(port.stats().unwrap().tx_frames, 500);
    assert_eq!(port.stats().unwrap().rx_frames, 500);
    assert_eq!(rig::extended_stat(&port, "rx_good_packets"), 500);

    a_full_ring_leaves_the_rest_in_the_burst(&mut queue);
    work_for_the_device_ends_with_the_sending(&mut queue);
    buffers_change_as_asked(&mut queue);
    chains_are_cut_joined_and_refused(&pool, &mut queue);

    assert_eq!(
        port.stop().unwrap_err().to_string(),
        "port `net_ring0` cannot stop: 1 of its queues are still in use"
    );
    let queue = a_worker_takes_its_queue_along(&mut eal, queue);
    drop(queue);
    port.stop().unwrap();
    let queue = rig::pair(&mut port);
    assert_eq!((queue.rx_index(), queue.tx_index()), (Some(0), Some(0)));

    let held = pool.alloc().unwrap();
    drop(queue);
    drop(port);
    assert_eq!(pool.in_use(), 1);
    drop(held);
    rig::finish(eal, Vec::new(), pool);
}

fn a_full_ring_leaves_the_rest_in_the_burst(queue: &mut Queue) {
    let mut burst = Burst::with_capacity(RING + 100);
    for number in 0..RING + 100 {
        let frame = rig::frame(number as u32, 60);
        burst.push(rig::lend(queue, &frame)).unwrap();
    }
    assert_eq!(queue.tx_burst(&mut burst), RING);
    let rest: Vec<_> = burst.iter().map(|mbuf| mbuf.data().to_vec()).collect();
    assert_eq!(rest.first(), Some(&rig::frame(RING as u32, 60)));
    assert_eq!(rest.len(), 100);
    assert_eq!(queue.tx_burst(&mut burst), 0);

    // The same with less than a full burst, of which one frame fits.
    let mut one = Burst::with_capacity(1);
    assert_eq!(queue.rx_burst(&mut one), 1);
    let mut short = Burst::with_capacity(3);
    for number in 0..3 {
        let frame = rig::frame(number, 60);
        short.push(rig::lend(queue, &frame)).unwrap();
    }
    assert_eq!(queue.tx_burst(&mut short), 1);
    assert_eq!(short.iter().next().unwrap().data(), rig::frame(1, 60));
    assert_eq!((short.len(), queue.counters().tx_refused), (2, 0));

    let mut received = Burst::with_capacity(RING);
    assert_eq!(queue.rx_burst(&mut received), RING);
    assert_eq!(queue.tx_burst(&mut burst), 100);
    let mut received = Burst::with_capacity(70);
    assert_eq!(queue.rx_burst(&mut received), 70);
    assert_eq!(queue.rx_burst(&mut received), 0, "a full burst takes none");
    assert_eq!(rig::receive(queue, 30).len(), 30);
}

/// The ring hands over the very buffers that were sent.
fn work_for_the_device_ends_with_the_sending(queue: &mut Queue) {
    let mut mbuf = rig::lend(queue, &rig::frame(1, 60));
    mbuf.set_tx_offload(TxOffload {
        ip_version: 4,
        l2_len: 14,
        l3_len: 20,
        l4_len: 20,
        ip_checksum: true,
        l4_checksum: Some(L4Checksum::Tcp),
        tso_segment_size: Some(1000),
    });
    assert!(mbuf.has_tx_offload());
    let mut burst = Burst::with_capacity(1);
    burst.push(mbuf).unwrap();
    assert_eq!(queue.tx_burst(&mut burst), 1);
    assert_eq!(queue.rx_burst(&mut burst), 1);
    let mbuf = burst.pop_front().unwrap();
    assert_eq!(mbuf.data(), rig::frame(1, 60));
    assert!(!mbuf.has_tx_offload());
    assert_eq!(mbuf.rx_checksum().l4, ChecksumStatus::Unknown);
    assert_eq!(mbuf.rss_hash(), None);
}

fn buffers_change_as_asked(queue: &mut Queue) {
    let mut mbuf = queue.alloc().unwrap();
    assert!(mbuf.headroom() >= 64);
    assert!(mbuf.tailroom() >= 1514);
    mbuf.append(4).unwrap().copy_from_slice(b"data");
    mbuf.prepend(2).unwrap()[..2].copy_from_slice(b"a ");
    assert_eq!((mbuf.data(), mbuf.packet_len()), (&b"a data"[..], 6));
    mbuf.trim_front(2);
    mbuf.truncate(9);
    mbuf.truncate(3);
    assert_eq!((mbuf.data(), mbuf.packet_len()), (&b"dat"[..], 3));
    assert!(mbuf.prepend(mbuf.headroom() + 1).is_none());
    assert!(mbuf.append(mbuf.tailroom() + 1).is_none());
    mbuf.data_mut()[0] = b'c';
    mbuf.prefetch();
    assert_eq!(mbuf.data(), b"cat");
    mbuf.trim_front(99);
    assert!(mbuf.data().is_empty());
}

/// A chain of three mbufs with `lens` octets.
fn chain(pool: &Mempool, lens: [usize; 3]) -> Mbuf {
    let mut octets = (0..=u8::MAX).cycle();
    let [head, middle, tail] = lens.map(|len| {
        let mut mbuf = pool.alloc().unwrap();
        mbuf.append(len)
            .unwrap()
            .fill_with(|| octets.next().unwrap());
        mbuf
    });
    let mut chain = head;
    let mut rest = middle;
    rest.chain(tail).unwrap();
    chain.chain(rest).unwrap();
    chain
}

fn chains_are_cut_joined_and_refused(pool: &Mempool, queue: &mut Queue) {
    let before = pool.in_use();
    let whole: Vec<u8> = (0..60).collect();
    let mut joined = chain(pool, [10, 20, 30]);
    assert_eq!(joined.segment_count(), 3);
    assert_eq!(joined.packet_len(), 60);
    assert_eq!(joined.segments().collect::<Vec<_>>().concat(), whole);
    assert_eq!((joined.data().len(), joined.tailroom()), (10, 0));
    assert!(joined.append(1).is_none());
    assert!(joined.linearize());
    assert_eq!((joined.segment_count(), joined.data()), (1, &whole[..]));
    assert_eq!(pool.in_use(), before + 1, "joined segments are freed");

    for (len, segments) in [(59, 3), (31, 3), (30, 2), (29, 2), (10, 1), (9, 1), (0, 1)] {
        let mut cut = chain(pool, [10, 20, 30]);
        cut.truncate(len);
        assert_eq!(cut.segment_count(), segments, "cut to {len}");
        assert_eq!(cut.packet_len(), len);
        assert_eq!(cut.segments().collect::<Vec<_>>().concat(), whole[..len]);
        assert_eq!(pool.in_use(), before + 1 + segments as u32);
    }

    let mut too_long = chain(pool, [1000, 1000, 1000]);
    assert!(!too_long.linearize());
    assert_eq!((too_long.segment_count(), too_long.packet_len()), (3, 3000));

    // The ring passes chains on; a frame that does not fit a buffer is dropped and counted.
    let refused = queue.counters().rx_not_joined;
    let mut burst = Burst::with_capacity(BURST_SIZE);
    for packet in [joined, too_long, chain(pool, [20, 20, 20])] {
        burst.push(packet).unwrap();
    }
    assert_eq!(queue.tx_burst(&mut burst), 3);
    assert_eq!(queue.rx_burst(&mut burst), 2);
    assert!(burst.iter().all(|mbuf| mbuf.data() == &whole[..]));
    assert_eq!(queue.counters().rx_not_joined, refused + 1);
    drop(burst);
    assert_eq!(pool.in_use(), before);
}

fn a_worker_takes_its_queue_along(eal: &mut Eal, mut queue: Queue) -> Queue {
    let mut lcores = eal.take_lcores();
    let job = lcores[0]
        .launch(move || {
            let sent = rig::frames(200);
            rig::send(&mut queue, &sent);
            rig::assert_frames(&rig::receive(&mut queue, 200), &sent);
            queue
        })
        .unwrap();
    job.join().unwrap()
}
