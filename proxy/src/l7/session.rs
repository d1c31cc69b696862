//! Sessions: a client's connection, and the backend's that serves it.
//!
//! In: events of the worker's TCP endpoint. Out: calls to the endpoint, reports of ended sessions.
//!
//! ```text
//! accepted -> Connecting --established--> Joined --both finished--> reported
//!               |   ^                       |
//!               |   | next backend          | either half reset or timed out:
//!               v   | (tries, time left)    v the other half is reset
//!             refused, timed out         reported
//! ```
//! What the client sends before a backend is connected waits in its receive buffer. The halves end
//! as they were ended: FIN passes as FIN, after everything before it; anything else as RST, so a
//! transfer that was cut never looks complete.

use core::time::Duration;
use std::sync::Arc;

use crossbeam_channel::Sender;
use netstack::counters::{Counters, Event};
use netstack::tcp::{
    self, CloseCause, ConnId, ConnectError, Connection, ConnectionOptions, Endpoint, ListenerId,
    Output, Timeout,
};
use netstack::time::Instant;
use slab::Slab;

use super::backend_path::{BackendPath, Opening};
use super::backend_pool::{BackendId, BackendPool};
use super::report::SessionReport;
use super::splice;
use crate::termination::{Cause, CloseReason, Phase, Side};
use crate::worker::SetBackend;

/// Sessions reset in one turn when draining is over.
const RESETS_PER_TURN: usize = 256;

/// A backend group as a worker uses it.
#[derive(Debug)]
pub struct Group {
    /// Who is next.
    pub pool: BackendPool,
    /// How each backend is reached, in the order of the pool.
    pub paths: Vec<BackendPath>,
    /// What connections to it are made with.
    pub options: Arc<ConnectionOptions>,
    /// Backends tried for one session at most.
    pub tries: u8,
}

/// What sessions are made with.
#[derive(Debug)]
pub struct SessionsConfig {
    /// This worker.
    pub worker: u16,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Backend groups.
    pub groups: Vec<Group>,
    /// The group of each listener.
    pub group_of_listener: Vec<usize>,
    /// How long backends may be tried for one session.
    pub connect_total: Duration,
    /// Where reports go; full means lost and counted.
    pub reports: Sender<SessionReport>,
}

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
pub struct Sessions {
    sessions: Slab<Session>,
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
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// A backend is to be connected to.
    Connecting(Search),
    /// Octets flow.
    Joined(Joined),
}

#[derive(Debug)]
struct Search {
    /// The backend that was sent a SYN; `None` only on the way to the next one.
    attempt: Option<Attempt>,
    /// Backends that could not be connected to.
    failed: Vec<BackendId>,
}

#[derive(Debug)]
struct Joined {
    attempt: Attempt,
    /// Backends that were tried, this one included.
    tries: u8,
    connected_at: Instant,
    bytes_to_backend: u64,
    bytes_to_client: u64,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    backend: BackendId,
    connection: ConnId,
}

impl Session {
    fn attempt(&self) -> Option<Attempt> {
        match &self.stage {
            Stage::Connecting(search) => search.attempt,
            Stage::Joined(joined) => Some(joined.attempt),
        }
    }

    /// Backends that were tried, and the last of them.
    fn tried(&self) -> (u8, Option<BackendId>) {
        match &self.stage {
            Stage::Connecting(Search { attempt, failed }) => (
                failed.len() as u8 + u8::from(attempt.is_some()),
                attempt
                    .map(|attempt| attempt.backend)
                    .or_else(|| failed.last().copied()),
            ),
            Stage::Joined(joined) => (joined.tries, Some(joined.attempt.backend)),
        }
    }
}

impl Sessions {
    /// No sessions yet.
    pub fn new(config: SessionsConfig) -> Self {
        Self {
            sessions: Slab::with_capacity(config.max_sessions),
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
    pub fn handle_timeouts(&mut self, now: Instant) {
        for group in &mut self.config.groups {
            group.pool.handle_timeouts(now);
        }
    }

    /// When [`Sessions::handle_timeouts`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let groups = self.config.groups.iter();
        groups.filter_map(|group| group.pool.poll_timeout()).min()
    }

    /// Uses a backend as the operator wants from now on.
    pub fn set_backend(&mut self, change: &SetBackend) {
        if let Some(group) = self.config.groups.get_mut(change.group.0) {
            group.pool.set(change.backend, change.setting);
        }
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
                    Some(Stage::Joined(_)) => self.joined(key, turn),
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
            stage: Stage::Connecting(Search {
                attempt: None,
                failed: Vec::new(),
            }),
        });
        turn.counters
            .set(Event::SessionsActive, self.sessions.len() as u64);
        turn.tcp.claim(client, key as u32);
        let nobody = CloseReason {
            side: Side::Proxy,
            cause: Cause::Limit,
            phase: Phase::Queue,
        };
        self.connect_next(key, nobody, turn);
        // The client's handshake may still want an ACK, and its octets a window.
        if self.sessions.contains(key) {
            turn.tcp.flush(client, turn.now, turn.out);
        }
    }

    /// Connects to the next backend. If there is none that may be tried, the session ends for
    /// `reason`, which is how the last try failed.
    fn connect_next<O: Output>(&mut self, key: usize, reason: CloseReason, turn: &mut Turn<'_, O>) {
        let mut reason = reason;
        loop {
            let session = &mut self.sessions[key];
            let Stage::Connecting(search) = &mut session.stage else {
                return;
            };
            let group_index = self.config.group_of_listener[session.listener.0 as usize];
            let group = &mut self.config.groups[group_index];
            let waited = turn.now.saturating_duration_since(session.accepted_at);
            let may_try = search.failed.len() < usize::from(group.tries)
                && (search.failed.is_empty() || waited < self.config.connect_total);
            let client = turn.tcp.flow(session.client).remote().ip();
            let choice = may_try
                .then(|| group.pool.pick(turn.now, client, &search.failed))
                .flatten();
            let Some(backend) = choice else {
                turn.counters.increment(Event::SessionsNoBackend);
                self.close(key, reason, turn);
                return;
            };
            if !search.failed.is_empty() {
                turn.counters.increment(Event::SessionsRetried);
            }
            let opening = Opening {
                path: &group.paths[backend.index()],
                remote: group.pool.backend(backend).address,
                options: &group.options,
                by: session.accepted_at + self.config.connect_total,
                owner: key as u32,
            };
            match opening.open(turn.now, turn.tcp) {
                Ok(connection) => {
                    search.attempt = Some(Attempt {
                        backend,
                        connection,
                    });
                    turn.tcp.flush(connection, turn.now, turn.out);
                    return;
                }
                Err(error) => {
                    group.pool.release(backend);
                    search.failed.push(backend);
                    reason = refusal(error);
                }
            }
        }
    }

    /// Something happened while a backend is being connected.
    fn connecting<O: Output>(&mut self, key: usize, attempt: Attempt, turn: &mut Turn<'_, O>) {
        let client = self.sessions[key].client;
        if let Some(cause) = turn.tcp.connection(client).ended() {
            self.close(key, close_reason(Side::Client, cause, Phase::Connect), turn);
            return;
        }
        let backend = turn.tcp.connection(attempt.connection);
        if let Some(cause) = backend.ended() {
            let reason = close_reason(Side::Backend, cause, Phase::Connect);
            self.note_failed(key, attempt.backend, reason, turn);
            self.abandon(key, attempt, turn);
            self.connect_next(key, reason, turn);
            return;
        }
        if backend.is_established() {
            turn.counters.increment(Event::TcpConnected);
            let session = &mut self.sessions[key];
            session.stage = Stage::Joined(Joined {
                attempt,
                tries: session.tried().0,
                connected_at: turn.now,
                bytes_to_backend: 0,
                bytes_to_client: 0,
            });
            self.joined(key, turn);
            return;
        }
        turn.tcp.flush(attempt.connection, turn.now, turn.out);
        turn.tcp.flush(client, turn.now, turn.out);
    }

    /// Something happened to one of two joined halves.
    fn joined<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let Session { client, stage, .. } = &mut self.sessions[key];
        let Stage::Joined(joined) = stage else { return };
        let (client_id, backend_id) = (*client, joined.attempt.connection);
        // Most often something has happened to both, and once is enough.
        turn.tcp.attend(client_id);
        turn.tcp.attend(backend_id);
        let Some((client, backend)) = turn.tcp.pair(client_id, backend_id) else {
            return;
        };
        let to_backend = splice::forward(client, backend, turn.out);
        let to_client = splice::forward(backend, client, turn.out);
        Connection::share_progress(client, backend);
        let ended = (client.ended(), backend.ended());
        let first = joined.bytes_to_client == 0 && to_client > 0;
        joined.bytes_to_backend += to_backend;
        joined.bytes_to_client += to_client;
        turn.counters.add(Event::BytesToBackend, to_backend);
        turn.counters.add(Event::BytesToClient, to_client);
        if first {
            let backend = joined.attempt.backend;
            self.pool_of(key).note_served(turn.now, backend);
        }
        let reason = match ended {
            (Some(CloseCause::Finished), Some(CloseCause::Finished)) => CloseReason::FINISHED,
            (Some(cause), _) if cause != CloseCause::Finished => {
                close_reason(Side::Client, cause, Phase::Data)
            }
            (_, Some(cause)) if cause != CloseCause::Finished => {
                close_reason(Side::Backend, cause, Phase::Data)
            }
            _ => {
                turn.tcp.flush(client_id, turn.now, turn.out);
                turn.tcp.flush(backend_id, turn.now, turn.out);
                return;
            }
        };
        self.note_end(key, reason, turn);
        self.close(key, reason, turn);
    }

    fn pool_of(&mut self, key: usize) -> &mut BackendPool {
        let listener = self.sessions[key].listener;
        let group = self.config.group_of_listener[listener.0 as usize];
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
        let waited = turn.now.saturating_duration_since(session.accepted_at);
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
        let Stage::Joined(joined) = &self.sessions[key].stage else {
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

    /// Gives up a backend that did not become connected.
    fn abandon<O: Output>(&mut self, key: usize, attempt: Attempt, turn: &mut Turn<'_, O>) {
        let session = &mut self.sessions[key];
        if let Stage::Connecting(search) = &mut session.stage {
            search.attempt = None;
            search.failed.push(attempt.backend);
        }
        let group = self.config.group_of_listener[session.listener.0 as usize];
        self.config.groups[group].pool.release(attempt.backend);
        turn.tcp.connection(attempt.connection).abort();
        turn.tcp.release(attempt.connection, turn.now, turn.out);
    }

    /// Ends a session. Halves that have not ended by themselves are reset.
    fn close<O: Output>(&mut self, key: usize, reason: CloseReason, turn: &mut Turn<'_, O>) {
        let session = self.sessions.remove(key);
        // Now, while the connections are there.
        let report = self.report(&session, reason, turn);
        let attempt = session.attempt();
        for connection in [
            Some(session.client),
            attempt.map(|attempt| attempt.connection),
        ] {
            let Some(id) = connection else { continue };
            turn.tcp.connection(id).abort();
            turn.tcp.release(id, turn.now, turn.out);
        }
        if let Some(attempt) = attempt {
            let group = self.config.group_of_listener[session.listener.0 as usize];
            self.config.groups[group].pool.release(attempt.backend);
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
        session: &Session,
        reason: CloseReason,
        turn: &Turn<'_, O>,
    ) -> SessionReport {
        let client = turn.tcp.flow(session.client);
        let attempt = session.attempt();
        let (tries, backend) = session.tried();
        let joined = match &session.stage {
            Stage::Joined(joined) => Some(joined),
            Stage::Connecting(_) => None,
        };
        SessionReport {
            worker: self.config.worker,
            listener: session.listener,
            client: client.remote(),
            local: client.local(),
            backend,
            source: attempt.map(|attempt| turn.tcp.flow(attempt.connection).local()),
            tries,
            handshake: session
                .accepted_at
                .saturating_duration_since(session.opened_at),
            connect: joined.map(|joined| {
                joined
                    .connected_at
                    .saturating_duration_since(session.accepted_at)
            }),
            total: turn.now.saturating_duration_since(session.opened_at),
            bytes_to_backend: joined.map_or(0, |joined| joined.bytes_to_backend),
            bytes_to_client: joined.map_or(0, |joined| joined.bytes_to_client),
            reason,
        }
    }

    fn phase(&self, key: usize) -> Phase {
        match &self.sessions[key].stage {
            Stage::Connecting(Search { attempt: None, .. }) => Phase::Queue,
            Stage::Connecting(_) => Phase::Connect,
            Stage::Joined(_) => Phase::Data,
        }
    }
}

/// Why no connection could even be begun.
fn refusal(error: ConnectError) -> CloseReason {
    let cause = match error {
        ConnectError::NoPort => Cause::Exhausted,
        ConnectError::NoConnection => Cause::Limit,
    };
    CloseReason {
        side: Side::Proxy,
        cause,
        phase: Phase::Connect,
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
