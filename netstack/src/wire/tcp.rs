//! TCP segments (RFC 9293 section 3.1) and their options.
//!
//! [`Header::parse`] gives the fixed fields and every option that the stack knows; unknown options
//! are skipped, options whose lengths do not add up are an error. [`raw_options`] walks the options
//! and tells where they stand, for whoever patches a segment in place. The checksum is verified by
//! [`super::checksum::verify_transport_checksum`].

use core::fmt;

use super::checksum;
use super::{ParseError, header_mut};
use crate::ip::Ip;

/// The number that IP uses for TCP.
pub const PROTOCOL: u8 = 6;
/// Octets of the header without options.
pub const HEADER_LEN: usize = 20;
/// Most octets of options.
pub const MAX_OPTIONS_LEN: usize = 40;
/// The largest useful shift of a window: RFC 7323 2.3.
pub const MAX_WINDOW_SCALE: u8 = 14;

/// Where the sequence number stands in the header.
pub const SEQ_OFFSET: usize = 4;
/// Where the acknowledgment number stands in the header.
pub const ACK_OFFSET: usize = 8;
/// Where the length of the header stands in the header, in words of 4 octets, in the high nibble.
pub const DATA_OFFSET_OFFSET: usize = 12;
/// Where the flags stand in the header.
pub const FLAGS_OFFSET: usize = 13;
/// Where the window stands in the header.
pub const WINDOW_OFFSET: usize = 14;
/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 16;

/// Option kinds.
pub mod option {
    /// End of the options.
    pub const END: u8 = 0;
    /// Padding.
    pub const NOP: u8 = 1;
    /// Maximum segment size (RFC 9293 section 3.7.1).
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323 section 2).
    pub const WINDOW_SCALE: u8 = 3;
    /// Selective acknowledgments are understood (RFC 2018 section 2).
    pub const SACK_PERMITTED: u8 = 4;
    /// Selective acknowledgment (RFC 2018 section 3).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323 section 3).
    pub const TIMESTAMPS: u8 = 8;
}

/// The control bits of a segment.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronizes sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Resets the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::FIN, "FIN"),
        (Self::SYN, "SYN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
    ];

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// The flags of both.
    pub const fn union(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// The flags that are not in `flags`.
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Whether a TCP may send these flags together.
    ///
    /// No state of RFC 9293 sends a segment without any of SYN, ACK and RST, a SYN that also ends
    /// or resets, or a FIN that acknowledges nothing.
    pub const fn is_sane(self) -> bool {
        let syn = self.contains(Self::SYN);
        let fin = self.contains(Self::FIN);
        let rst = self.contains(Self::RST);
        let ack = self.contains(Self::ACK);
        (syn || ack || rst) && !(syn && (fin || rst)) && (ack || !fin)
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl fmt::Display for Flags {
    /// Names joined by `|`; `-` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (flag, name) in Self::NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() {
            f.write_str("-")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A TCP header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number of the first octet.
    pub seq: u32,
    /// Next sequence number expected from the other end, if ACK is set.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window as it stands in the header, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Octets of the header with options, as parsed. [`Header::emit`] computes it anew.
    pub header_len: usize,
    /// What the options say.
    pub options: Options,
}

impl Header {
    /// Reads the header of `segment`.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if there is no whole header: the segment ends before it, or the
    /// data offset points into its fixed part. [`ParseError::Malformed`] for broken options, and
    /// for nothing else.
    pub fn parse(segment: &[u8]) -> Result<Self, ParseError> {
        let fixed = segment
            .first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::Truncated)?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        // The range is none if the data offset is less than the fixed header.
        let options = segment
            .get(HEADER_LEN..header_len)
            .ok_or(ParseError::Truncated)?;
        Ok(Self {
            sport: u16::from_be_bytes([fixed[0], fixed[1]]),
            dport: u16::from_be_bytes([fixed[2], fixed[3]]),
            seq: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ack: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            flags: Flags(fixed[FLAGS_OFFSET]),
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            urgent: u16::from_be_bytes([fixed[18], fixed[19]]),
            header_len,
            options: Options::parse(options)?,
        })
    }

    /// Octets that [`Header::emit`] writes.
    pub fn emit_len(&self) -> usize {
        HEADER_LEN + self.options.emit_len()
    }

    /// Writes the header with its options and a checksum of zero to the first
    /// [`Header::emit_len`] octets of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than that.
    pub fn emit(&self, out: &mut [u8]) {
        let header_len = self.emit_len();
        let (fixed, rest) = out
            .split_first_chunk_mut::<HEADER_LEN>()
            .expect("the caller makes room for the header");
        fixed[..2].copy_from_slice(&self.sport.to_be_bytes());
        fixed[2..4].copy_from_slice(&self.dport.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.seq.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ack.to_be_bytes());
        fixed[12] = (header_len / 4) as u8 * 16;
        fixed[13] = self.flags.0;
        fixed[14..16].copy_from_slice(&self.window.to_be_bytes());
        fixed[16..18].fill(0);
        fixed[18..].copy_from_slice(&self.urgent.to_be_bytes());
        self.options.emit(rest);
    }
}

/// The timestamps option (RFC 7323 section 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The clock of the other end, given back; counts only in an ACK.
    pub echo: u32,
}

/// What the options of a segment say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// The largest segment that the sender takes, in octets of payload.
    pub mss: Option<u16>,
    /// How far the sender's windows are shifted, at most [`MAX_WINDOW_SCALE`].
    pub window_scale: Option<u8>,
    /// The sender understands selective acknowledgments.
    pub sack_permitted: bool,
    /// Clocks.
    pub timestamps: Option<Timestamps>,
    /// What arrived out of order.
    pub sack_blocks: SackBlocks,
}

impl Options {
    /// Octets of the options on the wire, padded to a multiple of 4: at most
    /// [`MAX_OPTIONS_LEN`]. SACK blocks for which there is no room are left out.
    pub fn emit_len(&self) -> usize {
        let fixed = self.fixed_len();
        match self.emitted_blocks(fixed) {
            0 => fixed,
            blocks => fixed + 4 + 8 * blocks,
        }
    }

    fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let mut options = Self::default();
        for raw in RawOptions::new(octets) {
            let raw = raw?;
            match (raw.kind, raw.data) {
                (option::MSS, &[high, low]) => {
                    options.mss = Some(u16::from_be_bytes([high, low]));
                }
                // RFC 7323 2.3: a larger shift counts as 14.
                (option::WINDOW_SCALE, &[shift]) => {
                    options.window_scale = Some(shift.min(MAX_WINDOW_SCALE));
                }
                (option::SACK_PERMITTED, []) => options.sack_permitted = true,
                (option::TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
                    options.timestamps = Some(Timestamps {
                        value: u32::from_be_bytes([v0, v1, v2, v3]),
                        echo: u32::from_be_bytes([e0, e1, e2, e3]),
                    });
                }
                (option::SACK, data) => options.sack_blocks = SackBlocks::parse(data)?,
                (
                    option::MSS
                    | option::WINDOW_SCALE
                    | option::SACK_PERMITTED
                    | option::TIMESTAMPS,
                    _,
                ) => return Err(ParseError::Malformed),
                // RFC 9293 3.1: an option that is not known is skipped by its length.
                _ => {}
            }
        }
        Ok(options)
    }

    /// Octets of all options but SACK, each group padded to a multiple of 4.
    const fn fixed_len(&self) -> usize {
        let mut len = 0;
        if self.mss.is_some() {
            len += 4;
        }
        if self.timestamps.is_some() {
            // SACK-permitted takes the place of the padding before the timestamps.
            len += 12;
        } else if self.sack_permitted {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        len
    }

    fn emitted_blocks(&self, fixed_len: usize) -> usize {
        let room = (MAX_OPTIONS_LEN - fixed_len).saturating_sub(4) / 8;
        self.sack_blocks.as_slice().len().min(room)
    }

    fn emit(&self, out: &mut [u8]) {
        use option::{MSS, NOP, SACK, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE};
        let mut out = Writer { rest: out };
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            out.put([MSS, 4, high, low]);
        }
        match (self.sack_permitted, self.timestamps) {
            (true, Some(_)) => out.put([SACK_PERMITTED, 2, TIMESTAMPS, 10]),
            (true, None) => out.put([NOP, NOP, SACK_PERMITTED, 2]),
            (false, Some(_)) => out.put([NOP, NOP, TIMESTAMPS, 10]),
            (false, None) => {}
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            out.put(value.to_be_bytes());
            out.put(echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            out.put([NOP, WINDOW_SCALE, 3, shift]);
        }
        let blocks = self.emitted_blocks(self.fixed_len());
        if blocks != 0 {
            out.put([NOP, NOP, SACK, 2 + 8 * blocks as u8]);
            for (left, right) in self.sack_blocks.as_slice().iter().take(blocks) {
                out.put(left.to_be_bytes());
                out.put(right.to_be_bytes());
            }
        }
    }
}

/// Ranges of sequence numbers that arrived: first octet, and the one after the last. At most 4.
#[derive(Clone, Copy, Default, Eq)]
pub struct SackBlocks {
    blocks: [(u32, u32); 4],
    len: u8,
}

impl SackBlocks {
    /// Adds a block; `false`, and no change, if there are 4 already.
    pub fn push(&mut self, left: u32, right: u32) -> bool {
        match self.blocks.get_mut(usize::from(self.len)) {
            Some(block) => {
                *block = (left, right);
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The blocks in order.
    pub fn as_slice(&self) -> &[(u32, u32)] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// RFC 2018 section 3: one to four blocks of two sequence numbers each.
    fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let (pairs, rest) = data.as_chunks::<8>();
        if pairs.is_empty() || pairs.len() > 4 || !rest.is_empty() {
            return Err(ParseError::Malformed);
        }
        let mut blocks = Self::default();
        for &[l0, l1, l2, l3, r0, r1, r2, r3] in pairs {
            blocks.push(
                u32::from_be_bytes([l0, l1, l2, l3]),
                u32::from_be_bytes([r0, r1, r2, r3]),
            );
        }
        Ok(blocks)
    }
}

impl PartialEq for SackBlocks {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// One option as it stands in a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RawOption<'s> {
    /// What option it is.
    pub kind: u8,
    /// Where its kind octet stands in the segment.
    pub offset: usize,
    /// Its octets after kind and length.
    pub data: &'s [u8],
}

/// Iterator over the options of a segment: see [`raw_options`].
#[derive(Clone, Debug)]
pub struct RawOptions<'s> {
    options: &'s [u8],
    offset: usize,
}

impl<'s> RawOptions<'s> {
    /// `options` is what stands between the fixed header and the payload.
    const fn new(options: &'s [u8]) -> Self {
        Self {
            options,
            offset: HEADER_LEN,
        }
    }
}

impl<'s> Iterator for RawOptions<'s> {
    type Item = Result<RawOption<'s>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [option::NOP, rest @ ..] = self.options {
            self.options = rest;
            self.offset += 1;
        }
        let options = core::mem::take(&mut self.options);
        let (kind, len) = match *options {
            [] | [option::END, ..] => return None,
            [kind, len, ..] => (kind, usize::from(len)),
            [_] => return Some(Err(ParseError::Malformed)),
        };
        let (Some(data), Some(rest)) = (options.get(2..len), options.get(len..)) else {
            return Some(Err(ParseError::Malformed));
        };
        let offset = self.offset;
        self.options = rest;
        self.offset += len;
        Some(Ok(RawOption { kind, offset, data }))
    }
}

/// The options of `segment` but padding, with where they stand. Ends after the first error; an
/// option list that is not all there is empty.
pub fn raw_options(segment: &[u8]) -> RawOptions<'_> {
    let header_len = segment
        .get(12)
        .map_or(0, |octet| usize::from(octet >> 4) * 4);
    RawOptions::new(segment.get(HEADER_LEN..header_len).unwrap_or_default())
}

/// Where the value of the maximum segment size option stands in `segment`.
pub fn mss_option_offset(segment: &[u8]) -> Option<usize> {
    raw_options(segment)
        .map_while(Result::ok)
        .find(|raw| raw.kind == option::MSS && raw.data.len() == 2)
        .map(|raw| raw.offset + 2)
}

/// Computes the checksum of `segment` and writes it.
///
/// # Panics
/// If `segment` is shorter than a header.
pub fn fill_checksum<I: Ip>(src: I::Addr, dst: I::Addr, segment: &mut [u8]) {
    header_mut::<HEADER_LEN>(segment)[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let sum = checksum::transport_checksum::<I>(src, dst, PROTOCOL, segment);
    header_mut::<HEADER_LEN>(segment)[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2]
        .copy_from_slice(&sum.to_be_bytes());
}

/// Writes one piece after the other.
struct Writer<'o> {
    rest: &'o mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, octets: [u8; 4]) {
        let (to, rest) = core::mem::take(&mut self.rest)
            .split_first_chunk_mut::<4>()
            .expect("the caller makes room for the options");
        *to = octets;
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests;
