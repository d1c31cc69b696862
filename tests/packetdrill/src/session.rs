//! One stack behind one lock: its clock, and the calls that wait.
//!
//! Time is virtual and goes on only here: [`Session::sleep`] and [`Session::receive`] make it go,
//! and stop on the way wherever the stack or a waiting call has something to do. Whoever changes
//! anything also completes, before the lock is released, the calls of other threads that can be
//! completed by it; the thread of such a call only fetches the result. So a run is the same every
//! time, whatever the scheduler does. A thread whose call has waited is told by the clock, once,
//! when the call ended, however late it asks.
//!
//! Who reads the clock again and again without doing anything else waits for it, so it goes on by
//! a microsecond each time.
//!
//! The thread that made the session is the one that lets time go on. If one of its own calls has to
//! wait, nobody else could; so time goes on within the call.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use netstack::time::Instant;
use weirgate_tests::stack::{
    BlockingCall, Completed, Errno as StackErrno, Fd, Host, PollEvents, Stack,
};

use crate::epoll::Epolls;
use crate::{Errno, Flags};

/// When sessions begin: not at the origin of time, where an age could not be told from none.
const START: Instant = Instant::from_millis(1_000_000);

/// How long is waited for something to happen: longer than a peer is left alone by keepalive.
const PATIENCE: Duration = Duration::from_hours(3);

/// The least step of time: whoever always has something to do must not hold the clock.
const LEAST_STEP: Duration = Duration::from_millis(1);

/// How far the clock goes when it is read again.
const TICK: Duration = Duration::from_micros(1);

/// A stack and the calls that wait for it.
pub struct Session {
    state: Mutex<State>,
    /// A call that waited has been completed, or the session is over.
    completed: Condvar,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct View {
    /// What time it is.
    pub now: Instant,
    /// When something will happen by itself.
    pub deadline: Option<Instant>,
    /// Packets that were sent and not received.
    pub packets: usize,
    /// Calls that wait.
    pub waiting: usize,
}

/// What a session knows, under its lock.
pub(crate) struct State {
    pub(crate) host: Host,
    pub(crate) epolls: Epolls,
    sent: VecDeque<(Instant, Vec<u8>)>,
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
    /// The thread that lets time go on.
    driver: ThreadId,
    /// When the call ended in which a thread waited; until it asks.
    ended: HashMap<ThreadId, Instant>,
    /// Nothing but reading the clock was done last.
    clock_was_read: bool,
    is_over: bool,
}

/// What a call waits for.
#[derive(Clone, Debug)]
pub(crate) enum Wait {
    /// That it can be completed.
    Call(BlockingCall),
    /// That one of these sockets is ready for what is asked.
    Ready(Vec<(Fd, PollEvents)>),
}

/// What it was worth waiting for.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Call(Completed),
    /// What each of the sockets is ready for; nothing at all if the time is over.
    Ready(Vec<PollEvents>),
}

struct Waiting {
    wait: Wait,
    until: Option<Instant>,
    /// The result, and when it was there.
    done: Option<(Result<Done, Errno>, Instant)>,
}

impl Session {
    /// A session whose time the calling thread lets go on.
    pub fn new(flags: Flags) -> Self {
        Self {
            state: Mutex::new(State {
                host: Host::new(START, flags.addresses, flags.options),
                epolls: Epolls::default(),
                sent: VecDeque::new(),
                waiting: BTreeMap::new(),
                next_ticket: 0,
                driver: thread::current().id(),
                ended: HashMap::new(),
                clock_was_read: false,
                is_over: false,
            }),
            completed: Condvar::new(),
        }
    }

    /// Ends all calls that wait.
    pub fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        self.completed.notify_all();
    }

    /// How the session stands; this is not reading the clock.
    pub fn view(&self) -> View {
        let state = self.lock();
        View {
            now: state.host.now(),
            deadline: state.deadline(),
            packets: state.sent.len(),
            waiting: state.pending().count(),
        }
    }

    /// What time it is for the calling thread.
    pub fn clock(&self) -> Instant {
        let mut state = self.lock();
        if let Some(ended) = state.ended.remove(&thread::current().id()) {
            return ended;
        }
        if state.clock_was_read {
            let next = state.host.now() + TICK;
            self.advance(&mut state, next);
        }
        state.clock_was_read = true;
        state.host.now()
    }

    /// Lets time go on.
    pub fn sleep(&self, time: Duration) {
        let mut state = self.act();
        let to = state.host.now() + time;
        self.advance(&mut state, to);
    }

    /// Hands in a raw IP packet.
    pub fn inject(&self, packet: &[u8]) {
        self.with(|state| state.host.inject(packet));
    }

    /// The next packet that is sent, with the time it was sent at. Time goes on until there is one,
    /// or until it is clear that none will come.
    pub fn receive(&self) -> Option<(Instant, Vec<u8>)> {
        let mut state = self.act();
        let limit = state.host.now() + PATIENCE;
        loop {
            if let Some(sent) = state.sent.pop_front() {
                return Some(sent);
            }
            let at = state.next_step(limit)?;
            self.step(&mut state, at);
        }
    }

    /// Does something that does not wait, and completes what can be completed by it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.act();
        let done = act(&mut state);
        self.look(&mut state);
        done
    }

    /// Waits for what `wait` says, no longer than for `timeout`; not at all if that is zero.
    ///
    /// # Errors
    /// `ECANCELED` if the session ends, `EDEADLK` if time stands still for as long as this waits.
    pub(crate) fn wait(&self, mut wait: Wait, timeout: Option<Duration>) -> Result<Done, Errno> {
        let mut state = self.act();
        let until = timeout.map(|timeout| state.host.now() + timeout);
        let done = state.attempt(&mut wait, until);
        self.look(&mut state);
        if let Some(done) = done {
            return done;
        }
        if state.driver == thread::current().id() {
            return self.wait_in_time(&mut state, wait, until);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let waiting = Waiting {
            wait,
            until,
            done: None,
        };
        state.waiting.insert(ticket, waiting);
        loop {
            if state.is_over {
                state.waiting.remove(&ticket);
                return Err(Errno(libc::ECANCELED));
            }
            let waited = self.completed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
            let waiting = state.waiting.get_mut(&ticket);
            if let Some((done, at)) = waiting.and_then(|waiting| waiting.done.take()) {
                state.waiting.remove(&ticket);
                state.ended.insert(thread::current().id(), at);
                return done;
            }
        }
    }

    /// Makes time go on until the wait is over.
    fn wait_in_time(
        &self,
        state: &mut State,
        mut wait: Wait,
        until: Option<Instant>,
    ) -> Result<Done, Errno> {
        let limit = until.unwrap_or_else(|| state.host.now() + PATIENCE);
        loop {
            let Some(at) = state.next_step(limit) else {
                if until.is_none() {
                    return Err(Errno(libc::EDEADLK));
                }
                self.advance(state, limit);
                return state
                    .attempt(&mut wait, until)
                    .unwrap_or(Err(Errno(libc::EDEADLK)));
            };
            self.step(state, at);
            if let Some(done) = state.attempt(&mut wait, until) {
                self.look(state);
                return done;
            }
        }
    }

    /// Lets time go on until `to`, from one thing that happens to the next.
    fn advance(&self, state: &mut State, to: Instant) {
        while let Some(at) = state.next_step(to) {
            self.step(state, at);
        }
        self.step(state, to);
    }

    fn step(&self, state: &mut State, at: Instant) {
        state.host.advance_to(at);
        self.look(state);
    }

    /// Completes the calls that can be, and takes what was sent.
    fn look(&self, state: &mut State) {
        if state.proceed() {
            self.completed.notify_all();
        }
        let State { host, sent, .. } = state;
        sent.extend(core::iter::from_fn(|| host.next_packet()));
    }

    /// Locks for anything but reading the clock.
    fn act(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.clock_was_read = false;
        state.ended.remove(&thread::current().id());
        state
    }

    /// A panic ends the process at the border to C, so nobody meets a poisoned lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tries what a call waits for. `None`: it has to wait.
    fn attempt(&mut self, wait: &mut Wait, until: Option<Instant>) -> Option<Result<Done, Errno>> {
        let is_late = until.is_some_and(|until| until <= self.host.now());
        match wait {
            Wait::Call(call) => match call.proceed(&mut self.host, true) {
                Err(error) if BlockingCall::is_waiting(error) => {
                    is_late.then_some(Err(StackErrno::Again.into()))
                }
                result => Some(result.map(Done::Call).map_err(Errno::from)),
            },
            Wait::Ready(asked) => {
                let ready = asked.iter().map(|(fd, asked)| self.ready(*fd, *asked));
                let ready: Vec<_> = ready.collect();
                let any = ready.iter().any(|events| !events.is_empty());
                (any || is_late).then_some(Ok(Done::Ready(ready)))
            }
        }
    }

    /// What a socket is ready for, of what was asked.
    fn ready(&mut self, fd: Fd, asked: PollEvents) -> PollEvents {
        if fd.0 < 0 {
            return PollEvents::default();
        }
        let always = PollEvents::ERR.union(PollEvents::HUP);
        match self.host.poll(fd) {
            Ok(ready) => ready.intersection(asked.union(always)),
            Err(_) => PollEvents(libc::POLLNVAL as u16),
        }
    }

    /// Goes on with the calls that wait, in the order in which they began. Returns whether one of
    /// them was completed.
    fn proceed(&mut self) -> bool {
        let tickets: Vec<_> = self.pending().map(|(ticket, _)| *ticket).collect();
        let mut any = false;
        for ticket in tickets {
            let Some(mut waiting) = self.waiting.remove(&ticket) else {
                continue;
            };
            if let Some(done) = self.attempt(&mut waiting.wait, waiting.until) {
                waiting.done = Some((done, self.host.now()));
                any = true;
            }
            self.waiting.insert(ticket, waiting);
        }
        any
    }

    fn pending(&self) -> impl Iterator<Item = (&u64, &Waiting)> {
        self.waiting
            .iter()
            .filter(|(_, waiting)| waiting.done.is_none())
    }

    fn deadline(&self) -> Option<Instant> {
        let waiting = self.pending().filter_map(|(_, waiting)| waiting.until);
        self.host.next_deadline().into_iter().chain(waiting).min()
    }

    /// When something happens, if not after `to`.
    fn next_step(&self, to: Instant) -> Option<Instant> {
        let at = self.deadline()?;
        let now = self.host.now();
        let at = if at > now { at } else { now + LEAST_STEP };
        (at <= to).then_some(at)
    }
}
