//! How a segment of ours is written into a packet.
//!
//! In: what its header says, and the chunks that hold its payload. Out: an IP packet by the
//! caller's [`Output`], without checksums. Payload is attached by reference when that is worth it:
//! each reference costs about as much as copying some hundred octets.

use core::ops::Range;

use crate::io::{PacketBuf, Payload};
use crate::ip::FiveTuple;
use crate::tcp::{Flow, Output, PROTOCOL};
use crate::wire::checksum::Sum;
use crate::wire::ip_header::{self, HeaderIp};
use crate::wire::tcp::Header;

/// Pieces shorter than this are copied.
const WORTH_ATTACHING: usize = 256;

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outgoing<'a> {
    pub(super) flow: &'a Flow,
    pub(super) header: Header,
    /// The ECN field of the IP header.
    pub(super) ecn: u8,
    /// Octets of payload.
    pub(super) len: usize,
    /// The payload of the segments that a port makes of this one, if it is to make several.
    pub(super) segment_size: Option<u16>,
}

/// Whether payload may be attached by reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Attaching {
    /// Where it is worth it, and the output takes such packets.
    Allowed,
    /// Everything is copied: the payload fits a buffer.
    Never,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Emitted {
    /// It is sent.
    Sent,
    /// There was no buffer for it.
    NoBuffer,
    /// Its payload is in more pieces than can be attached, and is too long to be copied.
    TooManyPieces,
}

impl Outgoing<'_> {
    /// Sends the segment with the payload in `pieces`.
    pub(super) fn send<'p, O: Output>(
        &self,
        out: &mut O,
        pieces: impl Iterator<Item = (&'p <O::Buf as PacketBuf>::Payload, Range<usize>)>,
        attaching: Attaching,
    ) -> Emitted {
        let Some(mut packet) = out.alloc() else {
            return Emitted::NoBuffer;
        };
        if !self.emit_headers(&mut packet) {
            return Emitted::TooManyPieces;
        }
        let mut room = if attaching == Attaching::Allowed && self.len >= WORTH_ATTACHING {
            out.attach_limit()
        } else {
            0
        };
        let mut attached = false;
        let summed = self.len > 0 && self.segment_size.is_none() && out.wants_sums();
        let mut sum = Sum::new();
        for (payload, range) in pieces {
            let octets = &payload.octets()[range.clone()];
            if summed {
                match payload
                    .sum()
                    .filter(|_| octets.len() == payload.octets().len())
                {
                    Some(whole) => sum.add_summed(whole, octets.len()),
                    None => sum.add_octets(octets),
                }
            }
            let worth = attached || octets.len() >= WORTH_ATTACHING;
            if worth && room > 0 && packet.attach_part(payload, range) {
                attached = true;
                room -= 1;
                continue;
            }
            if attached || !append(&mut packet, octets) {
                return Emitted::TooManyPieces;
            }
        }
        match self.segment_size {
            Some(size) => out.send_segments(packet, size),
            None if summed => out.send_summed(packet, sum.folded()),
            None => out.send(packet),
        }
        Emitted::Sent
    }

    fn emit_headers<B: PacketBuf>(&self, packet: &mut B) -> bool {
        match self.flow {
            Flow::V4(flow) => self.emit_for(packet, flow),
            Flow::V6(flow) => self.emit_for(packet, flow),
        }
    }

    fn emit_for<I: HeaderIp, B: PacketBuf>(&self, packet: &mut B, flow: &FiveTuple<I>) -> bool {
        let header_len = self.header.emit_len();
        let Some(octets) = packet.append(I::HEADER_LEN + header_len) else {
            return false;
        };
        let ip_header = ip_header::Header::<I> {
            src: flow.dst,
            dst: flow.src,
            protocol: PROTOCOL,
            hop_limit: ip_header::DEFAULT_HOP_LIMIT,
            ecn: self.ecn,
            payload_len: header_len + self.len,
        };
        I::emit_unsummed(&ip_header, octets);
        let header = Header {
            sport: flow.dport,
            dport: flow.sport,
            ..self.header
        };
        header.emit(&mut octets[I::HEADER_LEN..]);
        true
    }
}

fn append<B: PacketBuf>(packet: &mut B, octets: &[u8]) -> bool {
    let at = packet.data().len();
    match packet.append(octets.len()) {
        Some(data) => {
            data[at..].copy_from_slice(octets);
            true
        }
        None => false,
    }
}
