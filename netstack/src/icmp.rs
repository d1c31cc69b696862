//! What the stack says by ICMP: echo replies and errors, for both IP versions.
//!
//! [`answer_echo`] turns a request into its reply in place, by patching what changes and the
//! checksums with it. An error takes three steps, the cheap ones first: [`error_recipient`] tells
//! whether one may be sent at all (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e)), a
//! [`RateLimit`](crate::rate_limit::RateLimit) of the caller whether now, and [`emit_error`] writes
//! it. Formats: [`crate::wire::icmp`].

use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::{Ip, IpAddress, V4, V6};
use crate::wire::icmp::{CHECKSUM_OFFSET, Error, HEADER_LEN, IcmpIp, Message, fill_checksum};
use crate::wire::ip_header::{DEFAULT_HOP_LIMIT, Header, HeaderIp};
use crate::wire::{ParseError, checksum, ipv4, ipv6};

/// What answering differs in between the IP versions.
pub trait AnswerIp: IcmpIp + HeaderIp {
    /// Most octets of a packet that carries an error.
    const MAX_ERROR_LEN: usize;
    /// Where the source address stands in the IP header; the destination follows.
    const SRC_OFFSET: usize;

    /// Gives the packet [`DEFAULT_HOP_LIMIT`] hops. No change if it is shorter than its header.
    fn reset_hop_limit(packet: &mut [u8]);
}

impl AnswerIp for V4 {
    // RFC 1812 4.3.2.3.
    const MAX_ERROR_LEN: usize = 576;
    const SRC_OFFSET: usize = ipv4::SRC_OFFSET;

    fn reset_hop_limit(packet: &mut [u8]) {
        let Some(header) = packet.first_chunk_mut::<{ ipv4::HEADER_LEN }>() else {
            return;
        };
        let old = header[ipv4::TTL_OFFSET];
        header[ipv4::TTL_OFFSET] = DEFAULT_HOP_LIMIT;
        // The time to live is the high half of its word.
        let [old, new] = [old, DEFAULT_HOP_LIMIT].map(|ttl| u16::from_be_bytes([ttl, 0]));
        patch_checksum(header, ipv4::CHECKSUM_OFFSET, old, new);
    }
}

impl AnswerIp for V6 {
    // RFC 4443 2.4(c): the smallest MTU that a link may have.
    const MAX_ERROR_LEN: usize = Self::MIN_MTU;
    const SRC_OFFSET: usize = ipv6::SRC_OFFSET;

    fn reset_hop_limit(packet: &mut [u8]) {
        if let Some(hop_limit) = packet.get_mut(ipv6::HOP_LIMIT_OFFSET) {
            *hop_limit = DEFAULT_HOP_LIMIT;
        }
    }
}

/// Turns `packet`, an IP packet for us with an echo request `upper` octets from its start, into
/// the reply.
///
/// The packet must not be a fragment, and its destination must be a unicast address of ours. Its
/// checksums are patched, not computed: what was wrong stays wrong.
///
/// # Errors
/// If there is no echo request; then the packet is unchanged.
pub fn answer_echo<I: AnswerIp>(packet: &mut [u8], upper: usize) -> Result<(), ParseError> {
    let message = packet
        .get_mut(upper..)
        .filter(|message| message.len() >= HEADER_LEN && upper >= I::HEADER_LEN)
        .ok_or(ParseError::Truncated)?;
    let [kind, code, ..] = message else {
        return Err(ParseError::Truncated);
    };
    if *kind != I::ECHO_REQUEST {
        return Err(ParseError::Malformed);
    }
    // The type is the high half of its word. The pseudo-header of ICMPv6 does not change: its sum
    // is the same with the addresses swapped.
    let old = u16::from_be_bytes([I::ECHO_REQUEST, *code]);
    let new = u16::from_be_bytes([I::ECHO_REPLY, *code]);
    *kind = I::ECHO_REPLY;
    patch_checksum(message, CHECKSUM_OFFSET, old, new);
    // The one reply whose checksum the change alone does not tell: over IPv4, without any octet
    // set, its sum is not the zero that other data can have.
    if I::VERSION == V4::VERSION && message.iter().all(|octet| *octet == 0) {
        let field = message
            .get_mut(CHECKSUM_OFFSET..)
            .and_then(<[u8]>::first_chunk_mut::<2>);
        *field.ok_or(ParseError::Truncated)? = [0xff; 2];
    }

    let addresses = I::SRC_OFFSET..I::SRC_OFFSET + 2 * I::Addr::LEN;
    let addresses = packet.get_mut(addresses).ok_or(ParseError::Truncated)?;
    let (src, dst) = addresses.split_at_mut(I::Addr::LEN);
    src.swap_with_slice(dst);
    I::reset_hop_limit(packet);
    Ok(())
}

/// To whom an error about the IP packet `packet` is sent; `None` if none may be sent.
///
/// `to_group` tells what the packet itself does not: that its frame was sent to a group MAC
/// address, or that its destination is the broadcast address of a link
/// ([`LocalAddresses::is_broadcast`](crate::route::LocalAddresses::is_broadcast)).
pub fn error_recipient<I: IcmpIp>(packet: &[u8], to_group: bool) -> Option<I::Addr> {
    let header = I::parse_quoted_header(packet).ok()?;
    // Only the first fragment gets an error.
    let upper = header.upper?;
    // An error about an error could go round for ever.
    let about_error = header.protocol == I::ICMP_PROTOCOL
        && packet.get(upper).is_none_or(|kind| I::is_error(*kind));
    // A source that is no single host, or none that this network leads to.
    let to_nobody = !header.src.is_unicast() || header.src.is_loopback();
    let refused = to_group || !header.dst.is_unicast() || about_error || to_nobody;
    (!refused).then_some(header.src)
}

/// Writes an IP packet with `error` about the IP packet `packet`, from our address `src` to the
/// [`error_recipient`] `dst`, into an empty buffer; the caller puts the Ethernet header in front.
///
/// As much of `packet` is quoted as an error may hold. It must not include padding of its frame.
///
/// # Errors
/// [`DropReason::NoBuffer`] if the buffer is too small.
pub fn emit_error<I: AnswerIp, B: PacketBuf>(
    buf: &mut B,
    src: I::Addr,
    dst: I::Addr,
    error: Error,
    packet: &[u8],
) -> Result<(), DropReason> {
    let room = I::MAX_ERROR_LEN - I::HEADER_LEN - HEADER_LEN;
    let (quoted, _) = packet.split_at(packet.len().min(room));
    let payload_len = HEADER_LEN + quoted.len();
    buf.truncate(0);
    let out = buf
        .append(I::HEADER_LEN + payload_len)
        .ok_or(DropReason::NoBuffer)?;
    let header = Header::<I> {
        src,
        dst,
        protocol: I::ICMP_PROTOCOL,
        hop_limit: DEFAULT_HOP_LIMIT,
        ecn: 0,
        payload_len,
    };
    I::emit_header(&header, out);
    let (_, message) = out.split_at_mut(I::HEADER_LEN);
    Message::Error(error).emit::<I>(message);
    let (_, quotation) = message.split_at_mut(HEADER_LEN);
    quotation.copy_from_slice(quoted);
    fill_checksum::<I>(src, dst, message);
    Ok(())
}

/// Corrects the checksum at `offset` after a word changed; no change if `octets` ends before it.
fn patch_checksum(octets: &mut [u8], offset: usize, old: u16, new: u16) {
    if let Some(field) = octets.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *field = checksum::update_u16(u16::from_be_bytes(*field), old, new).to_be_bytes();
    }
}

#[cfg(test)]
mod tests;
