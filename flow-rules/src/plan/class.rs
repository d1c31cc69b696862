//! Classes of traffic: what gets receive queues of its own.

use core::fmt;

use crate::rss::RssType;

/// A kind of packets that is worth queues of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// TCP over IPv4.
    Ipv4Tcp,
    /// UDP over IPv4.
    Ipv4Udp,
    /// VXLAN over IPv4.
    Ipv4Vxlan,
    /// TCP over IPv6.
    Ipv6Tcp,
    /// UDP over IPv6.
    Ipv6Udp,
    /// VXLAN over IPv6.
    Ipv6Vxlan,
    /// All the rest: ARP, ICMP, neighbor discovery, fragments after the first and so on. It is
    /// there always.
    Other,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ipv4Tcp,
        Self::Ipv4Udp,
        Self::Ipv4Vxlan,
        Self::Ipv6Tcp,
        Self::Ipv6Udp,
        Self::Ipv6Vxlan,
        Self::Other,
    ];

    /// What it is called in rules and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4Tcp => "ipv4-tcp",
            Self::Ipv4Udp => "ipv4-udp",
            Self::Ipv4Vxlan => "ipv4-vxlan",
            Self::Ipv6Tcp => "ipv6-tcp",
            Self::Ipv6Udp => "ipv6-udp",
            Self::Ipv6Vxlan => "ipv6-vxlan",
            Self::Other => "other",
        }
    }

    /// The IP version of its packets, if they have one.
    pub const fn family(self) -> Option<Family> {
        match self {
            Self::Ipv4Tcp | Self::Ipv4Udp | Self::Ipv4Vxlan => Some(Family::V4),
            Self::Ipv6Tcp | Self::Ipv6Udp | Self::Ipv6Vxlan => Some(Family::V6),
            Self::Other => None,
        }
    }

    /// The hash that spreads its packets. For VXLAN that is UDP's: the source port stands for the
    /// flow inside (RFC 7348 5).
    pub const fn hashed(self) -> Option<RssType> {
        match self {
            Self::Ipv4Tcp => Some(RssType::Ipv4Tcp),
            Self::Ipv4Udp | Self::Ipv4Vxlan => Some(RssType::Ipv4Udp),
            Self::Ipv6Tcp => Some(RssType::Ipv6Tcp),
            Self::Ipv6Udp | Self::Ipv6Vxlan => Some(RssType::Ipv6Udp),
            Self::Other => None,
        }
    }

    /// For VXLAN, the class of all UDP packets.
    pub(super) const fn enclosing(self) -> Option<Self> {
        match self {
            Self::Ipv4Vxlan => Some(Self::Ipv4Udp),
            Self::Ipv6Vxlan => Some(Self::Ipv6Udp),
            _ => None,
        }
    }

    /// The class that it shares queues with when there are too few, by IPv4's names: at `sharing`
    /// 0 none, at 1 VXLAN with UDP, at 2 both IP versions as well, at 3 all.
    pub(super) const fn shared_as(self, sharing: u8) -> Self {
        let class = match (sharing, self.enclosing()) {
            (1.., Some(udp)) => udp,
            _ => self,
        };
        match (sharing, class) {
            (3.., _) | (2.., Self::Ipv6Tcp) => Self::Ipv4Tcp,
            (2.., Self::Ipv6Udp) => Self::Ipv4Udp,
            _ => class,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A version of IP.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
