//! What a check asks, and what its answer means.
//!
//! *In*: the configured check; the front of the answer, as far as it has come. *Out*: the octets of
//! the request; a verdict as soon as there can be one. Nothing is kept between calls, so it does
//! not matter in which pieces an answer arrives, and no answer is looked at beyond
//! [`LONGEST_ANSWER`].

use core::net::SocketAddr;

use super::report::Failure;
use crate::config::Check;

/// Octets of an answer that are looked at: room for interim answers before a status line, and for
/// a greeting of several lines before what is expected.
pub(super) const LONGEST_ANSWER: usize = 4096;

/// What the backend at `address` is sent when it has accepted.
pub(super) fn request(check: &Check, address: SocketAddr) -> Vec<u8> {
    match check {
        Check::Tcp => Vec::new(),
        Check::SendExpect { send, .. } => send.clone(),
        Check::Http { path, host, .. } => {
            let host = host.clone().unwrap_or_else(|| address.to_string());
            // RFC 9112 section 9.6: the backend need not wait for another request.
            format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: weirgate\r\nAccept: */*\r\n\
                 Connection: close\r\n\r\n"
            )
            .into_bytes()
        }
    }
}

/// Whether the answer is good, as soon as that can be said. `complete` means that no more will come
/// or be looked at.
pub(super) fn judge(check: &Check, answer: &[u8], complete: bool) -> Option<Result<(), Failure>> {
    let early = if answer.len() < LONGEST_ANSWER {
        Failure::Closed
    } else {
        Failure::Unexpected
    };
    match check {
        Check::Tcp => Some(Ok(())),
        Check::SendExpect { expect, .. } => {
            if answer.windows(expect.len()).any(|window| window == expect) {
                Some(Ok(()))
            } else {
                let failure = if answer.is_empty() {
                    Failure::Closed
                } else {
                    Failure::Unexpected
                };
                complete.then_some(Err(failure))
            }
        }
        Check::Http { status, .. } => match final_status(answer) {
            Status::Final(code) if status.iter().any(|good| good.contains(&code)) => Some(Ok(())),
            Status::Final(code) => Some(Err(Failure::Status(code))),
            Status::Unknown => complete.then_some(Err(early)),
            Status::NotHttp => Some(Err(Failure::NotHttp)),
        },
    }
}

enum Status {
    Final(u16),
    /// More octets will tell.
    Unknown,
    NotHttp,
}

/// The status code of the first answer that is no interim one.
fn final_status(answer: &[u8]) -> Status {
    let mut rest = answer;
    loop {
        let code = match status_code(rest) {
            // RFC 9110 section 15.2: any number of interim answers may come first.
            Status::Final(100..=199) => end_of_header(rest),
            other => return other,
        };
        let Some(end) = code else {
            return Status::Unknown;
        };
        rest = &rest[end..];
    }
}

/// RFC 9112 section 4: `HTTP/1.1 200` and a space; the reason may be empty, and some servers leave
/// its space out.
fn status_code(line: &[u8]) -> Status {
    const VERSION: &[u8] = b"HTTP/1.";
    const LEN: usize = VERSION.len() + "1 200 ".len();
    let fits = |(at, octet): (usize, &u8)| match at {
        0..7 => *octet == VERSION[at],
        7 | 9..12 => octet.is_ascii_digit(),
        12 => matches!(octet, b' ' | b'\r' | b'\n'),
        _ => *octet == b' ',
    };
    if !line.iter().take(LEN).enumerate().all(fits) {
        return Status::NotHttp;
    }
    match line.get(9..LEN) {
        Some([hundreds, tens, ones, _]) => {
            let digit = |octet: &u8| u16::from(octet - b'0');
            let code = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
            if code < 100 {
                return Status::NotHttp;
            }
            Status::Final(code)
        }
        _ => Status::Unknown,
    }
}

/// Where the header section ends.
fn end_of_header(answer: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let at = answer.windows(END.len()).position(|window| window == END);
    at.map(|at| at + END.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http() -> Check {
        Check::Http {
            path: "/health".to_owned(),
            host: None,
            status: vec![200..=299, 401..=401],
        }
    }

    fn send_expect() -> Check {
        Check::SendExpect {
            send: b"PING\r\n".to_vec(),
            expect: b"+PONG".to_vec(),
        }
    }

    #[test]
    fn requests_name_the_backend() {
        let v6 = "[2001:db8::1]:8080".parse().unwrap();
        let text = String::from_utf8(request(&http(), v6)).unwrap();
        assert!(
            text.starts_with("GET /health HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n"),
            "{text}"
        );
        assert!(text.ends_with("Connection: close\r\n\r\n"), "{text}");
        let named = Check::Http {
            path: "/".to_owned(),
            host: Some("www.example.org".to_owned()),
            status: Vec::new(),
        };
        let text = String::from_utf8(request(&named, v6)).unwrap();
        assert!(text.contains("\r\nHost: www.example.org\r\n"), "{text}");
        assert_eq!(request(&send_expect(), v6), b"PING\r\n");
        assert_eq!(request(&Check::Tcp, v6), b"");
    }

    #[test]
    fn answers_of_http() {
        let not_yet = None;
        for (answer, complete, verdict) in [
            ("HTTP/1.1 200 OK\r\n", false, Some(Ok(()))),
            ("HTTP/1.0 204 ", false, Some(Ok(()))),
            ("HTTP/1.1 401\r\n", false, Some(Ok(()))),
            (
                "HTTP/1.1 503 Busy\r\n",
                false,
                Some(Err(Failure::Status(503))),
            ),
            ("HTTP/1.1 402 \r\n", false, Some(Err(Failure::Status(402)))),
            ("HTTP/1.1 20", false, not_yet),
            ("HTTP/1.1 20", true, Some(Err(Failure::Closed))),
            ("", false, not_yet),
            ("", true, Some(Err(Failure::Closed))),
            ("HTTP/2 200 ", false, Some(Err(Failure::NotHttp))),
            ("SSH-2.0", false, Some(Err(Failure::NotHttp))),
            ("HTTP/1.1 2000 ", false, Some(Err(Failure::NotHttp))),
            ("HTTP/1.1 099 ", false, Some(Err(Failure::NotHttp))),
            ("HTTP/1.1 103 Early\r\nLink: x\r\n", false, not_yet),
            (
                "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n",
                false,
                Some(Ok(())),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\n",
                false,
                Some(Err(Failure::Status(500))),
            ),
        ] {
            assert_eq!(
                judge(&http(), answer.as_bytes(), complete),
                verdict,
                "{answer:?}"
            );
        }
    }

    #[test]
    fn answers_that_are_expected() {
        for (answer, complete, verdict) in [
            ("+PONG\r\n", false, Some(Ok(()))),
            ("* ready\r\n+PONG", true, Some(Ok(()))),
            ("+PON", false, None),
            ("-ERR\r\n", false, None),
            ("-ERR\r\n", true, Some(Err(Failure::Unexpected))),
            ("", true, Some(Err(Failure::Closed))),
        ] {
            assert_eq!(
                judge(&send_expect(), answer.as_bytes(), complete),
                verdict,
                "{answer:?}"
            );
        }
    }

    proptest! {
        /// A verdict, once there, does not change with what comes after; and a complete answer
        /// always has one.
        #[test]
        fn pieces_do_not_matter(
            answer in prop_oneof![
                "(HTTP/1\\.1 1[0-9]{2} x\r\n\r\n){0,2}(HTTP/1\\.[01] [0-9]{3}( OK)?\r\n)?[a-z]{0,9}",
                "[a-z+\r\n]{0,20}(\\+PONG)?[a-z]{0,9}",
            ],
        ) {
            for check in [http(), send_expect()] {
                let octets = answer.as_bytes();
                let whole = judge(&check, octets, true);
                prop_assert!(whole.is_some());
                let first = (0..=octets.len()).find_map(|len| judge(&check, &octets[..len], false));
                if let Some(first) = first {
                    prop_assert_eq!(Some(first), whole);
                }
            }
        }

        #[test]
        fn nothing_panics(octets in prop::collection::vec(any::<u8>(), 0..64), complete: bool) {
            let _ = judge(&http(), &octets, complete);
            let _ = judge(&send_expect(), &octets, complete);
        }
    }
}
