//! Which segments the native engine believes (RFC 9293 section 3.10.7.4, RFC 7323 section 5).

use super::rig::*;
use crate::drop::DropReason;
use crate::tcp::{EngineKind, State, TcpIp};
use crate::wire::tcp::Timestamps;

ip_tests! {
    an_old_segment_acknowledges_nothing
    answers_to_old_stamps_are_limited
    who_was_given_up_takes_no_more
}

fn native<I: TcpIp>() -> Rig<I> {
    Rig::with(config(), options(EngineKind::Native))
}

/// RFC 9293 section 3.10.7.4: what is not acceptable is answered and dropped, with its ACK.
fn an_old_segment_acknowledges_nothing<I: TcpIp>() {
    let mut rig = native::<I>();
    let (id, mut peer) = rig.establish(5000);
    rig.send(&peer, ACK, b"0123456789");
    assert_eq!(rig.read(id), b"0123456789");
    rig.write(id, b"octets");
    rig.take(&peer);
    peer.ack = peer.ack.wrapping_add(6);
    for back in [0_u32, 100, 1 << 30] {
        let old = Peer {
            seq: peer.seq.wrapping_sub(back),
            ..peer
        };
        let replies = rig.send(&old, ACK, b"01234");
        assert_eq!((replies.len(), replies[0].flags()), (1, ACK), "{back}");
        assert_eq!(rig.endpoint.connection(id).send_queue(), 6, "{back}");
    }
    peer.seq = peer.seq.wrapping_add(10);
    rig.send(&peer, ACK, &[]);
    assert_eq!(rig.endpoint.connection(id).send_queue(), 0);
}

/// Two ends that find each other's stamps old must not answer each other for ever.
fn answers_to_old_stamps_are_limited<I: TcpIp>() {
    let mut rig = native::<I>();
    let mut client = Peer::client(5000);
    let stamps = |value| Some(Timestamps { value, echo: 0 });
    client.options.timestamps = stamps(1_000_000);
    let replies = rig.send(&client, SYN, &[]);
    client.seq = client.seq.wrapping_add(1);
    client.ack = replies[0].header.seq.wrapping_add(1);
    client.options.mss = None;
    rig.send(&client, ACK, &[]);
    client.options.timestamps = stamps(900_000);
    let answers: usize = (0..50).map(|_| rig.send(&client, ACK, &[]).len()).sum();
    assert_eq!(answers, 1);
    assert_eq!(rig.counters.drops(DropReason::TcpPaws), 50);
    // Octets are always answered: whoever sent them waits for that.
    assert_eq!(rig.send(&client, ACK, b"old").len(), 1);
    assert_eq!(rig.send(&client, ACK, b"old").len(), 1);
}

/// RFC 9293 section 3.6.1: octets that nobody will read are answered by a reset.
fn who_was_given_up_takes_no_more<I: TcpIp>() {
    let mut rig = native::<I>();
    let (id, mut peer) = rig.establish(5000);
    rig.close(id);
    assert_eq!(rig.endpoint.connection(id).state(), State::FinWait1);
    rig.release(id);
    assert_eq!(rig.take(&peer)[0].flags(), FIN_ACK);
    peer.ack = peer.ack.wrapping_add(1);
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    let replies = rig.send(&peer, ACK, b"more");
    assert_eq!((replies.len(), replies[0].flags()), (1, RST_ACK));
    rig.assert_empty();
}
