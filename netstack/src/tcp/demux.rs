//! Which connection a segment belongs to, and what is left of those that are over.

use super::Flow;
use super::endpoint::{ConnId, EndpointConfig};
use super::time_wait::TimeWaitTable;
use crate::flow_index::{FlowHash, FlowHasher, FlowIndex};
use crate::ip::{FiveTuple, NetworkId, V4, V6};
use crate::wire::ip_header::HeaderIp;

/// The flows of a worker.
#[derive(Debug)]
#[expect(
    unnameable_types,
    reason = "for `TcpIp` only, which nobody else implements"
)]
pub struct Demux {
    hasher: FlowHasher,
    /// The connections of both IP versions. Whoever has them knows their flows.
    pub(super) connections: FlowIndex,
    pub(super) v4: TimeWaitTable<V4>,
    pub(super) v6: TimeWaitTable<V6>,
}

impl Demux {
    /// No flows yet; `secret` is random and known to nobody else.
    pub(super) fn new(config: &EndpointConfig, secret: [u64; 2]) -> Self {
        let hasher = FlowHasher::new(secret);
        let (limit, duration) = (config.time_wait_entries, config.timeouts.time_wait);
        Self {
            hasher,
            connections: FlowIndex::with_capacity(config.max_connections),
            v4: TimeWaitTable::new(limit, duration, hasher),
            v6: TimeWaitTable::new(limit, duration, hasher),
        }
    }

    /// The connection of a flow. `has_flow` says whether a connection is the one.
    pub(super) fn find<I: TcpIp>(
        &self,
        network: NetworkId,
        flow: &FiveTuple<I>,
        has_flow: impl Fn(ConnId) -> bool,
    ) -> Option<ConnId> {
        let hash = self.hasher.hash(network, flow);
        let id = self.connections.find(hash, |id| has_flow(ConnId(id)));
        id.map(ConnId)
    }

    /// The hash of a flow.
    pub(super) fn hash<I: TcpIp>(&self, network: NetworkId, flow: &FiveTuple<I>) -> FlowHash {
        self.hasher.hash(network, flow)
    }

    /// Has fetched from memory where the flow with this hash is looked up.
    pub(super) fn touch(&self, hash: FlowHash) {
        self.connections.touch(hash);
    }

    /// Very likely the connection of the flow with this hash, without a look at the connection.
    pub(super) fn guess(&self, hash: FlowHash) -> Option<ConnId> {
        self.connections.guess(hash).map(ConnId)
    }

    /// Adds the connection of a flow that has none.
    pub(super) fn insert<I: TcpIp>(&mut self, network: NetworkId, flow: &FiveTuple<I>, id: ConnId) {
        let hash = self.hasher.hash(network, flow);
        // There is room: the index was made for as many flows as there may be connections.
        let inserted = self.connections.insert(hash, id.0);
        debug_assert!(inserted.is_ok());
    }

    /// Removes the connection of a flow.
    pub(super) fn remove<I: TcpIp>(&mut self, network: NetworkId, flow: &FiveTuple<I>, id: ConnId) {
        let hash = self.hasher.hash(network, flow);
        let removed = self.connections.remove(hash, id.0);
        debug_assert!(removed);
    }
}

/// What TCP needs to know of an IP version.
pub trait TcpIp: HeaderIp {
    /// The flow without its version as a type.
    fn flow(flow: FiveTuple<Self>) -> Flow;

    /// The flows of this version in TIME-WAIT.
    fn time_wait(demux: &Demux) -> &TimeWaitTable<Self>;

    /// The flows of this version in TIME-WAIT.
    fn time_wait_mut(demux: &mut Demux) -> &mut TimeWaitTable<Self>;
}

impl TcpIp for V4 {
    fn flow(flow: FiveTuple<Self>) -> Flow {
        Flow::V4(flow)
    }

    fn time_wait(demux: &Demux) -> &TimeWaitTable<Self> {
        &demux.v4
    }

    fn time_wait_mut(demux: &mut Demux) -> &mut TimeWaitTable<Self> {
        &mut demux.v4
    }
}

impl TcpIp for V6 {
    fn flow(flow: FiveTuple<Self>) -> Flow {
        Flow::V6(flow)
    }

    fn time_wait(demux: &Demux) -> &TimeWaitTable<Self> {
        &demux.v6
    }

    fn time_wait_mut(demux: &mut Demux) -> &mut TimeWaitTable<Self> {
        &mut demux.v6
    }
}
