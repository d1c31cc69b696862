//! The fixed IPv6 header (RFC 8200 section 3). Extension headers: [`super::ipv6_ext`].
//!
//! Input longer than the stated length is padding of the frame; [`Header::payload`] cuts it off.
//! Jumbograms (RFC 2675) are not supported: a payload length of zero means no payload.

use core::net::Ipv6Addr;

use super::{ParseError, header_mut};
use crate::ip::IpAddress;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Where the payload length stands in the header.
pub const PAYLOAD_LEN_OFFSET: usize = 4;
/// Where the next header number stands in the header.
pub const NEXT_HEADER_OFFSET: usize = 6;
/// Where the hop limit stands in the header.
pub const HOP_LIMIT_OFFSET: usize = 7;
/// Where the source address stands in the header.
pub const SRC_OFFSET: usize = 8;
/// Where the destination address stands in the header.
pub const DST_OFFSET: usize = 24;

/// An IPv6 header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Differentiated services code point and explicit congestion notification.
    pub traffic_class: u8,
    /// Flow label (RFC 6437), 20 bits.
    pub flow_label: u32,
    /// Octets of the packet after this header.
    pub payload_len: usize,
    /// What follows this header: an extension header or the upper-layer protocol.
    pub next_header: u8,
    /// Hops the packet may still take.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Header {
    /// Reads the header of the packet at the start of `octets`.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if the packet is shorter than it says, [`ParseError::Malformed`]
    /// for another version.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let header = Self::parse_quoted(octets)?;
        if octets.len() - HEADER_LEN < header.payload_len {
            return Err(ParseError::Truncated);
        }
        Ok(header)
    }

    /// Reads the header of a packet of which only the beginning is there, as ICMP errors quote it.
    pub fn parse_quoted(octets: &[u8]) -> Result<Self, ParseError> {
        let fixed = octets
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let first = u32::from_be_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
        if first >> 28 != 6 {
            return Err(ParseError::Malformed);
        }
        let address = |octets: &[u8]| {
            <Ipv6Addr as IpAddress>::from_octets(octets).ok_or(ParseError::Truncated)
        };
        Ok(Self {
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0x000f_ffff,
            payload_len: usize::from(u16::from_be_bytes([fixed[4], fixed[5]])),
            next_header: fixed[NEXT_HEADER_OFFSET],
            hop_limit: fixed[HOP_LIMIT_OFFSET],
            src: address(&fixed[SRC_OFFSET..])?,
            dst: address(&fixed[DST_OFFSET..])?,
        })
    }

    /// What `packet`, whose header this is, carries; without the padding of the frame.
    pub fn payload<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet
            .get(HEADER_LEN..HEADER_LEN + self.payload_len)
            .unwrap_or_default()
    }

    /// Writes the header to the first [`HEADER_LEN`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    pub fn emit(&self, out: &mut [u8]) {
        let out: &mut [u8; HEADER_LEN] = header_mut(out);
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        out[..4].copy_from_slice(&first.to_be_bytes());
        out[4..6].copy_from_slice(&(self.payload_len as u16).to_be_bytes());
        out[6] = self.next_header;
        out[7] = self.hop_limit;
        out[8..24].copy_from_slice(&self.src.octets());
        out[24..].copy_from_slice(&self.dst.octets());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_header()(
            traffic_class: u8,
            flow_label in 0_u32..1 << 20,
            payload_len in 0_usize..2000,
            (next_header, hop_limit) in any::<(u8, u8)>(),
            (src, dst) in any::<([u8; 16], [u8; 16])>(),
        ) -> Header {
            Header {
                traffic_class,
                flow_label,
                payload_len,
                next_header,
                hop_limit,
                src: src.into(),
                dst: dst.into(),
            }
        }
    }

    #[test]
    fn lengths_and_version_are_checked() {
        let header = Header {
            traffic_class: 0xb8,
            flow_label: 0xabcde,
            payload_len: 8,
            next_header: 17,
            hop_limit: 64,
            src: "2001:db8::1".parse().unwrap(),
            dst: "2001:db8::2".parse().unwrap(),
        };
        let mut octets = [0; 60];
        header.emit(&mut octets);
        assert_eq!(octets[..4], [0x6b, 0x8a, 0xbc, 0xde]);
        assert_eq!(
            Header::parse(&octets),
            Ok(header),
            "longer input is padding"
        );
        assert_eq!(header.payload(&octets).len(), 8);
        assert_eq!(Header::parse(&octets[..47]), Err(ParseError::Truncated));
        assert_eq!(Header::parse_quoted(&octets[..47]), Ok(header));
        assert_eq!(
            Header::parse_quoted(&octets[..39]),
            Err(ParseError::Truncated)
        );
        octets[0] = 0x45;
        assert_eq!(Header::parse(&octets), Err(ParseError::Malformed));
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(header in any_header()) {
            let mut octets = vec![0xaa; HEADER_LEN + header.payload_len];
            header.emit(&mut octets);
            prop_assert_eq!(Header::parse(&octets), Ok(header));
        }

        #[test]
        fn arbitrary_octets_never_panic(mut octets in vec(any::<u8>(), 0..80), version: bool) {
            if version && octets.len() > 4 {
                octets[0] = 0x60;
                octets[4] = 0;
            }
            if let Ok(header) = Header::parse(&octets) {
                let _ = header.payload(&octets);
                let _ = header.payload(&octets[..1]);
            }
        }
    }
}
