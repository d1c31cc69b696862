//! Segments without payload that belong to no engine: resets and challenge ACKs.

use super::{Flow, Output, PROTOCOL};
use crate::io::PacketBuf;
use crate::ip::FiveTuple;
use crate::wire::ip_header::{self, HeaderIp};
use crate::wire::tcp::{Flags, HEADER_LEN, Header, Options};

/// Sends a segment without payload or options to the source of `flow`. Returns whether there was
/// a buffer for it.
pub(super) fn send<I: HeaderIp, O: Output>(
    out: &mut O,
    flow: FiveTuple<I>,
    (seq, ack): (u32, u32),
    flags: Flags,
) -> bool {
    let header = Header {
        sport: flow.dport,
        dport: flow.sport,
        seq,
        ack,
        flags,
        window: 0,
        urgent: 0,
        header_len: HEADER_LEN,
        options: Options::default(),
    };
    let len = I::HEADER_LEN + header.header_len;
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
        payload_len: header.header_len,
    };
    I::emit_header(&ip_header, octets);
    header.emit(&mut octets[I::HEADER_LEN..]);
    out.send(packet);
    true
}

/// Acknowledges what the peer sent on a flow of either version. Returns whether there was a buffer.
pub(super) fn send_ack<O: Output>(out: &mut O, flow: Flow, numbers: (u32, u32)) -> bool {
    match flow {
        Flow::V4(flow) => send(out, flow, numbers, Flags::ACK),
        Flow::V6(flow) => send(out, flow, numbers, Flags::ACK),
    }
}

/// What an RST in answer to a segment of no connection says (RFC 9293 section 3.10.7.1).
pub(super) fn reset_for(header: &Header, payload_len: usize) -> ((u32, u32), Flags) {
    if header.flags.contains(Flags::ACK) {
        ((header.ack, 0), Flags::RST)
    } else {
        let syn = u32::from(header.flags.contains(Flags::SYN));
        let fin = u32::from(header.flags.contains(Flags::FIN));
        let end = header
            .seq
            .wrapping_add(payload_len as u32)
            .wrapping_add(syn + fin);
        ((0, end), Flags::RST | Flags::ACK)
    }
}
