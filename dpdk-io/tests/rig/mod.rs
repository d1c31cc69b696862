//! What the device tests have in common: numbered frames in and out of a queue, a pool that must
//! be whole at the end, and veth pairs in a network namespace of the test's own.
//!
//! DPDK starts once in a process, so each test file holds one test with an EAL.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use dpdk_io::{Eal, EalConfig, Mbuf, MbufPayload, Mempool, MempoolConfig, Port, PortConfig};
use dpdk_io::{PortQueues, Queue};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo, Payload};

/// How long frames may take. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Memory for the devices' own rings.
const DEVICES_MIB: u32 = 8;

/// EtherType for local experiments: nothing else on the wire uses it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// Starts the EAL without huge pages, with `devices` and the memory that the pool needs.
pub(crate) fn eal(devices: &[&str]) -> Eal {
    let config = EalConfig {
        memory_mib: MempoolConfig::default().memory_mib() + DEVICES_MIB,
        virtual_devices: devices.iter().map(|&device| device.to_owned()).collect(),
        ..EalConfig::default()
    };
    Eal::init(&config).unwrap()
}

/// A pool for one or two small ports.
pub(crate) fn pool(eal: &Eal) -> Mempool {
    let config = MempoolConfig {
        cache: 64,
        lcores: 2,
        ..MempoolConfig::default()
    };
    Mempool::create(eal, &config).unwrap()
}

/// Opens `name` with `queues` queue pairs.
pub(crate) fn open(eal: &Eal, name: &str, queues: u16, pool: &Mempool) -> Port {
    let config = PortConfig {
        rx_queues: queues,
        tx_queues: queues,
        ..PortConfig::default()
    };
    Port::open(eal, name, &config, pool).unwrap()
}

/// Starts `port`, and joins its queues to pairs in the order of their numbers.
pub(crate) fn pairs(port: &mut Port) -> Vec<Queue> {
    let PortQueues { rx, tx } = port.start().unwrap();
    assert_eq!(rx.len(), tx.len());
    let pairs = rx.into_iter().zip(tx);
    pairs.map(|(rx, tx)| Queue::pair(rx, tx).unwrap()).collect()
}

/// Starts `port`, which has one queue pair.
pub(crate) fn pair(port: &mut Port) -> Queue {
    let mut pairs = pairs(port);
    assert_eq!(pairs.len(), 1);
    pairs.remove(0)
}

/// The frame with this number: `len` octets that depend on it.
pub(crate) fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
    frame.extend(ETHERTYPE);
    frame.extend(number.to_be_bytes());
    let octets = (0..=u8::MAX).cycle().skip(number as usize % 256);
    frame.extend(octets.take(len.saturating_sub(frame.len())));
    frame
}

/// Numbered frames of many lengths up to the largest of Ethernet.
pub(crate) fn frames(count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| frame(number, 60 + (number as usize * 37) % 1455))
        .collect()
}

/// Whether it is a frame of a test, and not something that the kernel says of itself.
pub(crate) fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ETHERTYPE)
}

/// Compares frames, and says which one differs instead of showing all.
pub(crate) fn assert_frames(actual: &[Vec<u8>], expected: &[Vec<u8>]) {
    assert_eq!(actual.len(), expected.len(), "the number of frames");
    for (number, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(actual, expected, "frame {number}");
    }
}

/// A buffer from `queue` that holds `frame`.
pub(crate) fn lend(queue: &mut Queue, frame: &[u8]) -> Mbuf {
    let mut mbuf = queue.alloc().unwrap();
    let room = mbuf.append(frame.len()).unwrap();
    room.copy_from_slice(frame);
    mbuf
}

/// The payload of a buffer from `queue` that holds `octets`.
pub(crate) fn payload(queue: &mut Queue, octets: &[u8]) -> MbufPayload {
    lend(queue, octets).into_payload()
}

/// Sends `frame` as a buffer with its first octets and two payloads attached, and looks at one of
/// the payloads afterwards.
pub(crate) fn send_in_pieces(queue: &mut Queue, frame: &[u8]) {
    let (head, rest) = frame.split_at(18);
    // Of different parities, and from the middle of their buffers.
    let (first, second) = rest.split_at((rest.len() / 2) | 1);
    let mut whole = payload(queue, rest);
    let mut mbuf = lend(queue, head);
    let mut piece = whole.share();
    piece.truncate(first.len());
    assert!(mbuf.attach(&piece));
    whole.trim_front(first.len());
    assert!(mbuf.attach(&whole));
    assert_eq!(mbuf.packet_len(), frame.len());
    drop(piece);
    let mut burst = Burst::with_capacity(1);
    burst.push(mbuf).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !burst.is_empty() {
        assert!(Instant::now() < deadline, "the device takes no frames");
        queue.tx_burst(&mut burst);
    }
    assert_eq!(whole.octets(), second);
}

/// Sends all frames, as fast as the device takes them.
pub(crate) fn send(queue: &mut Queue, frames: &[Vec<u8>]) {
    let deadline = Instant::now() + PATIENCE;
    let mut burst = Burst::with_capacity(BURST_SIZE);
    for group in frames.chunks(BURST_SIZE) {
        for frame in group {
            burst.push(lend(queue, frame)).unwrap();
        }
        while !burst.is_empty() {
            assert!(Instant::now() < deadline, "the device takes no frames");
            queue.tx_burst(&mut burst);
        }
    }
}

/// Receives frames of tests until there are `count`, which the caller asserts; fewer if no more
/// come.
pub(crate) fn receive(queue: &mut Queue, count: usize) -> Vec<Vec<u8>> {
    receive_from(std::slice::from_mut(queue), count, is_ours).remove(0)
}

/// Receives frames for which `wanted` holds from several queues until there are `count` in all.
pub(crate) fn receive_from(
    queues: &mut [Queue],
    count: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Vec<Vec<Vec<u8>>> {
    let deadline = Instant::now() + PATIENCE;
    let mut received = vec![Vec::new(); queues.len()];
    let mut burst = Burst::with_capacity(BURST_SIZE);
    while received.iter().map(Vec::len).sum::<usize>() < count && Instant::now() < deadline {
        for (queue, received) in queues.iter_mut().zip(&mut received) {
            queue.rx_burst(&mut burst);
            while let Some(mbuf) = burst.pop_front() {
                if wanted(mbuf.data()) {
                    received.push(mbuf.data().to_vec());
                }
            }
        }
    }
    received
}

/// The value of a driver's counter.
pub(crate) fn extended_stat(port: &Port, name: &str) -> u64 {
    let stats = port.extended_stats().unwrap();
    let found = stats.iter().find(|stat| stat.name == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {stats:?}"))
        .value
}

/// Closes everything and sees to it that no buffer is lost.
pub(crate) fn finish(eal: Eal, ports: Vec<Port>, pool: Mempool) {
    drop(ports);
    assert_eq!(pool.in_use(), 0, "buffers are lost");
    assert_eq!(pool.references_in_use(), 0, "references are lost");
    assert_eq!(pool.available(), MempoolConfig::default().buffers);
    drop(pool);
    eal.shutdown().unwrap();
}

/// Moves the thread to a network namespace of its own, which goes when the process ends; says so
/// and returns false if that is not allowed.
pub(crate) fn enter_namespace() -> bool {
    let entered = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET);
    if entered.is_err() {
        println!("skipped: needs root");
    }
    entered.is_ok()
}

/// Makes a veth pair without offloads: the kernel would hand frames over that are not finished.
pub(crate) fn add_veth(one: &str, other: &str, queues: u16) {
    let queues = queues.to_string();
    let queues = ["numrxqueues", &queues, "numtxqueues", &queues];
    let mut add = vec!["link", "add", "name", one];
    add.extend(queues);
    add.extend(["type", "veth", "peer", "name", other]);
    add.extend(queues);
    run("ip", &add);
    for interface in [one, other] {
        let sysctl = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
        // A kernel without IPv6 has nothing to silence.
        let _ = fs::write(sysctl, "1");
        let off = [
            "-K", interface, "tx", "off", "rx", "off", "gso", "off", "tso", "off", "gro", "off",
        ];
        run("ethtool", &off);
        run("ip", &["link", "set", interface, "up"]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
}
