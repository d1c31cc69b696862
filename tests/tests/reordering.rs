//! A path that loses nothing and is unpunctual: two native engines in virtual time.
//!
//! One in twenty packets is late by up to a quarter of the round trip, in both directions, and is
//! overtaken by those behind it. Nothing is lost, so whatever is sent again was sent in vain; that
//! must stay below one octet in a hundred, and the window must not stay small for it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use weirgate_tests::stack::{Engine, Fd, Path, Stack, StackOptions, TcpInfo, Weather};

/// Octets that are transferred, and time for it: at less than two thirds of the line's rate.
const OCTETS: usize = 20_000_000;
const LIMIT: Duration = Duration::from_secs(5);

fn path(addresses: [IpAddr; 2], rtt: Duration, seed: u64) -> Path {
    let options = StackOptions {
        receive_buffer: 4 << 20,
        first_window: Some(64 << 10),
        send_buffer: 4 << 20,
        ..StackOptions::new(Engine::Native)
    };
    let weather = Weather {
        rtt,
        // 50 Mbit/s.
        rate: 6_250,
        queue: 4 << 20,
        loss_ppm: 0,
        burst_loss: None,
        late_ppm: 50_000,
    };
    Path::new(addresses, [options; 2], weather, seed)
}

/// Sends octets from host 0 to host 1; tells how long it took and what the sender says of it.
fn transfer(path: &mut Path, [from, to]: [Fd; 2]) -> (Duration, TcpInfo) {
    let piece = vec![7; 64 << 10];
    let mut buffer = vec![0; 64 << 10];
    let start = path.now();
    let (mut written, mut read) = (0, 0);
    while read < OCTETS {
        let len = piece.len().min(OCTETS - written);
        if len > 0 {
            written += path.hosts[0].write(from, &piece[..len]).unwrap_or(0);
        }
        path.step();
        while let Ok(len @ 1..) = path.hosts[1].read(to, &mut buffer) {
            read += len;
        }
    }
    let time = path.now().saturating_duration_since(start);
    let info = path.hosts[0].tcp_info(from).expect("a connection");
    (time, info)
}

fn little_is_sent_in_vain(addresses: [IpAddr; 2]) {
    for rtt in [20, 100] {
        for seed in 1..=3 {
            let mut path = path(addresses, Duration::from_millis(rtt), seed);
            let ends = path.connect(SocketAddr::new(addresses[1], 80), 1)[0];
            let (time, info) = transfer(&mut path, ends);
            let field = |name| info.field(name).expect("it is known");
            let again = field("tcpi_bytes_retrans");
            println!("{addresses:?} {rtt} ms, seed {seed}: {again} octets again, {time:?}");
            assert!(again * 100 <= OCTETS as u64, "{again} octets in vain");
            assert_eq!(field("tcpi_reord_seen"), 1);
            assert!(time < LIMIT, "{time:?}");
        }
    }
}

#[test]
fn little_is_sent_in_vain_over_ipv4() {
    little_is_sent_in_vain(
        [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)].map(Into::into),
    );
}

#[test]
fn little_is_sent_in_vain_over_ipv6() {
    let address = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into();
    little_is_sent_in_vain([address(1), address(2)]);
}
