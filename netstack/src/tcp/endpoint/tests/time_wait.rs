//! TIME-WAIT without a connection, and the rest of source ports.

use super::manners::Manners;
use super::rig::*;
use crate::counters::Event;
use crate::ip::NetworkId;
use crate::tcp::endpoint::{ConnectTarget, EndpointConfig};
use crate::tcp::{ConnectError, ConnectionOptions, EngineKind, IsnGenerator, TcpIp, seq};
use crate::time::Instant;
use crate::wire::tcp::{Options, Timestamps};

engine_tests! {
    a_late_fin_is_acknowledged_again
    an_answer_has_the_stamps_that_were_agreed_on
    a_reset_does_not_end_it
    a_plain_ack_is_not_answered
    a_new_syn_reopens_the_flow
    an_old_syn_does_not
    a_full_backlog_does_not_keep_a_known_client_out
    a_refused_syn_leaves_it
    it_expires
    a_late_fin_renews_it
    a_port_rests_before_it_is_used_again
}

// smoltcp sends no time stamps.
ip_tests! {
    a_newer_time_stamp_reopens_whatever_the_number
    an_older_time_stamp_does_not_reopen
    time_stamps_go_on_while_it_rests
    our_new_connection_goes_on_from_the_old_clock
}

/// A client whose connection we closed first; its next segment as after its FIN.
fn in_time_wait<I: TcpIp>(rig: &mut Rig<I>) -> Peer {
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, FIN_ACK, &[]);
    peer.seq = peer.seq.wrapping_add(1);
    rig.release(id);
    rig.assert_empty();
    peer
}

fn a_late_fin_is_acknowledged_again<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut peer = in_time_wait(&mut rig);
    peer.seq = peer.seq.wrapping_sub(1);
    let replies = rig.send(&peer, FIN_ACK, &[]);
    assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
    assert_eq!(replies[0].header.seq, peer.ack);
    assert_eq!(replies[0].header.ack, peer.seq.wrapping_add(1));
    rig.assert_counters(&[
        ("consumed", 3),
        ("drop_tcp_time_wait", 1),
        ("tcp_accepted", 1),
        ("tcp_challenge_acks", 1),
        ("tcp_time_wait_entries", 1),
    ]);
}

/// RFC 7323 section 3.2: a peer that agreed on time stamps takes no segment without.
fn an_answer_has_the_stamps_that_were_agreed_on<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let stamped = |value, echo| Options {
        timestamps: Some(Timestamps { value, echo }),
        ..Options::default()
    };
    let mut client = Peer::client(5000);
    client.options.timestamps = stamped(70, 0).timestamps;
    let replies = rig.send(&client, SYN, &[]);
    let ours = replies[0].header.options.timestamps;
    assert_eq!(ours.is_some(), Manners::of(engine).timestamps);
    let stamp = ours.map_or(0, |stamps| stamps.value);
    let mut peer = Peer {
        seq: client.seq.wrapping_add(1),
        ack: replies[0].header.seq.wrapping_add(1),
        options: stamped(71, stamp),
        ..client
    };
    rig.send(&peer, ACK, &[]);
    let id = rig.accepted[0];
    rig.close(id);
    peer.ack = peer.ack.wrapping_add(1);
    peer.options = stamped(72, stamp);
    rig.send(&peer, FIN_ACK, &[]);
    rig.release(id);
    rig.assert_empty();

    rig.pass(seconds(2));
    peer.options = stamped(73, stamp);
    let answer = rig.send(&peer, FIN_ACK, &[])[0].header;
    let expected = ours.map(|first| Timestamps {
        value: first.value.wrapping_add(2_000),
        echo: 73,
    });
    assert_eq!(answer.options.timestamps, expected);
}

fn a_reset_does_not_end_it<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = in_time_wait(&mut rig);
    assert!(rig.send(&peer, RST, &[]).is_empty());
    assert!(rig.send(&peer, RST_ACK, &[]).is_empty());
    rig.assert_counters(&[
        ("consumed", 3),
        ("drop_tcp_time_wait", 2),
        ("tcp_accepted", 1),
        ("tcp_time_wait_entries", 1),
    ]);
}

fn a_plain_ack_is_not_answered<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut peer = in_time_wait(&mut rig);
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    assert_eq!(rig.send(&peer, ACK, b"data").len(), 1);
    peer.seq = peer.seq.wrapping_sub(1);
    assert_eq!(rig.send(&peer, ACK, &[]).len(), 1, "a keepalive");
}

fn a_new_syn_reopens_the_flow<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = in_time_wait(&mut rig);
    let old_snd_nxt = peer.ack;
    let again = Peer {
        seq: peer.seq,
        ..Peer::client(5000)
    };
    let (id, peer) = rig.establish_as(again);
    assert!(seq::lt(old_snd_nxt, peer.ack.wrapping_sub(1)));
    rig.send(&peer, ACK, b"again");
    assert_eq!(rig.read(id), b"again");
    rig.assert_counters(&[
        ("consumed", 6),
        ("tcp_accepted", 2),
        ("tcp_connections", 1),
        ("tcp_time_wait_reused", 1),
    ]);
}

fn an_old_syn_does_not<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = in_time_wait(&mut rig);
    let old = Peer {
        seq: peer.seq.wrapping_sub(1),
        ..Peer::client(5000)
    };
    let replies = rig.send(&old, SYN, &[]);
    assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
    assert_eq!(replies[0].header.ack, peer.seq);
    assert!(rig.endpoint.is_empty());
}

fn a_full_backlog_does_not_keep_a_known_client_out<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = in_time_wait(&mut rig);
    for sport in 6000..6003 {
        rig.send(&Peer::client(sport), SYN, &[]);
    }
    assert_eq!(rig.endpoint.half_open(), config().syn_backlog);
    let again = Peer {
        seq: peer.seq,
        ..Peer::client(5000)
    };
    let (_, again) = rig.establish_as(again);
    assert!(seq::lt(peer.ack, again.ack), "after the old numbers");
    assert_eq!(rig.counters.event(Event::TcpTimeWaitReused), 1);
    assert_eq!(rig.counters.event(Event::TcpCookiesSent), 0);
    assert_eq!(rig.endpoint.half_open(), config().syn_backlog);
}

fn a_refused_syn_leaves_it<I: TcpIp>(engine: EngineKind) {
    let config = EndpointConfig {
        max_accepted: 3,
        ..config()
    };
    let mut rig = Rig::<I>::with(config, options(engine));
    let peer = in_time_wait(&mut rig);
    for sport in 6000..6003 {
        rig.send(&Peer::client(sport), SYN, &[]);
    }
    let again = Peer {
        seq: peer.seq,
        ..Peer::client(5000)
    };
    assert!(rig.send(&again, SYN, &[]).is_empty());
    rig.endpoint.handle_timeouts(rig.now);
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 1);
    assert_eq!(rig.counters.event(Event::TcpTimeWaitReused), 0);
}

fn it_expires<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut peer = in_time_wait(&mut rig);
    rig.pass(seconds(59));
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 1);
    rig.pass(seconds(1));
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 0);
    assert_eq!(rig.endpoint.poll_timeout(), None);
    peer.seq = peer.seq.wrapping_sub(1);
    assert_eq!(rig.send(&peer, FIN_ACK, &[])[0].flags(), RST);
}

fn a_late_fin_renews_it<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let mut peer = in_time_wait(&mut rig);
    rig.pass(seconds(30));
    peer.seq = peer.seq.wrapping_sub(1);
    for _ in 0..20 {
        rig.send(&peer, FIN_ACK, &[]);
    }
    assert_eq!(rig.counters.event(Event::TcpChallengeAcks), 10, "a limit");
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEvicted), 0);
    rig.pass(seconds(59));
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 1);
    rig.pass(seconds(1));
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 0);
}

fn a_port_rests_before_it_is_used_again<I: TcpIp>(engine: EngineKind) {
    let mut config = config();
    config.source_ports = 40_000..=40_001;
    let mut rig = Rig::<I>::with(config, options(engine));
    let (id, mut peer) = rig.connected();
    rig.close(id);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, FIN_ACK, &[]);
    rig.release(id);
    rig.assert_empty();
    let target = ConnectTarget::<I> {
        mtu: MTU,
        by: Instant::FAR_FUTURE,
        network: NetworkId::BARE,
        local: address::<I>(2),
        remote: (address::<I>(1), BACKEND_PORT),
    };
    rig.pass(millis(900));
    let early = rig.endpoint.connect(
        rig.now,
        target,
        &std::sync::Arc::new(options(engine)),
        OWNER,
        |_| true,
    );
    assert_eq!(early, Err(ConnectError::NoPort));
    rig.pass(millis(100));
    let (_, again) = rig.connect();
    assert_eq!(again.dport, peer.dport);
    let isn = IsnGenerator::new((SECRET[0], SECRET[1]));
    let iss = isn
        .numbers(NetworkId::BARE, I::flow(again.flow()), rig.now)
        .iss;
    assert_eq!(again.ack, iss.wrapping_add(1));
    assert!(seq::lt(peer.ack, again.ack));
}

/// The peer with a clock.
fn stamped(peer: Peer, value: u32, echo: u32) -> Peer {
    let options = Options {
        timestamps: Some(Timestamps { value, echo }),
        ..peer.options
    };
    Peer { options, ..peer }
}

fn native() -> ConnectionOptions {
    options(EngineKind::Native)
}

/// The same as [`in_time_wait`], with the native engine and time stamps; the peer's newest is 100.
/// Also returns our newest.
fn stamped_in_time_wait<I: TcpIp>(rig: &mut Rig<I>) -> (Peer, u32) {
    let syn = stamped(Peer::client(5000), 90, 0);
    let answer = rig.send(&syn, SYN, &[]).remove(0).header;
    let ours = answer.options.timestamps.expect("a time stamp").value;
    let mut peer = stamped(Peer::client(5000), 95, ours);
    peer.options.mss = None;
    peer.seq = peer.seq.wrapping_add(1);
    peer.ack = answer.seq.wrapping_add(1);
    rig.send(&peer, ACK, &[]);
    let id = rig.accepted.pop().expect("accepted");
    rig.close(id);
    peer.ack = peer.ack.wrapping_add(1);
    peer = stamped(peer, 100, ours);
    rig.send(&peer, FIN_ACK, &[]);
    peer.seq = peer.seq.wrapping_add(1);
    rig.release(id);
    rig.assert_empty();
    (peer, ours)
}

fn a_newer_time_stamp_reopens_whatever_the_number<I: TcpIp>() {
    for (value, offset) in [(101, 0), (101, 1 << 30), (101, 1 << 31), (100, 0), (100, 9)] {
        let mut rig = Rig::<I>::with(config(), native());
        let (peer, ours) = stamped_in_time_wait(&mut rig);
        rig.pass(millis(5));
        let again = Peer {
            seq: peer.seq.wrapping_add(offset),
            ..stamped(Peer::client(5000), value, 0)
        };
        let replies = rig.send(&again, SYN, &[]);
        assert_eq!((replies.len(), replies[0].flags()), (1, SYN_ACK));
        assert!(seq::lt(peer.ack, replies[0].header.seq));
        let stamps = replies[0].header.options.timestamps.unwrap();
        assert_eq!((stamps.value.wrapping_sub(ours), stamps.echo), (5, value));
        assert_eq!(rig.counters.event(Event::TcpTimeWaitReused), 1);
    }
}

fn an_older_time_stamp_does_not_reopen<I: TcpIp>() {
    // By the clock, although the number is new; and in the same tick, by the number.
    for (value, offset) in [(99, 1000), (100, u32::MAX)] {
        let mut rig = Rig::<I>::with(config(), native());
        let (peer, _) = stamped_in_time_wait(&mut rig);
        let old = Peer {
            seq: peer.seq.wrapping_add(offset),
            ..stamped(Peer::client(5000), value, 0)
        };
        let replies = rig.send(&old, SYN, &[]);
        assert_eq!((replies.len(), replies[0].flags()), (1, ACK));
        assert!(rig.endpoint.is_empty());
    }
    // Without a clock, the number decides.
    let mut rig = Rig::<I>::with(config(), native());
    let (peer, _) = stamped_in_time_wait(&mut rig);
    let plain = Peer {
        seq: peer.seq,
        ..Peer::client(5000)
    };
    assert_eq!(rig.send(&plain, SYN, &[])[0].flags(), SYN_ACK);
}

fn time_stamps_go_on_while_it_rests<I: TcpIp>() {
    let mut rig = Rig::<I>::with(config(), native());
    let (peer, ours) = stamped_in_time_wait(&mut rig);
    rig.pass(seconds(30));
    // The FIN again, from before: it is acknowledged and renews nothing (RFC 7323 section 5.3).
    let mut fin = Peer {
        seq: peer.seq.wrapping_sub(1),
        ..stamped(peer, 99, ours)
    };
    let stamps = |sent: &[Sent]| sent[0].header.options.timestamps.unwrap();
    let replies = rig.send(&fin, FIN_ACK, &[]);
    assert_eq!(stamps(&replies).value.wrapping_sub(ours), 30_000);
    assert_eq!(stamps(&replies).echo, 100);
    // Without a time stamp it is nobody's.
    fin.options = Options::default();
    assert!(rig.send(&fin, FIN_ACK, &[]).is_empty());
    // An old acknowledgment is answered, a new one is not; an RST never.
    assert_eq!(rig.send(&stamped(peer, 99, ours), ACK, &[]).len(), 1);
    assert!(rig.send(&stamped(peer, 101, ours), ACK, &[]).is_empty());
    assert!(rig.send(&stamped(peer, 101, ours), RST, &[]).is_empty());
    rig.pass(seconds(29));
    // The FIN sent again lately renews it.
    let fin = Peer {
        seq: peer.seq.wrapping_sub(1),
        ..stamped(peer, 130, ours)
    };
    assert_eq!(stamps(&rig.send(&fin, FIN_ACK, &[])).echo, 130);
    rig.pass(seconds(50));
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 1);
    rig.pass(seconds(11));
    assert_eq!(rig.counters.event(Event::TcpTimeWaitEntries), 0);
}

fn our_new_connection_goes_on_from_the_old_clock<I: TcpIp>() {
    let mut config = config();
    config.source_ports = 40_000..=40_001;
    let mut rig = Rig::<I>::with(config, native());
    let target = ConnectTarget::<I> {
        mtu: MTU,
        by: Instant::FAR_FUTURE,
        network: NetworkId::BARE,
        local: address::<I>(2),
        remote: (address::<I>(1), BACKEND_PORT),
    };
    let options = std::sync::Arc::new(native());
    let connect = |rig: &mut Rig<I>| {
        let id = rig
            .endpoint
            .connect(rig.now, target, &options, OWNER, |_| true)?;
        let dport = rig.endpoint.flow(id).local().port();
        rig.flush(id);
        let peer = Peer {
            sport: BACKEND_PORT,
            dport,
            ..Peer::client(BACKEND_PORT)
        };
        let syn = rig.take(&peer).remove(0).header;
        Ok::<_, ConnectError>((id, peer, syn))
    };
    let (id, mut peer, syn) = connect(&mut rig).unwrap();
    let ours = syn.options.timestamps.unwrap().value;
    peer = stamped(peer, 100, ours);
    peer.ack = syn.seq.wrapping_add(1);
    rig.send(&peer, SYN_ACK, &[]);
    peer.seq = peer.seq.wrapping_add(1);
    peer.options.mss = None;
    rig.close(id);
    peer.ack = peer.ack.wrapping_add(1);
    rig.send(&peer, FIN_ACK, &[]);
    rig.release(id);
    rig.lane.sent.clear();
    assert_eq!(connect(&mut rig).unwrap_err(), ConnectError::NoPort);
    rig.pass(seconds(1));
    let (_, again, syn) = connect(&mut rig).unwrap();
    assert_eq!(again.dport, peer.dport);
    assert!(seq::lt(peer.ack, syn.seq));
    let later = syn.options.timestamps.unwrap().value.wrapping_sub(ours);
    assert_eq!(later, 1000, "the backend sees a newer time stamp");
    assert_eq!(rig.counters.event(Event::TcpTimeWaitReused), 1);
}
