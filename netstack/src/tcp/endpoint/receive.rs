//! What becomes of a segment that arrives (RFC 9293 section 3.10.7).
//!
//! The connection's, if there is one; then TIME-WAIT's; then a listener's; then another worker's,
//! to whose source ports it may be addressed; and if it is nobody's, it is answered by an RST, as
//! fast as the rate limit lets us.

use core::time::Duration;

use super::{ConnId, Endpoint, Holder, Misdirected, PacketTooBig, UnreachableError};
use crate::counters::Event;
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, Ip, NetworkId};
use crate::tcp::bare::Bare;
use crate::tcp::connection::{CloseCause, Connection};
use crate::tcp::listen::Listener;
use crate::tcp::run::{Alone, Run};
use crate::tcp::time_wait::{Age, TimeWait};
use crate::tcp::{Output, Segment, State, TcpIp, bare, path_mtu};
use crate::time::Instant;
use crate::wire::tcp::{Flags, Header};

/// How old an entry in TIME-WAIT must be for a FIN to renew it. Each renewal takes a place in the
/// table's queue, and a peer that repeats its FIN must not push out all others.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Where and when a segment arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<I: Ip> {
    /// Now.
    pub now: Instant,
    /// The network it arrived from.
    pub network: NetworkId,
    /// Its flow.
    pub flow: FiveTuple<I>,
    /// The MTU of the port it arrived on, in octets.
    pub mtu: usize,
    /// Where to look for its connection first ([`super::LookAhead`]).
    pub guess: Option<ConnId>,
    /// Whether another worker may have a connection of a client that is not here: the port does not
    /// bring a flow to the same worker always.
    pub elsewhere: bool,
}

impl<B: PacketBuf> Endpoint<B> {
    /// Takes in a segment.
    ///
    /// # Errors
    /// Gives it back if its connection belongs to another worker, or may.
    pub fn handle_segment<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: Arrival<I>,
        segment: Segment<B>,
        out: &mut O,
    ) -> Result<(), Misdirected<B>> {
        self.handle_run(arrival, segment, &mut Alone, out)
    }

    /// Takes in a segment and, if its connection is here, those that follow it. Whatever is left of
    /// `run` is to be handed in again.
    ///
    /// # Errors
    /// Gives the segment back if its connection belongs to another worker, or may.
    pub fn handle_run<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: Arrival<I>,
        segment: Segment<B>,
        run: &mut impl Run<B>,
        out: &mut O,
    ) -> Result<(), Misdirected<B>> {
        let Arrival { now, flow, .. } = arrival;
        let guessed = arrival
            .guess
            .filter(|id| self.has_flow(*id, arrival.network, &flow));
        let Some(id) = guessed.or_else(|| self.find(arrival.network, &flow)) else {
            return self.handle_unconnected(arrival, segment, out);
        };
        if arrival.elsewhere && self.is_of_another_handshake(id, &segment.header) {
            return Err(Misdirected::Unknown {
                packet: segment.packet,
            });
        }
        let mut seq = segment.header.seq;
        let mut taken_in = self.handle_for(id, now, flow, segment, out);
        while run.peek().is_some() {
            let entry = &mut self.connections[id.index()];
            if taken_in && matches!(entry.holder, Holder::Session(_)) {
                let followed =
                    entry
                        .connection
                        .handle_run(&mut self.context, now, &entry.flow, seq, run);
                self.counters.add(Event::Consumed, followed);
            }
            // Not simply what comes next: it is looked at as if it had come alone.
            if let Some(segment) = run.take() {
                seq = segment.header.seq;
                taken_in = self.handle_for(id, now, flow, segment, out);
            }
        }
        Ok(())
    }

    /// Whether a segment acknowledges a SYN that the handshake here did not send. A client's SYN and
    /// its repetition may come to two workers, and the client goes on with one of them.
    fn is_of_another_handshake(&self, id: ConnId, header: &Header) -> bool {
        let entry = &self.connections[id.index()];
        let flags = header.flags;
        matches!(entry.holder, Holder::Handshake(_))
            && entry.connection.state() == State::SynReceived
            && flags.contains(Flags::ACK)
            && !flags.contains(Flags::SYN)
            && !entry.connection.is_in_flight(header.ack.wrapping_sub(1))
    }

    /// Takes in a segment that belongs to no connection of this worker.
    fn handle_unconnected<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: Arrival<I>,
        segment: Segment<B>,
        out: &mut O,
    ) -> Result<(), Misdirected<B>> {
        let Arrival {
            now, network, flow, ..
        } = arrival;
        if let Some(entry) = I::time_wait(&self.demux).get(network, &flow) {
            self.handle_in_time_wait(arrival, entry, segment, out);
            return Ok(());
        }
        let flags = segment.header.flags;
        let opens = flags.contains(Flags::SYN) && !flags.contains(Flags::ACK);
        if opens {
            if let Some(listener) = self.listeners.get(network, I::flow(flow).local()).cloned() {
                self.accept(arrival, &listener, None, segment, out);
                return Ok(());
            }
        } else if let Some((listener, opening)) = self.returned_cookie(&arrival, &segment.header) {
            self.accept_cookie(arrival, &listener, opening, segment, out);
            return Ok(());
        } else if let Some(worker) = self.other_owner(flow.dport) {
            return Err(Misdirected::Owned {
                worker,
                packet: segment.packet,
            });
        } else if arrival.elsewhere && self.listeners.get(network, I::flow(flow).local()).is_some()
        {
            return Err(Misdirected::Unknown {
                packet: segment.packet,
            });
        }
        self.refuse(now, flow, &segment, out);
        Ok(())
    }

    /// Refuses a segment that is nobody's.
    fn refuse<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        now: Instant,
        flow: FiveTuple<I>,
        segment: &Segment<B>,
        out: &mut O,
    ) {
        let flags = segment.header.flags;
        let reason = if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) {
            DropReason::TcpNoListener
        } else {
            DropReason::TcpNoConnection
        };
        self.counters.drop_packet(reason);
        self.answer_with_reset(now, flow, segment, out);
    }

    /// Takes in the network's word that a packet of ours did not arrive. `flow` is oriented as in
    /// received packets. Returns whether any connection was concerned.
    pub fn handle_unreachable<I: TcpIp>(
        &mut self,
        network: NetworkId,
        flow: &FiveTuple<I>,
        error: UnreachableError,
    ) -> bool {
        let Some(id) = self.find(network, flow) else {
            return false;
        };
        let connection = &mut self.connections[id.index()].connection;
        // RFC 5927 section 4.1: anyone can send an ICMP error; only one about a segment in flight
        // is believed. RFC 1122 section 4.2.3.9: after the handshake it may be transient, and the
        // user timeout decides.
        if connection.state() == State::SynSent && connection.is_in_flight(error.seq) {
            connection.end(CloseCause::Unreachable);
            self.enqueue_news(id);
        }
        true
    }

    /// Takes in a router's word that a packet of ours was too large. `flow` is oriented as in
    /// received packets. Returns whether any connection was concerned.
    pub fn handle_packet_too_big<I: TcpIp>(
        &mut self,
        now: Instant,
        network: NetworkId,
        flow: &FiveTuple<I>,
        error: PacketTooBig,
    ) -> bool {
        let Some(id) = self.find(network, flow) else {
            return false;
        };
        let connection = &mut self.connections[id.index()].connection;
        // RFC 5927 section 7: it is believed only about octets in flight, and only if it makes
        // segments smaller.
        let lowered = connection.is_in_flight(error.seq)
            && path_mtu::believed::<I>(error.mtu, connection.packet_len::<I>())
                .is_some_and(|mtu| connection.handle_packet_too_big::<I>(now, mtu));
        if lowered {
            self.counters.increment(Event::TcpPathMtuLowered);
            self.enqueue(id);
        } else {
            self.counters.increment(Event::TcpPathMtuRefused);
        }
        true
    }

    /// Takes in a segment of a connection. Returns whether that took it in.
    pub(super) fn handle_for<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        id: ConnId,
        now: Instant,
        flow: FiveTuple<I>,
        segment: Segment<B>,
        out: &mut O,
    ) -> bool {
        let entry = &mut self.connections[id.index()];
        let connection = &mut entry.connection;
        // Somebody has yet to take note that it is over; to the peer it is over already.
        if connection.state() == State::Closed {
            self.counters.drop_packet(DropReason::TcpNoConnection);
            self.answer_with_reset(now, flow, &segment, out);
            return false;
        }
        let (header, payload_len) = (segment.header, segment.payload_len());
        let result =
            connection.handle_segment(&mut self.context, now, &I::flow(flow), segment, out);
        match result {
            Ok(()) => {
                self.counters.increment(Event::Consumed);
                // RFC 9293 section 3.6.1: nobody will read it, and the peer must know.
                if entry.holder == Holder::Orphan && connection.received().is_some() {
                    connection.abort();
                }
                if matches!(
                    connection.ended(),
                    Some(CloseCause::Reset | CloseCause::Refused)
                ) {
                    self.counters.increment(Event::TcpResetsReceived);
                }
            }
            Err(rejected) => {
                self.counters.drop_packet(rejected.reason);
                if rejected.challenge && connection.may_challenge(now) {
                    let ack = connection.bare_ack(now);
                    self.challenge(now, flow, ack, out);
                } else if rejected.reset {
                    self.reset(now, flow, bare::reset_for(&header, payload_len), out);
                } else if connection.take_panic() {
                    self.counters.increment(Event::TcpEnginePanics);
                    if bare::send(out, flow, bare::reset_for(&header, payload_len)) {
                        self.counters.increment(Event::TcpResetsSent);
                    }
                }
            }
        }
        self.enqueue_news(id);
        result.is_ok()
    }

    /// RFC 9293 section 3.10.7.4, TIME-WAIT; RFC 1122 section 4.2.2.13 for the new SYN.
    fn handle_in_time_wait<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: Arrival<I>,
        entry: TimeWait,
        segment: Segment<B>,
        out: &mut O,
    ) {
        let Arrival {
            now, network, flow, ..
        } = arrival;
        let header = segment.header;
        let syn = header.flags.contains(Flags::SYN) && !header.flags.contains(Flags::ACK);
        if syn
            && let Some(listener) = self.listeners.get(network, I::flow(flow).local()).cloned()
            && entry.is_reopened_by(&header, listener.uses_time_stamps())
        {
            self.accept(arrival, &listener, Some(entry), segment, out);
            return;
        }
        self.counters.drop_packet(DropReason::TcpTimeWait);
        // RFC 1337: an RST must not end TIME-WAIT early.
        if header.flags.contains(Flags::RST) {
            return;
        }
        let age = entry.age_of(&header);
        if age == Age::Unknown && !syn {
            return;
        }
        let len = segment.payload_len() as u32;
        let fin = header.flags.contains(Flags::FIN);
        // A plain ACK of an end that is in TIME-WAIT too. Two such ends would go on for ever.
        if len == 0 && !syn && !fin && header.seq == entry.rcv_nxt && age == Age::New {
            return;
        }
        // The peer's FIN again: it has not seen our last ACK, and the time starts again.
        let end = header.seq.wrapping_add(len).wrapping_add(1);
        let mut entry = entry;
        let rested = entry.since + RESTART_PAUSE <= now;
        if fin && end == entry.rcv_nxt && age == Age::New && rested {
            entry.renew(now, &header);
            I::time_wait_mut(&mut self.demux).insert(network, flow, entry);
        }
        let ack = Bare {
            seq: entry.snd_nxt,
            ack: entry.rcv_nxt,
            window: 0,
            flags: Flags::ACK,
            options: entry.options(now),
        };
        self.challenge(now, flow, ack, out);
    }

    /// Begins the handshake of a client. `old` is what is left of an earlier connection of the same
    /// flow.
    fn accept<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: Arrival<I>,
        listener: &Listener,
        old: Option<TimeWait>,
        segment: Segment<B>,
        out: &mut O,
    ) {
        let Arrival { now, flow, mtu, .. } = arrival;
        if self.is_full() {
            // No answer: the client tries again by itself, perhaps when there is room.
            self.counters.drop_packet(DropReason::TcpConnectionsFull);
            return;
        }
        // A flow in TIME-WAIT belongs to a client who was here before, and what is remembered of it
        // is given up for the handshake: no flood gets in that way. A cookie would not do, as its
        // sequence number cannot be chosen to come after the old one's.
        if self.half_open >= self.config.syn_backlog && old.is_none() {
            if self.answer_with_cookie(&arrival, listener, &segment.header, out) {
                self.counters.increment(Event::Consumed);
            } else {
                self.counters.drop_packet(DropReason::TcpBacklogFull);
            }
            return;
        }
        let mut numbers = self.isn.numbers(listener.network, I::flow(flow), now);
        if let Some(old) = old {
            let time_wait = I::time_wait_mut(&mut self.demux);
            time_wait.remove(listener.network, &flow);
            self.counters.increment(Event::TcpTimeWaitReused);
            numbers = old.numbers_after(numbers);
        }
        let (options, header) = (&listener.options, &segment.header);
        let connection = Connection::accept::<I>(options, numbers, I::flow(flow), header, mtu, now);
        let id = self.admit(listener, flow, connection);
        self.handle_for(id, now, flow, segment, out);
    }

    /// Keeps a connection that a client opens.
    pub(super) fn admit<I: TcpIp>(
        &mut self,
        listener: &Listener,
        flow: FiveTuple<I>,
        connection: Connection<B>,
    ) -> ConnId {
        let holder = Holder::Handshake(listener.id);
        let id = self.insert(listener.network, flow, connection, holder);
        self.accepted += 1;
        self.half_open += 1;
        self.connections[id.index()].accepted = true;
        id
    }

    /// Whether there is no room for another connection of a client.
    pub(super) fn is_full(&self) -> bool {
        self.accepted >= self.config.max_accepted
            || self.connections.len() >= self.config.max_connections
    }

    fn challenge<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        now: Instant,
        flow: FiveTuple<I>,
        ack: Bare,
        out: &mut O,
    ) {
        // RFC 5961 section 7: challenge ACKs are rate limited too.
        if self.challenges.allow(now) && bare::send(out, flow, ack) {
            self.counters.increment(Event::TcpChallengeAcks);
        }
    }

    fn answer_with_reset<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        now: Instant,
        flow: FiveTuple<I>,
        segment: &Segment<B>,
        out: &mut O,
    ) {
        // RFC 9293 section 3.10.7.1: never an RST for an RST.
        if segment.header.flags.contains(Flags::RST) {
            return;
        }
        let reset = bare::reset_for(&segment.header, segment.payload_len());
        self.reset(now, flow, reset, out);
    }

    fn reset<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        now: Instant,
        flow: FiveTuple<I>,
        reset: Bare,
        out: &mut O,
    ) {
        if self.resets.allow(now) && bare::send(out, flow, reset) {
            self.counters.increment(Event::TcpResetsSent);
        } else {
            self.counters.increment(Event::TcpResetsSuppressed);
        }
    }
}
