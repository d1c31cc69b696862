//! How a worker reaches a backend, and opens connections to it: for sessions, and for checks.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netstack::io::PacketBuf;
use netstack::ip::{FiveTuple, Ip, NetworkId, V4, V6};
use netstack::rss::Steering;
use netstack::tcp::{ConnId, ConnectError, ConnectTarget, ConnectionOptions, Endpoint, TcpIp};
use netstack::time::Instant;

/// What a session needs to reach one backend.
#[derive(Clone, Debug)]
pub struct BackendPath {
    /// Our address towards it.
    pub source: IpAddr,
    /// The MTU of the port that leads to it, in octets.
    pub mtu: usize,
    /// How that port spreads replies over its queues, and which queue is this worker's; `None` if
    /// nobody can tell.
    pub steering: Option<(Steering, u16)>,
}

/// A connection that is to be opened to a backend.
#[derive(Debug)]
pub struct Opening<'a> {
    /// How the backend is reached.
    pub path: &'a BackendPath,
    /// Its address and port.
    pub remote: SocketAddr,
    /// What the connection is made with.
    pub options: &'a Arc<ConnectionOptions>,
    /// When it is not waited for any more.
    pub by: Instant,
    /// Who will hold it.
    pub owner: u32,
}

impl Opening<'_> {
    /// Opens it, in the IP version of the backend's address.
    ///
    /// # Errors
    /// If there is no source port, or no room for another connection.
    pub fn open<B: PacketBuf>(
        &self,
        now: Instant,
        tcp: &mut Endpoint<B>,
    ) -> Result<ConnId, ConnectError> {
        match (self.path.source, self.remote) {
            (IpAddr::V4(local), SocketAddr::V4(remote)) => {
                self.open_flow::<V4, B>(local, (*remote.ip(), remote.port()), now, tcp)
            }
            (IpAddr::V6(local), SocketAddr::V6(remote)) => {
                self.open_flow::<V6, B>(local, (*remote.ip(), remote.port()), now, tcp)
            }
            // The path was chosen for the backend's address.
            (IpAddr::V4(_), SocketAddr::V6(_)) | (IpAddr::V6(_), SocketAddr::V4(_)) => {
                Err(ConnectError::NoPort)
            }
        }
    }

    /// Opens it, if there is one, from a port whose replies come back to this worker.
    fn open_flow<I: TcpIp, B: PacketBuf>(
        &self,
        local: I::Addr,
        remote: (I::Addr, u16),
        now: Instant,
        tcp: &mut Endpoint<B>,
    ) -> Result<ConnId, ConnectError> {
        let target = ConnectTarget::<I> {
            network: NetworkId::BARE,
            local,
            remote,
            mtu: self.path.mtu,
            by: self.by,
        };
        tcp.connect(now, target, self.options, self.owner, |reply| {
            self.path.comes_home(reply)
        })
    }
}

impl BackendPath {
    /// Whether a reply of this flow arrives at this worker's queue, as far as anybody can tell.
    fn comes_home<I: Ip>(&self, reply: &FiveTuple<I>) -> bool {
        self.steering
            .as_ref()
            .is_none_or(|(steering, queue)| steering.queue_for(reply) == *queue)
    }
}
