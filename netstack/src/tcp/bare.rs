//! Segments without payload that belong to no engine: resets and challenge ACKs.

use super::{Output, PROTOCOL};
use crate::io::PacketBuf;
use crate::ip::FiveTuple;
use crate::wire::ip_header::{self, HeaderIp};
use crate::wire::tcp::{Flags, HEADER_LEN, Header, Options};

/// What such a segment says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bare {
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// As it stands in the header, not scaled.
    pub(super) window: u16,
    pub(super) flags: Flags,
    pub(super) options: Options,
}

/// Sends a segment without payload to the source of `flow`. Returns whether there was
/// a buffer for it.
pub(super) fn send<I: HeaderIp, O: Output>(out: &mut O, flow: FiveTuple<I>, bare: Bare) -> bool {
    let header = Header {
        sport: flow.dport,
        dport: flow.sport,
        seq: bare.seq,
        ack: bare.ack,
        flags: bare.flags,
        window: bare.window,
        urgent: 0,
        header_len: HEADER_LEN,
        options: bare.options,
    };
    let header_len = header.emit_len();
    let len = I::HEADER_LEN + header_len;
    let Some(mut packet) = out.alloc() else {
        return false;
    };
    let Some(octets) = packet.append(len) else {
        return false;
    };
    let ip_header = ip_header::Header::<I> {
        src: flow.dst,
        dst: flow.src,
        protocol: PROTOCOL,
        hop_limit: ip_header::DEFAULT_HOP_LIMIT,
        ecn: 0,
        payload_len: header_len,
    };
    I::emit_unsummed(&ip_header, octets);
    header.emit(&mut octets[I::HEADER_LEN..]);
    out.send(packet);
    true
}

/// What an RST in answer to a segment of no connection says (RFC 9293 section 3.10.7.1).
pub(super) fn reset_for(header: &Header, payload_len: usize) -> Bare {
    if header.flags.contains(Flags::ACK) {
        return Bare {
            seq: header.ack,
            ack: 0,
            window: 0,
            flags: Flags::RST,
            options: Options::default(),
        };
    }
    let syn = u32::from(header.flags.contains(Flags::SYN));
    let fin = u32::from(header.flags.contains(Flags::FIN));
    let end = header
        .seq
        .wrapping_add(payload_len as u32)
        .wrapping_add(syn + fin);
    Bare {
        seq: 0,
        ack: end,
        window: 0,
        flags: Flags::RST | Flags::ACK,
        options: Options::default(),
    }
}
