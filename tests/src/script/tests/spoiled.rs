//! A stack that does one thing wrong, so that it can be seen that scripts notice.

use core::net::SocketAddr;

use netstack::time::Instant;

use crate::stack::{
    Errno, Fd, Host, OptionName, PollEvents, SettingError, Shutdown, SocketOption, Stack, TcpInfo,
};

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The last octet of what is read.
    Read,
    /// The last octet of packets, and so their checksums.
    Sent,
    /// The last octet of what is written, before it is sent.
    Written,
    /// The version of packets.
    Version,
}

/// A stack with a fault.
pub(super) struct Spoiled {
    pub(super) host: Host,
    pub(super) fault: Fault,
}

impl Spoiled {
    fn spoil(&self, fault: Fault, octets: &mut [u8]) {
        if let Some(last) = octets.last_mut().filter(|_| self.fault == fault) {
            *last ^= 1;
        }
    }
}

impl Stack for Spoiled {
    fn now(&self) -> Instant {
        self.host.now()
    }

    fn configure(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.host.configure(name, value)
    }

    fn socket(&mut self) -> Result<Fd, Errno> {
        self.host.socket()
    }

    fn bind(&mut self, fd: Fd, local: SocketAddr) -> Result<(), Errno> {
        self.host.bind(fd, local)
    }

    fn listen(&mut self, fd: Fd, backlog: usize) -> Result<(), Errno> {
        self.host.listen(fd, backlog)
    }

    fn accept(&mut self, fd: Fd) -> Result<(Fd, SocketAddr), Errno> {
        self.host.accept(fd)
    }

    fn connect(&mut self, fd: Fd, remote: SocketAddr) -> Result<(), Errno> {
        self.host.connect(fd, remote)
    }

    fn read(&mut self, fd: Fd, out: &mut [u8]) -> Result<usize, Errno> {
        let len = self.host.read(fd, out)?;
        self.spoil(Fault::Read, &mut out[..len]);
        Ok(len)
    }

    fn peek(&mut self, fd: Fd, out: &mut [u8]) -> Result<usize, Errno> {
        self.host.peek(fd, out)
    }

    fn write(&mut self, fd: Fd, octets: &[u8]) -> Result<usize, Errno> {
        let mut octets = octets.to_vec();
        self.spoil(Fault::Written, &mut octets);
        self.host.write(fd, &octets)
    }

    fn shutdown(&mut self, fd: Fd, how: Shutdown) -> Result<(), Errno> {
        self.host.shutdown(fd, how)
    }

    fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        self.host.close(fd)
    }

    fn set_option(&mut self, fd: Fd, option: SocketOption) -> Result<(), Errno> {
        self.host.set_option(fd, option)
    }

    fn option(&mut self, fd: Fd, name: OptionName) -> Result<i32, Errno> {
        self.host.option(fd, name)
    }

    fn is_blocking(&self, fd: Fd) -> Result<bool, Errno> {
        self.host.is_blocking(fd)
    }

    fn set_blocking(&mut self, fd: Fd, blocking: bool) -> Result<(), Errno> {
        self.host.set_blocking(fd, blocking)
    }

    fn poll(&mut self, fd: Fd) -> Result<PollEvents, Errno> {
        self.host.poll(fd)
    }

    fn tcp_info(&mut self, fd: Fd) -> Result<TcpInfo, Errno> {
        self.host.tcp_info(fd)
    }

    fn inject(&mut self, packet: &[u8]) {
        self.host.inject(packet);
    }

    fn next_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        let (at, mut packet) = self.host.next_packet()?;
        self.spoil(Fault::Sent, &mut packet);
        if self.fault == Fault::Version {
            packet[0] ^= 0x20;
        }
        Some((at, packet))
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.host.next_deadline()
    }

    fn advance_to(&mut self, at: Instant) {
        self.host.advance_to(at);
    }
}
