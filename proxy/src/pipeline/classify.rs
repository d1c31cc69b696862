//! Tells what a frame is in a glance: its class, the hash of its flow, what it does to that flow.
//!
//! For what the port did not steer: an lcore that receives for several workers classifies each
//! frame, hashes it as a NIC would, and hands it over. So nothing is verified here that a worker
//! verifies again ([`super::parse`]): no checksums, no addresses, no options of TCP.
//!
//! * **In**: an Ethernet frame.
//! * **Out**: [`Classified`]. Whatever `parse` takes for TCP or UDP has that class and those ports
//!   here. Fragments have no ports, the first one neither, so that all of a packet go one way.
//!   Everything that is cut short or contradicts itself is of the class "other".
//!
//! What differs between the IP versions is data (`Layout`), so that the processor has no branch
//! to guess where they are mixed.

use core::num::NonZeroU16;

use flow_rules::plan::{Class, Family};
use netstack::flow_directory::Kind;
use netstack::ip::{Ip, IpAddress, V4, V6};
use netstack::rss::{INPUT_LEN, Toeplitz};
use netstack::wire::tcp::Flags;
use netstack::wire::{ethernet, ipv4, ipv6, ipv6_ext, tcp, udp};

/// Classifies frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Classifier {
    /// The UDP port to which VXLAN is sent.
    pub vxlan_port: u16,
}

impl Default for Classifier {
    fn default() -> Self {
        Self {
            vxlan_port: VXLAN_PORT,
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Classified {
    /// Its class.
    pub class: Class,
    /// The version of IP, if there is a header that can be right. It is at [`Self::IP_OFFSET`].
    pub family: Option<Family>,
    /// The protocol that IP carries, behind extension headers; 0 without IP. In a fragment of IPv6
    /// it may be an extension header.
    pub protocol: u8,
    /// The ports, of TCP and UDP in one piece only.
    pub ports: Option<Ports>,
}

/// Where a frame has its ports, and what it does to the flow that they name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ports {
    /// Octets of the frame before the source port, which the destination port follows.
    pub offset: NonZeroU16,
    /// What it does to its flow.
    pub kind: Kind,
}

impl Ports {
    /// The destination port of `frame`, which this was made from.
    #[inline]
    pub fn destination(self, frame: &[u8]) -> u16 {
        let at = usize::from(self.offset.get()) + 2;
        let octets = frame.get(at..).and_then(|octets| octets.first_chunk());
        octets.map_or(0, |octets| u16::from_be_bytes(*octets))
    }
}

impl Classified {
    /// Octets of a frame before its IP header.
    pub const IP_OFFSET: usize = ethernet::HEADER_LEN;

    /// No IP, or none that can be right.
    const NOT_IP: Self = Self {
        class: Class::Other,
        family: None,
        protocol: 0,
        ports: None,
    };

    /// The hash of `frame`, which this was made from, as a port computes it: by addresses and ports
    /// for TCP and UDP, by addresses for all other IP and for fragments; 0 for the rest.
    #[inline]
    pub fn hash(self, frame: &[u8], toeplitz: &Toeplitz) -> u32 {
        match self.family {
            Some(Family::V4) => self.hash_ip::<V4>(ipv4::SRC_OFFSET, frame, toeplitz),
            Some(Family::V6) => self.hash_ip::<V6>(ipv6::SRC_OFFSET, frame, toeplitz),
            None => 0,
        }
    }

    /// The same for IP whose header has the addresses at `addresses`.
    #[inline]
    fn hash_ip<I: Ip>(self, addresses: usize, frame: &[u8], toeplitz: &Toeplitz) -> u32 {
        let len = 2 * I::Addr::LEN;
        let Some(addresses) = frame
            .get(Self::IP_OFFSET + addresses..)
            .and_then(|a| a.get(..len))
        else {
            return 0;
        };
        let ports = self.ports.and_then(|ports| {
            let at = usize::from(ports.offset.get());
            frame.get(at..)?.first_chunk::<4>()
        });
        let Some(ports) = ports else {
            return toeplitz.hash_octets(addresses);
        };
        let mut octets = [0; INPUT_LEN];
        octets[..len].copy_from_slice(addresses);
        octets[len..len + 4].copy_from_slice(ports);
        toeplitz.hash_octets(&octets[..len + 4])
    }
}

impl Classifier {
    /// Classifies an Ethernet frame.
    #[inline]
    pub fn classify(&self, frame: &[u8]) -> Classified {
        // An IPv4 header without options; all that is needed of IPv6's is in as many octets.
        let Some(start) = frame.first_chunk::<{ ethernet::HEADER_LEN + V4::HEADER_LEN }>() else {
            return Classified::NOT_IP;
        };
        let ethertype = u16::from_be_bytes([start[12], start[13]]);
        let layout = &LAYOUTS[usize::from(ethertype >> 15)];
        if ethertype != layout.ethertype {
            return Classified::NOT_IP;
        }
        let packet = &frame[ethernet::HEADER_LEN..];
        let Some(outline) = packet
            .first_chunk()
            .and_then(|start| layout.outline(start, packet))
        else {
            return Classified::NOT_IP;
        };
        let other = Classified {
            class: Class::Other,
            family: Some(layout.family),
            protocol: outline.protocol,
            ports: None,
        };
        if outline.fragment {
            return other;
        }
        let transport = &TRANSPORTS[usize::from(outline.protocol & 1)];
        if outline.protocol != transport.protocol {
            return other;
        }
        let upper = packet.get(outline.upper..outline.len).unwrap_or_default();
        if upper.len() < transport.least_len {
            return other;
        }
        let is_vxlan = [upper[2], upper[3]] == self.vxlan_port.to_be_bytes();
        let class = layout.classes[transport.class[usize::from(is_vxlan)]];
        let kind = transport.kinds[usize::from(upper[transport.flags_at] & 0x1f)];
        let offset = NonZeroU16::new((ethernet::HEADER_LEN + outline.upper) as u16);
        Classified {
            class,
            ports: offset.map(|offset| Ports { offset, kind }),
            ..other
        }
    }
}

/// What an IP header says of its packet.
#[derive(Clone, Copy, Debug)]
struct Outline {
    protocol: u8,
    /// Octets before the upper-layer protocol.
    upper: usize,
    /// Octets of the packet; what follows is padding of the frame.
    len: usize,
    fragment: bool,
}

/// Where an IP header says what, and the classes of what it carries.
#[derive(Debug)]
struct Layout {
    ethertype: u16,
    family: Family,
    version: u8,
    /// Those of TCP, UDP and VXLAN.
    classes: [Class; 3],
    /// Octets of the least header.
    least_len: usize,
    /// Octets of the header that the first octet does not count, and the bits with which it counts
    /// the others, in words of 4 octets.
    fixed_len: usize,
    counted: u8,
    /// Where the length stands, and how many octets it does not count.
    len_at: usize,
    len_less: usize,
    /// What of the octets at [`FRAGMENT_AT`] is not zero in a fragment.
    fragment: u16,
    protocol_at: usize,
    has_extensions: bool,
}

/// Those of both versions, by the highest bit of their EtherTypes.
const LAYOUTS: [Layout; 2] = [
    Layout {
        ethertype: V4::ETHERTYPE,
        family: Family::V4,
        version: V4::VERSION,
        classes: [Class::Ipv4Tcp, Class::Ipv4Udp, Class::Ipv4Vxlan],
        least_len: V4::HEADER_LEN,
        fixed_len: 0,
        counted: 0x0f,
        len_at: ipv4::TOTAL_LEN_OFFSET,
        len_less: 0,
        // RFC 791 3.1: more fragments, and the offset.
        fragment: 0x3fff,
        protocol_at: ipv4::PROTOCOL_OFFSET,
        has_extensions: false,
    },
    Layout {
        ethertype: V6::ETHERTYPE,
        family: Family::V6,
        version: V6::VERSION,
        classes: [Class::Ipv6Tcp, Class::Ipv6Udp, Class::Ipv6Vxlan],
        least_len: V6::HEADER_LEN,
        fixed_len: V6::HEADER_LEN,
        counted: 0,
        len_at: ipv6::PAYLOAD_LEN_OFFSET,
        len_less: V6::HEADER_LEN,
        fragment: 0,
        protocol_at: ipv6::NEXT_HEADER_OFFSET,
        has_extensions: true,
    },
];

impl Layout {
    /// Reads the header of `packet`; `None` if it cannot be right. `start` is the beginning of the
    /// packet, of which the compiler knows the length.
    #[inline]
    fn outline(&self, start: &[u8; V4::HEADER_LEN], packet: &[u8]) -> Option<Outline> {
        let word = |at: usize| u16::from_be_bytes([start[at], start[at + 1]]);
        let first = start[0];
        let header_len = self.fixed_len + usize::from(first & self.counted) * 4;
        let len = self.len_less + usize::from(word(self.len_at));
        let sound = first >> 4 == self.version
            && header_len >= self.least_len
            && header_len <= len
            && len <= packet.len();
        if !sound {
            return None;
        }
        let protocol = start[self.protocol_at];
        let outline = Outline {
            protocol,
            upper: header_len,
            len,
            fragment: word(FRAGMENT_AT) & self.fragment != 0,
        };
        if ipv6_ext::is_extension(protocol) && self.has_extensions {
            let (protocol, between, fragment) = skip_extensions(protocol, &packet[header_len..len]);
            return Some(Outline {
                protocol,
                upper: header_len + between,
                fragment,
                ..outline
            });
        }
        Some(outline)
    }
}

/// What stands behind extension headers, of which the first has the number `first`; how many octets
/// they have; and whether the packet is a fragment.
#[cold]
fn skip_extensions(first: u8, payload: &[u8]) -> (u8, usize, bool) {
    match ipv6_ext::walk(first, payload) {
        Ok(upper) => (upper.protocol, upper.offset, upper.fragment.is_some()),
        // No host accepts it. An extension header is no protocol with ports.
        Err(_) => (first, 0, false),
    }
}

/// What differs between TCP and UDP.
#[derive(Debug)]
struct Transport {
    protocol: u8,
    /// The index of its class in [`Layout::classes`], and of that on the port of VXLAN.
    class: [usize; 2],
    /// Octets of the least header.
    least_len: usize,
    /// Where the octet stands that says what a packet does to its flow, and what it says, by its
    /// low five bits.
    flags_at: usize,
    kinds: [Kind; 32],
}

/// Both, by the lowest bit of their protocol numbers.
const TRANSPORTS: [Transport; 2] = [
    Transport {
        protocol: tcp::PROTOCOL,
        class: [0, 0],
        least_len: tcp::HEADER_LEN,
        flags_at: tcp::FLAGS_OFFSET,
        kinds: kinds_of_segments(),
    },
    Transport {
        protocol: udp::PROTOCOL,
        class: [1, 2],
        least_len: udp::HEADER_LEN,
        // Any octet will do: UDP has no flags.
        flags_at: 0,
        kinds: [Kind::Datagram; 32],
    },
];

/// What TCP segments do to their flow, by their low five flags.
const fn kinds_of_segments() -> [Kind; 32] {
    let mut kinds = [Kind::Ongoing; 32];
    let mut bits = 0;
    while bits < kinds.len() {
        let flags = Flags(bits as u8);
        if flags.contains(Flags::FIN) || flags.contains(Flags::RST) {
            kinds[bits] = Kind::Closing;
        } else if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) {
            kinds[bits] = Kind::Opening;
        }
        bits += 1;
    }
    kinds
}

/// Where the fragment offset and its flags stand in an IPv4 header.
const FRAGMENT_AT: usize = 6;

/// RFC 7348 section 5: the UDP port to which VXLAN is sent.
pub const VXLAN_PORT: u16 = 4789;

#[cfg(test)]
mod tests;
