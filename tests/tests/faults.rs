//! Clients and backends that vanish, die, refuse or stand still: the other end learns of it, and
//! everybody else goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{Config, FAMILIES, Family, Page, Rig, RigError, SERVER_V4, wait_until};

on_each_driver!(
    a_client_that_vanishes_is_given_up,
    a_backend_that_dies_is_seen_by_the_client,
    a_backend_that_never_reads_stops_its_client_only,
    a_backend_that_refuses_is_replaced_by_the_next,
    a_client_is_reset_when_every_backend_refuses;
    smoltcp:
    a_client_that_vanishes_is_given_up,
    a_backend_that_dies_is_seen_by_the_client,
    a_backend_that_never_reads_stops_its_client_only,
    a_client_is_reset_when_every_backend_refuses,
);

/// A port of the server where no one listens.
const CLOSED: &str = "10.64.1.2:9";
/// A second service, next to nginx.
const PORT: u16 = 8080;
/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

fn a_client_that_vanishes_is_given_up(config: Config) {
    let config = config.timeout("user", "3s").timeout("idle", "5s");
    let Some(rig) = Rig::start(config, &Page::ALL) else {
        return;
    };
    // A client with an address of its own, so that only it vanishes with the address.
    let topology = &rig.topology;
    topology.client.add_address("c0", "10.64.0.3/24").unwrap();
    let mut curl = download_slowly(&rig, &["--interface", "10.64.0.3"]);
    assert_eq!(connections_of_nginx(&rig).unwrap(), 1);
    topology
        .client
        .ip("address del 10.64.0.3/24 dev c0")
        .unwrap();

    wait_until("nginx to be rid of the client", PATIENCE, || {
        Ok(connections_of_nginx(&rig)? == 0)
    })
    .unwrap();
    curl.kill().unwrap();
    curl.wait().unwrap();
    rig.fetch_whole(Family::V4, Config::PORT, Page::Medium);
}

fn a_backend_that_dies_is_seen_by_the_client(config: Config) {
    let Some(mut rig) = Rig::start(config, &Page::ALL) else {
        return;
    };
    let mut curl = download_slowly(&rig, &[]);
    rig.nginx.kill();
    let status = curl.wait().unwrap();
    // 18: the connection ended before the page did; 56: it was reset.
    assert!(matches!(status.code(), Some(18 | 56)), "curl: {status}");
}

fn a_backend_that_never_reads_stops_its_client_only(config: Config) {
    let backend = format!("{SERVER_V4}:{PORT}");
    let config = config.serve("deaf", PORT, &[&backend]);
    let Some(rig) = Rig::start(config, &[Page::Medium]) else {
        return;
    };
    let address = (SERVER_V4, PORT);
    let deaf = rig.topology.server.enter(|| TcpListener::bind(address));
    let deaf = deaf.unwrap().unwrap();
    for family in FAMILIES {
        let before = rig.weirgate.process().resident_memory().unwrap();
        let (stream, sent) = rig
            .topology
            .client
            .enter(|| send_until_it_stops(family))
            .unwrap();
        let (accepted, _) = deaf.accept().unwrap();
        println!("{family:?}: {sent} octets until everything was full");
        // Three kernels' worth of buffers; without backpressure it would never have stopped.
        assert!(sent < 64 << 20, "{sent} octets went nowhere");
        let after = rig.weirgate.process().resident_memory().unwrap();
        assert!(
            after < before + (16 << 20),
            "memory went from {before} to {after}"
        );

        for family in FAMILIES {
            rig.fetch_whole(family, Config::PORT, Page::Medium);
        }
        drop((stream, accepted));
    }
}

fn a_backend_that_refuses_is_replaced_by_the_next(config: Config) {
    let nginx = format!("{SERVER_V4}:80");
    let config = config.serve("half", PORT, &[CLOSED, &nginx]);
    let Some(rig) = Rig::start(config, &[Page::Medium]) else {
        return;
    };
    for family in FAMILIES {
        for _ in 0..10 {
            rig.fetch_whole(family, PORT, Page::Medium);
        }
    }
}

fn a_client_is_reset_when_every_backend_refuses(config: Config) {
    let config = config.serve("none", PORT, &[CLOSED, "10.64.1.2:10"]);
    let Some(rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    for family in FAMILIES {
        let error = rig.topology.client.enter(|| {
            let mut stream = TcpStream::connect(SocketAddr::from((family.gate(), PORT)))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read(&mut [0])
        });
        let error = error
            .unwrap()
            .expect_err("the connection should have been reset");
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
            ),
            "{family:?}: {error}"
        );
    }
    rig.fetch_whole(Family::V4, Config::PORT, Page::One);
}

/// Starts to fetch the large page at a tenth of its size a second, and waits for its beginning.
fn download_slowly(rig: &Rig, options: &[&str]) -> Child {
    let page = rig.directory.path().join("slow");
    let curl = rig
        .topology
        .client
        .command("curl")
        .args([
            "--disable",
            "--silent",
            "--noproxy",
            "*",
            "--limit-rate",
            "10M",
        ])
        .args(options)
        .arg("--output")
        .arg(&page)
        .arg(Family::V4.url(Config::PORT, Page::Large.file_name()))
        .spawn()
        .unwrap();
    let begun = |path: &Path| path.metadata().is_ok_and(|file| file.len() > 1_000_000);
    wait_until("the transfer to begin", PATIENCE, || Ok(begun(&page))).unwrap();
    curl
}

/// How many connections nginx has that still carry data.
fn connections_of_nginx(rig: &Rig) -> Result<usize, RigError> {
    let server = &rig.topology.server;
    let command = "ss --tcp --numeric --no-header state established sport = :80";
    Ok(server.exec(command)?.lines().count())
}

/// Sends to the deaf backend until nothing has been taken for two seconds.
fn send_until_it_stops(family: Family) -> (TcpStream, usize) {
    let address = SocketAddr::from((family.gate(), PORT));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    let block = [0x5a; 1 << 14];
    let (mut sent, mut pauses) = (0, 0);
    while pauses < 20 {
        match stream.write(&block) {
            Ok(len) => (sent, pauses) = (sent + len, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(100));
                pauses += 1;
            }
            Err(error) => panic!("after {sent} octets: {error}"),
        }
    }
    (stream, sent)
}
