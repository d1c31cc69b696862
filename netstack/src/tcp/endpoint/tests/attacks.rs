//! Peers that finish a handshake and then misbehave: what it gets them, and that it is counted.
//! Floods of SYNs are in `cookies`, strangers in `forged`.

use super::rig::*;
use crate::counters::Event;
use crate::drop::DropReason;
use crate::tcp::endpoint::{ConnId, EndpointConfig};
use crate::tcp::{CloseCause, ConnectionOptions, EngineKind, TcpIp, Timeout};
use crate::wire::tcp::{Options, SackBlocks};

ip_tests! {
    acknowledgments_in_pieces_gain_nothing
    acknowledging_ahead_is_refused
    lying_sack_blocks_are_counted
    gaps_are_bounded
    windows_of_an_octet_are_served_slowly
}

engine_tests! { who_never_reads_is_given_up }

fn established<I: TcpIp>(options: ConnectionOptions) -> (Rig<I>, ConnId, Peer) {
    let mut rig = Rig::<I>::with(config(), options);
    let mut client = Peer::client(5000);
    client.options.mss = Some(1000);
    client.options.sack_permitted = true;
    client.window = 60_000;
    let (id, peer) = rig.establish_as(client);
    (rig, id, peer)
}

fn native() -> ConnectionOptions {
    ConnectionOptions {
        send_buffer: 1 << 16,
        receive_buffer: 1 << 16,
        ..options(EngineKind::Native)
    }
}

fn with_blocks(peer: Peer, pairs: &[(u32, u32)]) -> Peer {
    let mut sack_blocks = SackBlocks::default();
    for (left, right) in pairs {
        let at = |offset| peer.ack.wrapping_add(offset);
        assert!(sack_blocks.push(at(*left), at(*right)));
    }
    let options = Options {
        sack_blocks,
        ..Options::default()
    };
    Peer { options, ..peer }
}

/// RFC 3465: the window grows by what is acknowledged, not by how often.
fn acknowledgments_in_pieces_gain_nothing<I: TcpIp>() {
    let cwnd_after = |pieces: u32| {
        let (mut rig, id, mut peer) = established::<I>(native());
        rig.write(id, &[7; 16_000]);
        for _ in 0..4 * pieces {
            peer.ack = peer.ack.wrapping_add(1000 / pieces);
            rig.send(&peer, ACK, &[]);
        }
        let divided = rig.counters.event(Event::TcpDividedAcks);
        assert_eq!(divided, 4 * u64::from(pieces - 1));
        rig.endpoint.connection(id).info(rig.now).cwnd
    };
    let whole = cwnd_after(1);
    assert!(cwnd_after(10) <= whole);
    assert!(cwnd_after(500) <= whole);
}

/// RFC 5961 section 5: what was not sent cannot be acknowledged, and the window does not grow.
fn acknowledging_ahead_is_refused<I: TcpIp>() {
    let (mut rig, id, peer) = established::<I>(native());
    rig.write(id, &[7; 16_000]);
    let sent = rig.take(&peer).len() as u32 * 1000;
    let before = rig.endpoint.connection(id).info(rig.now);
    let ahead = Peer {
        ack: peer.ack.wrapping_add(sent + 1),
        ..peer
    };
    rig.send(&ahead, ACK, &[]);
    let after = rig.endpoint.connection(id).info(rig.now);
    assert_eq!((after.cwnd, after.outstanding), (before.cwnd, sent));
    assert_eq!(rig.counters.drops(DropReason::TcpBadAck), 1);
}

fn lying_sack_blocks_are_counted<I: TcpIp>() {
    let (mut rig, id, peer) = established::<I>(native());
    rig.write(id, &[7; 5000]);
    rig.take(&peer);
    rig.send(&with_blocks(peer, &[(1000, 3000)]), ACK, &[]);
    assert_eq!(rig.counters.event(Event::TcpSackRefused), 0);
    let lies = [(4000, 6000), (90_000, 91_000), (3000, 3000), (2000, 1500)];
    rig.send(&with_blocks(peer, &lies), ACK, &[]);
    assert_eq!(rig.counters.event(Event::TcpSackRefused), 4);
    assert_eq!(rig.endpoint.connection(id).info(rig.now).sacked, 2000);
}

/// Octets with a gap after each: what is kept of them is bounded, in pieces and in buffers.
fn gaps_are_bounded<I: TcpIp>() {
    let config = EndpointConfig {
        buffers: 1 << 12,
        ..config()
    };
    let mut rig = Rig::<I>::with(config, native());
    let (id, peer) = rig.establish(5000);
    for nth in 1..2000 {
        let seq = peer.seq.wrapping_add(nth * 2);
        rig.send(&Peer { seq, ..peer }, ACK, b"x");
    }
    assert!(rig.endpoint.context.buffers_held() <= 257);
    assert!(rig.counters.drops(DropReason::TcpRefused) >= 1700);
    // What comes next in order is welcome all the same.
    rig.send(&peer, ACK, b"ab");
    assert_eq!(rig.read(id), b"abx");
}

/// RFC 9293 section 3.8.6.2.1: an octet is sent for each timeout, not for each acknowledgment.
fn windows_of_an_octet_are_served_slowly<I: TcpIp>() {
    let (mut rig, id, mut peer) = established::<I>(native());
    peer.window = 1;
    rig.send(&peer, ACK, &[]);
    rig.write(id, &[7; 1000]);
    let mut sent = 0;
    for _ in 0..100 {
        rig.pass(millis(100));
        for segment in rig.take(&peer) {
            sent += 1;
            peer.ack = segment
                .header
                .seq
                .wrapping_add(segment.payload.len() as u32);
            rig.send(&peer, ACK, &[]);
        }
    }
    assert!((1..=50).contains(&sent), "{sent} segments in ten seconds");
    assert!(rig.counters.event(Event::TcpWindowProbes) >= 1);
}

/// A window that stays closed is probed for as long as a session may stand still.
fn who_never_reads_is_given_up<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.write(id, &[7; 1000]);
    rig.take(&peer);
    peer.ack = peer.ack.wrapping_add(1000);
    peer.window = 0;
    rig.send(&peer, ACK, &[]);
    rig.write(id, &[7; 4000]);
    for _ in 0..310 {
        rig.pass(seconds(1));
        if !rig.take(&peer).is_empty() && rig.endpoint.connection(id).ended().is_none() {
            rig.send(&peer, ACK, &[]);
        }
    }
    let ended = rig.endpoint.connection(id).ended();
    assert_eq!(ended, Some(CloseCause::TimedOut(Timeout::Idle)));
    assert_eq!(rig.counters.event(Event::TcpIdleTimeouts), 1);
    rig.release(id);
    rig.assert_empty();
}
