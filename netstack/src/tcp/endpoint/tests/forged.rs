//! Segments that nobody should have sent (RFC 5961), and segments that are nobody's.

use super::manners::Manners;
use super::rig::*;
use crate::counters::Event;
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::tcp::connection::CHALLENGE_INTERVAL;
use crate::tcp::{CloseCause, EngineKind, Misdirected, State, TcpIp};

engine_tests! {
    only_the_exact_number_resets
    a_syn_does_not_disturb
    a_syn_ack_again_is_acknowledged
    an_acknowledgment_of_the_future_is_refused
    a_challenge_offers_what_was_offered
    challenges_are_limited
    strangers_are_reset_at_a_limited_rate
    a_reset_is_never_answered
    another_workers_segment_is_given_back
    our_own_unknown_segment_is_not
}

fn only_the_exact_number_resets<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    for offset in [1, 1000, 4095, 5000, u32::MAX, 1 << 31] {
        let forged = Peer {
            seq: peer.seq.wrapping_add(offset),
            ..peer
        };
        rig.pass(CHALLENGE_INTERVAL);
        let replies = rig.send(&forged, RST, &[]);
        if offset > 4096 {
            // RFC 5961 section 3.2: outside the window there is no answer.
            assert!(replies.is_empty(), "{offset}");
            continue;
        }
        assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
        assert_eq!(replies[0].header.seq, peer.ack);
        assert_eq!(replies[0].header.ack, peer.seq);
    }
    assert_eq!(rig.endpoint.connection(id).state(), State::Established);
    rig.assert_counters(&[
        ("consumed", 2),
        ("drop_tcp_reset_not_exact", 6),
        ("tcp_accepted", 1),
        ("tcp_challenge_acks", 3),
        ("tcp_connections", 1),
    ]);
    assert!(rig.send(&peer, RST, &[]).is_empty());
    assert_eq!(rig.endpoint.connection(id).ended(), Some(CloseCause::Reset));
}

fn a_syn_does_not_disturb<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    for offset in [0, 5, 1 << 30] {
        let forged = Peer {
            seq: peer.seq.wrapping_add(offset),
            ..peer
        };
        rig.pass(CHALLENGE_INTERVAL);
        let replies = rig.send(&forged, SYN, &[]);
        assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
        assert_eq!(replies[0].header.ack, peer.seq);
    }
    rig.send(&peer, ACK, b"on");
    assert_eq!(rig.read(id), b"on");
    assert_eq!(rig.counters.drops(DropReason::TcpSynInConnection), 3);
    // A client that was rebooted learns it this way, and resets.
    assert!(
        rig.send(
            &Peer {
                seq: peer.seq.wrapping_add(2),
                ..peer
            },
            RST,
            &[]
        )
        .is_empty()
    );
    assert_eq!(rig.endpoint.connection(id).ended(), Some(CloseCause::Reset));
}

fn a_syn_ack_again_is_acknowledged<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (_, mut peer) = rig.connected();
    peer.seq = peer.seq.wrapping_sub(1);
    let replies = rig.send(&peer, SYN_ACK, &[]);
    assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
    assert_eq!(replies[0].header.ack, peer.seq.wrapping_add(1));
}

fn an_acknowledgment_of_the_future_is_refused<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut client = Peer::client(5000);
    client.window = 4;
    let (id, mut peer) = rig.establish_as(client);
    rig.write(id, b"12345678");
    assert_eq!(rig.take(&peer)[0].payload, b"1234");
    let forged = Peer {
        ack: peer.ack.wrapping_add(8),
        ..peer
    };
    let replies = rig.send(&forged, ACK, b"injected");
    assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
    assert!(rig.read(id).is_empty());
    assert_eq!(rig.endpoint.connection(id).send_queue(), 8);
    peer.ack = peer.ack.wrapping_add(4);
    assert_eq!(rig.send(&peer, ACK, &[])[0].payload, b"5678");
    rig.assert_counters(&[
        ("consumed", 3),
        ("drop_tcp_bad_ack", 1),
        ("tcp_accepted", 1),
        ("tcp_challenge_acks", 1),
        ("tcp_connections", 1),
    ]);
}

fn a_challenge_offers_what_was_offered<I: TcpIp>(engine: EngineKind) {
    for window_scale in [None, Some(2)] {
        let mut options = options(engine);
        options.receive_buffer = 1 << 18;
        let established = |sport| {
            let mut rig = Rig::<I>::with(config(), options);
            let mut client = Peer::client(sport);
            client.options.window_scale = window_scale;
            let (_, mut peer) = rig.establish_as(client);
            let mut replies = rig.send(&peer, ACK, &[1; 1000]);
            peer.seq = peer.seq.wrapping_add(1000);
            rig.pass(Manners::of(engine).delayed_ack);
            replies.extend(rig.take(&peer));
            let offered = replies.pop().unwrap().header;
            (rig, peer, offered)
        };
        let (mut rig, peer, offered) = established(5000);
        rig.inject(&peer, SYN, &[]).unwrap();
        let challenge = rig.take(&peer).pop().unwrap().header;
        assert!(offered.window > 1000);
        assert_eq!(challenge.window, offered.window, "{window_scale:?}");
        assert_eq!(challenge.ack, offered.ack);

        let (mut rig, peer, offered) = established(5001);
        rig.inject(&peer, ACK, &[1; 1000]).unwrap();
        let syn = Peer {
            seq: peer.seq.wrapping_add(1000),
            ..peer
        };
        rig.inject(&syn, SYN, &[]).unwrap();
        let challenge = rig.take(&peer).pop().unwrap().header;
        assert!(challenge.window < offered.window, "{window_scale:?}");
        assert!(challenge.window > 0);
    }
}

fn challenges_are_limited<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (_, peer) = rig.establish(5000);
    let (_, other) = rig.establish(5001);
    let mut answers = 0;
    for _ in 0..50 {
        answers += rig.send(&peer, SYN, &[]).len();
    }
    assert_eq!(answers, 1);
    // What one connection used up says nothing about another.
    assert_eq!(rig.send(&other, SYN, &[]).len(), 1);
    rig.pass(CHALLENGE_INTERVAL);
    assert_eq!(rig.send(&peer, SYN, &[]).len(), 1);
}

fn strangers_are_reset_at_a_limited_rate<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut peer = Peer::client(5000);
    peer.ack = 4711;
    for _ in 0..15 {
        for reset in rig.send(&peer, ACK, b"who") {
            assert_eq!(reset.flags(), RST);
            assert_eq!(reset.header.seq, 4711);
        }
    }
    rig.assert_counters(&[
        ("drop_tcp_no_connection", 15),
        ("tcp_resets_sent", 10),
        ("tcp_resets_suppressed", 5),
    ]);
}

fn a_reset_is_never_answered<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer::client(5000);
    assert!(rig.send(&peer, RST, &[]).is_empty());
    assert!(rig.send(&peer, RST_ACK, &[]).is_empty());
    rig.assert_counters(&[("drop_tcp_no_connection", 2)]);
}

fn another_workers_segment_is_given_back<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer {
        dport: 40_050,
        ..Peer::client(BACKEND_PORT)
    };
    for flags in [SYN_ACK, ACK, RST, FIN_ACK] {
        let back = rig.inject(&peer, flags, b"yours");
        let Err(Misdirected::Owned { worker, packet }) = back else {
            panic!("{flags:?} was taken for our own: {back:?}");
        };
        assert_eq!(worker, 1);
        assert!(packet.data().ends_with(b"yours"));
        let sent = parse::<I>(packet.data());
        assert_eq!((sent.header.flags, sent.header.seq), (flags, peer.seq));
    }
    assert!(rig.take(&peer).is_empty());
    rig.assert_counters(&[]);
}

fn our_own_unknown_segment_is_not<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer {
        dport: 40_049,
        ..Peer::client(BACKEND_PORT)
    };
    assert_eq!(rig.send(&peer, SYN_ACK, &[])[0].flags(), RST);
    assert_eq!(rig.counters.event(Event::TcpResetsSent), 1);
}
