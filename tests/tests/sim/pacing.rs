//! Paced flows: nothing wakes them but their own timers, and they fill a line all the same.

use core::time::Duration;

use netstack::io::impair::{Bottleneck, Impairment};
use netstack::tcp::EngineKind;
use weirgate_tests::sim::{Close, Family, Link, Script, Setup, Variant, World};

/// The line, in Mbit/s.
const LINE: u64 = 100;

/// Octets to be transferred by all flows.
const OCTETS: u64 = 20 << 20;

/// The goodput in Mbit/s of so many flows from the server, over 20 ms and a line with a queue of
/// two BDP.
fn goodput(tuning: &[(&'static str, &'static str)], loss_ppm: u32, flows: u64) -> u64 {
    let link = Link::both_ways(Impairment {
        loss_ppm,
        delay: Duration::from_millis(10),
        bottleneck: Some(Bottleneck {
            rate: LINE * 1_000_000,
            queue: 512 << 10,
        }),
        ..Impairment::default()
    });
    let variant = Variant {
        family: Family::V4,
        engine: EngineKind::Native,
    };
    let setup = Setup::new(variant)
        .client_link(link)
        .host_buffer(1 << 20)
        .packets(100_000)
        .windows_kib(4096);
    let setup = tuning
        .iter()
        .fold(setup, |setup, (key, value)| setup.tune(key, value));
    let mut world = World::new(&setup);
    let script = Script::sends(OCTETS / flows).closes(Close::AfterSending);
    world.server.serve(world.addresses.backend(0), script);
    let clients: Vec<_> = (0..flows)
        .map(|_| {
            let service = world.addresses.service();
            world.client.connect(service, Script::sends(8))
        })
        .collect();
    world.try_run_until(Duration::from_mins(1), |world| {
        let mut clients = clients.iter();
        clients.all(|client| world.client.end(*client).peer_closed())
    });
    let received = |client| world.client.end(client).received();
    let octets: u64 = clients.into_iter().map(received).sum();
    let micros = u64::try_from(world.elapsed().as_micros()).expect("minutes");
    let goodput = octets * 8 / micros;
    println!("{tuning:?}, {loss_ppm} ppm, {flows} flows: {goodput} Mbit/s");
    goodput
}

#[test]
fn a_paced_flow_fills_a_line() {
    let cubic: &[_] = &[("congestion", "\"cubic\""), ("pacing", "true")];
    let bbr: &[_] = &[("congestion", "\"bbr\"")];
    for tuning in [cubic, bbr] {
        for flows in [1, 8] {
            let goodput = goodput(tuning, 0, flows);
            assert!(goodput >= LINE * 4 / 5, "{goodput} Mbit/s");
        }
    }
}

#[test]
fn bbr_keeps_most_of_a_line_that_loses_one_in_a_hundred() {
    for (flows, least) in [(1, 60), (8, 70)] {
        let goodput = goodput(&[("congestion", "\"bbr\"")], 10_000, flows);
        assert!(goodput >= least, "{goodput} Mbit/s");
    }
}
