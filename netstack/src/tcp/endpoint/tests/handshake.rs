//! How connections begin, on either side, and how they do not.

use super::manners::Manners;
use super::rig::*;
use crate::ip::NetworkId;
use crate::tcp::endpoint::{ConnectError, ConnectTarget, UnreachableError};
use crate::tcp::{CloseCause, EngineKind, IsnGenerator, State, TcpIp, Timeout};
use crate::time::Instant;
use crate::wire::tcp::{HEADER_LEN, Options};

engine_tests! {
    a_client_gets_our_keyed_number_and_a_clamped_mss
    a_larger_mss_of_the_client_is_clamped
    a_client_without_mss_gets_the_default
    a_repeated_syn_makes_no_second_connection
    a_lost_syn_ack_is_repeated
    half_open_handshakes_are_limited_and_expire
    connections_are_limited
    a_reset_ends_a_handshake
    a_syn_for_nobody_is_reset
    a_backend_answers
    a_backend_refuses
    a_refusal_of_another_syn_is_ignored
    a_forged_answer_does_not_spoil_the_handshake
    a_backend_is_silent
    an_unreachable_backend_is_believed_only_about_our_syn
    closing_what_was_never_open_aborts_it
    ports_run_out_and_come_back
    no_more_listening
}

fn a_client_gets_our_keyed_number_and_a_clamped_mss<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer::client(5000);
    let replies = rig.send(&peer, SYN, &[]);
    let header = replies[0].header;
    let isn = IsnGenerator::new((SECRET[0], SECRET[1]));
    assert_eq!(
        header.seq,
        isn.numbers(NetworkId::BARE, I::flow(peer.flow()), START)
            .iss
    );
    assert_eq!(header.ack, PEER_ISS.wrapping_add(1));
    assert_eq!(
        header.options.mss.map(usize::from),
        Some(MTU - I::HEADER_LEN - HEADER_LEN)
    );
    rig.assert_counters(&[
        ("consumed", 1),
        ("tcp_connections", 1),
        ("tcp_half_open", 1),
    ]);
    let peer = Peer {
        seq: peer.seq.wrapping_add(1),
        ack: header.seq.wrapping_add(1),
        options: Options::default(),
        ..peer
    };
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    let id = rig.accepted[0];
    assert_eq!(rig.endpoint.connection(id).state(), State::Established);
    rig.assert_counters(&[("consumed", 2), ("tcp_accepted", 1), ("tcp_connections", 1)]);
}

fn a_larger_mss_of_the_client_is_clamped<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut client = Peer::client(5000);
    client.options.mss = Some(9000);
    let (id, peer) = rig.establish_as(client);
    rig.write(id, &[1; 4000]);
    let sent = rig.take(&peer);
    assert_eq!(sent[0].payload.len(), MTU - I::HEADER_LEN - HEADER_LEN);

    let mut client = Peer::client(5001);
    client.options.mss = Some(700);
    let (id, peer) = rig.establish_as(client);
    rig.write(id, &[1; 4000]);
    assert_eq!(rig.take(&peer)[0].payload.len(), 700);
}

fn a_client_without_mss_gets_the_default<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut client = Peer::client(5000);
    client.options.mss = None;
    let (id, peer) = rig.establish_as(client);
    rig.write(id, &[1; 4000]);
    let expected = Manners::of(engine).default_mss(I::VERSION);
    assert_eq!(rig.take(&peer)[0].payload.len(), expected);
}

fn a_repeated_syn_makes_no_second_connection<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer::client(5000);
    rig.send(&peer, SYN, &[]);
    let replies = rig.send(&peer, SYN, &[]);
    assert!(replies.iter().all(|sent| !sent.flags().contains(RST)));
    assert_eq!((rig.endpoint.len(), rig.endpoint.half_open), (1, 1));
}

fn a_lost_syn_ack_is_repeated<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer::client(5000);
    let first = rig.send(&peer, SYN, &[]);
    rig.pass(millis(1_100));
    let second = rig.take(&peer);
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].header, first[0].header);
}

fn half_open_handshakes_are_limited_and_expire<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    for sport in 5000..5003 {
        assert_eq!(rig.send(&Peer::client(sport), SYN, &[]).len(), 1);
    }
    // One more is told to come back with a cookie, or is not answered; of neither is anything kept.
    let cookies = Manners::of(engine).cookies;
    let fourth = rig.send(&Peer::client(5003), SYN, &[]);
    assert_eq!(fourth.len(), usize::from(cookies));
    let counted: &[_] = if cookies {
        &[("consumed", 4), ("tcp_cookies_sent", 1)]
    } else {
        &[("consumed", 3), ("drop_tcp_backlog_full", 1)]
    };
    let open = [("tcp_connections", 3), ("tcp_half_open", 3)];
    rig.assert_counters(&[counted, &open].concat());
    rig.pass(seconds(11));
    let expired = [
        ("tcp_handshake_timeouts", 3),
        ("tcp_resets_sent", 3),
        ("tcp_retransmits", 9),
    ];
    rig.assert_counters(&[counted, &expired].concat());
    rig.assert_empty();
    rig.establish(5003);
}

fn connections_are_limited<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    for sport in 5000..5005 {
        rig.establish(sport);
    }
    assert!(rig.send(&Peer::client(5005), SYN, &[]).is_empty());
    rig.connected();
    let target = ConnectTarget::<I> {
        mtu: MTU,
        by: Instant::FAR_FUTURE,
        network: NetworkId::BARE,
        local: address::<I>(2),
        remote: (address::<I>(1), BACKEND_PORT),
    };
    let refused = rig.endpoint.connect(
        rig.now,
        target,
        &std::sync::Arc::new(options(engine)),
        OWNER,
        |_| true,
    );
    assert_eq!(refused, Err(ConnectError::NoConnection));
    rig.assert_counters(&[
        ("consumed", 11),
        ("drop_tcp_connections_full", 1),
        ("tcp_accepted", 5),
        ("tcp_connect_refused", 1),
        ("tcp_connections", 6),
        ("tcp_connects", 1),
    ]);
}

fn a_reset_ends_a_handshake<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut peer = Peer::client(5000);
    rig.send(&peer, SYN, &[]);
    peer.seq = peer.seq.wrapping_add(2);
    assert!(rig.send(&peer, RST, &[]).is_empty(), "not the exact number");
    assert_eq!(rig.endpoint.len(), 1);
    peer.seq = peer.seq.wrapping_sub(1);
    assert!(rig.send(&peer, RST, &[]).is_empty());
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 2),
        ("drop_tcp_reset_not_exact", 1),
        ("tcp_resets_received", 1),
    ]);
}

fn a_syn_for_nobody_is_reset<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer {
        dport: 81,
        ..Peer::client(5000)
    };
    let replies = rig.send(&peer, SYN, &[]);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].flags(), RST_ACK);
    assert_eq!(replies[0].header.seq, 0);
    assert_eq!(replies[0].header.ack, PEER_ISS.wrapping_add(1));
    rig.assert_counters(&[("drop_tcp_no_listener", 1), ("tcp_resets_sent", 1)]);
}

fn a_backend_answers<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.connect();
    let isn = IsnGenerator::new((SECRET[0], SECRET[1]));
    let expected = isn
        .numbers(NetworkId::BARE, I::flow(peer.flow()), START)
        .iss;
    assert_eq!(peer.ack, expected.wrapping_add(1));
    assert_eq!(rig.endpoint.connection(id).state(), State::SynSent);
    assert_eq!(rig.send(&peer, SYN_ACK, &[])[0].flags(), ACK);
    assert!(rig.endpoint.connection(id).is_established());
    assert_eq!(rig.progress, [id]);
    rig.assert_counters(&[("consumed", 1), ("tcp_connections", 1), ("tcp_connects", 1)]);
}

fn a_backend_refuses<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.connect();
    assert!(rig.send(&peer, RST_ACK, &[]).is_empty());
    assert_eq!(
        rig.endpoint.connection(id).ended(),
        Some(CloseCause::Refused)
    );
    rig.release(id);
    rig.assert_empty();
    rig.assert_counters(&[
        ("consumed", 1),
        ("tcp_connects", 1),
        ("tcp_resets_received", 1),
    ]);
}

fn a_refusal_of_another_syn_is_ignored<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.connect();
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, RST_ACK, &[]);
    rig.send(&peer, RST, &[]);
    assert_eq!(rig.endpoint.connection(id).state(), State::SynSent);
    let counted = if Manners::of(engine).says_what_it_refused {
        "drop_tcp_bad_ack"
    } else {
        "consumed"
    };
    rig.assert_counters(&[(counted, 2), ("tcp_connections", 1), ("tcp_connects", 1)]);
}

fn a_forged_answer_does_not_spoil_the_handshake<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.connect();
    let forged = Peer {
        seq: 77,
        ack: peer.ack.wrapping_add(9),
        ..peer
    };
    let replies = rig.send(&forged, SYN_ACK, &[]);
    assert_eq!(replies[0].flags(), RST);
    assert_eq!(replies[0].header.seq, forged.ack);
    rig.send(&peer, SYN_ACK, &[]);
    peer.seq = peer.seq.wrapping_add(1);
    rig.send(&peer, RST, &[]);
    assert_eq!(rig.endpoint.connection(id).ended(), Some(CloseCause::Reset));
}

fn a_backend_is_silent<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.connect();
    rig.pass(seconds(4));
    let again = rig.take(&peer);
    assert_eq!(again.len(), 2, "after 1 s and 3 s");
    assert!(again.iter().all(|sent| sent.flags() == SYN));
    rig.pass(seconds(2));
    let ended = rig.endpoint.connection(id).ended();
    assert_eq!(ended, Some(CloseCause::TimedOut(Timeout::Connect)));
    assert!(rig.progress.contains(&id));
    rig.release(id);
    rig.assert_empty();
    let mut counters = vec![
        ("tcp_connect_timeouts", 1),
        ("tcp_connects", 1),
        ("tcp_retransmits", 2),
    ];
    if Manners::of(engine).resets_syn_sent {
        counters.push(("tcp_resets_sent", 1));
    }
    rig.assert_counters(&counters);
}

fn an_unreachable_backend_is_believed_only_about_our_syn<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.connect();
    let flow = peer.flow();
    let unreachable = |rig: &mut Rig<I>, seq| {
        let error = UnreachableError { seq };
        rig.endpoint
            .handle_unreachable::<I>(NetworkId::BARE, &flow, error)
    };
    assert!(unreachable(&mut rig, peer.ack));
    rig.settle();
    assert_eq!(rig.endpoint.connection(id).ended(), None);
    assert!(unreachable(&mut rig, peer.ack.wrapping_sub(1)));
    rig.settle();
    let ended = rig.endpoint.connection(id).ended();
    assert_eq!(ended, Some(CloseCause::Unreachable));
    assert_eq!(rig.progress, [id]);
    rig.release(id);
    rig.assert_empty();
    assert!(!unreachable(&mut rig, 0));

    let (id, peer) = rig.connected();
    let error = UnreachableError { seq: peer.ack };
    let flow = peer.flow();
    rig.endpoint
        .handle_unreachable::<I>(NetworkId::BARE, &flow, error);
    assert_eq!(rig.endpoint.connection(id).ended(), None, "transient");
}

fn closing_what_was_never_open_aborts_it<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, _) = rig.connect();
    rig.close(id);
    let ended = rig.endpoint.connection(id).ended();
    assert_eq!(ended, Some(CloseCause::Aborted));
    rig.release(id);
    rig.assert_empty();
}

fn ports_run_out_and_come_back<I: TcpIp>(engine: EngineKind) {
    let mut config = config();
    config.source_ports = 40_000..=40_003;
    let mut rig = Rig::<I>::with(config, options(engine));
    let (first, _) = rig.connect();
    rig.connect();
    let target = ConnectTarget::<I> {
        mtu: MTU,
        by: Instant::FAR_FUTURE,
        network: NetworkId::BARE,
        local: address::<I>(2),
        remote: (address::<I>(1), BACKEND_PORT),
    };
    let none = rig.endpoint.connect(
        rig.now,
        target,
        &std::sync::Arc::new(options(engine)),
        OWNER,
        |_| true,
    );
    assert_eq!(none, Err(ConnectError::NoPort));
    let port = rig.endpoint.flow(first).local().port();
    rig.endpoint.connection(first).abort();
    rig.release(first);
    rig.lane.sent.clear();
    let (again, _) = rig.connect();
    assert_eq!(rig.endpoint.flow(again).local().port(), port);
    let other = ConnectTarget {
        by: Instant::FAR_FUTURE,
        remote: (address::<I>(1), BACKEND_PORT + 1),
        ..target
    };
    let other = rig.endpoint.connect(
        rig.now,
        other,
        &std::sync::Arc::new(options(engine)),
        OWNER,
        |_| true,
    );
    assert!(other.is_ok(), "ports are counted for each remote end");
}

fn no_more_listening<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.endpoint.stop_listening();
    assert_eq!(rig.send(&Peer::client(5001), SYN, &[])[0].flags(), RST_ACK);
    rig.send(&peer, ACK, b"still here");
    assert_eq!(rig.read(id), b"still here");
}
