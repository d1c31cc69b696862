//! Why a packet went no further.
//!
//! Every packet that is neither delivered nor sent ends in exactly one of these reasons, and each
//! reason is a counter. Names are stable: they are what operators see and alert on.

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(usize)]
pub enum DropReason {
    // Frames.
    /// Shorter than an Ethernet header.
    FrameTruncated,
    /// Sent to a MAC address that is not ours.
    FrameNotForUs,
    /// An EtherType that nothing here speaks.
    EtherTypeUnknown,
    /// An 802.1Q tag; no network of ours uses one.
    VlanUnexpected,
    // ARP and neighbor discovery.
    /// An ARP packet that is malformed or not for IPv4 over Ethernet.
    ArpMalformed,
    /// An ARP packet that asks for, or tells about, somebody else.
    ArpNotForUs,
    /// A neighbor discovery message that fails the checks of RFC 4861.
    NdpMalformed,
    /// A neighbor discovery message that asks for, or tells about, somebody else.
    NdpNotForUs,
    // IP.
    /// Shorter than its IP header, or than the length the header states.
    IpTruncated,
    /// A version or header length that no IP packet has.
    IpMalformed,
    /// Wrong IPv4 header checksum.
    Ipv4BadChecksum,
    /// IPv4 options that ask for source routing.
    Ipv4SourceRoute,
    /// A fragment; nothing reassembles here yet.
    IpFragment,
    /// IPv6 extension headers that are malformed, out of order or too many.
    Ipv6BadExtensionHeader,
    /// A source address that no other host can have.
    MartianSource,
    /// A destination address that must not appear on a wire.
    MartianDestination,
    /// Not addressed to this host.
    NotLocal,
    /// An upper-layer protocol that nothing here speaks.
    ProtocolUnknown,
    // ICMP.
    /// Shorter than its header, or with impossible fields.
    IcmpMalformed,
    /// Wrong ICMP checksum.
    IcmpBadChecksum,
    /// A type that asks nothing of this host.
    IcmpIgnored,
    /// An error about a packet that no connection of ours sent.
    IcmpUnknownFlow,
    // UDP.
    /// A UDP header that disagrees with the packet.
    UdpMalformed,
    /// Wrong UDP checksum.
    UdpBadChecksum,
    /// No one listens on that UDP port.
    UdpNoListener,
    // TCP.
    /// Shorter than its header, or a data offset outside the segment.
    TcpMalformed,
    /// Wrong TCP checksum.
    TcpBadChecksum,
    /// Options whose lengths do not add up.
    TcpBadOptions,
    /// Flags that no TCP sends together: none at all, SYN+FIN, SYN+RST, FIN without ACK, all.
    TcpBadFlags,
    /// Port 0.
    TcpBadPort,
    /// Source and destination are the same address (land attack).
    TcpLand,
    /// A SYN for an address and port where no one listens.
    TcpNoListener,
    /// A segment for a connection that does not exist.
    TcpNoConnection,
    /// A SYN refused because too many handshakes are half open.
    TcpBacklogFull,
    /// A SYN refused because the worker has all the connections it may have.
    TcpConnectionsFull,
    /// A SYN for a connection that is established: answered by a challenge ACK (RFC 5961).
    TcpSynInConnection,
    /// An RST whose sequence number is not the next expected: a challenge ACK (RFC 5961).
    TcpResetNotExact,
    /// An acknowledgment of what was never sent: answered by a challenge ACK (RFC 5961).
    TcpBadAck,
    /// Octets or an acknowledgment outside of what the connection expects.
    TcpOutsideWindow,
    /// An old segment, by its timestamp (RFC 7323 section 5, PAWS).
    TcpPaws,
    /// A segment without timestamp, although both ends agreed on them (RFC 7323 section 3.2).
    TcpNoTimestamp,
    /// Octets of which too many pieces, or gaps, are held already.
    TcpRefused,
    /// Octets beyond a gap, while packet buffers are scarce.
    TcpNoMemory,
    /// A segment for a connection in TIME-WAIT.
    TcpTimeWait,
    /// The TCP engine failed on this segment; its connection was reset.
    TcpEnginePanic,
    // Transmit.
    /// No route to the destination.
    NoRoute,
    /// The neighbor did not answer, or too many packets already wait for it.
    NeighborUnreachable,
    /// Larger than the MTU of the port, or than what the port cuts into TCP segments.
    TooBig,
    /// The transmit queue and the lane before it are full.
    TxQueueFull,
    /// No empty buffer to copy or build a packet in.
    NoBuffer,
    // Between workers.
    /// The ring to the worker that owns the flow is full.
    HandoverFull,
    /// A client's segment of which no connection is here, and other workers were asked about as
    /// many as the limit lets.
    StrayLimit,
}

impl DropReason {
    /// All reasons, in declaration order.
    pub const ALL: [Self; 52] = [
        Self::FrameTruncated,
        Self::FrameNotForUs,
        Self::EtherTypeUnknown,
        Self::VlanUnexpected,
        Self::ArpMalformed,
        Self::ArpNotForUs,
        Self::NdpMalformed,
        Self::NdpNotForUs,
        Self::IpTruncated,
        Self::IpMalformed,
        Self::Ipv4BadChecksum,
        Self::Ipv4SourceRoute,
        Self::IpFragment,
        Self::Ipv6BadExtensionHeader,
        Self::MartianSource,
        Self::MartianDestination,
        Self::NotLocal,
        Self::ProtocolUnknown,
        Self::IcmpMalformed,
        Self::IcmpBadChecksum,
        Self::IcmpIgnored,
        Self::IcmpUnknownFlow,
        Self::UdpMalformed,
        Self::UdpBadChecksum,
        Self::UdpNoListener,
        Self::TcpMalformed,
        Self::TcpBadChecksum,
        Self::TcpBadOptions,
        Self::TcpBadFlags,
        Self::TcpBadPort,
        Self::TcpLand,
        Self::TcpNoListener,
        Self::TcpNoConnection,
        Self::TcpBacklogFull,
        Self::TcpConnectionsFull,
        Self::TcpSynInConnection,
        Self::TcpResetNotExact,
        Self::TcpBadAck,
        Self::TcpOutsideWindow,
        Self::TcpPaws,
        Self::TcpNoTimestamp,
        Self::TcpRefused,
        Self::TcpNoMemory,
        Self::TcpTimeWait,
        Self::TcpEnginePanic,
        Self::NoRoute,
        Self::NeighborUnreachable,
        Self::TooBig,
        Self::TxQueueFull,
        Self::NoBuffer,
        Self::HandoverFull,
        Self::StrayLimit,
    ];

    /// The stable name, as in counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameTruncated => "frame_truncated",
            Self::FrameNotForUs => "frame_not_for_us",
            Self::EtherTypeUnknown => "ethertype_unknown",
            Self::VlanUnexpected => "vlan_unexpected",
            Self::ArpMalformed => "arp_malformed",
            Self::ArpNotForUs => "arp_not_for_us",
            Self::NdpMalformed => "ndp_malformed",
            Self::NdpNotForUs => "ndp_not_for_us",
            Self::IpTruncated => "ip_truncated",
            Self::IpMalformed => "ip_malformed",
            Self::Ipv4BadChecksum => "ipv4_bad_checksum",
            Self::Ipv4SourceRoute => "ipv4_source_route",
            Self::IpFragment => "ip_fragment",
            Self::Ipv6BadExtensionHeader => "ipv6_bad_extension_header",
            Self::MartianSource => "martian_source",
            Self::MartianDestination => "martian_destination",
            Self::NotLocal => "not_local",
            Self::ProtocolUnknown => "protocol_unknown",
            Self::IcmpMalformed => "icmp_malformed",
            Self::IcmpBadChecksum => "icmp_bad_checksum",
            Self::IcmpIgnored => "icmp_ignored",
            Self::IcmpUnknownFlow => "icmp_unknown_flow",
            Self::UdpMalformed => "udp_malformed",
            Self::UdpBadChecksum => "udp_bad_checksum",
            Self::UdpNoListener => "udp_no_listener",
            Self::TcpMalformed => "tcp_malformed",
            Self::TcpBadChecksum => "tcp_bad_checksum",
            Self::TcpBadOptions => "tcp_bad_options",
            Self::TcpBadFlags => "tcp_bad_flags",
            Self::TcpBadPort => "tcp_bad_port",
            Self::TcpLand => "tcp_land",
            Self::TcpNoListener => "tcp_no_listener",
            Self::TcpNoConnection => "tcp_no_connection",
            Self::TcpBacklogFull => "tcp_backlog_full",
            Self::TcpConnectionsFull => "tcp_connections_full",
            Self::TcpSynInConnection => "tcp_syn_in_connection",
            Self::TcpResetNotExact => "tcp_reset_not_exact",
            Self::TcpBadAck => "tcp_bad_ack",
            Self::TcpOutsideWindow => "tcp_outside_window",
            Self::TcpPaws => "tcp_paws",
            Self::TcpNoTimestamp => "tcp_no_timestamp",
            Self::TcpRefused => "tcp_refused",
            Self::TcpNoMemory => "tcp_no_memory",
            Self::TcpTimeWait => "tcp_time_wait",
            Self::TcpEnginePanic => "tcp_engine_panic",
            Self::NoRoute => "no_route",
            Self::NeighborUnreachable => "neighbor_unreachable",
            Self::TooBig => "too_big",
            Self::TxQueueFull => "tx_queue_full",
            Self::NoBuffer => "no_buffer",
            Self::HandoverFull => "handover_full",
            Self::StrayLimit => "stray_limit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_in_order() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.name());
        }
        assert_eq!(DropReason::ALL.len(), DropReason::StrayLimit as usize + 1);
    }
}
