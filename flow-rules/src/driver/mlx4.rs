//! `net_mlx4`: Mellanox ConnectX-3.
//!
//! What it refuses, and so its fields and masks, is from the messages of its library in
//! DPDK 22.11: everything is matched as a whole. Its page of features names an IPv6 item in some
//! editions; the driver has none.

use super::FieldName::{Dst, Src, Tci, Vid};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Remark, Rss, RuleAttributes, RuleQueues, RxOffload,
    Source, Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const ONLY_FIELDS: Evidence = Evidence::table(Remark::OnlyFields);
const GUIDE: Evidence = Evidence::new(Release::LISTED, Source::Guide("nics/features/mlx4.ini"));
const REFUSALS: Source = Source::Driver("what librte_net_mlx4 22.11 says when it refuses");

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Mlx4,
    items: &[
        ItemSupport::new(ItemKind::End, TABLE),
        ItemSupport::new(ItemKind::Eth, ONLY_FIELDS).whole(&[Dst]),
        ItemSupport::new(ItemKind::Vlan, ONLY_FIELDS.until(Release::OLDEST_SUPPORTED))
            .whole(&[Tci]),
        // "TCI VID must be specified", and no more of the TCI.
        ItemSupport::new(
            ItemKind::Vlan,
            Evidence::new(Release::OLDEST_SUPPORTED, REFUSALS),
        )
        .whole(&[Vid]),
        ItemSupport::new(ItemKind::Ipv4, TABLE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Udp, TABLE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, TABLE).whole(&[Dst, Src]),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Rss, TABLE),
        ActionSupport::new(ActionKind::Drop, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::End, TABLE),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: false,
        groups: false,
        // The last of 4096 is the driver's own outside of isolated mode.
        priorities: 4095,
        whole_protocol: true,
        evidence: Evidence::new(Release::CAPABILITY_TABLE, REFUSALS),
    },
    rss: Rss {
        spread: Spread::Toeplitz {
            key: Access::Hidden,
            reta: Access::Hidden,
        },
        evidence: GUIDE,
        beside_rules: Some(Evidence::new(
            Release::CAPABILITY_TABLE,
            Source::Unconfirmed,
        )),
        rule_queues: RuleQueues::AlignedRegion,
    },
    isolation: Some(TABLE),
    rx_offloads: &[
        OffloadSupport::new(RxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(RxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(RxOffload::TcpCksum, GUIDE),
        OffloadSupport::new(RxOffload::Scatter, GUIDE),
        OffloadSupport::new(RxOffload::VlanFilter, GUIDE),
    ],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(TxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(TxOffload::TcpCksum, GUIDE),
        OffloadSupport::new(TxOffload::TcpTso, GUIDE),
    ],
    limits: Limits {
        rss_key_len: Some(Known::new(40, REFUSALS)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(
            Quirk::NoItem(ItemKind::Ipv6),
            Evidence::table(Remark::Doubtful),
        ),
        NotedQuirk::new(
            Quirk::EthDestinationOnly,
            Evidence::new(Release::CAPABILITY_TABLE, REFUSALS),
        ),
        NotedQuirk::new(
            Quirk::VlanTciOnly,
            Evidence::new(Release::CAPABILITY_TABLE, REFUSALS),
        ),
        NotedQuirk::new(
            Quirk::RssAlignedRegion,
            Evidence::new(Release::CAPABILITY_TABLE, REFUSALS),
        ),
        // Its page of features leaves out that key and table can be updated.
        NotedQuirk::new(Quirk::HashHidden, GUIDE),
        NotedQuirk::new(
            Quirk::PriorityNotWithUdpPort,
            Evidence::new(Release::CAPABILITY_TABLE, REFUSALS),
        ),
    ],
};
