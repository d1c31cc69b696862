//! Floods of SYNs, and the honest clients among them.

use super::rig::*;
use crate::counters::Event;
use crate::drop::DropReason;
use crate::tcp::endpoint::EndpointConfig;
use crate::tcp::{ConnectionOptions, EngineKind, State, TcpIp};
use crate::wire::tcp::{Flags, HEADER_LEN, Options, Timestamps};

ip_tests! {
    an_honest_client_gets_through_a_flood
    a_flood_leaves_nothing_behind
    without_time_stamps_there_is_a_plain_connection
    what_the_listener_does_not_use_is_not_agreed_on
    octets_on_the_returning_segment_are_taken_in
    forged_and_old_cookies_are_reset
    time_stamps_do_not_go_back
    the_limit_of_connections_holds
    smoltcp_has_no_cookies
}

fn native() -> ConnectionOptions {
    ConnectionOptions {
        receive_buffer: 1 << 20,
        ecn: true,
        ..options(EngineKind::Native)
    }
}

/// An endpoint whose two half-open handshakes are taken.
fn flooded<I: TcpIp>() -> Rig<I> {
    flooded_with(native())
}

fn flooded_with<I: TcpIp>(options: ConnectionOptions) -> Rig<I> {
    let config = EndpointConfig {
        syn_backlog: 2,
        ..config()
    };
    let mut rig = Rig::<I>::with(config, options);
    for sport in [6000, 6001] {
        assert_eq!(rig.send(&Peer::client(sport), SYN, &[]).len(), 1);
    }
    rig
}

fn client() -> Peer {
    let mut peer = Peer::client(5000);
    peer.options = Options {
        mss: Some(1460),
        window_scale: Some(3),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 9, echo: 0 }),
        ..Options::default()
    };
    peer
}

/// The client after our SYN-ACK.
fn answered(peer: &Peer, answer: &Sent) -> Peer {
    let timestamps = answer.header.options.timestamps.map(|stamps| Timestamps {
        value: 10,
        echo: stamps.value,
    });
    Peer {
        seq: peer.seq.wrapping_add(1),
        ack: answer.header.seq.wrapping_add(1),
        options: Options {
            timestamps,
            ..Options::default()
        },
        ..*peer
    }
}

fn an_honest_client_gets_through_a_flood<I: TcpIp>() {
    let mut rig = flooded::<I>();
    let client = client();
    let asks = Flags::SYN | Flags::ECE | Flags::CWR;
    let answer = rig.send(&client, asks, &[]).remove(0);
    assert_eq!(answer.flags(), SYN_ACK | Flags::ECE);
    let said = answer.header.options;
    assert_eq!(said.window_scale, Some(5));
    assert!(said.sack_permitted && said.timestamps.is_some());
    assert_eq!(
        said.mss.map(usize::from),
        Some(MTU - I::HEADER_LEN - HEADER_LEN)
    );
    assert_eq!(rig.endpoint.len(), 2, "nothing is kept");
    rig.pass(millis(70));
    let mut peer = answered(&client, &answer);
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    let id = rig.accepted.pop().expect("accepted");
    assert_eq!(rig.endpoint.connection(id).state(), State::Established);
    let info = rig.endpoint.connection(id).info(rig.now);
    assert_eq!(info.snd_wnd, 10_000 << 3);
    // Table values at most; 12 octets are the time stamps'.
    let mss = if I::VERSION == 4 { 1460 } else { 1440 };
    assert_eq!(info.smss, mss - 12);
    // SACK is in use: a gap is reported.
    peer.seq = peer.seq.wrapping_add(100);
    let replies = rig.send(&peer, ACK, b"later");
    assert_eq!(replies[0].header.options.sack_blocks.as_slice().len(), 1);
    assert_eq!(rig.counters.event(Event::TcpCookiesSent), 1);
    assert_eq!(rig.counters.event(Event::TcpCookiesAccepted), 1);
    assert_eq!(rig.counters.event(Event::TcpAccepted), 1);
    assert_eq!(rig.endpoint.half_open(), 2);
}

fn a_flood_leaves_nothing_behind<I: TcpIp>() {
    let mut rig = flooded::<I>();
    for sport in 10_000..15_000 {
        let peer = Peer { sport, ..client() };
        assert_eq!(rig.send(&peer, SYN, &[]).len(), 1);
    }
    assert_eq!(rig.endpoint.len(), 2);
    assert_eq!(rig.counters.event(Event::TcpCookiesSent), 5000);
    assert_eq!(rig.counters.drops(DropReason::TcpBacklogFull), 0);
    rig.pass(seconds(11));
    rig.assert_empty();
}

fn without_time_stamps_there_is_a_plain_connection<I: TcpIp>() {
    let mut rig = flooded::<I>();
    let mut client = client();
    client.options.timestamps = None;
    client.options.mss = Some(1300);
    let answer = rig.send(&client, SYN, &[]).remove(0);
    let said = answer.header.options;
    assert_eq!((said.window_scale, said.timestamps), (None, None));
    assert!(!said.sack_permitted);
    let peer = answered(&client, &answer);
    assert!(rig.send(&peer, ACK, &[]).is_empty());
    let id = rig.accepted.pop().expect("accepted");
    let info = rig.endpoint.connection(id).info(rig.now);
    assert_eq!((info.snd_wnd, info.smss), (10_000, 1220));
}

fn what_the_listener_does_not_use_is_not_agreed_on<I: TcpIp>() {
    for (sack, timestamps) in [(false, true), (true, false)] {
        let mut rig = flooded_with::<I>(ConnectionOptions {
            sack,
            timestamps,
            ..native()
        });
        let client = client();
        let answer = rig.send(&client, SYN, &[]).remove(0);
        let said = answer.header.options;
        assert!(!said.sack_permitted, "no room for it without time stamps");
        assert_eq!(said.timestamps.is_some(), timestamps);
        assert_eq!(said.window_scale.is_some(), timestamps);
        let mut peer = answered(&client, &answer);
        if !timestamps {
            // A client that stamps its segments all the same is let in.
            let stamps = Timestamps { value: 10, echo: 1 };
            peer.options.timestamps = Some(stamps);
        }
        assert!(rig.send(&peer, ACK, &[]).is_empty());
        let id = rig.accepted.pop().expect("accepted");
        let info = rig.endpoint.connection(id).info(rig.now);
        let shift = if timestamps { 3 } else { 0 };
        assert_eq!(info.snd_wnd, 10_000 << shift);
        peer.seq = peer.seq.wrapping_add(100);
        let gap = rig.send(&peer, ACK, b"later").remove(0).header.options;
        assert!(gap.sack_blocks.as_slice().is_empty());
        assert_eq!(gap.timestamps.is_some(), timestamps);
    }
}

fn octets_on_the_returning_segment_are_taken_in<I: TcpIp>() {
    let mut rig = flooded::<I>();
    let client = client();
    let answer = rig.send(&client, SYN, &[]).remove(0);
    // The bare acknowledgment was lost; the request comes first.
    let peer = answered(&client, &answer);
    rig.send(&peer, ACK, b"request");
    let id = rig.accepted.pop().expect("accepted");
    assert_eq!(rig.read(id), b"request");
    assert_eq!(rig.write(id, b"answer"), 6);
    let sent = rig.take(&peer);
    assert_eq!(sent.last().unwrap().payload, b"answer");
    assert_eq!(sent.last().unwrap().header.ack, peer.seq.wrapping_add(7));
}

fn forged_and_old_cookies_are_reset<I: TcpIp>() {
    let mut rig = flooded::<I>();
    let client = client();
    let answer = rig.send(&client, SYN, &[]).remove(0);
    let peer = answered(&client, &answer);
    let mut forged = [peer; 4];
    forged[0].ack = peer.ack.wrapping_add(1);
    forged[1].seq = peer.seq.wrapping_add(1);
    forged[2].sport = 5001;
    forged[3].options.timestamps = Some(Timestamps {
        value: 10,
        echo: answer.header.options.timestamps.unwrap().value ^ 1 << 31,
    });
    for forged in &forged {
        let replies = rig.send(forged, ACK, &[]);
        assert_eq!((replies.len(), replies[0].flags()), (1, RST));
    }
    assert_eq!(rig.counters.event(Event::TcpCookiesRefused), 4);
    rig.pass(seconds(127));
    rig.lane.sent.clear();
    let replies = rig.send(&peer, ACK, &[]);
    assert_eq!(replies[0].flags(), RST);
    assert_eq!(rig.counters.event(Event::TcpCookiesRefused), 5);
    // After the last cookie has run out, nobody looks for any.
    rig.pass(seconds(2));
    rig.lane.sent.clear();
    rig.send(&peer, ACK, &[]);
    assert_eq!(rig.counters.event(Event::TcpCookiesRefused), 5);
    assert_eq!(rig.counters.event(Event::TcpCookiesAccepted), 0);
}

fn time_stamps_do_not_go_back<I: TcpIp>() {
    for wait in 0..70 {
        let mut rig = flooded::<I>();
        rig.pass(millis(wait));
        let client = client();
        let answer = rig.send(&client, SYN, &[]).remove(0);
        let peer = answered(&client, &answer);
        rig.send(&peer, ACK, b"request");
        let id = rig.accepted.pop().expect("accepted");
        rig.write(id, b"answer");
        let stamp = |sent: &Sent| sent.header.options.timestamps.unwrap().value;
        let sent = rig.take(&peer);
        let later = stamp(sent.last().unwrap()).wrapping_sub(stamp(&answer));
        assert!(later < 64, "after {wait} ms: {later}");
    }
}

fn the_limit_of_connections_holds<I: TcpIp>() {
    let mut rig = flooded::<I>();
    for sport in 5001..=5004 {
        let client = Peer { sport, ..client() };
        let Some(answer) = rig.send(&client, SYN, &[]).pop() else {
            assert_eq!(sport, 5004, "two in their handshake, three open");
            continue;
        };
        rig.send(&answered(&client, &answer), ACK, &[]);
    }
    assert_eq!(rig.accepted.len(), 3);
    assert_eq!(rig.counters.drops(DropReason::TcpConnectionsFull), 1);
}

fn smoltcp_has_no_cookies<I: TcpIp>() {
    let config = EndpointConfig {
        syn_backlog: 1,
        ..config()
    };
    let mut rig = Rig::<I>::with(config, options(EngineKind::Smoltcp));
    rig.send(&Peer::client(6000), SYN, &[]);
    assert!(rig.send(&client(), SYN, &[]).is_empty());
    assert_eq!(rig.counters.drops(DropReason::TcpBacklogFull), 1);
}
