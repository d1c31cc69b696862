//! A session without a backend yet.
//!
//! In: a session whose group is known. Out: one whose halves are joined, or one that ended because no
//! backend could be connected to.

use netstack::counters::Event;
use netstack::tcp::{ConnectError, Output};

use super::joined::Joined;
use super::{Attempt, Sessions, Stage, Turn, close_reason};
use crate::l7::backend_path::Opening;
use crate::l7::backend_pool::BackendId;
use crate::termination::{Cause, CloseReason, Phase, Side};

#[derive(Debug, Default)]
pub(super) struct Search {
    /// The backend that was sent a SYN; `None` only on the way to the next one.
    pub(super) attempt: Option<Attempt>,
    /// Backends that could not be connected to.
    pub(super) failed: Box<[BackendId]>,
}

impl Search {
    /// Notes that a backend could not be connected to.
    fn fail(&mut self, backend: BackendId) {
        self.attempt = None;
        self.failed = self.failed.iter().copied().chain([backend]).collect();
    }
}

impl Sessions {
    /// Looks for a backend: the group is known.
    pub(super) fn search<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let session = &mut self.sessions[key];
        if matches!(session.stage, Stage::Preamble(_)) {
            self.timers.cancel(key as u32);
        }
        session.stage = Stage::Connecting(Search::default());
        let nobody = CloseReason {
            side: Side::Proxy,
            cause: Cause::Limit,
            phase: Phase::Queue,
        };
        self.connect_next(key, nobody, turn);
    }

    /// Connects to the next backend. If there is none that may be tried, the session ends for
    /// `reason`, which is how the last try failed.
    pub(super) fn connect_next<O: Output>(
        &mut self,
        key: usize,
        reason: CloseReason,
        turn: &mut Turn<'_, O>,
    ) {
        let mut reason = reason;
        loop {
            let session = &mut self.sessions[key];
            let (ready_at, group) = (session.ready_at(), session.group(&self.config));
            let peer = turn.tcp.flow(session.client).remote();
            let told = session.about.as_ref().and_then(|about| about.client());
            let client = told.unwrap_or(peer).ip();
            let Stage::Connecting(search) = &mut session.stage else {
                return;
            };
            let group = &mut self.config.groups[group];
            let waited = turn.now.saturating_duration_since(ready_at);
            let may_try = search.failed.len() < usize::from(group.tries)
                && (search.failed.is_empty() || waited < self.config.connect_total);
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
                by: ready_at + self.config.connect_total,
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
                    search.fail(backend);
                    reason = refusal(error);
                }
            }
        }
    }

    /// Something happened while a backend is being connected.
    pub(super) fn connecting<O: Output>(
        &mut self,
        key: usize,
        attempt: Attempt,
        turn: &mut Turn<'_, O>,
    ) {
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
            session.stage = Stage::Joined {
                tries: session.tried().0,
                joined: Joined {
                    attempt,
                    connected_at: turn.now,
                    bytes_to_backend: 0,
                    bytes_to_client: 0,
                },
            };
            self.announce(key, turn);
            self.joined(key, turn);
            return;
        }
        turn.tcp.flush(attempt.connection, turn.now, turn.out);
        turn.tcp.flush(client, turn.now, turn.out);
    }

    /// Gives up a backend that did not become connected.
    fn abandon<O: Output>(&mut self, key: usize, attempt: Attempt, turn: &mut Turn<'_, O>) {
        let session = &mut self.sessions[key];
        if let Stage::Connecting(search) = &mut session.stage {
            search.fail(attempt.backend);
        }
        let group = session.group(&self.config);
        self.config.groups[group].pool.release(attempt.backend);
        turn.tcp.connection(attempt.connection).abort();
        turn.tcp.release(attempt.connection, turn.now, turn.out);
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
