//! The items by protocol: a type for each, its fields, and a layer that compares some of them.
//!
//! A field is a constant of its protocol, so a value of the wrong width or a field of another
//! header does not compile. Names are testpmd's; bits count from the begin of the header.

use core::marker::PhantomData;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::field::{Field, FieldInfo, FieldMatch, Match};
use crate::item::Item;
use crate::kind::ItemKind;
use crate::value::{Bits, Mac, Value};

/// A protocol, or something else that an item with fields can be about.
pub trait Protocol: Sized {
    /// The kind of its items.
    const KIND: ItemKind;

    /// Any packet that has it.
    fn any() -> Layer<Self> {
        Layer {
            matches: Vec::new(),
            of: PhantomData,
        }
    }

    /// Packets that have it, with `field` exactly `value`.
    fn with<T: Value>(field: Field<Self, T>, value: T) -> Layer<Self> {
        Self::any().with(field, value)
    }
}

/// An item of the protocol `P`: packets that have it, with some fields as they should be.
#[derive(Debug)]
pub struct Layer<P> {
    matches: Vec<FieldMatch>,
    of: PhantomData<fn() -> P>,
}

// Not derived: what can be copied does not depend on the type of the protocol.
impl<P> Clone for Layer<P> {
    fn clone(&self) -> Self {
        Self {
            matches: self.matches.clone(),
            of: PhantomData,
        }
    }
}

impl<P: Protocol> Layer<P> {
    /// With `field` exactly `value`.
    pub fn with<T: Value>(self, field: Field<P, T>, value: T) -> Self {
        self.matching(field, Match::exact(value))
    }

    /// With a `field` that passes `match_`. A field that was given before gets this instead.
    pub fn matching<T: Value>(mut self, field: Field<P, T>, match_: Match<T>) -> Self {
        self.matches.push(FieldMatch {
            info: field.info(),
            bits: match_.bits(),
        });
        self
    }
}

impl<P: Protocol> From<Layer<P>> for Item {
    fn from(layer: Layer<P>) -> Self {
        Self::new(P::KIND, layer.matches)
    }
}

/// Something that is not a header: its place in the pattern does not matter.
pub trait Meta: Protocol {}

/// Whether items of `kind` are layers of a packet.
pub(crate) fn is_layer(kind: ItemKind) -> bool {
    kind.header_len() > 0 || kind == ItemKind::Any
}

/// Ethernet header.
#[derive(Debug)]
pub enum Eth {}

impl Eth {
    /// Destination address.
    pub const DST: Field<Self, Mac> = Field::at("dst", 0);
    /// Source address.
    pub const SRC: Field<Self, Mac> = Field::at("src", 48);
    /// What follows: an EtherType.
    pub const TYPE: Field<Self, u16> = Field::at("type", 96).hex();
    /// Whether at least one 802.1Q tag follows.
    pub const HAS_VLAN: Field<Self, bool> = Field::beside("has_vlan");
}

/// 802.1Q tag.
#[derive(Debug)]
pub enum Vlan {}

impl Vlan {
    /// Priority.
    pub const PCP: Field<Self, Bits<3>> = Field::at("pcp", 0);
    /// Drop eligible.
    pub const DEI: Field<Self, bool> = Field::at("dei", 3);
    /// The VLAN.
    pub const VID: Field<Self, Bits<12>> = Field::at("vid", 4);
    /// What follows: an EtherType.
    pub const INNER_TYPE: Field<Self, u16> = Field::at("inner_type", 16).hex();
    /// Whether another tag follows.
    pub const HAS_MORE_VLAN: Field<Self, bool> = Field::beside("has_more_vlan");
}

/// 802.1BR E-tag.
#[derive(Debug)]
pub enum ETag {}

impl ETag {
    /// Group and base of the E-channel.
    pub const GRP_ECID_B: Field<Self, Bits<14>> = Field::at("grp_ecid_b", 18).hex();
}

/// One entry of an MPLS stack (RFC 3032).
#[derive(Debug)]
pub enum Mpls {}

impl Mpls {
    /// The label.
    pub const LABEL: Field<Self, Bits<20>> = Field::at("label", 0);
    /// Traffic class.
    pub const TC: Field<Self, Bits<3>> = Field::at("tc", 20);
    /// Bottom of the stack.
    pub const S: Field<Self, bool> = Field::at("s", 23);
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Debug)]
pub enum Arp {}

impl Arp {
    /// Sender's hardware address.
    pub const SHA: Field<Self, Mac> = Field::at("sha", 64);
    /// Sender's IPv4 address.
    pub const SPA: Field<Self, Ipv4Addr> = Field::at("spa", 112);
    /// Target's hardware address.
    pub const THA: Field<Self, Mac> = Field::at("tha", 144);
    /// Target's IPv4 address.
    pub const TPA: Field<Self, Ipv4Addr> = Field::at("tpa", 192);
}

/// IPv4 header (RFC 791).
#[derive(Debug)]
pub enum Ipv4 {}

impl Ipv4 {
    /// Version and header length in words.
    pub const VERSION_IHL: Field<Self, u8> = Field::at("version_ihl", 0).hex();
    /// DSCP and ECN.
    pub const TOS: Field<Self, u8> = Field::at("tos", 8);
    /// Identification.
    pub const PACKET_ID: Field<Self, u16> = Field::at("packet_id", 32);
    /// Flags (three bits) and fragment offset.
    pub const FRAGMENT_OFFSET: Field<Self, u16> = Field::at("fragment_offset", 48).hex();
    /// Time to live.
    pub const TTL: Field<Self, u8> = Field::at("ttl", 64);
    /// What follows.
    pub const PROTO: Field<Self, u8> = Field::at("proto", 72);
    /// Source address.
    pub const SRC: Field<Self, Ipv4Addr> = Field::at("src", 96);
    /// Destination address.
    pub const DST: Field<Self, Ipv4Addr> = Field::at("dst", 128);
}

/// IPv6 header (RFC 8200).
#[derive(Debug)]
pub enum Ipv6 {}

impl Ipv6 {
    /// Traffic class.
    pub const TC: Field<Self, u8> = Field::at("tc", 4);
    /// Flow label.
    pub const FLOW: Field<Self, Bits<20>> = Field::at("flow", 12);
    /// Next header.
    pub const PROTO: Field<Self, u8> = Field::at("proto", 48);
    /// Hop limit.
    pub const HOP: Field<Self, u8> = Field::at("hop", 56);
    /// Source address.
    pub const SRC: Field<Self, Ipv6Addr> = Field::at("src", 64);
    /// Destination address.
    pub const DST: Field<Self, Ipv6Addr> = Field::at("dst", 192);
    /// Whether there is a fragment header.
    pub const HAS_FRAG_EXT: Field<Self, bool> = Field::beside("has_frag_ext");
}

/// ICMP over IPv4 (RFC 792).
#[derive(Debug)]
pub enum Icmp {}

impl Icmp {
    /// Type of the message.
    pub const TYPE: Field<Self, u8> = Field::at("type", 0);
    /// Code of the type.
    pub const CODE: Field<Self, u8> = Field::at("code", 8);
    /// Identifier of an echo.
    pub const IDENT: Field<Self, u16> = Field::at("ident", 32);
    /// Number of an echo.
    pub const SEQ: Field<Self, u16> = Field::at("seq", 48);
}

/// ICMPv6 (RFC 4443).
#[derive(Debug)]
pub enum Icmp6 {}

impl Icmp6 {
    /// Type of the message.
    pub const TYPE: Field<Self, u8> = Field::at("type", 0);
    /// Code of the type.
    pub const CODE: Field<Self, u8> = Field::at("code", 8);
}

/// Neighbor solicitation (RFC 4861).
#[derive(Debug)]
pub enum Icmp6NdNs {}

impl Icmp6NdNs {
    /// Whose address is asked for.
    pub const TARGET_ADDR: Field<Self, Ipv6Addr> = Field::at("target_addr", 64);
}

/// Neighbor advertisement (RFC 4861).
#[derive(Debug)]
pub enum Icmp6NdNa {}

impl Icmp6NdNa {
    /// Whose address is told.
    pub const TARGET_ADDR: Field<Self, Ipv6Addr> = Field::at("target_addr", 64);
}

/// UDP header (RFC 768).
#[derive(Debug)]
pub enum Udp {}

impl Udp {
    /// Source port.
    pub const SRC: Field<Self, u16> = Field::at("src", 0);
    /// Destination port.
    pub const DST: Field<Self, u16> = Field::at("dst", 16);
}

/// TCP header (RFC 9293).
#[derive(Debug)]
pub enum Tcp {}

impl Tcp {
    /// Source port.
    pub const SRC: Field<Self, u16> = Field::at("src", 0);
    /// Destination port.
    pub const DST: Field<Self, u16> = Field::at("dst", 16);
    /// The eight flags from CWR to FIN.
    pub const FLAGS: Field<Self, u8> = Field::at("flags", 104).hex();
}

/// SCTP header (RFC 9260).
#[derive(Debug)]
pub enum Sctp {}

impl Sctp {
    /// Source port.
    pub const SRC: Field<Self, u16> = Field::at("src", 0);
    /// Destination port.
    pub const DST: Field<Self, u16> = Field::at("dst", 16);
    /// Verification tag.
    pub const TAG: Field<Self, u32> = Field::at("tag", 32).hex();
    /// Checksum.
    pub const CKSUM: Field<Self, u32> = Field::at("cksum", 64).hex();
}

/// IPsec ESP (RFC 4303).
#[derive(Debug)]
pub enum Esp {}

impl Esp {
    /// Security parameters index.
    pub const SPI: Field<Self, u32> = Field::at("spi", 0).hex();
}

/// GRE (RFC 2784, 2890).
#[derive(Debug)]
pub enum Gre {}

impl Gre {
    /// Whether there is a checksum.
    pub const C_BIT: Field<Self, bool> = Field::at("c_bit", 0);
    /// Whether there is a key.
    pub const K_BIT: Field<Self, bool> = Field::at("k_bit", 2);
    /// Whether there is a sequence number.
    pub const S_BIT: Field<Self, bool> = Field::at("s_bit", 3);
    /// What follows: an EtherType.
    pub const PROTOCOL: Field<Self, u16> = Field::at("protocol", 16).hex();
}

/// NVGRE (RFC 7637).
#[derive(Debug)]
pub enum Nvgre {}

impl Nvgre {
    /// Virtual subnet.
    pub const TNI: Field<Self, Bits<24>> = Field::at("tni", 32);
}

/// VXLAN (RFC 7348).
#[derive(Debug)]
pub enum Vxlan {}

impl Vxlan {
    /// Network.
    pub const VNI: Field<Self, Bits<24>> = Field::at("vni", 32);
    /// The reserved octet at the end.
    pub const LAST_RSVD: Field<Self, u8> = Field::at("last_rsvd", 56);
}

/// VXLAN with a protocol field.
#[derive(Debug)]
pub enum VxlanGpe {}

impl VxlanGpe {
    /// Network.
    pub const VNI: Field<Self, Bits<24>> = Field::at("vni", 32);
}

/// Geneve (RFC 8926).
#[derive(Debug)]
pub enum Geneve {}

impl Geneve {
    /// Length of the options in words.
    pub const OPTLEN: Field<Self, Bits<6>> = Field::at("optlen", 2);
    /// What follows: an EtherType.
    pub const PROTOCOL: Field<Self, u16> = Field::at("protocol", 16).hex();
    /// Network.
    pub const VNI: Field<Self, Bits<24>> = Field::at("vni", 32);
}

/// GTP of either plane (3GPP TS 29.060).
#[derive(Debug)]
pub enum Gtp {}

impl Gtp {
    /// Version, protocol type and flags.
    pub const FLAGS: Field<Self, u8> = Field::at("v_pt_rsv_flags", 0).hex();
    /// Type of the message.
    pub const MSG_TYPE: Field<Self, u8> = Field::at("msg_type", 8);
    /// Tunnel endpoint.
    pub const TEID: Field<Self, u32> = Field::at("teid", 32).hex();
}

/// GTP, control plane.
#[derive(Debug)]
pub enum Gtpc {}

impl Gtpc {
    /// Version, protocol type and flags.
    pub const FLAGS: Field<Self, u8> = Field::at("v_pt_rsv_flags", 0).hex();
    /// Type of the message.
    pub const MSG_TYPE: Field<Self, u8> = Field::at("msg_type", 8);
    /// Tunnel endpoint.
    pub const TEID: Field<Self, u32> = Field::at("teid", 32).hex();
}

/// GTP, user plane.
#[derive(Debug)]
pub enum Gtpu {}

impl Gtpu {
    /// Version, protocol type and flags.
    pub const FLAGS: Field<Self, u8> = Field::at("v_pt_rsv_flags", 0).hex();
    /// Type of the message.
    pub const MSG_TYPE: Field<Self, u8> = Field::at("msg_type", 8);
    /// Tunnel endpoint.
    pub const TEID: Field<Self, u32> = Field::at("teid", 32).hex();
}

/// Any protocol in this place, or several on each other.
#[derive(Debug)]
pub enum Any {}

impl Any {
    /// How many layers it stands for; without it, the device chooses.
    pub const NUM: Field<Self, u32> = Field::beside("num");
}

/// How sure the device must be of a match: the less, the cheaper.
#[derive(Debug)]
pub enum Fuzzy {}

impl Fuzzy {
    /// 0 for a perfect match, up to the largest number for the loosest.
    pub const THRESH: Field<Self, u32> = Field::beside("thresh");
}

/// The mark that a rule of an earlier group set.
#[derive(Debug)]
pub enum Mark {}

impl Mark {
    /// The mark.
    pub const ID: Field<Self, u32> = Field::beside("id");
}

/// A port of DPDK as the origin of packets; deprecated in DPDK, but there.
#[derive(Debug)]
pub enum PortId {}

impl PortId {
    /// The port.
    pub const ID: Field<Self, u32> = Field::beside("id");
}

/// A port of DPDK as the origin of packets.
#[derive(Debug)]
pub enum PortRepresentor {}

impl PortRepresentor {
    /// The port.
    pub const PORT_ID: Field<Self, u16> = Field::beside("port_id");
}

/// What a port of DPDK stands for (a wire, a VF) as the origin of packets.
#[derive(Debug)]
pub enum RepresentedPort {}

impl RepresentedPort {
    /// The port.
    pub const ETHDEV_PORT_ID: Field<Self, u16> = Field::beside("ethdev_port_id");
}

/// The physical function; not in DPDK 22.11 and later.
#[derive(Debug)]
pub enum Pf {}

/// A virtual function; not in DPDK 22.11 and later.
#[derive(Debug)]
pub enum Vf {}

impl Vf {
    /// Its number.
    pub const ID: Field<Self, u32> = Field::beside("id");
}

/// A physical port of the device; not in DPDK 22.11 and later.
#[derive(Debug)]
pub enum PhyPort {}

impl PhyPort {
    /// Its number.
    pub const INDEX: Field<Self, u32> = Field::beside("index");
}

/// Says of each protocol what its kind and its fields are. The list of fields is in the order of
/// the header.
macro_rules! protocols {
    ($($protocol:ident: $($field:ident)*;)*) => {
        $(impl Protocol for $protocol {
            const KIND: ItemKind = ItemKind::$protocol;
        })*

        /// The fields of each kind.
        pub(crate) const FIELDS_OF: &[(ItemKind, &[FieldInfo])] = &[
            $((ItemKind::$protocol, &[$($protocol::$field.info()),*]),)*
        ];
    };
}

protocols! {
    Eth: DST SRC TYPE HAS_VLAN;
    Vlan: PCP DEI VID INNER_TYPE HAS_MORE_VLAN;
    ETag: GRP_ECID_B;
    Mpls: LABEL TC S;
    Arp: SHA SPA THA TPA;
    Ipv4: VERSION_IHL TOS PACKET_ID FRAGMENT_OFFSET TTL PROTO SRC DST;
    Ipv6: TC FLOW PROTO HOP SRC DST HAS_FRAG_EXT;
    Icmp: TYPE CODE IDENT SEQ;
    Icmp6: TYPE CODE;
    Icmp6NdNs: TARGET_ADDR;
    Icmp6NdNa: TARGET_ADDR;
    Udp: SRC DST;
    Tcp: SRC DST FLAGS;
    Sctp: SRC DST TAG CKSUM;
    Esp: SPI;
    Gre: C_BIT K_BIT S_BIT PROTOCOL;
    Nvgre: TNI;
    Vxlan: VNI LAST_RSVD;
    VxlanGpe: VNI;
    Geneve: OPTLEN PROTOCOL VNI;
    Gtp: FLAGS MSG_TYPE TEID;
    Gtpc: FLAGS MSG_TYPE TEID;
    Gtpu: FLAGS MSG_TYPE TEID;
    Any: NUM;
    Fuzzy: THRESH;
    Mark: ID;
    PortId: ID;
    PortRepresentor: PORT_ID;
    RepresentedPort: ETHDEV_PORT_ID;
    Pf: ;
    Vf: ID;
    PhyPort: INDEX;
}

impl Meta for Fuzzy {}
impl Meta for Mark {}
impl Meta for PortId {}
impl Meta for PortRepresentor {}
impl Meta for RepresentedPort {}
impl Meta for Pf {}
impl Meta for Vf {}
impl Meta for PhyPort {}
