//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, errors, and the packet that an error quotes.
//!
//! Both versions share the layout (type, code, checksum, four octets, rest) and the meaning of the
//! messages; [`IcmpIp`] holds what differs: numbers, and the pseudo-header that only ICMPv6 sums
//! up. Neighbor discovery rides on ICMPv6 and has its own file, [`super::ndp`]; here it is
//! [`Message::Other`].

use super::checksum::{self, Sum};
use super::{ParseError, header_mut, ipv4, ipv6, ipv6_ext, tcp, udp};
use crate::ip::{FiveTuple, Ip, V4, V6};

/// Octets of the header that all messages have.
pub const HEADER_LEN: usize = 8;
/// Where the type stands in the header.
pub const TYPE_OFFSET: usize = 0;
/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 2;

/// What a message says; its header without the checksum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message {
    /// Asks for the same octets back.
    EchoRequest {
        /// Which conversation.
        ident: u16,
        /// Which request of it.
        sequence: u16,
    },
    /// Answers a request.
    EchoReply {
        /// Which conversation.
        ident: u16,
        /// Which request of it.
        sequence: u16,
    },
    /// A packet went wrong; its beginning follows the header.
    Error(Error),
    /// Anything else.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The four octets after the checksum.
        rest: [u8; 4],
    },
}

/// What went wrong with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// It cannot get to where it is addressed.
    Unreachable(Unreachable),
    /// Its destination does not speak the protocol that it carries.
    ProtocolUnreachable {
        /// Offset in the packet of the octet that names the protocol. IPv4 does not tell: 0.
        pointer: u32,
    },
    /// It is larger than the MTU of the next link and may not be fragmented.
    PacketTooBig {
        /// That MTU in octets; 0 if the router is older than RFC 1191.
        mtu: u32,
    },
    /// It lived too long: code 0 in transit, code 1 while it was reassembled.
    TimeExceeded {
        /// Code.
        code: u8,
    },
    /// Its header makes no sense.
    ParameterProblem {
        /// Code.
        code: u8,
        /// Offset in the packet of what makes no sense.
        pointer: u32,
    },
}

/// Why a packet cannot get to where it is addressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unreachable {
    /// No route.
    Network,
    /// No such host on its link.
    Host,
    /// No one listens on the port.
    Port,
    /// An administrator does not want it.
    Prohibited,
    /// A code that only one IP version has.
    Other(u8),
}

/// What the ICMP of an IP version has of its own.
pub trait IcmpIp: Ip {
    /// Type of an echo request.
    const ECHO_REQUEST: u8;
    /// Type of an echo reply.
    const ECHO_REPLY: u8;

    /// Whether messages of type `kind` report errors, so that no error may answer them.
    fn is_error(kind: u8) -> bool;

    /// The meaning of an error; `None` if the message is none that is known.
    fn decode_error(kind: u8, code: u8, rest: [u8; 4]) -> Option<Error>;

    /// Type, code and the four octets after the checksum.
    fn encode_error(error: Error) -> (u8, u8, [u8; 4]);

    /// What the checksum adds to the message of `len` octets.
    fn checksum_seed(src: Self::Addr, dst: Self::Addr, len: usize) -> Sum;

    /// Reads the IP header of a quoted packet.
    fn parse_quoted_header(octets: &[u8]) -> Result<QuotedHeader<Self>, ParseError>;
}

/// What the IP header of a quoted packet says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QuotedHeader<I: Ip> {
    /// Source address.
    pub src: I::Addr,
    /// Destination address.
    pub dst: I::Addr,
    /// Upper-layer protocol.
    pub protocol: u8,
    /// Where the upper layer begins; `None` if it is in an earlier fragment.
    pub upper: Option<usize>,
}

/// The packet that an error is about, oriented as it was sent: `src` is who sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quoted<I: Ip> {
    /// Addresses, protocol and, for the first or only piece of TCP and UDP, ports; else they are 0.
    pub flow: FiveTuple<I>,
    /// The sequence number, if it is TCP and so much is quoted (RFC 5927 4.1 wants it checked).
    pub tcp_seq: Option<u32>,
}

impl Message {
    /// Reads the header of the message that `octets` are.
    pub fn parse<I: IcmpIp>(octets: &[u8]) -> Result<Self, ParseError> {
        let &[kind, code, _, _, r0, r1, r2, r3] = octets
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let rest = [r0, r1, r2, r3];
        let ident = u16::from_be_bytes([r0, r1]);
        let sequence = u16::from_be_bytes([r2, r3]);
        if kind == I::ECHO_REQUEST {
            return Ok(Self::EchoRequest { ident, sequence });
        }
        if kind == I::ECHO_REPLY {
            return Ok(Self::EchoReply { ident, sequence });
        }
        Ok(match I::decode_error(kind, code, rest) {
            Some(error) => Self::Error(error),
            None => Self::Other { kind, code, rest },
        })
    }

    /// Writes the header, with a checksum of zero, to the first [`HEADER_LEN`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than the header.
    pub fn emit<I: IcmpIp>(&self, out: &mut [u8]) {
        let echo = |ident: u16, sequence: u16| {
            let ([i0, i1], [s0, s1]) = (ident.to_be_bytes(), sequence.to_be_bytes());
            [i0, i1, s0, s1]
        };
        let (kind, code, rest) = match *self {
            Self::EchoRequest { ident, sequence } => (I::ECHO_REQUEST, 0, echo(ident, sequence)),
            Self::EchoReply { ident, sequence } => (I::ECHO_REPLY, 0, echo(ident, sequence)),
            Self::Error(error) => I::encode_error(error),
            Self::Other { kind, code, rest } => (kind, code, rest),
        };
        let out: &mut [u8; HEADER_LEN] = header_mut(out);
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..].copy_from_slice(&rest);
    }
}

/// Whether the checksum of `message` is right.
pub fn verify_checksum<I: IcmpIp>(src: I::Addr, dst: I::Addr, message: &[u8]) -> bool {
    let mut sum = I::checksum_seed(src, dst, message.len());
    sum.add_octets(message);
    sum.is_valid()
}

/// Computes the checksum of `message` and writes it.
///
/// # Panics
/// If `message` is shorter than a header.
pub fn fill_checksum<I: IcmpIp>(src: I::Addr, dst: I::Addr, message: &mut [u8]) {
    header_mut::<HEADER_LEN>(message)[2..4].fill(0);
    let mut sum = I::checksum_seed(src, dst, message.len());
    sum.add_octets(message);
    header_mut::<HEADER_LEN>(message)[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
}

/// Reads the packet that an error quotes: what follows the error's header.
///
/// # Errors
/// [`ParseError::Truncated`] if the quotation ends before the ports (RFC 792 wants 8 octets of the
/// payload), or what is wrong with its IP header.
pub fn parse_quoted<I: IcmpIp>(octets: &[u8]) -> Result<Quoted<I>, ParseError> {
    let header = I::parse_quoted_header(octets)?;
    let mut flow = FiveTuple {
        src: header.src,
        dst: header.dst,
        sport: 0,
        dport: 0,
        protocol: header.protocol,
    };
    let mut tcp_seq = None;
    let has_ports = matches!(header.protocol, tcp::PROTOCOL | udp::PROTOCOL);
    if let Some(offset) = header.upper
        && has_ports
    {
        let upper = octets.get(offset..).ok_or(ParseError::Truncated)?;
        let &[s0, s1, d0, d1] = upper.first_chunk::<4>().ok_or(ParseError::Truncated)?;
        flow.sport = u16::from_be_bytes([s0, s1]);
        flow.dport = u16::from_be_bytes([d0, d1]);
        if let Some([_, _, _, _, seq @ ..]) = upper.first_chunk::<8>()
            && header.protocol == tcp::PROTOCOL
        {
            tcp_seq = Some(u32::from_be_bytes(*seq));
        }
    }
    Ok(Quoted { flow, tcp_seq })
}

/// Numbers of RFC 792.
mod v4 {
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const SOURCE_QUENCH: u8 = 4;
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER_PROBLEM: u8 = 12;

    pub(super) const PROTOCOL_UNREACHABLE: u8 = 2;
    pub(super) const FRAGMENTATION_NEEDED: u8 = 4;
}

/// Numbers of RFC 4443.
mod v6 {
    pub(super) const UNREACHABLE: u8 = 1;
    pub(super) const PACKET_TOO_BIG: u8 = 2;
    pub(super) const TIME_EXCEEDED: u8 = 3;
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    pub(super) const REDIRECT: u8 = 137;

    pub(super) const UNKNOWN_NEXT_HEADER: u8 = 1;
}

impl IcmpIp for V4 {
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;

    fn is_error(kind: u8) -> bool {
        matches!(
            kind,
            v4::UNREACHABLE
                | v4::SOURCE_QUENCH
                | v4::REDIRECT
                | v4::TIME_EXCEEDED
                | v4::PARAMETER_PROBLEM
        )
    }

    fn decode_error(kind: u8, code: u8, rest: [u8; 4]) -> Option<Error> {
        let [pointer, _, m0, m1] = rest;
        Some(match (kind, code) {
            (v4::UNREACHABLE, v4::PROTOCOL_UNREACHABLE) => {
                Error::ProtocolUnreachable { pointer: 0 }
            }
            // RFC 1191 section 4: the MTU stands in the low half of the word.
            (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED) => Error::PacketTooBig {
                mtu: u32::from(u16::from_be_bytes([m0, m1])),
            },
            (v4::UNREACHABLE, code) => Error::Unreachable(match code {
                0 => Unreachable::Network,
                1 => Unreachable::Host,
                3 => Unreachable::Port,
                13 => Unreachable::Prohibited,
                code => Unreachable::Other(code),
            }),
            (v4::TIME_EXCEEDED, code) => Error::TimeExceeded { code },
            (v4::PARAMETER_PROBLEM, code) => Error::ParameterProblem {
                code,
                pointer: u32::from(pointer),
            },
            _ => return None,
        })
    }

    fn encode_error(error: Error) -> (u8, u8, [u8; 4]) {
        match error {
            Error::Unreachable(why) => {
                let code = match why {
                    Unreachable::Network => 0,
                    Unreachable::Host => 1,
                    Unreachable::Port => 3,
                    Unreachable::Prohibited => 13,
                    Unreachable::Other(code) => code,
                };
                (v4::UNREACHABLE, code, [0; 4])
            }
            Error::ProtocolUnreachable { .. } => {
                (v4::UNREACHABLE, v4::PROTOCOL_UNREACHABLE, [0; 4])
            }
            Error::PacketTooBig { mtu } => {
                let [m0, m1] = u16::try_from(mtu).unwrap_or(u16::MAX).to_be_bytes();
                (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED, [0, 0, m0, m1])
            }
            Error::TimeExceeded { code } => (v4::TIME_EXCEEDED, code, [0; 4]),
            Error::ParameterProblem { code, pointer } => {
                (v4::PARAMETER_PROBLEM, code, [pointer as u8, 0, 0, 0])
            }
        }
    }

    fn checksum_seed(_src: Self::Addr, _dst: Self::Addr, _len: usize) -> Sum {
        Sum::new()
    }

    fn parse_quoted_header(octets: &[u8]) -> Result<QuotedHeader<Self>, ParseError> {
        let header = ipv4::Header::parse_quoted(octets)?;
        Ok(QuotedHeader {
            src: header.src,
            dst: header.dst,
            protocol: header.protocol,
            upper: (header.fragment_offset == 0).then_some(header.header_len),
        })
    }
}

impl IcmpIp for V6 {
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;

    fn is_error(kind: u8) -> bool {
        // RFC 4443 2.1: errors have the high bit clear. 2.4(e)(2) adds the redirect.
        kind < 128 || kind == v6::REDIRECT
    }

    fn decode_error(kind: u8, code: u8, rest: [u8; 4]) -> Option<Error> {
        let word = u32::from_be_bytes(rest);
        Some(match (kind, code) {
            (v6::UNREACHABLE, code) => Error::Unreachable(match code {
                0 => Unreachable::Network,
                1 => Unreachable::Prohibited,
                3 => Unreachable::Host,
                4 => Unreachable::Port,
                code => Unreachable::Other(code),
            }),
            (v6::PACKET_TOO_BIG, _) => Error::PacketTooBig { mtu: word },
            (v6::TIME_EXCEEDED, code) => Error::TimeExceeded { code },
            (v6::PARAMETER_PROBLEM, v6::UNKNOWN_NEXT_HEADER) => {
                Error::ProtocolUnreachable { pointer: word }
            }
            (v6::PARAMETER_PROBLEM, code) => Error::ParameterProblem {
                code,
                pointer: word,
            },
            _ => return None,
        })
    }

    fn encode_error(error: Error) -> (u8, u8, [u8; 4]) {
        match error {
            Error::Unreachable(why) => {
                let code = match why {
                    Unreachable::Network => 0,
                    Unreachable::Prohibited => 1,
                    Unreachable::Host => 3,
                    Unreachable::Port => 4,
                    Unreachable::Other(code) => code,
                };
                (v6::UNREACHABLE, code, [0; 4])
            }
            Error::ProtocolUnreachable { pointer } => (
                v6::PARAMETER_PROBLEM,
                v6::UNKNOWN_NEXT_HEADER,
                pointer.to_be_bytes(),
            ),
            Error::PacketTooBig { mtu } => (v6::PACKET_TOO_BIG, 0, mtu.to_be_bytes()),
            Error::TimeExceeded { code } => (v6::TIME_EXCEEDED, code, [0; 4]),
            Error::ParameterProblem { code, pointer } => {
                (v6::PARAMETER_PROBLEM, code, pointer.to_be_bytes())
            }
        }
    }

    fn checksum_seed(src: Self::Addr, dst: Self::Addr, len: usize) -> Sum {
        // RFC 4443 2.3: ICMPv6 is summed like any upper layer of IPv6.
        checksum::pseudo_header::<Self>(src, dst, Self::ICMP_PROTOCOL, len)
    }

    fn parse_quoted_header(octets: &[u8]) -> Result<QuotedHeader<Self>, ParseError> {
        let header = ipv6::Header::parse_quoted(octets)?;
        let payload = octets.get(ipv6::HEADER_LEN..).unwrap_or_default();
        let upper = ipv6_ext::walk(header.next_header, payload)?;
        let in_this_piece = upper.fragment.is_none_or(|fragment| fragment.offset == 0);
        Ok(QuotedHeader {
            src: header.src,
            dst: header.dst,
            protocol: upper.protocol,
            upper: in_this_piece.then_some(ipv6::HEADER_LEN + upper.offset),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ip::IpAddress;
    use crate::wire::ip_header::{Header, HeaderIp};

    fn address<I: Ip>(last: u8) -> I::Addr {
        let mut octets = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets[I::Addr::LEN - 1] = last;
        I::Addr::from_octets(&octets).unwrap()
    }

    fn quotation<I: HeaderIp>(protocol: u8) -> Vec<u8> {
        let header = Header::<I> {
            src: address::<I>(1),
            dst: address::<I>(2),
            protocol,
            hop_limit: 1,
            ecn: 0,
            payload_len: 1000,
        };
        let mut octets = vec![0; I::HEADER_LEN + 8];
        I::emit_header(&header, &mut octets);
        octets[I::HEADER_LEN..].copy_from_slice(&[0, 80, 0x9c, 0x40, 1, 2, 3, 4]);
        octets
    }

    fn flow_is_found_in_a_quotation<I: IcmpIp + HeaderIp>() {
        let octets = quotation::<I>(tcp::PROTOCOL);
        let flow = FiveTuple::<I> {
            src: address::<I>(1),
            dst: address::<I>(2),
            sport: 80,
            dport: 40_000,
            protocol: tcp::PROTOCOL,
        };
        let seq = 0x0102_0304;
        assert_eq!(
            parse_quoted::<I>(&octets),
            Ok(Quoted {
                flow,
                tcp_seq: Some(seq)
            })
        );
        let ports_only = &octets[..I::HEADER_LEN + 4];
        assert_eq!(
            parse_quoted::<I>(ports_only),
            Ok(Quoted {
                flow,
                tcp_seq: None
            })
        );
        let too_short = &octets[..I::HEADER_LEN + 3];
        assert_eq!(parse_quoted::<I>(too_short), Err(ParseError::Truncated));
        let other = parse_quoted::<I>(&quotation::<I>(99)).unwrap();
        assert_eq!(
            (other.flow.sport, other.flow.dport, other.tcp_seq),
            (0, 0, None)
        );
    }

    #[test]
    fn the_flow_is_found_in_a_quotation() {
        flow_is_found_in_a_quotation::<V4>();
        flow_is_found_in_a_quotation::<V6>();
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut octets = quotation::<V4>(tcp::PROTOCOL);
        octets[7] = 1;
        assert_eq!(parse_quoted::<V4>(&octets).unwrap().flow.sport, 0);
        let mut octets = quotation::<V6>(ipv6_ext::FRAGMENT);
        octets[40..].copy_from_slice(&[tcp::PROTOCOL, 0, 0, 8, 0, 0, 0, 1]);
        assert_eq!(parse_quoted::<V6>(&octets).unwrap().flow.sport, 0);
    }

    #[test]
    fn errors_off_the_wire() {
        let parse4 = |octets: [u8; 8]| Message::parse::<V4>(&octets);
        let too_big = Error::PacketTooBig { mtu: 1400 };
        assert_eq!(
            parse4([3, 4, 0, 0, 0, 0, 5, 0x78]),
            Ok(Message::Error(too_big))
        );
        let port = Error::Unreachable(Unreachable::Port);
        assert_eq!(parse4([3, 3, 0, 0, 0, 5, 0, 0]), Ok(Message::Error(port)));
        let parse6 = |octets: [u8; 8]| Message::parse::<V6>(&octets);
        assert_eq!(
            parse6([2, 0, 0, 0, 0, 0, 5, 0x78]),
            Ok(Message::Error(too_big))
        );
        assert_eq!(parse6([1, 4, 0, 0, 0, 0, 0, 0]), Ok(Message::Error(port)));
        let protocol = Error::ProtocolUnreachable { pointer: 40 };
        assert_eq!(
            parse6([4, 1, 0, 0, 0, 0, 0, 40]),
            Ok(Message::Error(protocol))
        );
        assert_eq!(Message::parse::<V6>(&[128; 7]), Err(ParseError::Truncated));
    }

    #[test]
    fn what_reports_an_error_is_known() {
        assert!([3, 4, 5, 11, 12].into_iter().all(V4::is_error));
        assert!(![0, 8, 13].into_iter().any(V4::is_error));
        assert!([1, 2, 3, 4, 100, 137].into_iter().all(V6::is_error));
        assert!(![128, 129, 135].into_iter().any(V6::is_error));
    }

    fn checksum_round_trip<I: IcmpIp>() {
        let (src, dst) = (address::<I>(1), address::<I>(2));
        let mut message = [7; 13];
        fill_checksum::<I>(src, dst, &mut message);
        assert!(verify_checksum::<I>(src, dst, &message));
        message[12] ^= 1;
        assert!(!verify_checksum::<I>(src, dst, &message));
    }

    #[test]
    fn checksums_verify_and_only_icmpv6_covers_addresses() {
        checksum_round_trip::<V4>();
        checksum_round_trip::<V6>();
        let sum4 = V4::checksum_seed(address::<V4>(1), address::<V4>(2), 8).folded();
        let sum6 = V6::checksum_seed(address::<V6>(1), address::<V6>(2), 8).folded();
        assert_eq!(sum4, 0);
        assert_ne!(sum6, 0);
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let unreachable = prop_oneof![
            Just(Unreachable::Network),
            Just(Unreachable::Host),
            Just(Unreachable::Port),
            Just(Unreachable::Prohibited),
            (5_u8..13).prop_map(Unreachable::Other),
        ];
        prop_oneof![
            any::<(u16, u16)>()
                .prop_map(|(ident, sequence)| Message::EchoRequest { ident, sequence }),
            any::<(u16, u16)>()
                .prop_map(|(ident, sequence)| Message::EchoReply { ident, sequence }),
            unreachable.prop_map(|why| Message::Error(Error::Unreachable(why))),
            Just(Message::Error(Error::ProtocolUnreachable { pointer: 0 })),
            any::<u16>().prop_map(|mtu| Message::Error(Error::PacketTooBig { mtu: mtu.into() })),
            any::<u8>().prop_map(|code| Message::Error(Error::TimeExceeded { code })),
            (2_u8.., any::<u8>()).prop_map(|(code, pointer)| {
                Message::Error(Error::ParameterProblem {
                    code,
                    pointer: pointer.into(),
                })
            }),
            (138_u8.., any::<u8>(), any::<[u8; 4]>())
                .prop_map(|(kind, code, rest)| Message::Other { kind, code, rest }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(message in any_message()) {
            let mut octets = [0xaa; HEADER_LEN];
            message.emit::<V4>(&mut octets);
            prop_assert_eq!(Message::parse::<V4>(&octets), Ok(message));
            message.emit::<V6>(&mut octets);
            prop_assert_eq!(Message::parse::<V6>(&octets), Ok(message));
        }

        #[test]
        fn arbitrary_octets_never_panic(mut octets in vec(any::<u8>(), 0..100), first: u8) {
            let _ = Message::parse::<V4>(&octets);
            let _ = Message::parse::<V6>(&octets);
            if let [octet, ..] = &mut octets[..] {
                *octet = if first < 128 { 0x45 } else { 0x60 };
            }
            let _ = parse_quoted::<V4>(&octets);
            let _ = parse_quoted::<V6>(&octets);
        }
    }
}
