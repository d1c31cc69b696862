//! Offloads: what a port is to do for the stack, and what it can.

use dpdk_sys as sys;
use netstack::io::TxChecksumCapability;

/// Kinds of work for a port: as wanted by the configuration, or as got from the device.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent yes-or-no choices, named where they are made"
)]
pub struct Offloads {
    /// Verify IPv4, TCP and UDP checksums of received frames.
    pub rx_checksum: bool,
    /// Fill in IPv4, TCP and UDP checksums of sent frames.
    pub tx_checksum: bool,
    /// Cut large TCP packets into segments while sending.
    pub tso: bool,
    /// Receive and send frames in several pieces.
    pub scatter: bool,
    /// Spread received packets over the queues by a hash of their addresses and ports.
    pub rss: bool,
}

impl Offloads {
    /// Everything.
    pub const ALL: Self = Self {
        rx_checksum: true,
        tx_checksum: true,
        tso: true,
        scatter: true,
        rss: true,
    };
}

const RX_CHECKSUM: u64 = sys::DPDK_ETH_RX_OFFLOAD_IPV4_CKSUM
    | sys::DPDK_ETH_RX_OFFLOAD_TCP_CKSUM
    | sys::DPDK_ETH_RX_OFFLOAD_UDP_CKSUM;
const TX_CHECKSUM: u64 = sys::DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM
    | sys::DPDK_ETH_TX_OFFLOAD_TCP_CKSUM
    | sys::DPDK_ETH_TX_OFFLOAD_UDP_CKSUM;
/// A device that cuts segments writes their checksums.
const TSO: u64 = sys::DPDK_ETH_TX_OFFLOAD_TCP_TSO
    | sys::DPDK_ETH_TX_OFFLOAD_TCP_CKSUM
    | sys::DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM;
/// What RSS hashes: everything with an IP address, and ports where there are some.
const RSS_FIELDS: u64 = sys::DPDK_ETH_RSS_IP | sys::DPDK_ETH_RSS_TCP | sys::DPDK_ETH_RSS_UDP;

/// What a device offers, in DPDK's bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offered {
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    /// Header fields it can hash.
    pub(crate) rss_fields: u64,
    /// RX queues that are wanted: one needs no RSS.
    pub(crate) queues: u16,
}

/// What is both wanted and offered, in DPDK's bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Granted {
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    /// Header fields to hash; 0 without RSS.
    pub(crate) rss_fields: u64,
}

impl Granted {
    /// The offloads of `wanted` that the device has. Of checksums, those of some protocols may be
    /// granted and others not; segmentation is granted whole or not at all.
    pub(crate) fn negotiate(wanted: Offloads, offered: &Offered) -> Self {
        let mut granted = Self::default();
        if wanted.rx_checksum {
            granted.rx |= offered.rx & RX_CHECKSUM;
        }
        if wanted.tx_checksum {
            granted.tx |= offered.tx & TX_CHECKSUM;
        }
        if wanted.tso && offered.tx & TSO == TSO {
            granted.tx |= TSO;
        }
        if wanted.scatter {
            granted.rx |= offered.rx & sys::DPDK_ETH_RX_OFFLOAD_SCATTER;
            granted.tx |= offered.tx & sys::DPDK_ETH_TX_OFFLOAD_MULTI_SEGS;
        }
        if wanted.rss && offered.queues > 1 {
            granted.rss_fields = offered.rss_fields & RSS_FIELDS;
        }
        if granted.rss_fields != 0 {
            granted.rx |= offered.rx & sys::DPDK_ETH_RX_OFFLOAD_RSS_HASH;
        }
        granted
    }

    /// The kinds of work that were granted in full.
    pub(crate) fn summary(&self) -> Offloads {
        let scatter_rx = self.rx & sys::DPDK_ETH_RX_OFFLOAD_SCATTER != 0;
        Offloads {
            rx_checksum: self.rx & RX_CHECKSUM == RX_CHECKSUM,
            tx_checksum: self.tx & TX_CHECKSUM == TX_CHECKSUM,
            tso: self.tso(),
            scatter: scatter_rx && self.sends_chains(),
            rss: self.rss_fields != 0,
        }
    }

    /// Checksums that the device fills in.
    pub(crate) fn tx_checksum(&self) -> TxChecksumCapability {
        TxChecksumCapability {
            ipv4: self.tx & sys::DPDK_ETH_TX_OFFLOAD_IPV4_CKSUM != 0,
            tcp: self.tx & sys::DPDK_ETH_TX_OFFLOAD_TCP_CKSUM != 0,
            udp: self.tx & sys::DPDK_ETH_TX_OFFLOAD_UDP_CKSUM != 0,
        }
    }

    /// Whether the device cuts TCP segments.
    pub(crate) fn tso(&self) -> bool {
        self.tx & sys::DPDK_ETH_TX_OFFLOAD_TCP_TSO != 0
    }

    /// Whether the device sends frames of several mbufs.
    pub(crate) fn sends_chains(&self) -> bool {
        self.tx & sys::DPDK_ETH_TX_OFFLOAD_MULTI_SEGS != 0
    }

    /// Whether frames to send must be shown to the driver first, which then writes what its
    /// device expects in headers.
    pub(crate) fn needs_prepare(&self) -> bool {
        self.tx & (TX_CHECKSUM | TSO) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Offered = Offered {
        rx: u64::MAX,
        tx: u64::MAX,
        rss_fields: u64::MAX,
        queues: 2,
    };

    #[test]
    fn only_what_is_wanted_is_asked_for() {
        let granted = Granted::negotiate(Offloads::default(), &EVERYTHING);
        assert_eq!(granted, Granted::default());
        assert!(!granted.needs_prepare());
        let granted = Granted::negotiate(Offloads::ALL, &EVERYTHING);
        assert_eq!(granted.summary(), Offloads::ALL);
        assert!(granted.needs_prepare());
    }

    #[test]
    fn only_what_is_offered_is_asked_for() {
        let granted = Granted::negotiate(Offloads::ALL, &Offered::default());
        assert_eq!(granted, Granted::default());
        let tcp_only = Offered {
            tx: sys::DPDK_ETH_TX_OFFLOAD_TCP_CKSUM | sys::DPDK_ETH_TX_OFFLOAD_TCP_TSO,
            ..Offered::default()
        };
        let granted = Granted::negotiate(Offloads::ALL, &tcp_only);
        let checksums = granted.tx_checksum();
        assert!(checksums.tcp && !checksums.udp && !checksums.ipv4);
        // A device that does not write IPv4 checksums cannot cut IPv4 packets.
        assert!(!granted.tso());
        assert!(!granted.summary().tx_checksum);
    }

    #[test]
    fn one_queue_needs_no_rss() {
        let offered = Offered {
            queues: 1,
            ..EVERYTHING
        };
        let granted = Granted::negotiate(Offloads::ALL, &offered);
        assert!(!granted.summary().rss);
    }
}
