//! `net_i40e`: Intel 700 series.
//!
//! Rules become entries of the flow director, or filters by EtherType or tunnel. Fields are what
//! the flow director takes (`drivers/net/i40e/i40e_flow.c`); everything is matched as a whole. The
//! driver lets a rule without any field pass; whether the device then matches all of a protocol
//! was not tried, so the profile says no.

use super::FieldName::{
    Dst, Hop, Label, Pattern, Proto, Protocol, Spi, Src, Tag, Tc, Tci, Teid, Tni, Tos, Ttl, Type,
    Vni,
};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Remark, RingThresholds, Rss, RuleAttributes,
    RuleQueues, RxOffload, Source, Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const TABLE_SOURCE: Source = Source::CapabilityTable(Remark::None);
const GUIDE: Evidence = Evidence::new(Release::LISTED, Source::Guide("nics/features/i40e.ini"));
const REFUSALS: Source = Source::Driver("what librte_net_i40e 22.11 says when it refuses");

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::I40e,
    items: ITEMS,
    actions: &[
        ActionSupport::new(ActionKind::Rss, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::Vf, TABLE),
        ActionSupport::new(ActionKind::Mark, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::Passthru, TABLE),
        ActionSupport::new(ActionKind::Drop, TABLE),
        ActionSupport::new(ActionKind::Flag, TABLE),
        ActionSupport::new(ActionKind::Pf, TABLE),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: false,
        groups: false,
        priorities: 1,
        whole_protocol: false,
        evidence: Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
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
        rule_queues: RuleQueues::Never,
    },
    isolation: None,
    rx_offloads: &[
        OffloadSupport::new(RxOffload::VlanStrip, TABLE),
        OffloadSupport::new(RxOffload::QinqStrip, TABLE),
        OffloadSupport::new(RxOffload::Ipv4Cksum, TABLE),
        OffloadSupport::new(RxOffload::UdpCksum, TABLE),
        OffloadSupport::new(RxOffload::TcpCksum, TABLE),
        OffloadSupport::new(RxOffload::OuterIpv4Cksum, TABLE),
        OffloadSupport::new(RxOffload::CrcStrip, TABLE.until(Release::new(18, 11))),
        OffloadSupport::new(RxOffload::VlanFilter, GUIDE),
        OffloadSupport::new(RxOffload::Scatter, GUIDE),
        OffloadSupport::new(RxOffload::RssHash, GUIDE),
    ],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::VlanInsert, TABLE),
        OffloadSupport::new(TxOffload::QinqInsert, TABLE),
        OffloadSupport::new(TxOffload::Ipv4Cksum, TABLE),
        OffloadSupport::new(TxOffload::UdpCksum, TABLE),
        OffloadSupport::new(TxOffload::TcpCksum, TABLE),
        OffloadSupport::new(TxOffload::SctpCksum, TABLE),
        OffloadSupport::new(TxOffload::OuterIpv4Cksum, TABLE),
        OffloadSupport::new(TxOffload::TcpTso, TABLE),
        OffloadSupport::new(TxOffload::VxlanTnlTso, TABLE),
        OffloadSupport::new(TxOffload::GreTnlTso, TABLE),
        OffloadSupport::new(TxOffload::IpipTnlTso, TABLE),
        OffloadSupport::new(TxOffload::GeneveTnlTso, TABLE),
    ],
    limits: LIMITS,
    quirks: &[
        NotedQuirk::new(
            Quirk::RssWithoutPattern,
            Evidence::new(Release::LISTED, REFUSALS),
        ),
        NotedQuirk::new(
            Quirk::SameFields,
            Evidence::new(Release::CAPABILITY_TABLE, REFUSALS),
        ),
        NotedQuirk::new(
            Quirk::FieldNeeded,
            Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
        ),
        NotedQuirk::new(Quirk::NoIsolation, TABLE),
    ],
};

const ITEMS: &[ItemSupport] = &[
    ItemSupport::new(ItemKind::Void, TABLE),
    ItemSupport::new(ItemKind::End, TABLE),
    ItemSupport::new(ItemKind::Eth, TABLE).whole(&[Dst, Src, Type]),
    ItemSupport::new(ItemKind::Vlan, TABLE).whole(&[Tci]),
    ItemSupport::new(ItemKind::Ipv4, TABLE).whole(&[Dst, Src, Proto, Tos, Ttl]),
    ItemSupport::new(ItemKind::Ipv6, TABLE).whole(&[Dst, Src, Proto, Tc, Hop]),
    ItemSupport::new(ItemKind::Tcp, TABLE).whole(&[Dst, Src]),
    ItemSupport::new(ItemKind::Udp, TABLE).whole(&[Dst, Src]),
    ItemSupport::new(ItemKind::Sctp, TABLE).whole(&[Dst, Src, Tag]),
    ItemSupport::new(ItemKind::Gtpc, TABLE).whole(&[Teid]),
    ItemSupport::new(ItemKind::Gtpu, TABLE).whole(&[Teid]),
    ItemSupport::new(ItemKind::Raw, TABLE).whole(&[Pattern]),
    // DPDK 22.11 has no such item.
    ItemSupport::new(ItemKind::Vf, TABLE.until(Release::OLDEST_SUPPORTED)),
    ItemSupport::new(ItemKind::Vxlan, TABLE).whole(&[Vni]),
    ItemSupport::new(ItemKind::Nvgre, TABLE).whole(&[Tni]),
    ItemSupport::new(ItemKind::Mpls, TABLE).whole(&[Label]),
    ItemSupport::new(ItemKind::Gre, TABLE).whole(&[Protocol]),
    ItemSupport::new(ItemKind::Ah, GUIDE).whole(&[Spi]),
    ItemSupport::new(ItemKind::Esp, GUIDE).whole(&[Spi]),
    ItemSupport::new(ItemKind::L2tpv3oip, GUIDE),
    ItemSupport::new(ItemKind::Ipv6FragExt, GUIDE),
];

const LIMITS: Limits = Limits {
    mac_addresses: Some(Known::new(64, TABLE_SOURCE)),
    rss_key_len: Some(Known::new(52, TABLE_SOURCE)),
    // A virtual function has the short one unless the physical one gives it more.
    reta_lens: Some(Known::new(&[128, 512], TABLE_SOURCE)),
    frame_len: Some(Known::new(9728, TABLE_SOURCE)),
    frame_overhead: Some(Known::new(26, TABLE_SOURCE)),
    rx_thresholds: Some(Known::new(
        RingThresholds {
            free: 32,
            prefetch: 8,
            host: 8,
            write_back: 0,
            report_status: None,
        },
        TABLE_SOURCE,
    )),
    tx_thresholds: Some(Known::new(
        RingThresholds {
            free: 32,
            prefetch: 32,
            host: 0,
            write_back: 0,
            report_status: Some(32),
        },
        TABLE_SOURCE,
    )),
    ..Limits::UNKNOWN
};
