use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::io::PacketBuf;
use crate::io::mem::{MemBuf, MemPool};
use crate::ip::{V4, V6};
use crate::route::LocalAddress;
use crate::wire::ethernet::{self, ethertype};
use crate::wire::{arp, icmp, ipv6, ndp};

const PORT: PortId = PortId(0);
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);

fn addr<I: Ip>(last: u8) -> I::Addr {
    let mut octets = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    octets[I::Addr::LEN - 1] = last;
    I::Addr::from_octets(&octets).unwrap()
}

fn neighbor<I: Ip>(last: u8) -> Neighbor<I> {
    Neighbor {
        network: NetworkId::BARE,
        port: PORT,
        addr: addr::<I>(last),
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Whoever ends in 1 is us.
fn ours<I: Ip>() -> LocalAddresses<I> {
    let mut ours = LocalAddresses::new();
    ours.add(LocalAddress {
        network: NetworkId::BARE,
        addr: addr::<I>(1),
        port: PORT,
        prefix_len: 24,
    })
    .unwrap();
    ours
}

fn table<I: Ip>() -> NeighborTable<I, u32> {
    NeighborTable::new(NeighborConfig::default(), [1, 2])
}

fn actions<I: Ip>(table: &mut NeighborTable<I, u32>) -> Vec<Action<I, u32>> {
    core::iter::from_fn(|| table.poll_action()).collect()
}

fn ask<I: Ip>(last: u8, unicast_to: Option<MacAddr>) -> Action<I, u32> {
    Action::Ask {
        neighbor: neighbor(last),
        unicast_to,
    }
}

fn send<I: Ip>(last: u8, mac: MacAddr, packet: u32) -> Action<I, u32> {
    Action::Send {
        neighbor: neighbor(last),
        mac,
        packet,
    }
}

fn hear<I: Ip>(table: &mut NeighborTable<I, u32>, millis: u64, heard: Heard<I>) -> Outcome<I> {
    table.handle_heard(at(millis), NetworkId::BARE, PORT, &ours(), &heard)
}

fn answer<I: Ip>(last: u8, mac: MacAddr) -> Heard<I> {
    Heard::Answer {
        about: addr::<I>(last),
        mac: Some(mac),
        solicited: true,
        override_known: true,
    }
}

fn announcement<I: Ip>(last: u8, mac: MacAddr) -> Heard<I> {
    Heard::Answer {
        about: addr::<I>(last),
        mac: Some(mac),
        solicited: false,
        override_known: true,
    }
}

fn request<I: Ip>(target: u8, asker: u8, mac: MacAddr) -> Heard<I> {
    Heard::Request {
        target: addr::<I>(target),
        asker: Asker {
            addr: addr::<I>(asker),
            mac,
        },
        teaches: true,
    }
}

/// A table in which neighbor 2 has answered at time 0.
fn reachable<I: Ip>() -> NeighborTable<I, u32> {
    let mut table = table();
    assert_eq!(table.resolve(at(0), neighbor(2), 0), Resolution::Queued);
    assert_eq!(hear(&mut table, 0, answer(2, MAC)), Outcome::Learned);
    assert_eq!(actions(&mut table), [ask(2, None), send(2, MAC, 0)]);
    table
}

/// Lets time pass to `millis`; returns what was to be done, with the time it was due.
fn run<I: Ip>(table: &mut NeighborTable<I, u32>, millis: u64) -> Vec<(u64, Action<I, u32>)> {
    let mut log = Vec::new();
    while let Some(due) = table.poll_timeout().filter(|due| *due <= at(millis)) {
        table.handle_timeout(due);
        let done = actions(table).into_iter();
        log.extend(done.map(|action| (due.as_micros() / 1000, action)));
    }
    log
}

fn waiting_packets_go_in_order<I: Ip>() {
    let mut table = table::<I>();
    for packet in 0..3 {
        assert_eq!(
            table.resolve(at(0), neighbor(2), packet),
            Resolution::Queued
        );
    }
    assert_eq!(table.waiting(), 3);
    assert_eq!(table.lookup(at(0), neighbor(2)), None);
    assert_eq!(actions(&mut table), [ask(2, None)], "one question for all");
    hear(&mut table, 5, answer(2, MAC));
    let sent = actions(&mut table);
    assert_eq!(sent, [send(2, MAC, 0), send(2, MAC, 1), send(2, MAC, 2)]);
    assert_eq!(table.waiting(), 0);
    let ready = Resolution::Ready(MAC, 9);
    assert_eq!(table.resolve(at(6), neighbor(2), 9), ready);
    assert_eq!(table.lookup(at(6), neighbor(2)), Some(MAC));
}

#[test]
fn waiting_packets_go_in_order_when_the_neighbor_answers() {
    waiting_packets_go_in_order::<V4>();
    waiting_packets_go_in_order::<V6>();
}

fn silence<I: Ip>() {
    let mut table = table::<I>();
    table.resolve(at(0), neighbor(2), 7);
    actions(&mut table);
    let failed = Action::Failed {
        neighbor: neighbor(2),
    };
    let drop = Action::Drop {
        neighbor: neighbor(2),
        packet: 7,
    };
    assert_eq!(
        run(&mut table, 5_000),
        [
            (1_000, ask(2, None)),
            (3_000, ask(2, None)),
            (5_000, drop),
            (5_000, failed)
        ]
    );
    // Held off for three seconds, then asked anew.
    assert_eq!(
        table.resolve(at(7_999), neighbor(2), 8),
        Resolution::Refused(8)
    );
    assert_eq!(actions(&mut table), []);
    assert_eq!(run(&mut table, 8_000), []);
    assert!(table.is_empty());
    assert_eq!(table.resolve(at(8_000), neighbor(2), 9), Resolution::Queued);
    assert_eq!(actions(&mut table), [ask(2, None)]);
}

#[test]
fn a_silent_neighbor_is_asked_again_given_up_and_held_off() {
    silence::<V4>();
    silence::<V6>();
}

fn a_failed_neighbor_comes_back<I: Ip>() {
    let mut table = table::<I>();
    table.resolve(at(0), neighbor(2), 7);
    run(&mut table, 5_000);
    assert_eq!(
        hear(&mut table, 6_000, announcement(2, MAC)),
        Outcome::Learned
    );
    assert_eq!(table.lookup(at(6_001), neighbor(2)), Some(MAC));
}

#[test]
fn a_failed_neighbor_that_announces_itself_is_used_at_once() {
    a_failed_neighbor_comes_back::<V4>();
    a_failed_neighbor_comes_back::<V6>();
}

fn stale_entries_are_probed<I: Ip>() {
    let mut table = reachable::<I>();
    assert_eq!(run(&mut table, 60_000), [], "nobody uses it, nobody asks");
    assert_eq!(table.poll_timeout(), None);
    assert_eq!(
        table.resolve(at(60_000), neighbor(2), 1),
        Resolution::Ready(MAC, 1)
    );
    assert_eq!(run(&mut table, 65_000), [(65_000, ask(2, Some(MAC)))]);
    hear(&mut table, 65_100, answer(2, MAC));
    assert_eq!(run(&mut table, 95_099), []);
    assert_eq!(
        table.poll_timeout(),
        Some(at(95_100)),
        "reachable for 30 s again"
    );
}

#[test]
fn a_stale_entry_is_used_probed_and_reachable_again() {
    stale_entries_are_probed::<V4>();
    stale_entries_are_probed::<V6>();
}

fn a_probe_without_answer<I: Ip>() {
    let mut table = reachable::<I>();
    run(&mut table, 30_000);
    assert_eq!(table.lookup(at(40_000), neighbor(2)), Some(MAC));
    assert_eq!(
        run(&mut table, 60_000),
        [45_000, 46_000, 48_000].map(|due| (due, ask(2, Some(MAC))))
    );
    assert!(table.is_empty());
    assert_eq!(
        table.resolve(at(60_000), neighbor(2), 1),
        Resolution::Queued
    );
    assert_eq!(actions(&mut table), [ask(2, None)]);
}

#[test]
fn a_probe_without_answer_ends_in_asking_everybody() {
    a_probe_without_answer::<V4>();
    a_probe_without_answer::<V6>();
}

fn announcements_change_but_do_not_create<I: Ip>() {
    let mut table = reachable::<I>();
    assert_eq!(
        hear(&mut table, 1, announcement(3, OTHER_MAC)),
        Outcome::NotForUs
    );
    assert_eq!(table.len(), 1);
    assert_eq!(
        hear(&mut table, 1, announcement(2, OTHER_MAC)),
        Outcome::Learned
    );
    assert_eq!(table.lookup(at(2), neighbor(2)), Some(OTHER_MAC));
    // Nobody asked, so it is doubted: asked about after use.
    assert_eq!(run(&mut table, 5_002), [(5_002, ask(2, Some(OTHER_MAC)))]);
}

#[test]
fn announcements_change_entries_but_create_none() {
    announcements_change_but_do_not_create::<V4>();
    announcements_change_but_do_not_create::<V6>();
}

#[test]
fn an_advertisement_that_does_not_override_only_raises_doubt() {
    let weak = |mac, solicited| Heard::<V6>::Answer {
        about: addr::<V6>(2),
        mac,
        solicited,
        override_known: false,
    };
    let mut table = reachable::<V6>();
    // RFC 4861 7.2.5, I a: another address makes a reachable entry stale.
    assert_eq!(
        hear(&mut table, 1, weak(Some(OTHER_MAC), true)),
        Outcome::NotForUs
    );
    assert_eq!(table.poll_timeout(), None);
    // I b: and changes nothing else.
    hear(&mut table, 2, weak(Some(OTHER_MAC), true));
    assert_eq!(table.lookup(at(3), neighbor(2)), Some(MAC));
    // II: the same address, or none, confirms if it was asked for.
    hear(&mut table, 4, weak(None, false));
    assert_eq!(table.poll_timeout(), Some(at(5_003)));
    hear(&mut table, 5, weak(None, true));
    assert_eq!(table.poll_timeout(), Some(at(30_005)));
    // An answer without an address is none to the first question.
    table.resolve(at(6), neighbor(3), 1);
    let about = addr::<V6>(3);
    let empty = Heard::Answer {
        about,
        mac: None,
        solicited: true,
        override_known: true,
    };
    assert_eq!(hear(&mut table, 7, empty), Outcome::NotForUs);
    assert_eq!(table.waiting(), 1);
}

fn requests_teach<I: Ip>() {
    let mut table = table::<I>();
    let asker = Asker {
        addr: addr::<I>(2),
        mac: MAC,
    };
    let target = addr::<I>(1);
    let outcome = hear(&mut table, 0, request(1, 2, MAC));
    assert_eq!(outcome, Outcome::Answer { target, asker });
    assert_eq!(table.lookup(at(1), neighbor(2)), Some(MAC));
    // Others' business teaches nothing, nor do groups.
    assert_eq!(hear(&mut table, 2, request(9, 3, MAC)), Outcome::NotForUs);
    hear(&mut table, 2, request(1, 3, MacAddr::BROADCAST));
    assert_eq!(table.lookup(at(3), neighbor(3)), None);
    // A request also answers whoever waits.
    table.resolve(at(4), neighbor(4), 5);
    actions(&mut table);
    hear(&mut table, 5, request(1, 4, OTHER_MAC));
    assert_eq!(actions(&mut table), [send(4, OTHER_MAC, 5)]);
    // Someone who claims to be us is not learned, and not answered.
    assert_eq!(hear(&mut table, 6, request(1, 1, MAC)), Outcome::NotForUs);
    assert_eq!(hear(&mut table, 6, announcement(1, MAC)), Outcome::NotForUs);
    assert_eq!(table.lookup(at(7), neighbor(1)), None);
}

#[test]
fn requests_to_us_teach_the_asker() {
    requests_teach::<V4>();
    requests_teach::<V6>();
}

#[test]
fn an_address_is_answered_for_on_its_own_port_only() {
    let mut table = table::<V4>();
    let heard = request(1, 2, MAC);
    let network = NetworkId::BARE;
    let outcome = table.handle_heard(at(0), network, PortId(1), &ours(), &heard);
    assert_eq!(outcome, Outcome::NotForUs);
    let outcome = table.handle_heard(at(0), NetworkId(1), PORT, &ours(), &heard);
    assert_eq!(outcome, Outcome::NotForUs);
}

#[test]
fn ports_and_networks_do_not_share_neighbors() {
    let mut table = reachable::<V4>();
    let other_port = Neighbor {
        port: PortId(1),
        ..neighbor(2)
    };
    let other_network = Neighbor {
        network: NetworkId(1),
        ..neighbor(2)
    };
    assert_eq!(table.lookup(at(1), other_port), None);
    assert_eq!(table.lookup(at(1), other_network), None);
}

fn limits<I: Ip>() {
    let config = NeighborConfig {
        max_entries: 2,
        max_waiting: 2,
        ..NeighborConfig::default()
    };
    let mut table = NeighborTable::<I, u32>::new(config, [1, 2]);
    assert_eq!(table.resolve(at(0), neighbor(2), 0), Resolution::Queued);
    assert_eq!(table.resolve(at(0), neighbor(2), 1), Resolution::Queued);
    assert_eq!(table.resolve(at(0), neighbor(2), 2), Resolution::Refused(2));
    assert_eq!(table.resolve(at(0), neighbor(3), 3), Resolution::Queued);
    // Both entries have waiting packets: the newcomer has to go.
    assert_eq!(table.resolve(at(0), neighbor(4), 4), Resolution::Refused(4));
    hear(&mut table, 1, request(1, 5, MAC));
    assert_eq!(table.len(), 2);
    // One in use and one that failed: the failed one makes room.
    hear(&mut table, 1, answer(2, MAC));
    run(&mut table, 5_000);
    assert_eq!(table.resolve(at(5_000), neighbor(4), 5), Resolution::Queued);
    assert_eq!(
        table.resolve(at(5_000), neighbor(6), 6),
        Resolution::Refused(6)
    );
    assert_eq!(table.lookup(at(5_000), neighbor(2)), Some(MAC));
    // Of two stale ones, the one that has been stale longer.
    hear(&mut table, 10_000, answer(4, OTHER_MAC));
    run(&mut table, 50_000);
    assert_eq!(
        table.resolve(at(50_000), neighbor(6), 7),
        Resolution::Queued
    );
    assert_eq!(table.lookup(at(50_000), neighbor(2)), None);
    assert_eq!(table.lookup(at(50_000), neighbor(4)), Some(OTHER_MAC));
}

#[test]
fn limits_refuse_new_work_and_spare_what_is_in_use() {
    limits::<V4>();
    limits::<V6>();
}

fn silent_neighbors<I: Ip>() {
    let config = NeighborConfig {
        max_waiting_total: 5,
        ..NeighborConfig::default()
    };
    let mut table = NeighborTable::<I, u32>::new(config, [1, 2]);
    let mut refused = 0;
    for packet in 0..400 {
        let last = 2 + (packet % 200) as u8;
        match table.resolve(at(0), neighbor(last), packet) {
            Resolution::Refused(out) => {
                assert_eq!(out, packet);
                refused += 1;
            }
            resolution => assert_eq!(resolution, Resolution::Queued),
        }
    }
    assert_eq!((table.waiting(), refused), (5, 395));
    // Whoever is there is found all the same, and its next packet goes.
    assert!(actions(&mut table).contains(&ask(100, None)));
    hear(&mut table, 1, answer(100, MAC));
    assert_eq!(actions(&mut table), []);
    let resolution = table.resolve(at(2), neighbor(100), 400);
    assert_eq!(resolution, Resolution::Ready(MAC, 400));
    // Room that is made is used.
    hear(&mut table, 3, answer(2, MAC));
    assert_eq!(actions(&mut table), [send(2, MAC, 0)]);
    assert_eq!(table.resolve(at(4), neighbor(90), 401), Resolution::Queued);
    assert_eq!(
        table.resolve(at(4), neighbor(91), 402),
        Resolution::Refused(402)
    );
}

#[test]
fn many_silent_neighbors_hold_a_bounded_number_of_packets() {
    silent_neighbors::<V4>();
    silent_neighbors::<V6>();
}

#[test]
fn groups_are_no_neighbors() {
    let mut table = table::<V4>();
    let group = Neighbor {
        addr: Ipv4Addr::BROADCAST,
        ..neighbor(2)
    };
    assert_eq!(table.resolve(at(0), group, 1), Resolution::Refused(1));
}

#[test]
fn one_call_handles_a_bounded_number_of_timeouts() {
    let mut table = table::<V4>();
    for last in 2..=200 {
        table.resolve(at(0), neighbor(last), 0);
    }
    actions(&mut table);
    table.handle_timeout(at(1_000));
    assert_eq!(actions(&mut table).len(), TIMEOUTS_PER_CALL);
    assert_eq!(table.poll_timeout(), Some(at(1_000)));
    assert_eq!(run(&mut table, 1_000).len(), 199 - TIMEOUTS_PER_CALL);
}

fn lent() -> MemBuf {
    MemPool::new(1, 1500).alloc().unwrap()
}

fn us<I: Ip>() -> Speaker<I> {
    Speaker {
        addr: addr::<I>(1),
        mac: OUR_MAC,
    }
}

/// What a frame of ARP says, and where it goes.
fn read_arp(frame: &MemBuf) -> (MacAddr, arp::Packet) {
    let header = ethernet::Header::parse(frame.data()).unwrap();
    assert_eq!((header.source, header.ethertype), (OUR_MAC, ethertype::ARP));
    assert_eq!(frame.data().len(), 60);
    let packet = arp::Packet::parse(&frame.data()[14..]).unwrap();
    (header.destination, packet)
}

#[test]
fn arp_frames_say_what_they_mean() {
    let mut buf = lent();
    V4::emit_request(&mut buf, us(), addr::<V4>(2), None).unwrap();
    let (destination, packet) = read_arp(&buf);
    assert_eq!(destination, MacAddr::BROADCAST);
    let asker = Asker {
        addr: addr::<V4>(1),
        mac: OUR_MAC,
    };
    let target = addr::<V4>(2);
    let asked = Heard::Request {
        target,
        asker,
        teaches: true,
    };
    assert_eq!(Heard::from_arp(&packet), asked);

    V4::emit_request(&mut buf, us(), addr::<V4>(2), Some(MAC)).unwrap();
    assert_eq!(read_arp(&buf).0, MAC);

    let asker = Asker {
        addr: addr::<V4>(2),
        mac: MAC,
    };
    V4::emit_answer(&mut buf, us(), asker).unwrap();
    let (destination, packet) = read_arp(&buf);
    assert_eq!(destination, MAC);
    assert_eq!(Heard::from_arp(&packet), answer(1, OUR_MAC));

    V4::emit_announcement(&mut buf, us()).unwrap();
    let (destination, packet) = read_arp(&buf);
    assert_eq!(destination, MacAddr::BROADCAST);
    assert_eq!(Heard::from_arp(&packet), announcement(1, OUR_MAC));
}

#[test]
fn an_arp_probe_is_answered_and_teaches_nothing() {
    let probe = arp::Packet {
        operation: arp::Operation::Request,
        sender_mac: MAC,
        sender_addr: Ipv4Addr::UNSPECIFIED,
        target_mac: MacAddr::default(),
        target_addr: addr::<V4>(1),
    };
    let mut table = table::<V4>();
    let outcome = hear(&mut table, 0, Heard::from_arp(&probe));
    assert!(matches!(outcome, Outcome::Answer { .. }));
    assert!(table.is_empty());
}

/// What a frame of neighbor discovery says, from whom, and where it goes.
fn read_ndp(frame: &MemBuf) -> (MacAddr, Ipv6Addr, Heard<V6>) {
    let header = ethernet::Header::parse(frame.data()).unwrap();
    assert_eq!(
        (header.source, header.ethertype),
        (OUR_MAC, ethertype::IPV6)
    );
    let packet = &frame.data()[14..];
    let ip = ipv6::Header::parse(packet).unwrap();
    let octets = ip.payload(packet);
    assert!(icmp::verify_checksum::<V6>(ip.src, ip.dst, octets));
    let message = ndp::Message::parse(ip.src, ip.dst, ip.hop_limit, octets).unwrap();
    let heard = Heard::from_ndp(ip.src, header.source, &message).unwrap();
    (header.destination, ip.dst, heard)
}

#[test]
fn ndp_frames_say_what_they_mean() {
    let mut buf = lent();
    V6::emit_request(&mut buf, us(), addr::<V6>(2), None).unwrap();
    let group = ndp::solicited_node(addr::<V6>(2));
    let asker = Asker {
        addr: addr::<V6>(1),
        mac: OUR_MAC,
    };
    let target = addr::<V6>(2);
    let asked = Heard::Request {
        target,
        asker,
        teaches: true,
    };
    assert_eq!(read_ndp(&buf), (ndp::multicast_mac(group), group, asked));

    V6::emit_request(&mut buf, us(), addr::<V6>(2), Some(MAC)).unwrap();
    assert_eq!(read_ndp(&buf), (MAC, target, asked));

    let asker = Asker {
        addr: addr::<V6>(2),
        mac: MAC,
    };
    V6::emit_answer(&mut buf, us(), asker).unwrap();
    assert_eq!(read_ndp(&buf), (MAC, addr::<V6>(2), answer(1, OUR_MAC)));

    let everybody = ndp::multicast_mac(ndp::ALL_NODES);
    let announced = (everybody, ndp::ALL_NODES, announcement(1, OUR_MAC));
    V6::emit_announcement(&mut buf, us()).unwrap();
    assert_eq!(read_ndp(&buf), announced);
    let nobody_yet = Asker {
        addr: Ipv6Addr::UNSPECIFIED,
        mac: MAC,
    };
    V6::emit_answer(&mut buf, us(), nobody_yet).unwrap();
    assert_eq!(read_ndp(&buf), announced);
}

#[test]
fn a_frame_that_does_not_fit_is_no_frame() {
    let mut small = MemPool::new(1, 10).alloc().unwrap();
    let refused = V4::emit_announcement(&mut small, us());
    assert_eq!(refused, Err(crate::drop::DropReason::NoBuffer));
    let refused = V6::emit_announcement(&mut small, us());
    assert_eq!(refused, Err(crate::drop::DropReason::NoBuffer));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Resolve(u8),
    Answer(u8, bool, bool),
    Request(u8, u8),
    Wait(u64),
    Poll,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (2_u8..9).prop_map(Step::Resolve),
        1 => (2_u8..9, any::<bool>(), any::<bool>()).prop_map(|(n, s, o)| Step::Answer(n, s, o)),
        1 => (2_u8..9, 2_u8..5).prop_map(|(n, mac)| Step::Request(n, mac)),
        2 => (0_u64..4_000).prop_map(Step::Wait),
        1 => Just(Step::Poll),
    ]
}

/// What became of each packet, and a table that must agree with it.
struct Ledger<I: Ip> {
    table: NeighborTable<I, u32>,
    /// How often each packet came out.
    fates: BTreeMap<u32, u32>,
    handed_in: u32,
    now: u64,
}

impl<I: Ip> Ledger<I> {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Resolve(last) => {
                let packet = self.handed_in;
                self.handed_in += 1;
                match self.table.resolve(at(self.now), neighbor(last), packet) {
                    Resolution::Queued => {}
                    Resolution::Ready(_, out) | Resolution::Refused(out) => {
                        assert_eq!(out, packet);
                        *self.fates.entry(out).or_default() += 1;
                    }
                }
            }
            Step::Answer(last, solicited, override_known) => {
                let heard = Heard::Answer {
                    about: addr::<I>(last),
                    mac: Some(MAC),
                    solicited,
                    override_known,
                };
                hear(&mut self.table, self.now, heard);
            }
            Step::Request(last, mac) => {
                let mac = MacAddr([2, 0, 0, 0, 0, mac]);
                hear(&mut self.table, self.now, request(1, last, mac));
            }
            Step::Wait(millis) => {
                self.now += millis;
                self.table.handle_timeout(at(self.now));
            }
            Step::Poll => self.poll(),
        }
        let out: u32 = self.fates.values().sum();
        assert_eq!(self.table.waiting() as u32, self.handed_in - out);
        self.check_sets();
    }

    fn poll(&mut self) {
        for action in actions(&mut self.table) {
            if let Action::Send { packet, .. } | Action::Drop { packet, .. } = action {
                *self.fates.entry(packet).or_default() += 1;
            }
        }
    }

    /// The invariants of the table's sets.
    fn check_sets(&self) {
        let table = &self.table;
        let mut timers = BTreeSet::new();
        let mut idle = BTreeSet::new();
        for (slot, entry) in table.entries.iter().enumerate() {
            let Some(entry) = entry else {
                assert!(table.free.contains(&slot));
                continue;
            };
            assert_eq!(table.index.get(&entry.neighbor), Some(&slot));
            assert_eq!(entry.timer, entry.state.deadline());
            timers.extend(entry.timer.map(|at| (at, slot)));
            idle.extend(entry.state.idle().map(|idle| (idle, slot)));
        }
        assert_eq!(table.timers, timers);
        assert_eq!(table.idle, idle);
        assert_eq!(table.index.len() + table.free.len(), table.entries.len());
        assert!(table.spare_queues.iter().all(VecDeque::is_empty));
        assert!(table.spare_queues.len() <= table.entries.len());
    }
}

fn no_packet_vanishes<I: Ip>(steps: Vec<Step>) {
    let config = NeighborConfig {
        max_entries: 4,
        max_waiting: 3,
        max_waiting_total: 6,
        ..NeighborConfig::default()
    };
    let mut ledger = Ledger::<I> {
        table: NeighborTable::new(config, [3, 4]),
        fates: BTreeMap::new(),
        handed_in: 0,
        now: 0,
    };
    for step in steps {
        ledger.apply(step);
    }
    for _ in 0..10 {
        ledger.apply(Step::Wait(1_000));
    }
    ledger.apply(Step::Poll);
    assert_eq!(ledger.table.waiting(), 0);
    let once: BTreeMap<_, _> = (0..ledger.handed_in).map(|packet| (packet, 1)).collect();
    assert_eq!(ledger.fates, once);
}

proptest! {
    #[test]
    fn no_packet_vanishes_and_none_comes_out_twice(steps in vec(any_step(), 0..120)) {
        no_packet_vanishes::<V4>(steps.clone());
        no_packet_vanishes::<V6>(steps);
    }
}
