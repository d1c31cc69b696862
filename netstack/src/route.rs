//! Where packets go out, and which addresses are ours.
//!
//! [`RouteTable`] holds the prefixes that are on the link of a port (connected) and those behind a
//! gateway (static), and gives the next hop of a destination by longest prefix.
//! [`LocalAddresses`] holds our own addresses: what is addressed to us, what source a packet of
//! ours gets, and what counts as a broadcast.
//!
//! Both are built from the configuration, then only read. Lookups allocate nothing; a route lookup
//! is a scan, longest prefix first, made for the handful of routes that a configuration states.
//! Destinations of link-local scope are in no table: an answer to one leaves by the port on which
//! the question came.

use core::net::IpAddr;

use crate::io::PortId;
use crate::ip::{Ip, IpAddress, NetworkId};

/// Why a route or address cannot be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouteError {
    /// The prefix has more bits than an address.
    #[error("prefix length {0} is more than an address has bits")]
    PrefixTooLong(u8),
    /// There is a route for the same prefix, or the address is ours already.
    #[error("{0} is there already")]
    Duplicate(IpAddr),
    /// The address cannot name a single host.
    #[error("{0} is not a unicast address")]
    NotUnicast(IpAddr),
    /// No connected prefix of the port contains the gateway.
    #[error("gateway {0} is in no prefix of the port it is to be reached by")]
    GatewayNotConnected(IpAddr),
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Prefix<I: Ip> {
    addr: I::Addr,
    len: u8,
}

impl<I: Ip> Prefix<I> {
    /// The addresses that share the first `len` bits with `addr`; the other bits do not matter.
    pub fn new(addr: I::Addr, len: u8) -> Result<Self, RouteError> {
        if usize::from(len) > I::Addr::LEN * 8 {
            return Err(RouteError::PrefixTooLong(len));
        }
        Ok(Self { addr, len })
    }

    /// How many bits are shared.
    pub const fn len(&self) -> u8 {
        self.len
    }

    /// Whether every address is in the prefix: the default route.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `addr` is in the prefix.
    pub fn contains(&self, addr: I::Addr) -> bool {
        self.addr.shares_prefix(addr, self.len)
    }

    /// Whether `addr` means all hosts of the prefix: IPv4 host bits all ones, RFC 922. Prefixes of
    /// 31 and 32 bits have no such address (RFC 3021), nor has IPv6.
    fn is_broadcast(&self, addr: I::Addr) -> bool {
        let bits = (I::Addr::LEN * 8) as u8;
        if bits != 32 || self.len > 30 || !self.contains(addr) {
            return false;
        }
        let host = (1_u128 << (bits - self.len)) - 1;
        addr.to_bits() & host == host
    }
}

/// Where a packet is sent next: over which port, and to which neighbor on its link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NextHop<I: Ip> {
    /// The port to send by.
    pub port: PortId,
    /// The gateway, or the destination itself if it is on the link.
    pub addr: I::Addr,
}

/// Routes by longest prefix.
#[derive(Clone, Debug)]
pub struct RouteTable<I: Ip> {
    /// Invariant: longest prefix first, no prefix twice in a network.
    routes: Vec<Route<I>>,
}

#[derive(Clone, Debug)]
struct Route<I: Ip> {
    network: NetworkId,
    prefix: Prefix<I>,
    port: PortId,
    /// `None`: the destination is on the link.
    gateway: Option<I::Addr>,
}

impl<I: Ip> Default for RouteTable<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Ip> RouteTable<I> {
    /// A table without routes.
    pub const fn new() -> Self {
        Self { routes: Vec::new() }
    }

    /// Adds a prefix whose addresses are neighbors on the link of `port`.
    pub fn add_connected(
        &mut self,
        network: NetworkId,
        prefix: Prefix<I>,
        port: PortId,
    ) -> Result<(), RouteError> {
        self.add(Route {
            network,
            prefix,
            port,
            gateway: None,
        })
    }

    /// Adds a prefix whose addresses are behind `gateway`, a neighbor on the link of `port`. The
    /// connected prefix that contains the gateway must have been added.
    pub fn add_static(
        &mut self,
        network: NetworkId,
        prefix: Prefix<I>,
        port: PortId,
        gateway: I::Addr,
    ) -> Result<(), RouteError> {
        if !gateway.is_unicast() {
            return Err(RouteError::NotUnicast(gateway.into()));
        }
        let connected = self.routes.iter().any(|route| {
            route.network == network
                && route.port == port
                && route.gateway.is_none()
                && route.prefix.contains(gateway)
        });
        // RFC 4861 8: routers are known by their link-local addresses, which need no prefix.
        if !connected && !is_link_local::<I>(gateway) {
            return Err(RouteError::GatewayNotConnected(gateway.into()));
        }
        self.add(Route {
            network,
            prefix,
            port,
            gateway: Some(gateway),
        })
    }

    /// The next hop towards `dst`; `None` if no route leads there.
    pub fn lookup(&self, network: NetworkId, dst: I::Addr) -> Option<NextHop<I>> {
        let route = self
            .routes
            .iter()
            .find(|route| route.network == network && route.prefix.contains(dst))?;
        Some(NextHop {
            port: route.port,
            addr: route.gateway.unwrap_or(dst),
        })
    }

    fn add(&mut self, new: Route<I>) -> Result<(), RouteError> {
        let same = |route: &Route<I>| {
            route.network == new.network
                && route.prefix.len == new.prefix.len
                && route.prefix.contains(new.prefix.addr)
        };
        if self.routes.iter().any(same) {
            return Err(RouteError::Duplicate(new.prefix.addr.into()));
        }
        let at = self
            .routes
            .partition_point(|route| route.prefix.len >= new.prefix.len);
        self.routes.insert(at, new);
        Ok(())
    }
}

/// One of our addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalAddress<I: Ip> {
    /// The network in which the address is ours.
    pub network: NetworkId,
    /// The address.
    pub addr: I::Addr,
    /// The port on whose link it is.
    pub port: PortId,
    /// How many bits the addresses of that link share with it.
    pub prefix_len: u8,
}

impl<I: Ip> LocalAddress<I> {
    /// The prefix of the link.
    pub const fn prefix(&self) -> Prefix<I> {
        Prefix {
            addr: self.addr,
            len: self.prefix_len,
        }
    }
}

/// Our addresses.
#[derive(Clone, Debug)]
pub struct LocalAddresses<I: Ip> {
    /// Invariant: in the order of `(network, addr)`, each once.
    sorted: Vec<LocalAddress<I>>,
}

impl<I: Ip> Default for LocalAddresses<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Ip> LocalAddresses<I> {
    /// No address is ours.
    pub const fn new() -> Self {
        Self { sorted: Vec::new() }
    }

    /// Makes an address ours.
    pub fn add(&mut self, address: LocalAddress<I>) -> Result<(), RouteError> {
        Prefix::<I>::new(address.addr, address.prefix_len)?;
        if !address.addr.is_unicast() {
            return Err(RouteError::NotUnicast(address.addr.into()));
        }
        match self.search(address.network, address.addr) {
            Ok(_) => Err(RouteError::Duplicate(address.addr.into())),
            Err(at) => {
                self.sorted.insert(at, address);
                Ok(())
            }
        }
    }

    /// Whether `addr` is ours. Binary search.
    pub fn contains(&self, network: NetworkId, addr: I::Addr) -> bool {
        self.search(network, addr).is_ok()
    }

    /// The port on whose link our address `addr` is; `None` if it is not ours.
    pub fn port_of(&self, network: NetworkId, addr: I::Addr) -> Option<PortId> {
        let at = self.search(network, addr).ok()?;
        self.sorted.get(at).map(|address| address.port)
    }

    /// Our addresses on the link of `port`, in all networks.
    pub fn on_port(&self, port: PortId) -> impl DoubleEndedIterator<Item = &LocalAddress<I>> {
        self.sorted
            .iter()
            .filter(move |address| address.port == port)
    }

    /// Whether `addr` means all hosts of a link of ours (IPv4 only).
    pub fn is_broadcast(&self, network: NetworkId, addr: I::Addr) -> bool {
        self.sorted
            .iter()
            .any(|address| address.network == network && address.prefix().is_broadcast(addr))
    }

    /// The source address for a packet of ours to `dst` by way of `next_hop`; `None` if the port
    /// has no address in the network.
    ///
    /// Best is an address whose prefix contains the destination, then one of the same scope (a
    /// link-local source cannot be answered from beyond a router: RFC 6724 section 5, rule 2), then
    /// one whose prefix contains the next hop, then the longest prefix.
    pub fn source_for(
        &self,
        network: NetworkId,
        dst: I::Addr,
        next_hop: NextHop<I>,
    ) -> Option<I::Addr> {
        let fitness = |address: &&LocalAddress<I>| {
            let prefix = address.prefix();
            (
                prefix.contains(dst),
                is_link_local::<I>(address.addr) == is_link_local::<I>(dst),
                prefix.contains(next_hop.addr),
                address.prefix_len,
            )
        };
        self.on_port(next_hop.port)
            .filter(|address| address.network == network)
            .rev()
            // Of equals the last is taken; reversed, that is the lowest address.
            .max_by_key(fitness)
            .map(|address| address.addr)
    }

    fn search(&self, network: NetworkId, addr: I::Addr) -> Result<usize, usize> {
        self.sorted
            .binary_search_by_key(&(network, addr), |address| (address.network, address.addr))
    }
}

/// Whether an IPv6 address is valid on one link only. IPv4 link-local addresses (RFC 3927) are
/// treated like any other: their link has the prefix 169.254/16.
pub fn is_link_local<I: Ip>(addr: I::Addr) -> bool {
    match addr.into() {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
