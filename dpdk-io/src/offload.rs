//! Offloads: what a port is to do for the stack, and what it can.

use dpdk_sys as sys;
use netstack::io::{MAX_ATTACHED, TxChecksumCapability};

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
    /// Receive frames in several pieces, which are joined before they are handed over.
    pub rx_chains: bool,
    /// Send frames in several pieces.
    pub tx_chains: bool,
    /// Spread received packets over the queues by a hash of their addresses and ports.
    pub rss: bool,
}

impl Offloads {
    /// Everything.
    pub const ALL: Self = Self {
        rx_checksum: true,
        tx_checksum: true,
        tso: true,
        rx_chains: true,
        tx_chains: true,
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
    /// Descriptors of a TX queue: each mbuf of a frame takes one.
    pub(crate) tx_descriptors: u16,
    /// Mbufs of a frame; 0 if the driver does not say.
    pub(crate) frame_segments: u16,
    /// Mbufs of a packet that the device cuts; 0 if the driver does not say.
    pub(crate) tso_segments: u16,
}

/// What is both wanted and offered, in DPDK's bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Granted {
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    /// Header fields to hash; 0 without RSS.
    pub(crate) rss_fields: u64,
    /// Mbufs of a frame besides the first.
    pub(crate) frame_pieces: usize,
    /// Mbufs of a packet that the device cuts, besides the first.
    pub(crate) tso_pieces: usize,
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
        if wanted.rx_chains {
            granted.rx |= offered.rx & sys::DPDK_ETH_RX_OFFLOAD_SCATTER;
        }
        if wanted.tx_chains && offered.tx & sys::DPDK_ETH_TX_OFFLOAD_MULTI_SEGS != 0 {
            granted.tx |= sys::DPDK_ETH_TX_OFFLOAD_MULTI_SEGS;
            // A frame that takes the whole queue might never find it empty.
            let most = MAX_ATTACHED.min(usize::from(offered.tx_descriptors) / 2);
            granted.frame_pieces = pieces(offered.frame_segments).min(most);
            granted.tso_pieces = pieces(offered.tso_segments).min(most);
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
        Offloads {
            rx_checksum: self.rx & RX_CHECKSUM == RX_CHECKSUM,
            tx_checksum: self.tx & TX_CHECKSUM == TX_CHECKSUM,
            tso: self.tso(),
            rx_chains: self.rx & sys::DPDK_ETH_RX_OFFLOAD_SCATTER != 0,
            tx_chains: self.sends_chains(),
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

    /// How many payloads a frame may have attached. A frame that is not cut may be worth fewer to
    /// the device; it is small, so it can be joined then.
    pub(crate) fn tx_pieces(&self) -> usize {
        if self.tso() {
            self.tso_pieces
        } else {
            self.frame_pieces
        }
    }

    /// Whether frames to send must be shown to the driver first, which then writes what its
    /// device expects in headers.
    pub(crate) fn needs_prepare(&self) -> bool {
        self.tx & (TX_CHECKSUM | TSO) != 0
    }
}

/// Pieces of a frame of at most so many mbufs, besides the first; 0 stands for any number.
fn pieces(segments: u16) -> usize {
    match segments {
        0 => usize::MAX,
        segments => usize::from(segments) - 1,
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
        tx_descriptors: 512,
        frame_segments: 8,
        tso_segments: u16::MAX,
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
    fn pieces_are_those_that_the_device_takes() {
        let granted = Granted::negotiate(Offloads::ALL, &EVERYTHING);
        assert_eq!((granted.frame_pieces, granted.tso_pieces), (7, 64));
        assert_eq!(granted.tx_pieces(), 64);
        let whole = Offloads {
            tso: false,
            ..Offloads::ALL
        };
        assert_eq!(Granted::negotiate(whole, &EVERYTHING).tx_pieces(), 7);
        let silent = Offered {
            frame_segments: 0,
            tso_segments: 0,
            ..EVERYTHING
        };
        assert_eq!(Granted::negotiate(whole, &silent).tx_pieces(), 64);
        let small = Offered {
            tx_descriptors: 64,
            ..EVERYTHING
        };
        assert_eq!(Granted::negotiate(Offloads::ALL, &small).tx_pieces(), 32);
        let in_one_piece = Offered {
            tx: !sys::DPDK_ETH_TX_OFFLOAD_MULTI_SEGS,
            ..EVERYTHING
        };
        assert_eq!(
            Granted::negotiate(Offloads::ALL, &in_one_piece).tx_pieces(),
            0
        );
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
