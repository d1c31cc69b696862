//! What a connection tells of itself: rates, and what it spends its time on.

use core::time::Duration;

use super::rig::*;
use crate::counters::Event;
use crate::tcp::endpoint::ConnId;
use crate::tcp::{ConnectionOptions, EngineKind, Info, TcpIp};
use crate::wire::tcp::{Options, SackBlocks};

ip_tests! {
    the_delivery_rate_is_what_arrives
    times_say_what_limits
    room_for_all_that_is_passed_on_ends_the_wait_for_it
    late_segments_are_told_and_counted
}

const SEND_BUFFER: usize = 8000;

fn established<I: TcpIp>() -> (Rig<I>, ConnId, Peer) {
    let options = ConnectionOptions {
        send_buffer: SEND_BUFFER,
        ..options(EngineKind::Native)
    };
    let mut rig = Rig::<I>::with(config(), options);
    let mut client = Peer::client(5000);
    client.options.mss = Some(1000);
    client.options.sack_permitted = true;
    client.window = 60_000;
    let (id, peer) = rig.establish_as(client);
    (rig, id, peer)
}

fn info<I: TcpIp>(rig: &mut Rig<I>, id: ConnId) -> Info {
    rig.endpoint.connection(id).info(rig.now)
}

fn acknowledge<I: TcpIp>(rig: &mut Rig<I>, peer: &mut Peer, octets: u32) {
    rig.take(peer);
    peer.ack = peer.ack.wrapping_add(octets);
    rig.send(peer, ACK, &[]);
}

fn the_delivery_rate_is_what_arrives<I: TcpIp>() {
    let (mut rig, id, mut peer) = established::<I>();
    assert_eq!(info(&mut rig, id).delivery_rate, 0);
    rig.write(id, &[7; 5000]);
    rig.pass(millis(100));
    acknowledge(&mut rig, &mut peer, 5000);
    // The session could have sent more, had it had more.
    let seen = info(&mut rig, id);
    assert_eq!((seen.delivery_rate, seen.app_limited), (50_000, true));
    // Of what the session limits, only what is faster counts.
    for (wait, shown) in [(10, 100_000), (40, 100_000)] {
        rig.write(id, &[7; 1000]);
        rig.pass(millis(wait));
        acknowledge(&mut rig, &mut peer, 1000);
        assert_eq!(info(&mut rig, id).delivery_rate, shown);
    }
}

fn times_say_what_limits<I: TcpIp>() {
    let (mut rig, id, mut peer) = established::<I>();
    rig.pass(seconds(1));
    assert_eq!(info(&mut rig, id).times.busy, Duration::ZERO);
    // Nothing but the path.
    rig.write(id, &[7; 3000]);
    rig.pass(millis(100));
    acknowledge(&mut rig, &mut peer, 3000);
    // The session has more than there is room for.
    assert!(rig.write(id, &[7; 2 * SEND_BUFFER]) < 2 * SEND_BUFFER);
    rig.pass(millis(50));
    acknowledge(&mut rig, &mut peer, SEND_BUFFER as u32);
    // The peer closes its window.
    peer.window = 0;
    rig.send(&peer, ACK, &[]);
    rig.write(id, &[7; 1000]);
    rig.pass(millis(40));
    peer.window = 60_000;
    rig.take(&peer);
    rig.send(&peer, ACK, &[]);
    rig.pass(millis(5));
    acknowledge(&mut rig, &mut peer, 1000);
    rig.pass(seconds(1));
    let times = info(&mut rig, id).times;
    assert_eq!(times.buffer_limited, millis(50));
    assert_eq!(times.window_limited, millis(40));
    assert_eq!(times.busy, millis(100 + 50 + 40 + 5));
}

/// What passes by whole payloads says whether there was room, as what is written does.
fn room_for_all_that_is_passed_on_ends_the_wait_for_it<I: TcpIp>() {
    let (mut rig, to, mut peer) = established::<I>();
    rig.write(to, &[7; SEND_BUFFER - 3000]);
    rig.take(&peer);
    let (from, mut source) = rig.establish(5001);
    for _ in 0..4 {
        rig.inject(&source, ACK, &[7; 1000]).unwrap();
        source.seq = source.seq.wrapping_add(1000);
    }
    let pass = |rig: &mut Rig<I>| {
        let (a, b) = rig.endpoint.pair(from, to).unwrap();
        let moved = a.pass_to(b, &mut rig.lane);
        rig.flush(from);
        rig.flush(to);
        rig.lane.sent.clear();
        moved
    };
    assert_eq!(pass(&mut rig), 3000);
    rig.pass(millis(50));
    acknowledge(&mut rig, &mut peer, SEND_BUFFER as u32);
    assert_eq!(pass(&mut rig), 1000);
    rig.pass(millis(40));
    acknowledge(&mut rig, &mut peer, 1000);
    let times = info(&mut rig, to).times;
    assert_eq!(times.buffer_limited, millis(50));
    assert_eq!(times.busy, millis(50 + 40));
}

fn late_segments_are_told_and_counted<I: TcpIp>() {
    let (mut rig, id, mut peer) = established::<I>();
    rig.write(id, &[7; 5000]);
    rig.pass(millis(20));
    rig.take(&peer);
    assert_eq!(info(&mut rig, id).reordering, 0);
    // The fourth arrives before the second and third.
    let mut sack_blocks = SackBlocks::default();
    let at = |offset| peer.ack.wrapping_add(offset);
    assert!(sack_blocks.push(at(3000), at(4000)));
    let options = Options {
        sack_blocks,
        ..Options::default()
    };
    let report = Peer {
        ack: at(1000),
        options,
        ..peer
    };
    rig.send(&report, ACK, &[]);
    assert_eq!(rig.counters.event(Event::TcpReordered), 0);
    acknowledge(&mut rig, &mut peer, 5000);
    assert_eq!(info(&mut rig, id).reordering, 3);
    assert_eq!(rig.counters.event(Event::TcpReordered), 1);
}
