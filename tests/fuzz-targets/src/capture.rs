//! Capture files: reading ends with the input, and what was read can be written and read again.

use netstack::io::capture::{CaptureReader, CaptureWriter, Record};
use netstack::time::Instant;

/// Where the seconds of a capture file begin anew.
const STAMP_PERIOD_NANOS: u64 = (1 << 32) * 1_000_000_000;

pub(crate) fn run(data: &[u8]) {
    let Ok(mut reader) = CaptureReader::new(data) else {
        return;
    };
    let mut writer = CaptureWriter::new(Vec::new()).expect("memory takes everything");
    let mut records = Vec::new();
    let mut record = Record::default();
    while let Ok(true) = reader.read(&mut record) {
        assert!(record.data.len() <= data.len());
        writer
            .write(record.stamp, &record.data)
            .expect("memory takes everything");
        records.push(record.clone());
    }
    let written = writer.finish().expect("memory takes everything");
    let mut again = CaptureReader::new(written.as_slice()).expect("a header was written");
    for original in records {
        assert!(again.read(&mut record).expect("the record was written"));
        assert_eq!(record.data, original.data);
        let stamp = Instant::from_nanos(original.stamp.as_nanos() % STAMP_PERIOD_NANOS);
        assert_eq!(record.stamp, stamp);
    }
    assert!(!again.read(&mut record).expect("the end"));
}
