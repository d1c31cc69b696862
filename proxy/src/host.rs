//! What a worker knows of the host that it is: its addresses and routes, of both IP versions.
//!
//! Made once from the configuration; every worker has a copy, nobody changes it.

use core::net::IpAddr;

use netstack::io::PortId;
use netstack::ip::{Ip, NetworkId, V4, V6};
use netstack::neighbor::{NeighborIp, NeighborTable};
use netstack::route::{LocalAddress, LocalAddresses, NextHop, Prefix, RouteError, RouteTable};

use crate::config::{Config, InterfaceAddress, PortConfig};
use crate::pipeline::parse::ParseIp;

/// Addresses and routes of one IP version.
#[derive(Clone, Debug)]
pub struct IpHost<I: Ip> {
    /// Our addresses.
    pub local: LocalAddresses<I>,
    /// Where packets go out.
    pub routes: RouteTable<I>,
}

/// Addresses and routes.
#[derive(Clone, Debug)]
pub struct Host {
    /// IPv4.
    pub v4: IpHost<V4>,
    /// IPv6.
    pub v6: IpHost<V6>,
}

/// The neighbors of both IP versions.
#[derive(Debug)]
pub struct Neighbors<B> {
    /// Found by ARP.
    pub v4: NeighborTable<V4, B>,
    /// Found by neighbor discovery.
    pub v6: NeighborTable<V6, B>,
}

/// An IP version that a host speaks.
pub trait HostIp: ParseIp + NeighborIp {
    /// The host's part of this version.
    fn host(host: &Host) -> &IpHost<Self>;

    /// The neighbors of this version.
    fn neighbors<B>(neighbors: &mut Neighbors<B>) -> &mut NeighborTable<Self, B>;
}

impl HostIp for V4 {
    fn host(host: &Host) -> &IpHost<Self> {
        &host.v4
    }

    fn neighbors<B>(neighbors: &mut Neighbors<B>) -> &mut NeighborTable<Self, B> {
        &mut neighbors.v4
    }
}

impl HostIp for V6 {
    fn host(host: &Host) -> &IpHost<Self> {
        &host.v6
    }

    fn neighbors<B>(neighbors: &mut Neighbors<B>) -> &mut NeighborTable<Self, B> {
        &mut neighbors.v6
    }
}

impl<I: Ip> IpHost<I> {
    fn new() -> Self {
        Self {
            local: LocalAddresses::new(),
            routes: RouteTable::new(),
        }
    }

    fn add_address(
        &mut self,
        port: PortId,
        addr: I::Addr,
        prefix_len: u8,
    ) -> Result<(), RouteError> {
        let network = NetworkId::BARE;
        self.local.add(LocalAddress {
            network,
            addr,
            port,
            prefix_len,
        })?;
        let prefix = Prefix::new(addr, prefix_len)?;
        match self.routes.add_connected(network, prefix, port) {
            // A second address of the same prefix, on the same port.
            Err(RouteError::Duplicate(_)) if self.leads_to(addr, port) => Ok(()),
            result => result,
        }
    }

    /// Whether packets to `addr` leave by `port`.
    fn leads_to(&self, addr: I::Addr, port: PortId) -> bool {
        let hop = self.routes.lookup(NetworkId::BARE, addr);
        hop.is_some_and(|hop| hop.port == port)
    }

    /// Our address for packets to `dst`, and the next hop on the way.
    pub fn path_to(&self, dst: I::Addr) -> Option<(I::Addr, NextHop<I>)> {
        let hop = self.routes.lookup(NetworkId::BARE, dst)?;
        let source = self.local.source_for(NetworkId::BARE, dst, hop)?;
        Some((source, hop))
    }
}

impl Host {
    /// The host of a configuration.
    pub fn new(config: &Config) -> Result<Self, RouteError> {
        let mut host = Self {
            v4: IpHost::new(),
            v6: IpHost::new(),
        };
        for (port, index) in config.ports.iter().zip(0..) {
            for address in &port.addresses {
                host.add_address(PortId(index), *address)?;
            }
        }
        // After all connected prefixes: gateways are looked up in them.
        for (port, index) in config.ports.iter().zip(0..) {
            host.add_routes(PortId(index), port)?;
        }
        Ok(host)
    }

    /// Our address for packets to `dst`, and the port they leave by.
    pub fn path_to(&self, dst: IpAddr) -> Option<(IpAddr, PortId)> {
        match dst {
            IpAddr::V4(dst) => self
                .v4
                .path_to(dst)
                .map(|(source, hop)| (source.into(), hop.port)),
            IpAddr::V6(dst) => self
                .v6
                .path_to(dst)
                .map(|(source, hop)| (source.into(), hop.port)),
        }
    }

    fn add_address(&mut self, port: PortId, address: InterfaceAddress) -> Result<(), RouteError> {
        match address.address {
            IpAddr::V4(addr) => self.v4.add_address(port, addr, address.prefix_len),
            IpAddr::V6(addr) => self.v6.add_address(port, addr, address.prefix_len),
        }
    }

    fn add_routes(&mut self, port: PortId, config: &PortConfig) -> Result<(), RouteError> {
        for route in &config.routes {
            let network = NetworkId::BARE;
            match (route.to, route.via) {
                (IpAddr::V4(to), IpAddr::V4(via)) => {
                    let prefix = Prefix::new(to, route.prefix_len)?;
                    self.v4.routes.add_static(network, prefix, port, via)?;
                }
                (IpAddr::V6(to), IpAddr::V6(via)) => {
                    let prefix = Prefix::new(to, route.prefix_len)?;
                    self.v6.routes.add_static(network, prefix, port, via)?;
                }
                (IpAddr::V4(_) | IpAddr::V6(_), _) => {
                    return Err(RouteError::GatewayNotConnected(route.via));
                }
            }
        }
        Ok(())
    }
}
