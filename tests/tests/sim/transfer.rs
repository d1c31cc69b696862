//! What is sent arrives, whatever the links do.

use core::time::Duration;

use weirgate_tests::sim::{Close, Family, Script, Setup, World};

fn one_transfer(family: Family) {
    let mut world = World::new(Setup::new(family));
    let server = world.addresses.backend(0);
    world.server.serve(server, Script::sends(100_000));
    let service = world.addresses.service();
    let client = world
        .client
        .connect(service, Script::sends(50_000).closes(Close::AfterSending));
    world.run_until(Duration::from_secs(10), |world| {
        world.client.end(client).ending().is_some()
    });
    println!("{:?}", world.client.end(client));
    world.settle(Duration::from_secs(100));
    println!("{:?}", world.endings());
}

weirgate_tests::on_both_families!(one_transfer);
