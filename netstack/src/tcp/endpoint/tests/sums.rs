//! What native connections do is in the worker's counters.

use super::rig::*;
use crate::counters::Event;
use crate::tcp::endpoint::ConnId;
use crate::tcp::{ConnectionOptions, EngineKind, TcpIp};
use crate::wire::tcp::{Options, SackBlocks};

ip_tests! {
    a_peer_that_wants_tiny_segments_is_counted
    probes_and_timeouts_are_counted
    recoveries_are_counted
    buffers_held_are_shown
}

fn established<I: TcpIp>(change: impl FnOnce(&mut Peer)) -> (Rig<I>, ConnId, Peer) {
    let options = ConnectionOptions {
        send_buffer: 1 << 16,
        ..options(EngineKind::Native)
    };
    let mut rig = Rig::<I>::with(config(), options);
    let mut client = Peer::client(5000);
    change(&mut client);
    let (id, peer) = rig.establish_as(client);
    (rig, id, peer)
}

fn a_peer_that_wants_tiny_segments_is_counted<I: TcpIp>() {
    let (mut rig, id, peer) = established::<I>(|client| client.options.mss = Some(8));
    rig.write(id, &[7; 300]);
    assert_eq!(rig.take(&peer)[0].payload.len(), 100);
    assert_eq!(rig.counters.event(Event::TcpSmallMss), 1);
    let (mut rig, id, _) = established::<I>(|client| client.options.mss = Some(100));
    rig.write(id, &[7; 300]);
    assert_eq!(rig.counters.event(Event::TcpSmallMss), 0);
}

fn probes_and_timeouts_are_counted<I: TcpIp>() {
    let (mut rig, id, mut peer) = established::<I>(|client| {
        client.options.sack_permitted = true;
    });
    rig.write(id, &[7; 500]);
    rig.pass(seconds(2));
    rig.lane.sent.clear();
    assert!(rig.counters.event(Event::TcpTimeouts) >= 1);
    assert!(rig.counters.event(Event::TcpLossProbes) <= 1);
    // All acknowledged, and the window closes.
    peer.ack = peer.ack.wrapping_add(500);
    peer.window = 0;
    rig.send(&peer, ACK, &[]);
    assert_eq!(rig.counters.event(Event::TcpWindowProbes), 0);
    rig.write(id, &[7; 500]);
    rig.pass(seconds(2));
    assert!(rig.counters.event(Event::TcpWindowProbes) >= 1);
}

fn recoveries_are_counted<I: TcpIp>() {
    let (mut rig, id, peer) = established::<I>(|client| {
        client.options.sack_permitted = true;
    });
    rig.write(id, &[7; 9000]);
    let sent = rig.take(&peer);
    assert!(sent.len() > 4);
    rig.pass(millis(50));
    // All but the first arrived.
    let (left, last) = (sent[1].header.seq, sent.last().unwrap());
    let right = last.header.seq.wrapping_add(last.payload.len() as u32);
    let mut sack_blocks = SackBlocks::default();
    assert!(sack_blocks.push(left, right));
    let report = Peer {
        options: Options {
            sack_blocks,
            ..Options::default()
        },
        ..peer
    };
    rig.send(&report, ACK, &[]);
    rig.pass(millis(50));
    assert_eq!(rig.counters.event(Event::TcpRecoveries), 1);
    assert_eq!(rig.counters.event(Event::TcpRecoveriesUndone), 0);
}

fn buffers_held_are_shown<I: TcpIp>() {
    let (mut rig, id, mut peer) = established::<I>(|_| {});
    let shown = |rig: &mut Rig<I>| {
        rig.endpoint.handle_timeouts(rig.now);
        rig.counters.event(Event::TcpBuffersHeld)
    };
    rig.send(&peer, ACK, b"a question");
    assert_eq!(shown(&mut rig), 1);
    rig.read(id);
    rig.write(id, &[7; 1000]);
    assert_eq!(shown(&mut rig), 1);
    peer.seq = peer.seq.wrapping_add(10);
    peer.ack = peer.ack.wrapping_add(1000);
    rig.send(&peer, ACK, &[]);
    assert_eq!(shown(&mut rig), 0);
}

#[test]
fn an_entry_is_small() {
    let size = size_of::<super::super::Entry<crate::io::mem::MemBuf>>();
    assert!(size <= 144, "{size}");
}
