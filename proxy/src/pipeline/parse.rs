//! Looks at each received frame once.
//!
//! * **In**: frames as received, or IP packets that another worker handed over.
//! * **Out lanes** ([`Lanes`]): ARP; for each IP version TCP (header parsed, checksum verified,
//!   options and extension headers of IP removed), ICMP, and everything else.
//! * **Drops**: whatever is malformed, not for us, or could only be an attack.
//!
//! A packet in a lane begins at its IP header and ends where IP says it does. Checks follow
//! RFC 1122 section 3.2.1 and RFC 8200.

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::{Burst, ChecksumStatus, PacketBuf, PortId, RxChecksum};
use netstack::ip::{FiveTuple, Ip, IpAddress, NetworkId, V4, V6};
use netstack::route::LocalAddresses;
use netstack::tcp::{ConnId, Segment, TcpIp};
use netstack::wire::checksum::{Sum, pseudo_header};
use netstack::wire::ethernet::{self, MacAddr, ethertype};
use netstack::wire::icmp::IcmpIp;
use netstack::wire::{ParseError, ipv4, ipv6, ipv6_ext, tcp};

use super::runs::Runs;
use crate::handover::{Kind, Message};
use crate::host::Host;

/// An IP packet for us that is not TCP.
#[derive(Debug)]
pub struct IpPacket<I: Ip, B> {
    /// The port it arrived on.
    pub port: PortId,
    /// The station that sent its frame; zero if another worker received it.
    pub frame_source: MacAddr,
    /// Source address.
    pub src: I::Addr,
    /// Destination address: ours, or a group that we listen to.
    pub dst: I::Addr,
    /// What it carries.
    pub protocol: u8,
    /// Where in the packet that is said; 0 for IPv4, whose errors do not tell.
    pub protocol_at: u32,
    /// Hops it had left.
    pub hop_limit: u8,
    /// Where in the packet the upper-layer protocol begins.
    pub offset: usize,
    /// The packet, from its IP header.
    pub packet: B,
}

impl<I: Ip, B: PacketBuf> IpPacket<I, B> {
    /// What the packet carries: the upper-layer protocol's octets.
    pub fn upper(&self) -> &[u8] {
        self.packet.data().get(self.offset..).unwrap_or_default()
    }
}

/// A TCP segment for us.
#[derive(Debug)]
pub struct TcpPacket<I: Ip, B> {
    /// The port it arrived on.
    pub port: PortId,
    /// Its flow.
    pub flow: FiveTuple<I>,
    /// The segment.
    pub segment: Segment<B>,
    /// Its connection, very likely; `None` until that is looked up.
    pub guess: Option<ConnId>,
    /// How many workers were asked before whether it is of a connection of theirs.
    pub asked: u16,
}

/// Packets of one IP version, sorted.
#[derive(Debug)]
pub struct IpLanes<I: Ip, B> {
    /// TCP segments; those that were handled with an earlier one are gone.
    pub tcp: Vec<Option<TcpPacket<I, B>>>,
    /// Which of them are handled together.
    pub runs: Runs,
    /// ICMP messages.
    pub icmp: Vec<IpPacket<I, B>>,
    /// Everything else.
    pub other: Vec<IpPacket<I, B>>,
}

/// Packets, sorted. Emptied every turn; never grows beyond what it was made for.
#[derive(Debug)]
pub struct Lanes<B> {
    /// ARP packets, with their Ethernet header.
    pub arp: Vec<(PortId, B)>,
    /// IPv4.
    pub v4: IpLanes<V4, B>,
    /// IPv6.
    pub v6: IpLanes<V6, B>,
}

impl<I: Ip, B> IpLanes<I, B> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            tcp: Vec::with_capacity(capacity),
            runs: Runs::with_capacity(capacity),
            icmp: Vec::with_capacity(capacity),
            other: Vec::with_capacity(capacity),
        }
    }
}

impl<I: Ip, B> IpLanes<I, B> {
    /// The flows of the TCP segments that are not handled with an earlier one.
    pub fn heads(&self) -> impl Iterator<Item = &FiveTuple<I>> {
        let packets = self.tcp.iter().enumerate();
        packets.filter_map(|(index, packet)| {
            let packet = packet.as_ref()?;
            (!self.runs.follows(index)).then_some(&packet.flow)
        })
    }
}

impl<B> Lanes<B> {
    /// Lanes for `capacity` packets a turn, all of which may be of one kind.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            arp: Vec::with_capacity(capacity),
            v4: IpLanes::with_capacity(capacity),
            v6: IpLanes::with_capacity(capacity),
        }
    }
}

/// How a packet arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The port.
    pub port: PortId,
    /// The station that sent the frame.
    pub frame_source: MacAddr,
    /// The frame was for a group of stations.
    pub to_group: bool,
    /// How many workers were asked before whose it is.
    pub asked: u16,
}

/// Counts what a port gave.
pub fn count_received<B: PacketBuf>(burst: &Burst<B>, counters: &Counters) {
    let octets = burst.iter().map(|frame| frame.data().len() as u64);
    counters.add(Event::RxBytes, octets.sum());
    counters.add(Event::RxFrames, burst.len() as u64);
}

/// Sorts one frame that arrived on `port`, whose MAC address is `mac`.
pub fn process<B: PacketBuf>(
    host: &Host,
    port: PortId,
    mac: MacAddr,
    frame: B,
    lanes: &mut Lanes<B>,
    counters: &Counters,
) {
    if let Err(reason) = sort(host, port, mac, frame, lanes) {
        counters.drop_packet(reason);
    }
}

/// Sorts one packet that another worker received, on a port whose MAC address is `mac`.
pub fn process_handed_over<B: PacketBuf>(
    host: &Host,
    mac: MacAddr,
    message: Message<B>,
    lanes: &mut Lanes<B>,
    counters: &Counters,
) {
    counters.increment(Event::TakenOver);
    let Message { port, kind, packet } = message;
    let asked = match kind {
        Kind::Frame => {
            if let Err(reason) = sort(host, port, mac, packet, lanes) {
                counters.drop_packet(reason);
            }
            return;
        }
        Kind::Packet => 0,
        Kind::Stray { asked } => asked,
    };
    let version = packet.data().first().map_or(0, |octet| octet >> 4);
    let arrival = Arrival {
        port,
        frame_source: MacAddr::default(),
        to_group: false,
        asked,
    };
    let result = if version == V4::VERSION {
        sort_ip(&host.v4.local, arrival, packet, &mut lanes.v4)
    } else {
        sort_ip(&host.v6.local, arrival, packet, &mut lanes.v6)
    };
    if let Err(reason) = result {
        counters.drop_packet(reason);
    }
}

fn sort<B: PacketBuf>(
    host: &Host,
    port: PortId,
    mac: MacAddr,
    mut frame: B,
    lanes: &mut Lanes<B>,
) -> Result<(), DropReason> {
    let header = ethernet::Header::parse(frame.data()).map_err(|_| DropReason::FrameTruncated)?;
    let to_group = header.destination.is_multicast();
    if !to_group && header.destination != mac {
        return Err(DropReason::FrameNotForUs);
    }
    let arrival = Arrival {
        port,
        frame_source: header.source,
        to_group,
        asked: 0,
    };
    match header.ethertype {
        ethertype::ARP => {
            lanes.arp.push((port, frame));
            Ok(())
        }
        ethertype::IPV4 => {
            frame.trim_front(ethernet::HEADER_LEN);
            sort_ip(&host.v4.local, arrival, frame, &mut lanes.v4)
        }
        ethertype::IPV6 => {
            frame.trim_front(ethernet::HEADER_LEN);
            sort_ip(&host.v6.local, arrival, frame, &mut lanes.v6)
        }
        ethertype::VLAN | ethertype::SERVICE_VLAN => Err(DropReason::VlanUnexpected),
        _ => Err(DropReason::EtherTypeUnknown),
    }
}

/// What the stage needs of an IP header.
#[derive(Clone, Copy, Debug)]
pub struct IpView<I: Ip> {
    src: I::Addr,
    dst: I::Addr,
    protocol: u8,
    protocol_at: u32,
    hop_limit: u8,
    /// Octets before the upper-layer protocol.
    offset: usize,
    /// Octets of the packet.
    len: usize,
}

/// How an IP version's header is read and shortened.
pub trait ParseIp: TcpIp + IcmpIp {
    /// Reads the header of `packet`.
    fn view(packet: &[u8], checksum: RxChecksum) -> Result<IpView<Self>, DropReason>;

    /// Makes `packet`, whose first [`Ip::HEADER_LEN`] octets were moved next to the upper layer,
    /// say so: nothing stands between the two any more.
    fn close_up(packet: &mut [u8], protocol: u8);

    /// Whether `dst` is a group that this host listens to.
    fn is_group_of_ours(dst: Self::Addr) -> bool;
}

impl ParseIp for V4 {
    fn view(packet: &[u8], checksum: RxChecksum) -> Result<IpView<Self>, DropReason> {
        let header = ipv4::Header::parse(packet).map_err(ip_error)?;
        let intact = match checksum.ip {
            ChecksumStatus::Good => true,
            ChecksumStatus::Bad => false,
            ChecksumStatus::Unknown => ipv4::verify_checksum(packet),
        };
        if !intact {
            return Err(DropReason::Ipv4BadChecksum);
        }
        if header.source_route {
            return Err(DropReason::Ipv4SourceRoute);
        }
        if header.is_fragment() {
            return Err(DropReason::IpFragment);
        }
        Ok(IpView {
            src: header.src,
            dst: header.dst,
            protocol: header.protocol,
            protocol_at: 0,
            hop_limit: header.ttl,
            offset: header.header_len,
            len: header.total_len,
        })
    }

    fn close_up(packet: &mut [u8], _protocol: u8) {
        packet[0] = 0x45;
        let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        packet[ipv4::TOTAL_LEN_OFFSET..ipv4::TOTAL_LEN_OFFSET + 2]
            .copy_from_slice(&len.to_be_bytes());
        // Whoever gets the packet handed over verifies it again.
        ipv4::fill_checksum(packet);
    }

    fn is_group_of_ours(_dst: Self::Addr) -> bool {
        false
    }
}

impl ParseIp for V6 {
    fn view(packet: &[u8], _checksum: RxChecksum) -> Result<IpView<Self>, DropReason> {
        let header = ipv6::Header::parse(packet).map_err(ip_error)?;
        let upper = ipv6_ext::walk(header.next_header, header.payload(packet))
            .map_err(|_| DropReason::Ipv6BadExtensionHeader)?;
        if upper.fragment.is_some() {
            return Err(DropReason::IpFragment);
        }
        Ok(IpView {
            src: header.src,
            dst: header.dst,
            protocol: upper.protocol,
            protocol_at: upper
                .named_at
                .map_or(ipv6::NEXT_HEADER_OFFSET, |at| Self::HEADER_LEN + at)
                as u32,
            hop_limit: header.hop_limit,
            offset: Self::HEADER_LEN + upper.offset,
            len: Self::HEADER_LEN + header.payload_len,
        })
    }

    fn close_up(packet: &mut [u8], protocol: u8) {
        packet[ipv6::NEXT_HEADER_OFFSET] = protocol;
        let len = u16::try_from(packet.len() - Self::HEADER_LEN).unwrap_or(u16::MAX);
        packet[ipv6::PAYLOAD_LEN_OFFSET..ipv6::PAYLOAD_LEN_OFFSET + 2]
            .copy_from_slice(&len.to_be_bytes());
    }

    fn is_group_of_ours(dst: Self::Addr) -> bool {
        // RFC 4291 section 2.8: all nodes, and the solicited-node groups of our addresses; whose
        // they are, neighbor discovery finds out.
        let segments = dst.segments();
        dst.octets()[..2] == [0xff, 0x02]
            && (segments[1..7] == [0; 6] && segments[7] == 1
                || segments[1..6] == [0, 0, 0, 0, 1] && segments[6] >> 8 == 0xff)
    }
}

fn ip_error(error: ParseError) -> DropReason {
    match error {
        ParseError::Truncated => DropReason::IpTruncated,
        ParseError::Malformed | ParseError::Checksum => DropReason::IpMalformed,
    }
}

/// Sorts one IP packet of a known version.
fn sort_ip<I: ParseIp, B: PacketBuf>(
    local: &LocalAddresses<I>,
    arrival: Arrival,
    mut packet: B,
    lanes: &mut IpLanes<I, B>,
) -> Result<(), DropReason> {
    let view = I::view(packet.data(), packet.rx_checksum())?;
    // A frame is at least 60 octets long; what follows the packet is padding.
    packet.truncate(view.len);
    check_addresses(local, &view, arrival.to_group)?;
    if view.protocol == tcp::PROTOCOL {
        let packet = parse_tcp(arrival, &view, packet)?;
        lanes.tcp.push(Some(packet));
        return Ok(());
    }
    let packet = IpPacket {
        port: arrival.port,
        frame_source: arrival.frame_source,
        src: view.src,
        dst: view.dst,
        protocol: view.protocol,
        protocol_at: view.protocol_at,
        hop_limit: view.hop_limit,
        offset: view.offset,
        packet,
    };
    if view.protocol == I::ICMP_PROTOCOL {
        lanes.icmp.push(packet);
    } else {
        lanes.other.push(packet);
    }
    Ok(())
}

/// RFC 1122 sections 3.2.1.3 and 3.3.6: addresses that cannot be, and frames for everybody that
/// carry a packet for one.
fn check_addresses<I: ParseIp>(
    local: &LocalAddresses<I>,
    view: &IpView<I>,
    to_group: bool,
) -> Result<(), DropReason> {
    // A host that has no address yet may ask by neighbor discovery who has the one it wants.
    let asks_for_address =
        view.src == I::Addr::UNSPECIFIED && view.protocol == V6::ICMP_PROTOCOL && I::VERSION == 6;
    // An answer to ourselves would wait for a neighbor that never answers. Land attacks have a
    // reason of their own.
    let from_us = local.contains(NetworkId::BARE, view.src)
        && !(view.protocol == tcp::PROTOCOL && view.src == view.dst);
    if (!view.src.is_unicast() && !asks_for_address)
        || view.src.is_loopback()
        || local.is_broadcast(NetworkId::BARE, view.src)
        || from_us
    {
        return Err(DropReason::MartianSource);
    }
    if view.dst == I::Addr::UNSPECIFIED || view.dst.is_loopback() {
        return Err(DropReason::MartianDestination);
    }
    if I::is_group_of_ours(view.dst) {
        return if view.protocol == I::ICMP_PROTOCOL {
            Ok(())
        } else {
            Err(DropReason::NotLocal)
        };
    }
    if !local.contains(NetworkId::BARE, view.dst) {
        return Err(DropReason::NotLocal);
    }
    if to_group {
        return Err(DropReason::MartianDestination);
    }
    Ok(())
}

fn parse_tcp<I: ParseIp, B: PacketBuf>(
    arrival: Arrival,
    view: &IpView<I>,
    mut packet: B,
) -> Result<TcpPacket<I, B>, DropReason> {
    let octets = &packet.data()[view.offset..];
    let header = tcp::Header::parse(octets).map_err(tcp_error)?;
    let mut payload_sum = None;
    let intact = match packet.rx_checksum().l4 {
        ChecksumStatus::Good => true,
        ChecksumStatus::Bad => false,
        ChecksumStatus::Unknown => {
            let (front, payload) = octets.split_at(header.header_len);
            let mut payload_alone = Sum::new();
            payload_alone.add_octets(payload);
            payload_sum = Some(payload_alone.folded());
            let mut sum = pseudo_header::<I>(view.src, view.dst, tcp::PROTOCOL, octets.len());
            sum.add_octets(front);
            sum.add_summed(payload_alone.folded(), payload.len());
            sum.is_valid()
        }
    };
    if !intact {
        return Err(DropReason::TcpBadChecksum);
    }
    if !header.flags.is_sane() {
        return Err(DropReason::TcpBadFlags);
    }
    if header.sport == 0 || header.dport == 0 {
        return Err(DropReason::TcpBadPort);
    }
    if view.src == view.dst {
        return Err(DropReason::TcpLand);
    }
    let between = view.offset - I::HEADER_LEN;
    if between > 0 {
        packet.data_mut().copy_within(..I::HEADER_LEN, between);
        packet.trim_front(between);
        I::close_up(packet.data_mut(), view.protocol);
    }
    let flow = FiveTuple {
        src: view.src,
        dst: view.dst,
        sport: header.sport,
        dport: header.dport,
        protocol: tcp::PROTOCOL,
    };
    let segment = Segment {
        packet,
        tcp_offset: I::HEADER_LEN,
        header,
        payload_sum,
    };
    Ok(TcpPacket {
        port: arrival.port,
        flow,
        segment,
        guess: None,
        asked: arrival.asked,
    })
}

fn tcp_error(error: ParseError) -> DropReason {
    match error {
        ParseError::Truncated => DropReason::TcpMalformed,
        // What the parser calls malformed are the options.
        ParseError::Malformed | ParseError::Checksum => DropReason::TcpBadOptions,
    }
}
