//! `net_sfc_efx`: Solarflare, now AMD.
//!
//! Fields are from the guide, nics/sfc_efx.html: everything is matched as a whole, but for a
//! destination MAC address of which the group bit alone may be matched.

use super::FieldName::{Dst, InnerType, Proto, Protocol, Src, Tni, Type, Vid, Vni};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Rss, RuleAttributes, RuleQueues, RxOffload, Source,
    Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const GUIDE: Evidence = Evidence::new(Release::LISTED, Source::Guide("nics/features/sfc.ini"));
const SWITCH: Evidence = GUIDE.only("in rules for the device's switch");

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Sfc,
    items: &[
        ItemSupport::new(ItemKind::End, TABLE),
        ItemSupport::new(ItemKind::Void, TABLE),
        ItemSupport::new(ItemKind::Eth, TABLE).whole(&[Dst, Src, Type]),
        ItemSupport::new(ItemKind::Vlan, TABLE).whole(&[Vid, InnerType]),
        ItemSupport::new(ItemKind::Ipv4, TABLE).whole(&[Dst, Src, Proto]),
        ItemSupport::new(ItemKind::Ipv6, TABLE).whole(&[Dst, Src, Proto]),
        ItemSupport::new(ItemKind::Udp, TABLE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, TABLE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Vxlan, GUIDE).whole(&[Vni]),
        ItemSupport::new(ItemKind::Nvgre, GUIDE).whole(&[Tni]),
        ItemSupport::new(ItemKind::Geneve, GUIDE).whole(&[Vni, Protocol]),
        ItemSupport::new(ItemKind::Pppoed, GUIDE),
        ItemSupport::new(ItemKind::Pppoes, GUIDE),
        ItemSupport::new(ItemKind::Mark, SWITCH),
        ItemSupport::new(ItemKind::PortId, SWITCH),
        ItemSupport::new(ItemKind::PortRepresentor, SWITCH),
        ItemSupport::new(ItemKind::RepresentedPort, SWITCH),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Rss, TABLE),
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::Void, TABLE),
        ActionSupport::new(ActionKind::End, TABLE),
        ActionSupport::new(ActionKind::Drop, GUIDE),
        ActionSupport::new(ActionKind::Flag, GUIDE),
        ActionSupport::new(ActionKind::Mark, GUIDE),
        ActionSupport::new(ActionKind::Count, SWITCH),
        ActionSupport::new(ActionKind::Indirect, SWITCH),
        ActionSupport::new(ActionKind::Jump, SWITCH),
        ActionSupport::new(ActionKind::OfDecNwTtl, SWITCH),
        ActionSupport::new(ActionKind::OfPopVlan, SWITCH),
        ActionSupport::new(ActionKind::OfPushVlan, SWITCH),
        ActionSupport::new(ActionKind::OfSetVlanPcp, SWITCH),
        ActionSupport::new(ActionKind::OfSetVlanVid, SWITCH),
        ActionSupport::new(ActionKind::DecTtl, SWITCH),
        ActionSupport::new(ActionKind::SetMacDst, SWITCH),
        ActionSupport::new(ActionKind::SetMacSrc, SWITCH),
        ActionSupport::new(ActionKind::Pf, SWITCH),
        ActionSupport::new(ActionKind::Vf, SWITCH),
        ActionSupport::new(ActionKind::PortId, SWITCH),
        ActionSupport::new(ActionKind::PortRepresentor, SWITCH),
        ActionSupport::new(ActionKind::RepresentedPort, SWITCH),
        ActionSupport::new(ActionKind::VxlanDecap, SWITCH),
        ActionSupport::new(ActionKind::VxlanEncap, SWITCH),
    ],
    attributes: RuleAttributes {
        ingress: true,
        egress: false,
        transfer: true,
        groups: false,
        priorities: 1,
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
    isolation: Some(Evidence::new(
        Release::OLDEST_SUPPORTED,
        Source::Driver("librte_net_sfc 22.11: \"isolated mode is active on the port\""),
    )),
    rx_offloads: &[
        // A matter of the MTU alone since.
        OffloadSupport::new(RxOffload::JumboFrame, TABLE.until(Release::new(21, 11))),
        OffloadSupport::new(RxOffload::CrcStrip, TABLE.until(Release::new(18, 11))),
        OffloadSupport::new(RxOffload::Ipv4Cksum, TABLE),
        OffloadSupport::new(RxOffload::UdpCksum, TABLE),
        OffloadSupport::new(RxOffload::TcpCksum, TABLE),
        OffloadSupport::new(RxOffload::Scatter, GUIDE),
        OffloadSupport::new(RxOffload::RssHash, GUIDE),
    ],
    tx_offloads: &[
        OffloadSupport::new(
            TxOffload::VlanInsert,
            GUIDE.only("with a firmware that has it"),
        ),
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
    quirks: &[NotedQuirk::new(
        Quirk::NoIsolation,
        TABLE.until(Release::OLDEST_SUPPORTED),
    )],
};
