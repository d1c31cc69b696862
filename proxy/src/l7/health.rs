//! Checks of backends: whether they accept connections, and answer as they should.
//!
//! *In*: time, and events of the worker's TCP endpoint that belong to checks. *Out*: connections to
//! backends, what the [`Board`] says of them, and reports of changes.
//!
//! The host's kernel may have no route to the backends, so checks go the way that sessions go: from
//! the data plane's own addresses, through the same ports, over connections of a worker's endpoint.
//! They are told from those of sessions by their owner's number ([`Checks::owns`]). Each backend is
//! checked by one worker, so that it is checked as often as configured however many there are.
//!
//! ```text
//! Resting --interval--> Asking --verdict: good--> Leaving --ended--> Resting
//!                         |                          | time is over: reset
//!                         +--verdict: bad: reset-----+------------> Resting
//! ```
//! A check that went well ends as a client would end it, so that servers log no failure; what it
//! still sends is not read for longer than the check may take. What cannot be begun (no source
//! port, no room for a connection) says nothing about the backend and is no result.

mod answer;
mod board;
mod record;
mod report;
mod schedule;

use core::net::SocketAddr;
use std::sync::Arc;

use netstack::counters::Event;
use netstack::io::PacketBuf;
use netstack::tcp::{Chunk, CloseCause, ConnId, Connection, ConnectionOptions, Output};
use netstack::time::Instant;
use netstack::timer_wheel::TimerWheel;

pub use self::board::{Board, Standing};
pub use self::report::{Change, Failure, HealthReport, Teller};

use self::answer::LONGEST_ANSWER;
use self::record::Record;
use self::schedule::Schedule;
use super::backend_path::{BackendPath, Opening};
use super::backend_pool::BackendId;
use super::proxy_protocol;
use super::session::Turn;
use crate::config::{AnnounceVersion, BackendGroupId, HealthConfig};

/// Owners of connections from here on are checks, all below are sessions.
const FIRST_OWNER: u32 = 1 << 31;

/// Checks begun, or given up, in one turn at most.
const TIMERS_PER_TURN: usize = 32;

/// Octets that are read of a backend that goes on sending after it has passed.
const MOST_EXCESS: usize = 64 << 10;

/// A backend that a worker is to check.
#[derive(Clone, Debug)]
pub struct Target {
    /// The backend's group.
    pub group: BackendGroupId,
    /// The backend.
    pub backend: BackendId,
    /// Where sessions go; checks too, unless `config` names another port.
    pub address: SocketAddr,
    /// How it is reached.
    pub path: BackendPath,
    /// What connections to it are made with.
    pub options: Arc<ConnectionOptions>,
    /// Whether it is told who clients are. So it wants to hear who we are, unless we check another
    /// port.
    pub announce: Option<AnnounceVersion>,
    /// How it is checked.
    pub config: Arc<HealthConfig>,
    /// Where the result is written.
    pub board: Board,
}

/// All checks of one worker.
#[derive(Debug)]
pub struct Checks {
    of_backends: Vec<CheckOf>,
    /// One for each: the next beginning, or the end of patience.
    timers: TimerWheel,
    teller: Teller,
}

/// The check of one backend.
#[derive(Debug)]
struct CheckOf {
    target: Target,
    request: Vec<u8>,
    record: Record,
    schedule: Schedule,
    started: Instant,
    stage: Stage,
    /// What was answered so far; empty while resting.
    answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Resting,
    /// The verdict is not there.
    Asking {
        connection: ConnId,
        sent: usize,
    },
    /// It is, and the connection has not ended.
    Leaving {
        connection: ConnId,
        excess: usize,
    },
}

impl Checks {
    /// Checks of `targets`, the first of which are made at once. `key` is what their jitter
    /// follows from.
    pub fn new(now: Instant, targets: Vec<Target>, key: u64, teller: Teller) -> Self {
        let mut timers = TimerWheel::new(targets.len() as u32, TimerWheel::DEFAULT_TICK, now);
        let checks = (0..).zip(targets).map(|(token, target)| {
            timers.schedule(token, now);
            CheckOf::new(target, key)
        });
        Self {
            of_backends: checks.collect(),
            timers,
            teller,
        }
    }

    /// Whether a connection with this owner is a check's.
    pub fn owns(owner: u32) -> bool {
        owner >= FIRST_OWNER
    }

    /// Begins checks that are due, and gives up those that take too long.
    pub fn handle_timeouts<O: Output>(&mut self, turn: &mut Turn<'_, O>) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(token) = self.timers.poll_expired(turn.now) else {
                return;
            };
            match self.of_backends[token as usize].stage {
                Stage::Resting => self.begin(token, turn),
                Stage::Asking { connection, .. } => {
                    let connected = turn.tcp.connection(connection).is_established();
                    let failure = if connected {
                        Failure::NotAnswered
                    } else {
                        Failure::NotConnected
                    };
                    self.conclude(token, connection, Err(failure), turn);
                }
                Stage::Leaving { connection, .. } => self.end(token, connection, turn),
            }
        }
    }

    /// When [`Checks::handle_timeouts`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Something happened to a connection of a check.
    pub fn handle_progress<O: Output>(&mut self, id: ConnId, owner: u32, turn: &mut Turn<'_, O>) {
        let token = owner - FIRST_OWNER;
        let check = self.of_backends.get_mut(token as usize);
        match check.map(|check| check.stage) {
            Some(Stage::Asking { connection, .. }) if connection == id => {
                self.asking(token, id, turn);
            }
            Some(Stage::Leaving { connection, .. }) if connection == id => {
                self.leaving(token, id, turn);
            }
            _ => turn.tcp.flush(id, turn.now, turn.out),
        }
    }

    /// Makes no more checks, and ends those that are going on: nobody will choose a backend again.
    pub fn stop<O: Output>(&mut self, turn: &mut Turn<'_, O>) {
        for (token, check) in (0..).zip(&mut self.of_backends) {
            self.timers.cancel(token);
            check.leave(turn);
        }
    }

    fn begin<O: Output>(&mut self, token: u32, turn: &mut Turn<'_, O>) {
        let check = &mut self.of_backends[token as usize];
        check.started = turn.now;
        check.schedule.advance(turn.now);
        let Target {
            address,
            path,
            options,
            config,
            ..
        } = &check.target;
        let deadline = turn.now + config.timeout;
        let opening = Opening {
            path,
            remote: SocketAddr::new(address.ip(), config.port.unwrap_or_else(|| address.port())),
            options,
            by: deadline,
            owner: FIRST_OWNER + token,
        };
        let Ok(connection) = opening.open(turn.now, turn.tcp) else {
            self.timers.schedule(token, check.schedule.next());
            return;
        };
        turn.counters.increment(Event::HealthChecks);
        check.stage = Stage::Asking {
            connection,
            sent: 0,
        };
        self.timers.schedule(token, deadline);
        turn.tcp.flush(connection, turn.now, turn.out);
    }

    fn asking<O: Output>(&mut self, token: u32, id: ConnId, turn: &mut Turn<'_, O>) {
        let check = &mut self.of_backends[token as usize];
        match check.converse(id, turn) {
            Some(verdict) => self.conclude(token, id, verdict, turn),
            None => turn.tcp.flush(id, turn.now, turn.out),
        }
    }

    /// Waits for the end of a connection that is of no more use.
    fn leaving<O: Output>(&mut self, token: u32, id: ConnId, turn: &mut Turn<'_, O>) {
        let connection = turn.tcp.connection(id);
        let read = discard(connection);
        let ended = connection.ended().is_some();
        if let Stage::Leaving { excess, .. } = &mut self.of_backends[token as usize].stage {
            *excess += read;
            if !ended && *excess <= MOST_EXCESS {
                turn.tcp.flush(id, turn.now, turn.out);
                return;
            }
        }
        self.end(token, id, turn);
    }

    /// Takes in a result.
    fn conclude<O: Output>(
        &mut self,
        token: u32,
        connection: ConnId,
        verdict: Result<(), Failure>,
        turn: &mut Turn<'_, O>,
    ) {
        self.note(token, verdict, turn);
        let check = &mut self.of_backends[token as usize];
        let alive = turn.tcp.connection(connection).ended().is_none();
        if verdict.is_err() || !alive {
            self.end(token, connection, turn);
            return;
        }
        turn.tcp.connection(connection).close();
        let excess = 0;
        check.stage = Stage::Leaving { connection, excess };
        let patience = check.started + check.target.config.timeout;
        let until = patience.min(check.schedule.next());
        self.timers.schedule(token, until);
        // There may be something to discard already.
        self.leaving(token, connection, turn);
    }

    /// Counts a result, and tells everybody if it changes anything.
    fn note<O: Output>(&mut self, token: u32, verdict: Result<(), Failure>, turn: &Turn<'_, O>) {
        let check = &mut self.of_backends[token as usize];
        let Target {
            group,
            backend,
            board,
            ..
        } = &check.target;
        if verdict.is_err() {
            turn.counters.increment(Event::HealthChecksFailed);
        }
        let changed = check.record.note(verdict.is_ok());
        let checks = check.record.checks();
        let Some(in_a_row) = changed else { return };
        let (standing, change, down) = match verdict {
            Ok(()) => (
                Standing::UpSince(turn.now),
                Change::Up { in_a_row, checks },
                -1,
            ),
            Err(reason) => {
                let change = Change::Down {
                    reason,
                    in_a_row,
                    checks,
                };
                (Standing::Down, change, 1)
            }
        };
        board.set(backend.index(), standing);
        self.teller.adjust(Event::BackendsDown, down);
        self.teller.tell(*group, *backend, change);
    }

    /// Lets go of a connection, and waits for the next check.
    fn end<O: Output>(&mut self, token: u32, connection: ConnId, turn: &mut Turn<'_, O>) {
        let check = &mut self.of_backends[token as usize];
        debug_assert_eq!(check.connection(), Some(connection));
        check.leave(turn);
        self.timers.schedule(token, check.schedule.next());
    }
}

impl CheckOf {
    fn new(target: Target, key: u64) -> Self {
        let HealthConfig {
            check,
            interval,
            jitter,
            rise,
            fall,
            ..
        } = &*target.config;
        let mut request = Vec::new();
        if let (Some(version), None) = (target.announce, target.config.port) {
            proxy_protocol::emit_own(version, &mut request);
        }
        request.extend(answer::request(check, target.address));
        Self {
            request,
            record: Record::new(*rise, *fall),
            schedule: Schedule::new(*interval, *jitter, (key, target.group, target.backend)),
            started: Instant::ZERO,
            stage: Stage::Resting,
            answer: Vec::new(),
            target,
        }
    }

    fn connection(&self) -> Option<ConnId> {
        match self.stage {
            Stage::Resting => None,
            Stage::Asking { connection, .. } | Stage::Leaving { connection, .. } => {
                Some(connection)
            }
        }
    }

    /// Lets go of its connection, if it has one. One that has not ended is reset.
    fn leave<O: Output>(&mut self, turn: &mut Turn<'_, O>) {
        if let Some(connection) = self.connection() {
            turn.tcp.connection(connection).abort();
            turn.tcp.release(connection, turn.now, turn.out);
        }
        self.stage = Stage::Resting;
        self.answer.clear();
    }

    /// Says what there is to say, reads what there is to read, and gives the verdict if that is
    /// enough for one.
    fn converse<O: Output>(
        &mut self,
        id: ConnId,
        turn: &mut Turn<'_, O>,
    ) -> Option<Result<(), Failure>> {
        let Stage::Asking { sent, .. } = &mut self.stage else {
            return None;
        };
        let connection = turn.tcp.connection(id);
        let ended = connection.ended();
        if !connection.is_established() && ended.is_none() {
            return None;
        }
        if ended.is_none() && *sent < self.request.len() {
            *sent += connection.send(Chunk::new(&self.request[*sent..]), turn.out);
        }
        read(connection, &mut self.answer);
        let complete =
            ended.is_some() || connection.receive_finished() || self.answer.len() == LONGEST_ANSWER;
        let broken = ended.and_then(failure_of);
        // What came before a reset may have been good enough; a connection that never was is not.
        match answer::judge(&self.target.config.check, &self.answer, complete) {
            Some(Ok(())) if broken.is_none() || !self.answer.is_empty() => Some(Ok(())),
            verdict => broken.map(Err).or(verdict),
        }
    }
}

/// Appends what was received, as far as it is looked at.
fn read<B: PacketBuf>(connection: &mut Connection<B>, answer: &mut Vec<u8>) {
    while answer.len() < LONGEST_ANSWER
        && let Some(chunk) = connection.received()
    {
        let octets = chunk.octets();
        let len = octets.len().min(LONGEST_ANSWER - answer.len());
        answer.extend_from_slice(&octets[..len]);
        connection.consume(len);
    }
}

/// Reads and forgets what was received. Returns how many octets that was.
fn discard<B: PacketBuf>(connection: &mut Connection<B>) -> usize {
    let mut read = 0;
    while let Some(len) = connection.received().map(|chunk| chunk.octets().len()) {
        connection.consume(len);
        read += len;
    }
    read
}

/// What the end of a connection says about the backend; nothing, if it was orderly.
fn failure_of(cause: CloseCause) -> Option<Failure> {
    match cause {
        CloseCause::Finished => None,
        CloseCause::Refused => Some(Failure::Refused),
        CloseCause::Reset => Some(Failure::Reset),
        CloseCause::Unreachable => Some(Failure::Unreachable),
        CloseCause::TimedOut(netstack::tcp::Timeout::Connect) => Some(Failure::NotConnected),
        CloseCause::TimedOut(_) => Some(Failure::NotAnswered),
        CloseCause::Aborted | CloseCause::EnginePanic => Some(Failure::Internal),
    }
}
