//! `net_tap`: a TAP device of the host's kernel. Rules become filters of traffic control.
//!
//! Fields and masks are from `drivers/net/tap/tap_flow.c`: addresses take any mask, everything
//! else is matched as a whole.

use super::FieldName::{Dst, InnerType, Pcp, Proto, Src, Type, Vid};
use super::{
    ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk, OffloadSupport,
    Profile, Quirk, Release, Remark, Rss, RuleAttributes, RuleQueues, RxOffload, Source, Spread,
    TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const DOUBTFUL: Evidence = Evidence::table(Remark::Doubtful);
const GUIDE: Evidence = Evidence::new(Release::LISTED, Source::Guide("nics/features/tap.ini"));
const DRIVER: Source = Source::Driver("drivers/net/tap/tap_flow.c");

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Tap,
    items: &[
        ItemSupport::new(ItemKind::End, TABLE),
        ItemSupport::new(ItemKind::Eth, TABLE)
            .masked(&[Dst, Src])
            .whole(&[Type]),
        ItemSupport::new(ItemKind::Vlan, TABLE).whole(&[Vid, Pcp, InnerType]),
        ItemSupport::new(ItemKind::Ipv4, TABLE)
            .masked(&[Dst, Src])
            .whole(&[Proto]),
        ItemSupport::new(ItemKind::Ipv6, TABLE)
            .masked(&[Dst, Src])
            .whole(&[Proto]),
        ItemSupport::new(ItemKind::Udp, TABLE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, TABLE).whole(&[Dst, Src]),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Drop, TABLE),
        ActionSupport::new(ActionKind::Passthru, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        // The driver loads a BPF program for it; see the guide, nics/tap.html.
        ActionSupport::new(
            ActionKind::Rss,
            TABLE.only("if the kernel lets the driver load BPF programs"),
        ),
        ActionSupport::new(ActionKind::End, TABLE),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: false,
        groups: true,
        // Twelve bits, of which the driver keeps the last few for rules of its own.
        priorities: 4000,
        whole_protocol: true,
        evidence: Evidence::new(Release::CAPABILITY_TABLE, DRIVER),
    },
    rss: Rss {
        spread: Spread::Elsewhere {
            by: "the kernel, by the flow",
        },
        evidence: Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
        beside_rules: Some(Evidence::new(
            Release::CAPABILITY_TABLE,
            Source::Unconfirmed,
        )),
        rule_queues: RuleQueues::Any,
    },
    // The driver had it before; the table knows of Mellanox only.
    isolation: Some(Evidence::new(Release::OLDEST_SUPPORTED, DRIVER)),
    rx_offloads: &[
        OffloadSupport::new(RxOffload::CrcStrip, DOUBTFUL.until(Release::new(18, 11))),
        OffloadSupport::new(RxOffload::VlanStrip, DOUBTFUL.until(Release::LISTED)),
        OffloadSupport::new(RxOffload::VlanFilter, DOUBTFUL.until(Release::LISTED)),
        OffloadSupport::new(RxOffload::VlanExtend, DOUBTFUL.until(Release::LISTED)),
        OffloadSupport::new(RxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(RxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(RxOffload::TcpCksum, GUIDE),
    ],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::Ipv4Cksum, GUIDE),
        OffloadSupport::new(TxOffload::UdpCksum, GUIDE),
        OffloadSupport::new(TxOffload::TcpCksum, GUIDE),
    ],
    limits: Limits {
        rx_queues: Some(Known::new(16, Source::Unconfirmed)),
        tx_queues: Some(Known::new(16, Source::Unconfirmed)),
        mac_addresses: Some(Known::new(1, Source::Unconfirmed)),
        rss_key_len: Some(Known::new(40, Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(
            Quirk::KernelClassifier,
            Evidence::new(
                Release::CAPABILITY_TABLE,
                Source::Driver("what librte_net_tap 22.11 says when it fails"),
            ),
        ),
        NotedQuirk::new(
            Quirk::SpreadElsewhere,
            Evidence::new(Release::CAPABILITY_TABLE, Source::Unconfirmed),
        ),
        NotedQuirk::new(
            Quirk::RssOwnKey,
            Evidence::new(
                Release::CAPABILITY_TABLE,
                Source::Driver("librte_net_tap 22.11: \"port RSS key cannot be updated\""),
            ),
        ),
        NotedQuirk::new(Quirk::NoIsolation, TABLE.until(Release::OLDEST_SUPPORTED)),
    ],
};
