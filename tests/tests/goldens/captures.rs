//! Capture files as texts of records, and in the formats that Weirgate reads but does not write.

use netstack::io::capture::{CaptureReader, CaptureWriter, Record};
use netstack::time::Instant;
use netstack::wire::ethernet::{Header, MacAddr};

/// The format of a golden's input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// pcap with nanoseconds, as Weirgate writes.
    Pcap,
    /// pcap with microseconds.
    PcapMicros,
    /// pcapng with nanoseconds.
    PcapNg,
}

impl Format {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Pcap | Self::PcapMicros => "pcap",
            Self::PcapNg => "pcapng",
        }
    }

    /// A file with these frames.
    pub(crate) fn write(self, frames: &[(Instant, Vec<u8>)]) -> Vec<u8> {
        match self {
            Self::Pcap => pcap(frames),
            Self::PcapMicros => pcap_micros(frames),
            Self::PcapNg => pcapng(frames),
        }
    }
}

/// The frames of a capture, with their times.
pub(crate) fn read(capture: &[u8]) -> Vec<(Instant, Vec<u8>)> {
    let mut reader = CaptureReader::new(capture).unwrap();
    let mut record = Record::default();
    let mut frames = Vec::new();
    while reader.read(&mut record).unwrap() {
        assert_eq!(record.data.len(), record.original_len);
        frames.push((record.stamp, record.data.clone()));
    }
    frames
}

/// Those frames of a capture that `mac` sent.
pub(crate) fn sent_by(mac: MacAddr, capture: &[u8]) -> Vec<(Instant, Vec<u8>)> {
    let mut frames = read(capture);
    frames.retain(|(_, frame)| Header::parse(frame).is_ok_and(|header| header.source == mac));
    frames
}

fn pcap(frames: &[(Instant, Vec<u8>)]) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    for (at, frame) in frames {
        writer.write(*at, frame).unwrap();
    }
    writer.finish().unwrap()
}

fn pcap_micros(frames: &[(Instant, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    words(&mut file, &[0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 1]);
    for (at, frame) in frames {
        let micros = at.as_micros();
        let (seconds, micros) = ((micros / 1_000_000) as u32, (micros % 1_000_000) as u32);
        words(
            &mut file,
            &[seconds, micros, frame.len() as u32, frame.len() as u32],
        );
        file.extend_from_slice(frame);
    }
    file
}

fn pcapng(frames: &[(Instant, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    // A section of unknown length, version 1.0.
    block(
        &mut file,
        0x0a0d_0d0a,
        &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX],
        &[],
    );
    // An interface: Ethernet, no limit; option 9, one octet: nanoseconds; no more options.
    block(&mut file, 1, &[1, 0, 1 << 16 | 9, 9, 0], &[]);
    for (at, frame) in frames {
        let (high, low) = ((at.as_nanos() >> 32) as u32, at.as_nanos() as u32);
        let len = frame.len() as u32;
        block(&mut file, 6, &[0, high, low, len, len], frame);
    }
    file
}

/// Appends a pcapng block.
fn block(file: &mut Vec<u8>, kind: u32, fields: &[u32], data: &[u8]) {
    let padding = data.len().next_multiple_of(4) - data.len();
    let total = (12 + 4 * fields.len() + data.len() + padding) as u32;
    words(file, &[kind, total]);
    words(file, fields);
    file.extend_from_slice(data);
    file.extend_from_slice(&[0; 3][..padding]);
    words(file, &[total]);
}

fn words(file: &mut Vec<u8>, words: &[u32]) {
    file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
