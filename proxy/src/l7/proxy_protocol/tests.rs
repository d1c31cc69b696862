//! Headers of both versions: what is understood, what is refused, what is written.

use proptest::prelude::*;

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn ends(source: &str, destination: &str) -> Endpoints {
    Endpoints {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = SIGNATURE.to_vec();
    octets.extend([command, family]);
    octets.extend((body.len() as u16).to_be_bytes());
    octets.extend(body);
    octets
}

/// 192.0.2.9:4000 to 192.0.2.1:80, and something behind.
fn body_v4(more: &[u8]) -> Vec<u8> {
    let mut body = vec![192, 0, 2, 9, 192, 0, 2, 1, 0x0f, 0xa0, 0, 80];
    body.extend(more);
    body
}

#[test]
fn lines_of_version_1() {
    let v4 = ends("192.0.2.9:4000", "192.0.2.1:80");
    let v6 = ends("[2001:db8::9]:4000", "[2001:db8::1]:80");
    let cases: [(&str, Option<Endpoints>); 6] = [
        ("PROXY TCP4 192.0.2.9 192.0.2.1 4000 80\r\n", Some(v4)),
        ("PROXY TCP6 2001:db8::9 2001:db8::1 4000 80\r\n", Some(v6)),
        (
            "PROXY TCP6 2001:DB8:0:0:0:0:0:9 2001:db8::1 4000 80\r\n",
            Some(v6),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 whatever 1 2\r\n", None),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            None,
        ),
    ];
    for (line, endpoints) in cases {
        let header = Header {
            endpoints,
            len: line.len(),
        };
        assert_eq!(parse(line.as_bytes()), Ok(Some(header)), "{line:?}");
        let more = format!("{line}GET / HTTP/1.0\r\n");
        assert_eq!(parse(more.as_bytes()), Ok(Some(header)), "{more:?}");
        for len in 0..line.len() {
            assert_eq!(
                parse(&line.as_bytes()[..len]),
                Ok(None),
                "{len} of {line:?}"
            );
        }
    }
}

#[test]
fn lines_that_are_wrong() {
    let cases = [
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.9 192.0.2.1 4000 80\r\n",
        "PROXY TCP4 192.0.2.9 192.0.2.1 4000\r\n",
        "PROXY TCP4 192.0.2.9 192.0.2.1 4000 80 \r\n",
        "PROXY TCP4  192.0.2.9 192.0.2.1 4000 80\r\n",
        "PROXY TCP4 192.0.2.9 192.0.2.1 4000 80 90\r\n",
        "PROXY TCP4 192.0.2.9 192.0.2.1 04000 80\r\n",
        "PROXY TCP4 192.0.2.9 192.0.2.1 +4000 80\r\n",
        "PROXY TCP4 192.0.2.9 192.0.2.1 65536 80\r\n",
        "PROXY TCP4 192.0.2.09 192.0.2.1 4000 80\r\n",
        "PROXY TCP4 2001:db8::9 2001:db8::1 4000 80\r\n",
        "PROXY TCP6 192.0.2.9 192.0.2.1 4000 80\r\n",
        "PROXY TCP6 fe80::1%2 fe80::2 4000 80\r\n",
        "PROXY TCP4 \u{e4} 192.0.2.1 4000 80\r\n",
    ];
    for line in cases {
        let expected = if line.starts_with("PROXY ") {
            ParseError::Malformed
        } else {
            ParseError::NoSignature
        };
        assert_eq!(parse(line.as_bytes()), Err(expected), "{line:?}");
    }
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(parse(&endless[..106]), Ok(None));
    assert_eq!(parse(&endless[..107]), Err(ParseError::TooLong));
    let late = [&endless[..106], b"\r\n"].concat();
    assert_eq!(parse(&late), Err(ParseError::TooLong));
    let just = [&endless[..105], b"\r\n"].concat();
    assert!(parse(&just).unwrap().is_some());
}

#[test]
fn nothing_else_is_taken_for_a_header() {
    for octets in [
        b"GET / HTTP/1.1".as_slice(),
        b"\x16\x03\x01",
        b"PROXZ",
        b"\r\n\r\nG",
        b"p",
    ] {
        assert_eq!(parse(octets), Err(ParseError::NoSignature), "{octets:?}");
    }
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn headers_of_version_2() {
    let v4 = ends("192.0.2.9:4000", "192.0.2.1:80");
    let noop = [4, 0, 2, 9, 9];
    let mut unix = vec![0; 216];
    unix.extend(noop);
    let mut v6_body = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    v6_body.extend([
        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x0f, 0xa0, 0, 80,
    ]);
    let v6 = ends("[2001:db8::9]:4000", "[2001:db8::1]:80");
    let cases = [
        (v2(0x21, 0x11, &body_v4(&[])), Some(v4)),
        (v2(0x21, 0x11, &body_v4(&noop)), Some(v4)),
        (v2(0x21, 0x12, &body_v4(&[])), Some(v4)),
        (v2(0x21, 0x21, &v6_body), Some(v6)),
        (v2(0x20, 0x11, &body_v4(&[])), None),
        (v2(0x20, 0, &[]), None),
        (v2(0x21, 0, b"anything"), None),
        (v2(0x21, 0x31, &unix), None),
        (
            v2(
                0x21,
                0x11,
                &body_v4(&[&[0xe0, 0x0f, 0x80][..], &vec![1; 0xf80]].concat()),
            ),
            Some(v4),
        ),
    ];
    for (octets, endpoints) in cases {
        let header = Header {
            endpoints,
            len: octets.len(),
        };
        for len in 0..octets.len() {
            assert_eq!(parse(&octets[..len]), Ok(None), "{len} of {octets:?}");
        }
        let more = [&octets[..], b"GET"].concat();
        assert_eq!(parse(&more), Ok(Some(header)), "{octets:?}");
    }
}

#[test]
fn headers_of_version_2_that_are_wrong() {
    let malformed = [
        v2(0x11, 0x11, &body_v4(&[])),
        v2(0x22, 0x11, &body_v4(&[])),
        v2(0x21, 0x13, &body_v4(&[])),
        v2(0x21, 0x41, &body_v4(&[])),
        v2(0x21, 0x11, &body_v4(&[])[..11]),
        v2(0x21, 0x21, &body_v4(&[])),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &body_v4(&[4])),
        v2(0x21, 0x11, &body_v4(&[4, 0])),
        v2(0x21, 0x11, &body_v4(&[4, 0, 1])),
        v2(0x21, 0x11, &body_v4(&[3, 0, 3, 1, 1, 1])),
    ];
    for octets in malformed {
        assert_eq!(parse(&octets), Err(ParseError::Malformed), "{octets:?}");
    }
    let too_long = v2(0x21, 0x11, &body_v4(&vec![4; 4096]));
    assert_eq!(parse(&too_long[..16]), Err(ParseError::TooLong));
    let bad_sum = v2(0x21, 0x11, &body_v4(&[3, 0, 4, 1, 2, 3, 4]));
    assert_eq!(parse(&bad_sum), Err(ParseError::BadChecksum));
}

/// The header with a checksum that the standard's own words lead to, octet by octet.
#[test]
fn a_header_octet_by_octet() {
    let announcement = AnnouncementV2 {
        alpn: Some(b"h2"),
        authority: Some("a.example"),
        unique_id: None,
        crc32c: false,
    };
    let mut octets = b"before".to_vec();
    announcement.emit(ends("192.0.2.9:4000", "192.0.2.1:80"), &mut octets);
    let tlvs = [&[1, 0, 2][..], b"h2", &[2, 0, 9], b"a.example"].concat();
    let expected = [b"before".as_slice(), &v2(0x21, 0x11, &body_v4(&tlvs))].concat();
    assert_eq!(octets, expected);
}

#[test]
fn ends_of_two_versions_are_not_announced() {
    let mixed = ends("192.0.2.9:4000", "[2001:db8::1]:80");
    let mut octets = Vec::new();
    emit_v1(mixed, &mut octets);
    assert_eq!(octets, b"PROXY UNKNOWN\r\n");
    octets.clear();
    AnnouncementV2::default().emit(mixed, &mut octets);
    assert_eq!(parse(&octets).unwrap().unwrap().endpoints, None);
}

fn any_ends() -> impl Strategy<Value = Endpoints> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(|(from, sport, to, dport)| Endpoints {
        source: (from, sport).into(),
        destination: (to, dport).into(),
    });
    let v6 =
        any::<([u16; 8], u16, [u16; 8], u16)>().prop_map(|(from, sport, to, dport)| Endpoints {
            source: (from, sport).into(),
            destination: (to, dport).into(),
        });
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        endpoints in any_ends(),
        alpn in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..255)),
        authority in proptest::option::of("[a-z.]{1,253}"),
        unique_id in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..128)),
        crc32c in any::<bool>(),
        flipped in any::<prop::sample::Index>(),
    ) {
        let mut octets = Vec::new();
        emit_v1(endpoints, &mut octets);
        prop_assert!(octets.len() <= V1_MAX_LEN);
        let read = parse(&octets).unwrap().unwrap();
        prop_assert_eq!(read, Header { endpoints: Some(endpoints), len: octets.len() });

        octets.clear();
        let announcement = AnnouncementV2 {
            alpn: alpn.as_deref(),
            authority: authority.as_deref(),
            unique_id: unique_id.as_deref(),
            crc32c,
        };
        announcement.emit(endpoints, &mut octets);
        let read = parse(&octets).unwrap().unwrap();
        prop_assert_eq!(read, Header { endpoints: Some(endpoints), len: octets.len() });
        if crc32c {
            // An octet of the addresses: without the checksum nobody would notice.
            octets[16 + flipped.index(12)] ^= 1;
            prop_assert_eq!(parse(&octets), Err(ParseError::BadChecksum));
        }
    }

    #[test]
    fn no_octets_are_too_much(mut octets in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..3) {
        let signature: &[u8] = match kind {
            0 => b"",
            1 => b"PROXY ",
            _ => SIGNATURE,
        };
        octets.splice(0..0, signature.iter().copied());
        if let Ok(Some(header)) = parse(&octets) {
            prop_assert!(header.len <= octets.len().min(MAX_LEN));
            // What a part does not decide, it does not decide otherwise either.
            prop_assert_eq!(parse(&octets[..header.len]), Ok(Some(header)));
            prop_assert_eq!(parse(&octets[..header.len - 1]), Ok(None));
        }
    }
}

#[test]
fn a_connection_of_our_own_speaks_for_nobody() {
    for version in [AnnounceVersion::V1, AnnounceVersion::V2] {
        let mut octets = Vec::new();
        emit_own(version, &mut octets);
        let header = parse(&octets).unwrap().unwrap();
        assert_eq!((header.endpoints, header.len), (None, octets.len()));
    }
}
