//! What a script says, as types.

use core::time::Duration;

use netstack::wire::icmp::Error as IcmpError;
use netstack::wire::tcp::Flags;

use super::assertion::Assertion;
use crate::stack::{Errno, OptionName, PollEvents, Shutdown, SocketOption};

/// Something that happens, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) line: usize,
    pub(super) time: Time,
    pub(super) action: Action,
}

/// When something happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Time {
    /// So long after the script began.
    At(Duration),
    /// So long after the event before.
    After(Duration),
    /// Between two times after the script began.
    Between(Duration, Duration),
    /// Between two times after the event before.
    AfterBetween(Duration, Duration),
    /// Whenever it is ready.
    Any,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// A packet arrives.
    Inject(Packet),
    /// A packet must be sent.
    Expect(Packet),
    /// A call is made.
    Call(SystemCall),
    /// A `sysctl` line: names and values.
    Settings(Vec<(String, String)>),
    /// A code block.
    Check(Vec<Assertion>),
}

/// A packet; sequence numbers are the script's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Packet {
    /// What the octet of differentiated services and ECN holds.
    pub(super) tos: Tos,
    /// Hops it may still take.
    pub(super) ttl: Option<u8>,
    /// Source and destination port, if they are not those of the connection.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) body: Body,
}

/// What is said of the octet of differentiated services and ECN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tos {
    /// Nothing.
    Unsaid,
    /// Its ECN bits.
    Ecn(u8),
    /// Either of the two values that say that ECN is understood.
    Ect01,
    /// All of it.
    Whole(u8),
}

/// What a packet carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Body {
    Tcp(Tcp),
    /// An error about a segment of ours.
    Icmp(Icmp),
}

/// A TCP segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tcp {
    pub(super) flags: Flags,
    pub(super) seq: u32,
    /// Octets of payload.
    pub(super) len: u16,
    pub(super) ack: u32,
    /// As it stands in the header; not looked at if it is not said.
    pub(super) window: Option<u16>,
    pub(super) urgent: u16,
    pub(super) options: Options,
}

/// The options of a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Options {
    /// Whatever they are.
    Any,
    /// These, in this order.
    Exactly(Vec<TcpOption>),
}

/// An option of a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TcpOption {
    Nop,
    End,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    /// One that the language has no name for.
    Other {
        kind: u8,
        data: Vec<u8>,
    },
}

/// An ICMP error about a segment of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Icmp {
    pub(super) error: IcmpError,
    /// The sequence number of that segment.
    pub(super) seq: u32,
    /// Octets of its payload.
    pub(super) len: u16,
}

/// A call, and what it gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SystemCall {
    pub(super) call: Call,
    /// It waits until then; counted as the time of the event is.
    pub(super) until: Option<Duration>,
    pub(super) outcome: Outcome,
}

/// What a call gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Whatever it is.
    Any,
    /// That value.
    Value(i64),
    /// -1, and that error.
    Error(Errno),
}

/// A call; sockets are named by the script's numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Call {
    Socket {
        blocking: bool,
    },
    Bind {
        fd: i64,
        port: Option<u16>,
    },
    Listen {
        fd: i64,
        backlog: usize,
    },
    Accept {
        fd: i64,
    },
    Connect {
        fd: i64,
        port: Option<u16>,
    },
    Read {
        fd: i64,
        len: usize,
        peek: bool,
        /// `MSG_DONTWAIT`.
        now: bool,
    },
    Write {
        fd: i64,
        len: usize,
        /// `MSG_DONTWAIT`.
        now: bool,
    },
    Shutdown {
        fd: i64,
        how: Shutdown,
    },
    Close {
        fd: i64,
    },
    GetFlags {
        fd: i64,
    },
    SetFlags {
        fd: i64,
        blocking: bool,
    },
    SetOption {
        fd: i64,
        option: SocketOption,
    },
    GetOption {
        fd: i64,
        name: OptionName,
        /// `None`: not looked at.
        value: Option<i64>,
    },
    Poll {
        entries: Vec<PollEntry>,
        /// The longest wait; `None` for ever.
        timeout: Option<Duration>,
    },
}

/// What `poll` is asked about a socket, and what it must say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PollEntry {
    pub(super) fd: i64,
    pub(super) asked: PollEvents,
    pub(super) ready: PollEvents,
}
