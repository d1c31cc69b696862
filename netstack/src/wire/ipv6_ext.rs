//! IPv6 extension headers (RFC 8200 section 4): finds the upper-layer protocol behind them.
//!
//! Hop-by-Hop Options, Destination Options, Routing and Fragment headers are walked, a bounded
//! number of headers and octets (RFC 8504 section 5.3 lets a host set such limits). What a host
//! must not accept is an error: a Hop-by-Hop header that is not the first, a routing header that
//! is not used up, an unknown option that says so. The walk ends at a real fragment: what follows
//! is to be reassembled first.

use super::ParseError;

/// Hop-by-Hop Options header.
pub const HOP_BY_HOP: u8 = 0;
/// Routing header.
pub const ROUTING: u8 = 43;
/// Fragment header.
pub const FRAGMENT: u8 = 44;
/// Nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;
/// Destination Options header.
pub const DESTINATION_OPTIONS: u8 = 60;

/// Most extension headers that a packet may have.
pub const MAX_HEADERS: usize = 8;
/// Most octets of extension headers that a packet may have.
pub const MAX_LEN: usize = 512;

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UpperLayer {
    /// Protocol number; [`NO_NEXT_HEADER`] if there is none. Behind a fragment header of a real
    /// fragment it may be a further extension header.
    pub protocol: u8,
    /// Octets of extension headers: where the protocol begins in the payload of the fixed header.
    pub offset: usize,
    /// Octet of the payload, or of the fixed header if `None`, that names `protocol`.
    pub named_at: Option<usize>,
    /// The packet is a part of a larger one.
    pub fragment: Option<Fragment>,
}

/// A fragment header that is not atomic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment {
    /// Octets of the fragmentable part before this fragment; a multiple of 8.
    pub offset: usize,
    /// This is not the last fragment.
    pub more: bool,
    /// What the fragments of one packet have in common.
    pub ident: u32,
}

/// Walks the extension headers at the start of `payload`, what follows the fixed header, the first
/// of which is a `next_header`.
pub fn walk(next_header: u8, payload: &[u8]) -> Result<UpperLayer, ParseError> {
    let mut upper = UpperLayer {
        protocol: next_header,
        offset: 0,
        named_at: None,
        fragment: None,
    };
    for count in 0..=MAX_HEADERS {
        if !is_extension(upper.protocol) {
            return Ok(upper);
        }
        if count == MAX_HEADERS {
            break;
        }
        // RFC 8200 4.1: only directly after the fixed header.
        if upper.protocol == HOP_BY_HOP && count != 0 {
            return Err(ParseError::Malformed);
        }
        let header = split_header(upper.protocol, payload, upper.offset)?;
        match upper.protocol {
            HOP_BY_HOP | DESTINATION_OPTIONS => check_options(header.body)?,
            ROUTING => check_routing(header.body)?,
            _ => upper.fragment = parse_fragment(header.body)?,
        }
        upper.named_at = Some(upper.offset);
        upper.protocol = header.next_header;
        upper.offset += header.len;
        if upper.offset > MAX_LEN {
            break;
        }
        if upper.fragment.is_some() {
            return Ok(upper);
        }
    }
    Err(ParseError::Malformed)
}

/// One extension header.
struct ExtensionHeader<'p> {
    next_header: u8,
    /// Octets, `next_header` and length octet included.
    len: usize,
    /// Octets after the first two.
    body: &'p [u8],
}

/// Whether this is an extension header that a host walks, and no upper-layer protocol.
pub const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS
    )
}

/// Takes the extension header of type `kind` at `offset` of `payload` apart.
fn split_header(
    kind: u8,
    payload: &[u8],
    offset: usize,
) -> Result<ExtensionHeader<'_>, ParseError> {
    let octets = payload.get(offset..).ok_or(ParseError::Truncated)?;
    let [next_header, len, ..] = *octets else {
        return Err(ParseError::Truncated);
    };
    // RFC 8200 4.5: the octet that is a length elsewhere is reserved in a fragment header.
    let len = if kind == FRAGMENT {
        8
    } else {
        8 + usize::from(len) * 8
    };
    let body = octets.get(2..len).ok_or(ParseError::Truncated)?;
    Ok(ExtensionHeader {
        next_header,
        len,
        body,
    })
}

/// Checks that options add up and that none of them is unknown and insists on being known.
fn check_options(mut options: &[u8]) -> Result<(), ParseError> {
    const PAD_1: u8 = 0;
    const PAD_N: u8 = 1;
    while let [kind, rest @ ..] = options {
        if *kind == PAD_1 {
            options = rest;
            continue;
        }
        let [len, rest @ ..] = rest else {
            return Err(ParseError::Malformed);
        };
        // RFC 8200 4.2: the two high bits say what becomes of the packet when the option is
        // unknown; 00 is to skip the option, the others discard the packet.
        if *kind != PAD_N && kind >> 6 != 0 {
            return Err(ParseError::Malformed);
        }
        options = rest.get(usize::from(*len)..).ok_or(ParseError::Malformed)?;
    }
    Ok(())
}

/// Refuses a routing header that wants the packet to travel on.
fn check_routing(body: &[u8]) -> Result<(), ParseError> {
    match body {
        // RFC 8200 4.4: whatever the type, with no segments left it is skipped. With segments left,
        // type 0 is forbidden (RFC 5095) and no other type is known here.
        [_kind, 0, ..] => Ok(()),
        _ => Err(ParseError::Malformed),
    }
}

/// Reads a fragment header; `None` if it is atomic, all of the packet in one piece.
fn parse_fragment(body: &[u8]) -> Result<Option<Fragment>, ParseError> {
    let [o0, o1, i0, i1, i2, i3] = *body else {
        return Err(ParseError::Truncated);
    };
    let field = u16::from_be_bytes([o0, o1]);
    let fragment = Fragment {
        offset: usize::from(field & 0xfff8),
        more: field & 1 != 0,
        ident: u32::from_be_bytes([i0, i1, i2, i3]),
    };
    // RFC 6946: taken as if the fragment header were not there.
    let atomic = fragment.offset == 0 && !fragment.more;
    Ok((!atomic).then_some(fragment))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TCP: u8 = 6;

    fn padding(next_header: u8) -> [u8; 8] {
        [next_header, 0, 1, 4, 0, 0, 0, 0]
    }

    fn malformed(next_header: u8, payload: &[u8]) {
        assert_eq!(
            walk(next_header, payload),
            Err(ParseError::Malformed),
            "{payload:?}"
        );
    }

    #[test]
    fn without_extension_headers_the_protocol_is_at_the_start() {
        let upper = walk(TCP, &[]).unwrap();
        assert_eq!(
            (upper.protocol, upper.offset, upper.named_at),
            (TCP, 0, None)
        );
        assert_eq!(walk(NO_NEXT_HEADER, &[]).unwrap().protocol, NO_NEXT_HEADER);
    }

    #[test]
    fn headers_are_walked_in_any_order_after_hop_by_hop() {
        let chain = [
            padding(DESTINATION_OPTIONS),
            padding(ROUTING),
            [FRAGMENT, 0, 0, 0, 0, 0, 0, 0],
            [DESTINATION_OPTIONS, 99, 0, 0, 1, 2, 3, 4],
            padding(TCP),
        ]
        .concat();
        let upper = walk(HOP_BY_HOP, &chain).unwrap();
        assert_eq!(upper.protocol, TCP);
        assert_eq!(upper.offset, 40);
        assert_eq!(upper.named_at, Some(32));
        assert_eq!(upper.fragment, None, "an atomic fragment is none");
        assert_eq!(walk(HOP_BY_HOP, &chain[..39]), Err(ParseError::Truncated));
        malformed(
            DESTINATION_OPTIONS,
            &[padding(HOP_BY_HOP), padding(TCP)].concat(),
        );
        malformed(HOP_BY_HOP, &[padding(HOP_BY_HOP), padding(TCP)].concat());
    }

    #[test]
    fn the_walk_ends_at_a_fragment() {
        let first = [DESTINATION_OPTIONS, 0, 0, 1, 0, 0, 0, 7];
        let upper = walk(FRAGMENT, &first).unwrap();
        assert_eq!((upper.protocol, upper.offset), (DESTINATION_OPTIONS, 8));
        let fragment = Fragment {
            offset: 0,
            more: true,
            ident: 7,
        };
        assert_eq!(upper.fragment, Some(fragment));
        let last = [TCP, 0, 0x05, 0xa8, 0, 0, 0, 7];
        let fragment = Fragment {
            offset: 1448,
            more: false,
            ident: 7,
        };
        assert_eq!(walk(FRAGMENT, &last).unwrap().fragment, Some(fragment));
    }

    #[test]
    fn a_routing_header_must_be_used_up() {
        assert_eq!(
            walk(ROUTING, &[TCP, 0, 0, 0, 0, 0, 0, 0]).unwrap().protocol,
            TCP
        );
        malformed(ROUTING, &[TCP, 0, 0, 1, 0, 0, 0, 0]);
        malformed(ROUTING, &[TCP, 0, 4, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn unknown_options_are_skipped_if_they_allow_it() {
        let option = |kind| [TCP, 0, kind, 2, 0, 0, 0, 0];
        assert_eq!(
            walk(DESTINATION_OPTIONS, &option(0x05)).unwrap().protocol,
            TCP
        );
        for kind in [0x45, 0x85, 0xc2] {
            malformed(DESTINATION_OPTIONS, &option(kind));
            malformed(HOP_BY_HOP, &option(kind));
        }
        malformed(DESTINATION_OPTIONS, &[TCP, 0, 5, 5, 0, 0, 0, 0]);
        malformed(DESTINATION_OPTIONS, &[TCP, 0, 1, 3, 0, 0, 0, 5]);
    }

    #[test]
    fn number_and_length_are_bounded() {
        let chain = |count| {
            let mut octets = padding(DESTINATION_OPTIONS).repeat(count - 1);
            octets.extend(padding(TCP));
            octets
        };
        assert_eq!(
            walk(DESTINATION_OPTIONS, &chain(MAX_HEADERS))
                .unwrap()
                .protocol,
            TCP
        );
        malformed(DESTINATION_OPTIONS, &chain(MAX_HEADERS + 1));
        let mut long = vec![0; MAX_LEN + 8];
        long[..2].copy_from_slice(&[TCP, (MAX_LEN / 8) as u8]);
        malformed(DESTINATION_OPTIONS, &long);
        long[1] -= 1;
        assert_eq!(walk(DESTINATION_OPTIONS, &long).unwrap().offset, MAX_LEN);
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(
            kinds in vec(prop::sample::select(vec![0_u8, 43, 44, 60, 6]), 1..12),
            mut octets in vec(any::<u8>(), 0..120),
            lengths: bool,
        ) {
            for (at, kind) in kinds[1..].iter().enumerate() {
                if let Some([next, len, ..]) = octets.get_mut(at * 8..) {
                    *next = *kind;
                    if lengths {
                        *len = 0;
                    }
                }
            }
            if let Ok(upper) = walk(kinds[0], &octets) {
                prop_assert!(upper.offset <= octets.len());
            }
        }
    }
}
