//! Why a socket call failed, as in `errno`.

/// An error of a socket call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.name())]
pub enum Errno {
    /// An input or output error: the engine has failed.
    Io,
    /// No such socket.
    BadFd,
    /// It would have to wait.
    Again,
    /// An argument makes no sense, or not in this state.
    Invalid,
    /// Nobody reads any more what would be written.
    BrokenPipe,
    /// The option is unknown; or, of a connection: the peer does not speak the protocol.
    NoProtocolOption,
    /// The address is in use.
    AddressInUse,
    /// No port is left.
    AddressNotAvailable,
    /// There is no route.
    NetworkUnreachable,
    /// The connection was given up locally.
    ConnectionAborted,
    /// The peer reset the connection.
    ConnectionReset,
    /// All connections are in use.
    NoBuffers,
    /// It is connected already.
    IsConnected,
    /// It is not connected.
    NotConnected,
    /// A deadline passed.
    TimedOut,
    /// The peer refused the connection.
    ConnectionRefused,
    /// The host cannot be reached.
    HostUnreachable,
    /// The connection is being opened since an earlier call.
    Already,
    /// The connection is being opened from now on.
    InProgress,
}

/// Every error with its name and its number on Linux.
const TABLE: [(Errno, &str, i32); 19] = [
    (Errno::Io, "EIO", 5),
    (Errno::BadFd, "EBADF", 9),
    (Errno::Again, "EAGAIN", 11),
    (Errno::Invalid, "EINVAL", 22),
    (Errno::BrokenPipe, "EPIPE", 32),
    (Errno::NoProtocolOption, "ENOPROTOOPT", 92),
    (Errno::AddressInUse, "EADDRINUSE", 98),
    (Errno::AddressNotAvailable, "EADDRNOTAVAIL", 99),
    (Errno::NetworkUnreachable, "ENETUNREACH", 101),
    (Errno::ConnectionAborted, "ECONNABORTED", 103),
    (Errno::ConnectionReset, "ECONNRESET", 104),
    (Errno::NoBuffers, "ENOBUFS", 105),
    (Errno::IsConnected, "EISCONN", 106),
    (Errno::NotConnected, "ENOTCONN", 107),
    (Errno::TimedOut, "ETIMEDOUT", 110),
    (Errno::ConnectionRefused, "ECONNREFUSED", 111),
    (Errno::HostUnreachable, "EHOSTUNREACH", 113),
    (Errno::Already, "EALREADY", 114),
    (Errno::InProgress, "EINPROGRESS", 115),
];

impl Errno {
    /// The number that Linux gives it.
    pub fn number(self) -> i32 {
        self.row().2
    }

    /// The name of its number.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The error that Linux gives that number.
    pub fn from_number(number: i32) -> Option<Self> {
        let row = TABLE.into_iter().find(|(_, _, known)| *known == number)?;
        Some(row.0)
    }

    /// The error of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let row = TABLE.into_iter().find(|(_, known, _)| *known == name)?;
        Some(row.0)
    }

    fn row(self) -> (Self, &'static str, i32) {
        // The table is in the order of the variants; a test checks that.
        TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (errno, name, number) in TABLE {
            assert_eq!((errno.name(), errno.number()), (name, number));
            assert_eq!(Errno::from_name(name), Some(errno));
            assert_eq!(Errno::from_number(number), Some(errno));
        }
        assert_eq!(Errno::from_name("EWHATEVER"), None);
    }
}
