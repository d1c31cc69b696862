//! `net_enic`: Cisco VIC.
//!
//! What a device can do depends on its series: see the guide, nics/enic.html. Fields are any part
//! of any field, up to 64 octets of mask over all headers.

use super::FieldName::{
    Dst, Flags, Flow, FragmentOffset, Hop, InnerType, Proto, Src, Tc, Tci, Tos, Ttl, Type, Vni,
};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Remark, Rss, RuleAttributes, RuleQueues, RxOffload,
    Source, Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const TABLE: Evidence = Evidence::TABLE;
const NEWER: Evidence = Evidence::table(Remark::Newer)
    .only("on the 1300 series and later, with advanced filters switched on");
const GUIDE: Evidence = Evidence::new(
    Release::LISTED,
    Source::Guide("nics/enic.html and nics/features/enic.ini"),
);
const ADVANCED: Evidence =
    GUIDE.only("on the 1300 series and later, with advanced filters switched on");
const FLOW_MANAGER: Evidence = GUIDE.only("on the 1400 series and later, with the flow manager");

pub(super) static PROFILE: Profile = Profile {
    driver: Driver::Enic,
    items: &[
        ItemSupport::new(ItemKind::Eth, TABLE).masked(&[Dst, Src, Type]),
        ItemSupport::new(ItemKind::Vlan, TABLE).masked(&[Tci, InnerType]),
        ItemSupport::new(ItemKind::Ipv4, TABLE).masked(&[
            Dst,
            Src,
            Proto,
            Tos,
            Ttl,
            FragmentOffset,
        ]),
        ItemSupport::new(ItemKind::Ipv6, TABLE).masked(&[Dst, Src, Proto, Tc, Flow, Hop]),
        ItemSupport::new(ItemKind::Udp, TABLE).masked(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, TABLE).masked(&[Dst, Src, Flags]),
        ItemSupport::new(ItemKind::Sctp, TABLE).masked(&[Dst, Src]),
        ItemSupport::new(ItemKind::Vxlan, TABLE).masked(&[Vni]),
        ItemSupport::new(ItemKind::Raw, ADVANCED),
        ItemSupport::new(ItemKind::Geneve, FLOW_MANAGER),
        ItemSupport::new(ItemKind::GeneveOpt, FLOW_MANAGER),
        ItemSupport::new(ItemKind::Ecpri, FLOW_MANAGER),
        ItemSupport::new(ItemKind::Gtp, FLOW_MANAGER),
        ItemSupport::new(ItemKind::Gtpc, FLOW_MANAGER),
        ItemSupport::new(ItemKind::Gtpu, FLOW_MANAGER),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Queue, TABLE),
        ActionSupport::new(ActionKind::End, TABLE),
        ActionSupport::new(ActionKind::Flag, NEWER),
        ActionSupport::new(ActionKind::Mark, NEWER),
        ActionSupport::new(ActionKind::Drop, NEWER),
        ActionSupport::new(ActionKind::Void, GUIDE),
        ActionSupport::new(ActionKind::Rss, ADVANCED),
        ActionSupport::new(ActionKind::Passthru, ADVANCED),
        ActionSupport::new(ActionKind::Count, FLOW_MANAGER),
        ActionSupport::new(ActionKind::Jump, FLOW_MANAGER),
        ActionSupport::new(ActionKind::OfPopVlan, FLOW_MANAGER),
        ActionSupport::new(ActionKind::OfPushVlan, FLOW_MANAGER),
        ActionSupport::new(ActionKind::OfSetVlanPcp, FLOW_MANAGER),
        ActionSupport::new(ActionKind::OfSetVlanVid, FLOW_MANAGER),
        ActionSupport::new(ActionKind::PortId, FLOW_MANAGER),
        ActionSupport::new(ActionKind::PortRepresentor, FLOW_MANAGER),
        ActionSupport::new(ActionKind::RepresentedPort, FLOW_MANAGER),
        ActionSupport::new(ActionKind::VxlanDecap, FLOW_MANAGER),
        ActionSupport::new(ActionKind::VxlanEncap, FLOW_MANAGER),
    ],
    attributes: RuleAttributes {
        ingress: true,
        // The flow manager has egress and groups, but older series do not.
        egress: false,
        transfer: false,
        groups: false,
        priorities: 1,
        whole_protocol: true,
        evidence: GUIDE,
    },
    rss: Rss {
        spread: Spread::Toeplitz {
            key: Access::Write,
            reta: Access::Write,
        },
        evidence: GUIDE.only("if RSS is switched on in CIMC or UCSM"),
        beside_rules: Some(Evidence::new(
            Release::CAPABILITY_TABLE,
            Source::Unconfirmed,
        )),
        rule_queues: RuleQueues::WholePort,
    },
    isolation: None,
    rx_offloads: &[
        OffloadSupport::new(RxOffload::VlanStrip, GUIDE),
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
        rss_key_len: Some(Known::new(40, Source::Unconfirmed)),
        reta_lens: Some(Known::new(&[128], Source::Unconfirmed)),
        mac_addresses: Some(Known::new(64, Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(
            Quirk::NoAction(ActionKind::Rss),
            Evidence::table(Remark::Doubtful).until(Release::LISTED),
        ),
        NotedQuirk::new(
            Quirk::RssWholePortOnly,
            Evidence::new(Release::LISTED, Source::Unconfirmed),
        ),
        NotedQuirk::new(Quirk::NewerAction(ActionKind::Drop), NEWER),
        NotedQuirk::new(Quirk::NewerAction(ActionKind::Mark), NEWER),
        NotedQuirk::new(Quirk::NewerAction(ActionKind::Flag), NEWER),
        NotedQuirk::new(Quirk::NoIsolation, TABLE),
    ],
};
