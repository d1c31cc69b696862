use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::io::mem::{MemBuf, MemPool};
use crate::wire::icmp::{Unreachable, parse_quoted, verify_checksum};
use crate::wire::{ipv6_ext, tcp, udp};

fn addr<I: Ip>(last: u8) -> I::Addr {
    let mut octets = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    octets[I::Addr::LEN - 1] = last;
    I::Addr::from_octets(&octets).unwrap()
}

/// A packet from 2 to 1.
fn packet<I: HeaderIp>(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::<I> {
        src: addr::<I>(2),
        dst: addr::<I>(1),
        protocol,
        hop_limit: 7,
        ecn: 0,
        payload_len: payload.len(),
    };
    let mut octets = vec![0; I::HEADER_LEN];
    I::emit_header(&header, &mut octets);
    octets.extend_from_slice(payload);
    octets
}

fn echo_request<I: AnswerIp>(data: &[u8]) -> Vec<u8> {
    let mut message = vec![0; HEADER_LEN];
    let request = Message::EchoRequest {
        ident: 1,
        sequence: 2,
    };
    request.emit::<I>(&mut message);
    message.extend_from_slice(data);
    fill_checksum::<I>(addr::<I>(2), addr::<I>(1), &mut message);
    packet::<I>(I::ICMP_PROTOCOL, &message)
}

/// Checks that `packet` is a reply from 1 to 2 with right checksums.
fn assert_echo_reply<I: AnswerIp>(packet: &[u8], data: &[u8]) {
    let header = I::parse_quoted_header(packet).unwrap();
    assert_eq!((header.src, header.dst), (addr::<I>(1), addr::<I>(2)));
    let message = &packet[header.upper.unwrap()..];
    let reply = Message::EchoReply {
        ident: 1,
        sequence: 2,
    };
    assert_eq!(Message::parse::<I>(message), Ok(reply));
    assert_eq!(&message[HEADER_LEN..], data);
    assert!(verify_checksum::<I>(header.src, header.dst, message));
}

fn echo_is_answered<I: AnswerIp>(data: &[u8]) {
    let mut octets = echo_request::<I>(data);
    answer_echo::<I>(&mut octets, I::HEADER_LEN).unwrap();
    assert_echo_reply::<I>(&octets, data);
}

#[test]
fn an_echo_reply_has_a_fresh_hop_limit() {
    let mut octets = echo_request::<V4>(b"odd");
    answer_echo::<V4>(&mut octets, 20).unwrap();
    assert!(ipv4::verify_checksum(&octets));
    assert_eq!(ipv4::Header::parse(&octets).unwrap().ttl, DEFAULT_HOP_LIMIT);
    let mut octets = echo_request::<V6>(b"odd");
    answer_echo::<V6>(&mut octets, 40).unwrap();
    assert_eq!(
        ipv6::Header::parse(&octets).unwrap().hop_limit,
        DEFAULT_HOP_LIMIT
    );
}

#[test]
fn an_echo_behind_ipv4_options_is_answered() {
    let request = echo_request::<V4>(b"ping");
    let mut octets = vec![0; 24];
    let mut header = ipv4::Header::parse(&request).unwrap();
    header.header_len = 24;
    header.total_len += 4;
    header.emit(&mut octets);
    octets.extend_from_slice(&request[20..]);
    answer_echo::<V4>(&mut octets, 24).unwrap();
    assert_echo_reply::<V4>(&octets, b"ping");
    assert!(ipv4::verify_checksum(&octets));
}

/// Without any octet set the sum is the other of the two zeros.
#[test]
fn an_echo_without_any_octet_set_is_answered() {
    for data in [&[0; 0][..], &[0; 5]] {
        let mut message = [&[V4::ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 0], data].concat();
        fill_checksum::<V4>(addr::<V4>(2), addr::<V4>(1), &mut message);
        let mut octets = packet::<V4>(V4::ICMP_PROTOCOL, &message);
        answer_echo::<V4>(&mut octets, 20).unwrap();
        assert!(verify_checksum::<V4>(
            addr::<V4>(1),
            addr::<V4>(2),
            &octets[20..]
        ));
    }
}

fn nothing_else_is_answered<I: AnswerIp>() {
    let request = echo_request::<I>(b"");
    let mut reply = request.clone();
    answer_echo::<I>(&mut reply, I::HEADER_LEN).unwrap();
    let once = reply.clone();
    let again = answer_echo::<I>(&mut reply, I::HEADER_LEN);
    assert_eq!(again, Err(ParseError::Malformed));
    assert_eq!(reply, once);
    for len in 0..request.len() {
        let mut short = request[..len].to_vec();
        let refused = answer_echo::<I>(&mut short, I::HEADER_LEN);
        assert_eq!(refused, Err(ParseError::Truncated));
        assert_eq!(short, request[..len]);
    }
}

#[test]
fn only_a_whole_request_is_answered() {
    nothing_else_is_answered::<V4>();
    nothing_else_is_answered::<V6>();
}

fn lent() -> MemBuf {
    MemPool::new(1, 1500).alloc().unwrap()
}

fn errors_quote<I: AnswerIp>(payload_len: usize) {
    let payload = [
        &[0x9c, 0x40, 0, 80, 1, 2, 3, 4][..],
        &vec![9; payload_len - 8],
    ]
    .concat();
    let offender = packet::<I>(tcp::PROTOCOL, &payload);
    let dst = error_recipient::<I>(&offender, false).unwrap();
    assert_eq!(dst, addr::<I>(2));
    let error = Error::Unreachable(Unreachable::Port);
    let mut buf = lent();
    emit_error::<I, _>(&mut buf, addr::<I>(1), dst, error, &offender).unwrap();
    let data = buf.data();
    let whole = I::HEADER_LEN + HEADER_LEN + offender.len();
    assert_eq!(data.len(), whole.min(I::MAX_ERROR_LEN));
    let header = I::parse_quoted_header(data).unwrap();
    assert_eq!((header.src, header.dst), (addr::<I>(1), dst));
    let message = &data[header.upper.unwrap()..];
    assert!(verify_checksum::<I>(header.src, header.dst, message));
    assert_eq!(Message::parse::<I>(message), Ok(Message::Error(error)));
    let quoted = parse_quoted::<I>(&message[HEADER_LEN..]).unwrap();
    assert_eq!((quoted.flow.sport, quoted.flow.dport), (40_000, 80));
    assert_eq!(quoted.tcp_seq, Some(0x0102_0304));
    // And nobody answers the error itself.
    assert_eq!(error_recipient::<I>(data, false), None);
}

#[test]
fn errors_quote_as_much_as_they_may() {
    for payload_len in [8, 508, 1192, 1193, 1400] {
        errors_quote::<V4>(payload_len);
        errors_quote::<V6>(payload_len);
    }
}

fn no_error_for<I: AnswerIp>() {
    let offender = packet::<I>(udp::PROTOCOL, &[0; 8]);
    assert!(error_recipient::<I>(&offender, false).is_some());
    assert_eq!(error_recipient::<I>(&offender, true), None);
    let echo = echo_request::<I>(b"");
    assert!(error_recipient::<I>(&echo, false).is_some());
    let without_type = packet::<I>(I::ICMP_PROTOCOL, &[]);
    assert_eq!(error_recipient::<I>(&without_type, false), None);
    for source in [0, 0xff] {
        let mut martian = offender.clone();
        martian[I::SRC_OFFSET..I::SRC_OFFSET + I::Addr::LEN].fill(source);
        assert_eq!(error_recipient::<I>(&martian, false), None);
    }
    let mut to_all = offender;
    let dst = I::SRC_OFFSET + I::Addr::LEN;
    to_all[dst..dst + I::Addr::LEN].fill(0xff);
    assert_eq!(error_recipient::<I>(&to_all, false), None);
}

#[test]
fn no_error_goes_to_groups_martians_or_errors() {
    no_error_for::<V4>();
    no_error_for::<V6>();
    let mut from_loopback = packet::<V4>(udp::PROTOCOL, &[0; 8]);
    from_loopback[12] = 127;
    assert_eq!(error_recipient::<V4>(&from_loopback, false), None);
}

#[test]
fn only_the_first_fragment_gets_an_error() {
    let mut first = packet::<V4>(udp::PROTOCOL, &[0; 8]);
    first[6] = 0x20;
    assert!(error_recipient::<V4>(&first, false).is_some());
    first[7] = 1;
    assert_eq!(error_recipient::<V4>(&first, false), None);
    let fragment = |offset: u8| [udp::PROTOCOL, 0, 0, offset | 1, 0, 0, 0, 9, 0, 0, 0, 0];
    let first = packet::<V6>(ipv6_ext::FRAGMENT, &fragment(0));
    assert!(error_recipient::<V6>(&first, false).is_some());
    let second = packet::<V6>(ipv6_ext::FRAGMENT, &fragment(8));
    assert_eq!(error_recipient::<V6>(&second, false), None);
}

#[test]
fn an_error_that_does_not_fit_is_not_written() {
    let offender = packet::<V4>(udp::PROTOCOL, &[0; 8]);
    let mut small = MemPool::new(1, 20).alloc().unwrap();
    let error = Error::ProtocolUnreachable { pointer: 0 };
    let (src, dst) = (addr::<V4>(1), addr::<V4>(2));
    let refused = emit_error::<V4, _>(&mut small, src, dst, error, &offender);
    assert_eq!(refused, Err(DropReason::NoBuffer));
}

proptest! {
    #[test]
    fn every_echo_is_answered_with_right_checksums(data in vec(any::<u8>(), 0..100)) {
        echo_is_answered::<V4>(&data);
        echo_is_answered::<V6>(&data);
    }

    #[test]
    fn arbitrary_packets_never_panic(
        mut octets in vec(any::<u8>(), 0..100),
        version: u8,
        upper in 0_usize..120,
    ) {
        if let [first, ..] = &mut octets[..] {
            *first = if version < 128 { 0x45 } else { 0x60 };
        }
        let _ = error_recipient::<V4>(&octets, false);
        let _ = error_recipient::<V6>(&octets, false);
        let _ = answer_echo::<V4>(&mut octets, upper);
        let _ = answer_echo::<V6>(&mut octets, upper);
    }
}
