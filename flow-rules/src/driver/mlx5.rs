//! `mlx5_pci`: Mellanox, now NVIDIA, ConnectX-4 and later, and BlueField.
//!
//! The device matches any part of any field that an item has; only what serves to steer is listed
//! here. Items and actions since the table are from the driver's page of features.

use super::FieldName::{
    Code, Data, Dst, Flags, Flow, FragmentOffset, HasVlan, Hop, Id, InnerType, Label, Proto,
    Protocol, Spi, Src, Tc, Tci, Teid, Tni, Tos, Ttl, Type, Vid, Vni,
};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, OffloadSupport, Profile,
    Release, Rss, RuleAttributes, RuleQueues, RxOffload, Source, Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const PAGE: Source = Source::Guide("nics/features/mlx5.ini");
const GUIDE: Evidence = Evidence::new(Release::LISTED, PAGE);
const RECENT: Evidence = Evidence::new(Release::OLDEST_SUPPORTED, PAGE);

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Mlx5,
    items: ITEMS,
    actions: ACTIONS,
    attributes: RuleAttributes {
        ingress: true,
        egress: true,
        transfer: true,
        groups: true,
        // In group 0, beside the rules of other applications; far more in other groups.
        priorities: 16,
        whole_protocol: true,
        evidence: Evidence::new(Release::LISTED, Source::Unconfirmed),
    },
    rss: Rss {
        spread: Spread::Toeplitz {
            key: Access::Write,
            reta: Access::Write,
        },
        evidence: GUIDE,
        beside_rules: Some(Evidence::new(
            Release::CAPABILITY_TABLE,
            Source::Unconfirmed,
        )),
        rule_queues: RuleQueues::Any,
    },
    isolation: Some(TABLE),
    rx_offloads: &[
        OffloadSupport::new(RxOffload::VlanStrip, GUIDE),
        OffloadSupport::new(RxOffload::VlanFilter, GUIDE),
        OffloadSupport::new(RxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(RxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(RxOffload::TcpCksum, GUIDE),
        OffloadSupport::new(RxOffload::TcpLro, GUIDE),
        OffloadSupport::new(RxOffload::Scatter, GUIDE),
        OffloadSupport::new(RxOffload::RssHash, GUIDE),
    ],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::VlanInsert, GUIDE),
        OffloadSupport::new(TxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(TxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(TxOffload::TcpCksum, GUIDE),
        OffloadSupport::new(TxOffload::TcpTso, GUIDE),
    ],
    limits: Limits {
        mac_addresses: Some(Known::new(128, Source::Unconfirmed)),
        rss_key_len: Some(Known::new(40, Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[],
};

const ITEMS: &[ItemSupport] = &[
    ItemSupport::new(ItemKind::End, TABLE),
    ItemSupport::new(ItemKind::Eth, TABLE).masked(&[Dst, Src, Type, HasVlan]),
    ItemSupport::new(ItemKind::Vlan, TABLE).masked(&[Tci, Vid, InnerType]),
    ItemSupport::new(ItemKind::Ipv4, TABLE).masked(&[Dst, Src, Proto, Tos, Ttl, FragmentOffset]),
    ItemSupport::new(ItemKind::Ipv6, TABLE).masked(&[Dst, Src, Proto, Tc, Flow, Hop]),
    ItemSupport::new(ItemKind::Udp, TABLE).masked(&[Dst, Src]),
    ItemSupport::new(ItemKind::Tcp, TABLE).masked(&[Dst, Src, Flags]),
    ItemSupport::new(ItemKind::Vxlan, TABLE).masked(&[Vni]),
    ItemSupport::new(ItemKind::Ipv6FragExt, GUIDE),
    ItemSupport::new(ItemKind::Icmp, GUIDE).masked(&[Type, Code]),
    ItemSupport::new(ItemKind::Icmp6, GUIDE).masked(&[Type, Code]),
    ItemSupport::new(ItemKind::Esp, RECENT).masked(&[Spi]),
    ItemSupport::new(ItemKind::Gre, GUIDE).masked(&[Protocol]),
    ItemSupport::new(ItemKind::GreKey, GUIDE),
    ItemSupport::new(ItemKind::GreOption, RECENT),
    ItemSupport::new(ItemKind::Nvgre, GUIDE).masked(&[Tni]),
    ItemSupport::new(ItemKind::VxlanGpe, GUIDE).masked(&[Vni]),
    ItemSupport::new(ItemKind::Geneve, GUIDE).masked(&[Vni, Protocol]),
    ItemSupport::new(ItemKind::GeneveOpt, GUIDE),
    ItemSupport::new(ItemKind::Mpls, GUIDE).masked(&[Label]),
    ItemSupport::new(ItemKind::Gtp, GUIDE).masked(&[Teid]),
    ItemSupport::new(ItemKind::GtpPsc, GUIDE),
    ItemSupport::new(ItemKind::Ecpri, GUIDE),
    ItemSupport::new(ItemKind::Mark, GUIDE).masked(&[Id]),
    ItemSupport::new(ItemKind::Meta, GUIDE).masked(&[Data]),
    ItemSupport::new(ItemKind::Tag, GUIDE).masked(&[Data]),
    ItemSupport::new(ItemKind::MeterColor, RECENT),
    ItemSupport::new(ItemKind::Integrity, RECENT),
    ItemSupport::new(ItemKind::Conntrack, RECENT),
    ItemSupport::new(ItemKind::Flex, RECENT),
    ItemSupport::new(ItemKind::PortId, GUIDE).whole(&[Id]),
    ItemSupport::new(ItemKind::PortRepresentor, RECENT).whole(&[Id]),
    ItemSupport::new(ItemKind::RepresentedPort, RECENT).whole(&[Id]),
];

const ACTIONS: &[ActionSupport] = &[
    ActionSupport::new(ActionKind::Drop, TABLE),
    ActionSupport::new(ActionKind::Queue, TABLE),
    ActionSupport::new(ActionKind::Void, TABLE),
    ActionSupport::new(ActionKind::Mark, TABLE),
    ActionSupport::new(ActionKind::Flag, TABLE),
    ActionSupport::new(ActionKind::Count, TABLE),
    ActionSupport::new(ActionKind::Rss, TABLE),
    ActionSupport::new(ActionKind::End, TABLE),
    ActionSupport::new(ActionKind::Jump, GUIDE),
    ActionSupport::new(ActionKind::Meter, GUIDE),
    ActionSupport::new(ActionKind::MeterMark, RECENT),
    ActionSupport::new(ActionKind::Age, GUIDE),
    ActionSupport::new(ActionKind::Sample, GUIDE),
    ActionSupport::new(ActionKind::ModifyField, RECENT),
    ActionSupport::new(ActionKind::Conntrack, RECENT),
    ActionSupport::new(ActionKind::SendToKernel, RECENT),
    ActionSupport::new(ActionKind::PortId, GUIDE),
    ActionSupport::new(ActionKind::PortRepresentor, RECENT),
    ActionSupport::new(ActionKind::RepresentedPort, RECENT),
    ActionSupport::new(ActionKind::OfPopVlan, GUIDE),
    ActionSupport::new(ActionKind::OfPushVlan, GUIDE),
    ActionSupport::new(ActionKind::OfSetVlanPcp, GUIDE),
    ActionSupport::new(ActionKind::OfSetVlanVid, GUIDE),
    ActionSupport::new(ActionKind::VxlanDecap, GUIDE),
    ActionSupport::new(ActionKind::VxlanEncap, GUIDE),
    ActionSupport::new(ActionKind::NvgreDecap, GUIDE),
    ActionSupport::new(ActionKind::NvgreEncap, GUIDE),
    ActionSupport::new(ActionKind::RawDecap, GUIDE),
    ActionSupport::new(ActionKind::RawEncap, GUIDE),
    ActionSupport::new(ActionKind::DecTtl, GUIDE),
    ActionSupport::new(ActionKind::SetTtl, GUIDE),
    ActionSupport::new(ActionKind::SetMacDst, GUIDE),
    ActionSupport::new(ActionKind::SetMacSrc, GUIDE),
    ActionSupport::new(ActionKind::SetIpv4Dst, GUIDE),
    ActionSupport::new(ActionKind::SetIpv4Src, GUIDE),
    ActionSupport::new(ActionKind::SetIpv6Dst, GUIDE),
    ActionSupport::new(ActionKind::SetIpv6Src, GUIDE),
    ActionSupport::new(ActionKind::SetTpDst, GUIDE),
    ActionSupport::new(ActionKind::SetTpSrc, GUIDE),
];
