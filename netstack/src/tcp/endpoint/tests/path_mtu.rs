//! Routers that say that a packet was too large (RFC 1191, RFC 8201), and others who say so.

use super::rig::*;
use crate::counters::Event;
use crate::ip::NetworkId;
use crate::tcp::endpoint::{ConnId, PacketTooBig};
use crate::tcp::{ConnectionOptions, EngineKind, TcpIp};
use crate::wire::tcp::HEADER_LEN;

ip_tests! {
    what_was_too_large_is_sent_again_in_smaller_segments
    only_octets_in_flight_are_believed_and_only_once
    segments_do_not_become_tiny
    a_router_that_does_not_say_means_the_next_plateau
    smoltcp_does_not_listen
    a_black_hole_is_found
    an_outage_is_no_black_hole
    small_segments_that_are_lost_are_no_black_hole
}

fn sending<I: TcpIp>(engine: EngineKind) -> (Rig<I>, ConnId, Peer, Vec<Sent>) {
    let options = ConnectionOptions {
        send_buffer: 1 << 16,
        ..options(engine)
    };
    let mut rig = Rig::<I>::with(config(), options);
    let (id, peer) = rig.establish(5000);
    rig.write(id, &[7; 5000]);
    let sent = rig.take(&peer);
    assert_eq!(sent[0].payload.len(), MTU - I::HEADER_LEN - HEADER_LEN);
    (rig, id, peer, sent)
}

fn too_big<I: TcpIp>(rig: &mut Rig<I>, peer: &Peer, seq: u32, mtu: u32) -> bool {
    let error = PacketTooBig { seq, mtu };
    let flow = peer.flow::<I>();
    let known = rig
        .endpoint
        .handle_packet_too_big(rig.now, NetworkId::BARE, &flow, error);
    rig.settle();
    known
}

fn counted<I: TcpIp>(rig: &Rig<I>) -> (u64, u64) {
    (
        rig.counters.event(Event::TcpPathMtuLowered),
        rig.counters.event(Event::TcpPathMtuRefused),
    )
}

fn what_was_too_large_is_sent_again_in_smaller_segments<I: TcpIp>() {
    let (mut rig, _, peer, sent) = sending::<I>(EngineKind::Native);
    assert!(too_big(&mut rig, &peer, sent[0].header.seq, 1300));
    assert_eq!(counted(&rig), (1, 0));
    let again = rig.take(&peer);
    let largest = 1300 - I::HEADER_LEN - HEADER_LEN;
    let mut seq = sent[0].header.seq;
    for sent in &again {
        assert_eq!(sent.header.seq, seq, "in order, without gaps");
        assert!(sent.payload.len() <= largest);
        seq = seq.wrapping_add(sent.payload.len() as u32);
    }
    assert_eq!(again[0].payload.len(), largest);
}

fn only_octets_in_flight_are_believed_and_only_once<I: TcpIp>() {
    let (mut rig, _, peer, sent) = sending::<I>(EngineKind::Native);
    let una = sent[0].header.seq;
    for offset in [u32::MAX, 5000, 1 << 31] {
        assert!(too_big(&mut rig, &peer, una.wrapping_add(offset), 1300));
    }
    assert_eq!(counted(&rig), (0, 3));
    assert!(rig.take(&peer).is_empty());
    let stranger = Peer {
        sport: 5001,
        ..peer
    };
    assert!(!too_big(&mut rig, &stranger, una, 1300));
    assert!(too_big(&mut rig, &peer, una, 1300));
    assert_eq!(counted(&rig), (1, 3));
    // Each of the segments in flight has its error; larger is no news either.
    for mtu in [1300, 1400, 9000] {
        assert!(too_big(&mut rig, &peer, una, mtu));
    }
    assert_eq!(counted(&rig), (1, 6));
}

fn segments_do_not_become_tiny<I: TcpIp>() {
    let (mut rig, _, peer, sent) = sending::<I>(EngineKind::Native);
    assert!(too_big(&mut rig, &peer, sent[0].header.seq, 100));
    let again = rig.take(&peer);
    if I::VERSION == 4 {
        assert_eq!(again[0].payload.len(), 552 - I::HEADER_LEN - HEADER_LEN);
        assert_eq!(counted(&rig), (1, 0));
    } else {
        assert!(again.is_empty());
        assert_eq!(counted(&rig), (0, 1));
    }
}

fn a_router_that_does_not_say_means_the_next_plateau<I: TcpIp>() {
    let (mut rig, _, peer, sent) = sending::<I>(EngineKind::Native);
    let mut packets = vec![];
    for _ in 0..4 {
        too_big(&mut rig, &peer, sent[0].header.seq, 0);
        if let Some(first) = rig.take(&peer).first() {
            packets.push(first.payload.len() + I::HEADER_LEN + HEADER_LEN);
        }
    }
    let expected: &[usize] = if I::VERSION == 4 {
        &[1492, 1006, 552]
    } else {
        &[]
    };
    assert_eq!(packets, expected);
}

fn smoltcp_does_not_listen<I: TcpIp>() {
    let (mut rig, _, peer, sent) = sending::<I>(EngineKind::Smoltcp);
    assert!(too_big(&mut rig, &peer, sent[0].header.seq, 1300));
    assert_eq!(counted(&rig), (0, 1));
}

/// Passes on what is no larger than `largest` octets of payload and options, for `time`. Returns
/// how large the largest segment was that was sent.
fn through<I: TcpIp>(
    rig: &mut Rig<I>,
    peer: &mut Peer,
    largest: usize,
    time: core::time::Duration,
) -> usize {
    let end = rig.now + time;
    let mut most = 0;
    let first_ack = peer.ack;
    while rig.now < end && (peer.ack == first_ack || time < seconds(5)) {
        rig.pass(millis(10));
        for sent in rig.take(peer) {
            most = most.max(sent.payload.len());
            if sent.payload.len() <= largest && sent.header.seq == peer.ack {
                peer.ack = peer.ack.wrapping_add(sent.payload.len() as u32);
                rig.inject(peer, ACK, &[]).unwrap();
                rig.settle();
            }
        }
    }
    most
}

fn a_black_hole_is_found<I: TcpIp>() {
    let (mut rig, id, mut peer, sent) = sending::<I>(EngineKind::Native);
    // Everything of full size is swallowed.
    let una = sent[0].header.seq;
    assert_eq!(peer.ack, una);
    through(&mut rig, &mut peer, 1220, seconds(15));
    assert!(peer.ack != una, "something gets through");
    let steps = rig.counters.event(Event::TcpBlackHoles);
    assert_eq!(steps, 2, "1400, 1220");
    assert!(rig.counters.event(Event::TcpTimeouts) >= 3);
    through(&mut rig, &mut peer, 1220, seconds(4));
    assert_eq!(peer.ack, una.wrapping_add(5000), "all of it");
    // The old size is tried three times, in vain; then there is rest for ten minutes.
    for _ in 0..3 {
        rig.write(id, &[7; 8000]);
        through(&mut rig, &mut peer, 1220, seconds(4));
    }
    rig.write(id, &[7; 8000]);
    let most = through(&mut rig, &mut peer, 1220, seconds(4));
    assert_eq!(most, 1220);
    assert_eq!(rig.counters.event(Event::TcpPathMtuRaised), 0);
}

fn an_outage_is_no_black_hole<I: TcpIp>() {
    let (mut rig, id, mut peer, sent) = sending::<I>(EngineKind::Native);
    let full = sent[0].payload.len();
    // Nothing at all gets through for four seconds, then everything does.
    through(&mut rig, &mut peer, 0, seconds(4));
    assert!(rig.counters.event(Event::TcpBlackHoles) > 0);
    through(&mut rig, &mut peer, full, seconds(15));
    through(&mut rig, &mut peer, full, seconds(4));
    for _ in 0..4 {
        rig.write(id, &[7; 8000]);
        through(&mut rig, &mut peer, full, seconds(2));
    }
    assert_eq!(rig.counters.event(Event::TcpPathMtuRaised), 1);
    rig.write(id, &[7; 8000]);
    assert_eq!(through(&mut rig, &mut peer, full, seconds(1)), full);
}

fn small_segments_that_are_lost_are_no_black_hole<I: TcpIp>() {
    let mut rig = Rig::<I>::new(EngineKind::Native);
    let (id, mut peer) = rig.establish(5000);
    rig.write(id, &[7; 500]);
    through(&mut rig, &mut peer, 0, seconds(4));
    rig.lane.sent.clear();
    assert!(rig.counters.event(Event::TcpTimeouts) >= 2);
    assert_eq!(rig.counters.event(Event::TcpBlackHoles), 0);
}
