//! Sessions: a client's connection, and the backend's that serves it.
//!
//! In: events of the worker's TCP endpoint. Out: calls to the endpoint, reports of ended sessions.
//!
//! ```text
//! accepted -> Preamble --said what it had to--> Connecting --established--> Joined --both finished--> reported
//!    |           |                               |   ^                       |
//!    |           v something else, or too late   |   | next backend          | either half reset or
//!    |        reported                           |   | (tries, time left)    v timed out: the other
//!    +--- nothing to be said first ------------->v   |                    reported  half is reset
//!                                            refused, timed out
//! ```
//! What the client sends before a backend is connected waits in its receive buffer. The halves end
//! as they were ended: FIN passes as FIN, after everything before it; anything else as RST, so a
//! transfer that was cut never looks complete.
mod announce;
mod config;
mod connecting;
mod joined;
mod preamble;

use netstack::counters::{Counters, Event};
use netstack::tcp::{self, CloseCause, ConnId, Endpoint, ListenerId, Output, Timeout};
use netstack::time::Instant;
use netstack::timer_wheel::TimerWheel;
use slab::Slab;

pub use self::config::{Group, ListenerPlan, SessionsConfig};
use self::connecting::Search;
use self::joined::Joined;
use self::preamble::Preamble;
pub use self::preamble::Preface;
use super::about::About;
use super::backend_pool::{BackendId, BackendPool};
use super::report::SessionReport;
use crate::termination::{Cause, CloseReason, Phase, Side};
use crate::worker::SetBackend;

/// Sessions reset in one turn when draining is over.
const RESETS_PER_TURN: usize = 256;

/// What a turn of the worker lends to the sessions.
pub struct Turn<'a, O: Output> {
    /// Now.
    pub now: Instant,
    /// The worker's TCP.
    pub tcp: &'a mut Endpoint<O::Buf>,
    /// Where segments go.
    pub out: &'a mut O,
    /// The worker's counters.
    pub counters: &'a Counters,
}

/// All sessions of one worker.
#[derive(Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "the sessions are what the rest is about"
)]
pub struct Sessions {
    sessions: Slab<Session>,
    /// When the preamble of a session must be over, by its place in `sessions`.
    timers: TimerWheel,
    /// For what is looked at, or written, in pieces; empty or old between calls.
    scratch: Vec<u8>,
    /// For messages that are put together of records; empty or old between calls.
    records: Vec<u8>,
    /// Sessions that were given an identifier of their own.
    named: u64,
    config: SessionsConfig,
}

/// There are many, and most are idle: what the connections know is not kept here, and nothing that
/// only another stage needs.
#[derive(Debug)]
struct Session {
    client: ConnId,
    listener: ListenerId,
    opened_at: Instant,
    accepted_at: Instant,
    /// What is known of the client beyond its connection.
    about: Option<Box<About>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The client has something to say first.
    Preamble(Preamble),
    /// A backend is to be connected to.
    Connecting(Search),
    /// Octets flow.
    Joined {
        /// Backends that were tried, this one included. Not in `joined`, where it would take eight
        /// times its size.
        tries: u8,
        joined: Joined,
    },
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    backend: BackendId,
    connection: ConnId,
}

impl Session {
    fn attempt(&self) -> Option<Attempt> {
        match &self.stage {
            Stage::Preamble(_) => None,
            Stage::Connecting(search) => search.attempt,
            Stage::Joined { joined, .. } => Some(joined.attempt),
        }
    }

    /// The place of the group that serves it.
    fn group(&self, config: &SessionsConfig) -> usize {
        let listener = &config.listeners[self.listener.0 as usize];
        self.about
            .as_ref()
            .map_or(listener.group, |about| about.group)
    }

    /// When a backend could be looked for.
    fn ready_at(&self) -> Instant {
        self.about
            .as_ref()
            .map_or(self.accepted_at, |about| about.ready_at)
    }

    /// Backends that were tried, and the last of them.
    fn tried(&self) -> (u8, Option<BackendId>) {
        match &self.stage {
            Stage::Preamble(_) => (0, None),
            Stage::Connecting(Search { attempt, failed }) => (
                failed.len() as u8 + u8::from(attempt.is_some()),
                attempt
                    .map(|attempt| attempt.backend)
                    .or_else(|| failed.last().copied()),
            ),
            Stage::Joined { tries, joined } => (*tries, Some(joined.attempt.backend)),
        }
    }
}

impl Sessions {
    /// No sessions yet.
    pub fn new(config: SessionsConfig, now: Instant) -> Self {
        let capacity = config.max_sessions as u32;
        Self {
            sessions: Slab::with_capacity(config.max_sessions),
            timers: TimerWheel::new(capacity, TimerWheel::DEFAULT_TICK, now),
            scratch: Vec::new(),
            records: Vec::new(),
            named: 0,
            config,
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Takes back backends that were ejected for long enough.
    pub fn take_back_backends(&mut self, now: Instant) {
        for group in &mut self.config.groups {
            group.pool.handle_timeouts(now);
        }
    }

    /// Uses a backend as the operator wants from now on.
    pub fn set_backend(&mut self, change: &SetBackend) {
        if let Some(group) = self.config.groups.get_mut(change.group.0) {
            group.pool.set(change.backend, change.setting);
        }
    }

    /// When [`Self::handle_timeouts`] or [`Self::take_back_backends`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let groups = self.config.groups.iter();
        let returns = groups.filter_map(|group| group.pool.poll_timeout());
        returns.chain(self.timers.next_deadline()).min()
    }

    /// The other half of a session, if there are two.
    pub fn other_half(&self, session: u32, half: ConnId) -> Option<ConnId> {
        let session = self.sessions.get(session as usize)?;
        let backend = session.attempt()?.connection;
        Some(if half == backend {
            session.client
        } else {
            backend
        })
    }

    /// Takes in an event of the worker's TCP.
    pub fn handle_event<O: Output>(&mut self, event: tcp::Event, turn: &mut Turn<'_, O>) {
        match event {
            tcp::Event::Accepted {
                id,
                listener,
                opened_at,
                flow: _,
            } => self.open(id, listener, opened_at, turn),
            tcp::Event::Progress { id, owner } => {
                let key = owner as usize;
                match self.sessions.get(key).map(|session| &session.stage) {
                    Some(Stage::Connecting(Search {
                        attempt: Some(attempt),
                        ..
                    })) => self.connecting(key, *attempt, turn),
                    Some(Stage::Preamble(_)) => {
                        self.preamble(key, turn);
                        // What was taken has made room, and wants an acknowledgment.
                        if self.sessions.contains(key) {
                            turn.tcp.flush(id, turn.now, turn.out);
                        }
                    }
                    Some(Stage::Joined { .. }) => self.joined(key, turn),
                    _ => turn.tcp.flush(id, turn.now, turn.out),
                }
            }
        }
    }

    /// Resets sessions that are still there when draining has taken long enough: some of them, so
    /// that the turn stays short. To be called until there are none.
    pub fn reset_some<O: Output>(&mut self, turn: &mut Turn<'_, O>) {
        let keys: Vec<usize> = self
            .sessions
            .iter()
            .take(RESETS_PER_TURN)
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            let phase = self.phase(key);
            let reason = CloseReason {
                side: Side::Proxy,
                cause: Cause::Killed,
                phase,
            };
            self.close(key, reason, turn);
        }
    }

    fn open<O: Output>(
        &mut self,
        client: ConnId,
        listener: ListenerId,
        opened_at: Instant,
        turn: &mut Turn<'_, O>,
    ) {
        turn.counters.increment(Event::SessionsOpened);
        let key = self.sessions.insert(Session {
            client,
            listener,
            opened_at,
            accepted_at: turn.now,
            about: None,
            stage: Stage::Connecting(Search::default()),
        });
        turn.counters
            .set(Event::SessionsActive, self.sessions.len() as u64);
        turn.tcp.claim(client, key as u32);
        self.begin(key, turn);
        // The client's handshake may still want an ACK, and its octets a window.
        if self.sessions.contains(key) {
            turn.tcp.flush(client, turn.now, turn.out);
        }
    }

    fn pool_of(&mut self, key: usize) -> &mut BackendPool {
        let group = self.sessions[key].group(&self.config);
        &mut self.config.groups[group].pool
    }

    /// Tells the pool of a backend that did not become connected. A later try that the budget of
    /// all tries cut short says nothing about the backend.
    fn note_failed<O: Output>(
        &mut self,
        key: usize,
        backend: BackendId,
        reason: CloseReason,
        turn: &Turn<'_, O>,
    ) {
        let session = &self.sessions[key];
        let waited = turn.now.saturating_duration_since(session.ready_at());
        let cut_short = reason.cause == Cause::TimedOut
            && session.tried().0 > 1
            && waited >= self.config.connect_total;
        if !cut_short && reason.cause != Cause::Internal {
            self.pool_of(key)
                .note_failed(turn.now, backend, reason.cause);
        }
    }

    /// Tells the pool how a session ended that was joined.
    fn note_end<O: Output>(&mut self, key: usize, reason: CloseReason, turn: &Turn<'_, O>) {
        let Stage::Joined { joined, .. } = &self.sessions[key].stage else {
            return;
        };
        let backend = joined.attempt.backend;
        let silent = joined.bytes_to_client == 0;
        if reason == CloseReason::FINISHED {
            self.pool_of(key).note_served(turn.now, backend);
        } else if silent && (reason.side, reason.cause) == (Side::Backend, Cause::Reset) {
            self.pool_of(key)
                .note_failed(turn.now, backend, reason.cause);
        }
    }

    /// Ends a session. Halves that have not ended by themselves are reset.
    fn close<O: Output>(&mut self, key: usize, reason: CloseReason, turn: &mut Turn<'_, O>) {
        let session = &self.sessions[key];
        let backend = session.attempt().map(|attempt| attempt.connection);
        for id in [Some(session.client), backend].into_iter().flatten() {
            turn.tcp.connection(id).abort();
        }
        self.end(key, reason, turn);
    }

    /// Ends a session, and leaves its halves to end as they were told to.
    fn end<O: Output>(&mut self, key: usize, reason: CloseReason, turn: &mut Turn<'_, O>) {
        let mut session = self.sessions.remove(key);
        if matches!(session.stage, Stage::Preamble(_)) {
            self.timers.cancel(key as u32);
        }
        let attempt = session.attempt();
        if let Some(attempt) = attempt {
            let group = session.group(&self.config);
            self.config.groups[group].pool.release(attempt.backend);
        }
        // Now, while the connections are there.
        let report = self.report(&mut session, reason, turn);
        let backend = attempt.map(|attempt| attempt.connection);
        for id in [Some(session.client), backend].into_iter().flatten() {
            turn.tcp.release(id, turn.now, turn.out);
        }
        turn.counters.increment(Event::SessionsClosed);
        turn.counters
            .set(Event::SessionsActive, self.sessions.len() as u64);
        if reason != CloseReason::FINISHED {
            turn.counters.increment(Event::SessionsAborted);
        }
        if self.config.reports.try_send(report).is_err() {
            turn.counters.increment(Event::ReportsLost);
        }
    }

    fn report<O: Output>(
        &self,
        session: &mut Session,
        reason: CloseReason,
        turn: &Turn<'_, O>,
    ) -> SessionReport {
        let ready_at = session.ready_at();
        let about = session.about.take();
        let client = turn.tcp.flow(session.client);
        let attempt = session.attempt();
        let (tries, backend) = session.tried();
        let joined = match &session.stage {
            Stage::Joined { joined, .. } => Some(joined),
            Stage::Preamble(_) | Stage::Connecting(_) => None,
        };
        SessionReport {
            worker: self.config.worker,
            listener: session.listener,
            peer: client.remote(),
            local: client.local(),
            backend,
            source: attempt.map(|attempt| turn.tcp.flow(attempt.connection).local()),
            tries,
            handshake: session
                .accepted_at
                .saturating_duration_since(session.opened_at),
            preamble: ready_at.saturating_duration_since(session.accepted_at),
            connect: joined.map(|joined| joined.connected_at.saturating_duration_since(ready_at)),
            total: turn.now.saturating_duration_since(session.opened_at),
            bytes_to_backend: joined.map_or(0, |joined| joined.bytes_to_backend),
            bytes_to_client: joined.map_or(0, |joined| joined.bytes_to_client),
            about,
            reason,
        }
    }

    fn phase(&self, key: usize) -> Phase {
        match &self.sessions[key].stage {
            Stage::Preamble(_) => Phase::Preamble,
            Stage::Connecting(Search { attempt: None, .. }) => Phase::Queue,
            Stage::Connecting(_) => Phase::Connect,
            Stage::Joined { .. } => Phase::Data,
        }
    }
}

/// What the end of the half on `side` means for the session.
fn close_reason(side: Side, cause: CloseCause, phase: Phase) -> CloseReason {
    let cause = match cause {
        // A half that finished before the session was joined left early.
        CloseCause::Finished | CloseCause::Reset => Cause::Reset,
        CloseCause::Refused => Cause::Refused,
        CloseCause::Unreachable => Cause::Unreachable,
        CloseCause::TimedOut(Timeout::Keepalive) => Cause::Unanswered,
        CloseCause::TimedOut(_) => Cause::TimedOut,
        CloseCause::Aborted => Cause::Killed,
        CloseCause::EnginePanic => Cause::Internal,
    };
    CloseReason { side, cause, phase }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_takes_little_memory() {
        assert!(size_of::<Session>() <= 72, "{}", size_of::<Session>());
    }
}
