//! Queues of both directions apart, on net_ring, where what is sent on TX queue n is received on
//! RX queue n: several RX queues of one worker, queues that only receive, send or lend, tokens of
//! two ports, and ports with a pool each.

mod rig;

use dpdk_io::{
    DpdkError, Eal, EalConfig, LcoreId, Mempool, MempoolConfig, NumaNode, Port, PortConfig,
    PortQueues, Queue, QueueStats,
};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo};

#[test]
fn rx_and_tx_queues_are_joined_as_wanted() {
    // The driver makes as many rings as there are lcores, and the control thread is one.
    let eal = Eal::init(&EalConfig {
        lcores: vec![LcoreId(0); 3],
        virtual_devices: (0..4).map(|port| format!("net_ring{port}")).collect(),
        ..EalConfig::default()
    })
    .unwrap();
    let pool = rig::pool(&eal);
    let mut one = open(&eal, "net_ring0", (4, 2), &pool);
    let mut two = open(&eal, "net_ring1", (2, 4), &pool);

    queues_of_two_ports_are_not_joined(&mut one, &mut two);
    let queues = one.start().unwrap();
    one_worker_serves_several_rx_queues(&one, queues, &pool);
    a_port_cannot_stop_while_something_lends(&mut one);
    drop((one, two));
    assert_eq!(pool.in_use(), 0);
    frames_pass_between_ports_with_pools_of_their_own(&eal, &pool);
    rig::finish(eal, Vec::new(), pool);
}

fn payload_of_one_pool_goes_behind_headers_of_another(
    from: &mut Queue,
    to: &mut Queue,
    of_payload: &Mempool,
    of_headers: &Mempool,
) {
    let frame = rig::frame(7, 900);
    let payload = rig::payload(from, &frame[18..]);
    let mut packet = rig::lend(to, &frame[..18]);
    assert!(packet.attach(&payload));
    let references = || {
        (
            of_payload.references_in_use(),
            of_headers.references_in_use(),
        )
    };
    assert_eq!(references(), (1, 0));
    let mut burst = Burst::with_capacity(BURST_SIZE);
    burst.push(packet).unwrap();
    assert_eq!(to.tx_burst(&mut burst), 1);
    drop(payload);
    assert_eq!(references(), (1, 0), "the frame has it still");
    assert_eq!(rig::receive(to, 1), [frame]);
    assert_eq!(references(), (0, 0));
}

/// What one worker does that has ports on two NUMA nodes, each with a pool near to it.
fn frames_pass_between_ports_with_pools_of_their_own(eal: &Eal, near: &Mempool) {
    let far = Mempool::create(
        eal,
        &MempoolConfig {
            name: "far".to_owned(),
            buffers: 4095,
            mtu: 3000,
            numa_node: Some(NumaNode(0)),
            ..MempoolConfig::default()
        },
    )
    .unwrap();
    let mut near_port = rig::open(eal, "net_ring2", 1, near);
    let mut far_port = rig::open(eal, "net_ring3", 1, &far);
    let mut near_queue = rig::pair(&mut near_port);
    let mut far_queue = rig::pair(&mut far_port);
    drop((near_queue.alloc(), far_queue.alloc()));
    // From the first buffer on, each queue keeps some at hand.
    let idle = near.in_use();

    // Forwarded as they are: the ring of one port has buffers of the other.
    let frames = rig::frames(100);
    rig::send(&mut near_queue, &frames);
    let mut burst = Burst::with_capacity(100);
    while burst.len() < 100 {
        near_queue.rx_burst(&mut burst);
    }
    assert_eq!(far_queue.tx_burst(&mut burst), 100);
    rig::assert_frames(&rig::receive(&mut far_queue, 100), &frames);
    assert!(
        near.in_use() <= idle,
        "buffers are back where they are from"
    );

    payload_of_one_pool_goes_behind_headers_of_another(&mut near_queue, &mut far_queue, near, &far);
    payload_of_one_pool_goes_behind_headers_of_another(&mut far_queue, &mut near_queue, &far, near);

    drop((near_queue, far_queue));
    drop((near_port, far_port));
    assert_eq!((near.in_use(), far.in_use()), (0, 0));
    assert_eq!(far.available(), 4095);
}

fn open(eal: &Eal, name: &str, (rx, tx): (u16, u16), pool: &Mempool) -> Port {
    let config = PortConfig {
        rx_queues: rx,
        rx_descriptors: 64,
        tx_queues: tx,
        tx_descriptors: 64,
        ..PortConfig::default()
    };
    Port::open(eal, name, &config, pool).unwrap()
}

fn queues_of_two_ports_are_not_joined(one: &mut Port, two: &mut Port) {
    let (mut of_one, mut of_two) = (one.start().unwrap(), two.start().unwrap());
    assert_eq!((of_one.rx.len(), of_one.tx.len()), (4, 2));
    assert_eq!((of_two.rx.len(), of_two.tx.len()), (2, 4));
    for (number, rx) in of_one.rx.iter().enumerate() {
        assert_eq!(
            (usize::from(rx.index()), rx.port_name()),
            (number, "net_ring0")
        );
    }
    let error = Queue::pair(of_one.rx.remove(0), of_two.tx.remove(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an RX queue of port `net_ring0` and a TX queue of port `net_ring1` cannot be joined: a \
         queue pair is of one port"
    );
    drop(of_two);
    assert_eq!(
        one.stop().unwrap_err().to_string(),
        "port `net_ring0` cannot stop: 5 of its queues are still in use"
    );
    drop(of_one);
    one.stop().unwrap();
    two.stop().unwrap();
}

fn one_worker_serves_several_rx_queues(port: &Port, queues: PortQueues, pool: &Mempool) {
    let mut rx = queues.rx.into_iter();
    let mut tx = queues.tx.into_iter();
    let mut receiving = Queue::receiving(rx.next().unwrap());
    // Their numbers need not be the same.
    let mut pair = Queue::pair(rx.next().unwrap(), tx.next().unwrap()).unwrap();
    let mut sending = Queue::sending(tx.next().unwrap());
    let mut lending = Queue::lending(port);
    assert_eq!((pair.rx_index(), pair.tx_index()), (Some(1), Some(0)));
    assert_eq!((sending.rx_index(), sending.tx_index()), (None, Some(1)));
    assert_eq!((lending.rx_index(), lending.tx_index()), (None, None));
    assert_eq!(lending.port_name(), "net_ring0");
    for queue in [&receiving, &sending, &lending] {
        assert_eq!(queue.capabilities(), pair.capabilities());
    }

    let frames = rig::frames(200);
    rig::send(&mut pair, &frames[..120]);
    rig::send(&mut sending, &frames[120..]);
    for queue in [&mut sending, &mut lending] {
        assert_eq!(queue.rx_burst(&mut Burst::with_capacity(BURST_SIZE)), 0);
    }
    // What one cannot send, another can: frames stay in the burst.
    let mut burst = Burst::with_capacity(2);
    let more = rig::frames(202).split_off(200);
    for (queue, frame) in [&mut receiving, &mut lending].into_iter().zip(&more) {
        burst.push(rig::lend(queue, frame)).unwrap();
        assert_eq!(queue.tx_burst(&mut burst), 0);
    }
    assert_eq!(sending.tx_burst(&mut burst), 2);

    let mut others: Vec<_> = rx.map(Queue::receiving).collect();
    let mut served = vec![receiving, pair];
    served.append(&mut others);
    let before = port.queue_stats().unwrap();
    let received = rig::receive_from(&mut served, 202, rig::is_ours);
    rig::assert_frames(&received[0], &frames[..120]);
    rig::assert_frames(&received[1], &[&frames[120..], &more].concat());
    assert!(received[2].is_empty() && received[3].is_empty());
    let after = port.queue_stats().unwrap();
    let frames_of = |stats: &[QueueStats]| {
        let stats = stats.iter().zip(0..);
        let frames = stats.map(|(stats, number)| {
            assert_eq!((stats.queue, stats.rx_errors), (number, 0));
            stats.rx_frames
        });
        frames.collect::<Vec<_>>()
    };
    assert_eq!(frames_of(&before), [0; 4]);
    assert_eq!(frames_of(&after), [120, 82, 0, 0]);
    assert!(served.iter().all(|queue| queue.counters().no_buffer == 0));

    // Each has buffers at hand, and gives them back.
    drop((served, sending));
    assert!(pool.in_use() > 0);
    drop(lending);
    assert_eq!(pool.in_use(), 0);
}

fn a_port_cannot_stop_while_something_lends(port: &mut Port) {
    let mut lending = Queue::lending(port);
    let refused = port.stop().unwrap_err();
    assert!(
        matches!(refused, DpdkError::QueuesInUse { queues: 1, .. }),
        "{refused}"
    );
    assert!(lending.alloc().is_some());
    drop(lending);
    port.stop().unwrap();
}
