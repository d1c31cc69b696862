//! Ethernet II frames (IEEE 802.3 clause 3): two MAC addresses and an EtherType.

use core::fmt;
use core::str::FromStr;

use super::{ParseError, header_mut};

/// Octets of an Ethernet header without tags.
pub const HEADER_LEN: usize = 14;

/// EtherTypes that the stack knows.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// An 802.1Q tag follows.
    pub const VLAN: u16 = 0x8100;
    /// An 802.1ad service tag follows.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// A MAC address (EUI-48).
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the address names a group: multicast or broadcast.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ParseError;

    /// Six hexadecimal octets separated by colons.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or(ParseError::Truncated)?;
            if part.is_empty() || part.len() > 2 || part.starts_with('+') {
                return Err(ParseError::Malformed);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseError::Malformed)?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(ParseError::Malformed),
        }
    }
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Destination address.
    pub destination: MacAddr,
    /// Source address.
    pub source: MacAddr,
    /// What the frame carries.
    pub ethertype: u16,
}

impl Header {
    /// Reads the header at the start of `frame`.
    pub fn parse(frame: &[u8]) -> Result<Self, ParseError> {
        let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = frame
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        Ok(Self {
            destination: MacAddr([d0, d1, d2, d3, d4, d5]),
            source: MacAddr([s0, s1, s2, s3, s4, s5]),
            ethertype: u16::from_be_bytes([t0, t1]),
        })
    }

    /// Writes the header to the first [`HEADER_LEN`] octets of `frame`.
    ///
    /// # Panics
    /// If `frame` is shorter than the header.
    pub fn emit(&self, frame: &mut [u8]) {
        let frame: &mut [u8; HEADER_LEN] = header_mut(frame);
        frame[..6].copy_from_slice(&self.destination.0);
        frame[6..12].copy_from_slice(&self.source.0);
        frame[12..].copy_from_slice(&self.ethertype.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_parses_back() {
        let header = Header {
            destination: MacAddr::BROADCAST,
            source: MacAddr([2, 0, 0, 0, 0, 1]),
            ethertype: ethertype::ARP,
        };
        let mut frame = [0; HEADER_LEN];
        header.emit(&mut frame);
        assert_eq!(Header::parse(&frame), Ok(header));
        assert_eq!(Header::parse(&frame[..13]), Err(ParseError::Truncated));
    }

    #[test]
    fn mac_addresses_read_as_they_print() {
        let mac: MacAddr = "02:00:5e:10:00:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        for wrong in [
            "",
            "02:00",
            "02:00:5e:10:00:ff:01",
            "02:00:5e:10:00:fff",
            "02:00:5e:10:00:g",
        ] {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong}");
        }
    }
}
