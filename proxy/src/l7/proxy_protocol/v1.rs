//! Version 1: `PROXY TCP4 192.0.2.9 192.0.2.1 4000 80` and an end of line.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use std::io::Write as _;

use super::{Endpoints, Header, ParseError};

/// What every header of this version begins with.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Octets of the longest line, its end included (section 2.1 of the standard).
pub const MAX_LEN: usize = 107;

/// Reads a header whose signature is right as far as it is there.
pub(super) fn parse(octets: &[u8]) -> Result<Option<Header>, ParseError> {
    let window = &octets[..octets.len().min(MAX_LEN)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if octets.len() < MAX_LEN {
            Ok(None)
        } else {
            Err(ParseError::TooLong)
        };
    };
    let line = str::from_utf8(&window[..end]).map_err(|_| ParseError::Malformed)?;
    let said = line.get(SIGNATURE.len()..).ok_or(ParseError::Malformed)?;
    let endpoints = parse_said(said).ok_or(ParseError::Malformed)?;
    Ok(Some(Header {
        endpoints,
        len: end + 2,
    }))
}

/// What the line says after its signature; `None` if it is malformed.
fn parse_said(said: &str) -> Option<Option<Endpoints>> {
    let (family, rest) = said.split_once(' ').unwrap_or((said, ""));
    match family {
        "TCP4" => parse_ends::<Ipv4Addr>(rest).map(Some),
        "TCP6" => parse_ends::<Ipv6Addr>(rest).map(Some),
        // Section 2.1: whatever follows on the line is to be ignored.
        "UNKNOWN" => Some(None),
        _ => None,
    }
}

fn parse_ends<A: FromStr + Into<IpAddr>>(text: &str) -> Option<Endpoints> {
    let mut words = text.split(' ');
    let mut word = || words.next();
    let source: A = word()?.parse().ok()?;
    let destination: A = word()?.parse().ok()?;
    let (sport, dport) = (parse_port(word()?)?, parse_port(word()?)?);
    if word().is_some() {
        return None;
    }
    Some(Endpoints {
        source: SocketAddr::new(source.into(), sport),
        destination: SocketAddr::new(destination.into(), dport),
    })
}

/// A number from 0 to 65535 without leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| digits && !leading_zero)
}

/// Writes a header. It is never longer than [`MAX_LEN`].
pub(super) fn emit(endpoints: Endpoints, out: &mut Vec<u8>) {
    let Endpoints {
        source,
        destination,
    } = endpoints;
    let written = match (source, destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => write_line(out, "TCP4", source, destination),
        (SocketAddr::V6(_), SocketAddr::V6(_)) => write_line(out, "TCP6", source, destination),
        _ => out.write_all(b"PROXY UNKNOWN\r\n"),
    };
    debug_assert!(written.is_ok(), "a vector takes everything");
}

fn write_line(
    out: &mut Vec<u8>,
    family: &str,
    source: SocketAddr,
    destination: SocketAddr,
) -> std::io::Result<()> {
    let (from, to) = (source.ip(), destination.ip());
    let (sport, dport) = (source.port(), destination.port());
    write!(out, "PROXY {family} {from} {to} {sport} {dport}\r\n")
}
