//! Many connections one after the other, many at once, and as much data as will go through.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{Config, Direction, FAMILIES, IperfServer, Page, Rig, SERVER_V4};

on_each_driver!(
    ten_thousand_short_connections,
    five_hundred_connections_at_once,
    iperf3_sends_both_ways;
    smoltcp: five_hundred_connections_at_once, iperf3_sends_both_ways,
);

/// How many clients work side by side on the short connections.
const CLIENTS: usize = 8;
/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

fn ten_thousand_short_connections(config: Config) {
    let Some(rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    for family in FAMILIES {
        let address = SocketAddr::from((family.gate(), Config::PORT));
        let fetch_many = || {
            for _ in 0..5_000 / CLIENTS {
                let mut stream = connect(address);
                request(&mut stream);
                assert_one_octet(&mut stream);
            }
        };
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| rig.topology.client.enter(fetch_many).unwrap());
            }
        });
    }
}

fn five_hundred_connections_at_once(config: Config) {
    let Some(rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    let fetch_at_once = || {
        for family in FAMILIES {
            let address = SocketAddr::from((family.gate(), Config::PORT));
            let mut streams: Vec<_> = (0..500).map(|_| connect(address)).collect();
            streams.iter_mut().for_each(request);
            streams.iter_mut().for_each(assert_one_octet);
        }
    };
    rig.topology.client.enter(fetch_at_once).unwrap();
}

fn iperf3_sends_both_ways(config: Config) {
    let backend = format!("{SERVER_V4}:{}", IperfServer::PORT);
    let config = config.serve("iperf3", IperfServer::PORT, &[&backend]);
    let Some(rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    let _server = IperfServer::start(&rig.topology.server, rig.directory.path()).unwrap();
    for family in FAMILIES {
        for direction in [Direction::Upload, Direction::Download] {
            let client = &rig.topology.client;
            let octets = IperfServer::measure(client, family.gate(), direction).unwrap();
            let driver = rig.config.driver();
            println!("{driver:?} {family:?} {direction:?}: {octets} octets in 2 s");
            assert!(octets > 1_000_000, "{family:?} {direction:?}: {octets}");
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for the page of one octet and for the end of the connection after it.
fn request(stream: &mut TcpStream) {
    stream.write_all(b"GET /1B HTTP/1.0\r\n\r\n").unwrap();
}

fn assert_one_octet(stream: &mut TcpStream) {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let text = String::from_utf8_lossy(&response);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let head = response.windows(4).position(|octets| octets == b"\r\n\r\n");
    assert_eq!(
        head.map(|head| response.len() - head - 4),
        Some(1),
        "{text}"
    );
}
