use netstack::io::mem::{MemBuf, MemIo, MemPool};
use netstack::io::{Capabilities, L4Checksum, MAX_ATTACHED, TxOffload};
use netstack::ip::IpAddress;
use netstack::neighbor::{NeighborConfig, NeighborTable};
use netstack::wire::checksum::{Sum, pseudo_header, verify_transport_checksum};
use netstack::wire::{ipv4, tcp};
use proptest::prelude::*;

use super::*;

const MTU: usize = 1500;
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// Of the TCP header, with 12 octets of options.
const TCP_LEN: usize = 32;

fn addr<I: Ip>(last: u128) -> I::Addr {
    let octets = (u128::MAX / 0xff * 0x21 - last).to_be_bytes();
    I::Addr::from_octets(&octets[16 - I::Addr::LEN..]).unwrap()
}

/// A TCP packet from address 1 to 2: `head` in the buffer behind the headers, `pieces` attached.
fn packet<I: TransmitIp>(head: &[u8], pieces: &[Vec<u8>]) -> MemBuf {
    let mut octets = vec![0x33; I::HEADER_LEN + TCP_LEN];
    octets[0] = I::VERSION << 4 | 5;
    octets[I::PROTOCOL_OFFSET] = tcp::PROTOCOL;
    for (place, addr) in [addr::<I>(1), addr::<I>(2)].into_iter().enumerate() {
        let start = I::SRC_OFFSET + place * I::Addr::LEN;
        let bits = addr.to_bits().to_be_bytes();
        octets[start..start + I::Addr::LEN].copy_from_slice(&bits[16 - I::Addr::LEN..]);
    }
    octets[I::HEADER_LEN + tcp::DATA_OFFSET_OFFSET] = (TCP_LEN as u8 / 4) << 4;
    octets.extend_from_slice(head);
    let mut packet = MemBuf::from_frame(&octets);
    for piece in pieces {
        assert!(packet.attach(&MemBuf::from_frame(piece).into_payload()));
    }
    packet
}

/// A packet with `len` octets of payload in pieces as Ethernet brings them.
fn long_packet<I: TransmitIp>(len: usize) -> MemBuf {
    let payload: Vec<u8> = (0..len).map(|octet| octet as u8).collect();
    let pieces: Vec<_> = payload.chunks(1448).map(<[u8]>::to_vec).collect();
    packet::<I>(&[], &pieces)
}

fn capabilities() -> Capabilities {
    MemIo::new(MAC, MTU, MemPool::new(0, MTU))
        .capabilities()
        .clone()
}

/// Those of a port that cuts packets of at most `limit` octets.
fn cutting(limit: usize) -> Capabilities {
    let mut capabilities = capabilities();
    capabilities.tx_checksum.ipv4 = true;
    capabilities.tx_checksum.tcp = true;
    capabilities.tso_ipv4 = Some(limit);
    capabilities.tso_ipv6 = Some(limit);
    capabilities
}

fn completed<I: TransmitIp>(
    mut packet: MemBuf,
    segment_size: u16,
    capabilities: &Capabilities,
) -> Result<MemBuf, DropReason> {
    let (src, dst) = addresses::<I>(packet.data()).unwrap();
    assert_eq!((src, dst), (addr::<I>(1), addr::<I>(2)));
    let payload = TcpPayload {
        segment_size: NonZeroU16::new(segment_size),
        sum: None,
    };
    complete::<I, _>(&mut packet, src, dst, payload, capabilities)?;
    Ok(packet)
}

fn tcp_field<I: Ip>(packet: &MemBuf) -> u16 {
    let segment = &packet.data()[I::HEADER_LEN..];
    u16::from_be_bytes([
        segment[tcp::CHECKSUM_OFFSET],
        segment[tcp::CHECKSUM_OFFSET + 1],
    ])
}

fn pseudo_sum<I: Ip>(len: usize) -> u16 {
    pseudo_header::<I>(addr::<I>(1), addr::<I>(2), tcp::PROTOCOL, len).folded()
}

fn has_right_checksums<I: TransmitIp>(packet: &MemBuf) -> bool {
    let whole = packet.pieces().collect::<Vec<_>>().concat();
    let segment = &whole[I::HEADER_LEN..];
    verify_transport_checksum::<I>(addr::<I>(1), addr::<I>(2), tcp::PROTOCOL, segment)
        && (I::VERSION != V4::VERSION || ipv4::verify_checksum(&whole))
}

fn checksums_cover_odd_pieces<I: TransmitIp>() {
    for lens in [&[1, 1, 1][..], &[7, 2, 9], &[700, 701], &[3], &[]] {
        let pieces: Vec<_> = lens.iter().map(|len| vec![0xa7; *len]).collect();
        for head in [&b""[..], b"odd", b"even"] {
            let packet = packet::<I>(head, &pieces);
            let packet = completed::<I>(packet, 0, &capabilities()).unwrap();
            assert!(has_right_checksums::<I>(&packet), "{head:?} and {lens:?}");
            assert_eq!(packet.tx_offload(), None);
        }
    }
}

/// With the sum of the payload, its octets are not looked at again.
fn a_known_sum_gives_the_same_checksum<I: TransmitIp>() {
    for lens in [&[1, 1, 1][..], &[7, 2, 9], &[700, 701]] {
        let pieces: Vec<_> = lens.iter().map(|len| vec![0xa7; *len]).collect();
        for head in [&b""[..], b"odd", b"even"] {
            let mut packet = packet::<I>(head, &pieces);
            let mut sum = Sum::new();
            sum.add_octets(head);
            for piece in &pieces {
                sum.add_octets(piece);
            }
            let payload = TcpPayload {
                segment_size: None,
                sum: Some(sum.folded()),
            };
            let (src, dst) = (addr::<I>(1), addr::<I>(2));
            complete::<I, _>(&mut packet, src, dst, payload, &capabilities()).unwrap();
            assert!(has_right_checksums::<I>(&packet), "{head:?} and {lens:?}");
        }
    }
}

#[test]
fn a_known_sum_gives_the_same_checksum_v4_and_v6() {
    a_known_sum_gives_the_same_checksum::<V4>();
    a_known_sum_gives_the_same_checksum::<V6>();
}

#[test]
fn checksums_cover_odd_pieces_v4_and_v6() {
    checksums_cover_odd_pieces::<V4>();
    checksums_cover_odd_pieces::<V6>();
}

fn a_port_gets_the_sum_of_the_pseudo_header<I: TransmitIp>() {
    let mut capabilities = capabilities();
    capabilities.tx_checksum.tcp = true;
    let packet = packet::<I>(b"head", &[vec![5; 99]]);
    // As large as a segment may be, so there is nothing to cut.
    let packet = completed::<I>(packet, 103, &capabilities).unwrap();
    assert_eq!(tcp_field::<I>(&packet), pseudo_sum::<I>(TCP_LEN + 103));
    let offload = TxOffload {
        ip_version: I::VERSION,
        l2_len: 14,
        l3_len: I::HEADER_LEN as u16,
        l4_len: TCP_LEN as u8,
        ip_checksum: false,
        l4_checksum: Some(L4Checksum::Tcp),
        tso_segment_size: None,
    };
    assert_eq!(packet.tx_offload(), Some(offload));
    assert!(I::VERSION != V4::VERSION || ipv4::verify_checksum(packet.data()));
}

#[test]
fn a_port_gets_the_sum_of_the_pseudo_header_v4_and_v6() {
    a_port_gets_the_sum_of_the_pseudo_header::<V4>();
    a_port_gets_the_sum_of_the_pseudo_header::<V6>();
}

fn a_port_cuts_what_is_longer_than_a_segment<I: TransmitIp>() {
    let packet = completed::<I>(long_packet::<I>(60_000), 1428, &cutting(65_535)).unwrap();
    // Without a length: the port adds that of each segment.
    assert_eq!(tcp_field::<I>(&packet), pseudo_sum::<I>(0));
    let offload = packet.tx_offload().unwrap();
    assert_eq!(offload.tso_segment_size, Some(1428));
    assert_eq!(usize::from(offload.l3_len), I::HEADER_LEN);
    assert_eq!(usize::from(offload.l4_len), TCP_LEN);
    let v4 = I::VERSION == V4::VERSION;
    assert_eq!(offload.ip_checksum, v4);
    if v4 {
        assert_eq!(packet.data()[10..12], [0, 0], "the port fills it in");
    }

    // Shorter than the MTU, and still too long for the path.
    let packet = completed::<I>(long_packet::<I>(1400), 1220, &cutting(65_535)).unwrap();
    assert_eq!(packet.tx_offload().unwrap().tso_segment_size, Some(1220));
}

#[test]
fn a_port_cuts_what_is_longer_than_a_segment_v4_and_v6() {
    a_port_cuts_what_is_longer_than_a_segment::<V4>();
    a_port_cuts_what_is_longer_than_a_segment::<V6>();
}

fn what_a_port_cannot_send_is_too_big<I: TransmitIp>() {
    let headers = I::HEADER_LEN + TCP_LEN;
    let fate = |payload, segment_size, capabilities: &Capabilities| {
        completed::<I>(long_packet::<I>(payload), segment_size, capabilities).map(|_| ())
    };
    let most = MTU - headers;
    assert_eq!(fate(most, 0, &capabilities()), Ok(()));
    assert_eq!(fate(most + 1, 0, &capabilities()), Err(DropReason::TooBig));
    assert_eq!(fate(most + 1, 0, &cutting(65_535)), Err(DropReason::TooBig));
    // A port that does not cut, a packet beyond what it cuts, segments beyond its MTU.
    assert_eq!(fate(2000, 1000, &capabilities()), Err(DropReason::TooBig));
    assert_eq!(fate(9000 - headers, 1000, &cutting(9000)), Ok(()));
    let beyond = fate(9001 - headers, 1000, &cutting(9000));
    assert_eq!(beyond, Err(DropReason::TooBig));
    let segments = fate(9000, most as u16 + 1, &cutting(65_535));
    assert_eq!(segments, Err(DropReason::TooBig));
    // Lengths in IP headers have 16 bits, whatever the port says.
    let size = most as u16;
    assert_eq!(fate(65_535 - headers, size, &cutting(100_000)), Ok(()));
    let beyond = fate(65_536 - headers, size, &cutting(100_000));
    assert_eq!(beyond, Err(DropReason::TooBig));
}

#[test]
fn what_a_port_cannot_send_is_too_big_v4_and_v6() {
    what_a_port_cannot_send_is_too_big::<V4>();
    what_a_port_cannot_send_is_too_big::<V6>();
}

fn transmitter(ports: Vec<Capabilities>) -> Transmitter<MemIo> {
    let pool = MemPool::new(16, MTU);
    let io = |capabilities: Capabilities| {
        let mut io = MemIo::new(MAC, MTU, pool.clone());
        *io.capabilities_mut() = capabilities;
        io
    };
    let neighbors = Neighbors {
        v4: NeighborTable::new(NeighborConfig::default(), [1, 2]),
        v6: NeighborTable::new(NeighborConfig::default(), [1, 2]),
    };
    Transmitter::new(ports.into_iter().map(io).collect(), neighbors)
}

#[test]
fn tcp_is_told_what_every_port_can_do() {
    let counters = Counters::default();
    let limits = |ports| {
        let mut transmitter = transmitter(ports);
        let output = transmitter.tcp_output(&counters);
        (
            output.attach_limit(),
            output.segmentation_limit(4),
            output.segmentation_limit(6),
        )
    };
    assert_eq!(limits(vec![capabilities()]), (MAX_ATTACHED, None, None));
    let narrow = Capabilities {
        tx_pieces: 7,
        tso_ipv6: None,
        ..cutting(30_000)
    };
    let ports = vec![cutting(100_000), narrow];
    assert_eq!(limits(ports), (7, Some(30_000), None));
    let limit = Some(65_535);
    let ports = vec![cutting(100_000)];
    assert_eq!(limits(ports), (MAX_ATTACHED, limit, limit));
}

#[test]
fn octets_attached_are_counted_as_sent() {
    let counters = Counters::default();
    let mut transmitter = transmitter(vec![capabilities()]);
    transmitter.ports[0].io.set_tx_limit(1);
    for _ in 0..2 {
        let mut frame = MemBuf::from_frame(&[1; 60]);
        assert!(frame.attach(&MemBuf::from_frame(&[2; 33]).into_payload()));
        transmitter.send_frame(PortId(0), frame, &counters);
    }
    transmitter.flush(Instant::ZERO, &counters);
    assert_eq!(counters.event(Event::TxFrames), 1);
    assert_eq!(counters.event(Event::TxBytes), 93);
}

proptest! {
    #[test]
    fn checksums_do_not_depend_on_the_pieces(
        head in prop::collection::vec(any::<u8>(), 0..50),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..10),
    ) {
        let packet = packet::<V6>(&head, &pieces);
        let packet = completed::<V6>(packet, 0, &capabilities()).unwrap();
        prop_assert!(has_right_checksums::<V6>(&packet));
    }
}
