//! A wrapper that writes a capture of everything that passes.
//!
//! [`Tap`] goes around any [`PacketIo`]: received frames are written as they come in, sent frames
//! once the inner side has taken them, both stamped with the time of the turn. The capture shows
//! frames as the stack hands them over: a checksum that the port fills in is not filled in yet.
//!
//! The stack comes first. An output that fails stops the capture, is reported by [`Tap::error`],
//! and leaves the packets alone.

use std::io::Write;

use super::capture::{CaptureError, CaptureWriter};
use super::{Burst, Capabilities, PacketBuf, PacketIo};
use crate::time::Instant;

/// A queue pair whose frames are written to a capture.
#[derive(Debug)]
pub struct Tap<Io, W: Write> {
    inner: Io,
    /// Or what stopped the capture.
    writer: Result<CaptureWriter<W>, CaptureError>,
    unwritten: u64,
    now: Instant,
}

impl<Io: PacketIo, W: Write> Tap<Io, W> {
    /// Captures what passes through `inner` as pcap with nanoseconds.
    ///
    /// # Errors
    /// If the file header cannot be written.
    pub fn new(inner: Io, output: W) -> Result<Self, CaptureError> {
        Ok(Self {
            inner,
            writer: Ok(CaptureWriter::new(output)?),
            unwritten: 0,
            now: Instant::ZERO,
        })
    }

    /// What stopped the capture.
    pub fn error(&self) -> Option<&CaptureError> {
        self.writer.as_ref().err()
    }

    /// How many frames the capture may lack because of that error.
    pub fn unwritten(&self) -> u64 {
        self.unwritten
    }

    /// The queue pair inside.
    pub fn inner(&self) -> &Io {
        &self.inner
    }

    /// The queue pair inside. What goes through it directly is not captured.
    pub fn inner_mut(&mut self) -> &mut Io {
        &mut self.inner
    }

    /// Ends the capture: gives back what was inside, and the flushed output or what stopped it.
    pub fn finish(self) -> (Io, Result<W, CaptureError>) {
        (self.inner, self.writer.and_then(CaptureWriter::finish))
    }

    /// Writes the first `count` staged frames.
    fn commit(&mut self, count: usize) {
        if let Ok(writer) = &mut self.writer
            && let Err(error) = writer.commit(count)
        {
            self.writer = Err(error);
        }
        if self.writer.is_err() {
            self.unwritten += count as u64;
        }
    }
}

impl<Io: PacketIo, W: Write> PacketIo for Tap<Io, W> {
    type Buf = Io::Buf;

    fn rx_burst(&mut self, burst: &mut Burst<Io::Buf>) -> usize {
        let before = burst.len();
        let count = self.inner.rx_burst(burst);
        if let Ok(writer) = &mut self.writer {
            for frame in burst.iter().skip(before) {
                writer.stage(self.now, frame.pieces());
            }
        }
        self.commit(count);
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst<Io::Buf>) -> usize {
        // Frames that are taken are gone, and how many are taken is known only afterwards.
        if let Ok(writer) = &mut self.writer {
            for frame in burst.iter() {
                writer.stage(self.now, frame.pieces());
            }
        }
        let count = self.inner.tx_burst(burst);
        self.commit(count);
        count
    }

    fn alloc(&mut self) -> Option<Io::Buf> {
        self.inner.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.inner.begin_turn(now);
    }

    fn next_event(&self) -> Option<Instant> {
        self.inner.next_event()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::io::capture::{CaptureReader, Record};
    use crate::io::mem::{MemBuf, MemIo, MemPool};
    use crate::wire::ethernet::MacAddr;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn mem() -> MemIo {
        MemIo::new(MAC, 1500, MemPool::new(8, 1500))
    }

    fn records(capture: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut reader = CaptureReader::new(capture).unwrap();
        let mut record = Record::default();
        let mut records = Vec::new();
        while reader.read(&mut record).unwrap() {
            assert_eq!(record.original_len, record.data.len());
            records.push((record.stamp.as_nanos(), record.data.clone()));
        }
        records
    }

    #[test]
    fn both_directions_are_captured_as_they_pass() {
        let mut tap = Tap::new(mem(), Vec::new()).unwrap();
        tap.inner_mut().set_tx_limit(1);
        tap.inner_mut().inject(MemBuf::from_frame(b"in"));

        tap.begin_turn(Instant::from_nanos(1_000_000_001));
        let mut burst = Burst::with_capacity(4);
        burst.push(MemBuf::from_frame(b"there before")).unwrap();
        assert_eq!(tap.rx_burst(&mut burst), 1);
        assert_eq!(burst.len(), 2);

        let mut burst = Burst::with_capacity(4);
        burst.push(MemBuf::from_frame(b"out 1")).unwrap();
        burst.push(MemBuf::from_frame(b"out 2")).unwrap();
        tap.begin_turn(Instant::from_nanos(2));
        assert_eq!(tap.tx_burst(&mut burst), 1);
        assert_eq!(tap.inner_mut().take_sent().unwrap().data(), b"out 1");
        // What was not taken is captured when it is.
        tap.begin_turn(Instant::from_nanos(3));
        assert_eq!(tap.tx_burst(&mut burst), 1);
        assert_eq!(tap.tx_burst(&mut burst), 0);

        let (_, output) = tap.finish();
        assert_eq!(
            records(&output.unwrap()),
            [
                (1_000_000_001, b"in".to_vec()),
                (2, b"out 1".to_vec()),
                (3, b"out 2".to_vec())
            ]
        );
    }

    #[test]
    fn frames_are_captured_with_what_is_attached() {
        let mut tap = Tap::new(mem(), Vec::new()).unwrap();
        let mut frame = MemBuf::from_frame(b"head ");
        assert!(frame.attach(&MemBuf::from_frame(b"and ").into_payload()));
        assert!(frame.attach(&MemBuf::from_frame(b"tail").into_payload()));
        let mut burst = Burst::with_capacity(1);
        burst.push(frame).unwrap();
        assert_eq!(tap.tx_burst(&mut burst), 1);
        let (_, output) = tap.finish();
        assert_eq!(records(&output.unwrap()), [(0, b"head and tail".to_vec())]);
    }

    #[test]
    fn a_failing_output_stops_the_capture_and_not_the_packets() {
        let mut room = [0; 24 + 16 + 5];
        let mut tap = Tap::new(mem(), Cursor::new(&mut room[..])).unwrap();
        for _ in 0..3 {
            let mut burst = Burst::with_capacity(1);
            burst.push(MemBuf::from_frame(b"frame")).unwrap();
            assert_eq!(tap.tx_burst(&mut burst), 1);
            assert!(tap.inner_mut().take_sent().is_some());
        }
        assert!(matches!(tap.error(), Some(CaptureError::Write(_))));
        assert_eq!(tap.unwritten(), 2);
        assert!(tap.finish().1.is_err());
        assert_eq!(records(&room), [(0, b"frame".to_vec())]);
    }
}
