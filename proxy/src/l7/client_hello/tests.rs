//! ClientHellos as clients send them, and as they must not.

use proptest::prelude::*;

use super::*;

/// Something with its length, of two octets, before it.
fn long(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(content)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &long(&[&[0][..], &long(name)].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[name.len() as u8][..], name].concat())
        .collect();
    extension(16, &long(&list))
}

/// The message with its header.
fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(32);
    body.extend([8; 32]);
    body.extend(long(&[0x3a, 0x3a, 0x13, 1]));
    body.extend([1, 0]);
    body.extend(long(&extensions.concat()));
    with_header(&body)
}

fn with_header(body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32).to_be_bytes().to_vec();
    message[0] = 1;
    message.extend(body);
    message
}

/// Records of `size` octets of the message each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message
        .chunks(size)
        .flat_map(|part| [&[22, 3, 1][..], &long(part)].concat())
        .collect()
}

fn usual() -> Vec<u8> {
    message(&[
        extension(0x5a5a, &[]),
        server_name(b"WWW.Example"),
        extension(51, &[9; 1216]),
        alpn(&[b"\x8a\x8a", b"h2", b"http/1.1"]),
        extension(0x8a8a, &[0]),
    ])
}

fn read(octets: &[u8]) -> Result<Parsed, ParseError> {
    parse(octets, &mut Vec::new())
}

fn complete(octets: &[u8]) -> ClientHello {
    match read(octets) {
        Ok(Parsed::Complete(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_usual_one() {
    let hello = complete(&records(&usual(), 16_384));
    assert_eq!(hello.server_name, ServerName::Host("www.example".into()));
    assert_eq!(hello.protocols.to_string(), "\\x8a\\x8a,h2,http/1.1");
    assert_eq!(hello.protocols.only(), None);
    assert_eq!(hello.protocols.iter().nth(1), Some(&b"h2"[..]));
}

#[test]
fn records_of_any_size_and_what_follows() {
    let expected = complete(&records(&usual(), 16_384));
    for size in [10, 17, 100, 1000] {
        let mut octets = records(&usual(), size);
        octets.extend(b"\x14\x03\x03\x00\x01\x01 and more");
        assert_eq!(complete(&octets), expected, "{size}");
    }
}

/// With each number of octets that is asked for, the reading comes further, and never is one
/// asked for that could have been done without.
#[test]
fn no_more_is_asked_for_than_needed() {
    for size in [10, 300, 16_384] {
        let octets = records(&usual(), size);
        let mut len = 0;
        loop {
            match read(&octets[..len]).unwrap() {
                Parsed::Needs(more) => {
                    assert!(len < more && more <= octets.len(), "{len} {more}");
                    for between in len..more {
                        let asked = read(&octets[..between]).unwrap();
                        assert_eq!(asked, Parsed::Needs(more), "{between}");
                    }
                    len = more;
                }
                Parsed::Complete(_) => break,
            }
        }
        assert_eq!(len, octets.len());
    }
}

#[test]
fn names_and_protocols_that_are_missing_or_odd() {
    let name_of =
        |extensions: &[Vec<u8>]| complete(&records(&message(extensions), 500)).server_name;
    assert_eq!(name_of(&[]), ServerName::Absent);
    for odd in [
        &b"192.0.2.1"[..],
        b"2001:db8::1",
        b"a..example",
        b"a.example.",
        b".example",
        b"a b.example",
        b"\xe4.example",
        b"*.example",
        &[b'a'; 64],
        &b"a.".repeat(127),
    ] {
        assert_eq!(
            name_of(&[server_name(odd)]),
            ServerName::NotAHost,
            "{odd:?}"
        );
    }
    let other_type = extension(0, &long(&[9, 0, 1, 7]));
    assert_eq!(name_of(&[other_type]), ServerName::NotAHost);
    let host = |name: &str| ServerName::Host(name.into());
    assert_eq!(
        name_of(&[server_name(b"a_b.x-1.example")]),
        host("a_b.x-1.example")
    );
    // Before TLS 1.3 there need not be extensions.
    let bare = [&[3, 1][..], &[0; 32], &[0], &[0, 2, 0, 5], &[1, 0]].concat();
    assert_eq!(
        complete(&records(&with_header(&bare), 99)),
        ClientHello::default()
    );
    let one = complete(&records(&message(&[alpn(&[b"h2"])]), 500));
    assert_eq!(one.protocols.only(), Some(&b"h2"[..]));
}

#[test]
fn what_contradicts_itself_is_malformed() {
    let hellos = [
        message(&[server_name(b"a.example"), server_name(b"a.example")]),
        message(&[alpn(&[b"h2"]), alpn(&[b"h2"])]),
        message(&[alpn(&[])]),
        message(&[alpn(&[b"h2", b""])]),
        message(&[server_name(b"")]),
        message(&[extension(0, &[])]),
        message(&[extension(0, &long(&[]))]),
        message(&[extension(0, &long(&[0, 0, 9, 1]))]),
        message(&[extension(0, &[&long(&[0, 0, 1, b'a'])[..], &[0]].concat())]),
        message(&[extension(
            0,
            &long(&[&[0][..], &long(b"a"), &[0], &long(b"b")].concat()),
        )]),
        message(&[vec![0, 9, 0]]),
        with_header(&[]),
        with_header(&[3; 40]),
    ];
    for hello in hellos {
        assert_eq!(
            read(&records(&hello, 400)),
            Err(ParseError::Malformed),
            "{hello:?}"
        );
    }
    assert_eq!(read(&[22, 3, 1, 0, 0]), Err(ParseError::Malformed));
    assert_eq!(read(&[22, 3, 1, 0x40, 1]), Err(ParseError::Malformed));
}

#[test]
fn something_else_is_not_tls() {
    for octets in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"G",
        b"SSH-2.0-",
        &[22, 2],
        &[21, 3, 3, 0, 2, 2, 40],
        &[22, 3, 3, 0, 4, 2],
        &[0x80, 0x2e, 1, 3, 1],
    ] {
        assert_eq!(read(octets), Err(ParseError::NotTls), "{octets:?}");
    }
}

#[test]
fn there_is_a_limit() {
    let padded = |len: usize| message(&[extension(21, &vec![0; len])]);
    let around = padded(0).len();
    let largest = padded(MAX_HELLO - around);
    assert_eq!(largest.len(), MAX_HELLO);
    complete(&records(&largest, 16_384));
    complete(&records(&largest, 100));
    let larger = padded(MAX_HELLO + 1 - around);
    assert_eq!(
        read(&records(&larger, 16_384)[..9]),
        Err(ParseError::TooLarge)
    );
    // The same in so many records that these are the trouble.
    let octets = records(&largest, 20);
    assert_eq!(read(&octets[..MAX_LEN]), Err(ParseError::TooLarge));
}

proptest! {
    #[test]
    fn no_octets_are_too_much(
        octets in proptest::collection::vec(any::<u8>(), 0..400),
        cut in any::<prop::sample::Index>(),
        size in 1_usize..500,
    ) {
        let _ = read(&octets);
        let _ = read(&records(&with_header(&octets), size));
        // A good one with something wrong in it.
        let mut hello = records(&usual(), size.max(10));
        let at = cut.index(hello.len());
        let len = octets.len().min(8).min(hello.len() - at);
        hello[at..at + len].copy_from_slice(&octets[..len]);
        if let Ok(Parsed::Needs(more)) = read(&hello) {
            prop_assert!(more > hello.len() && more <= MAX_LEN);
        }
    }
}
