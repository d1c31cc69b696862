//! What can be wrong between ports, listeners, groups and devices.

use core::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::{Family, nearest_of};
use crate::config::{InterfaceAddress, Route};

/// Parts of a configuration that do not fit each other.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TopologyFault {
    /// A device that neither `devices` nor `vdevs` makes available.
    #[error("no device of this name is in `vdevs` or `devices` of [dpdk]")]
    UnknownDevice {
        /// The device that is written most alike.
        nearest: Option<String>,
        /// All devices, comma separated.
        known: String,
    },
    /// A group of backends that is not defined.
    #[error("no [[backend_group]] has this name")]
    UnknownGroup {
        /// The group that is written most alike.
        nearest: Option<String>,
        /// All groups, comma separated.
        known: String,
    },
    /// A listener's address that does not belong to us.
    #[error("no [[port]] has the address {}", .address.ip())]
    AddressOfNoPort {
        /// The listener's address.
        address: SocketAddr,
        /// All addresses of ports of that family, comma separated.
        known: String,
    },
    /// A route whose destination has bits below its prefix.
    #[error("{}/{} has bits set after its prefix", .0.to, .0.prefix_len)]
    HostBits(Route),
    /// A route from one family to the other.
    #[error("{} and {} are of different address families", .0.to, .0.via)]
    MixedFamilies(Route),
    /// A gateway that the port cannot reach directly.
    #[error("the gateway {gateway} is not on-link: no address of the port has it in its prefix")]
    GatewayOffLink {
        /// The gateway.
        gateway: IpAddr,
    },
    /// A gateway that is an address of a port.
    #[error("the gateway {gateway} is an address of Weirgate itself")]
    GatewayIsOurs {
        /// The gateway.
        gateway: IpAddr,
    },
    /// A backend that no port can reach.
    #[error("no port has a route to {backend}")]
    Unroutable {
        /// The backend's address.
        backend: IpAddr,
        /// Whether any port has an address of the backend's family.
        family_configured: bool,
    },
    /// A backend that is us.
    #[error("{backend} is an address of Weirgate itself: connections would loop")]
    BackendIsOurs {
        /// The backend's address.
        backend: SocketAddr,
        /// The listener at that address.
        listener: Option<String>,
    },
    /// A group in which no backend may be chosen.
    #[error("every backend has weight 0, so none is ever chosen")]
    NoWeight,
}

impl TopologyFault {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::UnknownDevice { nearest, known } => {
                nearest_of(nearest.as_deref(), "devices", known)
            }
            Self::UnknownGroup { nearest, known } => {
                nearest_of(nearest.as_deref(), "groups", known)
            }
            Self::AddressOfNoPort { address, known } => format!(
                "add {} with its prefix length to `addresses` of a [[port]], or listen on one of \
                 these: {known}",
                address.ip()
            ),
            Self::HostBits(route) => {
                let address = InterfaceAddress {
                    address: route.to,
                    prefix_len: route.prefix_len,
                };
                format!("write \"{}/{}\"", address.network(), route.prefix_len)
            }
            Self::MixedFamilies(route) => {
                format!("name a gateway of {}", Family::of(route.to))
            }
            Self::GatewayOffLink { .. } => {
                "correct the gateway, or the prefix length of the port's address".into()
            }
            Self::GatewayIsOurs { .. } => "name the next router".into(),
            Self::Unroutable {
                backend,
                family_configured: true,
            } => format!(
                "add a route to the [[port]] behind which it is: \
                 `routes = [{{ to = \"{backend}/{}\", via = ... }}]`",
                Family::of(*backend).bits()
            ),
            Self::Unroutable {
                backend,
                family_configured: false,
            } => format!(
                "no port has an {} address to connect from: add one to a [[port]]",
                Family::of(*backend)
            ),
            Self::BackendIsOurs {
                listener: Some(listener),
                ..
            } => format!(
                "listener `{listener}` has this address; name the address of the server behind it"
            ),
            Self::BackendIsOurs { listener: None, .. } => {
                "the host's own services are not behind a port's address; \
                 name the address of a server"
                    .into()
            }
            Self::NoWeight => "give at least one backend a weight of 1 to 256".into(),
        }
    }
}
