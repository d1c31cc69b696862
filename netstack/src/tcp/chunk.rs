//! Octets between a session and its connections.

use crate::io::{PacketBuf, Payload};

/// Octets in order, received or to be sent.
pub enum Chunk<'a, B: PacketBuf> {
    /// In a packet buffer, which can be shared.
    Shared(&'a B::Payload),
    /// Somewhere else: who keeps them copies them.
    Borrowed(&'a [u8]),
}

impl<'a, B: PacketBuf> Chunk<'a, B> {
    /// Octets that are contiguous in memory.
    pub fn new(octets: &'a [u8]) -> Self {
        Self::Borrowed(octets)
    }

    /// Octets in a packet buffer.
    pub fn shared(payload: &'a B::Payload) -> Self {
        Self::Shared(payload)
    }

    /// The octets.
    pub fn octets(&self) -> &'a [u8] {
        match self {
            Self::Shared(payload) => payload.octets(),
            Self::Borrowed(octets) => octets,
        }
    }
}
