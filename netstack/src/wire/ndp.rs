//! Neighbor discovery (RFC 4861): solicitations and advertisements of neighbors.
//!
//! [`Message::parse`] takes an ICMPv6 message with what its IPv6 header said and applies every
//! validation rule of sections 7.1.1 and 7.1.2 but the checksum ([`super::icmp::verify_checksum`]).
//! Of router discovery and redirects only the type is told; the stack takes no part in them.

use core::net::Ipv6Addr;

use super::ethernet::MacAddr;
use super::{ParseError, icmp};
use crate::ip::{IpAddress, V6};

/// The hop limit of every message: it has not passed a router.
pub const HOP_LIMIT: u8 = 255;
/// Octets of a solicitation or advertisement without options.
pub const MESSAGE_LEN: usize = 24;
/// Octets of a message with one link-layer address option: the most that is emitted.
pub const MAX_EMIT_LEN: usize = MESSAGE_LEN + OPTION_LEN;
/// All nodes of a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A neighbor discovery message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message {
    /// Who has this address?
    NeighborSolicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// The link-layer address of who asks.
        source_mac: Option<MacAddr>,
    },
    /// Someone has this address.
    NeighborAdvertisement {
        /// The address told about.
        target: Ipv6Addr,
        /// The sender is a router.
        router: bool,
        /// This answers a solicitation.
        solicited: bool,
        /// Replaces what is known already.
        override_known: bool,
        /// The link-layer address of the target.
        target_mac: Option<MacAddr>,
    },
    /// A router solicitation or advertisement, or a redirect.
    Other {
        /// ICMPv6 type.
        kind: u8,
    },
}

/// Whether ICMPv6 messages of type `kind` belong to neighbor discovery.
pub const fn is_ndp(kind: u8) -> bool {
    matches!(kind, ROUTER_SOLICITATION..=REDIRECT)
}

impl Message {
    /// Reads the ICMPv6 message `octets`, which came from `src` to `dst` with `hop_limit`.
    ///
    /// # Errors
    /// [`ParseError::Malformed`] if a rule of RFC 4861 7.1.1 or 7.1.2 says that the message must be
    /// discarded, or if it is none of neighbor discovery.
    pub fn parse(
        src: Ipv6Addr,
        dst: Ipv6Addr,
        hop_limit: u8,
        octets: &[u8],
    ) -> Result<Self, ParseError> {
        let &[kind, code, ..] = octets else {
            return Err(ParseError::Truncated);
        };
        if !is_ndp(kind) || hop_limit != HOP_LIMIT || code != 0 {
            return Err(ParseError::Malformed);
        }
        if kind != NEIGHBOR_SOLICITATION && kind != NEIGHBOR_ADVERTISEMENT {
            return Ok(Self::Other { kind });
        }
        let (fixed, options) = octets
            .split_first_chunk::<MESSAGE_LEN>()
            .ok_or(ParseError::Truncated)?;
        let target = <Ipv6Addr as IpAddress>::from_octets(&fixed[8..])
            .filter(|target| !target.is_multicast())
            .ok_or(ParseError::Malformed)?;
        if kind == NEIGHBOR_SOLICITATION {
            let source_mac = link_layer_option(options, OPTION_SOURCE)?;
            // RFC 4861 7.1.1: who has no address yet asks the group, and has nothing to be taught.
            if src.is_unspecified() && (source_mac.is_some() || !is_solicited_node(dst)) {
                return Err(ParseError::Malformed);
            }
            return Ok(Self::NeighborSolicitation { target, source_mac });
        }
        let flags = fixed[4];
        let solicited = flags & SOLICITED != 0;
        // RFC 4861 7.1.2.
        if dst.is_multicast() && solicited {
            return Err(ParseError::Malformed);
        }
        Ok(Self::NeighborAdvertisement {
            target,
            router: flags & ROUTER != 0,
            solicited,
            override_known: flags & OVERRIDE != 0,
            target_mac: link_layer_option(options, OPTION_TARGET)?,
        })
    }

    /// Octets that [`Message::emit`] writes: at most [`MAX_EMIT_LEN`].
    pub const fn emit_len(&self) -> usize {
        match self {
            Self::NeighborSolicitation {
                source_mac: mac, ..
            }
            | Self::NeighborAdvertisement {
                target_mac: mac, ..
            } => {
                if mac.is_some() {
                    MAX_EMIT_LEN
                } else {
                    MESSAGE_LEN
                }
            }
            Self::Other { .. } => icmp::HEADER_LEN,
        }
    }

    /// Writes the message from `src` to `dst`, with its checksum, to the first
    /// [`Message::emit_len`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than that.
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) {
        let mut octets = [0; MAX_EMIT_LEN];
        let (target, option, mac) = match *self {
            Self::NeighborSolicitation { target, source_mac } => {
                octets[0] = NEIGHBOR_SOLICITATION;
                (target, OPTION_SOURCE, source_mac)
            }
            Self::NeighborAdvertisement {
                target,
                router,
                solicited,
                override_known,
                target_mac,
            } => {
                octets[0] = NEIGHBOR_ADVERTISEMENT;
                for (set, flag) in [
                    (router, ROUTER),
                    (solicited, SOLICITED),
                    (override_known, OVERRIDE),
                ] {
                    octets[4] |= if set { flag } else { 0 };
                }
                (target, OPTION_TARGET, target_mac)
            }
            Self::Other { kind } => {
                octets[0] = kind;
                (Ipv6Addr::UNSPECIFIED, 0, None)
            }
        };
        octets[8..24].copy_from_slice(&target.octets());
        if let Some(mac) = mac {
            octets[24] = option;
            octets[25] = (OPTION_LEN / 8) as u8;
            octets[26..].copy_from_slice(&mac.0);
        }
        let len = self.emit_len();
        let (out, _) = out
            .split_at_mut_checked(len)
            .expect("the caller makes room for the message");
        for (to, from) in out.iter_mut().zip(octets) {
            *to = from;
        }
        icmp::fill_checksum::<V6>(src, dst, out);
    }
}

/// The group in which whoever has `address` listens (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.to_bits() & 0x00ff_ffff;
    Ipv6Addr::from_bits(SOLICITED_NODE_PREFIX | low)
}

/// The MAC address of an IPv6 `group` (RFC 2464 section 7).
pub const fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let octets = group.octets();
    MacAddr([0x33, 0x33, octets[12], octets[13], octets[14], octets[15]])
}

const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
/// Octets of a link-layer address option for Ethernet.
const OPTION_LEN: usize = 8;

/// `ff02::1:ff00:0/104`.
const SOLICITED_NODE_PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;

const fn is_solicited_node(address: Ipv6Addr) -> bool {
    address.to_bits() & !0x00ff_ffff == SOLICITED_NODE_PREFIX
}

/// The link-layer address in the first option of type `wanted`; checks all options.
fn link_layer_option(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, ParseError> {
    let mut found = None;
    while !options.is_empty() {
        let &[kind, len, ..] = options else {
            return Err(ParseError::Malformed);
        };
        let (option, rest) = options
            .split_at_checked(usize::from(len) * 8)
            .ok_or(ParseError::Malformed)?;
        match *option {
            // RFC 4861 4.6: a length of zero makes the packet void.
            [] => return Err(ParseError::Malformed),
            [_, _, m0, m1, m2, m3, m4, m5] if kind == wanted && found.is_none() => {
                found = Some(MacAddr([m0, m1, m2, m3, m4, m5]));
            }
            _ => {}
        }
        options = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn addr(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn emitted(message: Message) -> Vec<u8> {
        let mut octets = vec![0; message.emit_len()];
        message.emit(addr("fe80::1"), addr("fe80::2"), &mut octets);
        octets
    }

    fn solicitation(source_mac: Option<MacAddr>) -> Message {
        Message::NeighborSolicitation {
            target: addr("fe80::2"),
            source_mac,
        }
    }

    fn advertisement(solicited: bool) -> Message {
        Message::NeighborAdvertisement {
            target: addr("fe80::2"),
            router: false,
            solicited,
            override_known: true,
            target_mac: Some(MAC),
        }
    }

    #[test]
    fn groups_and_their_mac_addresses() {
        let group = solicited_node(addr("2001:db8::12:3456"));
        assert_eq!(group, addr("ff02::1:ff12:3456"));
        assert_eq!(
            multicast_mac(group),
            MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56])
        );
        assert!(is_solicited_node(group));
        assert!(!is_solicited_node(ALL_NODES));
    }

    #[test]
    fn common_rules() {
        let octets = emitted(solicitation(Some(MAC)));
        let parse = |hop_limit, octets: &[u8]| {
            Message::parse(addr("fe80::1"), addr("fe80::2"), hop_limit, octets)
        };
        assert_eq!(parse(255, &octets), Ok(solicitation(Some(MAC))));
        assert!(icmp::verify_checksum::<V6>(
            addr("fe80::1"),
            addr("fe80::2"),
            &octets
        ));
        assert_eq!(parse(254, &octets), Err(ParseError::Malformed));
        assert_eq!(parse(255, &octets[..23]), Err(ParseError::Truncated));
        assert_eq!(
            parse(255, &octets[..31]),
            Err(ParseError::Malformed),
            "half an option"
        );
        assert_eq!(parse(255, &octets[..24]), Ok(solicitation(None)));
        for (at, value) in [(0, 128), (1, 1), (8, 0xff), (25, 0), (25, 2)] {
            let mut wrong = octets.clone();
            wrong[at] = value;
            assert_eq!(parse(255, &wrong), Err(ParseError::Malformed), "{at}");
        }
        let mut other_option = octets;
        other_option[24] = 14;
        assert_eq!(parse(255, &other_option), Ok(solicitation(None)));
    }

    #[test]
    fn rules_for_a_source_without_address() {
        let bare = emitted(solicitation(None));
        let with_mac = emitted(solicitation(Some(MAC)));
        let parse = |dst, octets: &[u8]| Message::parse(addr("::"), dst, 255, octets);
        let group = solicited_node(addr("fe80::2"));
        assert_eq!(parse(group, &bare), Ok(solicitation(None)));
        assert_eq!(parse(group, &with_mac), Err(ParseError::Malformed));
        assert_eq!(parse(addr("fe80::2"), &bare), Err(ParseError::Malformed));
    }

    #[test]
    fn an_answer_to_a_group_is_not_solicited() {
        let parse = |dst, solicited| {
            let octets = emitted(advertisement(solicited));
            Message::parse(addr("fe80::2"), dst, 255, &octets)
        };
        assert_eq!(parse(addr("fe80::1"), true), Ok(advertisement(true)));
        assert_eq!(parse(ALL_NODES, false), Ok(advertisement(false)));
        assert_eq!(parse(ALL_NODES, true), Err(ParseError::Malformed));
    }

    #[test]
    fn router_discovery_is_only_recognised() {
        for kind in [133, 134, 137] {
            let octets = [kind, 0, 0, 0, 0, 0, 0, 0];
            let message = Message::parse(addr("fe80::1"), ALL_NODES, 255, &octets);
            assert_eq!(message, Ok(Message::Other { kind }));
        }
    }

    prop_compose! {
        fn any_message()(
            advertisement: bool,
            target: [u8; 16],
            flags: [bool; 3],
            mac: Option<[u8; 6]>,
        ) -> Message {
            // Not multicast.
            let target = Ipv6Addr::from_bits(u128::from_be_bytes(target) >> 1);
            let mac = mac.map(MacAddr);
            if advertisement {
                let [router, solicited, override_known] = flags;
                Message::NeighborAdvertisement {
                    target, router, solicited, override_known, target_mac: mac,
                }
            } else {
                Message::NeighborSolicitation { target, source_mac: mac }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_back(message in any_message()) {
            let octets = emitted(message);
            let parsed = Message::parse(addr("fe80::1"), addr("fe80::2"), 255, &octets);
            prop_assert_eq!(parsed, Ok(message));
        }

        #[test]
        fn arbitrary_octets_never_panic(
            mut octets in vec(any::<u8>(), 0..80),
            kind in 132_u8..139,
            src: [u8; 16],
        ) {
            if let [first, second, ..] = &mut octets[..] {
                *first = kind;
                *second = 0;
            }
            let _ = Message::parse(src.into(), ALL_NODES, 255, &octets);
        }
    }
}
