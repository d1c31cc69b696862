//! What a TCP packet lacks before it is a frame: checksums, and how a port is to cut it.
//!
//! Packets come from TCP with their headers in the buffer and payload there or attached. Checksums
//! are filled in here, or by the port where it offers that: it then wants the sum of the
//! pseudo-header in the field. A packet that is to leave as several segments leaves as one frame,
//! with the size of the segments; there the port adds each segment's own length to that sum.

use core::num::NonZeroU16;

use netstack::drop::DropReason;
use netstack::io::{Capabilities, L4Checksum, PacketBuf, TxOffload};
use netstack::ip::{Ip, IpAddress, V4, V6};
use netstack::wire::checksum::pseudo_header;
use netstack::wire::{ethernet, ipv4, ipv6, tcp};

/// The longest packet whose length its header can state: 16 bits, of which IPv6 does not count
/// its own header. Drivers of both versions stop here.
const LONGEST_PACKET: usize = u16::MAX as usize;

/// What the stage needs of an IP version.
pub(super) trait TransmitIp: Ip {
    /// Where the source address stands in the header; the destination follows.
    const SRC_OFFSET: usize;
    /// Where the header names the protocol.
    const PROTOCOL_OFFSET: usize;

    /// Fills in the header's own checksum, if it has one.
    fn fill_header_checksum(packet: &mut [u8]);

    /// Leaves the header's own checksum, if it has one, to the port.
    fn clear_header_checksum(packet: &mut [u8]);

    /// Whether the port fills that in.
    fn offloads_header_checksum(capabilities: &Capabilities) -> bool;

    /// Whether there is one at all.
    const HAS_HEADER_CHECKSUM: bool;

    /// The longest packet that the port cuts into segments.
    fn segmentation_limit(capabilities: &Capabilities) -> Option<usize>;
}

impl TransmitIp for V4 {
    const SRC_OFFSET: usize = ipv4::SRC_OFFSET;
    const PROTOCOL_OFFSET: usize = ipv4::PROTOCOL_OFFSET;
    const HAS_HEADER_CHECKSUM: bool = true;

    fn fill_header_checksum(packet: &mut [u8]) {
        ipv4::fill_checksum(packet);
    }

    fn clear_header_checksum(packet: &mut [u8]) {
        packet[ipv4::CHECKSUM_OFFSET..ipv4::CHECKSUM_OFFSET + 2].fill(0);
    }

    fn offloads_header_checksum(capabilities: &Capabilities) -> bool {
        capabilities.tx_checksum.ipv4
    }

    fn segmentation_limit(capabilities: &Capabilities) -> Option<usize> {
        capabilities.tso_ipv4.map(|limit| limit.min(LONGEST_PACKET))
    }
}

impl TransmitIp for V6 {
    const SRC_OFFSET: usize = ipv6::SRC_OFFSET;
    const PROTOCOL_OFFSET: usize = ipv6::NEXT_HEADER_OFFSET;
    const HAS_HEADER_CHECKSUM: bool = false;

    fn fill_header_checksum(_packet: &mut [u8]) {}

    fn clear_header_checksum(_packet: &mut [u8]) {}

    fn offloads_header_checksum(_capabilities: &Capabilities) -> bool {
        false
    }

    fn segmentation_limit(capabilities: &Capabilities) -> Option<usize> {
        capabilities.tso_ipv6.map(|limit| limit.min(LONGEST_PACKET))
    }
}

/// Source and destination of a packet; `None` if it is shorter than its header.
pub(super) fn addresses<I: TransmitIp>(packet: &[u8]) -> Option<(I::Addr, I::Addr)> {
    let (header, _) = packet.split_at_checked(I::HEADER_LEN)?;
    let src = I::Addr::from_octets(&header[I::SRC_OFFSET..])?;
    let dst = I::Addr::from_octets(&header[I::SRC_OFFSET + I::Addr::LEN..])?;
    Some((src, dst))
}

/// What is known of the payload of a TCP packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TcpPayload {
    /// The port is to make segments with at most so many octets of it.
    pub(super) segment_size: Option<NonZeroU16>,
    /// Its ones' complement sum, folded.
    pub(super) sum: Option<u16>,
}

/// Fills in the checksums of a TCP packet, or asks the port to, and to make segments of at most
/// the payload's `segment_size` where it has more. It has neither IP options nor extension
/// headers, as TCP writes none. Packets of other protocols come with their checksums.
///
/// # Errors
/// If the packet, or the largest of its segments, is longer than the port's MTU, or the packet is
/// longer than what the port cuts.
pub(super) fn complete<I: TransmitIp, B: PacketBuf>(
    packet: &mut B,
    src: I::Addr,
    dst: I::Addr,
    payload: TcpPayload,
    capabilities: &Capabilities,
) -> Result<(), DropReason> {
    let Some(l4_len) = tcp_header_len::<I>(packet.data()) else {
        return fits(packet.packet_len(), capabilities);
    };
    let headers = I::HEADER_LEN + usize::from(l4_len);
    let cut = payload
        .segment_size
        .filter(|size| packet.packet_len() > headers + usize::from(size.get()));
    if let Some(size) = cut {
        fits(headers + usize::from(size.get()), capabilities)?;
        // Whoever made the packet was told the limit of all ports.
        if packet.packet_len() > I::segmentation_limit(capabilities).unwrap_or(0) {
            return Err(DropReason::TooBig);
        }
    } else {
        fits(packet.packet_len(), capabilities)?;
    }

    // A port that makes segments writes their IP headers.
    let by_port = cut.is_some() && I::HAS_HEADER_CHECKSUM;
    let ip_checksum = by_port || I::offloads_header_checksum(capabilities);
    if ip_checksum {
        I::clear_header_checksum(packet.data_mut());
    } else {
        I::fill_header_checksum(packet.data_mut());
    }
    if cut.is_none() && !capabilities.tx_checksum.tcp {
        let checksum = full_checksum::<I, B>(packet, src, dst, (headers, payload.sum));
        write_tcp_checksum::<I, B>(packet, checksum);
        return Ok(());
    }
    // The device adds the segment to the sum of the pseudo-header that it finds in the field; of
    // a packet that it cuts, each segment's length too.
    let len = match cut {
        Some(_) => 0,
        None => packet.packet_len() - I::HEADER_LEN,
    };
    let sum = pseudo_header::<I>(src, dst, tcp::PROTOCOL, len).folded();
    write_tcp_checksum::<I, B>(packet, sum);
    packet.set_tx_offload(TxOffload {
        ip_version: I::VERSION,
        l2_len: ethernet::HEADER_LEN as u8,
        l3_len: I::HEADER_LEN as u16,
        l4_len,
        ip_checksum,
        l4_checksum: Some(L4Checksum::Tcp),
        tso_segment_size: cut.map(NonZeroU16::get),
    });
    Ok(())
}

fn fits(packet_len: usize, capabilities: &Capabilities) -> Result<(), DropReason> {
    if packet_len > capabilities.mtu {
        return Err(DropReason::TooBig);
    }
    Ok(())
}

/// Octets of the TCP header with options; `None` if it is another protocol's packet or is cut off.
fn tcp_header_len<I: TransmitIp>(data: &[u8]) -> Option<u8> {
    let segment = data.get(I::HEADER_LEN..)?;
    if data[I::PROTOCOL_OFFSET] != tcp::PROTOCOL || segment.len() < tcp::HEADER_LEN {
        return None;
    }
    Some((segment[tcp::DATA_OFFSET_OFFSET] >> 4) * 4)
}

/// The TCP checksum of a packet with so many octets of headers and this sum of the rest, if it is
/// known. Its pieces may have odd lengths.
fn full_checksum<I: TransmitIp, B: PacketBuf>(
    packet: &mut B,
    src: I::Addr,
    dst: I::Addr,
    (headers, payload_sum): (usize, Option<u16>),
) -> u16 {
    write_tcp_checksum::<I, B>(packet, 0);
    let len = packet.packet_len() - I::HEADER_LEN;
    let mut sum = pseudo_header::<I>(src, dst, tcp::PROTOCOL, len);
    if let Some(payload_sum) = payload_sum {
        sum.add_octets(&packet.data()[I::HEADER_LEN..headers]);
        sum.add_summed(payload_sum, packet.packet_len() - headers);
        return sum.checksum();
    }
    sum.add_octets(&packet.data()[I::HEADER_LEN..]);
    for piece in packet.attached() {
        sum.add_octets(piece);
    }
    sum.checksum()
}

fn write_tcp_checksum<I: TransmitIp, B: PacketBuf>(packet: &mut B, sum: u16) {
    let start = I::HEADER_LEN + tcp::CHECKSUM_OFFSET;
    packet.data_mut()[start..start + 2].copy_from_slice(&sum.to_be_bytes());
}
