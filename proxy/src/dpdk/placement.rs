//! NUMA nodes: which workers a receiver hands frames to, and what crosses from node to node.
//!
//! *In*: the nodes of ports, workers and receivers, as the device and the kernel tell them. *Out*:
//! pairings, and a [`Crossing`] for each place where packets cross, with its cost. Nothing is
//! refused: a placement may be bad and yet the only one there is.

use core::fmt;

use dpdk_io::NumaNode;
use proxy::config::Pairing;

/// The node of something; `None` if there is one node only, or nobody says.
pub(super) type Node = Option<NumaNode>;

/// The workers that a receiver on `node` hands frames to, where each worker is on its node.
pub(super) fn paired(pairing: Pairing, node: Node, workers: &[Node]) -> Vec<u16> {
    let all = || (0..workers.len() as u16).collect::<Vec<_>>();
    if pairing == Pairing::All {
        return all();
    }
    let near = (0..)
        .zip(workers)
        .filter(|(_, worker)| !differ(node, **worker));
    let near: Vec<u16> = near.map(|(worker, _)| worker).collect();
    if near.is_empty() { all() } else { near }
}

/// Whether two things are on different nodes, as far as anybody knows.
fn differ(one: Node, other: Node) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

/// Packets that cross from one node to another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Crossing {
    /// Where from.
    pub(super) from: String,
    /// Its node.
    pub(super) from_node: NumaNode,
    /// Where to.
    pub(super) to: String,
    /// Its node.
    pub(super) to_node: NumaNode,
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            from_node,
            to,
            to_node,
        } = self;
        write!(
            f,
            "packets go from {from} on NUMA node {from_node} to {to} on node {to_node}: the first \
             touch of each of their cache lines waits 50 to 100 ns longer, and the link between the \
             nodes bounds them all; list lcores of node {from_node}, if there are any"
        )
    }
}

/// A crossing between these two, if it is one.
pub(super) fn crossing(from: (&str, Node), to: (&str, Node)) -> Option<Crossing> {
    match (from.1, to.1) {
        (Some(from_node), Some(to_node)) if from_node != to_node => Some(Crossing {
            from: from.0.to_owned(),
            from_node,
            to: to.0.to_owned(),
            to_node,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Node = Some(NumaNode(0));
    const ONE: Node = Some(NumaNode(1));

    #[test]
    fn receivers_are_paired_with_the_workers_of_their_node() {
        let workers = [ZERO, ONE, ONE, ZERO];
        assert_eq!(paired(Pairing::Numa, ZERO, &workers), [0, 3]);
        assert_eq!(paired(Pairing::Numa, ONE, &workers), [1, 2]);
        assert_eq!(paired(Pairing::All, ONE, &workers), [0, 1, 2, 3]);
        // Nobody is there.
        assert_eq!(paired(Pairing::Numa, ONE, &[ZERO, ZERO]), [0, 1]);
        // Nobody knows.
        assert_eq!(paired(Pairing::Numa, None, &workers), [0, 1, 2, 3]);
        assert_eq!(paired(Pairing::Numa, ONE, &[None, ONE]), [0, 1]);
    }

    #[test]
    fn only_what_crosses_is_warned_of() {
        let port = |node| ("port \"edge\"", node);
        let worker = |node| ("worker 2 (lcore 5)", node);
        assert_eq!(crossing(port(ONE), worker(ONE)), None);
        assert_eq!(crossing(port(None), worker(ONE)), None);
        assert_eq!(crossing(port(ONE), worker(None)), None);
        let text = crossing(port(ONE), worker(ZERO)).unwrap().to_string();
        let start = "packets go from port \"edge\" on NUMA node 1 to worker 2 (lcore 5) on node 0:";
        assert!(text.starts_with(start), "{text}");
        assert!(
            text.ends_with("list lcores of node 1, if there are any"),
            "{text}"
        );
    }
}
