//! nginx that is checked: it goes, clients do not notice, it comes back; and gets new weights.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{
    Config, FAMILIES, Family, Nginx, Page, Rig, SERVER_V4, SERVER_V6, wait_until,
};

on_each_driver!(
    a_stopped_nginx_is_left_out_until_it_is_back,
    new_weights_are_read_on_sighup;
    smoltcp: a_stopped_nginx_is_left_out_until_it_is_back,
);

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the second nginx listens; the first is that of every rig, on port 80.
const SECOND: u16 = 8081;

/// The listeners of services with both of them behind, by the addresses of each version.
const PORTS: [(Family, u16); 2] = [(Family::V4, 8080), (Family::V6, 8090)];

/// Down after three checks, 300 ms apart, which each are refused at once.
const CHECKS: &str = "slow_start = \"2s\"\n[backend_group.health]\ncheck = \"http\"\n\
                      path = \"/1B\"\ninterval = \"300ms\"\ntimeout = \"1s\"\n";

/// Both services, with `group` added to the groups.
fn with_both(config: Config, group: &'static str) -> Config {
    let v4 = [80, SECOND].map(|port| format!("{SERVER_V4}:{port}"));
    let v6 = [80, SECOND].map(|port| format!("[{SERVER_V6}]:{port}"));
    let config = config.serve("both-v4", PORTS[0].1, &[&v4[0], &v4[1]]);
    let config = config.group(group);
    let config = config.serve("both-v6", PORTS[1].1, &[&v6[0], &v6[1]]);
    config.group(group)
}

/// Starts the second nginx.
fn start_second(rig: &Rig) -> Nginx {
    let directory = rig.directory.path().join("second");
    Nginx::start_on(
        SECOND,
        &rig.topology.server,
        &directory,
        &[Page::One, Page::Medium],
    )
    .unwrap()
}

/// Lines of the log, from the `from`th on, that have all of these.
fn lines_with(rig: &Rig, from: usize, parts: &[&str]) -> Vec<String> {
    let log = rig.weirgate.process().log();
    let lines = log.lines().skip(from);
    let lines = lines.filter(|line| parts.iter().all(|part| line.contains(part)));
    lines.map(str::to_owned).collect()
}

fn log_len(rig: &Rig) -> usize {
    rig.weirgate.process().log().lines().count()
}

/// Waits until the second nginx was said to be so over both versions.
fn wait_for(rig: &Rig, from: usize, what: &str) {
    wait_until(what, PATIENCE, || {
        Ok(lines_with(rig, from, &[what, ":8081\""]).len() >= 2)
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", rig.weirgate.process().log()));
}

/// Fetches so many pages through each service, all of which must arrive. Returns for how many
/// sessions the second nginx was chosen, and asserts that each found its backend at once.
fn fetches_of_second(rig: &Rig, count: usize) -> usize {
    let from = log_len(rig);
    for _ in 0..count {
        for client in FAMILIES {
            for (_, port) in PORTS {
                rig.fetch_whole(client, port, Page::Medium);
            }
        }
    }
    let all = count * FAMILIES.len() * PORTS.len();
    let ended = || lines_with(rig, from, &["session ended", "group=\"both-"]);
    wait_until("the sessions to end", PATIENCE, || Ok(ended().len() == all)).unwrap();
    let ended = ended();
    let retried = ended.iter().find(|line| !line.contains(" tries=1 "));
    assert_eq!(retried, None);
    ended.iter().filter(|line| line.contains(":8081\"")).count()
}

fn a_stopped_nginx_is_left_out_until_it_is_back(config: Config) {
    let pages = [Page::One, Page::Medium];
    let Some(rig) = Rig::start(with_both(config, CHECKS), &pages) else {
        return;
    };
    wait_for(&rig, 0, "backend is down");
    let refused = lines_with(&rig, 0, &["backend is down", "connection refused"]);
    assert_eq!(refused.len(), 2, "{}", rig.weirgate.process().log());
    assert_eq!(fetches_of_second(&rig, 3), 0);

    let mut second = start_second(&rig);
    wait_for(&rig, 0, "backend is up");
    // While it starts slowly, and when it has its whole weight again.
    fetches_of_second(&rig, 2);
    std::thread::sleep(Duration::from_secs(2));
    let served = fetches_of_second(&rig, 5);
    assert!((4..=16).contains(&served), "{served} of 20");

    let from = log_len(&rig);
    second.kill();
    let killed = Instant::now();
    wait_for(&rig, from, "backend is down");
    // Three intervals, the longest that jitter makes them, and what a busy machine takes.
    let elapsed = killed.elapsed();
    println!("down after {elapsed:?}");
    assert!(
        elapsed < Duration::from_millis(3 * 330 + 1000),
        "{elapsed:?}"
    );
    assert_eq!(fetches_of_second(&rig, 5), 0);

    let from = log_len(&rig);
    let _second = start_second(&rig);
    wait_for(&rig, from, "backend is up");
    fetches_of_second(&rig, 2);
}

fn new_weights_are_read_on_sighup(config: Config) {
    let pages = [Page::One, Page::Medium];
    let Some(rig) = Rig::start(with_both(config, ""), &pages) else {
        return;
    };
    let _second = start_second(&rig);
    let served = fetches_of_second(&rig, 3);
    assert!((4..=8).contains(&served), "{served} of 12");
    let path = rig.weirgate.config_path();
    let text = fs::read_to_string(path).unwrap();
    let reload = |text: &str| {
        let from = log_len(&rig);
        fs::write(path, text).unwrap();
        rig.weirgate.process().signal(Signal::SIGHUP).unwrap();
        wait_until("the file to be read", PATIENCE, || {
            Ok(!lines_with(&rig, from, &["reloaded"]).is_empty())
        })
        .unwrap();
        // The workers look at their commands once a turn.
        std::thread::sleep(Duration::from_millis(100));
        from
    };
    let drained = text.replace(":8081\"", ":8081\"\nweight = 0");
    let from = reload(&drained);
    assert_eq!(lines_with(&rig, from, &["reloaded", "weights=2"]).len(), 1);
    assert_eq!(fetches_of_second(&rig, 3), 0);
    // A file with a fault changes nothing.
    let from = reload(&text.replace("round_robin", "round-robbing"));
    assert_eq!(lines_with(&rig, from, &["not reloaded"]).len(), 1);
    assert_eq!(fetches_of_second(&rig, 1), 0);
    reload(&text);
    let served = fetches_of_second(&rig, 3);
    assert!((4..=8).contains(&served), "{served} of 12");
}
