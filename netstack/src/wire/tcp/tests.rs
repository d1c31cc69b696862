use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ip::{V4, V6};

fn header() -> Header {
    Header {
        sport: 40_000,
        dport: 443,
        seq: 0x0102_0304,
        ack: 0x0506_0708,
        flags: Flags::ACK | Flags::PSH,
        window: 501,
        urgent: 0,
        header_len: 20,
        options: Options::default(),
    }
}

/// A segment without payload whose options are `options`, padded by zeros.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; HEADER_LEN + options.len().next_multiple_of(4)];
    header().emit(&mut segment);
    segment[HEADER_LEN..HEADER_LEN + options.len()].copy_from_slice(options);
    segment[12] = (segment.len() / 4 * 16) as u8;
    segment
}

fn options(octets: &[u8]) -> Result<Options, ParseError> {
    Header::parse(&with_options(octets)).map(|header| header.options)
}

#[test]
fn a_syn_as_linux_sends_it() {
    let octets = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    let expected = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps {
            value: 258,
            echo: 0,
        }),
        sack_blocks: SackBlocks::default(),
    };
    assert_eq!(options(&octets), Ok(expected));
    let mut segment = [0; 40];
    let syn = Header {
        options: expected,
        ..header()
    };
    assert_eq!(syn.emit_len(), 40);
    syn.emit(&mut segment);
    assert_eq!(segment[20..], octets);
}

#[test]
fn fields_stand_where_the_constants_say() {
    let mut segment = [0; 20];
    header().emit(&mut segment);
    assert_eq!(segment[SEQ_OFFSET..ACK_OFFSET], [1, 2, 3, 4]);
    assert_eq!(segment[ACK_OFFSET..ACK_OFFSET + 4], [5, 6, 7, 8]);
    assert_eq!(segment[FLAGS_OFFSET], 0x18);
    assert_eq!(segment[WINDOW_OFFSET..CHECKSUM_OFFSET], [1, 0xf5]);
}

#[test]
fn data_offsets_outside_the_segment_are_refused() {
    let mut segment = [0; 24];
    header().emit(&mut segment);
    segment[12] = 0x40;
    assert_eq!(Header::parse(&segment), Err(ParseError::Truncated));
    segment[12] = 0x70;
    assert_eq!(Header::parse(&segment), Err(ParseError::Truncated));
    assert_eq!(Header::parse(&segment[..19]), Err(ParseError::Truncated));
    assert_eq!(raw_options(&segment).count(), 0);
}

#[test]
fn option_lengths_must_add_up() {
    for broken in [
        &[2, 3, 1, 1][..],
        &[2, 5, 1, 1, 1],
        &[3, 2, 1, 1],
        &[4, 3, 1, 1],
        &[8, 9, 0, 0, 0, 0, 0, 0, 0, 1],
        &[5, 2, 1, 1],
        &[5, 9, 0, 0, 0, 0, 0, 0, 0, 1],
        &[253, 0, 1, 1],
        &[253, 1, 1, 1],
        &[253, 5, 1, 1],
        &[1, 1, 1, 253],
    ] {
        assert_eq!(options(broken), Err(ParseError::Malformed), "{broken:?}");
    }
    let four_blocks = [&[5, 34][..], &[9; 32]].concat();
    assert_eq!(
        options(&four_blocks).unwrap().sack_blocks.as_slice().len(),
        4
    );
}

#[test]
fn unknown_options_are_skipped_and_nothing_counts_after_the_end() {
    let octets = [30, 4, 0xff, 0xff, 254, 2, 2, 4, 2, 0, 0, 8, 99, 0];
    let expected = Options {
        mss: Some(512),
        ..Options::default()
    };
    assert_eq!(options(&octets), Ok(expected));
}

#[test]
fn a_window_scale_beyond_14_counts_as_14() {
    assert_eq!(options(&[3, 3, 15, 0]).unwrap().window_scale, Some(14));
}

#[test]
fn options_can_be_patched_in_place() {
    let mut segment = with_options(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 2, 4, 5, 0xb4]);
    let offset = mss_option_offset(&segment).unwrap();
    segment[offset..offset + 2].copy_from_slice(&1200_u16.to_be_bytes());
    assert_eq!(Header::parse(&segment).unwrap().options.mss, Some(1200));
    let kinds: Vec<_> = raw_options(&segment)
        .map(|raw| raw.map(|raw| (raw.kind, raw.offset, raw.data.len())))
        .collect();
    assert_eq!(
        kinds,
        [Ok((option::TIMESTAMPS, 22, 8)), Ok((option::MSS, 32, 2))]
    );
    assert_eq!(mss_option_offset(&with_options(&[])), None);
    assert_eq!(
        mss_option_offset(&with_options(&[253, 1, 2, 4, 5, 0])),
        None
    );
}

#[test]
fn sack_blocks_without_room_are_left_out() {
    let mut options = Options {
        timestamps: Some(Timestamps { value: 1, echo: 2 }),
        ..Options::default()
    };
    for block in 0..4 {
        assert!(options.sack_blocks.push(block, block + 1));
    }
    assert!(!options.sack_blocks.push(9, 9));
    assert_eq!(options.emit_len(), 40);
    let mut segment = [0; 60];
    let header = Header {
        options,
        ..header()
    };
    header.emit(&mut segment);
    let parsed = Header::parse(&segment).unwrap().options;
    assert_eq!(parsed.sack_blocks.as_slice(), [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn insane_flags_are_told_apart() {
    let (syn, fin, rst, ack) = (Flags::SYN, Flags::FIN, Flags::RST, Flags::ACK);
    for sane in [
        syn,
        syn | ack,
        ack,
        ack | Flags::PSH | Flags::URG,
        fin | ack,
        rst,
        rst | ack,
        syn | Flags::ECE | Flags::CWR,
    ] {
        assert!(sane.is_sane(), "{sane}");
    }
    for insane in [
        Flags(0),
        Flags(0xff),
        syn | fin,
        syn | rst,
        fin,
        fin | Flags::PSH | Flags::URG,
        Flags::PSH,
        Flags::URG,
        Flags::ECE,
    ] {
        assert!(!insane.is_sane(), "{insane}");
    }
}

#[test]
fn flags_read_like_their_names() {
    assert_eq!((Flags::ACK | Flags::SYN).to_string(), "SYN|ACK");
    assert_eq!(Flags(0).to_string(), "-");
    assert_eq!(Flags::CWR.without(Flags::CWR), Flags(0));
}

fn checksum_round_trip<I: Ip>(src: I::Addr, dst: I::Addr) {
    let mut segment = with_options(&[1, 1, 1, 0]);
    segment.extend_from_slice(b"odd");
    fill_checksum::<I>(src, dst, &mut segment);
    let verify =
        |segment: &[u8]| checksum::verify_transport_checksum::<I>(src, dst, PROTOCOL, segment);
    assert!(verify(&segment));
    segment[26] ^= 1;
    assert!(!verify(&segment));
}

#[test]
fn checksums_verify_for_both_versions() {
    checksum_round_trip::<V4>(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    checksum_round_trip::<V6>(Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
}

prop_compose! {
    fn any_header()(
        (sport, dport, window, urgent) in any::<(u16, u16, u16, u16)>(),
        (seq, ack, flags) in any::<(u32, u32, u8)>(),
        mss: Option<u16>,
        window_scale in prop::option::of(0..=MAX_WINDOW_SCALE),
        sack_permitted: bool,
        clocks: Option<(u32, u32)>,
        blocks in vec(any::<(u32, u32)>(), 0..=2),
    ) -> Header {
        let mut options = Options {
            mss,
            window_scale,
            sack_permitted,
            timestamps: clocks.map(|(value, echo)| Timestamps { value, echo }),
            sack_blocks: SackBlocks::default(),
        };
        for (left, right) in blocks {
            options.sack_blocks.push(left, right);
        }
        let header_len = HEADER_LEN + options.emit_len();
        Header { sport, dport, seq, ack, flags: Flags(flags), window, urgent, header_len, options }
    }
}

proptest! {
    #[test]
    fn what_is_emitted_parses_back(header in any_header()) {
        let mut segment = vec![0xaa; header.emit_len()];
        header.emit(&mut segment);
        prop_assert_eq!(Header::parse(&segment), Ok(header));
    }

    #[test]
    fn arbitrary_octets_never_panic(mut segment in vec(any::<u8>(), 0..80), whole: bool) {
        if whole && segment.len() > 12 {
            segment[12] = 0xf0;
        }
        let _ = Header::parse(&segment);
        let _ = mss_option_offset(&segment);
        for raw in raw_options(&segment).flatten() {
            prop_assert_eq!(segment[raw.offset], raw.kind);
            prop_assert!(raw.offset + 2 + raw.data.len() <= segment.len());
        }
    }

    #[test]
    fn arbitrary_options_never_panic(octets in vec(0_u8..12, 0..=40)) {
        let segment = with_options(&octets);
        let whole = raw_options(&segment).all(|raw| raw.is_ok());
        prop_assert!(whole || Header::parse(&segment).is_err());
    }
}
