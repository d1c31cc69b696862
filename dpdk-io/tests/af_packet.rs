//! net_af_packet on veth pairs: one queue, and two with the kernel's fan-out.

mod rig;
#[path = "rig/wire.rs"]
mod wire;

use std::net::Ipv4Addr;
use std::process::Command;

use dpdk_io::{Device, DpdkError, Eal, Mempool, Port, PortConfig, Queue};
use netstack::io::PacketIo;
use netstack::wire::ethernet::MacAddr;
use wire::Wire;

#[test]
fn frames_pass_to_and_from_the_kernel() {
    if !rig::enter_namespace() {
        return;
    }
    rig::add_veth("one", "one-peer", 1);
    rig::add_veth("two", "two-peer", 2);
    rig::add_veth("three", "three-peer", 2);
    let eal = rig::eal(&[
        "net_af_packet0,iface=one",
        "net_af_packet1,iface=two,qpairs=2",
        "net_af_packet2,iface=three,qpairs=2",
    ]);
    let pool = rig::pool(&eal);
    devices_are_described_before_they_are_opened(&eal);
    let mut one = with_another_address(&eal, &pool);
    let mut two = rig::open(&eal, "net_af_packet1", 2, &pool);
    assert!(!one.offloads().tx_checksum && !one.offloads().rss);

    let mut queue = rig::pair(&mut one);
    let wire = Wire::new("one-peer");
    let frames = rig::frames(200);
    // In groups that fit the buffers of the kernel's sockets.
    for group in frames.chunks(32) {
        for frame in group {
            wire.send(frame);
        }
        rig::assert_frames(&rig::receive(&mut queue, group.len()), group);
        rig::send(&mut queue, group);
        rig::assert_frames(&wire.receive_all(group.len()), group);
    }
    assert_eq!(one.stats().unwrap().tx_frames, 200);
    assert!(queue.capabilities().tx_pieces >= 2);
    for frame in &frames[..20] {
        rig::send_in_pieces(&mut queue, frame);
    }
    rig::assert_frames(&wire.receive_all(20), &frames[..20]);
    assert!(one.stats().unwrap().rx_frames >= 200);
    assert!(rig::extended_stat(&one, "tx_good_packets") >= 200);

    let queues = rig::pairs(&mut two);
    flows_spread_over_both_queues(queues, &Wire::new("two-peer"));
    let three = a_worker_serves_two_rx_queues_and_sends_on_one(&eal, &pool);

    drop(queue);
    rig::finish(eal, vec![one, two, three], pool);
}

fn a_worker_serves_two_rx_queues_and_sends_on_one(eal: &Eal, pool: &Mempool) -> Port {
    let config = PortConfig {
        rx_queues: 2,
        rx_descriptors: 256,
        tx_queues: 1,
        tx_descriptors: 256,
        ..PortConfig::default()
    };
    let mut port = Port::open(eal, "net_af_packet2", &config, pool).unwrap();
    let mut queues = port.start().unwrap();
    assert_eq!((queues.rx.len(), queues.tx.len()), (2, 1));
    let second = Queue::receiving(queues.rx.remove(1));
    let pair = Queue::pair(queues.rx.remove(0), queues.tx.remove(0)).unwrap();
    let mut served = [pair, second];
    let wire = Wire::new("three-peer");
    for flow in 0..64 {
        wire.send(&udp(20_000 + flow));
    }
    let received = rig::receive_from(&mut served, 64, |frame| frame.starts_with(&UDP_START));
    assert_eq!(received[0].len() + received[1].len(), 64);
    assert!(received.iter().all(|frames| !frames.is_empty()));
    let counted = port.queue_stats().unwrap();
    assert_eq!(counted.len(), 2);
    for (counted, frames) in counted.iter().zip(&received) {
        // The kernel may have sent something of its own.
        assert!(counted.rx_frames >= frames.len() as u64, "{counted:?}");
        assert!(
            counted.rx_octets >= frames.concat().len() as u64,
            "{counted:?}"
        );
    }
    let frames = rig::frames(20);
    rig::send(&mut served[0], &frames);
    rig::assert_frames(&wire.receive_all(20), &frames);
    port
}

fn devices_are_described_before_they_are_opened(eal: &Eal) {
    for (name, interface, queues) in [("net_af_packet0", "one", 1), ("net_af_packet1", "two", 2)] {
        let device = Device::describe(eal, name).unwrap();
        let expected = Device {
            name: name.to_owned(),
            driver: "net_af_packet".to_owned(),
            max_rx_queues: queues,
            max_tx_queues: queues,
            reta_size: 0,
            rss_key_len: 0,
            ..device.clone()
        };
        assert_eq!(device, expected);
        let shown = shown(interface);
        let address = format!("link/ether {} ", device.mac);
        assert!(shown.contains(&address), "{address}: {shown}");
        assert!(device.min_mtu <= 1500 && device.max_mtu >= 1500);
    }
    let unknown = Device::describe(eal, "net_af_packet7").unwrap_err();
    assert!(
        matches!(unknown, DpdkError::UnknownDevice { .. }),
        "{unknown}"
    );
}

/// The driver gives the address to the kernel's interface, so frames for it are let in.
fn with_another_address(eal: &Eal, pool: &Mempool) -> Port {
    let mac = MacAddr([2, 0, 0, 0, 0, 0x77]);
    let config = PortConfig {
        mac: Some(mac),
        ..PortConfig::default()
    };
    let port = Port::open(eal, "net_af_packet0", &config, pool).unwrap();
    assert_eq!(port.mac(), mac);
    assert_eq!(port.capabilities().mac, mac);
    let shown = shown("one");
    assert!(shown.contains("link/ether 02:00:00:00:00:77 "), "{shown}");
    port
}

/// What the kernel says of an interface.
fn shown(interface: &str) -> String {
    let shown = Command::new("ip")
        .args(["link", "show", interface])
        .output();
    String::from_utf8(shown.unwrap().stdout).unwrap()
}

fn flows_spread_over_both_queues(mut queues: Vec<Queue>, wire: &Wire) {
    let flows: Vec<_> = (0..64).map(|flow| udp(20_000 + flow)).collect();
    for flow in &flows {
        wire.send(flow);
        wire.send(flow);
    }
    let received = rig::receive_from(&mut queues, 128, |frame| frame.starts_with(&UDP_START));
    assert_eq!(received.iter().map(Vec::len).sum::<usize>(), 128);
    for flow in &flows {
        let counts = received.iter().map(|frames| {
            let of_flow = frames.iter().filter(|frame| *frame == flow);
            of_flow.count()
        });
        assert_eq!(counts.max(), Some(2), "a flow stays on one queue");
    }
    assert!(received.iter().all(|frames| !frames.is_empty()));
    for (queue, number) in queues.iter_mut().zip(0..) {
        let frames = [rig::frame(number, 100)];
        rig::send(queue, &frames);
        assert_eq!(wire.receive_all(1), frames);
    }
}

/// Addresses that nobody has, so that the kernel does not answer.
const UDP_START: [u8; 12] = [2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];

/// A UDP datagram over IPv4 from this port. Checksums are nobody's concern here.
fn udp(sport: u16) -> Vec<u8> {
    let mut frame = UDP_START.to_vec();
    frame.extend([0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(Ipv4Addr::new(198, 51, 100, 1).octets());
    frame.extend(Ipv4Addr::new(198, 51, 100, 2).octets());
    frame.extend(sport.to_be_bytes());
    frame.extend([0x12, 0x34, 0, 26, 0, 0]);
    frame.extend([0; 18]);
    frame
}
