//! The rig without Weirgate: client and server see each other through the kernel as a router. If
//! one of these fails, the other tests say nothing about Weirgate.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use weirgate_tests::rig::{
    Config, Direction, Driver, FAMILIES, Family, Gate, IperfServer, Namespace, Nginx, Page,
    SERVER_V4, SERVER_V6, Topology, can_run, fetch, fetch_all, take_turn, temporary_directory,
    wait_until,
};

fn server(family: Family) -> IpAddr {
    let address = match family {
        Family::V4 => SERVER_V4,
        Family::V6 => SERVER_V6,
    };
    address.parse().unwrap()
}

fn url(family: Family, page: Page) -> String {
    match family {
        Family::V4 => format!("http://{SERVER_V4}/{}", page.file_name()),
        Family::V6 => format!("http://[{SERVER_V6}]/{}", page.file_name()),
    }
}

#[test]
fn pages_arrive_through_a_router() {
    if !can_run() {
        return;
    }
    let _turn = take_turn().unwrap();
    let directory = temporary_directory().unwrap();
    let topology = Topology::new(Gate::Router, 2).unwrap();
    let nginx = Nginx::start(&topology.server, directory.path(), &Page::ALL).unwrap();
    for family in FAMILIES {
        for page in Page::ALL {
            let url = url(family, page);
            let fetch = fetch(&topology.client, &url, directory.path(), &[]).unwrap();
            assert_eq!(fetch.exit_code, Some(0), "{url}: {}", fetch.errors);
            assert_eq!(fetch.size, page.size(), "{url}");
            assert_eq!(fetch.checksum, nginx.checksum(page), "{url}");
        }
    }
    let urls = vec![url(Family::V4, Page::One); 50];
    let fetch = fetch_all(&topology.client, &urls, directory.path(), &[]).unwrap();
    assert_eq!((fetch.exit_code, fetch.connections), (Some(0), 1));
}

#[test]
fn iperf3_measures_through_a_router() {
    if !can_run() {
        return;
    }
    let _turn = take_turn().unwrap();
    let directory = temporary_directory().unwrap();
    let topology = Topology::new(Gate::Router, 2).unwrap();
    let _server = IperfServer::start(&topology.server, directory.path()).unwrap();
    for family in FAMILIES {
        for direction in [Direction::Upload, Direction::Download] {
            let octets = IperfServer::measure(&topology.client, server(family), direction).unwrap();
            assert!(octets > 1_000_000, "{family:?} {direction:?}: {octets}");
        }
    }
}

#[test]
fn threads_enter_namespaces() {
    if !can_run() {
        return;
    }
    let _turn = take_turn().unwrap();
    let topology = Topology::new(Gate::Router, 2).unwrap();
    let listener = topology.server.enter(|| TcpListener::bind((SERVER_V4, 7)));
    let listener = listener.unwrap().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| listener.accept().unwrap().0.write_all(b"hello").unwrap());
        let read = topology.client.enter(|| {
            let mut text = String::new();
            let mut stream = TcpStream::connect((SERVER_V4, 7)).unwrap();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(read.unwrap(), "hello");
    });
}

#[test]
fn a_bare_gate_is_silent() {
    if !can_run() {
        return;
    }
    let _turn = take_turn().unwrap();
    let topology = Topology::new(Gate::Bare, 2).unwrap();
    assert_eq!(
        topology.gate.ip("-oneline address show up dev g0").unwrap(),
        ""
    );
    for address in ["10.64.0.1", "fd64::1"] {
        let ping = topology
            .client
            .exec(&format!("ping -c 2 -i 0.2 -W 1 {address}"));
        assert!(ping.is_err(), "{address} answers");
    }
    let sent = topology
        .gate
        .exec("cat /sys/class/net/g0/statistics/tx_packets")
        .unwrap();
    assert_eq!(sent.trim(), "0", "the kernel sends on the gate's interface");
}

#[test]
fn nothing_is_left_behind() {
    if !can_run() {
        return;
    }
    let _turn = take_turn().unwrap();
    let namespace = Namespace::new("lost").unwrap();
    let path = format!("/run/netns/{}", namespace.name());
    assert!(Path::new(&path).exists());
    let mut sleeping = namespace.command("sleep").arg("1000").spawn().unwrap();
    let comm = format!("/proc/{}/comm", sleeping.id());
    wait_until(
        "sleep to run in the namespace",
        Duration::from_secs(20),
        || Ok(std::fs::read_to_string(&comm).unwrap_or_default() == "sleep\n"),
    )
    .unwrap();
    drop(namespace);
    assert!(!Path::new(&path).exists());
    // Killed with the namespace; this would wait for a quarter of an hour otherwise.
    assert!(!sleeping.wait().unwrap().success());
}

#[test]
fn the_configuration_is_the_same_for_both_drivers_but_for_the_devices() {
    let packet = Config::new(Driver::AfPacket)
        .timeout("idle", "5s")
        .to_toml("x", Path::new("/tmp"));
    let xdp = Config::new(Driver::AfXdp)
        .timeout("idle", "5s")
        .to_toml("x", Path::new("/tmp"));
    assert!(
        packet.contains("\"net_af_packet0,iface=g0,qpairs=2\""),
        "{packet}"
    );
    assert!(
        xdp.contains("\"net_af_xdp1,iface=g1,start_queue=0,queue_count=1\""),
        "{xdp}"
    );
    assert_eq!(packet.lines().count(), xdp.lines().count());
    assert!(packet.ends_with("[timeouts]\nidle = \"5s\"\n"), "{packet}");
}
