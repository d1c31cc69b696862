//! NUMA nodes: which memory is near to which CPUs and devices.
//!
//! The kernel tells it of CPUs and memory, under `/sys/devices/system`; DPDK tells it of devices.

use core::fmt;
use std::fs;
use std::path::Path;

/// A NUMA node, as the kernel counts them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NumaNode(pub u16);

impl fmt::Display for NumaNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where the kernel tells about CPUs and nodes.
pub(crate) const SYSTEM: &str = "/sys/devices/system";

impl NumaNode {
    /// The node as DPDK tells it, which has -1 for "none" and for "any".
    pub(crate) fn from_dpdk(node: i32) -> Option<Self> {
        u16::try_from(node).ok().map(Self)
    }

    /// The node as DPDK wants it told.
    pub(crate) fn to_dpdk(node: Option<Self>) -> i32 {
        node.map_or(-1, |node| i32::from(node.0))
    }

    /// The node of a CPU; `None` if the kernel does not say.
    pub(crate) fn of_cpu(system: &Path, cpu: u16) -> Option<Self> {
        let entries = fs::read_dir(system.join(format!("cpu/cpu{cpu}"))).ok()?;
        let node = |name: &str| name.strip_prefix("node")?.parse().ok();
        let mut nodes = entries.filter_map(|entry| node(entry.ok()?.file_name().to_str()?));
        nodes.next().map(Self)
    }

    /// The nodes that have memory; `None` if the kernel does not say.
    pub(crate) fn with_memory(system: &Path) -> Option<Vec<Self>> {
        let list = fs::read_to_string(system.join("node/has_memory")).ok()?;
        let ranges = list.trim().split(',').map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        let ranges: Vec<_> = ranges.collect::<Option<_>>()?;
        Some(ranges.into_iter().flatten().map(Self).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpdk_has_minus_one_for_none() {
        assert_eq!(NumaNode::from_dpdk(-1), None);
        assert_eq!(NumaNode::from_dpdk(1), Some(NumaNode(1)));
        for node in [None, Some(NumaNode(0)), Some(NumaNode(7))] {
            assert_eq!(NumaNode::from_dpdk(NumaNode::to_dpdk(node)), node);
        }
    }

    #[test]
    fn the_kernel_tells_the_nodes_of_cpus_and_memory() {
        let system = std::env::temp_dir().join(format!("dpdk-io-numa-{}", std::process::id()));
        fs::create_dir_all(system.join("node")).unwrap();
        fs::create_dir_all(system.join("cpu/cpu9/node1")).unwrap();
        fs::create_dir_all(system.join("cpu/cpu9/topology")).unwrap();
        fs::create_dir_all(system.join("cpu/cpu10/topology")).unwrap();
        assert_eq!(NumaNode::of_cpu(&system, 9), Some(NumaNode(1)));
        assert_eq!(NumaNode::of_cpu(&system, 10), None);
        assert_eq!(NumaNode::of_cpu(&system, 11), None);

        assert_eq!(NumaNode::with_memory(&system), None);
        let lists = [("0\n", vec![0]), ("0-2,5\n", vec![0, 1, 2, 5])];
        for (list, nodes) in lists {
            fs::write(system.join("node/has_memory"), list).unwrap();
            let nodes = nodes.into_iter().map(NumaNode).collect();
            assert_eq!(NumaNode::with_memory(&system), Some(nodes));
        }
        fs::write(system.join("node/has_memory"), "\n").unwrap();
        assert_eq!(NumaNode::with_memory(&system), None);
        fs::remove_dir_all(system).unwrap();
    }
}
