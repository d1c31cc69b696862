//! How connections end.

use super::manners::Manners;
use super::rig::*;
use crate::tcp::{CloseCause, EngineKind, State, TcpIp};

engine_tests! {
    we_close_first
    the_peer_closes_first
    both_close_at_once
    data_with_the_last_fin_is_acknowledged
    a_fin_outlives_repeated_acknowledgments
    unread_octets_survive_time_wait
    unread_octets_survive_last_ack
    a_reset_makes_unread_octets_unreadable
    an_abort_is_a_reset
    segments_after_an_abort_are_reset
    a_panic_takes_one_connection_only
    a_panic_while_nothing_arrives_is_told
}

fn we_close_first<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    let fin = rig.take(&peer);
    assert_eq!((fin.len(), fin[0].flags()), (1, FIN_ACK));
    assert!(rig.endpoint.connection(id).send_closed());
    assert_eq!(rig.endpoint.connection(id).state(), State::FinWait1);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, ACK, b"still talking");
    assert_eq!(rig.endpoint.connection(id).state(), State::FinWait2);
    assert_eq!(rig.read(id), b"still talking");
    peer.seq = peer.seq.wrapping_add(13);
    rig.lane.sent.clear();
    let last = rig.send(&peer, FIN_ACK, &[]);
    assert_eq!((last.len(), last[0].flags()), (1, ACK));
    assert_eq!(last[0].header.ack, peer.seq.wrapping_add(1));
    let connection = rig.endpoint.connection(id);
    assert_eq!(connection.state(), State::TimeWait);
    assert_eq!(connection.ended(), Some(CloseCause::Finished));
    assert!(connection.receive_finished());
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 4),
        ("tcp_accepted", 1),
        ("tcp_time_wait_entries", 1),
    ]);
}

fn the_peer_closes_first<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    let mut replies = rig.send(&peer, FIN_ACK, b"bye");
    rig.pass(Manners::of(engine).delayed_ack);
    replies.extend(rig.take(&peer));
    peer.seq = peer.seq.wrapping_add(4);
    assert_eq!(replies.pop().unwrap().header.ack, peer.seq);
    assert!(replies.is_empty(), "{replies:?}");
    assert_eq!(rig.endpoint.connection(id).state(), State::CloseWait);
    assert!(!rig.endpoint.connection(id).receive_finished());
    assert_eq!(rig.read(id), b"bye");
    assert!(rig.endpoint.connection(id).receive_finished());
    rig.write(id, b"wait");
    peer.ack = peer.ack.wrapping_add(4);
    assert_eq!(rig.take(&peer)[0].payload, b"wait");
    rig.send(&peer, ACK, &[]);
    rig.close(id);
    assert_eq!(rig.take(&peer)[0].flags(), FIN_ACK);
    rig.release(id);
    peer.ack = peer.ack.wrapping_add(1);
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    rig.assert_empty();
    rig.assert_counters(&[("consumed", 5), ("tcp_accepted", 1)]);
}

fn both_close_at_once<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    rig.lane.sent.clear();
    let replies = rig.send(&peer, FIN_ACK, &[]);
    assert_eq!(rig.endpoint.connection(id).state(), State::Closing);
    assert_eq!(replies[0].header.ack, peer.seq.wrapping_add(1));
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = peer.ack.wrapping_add(1);
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    assert_eq!(rig.endpoint.connection(id).state(), State::TimeWait);
    rig.release(id);
    rig.assert_empty();
    assert!(
        rig.send(&peer, ACK, &[]).is_empty(),
        "it may be in TIME-WAIT too"
    );
}

fn data_with_the_last_fin_is_acknowledged<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    rig.release(id);
    rig.lane.sent.clear();
    peer.ack = peer.ack.wrapping_add(1);
    let replies = rig.send(&peer, FIN_ACK, b"last words");
    assert_eq!(replies.len(), 1, "nobody is left to send it later");
    assert_eq!(replies[0].header.ack, peer.seq.wrapping_add(11));
    rig.assert_empty();
}

fn a_fin_outlives_repeated_acknowledgments<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    rig.lane.sent.clear();
    for _ in 0..5 {
        rig.send(&peer, ACK, &[]);
    }
    let ahead = Peer {
        seq: peer.seq.wrapping_add(7),
        ..peer
    };
    for _ in 0..5 {
        rig.send(&ahead, ACK, &[]);
    }
    rig.pass(Manners::of(engine).timeout + millis(100));
    let again = rig.take(&peer);
    assert_eq!((again.len(), again[0].flags()), (1, FIN_ACK));
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, ACK, &[]);
    assert_eq!(rig.endpoint.connection(id).state(), State::FinWait2);
}

fn unread_octets_survive_time_wait<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, FIN_ACK, b"read me later");
    for _ in 0..8 {
        rig.pass(seconds(4));
        rig.flush(id);
        rig.send(&peer, ACK, &[]);
        let again = Peer {
            seq: peer.seq.wrapping_add(14),
            ..peer
        };
        rig.send(&again, ACK, &[]);
        rig.send(&again, RST, &[]);
    }
    assert_eq!(rig.endpoint.connection(id).state(), State::TimeWait);
    assert_eq!(rig.read(id), b"read me later");
    assert!(rig.endpoint.connection(id).receive_finished());
    rig.release(id);
    rig.assert_empty();
}

fn unread_octets_survive_last_ack<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.send(&peer, FIN_ACK, b"read me later");
    rig.close(id);
    peer.seq = peer.seq.wrapping_add(14);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, ACK, &[]);
    let connection = rig.endpoint.connection(id);
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(connection.ended(), Some(CloseCause::Finished));
    rig.pass(seconds(60));
    assert_eq!(rig.read(id), b"read me later");
    assert!(rig.endpoint.connection(id).receive_finished());
    rig.release(id);
    rig.assert_empty();
}

fn a_reset_makes_unread_octets_unreadable<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.send(&peer, ACK, b"half of it");
    peer.seq = peer.seq.wrapping_add(10);
    rig.send(&peer, RST, &[]);
    let connection = rig.endpoint.connection(id);
    assert_eq!(connection.ended(), Some(CloseCause::Reset));
    assert!(connection.received().is_none());
    assert!(!connection.receive_finished());
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 4),
        ("tcp_accepted", 1),
        ("tcp_resets_received", 1),
    ]);
}

fn an_abort_is_a_reset<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.send(&peer, ACK, b"unread");
    rig.endpoint.connection(id).abort();
    rig.release(id);
    let sent = rig.take(&peer);
    assert_eq!((sent.len(), sent[0].flags()), (1, RST_ACK));
    assert_eq!(sent[0].header.seq, peer.ack);
    rig.assert_empty();
    rig.assert_counters(&[("consumed", 3), ("tcp_accepted", 1), ("tcp_resets_sent", 1)]);
}

fn segments_after_an_abort_are_reset<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.endpoint.connection(id).abort();
    rig.flush(id);
    rig.lane.sent.clear();
    let replies = rig.send(&peer, ACK, b"too late");
    assert_eq!((replies.len(), replies[0].flags()), (1, RST));
    assert_eq!(replies[0].header.seq, peer.ack);
    rig.release(id);
    rig.assert_empty();
}

fn a_panic_takes_one_connection_only<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    let (other, other_peer) = rig.establish(5001);
    rig.endpoint.connection(id).panic_on_next_segment();
    let replies = rig.send(&peer, ACK, b"boom");
    assert_eq!((replies.len(), replies[0].flags()), (1, RST));
    assert_eq!(replies[0].header.seq, peer.ack);
    let connection = rig.endpoint.connection(id);
    assert_eq!(connection.ended(), Some(CloseCause::EnginePanic));
    assert!(connection.received().is_none());
    assert_eq!(rig.write(id, b"x"), 0);
    rig.close(id);
    rig.send(&other_peer, ACK, b"fine");
    assert_eq!(rig.read(other), b"fine");
    rig.release(id);
    assert_eq!(rig.endpoint.len(), 1);
    rig.assert_counters(&[
        ("consumed", 5),
        ("drop_tcp_engine_panic", 1),
        ("tcp_accepted", 2),
        ("tcp_connections", 1),
        ("tcp_engine_panics", 1),
        ("tcp_resets_sent", 1),
    ]);
}

fn a_panic_while_nothing_arrives_is_told<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.endpoint.connection(id).panic_now();
    rig.release(id);
    let sent = rig.take(&peer);
    assert_eq!((sent.len(), sent[0].flags()), (1, RST_ACK));
    assert_eq!(
        (sent[0].header.seq, sent[0].header.ack),
        (peer.ack, peer.seq)
    );
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 2),
        ("tcp_accepted", 1),
        ("tcp_engine_panics", 1),
        ("tcp_resets_sent", 1),
    ]);
}
