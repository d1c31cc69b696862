//! The PROXY protocol, versions 1 and 2: who the client of a relayed connection is.
//!
//! The standard is HAProxy's `proxy-protocol.txt`. A header comes before everything else on a
//! connection, from who connects to who accepts. Version 1 is a line of text, version 2 is binary
//! and may carry more, in TLVs. The two are told apart by their first octets; nothing else is taken
//! for a header, and nothing is guessed.
//!
//! In: the first octets of a connection ([`parse`]), or the ends of one ([`v2::Announcement`]). Out: a
//! [`Header`], or octets. Of TLVs received, a checksum is verified and a NOOP skipped; the others
//! must only be well-formed.

mod crc32c;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use core::net::SocketAddr;

use thiserror::Error;

pub use self::v1::MAX_LEN as V1_MAX_LEN;
pub use self::v2::{Announcement as AnnouncementV2, MAX_LEN as V2_MAX_LEN};
use crate::config::AnnounceVersion;

/// The ends of the connection that is relayed, both of one IP version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
}

/// A header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What it says; `None` if it only says that there is nothing to say (`LOCAL`, `UNKNOWN`,
    /// `UNSPEC`), or speaks of ends that are no IP addresses: then those of the connection count.
    pub endpoints: Option<Endpoints>,
    /// Octets of the header.
    pub len: usize,
}

/// Why the first octets of a connection are no header.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ParseError {
    /// They begin like neither version.
    #[error("no PROXY protocol signature")]
    NoSignature,
    /// The header is longer than any that is accepted.
    #[error("the header is too long")]
    TooLong,
    /// The header contradicts the standard.
    #[error("the header is malformed")]
    Malformed,
    /// The header carries a checksum, and it is wrong.
    #[error("the checksum of the header is wrong")]
    BadChecksum,
}

/// Octets of the longest header that is accepted.
pub const MAX_LEN: usize = V2_MAX_LEN;

/// Reads the header at the front of `octets`; `None` if more of them are needed to know.
pub fn parse(octets: &[u8]) -> Result<Option<Header>, ParseError> {
    if begins_like(octets, v2::SIGNATURE) {
        v2::parse(octets)
    } else if begins_like(octets, v1::SIGNATURE) {
        v1::parse(octets)
    } else {
        Err(ParseError::NoSignature)
    }
}

/// Whether `octets` are the front of something that begins with `signature`.
fn begins_like(octets: &[u8], signature: &[u8]) -> bool {
    let known = octets.len().min(signature.len());
    octets[..known] == signature[..known]
}

/// Writes a header that says that the connection is our own, as those of checks are (section 2.2:
/// such a connection speaks for nobody), behind what is in `out`.
pub fn emit_own(version: AnnounceVersion, out: &mut Vec<u8>) {
    match version {
        AnnounceVersion::V1 => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        AnnounceVersion::V2 => {
            out.extend_from_slice(v2::SIGNATURE);
            out.extend_from_slice(&[v2::LOCAL, 0, 0, 0]);
        }
    }
}

/// Writes a header of version 1 for a connection behind what is in `out`.
pub fn emit_v1(endpoints: Endpoints, out: &mut Vec<u8>) {
    v1::emit(endpoints, out);
}
