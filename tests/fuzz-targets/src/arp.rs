//! ARP packets: parsing never panics, and what parses is emitted as it was.

use netstack::neighbor::Heard;
use netstack::wire::arp::{PACKET_LEN, Packet};

pub(crate) fn run(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else {
        return;
    };
    let mut emitted = [0; PACKET_LEN];
    packet.emit(&mut emitted);
    assert_eq!(emitted, data[..PACKET_LEN]);
    let _ = Heard::from_arp(&packet);
}
