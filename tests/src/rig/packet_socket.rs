//! A packet socket as a queue pair: what the kernel sends and receives on one interface.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netstack::io::mem::{MemBuf, MemPool};
use netstack::io::{Burst, Capabilities, PacketBuf, PacketIo, TxChecksumCapability};
use netstack::wire::ethernet::{self, MacAddr};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt::RcvBufForce,
};

use super::RigError;

/// Frames of one interface, in both directions, in buffers of its own.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    socket: OwnedFd,
    pool: MemPool,
    capabilities: Capabilities,
    refused: u64,
}

impl PacketSocket {
    /// Opens the interface of the caller's namespace, with so many buffers.
    pub(crate) fn open(interface: &str, buffers: usize) -> Result<Self, RigError> {
        let what = || RigError::io(format!("a packet socket on {interface}"));
        Self::try_open(interface, buffers).map_err(what())
    }

    fn try_open(interface: &str, buffers: usize) -> io::Result<Self> {
        let address = link_address(interface)?;
        let mac = address.addr().unwrap_or_default();
        let kind = SockType::Raw;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, kind, flags, SockProtocol::EthAll)?;
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
        bind(socket.as_raw_fd(), &address)?;
        // What other interfaces received before the socket was bound to this one.
        while recv(socket.as_raw_fd(), &mut [0], MsgFlags::empty()).is_ok() {}
        Ok(Self {
            socket,
            pool: MemPool::new(buffers, MTU),
            capabilities: Capabilities {
                mac: MacAddr(mac),
                mtu: MTU,
                tx_checksum: TxChecksumCapability::default(),
                tx_pieces: 0,
                tso_ipv4: None,
                tso_ipv6: None,
                rss: None,
            },
            refused: 0,
        })
    }

    /// To wait for frames with.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Frames that the kernel did not take for another reason than that it is busy.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The next frame that is there.
    fn receive(&self) -> Option<MemBuf> {
        let mut frame = self.pool.alloc()?;
        let room = frame.append(ethernet::HEADER_LEN + MTU)?;
        let len = recv(self.socket.as_raw_fd(), room, MsgFlags::empty()).ok()?;
        frame.truncate(len);
        Some(frame)
    }
}

impl PacketIo for PacketSocket {
    type Buf = MemBuf;

    fn rx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let before = burst.len();
        while burst.room() > 0
            && let Some(frame) = self.receive()
        {
            // There is room: it was looked at.
            let _ = burst.push(frame);
        }
        burst.len() - before
    }

    fn tx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let mut count = 0;
        for frame in burst.iter() {
            match send(self.socket.as_raw_fd(), frame.data(), MsgFlags::empty()) {
                Err(Errno::EAGAIN | Errno::ENOBUFS) => break,
                Err(_) => self.refused += 1,
                Ok(_) => {}
            }
            count += 1;
        }
        burst.drain_front(count);
        count
    }

    fn alloc(&mut self) -> Option<MemBuf> {
        self.pool.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

/// The index and the MAC address of an interface of the caller's namespace.
fn link_address(interface: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(ErrorKind::NotFound, "no such interface"))
}

/// Octets of IP packet in a frame.
const MTU: usize = 1500;
/// Octets that the kernel keeps for a thread that comes late.
const RECEIVE_BUFFER: usize = 16 << 20;
