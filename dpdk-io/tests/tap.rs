//! net_tap: the device without a NIC that fills in checksums and cuts segments. What it makes of
//! packets with payloads attached is looked at from the kernel's end.

mod rig;
#[path = "rig/wire.rs"]
mod wire;

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use dpdk_io::{Eal, Mbuf, Mempool, Port, PortConfig, Queue};
use netstack::io::{Burst, L4Checksum, PacketBuf, PacketIo, TxOffload};
use netstack::ip::V4;
use netstack::wire::checksum::{pseudo_header, verify_transport_checksum};
use netstack::wire::{ipv4, tcp};
use wire::Wire;

const SRC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const DST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const IP: usize = 14;
const TCP: usize = IP + 20;
const HEADERS: usize = TCP + 20;

#[test]
fn checksums_and_segments_are_right_with_payloads_attached() {
    if !Path::new("/dev/net/tun").exists() {
        println!("skipped: needs the TUN/TAP device of the kernel");
        return;
    }
    if !rig::enter_namespace() {
        return;
    }
    let eal = rig::eal(&["net_tap0,iface=one", "net_tap1,iface=two"]);
    let pool = rig::pool(&eal);
    let two = queues_come_in_pairs(&eal, &pool);
    let mut port = rig::open(&eal, "net_tap0", 1, &pool);
    let mut queue = rig::pair(&mut port);
    let wire = Wire::new("one");
    let capabilities = queue.capabilities();
    assert!(capabilities.tx_checksum.tcp && capabilities.tx_checksum.ipv4);
    assert!(capabilities.tso_ipv4.is_some() && capabilities.tso_ipv6.is_none());
    assert_eq!(
        capabilities.tx_pieces, 0,
        "the driver sums pieces up wrongly"
    );

    for lens in [&[100, 200][..], &[7, 9, 300], &[1, 1, 1]] {
        send(&mut queue, lens, None);
        check(&receive(&wire, 1), lens.iter().sum());
    }
    for lens in [&[1448, 500][..], &[1001, 31], &[333; 5]] {
        send(&mut queue, lens, Some(500));
        let total = lens.iter().sum::<usize>();
        let packets = receive(&wire, total.div_ceil(500));
        assert_eq!(packets.len(), total.div_ceil(500), "{lens:?}");
        check(&packets, total);
    }
    assert_eq!(queue.counters().tx_refused, 0);
    drop(queue);
    rig::finish(eal, vec![port, two], pool);
}

/// The driver demands as many TX as RX queues: those beyond the configured ones are not handed out.
fn queues_come_in_pairs(eal: &Eal, pool: &Mempool) -> Port {
    let config = |rx_queues, tx_queues| PortConfig {
        rx_queues,
        rx_descriptors: 64,
        tx_queues,
        tx_descriptors: 64,
        ..PortConfig::default()
    };
    let error = Port::open(eal, "net_tap1", &config(1, 2), pool).unwrap_err();
    assert_eq!(
        error.to_string(),
        "port `net_tap1` is to have 1 RX queues and 2 TX queues, but its driver net_tap has as \
         many of both: configure at least 2 RX queues, or 1 TX queues at most"
    );
    let mut port = Port::open(eal, "net_tap1", &config(3, 1), pool).unwrap();
    let queues = port.start().unwrap();
    assert_eq!((queues.rx.len(), queues.tx.len()), (3, 1));
    assert_eq!((port.config().rx_queues, port.config().tx_queues), (3, 1));
    let frames = rig::frames(20);
    let mut sending = queues.tx.into_iter().map(Queue::sending).next().unwrap();
    let wire = Wire::new("two");
    rig::send(&mut sending, &frames);
    rig::assert_frames(&wire.receive_all(20), &frames);
    for frame in &frames {
        wire.send(frame);
    }
    let mut served: Vec<_> = queues.rx.into_iter().map(Queue::receiving).collect();
    let received = rig::receive_from(&mut served, 20, rig::is_ours);
    assert_eq!(received.iter().map(Vec::len).sum::<usize>(), 20);
    port
}

fn octets(len: usize) -> Vec<u8> {
    (0..len).map(|octet| (octet % 251) as u8).collect()
}

fn send(queue: &mut Queue, lens: &[usize], segment_size: Option<u16>) {
    let total = lens.iter().sum::<usize>();
    let octets = octets(total);
    let mut mbuf: Mbuf = rig::lend(queue, &headers(total, segment_size.is_some()));
    let mut rest = &octets[..];
    for len in lens {
        let (piece, behind) = rest.split_at(*len);
        assert!(mbuf.attach(&rig::payload(queue, piece)));
        rest = behind;
    }
    mbuf.set_tx_offload(TxOffload {
        ip_version: 4,
        l2_len: 14,
        l3_len: 20,
        l4_len: 20,
        ip_checksum: true,
        l4_checksum: Some(L4Checksum::Tcp),
        tso_segment_size: segment_size,
    });
    let mut burst = Burst::with_capacity(1);
    burst.push(mbuf).unwrap();
    assert_eq!(queue.tx_burst(&mut burst), 1);
}

fn headers(payload: usize, cut: bool) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 8, 0];
    frame.extend([0x45, 0]);
    frame.extend((40 + payload as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, tcp::PROTOCOL, 0, 0]);
    frame.extend(SRC.octets());
    frame.extend(DST.octets());
    frame.extend([
        0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0,
    ]);
    let len = if cut { 0 } else { 20 + payload };
    frame.extend(
        pseudo_header::<V4>(SRC, DST, tcp::PROTOCOL, len)
            .folded()
            .to_be_bytes(),
    );
    frame.extend([0, 0]);
    assert_eq!(frame.len(), HEADERS);
    frame
}

fn receive(wire: &Wire, count: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut idle = 0;
    while packets.len() < count && idle < 1000 {
        match wire.receive() {
            Some(frame) if frame.len() > HEADERS && frame[12..14] == [8, 0] => packets.push(frame),
            Some(_) => {}
            None => {
                idle += 1;
                sleep(Duration::from_millis(1));
            }
        }
    }
    packets
}

fn check(packets: &[Vec<u8>], total: usize) {
    let mut payload = Vec::new();
    for packet in packets {
        assert!(ipv4::verify_checksum(&packet[IP..]));
        let header = ipv4::Header::parse(&packet[IP..]).unwrap();
        let segment = &packet[TCP..IP + header.total_len];
        assert!(verify_transport_checksum::<V4>(
            SRC,
            DST,
            tcp::PROTOCOL,
            segment
        ));
        assert_eq!(
            tcp::Header::parse(segment).unwrap().seq as usize,
            payload.len()
        );
        payload.extend_from_slice(&segment[20..]);
    }
    assert_eq!(payload, octets(total));
}
