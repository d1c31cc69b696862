//! Two endpoints, a link that loses, delays, reorders and duplicates, and sessions that do
//! anything in any order: what arrives is what was sent, or it is plain that it is not.
//!
//! Every pair of engines meets here, with what connections can be made with drawn at random too. In
//! the end nothing is left of the connections, no buffer is held, and the budget of the worker
//! counts none.

use core::time::Duration;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::*;
use crate::counters;
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, NetworkId, V4, V6};
use crate::tcp::endpoint::{ConnId, ConnectTarget, EndpointConfig, Event};
use crate::tcp::{
    Algorithm, Chunk, CloseCause, ConnectionOptions, EngineKind, PROTOCOL, TcpIp, Timeouts,
};
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// What a session does.
#[derive(Clone, Copy, Debug)]
enum Op {
    Send(u16),
    Consume(u16),
    Close,
    Abort,
    Pause(u16),
    /// From now on there are buffers to send with, or none.
    Buffers(bool),
}

/// How bad the link is.
#[derive(Clone, Copy, Debug)]
struct Weather {
    seed: u64,
    /// Packets lost and duplicated, each of 100.
    lost: u64,
    duplicated: u64,
    /// Packets that follow a lost one and are lost with it, at most.
    burst: u64,
    /// Segments of an attacker for each 100 packets.
    forged: u64,
    /// Nothing is lost any more once the sessions only want to end.
    heals: bool,
    /// Milliseconds that a packet takes: at least, and how much more by chance.
    delay: u64,
    jitter: u64,
}

/// What both ends are made with.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// The engines of the client and of the server.
    engines: [EngineKind; 2],
    /// Octets of their receive and send buffers.
    buffers: [usize; 2],
    /// Packet buffers that the connections of either may hold.
    budget: usize,
    congestion: Algorithm,
    pacing: bool,
    ecn: bool,
}

fn ends(engines: [EngineKind; 2]) -> impl Strategy<Value = Ends> {
    let buffer = || prop_oneof![2 => Just(3000), 2 => Just(8192_usize), 1 => Just(1 << 17)];
    let congestion = prop_oneof![
        Just(Algorithm::NewReno),
        Just(Algorithm::Cubic),
        Just(Algorithm::Bbr)
    ];
    let budget = prop_oneof![3 => Just(200), 1 => Just(64_usize)];
    let buffers = (buffer(), buffer()).prop_map(|(client, server)| [client, server]);
    (buffers, budget, congestion, any::<bool>(), any::<bool>()).prop_map(
        move |(buffers, budget, congestion, pacing, ecn)| Ends {
            engines,
            buffers,
            budget,
            congestion,
            pacing,
            ecn,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1_u16..6000).prop_map(Op::Send),
        1 => (6000_u16..40_000).prop_map(Op::Send),
        6 => (1_u16..6000).prop_map(Op::Consume),
        3 => (0_u16..3000).prop_map(Op::Pause),
        1 => any::<bool>().prop_map(Op::Buffers),
        1 => Just(Op::Close),
    ]
}

fn ops() -> impl Strategy<Value = Vec<(bool, Op)>> {
    let some = vec((any::<bool>(), op()), 0..30);
    let end = prop_oneof![
        4 => Just(None),
        1 => any::<bool>().prop_map(|side| Some((side, Op::Abort))),
    ];
    (some, end).prop_map(|(mut ops, end)| {
        ops.extend(end);
        ops
    })
}

fn weather() -> impl Strategy<Value = Weather> {
    let lost = prop_oneof![1 => Just(0), 3 => 1_u64..16];
    let burst = prop_oneof![2 => Just(0), 1 => 1_u64..6];
    let forged = prop_oneof![2 => Just(0), 1 => 1_u64..100];
    let packets = (lost, 0_u64..20, burst, forged);
    (any::<u64>(), packets, any::<bool>(), 0_u64..100, 0_u64..100).prop_map(
        |(seed, (lost, duplicated, burst, forged), heals, delay, jitter)| Weather {
            seed,
            lost,
            duplicated,
            // A link that loses every third packet is a dead one to timeouts that double.
            burst: if lost * (burst + 1) > 20 { 0 } else { burst },
            forged,
            heals,
            delay,
            jitter,
        },
    )
}

/// One end: its endpoint, its session, and what it saw.
struct End<I: TcpIp> {
    rig: Rig<I>,
    id: Option<ConnId>,
    sent: u32,
    received: u32,
    ended: Option<CloseCause>,
    finishing: bool,
}

struct Link<I: TcpIp> {
    ends: [End<I>; 2],
    now: Instant,
    in_flight: Vec<(Instant, usize, Vec<u8>)>,
    weather: Weather,
    random: u64,
    /// Packets that the ends sent, and how many of them were lost.
    packets: u64,
    lost: u64,
    /// Packets that are still lost in this burst.
    burst: u64,
}

/// The octet at `position` of what `side` sends.
fn octet(side: usize, position: u32) -> u8 {
    (position.wrapping_mul(2_654_435_761) >> 24) as u8 ^ (side as u8)
}

impl<I: TcpIp> Link<I> {
    fn new(made: &Ends, weather: Weather) -> Self {
        let mut config: EndpointConfig = config();
        config.buffers = made.budget;
        // The link is bad, but not dead: only a stack that gets stuck runs into these.
        config.timeouts = Timeouts {
            handshake: seconds(1_000),
            connect: seconds(1_000),
            idle: seconds(1_000),
            half_closed: seconds(1_000),
            fin_wait_2: seconds(1_000),
            user: seconds(1_000),
            time_wait: seconds(900),
        };
        let options = [0, 1].map(|side| ConnectionOptions {
            receive_buffer: made.buffers[side],
            send_buffer: made.buffers[side],
            congestion: made.congestion,
            pacing: made.pacing,
            ecn: made.ecn,
            ..options(made.engines[side])
        });
        let ends = options.map(|options| End {
            rig: Rig::<I>::with(config.clone(), options),
            id: None,
            sent: 0,
            received: 0,
            ended: None,
            finishing: false,
        });
        let mut link = Self {
            ends,
            now: START,
            in_flight: Vec::new(),
            weather,
            random: weather.seed | 1,
            packets: 0,
            lost: 0,
            burst: 0,
        };
        let target = ConnectTarget::<I> {
            mtu: MTU,
            by: Instant::FAR_FUTURE,
            network: NetworkId::BARE,
            local: address::<I>(1),
            remote: (address::<I>(2), LISTEN_PORT),
        };
        let client = &mut link.ends[0];
        let id = client
            .rig
            .endpoint
            .connect(START, target, &Arc::new(options[0]), OWNER, |_| true)
            .unwrap();
        client.id = Some(id);
        client.rig.flush(id);
        link
    }

    fn chance(&mut self, of: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % of.max(1)
    }

    /// Puts what the ends have sent on the link.
    fn carry(&mut self) {
        for side in 0..2 {
            let packets = core::mem::take(&mut self.ends[side].rig.lane.sent);
            for packet in packets {
                self.packets += 1;
                let copies = if self.is_lost() {
                    0
                } else if self.chance(100) < self.weather.duplicated {
                    2
                } else {
                    1
                };
                for _ in 0..copies {
                    let delay = self.weather.delay + self.chance(self.weather.jitter + 1);
                    let at = self.now + Duration::from_millis(delay);
                    self.in_flight.push((at, 1 - side, packet.data().to_vec()));
                }
                if self.chance(100) < self.weather.forged {
                    self.forge(side, packet.data());
                }
            }
        }
    }

    fn is_lost(&mut self) -> bool {
        let begins = self.chance(100) < self.weather.lost;
        if begins {
            // Not in a handshake, which is no more than a burst itself.
            let known = self.ends.iter().all(|end| end.id.is_some());
            let more = if known { self.weather.burst } else { 0 };
            self.burst = 1 + self.chance(more + 1);
        }
        let lost = self.burst > 0;
        self.burst = self.burst.saturating_sub(1);
        self.lost += u64::from(lost);
        lost
    }

    /// Sends a segment with the flow of `packet`, of which the attacker knows no more.
    fn forge(&mut self, side: usize, packet: &[u8]) {
        // Whoever is no connection yet, or no more, has to believe what a stranger says.
        if self.ends.iter().any(|end| end.id.is_none()) {
            return;
        }
        let header = parse::<I>(packet).header;
        let flags = [
            Flags::ACK,
            Flags::RST,
            RST_ACK,
            SYN,
            SYN_ACK,
            FIN_ACK,
            Flags::ACK | Flags::PSH,
        ];
        let mut options = crate::wire::tcp::Options::default();
        if self.chance(2) == 0 {
            let left = self.chance(1 << 32) as u32;
            options.sack_blocks.push(left, left.wrapping_add(1000));
        }
        let forged = Peer {
            sport: header.sport,
            dport: header.dport,
            seq: self.chance(1 << 32) as u32,
            ack: self.chance(1 << 32) as u32,
            window: self.chance(1 << 16) as u16,
            options,
        };
        let payload = vec![0xee; self.chance(3) as usize * 500];
        let flags = flags[self.chance(flags.len() as u64) as usize];
        let to = 1 - side;
        let octets = segment_between::<I>((host(side), host(to)), &forged, flags, &payload);
        self.in_flight.push((self.now, to, octets));
    }

    /// Does everything that is due now.
    fn turn(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self
            .in_flight
            .extract_if(.., |(at, ..)| *at <= now)
            .collect();
        due.sort_by_key(|(at, ..)| *at);
        for (_, to, packet) in due {
            let header = parse::<I>(&packet).header;
            let flow = FiveTuple {
                src: address::<I>(host(1 - to)),
                dst: address::<I>(host(to)),
                sport: header.sport,
                dport: header.dport,
                protocol: PROTOCOL,
            };
            self.ends[to].rig.now = now;
            self.ends[to].rig.deliver(flow, &packet).unwrap();
        }
        for side in 0..2 {
            let end = &mut self.ends[side];
            end.rig.now = now;
            end.rig.endpoint.handle_timeouts(now);
            while let Some(event) = end.rig.endpoint.poll_event(now, &mut end.rig.lane) {
                match event {
                    Event::Accepted { id, .. } => {
                        end.rig.endpoint.claim(id, OWNER);
                        assert!(end.id.is_none() && end.ended.is_none(), "accepted twice");
                        end.id = Some(id);
                        end.rig.flush(id);
                    }
                    Event::Progress { id, .. } => {
                        end.rig.flush(id);
                    }
                }
            }
            self.finish(side);
        }
        self.carry();
    }

    /// Lets the session of `side` come to its end, if it is told to.
    fn finish(&mut self, side: usize) {
        if !self.ends[side].finishing {
            return;
        }
        let Some(id) = self.ends[side].id else { return };
        self.consume(side, usize::MAX);
        let end = &mut self.ends[side];
        end.rig.close(id);
        let connection = end.rig.endpoint.connection(id);
        if let Some(cause) = connection.ended() {
            assert!(connection.received().is_none());
            if cause == CloseCause::Finished {
                assert!(connection.receive_finished());
            }
            end.ended = Some(cause);
            end.id = None;
            end.rig.release(id);
        }
    }

    fn consume(&mut self, side: usize, most: usize) {
        let end = &mut self.ends[side];
        let Some(id) = end.id else { return };
        let mut left = most;
        while left > 0
            && let Some(chunk) = end.rig.endpoint.connection(id).received()
        {
            let octets = &chunk.octets()[..chunk.octets().len().min(left)];
            for got in octets {
                assert_eq!(*got, octet(1 - side, end.received), "at {}", end.received);
                end.received += 1;
            }
            let len = octets.len();
            left -= len;
            end.rig.endpoint.connection(id).consume(len);
        }
        end.rig.flush(id);
    }

    fn run(&mut self, side: usize, op: Op) {
        let end = &mut self.ends[side];
        end.rig.now = self.now;
        if let Some(id) = end.id {
            match op {
                Op::Send(len) => {
                    let octets: Vec<u8> = (0..u32::from(len))
                        .map(|i| octet(side, end.sent + i))
                        .collect();
                    end.sent += end
                        .rig
                        .endpoint
                        .connection(id)
                        .send(Chunk::new(&octets), &mut end.rig.lane)
                        as u32;
                    end.rig.flush(id);
                }
                Op::Consume(len) => self.consume(side, usize::from(len)),
                Op::Close => end.rig.close(id),
                Op::Abort => {
                    end.rig.endpoint.connection(id).abort();
                    end.rig.flush(id);
                }
                Op::Buffers(there_are) => end.rig.lane.blocked = !there_are,
                Op::Pause(_) => {}
            }
        }
        self.carry();
        let pause = match op {
            Op::Pause(millis) => u64::from(millis),
            _ => 1,
        };
        self.pass(millis(pause));
    }

    /// What is sent again is in proportion to what was lost, and to what may have looked so.
    fn check_retransmissions(&self) {
        let ends = self.ends.iter();
        let again: u64 = ends
            .map(|end| end.rig.counters.event(counters::Event::TcpRetransmits))
            .sum();
        let reordered = if self.weather.jitter > 0 {
            self.packets / 4
        } else {
            0
        };
        // What an end had no buffers to keep is lost to the other.
        let refused: u64 = self
            .ends
            .iter()
            .map(|end| end.rig.counters.drops(DropReason::TcpNoMemory))
            .sum();
        let most = 30 + 10 * (self.lost + refused) + reordered;
        assert!(again <= most, "{again} sent again, {} lost", self.lost);
    }

    fn next(&self) -> Option<Instant> {
        let ends = self
            .ends
            .iter()
            .filter_map(|end| end.rig.endpoint.poll_timeout());
        let packets = self.in_flight.iter().map(|(at, ..)| *at);
        ends.chain(packets).min()
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut turns = 0;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.turn();
            turns += 1;
            assert!(turns < 2000 + 2000 * duration.as_secs(), "a busy loop");
        }
        self.now = end;
    }
}

/// The number of a side's address: that of the client is that of the peer in other cases.
fn host(side: usize) -> u8 {
    side as u8 + 1
}

fn what_arrives_was_sent<I: TcpIp>(made: &Ends, ops: &[(bool, Op)], weather: Weather) {
    let mut link = Link::<I>::new(made, weather);
    link.carry();
    for _ in 0..1_000 {
        if link.ends[1].id.is_none() {
            link.pass(seconds(1));
        }
    }
    let (packets, lost) = (link.packets, link.lost);
    assert!(
        link.ends[1].id.is_some(),
        "the handshake got stuck: {lost} of {packets} packets lost"
    );
    for &(side, op) in ops {
        link.run(usize::from(side), op);
    }
    for end in &mut link.ends {
        end.finishing = true;
        end.rig.lane.blocked = false;
    }
    link.turn();
    // A reset that is lost is not sent again: then only deadlines end the other side.
    let aborted = ops.iter().any(|(_, op)| matches!(op, Op::Abort));
    if weather.heals && !aborted {
        // Two timeouts of a minute, with what backed off before, are far less than this.
        link.weather.lost = 0;
        link.weather.forged = 0;
        link.pass(seconds(300));
        assert!(
            link.ends[0].ended.is_some(),
            "stuck although nothing is lost"
        );
    }
    for _ in 0..300 {
        link.pass(seconds(10));
    }
    link.check_retransmissions();
    let causes = [link.ends[0].ended, link.ends[1].ended];
    for side in 0..2 {
        if causes[side] == Some(CloseCause::Finished) {
            assert_eq!(
                link.ends[side].received,
                link.ends[1 - side].sent,
                "side {side} finished without all octets: {causes:?}"
            );
        }
        link.ends[side].rig.assert_empty();
        assert_eq!(link.ends[side].rig.endpoint.context.buffers_held(), 0);
        assert_eq!(link.ends[side].rig.endpoint.poll_timeout(), None);
    }
    assert!(causes[0].is_some());
    if !aborted {
        assert_eq!(causes, [Some(CloseCause::Finished); 2], "no reason to fail");
    }
}

/// Makes a property of each pair of engines for each IP version.
macro_rules! link_tests {
    ($($pair:ident: $client:ident, $server:ident;)*) => {
        $(mod $pair {
            use super::*;

            const ENGINES: [EngineKind; 2] = [EngineKind::$client, EngineKind::$server];

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(CASES))]

                #[test]
                fn what_arrives_was_sent_v4(
                    ends in ends(ENGINES),
                    ops in ops(),
                    weather in weather(),
                ) {
                    what_arrives_was_sent::<V4>(&ends, &ops, weather);
                }

                #[test]
                fn what_arrives_was_sent_v6(
                    ends in ends(ENGINES),
                    ops in ops(),
                    weather in weather(),
                ) {
                    what_arrives_was_sent::<V6>(&ends, &ops, weather);
                }
            }
        })*
    };
}

link_tests! {
    both_native: Native, Native;
    native_to_smoltcp: Native, Smoltcp;
    smoltcp_to_native: Smoltcp, Native;
    both_smoltcp: Smoltcp, Smoltcp;
}

/// Cases of each property.
const CASES: u32 = 1_000;
