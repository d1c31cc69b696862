//! Flow rules on a live driver: net_tap in user-mode Linux, whose kernel makes filters of rules.
//!
//! Weirgate itself plans and installs the rules. What it promises in its log, what the kernel's
//! filters do and count, and what its queues count in the end have to agree; and what the kernel
//! refuses, software has to do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weirgate_tests::rig::{
    GATE_V4, GATE_V6, Namespace, Page, Process, Weirgate, temporary_directory, wait_until,
};
use weirgate_tests::uml::{Fate, Filter, NetTap, run_inside};

/// All that a device may do.
const EVERYTHING: &str = "classes = [\"ipv4-tcp\", \"ipv6-tcp\", \"ipv4-udp\"]\n\
                          isolate = true\ndrop_foreign = true";

/// Runs `test` in a guest, with the program.
fn inside(name: &str, test: impl FnOnce(&Path)) {
    match Weirgate::program() {
        Ok(program) => drop(run_inside(name, || test(&program))),
        Err(reason) => println!("skipped: {reason}"),
    }
}

/// Some traffic, and what is to become of it.
struct Traffic {
    /// The class in whose queue it arrives; `None` if the device drops it.
    class: Option<&'static str>,
    /// The keys of the filter that is for it.
    keys: &'static [(&'static str, &'static str)],
    /// Sends some of it.
    send: fn(&NetTap),
}

/// Everything for Weirgate, and something that is not.
const TRAFFIC: [Traffic; 8] = [
    Traffic {
        class: Some("ipv4-tcp"),
        keys: &[
            ("eth_type", "ipv4"),
            ("ip_proto", "tcp"),
            ("dst_ip", GATE_V4),
        ],
        send: |tap| fetch(tap, GATE_V4, 80, Page::One, 1),
    },
    Traffic {
        class: Some("ipv6-tcp"),
        keys: &[
            ("eth_type", "ipv6"),
            ("ip_proto", "tcp"),
            ("dst_ip", GATE_V6),
        ],
        send: |tap| fetch(tap, GATE_V6, 80, Page::One, 1),
    },
    Traffic {
        class: Some("ipv4-udp"),
        keys: &[
            ("eth_type", "ipv4"),
            ("ip_proto", "udp"),
            ("dst_ip", GATE_V4),
        ],
        send: |tap| datagrams(tap, GATE_V4),
    },
    Traffic {
        class: Some("other"),
        keys: &[("eth_type", "ipv4"), ("dst_ip", GATE_V4)],
        send: |tap| ping(tap, GATE_V4),
    },
    // No rule names UDP over IPv6.
    Traffic {
        class: Some("other"),
        keys: &[("eth_type", "ipv6"), ("dst_ip", GATE_V6)],
        send: |tap| datagrams(tap, GATE_V6),
    },
    // Who has 10.64.0.1?
    Traffic {
        class: Some("other"),
        keys: &[("dst_mac", "ff:ff:ff:ff:ff:ff")],
        send: |tap| {
            tap.namespace.ip("-4 neigh flush dev dtap0").unwrap();
            ping(tap, GATE_V4);
        },
    },
    // Who has fd64::1?
    Traffic {
        class: Some("other"),
        keys: &[("eth_type", "ipv6"), ("dst_ip", "ff02::1:ff00:1")],
        send: |tap| {
            tap.namespace.ip("-6 neigh flush dev dtap0").unwrap();
            ping(tap, GATE_V6);
        },
    },
    // To somebody else, in a frame for nobody in particular.
    Traffic {
        class: None,
        keys: &[("eth_type", "ipv4")],
        send: |tap| {
            let neighbor = "neigh replace 10.64.0.77 lladdr ff:ff:ff:ff:ff:ff dev dtap0";
            tap.namespace.ip(neighbor).unwrap();
            datagrams(tap, "10.64.0.77");
        },
    },
];

#[test]
fn rules_steer_each_class_to_the_promised_queue() {
    inside("rules_steer_each_class_to_the_promised_queue", |program| {
        let mut tap = NetTap::start(program, 1, EVERYTHING, &[Page::One]).unwrap();
        let log = tap.weirgate.process().log();
        let promised = promised_queues(&log);
        assert_eq!(promised.len(), 4, "each class has its queue: {promised:?}");
        let installed = log.lines().filter(|line| line.contains("rule installed"));
        let filters = Filter::list(&tap.namespace).unwrap();
        assert_eq!(filters.len(), installed.count(), "{filters:#?}");
        assert!(!log.contains(" WARN "), "{log}");
        frames_for_others_stay_out(&tap);
        let filters = traffic_meets_its_filters(&tap, &TRAFFIC, &promised);
        // One more isolates the port.
        filters_are_removed_as_it_ends(&mut tap, filters.len() + 1);
        let log = tap.weirgate.process().log();
        println!("{log}");
        queues_have_what_filters_promise(&filters, &log);
        let interface = format!("/sys/class/net/{}", NetTap::INTERFACE);
        let gone = tap.namespace.enter(|| !fs::exists(interface).unwrap());
        assert!(gone.unwrap(), "the device outlives its process");
    });
}

#[test]
fn both_workers_have_sessions_though_one_receives_a_class() {
    let name = "both_workers_have_sessions_though_one_receives_a_class";
    inside(name, |program| {
        let mut tap = NetTap::start(program, 2, "", &[Page::One, Page::Medium]).unwrap();
        let promised = promised_queues(&tap.weirgate.process().log());
        assert_ne!(promised["ipv4-tcp"], promised["ipv6-tcp"]);
        for address in [GATE_V4, GATE_V6] {
            fetch(&tap, address, 80, Page::Medium, 6);
            fetch(&tap, address, 8080, Page::One, 1);
        }
        let filters = Filter::list(&tap.namespace).unwrap();
        assert!(tap.weirgate.stop().unwrap().success());
        let log = tap.weirgate.process().log();
        println!("{log}");
        let sessions = |worker: &str| {
            let lines = log.lines().filter(|line| line.contains("session ended"));
            lines
                .filter(|line| field(line, "worker") == Some(worker))
                .count()
        };
        assert!(sessions("0") >= 3 && sessions("1") >= 3, "not shared");
        assert!(!log.contains("handover_full"), "a ring was full");
        queues_have_what_filters_promise(&filters, &log);
    });
}

#[test]
fn software_does_what_the_device_refuses() {
    inside("software_does_what_the_device_refuses", |program| {
        let ok = apply(program, 1, EVERYTHING, &["--dry-run"]);
        assert_eq!(
            (ok.code, ok.refused, ok.accepted > 8),
            (0, 0, true),
            "{}",
            ok.text
        );
        let ok = apply(program, 1, EVERYTHING, &[]);
        assert_eq!(
            (ok.code, ok.refused, ok.accepted > 8),
            (0, 0, true),
            "{}",
            ok.text
        );
        // Without what drops, rules that drop cannot be, nor isolation.
        remove_module("act_gact");
        let refused = apply(program, 1, EVERYTHING, &[]);
        assert_eq!((refused.code, refused.refused), (1, 3), "{}", refused.text);
        let mut tap = NetTap::start(program, 1, EVERYTHING, &[Page::One]).unwrap();
        let log = tap.weirgate.process().log();
        for rule in ["IPv4 to others", "IPv6 to others"] {
            let warning = warning_of(&log, rule);
            for part in ["dropped by software", "ns a packet", "rte_flow_create"] {
                assert!(warning.contains(part), "{part:?} is missing: {warning}");
            }
        }
        let promised = promised_queues(&log);
        traffic_meets_its_filters(&tap, &TRAFFIC[..5], &promised);
        assert!(tap.weirgate.stop().unwrap().success());
        println!("{}", tap.weirgate.process().log());
        drop(tap);
        // Without what chooses a queue, there are no rules.
        remove_module("act_skbedit");
        let mut tap = NetTap::start(program, 2, "", &[Page::One]).unwrap();
        let log = tap.weirgate.process().log();
        assert!(!log.contains("rule installed"), "{log}");
        for rule in ["ipv4-tcp", "ipv6-tcp", "rest"] {
            warning_of(&log, rule);
        }
        for address in [GATE_V4, GATE_V6] {
            for port in NetTap::PORTS {
                fetch(&tap, address, port, Page::One, 2);
            }
        }
        assert!(tap.weirgate.stop().unwrap().success());
        println!("{}", tap.weirgate.process().log());
    });
}

/// Sends the traffic, and sees that the kernel counts each kind where it should; returns the
/// filters in the end.
fn traffic_meets_its_filters(
    tap: &NetTap,
    traffic: &[Traffic],
    promised: &BTreeMap<String, u16>,
) -> Vec<Filter> {
    let mut before = Filter::list(&tap.namespace).unwrap();
    for Traffic { class, keys, send } in traffic {
        let fate = class.map_or(Fate::Drop, |class| Fate::Queue(promised[class]));
        let packets = |filters: &[Filter]| -> u64 {
            let wanted = |filter: &&Filter| filter.fate == fate && filter.matches(keys);
            let filters = filters.iter().filter(wanted);
            filters.map(|filter| filter.packets).sum()
        };
        send(tap);
        let after = Filter::list(&tap.namespace).unwrap();
        assert!(
            packets(&after) > packets(&before),
            "no filter counts {keys:?} for {fate:?}"
        );
        before = after;
    }
    before
}

/// Sends frames of an EtherType for experiments to another Ethernet address.
fn frames_for_others_stay_out(tap: &NetTap) {
    let mut frame = [0; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5]);
    let kept_out = || {
        let filter = Filter::of_isolation(&tap.namespace).unwrap();
        filter.expect("a filter isolates the port").packets
    };
    let before = kept_out();
    tap.send(&frame, 50).unwrap();
    assert!(kept_out() >= before + 50);
}

/// Stops Weirgate, and sees that it removes `expected` filters: of filters that just go with the
/// device the kernel does not tell.
fn filters_are_removed_as_it_ends(tap: &mut NetTap, expected: usize) {
    let mut command = tap.namespace.command("tc");
    let log = tap.directory.path().join("monitor.log");
    let monitor = Process::start(command.arg("monitor"), &log).unwrap();
    wait_until("tc to monitor", Duration::from_secs(10), || {
        tap.namespace.exec("tc qdisc add dev lo ingress")?;
        tap.namespace.exec("tc qdisc delete dev lo ingress")?;
        Ok(!monitor.log().is_empty())
    })
    .unwrap();
    assert!(tap.weirgate.stop().unwrap().success());
    let deleted = || {
        let log = monitor.log();
        let lines = log.lines();
        lines
            .filter(|line| line.starts_with("deleted filter"))
            .count()
    };
    wait_until("filters to be removed", Duration::from_secs(5), || {
        Ok(deleted() >= expected)
    })
    .unwrap_or_else(|error| panic!("{error}: {} of {expected}", deleted()));
}

/// Compares what filters sent to each queue with what Weirgate says of it in the end.
fn queues_have_what_filters_promise(filters: &[Filter], log: &str) {
    let of_queues = log.lines().filter(|line| line.contains("queue counters"));
    let received = of_queues.map(|line| {
        let value = |name| field(line, name)?.parse::<u64>().ok();
        let read = value("queue").zip(value("rx_frames"));
        read.unwrap_or_else(|| panic!("no queue and rx_frames: {line}"))
    });
    let received: Vec<_> = received.collect();
    assert!(!received.is_empty(), "no counters of queues:\n{log}");
    for (queue, frames) in received {
        let to_it = |filter: &&Filter| filter.fate == Fate::Queue(queue as u16);
        let promised = filters.iter().filter(to_it).map(|filter| filter.packets);
        let promised: u64 = promised.sum();
        // The kernel may speak of its own accord after the filters were asked.
        assert!(
            frames >= promised && frames <= promised + 10,
            "{frames} frames on queue {queue}, {promised} promised: {filters:#?}"
        );
    }
}

/// Where each class is to arrive, as the log says.
fn promised_queues(log: &str) -> BTreeMap<String, u16> {
    let mut promised = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" receive queue ")) {
        let queue = field(line, "queue").and_then(|queue| queue.parse().ok());
        let queue = queue.unwrap_or_else(|| panic!("no queue: {line}"));
        let classes = field(line, "classes").unwrap_or_default();
        for class in classes.split_whitespace() {
            promised.insert(class.to_owned(), queue);
        }
    }
    promised
}

/// The value of a field in a line of the log.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = line.split_once(&format!(" {name}="))?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split_whitespace().next(),
    }
}

/// The warning of a rule that the device refused.
fn warning_of(log: &str, rule: &str) -> String {
    let mut warnings = log.lines().filter(|line| line.contains(" WARN "));
    let warning = warnings.find(|line| field(line, "rule") == Some(rule));
    warning
        .unwrap_or_else(|| panic!("no warning of the rule `{rule}`:\n{log}"))
        .to_owned()
}

fn ping(tap: &NetTap, address: &str) {
    let ping = format!("ping -n -c 1 -W 5 {address}");
    tap.namespace.exec(&ping).unwrap();
}

/// Sends datagrams to a port without a listener.
fn datagrams(tap: &NetTap, to: &str) {
    let to: IpAddr = to.parse().unwrap();
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let sent = tap.namespace.enter(|| {
        let socket = UdpSocket::bind(from)?;
        (0..5).try_for_each(|_| socket.send_to(&[0; 100], (to, 9)).map(drop))
    });
    sent.unwrap().unwrap();
}

/// Fetches a page over each of several connections that are open at the same time.
fn fetch(tap: &NetTap, address: &str, port: u16, page: Page, connections: usize) {
    let to: (IpAddr, u16) = (address.parse().unwrap(), port);
    let answers = tap.namespace.enter(|| {
        let streams: io::Result<Vec<_>> = (0..connections)
            .map(|_| {
                let mut stream = TcpStream::connect(to)?;
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                let page = page.file_name();
                write!(
                    stream,
                    "GET /{page} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
                )?;
                Ok(stream)
            })
            .collect();
        let answers = streams?.into_iter().map(|mut stream| {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        });
        answers.collect::<io::Result<Vec<_>>>()
    });
    for answer in answers.unwrap().unwrap() {
        let (head, body) = answer.split_at(answer.len() - page.size() as usize);
        assert!(head.starts_with(b"HTTP/1.1 200"), "{to:?}");
        assert!(head.ends_with(b"\r\n\r\n"), "{to:?}: {} octets", body.len());
    }
}

/// What `weirgate flow apply` said.
struct Applied {
    code: i32,
    accepted: usize,
    refused: usize,
    text: String,
}

fn apply(program: &Path, workers: usize, steering: &str, options: &[&str]) -> Applied {
    let directory = temporary_directory().unwrap();
    let config = directory.path().join("weirgate.toml");
    fs::write(&config, NetTap::configuration(workers, steering)).unwrap();
    let namespace = Namespace::new("apply").unwrap();
    let mut command = namespace.command(&program.to_string_lossy());
    command
        .args(["flow", "apply"])
        .args(options)
        .arg("--config")
        .arg(&config);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    println!("{text}");
    let lines = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    Applied {
        code: output.status.code().unwrap_or(-1),
        accepted: lines("accepted: "),
        refused: lines("refused: "),
        text,
    }
}

/// Takes a module from the guest's kernel, which does not get it back.
fn remove_module(name: &str) {
    let status = Command::new("rmmod").arg(name).status().unwrap();
    assert!(status.success(), "rmmod {name}");
}
