use super::*;
use crate::io::PacketBuf;
use crate::io::mem::{MemPayload, MemPool};

const LIMITS: Limits = Limits {
    ranges: 256,
    payloads: 1000,
};

/// Just before the wrap, so that every test crosses it.
const BASE: u32 = u32::MAX - 20;

struct Fixture {
    pool: MemPool,
    held: Reassembly<MemPayload>,
}

impl Fixture {
    const BUFFERS: usize = 600;

    fn new() -> Self {
        Self {
            pool: MemPool::new(Self::BUFFERS, 1500),
            held: Reassembly::default(),
        }
    }

    fn payload(&self, octets: &[u8]) -> MemPayload {
        let mut buf = self.pool.alloc().unwrap();
        buf.append(octets.len()).unwrap().copy_from_slice(octets);
        buf.into_payload()
    }

    /// Inserts octets that stand `at` octets after the base.
    fn insert(&mut self, at: u32, octets: &[u8]) -> Inserted {
        self.insert_with(at, octets, false, LIMITS)
    }

    fn insert_with(&mut self, at: u32, octets: &[u8], fin: bool, limits: Limits) -> Inserted {
        let payload = self.payload(octets);
        self.held
            .insert(BASE.wrapping_add(at), payload, fin, limits)
    }

    /// The blocks, relative to the base.
    fn blocks(&self) -> Vec<(u32, u32)> {
        let mut blocks = SackBlocks::default();
        self.held.sack_blocks(&mut blocks, 4);
        let relative = |seq: u32| seq.wrapping_sub(BASE);
        let blocks = blocks.as_slice().iter();
        blocks
            .map(|&(left, right)| (relative(left), relative(right)))
            .collect()
    }

    /// What follows `at`: its octets, and whether the FIN follows them.
    fn take(&mut self, at: u32) -> Option<(Vec<u8>, bool)> {
        let taken = self.held.take(BASE.wrapping_add(at))?;
        let octets: Vec<u8> = taken
            .payloads
            .iter()
            .flat_map(Payload::octets)
            .copied()
            .collect();
        let len = taken.right.wrapping_sub(BASE.wrapping_add(at)) as usize;
        assert_eq!(len, octets.len() + usize::from(taken.fin));
        Some((octets, taken.fin))
    }

    fn lent(&self) -> usize {
        Self::BUFFERS - self.pool.available()
    }
}

fn at(left: u32, right: u32) -> (u32, u32) {
    (BASE.wrapping_add(left), BASE.wrapping_add(right))
}

#[test]
fn costs_a_pointer_while_unused() {
    assert_eq!(size_of::<Reassembly<MemPayload>>(), size_of::<usize>());
    let mut fixture = Fixture::new();
    fixture.insert(10, b"abc");
    assert!(fixture.take(9).is_none());
    assert_eq!(fixture.take(10), Some((b"abc".to_vec(), false)));
    assert!(fixture.held.is_empty());
    assert_eq!(fixture.lent(), 0);
}

#[test]
fn segments_in_any_order_come_out_in_order() {
    let mut fixture = Fixture::new();
    for (at, octets) in [(30, b"30"), (10, b"10"), (14, b"14"), (12, b"12")] {
        assert_eq!(fixture.insert(at, octets), Inserted::default());
    }
    assert_eq!(fixture.blocks(), [(10, 16), (30, 32)]);
    assert_eq!(fixture.take(10), Some((b"101214".to_vec(), false)));
    assert_eq!(fixture.blocks(), [(30, 32)]);
    assert_eq!(fixture.take(30), Some((b"30".to_vec(), false)));
}

#[test]
fn the_first_copy_stays_and_the_overlap_is_reported() {
    let mut fixture = Fixture::new();
    fixture.insert(10, b"AAAA");
    assert_eq!(fixture.insert(8, b"bbbb").duplicate, Some(at(10, 12)));
    assert_eq!(fixture.insert(12, b"cccc").duplicate, Some(at(12, 14)));
    assert_eq!(fixture.insert(9, b"dddddd").duplicate, Some(at(9, 15)));
    assert_eq!(fixture.insert(7, b"eeeeeeeeeee").duplicate, Some(at(8, 16)));
    assert_eq!(fixture.take(7), Some((b"ebbAAAAccee".to_vec(), false)));
}

#[test]
fn a_segment_over_several_ranges_joins_them() {
    let mut fixture = Fixture::new();
    for at in [10, 14, 18, 30] {
        fixture.insert(at, b"XX");
    }
    // It ends where the range at 18 begins, and so joins that as well.
    let inserted = fixture.insert(8, b"0123456789");
    assert_eq!(inserted.duplicate, Some(at(10, 12)));
    assert_eq!(fixture.blocks(), [(8, 20), (30, 32)]);
    assert_eq!(fixture.take(8), Some((b"01XX45XX89XX".to_vec(), false)));
    assert_eq!(fixture.held.payloads(), 1);
}

#[test]
fn large_payloads_are_joined_by_reference() {
    let mut fixture = Fixture::new();
    fixture.insert(400, &[1; 300]);
    fixture.insert(0, &[2; 1400]);
    assert_eq!((fixture.held.payloads(), fixture.lent()), (3, 2));
    let (octets, _) = fixture.take(0).unwrap();
    assert_eq!(octets, [&[2; 400][..], &[1; 300], &[2; 700]].concat());
    assert_eq!(fixture.lent(), 0);
}

#[test]
fn a_fin_is_the_octet_after_the_last() {
    let mut fixture = Fixture::new();
    fixture.insert_with(12, b"end", true, LIMITS);
    assert_eq!(fixture.held.fin(), Some(BASE.wrapping_add(15)));
    assert_eq!(fixture.blocks(), [(12, 16)]);
    fixture.insert(10, b"xx");
    assert_eq!(fixture.take(10), Some((b"xxend".to_vec(), true)));
    assert!(fixture.held.is_empty());
}

#[test]
fn a_fin_alone_is_remembered() {
    let mut fixture = Fixture::new();
    fixture.insert_with(15, b"", true, LIMITS);
    assert_eq!(fixture.blocks(), [(15, 16)]);
    assert_eq!(fixture.insert(12, b"end").refused, None);
    assert_eq!(fixture.insert_with(15, b"", true, LIMITS).refused, None);
    assert_eq!(fixture.take(12), Some((b"end".to_vec(), true)));
}

#[test]
fn what_contradicts_a_fin_is_refused() {
    let refused = Some(Refusal::BeyondFin);
    let mut fixture = Fixture::new();
    fixture.insert_with(15, b"", true, LIMITS);
    assert_eq!(fixture.insert(15, b"x").refused, refused);
    assert_eq!(fixture.insert(20, b"x").refused, refused);
    assert_eq!(fixture.insert(13, b"abcd").refused, refused);
    assert_eq!(fixture.insert_with(5, b"", true, LIMITS).refused, refused);
    assert_eq!(fixture.blocks(), [(13, 16)]);
    assert_eq!(fixture.take(13), Some((b"ab".to_vec(), true)));

    let mut fixture = Fixture::new();
    fixture.insert(15, b"abc");
    assert_eq!(
        fixture.insert_with(10, b"xy", true, LIMITS).refused,
        refused
    );
    assert_eq!(fixture.held.fin(), None);
    assert_eq!(fixture.take(10), Some((b"xy".to_vec(), false)));
}

/// RFC 2018 section 4.
#[test]
fn the_range_that_changed_last_comes_first() {
    let mut fixture = Fixture::new();
    for at in [10, 20, 30, 40, 50, 60] {
        fixture.insert(at, b"xx");
    }
    assert_eq!(fixture.blocks(), [(60, 62), (50, 52), (40, 42), (30, 32)]);
    fixture.insert(22, b"x");
    assert_eq!(fixture.blocks(), [(20, 23), (60, 62), (50, 52), (40, 42)]);
    // The two that changed last become one; the place goes to what is next to the gap.
    fixture.insert(23, &[0; 37]);
    assert_eq!(fixture.blocks(), [(20, 62), (10, 12)]);
    fixture.take(10).unwrap();
    assert_eq!(fixture.blocks(), [(20, 62)]);
}

#[test]
fn gaps_are_bounded_but_what_closes_one_is_welcome() {
    let limits = Limits {
        ranges: 3,
        ..LIMITS
    };
    let mut fixture = Fixture::new();
    for at in [10, 20, 30] {
        fixture.insert_with(at, b"x", false, limits);
    }
    let refused = fixture.insert_with(40, b"x", false, limits).refused;
    assert_eq!(refused, Some(Refusal::TooManyGaps));
    let refused = fixture.insert_with(40, b"", true, limits).refused;
    assert_eq!(refused, Some(Refusal::TooManyGaps));
    assert_eq!(fixture.insert_with(11, b"x", false, limits).refused, None);
    assert_eq!(fixture.lent(), 3);
}

#[test]
fn buffers_are_bounded() {
    let limits = Limits {
        payloads: 2,
        ..LIMITS
    };
    let mut fixture = Fixture::new();
    fixture.insert_with(10, &[1; 300], false, limits);
    fixture.insert_with(310, &[2; 300], false, limits);
    let refused = fixture.insert_with(610, &[3; 300], false, limits).refused;
    assert_eq!(refused, Some(Refusal::TooManyBuffers));
    assert_eq!(fixture.lent(), 2);
    fixture.held = Reassembly::default();
    assert_eq!(fixture.lent(), 0);
}

/// CVE-2018-5390: tiny segments, in whatever order, hold few buffers.
#[test]
fn tiny_segments_are_gathered_in_either_direction() {
    for descending in [false, true] {
        let mut fixture = Fixture::new();
        for nth in 0..4000 {
            let at = if descending { 5000 - nth } else { 5000 + nth };
            fixture.insert(at, &[at as u8]);
        }
        let first = if descending { 1001 } else { 5000 };
        assert!(fixture.lent() <= 4000 / 128, "{}", fixture.lent());
        let (octets, _) = fixture.take(first).unwrap();
        assert!(
            octets
                .iter()
                .copied()
                .eq((first..first + 4000).map(|at| at as u8))
        );
    }
}

#[test]
fn one_segment_over_the_most_gaps_leaves_one_range() {
    let mut fixture = Fixture::new();
    for nth in 0..256 {
        assert_eq!(fixture.insert(1 + 4 * nth, b"X").refused, None);
    }
    assert_eq!(fixture.lent(), 256);
    assert_eq!(fixture.insert(0, &[b'o'; 1400]).duplicate, Some(at(1, 2)));
    assert_eq!(fixture.blocks(), [(0, 1400)]);
    assert!(fixture.held.payloads() < 8, "{}", fixture.held.payloads());
    let (octets, _) = fixture.take(0).unwrap();
    let expected = |at: usize| if at % 4 == 1 && at < 1024 { b'X' } else { b'o' };
    assert!(octets.iter().copied().eq((0..1400).map(expected)));
    assert_eq!(fixture.lent(), 0);
}
