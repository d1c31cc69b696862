//! What is asked of the planner of flow rules: a configuration, and what the ports say of
//! themselves.
//!
//! *In*: the configuration, and the facts of each port, from the live device or, for `weirgate flow
//! plan`, from the name of a driver. *Out*: a [`Request`], from which [`flow_rules::plan`] makes the
//! plan of each port.
//!
//! The planner speaks of workers that serve queues. If lcores are configured that only receive, it
//! is they who do, so its workers are these ([`Config::runtime`]): what a queue leads to is told
//! apart and handed on by software anyway.
//!
//! Addresses are those of the configuration: the stack makes no link-local ones of its own.

use flow_rules::Mac;
use flow_rules::driver::{Driver, Release};
use flow_rules::plan::{Listener, Options, Port, Request, Transport};
use netstack::wire::ethernet::MacAddr;

use crate::config::{Config, PortConfig};

/// What a plan needs to know of a port beside its configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortFacts {
    /// Its driver: [`Driver::of_port`] of what the device says.
    pub driver: Driver,
    /// The drivers of its members, if it is made of other ports.
    pub members: Vec<Driver>,
    /// The DPDK that runs it.
    pub release: Release,
    /// Receive queues that the device can have, if that is known.
    pub rx_queues: Option<u16>,
    /// Its Ethernet address.
    pub mac: MacAddr,
}

/// The request for plans of all ports, of which `facts` has one for each, in their order.
pub fn request(config: &Config, facts: &[PortFacts]) -> Request {
    let steering = &config.steering;
    let ports = (0..).zip(&config.ports).zip(facts);
    let listeners = config.listeners.iter().flat_map(|each| &each.addresses);
    Request {
        ports: ports
            .map(|((number, port), facts)| planned(number, port, facts))
            .collect(),
        workers: config.runtime.receivers() as u16,
        classes: steering.classes.clone(),
        without_rules: steering.without_rules().collect(),
        listeners: listeners
            .map(|&address| Listener {
                address,
                transport: Transport::Tcp,
            })
            .collect(),
        options: Options {
            rules: steering.rules,
            isolation: steering.isolate,
            drops: steering.drop_foreign,
            symmetric: steering.symmetric,
            vxlan_port: steering.vxlan_port,
        },
    }
}

fn planned(number: u16, config: &PortConfig, facts: &PortFacts) -> Port {
    let addresses = config.addresses.iter().map(|own| own.address);
    Port {
        number,
        name: config.name.clone(),
        driver: facts.driver,
        members: facts.members.clone(),
        release: facts.release,
        rx_queues: facts.rx_queues,
        mac: Mac(facts.mac.0),
        addresses: addresses.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flow_rules::plan::{Class, Replies};

    use super::*;

    fn request_of(lines: &str, driver: Driver, rx_queues: Option<u16>) -> Request {
        let text = format!("{lines}\n{}", include_str!("../examples/readme.toml"));
        let (config, _) = Config::parse(&text, Path::new("w.toml")).expect("it is sound");
        let facts = PortFacts {
            driver,
            members: Vec::new(),
            release: Release::OLDEST_SUPPORTED,
            rx_queues,
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
        };
        request(&config, &[facts.clone(), facts])
    }

    #[test]
    fn the_configuration_is_what_is_asked_for() {
        let lines = "[steering]\nclasses = [\"ipv4-udp\"]\nisolate = true\nsymmetric = true";
        let request = request_of(lines, Driver::Mlx5, Some(64));
        assert_eq!(request.workers, 2);
        assert_eq!(request.classes, [Class::Ipv4Udp]);
        assert_eq!(request.without_rules, [Class::Ipv4Tcp, Class::Ipv6Tcp]);
        let expected = Options {
            isolation: true,
            symmetric: true,
            ..Options::default()
        };
        assert_eq!(request.options, expected);
        let ports: Vec<_> = request
            .ports
            .iter()
            .map(|port| (port.number, &*port.name))
            .collect();
        assert_eq!(ports, [(0, "client"), (1, "server")]);
        assert_eq!(request.ports[1].addresses.len(), 2);
        assert_eq!(request.ports[1].rx_queues, Some(64));
        let listeners: Vec<_> = request
            .listeners
            .iter()
            .map(|each| each.address.port())
            .collect();
        assert_eq!(listeners, [80, 80]);
    }

    /// What a worker asks of the plan: where replies come, and to whom.
    #[test]
    fn replies_come_home_where_the_port_tells_its_hash() {
        let replies = |lines: &str, driver| {
            let plans = request_of(lines, driver, Some(8)).plan().expect("a plan");
            [Class::Ipv4Tcp, Class::Ipv6Tcp].map(|class| plans[1].replies(class))
        };
        let by_port = [Some(Replies::ByPort); 2];
        assert_eq!(replies("", Driver::I40e), by_port);
        assert_eq!(replies("", Driver::Ice), [Some(Replies::Unforeseen); 2]);
        assert_eq!(replies("[steering]\nclasses = []", Driver::Ice), by_port);
        assert_eq!(replies("[steering]\nrules = false", Driver::Ice), by_port);
        let unforeseen = [Some(Replies::Unforeseen); 2];
        assert_eq!(replies("", Driver::of_port("net_example")), unforeseen);
    }
}
