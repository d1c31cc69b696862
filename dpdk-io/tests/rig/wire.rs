//! The kernel's end of a veth pair: a packet socket.

use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// A packet socket on one interface.
pub(crate) struct Wire(OwnedFd);

#[allow(dead_code, reason = "each test uses its part")]
impl Wire {
    /// Binds to `interface` of the namespace of this thread.
    pub(crate) fn new(interface: &str) -> Self {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol).unwrap();
        let address = getifaddrs()
            .unwrap()
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address?.as_link_addr().copied());
        bind(socket.as_raw_fd(), &address.unwrap()).unwrap();
        Self(socket)
    }

    /// Sends one frame.
    pub(crate) fn send(&self, frame: &[u8]) {
        loop {
            match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(len) => return assert_eq!(len, frame.len()),
                // The queue of the interface is full: the device at the other end empties it.
                Err(Errno::EAGAIN | Errno::ENOBUFS) => std::thread::yield_now(),
                Err(error) => panic!("sending: {error}"),
            }
        }
    }

    /// The next frame that came, if one did.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 65_536];
        let len = recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty()).ok()?;
        frame.truncate(len);
        Some(frame)
    }

    /// The frames of tests that came, once there are `count`; fewer if no more come.
    pub(crate) fn receive_all(&self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut idle = 0;
        while frames.len() < count && idle < 2000 {
            if let Some(frame) = self.receive() {
                idle = 0;
                frames.extend(Some(frame).filter(|frame| super::rig::is_ours(frame)));
            } else {
                idle += 1;
                sleep(Duration::from_millis(1));
            }
        }
        frames
    }
}
