//! `net_e1000_igb`: Intel 82576, I210, I350 and others.
//!
//! Rules become filters by EtherType, by SYN flag or by two-tuple (protocol and destination port);
//! an 82576 has five-tuples instead. Fields are what all devices have, from
//! `drivers/net/e1000/igb_flow.c`. That file takes a TCP item for these filters, and an IPv6 item in
//! front of the SYN flag. The table does not, and a filter of this device leads to a single queue
//! anyway, so the profile stays with the table: software tells TCP and IPv6 apart.

use super::FieldName::{Dst, Pattern, Proto, Src, Type};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Remark, Rss, RuleAttributes, RuleQueues, RxOffload,
    Source, Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const RARE: Evidence = Evidence::table(Remark::Rare);
const GUIDE: Evidence = Evidence::new(Release::LISTED, Source::Guide("nics/features/igb.ini"));
const FILTERS: Source = Source::Driver("drivers/net/e1000/igb_flow.c");
const REFUSALS: Source = Source::Driver("what librte_net_e1000 22.11 says when it refuses");

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Igb,
    items: &[
        ItemSupport::new(ItemKind::Void, TABLE),
        ItemSupport::new(ItemKind::End, TABLE),
        ItemSupport::new(ItemKind::Eth, TABLE).whole(&[Type]),
        ItemSupport::new(ItemKind::Ipv4, TABLE).whole(&[Proto]),
        ItemSupport::new(ItemKind::Udp, TABLE).whole(&[Dst]),
        ItemSupport::new(ItemKind::Sctp, RARE.only("on an 82576")).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Raw, RARE.only("on devices with flexible filters"))
            .whole(&[Pattern]),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Rss, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::Drop, TABLE),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: false,
        groups: false,
        // Of a two-tuple only.
        priorities: 8,
        whole_protocol: false,
        evidence: Evidence::new(Release::CAPABILITY_TABLE, FILTERS),
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
        OffloadSupport::new(RxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(RxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(RxOffload::TcpCksum, GUIDE),
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
        // 16 on an 82576, 4 on an I210.
        rx_queues: Some(Known::new(8, Source::Unconfirmed)),
        rss_key_len: Some(Known::new(40, REFUSALS)),
        reta_lens: Some(Known::new(&[128], Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(Quirk::NoItem(ItemKind::Tcp), TABLE),
        NotedQuirk::new(Quirk::NoItem(ItemKind::Ipv6), TABLE),
        NotedQuirk::new(Quirk::RareItem(ItemKind::Sctp), RARE),
        NotedQuirk::new(Quirk::RareItem(ItemKind::Raw), RARE),
        NotedQuirk::new(
            Quirk::RssWithoutPattern,
            Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
        ),
        NotedQuirk::new(
            Quirk::FieldNeeded,
            Evidence::new(Release::CAPABILITY_TABLE, FILTERS),
        ),
        NotedQuirk::new(Quirk::NoIsolation, TABLE),
    ],
};
