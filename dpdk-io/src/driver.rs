//! What is known of single drivers and is not to be asked from them.

/// Descriptors of each ring of net_af_xdp, which has no say in their number.
const AF_XDP_DESCRIPTORS: u16 = 2048;

/// What a driver does otherwise than its interface says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent peculiarities, named where they are listed"
)]
pub(crate) struct Traits {
    /// The number of descriptors of each queue, whatever is configured.
    pub(crate) descriptors: Option<u16>,
    /// Buffers that are in its rings when it is closed are never given back.
    pub(crate) keeps_buffers: bool,
    /// Its work on DPDK's interrupt thread, or on one of its own, goes on after it is closed.
    pub(crate) lingers: bool,
    /// Frames of several pieces leave with wrong checksums if one has an odd length.
    pub(crate) sums_pieces_wrongly: bool,
    /// It must have as many TX queues as RX queues.
    pub(crate) pairs_queues: bool,
    /// It isolates the port once its queues are set up; until then it says so and does nothing.
    pub(crate) isolates_late: bool,
    /// Packets of IPv6 leave as they are when they should be cut.
    pub(crate) cuts_ipv4_only: bool,
}

impl Traits {
    /// Those of the driver that calls itself `name`.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            // Seen in 22.11: the rings shared with the kernel are unmapped with what is in them.
            "net_af_xdp" => Self {
                descriptors: Some(AF_XDP_DESCRIPTORS),
                keeps_buffers: true,
                ..Self::default()
            },
            // These speak to a peer over a socket that another thread listens to. Seen with
            // net_memif in 22.11: `rte_eal_cleanup` unmaps what that thread is about to look at.
            "net_memif" | "net_vhost" | "net_virtio_user" => Self {
                lingers: true,
                ..Self::default()
            },
            // Does its work on frames in software. Seen in 22.11: sums up each piece as if it
            // started at an even offset, and DPDK's segmentation knows IPv4 only. A queue is one
            // file of the kernel for both directions, and without such a file the filter that
            // isolates the port is not made.
            "net_tap" => Self {
                sums_pieces_wrongly: true,
                cuts_ipv4_only: true,
                pairs_queues: true,
                isolates_late: true,
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}
