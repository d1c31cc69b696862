//! Packets from a capture file, in the time of the capture.
//!
//! [`PcapIo`] receives the frames of a capture and writes what is sent as another capture. Time is
//! the driver's: [`PacketIo::begin_turn`] makes the records up to then available and stamps what is
//! sent; [`PacketIo::next_event`] is the time stamp of the next record, since the Unix epoch, and
//! in the end that of the last one. So a driver that jumps from event to event plays a capture in
//! virtual time, and the same input gives the same output to the octet.
//!
//! Some records are skipped, and counted: those of which only the beginning was captured, those
//! that fit no buffer, and those that came from the port's own MAC address, because they are what
//! the port itself sent when the capture was taken.

use std::io::{Read, Write};

use super::capture::{CaptureError, CaptureReader, CaptureWriter, Record};
use super::mem::{MemBuf, MemPool};
use super::{Burst, Capabilities, MAX_ATTACHED, PacketBuf, PacketIo, TxChecksumCapability};
use crate::time::Instant;
use crate::wire::ethernet::{Header, MacAddr};

/// A queue pair whose received frames come from one capture and whose sent frames go to another.
pub struct PcapIo<R: Read, W: Write> {
    pool: MemPool,
    capabilities: Capabilities,
    reader: CaptureReader<R>,
    /// Or what ended the writing.
    writer: Result<CaptureWriter<W>, CaptureError>,
    /// The next record to receive, unless reading has ended.
    next: Record,
    /// Whether `next` holds a record.
    reading: bool,
    now: Instant,
    /// The time stamp of the first record, whatever became of it.
    first_stamp: Option<Instant>,
    /// The latest time stamp so far, of any record.
    last_stamp: Instant,
    counters: PcapCounters,
    read_error: Option<CaptureError>,
}

/// What became of the records of a capture, and of sent frames.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PcapCounters {
    /// Records received as frames.
    pub received: u64,
    /// Records skipped because the capture holds only the beginning of the frame.
    pub cut_short: u64,
    /// Records skipped because the frame fits no buffer.
    pub too_long: u64,
    /// Records skipped because the port itself sent the frame.
    pub own: u64,
    /// Frames written.
    pub written: u64,
    /// Frames sent after the output failed.
    pub unwritten: u64,
}

impl<R: Read, W: Write> PcapIo<R, W> {
    /// A queue pair of a port with address `mac` that receives the records of `input`, in buffers
    /// of `pool`, and writes what is sent to `output`.
    ///
    /// # Errors
    /// If `input` is no capture of Ethernet frames, or `output` cannot be written. Errors in
    /// records do not fail here: see [`Self::read_error`].
    pub fn new(
        mac: MacAddr,
        mtu: usize,
        pool: MemPool,
        input: R,
        output: W,
    ) -> Result<Self, CaptureError> {
        let mut io = Self {
            pool,
            capabilities: Capabilities {
                mac,
                mtu,
                tx_checksum: TxChecksumCapability::default(),
                tx_pieces: MAX_ATTACHED,
                tso_ipv4: None,
                tso_ipv6: None,
                rss: None,
            },
            reader: CaptureReader::new(input)?,
            writer: Ok(CaptureWriter::new(output)?),
            next: Record::default(),
            reading: true,
            now: Instant::ZERO,
            first_stamp: None,
            last_stamp: Instant::ZERO,
            counters: PcapCounters::default(),
            read_error: None,
        };
        io.read_ahead();
        Ok(io)
    }

    /// What became of the records so far.
    pub fn counters(&self) -> PcapCounters {
        self.counters
    }

    /// When the capture begins: the time stamp of its first record, received or skipped. `None` if
    /// it has no record.
    pub fn first_stamp(&self) -> Option<Instant> {
        self.first_stamp
    }

    /// What ended the reading before the end of the capture.
    pub fn read_error(&self) -> Option<&CaptureError> {
        self.read_error.as_ref()
    }

    /// Takes what ended the reading before the end of the capture.
    pub fn take_read_error(&mut self) -> Option<CaptureError> {
        self.read_error.take()
    }

    /// What ended the writing of sent frames.
    pub fn write_error(&self) -> Option<&CaptureError> {
        self.writer.as_ref().err()
    }

    /// Flushes the output and gives it back.
    ///
    /// # Errors
    /// What ended the writing, or an error of the flush.
    pub fn finish(self) -> Result<W, CaptureError> {
        self.writer.and_then(CaptureWriter::finish)
    }

    /// Reads on to the next record that is to be received.
    fn read_ahead(&mut self) {
        loop {
            match self.reader.read(&mut self.next) {
                Ok(true) => {}
                Ok(false) => {
                    self.reading = false;
                    return;
                }
                Err(error) => {
                    self.reading = false;
                    self.read_error = Some(error);
                    return;
                }
            }
            self.first_stamp.get_or_insert(self.next.stamp);
            self.last_stamp = self.last_stamp.max(self.next.stamp);
            if self.next.data.len() < self.next.original_len {
                self.counters.cut_short += 1;
            } else if self.is_own() {
                self.counters.own += 1;
            } else {
                return;
            }
        }
    }

    /// Whether the port itself sent the next record's frame.
    fn is_own(&self) -> bool {
        Header::parse(&self.next.data).is_ok_and(|header| header.source == self.capabilities.mac)
    }
}

impl<R: Read, W: Write> PacketIo for PcapIo<R, W> {
    type Buf = MemBuf;

    fn rx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let before = burst.len();
        while self.reading && self.next.stamp <= self.now && burst.room() > 0 {
            // Without a buffer the record waits, like a frame in the ring of a NIC.
            let Some(mut frame) = self.pool.alloc() else {
                break;
            };
            if let Some(data) = frame.append(self.next.data.len()) {
                data.copy_from_slice(&self.next.data);
                self.counters.received += 1;
                // There is room: it was looked at.
                let _ = burst.push(frame);
            } else {
                self.counters.too_long += 1;
            }
            self.read_ahead();
        }
        burst.len() - before
    }

    fn tx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let count = burst.len();
        for frame in burst.drain_front(count) {
            if let Ok(writer) = &mut self.writer {
                writer.stage(self.now, frame.pieces());
                if let Err(error) = writer.commit(1) {
                    self.writer = Err(error);
                }
            }
            match self.writer {
                Ok(_) => self.counters.written += 1,
                Err(_) => self.counters.unwritten += 1,
            }
        }
        count
    }

    fn alloc(&mut self) -> Option<MemBuf> {
        self.pool.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
    }

    /// The next record, or the end of a capture whose last records are skipped: time goes on until
    /// then.
    fn next_event(&self) -> Option<Instant> {
        if self.reading {
            Some(self.next.stamp)
        } else {
            Some(self.last_stamp).filter(|end| *end > self.now)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn frame(source: MacAddr, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 14];
        let header = Header {
            destination: MacAddr::BROADCAST,
            source,
            ethertype: 0x0800,
        };
        header.emit(&mut frame);
        frame.extend_from_slice(payload);
        frame
    }

    fn capture(records: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut writer = CaptureWriter::new(Vec::new()).unwrap();
        for (nanos, frame) in records {
            writer.write(Instant::from_nanos(*nanos), frame).unwrap();
        }
        writer.finish().unwrap()
    }

    fn open(input: &[u8]) -> PcapIo<&[u8], Vec<u8>> {
        PcapIo::new(OWN, 1500, MemPool::new(4, 1500), input, Vec::new()).unwrap()
    }

    fn receive<R: Read, W: Write>(io: &mut PcapIo<R, W>, nanos: u64) -> Vec<Vec<u8>> {
        io.begin_turn(Instant::from_nanos(nanos));
        let mut burst = Burst::with_capacity(8);
        let count = io.rx_burst(&mut burst);
        assert_eq!(count, burst.len());
        burst.iter().map(|frame| frame.data().to_vec()).collect()
    }

    #[test]
    fn records_come_when_it_is_their_time() {
        let frames: Vec<_> = (0..3).map(|octet| frame(PEER, &[octet])).collect();
        let input = capture(&[
            (1_000_000_005, frames[0].clone()),
            (1_000_000_005, frames[1].clone()),
            (2_000_000_000, frames[2].clone()),
        ]);
        let mut io = open(&input);
        assert_eq!(io.next_event(), Some(Instant::from_nanos(1_000_000_005)));
        assert_eq!(receive(&mut io, 1_000_000_004), [[]; 0]);
        assert_eq!(receive(&mut io, 1_000_000_005), frames[..2]);
        assert_eq!(io.next_event(), Some(Instant::from_nanos(2_000_000_000)));
        assert_eq!(receive(&mut io, 9_000_000_000), frames[2..]);
        assert_eq!(io.next_event(), None);
        assert!(io.read_error().is_none());
        assert_eq!(io.counters().received, 3);
    }

    #[test]
    fn a_capture_lasts_from_its_first_to_its_last_record_skipped_or_not() {
        let own = frame(OWN, b"sent by the port");
        let input = capture(&[(3, own.clone()), (5, frame(PEER, b"in")), (9, own)]);
        let mut io = open(&input);
        assert_eq!(io.first_stamp(), Some(Instant::from_nanos(3)));
        assert_eq!(io.next_event(), Some(Instant::from_nanos(5)));
        assert_eq!(receive(&mut io, 5).len(), 1);
        assert_eq!(io.next_event(), Some(Instant::from_nanos(9)));
        assert_eq!(receive(&mut io, 9), [[]; 0]);
        assert_eq!(io.next_event(), None);
        assert_eq!(open(&capture(&[])).first_stamp(), None);
    }

    #[test]
    fn an_empty_pool_makes_records_wait() {
        let frames: Vec<_> = (0..6).map(|octet| frame(PEER, &[octet])).collect();
        let records: Vec<_> = frames.iter().map(|frame| (7, frame.clone())).collect();
        let input = capture(&records);
        let mut io = open(&input);
        assert_eq!(receive(&mut io, 7), frames[..4]);
        assert_eq!(io.next_event(), Some(Instant::from_nanos(7)));
        assert_eq!(receive(&mut io, 8), frames[4..]);
    }

    #[test]
    fn what_cannot_or_must_not_be_received_is_skipped_and_counted() {
        let good = frame(PEER, b"good");
        let mut input = capture(&[
            (1, frame(OWN, b"sent by the port")),
            (2, frame(PEER, &[0; 1501])),
            (3, frame(PEER, b"cut")),
            (4, good.clone()),
            (5, frame(OWN, b"sent by the port")),
        ]);
        // The third record: one octet more on the wire than in the capture.
        let third = 24 + (16 + 14 + 16) + (16 + 14 + 1501);
        input[third + 12] += 1;
        let mut io = open(&input);
        assert_eq!(receive(&mut io, 9), [good]);
        assert_eq!(
            io.counters(),
            PcapCounters {
                received: 1,
                cut_short: 1,
                too_long: 1,
                own: 2,
                ..PcapCounters::default()
            }
        );
        assert_eq!(io.next_event(), None);
    }

    #[test]
    fn a_truncated_record_ends_the_reading() {
        let good = frame(PEER, b"good");
        let input = capture(&[(1, good.clone()), (2, good.clone())]);
        for cut in 1..good.len() + 16 {
            let mut io = open(&input[..input.len() - cut]);
            assert_eq!(receive(&mut io, 9), [good.as_slice()]);
            assert!(
                matches!(io.read_error(), Some(CaptureError::Truncated { record: 2 })),
                "{:?}",
                io.read_error()
            );
            assert_eq!(io.next_event(), None);
            assert_eq!(receive(&mut io, 9), [[]; 0]);
        }
    }

    #[test]
    fn sent_frames_are_stamped_and_written_the_same_each_time() {
        let run = || {
            let input = capture(&[]);
            let mut io = open(&input);
            for nanos in [5, 3_000_000_001] {
                io.begin_turn(Instant::from_nanos(nanos));
                let mut burst = Burst::with_capacity(2);
                let mut frame = MemBuf::from_frame(b"fra");
                assert!(frame.attach(&MemBuf::from_frame(b"me").into_payload()));
                burst.push(frame).unwrap();
                assert_eq!(io.tx_burst(&mut burst), 1);
            }
            assert_eq!(io.counters().written, 2);
            io.finish().unwrap()
        };
        assert_eq!(
            run(),
            capture(&[(5, b"frame".to_vec()), (3_000_000_001, b"frame".to_vec())])
        );
        assert_eq!(run(), run());
    }

    #[test]
    fn a_failing_output_is_reported_and_packets_go_on() {
        let input = capture(&[(1, frame(PEER, b"in"))]);
        // Room for the file header and one record.
        let mut room = [0; 24 + 16 + 5];
        let output = io::Cursor::new(&mut room[..]);
        let pool = MemPool::new(4, 1500);
        let mut io = PcapIo::new(OWN, 1500, pool, input.as_slice(), output).unwrap();
        let mut burst = Burst::with_capacity(3);
        for _ in 0..3 {
            burst.push(MemBuf::from_frame(b"frame")).unwrap();
        }
        assert_eq!(io.tx_burst(&mut burst), 3);
        assert_eq!((io.counters().written, io.counters().unwritten), (1, 2));
        assert!(matches!(io.write_error(), Some(CaptureError::Write(_))));
        assert_eq!(receive(&mut io, 1).len(), 1);
        assert!(io.finish().is_err());
    }

    #[test]
    fn frames_shorter_than_a_header_are_left_to_the_stack() {
        let input = capture(&[(1, vec![1, 2, 3])]);
        assert_eq!(receive(&mut open(&input), 1), [[1, 2, 3]]);
    }

    #[test]
    fn the_longest_packet_fits() {
        let longest = frame(PEER, &[7; 1500]);
        let input = capture(&[(1, longest.clone())]);
        assert_eq!(receive(&mut open(&input), 1), [longest]);
    }
}
