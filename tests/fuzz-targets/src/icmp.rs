//! ICMP of both versions: messages, what errors quote, and what is answered.

use netstack::icmp::{AnswerIp, answer_echo, emit_error, error_recipient};
use netstack::io::PacketBuf;
use netstack::io::mem::MemPool;
use netstack::ip::{IpAddress, V4, V6};
use netstack::wire::icmp::{
    Error, HEADER_LEN, Message, Unreachable, fill_checksum, parse_quoted, verify_checksum,
};

/// ICMP.
pub(crate) fn v4(data: &[u8]) {
    message::<V4>(data);
    answers::<V4>(data);
}

/// ICMPv6.
pub(crate) fn v6(data: &[u8]) {
    message::<V6>(data);
    answers::<V6>(data);
}

/// Takes the octets for a message.
fn message<I: AnswerIp>(data: &[u8]) {
    let Ok(message) = Message::parse::<I>(data) else {
        assert!(data.len() < HEADER_LEN);
        return;
    };
    let mut emitted = [0; HEADER_LEN];
    message.emit::<I>(&mut emitted);
    assert_eq!(Message::parse::<I>(&emitted), Ok(message));

    let addr = I::Addr::from_octets(&[0x20; 16]).expect("as long as the longest address");
    let _ = verify_checksum::<I>(addr, addr, data);
    let mut filled = data.to_vec();
    fill_checksum::<I>(addr, addr, &mut filled);
    assert!(verify_checksum::<I>(addr, addr, &filled));

    if let Ok(quoted) = parse_quoted::<I>(&data[HEADER_LEN..]) {
        assert!(quoted.tcp_seq.is_none() || quoted.flow.protocol == 6);
    }
}

/// Takes the first octet for where the message begins, and the others for an IP packet.
fn answers<I: AnswerIp>(data: &[u8]) {
    let Some((upper, packet)) = data.split_first() else {
        return;
    };
    let mut answered = packet.to_vec();
    if answer_echo::<I>(&mut answered, usize::from(*upper)).is_err() {
        assert_eq!(answered, packet, "what is not answered is not touched");
    }
    let Some(recipient) = error_recipient::<I>(packet, false) else {
        return;
    };
    let mut buffer = MemPool::new(1, 1500).alloc().expect("one buffer");
    let error = Error::Unreachable(Unreachable::Port);
    let emitted = emit_error::<I, _>(&mut buffer, recipient, recipient, error, packet);
    assert_eq!(emitted, Ok(()));
    assert!(buffer.data().len() <= I::MAX_ERROR_LEN);
    let message = &buffer.data()[I::HEADER_LEN..];
    assert!(verify_checksum::<I>(recipient, recipient, message));
    assert_eq!(Message::parse::<I>(message), Ok(Message::Error(error)));
    // An error about an error is never sent.
    assert_eq!(error_recipient::<I>(buffer.data(), false), None);
}
