//! Segments that follow one another, handed in together; and octets passed on as a whole.

use std::collections::VecDeque;

use super::rig::*;
use crate::io::mem::MemBuf;
use crate::ip::NetworkId;
use crate::tcp::endpoint::Arrival;
use crate::tcp::{ConnectionOptions, EngineKind, Run, Segment, TcpIp};
use crate::wire::tcp::Flags;

engine_tests! {
    a_run_does_what_its_segments_do_one_by_one
    a_run_that_is_none_does_no_harm
    what_is_left_of_a_run_for_nobody_is_given_back
    what_a_session_attends_to_is_no_event
    octets_are_passed_on
}

/// A run in a queue.
struct Queued(VecDeque<Segment<MemBuf>>);

impl Run<MemBuf> for Queued {
    fn peek(&self) -> Option<&Segment<MemBuf>> {
        self.0.front()
    }

    fn take(&mut self) -> Option<Segment<MemBuf>> {
        self.0.pop_front()
    }
}

/// Segments of `peer`, by what is added to its sequence number, their flags and lengths.
type Segments = [(u32, Flags, usize)];

fn queued<I: TcpIp>(peer: &Peer, segments: &Segments) -> Queued {
    let made = segments.iter().map(|&(offset, flags, len)| {
        let peer = Peer {
            seq: peer.seq.wrapping_add(offset),
            ..*peer
        };
        let octets: Vec<u8> = (0..len)
            .map(|at| offset.wrapping_add(at as u32) as u8)
            .collect();
        received_segment::<I>(&segment_between::<I>((1, 2), &peer, flags, &octets))
    });
    Queued(made.collect())
}

/// Hands a run in, and returns how many segments were left.
fn hand_in<I: TcpIp>(rig: &mut Rig<I>, peer: &Peer, mut run: Queued) -> usize {
    let arrival = Arrival::<I> {
        now: rig.now,
        network: NetworkId::BARE,
        flow: peer.flow(),
        guess: None,
        elsewhere: false,
        mtu: 1500,
    };
    let first = run.take().unwrap();
    let taken = rig
        .endpoint
        .handle_run(arrival, first, &mut run, &mut rig.lane);
    taken.unwrap();
    run.0.len()
}

/// What came of segments: what was read, sent and counted.
type Outcome = (Vec<u8>, Vec<Sent>, Vec<(String, u64)>);

fn outcome<I: TcpIp>(engine: EngineKind, segments: &Segments, together: bool) -> Outcome {
    let options = ConnectionOptions {
        receive_buffer: 4096,
        ..options(engine)
    };
    let mut rig = Rig::<I>::with(config(), options);
    let (id, peer) = rig.establish(5000);
    if together {
        assert_eq!(hand_in(&mut rig, &peer, queued::<I>(&peer, segments)), 0);
    } else {
        for segment in segments {
            hand_in(&mut rig, &peer, queued::<I>(&peer, &[*segment]));
        }
    }
    rig.settle();
    let mut sent = rig.take(&peer);
    let read = rig.read(id);
    rig.pass(millis(300));
    sent.extend(rig.take(&peer));
    rig.endpoint.handle_timeouts(rig.now);
    (read, sent, rig.counters.non_zero())
}

fn assert_the_same<I: TcpIp>(engine: EngineKind, segments: &Segments) {
    let together = outcome::<I>(engine, segments, true);
    let alone = outcome::<I>(engine, segments, false);
    assert_eq!(together.0, alone.0, "{segments:?}");
    assert_eq!(together.1, alone.1, "{segments:?}");
    assert_eq!(together.2, alone.2, "{segments:?}");
}

fn a_run_does_what_its_segments_do_one_by_one<I: TcpIp>(engine: EngineKind) {
    let run = [(0, ACK, 1000), (1000, ACK, 1000), (2000, ACK, 300)];
    let (read, ..) = outcome::<I>(engine, &run, true);
    let expected: Vec<u8> = (0..2300_u32).map(|at| at as u8).collect();
    assert_eq!(read, expected);
    assert_the_same::<I>(engine, &run);
    // More than the window takes, and small pieces that are put together.
    let beyond: Vec<_> = (0..6).map(|nth| (nth * 1000, ACK, 1000)).collect();
    assert_the_same::<I>(engine, &beyond);
    let small: Vec<_> = (0..30).map(|nth| (nth * 10, ACK, 10)).collect();
    assert_the_same::<I>(engine, &small);
    // The first came before, in part or as a whole, or there is a gap before it.
    for first in [0_u32.wrapping_sub(1000), 0_u32.wrapping_sub(500), 700] {
        let run: Vec<_> = (0..3)
            .map(|nth| (first.wrapping_add(nth * 1000), ACK, 1000))
            .collect();
        assert_the_same::<I>(engine, &run);
    }
}

/// Whoever finds runs makes sure of what they are; the connection looks all the same.
fn a_run_that_is_none_does_no_harm<I: TcpIp>(engine: EngineKind) {
    assert_the_same::<I>(engine, &[(0, ACK, 500), (900, ACK, 100), (500, ACK, 400)]);
    assert_the_same::<I>(engine, &[(0, ACK, 500), (0, ACK, 500), (500, ACK, 9)]);
    assert_the_same::<I>(engine, &[(1 << 20, ACK, 9), (0, ACK, 9), (9, ACK, 9)]);
}

fn what_is_left_of_a_run_for_nobody_is_given_back<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let peer = Peer::client(5000);
    let run = queued::<I>(&peer, &[(0, ACK, 9), (9, ACK, 9), (18, ACK, 9)]);
    assert_eq!(hand_in(&mut rig, &peer, run), 2);
}

fn what_a_session_attends_to_is_no_event<I: TcpIp>(engine: EngineKind) {
    let mut rig = Rig::<I>::new(engine);
    let (id, mut peer) = rig.establish(5000);
    rig.progress.clear();
    rig.inject(&peer, ACK, b"abc").unwrap();
    rig.endpoint.attend(id);
    assert_eq!(rig.read(id), b"abc");
    rig.settle();
    assert!(rig.progress.is_empty());
    // Nothing that comes after that is overlooked.
    peer.seq = peer.seq.wrapping_add(3);
    rig.inject(&peer, ACK, b"def").unwrap();
    rig.endpoint.attend(id);
    peer.seq = peer.seq.wrapping_add(3);
    rig.inject(&peer, ACK, b"ghi").unwrap();
    rig.settle();
    assert_eq!(rig.progress, [id]);
    assert_eq!(rig.read(id), b"defghi");
    // Nor that there was no buffer to send with.
    rig.write(id, b"jkl");
    rig.lane.sent.clear();
    rig.lane.blocked = true;
    rig.pass(seconds(3));
    rig.endpoint.attend(id);
    rig.flush(id);
    rig.lane.blocked = false;
    rig.pass(millis(5));
    assert_eq!(rig.take(&peer).len(), 1);
}

fn octets_are_passed_on<I: TcpIp>(engine: EngineKind) {
    for other in [EngineKind::Native, EngineKind::Smoltcp] {
        let mut rig = Rig::<I>::new(engine);
        let (from, mut peer) = rig.establish(5000);
        rig.become_engine(other);
        let (to, backend) = rig.connected();
        let mut passed = Vec::new();
        for nth in 0..10_u8 {
            rig.send(&peer, ACK, &[nth; 700]);
            peer.seq = peer.seq.wrapping_add(700);
            let (a, b) = rig.endpoint.pair(from, to).unwrap();
            assert_eq!(
                a.pass_to(b, &mut rig.lane),
                700.min(4096 - passed.len() as u64)
            );
            rig.lane.sent.clear();
            passed.extend([nth; 700]);
            passed.truncate(4096);
            if passed.len() == 4096 {
                break;
            }
        }
        let (a, b) = rig.endpoint.pair(from, to).unwrap();
        assert_eq!(a.pass_to(b, &mut rig.lane), 0, "there is no room");
        assert_eq!(b.send_queue(), 4096);
        assert!(a.received().is_some(), "what has no room stays");
        rig.flush(to);
        let sent: Vec<u8> = rig
            .take(&backend)
            .into_iter()
            .flat_map(|sent| sent.payload)
            .collect();
        assert_eq!(sent[..], passed[..sent.len()]);
        assert!(sent.len() >= 1400);
    }
}
