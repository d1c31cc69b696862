//! Calls that wait: begun once, asked again whenever something has happened, until complete.

use core::net::SocketAddr;

use super::{Errno, Fd, Stack};

/// A call that waits until it can be completed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BlockingCall {
    /// Waits for a connection.
    Accept {
        /// The socket that listens.
        fd: Fd,
    },
    /// Waits until a connection is established.
    Connect {
        /// The socket.
        fd: Fd,
        /// Where to.
        remote: SocketAddr,
    },
    /// Waits for octets, or the end.
    Read {
        /// The socket.
        fd: Fd,
        /// The most octets to be read.
        len: usize,
        /// Leaves them to be read again.
        peek: bool,
    },
    /// Waits until everything is queued.
    Write {
        /// The socket.
        fd: Fd,
        /// What is to be written.
        octets: Vec<u8>,
        /// How much of it is queued.
        written: usize,
    },
}

/// What a call gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Completed {
    /// A connection was accepted.
    Accepted(Fd, SocketAddr),
    /// It is connected.
    Connected,
    /// These octets were read.
    Read(Vec<u8>),
    /// So many octets were written.
    Written(usize),
}

impl BlockingCall {
    /// The socket that it is made on.
    pub fn fd(&self) -> Fd {
        match self {
            Self::Accept { fd }
            | Self::Connect { fd, .. }
            | Self::Read { fd, .. }
            | Self::Write { fd, .. } => *fd,
        }
    }

    /// Goes on with the call. [`Errno::Again`], [`Errno::Already`] and [`Errno::InProgress`] mean
    /// that it is not complete; a call that does not wait (`waits` is `false`) ends with these.
    pub fn proceed<S: Stack>(&mut self, stack: &mut S, waits: bool) -> Result<Completed, Errno> {
        match self {
            Self::Accept { fd } => {
                let (fd, remote) = stack.accept(*fd)?;
                Ok(Completed::Accepted(fd, remote))
            }
            Self::Connect { fd, remote } => {
                stack.connect(*fd, *remote)?;
                Ok(Completed::Connected)
            }
            Self::Read { fd, len, peek } => {
                let mut out = vec![0; *len];
                let len = if *peek {
                    stack.peek(*fd, &mut out)?
                } else {
                    stack.read(*fd, &mut out)?
                };
                out.truncate(len);
                Ok(Completed::Read(out))
            }
            Self::Write {
                fd,
                octets,
                written,
            } => {
                match stack.write(*fd, &octets[*written..]) {
                    Ok(len) => *written += len,
                    // What was queued before counts.
                    Err(error) if *written > 0 && error != Errno::Again => {
                        return Ok(Completed::Written(*written));
                    }
                    Err(error) => return Err(error),
                }
                if *written < octets.len() && waits {
                    return Err(Errno::Again);
                }
                Ok(Completed::Written(*written))
            }
        }
    }

    /// Whether `error` says that the call on a socket that waits is not complete.
    pub fn is_waiting(error: Errno) -> bool {
        matches!(error, Errno::Again | Errno::Already | Errno::InProgress)
    }
}
