//! One worker: all state of one lcore.
//!
//! [`Worker::poll_once`] is one turn and reads top to bottom as the way of a packet. Whoever drives
//! the worker passes the time and calls it again at once, when packets may have come, or at the
//! latest at [`Turn::next`]. A worker is generic over what moves packets and reads no clock, so the
//! same code serves DPDK, a capture in virtual time, and a test.

use core::time::Duration;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use netstack::counters::{Counters, Event};
use netstack::io::{BURST_SIZE, Burst, PacketBuf, PacketIo, PortId};
use netstack::ip::{NetworkId, V4, V6};
use netstack::rate_limit::RateLimit;
use netstack::tcp::{self, ConnId, Endpoint, LookAhead};
use netstack::time::Instant;
use netstack::wire::ndp;

use crate::config::BackendGroupId;
use crate::handover::{Mailbox, Message, News};
use crate::host::{Host, HostIp};
use crate::l7::backend_pool::{BackendId, Setting};
use crate::l7::health::Checks;
use crate::l7::session::{self, Sessions};
use crate::pipeline;
use crate::pipeline::parse::{self, IpLanes, Lanes};
use crate::pipeline::steer::Steer;
use crate::pipeline::tcp_in::{self, Others, Strays};
use crate::pipeline::tx::Transmitter;

/// Packets of other workers taken in one turn.
const MESSAGES_PER_TURN: usize = BURST_SIZE;

/// News of other workers heard in one turn.
const NEWS_PER_TURN: usize = 16;

/// How long after the end of a drain the worker tries to send what is left.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Events of connections handled before the stage that sends gets its turn.
const EVENTS_PER_TRANSMIT: usize = 32;

/// What the control thread tells a worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Take no new connections; sessions that are left after this long are reset.
    Drain(Duration),
    /// All workers have drained: end. Until then a worker goes on even without sessions of its own,
    /// because packets of the others' sessions may arrive at its queues.
    Finish,
    /// From now on, use backends so. All that is changed at a time is in one command.
    SetBackends(Arc<[SetBackend]>),
}

/// How a backend is to be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SetBackend {
    /// The backend's group.
    pub group: BackendGroupId,
    /// The backend.
    pub backend: BackendId,
    /// What changes.
    pub setting: Setting,
}

/// A worker's end of what the control thread says.
#[derive(Debug)]
pub struct Commands {
    /// The commands.
    pub receiver: Receiver<Command>,
    /// Tells the control thread that the worker is there.
    pub alive: Arc<()>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// Whether anything was received, taken over from another worker, or looked at by a session.
    pub busy: bool,
    /// When the next turn is needed at the latest, even if nothing is received.
    pub next: Option<Instant>,
    /// Whether the worker was told to drain, has nothing left to do, and no other worker needs it.
    pub finished: bool,
}

/// The parts of a worker.
pub struct WorkerParts<Io: PacketIo> {
    /// Addresses and routes.
    pub host: Host,
    /// The stage that sends, with the ports.
    pub transmitter: Transmitter<Io>,
    /// TCP.
    pub tcp: Endpoint<Io::Buf>,
    /// Sessions.
    pub sessions: Sessions,
    /// Checks of backends, if this worker makes any.
    pub checks: Option<Checks>,
    /// Limit of ICMP errors.
    pub icmp_limit: RateLimit,
    /// Rings to and from other workers.
    pub mailbox: Mailbox<Io::Buf>,
    /// Chooses workers for frames of ports on which some have no queue.
    pub steer: Option<Steer<Io::Buf>>,
    /// What is done about segments of connections that are not here.
    pub strays: Strays,
    /// What the control thread says.
    pub commands: Commands,
    /// What the worker counts.
    pub counters: Arc<Counters>,
}

/// One worker.
pub struct Worker<Io: PacketIo> {
    parts: WorkerParts<Io>,
    burst: Burst<Io::Buf>,
    lanes: Lanes<Io::Buf>,
    /// Where the segments of a lane belong.
    ahead: LookAhead,
    /// What other workers handed over; empty between stages.
    taken_over: Vec<Message<Io::Buf>>,
    /// Connections that the sessions will need; empty between stages.
    halves: Vec<ConnId>,
    announced: bool,
    /// When draining ends, once it has begun.
    drain_until: Option<Instant>,
    /// No other worker needs this one.
    dispensable: bool,
}

impl<Io: PacketIo> Worker<Io> {
    /// A worker of these parts.
    pub fn new(parts: WorkerParts<Io>) -> Self {
        let ports = parts.transmitter.ports.len();
        let dispensable = parts.mailbox.others().next().is_none();
        Self {
            burst: Burst::with_capacity(BURST_SIZE),
            lanes: Lanes::with_capacity(ports * BURST_SIZE + MESSAGES_PER_TURN),
            ahead: LookAhead::with_capacity(ports * BURST_SIZE + MESSAGES_PER_TURN),
            taken_over: Vec::with_capacity(MESSAGES_PER_TURN),
            halves: Vec::with_capacity(EVENTS_PER_TRANSMIT),
            parts,
            announced: false,
            drain_until: None,
            dispensable,
        }
    }

    /// One turn.
    pub fn poll_once(&mut self, now: Instant) -> Turn {
        let received = self.receive(now);
        let taken_over = self.take_over(now);
        self.run_neighbor_lanes(now);
        self.run_icmp_lanes(now);
        self.run_tcp_lanes(now);
        self.run_timers(now);
        self.run_checks(now);
        let events = self.run_sessions(now);
        self.transmit(now);
        self.handle_commands(now);

        let busy = received + taken_over + events > 0;
        let counters = &self.parts.counters;
        counters.increment(Event::Turns);
        if !busy {
            counters.increment(Event::IdleTurns);
        }
        Turn {
            busy,
            next: self.next_event(),
            finished: self.dispensable && self.is_drained(now),
        }
    }

    /// What the worker counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.parts.counters
    }

    /// The worker's queue pair of a port.
    pub fn io_mut(&mut self, port: PortId) -> &mut Io {
        &mut self.parts.transmitter.ports[usize::from(port.0)].io
    }

    /// The worker's queue pairs, in the order of the ports.
    pub fn ios(&self) -> impl Iterator<Item = &Io> {
        self.parts.transmitter.ports.iter().map(|port| &port.io)
    }

    /// Gives the queue pairs back, in the order of the ports.
    pub fn into_ios(self) -> Vec<Io> {
        let ports = self.parts.transmitter.ports;
        ports.into_iter().map(|port| port.io).collect()
    }

    /// Packets that are in the worker's hands between turns: waiting to be sent, or for a neighbor.
    pub fn packets_held(&self) -> usize {
        self.parts.transmitter.waiting()
    }

    /// TCP connections, in any state.
    pub fn connections(&self) -> usize {
        self.parts.tcp.len()
    }

    /// Sessions.
    pub fn sessions(&self) -> usize {
        self.parts.sessions.len()
    }

    /// Takes a burst from every port and sorts it.
    fn receive(&mut self, now: Instant) -> usize {
        let WorkerParts {
            host,
            transmitter,
            steer,
            mailbox,
            counters,
            ..
        } = &mut self.parts;
        let mut received = 0;
        for (index, port) in (0..).zip(&mut transmitter.ports) {
            port.io.begin_turn(now);
            let count = port.io.rx_burst(&mut self.burst);
            received += count;
            let mac = port.io.capabilities().mac;
            // All headers of the burst come closer while the first is looked at.
            self.burst.iter().for_each(PacketBuf::prefetch);
            parse::count_received(&self.burst, counters);
            if let Some(steer) = steer.as_mut().filter(|steer| steer.is_for(PortId(index))) {
                steer.process(now, PortId(index), &mut self.burst, mailbox.outbox());
            }
            while let Some(frame) = self.burst.pop_front() {
                parse::process(host, PortId(index), mac, frame, &mut self.lanes, counters);
            }
        }
        if let Some(steer) = steer {
            steer.flush(mailbox.outbox_mut(), counters);
        }
        received
    }

    /// Takes what other workers handed over, and what they learned.
    fn take_over(&mut self, now: Instant) -> usize {
        let WorkerParts {
            host,
            transmitter,
            mailbox,
            counters,
            ..
        } = &mut self.parts;
        let taken = mailbox.receive(MESSAGES_PER_TURN, &mut self.taken_over);
        let packets = self.taken_over.iter().map(|message| &message.packet);
        packets.for_each(PacketBuf::prefetch);
        for message in self.taken_over.drain(..) {
            let mac = transmitter.mac(message.port);
            parse::process_handed_over(host, mac, message, &mut self.lanes, counters);
        }
        let news = (0..NEWS_PER_TURN).take_while(|_| self.hear_news(now));
        taken + news.count()
    }

    /// Takes in what another worker learned, if one did.
    fn hear_news(&mut self, now: Instant) -> bool {
        let parts = &mut self.parts;
        let (host, tx, counters) = (&parts.host, &mut parts.transmitter, &parts.counters);
        match parts.mailbox.receive_news() {
            None => return false,
            Some(News::PacketTooBig(flow, error)) => {
                pipeline::icmp::handle_news(now, flow, error, &mut parts.tcp, counters);
            }
            Some(News::NeighborV4(port, heard)) => {
                pipeline::neighbor::handle(now, port, &heard, host, tx, counters);
            }
            Some(News::NeighborV6(port, heard)) => {
                pipeline::neighbor::handle(now, port, &heard, host, tx, counters);
            }
        }
        true
    }

    fn run_neighbor_lanes(&mut self, now: Instant) {
        let parts = &mut self.parts;
        let (host, mailbox, counters) = (&parts.host, &mut parts.mailbox, &parts.counters);
        let tx = &mut parts.transmitter;
        if !self.announced {
            self.announced = true;
            tx.announce::<V4>(host, counters);
            tx.announce::<V6>(host, counters);
        }
        for packet in self.lanes.arp.drain(..) {
            pipeline::neighbor::process_arp(now, packet, host, tx, mailbox, counters);
        }
    }

    fn run_icmp_lanes(&mut self, now: Instant) {
        let parts = &mut self.parts;
        let (host, mailbox, counters) = (&parts.host, &mut parts.mailbox, &parts.counters);
        let (tx, tcp, limit) = (
            &mut parts.transmitter,
            &mut parts.tcp,
            &mut parts.icmp_limit,
        );
        for packet in self.lanes.v4.icmp.drain(..) {
            pipeline::icmp::process(now, packet, tcp, tx, mailbox, counters);
        }
        for packet in self.lanes.v6.icmp.drain(..) {
            if packet
                .upper()
                .first()
                .is_some_and(|kind| ndp::is_ndp(*kind))
            {
                pipeline::neighbor::process_ndp(now, &packet, host, tx, mailbox, counters);
            } else {
                pipeline::icmp::process(now, packet, tcp, tx, mailbox, counters);
            }
        }
        for packet in self.lanes.v4.other.drain(..) {
            pipeline::icmp::refuse(now, &packet, limit, tx, counters);
        }
        for packet in self.lanes.v6.other.drain(..) {
            pipeline::icmp::refuse(now, &packet, limit, tx, counters);
        }
    }

    /// Fetches from memory the other halves of the sessions whose turn comes next.
    fn fetch_other_halves(&mut self) {
        let WorkerParts { tcp, sessions, .. } = &self.parts;
        let events = tcp.events_ahead(EVENTS_PER_TRANSMIT);
        let halves = events.filter_map(|(half, session)| sessions.other_half(session, half));
        self.halves.extend(halves);
        tcp.fetch(&self.halves.iter().copied());
        self.halves.clear();
    }

    fn run_tcp_lanes(&mut self, now: Instant) {
        let Self {
            parts,
            lanes,
            ahead,
            ..
        } = self;
        run_tcp_lane(now, &mut lanes.v4, ahead, parts);
        run_tcp_lane(now, &mut lanes.v6, ahead, parts);
    }

    fn run_timers(&mut self, now: Instant) {
        let parts = &mut self.parts;
        parts.tcp.handle_timeouts(now);
        parts
            .transmitter
            .handle_timeouts(now, &parts.host, &parts.counters);
    }

    /// Begins checks of backends that are due.
    fn run_checks(&mut self, now: Instant) {
        let parts = &mut self.parts;
        parts.sessions.take_back_backends(now);
        let Some(checks) = &mut parts.checks else {
            return;
        };
        let mut out = parts.transmitter.tcp_output(&parts.counters);
        let mut turn = session::Turn {
            now,
            tcp: &mut parts.tcp,
            out: &mut out,
            counters: &parts.counters,
        };
        if self.drain_until.is_some() {
            checks.stop(&mut turn);
            parts.checks = None;
        } else {
            checks.handle_timeouts(&mut turn);
        }
    }

    /// Lets sessions, and checks of backends, look at what happened to their connections.
    fn run_sessions(&mut self, now: Instant) -> usize {
        let mut events = 0;
        loop {
            self.fetch_other_halves();
            let parts = &mut self.parts;
            let mut out = parts.transmitter.tcp_output(&parts.counters);
            let mut turn = session::Turn {
                now,
                tcp: &mut parts.tcp,
                out: &mut out,
                counters: &parts.counters,
            };
            parts.sessions.handle_timeouts(&mut turn);
            if self.drain_until.is_some_and(|until| until <= now) {
                parts.sessions.reset_some(&mut turn);
            }
            let mut handled = 0;
            while handled < EVENTS_PER_TRANSMIT
                && let Some(event) = turn.tcp.poll_event(now, turn.out)
            {
                match (event, &mut parts.checks) {
                    (tcp::Event::Progress { id, owner }, Some(checks)) if Checks::owns(owner) => {
                        checks.handle_progress(id, owner, &mut turn);
                    }
                    _ => parts.sessions.handle_event(event, &mut turn),
                }
                handled += 1;
            }
            events += handled;
            if handled < EVENTS_PER_TRANSMIT {
                return events;
            }
            self.transmit(now);
        }
    }

    fn transmit(&mut self, now: Instant) {
        let parts = &mut self.parts;
        let tx = &mut parts.transmitter;
        tx.process(now, &parts.host, &parts.counters);
        tx.flush(now, &parts.counters);
    }

    fn handle_commands(&mut self, now: Instant) {
        while let Ok(command) = self.parts.commands.receiver.try_recv() {
            match command {
                Command::Drain(limit) => {
                    self.parts.tcp.stop_listening();
                    self.parts.counters.set(Event::Draining, 1);
                    let until = now + limit;
                    // A second command may only shorten the wait.
                    let earlier = self.drain_until.unwrap_or(until);
                    self.drain_until = Some(until.min(earlier));
                }
                Command::Finish => self.dispensable = true,
                Command::SetBackends(changes) => {
                    for change in &*changes {
                        self.parts.sessions.set_backend(change);
                    }
                }
            }
        }
    }

    /// The worker was told to drain, and nothing is left that a peer would miss. What cannot be sent
    /// (a neighbor does not answer, no buffer comes back) is waited for only a little longer than
    /// clients are.
    fn is_drained(&self, now: Instant) -> bool {
        let Some(until) = self.drain_until else {
            return false;
        };
        let parts = &self.parts;
        let no_clients = parts.sessions.is_empty() && parts.tcp.half_open() == 0;
        let all_sent = !parts.tcp.is_busy() && parts.transmitter.waiting() == 0;
        no_clients && (all_sent || now >= until + DRAIN_GRACE)
    }

    fn next_event(&self) -> Option<Instant> {
        if !self.parts.mailbox.is_empty() {
            return Some(Instant::ZERO);
        }
        let timers = [
            self.parts.tcp.poll_timeout(),
            self.parts.transmitter.poll_timeout(),
            self.parts.sessions.poll_timeout(),
            self.parts.checks.as_ref().and_then(Checks::poll_timeout),
            // Without sessions there is nothing to be reset then.
            self.drain_until.filter(|_| !self.parts.sessions.is_empty()),
        ];
        timers.into_iter().flatten().min()
    }
}

/// Hands in the segments of one IP version. Their connections are fetched from memory all at once
/// before that.
fn run_tcp_lane<I: HostIp, Io: PacketIo>(
    now: Instant,
    lanes: &mut IpLanes<I, Io::Buf>,
    ahead: &mut LookAhead,
    parts: &mut WorkerParts<Io>,
) {
    let WorkerParts {
        host,
        transmitter,
        tcp,
        mailbox,
        strays,
        counters,
        ..
    } = parts;
    let mut others = Others { mailbox, strays };
    lanes.runs.find(&lanes.tcp);
    tcp.look_ahead(NetworkId::BARE, lanes.heads(), ahead);
    tcp.fetch(&ahead.guesses().flatten());
    let mut guesses = ahead.guesses();
    for index in 0..lanes.tcp.len() {
        // Those that follow another are gone by now.
        if let Some(mut packet) = lanes.tcp[index].take() {
            packet.guess = guesses.next().flatten();
            let run = lanes.runs.after(index, &mut lanes.tcp);
            tcp_in::process(
                now,
                (packet, run),
                host,
                tcp,
                transmitter,
                &mut others,
                counters,
            );
        }
    }
    lanes.tcp.clear();
}
