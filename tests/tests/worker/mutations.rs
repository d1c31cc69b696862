//! Valid frames with some bits flipped or the end cut off: nothing panics, nothing is lost.
//!
//! A client and a backend hold a whole conversation through the worker, and any frame of either
//! may be damaged on the way, as often as not with its checksums made right again, so that the
//! damage gets further than the first check.

use core::time::Duration;

use netstack::ip::{V4, V6};
use netstack::wire::ethernet;
use netstack::wire::tcp::{Flags, fill_checksum};
use proptest::collection::vec;
use proptest::prelude::*;
use weirgate_tests::station::Station;
use weirgate_tests::station::frame::{BACKEND_MAC, Tcp, TestIp, US_MAC, ethernet_between};
use weirgate_tests::station::sent::{SentSegment, describe, segment};

/// What happens to one frame.
#[derive(Clone, Debug)]
struct Damage {
    /// Which frame of the conversation.
    frame: usize,
    /// Bits that are flipped, counted from the front and round the end.
    bits: Vec<usize>,
    /// Octets that are left, if any are cut off.
    len: Option<usize>,
    /// Checksums are made right again.
    mended: bool,
}

fn damage() -> impl Strategy<Value = Damage> {
    let len = prop_oneof![3 => Just(None), 1 => (0..120_usize).prop_map(Some)];
    (0..FRAMES, vec(0..1000_usize, 0..4), len, any::<bool>()).prop_map(
        |(frame, bits, len, mended)| Damage {
            frame,
            bits,
            len,
            mended,
        },
    )
}

impl Damage {
    fn apply<I: TestIp>(&self, octets: &mut Vec<u8>) {
        for bit in &self.bits {
            let bit = bit % (octets.len() * 8);
            octets[bit / 8] ^= 1 << (bit % 8);
        }
        if self.mended {
            mend::<I>(octets);
        }
        octets.truncate(self.len.unwrap_or(usize::MAX));
    }
}

/// Makes the checksums of a frame right where its headers can still be found.
fn mend<I: TestIp>(frame: &mut [u8]) {
    let packet = &mut frame[ethernet::HEADER_LEN..];
    if packet[0] == 0x45 || packet[0] >> 4 == 6 {
        I::mend(packet);
    }
    fill_checksum::<I>(I::CLIENT, I::US, &mut packet[I::HEADER_LEN..]);
}

/// Frames of the conversation.
const FRAMES: usize = 8;

/// The last segment that the station sent to somebody.
fn last<I: TestIp>(sent: &[SentSegment<I>], dst: I::Addr) -> Option<SentSegment<I>> {
    sent.iter()
        .rev()
        .find(|segment| segment.dst == dst)
        .copied()
}

fn converse<I: TestIp>(damages: &[Damage]) {
    let mut station = Station::acquainted();
    let mut sent = Vec::new();
    for frame in 0..FRAMES {
        let mut octets = next_frame::<I>(frame, &sent);
        if let Some(damage) = damages.iter().find(|damage| damage.frame == frame) {
            damage.apply::<I>(&mut octets);
        }
        station.inject(&octets);
        station.turn();
        for octets in station.take_sent() {
            describe(&octets);
            sent.extend(segment::<I>(&octets));
        }
    }
    for _ in 0..40 {
        station.advance(Duration::from_secs(7));
        station.turn();
        station
            .take_sent()
            .iter()
            .for_each(|frame| drop(describe(frame)));
    }
    station.finish();
}

/// What client or backend says next, given what they heard.
fn next_frame<I: TestIp>(index: usize, sent: &[SentSegment<I>]) -> Vec<u8> {
    let (to_client, to_backend) = (last(sent, I::CLIENT), last(sent, I::BACKEND));
    let next = |segment: Option<SentSegment<I>>| {
        segment.map_or(
            0,
            |SentSegment {
                 header,
                 payload_len,
                 ..
             }| {
                let marks = header.flags.contains(Flags::SYN) || header.flags.contains(Flags::FIN);
                header
                    .seq
                    .wrapping_add(payload_len as u32 + u32::from(marks))
            },
        )
    };
    let (syn, ack, fin) = (Flags::SYN, Flags::ACK, Flags::FIN);
    let client = |flags, seq, payload: &[u8]| {
        let mut segment = Tcp::new(flags);
        (segment.seq, segment.ack) = (seq, next(to_client));
        segment.payload = payload.to_vec();
        segment.frame::<I>()
    };
    let backend = |flags, seq, payload: &[u8]| {
        let mut segment = Tcp::new(flags);
        segment.sport = 8080;
        segment.dport = to_backend.map_or(1024, |segment| segment.header.sport);
        (segment.seq, segment.ack) = (seq, next(to_backend));
        segment.payload = payload.to_vec();
        let packet = segment.between::<I>(I::BACKEND, I::US);
        ethernet_between(BACKEND_MAC, US_MAC, I::ETHERTYPE, &packet)
    };
    match index {
        0 => client(syn, 1000, b""),
        1 => client(ack, 1001, b""),
        2 => backend(syn | ack, 9000, b""),
        3 => client(ack | Flags::PSH, 1001, b"a question"),
        4 => backend(ack | Flags::PSH, 9001, b"an answer"),
        5 => client(ack | fin, 1011, b""),
        6 => backend(ack | fin, 9010, b""),
        _ => client(ack, 1012, b""),
    }
}

/// The conversation itself is a good one: else damaging it would show little.
fn undamaged<I: TestIp>() {
    let mut station = Station::acquainted();
    let mut sent = Vec::new();
    for frame in 0..FRAMES {
        station.inject(&next_frame::<I>(frame, &sent));
        station.turn();
        sent.extend(
            station
                .take_sent()
                .iter()
                .filter_map(|frame| segment::<I>(frame)),
        );
    }
    let payload = |to| {
        sent.iter()
            .filter(|one| one.dst == to)
            .map(|one| one.payload_len)
            .sum()
    };
    let octets: [usize; 2] = [payload(I::BACKEND), payload(I::CLIENT)];
    assert_eq!(octets, [10, 9]);
    assert_eq!(
        station.counters(0).drops_total(),
        0,
        "{:?}",
        station.counters(0).non_zero()
    );
    station.finish();
}

#[test]
fn the_conversation_is_whole_when_nothing_is_damaged() {
    undamaged::<V4>();
    undamaged::<V6>();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        // A failure becomes a test of its own here, not a file of seeds.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_frames_over_ipv4(damages in vec(damage(), 1..5)) {
        converse::<V4>(&damages);
    }

    #[test]
    fn damaged_frames_over_ipv6(damages in vec(damage(), 1..5)) {
        converse::<V6>(&damages);
    }
}
