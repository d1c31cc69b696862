//! The calls that move octets: each is a `recv` or a `send`.
//!
//! Numbers in `SAFETY` comments are those of the invariants of the [interface](super).

use core::ffi::{c_int, c_void};

use libc::{iovec, msghdr, sockaddr, socklen_t};
use weirgate_tests::stack::Fd;

use super::call;
use super::memory::{array, fill, fill_address, octets};
use crate::{Errno, Session};

/// Receives into buffers, one after the other.
///
/// # Safety
/// Invariant 4 of the interface, for `buffers`.
unsafe fn scatter(
    session: &Session,
    fd: c_int,
    buffers: &[iovec],
    flags: c_int,
) -> Result<usize, Errno> {
    let room = buffers.iter().map(|buffer| buffer.iov_len).sum();
    let octets = session.recv(Fd(fd), room, flags)?;
    let mut rest = octets.as_slice();
    for buffer in buffers {
        let (here, behind) = rest.split_at(rest.len().min(buffer.iov_len));
        // SAFETY: 4.
        unsafe { fill(buffer.iov_base, here) };
        rest = behind;
    }
    Ok(octets.len())
}

/// Copies of buffers, one after the other.
///
/// # Safety
/// Invariant 4 of the interface.
unsafe fn gather(buffers: &[iovec]) -> Vec<u8> {
    let parts = buffers
        .iter()
        // SAFETY: 4.
        .map(|buffer| unsafe { octets(buffer.iov_base, buffer.iov_len) });
    parts.collect::<Vec<_>>().concat()
}

pub(super) unsafe extern "C" fn read(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *mut c_void,
    count: usize,
) -> isize {
    // SAFETY: 1 and 2.
    unsafe { recv(userdata, fd, buffer, count, 0) }
}

pub(super) unsafe extern "C" fn readv(
    userdata: *mut c_void,
    fd: c_int,
    buffers: *const iovec,
    count: c_int,
) -> isize {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: 1 and 4.
    unsafe {
        call(userdata, |session| {
            scatter(session, fd, array(buffers, count), 0)
        })
    }
}

pub(super) unsafe extern "C" fn recv(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
) -> isize {
    let buffer = iovec {
        iov_base: buffer,
        iov_len: len,
    };
    // SAFETY: 1, and 2 makes the one buffer as 4 has it.
    unsafe { call(userdata, |session| scatter(session, fd, &[buffer], flags)) }
}

pub(super) unsafe extern "C" fn recvfrom(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *mut c_void,
    len: usize,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> isize {
    // SAFETY: 1, 2 and 3. A connection says no address with what it received.
    unsafe {
        fill_address(addr, addr_len, &[]);
        recv(userdata, fd, buffer, len, flags)
    }
}

pub(super) unsafe extern "C" fn recvmsg(
    userdata: *mut c_void,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: 1 and 4.
    unsafe {
        call(userdata, |session| {
            let buffers = array((*message).msg_iov, (*message).msg_iovlen);
            let received = scatter(session, fd, buffers, flags)?;
            // Neither an address nor anything else comes with it.
            (*message).msg_namelen = 0;
            (*message).msg_controllen = 0;
            (*message).msg_flags = 0;
            Ok(received)
        })
    }
}

pub(super) unsafe extern "C" fn write(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *const c_void,
    count: usize,
) -> isize {
    // SAFETY: 1 and 2.
    unsafe { send(userdata, fd, buffer, count, 0) }
}

pub(super) unsafe extern "C" fn writev(
    userdata: *mut c_void,
    fd: c_int,
    buffers: *const iovec,
    count: c_int,
) -> isize {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: 1 and 4.
    unsafe {
        call(userdata, |session| {
            session.send(Fd(fd), gather(array(buffers, count)), 0)
        })
    }
}

pub(super) unsafe extern "C" fn send(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: 1 and 2.
    unsafe {
        call(userdata, |session| {
            session.send(Fd(fd), octets(buffer, len), flags)
        })
    }
}

pub(super) unsafe extern "C" fn sendto(
    userdata: *mut c_void,
    fd: c_int,
    buffer: *const c_void,
    len: usize,
    flags: c_int,
    _: *const sockaddr,
    _: socklen_t,
) -> isize {
    // SAFETY: 1 and 2. A connection has its peer; another address is not looked at.
    unsafe { send(userdata, fd, buffer, len, flags) }
}

pub(super) unsafe extern "C" fn sendmsg(
    userdata: *mut c_void,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> isize {
    // SAFETY: 1 and 4.
    unsafe {
        call(userdata, |session| {
            if (*message).msg_controllen != 0 {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            let buffers = array((*message).msg_iov, (*message).msg_iovlen);
            session.send(Fd(fd), gather(buffers), flags)
        })
    }
}
