//! Version 2: sixteen octets, addresses, and TLVs (section 2.2 of the standard).

use core::net::{IpAddr, SocketAddr};

use netstack::ip::{Ip, IpAddress, V4, V6};

use super::crc32c::Crc32c;
use super::{Endpoints, Header, ParseError};

/// What every header of this version begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets before the addresses: signature, version and command, family, length.
const FIXED_LEN: usize = 16;

/// Octets of the longest header that is accepted. The field for the length would allow 65,551;
/// what other programs send, certificates included, is far below this.
pub const MAX_LEN: usize = 4096;

/// Octets of a TLV before its value.
const TLV_HEADER_LEN: usize = 3;

/// Types of TLVs (section 2.2.1).
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;

/// Commands, in the lower half of the octet whose upper half is the version.
pub(super) const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Families and transports.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Reads a header whose signature is right as far as it is there.
pub(super) fn parse(octets: &[u8]) -> Result<Option<Header>, ParseError> {
    let Some((fixed, _)) = octets.split_first_chunk::<FIXED_LEN>() else {
        return Ok(None);
    };
    let [.., command, family, len_high, len_low] = *fixed;
    if command != LOCAL && command != PROXY {
        return Err(ParseError::Malformed);
    }
    let len = FIXED_LEN + usize::from(u16::from_be_bytes([len_high, len_low]));
    if len > MAX_LEN {
        return Err(ParseError::TooLong);
    }
    let Some(header) = octets.get(..len) else {
        return Ok(None);
    };
    let body = &header[FIXED_LEN..];
    // The upper half names the addresses, the lower one how they are spoken to.
    let (ends, addresses_len) = match (family >> 4, family & 0xf) {
        (_, 3..) => return Err(ParseError::Malformed),
        (0, _) => (None, body.len()),
        (1, _) => parse_ends::<V4>(body)?,
        (2, _) => parse_ends::<V6>(body)?,
        // Two paths of UNIX sockets: none of our business.
        (3, _) if body.len() >= 216 => (None, 216),
        _ => return Err(ParseError::Malformed),
    };
    check_tlvs(header, FIXED_LEN + addresses_len)?;
    Ok(Some(Header {
        endpoints: ends.filter(|_| command == PROXY && family & 0xf != 0),
        len,
    }))
}

/// Both ends, and how many octets they take.
fn parse_ends<I: Ip>(body: &[u8]) -> Result<(Option<Endpoints>, usize), ParseError> {
    let len = 2 * I::Addr::LEN + 4;
    let body = body.get(..len).ok_or(ParseError::Malformed)?;
    let (addresses, ports) = body.split_at(2 * I::Addr::LEN);
    let (source, destination) = addresses.split_at(I::Addr::LEN);
    let address = |octets| {
        let address = I::Addr::from_octets(octets).ok_or(ParseError::Malformed)?;
        Ok::<IpAddr, ParseError>(address.into())
    };
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let endpoints = Endpoints {
        source: SocketAddr::new(address(source)?, port(0)),
        destination: SocketAddr::new(address(destination)?, port(2)),
    };
    Ok((Some(endpoints), len))
}

/// Checks that TLVs fill the header from `start` to its end, and its checksum if there is one.
fn check_tlvs(header: &[u8], start: usize) -> Result<(), ParseError> {
    let mut at = start;
    while at < header.len() {
        let rest = &header[at..];
        let (&[kind, len_high, len_low], _) = rest
            .split_first_chunk::<TLV_HEADER_LEN>()
            .ok_or(ParseError::Malformed)?;
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let value_at = at + TLV_HEADER_LEN;
        let value = header
            .get(value_at..value_at + len)
            .ok_or(ParseError::Malformed)?;
        if kind == CRC32C {
            let sum: [u8; 4] = value.try_into().map_err(|_| ParseError::Malformed)?;
            if u32::from_be_bytes(sum) != checksum(header, value_at) {
                return Err(ParseError::BadChecksum);
            }
        }
        at = value_at + len;
    }
    Ok(())
}

/// The checksum of a header whose field for it, at `at`, counts as zero (section 2.2.3).
fn checksum(header: &[u8], at: usize) -> u32 {
    let mut sum = Crc32c::new();
    sum.add(&header[..at]);
    sum.add(&[0; 4]);
    sum.add(&header[at + 4..]);
    sum.finish()
}

/// A header of version 2 that is to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announcement<'a> {
    /// The protocol that is spoken over the connection, as ALPN names it.
    pub alpn: Option<&'a [u8]>,
    /// The name that the client asked for.
    pub authority: Option<&'a str>,
    /// What tells the connection apart from all others.
    pub unique_id: Option<&'a [u8]>,
    /// Whether a checksum goes with it.
    pub crc32c: bool,
}

impl Announcement<'_> {
    /// Writes the header for a connection behind what is in `out`. What would make it longer than
    /// [`MAX_LEN`] is left out.
    pub fn emit(&self, endpoints: Endpoints, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(SIGNATURE);
        let Endpoints {
            source,
            destination,
        } = endpoints;
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                out.extend_from_slice(&[PROXY, TCP4, 0, 0]);
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                out.extend_from_slice(&[PROXY, TCP6, 0, 0]);
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
            }
            // No header can say this: the connection counts for itself.
            _ => out.extend_from_slice(&[LOCAL, 0, 0, 0]),
        }
        if source.is_ipv4() == destination.is_ipv4() {
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
        }
        let texts = [
            (ALPN, self.alpn),
            (AUTHORITY, self.authority.map(str::as_bytes)),
            (UNIQUE_ID, self.unique_id),
        ];
        for (kind, value) in texts {
            if let Some(value) = value {
                let reserved = TLV_HEADER_LEN + if self.crc32c { 7 } else { 0 };
                if out.len() - start + reserved + value.len() <= MAX_LEN {
                    push_tlv(out, kind, value);
                }
            }
        }
        let sum_at = self.crc32c.then(|| {
            push_tlv(out, CRC32C, &[0; 4]);
            out.len() - start - 4
        });
        let header = &mut out[start..];
        let len = (header.len() - FIXED_LEN) as u16;
        header[14..16].copy_from_slice(&len.to_be_bytes());
        if let Some(at) = sum_at {
            let sum = checksum(header, at);
            header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

fn push_tlv(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}
