//! Address resolution (RFC 826), for IPv4 over Ethernet and nothing else.
//!
//! [`Packet`] is what follows the Ethernet header: who speaks (sender) and who is asked or
//! answered (target). Frames are padded to the Ethernet minimum, so longer input is fine.

use core::net::Ipv4Addr;

use super::ethernet::{MacAddr, ethertype};
use super::{ParseError, header_mut};

/// Octets of an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, and the lengths of both kinds of address.
const FIXED: [u8; 6] = {
    let [high, low] = ethertype::IPV4.to_be_bytes();
    [0, 1, high, low, 6, 4]
};

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Asks for the MAC address of the target.
    Request,
    /// Tells the MAC address of the sender.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Question or answer.
    pub operation: Operation,
    /// Hardware address of the speaker.
    pub sender_mac: MacAddr,
    /// Protocol address of the speaker; unspecified in a probe (RFC 5227).
    pub sender_addr: Ipv4Addr,
    /// Hardware address of the one spoken to; means nothing in a request.
    pub target_mac: MacAddr,
    /// Protocol address of the one spoken to.
    pub target_addr: Ipv4Addr,
}

impl Packet {
    /// Reads the packet at the start of `octets`.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let packet = octets
            .first_chunk::<PACKET_LEN>()
            .ok_or(ParseError::Truncated)?;
        if packet[..6] != FIXED {
            return Err(ParseError::Malformed);
        }
        let operation = match packet[6..8] {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return Err(ParseError::Malformed),
        };
        let mac = |o0, o1, o2, o3, o4, o5| MacAddr([o0, o1, o2, o3, o4, o5]);
        let p = packet;
        Ok(Self {
            operation,
            sender_mac: mac(p[8], p[9], p[10], p[11], p[12], p[13]),
            sender_addr: Ipv4Addr::new(p[14], p[15], p[16], p[17]),
            target_mac: mac(p[18], p[19], p[20], p[21], p[22], p[23]),
            target_addr: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }

    /// Writes the packet to the first [`PACKET_LEN`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than the packet.
    pub fn emit(&self, out: &mut [u8]) {
        let out: &mut [u8; PACKET_LEN] = header_mut(out);
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        out[..6].copy_from_slice(&FIXED);
        out[6..8].copy_from_slice(&operation.to_be_bytes());
        out[8..14].copy_from_slice(&self.sender_mac.0);
        out[14..18].copy_from_slice(&self.sender_addr.octets());
        out[18..24].copy_from_slice(&self.target_mac.0);
        out[24..].copy_from_slice(&self.target_addr.octets());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_off_the_wire() {
        let octets = [
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2,
        ];
        let packet = Packet {
            operation: Operation::Request,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_addr: Ipv4Addr::new(192, 0, 2, 1),
            target_mac: MacAddr::default(),
            target_addr: Ipv4Addr::new(192, 0, 2, 2),
        };
        assert_eq!(Packet::parse(&octets), Ok(packet));
        assert_eq!(Packet::parse(&octets[..27]), Err(ParseError::Truncated));
        let padded = [&octets[..], &[0; 18]].concat();
        assert_eq!(Packet::parse(&padded), Ok(packet));
    }

    #[test]
    fn other_hardware_protocols_and_operations_are_refused() {
        let packet = Packet {
            operation: Operation::Reply,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_addr: Ipv4Addr::new(192, 0, 2, 1),
            target_mac: MacAddr([2, 0, 0, 0, 0, 2]),
            target_addr: Ipv4Addr::new(192, 0, 2, 2),
        };
        let mut good = [0; PACKET_LEN];
        packet.emit(&mut good);
        for at in 0..8 {
            let mut octets = good;
            octets[at] ^= 0x40;
            assert_eq!(Packet::parse(&octets), Err(ParseError::Malformed), "{at}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(mut octets in vec(any::<u8>(), 0..40), fixed: bool) {
            if fixed && octets.len() > 6 {
                octets[..6].copy_from_slice(&FIXED);
            }
            let _ = Packet::parse(&octets);
        }

        #[test]
        fn what_is_emitted_parses_back(
            request: bool,
            macs: [[u8; 6]; 2],
            addrs: [[u8; 4]; 2],
        ) {
            let packet = Packet {
                operation: if request { Operation::Request } else { Operation::Reply },
                sender_mac: MacAddr(macs[0]),
                sender_addr: addrs[0].into(),
                target_mac: MacAddr(macs[1]),
                target_addr: addrs[1].into(),
            };
            let mut octets = [0xaa; PACKET_LEN];
            packet.emit(&mut octets);
            prop_assert_eq!(Packet::parse(&octets), Ok(packet));
        }
    }
}
