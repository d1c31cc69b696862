//! A flood of SYNs from strangers, and what it does to those who are connected.
//!
//! Virtual time does not show what a SYN costs the core (`cargo xtask bench tcp flood` does). It shows
//! everything else that a flood could take from a transfer while it fits the core: buffers, places
//! in queues, the turns of others.

use core::net::IpAddr;
use core::time::Duration;

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::ip::{IpAddress, V4, V6};
use netstack::tcp::EngineKind;
use netstack::wire::ethernet::{self, MacAddr};
use netstack::wire::ip_header::{self, HeaderIp};
use netstack::wire::tcp::{self, Flags, Options, Timestamps};
use weirgate_tests::on_all_variants;
use weirgate_tests::sim::{Addresses, Close, Link, Script, Setup, Variant, World};

on_all_variants! { a_flood_of_syns_leaves_transfers_alone }

/// Octets of the transfer.
const OCTETS: u64 = 2_000_000;

/// A SYN each: 50,000 a second.
const INTERVAL: Duration = Duration::from_micros(20);

const LIMIT: Duration = Duration::from_secs(20);

const DELAY: Duration = Duration::from_millis(5);

/// A SYN of the stranger `number`, as Linux sends it.
fn syn(variant: Variant, number: u32) -> Vec<u8> {
    let Addresses {
        strangers, front, ..
    } = variant.addresses();
    match (strangers, front) {
        (IpAddr::V4(from), IpAddr::V4(to)) => syn_of::<V4>(from, to, number),
        (IpAddr::V6(from), IpAddr::V6(to)) => syn_of::<V6>(from, to, number),
        _ => panic!("addresses of two versions"),
    }
}

fn syn_of<I: HeaderIp>(prefix: I::Addr, dst: I::Addr, number: u32) -> Vec<u8> {
    // Multiplied by an odd number, no stranger comes twice.
    let scattered = number.wrapping_mul(0x9e37_79b9);
    let mut octets = [0; 16];
    prefix.write_octets(&mut octets);
    let low = &mut octets[I::Addr::LEN - 2..][..2];
    low.copy_from_slice(&((scattered >> 16) as u16).to_be_bytes());
    let src = I::Addr::from_octets(&octets).expect("16 octets are enough");
    let header = tcp::Header {
        sport: scattered as u16 | 1024,
        dport: 80,
        seq: scattered.rotate_left(9),
        ack: 0,
        flags: Flags::SYN,
        window: 64_240,
        urgent: 0,
        header_len: 0,
        options: Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps {
                value: number,
                echo: 0,
            }),
            ..Options::default()
        },
    };
    let len = header.emit_len();
    let mut frame = vec![0; ethernet::HEADER_LEN + I::HEADER_LEN + len];
    ethernet::Header {
        destination: MacAddr([2, 0, 0, 0, 0, 1]),
        source: MacAddr([2, 0, 0, 0, 0, 0x10]),
        ethertype: I::ETHERTYPE,
    }
    .emit(&mut frame);
    let packet = &mut frame[ethernet::HEADER_LEN..];
    let ip = ip_header::Header::<I> {
        src,
        dst,
        protocol: tcp::PROTOCOL,
        hop_limit: 64,
        ecn: 0,
        payload_len: len,
    };
    I::emit_header(&ip, packet);
    let segment = &mut packet[I::HEADER_LEN..];
    header.emit(segment);
    tcp::fill_checksum::<I>(src, dst, segment);
    frame
}

/// How long an established connection takes for a download, and the world after it.
fn download(variant: Variant, flooded: bool) -> (Duration, World) {
    let setup = Setup::new(variant)
        .client_link(Link::lossy(0, DELAY))
        .host_buffer(1 << 20)
        .windows_kib(256)
        .set("limits.syn_backlog", "64");
    let mut world = World::new(&setup);
    let script = Script::sends(OCTETS).closes(Close::AfterSending);
    world.server.serve(world.addresses.backend(0), script);
    let client = world
        .client
        .connect(world.addresses.service(), Script::sends(8));
    world.run_until(LIMIT, |world| world.client.end(client).received() > 0);
    let start = world.now();
    let mut strangers = 0;
    while !world.client.end(client).peer_closed() {
        if flooded {
            world.arrive(&syn(variant, strangers));
            strangers += 1;
        }
        world.try_run_until(INTERVAL, |world| world.client.end(client).peer_closed());
        assert!(world.since(start) < LIMIT, "the transfer stands still");
    }
    assert_eq!(world.client.end(client).received(), OCTETS);
    (world.since(start), world)
}

fn a_flood_of_syns_leaves_transfers_alone(variant: Variant) {
    let (alone, quiet) = download(variant, false);
    let (flooded, mut world) = download(variant, true);
    assert_eq!(quiet.count(Event::TcpCookiesSent), 0);
    println!("alone {alone:?}, in the flood {flooded:?}");
    assert!(
        flooded.as_secs_f64() * 0.9 <= alone.as_secs_f64(),
        "{alone:?} became {flooded:?}"
    );
    assert_eq!(world.no_rx_buffer(), 0);
    assert_eq!(world.count(Event::TcpHalfOpen), 64);
    let many = 1000;
    match variant.engine {
        EngineKind::Native => {
            assert!(world.count(Event::TcpCookiesSent) > many);
            // Somebody new gets in, while it goes on.
            let late = world
                .client
                .connect(world.addresses.service(), Script::sends(8));
            let mut strangers = 1 << 20;
            while world.client.end(late).received() == 0 {
                world.arrive(&syn(variant, strangers));
                strangers += 1;
                world.run_for(INTERVAL);
                assert!(strangers < 2 << 20, "nobody gets in");
            }
            assert_eq!(world.count(Event::TcpCookiesAccepted), 1);
        }
        EngineKind::Smoltcp => assert!(world.drops(DropReason::TcpBacklogFull) > many),
    }
}
