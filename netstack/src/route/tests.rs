use super::*;
use crate::ip::{V4, V6};

const BARE: NetworkId = NetworkId::BARE;

fn addr<I: Ip>(text: &str) -> I::Addr
where
    I::Addr: core::str::FromStr<Err: core::fmt::Debug>,
{
    text.parse().unwrap()
}

fn prefix<I: Ip>(text: &str) -> Prefix<I>
where
    I::Addr: core::str::FromStr<Err: core::fmt::Debug>,
{
    let (base, len) = text.split_once('/').unwrap();
    Prefix::new(addr::<I>(base), len.parse().unwrap()).unwrap()
}

fn local<I: Ip>(port: u16, text: &str) -> LocalAddress<I>
where
    I::Addr: core::str::FromStr<Err: core::fmt::Debug>,
{
    let prefix = prefix::<I>(text);
    LocalAddress {
        network: BARE,
        addr: prefix.addr,
        port: PortId(port),
        prefix_len: prefix.len,
    }
}

/// Two links, a default route and a route inside it.
fn longest_prefix_wins<I: Ip>(links: [&str; 2], inner: &str, gateways: [&str; 2], dst: [&str; 4])
where
    I::Addr: core::str::FromStr<Err: core::fmt::Debug>,
{
    let mut table = RouteTable::<I>::new();
    let everything = Prefix::new(I::Addr::UNSPECIFIED, 0).unwrap();
    let [first, second] = gateways.map(|text| addr::<I>(text));
    let not_connected = Err(RouteError::GatewayNotConnected(first.into()));
    assert_eq!(
        table.add_static(BARE, everything, PortId(0), first),
        not_connected
    );
    for (port, link) in links.into_iter().enumerate() {
        let port = PortId(port as u16);
        table.add_connected(BARE, prefix(link), port).unwrap();
    }
    assert_eq!(
        table.add_static(BARE, everything, PortId(1), first),
        not_connected
    );
    table
        .add_static(BARE, everything, PortId(0), first)
        .unwrap();
    table
        .add_static(BARE, prefix(inner), PortId(1), second)
        .unwrap();
    let duplicate = table.add_static(BARE, prefix(inner), PortId(1), second);
    assert!(matches!(duplicate, Err(RouteError::Duplicate(_))));

    let [on_first, on_second, far_inner, far] = dst.map(|text| addr::<I>(text));
    let hop = |port, addr| {
        Some(NextHop {
            port: PortId(port),
            addr,
        })
    };
    assert_eq!(table.lookup(BARE, on_first), hop(0, on_first));
    assert_eq!(table.lookup(BARE, on_second), hop(1, on_second));
    assert_eq!(table.lookup(BARE, far_inner), hop(1, second));
    assert_eq!(table.lookup(BARE, far), hop(0, first));
    assert_eq!(table.lookup(NetworkId(7), far), None);
}

#[test]
fn the_longest_prefix_wins_for_both_versions() {
    longest_prefix_wins::<V4>(
        ["192.0.2.0/24", "198.51.100.0/24"],
        "10.1.0.0/16",
        ["192.0.2.254", "198.51.100.254"],
        ["192.0.2.7", "198.51.100.7", "10.1.2.3", "10.2.0.1"],
    );
    longest_prefix_wins::<V6>(
        ["2001:db8:1::/64", "2001:db8:2::/64"],
        "fd01::/16",
        ["2001:db8:1::fe", "2001:db8:2::fe"],
        ["2001:db8:1::7", "2001:db8:2::7", "fd01::3", "2600::1"],
    );
}

#[test]
fn a_link_local_gateway_needs_no_prefix() {
    let mut table = RouteTable::<V6>::new();
    let gateway = addr::<V6>("fe80::1");
    table
        .add_static(BARE, prefix("::/0"), PortId(2), gateway)
        .unwrap();
    let next_hop = NextHop {
        port: PortId(2),
        addr: gateway,
    };
    assert_eq!(table.lookup(BARE, addr::<V6>("2600::1")), Some(next_hop));
}

#[test]
fn prefixes_and_gateways_must_make_sense() {
    let too_long = Prefix::<V4>::new(addr::<V4>("10.0.0.0"), 33);
    assert_eq!(too_long, Err(RouteError::PrefixTooLong(33)));
    let group = addr::<V4>("224.0.0.1");
    let mut table = RouteTable::<V4>::new();
    let refused = table.add_static(BARE, prefix("0.0.0.0/0"), PortId(0), group);
    assert_eq!(refused, Err(RouteError::NotUnicast(group.into())));
    let mut ours = LocalAddresses::<V4>::new();
    assert!(matches!(
        ours.add(local(0, "224.0.0.1/4")),
        Err(RouteError::NotUnicast(_))
    ));
}

#[test]
fn our_addresses_belong_to_a_network_and_a_port() {
    let mut ours = LocalAddresses::<V4>::new();
    ours.add(local(1, "192.0.2.9/24")).unwrap();
    ours.add(local(0, "192.0.2.1/24")).unwrap();
    let again = ours.add(local(3, "192.0.2.9/32"));
    assert_eq!(
        again,
        Err(RouteError::Duplicate(addr::<V4>("192.0.2.9").into()))
    );
    assert!(ours.contains(BARE, addr::<V4>("192.0.2.1")));
    assert!(!ours.contains(BARE, addr::<V4>("192.0.2.2")));
    assert!(!ours.contains(NetworkId(1), addr::<V4>("192.0.2.1")));
    assert_eq!(ours.port_of(BARE, addr::<V4>("192.0.2.9")), Some(PortId(1)));
    assert_eq!(ours.on_port(PortId(0)).count(), 1);
}

#[test]
fn subnet_broadcasts_are_known() {
    let mut ours = LocalAddresses::<V4>::new();
    ours.add(local(0, "192.0.2.1/25")).unwrap();
    ours.add(local(0, "10.0.0.0/31")).unwrap();
    let is_broadcast = |text| ours.is_broadcast(BARE, addr::<V4>(text));
    assert!(is_broadcast("192.0.2.127"));
    assert!(!is_broadcast("192.0.2.255"));
    assert!(!is_broadcast("10.0.0.1"));
    let mut ours = LocalAddresses::<V6>::new();
    ours.add(local(0, "fd00::1/96")).unwrap();
    assert!(!ours.is_broadcast(BARE, addr::<V6>("fd00::ffff:ffff")));
}

#[test]
fn the_source_fits_destination_and_gateway() {
    let mut ours = LocalAddresses::<V4>::new();
    ours.add(local(0, "10.0.0.1/24")).unwrap();
    ours.add(local(0, "10.1.0.1/24")).unwrap();
    ours.add(local(1, "10.2.0.1/24")).unwrap();
    let source = |dst, port, gateway| {
        let next_hop = NextHop {
            port: PortId(port),
            addr: addr::<V4>(gateway),
        };
        ours.source_for(BARE, addr::<V4>(dst), next_hop)
    };
    assert_eq!(
        source("10.1.0.9", 0, "10.1.0.9"),
        Some(addr::<V4>("10.1.0.1"))
    );
    assert_eq!(
        source("8.8.8.8", 0, "10.1.0.254"),
        Some(addr::<V4>("10.1.0.1"))
    );
    assert_eq!(
        source("8.8.8.8", 0, "10.0.0.254"),
        Some(addr::<V4>("10.0.0.1"))
    );
    assert_eq!(
        source("8.8.8.8", 1, "10.2.0.254"),
        Some(addr::<V4>("10.2.0.1"))
    );
    assert_eq!(source("8.8.8.8", 2, "10.3.0.254"), None);
}

#[test]
fn a_link_local_gateway_does_not_make_a_link_local_source() {
    let mut ours = LocalAddresses::<V6>::new();
    ours.add(local(0, "fe80::1/64")).unwrap();
    ours.add(local(0, "2001:db8::1/64")).unwrap();
    let next_hop = NextHop {
        port: PortId(0),
        addr: addr::<V6>("fe80::fe"),
    };
    let source = |dst| ours.source_for(BARE, addr::<V6>(dst), next_hop);
    assert_eq!(source("2600::1"), Some(addr::<V6>("2001:db8::1")));
    assert_eq!(source("fe80::fe"), Some(addr::<V6>("fe80::1")));
}
