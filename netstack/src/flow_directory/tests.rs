use std::collections::{HashMap, HashSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::rss::{Toeplitz, symmetric_key};

/// Rings that hold the hashes of what was pushed.
struct Simulated {
    rings: Vec<VecDeque<u32>>,
    /// What was placed and not pushed.
    staged: Vec<Vec<u32>>,
    next: Vec<u16>,
    room: usize,
}

impl Simulated {
    fn new(workers: usize, room: usize) -> Self {
        Self {
            rings: vec![VecDeque::new(); workers],
            staged: vec![Vec::new(); workers],
            // So that they wrap soon.
            next: vec![u16::MAX - 5; workers],
            room,
        }
    }

    /// Pushes what was staged, as far as there is room.
    fn push_staged(&mut self) {
        let staged = self.staged.iter_mut().zip(&mut self.next);
        for (ring, (staged, next)) in self.rings.iter_mut().zip(staged) {
            let room = self.room - ring.len();
            let pushed = staged.len().min(room);
            ring.extend(staged.drain(..).take(pushed));
            *next = next.wrapping_add(pushed as u16);
        }
    }

    /// Pushes a packet, unless the ring is full.
    fn push(&mut self, worker: u8, hash: u32) {
        self.staged[usize::from(worker)].push(hash);
        self.push_staged();
    }

    /// Whether a packet with this hash is on its way to this worker.
    fn holds(&self, worker: u8, hash: u32) -> bool {
        let worker = usize::from(worker);
        self.rings[worker].contains(&hash) || self.staged[worker].contains(&hash)
    }

    fn consume(&mut self, worker: usize, packets: usize) {
        let ring = &mut self.rings[worker];
        ring.drain(..packets.min(ring.len()));
    }

    fn consume_all(&mut self) {
        self.rings.iter_mut().for_each(VecDeque::clear);
    }
}

impl Rings for Simulated {
    fn least_loaded(&self) -> u8 {
        let lengths = self.rings.iter().map(VecDeque::len);
        lengths.zip(0..).min().unwrap().1
    }

    fn by_hash(&self, hash: u32) -> u8 {
        (hash % self.rings.len() as u32) as u8
    }

    fn next_position(&self, worker: u8) -> u16 {
        let worker = usize::from(worker);
        self.next[worker].wrapping_add(self.staged[worker].len() as u16)
    }

    fn waiting(&self, worker: u8) -> u16 {
        let worker = usize::from(worker);
        (self.rings[worker].len() + self.staged[worker].len()) as u16
    }
}

/// A directory, with rings that take what it places.
struct Distributor {
    directory: FlowDirectory,
    rings: Simulated,
    tick: u16,
}

impl Distributor {
    fn new(capacity: usize, workers: u8) -> Self {
        Self {
            directory: FlowDirectory::new(capacity, workers),
            rings: Simulated::new(usize::from(workers), 64),
            tick: u16::MAX - 2,
        }
    }

    fn stage(&mut self, hash: u32, kind: Kind) -> Placement {
        let placement = self.directory.place(hash, kind, self.tick, &self.rings);
        self.rings.staged[usize::from(placement.worker)].push(hash);
        placement
    }

    /// The same in a burst of one.
    fn place(&mut self, hash: u32, kind: Kind) -> Placement {
        let placement = self.stage(hash, kind);
        self.rings.push_staged();
        placement
    }

    /// The same, where every packet is consumed at once.
    fn pass(&mut self, hash: u32, kind: Kind) -> Placement {
        let placement = self.place(hash, kind);
        self.rings.consume_all();
        placement
    }

    fn wait(&mut self, seconds: u16) {
        self.tick = self.tick.wrapping_add(seconds);
    }

    /// Hashes of flows that all have their records in the same bucket.
    fn neighbors(&self, count: usize) -> Vec<u32> {
        let same = |hash: &u32| self.directory.key(*hash).0 == 0;
        (1..).filter(same).take(count).collect()
    }
}

/// Hashes of different flows, as random as those of a port.
fn hashes(count: u32) -> impl Iterator<Item = u32> {
    (1..=count).map(|number| number.wrapping_mul(0x85eb_ca6b).rotate_left(13) ^ number)
}

#[test]
fn a_flow_stays_where_its_beginning_was_placed() {
    let mut distributor = Distributor::new(100, 3);
    // Something waits for each worker but the last, which has the least to do.
    distributor.rings.push(0, 0);
    distributor.rings.push(1, 0);
    let opening = distributor.place(3, Kind::Opening);
    let expected = Placement {
        worker: 2,
        recorded: true,
    };
    assert_eq!(opening, expected);
    for kind in [Kind::Ongoing, Kind::Closing, Kind::Ongoing, Kind::Opening] {
        assert_eq!(distributor.place(3, kind), expected, "{kind:?}");
        distributor.wait(1);
    }
    assert_eq!(distributor.directory.counts().recorded, 1);
}

#[test]
fn what_has_no_record_goes_by_hash() {
    let mut distributor = Distributor::new(100, 3);
    for kind in [Kind::Ongoing, Kind::Closing, Kind::Ongoing] {
        let expected = Placement {
            worker: 2,
            recorded: false,
        };
        assert_eq!(distributor.place(5, kind), expected);
    }
    let counts = Counts {
        unknown: 3,
        ..Counts::default()
    };
    assert_eq!(distributor.directory.counts(), counts);
    // While those wait, the beginning of a flow with the same hash may not overtake them.
    assert_eq!(distributor.place(5, Kind::Opening).worker, 2);
}

#[test]
fn a_full_bucket_keeps_what_lives_and_refuses_what_is_new() {
    let mut distributor = Distributor::new(100, 4);
    let flows = distributor.neighbors(RECORDS + 3);
    let (live, late) = flows.split_at(RECORDS);
    let placed: Vec<_> = live
        .iter()
        .map(|&hash| {
            distributor.place(hash, Kind::Opening);
            distributor.pass(hash, Kind::Ongoing)
        })
        .collect();
    distributor.wait(DEFAULT_MAX_IDLE - 1);
    for &hash in late {
        for kind in [Kind::Opening, Kind::Ongoing, Kind::Datagram] {
            let expected = Placement {
                worker: (hash % 4) as u8,
                recorded: false,
            };
            assert_eq!(distributor.pass(hash, kind), expected);
        }
    }
    let counts = distributor.directory.counts();
    assert_eq!((counts.refused, counts.unknown, counts.evicted), (6, 3, 0));
    // All but the first are heard again, and so it is the first that counts as dead.
    for (&hash, &placement) in live.iter().zip(&placed).skip(1) {
        assert_eq!(distributor.pass(hash, Kind::Ongoing), placement);
    }
    distributor.wait(1);
    assert!(distributor.pass(late[0], Kind::Opening).recorded);
    assert!(!distributor.pass(late[1], Kind::Opening).recorded);
    assert_eq!(distributor.directory.counts().evicted, 1);
    assert!(!distributor.pass(live[0], Kind::Ongoing).recorded);
    for (&hash, &placement) in live.iter().zip(&placed).skip(1) {
        assert_eq!(distributor.pass(hash, Kind::Ongoing), placement);
    }
}

/// Fills a bucket with flows for which these came, a second after the other, and tells how many
/// seconds after the last a new flow gets the place of which of them.
fn victim_among(flows: [&[Kind]; RECORDS]) -> (u16, usize) {
    let mut distributor = Distributor::new(100, 1);
    let hashes = distributor.neighbors(RECORDS + 1);
    for (&hash, kinds) in hashes.iter().zip(flows) {
        for &kind in kinds {
            distributor.pass(hash, kind);
        }
        distributor.wait(1);
    }
    for seconds in 1.. {
        if distributor.pass(hashes[RECORDS], Kind::Opening).recorded {
            let directory = &mut distributor.directory;
            let lost = |hash: &u32| {
                let (index, tag) = directory.key(*hash);
                directory.buckets[index].find(tag).is_none()
            };
            return (seconds, hashes.iter().position(lost).unwrap());
        }
        distributor.wait(1);
    }
    unreachable!("the last of all would be the oldest at some time");
}

#[test]
fn the_place_of_what_ended_goes_first_then_that_of_what_never_began() {
    use Kind::{Closing, Datagram, Ongoing, Opening};
    let new: &[Kind] = &[Opening];
    let live: &[Kind] = &[Opening, Ongoing];
    let ended: &[Kind] = &[Opening, Ongoing, Closing, Ongoing];
    let reset: &[Kind] = &[Opening, Closing];
    let again: &[Kind] = &[Opening, Ongoing, Closing, Opening];
    let single: &[Kind] = &[Datagram, Datagram];
    // Each is a second younger than the one before it.
    assert_eq!(
        victim_among([live, new, live, ended, reset, live, new, live]),
        (1, 3),
        "it ended five seconds ago, and goes before what is new and older"
    );
    assert_eq!(
        victim_among([live, live, single, new, live, live, live, reset]),
        (1, 2),
        "what ended is too young"
    );
    assert_eq!(
        victim_among([live, live, live, live, live, live, live, reset]),
        (CLOSED_IDLE, 7)
    );
    assert_eq!(
        victim_among([live, live, live, live, live, live, live, again]),
        (NEW_IDLE, 7)
    );
    assert_eq!(victim_among([live; RECORDS]), (DEFAULT_MAX_IDLE - 7, 0));
}

#[test]
fn datagrams_make_a_flow_when_they_go_on_for_more_than_a_second() {
    let mut distributor = Distributor::new(100, 1);
    let hashes = distributor.neighbors(RECORDS + 1);
    for &hash in &hashes[..RECORDS] {
        distributor.pass(hash, Kind::Datagram);
        distributor.pass(hash, Kind::Datagram);
    }
    distributor.wait(1);
    for &hash in &hashes[1..RECORDS] {
        distributor.pass(hash, Kind::Datagram);
    }
    distributor.wait(NEW_IDLE);
    assert!(distributor.pass(hashes[RECORDS], Kind::Datagram).recorded);
    assert!(!distributor.pass(hashes[0], Kind::Datagram).recorded);
    for &hash in &hashes[1..RECORDS] {
        assert!(distributor.pass(hash, Kind::Ongoing).recorded);
    }
}

#[test]
fn a_flow_whose_packets_wait_keeps_its_record() {
    let mut distributor = Distributor::new(100, 1);
    let hashes = distributor.neighbors(RECORDS + 1);
    for &hash in &hashes[..RECORDS] {
        distributor.place(hash, Kind::Opening);
    }
    distributor.wait(NEW_IDLE);
    assert!(!distributor.place(hashes[RECORDS], Kind::Opening).recorded);
    // The second is the oldest of those that were consumed when the first is heard again.
    distributor.rings.consume(0, 2);
    distributor.place(hashes[0], Kind::Opening);
    assert!(distributor.place(hashes[RECORDS], Kind::Opening).recorded);
    assert!(!distributor.place(hashes[1], Kind::Ongoing).recorded);
}

#[test]
fn a_packet_that_found_no_room_waits_as_long_as_the_ring_is_not_empty() {
    let mut distributor = Distributor::new(100, 1);
    distributor.rings.room = 1;
    distributor.rings.push(0, 0);
    let hashes = distributor.neighbors(RECORDS + 1);
    for &hash in &hashes[..RECORDS] {
        distributor.place(hash, Kind::Opening);
    }
    distributor.wait(NEW_IDLE);
    assert!(!distributor.place(hashes[RECORDS], Kind::Opening).recorded);
    distributor.rings.consume_all();
    assert!(distributor.place(hashes[RECORDS], Kind::Opening).recorded);
}

#[test]
fn a_flood_of_beginnings_pushes_out_nothing_that_lives() {
    const CAPACITY: u32 = 10_000;
    let mut distributor = Distributor::new(CAPACITY as usize, 4);
    let mut flows = HashMap::new();
    for hash in hashes(CAPACITY / 2) {
        distributor.pass(hash, Kind::Opening);
        let placement = distributor.pass(hash, Kind::Ongoing);
        if placement.recorded {
            flows.insert(hash, placement);
        }
    }
    assert!(flows.len() as u32 > CAPACITY / 2 * 99 / 100);
    let before = distributor.directory.counts();
    for (count, hash) in hashes(CAPACITY * 21 / 2).enumerate().skip(flows.len()) {
        distributor.pass(hash, Kind::Opening);
        // Ten seconds for all of it.
        if count % CAPACITY as usize == 0 {
            distributor.wait(1);
        }
    }
    let counts = distributor.directory.counts();
    assert!(counts.evicted > before.evicted && counts.refused > before.refused);
    for (&hash, &placement) in &flows {
        assert_eq!(distributor.pass(hash, Kind::Ongoing), placement);
    }
}

#[test]
fn a_connection_half_closed_lives_through_a_flood() {
    let mut distributor = Distributor::new(100, 2);
    let hashes = distributor.neighbors(200);
    let half_closed = hashes[0];
    distributor.pass(half_closed, Kind::Opening);
    distributor.pass(half_closed, Kind::Ongoing);
    let placement = distributor.pass(half_closed, Kind::Closing);
    for &hash in &hashes[1..] {
        distributor.pass(hash, Kind::Opening);
        distributor.wait(1);
        assert_eq!(distributor.pass(half_closed, Kind::Ongoing), placement);
    }
}

#[test]
fn new_flows_spread_as_loads_follow() {
    const FLOWS: u32 = 10_000;
    let mut distributor = Distributor::new(FLOWS as usize, 4);
    distributor.rings.room = FLOWS as usize;
    let mut flows = [0_u32; 4];
    for (count, hash) in hashes(FLOWS).enumerate() {
        let placement = distributor.place(hash, Kind::Opening);
        flows[usize::from(placement.worker)] += 1;
        // The last is half as fast as the others.
        if count % 4 == 3 {
            (0..3).for_each(|worker| distributor.rings.consume(worker, 1));
        }
        if count % 8 == 7 {
            distributor.rings.consume(3, 1);
        }
    }
    let [fast @ .., slow] = flows;
    let mean = fast.iter().sum::<u32>() / 3;
    for fast in fast {
        assert!(fast.abs_diff(mean) < mean / 33, "{flows:?}");
    }
    assert!((mean / 2..mean * 2 / 3).contains(&slow), "{flows:?}");
}

#[test]
fn few_flows_find_their_bucket_full() {
    for capacity in [10_000, 16_384] {
        let mut distributor = Distributor::new(capacity as usize, 2);
        for hash in hashes(capacity) {
            distributor.pass(hash, Kind::Opening);
            distributor.pass(hash, Kind::Ongoing);
        }
        let refused = distributor.directory.counts().refused;
        assert!(refused <= u64::from(capacity) / 100, "{refused}");
    }
}

#[test]
fn all_buckets_serve_the_hashes_of_one_queue() {
    let directory = FlowDirectory::new(8192, 1);
    let of_one_queue = hashes(1 << 20).filter(|hash| hash % 128 < 16);
    let buckets: HashSet<_> = of_one_queue.map(|hash| directory.key(hash).0).collect();
    assert_eq!(buckets.len(), directory.buckets.len());
}

#[test]
fn a_directory_that_is_large_enough_tells_all_hashes_apart() {
    // As many buckets as there are tags.
    let directory = FlowDirectory::new(1 << 18, 1);
    assert_eq!(directory.buckets.len(), 1 << 16);
    let keys: HashSet<_> = hashes(1 << 16).map(|hash| directory.key(hash)).collect();
    assert_eq!(keys.len(), 1 << 16);
}

#[test]
fn a_symmetric_key_makes_too_few_hashes() {
    let toeplitz = Toeplitz::new(&symmetric_key(40)).unwrap();
    let hashes: HashSet<_> = (0..100_000_u32)
        .map(|number| toeplitz.hash_octets(&(u64::from(number) * 0x9e37_79b1).to_be_bytes()))
        .collect();
    assert!(hashes.len() <= 1 << 16);
}

/// What a flow may rely on.
#[derive(Clone, Copy, Debug)]
struct Flow {
    placement: Placement,
    /// It had a beginning, and no end.
    begun: bool,
    /// And more.
    lives: bool,
    last: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Packet { flow: usize, kind: Kind },
    Consume { worker: usize, packets: usize },
    Push,
    Wait { seconds: u16 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let kinds = vec![
        Kind::Opening,
        Kind::Ongoing,
        Kind::Ongoing,
        Kind::Closing,
        Kind::Datagram,
    ];
    prop_oneof![
        20 => (0_usize..40, select(kinds)).prop_map(|(flow, kind)| Step::Packet { flow, kind }),
        4 => (0_usize..3, 0_usize..8).prop_map(|(worker, packets)| Step::Consume { worker, packets }),
        5 => Just(Step::Push),
        1 => (1_u16..8).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_lives_stays_and_nothing_is_overtaken(
        steps in vec(any_step(), 1..600),
        salt: u32,
        room in 1_usize..20,
    ) {
        const MAX_IDLE: u16 = 20;
        let mut distributor = Distributor::new(8, 3);
        distributor.rings.room = room;
        distributor.directory = FlowDirectory::new(8, 3).with_max_idle(MAX_IDLE);
        let mut keys = HashSet::new();
        let hashes: Vec<_> = hashes(u32::MAX)
            .map(|hash| hash ^ salt)
            .filter(|hash| keys.insert(distributor.directory.key(*hash)))
            .take(40)
            .collect();
        let mut flows: HashMap<u32, Flow> = HashMap::new();
        let mut seconds_passed = 0_u32;
        for step in steps {
            match step {
                Step::Consume { worker, packets } => distributor.rings.consume(worker, packets),
                Step::Push => distributor.rings.push_staged(),
                Step::Wait { seconds } => {
                    distributor.wait(seconds);
                    seconds_passed += u32::from(seconds);
                }
                Step::Packet { flow, kind } => {
                    let hash = hashes[flow];
                    let waiting: Vec<_> = (0_u8..3)
                        .filter(|&worker| distributor.rings.holds(worker, hash))
                        .collect();
                    let before = distributor.directory.counts();
                    let placement = distributor.stage(hash, kind);
                    let counts = distributor.directory.counts();
                    // Order: whatever waits, waits for the same worker.
                    prop_assert!(waiting.iter().all(|&worker| worker == placement.worker));
                    if !placement.recorded {
                        prop_assert_eq!(u32::from(placement.worker), hash % 3);
                        prop_assert_eq!(counts.refused + counts.unknown, before.refused + before.unknown + 1);
                    }
                    let known = flows.get(&hash).copied();
                    if let Some(known) = known
                        && known.lives
                        && seconds_passed - known.last < u32::from(MAX_IDLE)
                    {
                        prop_assert_eq!(placement, known.placement);
                    }
                    let begun = known.is_some_and(|known| known.begun);
                    let lived = known.is_some_and(|known| known.lives);
                    let recorded_now = counts.recorded > before.recorded;
                    let (begun, lives) = match kind {
                        _ if !placement.recorded => (false, false),
                        Kind::Opening | Kind::Datagram if recorded_now => (true, false),
                        Kind::Opening | Kind::Datagram => (begun, lived),
                        Kind::Ongoing => (begun, lived || begun),
                        Kind::Closing => (false, false),
                    };
                    flows.insert(hash, Flow { placement, begun, lives, last: seconds_passed });
                }
            }
        }
    }
}
