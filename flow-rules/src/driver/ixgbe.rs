//! `net_ixgbe`: Intel 82599, X520, X540, X550.
//!
//! Rules become filters of many kinds (five-tuple, EtherType, SYN, L2 tunnel, flow director); which
//! fields go together depends on the kind. Listed is what any of them takes. A rule with the `rss`
//! action sets up the whole port: the driver does not look at its pattern.

use super::FieldName::{Dst, Flags, GrpEcidB, Pattern, Proto, Src, Tci, Thresh, Tni, Type, Vni};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Remark, Rss, RuleAttributes, RuleQueues, RxOffload,
    Source, Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const FILTERS: Source = Source::Driver("drivers/net/ixgbe/ixgbe_flow.c");
const PAGE: Source = Source::Guide("nics/features/ixgbe.ini");
const GUIDE: Evidence = Evidence::new(Release::LISTED, PAGE);
/// The table's list of items goes on; what it leaves out was there already.
const LEFT_OUT: Evidence = Evidence::new(Release::CAPABILITY_TABLE, PAGE);

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Ixgbe,
    items: &[
        ItemSupport::new(
            ItemKind::ETag,
            Evidence::table(Remark::Rare).only("on an X550"),
        )
        .whole(&[GrpEcidB]),
        ItemSupport::new(ItemKind::Nvgre, TABLE).whole(&[Tni]),
        ItemSupport::new(ItemKind::Fuzzy, TABLE).whole(&[Thresh]),
        ItemSupport::new(ItemKind::Eth, LEFT_OUT).whole(&[Dst, Type]),
        ItemSupport::new(ItemKind::Vlan, LEFT_OUT).whole(&[Tci]),
        ItemSupport::new(ItemKind::Ipv4, LEFT_OUT).whole(&[Dst, Src, Proto]),
        ItemSupport::new(ItemKind::Ipv6, LEFT_OUT).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, LEFT_OUT).whole(&[Dst, Src, Flags]),
        ItemSupport::new(ItemKind::Udp, LEFT_OUT).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Sctp, LEFT_OUT).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Vxlan, LEFT_OUT).whole(&[Vni]),
        ItemSupport::new(ItemKind::Raw, LEFT_OUT).whole(&[Pattern]),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Rss, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::Vf, TABLE),
        ActionSupport::new(ActionKind::Mark, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::Drop, TABLE),
        ActionSupport::new(ActionKind::Security, TABLE),
        ActionSupport::new(ActionKind::Pf, GUIDE),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: false,
        groups: false,
        // For five-tuples only.
        priorities: 7,
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
        OffloadSupport::new(RxOffload::VlanStrip, GUIDE),
        OffloadSupport::new(RxOffload::VlanFilter, GUIDE),
        OffloadSupport::new(RxOffload::VlanExtend, GUIDE),
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
        OffloadSupport::new(TxOffload::SctpCksum, GUIDE),
        OffloadSupport::new(TxOffload::TcpTso, GUIDE),
    ],
    limits: Limits {
        rx_queues: Some(Known::new(128, Source::Unconfirmed)),
        mac_addresses: Some(Known::new(128, Source::Unconfirmed)),
        rss_key_len: Some(Known::new(40, FILTERS)),
        reta_lens: Some(Known::new(&[128, 512], Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(
            Quirk::RareItem(ItemKind::ETag),
            Evidence::table(Remark::Rare),
        ),
        NotedQuirk::new(
            Quirk::RssWithoutPattern,
            Evidence::new(Release::CAPABILITY_TABLE, FILTERS),
        ),
        NotedQuirk::new(
            Quirk::SameFields,
            Evidence::new(Release::CAPABILITY_TABLE, FILTERS),
        ),
        NotedQuirk::new(
            Quirk::FieldNeeded,
            Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
        ),
        NotedQuirk::new(Quirk::NoIsolation, TABLE),
    ],
};
