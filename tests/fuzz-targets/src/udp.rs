//! UDP headers: what parses is emitted as it was, and a checksum that is filled in is right.

use netstack::ip::{Ip, IpAddress, V4, V6};
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::udp::{HEADER_LEN, Header, PROTOCOL, fill_checksum};

pub(crate) fn run(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        return;
    };
    let mut emitted = [0; HEADER_LEN];
    header.emit(&mut emitted);
    assert_eq!(emitted, data[..HEADER_LEN]);
    let datagram = &data[..header.len];
    assert_eq!(header.payload(data), &datagram[HEADER_LEN..]);
    checksum::<V4>(datagram);
    checksum::<V6>(datagram);
}

fn checksum<I: Ip>(datagram: &[u8]) {
    let addr = I::Addr::from_octets(&[0x20; 16]).expect("as long as the longest address");
    let mut datagram = datagram.to_vec();
    let _ = verify_transport_checksum::<I>(addr, addr, PROTOCOL, &datagram);
    fill_checksum::<I>(addr, addr, &mut datagram);
    assert!(verify_transport_checksum::<I>(
        addr, addr, PROTOCOL, &datagram
    ));
}
