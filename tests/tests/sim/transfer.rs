//! What is sent arrives, whatever the links do.

use core::time::Duration;

use netstack::counters::Event;
use netstack::io::impair::Impairment;
use weirgate_tests::sim::{Close, EndId, Link, Script, Setup, Variant, World};

use crate::check::check_whole;

const HOUR: Duration = Duration::from_hours(1);

/// Octets from the client, and from the server.
const DIRECTIONS: [(u64, u64); 3] = [(200_000, 8), (8, 200_000), (100_000, 100_000)];

/// Runs one transfer over the setup and checks that it is whole. Time-outs are off: what is tested
/// is that everything arrives, not how soon.
fn transfer(setup: Setup, (from_client, from_server): (u64, u64)) -> World {
    let setup = setup
        .set("timeouts.idle", "off")
        .set("timeouts.half_closed", "off")
        .set("timeouts.user", "off")
        .set("timeouts.keepalive", "off")
        .set("timeouts.fin_wait_2", "1h")
        .set("timeouts.connect", "1m")
        .set("timeouts.connect_total", "1m")
        .set("timeouts.handshake", "1m");
    let mut world = World::new(&setup);
    let server = world.addresses.backend(0);
    world.server.serve(server, Script::sends(from_server));
    let script = Script::sends(from_client).closes(Close::AfterSending);
    let client = world.client.connect(world.addresses.service(), script);
    world.settle(HOUR);
    check_whole(&world, client, from_client, from_server);
    assert_eq!(world.endings(), ["--"]);
    world
}

/// Each impairment on both links, and each direction.
fn transfer_over(variant: Variant, links: &[Link]) {
    for (index, link) in (0..).zip(links) {
        for (which, octets) in (0..).zip(DIRECTIONS) {
            let setup = Setup::new(variant)
                .seed(10 * index + which + 1)
                .client_link(*link)
                .server_link(*link);
            transfer(setup, octets);
        }
    }
}

fn whole_over_perfect_links(variant: Variant) {
    transfer_over(variant, &[Link::default()]);
}

fn whole_despite_loss(variant: Variant) {
    let delay = Duration::from_millis(5);
    transfer_over(
        variant,
        &[Link::lossy(10_000, delay), Link::lossy(50_000, delay)],
    );
}

fn whole_despite_reordering(variant: Variant) {
    let reordering = |reorder_ppm| {
        Link::both_ways(Impairment {
            reorder_ppm,
            reorder_delay: Duration::from_millis(3),
            delay: Duration::from_millis(2),
            ..Impairment::default()
        })
    };
    transfer_over(variant, &[reordering(10_000), reordering(100_000)]);
}

fn whole_despite_duplication(variant: Variant) {
    let duplicating = |duplicate_ppm| {
        Link::both_ways(Impairment {
            duplicate_ppm,
            delay: Duration::from_millis(1),
            ..Impairment::default()
        })
    };
    transfer_over(variant, &[duplicating(10_000), duplicating(50_000)]);
}

fn whole_despite_corruption(variant: Variant) {
    let corrupting = Link::both_ways(Impairment {
        corrupt_ppm: 10_000,
        delay: Duration::from_millis(1),
        ..Impairment::default()
    });
    transfer_over(variant, &[corrupting]);
}

fn whole_despite_delay(variant: Variant) {
    for millis in [0, 1, 20, 200] {
        let delay = Link::lossy(0, Duration::from_millis(millis));
        transfer_over(variant, &[delay]);
    }
}

fn whole_despite_everything_at_once(variant: Variant) {
    let link = Link::both_ways(Impairment {
        loss_ppm: 20_000,
        corrupt_ppm: 5_000,
        duplicate_ppm: 20_000,
        reorder_ppm: 50_000,
        reorder_delay: Duration::from_millis(15),
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(10),
        ..Impairment::default()
    });
    for seed in 1..=4 {
        let setup = Setup::new(variant)
            .seed(seed)
            .client_link(link)
            .server_link(link);
        transfer(setup, (100_000, 100_000));
    }
}

fn small_rings_carry_much(variant: Variant) {
    let setup = Setup::new(variant).windows_kib(2);
    transfer(setup, (100_000, 100_000));
}

/// A receiver that does not read stops the sender, through both halves, and only for so long.
fn a_server_that_does_not_read_closes_the_client_s_window(variant: Variant) {
    let mut world = World::new(&Setup::new(variant).host_buffer(8 << 10).windows_kib(64));
    let server = world.addresses.backend(0);
    world
        .server
        .serve(server, Script::sends(8).without_reading());
    let script = Script::sends(1_000_000).closes(Close::AfterSending);
    let client = world.client.connect(world.addresses.service(), script);
    world.run_for(Duration::from_mins(1));
    let stuck = world.client.end(client).sent();
    // Two host buffers of 8 KiB and two windows of 64 KiB, and nothing else, hold octets.
    assert!(stuck < 160 << 10, "{stuck} octets were taken");
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.client.end(client).sent(), stuck);
    let accepted = world.server.accepted()[0];
    world.server.end_mut(accepted).set_reading(true);
    world.settle(HOUR);
    check_whole(&world, client, 1_000_000, 8);
    assert_eq!(world.endings(), ["--"]);
}

fn a_client_that_does_not_read_closes_the_server_s_window(variant: Variant) {
    let mut world = World::new(&Setup::new(variant).host_buffer(8 << 10).windows_kib(64));
    let server = world.addresses.backend(0);
    world
        .server
        .serve(server, Script::sends(1_000_000).closes(Close::AfterSending));
    let script = Script::sends(8).without_reading();
    let client = world.client.connect(world.addresses.service(), script);
    world.run_for(Duration::from_secs(100));
    let accepted = world.server.accepted()[0];
    let stuck = world.server.end(accepted).sent();
    assert!(stuck < 160 << 10, "{stuck} octets were taken");
    world.client.end_mut(client).set_reading(true);
    world.settle(HOUR);
    check_whole(&world, client, 8, 1_000_000);
}

/// Windows that close and open again and again, while frames are lost.
fn a_reader_in_fits_and_starts_gets_everything(variant: Variant) {
    let link = Link::lossy(20_000, Duration::from_millis(10));
    let setup = Setup::new(variant)
        .host_buffer(4 << 10)
        .client_link(link)
        .server_link(link);
    let mut world = World::new(&setup);
    let server = world.addresses.backend(0);
    world
        .server
        .serve(server, Script::sends(200_000).closes(Close::AfterSending));
    let client = world
        .client
        .connect(world.addresses.service(), Script::sends(8));
    for _ in 0..20 {
        world.client.end_mut(client).set_reading(false);
        world.run_for(Duration::from_secs(3));
        world.client.end_mut(client).set_reading(true);
        world.run_for(Duration::from_millis(20));
    }
    world.settle(HOUR);
    check_whole(&world, client, 8, 200_000);
}

fn many_at_once_do_not_mix(variant: Variant) {
    let link = Link::lossy(5_000, Duration::from_millis(3));
    let mut world = World::new(&Setup::new(variant).client_link(link));
    let server = world.addresses.backend(0);
    world.server.serve(server, Script::sends(20_000));
    let clients: Vec<EndId> = (0..40)
        .map(|_| {
            let script = Script::sends(20_000).closes(Close::AfterSending);
            let client = world.client.connect(world.addresses.service(), script);
            world.run_for(Duration::from_millis(1));
            client
        })
        .collect();
    world.settle(HOUR);
    for client in clients {
        check_whole(&world, client, 20_000, 20_000);
    }
    assert_eq!(world.count(Event::SessionsOpened), 40);
    assert_eq!(world.count(Event::SessionsAborted), 0);
    assert_eq!(world.count(Event::BytesToBackend), 40 * 20_000);
    assert_eq!(world.count(Event::BytesToClient), 40 * 20_000);
}

/// The same setup gives the same run, to the last counter.
fn a_run_can_be_repeated(variant: Variant) {
    let run = || {
        let link = Link::lossy(20_000, Duration::from_millis(10));
        let setup = Setup::new(variant).client_link(link);
        let world = transfer(setup, (50_000, 50_000));
        let counts = Event::ALL.map(|event| world.count(event));
        (world.elapsed(), counts)
    };
    assert_eq!(run(), run());
}

weirgate_tests::on_all_variants!(
    whole_over_perfect_links,
    whole_despite_loss,
    whole_despite_reordering,
    whole_despite_duplication,
    whole_despite_corruption,
    whole_despite_delay,
    whole_despite_everything_at_once,
    small_rings_carry_much,
    a_server_that_does_not_read_closes_the_client_s_window,
    a_client_that_does_not_read_closes_the_server_s_window,
    a_reader_in_fits_and_starts_gets_everything,
    many_at_once_do_not_mix,
    a_run_can_be_repeated,
);
