//! net_null: a device with RSS that receives for ever. RSS set and read back, an address of its own, and a
//! pool that runs out.

mod rig;

use dpdk_io::{
    Device, Eal, EalConfig, LcoreId, Mbuf, MbufPayload, Mempool, Offloads, Port, PortConfig, Queue,
    QueueStats,
};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo};
use netstack::wire::ethernet::MacAddr;

#[test]
fn rss_is_read_back_and_a_pool_runs_out_without_harm() {
    let devices = [
        "net_null0,size=100",
        "net_null1",
        "net_null2",
        "net_ring0",
        "net_ring1",
    ];
    // net_ring has as many queues as there are lcores, with that of the control thread.
    let eal = Eal::init(&EalConfig {
        lcores: vec![LcoreId(0)],
        virtual_devices: devices.map(str::to_owned).to_vec(),
        ..EalConfig::default()
    })
    .unwrap();
    let pool = rig::pool(&eal);
    let mac = MacAddr([2, 0, 0, 0, 0, 0x77]);
    let config = PortConfig {
        rx_queues: 2,
        tx_queues: 2,
        mac: Some(mac),
        offloads: Offloads {
            rx_chains: false,
            tx_chains: false,
            ..Offloads::ALL
        },
        ..PortConfig::default()
    };
    let mut port = Port::open(&eal, "net_null0", &config, &pool).unwrap();
    assert!(port.offloads().rss, "net_null offers RSS");
    assert_eq!(port.capabilities().rss, None, "not known before the start");
    assert_eq!(port.mac(), mac);
    let mut queues = rig::pairs(&mut port);
    assert_eq!(queues[0].capabilities().mac, mac);
    let rss = queues[1].capabilities().rss.clone().unwrap();
    assert!(rss.key.len() >= 40);
    assert!(!rss.reta.is_empty());
    assert!(rss.reta.iter().all(|&queue| queue < 2), "{:?}", rss.reta);

    port.set_promiscuous(true).unwrap();
    assert!(port.is_promiscuous());

    let mut burst = Burst::with_capacity(BURST_SIZE);
    assert_eq!(queues[0].rx_burst(&mut burst), BURST_SIZE);
    assert!(burst.iter().all(|mbuf| mbuf.data().len() == 100));
    assert_eq!(queues[1].tx_burst(&mut burst), BURST_SIZE);
    assert_eq!(port.stats().unwrap().tx_frames, BURST_SIZE as u64);

    a_chain_is_joined_or_does_not_block(&mut queues[0], &pool);
    assert_eq!(port.stats().unwrap().tx_frames, BURST_SIZE as u64 + 3);

    let mut held = Vec::new();
    while let Some(mbuf) = queues[0].alloc() {
        held.push(mbuf);
    }
    assert!(held.len() > 8000, "{} buffers were lent", held.len());
    assert_eq!(queues[0].counters().no_buffer, 1);
    assert_eq!(
        queues[0].rx_burst(&mut burst),
        0,
        "no buffer to receive into"
    );
    held.truncate(held.len() - 100);
    assert!(queues[0].rx_burst(&mut burst) > 0, "buffers are back");

    drop((queues, burst, held));
    let mut counts = port.queue_stats().unwrap().into_iter();
    let first = counts.next().unwrap();
    assert_eq!(first.queue, 0);
    assert!(first.rx_frames > BURST_SIZE as u64);
    let second = QueueStats {
        queue: 1,
        ..QueueStats::default()
    };
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [second],
        "only what is configured"
    );
    drop(port);

    let port = key_and_reta_are_what_was_asked_for(&eal, &pool);
    a_device_without_rss_says_so(&eal, &pool);
    rig::finish(eal, vec![port], pool);
}

/// The driver takes a key after the port is configured only.
fn key_and_reta_are_what_was_asked_for(eal: &Eal, pool: &Mempool) -> Port {
    let device = Device::describe(eal, "net_null1").unwrap();
    assert_eq!(device.driver, "net_null");
    assert!(device.reta_size > 0 && device.max_rx_queues >= 4);
    let key: Vec<u8> = (1..=40).collect();
    let config = PortConfig {
        rx_queues: 4,
        tx_queues: 2,
        reta: Some(vec![1, 3, 1]),
        rss_key: Some(key.clone()),
        ..PortConfig::default()
    };
    let mut port = Port::open(eal, "net_null1", &config, pool).unwrap();
    assert!(port.capabilities().rss.is_none());
    for _ in 0..2 {
        let queues = port.start().unwrap();
        assert_eq!((queues.rx.len(), queues.tx.len()), (4, 2));
        let faults: Vec<_> = port.steering_faults().collect();
        assert!(faults.is_empty(), "{faults:?}");
        let queue = Queue::lending(&port);
        let rss = queue.capabilities().rss.clone().unwrap();
        assert_eq!(rss.key, key);
        assert_eq!(rss.reta.len(), usize::from(device.reta_size));
        for (entry, queue) in rss.reta.iter().enumerate() {
            assert_eq!(*queue, [1, 3, 1][entry % 3], "entry {entry}");
        }
        drop((queue, queues));
        port.stop().unwrap();
    }
    drop(port);
    a_key_of_another_length_is_left_out(eal, pool)
}

fn a_key_of_another_length_is_left_out(eal: &Eal, pool: &Mempool) -> Port {
    let config = PortConfig {
        rx_queues: 2,
        rss_key: Some(vec![7; 39]),
        ..PortConfig::default()
    };
    let mut port = Port::open(eal, "net_null2", &config, pool).unwrap();
    drop(port.start().unwrap());
    let faults: Vec<_> = port.steering_faults().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "the RSS key that is configured for port `net_null2` has 39 octets, its driver \
             net_null takes 40: the port keeps the key of its driver"
        ]
    );
    let rss = port.capabilities().rss.unwrap();
    assert_ne!(rss.key[..39], [7; 39]);
    port
}

fn a_device_without_rss_says_so(eal: &Eal, pool: &Mempool) {
    let config = |rx_queues| PortConfig {
        rx_queues,
        reta: Some(vec![0]),
        ..PortConfig::default()
    };
    let mut port = Port::open(eal, "net_ring0", &config(2), pool).unwrap();
    drop(port.start().unwrap());
    let faults: Vec<_> = port.steering_faults().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "port `net_ring0` has an RSS key or a RETA configured, but its driver net_ring offers \
             no RSS, or it is not asked for: which queue a frame comes on is up to flow rules and \
             to the driver"
        ]
    );
    assert_eq!(port.capabilities().rss, None);
    drop(port);

    let port = Port::open(eal, "net_ring1", &config(1), pool).unwrap();
    let faults: Vec<_> = port.steering_faults().collect();
    assert!(faults.is_empty(), "one queue needs no RETA: {faults:?}");
}

/// The port was not asked to send frames of several mbufs.
fn a_chain_is_joined_or_does_not_block(queue: &mut Queue, pool: &Mempool) {
    assert_eq!(queue.capabilities().tx_pieces, 0);
    let before = pool.in_use();
    let mut burst = Burst::with_capacity(4);
    for lens in [&[60][..], &[1000, 500], &[2000, 2000], &[60]] {
        let mut lens = lens.iter().copied();
        let mut mbuf = filled(pool, lens.next().unwrap());
        for len in lens {
            mbuf.chain(filled(pool, len)).unwrap();
        }
        burst.push(mbuf).unwrap();
    }
    assert_eq!(queue.tx_burst(&mut burst), 4);
    assert_eq!(queue.counters().tx_refused, 1);
    assert_eq!(pool.in_use(), before);
}

fn filled(pool: &Mempool, len: usize) -> Mbuf {
    let mut mbuf = pool.alloc().unwrap();
    mbuf.append(len).unwrap().fill(0);
    mbuf
}

/// Compiles only for what may cross threads.
fn crosses<T: Send>() {}

#[test]
fn ports_queues_and_buffers_cross_threads() {
    crosses::<Port>();
    crosses::<Queue>();
    crosses::<Mbuf>();
    crosses::<MbufPayload>();
}
