//! What the calls of the interface mean, in safe types; named as in the C library.

use core::ffi::{c_int, c_ulong};
use core::net::SocketAddr;
use core::time::Duration;

use weirgate_tests::stack::{
    BlockingCall, Completed, Errno as StackErrno, Fd, PollEvents, Shutdown, Stack,
};

use crate::Errno;
use crate::epoll::Interest;
use crate::session::{Done, Session, Wait};

/// What `recv` and `send` know of flags.
const RECEIVE_FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_NOSIGNAL;
const SEND_FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_MORE | libc::MSG_EOR;

/// A request of `ioctl`, which C libraries type differently.
type Request = c_ulong;

impl Session {
    /// Makes a TCP socket of either IP version: which one, the first address says.
    pub fn socket(&self, domain: c_int, kind: c_int, protocol: c_int) -> Result<Fd, Errno> {
        if ![libc::AF_INET, libc::AF_INET6].contains(&domain) {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        if kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != libc::SOCK_STREAM {
            return Err(Errno(libc::ESOCKTNOSUPPORT));
        }
        if ![0, libc::IPPROTO_TCP].contains(&protocol) {
            return Err(Errno(libc::EPROTONOSUPPORT));
        }
        self.with(|state| {
            let fd = state.host.socket()?;
            let blocking = kind & libc::SOCK_NONBLOCK == 0;
            state.host.set_blocking(fd, blocking)?;
            Ok(fd)
        })
    }

    /// Gives a socket its local address.
    pub fn bind(&self, fd: Fd, local: SocketAddr) -> Result<(), Errno> {
        self.with(|state| state.host.bind(fd, local))
            .map_err(Errno::from)
    }

    /// Lets a socket accept connections.
    pub fn listen(&self, fd: Fd, backlog: c_int) -> Result<(), Errno> {
        let backlog = usize::try_from(backlog).unwrap_or(0);
        self.with(|state| state.host.listen(fd, backlog))
            .map_err(Errno::from)
    }

    /// Takes a connection; waits for one.
    pub fn accept(&self, fd: Fd) -> Result<(Fd, SocketAddr), Errno> {
        match self.complete(BlockingCall::Accept { fd }, true)? {
            Completed::Accepted(fd, remote) => Ok((fd, remote)),
            _ => Err(Errno(libc::EIO)),
        }
    }

    /// Opens a connection; waits until it is established.
    pub fn connect(&self, fd: Fd, remote: SocketAddr) -> Result<(), Errno> {
        self.complete(BlockingCall::Connect { fd, remote }, true)
            .map(drop)
    }

    /// Receives at most `len` octets.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for flags that mean nothing here.
    pub fn recv(&self, fd: Fd, len: usize, flags: c_int) -> Result<Vec<u8>, Errno> {
        if flags & !RECEIVE_FLAGS != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let peek = flags & libc::MSG_PEEK != 0;
        let call = BlockingCall::Read { fd, len, peek };
        match self.complete(call, flags & libc::MSG_DONTWAIT == 0)? {
            Completed::Read(octets) => Ok(octets),
            _ => Err(Errno(libc::EIO)),
        }
    }

    /// Sends octets; waits until all are queued.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for flags that mean nothing here.
    pub fn send(&self, fd: Fd, octets: Vec<u8>, flags: c_int) -> Result<usize, Errno> {
        if flags & !SEND_FLAGS != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let call = BlockingCall::Write {
            fd,
            octets,
            written: 0,
        };
        match self.complete(call, flags & libc::MSG_DONTWAIT == 0)? {
            Completed::Written(len) => Ok(len),
            _ => Err(Errno(libc::EIO)),
        }
    }

    /// `F_GETFL` and `F_SETFL`, of which only `O_NONBLOCK` counts.
    pub fn fcntl(&self, fd: Fd, command: c_int, argument: c_int) -> Result<c_int, Errno> {
        self.with(|state| match command {
            libc::F_GETFL => {
                let waits = state.host.is_blocking(fd)?;
                Ok(libc::O_RDWR | if waits { 0 } else { libc::O_NONBLOCK })
            }
            libc::F_SETFL => {
                let waits = argument & libc::O_NONBLOCK == 0;
                state.host.set_blocking(fd, waits)?;
                Ok(0)
            }
            _ => Err(Errno(libc::EINVAL)),
        })
    }

    /// How much waits at a socket: `FIONREAD` to be read, `SIOCOUTQ` to be acknowledged.
    pub fn ioctl(&self, fd: Fd, request: Request) -> Result<c_int, Errno> {
        let queues = self.with(|state| state.host.queues(fd))?;
        let octets = match request {
            libc::FIONREAD => queues.received,
            libc::TIOCOUTQ => queues.unacknowledged,
            _ => return Err(Errno(libc::ENOTTY)),
        };
        Ok(c_int::try_from(octets).unwrap_or(c_int::MAX))
    }

    /// Gives up a socket, or a set of `epoll`.
    pub fn close(&self, fd: Fd) -> Result<(), Errno> {
        self.with(|state| {
            if state.epolls.close(fd) {
                return Ok(());
            }
            state.host.close(fd).map_err(Errno::from)
        })
    }

    /// Ends directions of a connection.
    pub fn shutdown(&self, fd: Fd, how: c_int) -> Result<(), Errno> {
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(Errno(libc::EINVAL)),
        };
        self.with(|state| state.host.shutdown(fd, how))
            .map_err(Errno::from)
    }

    /// What each socket is ready for, of what is asked; waits until one is. A `timeout` in
    /// milliseconds below zero is none.
    pub fn poll(
        &self,
        asked: Vec<(Fd, PollEvents)>,
        timeout: c_int,
    ) -> Result<Vec<PollEvents>, Errno> {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        match self.wait(Wait::Ready(asked), timeout)? {
            Done::Ready(ready) => Ok(ready),
            Done::Call(_) => Err(Errno(libc::EIO)),
        }
    }

    /// Makes a set of `epoll`.
    pub fn epoll_create(&self) -> Fd {
        self.with(|state| state.epolls.open())
    }

    /// Adds, changes or removes a socket of a set; events and data as in `struct epoll_event`.
    pub fn epoll_ctl(
        &self,
        set: Fd,
        operation: c_int,
        fd: Fd,
        event: Option<(u32, u64)>,
    ) -> Result<(), Errno> {
        let interest = event.map(|(events, data)| Interest { events, data });
        self.with(|state| {
            state.host.is_blocking(fd)?;
            state.epolls.control(set, operation, fd, interest)
        })
    }

    /// Waits until a socket of the set is ready, and tells at most `room` of them: events and data.
    pub fn epoll_wait(
        &self,
        set: Fd,
        room: usize,
        timeout: c_int,
    ) -> Result<Vec<(u32, u64)>, Errno> {
        if room == 0 {
            return Err(Errno(libc::EINVAL));
        }
        let asked = self.with(|state| state.epolls.asked(set))?;
        let ready = self.poll(asked.clone(), timeout)?;
        let ready = asked.into_iter().zip(ready);
        let ready = ready.filter(|(_, ready)| !ready.is_empty()).take(room);
        Ok(self.with(|state| {
            let told = ready.filter_map(|((fd, _), ready)| state.epolls.tell(set, fd, ready));
            told.map(|told| (told.events, told.data)).collect()
        }))
    }

    /// Makes a call that may have to wait, if its socket and `may_wait` let it.
    fn complete(&self, mut call: BlockingCall, may_wait: bool) -> Result<Completed, Errno> {
        let waits = may_wait && self.with(|state| state.host.is_blocking(call.fd()))?;
        if !waits {
            return self
                .with(|state| call.proceed(&mut state.host, false))
                .map_err(Errno::from);
        }
        match self.wait(Wait::Call(call), None)? {
            Done::Call(completed) => Ok(completed),
            Done::Ready(_) => Err(StackErrno::Io.into()),
        }
    }
}
