//! Wire formats, one protocol a file.
//!
//! Parsers borrow the octets, check lengths once, and return a struct of plain values or a
//! [`ParseError`]; they never panic, whatever the octets are. Emitters write into a slice that the
//! caller has made large enough. For every format, parsing what was emitted gives back the same
//! value.

// Slices of unknown length are taken apart with `get`, `first_chunk` and slice patterns, so that no
// peer can make an index fail. Indexing an array by a constant is checked by the compiler and fine.
// Tests index as they like.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ip_header;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_ext;
pub mod ndp;
pub mod tcp;
pub mod udp;

/// Why octets are not what they should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Fewer octets than the format needs, or than its own length field states.
    #[error("truncated")]
    Truncated,
    /// A field holds a value that the format forbids.
    #[error("malformed")]
    Malformed,
    /// A checksum does not match.
    #[error("wrong checksum")]
    Checksum,
}

/// The first `N` octets of what an emitter writes to.
///
/// # Panics
/// If there are fewer: making room is the duty of whoever emits.
fn header_mut<const N: usize>(out: &mut [u8]) -> &mut [u8; N] {
    out.first_chunk_mut()
        .expect("the caller makes room for the header")
}
