//! What becomes of a segment that arrives (RFC 9293 section 3.10.7).
//!
//! The connection's, if there is one; then TIME-WAIT's; then a listener's; then another worker's,
//! to whose source ports it may be addressed; and if it is nobody's, it is answered by an RST, as
//! fast as the rate limit lets us.

use super::{ConnId, Endpoint, Holder, Misdirected, UnreachableError};
use crate::counters::Event;
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, Ip, NetworkId};
use crate::tcp::connection::{CloseCause, Connection};
use crate::tcp::listen::Listener;
use crate::tcp::time_wait::TimeWait;
use crate::tcp::{Output, Segment, State, TcpIp, bare, seq};
use crate::time::Instant;
use crate::wire::tcp::Flags;

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
}

impl Endpoint {
    /// Takes in a segment.
    ///
    /// # Errors
    /// Gives the packet back if its connection belongs to another worker.
    pub fn handle_segment<I: TcpIp, B: PacketBuf, O: Output>(
        &mut self,
        arrival: Arrival<I>,
        segment: Segment<B>,
        out: &mut O,
    ) -> Result<(), Misdirected<B>> {
        let Arrival {
            now, network, flow, ..
        } = arrival;
        if let Some(id) = I::tables(&self.demux).connections.get(network, &flow) {
            self.handle_for(id, now, flow, segment, out);
            return Ok(());
        }
        if let Some(entry) = I::tables(&self.demux).time_wait.get(network, &flow) {
            self.handle_in_time_wait(arrival, entry, segment, out);
            return Ok(());
        }
        let flags = segment.header.flags;
        if flags.contains(Flags::SYN) && !flags.contains(Flags::ACK) {
            if let Some(listener) = self.listeners.get(network, I::flow(flow).local()).copied() {
                self.accept(arrival, listener, 0, segment, out);
                return Ok(());
            }
        } else if let Some(worker) = self.other_owner(flow.dport) {
            return Err(Misdirected {
                worker,
                packet: segment.packet,
            });
        }
        let reason = if flags.contains(Flags::SYN) {
            DropReason::TcpNoListener
        } else {
            DropReason::TcpNoConnection
        };
        self.counters.drop_packet(reason);
        self.answer_with_reset(now, flow, &segment, out);
        Ok(())
    }

    /// Takes in the network's word that a packet of ours did not arrive. `flow` is oriented as in
    /// received packets. Returns whether any connection was concerned.
    pub fn handle_unreachable<I: TcpIp>(
        &mut self,
        network: NetworkId,
        flow: &FiveTuple<I>,
        error: UnreachableError,
    ) -> bool {
        let Some(id) = I::tables(&self.demux).connections.get(network, flow) else {
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

    fn handle_for<I: TcpIp, B: PacketBuf, O: Output>(
        &mut self,
        id: ConnId,
        now: Instant,
        flow: FiveTuple<I>,
        segment: Segment<B>,
        out: &mut O,
    ) {
        let connection = &mut self.connections[id.index()].connection;
        let (header, payload_len) = (segment.header, segment.payload_len());
        match connection.handle_segment(&mut self.context, now, segment, out) {
            Ok(()) => {
                self.counters.increment(Event::Consumed);
                if header.flags.contains(Flags::RST) {
                    self.counters.increment(Event::TcpResetsReceived);
                }
            }
            Err(rejected) => {
                self.counters.drop_packet(rejected.reason);
                if rejected.challenge {
                    let numbers = connection.next_numbers().unwrap_or_default();
                    self.challenge(now, flow, numbers, out);
                } else if rejected.reason == DropReason::TcpEnginePanic {
                    self.counters.increment(Event::TcpEnginePanics);
                    let (numbers, flags) = bare::reset_for(&header, payload_len);
                    bare::send(out, flow, numbers, flags);
                }
            }
        }
        self.enqueue_news(id);
    }

    /// RFC 9293 section 3.10.7.4, TIME-WAIT; RFC 1122 section 4.2.2.13 for the new SYN.
    fn handle_in_time_wait<I: TcpIp, B: PacketBuf, O: Output>(
        &mut self,
        arrival: Arrival<I>,
        entry: TimeWait,
        segment: Segment<B>,
        out: &mut O,
    ) {
        let Arrival {
            now, network, flow, ..
        } = arrival;
        let header = &segment.header;
        let syn = header.flags.contains(Flags::SYN) && !header.flags.contains(Flags::ACK);
        if syn
            && seq::lt(entry.rcv_nxt, header.seq.wrapping_add(1))
            && let Some(listener) = self.listeners.get(network, I::flow(flow).local()).copied()
        {
            I::tables_mut(&mut self.demux)
                .time_wait
                .remove(network, &flow);
            self.counters.increment(Event::TcpTimeWaitReused);
            self.accept(arrival, listener, entry.snd_nxt, segment, out);
            return;
        }
        self.counters.drop_packet(DropReason::TcpTimeWait);
        // RFC 1337: an RST must not end TIME-WAIT early.
        if header.flags.contains(Flags::RST) {
            return;
        }
        if header.flags.contains(Flags::FIN) {
            // The peer has not seen our last ACK: the time starts again.
            let entry = TimeWait {
                since: now,
                ..entry
            };
            I::tables_mut(&mut self.demux)
                .time_wait
                .insert(network, flow, entry);
        }
        self.challenge(now, flow, (entry.snd_nxt, entry.rcv_nxt), out);
    }

    /// Begins the handshake of a client. `old_snd_nxt` is where an earlier connection of the same
    /// flow stopped, or 0.
    fn accept<I: TcpIp, B: PacketBuf, O: Output>(
        &mut self,
        arrival: Arrival<I>,
        listener: Listener,
        old_snd_nxt: u32,
        segment: Segment<B>,
        out: &mut O,
    ) {
        let Arrival { now, flow, mtu, .. } = arrival;
        let refused = if self.half_open >= self.config.syn_backlog {
            Some(DropReason::TcpBacklogFull)
        } else if self.accepted >= self.config.max_accepted
            || self.connections.len() >= self.config.max_connections
        {
            Some(DropReason::TcpConnectionsFull)
        } else {
            None
        };
        if let Some(reason) = refused {
            // No answer: the client tries again by itself, perhaps when there is room.
            self.counters.drop_packet(reason);
            return;
        }
        let mut iss = self.isn.isn(listener.network, I::flow(flow), now);
        if old_snd_nxt != 0 && seq::le(iss, old_snd_nxt) {
            iss = old_snd_nxt.wrapping_add(1);
        }
        let options = listener.options.on_path::<I>(mtu);
        let connection = Connection::accept(&options, iss, I::flow(flow), now);
        let id = self.insert(
            listener.network,
            flow,
            connection,
            Holder::Handshake(listener.id),
        );
        self.accepted += 1;
        self.half_open += 1;
        self.connections[id.index()].accepted = true;
        self.handle_for(id, now, flow, segment, out);
    }

    fn challenge<I: TcpIp, O: Output>(
        &mut self,
        now: Instant,
        flow: FiveTuple<I>,
        numbers: (u32, u32),
        out: &mut O,
    ) {
        // RFC 5961 section 7: challenge ACKs are rate limited too.
        if self.resets.allow(now) && bare::send(out, flow, numbers, Flags::ACK) {
            self.counters.increment(Event::TcpChallengeAcks);
        }
    }

    fn answer_with_reset<I: TcpIp, B: PacketBuf, O: Output>(
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
        let (numbers, flags) = bare::reset_for(&segment.header, segment.payload_len());
        if self.resets.allow(now) && bare::send(out, flow, numbers, flags) {
            self.counters.increment(Event::TcpResetsSent);
        } else {
            self.counters.increment(Event::TcpResetsSuppressed);
        }
    }
}
