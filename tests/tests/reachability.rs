//! Weirgate as a host among hosts: it answers pings and resolves its neighbors.

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{Config, FAMILIES, Page, Rig};

on_each_driver!(addresses_answer_pings, neighbors_are_resolved_both_ways);

fn addresses_answer_pings(config: Config) {
    let Some(rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    let ends = [
        (&rig.topology.client, ["10.64.0.1", "fd64::1"]),
        (&rig.topology.server, ["10.64.1.1", "fd64:1::1"]),
    ];
    for (namespace, addresses) in ends {
        for address in addresses {
            // An interval of 0.1 s, and payloads from tiny to what just fits into the MTU.
            for size in [0, 56, 1452] {
                let ping = format!("ping -c 5 -i 0.1 -W 2 -s {size} {address}");
                let output = namespace.exec(&ping).unwrap();
                assert!(output.contains(" 5 received,"), "{output}");
            }
        }
    }
}

fn neighbors_are_resolved_both_ways(config: Config) {
    let config = config.nginx_over_ipv6(8080);
    let Some(rig) = Rig::start(config, &[Page::One]) else {
        return;
    };
    // Client and server learn Weirgate's MAC address; that pages arrive shows that it learned
    // theirs.
    for family in FAMILIES {
        rig.fetch_whole(family, 80, Page::One);
        rig.fetch_whole(family, 8080, Page::One);
    }
    let ends = [
        (&rig.topology.client, "c0", "g0", ["10.64.0.1", "fd64::1"]),
        (&rig.topology.server, "s0", "g1", ["10.64.1.1", "fd64:1::1"]),
    ];
    for (namespace, interface, other, addresses) in ends {
        let path = format!("/sys/class/net/{other}/address");
        let mac = rig.topology.gate.exec(&format!("cat {path}")).unwrap();
        for address in addresses {
            let neighbors = namespace
                .ip(&format!("neighbor show dev {interface}"))
                .unwrap();
            let expected = format!("{address} lladdr {}", mac.trim());
            assert!(
                neighbors.contains(&expected),
                "no `{expected}` in:\n{neighbors}"
            );
        }
    }
}
