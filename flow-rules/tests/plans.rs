//! The plan of every driver where all that a device may do is wanted, to be read by people.
//! What changes here, an operator sees: look at the difference, and accept it with
//! `cargo insta review`.

use flow_rules::driver::{Driver, Release};
use flow_rules::plan::{Class, Listener, Options, Port, Request, Transport};
use flow_rules::{Command, FlowRule, Mac};

/// Two workers on two ports, of which one has the listeners. All that a device may do is wanted.
fn request(driver: Driver) -> Request {
    let port = |number: u16, name: &str, addresses: [&str; 2]| Port {
        number,
        name: name.to_owned(),
        driver,
        members: Vec::new(),
        release: Release::OLDEST_SUPPORTED,
        rx_queues: None,
        mac: Mac([2, 0, 0, 0, 0, number as u8 + 1]),
        addresses: addresses
            .map(|address| address.parse().expect(address))
            .to_vec(),
    };
    let listener = |address: &str| Listener {
        address: address.parse().expect(address),
        transport: Transport::Tcp,
    };
    Request {
        ports: vec![
            port(0, "client", ["10.64.0.1", "fd64::1"]),
            port(1, "server", ["10.64.1.1", "fd64:1::1"]),
        ],
        workers: 2,
        classes: Class::ALL.to_vec(),
        without_rules: vec![],
        listeners: ["10.64.0.1:80", "[fd64::1]:80"].map(listener).to_vec(),
        options: Options {
            isolation: true,
            drops: true,
            symmetric: true,
            ..Options::default()
        },
    }
}

#[test]
fn each_driver_has_a_plan() {
    for driver in Driver::all() {
        let plans = request(driver).plan().expect("there is a plan");
        insta::assert_snapshot!(driver.name(), plans[0]);
    }
}

#[test]
fn a_port_does_not_expect_the_addresses_of_the_other() {
    let plans = request(Driver::Mlx5).plan().expect("there is a plan");
    let names = |index: usize| plans[index].rules.iter().map(|named| named.name.as_str());
    assert!(names(0).any(|name| name == "ipv4-tcp to 10.64.0.1"));
    assert!(names(1).any(|name| name == "ipv4-tcp to 10.64.1.1"));
    assert!(names(1).all(|name| !name.ends_with("10.64.0.1")));
}

#[test]
fn the_commands_are_those_of_testpmd() {
    for driver in Driver::all() {
        for plan in request(driver).plan().expect("there is a plan") {
            let port = plan.number;
            let mut created = plan.rules.iter().map(|named| &named.rule);
            for line in plan.to_string().lines() {
                if let Some(rule) = line.strip_prefix(&format!("flow create {port} ")) {
                    let read: FlowRule = rule.parse().expect(rule);
                    assert_eq!(Some(&read), created.next());
                    assert!(read.is_testpmd_syntax());
                    continue;
                }
                let others = [
                    Command::Isolate { port, on: true }.to_string(),
                    format!("port stop {port}"),
                    format!("port start {port}"),
                ];
                let key = format!("port config {port} rss-hash-key ");
                let known = line.starts_with('#')
                    || line.starts_with(&key)
                    || others.iter().any(|other| other == line);
                assert!(known, "{line}");
            }
            assert_eq!(created.next(), None);
        }
    }
}
