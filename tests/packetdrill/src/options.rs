//! Options of sockets: their numbers and octets, and what they are to the stack.

use core::ffi::c_int;
use core::time::Duration;

use weirgate_tests::stack::{Fd, OptionName, SocketOption, Stack};

use crate::flags::{congestion, congestion_name};
use crate::session::{Session, State};
use crate::{Errno, tcp_info};

const UNKNOWN: Errno = Errno(libc::ENOPROTOOPT);
const INVALID: Errno = Errno(libc::EINVAL);

impl Session {
    /// Sets an option. Its value is as in memory.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for one that is not known, `EINVAL` for a value that makes no sense, and what
    /// the stack says.
    pub fn set_option(&self, fd: Fd, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
        let option = parse(level, name, value)?;
        let set = self.with(|state| state.host.set_option(fd, option));
        set.map_err(Errno::from)
    }

    /// Tells an option's value as it is in memory.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for one that is not known, and what the stack says.
    pub fn option(&self, fd: Fd, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
        self.with(|state| tell(state, fd, level, name))
    }
}

/// What an option is to the stack.
fn parse(level: c_int, name: c_int, value: &[u8]) -> Result<SocketOption, Errno> {
    if (level, name) == (libc::IPPROTO_TCP, libc::TCP_CONGESTION) {
        let text = value.split(|octet| *octet == 0).next().unwrap_or(value);
        let known = core::str::from_utf8(text).ok().and_then(congestion);
        return known
            .map(SocketOption::Congestion)
            .ok_or(Errno(libc::ENOENT));
    }
    let number = first_int(value);
    let on = || Ok::<_, Errno>(number? != 0);
    let octets = || usize::try_from(number?).map_err(|_| INVALID);
    let seconds = || match u64::try_from(number?) {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err(INVALID),
    };
    Ok(match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_REUSEPORT) => {
            SocketOption::ReuseAddress(on()?)
        }
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => SocketOption::KeepAlive(on()?),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => SocketOption::ReceiveBuffer(octets()?),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => SocketOption::SendBuffer(octets()?),
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            let on = on()?;
            // `struct linger`: whether, and for how many seconds.
            let time = first_int(value.get(size_of::<c_int>()..).ok_or(INVALID)?)?;
            let time = u64::try_from(time).map_err(|_| INVALID)?;
            SocketOption::Linger(on.then_some(Duration::from_secs(time)))
        }
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => SocketOption::NoDelay(on()?),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
            let octets = u16::try_from(number?).map_err(|_| INVALID)?;
            SocketOption::MaxSegment(octets)
        }
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => SocketOption::KeepIdle(seconds()?),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => SocketOption::KeepInterval(seconds()?),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => match u8::try_from(number?) {
            Ok(probes @ 1..) => SocketOption::KeepCount(probes),
            _ => return Err(INVALID),
        },
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            let millis = u64::try_from(number?).map_err(|_| INVALID)?;
            SocketOption::UserTimeout(Duration::from_millis(millis))
        }
        _ => return Err(UNKNOWN),
    })
}

fn tell(state: &mut State, fd: Fd, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
    let options = state.host.socket_options(fd)?;
    let named = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => Some(OptionName::Error),
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => Some(OptionName::ReceiveBuffer),
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => Some(OptionName::SendBuffer),
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => Some(OptionName::MaxSegment),
        _ => None,
    };
    if let Some(named) = named {
        return Ok(int(state.host.option(fd, named)?));
    }
    let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    Ok(match (level, name) {
        (libc::SOL_SOCKET, libc::SO_TYPE) => int(libc::SOCK_STREAM),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => int(c_int::from(options.keepalive.is_some())),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => int(seconds(options.keepalive_idle)),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => {
            let interval = options.keepalive_interval;
            int(seconds(interval.unwrap_or(options.keepalive_idle)))
        }
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => int(options.keepalive_probes.into()),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
            let millis = options.timeouts.user.as_millis();
            int(i32::try_from(millis).unwrap_or(i32::MAX))
        }
        // What is written is never held back, whatever was set.
        (libc::IPPROTO_TCP, libc::TCP_NODELAY) => int(1),
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => {
            let mut name = congestion_name(options.congestion).as_bytes().to_vec();
            name.push(0);
            name
        }
        (libc::IPPROTO_TCP, libc::TCP_INFO) => tcp_info::emit(&state.host.tcp_info(fd)?),
        _ => return Err(UNKNOWN),
    })
}

fn int(value: c_int) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn first_int(octets: &[u8]) -> Result<c_int, Errno> {
    let first = octets.first_chunk().ok_or(INVALID)?;
    Ok(c_int::from_ne_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flags;

    fn session() -> (Session, Fd) {
        let session = Session::new(Flags::parse("").unwrap());
        let fd = session.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
        (session, fd)
    }

    #[test]
    fn what_is_set_is_told() {
        let (session, fd) = session();
        for (level, name, value) in [
            (libc::SOL_SOCKET, libc::SO_RCVBUF, 5000),
            (libc::SOL_SOCKET, libc::SO_SNDBUF, 6000),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 7),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 8),
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 9),
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 10_000),
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG, 1000),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        ] {
            let set = session.set_option(fd, level, name, &int(value));
            assert_eq!(set, Ok(()), "{level} {name}");
            assert_eq!(
                session.option(fd, level, name),
                Ok(int(value)),
                "{level} {name}"
            );
        }
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_CONGESTION);
        assert_eq!(session.set_option(fd, level, name, b"bbr\0junk"), Ok(()));
        assert_eq!(session.option(fd, level, name), Ok(b"bbr\0".to_vec()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (session, fd) = session();
        let set = |level, name, value: &[u8]| session.set_option(fd, level, name, value);
        let tcp = libc::IPPROTO_TCP;
        assert_eq!(set(tcp, libc::TCP_KEEPIDLE, &int(0)), Err(INVALID));
        assert_eq!(set(tcp, libc::TCP_KEEPCNT, &int(300)), Err(INVALID));
        assert_eq!(set(tcp, libc::TCP_MAXSEG, &int(-1)), Err(INVALID));
        assert_eq!(set(tcp, libc::TCP_NODELAY, &[1]), Err(INVALID));
        assert_eq!(set(tcp, libc::TCP_CORK, &int(1)), Err(UNKNOWN));
        assert_eq!(
            set(tcp, libc::TCP_CONGESTION, b"vegas"),
            Err(Errno(libc::ENOENT))
        );
        assert_eq!(
            set(libc::SOL_SOCKET, libc::SO_LINGER, &int(1)),
            Err(INVALID)
        );
        let bad_fd = session.option(Fd(99), libc::SOL_SOCKET, libc::SO_ERROR);
        assert_eq!(bad_fd, Err(Errno(libc::EBADF)));
    }
}
