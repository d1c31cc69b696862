//! What can go wrong with DPDK, said so that the reader knows what to do.
//!
//! Either a check of ours failed (a variant with the figures that did not fit), or a call into
//! DPDK did: [`DpdkError::Call`] names the function, what it was called for, and the error number
//! with DPDK's text for it.

use core::ffi::CStr;
use core::fmt;

use netstack::wire::ethernet::MacAddr;

use crate::numa::NumaNode;

/// Why a control operation on DPDK did not work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DpdkError {
    /// A DPDK function reported an error.
    #[error("{call} failed for {subject}: {errno}{}", errno.advice())]
    Call {
        /// Name of the DPDK function.
        call: &'static str,
        /// What it was called for: a device, a pool.
        subject: String,
        /// What it reported.
        errno: Errno,
    },
    /// The process has initialised the EAL before; DPDK allows it once in the life of a process.
    #[error("the EAL is initialised already: a process can do this once")]
    AlreadyInitialised,
    /// A configured device has no driver.
    #[error(
        "no driver knows one of the devices `{}`: check how it is written, and that the package \
         of its driver is installed (Debian: `librte-net-...`)",
        devices.join("`, `")
    )]
    NoDriver {
        /// The devices that were configured; DPDK's own message before says which.
        devices: Vec<String>,
    },
    /// The configuration of the EAL holds a value that cannot be passed on.
    #[error("EAL option {option} cannot be `{value}`: {reason}")]
    BadOption {
        /// The option as DPDK calls it.
        option: &'static str,
        /// The value that was configured.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Huge pages were asked for, and the kernel has fewer free ones.
    #[error(
        "{wanted_mib} MiB of huge pages are configured but {free_mib} MiB are free: \
         reserve more (`echo N > /proc/sys/vm/nr_hugepages`) or configure to run without huge pages"
    )]
    HugePagesMissing {
        /// Memory that the configuration asks for, in MiB.
        wanted_mib: u32,
        /// Memory in free huge pages of all sizes, in MiB.
        free_mib: u64,
    },
    /// No port has this name.
    #[error(
        "there is no port `{name}` (there is: {}). For a virtual device check its driver package, \
         its options and the interface it names; for a PCI device its address and binding",
        list(known)
    )]
    UnknownDevice {
        /// The name asked for.
        name: String,
        /// The ports there are.
        known: Vec<String>,
    },
    /// The port is open already.
    #[error("port `{0}` is open already: a port has one owner")]
    DeviceInUse(String),
    /// The device has fewer queues than asked for.
    #[error(
        "port `{device}` has {offered} {direction} queues at most, {wanted} are configured: \
         use fewer workers or raise the queue count in the options of the device"
    )]
    TooManyQueues {
        /// The port.
        device: String,
        /// Which queues.
        direction: Direction,
        /// How many were asked for.
        wanted: u16,
        /// How many there are.
        offered: u16,
    },
    /// A number in a port's or a pool's configuration is out of its range.
    #[error("{what} of `{subject}` is {value}: it must be {least} to {most}")]
    OutOfRange {
        /// The setting.
        what: &'static str,
        /// The port or pool.
        subject: String,
        /// What was configured.
        value: u32,
        /// The least allowed value.
        least: u32,
        /// The greatest allowed value.
        most: u32,
    },
    /// What a port can hold at once does not fit the pool.
    #[error(
        "mempool `{pool}` has {buffers} buffers, {reserved} of them reserved; `{subject}` needs \
         {needed} more: {demand}. Configure at least {} buffers",
        reserved + needed
    )]
    PoolTooSmall {
        /// The pool.
        pool: String,
        /// Buffers in the pool.
        buffers: u32,
        /// Buffers that were promised before.
        reserved: u32,
        /// What asks for more.
        subject: String,
        /// Buffers it needs.
        needed: u32,
        /// Where the need comes from.
        demand: crate::BufferDemand,
    },
    /// A pool is to be where there is no memory.
    #[error(
        "mempool `{pool}` cannot be on NUMA node {node}, which has no memory: configure one that \
         has, {}, or none",
        either(nodes)
    )]
    NumaNodeWithoutMemory {
        /// The pool.
        pool: String,
        /// The node that is configured.
        node: NumaNode,
        /// The nodes that have memory.
        nodes: Vec<NumaNode>,
    },
    /// A pool does not fit the memory of its node.
    #[error(
        "mempool `{pool}` needs {needed_mib} MiB, and DPDK has not as much on NUMA node {node}: \
         configure more memory, fewer buffers or another node. Huge pages are reserved for each \
         node (`echo N > /sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/\
         nr_hugepages`)"
    )]
    NumaNodeFull {
        /// The pool.
        pool: String,
        /// The node that is configured.
        node: NumaNode,
        /// Memory that the pool takes, in MiB; an upper estimate.
        needed_mib: u32,
    },
    /// A frame of the port's MTU does not fit one buffer of the pool.
    #[error(
        "mempool `{pool}` has buffers for an MTU of {pool_mtu}, port `{device}` has MTU {mtu}: \
         configure the pool with the largest MTU of its ports"
    )]
    BufferTooSmall {
        /// The pool.
        pool: String,
        /// The largest MTU its buffers are made for.
        pool_mtu: u16,
        /// The port.
        device: String,
        /// Its MTU.
        mtu: u16,
    },
    /// Queues are alive that must be dropped before.
    #[error("port `{device}` cannot {action}: {queues} of its queues are still in use")]
    QueuesInUse {
        /// The port.
        device: String,
        /// What was tried.
        action: &'static str,
        /// How many queues are alive.
        queues: usize,
    },
    /// An RX queue of one port cannot be served together with a TX queue of another.
    #[error(
        "an RX queue of port `{rx}` and a TX queue of port `{tx}` cannot be joined: a queue pair \
         is of one port"
    )]
    QueuesOfTwoPorts {
        /// The port of the RX queue.
        rx: String,
        /// The port of the TX queue.
        tx: String,
    },
    /// The driver has a TX queue for each RX queue and no others.
    #[error(
        "port `{device}` is to have {rx} RX queues and {tx} TX queues, but its driver {driver} has \
         as many of both: configure at least {tx} RX queues, or {rx} TX queues at most"
    )]
    UnequalQueues {
        /// The port.
        device: String,
        /// What its driver calls itself.
        driver: String,
        /// RX queues that are configured.
        rx: u16,
        /// TX queues that are configured.
        tx: u16,
    },
    /// The device does not take the MAC address that is configured for it.
    #[error(
        "port `{device}` cannot be given the MAC address {wanted}: {errno} from its driver \
         {driver}. Leave `mac` out: the port then keeps its own, {own}"
    )]
    MacNotSet {
        /// The port.
        device: String,
        /// What its driver calls itself.
        driver: String,
        /// The configured address.
        wanted: MacAddr,
        /// The address that the device has.
        own: MacAddr,
        /// What the driver reported; [`Errno::ENOTSUP`] also if it reported success and the
        /// device has another address.
        errno: Errno,
    },
    /// The EAL cannot be shut down while something uses it.
    #[error(
        "the EAL is still in use by {handles} ports, pools, queues or running lcores, and \
         {buffers} buffers are not back in their pools: drop them first"
    )]
    EalInUse {
        /// Handles alive.
        handles: usize,
        /// Buffers out of their pools.
        buffers: u32,
    },
    /// Flow rules or the isolation of a port.
    #[error(transparent)]
    Flow(#[from] crate::FlowError),
    /// What ran on an lcore panicked.
    #[error("the program on lcore {lcore} panicked: {message}")]
    LcorePanicked {
        /// The CPU of the lcore.
        lcore: crate::LcoreId,
        /// What the panic said.
        message: String,
    },
}

impl DpdkError {
    /// The error of a call that returned `code`, a negative error number.
    pub(crate) fn returned(call: &'static str, subject: &str, code: i32) -> Self {
        Self::Call {
            call,
            subject: subject.to_owned(),
            errno: Errno(code.saturating_neg()),
        }
    }

    /// The error of a call that leaves its error number in DPDK's `rte_errno`.
    pub(crate) fn last(call: &'static str, subject: &str) -> Self {
        // SAFETY: reads a thread-local integer; there is nothing to uphold.
        let code = unsafe { dpdk_sys::dpdk_shim_errno() };
        Self::Call {
            call,
            subject: subject.to_owned(),
            errno: Errno(code),
        }
    }
}

/// `Ok` for a result of DPDK that is not negative, as that result.
pub(crate) fn check(call: &'static str, subject: &str, code: i32) -> Result<u32, DpdkError> {
    u32::try_from(code).map_err(|_| DpdkError::returned(call, subject, code))
}

/// Queues for received frames or for frames to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Receive.
    Rx,
    /// Transmit.
    Tx,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rx => "RX",
            Self::Tx => "TX",
        })
    }
}

/// An error number of the operating system or of DPDK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Errno(pub i32);

impl Errno {
    /// Not permitted.
    pub const EPERM: Self = Self(1);
    /// Cannot allocate memory.
    pub const ENOMEM: Self = Self(12);
    /// Permission denied.
    pub const EACCES: Self = Self(13);
    /// Device or resource busy.
    pub const EBUSY: Self = Self(16);
    /// File exists.
    pub const EEXIST: Self = Self(17);
    /// No such device.
    pub const ENODEV: Self = Self(19);
    /// Invalid argument.
    pub const EINVAL: Self = Self(22);
    /// No space left on device.
    pub const ENOSPC: Self = Self(28);
    /// Function not implemented.
    pub const ENOSYS: Self = Self(38);
    /// Operation not supported.
    pub const ENOTSUP: Self = Self(95);
    /// Operation already in progress.
    pub const EALREADY: Self = Self(114);

    /// What to do about it, where that is known.
    fn advice(self) -> &'static str {
        match self {
            Self::EPERM | Self::EACCES => {
                ". Run as root, or with the capabilities and device permissions DPDK needs"
            }
            Self::ENOMEM => {
                ". Configure more memory for the EAL or fewer buffers; \
                 with huge pages, check that enough are reserved"
            }
            Self::EBUSY => ". Something else uses it: another process, or an earlier job",
            _ => "",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any integer and returns a string that is static or thread-local, and is
        // copied before anything else can be called.
        let text = unsafe { dpdk_sys::rte_strerror(self.0) };
        if text.is_null() {
            return write!(f, "error {}", self.0);
        }
        // SAFETY: the string just returned is terminated, and not null as checked above.
        let text = unsafe { CStr::from_ptr(text) };
        write!(f, "{} (error {})", text.to_string_lossy(), self.0)
    }
}

/// Nodes to choose from for a message.
fn either(nodes: &[NumaNode]) -> String {
    let nodes: Vec<_> = nodes.iter().map(NumaNode::to_string).collect();
    nodes.join(" or ")
}

/// Names in a row for a message.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_says_what_failed_and_what_to_do() {
        let error = DpdkError::returned("rte_eth_dev_start", "net_ring0", -13);
        assert_eq!(
            error.to_string(),
            "rte_eth_dev_start failed for net_ring0: Permission denied (error 13). \
             Run as root, or with the capabilities and device permissions DPDK needs"
        );
    }

    #[test]
    fn an_unknown_device_is_told_with_the_known_ones() {
        let known = vec!["net_null0".to_owned(), "net_null1".to_owned()];
        let error = DpdkError::UnknownDevice {
            name: "net_nul0".to_owned(),
            known,
        };
        let text = error.to_string();
        assert!(
            text.starts_with("there is no port `net_nul0` (there is: net_null0, net_null1)"),
            "{text}"
        );
    }
}
