//! System calls of a script: made, waited for, and their results compared.

use core::net::SocketAddr;
use core::time::Duration;

use netstack::time::Instant;

use super::{AtLine, Player};
use crate::script::event::{Call, Outcome, PollEntry, SystemCall};
use crate::script::failure::{Mismatch, Returned};
use crate::script::flow::{DEFAULT_PORT, Flow, Sender, payload};
use crate::script::parser::call::{O_NONBLOCK, O_RDWR};
use crate::script::wire::addresses;
use crate::stack::{BlockingCall, Completed, Errno, Fd, PollEvents, Stack};

/// What a socket is called that the script has not made: no stack has it.
const NO_SOCKET: Fd = Fd(-1);

/// A socket of a script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) fd: Fd,
    /// Octets that were read.
    read: u32,
    /// Octets that were written.
    written: u32,
}

impl Socket {
    fn new(fd: Fd) -> Self {
        Self {
            fd,
            read: 0,
            written: 0,
        }
    }
}

/// A call that may have to wait.
pub(super) struct Waiting {
    pub(super) line: usize,
    call: Unfinished,
    /// The script's number of its socket.
    socket: i64,
    /// It ends with an error rather than wait.
    at_once: bool,
    outcome: Outcome,
    /// When the script says that it ends.
    pub(super) until: Option<Duration>,
    /// When it ends by itself.
    pub(super) gives_up: Option<Instant>,
}

enum Unfinished {
    Stack(BlockingCall),
    Poll(Vec<PollEntry>),
}

/// How a call ended.
enum Ended {
    Stack(Result<Completed, Errno>),
    /// So many sockets are ready.
    Poll(i64),
}

impl Waiting {
    pub(super) fn name(&self) -> &'static str {
        match &self.call {
            Unfinished::Stack(BlockingCall::Accept { .. }) => "accept",
            Unfinished::Stack(BlockingCall::Connect { .. }) => "connect",
            Unfinished::Stack(BlockingCall::Read { .. }) => "read",
            Unfinished::Stack(BlockingCall::Write { .. }) => "write",
            Unfinished::Poll(_) => "poll",
        }
    }
}

impl<S: Stack> Player<'_, S> {
    /// Makes a call, which is to end at `until` if that is not at once.
    pub(super) fn call(
        &mut self,
        system: &SystemCall,
        until: Option<Duration>,
    ) -> Result<(), AtLine> {
        let waiting = match self.waiting_call(&system.call) {
            Some((call, socket, at_once)) => Waiting {
                line: self.line,
                call,
                socket,
                at_once,
                outcome: system.outcome,
                until,
                gives_up: self.gives_up(&system.call),
            },
            None => return self.immediate(&system.call, system.outcome),
        };
        self.waiting.push(waiting);
        self.proceed()?;
        let last = self.waiting.last();
        match last.filter(|last| last.line == self.line && last.until.is_none()) {
            Some(waiting) => {
                let call = waiting.name();
                Err(self.fails(Mismatch::Waits { call }))
            }
            None => Ok(()),
        }
    }

    /// Goes on with the calls that wait.
    pub(super) fn proceed(&mut self) -> Result<(), AtLine> {
        let mut index = 0;
        while index < self.waiting.len() {
            let mut waiting = self.waiting.remove(index);
            if let Some(ended) = self.ask(&mut waiting) {
                self.end(&waiting, ended)?;
            } else {
                self.waiting.insert(index, waiting);
                index += 1;
            }
            self.check_overdue()?;
        }
        Ok(())
    }

    fn check_overdue(&self) -> Result<(), AtLine> {
        let now = self.now();
        let tolerance = self.clock.tolerance;
        let overdue = self.waiting.iter().find_map(|waiting| {
            let until = waiting.until.filter(|until| *until + tolerance < now)?;
            let call = waiting.name();
            Some((waiting.line, Mismatch::StillWaits { call, until }))
        });
        overdue.map_or(Ok(()), Err)
    }

    /// The call, the script's number of its socket, and whether it must not wait.
    fn waiting_call(&self, call: &Call) -> Option<(Unfinished, i64, bool)> {
        let (call, socket, at_once) = match *call {
            Call::Accept { fd } => (BlockingCall::Accept { fd: self.fd(fd) }, fd, false),
            Call::Connect { fd, port } => {
                let remote = addresses(self.family).1;
                let call = BlockingCall::Connect {
                    fd: self.fd(fd),
                    remote: SocketAddr::new(remote, port.unwrap_or(DEFAULT_PORT)),
                };
                (call, fd, false)
            }
            Call::Read { fd, len, peek, now } => {
                let call = BlockingCall::Read {
                    fd: self.fd(fd),
                    len,
                    peek,
                };
                (call, fd, now)
            }
            Call::Write { fd, len, now } => {
                let from = self.sockets.get(&fd).map_or(0, |socket| socket.written);
                let call = BlockingCall::Write {
                    fd: self.fd(fd),
                    octets: payload(Sender::Us, from, len),
                    written: 0,
                };
                (call, fd, now)
            }
            Call::Poll { ref entries, .. } => {
                return Some((Unfinished::Poll(entries.clone()), 0, false));
            }
            _ => return None,
        };
        let waits = self.stack.is_blocking(call.fd()).unwrap_or(false);
        Some((Unfinished::Stack(call), socket, at_once || !waits))
    }

    fn gives_up(&self, call: &Call) -> Option<Instant> {
        match call {
            Call::Poll { timeout, .. } => timeout.map(|timeout| self.stack.now() + timeout),
            _ => None,
        }
    }

    fn ask(&mut self, waiting: &mut Waiting) -> Option<Ended> {
        match &mut waiting.call {
            Unfinished::Stack(call) => {
                let result = self.stack.proceed(call, !waiting.at_once);
                if let BlockingCall::Connect { remote, .. } = call
                    && result == Err(Errno::InProgress)
                {
                    // The packets of this connection are those that come next.
                    self.last_stream = Some(waiting.socket);
                    self.current = Some(self.add_flow(Flow::new(None, remote.port())));
                }
                match result {
                    Err(error) if BlockingCall::is_waiting(error) && !waiting.at_once => None,
                    result => Some(Ended::Stack(result)),
                }
            }
            Unfinished::Poll(entries) => {
                let ready = entries
                    .iter()
                    .filter(|entry| !self.poll(entry).is_empty())
                    .count();
                let over = waiting.gives_up.is_some_and(|at| at <= self.stack.now());
                (ready > 0 || over).then_some(Ended::Poll(count(ready)))
            }
        }
    }

    /// What a socket is ready for, of what `poll` was asked.
    fn poll(&mut self, entry: &PollEntry) -> PollEvents {
        let always = PollEvents::ERR.union(PollEvents::HUP);
        let fd = self.fd(entry.fd);
        let ready = self.stack.poll(fd).unwrap_or(always);
        ready.intersection(entry.asked.union(always))
    }

    fn end(&mut self, waiting: &Waiting, ended: Ended) -> Result<(), AtLine> {
        let at_line = |mismatch| (waiting.line, mismatch);
        let call = waiting.name();
        let ended_at = self.now();
        if let Some(until) = waiting.until
            && until.abs_diff(ended_at) > self.clock.tolerance
        {
            return Err(at_line(Mismatch::EndTime {
                call,
                ended: ended_at,
                until,
            }));
        }
        let result = match ended {
            Ended::Poll(ready) => {
                if let Unfinished::Poll(entries) = &waiting.call {
                    self.check_polled(entries).map_err(at_line)?;
                }
                Ok(ready)
            }
            Ended::Stack(Ok(completed)) => {
                Ok(self.completed(waiting, completed).map_err(at_line)?)
            }
            Ended::Stack(Err(error)) => Err(error),
        };
        compare(call, result, waiting.outcome).map_err(at_line)
    }

    fn check_polled(&mut self, entries: &[PollEntry]) -> Result<(), Mismatch> {
        for entry in entries {
            let ready = self.poll(entry);
            if ready != entry.ready {
                return Err(Mismatch::Poll {
                    fd: entry.fd,
                    got: ready.0,
                    expected: entry.ready.0,
                });
            }
        }
        Ok(())
    }

    /// What a completed call returns.
    fn completed(&mut self, waiting: &Waiting, completed: Completed) -> Result<i64, Mismatch> {
        match completed {
            Completed::Accepted(fd, _) => {
                let number = self.add_socket(fd, waiting.outcome);
                self.last_stream = Some(number);
                Ok(number)
            }
            Completed::Connected => Ok(0),
            Completed::Read(octets) => {
                let peek = matches!(
                    waiting.call,
                    Unfinished::Stack(BlockingCall::Read { peek: true, .. })
                );
                if let Some(socket) = self.sockets.get_mut(&waiting.socket) {
                    if octets != payload(Sender::Peer, socket.read, octets.len()) {
                        let call = waiting.name();
                        return Err(Mismatch::Octets { call });
                    }
                    if !peek {
                        socket.read += octets.len() as u32;
                    }
                }
                Ok(count(octets.len()))
            }
            Completed::Written(len) => {
                if let Some(socket) = self.sockets.get_mut(&waiting.socket) {
                    socket.written += len as u32;
                }
                Ok(count(len))
            }
        }
    }

    /// The script gives a socket the number that the call is to return.
    fn add_socket(&mut self, fd: Fd, outcome: Outcome) -> i64 {
        let number = match outcome {
            Outcome::Value(number) => number,
            Outcome::Any | Outcome::Error(_) => i64::from(fd.0),
        };
        self.sockets.insert(number, Socket::new(fd));
        number
    }

    fn fd(&self, number: i64) -> Fd {
        self.sockets
            .get(&number)
            .map_or(NO_SOCKET, |socket| socket.fd)
    }

    /// Makes a call that never waits.
    fn immediate(&mut self, call: &Call, outcome: Outcome) -> Result<(), AtLine> {
        let name = immediate_name(call);
        let nothing = |result: Result<(), Errno>| result.map(|()| 0);
        let result = match *call {
            Call::Socket { blocking } => self.stack.socket().map(|fd| {
                let set = self.stack.set_blocking(fd, blocking);
                debug_assert!(set.is_ok(), "the socket was just made");
                self.add_socket(fd, outcome)
            }),
            Call::Bind { fd, port } => {
                let port = port.unwrap_or(DEFAULT_PORT);
                self.listen_port = port;
                let local = SocketAddr::new(addresses(self.family).0, port);
                nothing(self.stack.bind(self.fd(fd), local))
            }
            Call::Listen { fd, backlog } => nothing(self.stack.listen(self.fd(fd), backlog)),
            Call::Shutdown { fd, how } => nothing(self.stack.shutdown(self.fd(fd), how)),
            Call::Close { fd } => {
                let closed = self.stack.close(self.fd(fd));
                self.sockets.remove(&fd);
                nothing(closed)
            }
            Call::GetFlags { fd } => self.stack.is_blocking(self.fd(fd)).map(|blocking| {
                let nonblock = if blocking { 0 } else { O_NONBLOCK };
                O_RDWR | nonblock
            }),
            Call::SetFlags { fd, blocking } => {
                nothing(self.stack.set_blocking(self.fd(fd), blocking))
            }
            Call::SetOption { fd, option } => nothing(self.stack.set_option(self.fd(fd), option)),
            Call::GetOption {
                fd,
                name: option,
                value,
            } => match self.stack.option(self.fd(fd), option) {
                Ok(got) => {
                    let got = i64::from(got);
                    if let Some(expected) = value.filter(|expected| *expected != got) {
                        return Err(self.fails(Mismatch::Value {
                            call: name,
                            got,
                            expected,
                        }));
                    }
                    Ok(0)
                }
                Err(error) => Err(error),
            },
            Call::Accept { .. }
            | Call::Connect { .. }
            | Call::Read { .. }
            | Call::Write { .. }
            | Call::Poll { .. } => Err(Errno::Again),
        };
        compare(name, result, outcome).map_err(|mismatch| self.fails(mismatch))
    }
}

fn compare(call: &'static str, got: Result<i64, Errno>, outcome: Outcome) -> Result<(), Mismatch> {
    let (fits, expected) = match outcome {
        Outcome::Any => return Ok(()),
        Outcome::Value(value) => (got == Ok(value), Ok(value)),
        Outcome::Error(error) => (got == Err(error), Err(error)),
    };
    if fits {
        return Ok(());
    }
    Err(Mismatch::Result {
        call,
        got: Returned(got),
        expected: Returned(expected),
    })
}

/// A count as a call returns it.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn immediate_name(call: &Call) -> &'static str {
    match call {
        Call::Socket { .. } => "socket",
        Call::Bind { .. } => "bind",
        Call::Listen { .. } => "listen",
        Call::Shutdown { .. } => "shutdown",
        Call::Close { .. } => "close",
        Call::GetFlags { .. } | Call::SetFlags { .. } => "fcntl",
        Call::SetOption { .. } => "setsockopt",
        Call::GetOption { .. } => "getsockopt",
        Call::Accept { .. } => "accept",
        Call::Connect { .. } => "connect",
        Call::Read { .. } => "read",
        Call::Write { .. } => "write",
        Call::Poll { .. } => "poll",
    }
}
