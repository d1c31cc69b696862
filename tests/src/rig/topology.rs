//! The namespaces and the wires between them.

use std::net::IpAddr;

use super::{Namespace, RigError};

/// Client, gate and server in a row. Dropping it removes them.
#[derive(Debug)]
pub struct Topology {
    /// Where clients run; its interface is `c0`.
    pub client: Namespace,
    /// Where Weirgate runs, between `g0` (to the client) and `g1` (to the server).
    pub gate: Namespace,
    /// Where backends run; its interface is `s0`.
    pub server: Namespace,
}

/// What stands between client and server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gate {
    /// Nothing yet: two interfaces that are up and to which the kernel never answers.
    Bare,
    /// The kernel as a router, with the addresses that Weirgate would have: the rig without
    /// Weirgate, to see whether the rig itself works.
    Router,
}

impl Topology {
    /// Makes the namespaces, the wires with `queues` queues in each direction, and the addresses of
    /// both ends.
    pub fn new(gate_kind: Gate, queues: u16) -> Result<Self, RigError> {
        Namespace::remove_abandoned();
        let topology = Self {
            client: Namespace::new("client")?,
            gate: Namespace::new("gate")?,
            server: Namespace::new("server")?,
        };
        topology.connect(gate_kind, queues)?;
        Ok(topology)
    }

    fn connect(&self, gate_kind: Gate, queues: u16) -> Result<(), RigError> {
        let gate = &self.gate;
        if gate_kind == Gate::Bare {
            // Before the interfaces are there: each would announce a link-local address.
            gate.set_parameter("ipv6/conf/all/disable_ipv6", "1")?;
            gate.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        }
        self.client.connect("c0", gate, "g0", queues)?;
        self.server.connect("s0", gate, "g1", queues)?;
        for (end, interface, family) in [
            (&self.client, "c0", [CLIENT_V4, CLIENT_V6]),
            (&self.server, "s0", [SERVER_V4, SERVER_V6]),
        ] {
            end.add_address(interface, &format!("{}/24", family[0]))?;
            end.add_address(interface, &format!("{}/64", family[1]))?;
        }
        match gate_kind {
            Gate::Bare => {
                gate.ip("link set g0 arp off")?;
                gate.ip("link set g1 arp off")?;
            }
            Gate::Router => self.route()?,
        }
        Ok(())
    }

    /// Makes the gate a router and both ends use it.
    fn route(&self) -> Result<(), RigError> {
        for (interface, v4, v6) in [
            ("g0", GATE_V4, GATE_V6),
            ("g1", GATE_SERVER_V4, GATE_SERVER_V6),
        ] {
            self.gate.add_address(interface, &format!("{v4}/24"))?;
            self.gate.add_address(interface, &format!("{v6}/64"))?;
        }
        self.gate.set_parameter("ipv4/ip_forward", "1")?;
        self.gate.set_parameter("ipv6/conf/all/forwarding", "1")?;
        for (end, v4, v6) in [
            (&self.client, GATE_V4, GATE_V6),
            (&self.server, GATE_SERVER_V4, GATE_SERVER_V6),
        ] {
            end.ip(&format!("route add default via {v4}"))?;
            end.ip(&format!("-6 route add default via {v6}"))?;
        }
        Ok(())
    }
}

/// Client and gate far apart, and a Linux host next to the gate. Dropping it removes them.
///
/// ```text
///   client   road                 gate                      server
///        c0 - r0   b0 (bridge) r1 - g0  Weirgate  g1 ------ s0
///             |    |           r2 - l0  peer: Linux, 10.64.0.3
///             +----+ an ImpairedPath
/// ```
#[derive(Debug)]
pub struct PathTopology {
    /// Where clients run; its interface is `c0`.
    pub client: Namespace,
    /// Where the path runs, between [`Self::NEAR`] and [`Self::FAR`].
    pub road: Namespace,
    /// Where Weirgate runs, between `g0` (to the road) and `g1` (to the server).
    pub gate: Namespace,
    /// A host beside the gate, to compare with; its interface is `l0`.
    pub peer: Namespace,
    /// Where backends run; its interface is `s0`.
    pub server: Namespace,
}

impl PathTopology {
    /// The interface of the road towards the client.
    pub const NEAR: &str = "r0";
    /// The interface of the road towards everybody else.
    pub const FAR: &str = "b0";

    /// Makes the namespaces and the wires, those of the gate with `queues` queues.
    pub fn new(queues: u16) -> Result<Self, RigError> {
        Namespace::remove_abandoned();
        let topology = Self {
            client: Namespace::new("client")?,
            road: Namespace::new("road")?,
            gate: Namespace::new("gate")?,
            peer: Namespace::new("peer")?,
            server: Namespace::new("server")?,
        };
        for silent in [&topology.road, &topology.gate] {
            // Before the interfaces are there: each would announce a link-local address.
            silent.set_parameter("ipv6/conf/all/disable_ipv6", "1")?;
            silent.set_parameter("ipv6/conf/default/disable_ipv6", "1")?;
        }
        topology.connect(queues)?;
        topology.forget_paths()?;
        Ok(topology)
    }

    fn connect(&self, queues: u16) -> Result<(), RigError> {
        let Self {
            client,
            road,
            gate,
            peer,
            server,
        } = self;
        client.connect("c0", road, Self::NEAR, 1)?;
        road.connect("r1", gate, "g0", queues)?;
        road.connect("r2", peer, "l0", 1)?;
        server.connect("s0", gate, "g1", queues)?;
        // With the client's address the bridge gives us what is for the client, and nobody else.
        let address = client.exec("cat /sys/class/net/c0/address")?;
        road.ip("link add b0 type bridge mcast_snooping 0")?;
        road.ip(&format!("link set b0 address {}", address.trim()))?;
        road.ip("link set r1 master b0")?;
        road.ip("link set r2 master b0")?;
        road.ip("link set b0 up")?;
        road.ip(&format!("link set {} arp off", Self::NEAR))?;
        road.ip("link set b0 arp off")?;
        gate.ip("link set g0 arp off")?;
        gate.ip("link set g1 arp off")?;
        for (end, interface, family) in [
            (client, "c0", [CLIENT_V4, CLIENT_V6]),
            (peer, "l0", [PEER_V4, PEER_V6]),
            (server, "s0", [SERVER_V4, SERVER_V6]),
        ] {
            end.add_address(interface, &format!("{}/24", family[0]))?;
            end.add_address(interface, &format!("{}/64", family[1]))?;
        }
        Ok(())
    }

    /// Lets no connection start with what an earlier one found out, and each have the windows that
    /// the longest path needs.
    fn forget_paths(&self) -> Result<(), RigError> {
        for host in [&self.client, &self.peer, &self.server] {
            host.set_parameter("ipv4/tcp_no_metrics_save", "1")?;
            host.set_parameter("ipv4/tcp_rmem", "4096 131072 16777216")?;
            host.set_parameter("ipv4/tcp_wmem", "4096 65536 16777216")?;
        }
        Ok(())
    }
}

/// An IP version, where a test runs once for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IP version 4.
    V4,
    /// IP version 6.
    V6,
}

impl Family {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Weirgate's address on the client's side.
    ///
    /// # Panics
    /// Never: the addresses are constants.
    pub fn gate(self) -> IpAddr {
        let address = match self {
            Self::V4 => GATE_V4,
            Self::V6 => GATE_V6,
        };
        address.parse().expect("a constant address")
    }

    /// A URL of a page at `port` of Weirgate.
    pub fn url(self, port: u16, page: &str) -> String {
        match self {
            Self::V4 => format!("http://{GATE_V4}:{port}/{page}"),
            Self::V6 => format!("http://[{GATE_V6}]:{port}/{page}"),
        }
    }
}

/// Both families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The client's IPv4 address.
pub const CLIENT_V4: &str = "10.64.0.2";
/// The client's IPv6 address.
pub const CLIENT_V6: &str = "fd64::2";
/// Weirgate's IPv4 address on the client's side.
pub const GATE_V4: &str = "10.64.0.1";
/// Weirgate's IPv6 address on the client's side.
pub const GATE_V6: &str = "fd64::1";
/// The IPv4 address of the Linux host beside the gate.
pub const PEER_V4: &str = "10.64.0.3";
/// The IPv6 address of the Linux host beside the gate.
pub const PEER_V6: &str = "fd64::3";
/// The server's IPv4 address.
pub const SERVER_V4: &str = "10.64.1.2";
/// The server's IPv6 address.
pub const SERVER_V6: &str = "fd64:1::2";
/// Weirgate's IPv4 address on the server's side.
pub(crate) const GATE_SERVER_V4: &str = "10.64.1.1";
/// Weirgate's IPv6 address on the server's side.
pub(crate) const GATE_SERVER_V6: &str = "fd64:1::1";
