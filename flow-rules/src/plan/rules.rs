//! The rules that a plan is made of.

use core::net::{IpAddr, Ipv6Addr};

use super::class::{Class, Family};
use super::{Control, Purpose};
use crate::action::Actions;
use crate::layer::{Eth, Ipv4, Ipv6, Layer, Protocol, Tcp, Udp};
use crate::pattern::{After, ItemList, Pattern, Start};
use crate::rss::Rss;
use crate::rule::{Attributes, FlowRule};
use crate::value::Mac;

/// A rule before it has its priority.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub(super) tier: Tier,
    pub(super) name: String,
    pub(super) purpose: Purpose,
    pub(super) pattern: ItemList,
    pub(super) fate: Fate,
    /// 0, but for `rss` on devices where each set of queues is a group.
    pub(super) group: u32,
}

/// What goes before what. Tiers without rules take up no priority.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Tier {
    /// VXLAN, before all of UDP. First, as some devices name a UDP port at priority 0 only.
    Tunnel,
    /// The classes.
    Class,
    /// ARP and ICMP.
    Control,
    /// All the rest for our IP addresses, before other addresses.
    Ours,
    /// Other IP addresses.
    Foreign,
    /// All the rest.
    Rest,
}

/// Where the packets of a rule go.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// To queues: at least one.
    Receive(Rss),
    Drop,
}

impl Sketch {
    /// The rule, with the tier's `priority`.
    pub(super) fn rule(&self, priority: u32, counted: bool) -> FlowRule {
        let actions = Actions::new();
        let actions = if counted { actions.count(0) } else { actions };
        let actions = match &self.fate {
            Fate::Drop => actions.drop(),
            Fate::Receive(rss) => match rss.queues() {
                [queue] => actions.queue(*queue),
                _ => actions.rss(rss.clone()),
            },
        };
        let attributes = Attributes::ingress().group(self.group).priority(priority);
        FlowRule::new(attributes, self.pattern.clone(), actions)
            .expect("fields of these patterns say nothing of the next layer")
    }
}

/// What the patterns of a port have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Frames for this address only; for a port that is isolated.
    pub(super) mac: Option<Mac>,
    /// The UDP port of VXLAN.
    pub(super) vxlan_port: u16,
}

impl Scope {
    /// Packets of a class that the port's rules can name, for an address or for all.
    pub(super) fn class(self, class: Class, address: Option<IpAddr>) -> ItemList {
        match class.family() {
            Some(Family::V4) => self.transport(self.frame().then(ipv4(address)), class),
            Some(Family::V6) => self.transport(self.frame().then(ipv6(address)), class),
            None => self.frame().into(),
        }
    }

    fn transport<Below>(self, below: Pattern<Below>, class: Class) -> ItemList
    where
        Tcp: After<Below>,
        Udp: After<Below>,
    {
        match class {
            Class::Ipv4Tcp | Class::Ipv6Tcp => below.then(Tcp::any()).into(),
            Class::Ipv4Udp | Class::Ipv6Udp => below.then(Udp::any()).into(),
            Class::Ipv4Vxlan | Class::Ipv6Vxlan => {
                below.then(Udp::with(Udp::DST, self.vxlan_port)).into()
            }
            Class::Other => below.into(),
        }
    }

    /// All IP packets for an address.
    pub(super) fn address(self, address: IpAddr) -> ItemList {
        match address {
            IpAddr::V4(_) => self.frame().then(ipv4(Some(address))).into(),
            IpAddr::V6(_) => self.frame().then(ipv6(Some(address))).into(),
        }
    }

    fn frame(self) -> Pattern<Eth> {
        Pattern::<Start>::new().then(match self.mac {
            Some(mac) => Eth::with(Eth::DST, mac),
            None => Eth::any(),
        })
    }
}

/// All IP packets of a version.
pub(super) fn family(family: Family) -> ItemList {
    let frame = Pattern::new().then(Eth::any());
    match family {
        Family::V4 => frame.then(Ipv4::any()).into(),
        Family::V6 => frame.then(Ipv6::any()).into(),
    }
}

/// Packets that keep the network going.
pub(super) fn control(control: Control) -> ItemList {
    let pattern = Pattern::new();
    match control {
        Control::Arp => pattern.then(Eth::with(Eth::TYPE, 0x0806)).into(),
        // IANA, protocol numbers.
        Control::Icmp => {
            let header = Ipv4::with(Ipv4::PROTO, 1);
            pattern.then(Eth::any()).then(header).into()
        }
        Control::Icmp6 => {
            let header = Ipv6::with(Ipv6::PROTO, 58);
            pattern.then(Eth::any()).then(header).into()
        }
    }
}

/// Frames to an Ethernet address, or all.
pub(super) fn frames(to: Option<Mac>) -> ItemList {
    let scope = Scope {
        mac: to,
        vxlan_port: 0,
    };
    scope.frame().into()
}

/// The multicast addresses on which neighbor discovery expects the host with `address`: all nodes,
/// and the solicited-node address (RFC 4291 2.7.1).
pub(super) fn groups_of(address: Ipv6Addr) -> [Ipv6Addr; 2] {
    let [.., a, b, c] = address.octets();
    let solicited = Ipv6Addr::from_bits(
        SOLICITED_NODE.to_bits() | u128::from(u32::from_be_bytes([0, a, b, c])),
    );
    [ALL_NODES, solicited]
}

/// The Ethernet address of an IPv6 multicast address (RFC 2464 7).
pub(super) fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

fn ipv4(address: Option<IpAddr>) -> Layer<Ipv4> {
    match address {
        Some(IpAddr::V4(address)) => Ipv4::with(Ipv4::DST, address),
        _ => Ipv4::any(),
    }
}

fn ipv6(address: Option<IpAddr>) -> Layer<Ipv6> {
    match address {
        Some(IpAddr::V6(address)) => Ipv6::with(Ipv6::DST, address),
        _ => Ipv6::any(),
    }
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbor_discovery_is_expected_at_its_groups() {
        let address = "fe80::1234:56ff:fe78:9abc".parse().unwrap();
        let [_, solicited] = groups_of(address);
        assert_eq!(solicited.to_string(), "ff02::1:ff78:9abc");
        assert_eq!(multicast_mac(solicited).to_string(), "33:33:ff:78:9a:bc");
        assert_eq!(multicast_mac(ALL_NODES).to_string(), "33:33:00:00:00:01");
    }
}
