//! A connection that is to be opened to a backend.

use core::net::{IpAddr, SocketAddr};

use netstack::ip::{NetworkId, V4, V6};
use netstack::tcp::{ConnId, ConnectError, ConnectTarget, Output, TcpIp};
use netstack::time::Instant;

use super::{BackendPath, Group, Turn};
use crate::l7::backend_pool::BackendId;
use crate::termination::{Cause, CloseReason, Phase, Side};

/// A connection that is to be opened to a backend.
pub(super) struct Opening<'a> {
    pub(super) group: &'a Group,
    pub(super) backend: BackendId,
    /// When no backend is waited for any more.
    pub(super) by: Instant,
    /// The session that will hold it.
    pub(super) owner: u32,
}

impl Opening<'_> {
    /// Opens it, in the IP version of the backend's address.
    pub(super) fn open<O: Output>(&self, turn: &mut Turn<'_, O>) -> Result<ConnId, ConnectError> {
        let remote = self.group.pool.backend(self.backend).address;
        match (self.path().source, remote) {
            (IpAddr::V4(local), SocketAddr::V4(remote)) => {
                self.open_flow::<V4, O>(local, (*remote.ip(), remote.port()), turn)
            }
            (IpAddr::V6(local), SocketAddr::V6(remote)) => {
                self.open_flow::<V6, O>(local, (*remote.ip(), remote.port()), turn)
            }
            // The path was chosen for the backend's address.
            (IpAddr::V4(_), SocketAddr::V6(_)) | (IpAddr::V6(_), SocketAddr::V4(_)) => {
                Err(ConnectError::NoPort)
            }
        }
    }

    /// Opens it, if there is one, from a port whose replies come back to this worker.
    fn open_flow<I: TcpIp, O: Output>(
        &self,
        local: I::Addr,
        remote: (I::Addr, u16),
        turn: &mut Turn<'_, O>,
    ) -> Result<ConnId, ConnectError> {
        let path = self.path();
        let target = ConnectTarget::<I> {
            network: NetworkId::BARE,
            local,
            remote,
            mtu: path.mtu,
            by: self.by,
        };
        turn.tcp
            .connect(turn.now, target, &self.group.options, self.owner, |reply| {
                path.comes_home(reply)
            })
    }

    fn path(&self) -> &BackendPath {
        &self.group.paths[self.backend.index()]
    }
}

/// Why no connection could even be begun.
pub(super) fn refusal(error: ConnectError) -> CloseReason {
    let cause = match error {
        ConnectError::NoPort => Cause::Exhausted,
        ConnectError::NoConnection => Cause::Limit,
    };
    CloseReason {
        side: Side::Proxy,
        cause,
        phase: Phase::Connect,
    }
}
