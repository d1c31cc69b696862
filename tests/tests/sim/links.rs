//! What is below TCP: neighbors and ICMP.

use core::time::Duration;

use netstack::counters::Event;
use weirgate_tests::sim::{Script, Setup, Variant, World};

const MINUTE: Duration = Duration::from_mins(1);

fn both_addresses_answer_pings(variant: Variant) {
    let mut world = World::new(&Setup::new(variant));
    for (sequence, payload) in [(1, 0), (2, 56), (3, 1400)] {
        world.client.ping(world.addresses.front, sequence, payload);
        world.server.ping(world.addresses.back, sequence, payload);
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!((world.client.pongs(), world.server.pongs()), (3, 3));
    assert_eq!(world.count(Event::EchoAnswered), 6);
    world.check_buffers();
}

/// Neighbors are asked again from time to time, and nothing is lost over it.
fn neighbors_are_kept_fresh(variant: Variant) {
    let mut world = World::new(&Setup::new(variant));
    let script = Script::sends(8).closes(weirgate_tests::sim::Close::WhenTold);
    world.server.serve(world.addresses.backend(0), script);
    let client = world.client.connect(world.addresses.service(), script);
    for turn in 1..20 {
        world.client.end_mut(client).send_more(1000);
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.server.ends()[0].received(), 8 + turn * 1000);
    }
    assert!(world.count(Event::NeighborAsked) > 4);
    assert_eq!(world.count(Event::NeighborFailed), 0);
    assert_eq!(world.count(Event::TcpRetransmits), 0);
    world.client.abort(client);
    world.settle(MINUTE);
}

weirgate_tests::on_all_variants!(both_addresses_answer_pings, neighbors_are_kept_fresh);
