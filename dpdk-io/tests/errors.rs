//! Configurations that cannot work: each is refused with the names and figures that matter, and
//! the device can be opened with a better one afterwards.

mod rig;

use dpdk_io::{DpdkError, Eal, Mempool, MempoolConfig, NumaNode, Port, PortConfig};
use netstack::wire::ethernet::MacAddr;

fn refused(eal: &Eal, name: &str, config: &PortConfig, pool: &Mempool) -> String {
    Port::open(eal, name, config, pool).unwrap_err().to_string()
}

#[test]
fn what_cannot_work_is_refused_with_the_figures() {
    let eal = rig::eal(&[
        "net_ring0",
        "net_null0",
        "net_af_packet0,iface=none0",
        "net_ring1",
    ]);
    let pool = rig::pool(&eal);
    let config = PortConfig::default();

    let unknown = refused(&eal, "net_af_packet0", &config, &pool);
    assert!(
        unknown.starts_with(
            "there is no port `net_af_packet0` (there is: net_ring0, net_null0, net_ring1)."
        ),
        "{unknown}"
    );

    let queues = PortConfig {
        rx_queues: 1000,
        ..config.clone()
    };
    let many = refused(&eal, "net_ring0", &queues, &pool);
    assert!(
        many.starts_with("port `net_ring0` has ") && many.contains("1000 are configured"),
        "{many}"
    );
    let queues = PortConfig {
        tx_queues: 0,
        ..config.clone()
    };
    assert_eq!(
        refused(&eal, "net_ring0", &queues, &pool),
        "the number of TX queues of `net_ring0` is 0: it must be 1 to 65535"
    );
    queues_that_a_reta_cannot_name(&eal, &pool);
    let mtu = PortConfig {
        mtu: 9000,
        ..config.clone()
    };
    assert_eq!(
        refused(&eal, "net_ring0", &mtu, &pool),
        "mempool `packets` has buffers for an MTU of 1500, port `net_ring0` has MTU 9000: \
         configure the pool with the largest MTU of its ports"
    );

    pools_that_do_not_fit(&eal);
    an_address_that_the_driver_does_not_take(&eal, &pool);

    // The address that the device has anyway needs no driver that can set one.
    let config = PortConfig {
        mac: Some(MacAddr::default()),
        ..config
    };
    let port = Port::open(&eal, "net_ring0", &config, &pool).unwrap();
    assert_eq!(
        refused(&eal, "net_ring0", &config, &pool),
        "port `net_ring0` is open already: a port has one owner"
    );
    rig::finish(eal, vec![port], pool);
}

fn queues_that_a_reta_cannot_name(eal: &Eal, pool: &Mempool) {
    let with = |reta: &[u16]| {
        let config = PortConfig {
            rx_queues: 2,
            reta: Some(reta.to_vec()),
            ..PortConfig::default()
        };
        refused(eal, "net_null0", &config, pool)
    };
    assert_eq!(
        with(&[]),
        "the number of queues in the RETA of `net_null0` is 0: it must be 1 to 65535"
    );
    assert_eq!(
        with(&[0, 2, 1]),
        "a queue in the RETA of `net_null0` is 2: it must be 0 to 1"
    );
}

/// net_ring has no way to change its address, and 0 is what it starts with.
fn an_address_that_the_driver_does_not_take(eal: &Eal, pool: &Mempool) {
    let config = PortConfig {
        mac: Some(MacAddr([2, 0, 0, 0, 0, 0x77])),
        ..PortConfig::default()
    };
    assert_eq!(
        refused(eal, "net_ring1", &config, pool),
        "port `net_ring1` cannot be given the MAC address 02:00:00:00:00:77: Operation not \
         supported (error 95) from its driver net_ring. Leave `mac` out: the port then keeps its \
         own, 00:00:00:00:00:00"
    );
    assert_eq!(pool.in_use(), 0);
}

fn pools_that_do_not_fit(eal: &Eal) {
    let small = MempoolConfig {
        name: "small".to_owned(),
        buffers: 1400,
        cache: 64,
        lcores: 2,
        held: 100,
        ..MempoolConfig::default()
    };
    let pool = Mempool::create(eal, &small).unwrap();
    assert_eq!(
        refused(eal, "net_null0", &PortConfig::default(), &pool),
        "mempool `small` has 1400 buffers, 292 of them reserved; `net_null0` needs 1184 more: \
         1 RX queues x (512 descriptors + 96 in bursts and spare) + 1 TX queues x (512 descriptors \
         + 64 in bursts). Configure at least 1476 buffers"
    );
    let taken = Mempool::create(eal, &small).unwrap_err().to_string();
    assert!(taken.contains("File exists"), "{taken}");
    let tiny = MempoolConfig {
        name: "tiny".to_owned(),
        buffers: 200,
        held: 200,
        ..small
    };
    let tiny = Mempool::create(eal, &tiny).unwrap_err();
    assert!(
        matches!(tiny, DpdkError::PoolTooSmall { needed: 392, .. }),
        "{tiny}"
    );
    let elsewhere = MempoolConfig {
        name: "elsewhere".to_owned(),
        numa_node: Some(NumaNode(999)),
        ..small
    };
    let elsewhere = Mempool::create(eal, &elsewhere).unwrap_err().to_string();
    assert!(
        elsewhere.starts_with(
            "mempool `elsewhere` cannot be on NUMA node 999, which has no memory: configure one \
             that has, 0"
        ),
        "{elsewhere}"
    );
    let huge = MempoolConfig {
        name: "huge".to_owned(),
        buffers: 1_000_000,
        ..small
    };
    let on_node = MempoolConfig {
        numa_node: Some(NumaNode(0)),
        ..huge.clone()
    };
    let full = Mempool::create(eal, &on_node).unwrap_err().to_string();
    assert!(
        full.contains("`huge` needs") && full.contains("on NUMA node 0: configure more memory"),
        "{full}"
    );
    let huge = Mempool::create(eal, &huge).unwrap_err().to_string();
    assert!(
        huge.contains("rte_pktmbuf_pool_create failed for mempool `huge`")
            && huge.contains("Configure more memory"),
        "{huge}"
    );
}
