//! What a plan is made from.

use core::net::{IpAddr, SocketAddr};

use super::class::Class;
use crate::driver::{Driver, Release};
use crate::value::Mac;

/// Ports, and what is to be done on them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The ports.
    pub ports: Vec<Port>,
    /// How many workers serve the queues of every port.
    pub workers: u16,
    /// The classes that get queues of their own, where possible. [`Class::Other`] is understood.
    pub classes: Vec<Class>,
    /// Classes that are to reach all workers, too, but for which no rules are asked for: they come
    /// with what no rule matches.
    pub without_rules: Vec<Class>,
    /// Where packets for us are expected, beside the addresses of the ports.
    pub listeners: Vec<Listener>,
    /// What else is wanted.
    pub options: Options,
}

/// A port as far as a plan needs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Port {
    /// DPDK's number of it.
    pub number: u16,
    /// What people call it.
    pub name: String,
    /// Its driver.
    pub driver: Driver,
    /// The drivers of its members, for a port that is put together from others.
    pub members: Vec<Driver>,
    /// The DPDK that runs it.
    pub release: Release,
    /// Receive queues that it can have, as the live port says; without it, what the profile knows,
    /// or as many as are wanted.
    pub rx_queues: Option<u16>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IP addresses; link-local ones, too, if it has them.
    pub addresses: Vec<IpAddr>,
}

/// An address that clients connect to. It is expected on the port that has the address, or, as a
/// VIP, on every port if none has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Listener {
    /// Where; an unspecified address is all addresses of the ports.
    pub address: SocketAddr,
    /// Over what.
    pub transport: Transport,
}

/// What a listener listens to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a device may do for us, if it can.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish by itself")]
pub struct Options {
    /// There are rules at all. Otherwise the port's own RSS brings all classes to the workers.
    pub rules: bool,
    /// Nothing comes from the device but what a rule matches.
    pub isolation: bool,
    /// The device drops IP packets for addresses that are not ours. Not for a proxy that routes.
    pub drops: bool,
    /// Both directions of a flow come to the same worker.
    pub symmetric: bool,
    /// The UDP port of VXLAN.
    pub vxlan_port: u16,
}

impl Options {
    /// RFC 7348 5: the UDP port of VXLAN.
    pub const VXLAN_PORT: u16 = 4789;
}

impl Default for Options {
    /// Rules, but nothing that could lose a packet.
    fn default() -> Self {
        Self {
            rules: true,
            isolation: false,
            drops: false,
            symmetric: false,
            vxlan_port: Self::VXLAN_PORT,
        }
    }
}

/// A request for which there is no plan.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Nobody to serve the queues.
    #[error("there is no worker to serve the queues: configure at least one lcore")]
    NoWorkers,
    /// A port without queues.
    #[error("port {port} has no receive queue: give its device at least one")]
    NoQueues {
        /// Its name.
        port: String,
    },
    /// UDP packets that are for a listener and a tunnel both.
    #[error(
        "UDP port {port} is that of VXLAN and of the listener {listener}: give one of them \
         another port, or leave VXLAN out of the classes"
    )]
    VxlanPortTaken {
        /// The port.
        port: u16,
        /// The listener.
        listener: SocketAddr,
    },
    /// An address that no host has.
    #[error("{address}, of {owner}, is not the address of a host: give a unicast address")]
    NotUnicast {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: String,
    },
}

impl Request {
    /// The classes in question on a port with `ours` as addresses, in order: those whose packets can
    /// be for us.
    pub(super) fn classes_for(&self, ours: &[IpAddr]) -> Vec<Class> {
        let has = |class: Class| match class.family() {
            Some(super::Family::V4) => ours.iter().any(IpAddr::is_ipv4),
            Some(super::Family::V6) => ours.iter().any(IpAddr::is_ipv6),
            None => false,
        };
        let serves =
            |class: &Class| self.classes.contains(class) || self.without_rules.contains(class);
        let wanted = |class: &Class| serves(class) && has(*class);
        Class::ALL.into_iter().filter(wanted).collect()
    }

    /// Addresses of packets that are for us on `port`, without repetition.
    pub(super) fn addresses_on(&self, port: &Port) -> Vec<IpAddr> {
        let of_another = |address: &IpAddr| {
            let mut others = self.ports.iter().filter(|other| *other != port);
            others.any(|other| other.addresses.contains(address))
        };
        let listening = self.listeners.iter().map(|each| each.address.ip());
        let vips = listening.filter(|ip| !ip.is_unspecified() && !of_another(ip));
        let mut ours: Vec<IpAddr> = Vec::new();
        for address in port.addresses.iter().copied().chain(vips) {
            if !ours.contains(&address) {
                ours.push(address);
            }
        }
        ours
    }

    /// Refuses what no plan can be made for.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        if self.workers == 0 {
            return Err(PlanError::NoWorkers);
        }
        for port in &self.ports {
            if port.rx_queues == Some(0) {
                let port = port.name.clone();
                return Err(PlanError::NoQueues { port });
            }
            for &address in &port.addresses {
                if !is_unicast(address) {
                    let owner = format!("port {}", port.name);
                    return Err(PlanError::NotUnicast { address, owner });
                }
            }
        }
        let vxlan = |class: &Class| class.enclosing().is_some();
        let vxlan = self.classes.iter().any(vxlan);
        for listener in &self.listeners {
            let (address, port) = (listener.address.ip(), listener.address.port());
            if !address.is_unspecified() && !is_unicast(address) {
                let owner = format!("listener {}", listener.address);
                return Err(PlanError::NotUnicast { address, owner });
            }
            let udp = listener.transport == Transport::Udp;
            if vxlan && udp && port == self.options.vxlan_port {
                let listener = listener.address;
                return Err(PlanError::VxlanPortTaken { port, listener });
            }
        }
        Ok(())
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}
