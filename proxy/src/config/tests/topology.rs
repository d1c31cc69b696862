//! Ports, listeners and groups of backends.

use super::*;

#[test]
fn mtu_depends_on_the_address_family() {
    let mtu = |mtu: u32| format!("device = \"net_ring0\"\nmtu = {mtu}");
    let old = "device = \"net_ring0\"";
    fault_with(old, &mtu(1279), 7, &["1279 is not between 1280 and 9216"]);
    fault_with(old, &mtu(9217), 7, &["choose a value from 1280 to 9216"]);
    fault_with(old, &mtu(100_000), 7, &["100000 is not between"]);
    let v4 = minimal_with(", \"2001:db8::1/64\"", "");
    valid(&v4.replacen(old, &mtu(576), 1));
    one_fault(
        &v4.replacen(old, &mtu(575), 1),
        7,
        &["choose a value from 576 to 9216"],
    );
}

#[test]
fn descriptors_are_powers_of_two() {
    for key in ["rx_descriptors", "tx_descriptors"] {
        let with = |count: u32| format!("{key} = {count}\nname = \"edge\"");
        fault_with(
            "name = \"edge\"",
            &with(500),
            5,
            &[key, "not a power of two", "try 512"],
        );
        fault_with(
            "name = \"edge\"",
            &with(32),
            5,
            &[key, "choose a value from 64 to 4096"],
        );
        fault_with(
            "name = \"edge\"",
            &with(8192),
            5,
            &[key, "choose a value from 64 to 4096"],
        );
    }
}

#[test]
fn names_are_unique_and_printable() {
    let port =
        "[[port]]\nname = \"edge\"\ndevice = \"net_ring1\"\naddresses = [\"203.0.113.1/24\"]";
    let text = minimal_with("\"net_ring0\"]", "\"net_ring0\", \"net_ring1\"]");
    one_fault(
        &format!("{text}{port}\n"),
        18,
        &["`edge` was used before, in line 5", "remove one"],
    );
    let listener =
        "[[listener]]\nname = \"web\"\naddresses = [\"192.0.2.1:81\"]\nbackend_group = \"nginx\"";
    fault_added(listener, 18, &["`web` was used before, in line 10"]);
    let group = "[[backend_group]]\nname = \"nginx\"\n[[backend_group.backend]]\naddress = \"198.51.100.1:1\"";
    fault_added(group, 18, &["`nginx` was used before, in line 14"]);
    let backend =
        "name = \"a\"\n[[backend_group.backend]]\nname = \"a\"\naddress = \"198.51.100.1:1\"";
    fault_added(backend, 19, &["`a` was used before, in line 17"]);
    for name in ["", "..", "a b", "a\\u001b[31m", "ü"] {
        fault_with(
            "\"edge\"",
            &format!("\"{name}\""),
            5,
            &["cannot be used as a name", "letters"],
        );
    }
}

#[test]
fn devices_exist_and_serve_one_port() {
    fault_with(
        "device = \"net_ring0\"",
        "device = \"net_ring\"",
        6,
        &["did you mean `net_ring0`?"],
    );
    fault_with(
        "device = \"net_ring0\"",
        "device = \"0000:03:00.0\"",
        6,
        &["possible here: net_ring0"],
    );
    fault_with(
        "\"net_ring0\"]",
        "\"net_ring0\", \"net_ring0,x=1\"]",
        3,
        &["`net_ring0` was used"],
    );
    fault_with(
        "vdevs",
        "devices = [\"eth0\"]\nvdevs",
        3,
        &["not a PCI address", "dpdk-devbind"],
    );
    let pci = "vdevs = []\ndevices = [\"0000:AF:00.1,x=1\"]";
    let text = minimal_with("vdevs = [\"net_ring0\"]", pci);
    let (config, _) = valid(&text.replacen("\"net_ring0\"", "\"af:00.1\"", 1));
    assert_eq!(config.ports[0].device, "0000:af:00.1");
    assert_eq!(config.dpdk.devices, ["0000:af:00.1,x=1"]);
    let port = "[[port]]\nname = \"b\"\ndevice = \"net_ring0\"\naddresses = [\"203.0.113.1/24\"]";
    fault_added(port, 19, &["`net_ring0` was used before, in line 6"]);
}

#[test]
fn mac_addresses_name_one_station() {
    for mac in [
        "01:00:00:00:00:01",
        "00:00:00:00:00:00",
        "02:00:00:00:00",
        "x",
    ] {
        let new = format!("mac = \"{mac}\"\nname = \"edge\"");
        fault_with(
            "name = \"edge\"",
            &new,
            5,
            &["MAC address", "\"02:00:00:00:00:01\""],
        );
    }
}

#[test]
fn port_addresses_name_a_host_and_a_network() {
    let cases = [
        ("192.0.2.1", "no prefix length", "write \"192.0.2.1/24\""),
        (
            "192.0.2.1/33",
            "`33` is not a prefix length of IPv4",
            "from 0 to 32",
        ),
        (
            "192.0.2.1/+8",
            "`+8` is not a prefix length",
            "from 0 to 32",
        ),
        (
            "2001:db8::1/129",
            "`129` is not a prefix length of IPv6",
            "from 0 to 128",
        ),
        (
            "web.example/24",
            "not an address with prefix length",
            "names are not looked up",
        ),
        (
            "0.0.0.0/0",
            "is the unspecified address",
            "name each address",
        ),
        ("::/0", "is the unspecified address", "name each address"),
        ("224.0.0.1/4", "is a multicast address", "one host"),
        ("ff02::1/64", "is a multicast address", "one host"),
        ("255.255.255.255/32", "is a broadcast address", "one host"),
        (
            "198.18.0.0/24",
            "is the address of the network",
            "one of the addresses after it",
        ),
        ("198.18.0.255/24", "is a broadcast address", "one host"),
        (
            "127.0.0.1/8",
            "is a loopback address",
            "an address on the network",
        ),
        (
            "::1/128",
            "is a loopback address",
            "an address on the network",
        ),
        (
            "::ffff:192.0.2.9/120",
            "IPv4 address in IPv6 clothes",
            "write the IPv4 address",
        ),
    ];
    for (address, statement, help) in cases {
        let new = format!("\"192.0.2.1/24\", \"{address}\"");
        fault_with("\"192.0.2.1/24\"", &new, 7, &[statement, help]);
    }
    for address in ["198.18.0.0/31", "198.18.0.1/31", "198.18.0.0/32"] {
        valid(&minimal_with(
            "\"192.0.2.1/24\"",
            &format!("\"192.0.2.1/24\", \"{address}\""),
        ));
    }
    let twice = "\"192.0.2.1/24\", \"192.0.2.1/32\"";
    fault_with(
        "\"192.0.2.1/24\"",
        twice,
        7,
        &["`192.0.2.1` was used before, in line 7"],
    );
}

#[test]
fn listeners_have_addresses_of_ports() {
    let cases = [
        (
            "192.0.2.2:80",
            "no [[port]] has the address 192.0.2.2",
            "these: 192.0.2.1:80",
        ),
        (
            "[2001:db8::2]:80",
            "address 2001:db8::2",
            "these: [2001:db8::1]:80",
        ),
        (
            "0.0.0.0:80",
            "is the unspecified address",
            "name each address",
        ),
        (
            "192.0.2.1",
            "is not an IP address and a port",
            "\"192.0.2.1:80\"",
        ),
        (
            "2001:db8::1",
            "is not an IP address and a port",
            "\"[2001:db8::1]:80\"",
        ),
        (
            "[fe80::1%2]:80",
            "is not an IP address and a port",
            "\"[2001:db8::1]:80\"",
        ),
        ("192.0.2.1:0", "TCP port 0", "from 1 to 65535"),
    ];
    for (address, statement, help) in cases {
        fault_with(
            "\"192.0.2.1:80\"",
            &format!("\"{address}\""),
            11,
            &[statement, help],
        );
    }
    let twice = "\"192.0.2.1:80\", \"192.0.2.1:80\"";
    fault_with(
        "\"192.0.2.1:80\"",
        twice,
        11,
        &["`192.0.2.1:80` was used before, in line 11"],
    );
    let listener =
        "[[listener]]\nname = \"b\"\naddresses = [\"192.0.2.1:80\"]\nbackend_group = \"nginx\"";
    fault_added(
        listener,
        19,
        &["`192.0.2.1:80` was used before, in line 11", "remove one"],
    );
}

#[test]
fn listeners_name_a_group() {
    let old = "backend_group = \"nginx\"";
    fault_with(
        old,
        "backend_group = \"ngnix\"",
        12,
        &["did you mean `nginx`?"],
    );
    fault_with(
        old,
        "backend_group = \"apache\"",
        12,
        &["groups possible here: nginx"],
    );
}

#[test]
fn routes_lead_to_networks_through_neighbors() {
    let old = "{ to = \"198.51.100.0/24\", via = \"192.0.2.254\" }";
    let route = |to: &str, via: &str| format!("{old}, {{ to = \"{to}\", via = \"{via}\" }}");
    let cases = [
        (
            "10.0.0.1/8",
            "192.0.2.254",
            "bits set after its prefix",
            "write \"10.0.0.0/8\"",
        ),
        (
            "2001:db8:1::1/48",
            "2001:db8::2",
            "bits set after",
            "write \"2001:db8:1::/48\"",
        ),
        (
            "10.0.0.0/33",
            "192.0.2.254",
            "`33` is not a prefix length",
            "from 0 to 32",
        ),
        (
            "10.0.0.0/8",
            "2001:db8::2",
            "different address families",
            "a gateway of IPv4",
        ),
        (
            "::/0",
            "192.0.2.254",
            "different address families",
            "a gateway of IPv6",
        ),
        (
            "10.0.0.0/8",
            "192.0.3.1",
            "192.0.3.1 is not on-link",
            "correct the gateway",
        ),
        (
            "::/0",
            "2001:db8:1::1",
            "2001:db8:1::1 is not on-link",
            "correct the gateway",
        ),
        (
            "10.0.0.0/8",
            "192.0.2.1",
            "an address of Weirgate itself",
            "the next router",
        ),
        (
            "10.0.0.0/8",
            "224.0.0.5",
            "is a multicast address",
            "one host",
        ),
        (
            "198.51.100.0/24",
            "192.0.2.253",
            "was used before, in line 8",
            "remove one",
        ),
    ];
    for (to, via, statement, help) in cases {
        fault_with(old, &route(to, via), 8, &[statement, help]);
    }
    valid(&minimal_with(old, &route("::/0", "fe80::1")));
}

#[test]
fn backends_can_be_reached() {
    let backend = |address: &str| format!("address = \"{address}\"");
    let old = "address = \"198.51.100.10:8080\"";
    let parts = [
        "no port has a route to 203.0.113.9",
        "to = \"203.0.113.9/32\"",
    ];
    fault_with(old, &backend("203.0.113.9:80"), 16, &parts);
    let parts = [
        "no port has a route to 2001:db9::1",
        "to = \"2001:db9::1/128\"",
    ];
    fault_with(old, &backend("[2001:db9::1]:80"), 16, &parts);
    valid(&minimal_with(old, &backend("[2001:db8::9]:80")));
    valid(&minimal_with(old, &backend("192.0.2.9:80")));
    let v4 = minimal_with(", \"2001:db8::1/64\"", "");
    let parts = ["no port has an IPv6 address to connect from"];
    one_fault(
        &v4.replacen(old, &backend("[2001:db8::9]:80"), 1),
        16,
        &parts,
    );
    fault_with(
        old,
        &backend("127.0.0.1:80"),
        16,
        &["is a loopback address", "host's loopback"],
    );
    fault_with(
        old,
        &backend("239.0.0.1:80"),
        16,
        &["is a multicast address"],
    );
}

#[test]
fn backends_are_somebody_else() {
    let old = "address = \"198.51.100.10:8080\"";
    let parts = ["connections would loop", "listener `web` has this address"];
    fault_with(old, "address = \"192.0.2.1:80\"", 16, &parts);
    let parts = [
        "192.0.2.1:22 is an address of Weirgate",
        "name the address of a server",
    ];
    fault_with(old, "address = \"192.0.2.1:22\"", 16, &parts);
}

#[test]
fn backends_differ_and_one_is_chosen() {
    let second = "[[backend_group.backend]]\naddress = \"198.51.100.10:8080\"";
    fault_added(
        second,
        18,
        &["`198.51.100.10:8080` was used before, in line 16"],
    );
    fault_added(
        "weight = 0",
        17,
        &["every backend has weight 0", "a weight of 1 to 256"],
    );
    fault_added("weight = 257", 17, &["choose a value from 0 to 256"]);
    let old = "name = \"nginx\"\n";
    fault_with(
        old,
        "name = \"nginx\"\ntries = 0\n",
        15,
        &["choose a value from 1 to 16"],
    );
}
