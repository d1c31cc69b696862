//! Connections that get nowhere.

use super::manners::Manners;
use super::rig::*;
use crate::tcp::Keepalive;
use crate::tcp::endpoint::ConnId;
use crate::tcp::{CloseCause, EngineKind, State, TcpIp, Timeout};

engine_tests! {
    a_peer_that_vanishes_with_data_in_flight
    a_stranger_does_not_speak_for_a_dead_peer
    who_probes_a_closed_window_is_alive
    a_connection_without_progress
    a_half_closed_connection_without_progress
    a_peer_that_never_closes
    a_fin_that_nobody_acknowledges
    keepalives_are_answered
    a_dead_peer_is_found
    a_slow_reader_is_no_dead_peer
}

fn assert_timed_out<I: TcpIp>(rig: &mut Rig<I>, id: ConnId, timeout: Timeout) {
    let ended = rig.endpoint.connection(id).ended();
    assert_eq!(ended, Some(CloseCause::TimedOut(timeout)));
}

fn a_peer_that_vanishes_with_data_in_flight<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.pass(seconds(100));
    rig.write(id, b"anybody there?");
    rig.pass(seconds(19));
    assert_eq!(rig.endpoint.connection(id).ended(), None);
    rig.lane.sent.clear();
    rig.pass(seconds(2));
    assert_timed_out(&mut rig, id, Timeout::User);
    assert_eq!(rig.take(&peer).pop().unwrap().flags(), RST_ACK);
    assert!(rig.progress.contains(&id));
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 2),
        ("tcp_accepted", 1),
        ("tcp_resets_sent", 1),
        (
            "tcp_retransmits",
            Manners::of(engine).timeouts_within(seconds(20)),
        ),
        ("tcp_user_timeouts", 1),
    ]);
}

fn a_stranger_does_not_speak_for_a_dead_peer<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.write(id, b"anybody there?");
    let forged = Peer {
        seq: peer.seq.wrapping_add(1 << 20),
        ..peer
    };
    for _ in 0..21 {
        rig.pass(seconds(1));
        rig.send(&forged, ACK, &[]);
    }
    let ended = rig.endpoint.connection(id).ended();
    if Manners::of(engine).says_what_it_refused {
        assert_eq!(ended, Some(CloseCause::TimedOut(Timeout::User)));
    } else {
        assert_eq!(ended, None);
    }
}

fn who_probes_a_closed_window_is_alive<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    for _ in 0..4 {
        rig.send(&peer, ACK, &[9; 1024]);
        peer.seq = peer.seq.wrapping_add(1024);
    }
    rig.write(id, b"answer");
    peer.ack = peer.ack.wrapping_add(6);
    for _ in 0..6 {
        rig.send(&peer, ACK, b"x");
        rig.pass(seconds(5));
    }
    let connection = rig.endpoint.connection(id);
    assert_eq!(connection.ended(), None);
    let taken = Manners::of(engine).takes_acknowledgments_of_probes;
    assert_eq!(connection.send_queue(), if taken { 0 } else { 6 });
    assert_eq!(rig.read(id).len(), 4096);
}

fn a_connection_without_progress<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.pass(seconds(200));
    rig.send(&peer, ACK, b"x");
    peer.seq = peer.seq.wrapping_add(1);
    rig.pass(seconds(299));
    rig.send(&peer, ACK, &[]);
    assert_eq!(rig.endpoint.connection(id).ended(), None);
    rig.pass(seconds(2));
    assert_timed_out(&mut rig, id, Timeout::Idle);
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 4),
        ("tcp_accepted", 1),
        ("tcp_idle_timeouts", 1),
        ("tcp_resets_sent", 1),
    ]);
}

fn a_half_closed_connection_without_progress<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.send(&peer, FIN_ACK, &[]);
    rig.pass(seconds(59));
    assert_eq!(rig.endpoint.connection(id).state(), State::CloseWait);
    rig.pass(seconds(2));
    assert_timed_out(&mut rig, id, Timeout::HalfClosed);
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 3),
        ("tcp_accepted", 1),
        ("tcp_half_closed_timeouts", 1),
        ("tcp_resets_sent", 1),
    ]);
}

fn a_peer_that_never_closes<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    rig.release(id);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, ACK, &[]);
    rig.pass(seconds(29));
    assert_eq!(rig.endpoint.len(), 1);
    rig.pass(seconds(2));
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 3),
        ("tcp_accepted", 1),
        ("tcp_fin_wait_2_timeouts", 1),
        ("tcp_resets_sent", 1),
    ]);
}

fn a_fin_that_nobody_acknowledges<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, _) = rig.establish(5000);
    rig.close(id);
    rig.release(id);
    rig.pass(seconds(21));
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 2),
        ("tcp_accepted", 1),
        ("tcp_resets_sent", 1),
        (
            "tcp_retransmits",
            Manners::of(engine).timeouts_within(seconds(20)),
        ),
        ("tcp_user_timeouts", 1),
    ]);
}

fn with_keepalive<I: TcpIp>(engine: EngineKind) -> Rig<I> {
    let mut options = options(engine);
    options.keepalive = Some(Keepalive {
        idle: seconds(30),
        interval: seconds(30),
        probes: 9,
    });
    Rig::with(config(), options)
}

fn keepalives_are_answered<I: TcpIp>(engine: EngineKind) {
    let mut rig = with_keepalive::<I>(engine);
    let (id, peer) = rig.establish(5000);
    for _ in 0..9 {
        rig.pass(seconds(31));
        let probes = rig.take(&peer);
        assert_eq!(probes.len(), 1);
        assert_eq!(probes[0].header.seq, peer.ack.wrapping_sub(1));
        assert!(rig.send(&peer, ACK, &[]).is_empty());
    }
    assert_eq!(rig.endpoint.connection(id).ended(), None);
    rig.pass(seconds(31));
    // Answering probes is no progress.
    assert_timed_out(&mut rig, id, Timeout::Idle);
}

fn a_dead_peer_is_found<I: TcpIp>(engine: EngineKind) {
    let mut rig = with_keepalive::<I>(engine);
    let (id, _) = rig.establish(5000);
    rig.pass(seconds(49));
    assert_eq!(rig.endpoint.connection(id).ended(), None);
    rig.pass(seconds(2));
    assert_timed_out(&mut rig, id, Timeout::User);
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 2),
        ("tcp_accepted", 1),
        ("tcp_resets_sent", 1),
        ("tcp_user_timeouts", 1),
    ]);
}

fn a_slow_reader_is_no_dead_peer<I: TcpIp>(engine: EngineKind) {
    let mut rig = with_keepalive::<I>(engine);
    let (id, mut peer) = rig.establish(5000);
    for _ in 0..4 {
        rig.send(&peer, ACK, &[9; 1024]);
        peer.seq = peer.seq.wrapping_add(1024);
    }
    rig.pass(seconds(29));
    rig.lane.sent.clear();
    // The peer has nothing to say to the window update, which is not to be held against it. smoltcp
    // puts the probe off for it.
    assert_eq!(rig.read(id).len(), 4096);
    assert_eq!(rig.take(&peer).len(), 1);
    let mut probes = 0;
    for _ in 0..30 {
        rig.pass(seconds(1));
        for probe in rig.take(&peer) {
            assert_eq!(probe.header.seq, peer.ack.wrapping_sub(1));
            probes += 1;
            rig.send(&peer, ACK, &[]);
        }
        assert_eq!(rig.endpoint.connection(id).ended(), None);
    }
    assert_eq!(probes, 1);
    rig.pass(seconds(20));
    assert_eq!(rig.endpoint.connection(id).ended(), None);
}
