//! How fast one transfer is, over loss, delay and the size of Weirgate's windows.
//!
//! The server, next to Weirgate, sends a megabyte to a client on a link of the given loss (each
//! way) and one-way delay. There is no bandwidth to be shared: what limits is the window, a round
//! trip and the recovery from loss; without delay a round trip is a few turns of 10 us. The figures are
//! no aim. They are what the engine behind `tcp::Connection` makes of such links, and change when it
//! does: look at the difference, and accept it with `cargo insta review`.

use core::fmt::Write as _;
use core::time::Duration;

use netstack::tcp::EngineKind;
use weirgate_tests::sim::{Close, Ending, Family, Link, Script, Setup, Variant, World};

const LOSS_PPM: [u32; 4] = [0, 1_000, 10_000, 50_000];
const DELAY_MS: [u64; 5] = [0, 1, 10, 50, 100];
const WINDOWS_KIB: [usize; 3] = [8, 64, 256];

/// Octets to be transferred.
const OCTETS: u64 = 1_000_000;

/// A transfer that takes longer is given up; the figure is of what has arrived by then.
const LIMIT: Duration = Duration::from_mins(10);

/// Different losses, whose goodputs are averaged.
const SEEDS: u64 = 3;

#[test]
fn native_goodput() {
    insta::assert_snapshot!(table(EngineKind::Native));
}

#[test]
fn smoltcp_goodput() {
    insta::assert_snapshot!(table(EngineKind::Smoltcp));
}

fn table(engine: EngineKind) -> String {
    let mut table = String::from("Goodput in kB/s of 1 MB from the server to the client, IPv4\n\n");
    table.push_str("loss   delay ");
    for window in WINDOWS_KIB {
        write!(table, "{:>10}", format!("{window}KiB")).expect("a String takes everything");
    }
    for loss in LOSS_PPM {
        for delay in DELAY_MS {
            let percent = f64::from(loss) / 10_000.0;
            write!(table, "\n{percent:>3} % {delay:>4} ms ").expect("a String takes everything");
            for window in WINDOWS_KIB {
                let seeds = if loss == 0 { 1 } else { SEEDS };
                let sum: u128 = (1..=seeds)
                    .map(|seed| goodput(engine, (loss, delay), window, seed))
                    .sum();
                let average = sum / u128::from(seeds);
                write!(table, "{average:>10}").expect("a String takes everything");
            }
        }
    }
    println!("{table}");
    table
}

/// Octets a millisecond.
fn goodput(
    engine: EngineKind,
    (loss_ppm, delay_ms): (u32, u64),
    window_kib: usize,
    seed: u64,
) -> u128 {
    let link = Link::lossy(loss_ppm, Duration::from_millis(delay_ms));
    let variant = Variant {
        family: Family::V4,
        engine,
    };
    let setup = Setup::new(variant)
        .seed(seed)
        .client_link(link)
        .host_buffer(1 << 20)
        .windows_kib(window_kib);
    let mut world = World::new(&setup);
    let script = Script::sends(OCTETS).closes(Close::AfterSending);
    world.server.serve(world.addresses.backend(0), script);
    let client = world
        .client
        .connect(world.addresses.service(), Script::sends(8));
    let whole = world.try_run_until(LIMIT, |world| world.client.end(client).peer_closed());
    let end = world.client.end(client);
    assert!(end.incoming().corrupt_at().is_none());
    assert!(!whole || end.received() == OCTETS);
    assert_ne!(end.ending(), Some(Ending::Reset));
    // From the client's SYN to the server's FIN.
    u128::from(end.received()) * 1_000 / world.elapsed().as_micros()
}
