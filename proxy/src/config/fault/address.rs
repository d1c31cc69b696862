//! What can be wrong with an address, or with another text of which networks are made.

use core::net::IpAddr;

use thiserror::Error;

/// A text that cannot be what its place in the file asks for.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum AddressFault {
    /// A range of ports that is not written as one.
    #[error("`{text}` is not a range of ports")]
    BadPortRange {
        /// The value.
        text: String,
    },
    /// A range whose end lies before its beginning.
    #[error("the range ends ({last}) before it begins ({first})")]
    InvertedRange {
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// A text that is no MAC address of one station.
    #[error("`{text}` is not the MAC address of a station")]
    BadMac {
        /// The value.
        text: String,
    },
    /// A text that is no address.
    #[error("`{text}` is not {form}")]
    BadAddress {
        /// The value.
        text: String,
        /// What it should be, with an article.
        form: &'static str,
        /// A value of that form.
        example: &'static str,
    },
    /// An address without the part that says how many bits name the network.
    #[error("`{text}` has no prefix length")]
    NoPrefixLength {
        /// The value.
        text: String,
        /// A length that would be possible.
        example: u8,
    },
    /// A prefix length that is no number or too large.
    #[error("`{text}` is not a prefix length of {family}")]
    BadPrefixLength {
        /// What follows the slash.
        text: String,
        /// The address family.
        family: Family,
    },
    /// An address that cannot be used in this place.
    #[error("{address} {reason}")]
    UnusableAddress {
        /// The address.
        address: IpAddr,
        /// Why not.
        reason: Unusable,
    },
    /// Port number zero.
    #[error("TCP port 0 cannot be used")]
    PortZero,
    /// A device name that is not a PCI address.
    #[error("`{text}` is not a PCI address")]
    BadPciAddress {
        /// The value.
        text: String,
    },
}

impl AddressFault {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::BadPortRange { .. } => {
                "write the first and the last port: \"32768-60999\"".into()
            }
            Self::InvertedRange { first, last } => format!("write \"{last}-{first}\""),
            Self::BadMac { .. } => {
                "write six octets, the first of them even, such as \"02:00:00:00:00:01\"".into()
            }
            Self::BadAddress { example, .. } => {
                format!("write it as in \"{example}\"; host names are not looked up")
            }
            Self::NoPrefixLength { text, example } => format!("write \"{text}/{example}\""),
            Self::BadPrefixLength { family, .. } => {
                format!("write a number from 0 to {}", family.bits())
            }
            Self::UnusableAddress { reason, .. } => reason.help().into(),
            Self::PortZero => "write a port from 1 to 65535".into(),
            Self::BadPciAddress { .. } => {
                "write it as `dpdk-devbind.py --status` shows it, such as \"0000:03:00.0\"; \
                 virtual devices belong in `vdevs`"
                    .into()
            }
        }
    }
}

/// An address family, for messages.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Family {
    /// IP version 4.
    #[error("IPv4")]
    V4,
    /// IP version 6.
    #[error("IPv6")]
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unusable {
    /// `0.0.0.0` or `::`.
    #[error("is the unspecified address")]
    Unspecified,
    /// A group address.
    #[error("is a multicast address")]
    Multicast,
    /// `255.255.255.255`, or the last address of an IPv4 prefix.
    #[error("is a broadcast address")]
    Broadcast,
    /// The first address of an IPv4 prefix, which names the network.
    #[error("is the address of the network, not of a host")]
    Network,
    /// `127.0.0.0/8` or `::1`.
    #[error("is a loopback address, which never leaves a host")]
    Loopback,
    /// `::ffff:0:0/96`.
    #[error("is an IPv4 address in IPv6 clothes, which is never on the wire")]
    V4Mapped,
}

impl Unusable {
    const fn help(self) -> &'static str {
        match self {
            Self::Unspecified => "there is no \"any address\": name each address",
            Self::Multicast | Self::Broadcast => "name the address of one host",
            Self::Network => "name one of the addresses after it",
            Self::Loopback => {
                "Weirgate has no part in the host's loopback: name an address on the network"
            }
            Self::V4Mapped => "write the IPv4 address as such",
        }
    }
}
