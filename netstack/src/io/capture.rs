//! Capture files: the records of a pcap or pcapng file, and a writer of pcap files.
//!
//! [`CaptureReader`] reads from any [`Read`]: pcap with microseconds or nanoseconds, and pcapng
//! with any time resolution and any number of interfaces, in both byte orders. [`CaptureWriter`]
//! writes pcap with nanoseconds, little endian on every machine, so that equal frames give equal
//! files. Both hold Ethernet frames only.
//!
//! The formats are draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Record headers are taken
//! apart here, because `pcap-file` refuses captures with a snap length and reads every pcapng time
//! stamp as nanoseconds.

use std::io::{self, Chain, Cursor, Read, Write};

use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, PACKET_BLOCK, RawBlock, SIMPLE_PACKET_BLOCK,
};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};

use crate::time::Instant;

/// Why a capture cannot be read any further, or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The input starts like neither of the formats.
    #[error("the input is neither a pcap nor a pcapng capture")]
    NotACapture,
    /// The input ends inside a record. Records count from 1; in pcapng every block is one.
    #[error("record {record} of the capture is cut off, or its stated length is wrong")]
    Truncated {
        /// The number of the record.
        record: u64,
    },
    /// A record holds what the format forbids. Records count from 1; in pcapng every block is one.
    #[error("record {record} of the capture is malformed: {problem}")]
    Malformed {
        /// The number of the record.
        record: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The frames are not Ethernet frames.
    #[error(
        "the capture has link type {0}, only Ethernet (1) can be read: \
         capture on one interface, not on \"any\""
    )]
    LinkType(u32),
    /// The input cannot be read.
    #[error("cannot read the capture: {0}")]
    Read(#[source] io::Error),
    /// The output cannot be written.
    #[error("cannot write the capture: {0}")]
    Write(#[source] io::Error),
}

/// One captured frame. Made once and filled again and again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// When the frame was captured, since the Unix epoch.
    pub stamp: Instant,
    /// Octets of the frame on the wire.
    pub original_len: usize,
    /// What was captured of the frame: all of it, or its beginning.
    pub data: Vec<u8>,
}

/// Reads the records of a capture.
pub struct CaptureReader<R: Read> {
    format: Format<Chain<Cursor<[u8; 4]>, R>>,
    /// Records (in pcapng: blocks) begun so far.
    records: u64,
    /// The time stamp of the last record.
    last_stamp: Instant,
}

enum Format<R: Read> {
    Pcap(PcapReader<R>),
    PcapNg(PcapNgReader<R>),
}

impl<R: Read> CaptureReader<R> {
    /// Reads the header of a capture and finds out its format.
    pub fn new(mut input: R) -> Result<Self, CaptureError> {
        let mut magic = [0; 4];
        input
            .read_exact(&mut magic)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => CaptureError::NotACapture,
                _ => CaptureError::Read(error),
            })?;
        let input = Cursor::new(magic).chain(input);
        let header_error = |error| match error {
            PcapError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                CaptureError::Read(error)
            }
            _ => CaptureError::NotACapture,
        };
        let format = if magic == PCAPNG_MAGIC {
            Format::PcapNg(PcapNgReader::new(input).map_err(header_error)?)
        } else {
            let reader = PcapReader::new(input).map_err(header_error)?;
            // The upper half of the field may state the length of a frame check sequence.
            require_ethernet(u32::from(reader.header().datalink) & 0xffff)?;
            Format::Pcap(reader)
        };
        Ok(Self {
            format,
            records: 0,
            last_stamp: Instant::ZERO,
        })
    }

    /// Reads the next frame into `record`. Returns `false`, and leaves anything in `record`, at
    /// the end of the capture.
    ///
    /// # Errors
    /// After an error nothing useful can be read any more.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, CaptureError> {
        let found = match &mut self.format {
            Format::Pcap(reader) => {
                self.records += 1;
                read_pcap(reader, record)
            }
            Format::PcapNg(reader) => loop {
                self.records += 1;
                match read_block(reader, record, self.last_stamp) {
                    Ok(Block::Other) => {}
                    Ok(Block::Frame) => break Ok(true),
                    Ok(Block::End) => break Ok(false),
                    Err(error) => break Err(error),
                }
            },
        };
        self.last_stamp = record.stamp;
        found.map_err(|failure| failure.in_record(self.records))
    }
}

/// A failure that does not know yet which record it is in.
enum Failure {
    Pcap(PcapError),
    LinkType(u32),
}

impl Failure {
    fn in_record(self, record: u64) -> CaptureError {
        match self {
            Self::LinkType(link_type) => CaptureError::LinkType(link_type),
            Self::Pcap(PcapError::IoError(error)) => match error.kind() {
                io::ErrorKind::UnexpectedEof => CaptureError::Truncated { record },
                _ => CaptureError::Read(error),
            },
            Self::Pcap(PcapError::InvalidField(problem)) => {
                CaptureError::Malformed { record, problem }
            }
            Self::Pcap(PcapError::InvalidInterfaceId(_)) => CaptureError::Malformed {
                record,
                problem: "no such interface",
            },
            Self::Pcap(
                PcapError::IncompleteBuffer | PcapError::Utf8Error(_) | PcapError::FromUtf8Error(_),
            ) => CaptureError::Malformed {
                record,
                problem: "bad option",
            },
        }
    }
}

impl From<PcapError> for Failure {
    fn from(error: PcapError) -> Self {
        Self::Pcap(error)
    }
}

fn read_pcap<R: Read>(reader: &mut PcapReader<R>, record: &mut Record) -> Result<bool, Failure> {
    let nanos_per_unit = match reader.header().ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    let Some(raw) = reader.next_raw_packet().transpose()? else {
        return Ok(false);
    };
    record.stamp = Instant::from_nanos(
        u64::from(raw.ts_sec) * NANOS_PER_SECOND + u64::from(raw.ts_frac) * nanos_per_unit,
    );
    record.original_len = raw.orig_len as usize;
    record.data.clear();
    record.data.extend_from_slice(&raw.data);
    Ok(true)
}

/// What a pcapng block was.
enum Block {
    Frame,
    Other,
    End,
}

fn read_block<R: Read>(
    reader: &mut PcapNgReader<R>,
    record: &mut Record,
    last_stamp: Instant,
) -> Result<Block, Failure> {
    let endianness = reader.section().endianness;
    let Some(block) = reader.next_raw_block().transpose()? else {
        return Ok(Block::End);
    };
    let Some(header) = PacketHeader::parse(&block, endianness)? else {
        return Ok(Block::Other);
    };
    record.original_len = header.original_len as usize;
    record.data.clear();
    record
        .data
        .extend_from_slice(&block.body[header.data_offset..]);

    let interface = reader
        .interfaces()
        .get(header.interface as usize)
        .ok_or(PcapError::InvalidInterfaceId(header.interface))?;
    if interface.linktype != DataLink::ETHERNET {
        return Err(Failure::LinkType(u32::from(interface.linktype)));
    }
    let captured_len = header
        .captured_len
        .unwrap_or_else(|| match interface.snaplen {
            0 => header.original_len,
            snaplen => header.original_len.min(snaplen),
        });
    if record.data.len() < captured_len as usize {
        return Err(PcapError::InvalidField("the frame is longer than its block").into());
    }
    // What follows the frame is padding and options.
    record.data.truncate(captured_len as usize);
    record.stamp = match header.stamp {
        Some(units) => stamp_of(units, interface),
        None => last_stamp,
    };
    Ok(Block::Frame)
}

/// What stands before the frame in a pcapng block.
struct PacketHeader {
    interface: u32,
    /// In units of the interface; simple packet blocks have none.
    stamp: Option<u64>,
    /// Simple packet blocks leave it to the interface's snap length.
    captured_len: Option<u32>,
    original_len: u32,
    /// Where the frame begins in the block's body.
    data_offset: usize,
}

impl PacketHeader {
    /// Reads the header of the three kinds of blocks that hold a frame; `None` for all others.
    fn parse(block: &RawBlock<'_>, endianness: Endianness) -> Result<Option<Self>, PcapError> {
        let word = |index: usize| -> Result<u32, PcapError> {
            let octets = block.body.get(4 * index..).and_then(<[u8]>::first_chunk);
            let octets = octets.ok_or(PcapError::InvalidField("the block is too short"))?;
            Ok(match endianness {
                Endianness::Big => u32::from_be_bytes(*octets),
                Endianness::Little => u32::from_le_bytes(*octets),
            })
        };
        let interface = match block.type_ {
            ENHANCED_PACKET_BLOCK => word(0)?,
            // The obsolete kind keeps a count of drops in the second half of the word.
            PACKET_BLOCK => match endianness {
                Endianness::Big => word(0)? >> 16,
                Endianness::Little => word(0)? & 0xffff,
            },
            SIMPLE_PACKET_BLOCK => {
                return Ok(Some(Self {
                    interface: 0,
                    stamp: None,
                    captured_len: None,
                    original_len: word(0)?,
                    data_offset: 4,
                }));
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            interface,
            stamp: Some(u64::from(word(1)?) << 32 | u64::from(word(2)?)),
            captured_len: Some(word(3)?),
            original_len: word(4)?,
            data_offset: 20,
        }))
    }
}

/// The point in time of a stamp in units of an interface's clock.
fn stamp_of(units: u64, interface: &InterfaceDescriptionBlock<'_>) -> Instant {
    let mut resolution = DEFAULT_TS_RESOLUTION;
    let mut offset_seconds = 0;
    for option in &interface.options {
        match option {
            InterfaceDescriptionOption::IfTsResol(value) => resolution = *value,
            InterfaceDescriptionOption::IfTsOffset(value) => {
                offset_seconds = i128::from(value.cast_signed());
            }
            _ => {}
        }
    }
    // The most significant bit chooses between negative powers of two and of ten.
    let exponent = u32::from(resolution & 0x7f);
    let units_per_second = match resolution & 0x80 {
        0 => 10_u128.checked_pow(exponent),
        _ => 2_u128.checked_pow(exponent),
    }
    .unwrap_or(u128::MAX);
    let nanos = u128::from(units) * u128::from(NANOS_PER_SECOND) / units_per_second;
    let nanos = nanos.cast_signed() + offset_seconds * i128::from(NANOS_PER_SECOND);
    Instant::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn require_ethernet(link_type: u32) -> Result<(), CaptureError> {
    if link_type == LINK_TYPE_ETHERNET {
        Ok(())
    } else {
        Err(CaptureError::LinkType(link_type))
    }
}

/// Writes frames as a pcap file with nanoseconds.
#[derive(Debug)]
pub struct CaptureWriter<W: Write> {
    output: W,
    /// Records staged and not written, as they will stand in the file.
    staged: Vec<u8>,
    /// Where each staged record ends.
    ends: Vec<usize>,
}

impl<W: Write> CaptureWriter<W> {
    /// Writes the file header. Give a buffered output: each burst of records is one write.
    pub fn new(mut output: W) -> Result<Self, CaptureError> {
        let mut header = Vec::with_capacity(24);
        header.extend_from_slice(&PCAP_NANOS_MAGIC.to_le_bytes());
        header.extend_from_slice(&2_u16.to_le_bytes());
        header.extend_from_slice(&4_u16.to_le_bytes());
        // Two fields that nobody uses: time zone and accuracy.
        header.extend_from_slice(&[0; 8]);
        header.extend_from_slice(&SNAP_LEN.to_le_bytes());
        header.extend_from_slice(&LINK_TYPE_ETHERNET.to_le_bytes());
        output.write_all(&header).map_err(CaptureError::Write)?;
        Ok(Self {
            output,
            staged: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Writes one frame.
    pub fn write(&mut self, stamp: Instant, frame: &[u8]) -> Result<(), CaptureError> {
        self.stage(stamp, core::iter::once(frame));
        self.commit(1)
    }

    /// Prepares to write one frame, which comes in pieces: [`Self::commit`] decides.
    pub fn stage<'f>(&mut self, stamp: Instant, pieces: impl Iterator<Item = &'f [u8]>) {
        let nanos = stamp.as_nanos();
        // The format counts seconds modulo 2^32.
        for word in [
            (nanos / NANOS_PER_SECOND) as u32,
            (nanos % NANOS_PER_SECOND) as u32,
        ] {
            self.staged.extend_from_slice(&word.to_le_bytes());
        }
        // Octets captured, and octets of the frame: known when all pieces have been seen.
        let lengths = self.staged.len();
        self.staged.extend_from_slice(&[0; 8]);
        let data = self.staged.len();
        let mut frame_len = 0;
        for piece in pieces {
            let room = SNAP_LEN as usize - (self.staged.len() - data);
            self.staged
                .extend_from_slice(&piece[..piece.len().min(room)]);
            frame_len += piece.len() as u32;
        }
        let captured_len = (self.staged.len() - data) as u32;
        self.staged[lengths..lengths + 4].copy_from_slice(&captured_len.to_le_bytes());
        self.staged[lengths + 4..data].copy_from_slice(&frame_len.to_le_bytes());
        self.ends.push(self.staged.len());
    }

    /// Writes the first `records` staged frames (at most all) and forgets the others.
    pub fn commit(&mut self, records: usize) -> Result<(), CaptureError> {
        let last = records.min(self.ends.len()).checked_sub(1);
        let end = last.map_or(0, |last| self.ends[last]);
        let written = self.output.write_all(&self.staged[..end]);
        self.staged.clear();
        self.ends.clear();
        written.map_err(CaptureError::Write)
    }

    /// Flushes the output and gives it back.
    pub fn finish(mut self) -> Result<W, CaptureError> {
        self.output.flush().map_err(CaptureError::Write)?;
        Ok(self.output)
    }
}

const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const PCAP_NANOS_MAGIC: u32 = 0xa1b2_3c4d;
const LINK_TYPE_ETHERNET: u32 = 1;
/// The longest frame that a capture keeps whole, as tcpdump has it.
const SNAP_LEN: u32 = 262_144;
/// Microseconds: what `if_tsresol` is if it is absent.
const DEFAULT_TS_RESOLUTION: u8 = 6;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
