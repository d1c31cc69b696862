//! Which connection a segment belongs to.

use super::Flow;
use super::endpoint::ConnId;
use super::time_wait::TimeWaitTable;
use crate::flow_table::FlowTable;
use crate::ip::{FiveTuple, Ip, V4, V6};
use crate::wire::ip_header::HeaderIp;

/// The flows of one IP version.
#[derive(Debug)]
#[expect(
    unnameable_types,
    reason = "for `TcpIp` only, which nobody else implements"
)]
pub struct FlowTables<I: Ip> {
    pub(super) connections: FlowTable<I, ConnId>,
    pub(super) time_wait: TimeWaitTable<I>,
}

/// The flows of a worker.
#[derive(Debug)]
#[expect(
    unnameable_types,
    reason = "for `TcpIp` only, which nobody else implements"
)]
pub struct Demux {
    pub(super) v4: FlowTables<V4>,
    pub(super) v6: FlowTables<V6>,
}

/// What TCP needs to know of an IP version.
pub trait TcpIp: HeaderIp {
    /// The flow without its version as a type.
    fn flow(flow: FiveTuple<Self>) -> Flow;

    /// The tables of this version.
    fn tables(demux: &Demux) -> &FlowTables<Self>;

    /// The tables of this version.
    fn tables_mut(demux: &mut Demux) -> &mut FlowTables<Self>;
}

impl TcpIp for V4 {
    fn flow(flow: FiveTuple<Self>) -> Flow {
        Flow::V4(flow)
    }

    fn tables(demux: &Demux) -> &FlowTables<Self> {
        &demux.v4
    }

    fn tables_mut(demux: &mut Demux) -> &mut FlowTables<Self> {
        &mut demux.v4
    }
}

impl TcpIp for V6 {
    fn flow(flow: FiveTuple<Self>) -> Flow {
        Flow::V6(flow)
    }

    fn tables(demux: &Demux) -> &FlowTables<Self> {
        &demux.v6
    }

    fn tables_mut(demux: &mut Demux) -> &mut FlowTables<Self> {
        &mut demux.v6
    }
}
