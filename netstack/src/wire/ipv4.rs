//! The IPv4 header (RFC 791) with its options.
//!
//! [`Header::parse`] checks version, both lengths and that the options are well-formed. It does not
//! look at the header checksum: [`verify_checksum`] does, and can be left out when the device has
//! done so. Input longer than the stated length is padding of the frame; [`Header::payload`] cuts
//! it off.

use core::net::Ipv4Addr;

use super::checksum::Sum;
use super::{ParseError, header_mut};

/// Octets of the header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of the header with as many options as fit.
pub const MAX_HEADER_LEN: usize = 60;

/// Where the protocol stands in the header.
pub const PROTOCOL_OFFSET: usize = 9;
/// Where the total length stands in the header.
pub const TOTAL_LEN_OFFSET: usize = 2;
/// Where the time to live stands in the header.
pub const TTL_OFFSET: usize = 8;
/// Where the header checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 10;
/// Where the source address stands in the header.
pub const SRC_OFFSET: usize = 12;
/// Where the destination address stands in the header.
pub const DST_OFFSET: usize = 16;

/// An IPv4 header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Octets of the header with options: 20 to 60, a multiple of 4.
    pub header_len: usize,
    /// Differentiated services code point (RFC 2474), 6 bits.
    pub dscp: u8,
    /// Explicit congestion notification (RFC 3168), 2 bits.
    pub ecn: u8,
    /// Octets of the packet, header included.
    pub total_len: usize,
    /// What the fragments of one packet have in common.
    pub ident: u16,
    /// Routers must not fragment the packet.
    pub dont_fragment: bool,
    /// This is a fragment, and not the last one.
    pub more_fragments: bool,
    /// Octets of the whole packet's payload before this fragment's; a multiple of 8.
    pub fragment_offset: usize,
    /// Time to live: hops.
    pub ttl: u8,
    /// What the packet carries.
    pub protocol: u8,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// The options ask for a route by way of given hosts (LSRR or SSRR).
    pub source_route: bool,
}

impl Header {
    /// Reads the header of the packet at the start of `octets`.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if the packet is shorter than it says, [`ParseError::Malformed`]
    /// for another version, impossible lengths or broken options.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let header = Self::parse_quoted(octets)?;
        if octets.len() < header.total_len {
            return Err(ParseError::Truncated);
        }
        Ok(header)
    }

    /// Reads the header of a packet of which only the beginning is there, as ICMP errors quote it.
    pub fn parse_quoted(octets: &[u8]) -> Result<Self, ParseError> {
        let fixed = octets
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4 || header_len < HEADER_LEN || total_len < header_len {
            return Err(ParseError::Malformed);
        }
        let options = octets
            .get(HEADER_LEN..header_len)
            .ok_or(ParseError::Truncated)?;
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        Ok(Self {
            header_len,
            dscp: fixed[1] >> 2,
            ecn: fixed[1] & 3,
            total_len,
            ident: u16::from_be_bytes([fixed[4], fixed[5]]),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: usize::from(fragment & 0x1fff) * 8,
            ttl: fixed[TTL_OFFSET],
            protocol: fixed[9],
            src: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            dst: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            source_route: walk_options(options)?,
        })
    }

    /// Whether the packet is a part of a larger one.
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// What `packet`, whose header this is, carries; without the padding of the frame.
    pub fn payload<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet
            .get(self.header_len..self.total_len)
            .unwrap_or_default()
    }

    /// Writes the header with its checksum to the first `self.header_len` octets of `out`.
    /// Options are written as an empty list that fills the room; `source_route` has no effect.
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    pub fn emit(&self, out: &mut [u8]) {
        self.emit_unsummed(out);
        // The options are zeros, which add nothing to the sum.
        fill_checksum(out);
    }

    /// The same with a checksum of zero, for a later stage to fill in ([`fill_checksum`]).
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    pub fn emit_unsummed(&self, out: &mut [u8]) {
        let (fixed, options) = out
            .split_first_chunk_mut::<HEADER_LEN>()
            .expect("the caller makes room for the header");
        fixed[0] = 0x40 | (self.header_len / 4) as u8;
        fixed[1] = self.dscp << 2 | self.ecn & 3;
        fixed[2..4].copy_from_slice(&(self.total_len as u16).to_be_bytes());
        fixed[4..6].copy_from_slice(&self.ident.to_be_bytes());
        let mut fragment = (self.fragment_offset / 8) as u16 & 0x1fff;
        if self.dont_fragment {
            fragment |= DONT_FRAGMENT;
        }
        if self.more_fragments {
            fragment |= MORE_FRAGMENTS;
        }
        fixed[6..8].copy_from_slice(&fragment.to_be_bytes());
        fixed[8] = self.ttl;
        fixed[9] = self.protocol;
        fixed[10..12].fill(0);
        fixed[12..16].copy_from_slice(&self.src.octets());
        fixed[16..20].copy_from_slice(&self.dst.octets());
        options
            .iter_mut()
            .take(self.header_len.saturating_sub(HEADER_LEN))
            .for_each(|octet| *octet = OPTION_END);
    }
}

/// Whether the header checksum of the packet at the start of `octets` is right.
pub fn verify_checksum(octets: &[u8]) -> bool {
    let header_len = octets
        .first()
        .map_or(0, |first| usize::from(first & 0x0f) * 4);
    let Some(header) = octets.get(..header_len) else {
        return false;
    };
    let mut sum = Sum::new();
    if let Some(header) = header.as_array() {
        sum = sum_of(header);
    } else {
        sum.add_octets(header);
    }
    sum.is_valid()
}

/// Recomputes the header checksum of the packet at the start of `octets`, which has no options.
///
/// # Panics
/// If `octets` is shorter than a header.
pub fn fill_checksum(octets: &mut [u8]) {
    let header: &mut [u8; HEADER_LEN] = header_mut(octets);
    header[10..12].fill(0);
    let sum = sum_of(header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The sum of a header without options: faster than that of any octets.
fn sum_of(header: &[u8; HEADER_LEN]) -> Sum {
    let mut sum = Sum::new();
    let (words, _) = header.as_chunks::<4>();
    for word in words {
        sum.add_u32(u32::from_be_bytes(*word));
    }
    sum
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_LOOSE_SOURCE_ROUTE: u8 = 131;
const OPTION_STRICT_SOURCE_ROUTE: u8 = 137;

/// Checks that the options add up; tells whether one of them is a source route.
fn walk_options(mut options: &[u8]) -> Result<bool, ParseError> {
    let mut source_route = false;
    // RFC 791 3.1: kind alone, or kind and a length that counts both of these octets.
    while let [kind, rest @ ..] = options {
        match *kind {
            OPTION_END => break,
            OPTION_NOP => {
                options = rest;
                continue;
            }
            OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE => source_route = true,
            _ => {}
        }
        let len = rest.first().map_or(0, |len| usize::from(*len));
        if len < 2 {
            return Err(ParseError::Malformed);
        }
        options = options.get(len..).ok_or(ParseError::Malformed)?;
    }
    Ok(source_route)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            header_len: 20,
            dscp: 46,
            ecn: 2,
            total_len: 40,
            ident: 0x1234,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol: 6,
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(198, 51, 100, 2),
            source_route: false,
        }
    }

    /// A packet of 60 octets whose 40 octets of options begin with `options`.
    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut octets = vec![0; 60];
        Header {
            header_len: 60,
            total_len: 60,
            ..header()
        }
        .emit(&mut octets);
        octets[20..20 + options.len()].copy_from_slice(options);
        octets
    }

    #[test]
    fn lengths_are_checked_against_each_other() {
        let mut octets = [0; 60];
        header().emit(&mut octets);
        assert_eq!(
            Header::parse(&octets),
            Ok(header()),
            "longer input is padding"
        );
        assert_eq!(header().payload(&octets).len(), 20);
        assert_eq!(Header::parse(&octets[..40]), Ok(header()));
        assert_eq!(Header::parse(&octets[..39]), Err(ParseError::Truncated));
        assert_eq!(Header::parse_quoted(&octets[..28]), Ok(header()));
        for (at, value) in [(0, 0x44), (0, 0x65), (3, 19)] {
            let mut wrong = octets;
            wrong[at] = value;
            assert_eq!(Header::parse(&wrong), Err(ParseError::Malformed));
        }
        octets[0] = 0x4f;
        octets[3] = 60;
        assert_eq!(Header::parse(&octets[..59]), Err(ParseError::Truncated));
    }

    #[test]
    fn options_are_walked_and_source_routes_reported() {
        let source_route = |options: &[u8]| {
            Header::parse(&with_options(options)).map(|header| header.source_route)
        };
        assert_eq!(source_route(&[1, 148, 4, 0, 0, 0]), Ok(false));
        assert_eq!(source_route(&[131, 7, 4, 10, 0, 0, 1]), Ok(true));
        assert_eq!(source_route(&[1, 1, 137, 3, 4]), Ok(true));
        assert_eq!(
            source_route(&[0, 131, 7]),
            Ok(false),
            "after the end of the list"
        );
        assert_eq!(source_route(&[7, 40]), Ok(false));
        assert_eq!(source_route(&[7, 41]), Err(ParseError::Malformed));
        assert_eq!(source_route(&[7, 1]), Err(ParseError::Malformed));
        assert_eq!(source_route(&[7, 0]), Err(ParseError::Malformed));
        let mut ends_in_a_kind = [1; 40];
        ends_in_a_kind[39] = 7;
        assert_eq!(source_route(&ends_in_a_kind), Err(ParseError::Malformed));
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let mut octets = [0; 40];
        header().emit(&mut octets);
        assert!(verify_checksum(&octets));
        octets[TTL_OFFSET] -= 1;
        assert!(!verify_checksum(&octets));
        fill_checksum(&mut octets);
        assert!(verify_checksum(&octets));
        assert!(!verify_checksum(&octets[..19]));
        assert!(!verify_checksum(&[]));
    }

    prop_compose! {
        fn any_header()(
            words in 5_usize..=15,
            dscp in 0_u8..64,
            ecn in 0_u8..4,
            payload in 0_usize..1500,
            ident: u16,
            dont_fragment: bool,
            more_fragments: bool,
            eighths in 0_usize..0x2000,
            (ttl, protocol) in any::<(u8, u8)>(),
            (src, dst) in any::<([u8; 4], [u8; 4])>(),
        ) -> Header {
            Header {
                header_len: words * 4,
                dscp,
                ecn,
                total_len: words * 4 + payload,
                ident,
                dont_fragment,
                more_fragments,
                fragment_offset: eighths * 8,
                ttl,
                protocol,
                src: src.into(),
                dst: dst.into(),
                source_route: false,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(header in any_header()) {
            let mut octets = vec![0xaa; header.total_len];
            header.emit(&mut octets);
            prop_assert_eq!(Header::parse(&octets), Ok(header));
            prop_assert!(verify_checksum(&octets));
        }

        #[test]
        fn arbitrary_octets_never_panic(mut octets in vec(any::<u8>(), 0..80), version: bool) {
            if version && octets.len() > 3 {
                octets[0] |= 0x40;
                octets[2] = 0;
            }
            let _ = verify_checksum(&octets);
            if let Ok(header) = Header::parse(&octets) {
                let _ = header.payload(&octets);
                let _ = header.payload(&octets[..1]);
            }
            let _ = Header::parse_quoted(&octets);
        }
    }
}
