//! What a router's word about a packet that was too large means for a path (RFC 1191, RFC 8201).
//!
//! In: the MTU that an ICMP error names, and the length of the packets that the connection sends.
//! Out: the MTU to believe. Each connection keeps its own; nothing is remembered by destination, so
//! that a forged error harms one connection at most, and each finds its path by itself in a round
//! trip.

use crate::ip::{Ip, V4, V6};

/// RFC 1191 section 7.1: the MTUs that paths have, largest first.
const PLATEAUS: [usize; 9] = [
    65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508,
];

/// The smallest path MTU that is believed over IPv4: every host takes packets of 576, and smaller
/// ones would be an attack more often than a path (RFC 5927 section 7.2).
const LEAST_V4: usize = 552;

/// The MTU of a path on which a packet of `len` octets was too large. `named` is what the router
/// says: 0 if it is older than RFC 1191. `None` if it cannot be right.
pub(super) fn believed<I: Ip>(named: u32, len: usize) -> Option<usize> {
    let named = named as usize;
    if I::VERSION == V6::VERSION {
        // RFC 8201 section 4: links of IPv6 take 1280, whatever a router says.
        return (named >= V6::MIN_MTU).then_some(named);
    }
    // RFC 1191 section 7.1: the next lower of the usual ones.
    let plateau = || PLATEAUS.into_iter().find(|plateau| *plateau < len);
    let mtu = if named == 0 { plateau()? } else { named };
    // RFC 791: there is no link with less.
    (mtu >= V4::MIN_MTU).then_some(mtu.max(LEAST_V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_router_says_is_believed_within_reason() {
        for (named, mtu) in [(1400, Some(1400)), (300, Some(552)), (67, None)] {
            assert_eq!(believed::<V4>(named, 1500), mtu, "{named}");
        }
        for (named, mtu) in [
            (1400, Some(1400)),
            (1280, Some(1280)),
            (1279, None),
            (0, None),
        ] {
            assert_eq!(believed::<V6>(named, 1500), mtu, "{named}");
        }
    }

    #[test]
    fn old_routers_are_met_at_the_next_plateau() {
        for (len, mtu) in [(1500, 1492), (1492, 1006), (1006, 552), (9000, 8166)] {
            assert_eq!(believed::<V4>(0, len), Some(mtu), "{len}");
        }
        assert_eq!(believed::<V4>(0, 508), None);
    }
}
