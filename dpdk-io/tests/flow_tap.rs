//! Flow rules on net_tap, which makes filters of the kernel of them: each class of traffic comes on
//! the queue that its rule names.
//!
//! Needs a kernel with `sch_multiq`, `sch_ingress`, `cls_flower` and their actions.

mod rig;
#[path = "rig/wire.rs"]
mod wire;

use std::fs;
use std::path::Path;

use dpdk_io::{Fault, FlowError, Port, PortConfig, Queue};
use flow_rules::FlowRule;
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo};
use wire::Wire;

/// What is sent: the IP version and the protocol.
const CLASSES: [(&str, u8, u8); 5] = [
    (
        "ingress pattern eth / ipv4 / tcp / end actions queue index 1 / end",
        4,
        6,
    ),
    (
        "ingress pattern eth / ipv6 / tcp / end actions queue index 2 / end",
        6,
        6,
    ),
    (
        "ingress pattern eth / ipv4 / udp / end actions queue index 3 / end",
        4,
        17,
    ),
    (
        "ingress pattern eth / ipv6 / udp dst is 9 / end actions drop / end",
        6,
        17,
    ),
    (
        "priority 1 ingress pattern eth / ipv6 / end actions queue index 0 / end",
        6,
        58,
    ),
];

#[test]
fn each_class_comes_on_its_queue() {
    if !Path::new("/dev/net/tun").exists() {
        println!("skipped: needs the TUN/TAP device of the kernel");
        return;
    }
    if !rig::enter_namespace() {
        return;
    }
    let eal = rig::eal(&["net_tap0,iface=one"]);
    let pool = rig::pool(&eal);
    let config = PortConfig {
        rx_queues: 4,
        tx_queues: 4,
        ..PortConfig::default()
    };
    let mut port = Port::open(&eal, "net_tap0", &config, &pool).unwrap();
    let mut queues = rig::pairs(&mut port);
    if has_filters(&port) {
        classes_are_kept_apart(&port, &mut queues);
    } else {
        println!("skipped: the kernel has no sch_multiq, sch_ingress or cls_flower");
    }
    drop(queues);
    rig::finish(eal, vec![port], pool);
}

/// Whether the kernel has what the driver makes of rules. User-mode Linux must have it.
fn has_filters(port: &Port) -> bool {
    let probe = CLASSES[0].0.parse().unwrap();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
    match port.install_rule(&probe) {
        Ok(probe) => probe.remove().map(|()| true).unwrap(),
        Err(error) if cpu.contains("User Mode Linux") => panic!("{error}"),
        Err(_) => false,
    }
}

fn classes_are_kept_apart(port: &Port, queues: &mut [Queue]) {
    let unknown: FlowRule = "ingress pattern eth / ipv4 / sctp / end actions drop / end"
        .parse()
        .unwrap();
    let error = port.install_rule(&unknown).unwrap_err();
    println!("{error}");
    let FlowError::Refused { fault, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(*fault, Fault::Item { index: 2, .. }), "{fault}");

    let rules: Vec<_> = CLASSES
        .iter()
        .map(|(rule, ..)| {
            let rule = rule.parse().unwrap();
            port.validate_rule(&rule).unwrap();
            port.install_rule(&rule).unwrap()
        })
        .collect();
    let wire = Wire::new("one");
    for _ in 0..10 {
        for (_, version, protocol) in CLASSES {
            wire.send(&packet(version, protocol));
        }
    }
    let counts = received(queues);
    println!("{counts:?}");
    for (queue, (version, protocol)) in [(1, (4, 6)), (2, (6, 6)), (3, (4, 17)), (0, (6, 58))] {
        let at = |index: usize| {
            let packets = counts[index].iter();
            packets
                .filter(|packet| **packet == (version, protocol))
                .count()
        };
        for index in 0..queues.len() {
            let wanted = if index == queue { 10 } else { 0 };
            assert_eq!(
                at(index),
                wanted,
                "IPv{version} {protocol} on queue {index}"
            );
        }
    }
    let dropped = counts.iter().flatten().filter(|&&packet| packet == (6, 17));
    assert_eq!(dropped.count(), 0);

    for rule in rules {
        rule.remove().unwrap();
    }
    wire.send(&packet(6, 17));
    let counts = received(queues);
    let passed = counts.iter().flatten().filter(|&&packet| packet == (6, 17));
    assert_eq!(passed.count(), 1, "nothing drops it any more");
}

/// A packet of `protocol` to port 9, from and to addresses of documentation.
fn packet(version: u8, protocol: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
    let upper = [&[0x30, 0x39, 0, 9][..], &[0; 28]].concat();
    if version == 4 {
        frame.extend([8, 0, 0x45, 0, 0, 52, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend([198, 51, 100, 1, 198, 51, 100, 2]);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, protocol, 64]);
        for host in [1, 2] {
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
    }
    frame.extend(upper);
    frame
}

/// The version and protocol of what came on each queue, once nothing comes any more.
fn received(queues: &mut [Queue]) -> Vec<Vec<(u8, u8)>> {
    let mut all = vec![Vec::new(); queues.len()];
    let mut burst = Burst::with_capacity(BURST_SIZE);
    for _ in 0..200 {
        for (queue, packets) in queues.iter_mut().zip(&mut all) {
            queue.rx_burst(&mut burst);
            while let Some(mbuf) = burst.pop_front() {
                match mbuf.data() {
                    // Only what this test sent: the kernel sends of its own.
                    [2, 0, 0, 0, 0, 0xbb, _, _, _, _, _, _, 8, 0, ip @ ..] => {
                        packets.push((4, ip[9]));
                    }
                    [2, 0, 0, 0, 0, 0xbb, _, _, _, _, _, _, 0x86, 0xdd, ip @ ..] => {
                        packets.push((6, ip[6]));
                    }
                    _ => {}
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    all
}
