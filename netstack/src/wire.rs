//! Wire formats, one protocol a file.
//!
//! Parsers borrow the octets, check lengths once, and return a struct of plain values or a
//! [`ParseError`]; they never panic, whatever the octets are. Emitters write into a slice that the
//! caller has made large enough. For every format, parsing what was emitted gives back the same
//! value.

pub mod ethernet;

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
