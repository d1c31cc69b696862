//! Octets both ways.

use super::manners::Manners;
use super::rig::*;
use crate::ip::{V4, V6};
use crate::tcp::{Chunk, ConnectionOptions, EngineKind, TcpIp};
use crate::wire::tcp::{Flags, Options};

engine_tests! {
    octets_go_both_ways
    peeking_takes_nothing
    room_is_what_can_be_queued
    an_acknowledgment_waits_a_little_and_not_longer
    chunks_end_where_the_ring_ends
    a_window_closes_and_opens_again
    a_closed_window_is_probed
    a_late_segment_with_an_old_acknowledgment_counts
    an_ack_says_what_was_sent_and_not_what_is_sent_again
    an_ack_from_the_end_of_the_window_counts
    a_window_that_closes_on_data_in_flight_opens_again
    a_fin_beyond_the_window_does_not_end_the_stream
    a_lost_segment_is_sent_again
    a_hole_is_filled
    the_two_of_a_pair
}

fn octets_go_both_ways<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.send(&peer, ACK, b"hello");
    peer.seq = peer.seq.wrapping_add(5);
    let chunk = rig.endpoint.connection(id).received().unwrap();
    assert_eq!(chunk.octets(), b"hello");
    rig.endpoint.connection(id).consume(2);
    assert_eq!(rig.read(id), b"llo");
    assert!(rig.endpoint.connection(id).received().is_none());

    assert_eq!(rig.write(id, b"good day"), 8);
    let sent = rig.take(&peer);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].payload, b"good day");
    assert_eq!(
        (sent[0].header.seq, sent[0].header.ack),
        (peer.ack, peer.seq)
    );
    assert_eq!(rig.endpoint.connection(id).send_queue(), 8);
    peer.ack = peer.ack.wrapping_add(8);
    assert!(rig.send(&peer, ACK, &[]).is_empty(), "no ACK for an ACK");
    assert_eq!(rig.endpoint.connection(id).send_queue(), 0);
    rig.pass(seconds(10));
    assert!(rig.take(&peer).is_empty());
    rig.assert_counters(&[("consumed", 4), ("tcp_accepted", 1), ("tcp_connections", 1)]);
}

fn peeking_takes_nothing<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    // So that a ring comes round.
    let octets: Vec<u8> = (0..3500_u32).map(|i| (i % 251) as u8).collect();
    let mut scratch = Vec::new();
    for _ in 0..9 {
        assert!(
            rig.endpoint
                .connection(id)
                .peek(100, &mut scratch)
                .is_empty()
        );
        for piece in octets.chunks(700) {
            rig.send(&peer, ACK, piece);
            peer.seq = peer.seq.wrapping_add(piece.len() as u32);
        }
        let connection = rig.endpoint.connection(id);
        assert_eq!(connection.receive_queue(), octets.len());
        for most in [0, 1, 700, 701, 3499, 3500, 9000] {
            let peeked = connection.peek(most, &mut scratch);
            assert_eq!(peeked, &octets[..most.min(3500)], "{most}");
        }
        assert_eq!(rig.read(id), octets);
        rig.flush(id);
    }
}

fn room_is_what_can_be_queued<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, _) = rig.establish(5000);
    let room = rig.endpoint.connection(id).send_room();
    assert_eq!(rig.write(id, &vec![7; room + 1]), room);
    assert_eq!(rig.endpoint.connection(id).send_room(), 0);
}

fn an_acknowledgment_waits_a_little_and_not_longer<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (_, mut peer) = rig.establish(5000);
    assert!(rig.send(&peer, ACK, b"x").is_empty());
    rig.pass(Manners::of(engine).delayed_ack + millis(2));
    peer.seq = peer.seq.wrapping_add(1);
    let sent = rig.take(&peer);
    assert_eq!((sent.len(), sent[0].header.ack), (1, peer.seq));
    rig.pass(seconds(60));
    assert!(rig.take(&peer).is_empty(), "once");
}

fn chunks_end_where_the_ring_ends<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    let octets: Vec<u8> = (0..12_000_u32).map(|i| (i % 251) as u8).collect();
    let mut read = Vec::new();
    let mut pieces = 0;
    for piece in octets.chunks(1000) {
        rig.send(&peer, ACK, piece);
        peer.seq = peer.seq.wrapping_add(piece.len() as u32);
        while let Some(chunk) = rig.endpoint.connection(id).received() {
            let part = chunk.octets().to_vec();
            rig.endpoint.connection(id).consume(part.len());
            read.extend(part);
            pieces += 1;
        }
        rig.flush(id);
        rig.lane.sent.clear();
    }
    assert_eq!(read, octets);
    if Manners::of(engine).ring {
        assert!(pieces > 12, "some wrapped");
    } else {
        assert_eq!(pieces, 12, "each as it came");
    }
}

fn a_window_closes_and_opens_again<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    for _ in 0..4 {
        rig.send(&peer, ACK, &[9; 1024]);
        peer.seq = peer.seq.wrapping_add(1024);
    }
    rig.pass(Manners::of(engine).delayed_ack);
    rig.lane.sent.clear();
    let beyond = rig.send(&peer, ACK, b"x");
    assert_eq!((beyond.len(), beyond[0].header.window), (1, 0), "a probe");
    assert_eq!(beyond[0].header.ack, peer.seq);
    rig.pass(seconds(5));
    assert!(rig.take(&peer).is_empty());
    assert_eq!(rig.read(id).len(), 4096);
    let sent = rig.take(&peer);
    assert_eq!((sent.len(), sent[0].header.window), (1, 4096));
    rig.send(&peer, ACK, b"x");
    assert_eq!(rig.read(id), b"x");
}

fn a_closed_window_is_probed<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    peer.window = 0;
    rig.send(&peer, ACK, &[]);
    rig.write(id, b"waiting");
    rig.lane.sent.clear();
    for _ in 0..20 {
        rig.pass(seconds(3));
        for sent in rig.take(&peer) {
            assert!(sent.payload.len() <= 1, "{sent:?}");
            let again = rig.send(&peer, ACK, &[]);
            assert!(again.is_empty(), "{sent:?} {again:?}");
        }
    }
    assert_eq!(rig.endpoint.connection(id).ended(), None, "it does answer");
    peer.window = 1000;
    let sent = rig.send(&peer, ACK, &[]);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].payload, b"waiting");
}

fn a_late_segment_with_an_old_acknowledgment_counts<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    let late = peer;
    rig.write(id, b"abc");
    rig.lane.sent.clear();
    // It acknowledged after its first segment, and the network swapped the two.
    peer.ack = peer.ack.wrapping_add(3);
    peer.seq = peer.seq.wrapping_add(5);
    rig.send(&peer, ACK, b" world");
    let replies = rig.send(&Peer { window: 0, ..late }, ACK, b"hello");
    assert_eq!(replies[0].header.ack, peer.seq.wrapping_add(6));
    assert_eq!(rig.read(id), b"hello world");
    rig.lane.sent.clear();
    rig.write(id, b"more");
    assert_eq!(
        rig.take(&peer)[0].payload,
        b"more",
        "the old window does not count"
    );
}

fn an_ack_says_what_was_sent_and_not_what_is_sent_again<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.write(id, &[1; 2000]);
    let manners = Manners::of(engine);
    rig.pass(manners.timeout + millis(100));
    rig.lane.sent.clear();
    rig.send(&peer, ACK, b"x");
    rig.pass(manners.delayed_ack + millis(2));
    peer.seq = peer.seq.wrapping_add(1);
    let sent = rig.take(&peer);
    let ack = sent.iter().find(|sent| sent.payload.is_empty()).unwrap();
    assert_eq!(ack.header.seq, peer.ack.wrapping_add(2000));
    assert_eq!(ack.header.ack, peer.seq);
}

fn an_ack_from_the_end_of_the_window_counts<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    let end = Peer {
        seq: peer.seq.wrapping_add(4096),
        ack: peer.ack.wrapping_add(3),
        ..peer
    };
    rig.write(id, b"abc");
    rig.send(&end, ACK, &[]);
    assert_eq!(rig.endpoint.connection(id).send_queue(), 0);
}

fn a_window_that_closes_on_data_in_flight_opens_again<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.write(id, &[1; 2000]);
    peer.ack = peer
        .ack
        .wrapping_add(rig.take(&peer)[0].payload.len() as u32);
    rig.send(&Peer { window: 0, ..peer }, ACK, &[]);
    rig.send(&peer, ACK, &[]);
    rig.pass(seconds(4));
    let sent = rig.take(&peer);
    assert!(!sent.is_empty(), "what was in flight is sent again");
    assert_eq!(sent[0].header.seq, peer.ack);
}

fn a_fin_beyond_the_window_does_not_end_the_stream<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.send(&peer, FIN_ACK, &[1; 5000]);
    assert!(!rig.endpoint.connection(id).receive_finished());
    assert_eq!(rig.read(id).len(), 4096);
    assert!(!rig.endpoint.connection(id).receive_finished());
    peer.seq = peer.seq.wrapping_add(4096);
    rig.lane.sent.clear();
    let replies = rig.send(&peer, FIN_ACK, &[1; 904]);
    assert_eq!(rig.read(id).len(), 904);
    assert!(rig.endpoint.connection(id).receive_finished());
    rig.pass(Manners::of(engine).delayed_ack);
    let last = rig
        .take(&peer)
        .pop()
        .or_else(|| replies.last().cloned())
        .unwrap();
    assert_eq!(last.header.ack, peer.seq.wrapping_add(905));
}

fn a_lost_segment_is_sent_again<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.write(id, b"lost");
    let first = rig.take(&peer);
    rig.pass(Manners::of(engine).timeout + millis(100));
    let second = rig.take(&peer);
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].payload, first[0].payload);
    assert_eq!(second[0].header.seq, first[0].header.seq);
    peer.ack = peer.ack.wrapping_add(4);
    rig.send(&peer, ACK, &[]);
    rig.pass(seconds(10));
    assert!(rig.take(&peer).is_empty());
    rig.assert_counters(&[
        ("consumed", 3),
        ("tcp_accepted", 1),
        ("tcp_connections", 1),
        ("tcp_retransmits", 1),
    ]);
}

fn a_hole_is_filled<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    let after = Peer {
        seq: peer.seq.wrapping_add(3),
        ..peer
    };
    let replies = rig.send(&after, ACK, b"def");
    assert_eq!((replies.len(), replies[0].header.ack), (1, peer.seq));
    assert!(rig.read(id).is_empty());
    let replies = rig.send(&peer, ACK | Flags::PSH, b"abc");
    assert_eq!(replies[0].header.ack, peer.seq.wrapping_add(6));
    assert_eq!(rig.read(id), b"abcdef");
}

fn the_two_of_a_pair<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (client, peer) = rig.establish(5000);
    rig.send(&peer, ACK, b"through");
    let (backend, peer) = rig.connected();
    assert!(rig.endpoint.pair(client, client).is_none());
    let (from, to) = rig.endpoint.pair(client, backend).unwrap();
    let chunk = from.received().unwrap();
    let len = to.send(Chunk::new(chunk.octets()), &mut rig.lane);
    from.consume(len);
    rig.flush(backend);
    assert_eq!(rig.take(&peer)[0].payload, b"through");
}

/// Nothing arrives between one segment and the next: the timer alone lets paced segments out.
fn paced_segments_leave_without_an_acknowledgment<I: TcpIp>() {
    let options = ConnectionOptions {
        send_buffer: 1 << 16,
        pacing: true,
        ..options(EngineKind::Native)
    };
    let mut rig = Rig::<I>::with(config(), options);
    let mut peer = Peer::client(5000);
    let replies = rig.send(&peer, SYN, &[]);
    rig.pass(millis(100));
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = replies[0].header.seq.wrapping_add(1);
    peer.options = Options::default();
    rig.send(&peer, ACK, &[]);
    let id = rig.accepted.pop().expect("accepted");
    rig.write(id, &[7; 16_000]);
    rig.write(id, &[7; 16_000]);
    rig.write(id, &[7; 16_000]);
    let sent = |segments: &[Sent]| segments.iter().map(|one| one.payload.len()).sum::<usize>();
    let (mut at_once, mut later) = (sent(&rig.take(&peer)), 0);
    // The first ten segments are not paced.
    for _ in 0..2 {
        rig.pass(millis(100));
        peer.ack = peer.ack.wrapping_add((at_once + later) as u32);
        at_once = sent(&rig.send(&peer, ACK, &[]));
        rig.pass(millis(80));
        later = sent(&rig.take(&peer));
    }
    assert!(
        later >= at_once && at_once > 0,
        "{at_once} octets at once, and {later}"
    );
}

#[test]
fn paced_segments_leave_without_an_acknowledgment_over_ipv4() {
    paced_segments_leave_without_an_acknowledgment::<V4>();
}

#[test]
fn paced_segments_leave_without_an_acknowledgment_over_ipv6() {
    paced_segments_leave_without_an_acknowledgment::<V6>();
}
