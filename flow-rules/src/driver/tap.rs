//! `net_tap`: a TAP device of the host's kernel. Rules become filters of traffic control.
//!
//! Fields and masks are from `drivers/net/tap/tap_flow.c`: addresses take any mask, everything
//! else is matched as a whole. What differs since [`Release::OLDEST_SUPPORTED`] was seen on a live
//! port in user-mode Linux 6.1: which rules it takes, and which packets then came on which queue.
//!
//! It validates nearly every rule and refuses only what the kernel refuses, when the rule is made.
//! `rss` is one of those: the kernel's verifier does not let its BPF program in ("Failed to load BPF
//! section l3_l4 (13): Permission denied"), and the driver leaves four filters behind that it does
//! not take away. Hence there is no such action in the profile, and no plan asks for it.

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
const TRIED: Source = Source::Observed("rules, and packets for them, in user-mode Linux 6.1");
const TODAY: Evidence = Evidence::new(Release::OLDEST_SUPPORTED, TRIED);

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Tap,
    items: &[
        ItemSupport::new(ItemKind::End, TABLE),
        ItemSupport::new(ItemKind::Eth, TABLE)
            .masked(&[Dst, Src])
            .whole(&[Type]),
        ItemSupport::new(ItemKind::Vlan, TABLE.until(Release::OLDEST_SUPPORTED))
            .whole(&[Vid, Pcp, InnerType]),
        // The priority is accepted, and ignored.
        ItemSupport::new(ItemKind::Vlan, TODAY).whole(&[Vid, InnerType]),
        // A mask on the protocol is accepted, and ignored.
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
            TABLE
                .until(Release::OLDEST_SUPPORTED)
                .only("if the kernel lets the driver load BPF programs"),
        ),
        ActionSupport::new(ActionKind::End, TABLE),
    ],
    attributes: RuleAttributes {
        ingress: true,
        // Accepted, but the rule is for received packets all the same.
        egress: false,
        transfer: false,
        // Up to 15. They are no more than later priorities.
        groups: true,
        // The last of 4096 is refused.
        priorities: 4095,
        whole_protocol: true,
        evidence: TODAY,
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
    isolation: Some(TODAY),
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
        // It says 16. The file descriptors of all queues of both directions have to fit a message
        // between DPDK's processes, which takes eight; with more the port does not start.
        rx_queues: Some(Known::new(4, TRIED)),
        tx_queues: Some(Known::new(4, TRIED)),
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
            )
            .until(Release::OLDEST_SUPPORTED),
        ),
        NotedQuirk::new(Quirk::FewerQueues, TODAY),
        NotedQuirk::new(Quirk::NoAction(ActionKind::Rss), TODAY),
        NotedQuirk::new(Quirk::NoAction(ActionKind::Count), TODAY),
        NotedQuirk::new(Quirk::RefusesLate, TODAY),
        NotedQuirk::new(Quirk::EthFirst, TODAY),
        NotedQuirk::new(Quirk::VlanNotLast, TODAY),
        NotedQuirk::new(Quirk::NoIsolation, TABLE.until(Release::OLDEST_SUPPORTED)),
    ],
};
