//! net_memif between two processes: this test is the server, and starts itself again as the client
//! that sends back whatever it receives, on the first of its two TX queues.

mod rig;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use dpdk_io::{Mempool, MempoolConfig, Port, PortConfig, Queue};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo};

/// Tells the second process that it is the client, and where the socket is.
const SOCKET: &str = "DPDK_IO_TEST_MEMIF_SOCKET";
/// What the client sends unasked at the end: it does not fit a buffer of the server.
const LARGE: usize = 3000;
/// The frame on which the client ends.
const LAST: u32 = u32::MAX;

#[test]
fn frames_pass_between_two_processes() {
    match env::var(SOCKET) {
        Ok(socket) => echo(&socket),
        Err(_) => serve(),
    }
}

fn serve() {
    let directory = env::temp_dir().join(format!("dpdk-io-memif-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let socket = directory.join("socket").display().to_string();
    let eal = rig::eal(&[&device("server", &socket)]);
    let pool = rig::pool(&eal);
    let config = PortConfig {
        rx_queues: 2,
        ..PortConfig::default()
    };
    let mut port = Port::open(&eal, "net_memif0", &config, &pool).unwrap();
    let mut queues = port.start().unwrap();
    let mut second = Queue::receiving(queues.rx.remove(1));
    let mut queue = Queue::pair(queues.rx.remove(0), queues.tx.remove(0)).unwrap();
    let mut client = Client::start(&socket);
    wait_for_link(&port);

    let frames = rig::frames(1000);
    for group in frames.chunks(BURST_SIZE) {
        rig::send(&mut queue, group);
        rig::assert_frames(&rig::receive(&mut queue, group.len()), group);
    }
    assert!(queue.capabilities().tx_pieces >= 2);
    for frame in &frames[..BURST_SIZE] {
        rig::send_in_pieces(&mut queue, frame);
        rig::assert_frames(&rig::receive(&mut queue, 1), core::slice::from_ref(frame));
    }
    rig::send(&mut queue, &[rig::frame(LAST, 60)]);
    assert_eq!(rig::receive(&mut queue, 1), [rig::frame(LAST, 60)]);
    // The large frame comes before the other, and is dropped for want of room.
    assert_eq!(rig::receive(&mut second, 1), [rig::frame(1, 60)]);
    assert_eq!(second.counters().rx_not_joined, 1);
    let stats = port.stats().unwrap();
    let in_pieces = BURST_SIZE as u64;
    assert_eq!(
        (stats.rx_frames, stats.tx_frames),
        (1003 + in_pieces, 1001 + in_pieces)
    );

    drop((queue, second));
    rig::finish(eal, vec![port], pool);
    client.end();
    fs::remove_dir_all(&directory).unwrap();
}

/// The second process.
fn echo(socket: &str) {
    let eal = rig::eal(&[&device("client", socket)]);
    let config = MempoolConfig {
        mtu: LARGE as u16,
        buffers: 4095,
        ..MempoolConfig::default()
    };
    let pool = Mempool::create(&eal, &config).unwrap();
    let config = PortConfig {
        tx_queues: 2,
        ..PortConfig::default()
    };
    let mut port = Port::open(&eal, "net_memif0", &config, &pool).unwrap();
    let mut queues = port.start().unwrap();
    let mut second = Queue::sending(queues.tx.remove(1));
    let mut queue = Queue::pair(queues.rx.remove(0), queues.tx.remove(0)).unwrap();
    wait_for_link(&port);
    let last = rig::frame(LAST, 60);
    let mut burst = Burst::with_capacity(BURST_SIZE);
    let mut ended = false;
    while !ended {
        queue.rx_burst(&mut burst);
        ended = burst.iter().any(|mbuf| mbuf.data() == last);
        if ended {
            rig::send(&mut second, &[rig::frame(0, LARGE), rig::frame(1, 60)]);
        }
        while !burst.is_empty() {
            queue.tx_burst(&mut burst);
        }
    }
    // The server ends the connection when it has read everything.
    while port.link().unwrap().up {
        thread::sleep(Duration::from_millis(1));
    }
    // The driver cleans the connection up on a thread of its own, and minds being closed meanwhile.
    thread::sleep(Duration::from_millis(100));
    drop((queue, second, burst, port));
    assert_eq!(pool.in_use(), 0);
    drop(pool);
    eal.shutdown().unwrap();
}

fn device(role: &str, socket: &str) -> String {
    format!("net_memif0,role={role},socket={socket},socket-abstract=no")
}

fn wait_for_link(port: &Port) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !port.link().unwrap().up {
        assert!(
            Instant::now() < deadline,
            "the other process does not connect"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// The second process, which ends with this value at the latest.
struct Client(Child);

impl Client {
    fn start(socket: &str) -> Self {
        let mut client = Command::new(env::current_exe().unwrap());
        client.args(["--exact", "frames_pass_between_two_processes"]);
        client.env(SOCKET, socket).stdout(Stdio::null());
        Self(client.spawn().unwrap())
    }

    /// Checks that it ends, and well, after its link has gone.
    fn end(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return assert!(status.success(), "the client failed: {status}");
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the client does not end");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
