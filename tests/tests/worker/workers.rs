//! Two workers: what arrives at the wrong one.

use netstack::counters::Event;
use netstack::drop::DropReason;
use netstack::ip::V4;
use netstack::wire::tcp::Flags;
use weirgate_tests::station::frame::{Tcp, TestIp, framed, with_extensions, with_options};
use weirgate_tests::station::sent::describe;
use weirgate_tests::station::{CONFIG, Station};

use netstack::ip::V6;

/// A stray segment for the second worker's source ports arrives at the first.
fn is_answered_by_its_owner<I: TestIp>(to_packet: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut station = Station::new(&CONFIG.replace("lcores = [0]", "lcores = [0, 1]"), 256);
    station.meet();
    let mut segment = Tcp::new(Flags::ACK);
    // Each has 32 ports, from 1024 on.
    (segment.dport, segment.ack) = (1060, 77);
    station.inject_to(0, &framed::<I>(&to_packet(segment.packet::<I>())));
    station.turn();
    let sent: Vec<_> = station
        .take_sent()
        .iter()
        .map(|frame| describe(frame))
        .collect();
    assert_eq!(sent, ["client: client tcp 1060>4000 RST seq 77"]);
    assert_eq!(station.counters(0).event(Event::HandedOver), 1);
    assert_eq!(station.counters(0).drops_total(), 0);
    assert_eq!(station.counters(1).event(Event::TakenOver), 1);
    assert_eq!(station.counters(1).drops(DropReason::TcpNoConnection), 1);
    station.finish();
}

#[test]
fn segments_of_another_worker_are_handed_over() {
    is_answered_by_its_owner::<V4>(|packet| packet);
    is_answered_by_its_owner::<V6>(|packet| packet);
}

#[test]
fn options_and_extension_headers_do_not_keep_a_segment_from_its_owner() {
    is_answered_by_its_owner::<V4>(|packet| with_options(&packet, &[1; 8]));
    let padding: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
    is_answered_by_its_owner::<V6>(|packet| with_extensions(&packet, &[(60, padding)]));
}
