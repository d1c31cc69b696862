//! Offloads: work on packets that a device takes from us.

use core::fmt;

/// What a device does for us with received frames.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RxOffload {
    /// Takes the VLAN tag off.
    VlanStrip,
    /// Drops frames of other VLANs.
    VlanFilter,
    /// Handles two VLAN tags.
    VlanExtend,
    /// Takes two VLAN tags off.
    QinqStrip,
    /// Checks the IPv4 header checksum.
    Ipv4Cksum,
    /// Checks UDP checksums.
    UdpCksum,
    /// Checks TCP checksums.
    TcpCksum,
    /// Checks the IPv4 header checksum in front of a tunnel header.
    OuterIpv4Cksum,
    /// Takes the frame check sequence off; always so since DPDK 18.11.
    CrcStrip,
    /// Takes frames above 1518 octets; a matter of the MTU since DPDK 21.11.
    JumboFrame,
    /// Puts TCP segments together.
    TcpLro,
    /// Spreads a long frame over several buffers.
    Scatter,
    /// Gives the RSS hash with each packet.
    RssHash,
}

impl RxOffload {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        RX_WORDS.iter().map(|&(offload, _)| offload)
    }

    /// DPDK's name for it, in lower case and without `RTE_ETH_RX_OFFLOAD_`.
    pub const fn word(self) -> &'static str {
        RX_WORDS[self as usize].1
    }
}

impl fmt::Display for RxOffload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a device does for us with frames to send.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TxOffload {
    /// Puts a VLAN tag on.
    VlanInsert,
    /// Puts two VLAN tags on.
    QinqInsert,
    /// Fills in the IPv4 header checksum.
    Ipv4Cksum,
    /// Fills in UDP checksums.
    UdpCksum,
    /// Fills in TCP checksums.
    TcpCksum,
    /// Fills in SCTP checksums.
    SctpCksum,
    /// Fills in the IPv4 header checksum in front of a tunnel header.
    OuterIpv4Cksum,
    /// Cuts long TCP segments.
    TcpTso,
    /// Cuts long TCP segments in VXLAN.
    VxlanTnlTso,
    /// Cuts long TCP segments in GRE.
    GreTnlTso,
    /// Cuts long TCP segments in IP in IP.
    IpipTnlTso,
    /// Cuts long TCP segments in Geneve.
    GeneveTnlTso,
    /// Sends a frame that lies in several buffers.
    MultiSegs,
}

impl TxOffload {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TX_WORDS.iter().map(|&(offload, _)| offload)
    }

    /// DPDK's name for it, in lower case and without `RTE_ETH_TX_OFFLOAD_`.
    pub const fn word(self) -> &'static str {
        TX_WORDS[self as usize].1
    }
}

impl fmt::Display for TxOffload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// In the order of the variants.
const RX_WORDS: [(RxOffload, &str); 13] = [
    (RxOffload::VlanStrip, "vlan_strip"),
    (RxOffload::VlanFilter, "vlan_filter"),
    (RxOffload::VlanExtend, "vlan_extend"),
    (RxOffload::QinqStrip, "qinq_strip"),
    (RxOffload::Ipv4Cksum, "ipv4_cksum"),
    (RxOffload::UdpCksum, "udp_cksum"),
    (RxOffload::TcpCksum, "tcp_cksum"),
    (RxOffload::OuterIpv4Cksum, "outer_ipv4_cksum"),
    (RxOffload::CrcStrip, "crc_strip"),
    (RxOffload::JumboFrame, "jumbo_frame"),
    (RxOffload::TcpLro, "tcp_lro"),
    (RxOffload::Scatter, "scatter"),
    (RxOffload::RssHash, "rss_hash"),
];

/// In the order of the variants.
const TX_WORDS: [(TxOffload, &str); 13] = [
    (TxOffload::VlanInsert, "vlan_insert"),
    (TxOffload::QinqInsert, "qinq_insert"),
    (TxOffload::Ipv4Cksum, "ipv4_cksum"),
    (TxOffload::UdpCksum, "udp_cksum"),
    (TxOffload::TcpCksum, "tcp_cksum"),
    (TxOffload::SctpCksum, "sctp_cksum"),
    (TxOffload::OuterIpv4Cksum, "outer_ipv4_cksum"),
    (TxOffload::TcpTso, "tcp_tso"),
    (TxOffload::VxlanTnlTso, "vxlan_tnl_tso"),
    (TxOffload::GreTnlTso, "gre_tnl_tso"),
    (TxOffload::IpipTnlTso, "ipip_tnl_tso"),
    (TxOffload::GeneveTnlTso, "geneve_tnl_tso"),
    (TxOffload::MultiSegs, "multi_segs"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_stands_at_its_offload() {
        for (index, offload) in RxOffload::all().enumerate() {
            assert_eq!(offload as usize, index, "{offload}");
        }
        for (index, offload) in TxOffload::all().enumerate() {
            assert_eq!(offload as usize, index, "{offload}");
        }
        assert_eq!(RxOffload::QinqStrip.to_string(), "qinq_strip");
        assert_eq!(TxOffload::GeneveTnlTso.to_string(), "geneve_tnl_tso");
    }
}
