//! What a worker's TCP is made with: limits, deadlines, its share of the source ports, keys.

use core::ops::RangeInclusive;

use crate::tcp::deadline::Timeouts;

/// What a worker's TCP is made with.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Connections in any state.
    pub max_connections: usize,
    /// Connections that clients opened, in any state.
    pub max_accepted: usize,
    /// Connections of clients whose handshake has not finished.
    pub syn_backlog: usize,
    /// Flows remembered in TIME-WAIT, for each IP version.
    pub time_wait_entries: usize,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// The largest MTU of all ports.
    pub mtu: usize,
    /// Packet buffers that connections of the native engine may hold together.
    pub buffers: usize,
    /// Resets and challenge ACKs for segments of no connection, a second.
    pub resets_per_second: u32,
    /// Source ports of all workers together.
    pub source_ports: RangeInclusive<u16>,
    /// This worker.
    pub worker: u16,
    /// How many workers there are.
    pub workers: u16,
    /// Keys for initial sequence numbers and the flow index; secret and random.
    pub secret: [u64; 4],
}
