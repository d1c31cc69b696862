//! The header that a packet of our own gets, written once for both IP versions.
//!
//! Who builds a packet (a TCP segment, an ICMP error, a neighbor solicitation) knows source,
//! destination, protocol and length, and does not care how the version lays them out. Parsing has
//! no such common form: see [`super::ipv4`], [`super::ipv6`] and [`super::ipv6_ext`].

use super::{ipv4, ipv6};
use crate::ip::{Ip, V4, V6};

/// Hops that a packet of ours may take unless a protocol says otherwise (RFC 1700).
pub const DEFAULT_HOP_LIMIT: u8 = 64;

/// What a packet of our own says in its IP header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header<I: Ip> {
    /// Source address.
    pub src: I::Addr,
    /// Destination address.
    pub dst: I::Addr,
    /// What the packet carries.
    pub protocol: u8,
    /// Hops that the packet may take.
    pub hop_limit: u8,
    /// The ECN field (RFC 3168 section 5): 0 for "not ECN-capable".
    pub ecn: u8,
    /// Octets after the header.
    pub payload_len: usize,
}

/// How an IP version writes a header.
pub trait HeaderIp: Ip {
    /// Writes `header` to the first [`Ip::HEADER_LEN`] octets of `out`, IPv4 with its checksum.
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    fn emit_header(header: &Header<Self>, out: &mut [u8]);

    /// The same without the checksum, which a later stage fills in.
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    fn emit_unsummed(header: &Header<Self>, out: &mut [u8]);
}

impl HeaderIp for V4 {
    fn emit_header(header: &Header<Self>, out: &mut [u8]) {
        whole_v4(header).emit(out);
    }

    fn emit_unsummed(header: &Header<Self>, out: &mut [u8]) {
        whole_v4(header).emit_unsummed(out);
    }
}

fn whole_v4(header: &Header<V4>) -> ipv4::Header {
    ipv4::Header {
        header_len: ipv4::HEADER_LEN,
        dscp: 0,
        ecn: header.ecn,
        total_len: ipv4::HEADER_LEN + header.payload_len,
        // RFC 6864 4.1: a packet that is never fragmented needs no identification.
        ident: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: header.hop_limit,
        protocol: header.protocol,
        src: header.src,
        dst: header.dst,
        source_route: false,
    }
}

impl HeaderIp for V6 {
    fn emit_header(header: &Header<Self>, out: &mut [u8]) {
        ipv6::Header {
            traffic_class: header.ecn & 3,
            flow_label: 0,
            payload_len: header.payload_len,
            next_header: header.protocol,
            hop_limit: header.hop_limit,
            src: header.src,
            dst: header.dst,
        }
        .emit(out);
    }

    fn emit_unsummed(header: &Header<Self>, out: &mut [u8]) {
        Self::emit_header(header, out);
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn both_versions_parse_back() {
        let (src, dst) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let mut octets = [0; 60];
        let header = Header {
            src,
            dst,
            protocol: 6,
            hop_limit: 9,
            ecn: 0,
            payload_len: 20,
        };
        V4::emit_header(&header, &mut octets);
        let parsed = ipv4::Header::parse(&octets).unwrap();
        assert_eq!((parsed.src, parsed.dst), (src, dst));
        assert_eq!((parsed.protocol, parsed.ttl, parsed.total_len), (6, 9, 40));
        assert!(ipv4::verify_checksum(&octets));

        let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let header = Header {
            src,
            dst,
            protocol: 6,
            hop_limit: 9,
            ecn: 0,
            payload_len: 20,
        };
        V6::emit_header(&header, &mut octets);
        let parsed = ipv6::Header::parse(&octets).unwrap();
        assert_eq!((parsed.src, parsed.dst), (src, dst));
        assert_eq!(
            (parsed.next_header, parsed.hop_limit, parsed.payload_len),
            (6, 9, 20)
        );
    }
}
