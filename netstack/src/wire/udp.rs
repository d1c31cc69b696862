//! UDP (RFC 768).
//!
//! The checksum is verified by [`super::checksum::verify_transport_checksum`], which knows that it
//! is optional over IPv4.

use super::checksum;
use super::{ParseError, header_mut};
use crate::ip::Ip;

/// The number that IP uses for UDP.
pub const PROTOCOL: u8 = 17;
/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 6;

/// A UDP header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Source port; 0 if the sender wants no answer.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Octets of the datagram, header included.
    pub len: usize,
    /// The checksum field; 0 if there is none.
    pub checksum: u16,
}

impl Header {
    /// Reads the header of the datagram at the start of `octets`.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if the datagram is shorter than it says, [`ParseError::Malformed`]
    /// if it says that it is shorter than its header.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let &[s0, s1, d0, d1, l0, l1, c0, c1] = octets
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let header = Self {
            sport: u16::from_be_bytes([s0, s1]),
            dport: u16::from_be_bytes([d0, d1]),
            len: usize::from(u16::from_be_bytes([l0, l1])),
            checksum: u16::from_be_bytes([c0, c1]),
        };
        if header.len < HEADER_LEN {
            return Err(ParseError::Malformed);
        }
        if header.len > octets.len() {
            return Err(ParseError::Truncated);
        }
        Ok(header)
    }

    /// What `datagram`, whose header this is, carries.
    pub fn payload<'d>(&self, datagram: &'d [u8]) -> &'d [u8] {
        datagram.get(HEADER_LEN..self.len).unwrap_or_default()
    }

    /// Writes the header to the first [`HEADER_LEN`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    pub fn emit(&self, out: &mut [u8]) {
        let out: &mut [u8; HEADER_LEN] = header_mut(out);
        out[..2].copy_from_slice(&self.sport.to_be_bytes());
        out[2..4].copy_from_slice(&self.dport.to_be_bytes());
        out[4..6].copy_from_slice(&(self.len as u16).to_be_bytes());
        out[6..].copy_from_slice(&self.checksum.to_be_bytes());
    }
}

/// Computes the checksum of `datagram` and writes it.
///
/// # Panics
/// If `datagram` is shorter than a header.
pub fn fill_checksum<I: Ip>(src: I::Addr, dst: I::Addr, datagram: &mut [u8]) {
    header_mut::<HEADER_LEN>(datagram)[6..].fill(0);
    // RFC 768: a sum of zero is sent as all ones, since zero means "none".
    let sum = match checksum::transport_checksum::<I>(src, dst, PROTOCOL, datagram) {
        0 => 0xffff,
        sum => sum,
    };
    header_mut::<HEADER_LEN>(datagram)[6..].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ip::{V4, V6};

    #[test]
    fn the_length_is_checked() {
        let header = Header {
            sport: 1,
            dport: 53,
            len: 12,
            checksum: 7,
        };
        let mut octets = [0; 16];
        header.emit(&mut octets);
        assert_eq!(Header::parse(&octets), Ok(header));
        assert_eq!(header.payload(&octets).len(), 4);
        assert_eq!(Header::parse(&octets[..11]), Err(ParseError::Truncated));
        assert_eq!(Header::parse(&octets[..7]), Err(ParseError::Truncated));
        octets[5] = 7;
        assert_eq!(Header::parse(&octets), Err(ParseError::Malformed));
    }

    fn checksum_is_never_zero<I: Ip>(address: I::Addr) {
        // Some two octets of payload make the sum all ones; try them all.
        let mut datagram = [0; 10];
        Header {
            sport: 1,
            dport: 2,
            len: 10,
            checksum: 0,
        }
        .emit(&mut datagram);
        for payload in 0..=u16::MAX {
            datagram[8..].copy_from_slice(&payload.to_be_bytes());
            fill_checksum::<I>(address, address, &mut datagram);
            assert_ne!(datagram[6..8], [0, 0]);
            assert!(checksum::verify_transport_checksum::<I>(
                address, address, PROTOCOL, &datagram
            ));
        }
    }

    #[test]
    fn a_computed_checksum_is_never_zero() {
        checksum_is_never_zero::<V4>(Ipv4Addr::new(192, 0, 2, 1));
        checksum_is_never_zero::<V6>(Ipv6Addr::LOCALHOST);
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(sport: u16, dport: u16, len in 8_usize..200, checksum: u16) {
            let header = Header { sport, dport, len, checksum };
            let mut octets = vec![0; len];
            header.emit(&mut octets);
            prop_assert_eq!(Header::parse(&octets), Ok(header));
        }

        #[test]
        fn arbitrary_octets_never_panic(octets in vec(any::<u8>(), 0..40)) {
            if let Ok(header) = Header::parse(&octets) {
                let _ = header.payload(&octets);
            }
        }
    }
}
