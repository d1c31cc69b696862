//! What a socket is at a moment.

use core::net::SocketAddr;
use std::collections::VecDeque;

use super::StackOptions;
use super::tcp::{Accepted, Conn};

/// A socket.
pub(super) struct Socket {
    pub(super) role: Role,
    pub(super) local: Option<SocketAddr>,
    pub(super) blocking: bool,
    /// Closing it resets the connection.
    pub(super) resets_on_close: bool,
    /// What its connections are made with.
    pub(super) options: StackOptions,
}

/// What a socket is for.
pub(super) enum Role {
    /// Nothing yet.
    Fresh,
    /// Accepts connections.
    Listening {
        /// Those that wait to be accepted.
        waiting: VecDeque<Accepted>,
    },
    /// Has a connection, alive or dead.
    Stream(Stream),
}

/// A socket's connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that become true one by one, in any order"
)]
pub(super) struct Stream {
    pub(super) conn: Conn,
    /// `connect` has not said yet that it succeeded.
    pub(super) connecting: bool,
    /// Nothing more is read.
    pub(super) read_shut: bool,
    /// Nothing more is written.
    pub(super) write_shut: bool,
    /// The error with which the connection ended has been told.
    pub(super) error_told: bool,
}

impl Stream {
    pub(super) fn new(conn: Conn, connecting: bool) -> Self {
        Self {
            conn,
            connecting,
            read_shut: false,
            write_shut: false,
            error_told: false,
        }
    }
}

impl Socket {
    pub(super) fn new(options: StackOptions) -> Self {
        Self {
            role: Role::Fresh,
            local: None,
            blocking: true,
            resets_on_close: false,
            options,
        }
    }
}
