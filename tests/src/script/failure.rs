//! Why a script was refused, or failed.

use core::fmt;
use core::time::Duration;

use super::assertion::AssertionError;
use super::print::Seconds;
use super::verify::Difference;
use super::wire::SentError;
use crate::stack::{Errno, SettingError};

/// What is wrong with the text of a script.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{line}: {what}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl ParseError {
    pub(super) fn new(line: usize, what: String) -> Self {
        Self { line, what }
    }
}

/// An event of a script that did not happen as it says. Prints as `line: at time: what`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{line}: at {}: {mismatch}", Seconds(*time))]
pub struct Failure {
    /// The line of the event, from 1.
    pub line: usize,
    /// When it was found out, after the beginning of the script.
    pub time: Duration,
    mismatch: Mismatch,
}

impl Failure {
    pub(super) fn new(line: usize, time: Duration, mismatch: Mismatch) -> Self {
        Self {
            line,
            time,
            mismatch,
        }
    }
}

/// What did not happen as the script says.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("{difference}\n  expected > {expected}\n  got      > {got}")]
    Packet {
        difference: Difference,
        expected: String,
        got: String,
    },
    #[error("{error}\n  expected > {expected}\n  got {} octets: {octets:02x?}", octets.len())]
    BadPacket {
        error: SentError,
        expected: String,
        octets: Vec<u8>,
    },
    #[error("sent at {}, expected {window}\n  packet > {packet}", Seconds(*sent))]
    PacketTime {
        sent: Duration,
        window: Window,
        packet: String,
    },
    #[error("nothing was sent, expected {window}\n  expected > {expected}")]
    NoPacket { window: Window, expected: String },
    #[error("a packet was sent that no line expects\n  got      > {got}")]
    UnexpectedPacket { got: String },
    #[error("`{call}` gave {got}, expected {expected}")]
    Result {
        call: &'static str,
        got: Returned,
        expected: Returned,
    },
    #[error("`{call}` gave a value of {got}, expected {expected}")]
    Value {
        call: &'static str,
        got: i64,
        expected: i64,
    },
    #[error("`{call}` gave octets that are not those that were sent")]
    Octets { call: &'static str },
    #[error("`poll` found the socket {fd} ready for {got:#x}, expected {expected:#x}")]
    Poll { fd: i64, got: u16, expected: u16 },
    #[error("`{call}` waits, but the script does not say until when (`+0...0.1 {call}(...)`)")]
    Waits { call: &'static str },
    #[error("`{call}` still waits; it was to end at {}", Seconds(*until))]
    StillWaits { call: &'static str, until: Duration },
    #[error("`{call}` ended at {}, and was to end at {}", Seconds(*ended), Seconds(*until))]
    EndTime {
        call: &'static str,
        ended: Duration,
        until: Duration,
    },
    #[error("the time is past: the event before was at {}", Seconds(*before))]
    Past { before: Duration },
    #[error("there is no connection that the code block could be about")]
    NoConnection,
    #[error(transparent)]
    Setting(SettingError),
    #[error(transparent)]
    Assertion(AssertionError),
}

/// When a packet must be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "at {}", Seconds(self.from))
        } else {
            write!(f, "from {} to {}", Seconds(self.from), Seconds(self.to))
        }
    }
}

/// What a call gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Returned(pub(super) Result<i64, Errno>);

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "{value}"),
            Err(errno) => write!(f, "-1 {errno}"),
        }
    }
}
