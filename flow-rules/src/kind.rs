//! The kinds of pattern items and actions, by their names alone.
//!
//! rte_flow calls them `RTE_FLOW_ITEM_TYPE_*` and `RTE_FLOW_ACTION_TYPE_*`; here is what
//! DPDK 22.11 defines and a driver of [`crate::driver`] supports, and what older releases had
//! (`pf`, `vf` and `phy_port` items, the `dup` action). A profile can speak of all of them; a rule
//! can have those of [`ItemKind::in_rules`] and [`ActionKind::in_rules`]. [`fmt::Display`] and
//! [`FromStr`] use the words of testpmd.

use core::fmt;
use core::str::FromStr;

/// A kind of pattern item: a protocol header, or something else that is known of a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ItemKind {
    /// Ends a pattern.
    End,
    /// Matches everything; a place holder.
    Void,
    /// Turns the rest of the pattern around.
    Invert,
    /// Any protocol in place of one or more headers.
    Any,
    /// Octets at an offset.
    Raw,
    /// Ethernet.
    Eth,
    /// 802.1Q or 802.1ad tag.
    Vlan,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Any IPv6 extension header.
    Ipv6Ext,
    /// IPv6 fragment header.
    Ipv6FragExt,
    /// ICMP.
    Icmp,
    /// Any ICMPv6 message.
    Icmp6,
    /// ICMPv6 neighbor solicitation.
    Icmp6NdNs,
    /// ICMPv6 neighbor advertisement.
    Icmp6NdNa,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// SCTP.
    Sctp,
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// IGMP.
    Igmp,
    /// IPsec authentication header.
    Ah,
    /// IPsec encapsulating security payload.
    Esp,
    /// VXLAN.
    Vxlan,
    /// VXLAN with a protocol field.
    VxlanGpe,
    /// NVGRE.
    Nvgre,
    /// GRE.
    Gre,
    /// The key of a GRE header.
    GreKey,
    /// The optional fields of a GRE header.
    GreOption,
    /// Geneve.
    Geneve,
    /// An option of a Geneve header.
    GeneveOpt,
    /// MPLS label.
    Mpls,
    /// Network service header.
    Nsh,
    /// 802.1BR E-tag.
    ETag,
    /// GTP, version 1.
    Gtp,
    /// GTP, control plane.
    Gtpc,
    /// GTP, user plane.
    Gtpu,
    /// GTP extension header for a PDU session container.
    GtpPsc,
    /// L2TP, version 2.
    L2tpv2,
    /// L2TP, version 3, over IP.
    L2tpv3oip,
    /// PPP.
    Ppp,
    /// PPPoE discovery.
    Pppoed,
    /// PPPoE session.
    Pppoes,
    /// The protocol field of a PPPoE session.
    PppoeProtoId,
    /// Packet forwarding control protocol.
    Pfcp,
    /// eCPRI over Ethernet or UDP.
    Ecpri,
    /// MACsec.
    Macsec,
    /// A header that the application described to the device.
    Flex,
    /// How loosely the device may match.
    Fuzzy,
    /// A mark that an earlier rule set.
    Mark,
    /// Metadata that the application or a rule set.
    Meta,
    /// A tag that an earlier rule set.
    Tag,
    /// The color that a meter gave.
    MeterColor,
    /// What the device found wrong with the packet.
    Integrity,
    /// The state that the device's connection tracking gave.
    Conntrack,
    /// Traffic of a DPDK port; gave way to `represented_port`.
    PortId,
    /// Traffic that enters the switch from a DPDK port.
    PortRepresentor,
    /// Traffic that enters the switch from what a DPDK port stands for.
    RepresentedPort,
    /// Traffic of a physical port; called `port` before DPDK 18.05, gone since 22.11.
    PhyPort,
    /// Traffic of the physical function; gone since DPDK 22.11.
    Pf,
    /// Traffic of a virtual function; gone since DPDK 22.11.
    Vf,
}

impl ItemKind {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ITEM_WORDS.iter().map(|&(kind, _)| kind)
    }

    /// What testpmd calls it.
    pub const fn name(self) -> &'static str {
        ITEM_WORDS[self as usize].1
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ItemKind {
    type Err = UnknownItem;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| UnknownItem(word.to_owned()))
    }
}

/// A kind of action: what a rule does with the packets it matches.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ActionKind {
    /// Ends a list of actions.
    End,
    /// Does nothing; a place holder.
    Void,
    /// Leaves the packet to the rules after this one.
    Passthru,
    /// Goes on with the rules of another group.
    Jump,
    /// Puts the packet on a receive queue.
    Queue,
    /// Spreads packets over receive queues by a hash.
    Rss,
    /// Drops the packet.
    Drop,
    /// Gives the packet a number that its receiver sees.
    Mark,
    /// Gives the packet a flag that its receiver sees.
    Flag,
    /// Counts packets and octets of the rule.
    Count,
    /// Copies the packet to another queue; gone since DPDK 18.05.
    Dup,
    /// Measures a rate and colors or drops.
    Meter,
    /// Measures a rate and colors, and leaves the rest to other rules.
    MeterMark,
    /// Does the cryptography of a security session.
    Security,
    /// Sends to the physical function.
    Pf,
    /// Sends to a virtual function.
    Vf,
    /// Sends to a DPDK port; gave way to `represented_port`.
    PortId,
    /// Sends to a DPDK port.
    PortRepresentor,
    /// Sends to what a DPDK port stands for.
    RepresentedPort,
    /// Tells when the rule has not matched for a while.
    Age,
    /// Copies one packet in so many.
    Sample,
    /// Does an action that is shared between rules.
    Indirect,
    /// Copies or changes a field.
    ModifyField,
    /// Tracks the connection.
    Conntrack,
    /// Gives the packet to the host's kernel.
    SendToKernel,
    /// Takes one off the TTL, as OpenFlow has it.
    OfDecNwTtl,
    /// Takes a VLAN tag off.
    OfPopVlan,
    /// Puts a VLAN tag on.
    OfPushVlan,
    /// Changes a VLAN id.
    OfSetVlanVid,
    /// Changes a VLAN priority.
    OfSetVlanPcp,
    /// Wraps in VXLAN.
    VxlanEncap,
    /// Unwraps VXLAN.
    VxlanDecap,
    /// Wraps in NVGRE.
    NvgreEncap,
    /// Unwraps NVGRE.
    NvgreDecap,
    /// Puts given octets in front.
    RawEncap,
    /// Takes octets off the front.
    RawDecap,
    /// Takes one off the TTL.
    DecTtl,
    /// Sets the TTL.
    SetTtl,
    /// Sets the source MAC address.
    SetMacSrc,
    /// Sets the destination MAC address.
    SetMacDst,
    /// Sets the IPv4 source address.
    SetIpv4Src,
    /// Sets the IPv4 destination address.
    SetIpv4Dst,
    /// Sets the IPv6 source address.
    SetIpv6Src,
    /// Sets the IPv6 destination address.
    SetIpv6Dst,
    /// Sets the source port.
    SetTpSrc,
    /// Sets the destination port.
    SetTpDst,
}

impl ActionKind {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ACTION_WORDS.iter().map(|&(kind, _)| kind)
    }

    /// What testpmd calls it.
    pub const fn name(self) -> &'static str {
        ACTION_WORDS[self as usize].1
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ActionKind {
    type Err = UnknownAction;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| UnknownAction(word.to_owned()))
    }
}

/// A word that names no pattern item.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no pattern item of rte_flow; items are called as in testpmd, such as `eth`")]
pub struct UnknownItem(pub String);

/// A word that names no action.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no action of rte_flow; actions are called as in testpmd, such as `queue`")]
pub struct UnknownAction(pub String);

/// In the order of the variants.
const ITEM_WORDS: [(ItemKind, &str); 60] = [
    (ItemKind::End, "end"),
    (ItemKind::Void, "void"),
    (ItemKind::Invert, "invert"),
    (ItemKind::Any, "any"),
    (ItemKind::Raw, "raw"),
    (ItemKind::Eth, "eth"),
    (ItemKind::Vlan, "vlan"),
    (ItemKind::Ipv4, "ipv4"),
    (ItemKind::Ipv6, "ipv6"),
    (ItemKind::Ipv6Ext, "ipv6_ext"),
    (ItemKind::Ipv6FragExt, "ipv6_frag_ext"),
    (ItemKind::Icmp, "icmp"),
    (ItemKind::Icmp6, "icmp6"),
    (ItemKind::Icmp6NdNs, "icmp6_nd_ns"),
    (ItemKind::Icmp6NdNa, "icmp6_nd_na"),
    (ItemKind::Udp, "udp"),
    (ItemKind::Tcp, "tcp"),
    (ItemKind::Sctp, "sctp"),
    (ItemKind::Arp, "arp_eth_ipv4"),
    (ItemKind::Igmp, "igmp"),
    (ItemKind::Ah, "ah"),
    (ItemKind::Esp, "esp"),
    (ItemKind::Vxlan, "vxlan"),
    (ItemKind::VxlanGpe, "vxlan-gpe"),
    (ItemKind::Nvgre, "nvgre"),
    (ItemKind::Gre, "gre"),
    (ItemKind::GreKey, "gre_key"),
    (ItemKind::GreOption, "gre_option"),
    (ItemKind::Geneve, "geneve"),
    (ItemKind::GeneveOpt, "geneve-opt"),
    (ItemKind::Mpls, "mpls"),
    (ItemKind::Nsh, "nsh"),
    (ItemKind::ETag, "e_tag"),
    (ItemKind::Gtp, "gtp"),
    (ItemKind::Gtpc, "gtpc"),
    (ItemKind::Gtpu, "gtpu"),
    (ItemKind::GtpPsc, "gtp_psc"),
    (ItemKind::L2tpv2, "l2tpv2"),
    (ItemKind::L2tpv3oip, "l2tpv3oip"),
    (ItemKind::Ppp, "ppp"),
    (ItemKind::Pppoed, "pppoed"),
    (ItemKind::Pppoes, "pppoes"),
    (ItemKind::PppoeProtoId, "pppoe_proto_id"),
    (ItemKind::Pfcp, "pfcp"),
    (ItemKind::Ecpri, "ecpri"),
    (ItemKind::Macsec, "macsec"),
    (ItemKind::Flex, "flex"),
    (ItemKind::Fuzzy, "fuzzy"),
    (ItemKind::Mark, "mark"),
    (ItemKind::Meta, "meta"),
    (ItemKind::Tag, "tag"),
    (ItemKind::MeterColor, "meter_color"),
    (ItemKind::Integrity, "integrity"),
    (ItemKind::Conntrack, "conntrack"),
    (ItemKind::PortId, "port_id"),
    (ItemKind::PortRepresentor, "port_representor"),
    (ItemKind::RepresentedPort, "represented_port"),
    (ItemKind::PhyPort, "phy_port"),
    (ItemKind::Pf, "pf"),
    (ItemKind::Vf, "vf"),
];

/// In the order of the variants.
const ACTION_WORDS: [(ActionKind, &str); 46] = [
    (ActionKind::End, "end"),
    (ActionKind::Void, "void"),
    (ActionKind::Passthru, "passthru"),
    (ActionKind::Jump, "jump"),
    (ActionKind::Queue, "queue"),
    (ActionKind::Rss, "rss"),
    (ActionKind::Drop, "drop"),
    (ActionKind::Mark, "mark"),
    (ActionKind::Flag, "flag"),
    (ActionKind::Count, "count"),
    (ActionKind::Dup, "dup"),
    (ActionKind::Meter, "meter"),
    (ActionKind::MeterMark, "meter_mark"),
    (ActionKind::Security, "security"),
    (ActionKind::Pf, "pf"),
    (ActionKind::Vf, "vf"),
    (ActionKind::PortId, "port_id"),
    (ActionKind::PortRepresentor, "port_representor"),
    (ActionKind::RepresentedPort, "represented_port"),
    (ActionKind::Age, "age"),
    (ActionKind::Sample, "sample"),
    (ActionKind::Indirect, "indirect"),
    (ActionKind::ModifyField, "modify_field"),
    (ActionKind::Conntrack, "conntrack"),
    (ActionKind::SendToKernel, "send_to_kernel"),
    (ActionKind::OfDecNwTtl, "of_dec_nw_ttl"),
    (ActionKind::OfPopVlan, "of_pop_vlan"),
    (ActionKind::OfPushVlan, "of_push_vlan"),
    (ActionKind::OfSetVlanVid, "of_set_vlan_vid"),
    (ActionKind::OfSetVlanPcp, "of_set_vlan_pcp"),
    (ActionKind::VxlanEncap, "vxlan_encap"),
    (ActionKind::VxlanDecap, "vxlan_decap"),
    (ActionKind::NvgreEncap, "nvgre_encap"),
    (ActionKind::NvgreDecap, "nvgre_decap"),
    (ActionKind::RawEncap, "raw_encap"),
    (ActionKind::RawDecap, "raw_decap"),
    (ActionKind::DecTtl, "dec_ttl"),
    (ActionKind::SetTtl, "set_ttl"),
    (ActionKind::SetMacSrc, "set_mac_src"),
    (ActionKind::SetMacDst, "set_mac_dst"),
    (ActionKind::SetIpv4Src, "set_ipv4_src"),
    (ActionKind::SetIpv4Dst, "set_ipv4_dst"),
    (ActionKind::SetIpv6Src, "set_ipv6_src"),
    (ActionKind::SetIpv6Dst, "set_ipv6_dst"),
    (ActionKind::SetTpSrc, "set_tp_src"),
    (ActionKind::SetTpDst, "set_tp_dst"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_stands_at_its_kind() {
        for (index, kind) in ItemKind::all().enumerate() {
            assert_eq!(kind as usize, index, "{kind:?}");
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for (index, kind) in ActionKind::all().enumerate() {
            assert_eq!(kind as usize, index, "{kind:?}");
            assert_eq!(kind.name().parse(), Ok(kind));
        }
    }

    #[test]
    fn words_are_those_of_testpmd() {
        assert_eq!(ItemKind::VxlanGpe.to_string(), "vxlan-gpe");
        assert_eq!(ItemKind::ETag.to_string(), "e_tag");
        assert_eq!(ActionKind::Passthru.to_string(), "passthru");
        assert_eq!(format!("{:>6}", ItemKind::Tcp), "   tcp");
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = "quic".parse::<ItemKind>().expect_err("no such item");
        assert!(error.to_string().starts_with("`quic` is no pattern item"));
        let error = "accept".parse::<ActionKind>().expect_err("no such action");
        assert!(error.to_string().starts_with("`accept` is no action"));
    }
}
