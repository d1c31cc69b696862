//! `net_bnxt`: Broadcom NetXtreme.
//!
//! What holds without TruFlow, the driver's other, experimental way to make rules. Fields and masks
//! are from `drivers/net/bnxt/bnxt_flow.c`: IP addresses and ports take any mask, the rest is
//! matched as a whole.

use super::FieldName::{Dst, InnerType, Src, Tni, Type, Vid, Vni};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Rss, RuleAttributes, RuleQueues, RxOffload, Source,
    Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const FILTERS: Source = Source::Driver("drivers/net/bnxt/bnxt_flow.c");
const PAGE: Source = Source::Guide("nics/features/bnxt.ini");
const GUIDE: Evidence = Evidence::new(Release::LISTED, PAGE);
/// What goes beyond the plain filters.
const TRUFLOW: Evidence = GUIDE.only("with TruFlow (devargs `host-based-truflow=1`)");
/// "net/bnxt: allow flow creation when RSS is enabled".
const RSS_WITH_RULES: Release = Release::new(19, 11);

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Bnxt,
    items: &[
        ItemSupport::new(ItemKind::Void, TABLE),
        ItemSupport::new(ItemKind::End, TABLE),
        ItemSupport::new(ItemKind::Eth, TABLE).whole(&[Dst, Src, Type]),
        ItemSupport::new(ItemKind::Vlan, TABLE).whole(&[Vid, InnerType]),
        ItemSupport::new(ItemKind::Ipv4, TABLE).masked(&[Dst, Src]),
        ItemSupport::new(ItemKind::Ipv6, TABLE).masked(&[Dst, Src]),
        ItemSupport::new(ItemKind::Udp, TABLE).masked(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, TABLE).masked(&[Dst, Src]),
        ItemSupport::new(ItemKind::Nvgre, TABLE).whole(&[Tni]),
        // DPDK 22.11 has no such item.
        ItemSupport::new(ItemKind::Vf, TABLE.until(Release::OLDEST_SUPPORTED)),
        ItemSupport::new(ItemKind::Vxlan, TABLE).whole(&[Vni]),
        ItemSupport::new(ItemKind::Any, TRUFLOW),
        ItemSupport::new(ItemKind::Gre, TRUFLOW),
        ItemSupport::new(ItemKind::Icmp, TRUFLOW),
        ItemSupport::new(ItemKind::Icmp6, TRUFLOW),
        ItemSupport::new(ItemKind::PortId, TRUFLOW),
    ],
    actions: &[
        ActionSupport::new(ActionKind::End, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::Drop, TABLE),
        ActionSupport::new(ActionKind::Count, TABLE),
        ActionSupport::new(ActionKind::Vf, TABLE),
        ActionSupport::new(ActionKind::Rss, GUIDE.only("in a group other than 0")),
        ActionSupport::new(ActionKind::Mark, GUIDE),
        ActionSupport::new(ActionKind::Pf, TRUFLOW),
        ActionSupport::new(ActionKind::PortId, TRUFLOW),
        ActionSupport::new(ActionKind::Jump, TRUFLOW),
        ActionSupport::new(ActionKind::Meter, TRUFLOW),
        ActionSupport::new(ActionKind::Sample, TRUFLOW),
        ActionSupport::new(ActionKind::DecTtl, TRUFLOW),
        ActionSupport::new(ActionKind::OfPopVlan, TRUFLOW),
        ActionSupport::new(ActionKind::OfPushVlan, TRUFLOW),
        ActionSupport::new(ActionKind::SetIpv4Dst, TRUFLOW),
        ActionSupport::new(ActionKind::SetIpv4Src, TRUFLOW),
        ActionSupport::new(ActionKind::SetTpDst, TRUFLOW),
        ActionSupport::new(ActionKind::SetTpSrc, TRUFLOW),
        ActionSupport::new(ActionKind::VxlanDecap, TRUFLOW),
        ActionSupport::new(ActionKind::VxlanEncap, TRUFLOW),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: false,
        // They number the virtual NICs that `rss` makes, and order nothing.
        groups: true,
        priorities: 1,
        whole_protocol: false,
        evidence: Evidence::new(Release::LISTED, FILTERS),
    },
    rss: Rss {
        spread: Spread::Toeplitz {
            key: Access::Write,
            reta: Access::Write,
        },
        evidence: GUIDE,
        beside_rules: Some(Evidence::new(
            RSS_WITH_RULES,
            Source::Driver("commit d24610f7bfda of DPDK"),
        )),
        rule_queues: RuleQueues::Any,
    },
    isolation: None,
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
        rss_key_len: Some(Known::new(40, Source::Unconfirmed)),
        reta_lens: Some(Known::new(&[128], Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(Quirk::RssNotWithRules, TABLE.until(RSS_WITH_RULES)),
        NotedQuirk::new(
            Quirk::RssNeedsGroup,
            Evidence::new(
                Release::LISTED,
                Source::Driver("librte_net_bnxt 22.11: \"Group id is invalid\""),
            ),
        ),
        NotedQuirk::new(
            Quirk::FieldNeeded,
            Evidence::new(Release::CAPABILITY_TABLE, FILTERS),
        ),
        NotedQuirk::new(
            Quirk::VlanNotWithIp,
            Evidence::new(Release::CAPABILITY_TABLE, FILTERS),
        ),
        NotedQuirk::new(Quirk::NoIsolation, TABLE),
    ],
};
