//! All TCP connections of one worker.
//!
//! In: segments ([`Endpoint::handle_run`]), time ([`Endpoint::handle_timeouts`]), and what
//! the sessions want (`connect`, [`Connection`]'s methods, [`Endpoint::flush`],
//! [`Endpoint::release`]). Out: packets, and [`Event`]s for the sessions.
//!
//! A connection is in somebody's hands at every moment ([`Holder`]): this layer's while the
//! handshake lasts, a session's from when it is claimed until it is released, and this layer's
//! again until nothing of it is left but an entry in the TIME-WAIT table. No call costs more with
//! more connections.

mod config;
mod connect;
mod cookies;
mod gauges;
mod look_ahead;
mod receive;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

pub use config::EndpointConfig;
pub use connect::{ConnectError, ConnectTarget};
pub use look_ahead::LookAhead;
pub use receive::Arrival;

use super::connection::Connection;
use super::demux::{Demux, TcpIp};
use super::engine::Context;
use super::isn::IsnGenerator;
use super::listen::{Listener, ListenerId, Listeners};
use super::ports::{PortOwners, PortShares, SourcePorts};
use super::syncookie::SynCookies;
use super::time_wait::TimeWait;
use super::{Flow, Output, State};
use crate::counters::{self, Counters};
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, NetworkId};
use crate::rate_limit::RateLimit;
use crate::time::Instant;
use crate::timer_wheel::TimerWheel;

/// Connections that had to wait in an earlier turn and are looked at again in one turn, at most.
const RETRIES_PER_TURN: usize = 64;

/// Timers handled in one turn at most: when very many are due at once, packets are not kept waiting.
const TIMERS_PER_TURN: usize = 512;

/// Timers that are handled together.
const TIMERS_AT_ONCE: usize = 32;

/// TIME-WAIT entries forgotten in one turn at most.
const EXPIRIES_PER_TURN: usize = 64;

/// Names a connection of a worker, from its beginning until it is released.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ConnId(pub(super) u32);

impl ConnId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Something a session has to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A client finished its handshake. Claim it, or abort and release it.
    Accepted {
        /// The connection.
        id: ConnId,
        /// Where it was accepted.
        listener: ListenerId,
        /// Its ends.
        flow: Flow,
        /// When its SYN arrived.
        opened_at: Instant,
    },
    /// Something happened to a claimed connection: octets came, room came, its state changed.
    Progress {
        /// The connection.
        id: ConnId,
        /// Who claimed it.
        owner: u32,
    },
}

/// What the network says about a packet that we sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnreachableError {
    /// The sequence number of the segment.
    pub seq: u32,
}

/// What a router says about a packet of ours that was too large for the next link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketTooBig {
    /// The sequence number of the segment.
    pub seq: u32,
    /// The MTU of that link in octets; 0 if the router does not say (RFC 1191 section 4).
    pub mtu: u32,
}

/// A segment whose connection is not here, but may be with another worker.
#[derive(Debug)]
pub enum Misdirected<B> {
    /// It is addressed to a source port of another worker.
    Owned {
        /// The worker.
        worker: u16,
        /// The packet, as it came.
        packet: B,
    },
    /// A client's, of a connection that this worker does not know. Only where its arrival says that
    /// it may be another worker's: the one to be asked last refuses what nobody knows.
    Unknown {
        /// The packet, as it came.
        packet: B,
    },
}

/// In whose hands a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Holder {
    /// The handshake of a client is going on.
    Handshake(ListenerId),
    /// The handshake is over; no session has claimed it yet.
    Unclaimed(ListenerId),
    /// A session's.
    Session(u32),
    /// No session's any more; it only has to end.
    Orphan,
}

/// There are as many of these as connections, so its size counts.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be true with any of the others"
)]
struct Entry<B: PacketBuf> {
    connection: Connection<B>,
    network: NetworkId,
    flow: Flow,
    /// Whether a client opened it.
    accepted: bool,
    holder: Holder,
    /// Whether it is in a queue.
    queued: bool,
    /// Whether its session has something to look at, as opposed to its engine something to send.
    news: bool,
    /// It is in a queue, and its session has looked at it and flushed it since it came there.
    attended: bool,
}

/// All TCP connections of one worker.
pub struct Endpoint<B: PacketBuf> {
    connections: Slab<Entry<B>>,
    context: Context,
    demux: Demux,
    listeners: Listeners,
    ports: SourcePorts,
    /// One for each connection. Never fires later than needed; may fire earlier.
    timers: TimerWheel,
    /// Connections to look at in this turn.
    ready: VecDeque<ConnId>,
    /// Connections to look at in the next turn: they had more to send than they were allowed, or
    /// than there were buffers for.
    later: VecDeque<ConnId>,
    /// When there must be a next turn for them.
    later_at: Instant,
    /// Connections whose timers have fired; empty between calls.
    due: Vec<ConnId>,
    isn: IsnGenerator,
    cookies: SynCookies,
    /// Limits RSTs to strangers.
    resets: RateLimit,
    /// Limits what existing connections and those in TIME-WAIT are told: strangers who provoke
    /// resets must not silence it.
    challenges: RateLimit,
    accepted: usize,
    half_open: usize,
    config: EndpointConfig,
    counters: Arc<Counters>,
}

impl<B: PacketBuf> Endpoint<B> {
    /// A worker's TCP, listening on `listeners`.
    ///
    /// `None` if `config` gives the workers no source port each.
    pub fn new(
        now: Instant,
        config: EndpointConfig,
        listeners: impl IntoIterator<Item = Listener>,
        counters: Arc<Counters>,
    ) -> Option<Self> {
        let shares = PortShares::new(config.source_ports.clone(), config.workers)?;
        let listeners = Listeners::new(listeners);
        let ports = SourcePorts::new(shares, config.worker, listeners.ports());
        let [isn_0, isn_1, flow_0, flow_1] = config.secret;
        Some(Self {
            connections: Slab::with_capacity(config.max_connections),
            context: Context::new(now, config.mtu, config.buffers),
            demux: Demux::new(&config, [flow_0, flow_1]),
            listeners,
            ports,
            timers: TimerWheel::new(config.max_connections as u32, TimerWheel::DEFAULT_TICK, now),
            ready: VecDeque::with_capacity(config.max_connections),
            later: VecDeque::with_capacity(config.max_connections),
            later_at: now,
            due: Vec::with_capacity(TIMERS_AT_ONCE),
            isn: IsnGenerator::new((isn_0, isn_1)),
            cookies: SynCookies::new((isn_0, isn_1)),
            resets: RateLimit::new(config.resets_per_second, config.resets_per_second),
            challenges: RateLimit::new(config.resets_per_second, config.resets_per_second),
            accepted: 0,
            half_open: 0,
            config,
            counters,
        })
    }

    /// Runs timers that are due; as many as fit a turn.
    pub fn handle_timeouts(&mut self, now: Instant) {
        // Those that waited longest come first, before those that have just got an ACK; and no more
        // than a turn can serve, so that a port which is slow does not make every turn long.
        let retried = self.later.len().min(RETRIES_PER_TURN);
        for id in self.later.drain(..retried).rev() {
            self.ready.push_front(id);
        }
        let mut due = core::mem::take(&mut self.due);
        for _ in 0..TIMERS_PER_TURN / TIMERS_AT_ONCE {
            let tokens = core::iter::from_fn(|| self.timers.poll_expired(now));
            due.extend(tokens.take(TIMERS_AT_ONCE).map(ConnId));
            if due.is_empty() {
                break;
            }
            self.fetch(&due.iter().copied());
            for id in due.drain(..) {
                self.handle_timer(id, now);
            }
        }
        self.due = due;
        self.demux.v4.expire(now, EXPIRIES_PER_TURN);
        self.demux.v6.expire(now, EXPIRIES_PER_TURN);
        self.update_gauges();
    }

    /// When [`Endpoint::handle_timeouts`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.ready.is_empty() {
            return Some(Instant::ZERO);
        }
        let later = (!self.later.is_empty()).then_some(self.later_at);
        let time_wait = [self.demux.v4.poll_timeout(), self.demux.v6.poll_timeout()];
        self.timers
            .next_deadline()
            .into_iter()
            .chain(later)
            .chain(time_wait.into_iter().flatten())
            .min()
    }

    /// The next thing a session has to look at. What concerns no session is done on the way.
    pub fn poll_event<O: Output<Buf = B>>(&mut self, now: Instant, out: &mut O) -> Option<Event> {
        while let Some(id) = self.ready.pop_front() {
            let Some(entry) = self.connections.get_mut(id.index()) else {
                continue;
            };
            entry.queued = false;
            if core::mem::take(&mut entry.attended) {
                continue;
            }
            match entry.holder {
                Holder::Session(owner) => {
                    let alive = entry.connection.ended().is_none();
                    if !core::mem::take(&mut entry.news) && alive {
                        // An acknowledgment or a retransmission is no business of the session's.
                        self.flush(id, now, out);
                        if self.connections[id.index()].connection.ended().is_none() {
                            continue;
                        }
                    }
                    return Some(Event::Progress { id, owner });
                }
                Holder::Handshake(listener) if entry.connection.is_established() => {
                    entry.holder = Holder::Unclaimed(listener);
                    let (flow, opened_at) = (entry.flow, entry.connection.opened_at());
                    self.half_open -= 1;
                    self.counters.increment(counters::Event::TcpAccepted);
                    return Some(Event::Accepted {
                        id,
                        listener,
                        flow,
                        opened_at,
                    });
                }
                Holder::Handshake(_) | Holder::Unclaimed(_) | Holder::Orphan => {
                    self.flush(id, now, out);
                }
            }
        }
        None
    }

    /// Takes an accepted connection into a session's hands.
    pub fn claim(&mut self, id: ConnId, owner: u32) {
        self.connections[id.index()].holder = Holder::Session(owner);
    }

    /// Says that a session is about to look at a connection that it holds, and to flush it: what
    /// happened to it so far is no event any more.
    pub fn attend(&mut self, id: ConnId) {
        let entry = &mut self.connections[id.index()];
        entry.attended = entry.queued;
        entry.news = false;
    }

    /// The connection of a session.
    pub fn connection(&mut self, id: ConnId) -> &mut Connection<B> {
        &mut self.connections[id.index()].connection
    }

    /// Both connections of a session, `None` if they are the same.
    pub fn pair(
        &mut self,
        a: ConnId,
        b: ConnId,
    ) -> Option<(&mut Connection<B>, &mut Connection<B>)> {
        if a == b {
            return None;
        }
        let (a, b) = self.connections.get2_mut(a.index(), b.index())?;
        Some((&mut a.connection, &mut b.connection))
    }

    /// The ends of a connection.
    pub fn flow(&self, id: ConnId) -> Flow {
        self.connections[id.index()].flow
    }

    /// Ends the session's hold: the connection is to end by itself, or has ended.
    pub fn release<O: Output<Buf = B>>(&mut self, id: ConnId, now: Instant, out: &mut O) {
        self.connections[id.index()].holder = Holder::Orphan;
        self.flush(id, now, out);
    }

    /// The other worker from whose share the source port `port` is, if it is another's.
    pub fn other_owner(&self, port: u16) -> Option<u16> {
        let owner = self.ports.owners().owner(port);
        owner.filter(|worker| *worker != self.config.worker)
    }

    /// To whom ports of ours belong.
    pub fn port_owners(&self) -> &PortOwners {
        self.ports.owners()
    }

    /// How many connections there are, in any state.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Whether a connection still waits to be looked at, perhaps to send.
    pub fn is_busy(&self) -> bool {
        !self.ready.is_empty() || !self.later.is_empty()
    }

    /// Handshakes of clients that have not finished.
    pub fn half_open(&self) -> usize {
        self.half_open
    }

    /// Refuses all new connections of clients from now on.
    pub fn stop_listening(&mut self) {
        self.listeners = Listeners::new([]);
    }

    /// The connection of a flow.
    fn find<I: TcpIp>(&self, network: NetworkId, flow: &FiveTuple<I>) -> Option<ConnId> {
        find(&self.demux, &self.connections, network, flow)
    }

    /// Whether the connection, if there is one, is that of the flow.
    fn has_flow<I: TcpIp>(&self, id: ConnId, network: NetworkId, flow: &FiveTuple<I>) -> bool {
        let entry = self.connections.get(id.index());
        entry.is_some_and(|entry| entry.flow == I::flow(*flow) && entry.network == network)
    }

    fn insert<I: TcpIp>(
        &mut self,
        network: NetworkId,
        flow: FiveTuple<I>,
        connection: Connection<B>,
        holder: Holder,
    ) -> ConnId {
        let index = self.connections.insert(Entry {
            connection,
            network,
            flow: I::flow(flow),
            accepted: false,
            holder,
            queued: false,
            news: false,
            attended: false,
        });
        let id = ConnId(index as u32);
        self.demux.insert(network, &flow, id);
        id
    }

    /// Removes a connection that has ended and that nobody holds.
    fn bury(&mut self, id: ConnId, now: Instant) {
        let mut entry = self.connections.remove(id.index());
        self.timers.cancel(id.0);
        if entry.accepted {
            self.accepted -= 1;
            if matches!(entry.holder, Holder::Handshake(_)) {
                self.half_open -= 1;
            }
        } else {
            let (local, remote) = (entry.flow.local(), entry.flow.remote());
            self.ports
                .release(entry.network, local.ip(), remote, local.port());
        }
        let remembered = (entry.connection.state() == State::TimeWait)
            .then(|| entry.connection.next_numbers())
            .flatten()
            .map(|(snd_nxt, rcv_nxt)| TimeWait {
                snd_nxt,
                rcv_nxt,
                stamps: entry.connection.stamps(),
                since: now,
            });
        entry.connection.give_back(&mut self.context);
        match entry.flow {
            Flow::V4(flow) => forget(&mut self.demux, id, entry.network, flow, remembered),
            Flow::V6(flow) => forget(&mut self.demux, id, entry.network, flow, remembered),
        }
    }

    fn enqueue_news(&mut self, id: ConnId) {
        self.connections[id.index()].news = true;
        self.enqueue(id);
    }

    fn enqueue(&mut self, id: ConnId) {
        let entry = &mut self.connections[id.index()];
        entry.attended = false;
        if !entry.queued {
            entry.queued = true;
            self.ready.push_back(id);
        }
    }
}

/// The connection of a flow.
fn find<B: PacketBuf, I: TcpIp>(
    demux: &Demux,
    connections: &Slab<Entry<B>>,
    network: NetworkId,
    flow: &FiveTuple<I>,
) -> Option<ConnId> {
    demux.find(network, flow, |id| {
        let entry = &connections[id.index()];
        entry.flow == I::flow(*flow) && entry.network == network
    })
}

/// Ends the connection of a flow; what is `remembered` of it goes to TIME-WAIT.
fn forget<I: TcpIp>(
    demux: &mut Demux,
    id: ConnId,
    network: NetworkId,
    flow: FiveTuple<I>,
    remembered: Option<TimeWait>,
) {
    demux.remove(network, &flow, id);
    if let Some(entry) = remembered {
        I::time_wait_mut(demux).insert(network, flow, entry);
    }
}

#[cfg(test)]
mod tests;
