//! Packets of scripts as octets, and back.
//!
//! What arrives is made by [`encode`], right in all that the script does not say; what is sent is
//! taken apart by [`decode`], which checks lengths and checksums.

use core::net::IpAddr;

use netstack::ip::{V4, V6};
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::icmp::{HEADER_LEN as ICMP_HEADER_LEN, Message};
use netstack::wire::tcp::{self, HEADER_LEN, Header, option};
use netstack::wire::{ipv4, ipv6};

use super::event::{Body, Icmp, Options, Packet, Tcp, TcpOption, Tos};
use crate::sim::Family;
use crate::station::frame::{self, TestIp, packet_with_hops};

/// Where the urgent pointer stands in the TCP header.
const URGENT_OFFSET: usize = 18;

/// Hops that a packet has unless the script says otherwise.
const HOPS: u8 = 64;

/// The addresses of a script: of the stack under test, and of its peer.
pub(super) fn addresses(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (V4::US.into(), V4::CLIENT.into()),
        Family::V6 => (V6::US.into(), V6::CLIENT.into()),
    }
}

/// The ports of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ports {
    pub(super) local: u16,
    pub(super) remote: u16,
}

/// A packet that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sent {
    /// It says everything: octet of services, hops, ports.
    pub(super) packet: Packet,
    pub(super) ports: Ports,
    pub(super) payload: Vec<u8>,
}

/// What a packet must never be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum SentError {
    /// Of the other IP version, or no IP at all.
    #[error("it is no packet of the script's IP version")]
    Version,
    /// Its IP header does not fit it.
    #[error("its IP header is wrong")]
    IpHeader,
    /// Its addresses are not those of the script.
    #[error("its addresses are wrong")]
    Addresses,
    /// It carries something else.
    #[error("it carries no TCP")]
    NoTcp,
    /// Its TCP header or options are malformed.
    #[error("its TCP header is malformed")]
    TcpHeader,
    /// A checksum is wrong.
    #[error("a checksum is wrong")]
    Checksum,
}

/// The packet from the peer; its numbers are those on the wire.
pub(super) fn encode(family: Family, packet: &Packet, ports: Ports, payload: Vec<u8>) -> Vec<u8> {
    match family {
        Family::V4 => encode_ip::<V4>(packet, ports, payload),
        Family::V6 => encode_ip::<V6>(packet, ports, payload),
    }
}

/// Takes apart and checks a packet that was sent.
pub(super) fn decode(family: Family, packet: &[u8]) -> Result<Sent, SentError> {
    match (family, packet.first().map(|first| first >> 4)) {
        (Family::V4, Some(4)) => {
            let header = ipv4::Header::parse(packet).map_err(|_| SentError::IpHeader)?;
            if header.total_len != packet.len() || header.is_fragment() {
                return Err(SentError::IpHeader);
            }
            if !ipv4::verify_checksum(packet) {
                return Err(SentError::Checksum);
            }
            let tos = header.dscp << 2 | header.ecn;
            decode_tcp::<V4>(packet, header.header_len, (tos, header.ttl))
        }
        (Family::V6, Some(6)) => {
            let header = ipv6::Header::parse(packet).map_err(|_| SentError::IpHeader)?;
            if ipv6::HEADER_LEN + header.payload_len != packet.len() {
                return Err(SentError::IpHeader);
            }
            let services = (header.traffic_class, header.hop_limit);
            decode_tcp::<V6>(packet, ipv6::HEADER_LEN, services)
        }
        _ => Err(SentError::Version),
    }
}

fn encode_ip<I: TestIp>(packet: &Packet, ports: Ports, payload: Vec<u8>) -> Vec<u8> {
    let hops = packet.ttl.unwrap_or(HOPS);
    let mut octets = match &packet.body {
        Body::Tcp(tcp) => {
            let segment = encode_tcp::<I>(tcp, ports, payload);
            packet_with_hops::<I>(I::CLIENT, I::US, tcp::PROTOCOL, hops, &segment)
        }
        Body::Icmp(icmp) => {
            let message = encode_icmp::<I>(*icmp, ports);
            packet_with_hops::<I>(I::CLIENT, I::US, I::ICMP_PROTOCOL, hops, &message)
        }
    };
    if let Tos::Ecn(tos) | Tos::Whole(tos) = packet.tos {
        if I::VERSION == 4 {
            octets[1] = tos;
        } else {
            octets[0] = 0x60 | tos >> 4;
            octets[1] = tos << 4;
        }
        I::mend(&mut octets);
    }
    octets
}

fn encode_tcp<I: TestIp>(tcp: &Tcp, ports: Ports, payload: Vec<u8>) -> Vec<u8> {
    let mut options = Vec::new();
    if let Options::Exactly(list) = &tcp.options {
        for option in list {
            option.encode(&mut options);
        }
    }
    let mut segment = frame::Tcp {
        sport: ports.remote,
        dport: ports.local,
        seq: tcp.seq,
        ack: tcp.ack,
        flags: tcp.flags,
        window: tcp.window.unwrap_or(0),
        options,
        payload,
    }
    .segment::<I>(I::CLIENT, I::US);
    if tcp.urgent != 0 {
        segment[URGENT_OFFSET..URGENT_OFFSET + 2].copy_from_slice(&tcp.urgent.to_be_bytes());
        tcp::fill_checksum::<I>(I::CLIENT, I::US, &mut segment);
    }
    segment
}

/// The error, and the beginning of the segment of ours that it is about.
fn encode_icmp<I: TestIp>(icmp: Icmp, ports: Ports) -> Vec<u8> {
    let quoted = frame::Tcp {
        sport: ports.local,
        dport: ports.remote,
        seq: icmp.seq,
        payload: vec![0; usize::from(icmp.len)],
        ..frame::Tcp::new(tcp::Flags::ACK)
    };
    let mut quoted = quoted.between::<I>(I::US, I::CLIENT);
    quoted.truncate(I::MAX_ERROR_LEN - I::HEADER_LEN - ICMP_HEADER_LEN);
    frame::icmp::<I>(I::CLIENT, I::US, Message::Error(icmp.error), &quoted)
}

fn decode_tcp<I: TestIp>(
    packet: &[u8],
    header_len: usize,
    (tos, ttl): (u8, u8),
) -> Result<Sent, SentError> {
    let quoted = I::parse_quoted_header(packet).map_err(|_| SentError::IpHeader)?;
    if (quoted.src, quoted.dst) != (I::US, I::CLIENT) {
        return Err(SentError::Addresses);
    }
    if quoted.protocol != tcp::PROTOCOL || quoted.upper != Some(header_len) {
        return Err(SentError::NoTcp);
    }
    let segment = &packet[header_len..];
    if !verify_transport_checksum::<I>(quoted.src, quoted.dst, tcp::PROTOCOL, segment) {
        return Err(SentError::Checksum);
    }
    let header = Header::parse(segment).map_err(|_| SentError::TcpHeader)?;
    let options = TcpOption::decode_all(&segment[HEADER_LEN..header.header_len]);
    let payload = segment[header.header_len..].to_vec();
    let ports = Ports {
        local: header.sport,
        remote: header.dport,
    };
    let tcp = Tcp {
        flags: header.flags,
        seq: header.seq,
        len: u16::try_from(payload.len()).map_err(|_| SentError::IpHeader)?,
        ack: header.ack,
        window: Some(header.window),
        urgent: header.urgent,
        options: Options::Exactly(options.ok_or(SentError::TcpHeader)?),
    };
    let packet = Packet {
        tos: Tos::Whole(tos),
        ttl: Some(ttl),
        ports: Some((header.sport, header.dport)),
        body: Body::Tcp(tcp),
    };
    Ok(Sent {
        packet,
        ports,
        payload,
    })
}

impl TcpOption {
    /// Octets on the wire.
    pub(super) fn wire_len(&self) -> usize {
        let mut octets = Vec::new();
        self.encode(&mut octets);
        octets.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |kind: u8, data: &[u8]| {
            out.extend_from_slice(&[kind, 2 + data.len() as u8]);
            out.extend_from_slice(data);
        };
        match self {
            Self::Nop => out.push(option::NOP),
            Self::End => out.push(option::END),
            Self::Mss(octets) => put(option::MSS, &octets.to_be_bytes()),
            Self::WindowScale(shift) => put(option::WINDOW_SCALE, &[*shift]),
            Self::SackPermitted => put(option::SACK_PERMITTED, &[]),
            Self::Sack(blocks) => {
                let edges = blocks.iter().flat_map(|(from, to)| [*from, *to]);
                let data: Vec<u8> = edges.flat_map(u32::to_be_bytes).collect();
                put(option::SACK, &data);
            }
            Self::Timestamps { value, echo } => {
                let data = [value.to_be_bytes(), echo.to_be_bytes()].concat();
                put(option::TIMESTAMPS, &data);
            }
            Self::Other { kind, data } => put(*kind, data),
        }
    }

    /// All options, padding included; `None` if they do not add up.
    fn decode_all(mut octets: &[u8]) -> Option<Vec<Self>> {
        let mut options = Vec::new();
        while let [kind, rest @ ..] = octets {
            match *kind {
                // Whatever follows the end is padding.
                option::END => {
                    options.extend(octets.iter().map(|_| Self::End));
                    break;
                }
                option::NOP => {
                    options.push(Self::Nop);
                    octets = rest;
                }
                kind => {
                    let len = usize::from(*rest.first()?);
                    options.push(Self::decode(kind, octets.get(2..len)?));
                    octets = &octets[len..];
                }
            }
        }
        Some(options)
    }

    fn decode(kind: u8, data: &[u8]) -> Self {
        let number = |octets: &[u8]| octets.first_chunk().map(|chunk| u32::from_be_bytes(*chunk));
        match (kind, data) {
            (option::MSS, &[high, low]) => Self::Mss(u16::from_be_bytes([high, low])),
            (option::WINDOW_SCALE, &[shift]) => Self::WindowScale(shift),
            (option::SACK_PERMITTED, []) => Self::SackPermitted,
            (option::SACK, blocks) if blocks.len() % 8 == 0 => {
                let blocks = blocks.chunks(8).filter_map(|block| {
                    let (from, to) = block.split_at(4);
                    Some((number(from)?, number(to)?))
                });
                Self::Sack(blocks.collect())
            }
            (option::TIMESTAMPS, clocks) if clocks.len() == 8 => {
                let (value, echo) = clocks.split_at(4);
                Self::Timestamps {
                    value: number(value).unwrap_or(0),
                    echo: number(echo).unwrap_or(0),
                }
            }
            (kind, data) => Self::Other {
                kind,
                data: data.to_vec(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use netstack::ip::IpAddress;

    use super::*;
    use crate::script::Script;
    use crate::script::event::Action;

    const PORTS: Ports = Ports {
        local: 80,
        remote: 1001,
    };

    fn packet(text: &str) -> Packet {
        let script = Script::parse(&format!("0 < {text}"), Family::V4).unwrap();
        match &script.events[0].action {
            Action::Inject(packet) => packet.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The packet as if we had sent it: with the ends exchanged.
    fn ours<I: TestIp>(mut octets: Vec<u8>) -> Vec<u8> {
        let (src, dst) = (
            I::HEADER_LEN - 2 * I::Addr::LEN,
            I::HEADER_LEN - I::Addr::LEN,
        );
        let swapped = [&octets[dst..I::HEADER_LEN], &octets[src..dst]].concat();
        octets[src..I::HEADER_LEN].copy_from_slice(&swapped);
        octets
    }

    fn sent(family: Family, octets: Vec<u8>) -> Result<Sent, SentError> {
        let octets = match family {
            Family::V4 => ours::<V4>(octets),
            Family::V6 => ours::<V6>(octets),
        };
        decode(family, &octets)
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in [
            "[tos 0x02, ttl 9] S 0:0(0) win 8000 <mss 1460,sackOK,TS val 100 ecr 7,nop,wscale 7>",
            "[tos 0x03, ttl 64] PU. 1:101(100) ack 9 win 257 urg 3 <nop,nop,sack 1:2 3:4>",
            "[tos 0xff, ttl 255] - 5:5(0) win 1 <eol,eol,eol,eol>",
        ] {
            for family in [Family::V4, Family::V6] {
                let mut packet = packet(text);
                let len = match &packet.body {
                    Body::Tcp(tcp) => usize::from(tcp.len),
                    Body::Icmp(_) => 0,
                };
                let sent = sent(family, encode(family, &packet, PORTS, vec![7; len])).unwrap();
                packet.ports = Some((PORTS.remote, PORTS.local));
                assert_eq!(sent.packet, packet, "{text}");
                assert_eq!(sent.payload, vec![7; len]);
            }
        }
    }

    #[test]
    fn every_octet_that_is_changed_is_noticed() {
        let packet = packet("[tos 0x00, ttl 64] P. 1:4(3) ack 9 win 257 <mss 5>");
        for family in [Family::V4, Family::V6] {
            let octets = encode(family, &packet, PORTS, vec![1, 2, 3]);
            let right = sent(family, octets.clone()).unwrap();
            // Scripts do not speak of the flow label.
            let label = |at: &usize| family == Family::V6 && matches!(at, 2 | 3);
            for at in (0..octets.len()).filter(|at| !label(at)) {
                let mut wrong = octets.clone();
                wrong[at] ^= 0x10;
                let decoded = sent(family, wrong);
                assert_ne!(decoded.as_ref(), Ok(&right), "octet {at}");
            }
        }
    }

    #[test]
    fn errors_quote_the_segment_they_are_about() {
        let packet = packet("icmp unreachable host_unreachable [77:177(100)]");
        let octets = encode(Family::V6, &packet, PORTS, Vec::new());
        let message = &octets[ipv6::HEADER_LEN..];
        let quoted = netstack::wire::icmp::parse_quoted::<V6>(&message[ICMP_HEADER_LEN..]).unwrap();
        assert_eq!(quoted.tcp_seq, Some(77));
        assert_eq!((quoted.flow.sport, quoted.flow.dport), (80, 1001));
        assert_eq!(quoted.flow.src, V6::US);
    }
}
