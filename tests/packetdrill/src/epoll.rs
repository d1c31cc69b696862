//! `epoll`: sets of sockets with what they are watched for.
//!
//! Level-triggered and one-shot only. When an edge-triggered socket is to be told again follows from
//! every single arrival in the kernel, which the stack does not tell.

use std::collections::BTreeMap;

use weirgate_tests::stack::{Fd, PollEvents};

use crate::Errno;

/// The number of the first set: far from those of sockets.
const FIRST_FD: i32 = 1 << 16;

/// All sets of a session.
#[derive(Debug, Default)]
pub(crate) struct Epolls {
    sets: BTreeMap<Fd, BTreeMap<Fd, Interest>>,
    made: i32,
}

/// What a socket is watched for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    /// The caller's bits, `EPOLLONESHOT` among them.
    pub(crate) events: u32,
    /// What the caller wants to be told with them.
    pub(crate) data: u64,
}

impl Interest {
    /// What is asked of the socket. The bits of events are those of `poll`.
    fn asked(self) -> PollEvents {
        PollEvents(self.events as u16)
    }

    fn is_one_shot(self) -> bool {
        self.events & libc::EPOLLONESHOT as u32 != 0
    }
}

impl Epolls {
    /// Makes a set.
    pub(crate) fn open(&mut self) -> Fd {
        let fd = Fd(FIRST_FD + self.made);
        self.made += 1;
        self.sets.insert(fd, BTreeMap::new());
        fd
    }

    /// Gives up a set, or forgets a socket. Returns whether it was a set.
    pub(crate) fn close(&mut self, fd: Fd) -> bool {
        for set in self.sets.values_mut() {
            set.remove(&fd);
        }
        self.sets.remove(&fd).is_some()
    }

    /// `epoll_ctl`: adds, changes or removes a socket.
    ///
    /// # Errors
    /// As the call of that name, and `EINVAL` for edge-triggered.
    pub(crate) fn control(
        &mut self,
        set: Fd,
        operation: i32,
        fd: Fd,
        interest: Option<Interest>,
    ) -> Result<(), Errno> {
        let set = self.sets.get_mut(&set).ok_or(Errno(libc::EBADF))?;
        if operation == libc::EPOLL_CTL_DEL {
            let removed = set.remove(&fd);
            return removed.map(drop).ok_or(Errno(libc::ENOENT));
        }
        let interest = interest.ok_or(Errno(libc::EFAULT))?;
        if interest.events & libc::EPOLLET.cast_unsigned() != 0 {
            return Err(Errno(libc::EINVAL));
        }
        match (operation, set.contains_key(&fd)) {
            (libc::EPOLL_CTL_ADD, true) => return Err(Errno(libc::EEXIST)),
            (libc::EPOLL_CTL_MOD, false) => return Err(Errno(libc::ENOENT)),
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, _) => {}
            _ => return Err(Errno(libc::EINVAL)),
        }
        set.insert(fd, interest);
        Ok(())
    }

    /// What a set asks of its sockets; one-shot sockets that were told are left out.
    pub(crate) fn asked(&self, set: Fd) -> Result<Vec<(Fd, PollEvents)>, Errno> {
        let set = self.sets.get(&set).ok_or(Errno(libc::EBADF))?;
        let armed = set.iter().filter(|(_, interest)| interest.events != 0);
        Ok(armed
            .map(|(fd, interest)| (*fd, interest.asked()))
            .collect())
    }

    /// What a caller is told of a socket that is ready; of a one-shot socket, once.
    pub(crate) fn tell(&mut self, set: Fd, fd: Fd, ready: PollEvents) -> Option<Interest> {
        let interest = self.sets.get_mut(&set)?.get_mut(&fd)?;
        let told = Interest {
            events: u32::from(ready.0),
            data: interest.data,
        };
        if interest.is_one_shot() {
            interest.events = 0;
        }
        Some(told)
    }
}
