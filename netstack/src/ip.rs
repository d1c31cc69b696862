//! The two IP versions, as types.
//!
//! This is the only place that defines what differs between them. Code that works for both is
//! written once with a parameter `I: Ip`; a difference that only one module cares about is an
//! extension trait in that module. The version of a packet is matched once, where it is
//! classified; no `is_ipv6: bool` travels through the stack.

use core::fmt::{Debug, Display};
use core::hash::Hash;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod sealed {
    #[expect(unnameable_types, reason = "sealed: nobody else may implement `Ip`")]
    pub trait Sealed {}
    impl Sealed for super::V4 {}
    impl Sealed for super::V6 {}
}

/// An IP version; implemented by [`V4`] and [`V6`] and nothing else.
pub trait Ip: sealed::Sealed + Copy + Debug + Eq + Hash + Ord + Send + Sync + 'static {
    /// An address of this version.
    type Addr: IpAddress;

    /// The version number as it stands in the first nibble of a packet.
    const VERSION: u8;
    /// The EtherType of a frame that carries such a packet.
    const ETHERTYPE: u16;
    /// Octets of the header without options or extension headers.
    const HEADER_LEN: usize;
    /// The smallest MTU that a link may have (RFC 791 section 3.2; RFC 8200 section 5).
    const MIN_MTU: usize;
    /// The number that IP uses for this version's ICMP.
    const ICMP_PROTOCOL: u8;
}

/// An address of one IP version.
pub trait IpAddress:
    Copy + Debug + Display + Eq + Hash + Into<IpAddr> + Ord + Send + Sync + 'static
{
    /// Octets of an address.
    const LEN: usize;
    /// The address that stands for "none" (`0.0.0.0`, `::`).
    const UNSPECIFIED: Self;

    /// Reads an address from the first [`IpAddress::LEN`] octets.
    ///
    /// Returns `None` if there are fewer.
    fn from_octets(octets: &[u8]) -> Option<Self>;

    /// Writes the address to the first [`IpAddress::LEN`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than an address.
    fn write_octets(self, out: &mut [u8]);

    /// The address as a number, IPv4 in the low 32 bits.
    fn to_bits(self) -> u128;

    /// Whether the address can name a single host: neither unspecified, multicast nor broadcast.
    fn is_unicast(self) -> bool;

    /// Whether the address may only be used inside a host.
    fn is_loopback(self) -> bool;

    /// Whether the first `prefix_len` bits of both addresses are equal.
    fn shares_prefix(self, other: Self, prefix_len: u8) -> bool {
        let bits = (Self::LEN * 8) as u32;
        let ignored = bits - u32::from(prefix_len).min(bits);
        ignored == bits || (self.to_bits() ^ other.to_bits()) >> ignored == 0
    }
}

/// IP version 4 (RFC 791).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum V4 {}

/// IP version 6 (RFC 8200).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum V6 {}

impl Ip for V4 {
    type Addr = Ipv4Addr;

    const VERSION: u8 = 4;
    const ETHERTYPE: u16 = 0x0800;
    const HEADER_LEN: usize = 20;
    const MIN_MTU: usize = 68;
    const ICMP_PROTOCOL: u8 = 1;
}

impl Ip for V6 {
    type Addr = Ipv6Addr;

    const VERSION: u8 = 6;
    const ETHERTYPE: u16 = 0x86dd;
    const HEADER_LEN: usize = 40;
    const MIN_MTU: usize = 1280;
    const ICMP_PROTOCOL: u8 = 58;
}

impl IpAddress for Ipv4Addr {
    const LEN: usize = 4;
    const UNSPECIFIED: Self = Self::UNSPECIFIED;

    fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.first_chunk::<4>().map(|octets| Self::from(*octets))
    }

    fn write_octets(self, out: &mut [u8]) {
        out[..4].copy_from_slice(&self.octets());
    }

    fn to_bits(self) -> u128 {
        u128::from(u32::from(self))
    }

    fn is_unicast(self) -> bool {
        // Class E (240/4) is left in: it is used as private space by some networks.
        !self.is_unspecified() && !self.is_multicast() && !self.is_broadcast()
    }

    fn is_loopback(self) -> bool {
        Self::is_loopback(&self)
    }
}

impl IpAddress for Ipv6Addr {
    const LEN: usize = 16;
    const UNSPECIFIED: Self = Self::UNSPECIFIED;

    fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.first_chunk::<16>().map(|octets| Self::from(*octets))
    }

    fn write_octets(self, out: &mut [u8]) {
        out[..16].copy_from_slice(&self.octets());
    }

    fn to_bits(self) -> u128 {
        u128::from(self)
    }

    fn is_unicast(self) -> bool {
        !self.is_unspecified() && !self.is_multicast()
    }

    fn is_loopback(self) -> bool {
        Self::is_loopback(&self)
    }
}

/// A network in which addresses are unique. Two networks may use the same addresses.
///
/// Every table is keyed by it, so that virtual networks (VXLAN, VLAN, further MAC addresses) can
/// be added without touching the tables.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NetworkId(pub u16);

impl NetworkId {
    /// The network that the ports themselves are attached to.
    pub const BARE: Self = Self(0);
}

/// What names a flow, oriented as in a received packet: `src` is the remote end.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FiveTuple<I: Ip> {
    /// Source address of a received packet: the remote end.
    pub src: I::Addr,
    /// Destination address of a received packet: the local end.
    pub dst: I::Addr,
    /// Source port, host byte order.
    pub sport: u16,
    /// Destination port, host byte order.
    pub dport: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl<I: Ip> FiveTuple<I> {
    /// The same flow, seen from the other end.
    pub fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets_round_trip<A: IpAddress>(address: A) {
        let mut octets = vec![0; A::LEN];
        address.write_octets(&mut octets);
        assert_eq!(A::from_octets(&octets), Some(address));
        assert_eq!(A::from_octets(&octets[1..]), None);
    }

    #[test]
    fn octets_round_trip_for_both_versions() {
        octets_round_trip(Ipv4Addr::new(192, 0, 2, 1));
        octets_round_trip("2001:db8::1".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn prefixes_compare_bit_by_bit() {
        let a = Ipv4Addr::new(10, 0, 0, 1);
        assert!(a.shares_prefix(Ipv4Addr::new(10, 0, 0, 2), 30));
        assert!(!a.shares_prefix(Ipv4Addr::new(10, 0, 0, 2), 31));
        assert!(a.shares_prefix(Ipv4Addr::new(200, 0, 0, 2), 0));
        let b: Ipv6Addr = "fd00::1".parse().unwrap();
        assert!(b.shares_prefix("fd00::2".parse().unwrap(), 64));
        assert!(!b.shares_prefix("fd00::2".parse().unwrap(), 128));
        assert!(b.shares_prefix("::".parse().unwrap(), 0));
    }

    #[test]
    fn reversing_twice_is_the_identity() {
        let flow = FiveTuple::<V4> {
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 2),
            sport: 1,
            dport: 2,
            protocol: 6,
        };
        assert_eq!(flow.reversed().sport, 2);
        assert_eq!(flow.reversed().reversed(), flow);
    }
}
