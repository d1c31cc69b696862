//! Paths that take less than both ends could: whether a router says so or not, pages arrive.
//!
//! ```text
//!   far                router (the rig's client)              gate
//!      f0 ----------- f1                      c0 ----------- g0
//!   10.65.0.2         10.65.0.1        10.64.0.2             10.64.0.1
//!   fd65::2           fd65::1            fd64::2             fd64::1
//! ```

use std::time::{Duration, Instant};

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{CLIENT_V4, CLIENT_V6, Config, FAMILIES, Namespace, Page, Rig, fetch};

on_each_driver!(
    a_router_says_what_the_path_takes,
    a_path_says_nothing_about_what_it_drops,
);

/// Octets of a packet that the link between router and client takes.
const NARROW: u32 = 1400;
/// What it says it took, as far as the far end knows: headers of either IP version are this short.
const HEADERS: [u32; 2] = [40, 60];
/// Longer than it takes to find out what the path takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the link between far end and router is too narrow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    /// The router knows, and says so with ICMP.
    Known,
    /// The far end's interface drops what is larger, and nobody says anything.
    BlackHole,
}

/// Joins a far end to the rig's client, which becomes a router.
fn far_end(rig: &Rig, link: Link) -> Namespace {
    let router = &rig.topology.client;
    let far = Namespace::new("far").unwrap();
    far.connect("f0", router, "f1", 1).unwrap();
    for (end, interface, host) in [(&far, "f0", 2), (router, "f1", 1)] {
        end.add_address(interface, &format!("10.65.0.{host}/24"))
            .unwrap();
        end.add_address(interface, &format!("fd65::{host}/64"))
            .unwrap();
    }
    let (end, interface) = match link {
        Link::Known => (router, "f1"),
        Link::BlackHole => (&far, "f0"),
    };
    end.ip(&format!("link set {interface} mtu {NARROW}"))
        .unwrap();
    router.set_parameter("ipv4/ip_forward", "1").unwrap();
    router
        .set_parameter("ipv6/conf/all/forwarding", "1")
        .unwrap();
    // Its SYN announces segments as large as if the interface took them.
    let [v4, v6] = HEADERS.map(|headers| 1500 - headers);
    far.ip(&format!("route add default via 10.65.0.1 advmss {v4}"))
        .unwrap();
    far.ip(&format!("-6 route add default via fd65::1 advmss {v6}"))
        .unwrap();
    far
}

/// Fetches a page over either IP version from the far end, and returns what Weirgate counted.
fn fetch_over(config: Config, link: Link) -> String {
    let config = config
        .route("10.65.0.0/24", CLIENT_V4)
        .route("fd65::/64", CLIENT_V6);
    let Some(mut rig) = Rig::start(config, &[Page::Medium]) else {
        return String::new();
    };
    let far = far_end(&rig, link);
    for family in FAMILIES {
        let url = family.url(Config::PORT, Page::Medium.file_name());
        let begun = Instant::now();
        let fetch = fetch(&far, &url, rig.directory.path(), &[]).unwrap();
        println!("{link:?}, {family:?}: {:?}", begun.elapsed());
        assert_eq!(fetch.exit_code, Some(0), "{family:?}: {}", fetch.errors);
        assert_eq!(
            fetch.checksum,
            rig.nginx.checksum(Page::Medium),
            "{family:?}"
        );
        assert!(
            begun.elapsed() < PATIENCE,
            "{family:?}: {:?}",
            begun.elapsed()
        );
    }
    assert!(rig.weirgate.stop().unwrap().success());
    rig.weirgate.process().log()
}

/// The sum of a counter over all workers in Weirgate's log; none of it is 0.
fn count(log: &str, counter: &str) -> u32 {
    let words = log.split_whitespace();
    let values = words.filter_map(|word| word.strip_prefix(counter)?.strip_prefix('='));
    values.map(|value| value.parse::<u32>().unwrap()).sum()
}

fn a_router_says_what_the_path_takes(config: Config) {
    let log = fetch_over(config, Link::Known);
    if log.is_empty() {
        return;
    }
    assert!(count(&log, "tcp_path_mtu_lowered") >= 2, "{log}");
    assert_eq!(count(&log, "tcp_black_holes"), 0, "{log}");
}

fn a_path_says_nothing_about_what_it_drops(config: Config) {
    let log = fetch_over(config, Link::BlackHole);
    if log.is_empty() {
        return;
    }
    assert!(count(&log, "tcp_black_holes") >= 2, "{log}");
    assert_eq!(count(&log, "tcp_path_mtu_lowered"), 0, "{log}");
}
