//! When there is no buffer to send with.

use super::manners::Manners;
use super::rig::*;
use crate::drop::DropReason;
use crate::tcp::endpoint::EndpointConfig;
use crate::tcp::{CloseCause, ConnectionOptions, EngineKind, TcpIp, Timeout};

ip_tests! { what_connections_hold_is_bounded }

engine_tests! {
    data_waits_for_buffers
    a_handshake_waits_for_buffers
    a_fast_retransmission_waits_for_buffers
    an_abort_waits_for_buffers
    a_lost_answer_is_counted
    deadlines_pass_without_buffers
}

fn data_waits_for_buffers<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.lane.blocked = true;
    let written = rig.write(id, b"patience");
    rig.pass(millis(500));
    assert!(rig.take(&peer).is_empty());
    rig.lane.blocked = false;
    if Manners::of(engine).writing_takes_buffers {
        // Nothing is under way whose acknowledgment would tell the session to try again.
        assert_eq!((written, rig.progress.as_slice()), (0, &[id][..]));
        rig.write(id, b"patience");
    }
    rig.pass(millis(2));
    let sent = rig.take(&peer);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].payload, b"patience");
    peer.ack = peer.ack.wrapping_add(8);
    rig.send(&peer, ACK, &[]);
    rig.assert_counters(&[("consumed", 3), ("tcp_accepted", 1), ("tcp_connections", 1)]);
    assert_eq!(rig.lane.lost, 0);
}

fn a_handshake_waits_for_buffers<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    rig.lane.blocked = true;
    let peer = Peer::client(5000);
    assert!(rig.send(&peer, SYN, &[]).is_empty());
    rig.lane.blocked = false;
    rig.pass(millis(2));
    let sent = rig.take(&peer);
    assert_eq!((sent.len(), sent[0].flags()), (1, SYN_ACK));
}

fn a_fast_retransmission_waits_for_buffers<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    // So many that the duplicates cannot be made up: no more than there are segments under way.
    for _ in 0..5 {
        rig.write(id, &[5; 220]);
    }
    rig.lane.sent.clear();
    rig.lane.blocked = true;
    for _ in 0..4 {
        rig.send(&peer, ACK, &[]);
    }
    rig.lane.blocked = false;
    rig.pass(millis(2));
    let sent = rig.take(&peer);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header.seq, peer.ack);
    rig.pass(seconds(3));
    assert!(!rig.take(&peer).is_empty(), "and it is repeated");
    peer.ack = peer.ack.wrapping_add(1100);
    rig.send(&peer, ACK, &[]);
    assert_eq!(rig.endpoint.connection(id).send_queue(), 0);
}

fn an_abort_waits_for_buffers<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.lane.blocked = true;
    rig.endpoint.connection(id).abort();
    rig.release(id);
    rig.pass(millis(100));
    assert_eq!(rig.endpoint.len(), 1);
    rig.lane.blocked = false;
    rig.pass(millis(2));
    assert_eq!(rig.take(&peer)[0].flags(), RST_ACK);
    rig.assert_empty();
}

fn a_lost_answer_is_counted<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, peer) = rig.establish(5000);
    rig.lane.blocked = true;
    let after = Peer {
        seq: peer.seq.wrapping_add(3),
        ..peer
    };
    assert!(rig.send(&after, ACK, b"def").is_empty());
    let waits = Manners::of(engine).answers_wait;
    let lost = u32::from(!waits);
    assert_eq!(rig.lane.lost, lost, "the ACK that asks for what is missing");
    rig.lane.blocked = false;
    rig.pass(millis(2));
    let late = rig.take(&peer);
    assert_eq!(late.len(), usize::from(waits));
    assert!(late.iter().all(|sent| sent.header.ack == peer.seq));
    rig.send(&peer, ACK, b"abc");
    assert_eq!(rig.read(id), b"abcdef");
}

fn deadlines_pass_without_buffers<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, _) = rig.establish(5000);
    rig.lane.blocked = true;
    rig.write(id, b"nobody will hear this");
    rig.pass(seconds(301));
    assert_eq!(
        rig.endpoint.connection(id).ended(),
        Some(CloseCause::TimedOut(Timeout::Idle))
    );
    rig.release(id);
    rig.lane.blocked = false;
    rig.pass(millis(2));
    rig.assert_empty();
}

/// Windows that were offered before there were so many connections are worth more than there is.
fn what_connections_hold_is_bounded<I: TcpIp>() {
    let config = EndpointConfig {
        buffers: 8,
        ..config()
    };
    let options = ConnectionOptions {
        receive_buffer: 1 << 16,
        ..options(EngineKind::Native)
    };
    let mut rig = Rig::<I>::with(config, options);
    let (id, peer) = rig.establish(5000);
    let segment = |nth: u32| Peer {
        seq: peer.seq.wrapping_add(nth * 1000),
        ..peer
    };
    for nth in 0..20 {
        rig.send(&segment(nth), ACK, &[7; 1000]);
    }
    assert_eq!(rig.endpoint.context.buffers_held(), 8);
    assert_eq!(rig.counters.drops(DropReason::TcpNoMemory), 12);
    let mut read = rig.read(id).len();
    for nth in 8..20 {
        rig.send(&segment(nth), ACK, &[7; 1000]);
        read += rig.read(id).len();
    }
    assert_eq!(read, 20_000);
}
