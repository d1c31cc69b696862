//! Frames that tests send: small functions that build them, for both IP versions.
//!
//! Everything is right unless asked otherwise: lengths, checksums, addresses of a client on the
//! link. What is to be wrong is made wrong afterwards, or by a field.

use core::net::{Ipv4Addr, Ipv6Addr};

use netstack::icmp::AnswerIp;
use netstack::io::PacketBuf;
use netstack::io::mem::MemPool;
use netstack::ip::{Ip, V4, V6};
use netstack::neighbor::Speaker;
use netstack::tcp::TcpIp;
use netstack::wire::ethernet::{self, MacAddr};
use netstack::wire::icmp::Message;
use netstack::wire::ip_header::Header;
use netstack::wire::tcp::Flags;
use netstack::wire::{checksum, icmp, ipv4, ipv6, ipv6_ext, ndp, tcp, udp};
use proxy::host::HostIp;

/// The MAC address of the station.
pub const US_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The MAC address of the client.
pub const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
/// The MAC address of the backend.
pub const BACKEND_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x64]);

/// An IP version, with the addresses of everybody on the link.
pub trait TestIp: HostIp + AnswerIp + TcpIp {
    /// The station's address.
    const US: Self::Addr;
    /// A client's address.
    const CLIENT: Self::Addr;
    /// The backend's address.
    const BACKEND: Self::Addr;
    /// An address on the link that nobody has.
    const NOBODY: Self::Addr;
    /// The address that only means the host itself.
    const LOOPBACK: Self::Addr;
    /// A group that the station is not in.
    const GROUP: Self::Addr;
    /// Where a packet says how long it is.
    const LEN_OFFSET: usize;

    /// Makes the header's own checksum right again, if it has one.
    fn mend(packet: &mut [u8]);

    /// Takes a packet apart that must be right in all it says.
    ///
    /// # Panics
    /// If it is not.
    fn open(packet: &[u8]) -> Opened<'_, Self>;
}

/// An IP packet, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'p, I: Ip> {
    /// From where.
    pub src: I::Addr,
    /// To whom.
    pub dst: I::Addr,
    /// What it carries.
    pub protocol: u8,
    /// Hops it may take.
    pub hop_limit: u8,
    /// What stands behind all headers of IP.
    pub upper: &'p [u8],
}

impl TestIp for V4 {
    const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    const BACKEND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
    const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
    const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 5);
    const LEN_OFFSET: usize = ipv4::TOTAL_LEN_OFFSET;

    fn mend(packet: &mut [u8]) {
        let header_len = usize::from(packet[0] & 15) * 4;
        packet[ipv4::CHECKSUM_OFFSET..ipv4::CHECKSUM_OFFSET + 2].fill(0);
        let sum = checksum::checksum(&packet[..header_len]);
        packet[ipv4::CHECKSUM_OFFSET..ipv4::CHECKSUM_OFFSET + 2]
            .copy_from_slice(&sum.to_be_bytes());
    }

    fn open(packet: &[u8]) -> Opened<'_, Self> {
        let header = ipv4::Header::parse(packet).expect("an IPv4 packet");
        assert_eq!(header.total_len, packet.len(), "the length of a packet");
        assert!(ipv4::verify_checksum(packet), "the header checksum");
        assert!(!header.is_fragment(), "a fragment");
        Opened {
            src: header.src,
            dst: header.dst,
            protocol: header.protocol,
            hop_limit: header.ttl,
            upper: header.payload(packet),
        }
    }
}

impl TestIp for V6 {
    const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
    const BACKEND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x64);
    const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
    const LOOPBACK: Ipv6Addr = Ipv6Addr::LOCALHOST;
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5);
    const LEN_OFFSET: usize = ipv6::PAYLOAD_LEN_OFFSET;

    fn mend(_packet: &mut [u8]) {}

    fn open(packet: &[u8]) -> Opened<'_, Self> {
        let header = ipv6::Header::parse(packet).expect("an IPv6 packet");
        let payload = header.payload(packet);
        assert_eq!(
            ipv6::HEADER_LEN + payload.len(),
            packet.len(),
            "the length of a packet"
        );
        let upper = ipv6_ext::walk(header.next_header, payload).expect("extension headers");
        assert!(upper.fragment.is_none(), "a fragment");
        Opened {
            src: header.src,
            dst: header.dst,
            protocol: upper.protocol,
            hop_limit: header.hop_limit,
            upper: &payload[upper.offset..],
        }
    }
}

/// A frame from the client to the station.
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    ethernet_between(CLIENT_MAC, US_MAC, ethertype, payload)
}

/// A frame.
pub fn ethernet_between(
    source: MacAddr,
    destination: MacAddr,
    ethertype: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN];
    ethernet::Header {
        destination,
        source,
        ethertype,
    }
    .emit(&mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// A frame from the client to the station with an IP packet.
pub fn framed<I: Ip>(packet: &[u8]) -> Vec<u8> {
    ethernet(I::ETHERTYPE, packet)
}

/// An IP packet.
pub fn packet<I: TestIp>(src: I::Addr, dst: I::Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    packet_with_hops::<I>(src, dst, protocol, 64, payload)
}

/// An IP packet that may pass so many routers.
pub fn packet_with_hops<I: TestIp>(
    src: I::Addr,
    dst: I::Addr,
    protocol: u8,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0; I::HEADER_LEN];
    let header = Header::<I> {
        src,
        dst,
        protocol,
        hop_limit,
        ecn: 0,
        payload_len: payload.len(),
    };
    I::emit_header(&header, &mut packet);
    packet.extend_from_slice(payload);
    packet
}

/// The IPv4 packet with `options`, a multiple of 4 octets, in its header.
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let (header, payload) = packet.split_at(ipv4::HEADER_LEN);
    let mut longer = [header, options, payload].concat();
    longer[0] += (options.len() / 4) as u8;
    let len = longer.len() as u16;
    longer[ipv4::TOTAL_LEN_OFFSET..ipv4::TOTAL_LEN_OFFSET + 2].copy_from_slice(&len.to_be_bytes());
    V4::mend(&mut longer);
    longer
}

/// The IPv6 packet with extension headers, each given by its number and by its octets but the
/// first, which names what follows.
pub fn with_extensions(packet: &[u8], extensions: &[(u8, &[u8])]) -> Vec<u8> {
    use ipv6::{HEADER_LEN, NEXT_HEADER_OFFSET, PAYLOAD_LEN_OFFSET};
    let (header, payload) = packet.split_at(HEADER_LEN);
    let mut longer = header.to_vec();
    let mut named_at = NEXT_HEADER_OFFSET;
    let upper = header[NEXT_HEADER_OFFSET];
    for (kind, rest) in extensions {
        longer[named_at] = *kind;
        named_at = longer.len();
        longer.push(upper);
        longer.extend_from_slice(rest);
    }
    longer.extend_from_slice(payload);
    let len = (longer.len() - HEADER_LEN) as u16;
    longer[PAYLOAD_LEN_OFFSET..PAYLOAD_LEN_OFFSET + 2].copy_from_slice(&len.to_be_bytes());
    longer
}

/// A TCP segment, from the client to the listener unless it says otherwise.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window.
    pub window: u16,
    /// Options as they stand in the header; padded with zeros to a multiple of 4, at most 40.
    pub options: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Tcp {
    /// A segment without payload and options.
    pub fn new(flags: Flags) -> Self {
        Self {
            sport: 4000,
            dport: 80,
            seq: 1000,
            ack: 0,
            flags,
            window: 8192,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// The segment with a right checksum.
    pub fn segment<I: Ip>(&self, src: I::Addr, dst: I::Addr) -> Vec<u8> {
        let header = tcp::Header {
            sport: self.sport,
            dport: self.dport,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: 0,
            header_len: tcp::HEADER_LEN,
            options: tcp::Options::default(),
        };
        let options_len = self.options.len().next_multiple_of(4).min(40);
        let mut segment = vec![0; tcp::HEADER_LEN + options_len];
        header.emit(&mut segment);
        let header_len = segment.len();
        segment[tcp::DATA_OFFSET_OFFSET] = (header_len / 4) as u8 * 16;
        for (to, from) in segment[tcp::HEADER_LEN..].iter_mut().zip(&self.options) {
            *to = *from;
        }
        segment.extend_from_slice(&self.payload);
        tcp::fill_checksum::<I>(src, dst, &mut segment);
        segment
    }

    /// The packet from `src` to `dst`.
    pub fn between<I: TestIp>(&self, src: I::Addr, dst: I::Addr) -> Vec<u8> {
        packet::<I>(src, dst, tcp::PROTOCOL, &self.segment::<I>(src, dst))
    }

    /// The packet from the client to the station.
    pub fn packet<I: TestIp>(&self) -> Vec<u8> {
        self.between::<I>(I::CLIENT, I::US)
    }

    /// The frame from the client to the station.
    pub fn frame<I: TestIp>(&self) -> Vec<u8> {
        framed::<I>(&self.packet::<I>())
    }
}

/// A UDP datagram from the client, with a right checksum.
pub fn udp<I: TestIp>(dport: u16, payload: &[u8]) -> Vec<u8> {
    let len = udp::HEADER_LEN + payload.len();
    let mut datagram = vec![0; udp::HEADER_LEN];
    udp::Header {
        sport: 4000,
        dport,
        len,
        checksum: 0,
    }
    .emit(&mut datagram);
    datagram.extend_from_slice(payload);
    udp::fill_checksum::<I>(I::CLIENT, I::US, &mut datagram);
    datagram
}

/// An ICMP message between two addresses, with a right checksum.
pub fn icmp<I: TestIp>(src: I::Addr, dst: I::Addr, message: Message, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; icmp::HEADER_LEN];
    message.emit::<I>(&mut octets);
    octets.extend_from_slice(payload);
    icmp::fill_checksum::<I>(src, dst, &mut octets);
    octets
}

/// A frame with an ICMP message from the client to the station.
pub fn icmp_frame<I: TestIp>(message: Message, payload: &[u8]) -> Vec<u8> {
    let octets = icmp::<I>(I::CLIENT, I::US, message, payload);
    framed::<I>(&packet::<I>(I::CLIENT, I::US, I::ICMP_PROTOCOL, &octets))
}

/// The frame with which a station asks everybody who has `target`.
pub fn neighbor_request<I: TestIp>(addr: I::Addr, mac: MacAddr, target: I::Addr) -> Vec<u8> {
    with_buffer(|buffer| {
        let _ = I::emit_request(buffer, Speaker { addr, mac }, target, None);
    })
}

/// The frame with which a station tells everybody its MAC address, unasked.
pub fn neighbor_announcement<I: TestIp>(addr: I::Addr, mac: MacAddr) -> Vec<u8> {
    with_buffer(|buffer| {
        let _ = I::emit_announcement(buffer, Speaker { addr, mac });
    })
}

/// A neighbor discovery packet.
pub fn ndp(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, message: ndp::Message) -> Vec<u8> {
    let mut octets = vec![0; message.emit_len()];
    message.emit(src, dst, &mut octets);
    packet_with_hops::<V6>(src, dst, V6::ICMP_PROTOCOL, hop_limit, &octets)
}

fn with_buffer(emit: impl FnOnce(&mut netstack::io::mem::MemBuf)) -> Vec<u8> {
    let mut buffer = MemPool::new(1, super::MTU)
        .alloc()
        .expect("a fresh pool has a buffer");
    emit(&mut buffer);
    buffer.data().to_vec()
}
