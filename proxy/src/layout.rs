//! Who receives what: how the receive queues of the ports are given to workers and receivers, as
//! far as those must know it.
//!
//! *In*: what the ports turned out to do. *Out*: for each port whether those that receive must
//! distribute, whether a client's flow comes to the same worker always, and how the queue of a
//! backend's reply is foreseen.

use netstack::io::{Capabilities, Rss};

/// Who receives what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Layout {
    /// Each port, in configured order.
    pub ports: Vec<PortLayout>,
    /// The workers of each lcore that only receives; not empty. With receivers, workers receive
    /// nothing themselves.
    pub receivers: Vec<Vec<u16>>,
    /// Flows that each of those remembers that distribute.
    pub flows: usize,
    /// Packets that each ring from one worker to another holds.
    pub handover: usize,
    /// The UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Packet buffers that connections of all workers may hold; `None` for what the configuration
    /// says.
    pub connection_packets: Option<u32>,
}

/// One port.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PortLayout {
    /// Some worker has no receive queue: those that receive distribute.
    pub shared: bool,
    /// The port brings a flow to the same worker always.
    pub settled: bool,
    /// How the port chooses a worker for TCP over IPv4, in place of queues; `None` if nobody can
    /// tell.
    pub tcp_v4: Option<Rss>,
    /// The same over IPv6.
    pub tcp_v6: Option<Rss>,
}

impl PortLayout {
    /// A port on which each worker serves the queue of its own number, and nothing else chooses
    /// queues but what the port tells of its RSS.
    pub fn of_pairs(capabilities: &Capabilities) -> Self {
        Self {
            shared: false,
            settled: capabilities.rss.is_some(),
            tcp_v4: capabilities.rss.clone(),
            tcp_v6: capabilities.rss.clone(),
        }
    }
}

impl Layout {
    /// Packets that the ring from one worker to another holds if nobody says otherwise.
    pub const DEFAULT_HANDOVER: usize = 1024;
    /// RFC 7348 section 5.
    pub const DEFAULT_VXLAN_PORT: u16 = 4789;

    /// Each worker serves the queue of its own number on every port.
    pub fn of_pairs<'a>(ports: impl IntoIterator<Item = &'a Capabilities>) -> Self {
        let ports = ports.into_iter().map(PortLayout::of_pairs);
        Self {
            ports: ports.collect(),
            receivers: Vec::new(),
            flows: 0,
            handover: Self::DEFAULT_HANDOVER,
            vxlan_port: Self::DEFAULT_VXLAN_PORT,
            connection_packets: None,
        }
    }
}
