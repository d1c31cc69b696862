//! Where connections are accepted.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::sync::Arc;

use super::{ConnectionOptions, EngineKind};
use crate::ip::NetworkId;

/// Names a listener of the configuration.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ListenerId(pub u32);

/// One address and port on which connections are accepted.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Which listener of the configuration; several addresses may share one.
    pub id: ListenerId,
    /// The network of the address.
    pub network: NetworkId,
    /// The address and port.
    pub address: SocketAddr,
    /// What its connections are made with.
    pub options: Arc<ConnectionOptions>,
}

impl Listener {
    /// Whether its connections use time stamps if the client does.
    pub(super) fn uses_time_stamps(&self) -> bool {
        self.options.engine == EngineKind::Native && self.options.timestamps
    }
}

/// All listeners of a worker, found by address and port.
#[derive(Debug)]
pub(super) struct Listeners {
    by_address: HashMap<(NetworkId, SocketAddr), Listener>,
}

impl Listeners {
    pub(super) fn new(listeners: impl IntoIterator<Item = Listener>) -> Self {
        let by_address = listeners
            .into_iter()
            .map(|listener| ((listener.network, listener.address), listener))
            .collect();
        Self { by_address }
    }

    pub(super) fn get(&self, network: NetworkId, address: SocketAddr) -> Option<&Listener> {
        self.by_address.get(&(network, address))
    }

    /// The ports on which anything listens.
    pub(super) fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.by_address.keys().map(|(_, at)| at.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}
