//! The interface of packetdrill, and, with its two parts, all the unsafe code of this package.
//!
//! [`packetdrill_interface_init`] fills the [`Interface`] that packetdrill gives it. Each function
//! turns its pointers into safe values, makes the call of that name on the [`Session`], and puts
//! back what came of it: the result, or -1 and `errno`. Nothing else happens here. A panic would
//! end the process at this border. `data` has the calls that move octets, `memory` what reads
//! and writes the caller's memory.
//!
//! # Invariants
//! What is relied on, and who keeps it:
//!
//! 1. `userdata` is what `init` stored: null, or an `Arc<Session>` made raw; no call begins once
//!    `free` was called (packetdrill; `init` and `free` here).
//! 2. A buffer has as many octets as the call says, to be read or to be written as the call does,
//!    by nobody else meanwhile; it may be null if these are none (packetdrill, as in the C library).
//! 3. An address has as many octets as its length says; where the length is a pointer, it is null
//!    together with the address, or valid for reading and writing (packetdrill).
//! 4. An array of `iovec` has as many entries as the call says, each a buffer as in 2; a `msghdr`
//!    is valid, and names such an array (packetdrill).
//! 5. Any other pointer to a single value, or to an array with a length, is valid, aligned and
//!    nobody else's for the call, or null where that means "none" (packetdrill).
//! 6. The text of the flags is null or ends with a zero; the interface to be filled is room for an
//!    [`Interface`] (packetdrill).
//! 7. `__errno_location` gives the calling thread's own `errno` (the C library).

mod data;
mod memory;

use core::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_ulong, c_void};
use core::ptr;
use core::time::Duration;
use std::sync::Arc;

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, sockaddr, socklen_t, timeval, timezone,
};
use netstack::time::Instant;
use weirgate_tests::stack::{Fd, PollEvents};

use self::data::{read, readv, recv, recvfrom, recvmsg, send, sendmsg, sendto, write, writev};
use self::memory::{array, fill, fill_address, octets};
use crate::{Errno, Flags, FlagsError, Session, address};

/// The table of functions that packetdrill calls, as its documentation lays it out.
#[repr(C)]
#[expect(missing_docs, reason = "each is the call of the C library of that name, or said below")]
#[rustfmt::skip]
pub struct Interface {
    /// Given to each of the functions.
    pub userdata: *mut c_void,
    /// Ends the session.
    pub free: unsafe extern "C" fn(*mut c_void),
    pub socket: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(*mut c_void, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: unsafe extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, usize) -> isize,
    pub readv: unsafe extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> isize,
    pub recv: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, usize, c_int) -> isize,
    pub recvfrom: unsafe extern "C" fn(
        *mut c_void, c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t,
    ) -> isize,
    pub recvmsg: unsafe extern "C" fn(*mut c_void, c_int, *mut msghdr, c_int) -> isize,
    pub write: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> isize,
    pub writev: unsafe extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> isize,
    pub send: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize, c_int) -> isize,
    pub sendto: unsafe extern "C" fn(
        *mut c_void, c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t,
    ) -> isize,
    pub sendmsg: unsafe extern "C" fn(*mut c_void, c_int, *const msghdr, c_int) -> isize,
    pub fcntl: unsafe extern "C" fn(*mut c_void, c_int, c_int, ...) -> c_int,
    pub ioctl: unsafe extern "C" fn(*mut c_void, c_int, c_ulong, ...) -> c_int,
    pub close: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    pub shutdown: unsafe extern "C" fn(*mut c_void, c_int, c_int) -> c_int,
    pub getsockopt: unsafe extern "C" fn(
        *mut c_void, c_int, c_int, c_int, *mut c_void, *mut socklen_t,
    ) -> c_int,
    pub setsockopt: unsafe extern "C" fn(
        *mut c_void, c_int, c_int, c_int, *const c_void, socklen_t,
    ) -> c_int,
    pub poll: unsafe extern "C" fn(*mut c_void, *mut pollfd, nfds_t, c_int) -> c_int,
    /// Hands in a raw IP packet.
    pub netdev_send: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    /// The next packet that is sent: its octets, their number, and when in microseconds.
    pub netdev_receive: unsafe extern "C" fn(
        *mut c_void, *mut c_void, *mut usize, *mut c_longlong,
    ) -> c_int,
    pub usleep: unsafe extern "C" fn(*mut c_void, c_uint) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(*mut c_void, *mut timeval, *mut timezone) -> c_int,
    pub epoll_create: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(
        *mut c_void, c_int, c_int, c_int, *mut epoll_event,
    ) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(
        *mut c_void, c_int, *mut epoll_event, c_int, c_int,
    ) -> c_int,
    pub pipe: unsafe extern "C" fn(*mut c_void, *mut c_int) -> c_int,
    pub splice: unsafe extern "C" fn(
        *mut c_void, c_int, *mut loff_t, c_int, *mut loff_t, usize, c_uint,
    ) -> c_int,
}

unsafe extern "C" {
    // In `variadic.c`: stable Rust can name such functions, but not define them.
    fn weirgate_packetdrill_fcntl(userdata: *mut c_void, fd: c_int, command: c_int, ...) -> c_int;
    fn weirgate_packetdrill_ioctl(userdata: *mut c_void, fd: c_int, request: c_ulong, ...)
    -> c_int;
}

/// Makes a session and fills the interface with what it can do.
///
/// If the flags are wrong, that is said on the standard error, and every call fails with `EINVAL`,
/// the clock's first of all, which ends packetdrill.
///
/// # Safety
/// Invariant 6 of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, ifc: *mut Interface) {
    // SAFETY: 6.
    let text = (!flags.is_null()).then(|| unsafe { CStr::from_ptr(flags) });
    let text = text.map_or(Ok(""), CStr::to_str);
    let session = text
        .map_err(|_| FlagsError::Encoding)
        .and_then(Flags::parse)
        .map(|flags| Arc::new(Session::new(flags)));
    let userdata = match session {
        Ok(session) => Arc::into_raw(session).cast_mut().cast(),
        Err(error) => {
            eprintln!("weirgate-packetdrill: --so_flags: {error}");
            ptr::null_mut()
        }
    };
    let interface = interface(userdata);
    // SAFETY: 6.
    unsafe { ifc.write(interface) };
}

fn interface(userdata: *mut c_void) -> Interface {
    Interface {
        userdata,
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl: weirgate_packetdrill_fcntl,
        ioctl: weirgate_packetdrill_ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    }
}

/// How a session stands, for programs that drive its clock; packetdrill does not ask.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SessionView {
    /// What time it is, in microseconds.
    pub now: c_longlong,
    /// When something will happen by itself, rounded up; -1: never.
    pub deadline: c_longlong,
    /// Packets that were sent and not received.
    pub packets: usize,
    /// Calls that wait.
    pub waiting: usize,
}

/// Tells how a session stands, without touching its clock. Returns 0, or -1 without a session.
///
/// # Safety
/// Invariants 1 and 5 of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weirgate_packetdrill_view(
    userdata: *mut c_void,
    view: *mut SessionView,
) -> c_int {
    // SAFETY: 1.
    unsafe {
        call(userdata, |session| {
            let known = session.view();
            let just_before = Duration::from_nanos(999);
            let deadline = known.deadline.map(|at| at + just_before);
            let told = SessionView {
                now: micros(known.now),
                deadline: deadline.map_or(-1, micros),
                packets: known.packets,
                waiting: known.waiting,
            };
            // SAFETY: 5.
            view.write(told);
            Ok(0)
        }) as c_int
    }
}

/// Makes a call on the session; gives its result, or -1 and `errno`.
///
/// # Safety
/// Invariant 1 of the module.
unsafe fn call(
    userdata: *mut c_void,
    make: impl FnOnce(&Session) -> Result<usize, Errno>,
) -> isize {
    let session: *const Session = userdata.cast_const().cast();
    let made = if session.is_null() {
        Err(Errno(libc::EINVAL))
    } else {
        // SAFETY: 1. The count goes up before the value that owns it is made, so that the session
        // stays while the call lasts, whatever `free` does meanwhile.
        let session = unsafe {
            Arc::increment_strong_count(session);
            Arc::from_raw(session)
        };
        make(&session)
    };
    match made {
        Ok(value) => isize::try_from(value).unwrap_or(isize::MAX),
        Err(Errno(number)) => {
            // SAFETY: 7.
            unsafe { *libc::__errno_location() = number };
            -1
        }
    }
}

/// A time as C has it, in microseconds.
fn micros(at: Instant) -> c_longlong {
    c_longlong::try_from(at.as_micros()).unwrap_or(c_longlong::MAX)
}

/// The number of a new socket as a result.
fn number(fd: Fd) -> usize {
    usize::try_from(fd.0).unwrap_or(0)
}

unsafe extern "C" fn free(userdata: *mut c_void) {
    let session: *const Session = userdata.cast_const().cast();
    if !session.is_null() {
        // SAFETY: 1. This is what `init` made raw; calls that are on their way hold their own.
        let session = unsafe { Arc::from_raw(session) };
        session.end();
    }
}

unsafe extern "C" fn socket(
    userdata: *mut c_void,
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    // SAFETY: 1.
    unsafe {
        call(userdata, |session| {
            session.socket(domain, kind, protocol).map(number)
        }) as c_int
    }
}

unsafe extern "C" fn bind(
    userdata: *mut c_void,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: 1 and 3.
    unsafe {
        call(userdata, |session| {
            let local = address::parse(&octets(addr.cast(), len as usize))?;
            session.bind(Fd(fd), local).map(|()| 0)
        }) as c_int
    }
}

unsafe extern "C" fn listen(userdata: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: 1.
    unsafe {
        call(userdata, |session| {
            session.listen(Fd(fd), backlog).map(|()| 0)
        }) as c_int
    }
}

unsafe extern "C" fn accept(
    userdata: *mut c_void,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: 1 and 3.
    unsafe {
        call(userdata, |session| {
            let (fd, remote) = session.accept(Fd(fd))?;
            fill_address(addr, len, &address::emit(remote));
            Ok(number(fd))
        }) as c_int
    }
}

unsafe extern "C" fn connect(
    userdata: *mut c_void,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: 1 and 3.
    unsafe {
        call(userdata, |session| {
            let remote = address::parse(&octets(addr.cast(), len as usize))?;
            session.connect(Fd(fd), remote).map(|()| 0)
        }) as c_int
    }
}

/// `fcntl`, after `variadic.c` has fetched the argument.
///
/// # Safety
/// Invariant 1 of the module.
#[unsafe(no_mangle)]
unsafe extern "C" fn weirgate_packetdrill_fcntl_fixed(
    userdata: *mut c_void,
    fd: c_int,
    command: c_int,
    argument: c_int,
) -> c_int {
    // SAFETY: 1.
    unsafe {
        call(userdata, |session| {
            let flags = session.fcntl(Fd(fd), command, argument)?;
            Ok(number(Fd(flags)))
        }) as c_int
    }
}

/// `ioctl`, after `variadic.c` has fetched the argument; null if the request has none that is known.
///
/// # Safety
/// Invariants 1 and 5 of the module.
#[unsafe(no_mangle)]
unsafe extern "C" fn weirgate_packetdrill_ioctl_fixed(
    userdata: *mut c_void,
    fd: c_int,
    request: c_ulong,
    value: *mut c_int,
) -> c_int {
    // SAFETY: 1 and 5.
    unsafe {
        call(userdata, |session| {
            let told = session.ioctl(Fd(fd), request)?;
            let value = value.as_mut().ok_or(Errno(libc::EFAULT))?;
            *value = told;
            Ok(0)
        }) as c_int
    }
}

unsafe extern "C" fn close(userdata: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: 1.
    unsafe { call(userdata, |session| session.close(Fd(fd)).map(|()| 0)) as c_int }
}

unsafe extern "C" fn shutdown(userdata: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: 1.
    unsafe {
        call(userdata, |session| {
            session.shutdown(Fd(fd), how).map(|()| 0)
        }) as c_int
    }
}

unsafe extern "C" fn getsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: 1, 2 and 5.
    unsafe {
        call(userdata, |session| {
            let len = len.as_mut().ok_or(Errno(libc::EFAULT))?;
            let octets = session.option(Fd(fd), level, name)?;
            let fits = octets.len().min(*len as usize);
            fill(value, &octets[..fits]);
            *len = fits as socklen_t;
            Ok(0)
        }) as c_int
    }
}

unsafe extern "C" fn setsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: 1 and 2.
    unsafe {
        call(userdata, |session| {
            let value = octets(value, len as usize);
            session.set_option(Fd(fd), level, name, &value).map(|()| 0)
        }) as c_int
    }
}

unsafe extern "C" fn poll(
    userdata: *mut c_void,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    // SAFETY: 1 and 5. The array is not read while it is written.
    unsafe {
        call(userdata, |session| {
            let asked = array(fds, count as usize).iter();
            let asked = asked.map(|fd| (Fd(fd.fd), PollEvents(fd.events.cast_unsigned())));
            let ready = session.poll(asked.collect(), timeout)?;
            for (index, ready) in ready.iter().enumerate() {
                (*fds.add(index)).revents = ready.0.cast_signed();
            }
            Ok(ready.iter().filter(|ready| !ready.is_empty()).count())
        }) as c_int
    }
}

unsafe extern "C" fn netdev_send(
    userdata: *mut c_void,
    buffer: *const c_void,
    count: usize,
) -> c_int {
    // SAFETY: 1 and 2.
    unsafe {
        call(userdata, |session| {
            session.inject(&octets(buffer, count));
            Ok(0)
        }) as c_int
    }
}

unsafe extern "C" fn netdev_receive(
    userdata: *mut c_void,
    buffer: *mut c_void,
    count: *mut usize,
    time_usecs: *mut c_longlong,
) -> c_int {
    // SAFETY: 1, 2 and 5.
    unsafe {
        call(userdata, |session| {
            let Some((at, packet)) = session.receive() else {
                *count = 0;
                return Ok(0);
            };
            if packet.len() > *count {
                return Err(Errno(libc::EMSGSIZE));
            }
            fill(buffer, &packet);
            *count = packet.len();
            *time_usecs = micros(at);
            Ok(0)
        }) as c_int
    }
}

unsafe extern "C" fn usleep(userdata: *mut c_void, micros: c_uint) -> c_int {
    // SAFETY: 1.
    unsafe {
        call(userdata, |session| {
            session.sleep(Duration::from_micros(u64::from(micros)));
            Ok(0)
        }) as c_int
    }
}

unsafe extern "C" fn gettimeofday(
    userdata: *mut c_void,
    time: *mut timeval,
    _: *mut timezone,
) -> c_int {
    // SAFETY: 1 and 5.
    unsafe {
        call(userdata, |session| {
            let micros = micros(session.clock());
            time.write(timeval {
                tv_sec: micros / 1_000_000,
                tv_usec: micros % 1_000_000,
            });
            Ok(0)
        }) as c_int
    }
}

unsafe extern "C" fn epoll_create(userdata: *mut c_void, _size: c_int) -> c_int {
    // SAFETY: 1.
    unsafe { call(userdata, |session| Ok(number(session.epoll_create()))) as c_int }
}

unsafe extern "C" fn epoll_ctl(
    userdata: *mut c_void,
    set: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: 1 and 5.
    unsafe {
        call(userdata, |session| {
            let event = event.as_ref().map(|event| (event.events, event.u64));
            session
                .epoll_ctl(Fd(set), operation, Fd(fd), event)
                .map(|()| 0)
        }) as c_int
    }
}

unsafe extern "C" fn epoll_wait(
    userdata: *mut c_void,
    set: c_int,
    events: *mut epoll_event,
    room: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: 1 and 5.
    unsafe {
        call(userdata, |session| {
            let room = usize::try_from(room).unwrap_or(0);
            let told = session.epoll_wait(Fd(set), room, timeout)?;
            for (index, (bits, data)) in told.iter().enumerate() {
                let event = epoll_event {
                    events: *bits,
                    u64: *data,
                };
                events.add(index).write(event);
            }
            Ok(told.len())
        }) as c_int
    }
}

/// There are no files here that a pipe could be among.
unsafe extern "C" fn pipe(userdata: *mut c_void, _: *mut c_int) -> c_int {
    // SAFETY: 1.
    unsafe { call(userdata, |_| Err(Errno(libc::ENOSYS))) as c_int }
}

unsafe extern "C" fn splice(
    userdata: *mut c_void,
    _: c_int,
    _: *mut loff_t,
    _: c_int,
    _: *mut loff_t,
    _: usize,
    _: c_uint,
) -> c_int {
    // SAFETY: 1.
    unsafe { call(userdata, |_| Err(Errno(libc::ENOSYS))) as c_int }
}
