//! net_null: a device with RSS that receives for ever. RSS read back, an address of its own, and a
//! pool that runs out.

mod rig;

use dpdk_io::{Mbuf, MbufPayload, Mempool, Offloads, Port, PortConfig, Queue};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo};
use netstack::wire::ethernet::MacAddr;

#[test]
fn rss_is_read_back_and_a_pool_runs_out_without_harm() {
    let eal = rig::eal(&["net_null0,size=100"]);
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
    rig::finish(eal, vec![port], pool);
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
