//! A TCP behind socket calls and in virtual time: what scripts and a C interface play against.
//!
//! [`Stack`] is the interface: calls named after those of the socket API, raw IP packets in and
//! out, and a clock that goes only when told to. No call waits. What would have to wait says
//! [`Errno::Again`] (or [`Errno::InProgress`]), and [`BlockingCall`] turns that into a call that is
//! asked again whenever something has happened, until it is complete.
//!
//! [`Host`] is Weirgate's TCP behind that interface: one [`netstack::tcp`] endpoint for each local
//! port, made when `listen` or `connect` says which, with the [`StackOptions`] of that moment. Both
//! IP versions; the first nibble of a packet says which one it is.

mod blocking;
mod errno;
mod host;
mod info;
mod options;
mod outbox;
mod path;
mod socket;
mod tcp;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use netstack::tcp::Algorithm;
use netstack::time::Instant;

pub use blocking::{BlockingCall, Completed};
pub use errno::Errno;
pub use host::{Host, Queues};
pub use options::{Engine, SettingError, StackOptions};
pub use path::{Path, Weather};

/// Names a socket of a stack.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fd(pub i32);

/// A TCP behind socket calls and in virtual time.
///
/// No call waits: it does at once what can be done at once.
pub trait Stack {
    /// What time it is.
    fn now(&self) -> Instant;

    /// Changes a setting for the sockets that are made from now on, by its name on Linux.
    fn configure(&mut self, name: &str, value: &str) -> Result<(), SettingError>;

    /// Makes a TCP socket.
    fn socket(&mut self) -> Result<Fd, Errno>;

    /// Gives a socket its local address; port 0 leaves the choice to the stack.
    fn bind(&mut self, fd: Fd, local: SocketAddr) -> Result<(), Errno>;

    /// Lets a bound socket accept connections. `backlog` is how many may wait to be accepted.
    fn listen(&mut self, fd: Fd, backlog: usize) -> Result<(), Errno>;

    /// Takes the oldest connection that waits; gives its socket and the peer's address.
    fn accept(&mut self, fd: Fd) -> Result<(Fd, SocketAddr), Errno>;

    /// Begins to open a connection ([`Errno::InProgress`]), and when asked again says how far it
    /// is: [`Errno::Already`], success once, then [`Errno::IsConnected`].
    fn connect(&mut self, fd: Fd, remote: SocketAddr) -> Result<(), Errno>;

    /// Reads received octets; none at the end of the stream.
    fn read(&mut self, fd: Fd, out: &mut [u8]) -> Result<usize, Errno>;

    /// The same, but leaves them to be read again.
    fn peek(&mut self, fd: Fd, out: &mut [u8]) -> Result<usize, Errno>;

    /// Queues octets to be sent, as many as there is room for.
    fn write(&mut self, fd: Fd, octets: &[u8]) -> Result<usize, Errno>;

    /// Ends directions of a connection.
    fn shutdown(&mut self, fd: Fd, how: Shutdown) -> Result<(), Errno>;

    /// Gives a socket up; its connection ends by itself.
    fn close(&mut self, fd: Fd) -> Result<(), Errno>;

    /// Sets an option.
    fn set_option(&mut self, fd: Fd, option: SocketOption) -> Result<(), Errno>;

    /// Tells an option's value; that of [`OptionName::Error`] is taken away by it.
    fn option(&mut self, fd: Fd, name: OptionName) -> Result<i32, Errno>;

    /// Whether calls on the socket wait, if whoever makes them can wait (`O_NONBLOCK` is not set).
    fn is_blocking(&self, fd: Fd) -> Result<bool, Errno>;

    /// Sets or clears `O_NONBLOCK`.
    fn set_blocking(&mut self, fd: Fd, blocking: bool) -> Result<(), Errno>;

    /// Goes on with a call that may have to wait. A stack whose own calls can wait makes the call
    /// itself when it is told the first time, and says [`Errno::Again`] until that has returned.
    fn proceed(&mut self, call: &mut BlockingCall, waits: bool) -> Result<Completed, Errno>
    where
        Self: Sized,
    {
        call.proceed(self, waits)
    }

    /// What a socket is ready for, whatever was asked for.
    fn poll(&mut self, fd: Fd) -> Result<PollEvents, Errno>;

    /// What is known of a connection.
    fn tcp_info(&mut self, fd: Fd) -> Result<TcpInfo, Errno>;

    /// Hands in a raw IP packet, now.
    fn inject(&mut self, packet: &[u8]);

    /// The oldest packet that was sent and not taken, with the time it was sent.
    fn next_packet(&mut self) -> Option<(Instant, Vec<u8>)>;

    /// When something will happen by itself; not later than that, perhaps earlier.
    fn next_deadline(&self) -> Option<Instant>;

    /// Lets time go on until `at`; no change if that is past. What is due on the way happens at
    /// its time.
    fn advance_to(&mut self, at: Instant);
}

/// Which directions `shutdown` ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    /// `SHUT_RD`: nothing more is read.
    Read,
    /// `SHUT_WR`: nothing more is written.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// An option of a socket with its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SocketOption {
    /// `SO_REUSEADDR`. Taken, without effect.
    ReuseAddress(bool),
    /// `SO_LINGER`: zero resets the connection when it is closed; `None` is off. Other times count
    /// as off: no call waits here.
    Linger(Option<Duration>),
    /// `SO_RCVBUF`, in octets; not doubled as Linux does.
    ReceiveBuffer(usize),
    /// `SO_SNDBUF`, in octets; not doubled as Linux does.
    SendBuffer(usize),
    /// `SO_KEEPALIVE`.
    KeepAlive(bool),
    /// `TCP_KEEPIDLE`.
    KeepIdle(Duration),
    /// `TCP_KEEPINTVL`.
    KeepInterval(Duration),
    /// `TCP_KEEPCNT`.
    KeepCount(u8),
    /// `TCP_MAXSEG`, in octets of payload.
    MaxSegment(u16),
    /// `TCP_NODELAY`. Taken, without effect: what is written is never held back.
    NoDelay(bool),
    /// `TCP_USER_TIMEOUT`.
    UserTimeout(Duration),
    /// `TCP_CONGESTION`.
    Congestion(Algorithm),
}

/// An option whose value can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OptionName {
    /// `SO_ERROR`: the error of the connection, once.
    Error,
    /// `SO_RCVBUF`, in octets.
    ReceiveBuffer,
    /// `SO_SNDBUF`, in octets.
    SendBuffer,
    /// `TCP_MAXSEG`, in octets of payload.
    MaxSegment,
}

/// What a socket is ready for: bits as in `poll` on Linux.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PollEvents(pub u16);

impl PollEvents {
    /// There is something to read, to accept, or the end of the stream.
    pub const IN: Self = Self(0x0001);
    /// There is room to write.
    pub const OUT: Self = Self(0x0004);
    /// The connection has failed.
    pub const ERR: Self = Self(0x0008);
    /// Both directions have ended, or there is no connection.
    pub const HUP: Self = Self(0x0010);
    /// The peer has ended its direction.
    pub const RDHUP: Self = Self(0x2000);

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits that both have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What is known of a connection, by the names that Linux gives the fields of `struct tcp_info`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TcpInfo {
    fields: BTreeMap<&'static str, u64>,
}

impl TcpInfo {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: u64) -> Self {
        self.fields.insert(name, value);
        self
    }

    /// The value of a field; `None` if it is not known.
    pub fn field(&self, name: &str) -> Option<u64> {
        self.fields.get(name).copied()
    }

    /// The names of all fields that are known.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.keys().copied()
    }
}

/// The states of a connection as Linux numbers them in `tcpi_state`.
pub const TCP_STATES: [(&str, u64); 11] = [
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
];
