use proptest::prelude::*;

use super::*;

/// A file made octet by octet, in one byte order.
struct File {
    octets: Vec<u8>,
    big: bool,
}

impl File {
    fn new(big: bool) -> Self {
        Self {
            octets: Vec::new(),
            big,
        }
    }

    fn u16(mut self, value: u16) -> Self {
        self.octets.extend(if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.octets.extend(if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
        self
    }

    fn octets(mut self, octets: &[u8]) -> Self {
        self.octets.extend(octets);
        self
    }

    /// A pcap file header.
    fn pcap(big: bool, magic: u32, link_type: u32) -> Self {
        Self::new(big)
            .u32(magic)
            .u16(2)
            .u16(4)
            .u32(0)
            .u32(0)
            .u32(96)
            .u32(link_type)
    }

    fn pcap_record(self, seconds: u32, fraction: u32, original_len: u32, data: &[u8]) -> Self {
        self.u32(seconds)
            .u32(fraction)
            .u32(data.len() as u32)
            .u32(original_len)
            .octets(data)
    }

    fn block(self, block_type: u32, body: impl FnOnce(Self) -> Self) -> Self {
        let mut body = body(Self::new(self.big)).octets;
        body.resize(body.len().next_multiple_of(4), 0);
        let len = body.len() as u32 + 12;
        self.u32(block_type).u32(len).octets(&body).u32(len)
    }

    fn section(self) -> Self {
        self.block(0x0a0d_0d0a, |body| {
            body.u32(0x1a2b_3c4d)
                .u16(1)
                .u16(0)
                .u32(u32::MAX)
                .u32(u32::MAX)
        })
    }

    /// An interface with options, each a code and a value of up to eight octets.
    fn interface(self, link_type: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Self {
        self.block(1, |mut body| {
            body = body.u16(link_type).u16(0).u32(snaplen);
            for (code, value) in options {
                let padding = value.len().next_multiple_of(4) - value.len();
                body = body
                    .u16(*code)
                    .u16(value.len() as u16)
                    .octets(value)
                    .octets(&[0; 3][..padding]);
            }
            if options.is_empty() {
                body
            } else {
                body.u32(0)
            }
        })
    }

    fn enhanced(self, interface: u32, stamp: u64, original_len: u32, data: &[u8]) -> Self {
        self.block(6, |body| {
            body.u32(interface)
                .u32((stamp >> 32) as u32)
                .u32(stamp as u32)
                .u32(data.len() as u32)
                .u32(original_len)
                .octets(data)
        })
    }
}

type Records = Vec<(u64, usize, Vec<u8>)>;

fn read(input: &[u8]) -> (Records, Option<CaptureError>) {
    let mut records = Vec::new();
    let mut reader = match CaptureReader::new(input) {
        Ok(reader) => reader,
        Err(error) => return (records, Some(error)),
    };
    let mut record = Record::default();
    loop {
        match reader.read(&mut record) {
            Ok(true) => records.push((
                record.stamp.as_nanos(),
                record.original_len,
                record.data.clone(),
            )),
            Ok(false) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

fn read_all(file: &File) -> Records {
    let (records, error) = read(&file.octets);
    assert!(error.is_none(), "{error:?}");
    records
}

#[test]
fn pcap_in_both_byte_orders_and_resolutions() {
    for big in [false, true] {
        for (magic, nanos_per_unit) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let file = File::pcap(big, magic, 1)
                .pcap_record(7, 123, 3, b"abc")
                .pcap_record(8, 0, 1514, b"only the start");
            assert_eq!(
                read_all(&file),
                [
                    (7_000_000_000 + 123 * nanos_per_unit, 3, b"abc".to_vec()),
                    (8_000_000_000, 1514, b"only the start".to_vec()),
                ]
            );
        }
    }
}

#[test]
fn a_length_of_the_frame_check_sequence_is_no_link_type() {
    let file = File::pcap(false, 0xa1b2_c3d4, 0x4400_0001);
    assert_eq!(read_all(&file), []);
}

#[test]
fn pcapng_in_both_byte_orders() {
    for big in [false, true] {
        let file = File::new(big)
            .section()
            .interface(1, 0, &[])
            .block(0x0bad, |body| body.octets(b"anything"))
            .enhanced(0, 1_700_000_000_000_123, 5, b"hello")
            .block(5, |body| body.u32(0))
            .block(2, |body| {
                let [high, low] = [0, 1_000_000];
                body.u16(0)
                    .u16(77)
                    .u32(high)
                    .u32(low)
                    .u32(3)
                    .u32(9)
                    .octets(b"old")
            })
            .block(3, |body| body.u32(6).octets(b"simple"));
        assert_eq!(
            read_all(&file),
            [
                (1_700_000_000_000_123_000, 5, b"hello".to_vec()),
                (1_000_000_000, 9, b"old".to_vec()),
                // Has no time stamp of its own.
                (1_000_000_000, 6, b"simple".to_vec()),
            ]
        );
    }
}

#[test]
fn each_pcapng_interface_has_its_own_clock() {
    let resolution = |value| vec![value];
    let offset = 100_i64.to_le_bytes();
    let file = File::new(false)
        .section()
        .interface(1, 0, &[(2, b"eth0"), (9, &resolution(9))])
        .interface(1, 0, &[(9, &resolution(0x8a))])
        .interface(1, 0, &[(14, &offset), (9, &resolution(3))])
        .interface(1, 0, &[(9, &resolution(127))])
        .interface(1, 0, &[(14, &(-1_i64).to_le_bytes())])
        .enhanced(0, 5, 1, b"a")
        .enhanced(1, 512, 1, b"b")
        .enhanced(2, 5, 1, b"c")
        .enhanced(3, u64::MAX, 1, b"d")
        .enhanced(4, 0, 1, b"e")
        .enhanced(2, u64::MAX, 1, b"f");
    let stamps: Vec<_> = read_all(&file).into_iter().map(|record| record.0).collect();
    assert_eq!(stamps, [5, 500_000_000, 100_005_000_000, 0, 0, u64::MAX]);
}

#[test]
fn a_new_section_may_change_the_byte_order_and_forgets_the_interfaces() {
    let mut file = File::new(false)
        .section()
        .interface(1, 0, &[])
        .enhanced(0, 1, 1, b"a");
    file.big = true;
    let file = file
        .section()
        .interface(1, 0, &[(9, &[9])])
        .enhanced(0, 1, 1, b"b");
    let (records, error) = read(&file.octets);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records, [(1000, 1, b"a".to_vec()), (1, 1, b"b".to_vec())]);

    let file = File::new(true).section().enhanced(0, 1, 1, b"a");
    let (_, error) = read(&file.octets);
    assert!(
        matches!(error, Some(CaptureError::Malformed { record: 1, .. })),
        "{error:?}"
    );
}

#[test]
fn a_simple_packet_ends_at_the_snap_length() {
    let file = File::new(false)
        .section()
        .interface(1, 4, &[])
        .block(3, |body| body.u32(9).octets(b"1234"));
    assert_eq!(read_all(&file), [(0, 9, b"1234".to_vec())]);
}

#[test]
fn other_link_types_are_refused() {
    let pcap = File::pcap(false, 0xa1b2_c3d4, 113);
    let pcapng = File::new(false)
        .section()
        .interface(113, 0, &[])
        .enhanced(0, 0, 1, b"a");
    for file in [pcap, pcapng] {
        let (records, error) = read(&file.octets);
        assert!(
            matches!(error, Some(CaptureError::LinkType(113))),
            "{error:?}"
        );
        assert_eq!(records, []);
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    let cut_header = &File::pcap(false, 0xa1b2_c3d4, 1).octets[..23];
    let cut_section = &File::new(false).section().octets[..20];
    let inputs: [&[u8]; 5] = [
        b"",
        b"pca",
        b"GET / HTTP/1.1\r\n\r\n........",
        cut_header,
        cut_section,
    ];
    for input in inputs {
        let (_, error) = read(input);
        assert!(
            matches!(error, Some(CaptureError::NotACapture)),
            "{input:?}: {error:?}"
        );
    }
}

#[test]
fn lengths_that_cannot_be_are_errors() {
    let pcap = File::pcap(false, 0xa1b2_c3d4, 1)
        .pcap_record(0, 0, 1, b"a")
        .u32(0)
        .u32(0)
        .u32(u32::MAX)
        .u32(u32::MAX)
        .octets(&[0; 100]);
    let (records, error) = read(&pcap.octets);
    assert_eq!(records.len(), 1);
    assert!(
        matches!(error, Some(CaptureError::Truncated { record: 2 })),
        "{error:?}"
    );

    let too_long = |body: File| body.u32(0).u32(0).u32(0).u32(9).u32(9).octets(b"12345678");
    let too_short = |body: File| body.u32(0).u32(0);
    for block in [
        File::new(false)
            .section()
            .interface(1, 0, &[])
            .block(6, too_long),
        File::new(false)
            .section()
            .interface(1, 0, &[])
            .block(6, too_short),
        File::new(false)
            .section()
            .interface(1, 0, &[])
            .block(3, |body| body),
    ] {
        let (records, error) = read(&block.octets);
        assert_eq!(records, []);
        assert!(
            matches!(error, Some(CaptureError::Malformed { record: 2, .. })),
            "{error:?}"
        );
    }
}

#[test]
fn an_input_that_fails_is_reported() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    assert!(matches!(
        CaptureReader::new(Failing),
        Err(CaptureError::Read(_))
    ));
    let header = File::pcap(false, 0xa1b2_c3d4, 1).octets;
    let mut reader = CaptureReader::new(header.chain(Failing)).unwrap();
    assert!(matches!(
        reader.read(&mut Record::default()),
        Err(CaptureError::Read(_))
    ));
}

#[test]
fn the_writer_commits_what_it_is_told_to() {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    for octet in 0..3 {
        let frame: &[u8] = &[octet];
        writer.stage(
            Instant::from_nanos(u64::from(octet)),
            core::iter::once(frame),
        );
    }
    writer.commit(2).unwrap();
    writer.stage(Instant::from_nanos(9), core::iter::once(&[9][..]));
    writer.commit(0).unwrap();
    writer.commit(5).unwrap();
    writer.write(Instant::from_nanos(7), &[7]).unwrap();
    let (records, _) = read(&writer.finish().unwrap());
    assert_eq!(records, [(0, 1, vec![0]), (1, 1, vec![1]), (7, 1, vec![7])]);
}

#[test]
fn a_giant_frame_is_cut_to_the_snap_length() {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    writer.write(Instant::ZERO, &vec![1; 300_000]).unwrap();
    writer.write(Instant::ZERO, &[2; 1]).unwrap();
    let (records, error) = read(&writer.finish().unwrap());
    assert!(error.is_none());
    assert_eq!((records[0].1, records[0].2.len()), (300_000, 262_144));
    assert_eq!(records[1].2, [2]);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        frames in prop::collection::vec(
            (0..u64::from(u32::MAX) * NANOS_PER_SECOND, prop::collection::vec(any::<u8>(), 0..100)),
            0..10,
        ),
    ) {
        let mut writer = CaptureWriter::new(Vec::new()).unwrap();
        for (nanos, frame) in &frames {
            writer.write(Instant::from_nanos(*nanos), frame).unwrap();
        }
        let (records, error) = read(&writer.finish().unwrap());
        prop_assert!(error.is_none());
        let frames: Records = frames.into_iter().map(|(n, f)| (n, f.len(), f)).collect();
        prop_assert_eq!(records, frames);
    }

    #[test]
    fn damaged_captures_never_panic(
        base in 0..4_usize,
        cut in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let ng = |big| {
            File::new(big)
                .section()
                .interface(1, 64, &[(2, b"eth0"), (9, &[9]), (14, &[1; 8])])
                .enhanced(0, 5, 5, b"hello")
                .block(3, |body| body.u32(6).octets(b"simple"))
                .section()
                .interface(1, 0, &[])
                .enhanced(0, 6, 5, b"again")
        };
        let pcap = |big| File::pcap(big, 0xa1b2_c3d4, 1).pcap_record(1, 2, 3, b"abc");
        let mut octets = match base {
            0 => ng(false),
            1 => ng(true),
            2 => pcap(false),
            _ => pcap(true),
        }
        .octets;
        for (index, value) in damage {
            let at = index.index(octets.len());
            octets[at] = value;
        }
        octets.truncate(cut.index(octets.len() + 1));
        read(&octets);
    }
}
