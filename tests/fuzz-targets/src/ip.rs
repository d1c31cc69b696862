//! IP headers of both versions, and the extension headers of IPv6.

use netstack::wire::{ipv4, ipv6, ipv6_ext};

/// What parses is emitted as something that parses to the same, with a right checksum.
pub(crate) fn v4(data: &[u8]) {
    let quoted = ipv4::Header::parse_quoted(data);
    let Ok(header) = ipv4::Header::parse(data) else {
        // A packet that is cut off can still be quoted; one that is malformed cannot.
        assert!(quoted.is_err() || quoted.is_ok_and(|header| header.total_len > data.len()));
        return;
    };
    assert_eq!(quoted, Ok(header));
    assert_eq!(
        header.payload(data).len(),
        header.total_len - header.header_len
    );
    let _ = ipv4::verify_checksum(data);

    let mut emitted = vec![0xaa; header.total_len];
    header.emit(&mut emitted);
    assert!(ipv4::verify_checksum(&emitted));
    let expected = ipv4::Header {
        // Options are not emitted but for their length.
        source_route: false,
        ..header
    };
    assert_eq!(ipv4::Header::parse(&emitted), Ok(expected));
}

/// What parses is emitted as it was.
pub(crate) fn v6(data: &[u8]) {
    let Ok(header) = ipv6::Header::parse(data) else {
        return;
    };
    assert_eq!(ipv6::Header::parse_quoted(data), Ok(header));
    assert_eq!(header.payload(data).len(), header.payload_len);
    let mut emitted = [0; ipv6::HEADER_LEN];
    header.emit(&mut emitted);
    assert_eq!(emitted, data[..ipv6::HEADER_LEN]);
}

/// The upper layer lies in the packet and within the limits of a walk. The first octet says what
/// the first header is.
pub(crate) fn v6_extensions(data: &[u8]) {
    let Some((next_header, payload)) = data.split_first() else {
        return;
    };
    let Ok(upper) = ipv6_ext::walk(*next_header, payload) else {
        return;
    };
    assert!(upper.offset <= payload.len().min(ipv6_ext::MAX_LEN));
    match upper.named_at {
        None => assert_eq!((upper.offset, upper.protocol), (0, *next_header)),
        Some(at) => {
            assert!(at < upper.offset);
            assert_eq!(payload[at], upper.protocol);
        }
    }
    if let Some(fragment) = upper.fragment {
        assert!(fragment.more || fragment.offset != 0);
    }
}
