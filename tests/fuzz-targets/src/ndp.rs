//! Neighbor discovery: what parses is emitted as something that parses to the same.
//!
//! The input is a source address, a destination address, a hop limit and the message.

use core::net::Ipv6Addr;

use netstack::ip::V6;
use netstack::neighbor::Heard;
use netstack::wire::ethernet::MacAddr;
use netstack::wire::icmp::verify_checksum;
use netstack::wire::ndp::{HOP_LIMIT, Message};

pub(crate) fn run(data: &[u8]) {
    let Some((src, rest)) = data.split_first_chunk::<16>() else {
        return;
    };
    let Some((dst, rest)) = rest.split_first_chunk::<16>() else {
        return;
    };
    let Some((&hop_limit, octets)) = rest.split_first() else {
        return;
    };
    let (src, dst) = (Ipv6Addr::from(*src), Ipv6Addr::from(*dst));
    let Ok(message) = Message::parse(src, dst, hop_limit, octets) else {
        return;
    };
    assert_eq!(hop_limit, HOP_LIMIT);
    let mut emitted = vec![0; message.emit_len()];
    message.emit(src, dst, &mut emitted);
    assert!(verify_checksum::<V6>(src, dst, &emitted));
    assert_eq!(Message::parse(src, dst, hop_limit, &emitted), Ok(message));
    let _ = Heard::from_ndp(src, MacAddr::default(), &message);
}
