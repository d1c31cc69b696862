//! `net_ice`: Intel 800 series; `net_iavf`: a virtual function of an Intel 700 or 800.
//!
//! Rules become entries of the flow director or of the switch; the virtual function asks the
//! physical one for them. Items and actions are from the drivers' pages of features, fields from
//! DPDK's test plans (dts/test_plans/ice_fdir_test_plan.html and ice_iavf_fdir_test_plan.html),
//! queues of the `rss` action from what the drivers say when they refuse.

use super::FieldName::{
    Dst, Hop, InnerType, Proto, Spa, Spi, Src, Tc, Tci, Teid, Tni, Tos, Tpa, Ttl, Type, Vni,
};
use super::{
    Access, ActionSupport, Driver, Evidence, ItemSupport, Known, Limits, NotedQuirk,
    OffloadSupport, Profile, Quirk, Release, Rss, RuleAttributes, RuleQueues, RxOffload, Source,
    Spread, TxOffload,
};
use crate::kind::{ActionKind, ItemKind};

const GUIDE: Evidence = Evidence::new(
    Release::LISTED,
    Source::Guide("nics/features/ice.ini and iavf.ini"),
);
/// What the package of protocols loaded into the device decides.
const BY_PACKAGE: Evidence = GUIDE.only("with a DDP package that knows the protocol");
const BY_SWITCH: Evidence = GUIDE.only("in rules of the device's switch");
const REFUSALS: Source =
    Source::Driver("what librte_net_ice and librte_net_iavf 22.11 say when they refuse");
const REGION: NotedQuirk =
    NotedQuirk::new(Quirk::RssRegion, Evidence::new(Release::LISTED, REFUSALS));
const FIELD_NEEDED: NotedQuirk = NotedQuirk::new(
    Quirk::FieldNeeded,
    Evidence::new(Release::LISTED, Source::Unconfirmed),
);
const NO_ISOLATION: NotedQuirk = NotedQuirk::new(
    Quirk::NoIsolation,
    Evidence::new(Release::LISTED, Source::Unconfirmed),
);
const RSS: Rss = Rss {
    spread: Spread::Toeplitz {
        key: Access::Write,
        reta: Access::Write,
    },
    evidence: GUIDE,
    beside_rules: Some(Evidence::new(Release::LISTED, Source::Unconfirmed)),
    rule_queues: RuleQueues::Region,
};
const RX_OFFLOADS: &[OffloadSupport<RxOffload>] = &[
    OffloadSupport::new(RxOffload::VlanStrip, GUIDE),
    OffloadSupport::new(RxOffload::VlanFilter, GUIDE),
    OffloadSupport::new(RxOffload::Ipv4Cksum, GUIDE),
    OffloadSupport::new(RxOffload::UdpCksum, GUIDE),
    OffloadSupport::new(RxOffload::TcpCksum, GUIDE),
    OffloadSupport::new(RxOffload::Scatter, GUIDE),
    OffloadSupport::new(RxOffload::RssHash, GUIDE),
];
const TX_OFFLOADS: &[OffloadSupport<TxOffload>] = &[
    OffloadSupport::new(TxOffload::VlanInsert, GUIDE),
    OffloadSupport::new(TxOffload::Ipv4Cksum, GUIDE),
    OffloadSupport::new(TxOffload::UdpCksum, GUIDE),
    OffloadSupport::new(TxOffload::TcpCksum, GUIDE),
    OffloadSupport::new(TxOffload::SctpCksum, GUIDE),
    OffloadSupport::new(TxOffload::TcpTso, GUIDE),
];
const LIMITS: Limits = Limits {
    mac_addresses: Some(Known::new(64, Source::Unconfirmed)),
    rss_key_len: Some(Known::new(52, Source::Unconfirmed)),
    frame_len: Some(Known::new(9728, Source::Unconfirmed)),
    frame_overhead: Some(Known::new(26, Source::Unconfirmed)),
    ..Limits::UNKNOWN
};
const ATTRIBUTES: RuleAttributes = RuleAttributes {
    ingress: true,
    egress: false,
    transfer: false,
    groups: false,
    priorities: 1,
    whole_protocol: false,
    evidence: Evidence::new(Release::LISTED, Source::Unconfirmed),
};

pub(super) static ICE: Profile = Profile {
    driver: Driver::Ice,
    items: &[
        ItemSupport::new(ItemKind::Eth, GUIDE)
            .masked(&[Dst, Src])
            .whole(&[Type]),
        ItemSupport::new(ItemKind::Vlan, GUIDE).whole(&[Tci, InnerType]),
        ItemSupport::new(ItemKind::Ipv4, GUIDE)
            .masked(&[Dst, Src])
            .whole(&[Proto, Tos, Ttl]),
        ItemSupport::new(ItemKind::Ipv6, GUIDE)
            .masked(&[Dst, Src])
            .whole(&[Proto, Tc, Hop]),
        ItemSupport::new(ItemKind::Udp, GUIDE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, GUIDE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Sctp, GUIDE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Arp, GUIDE),
        ItemSupport::new(ItemKind::Icmp, GUIDE),
        ItemSupport::new(ItemKind::Icmp6, GUIDE),
        ItemSupport::new(ItemKind::Vxlan, GUIDE).whole(&[Vni]),
        ItemSupport::new(ItemKind::Nvgre, GUIDE).whole(&[Tni]),
        ItemSupport::new(ItemKind::Gtpu, BY_PACKAGE).whole(&[Teid]),
        ItemSupport::new(ItemKind::GtpPsc, BY_PACKAGE),
        ItemSupport::new(ItemKind::Esp, BY_PACKAGE).whole(&[Spi]),
        ItemSupport::new(ItemKind::Ah, BY_PACKAGE).whole(&[Spi]),
        ItemSupport::new(ItemKind::L2tpv3oip, BY_PACKAGE),
        ItemSupport::new(ItemKind::Pfcp, BY_PACKAGE),
        ItemSupport::new(ItemKind::Pppoed, BY_PACKAGE),
        ItemSupport::new(ItemKind::Pppoes, BY_PACKAGE),
        ItemSupport::new(ItemKind::PppoeProtoId, BY_PACKAGE),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Queue, GUIDE),
        ActionSupport::new(ActionKind::Rss, GUIDE),
        ActionSupport::new(ActionKind::Drop, GUIDE),
        ActionSupport::new(ActionKind::Mark, GUIDE),
        ActionSupport::new(ActionKind::Count, GUIDE),
        ActionSupport::new(ActionKind::Passthru, GUIDE),
        ActionSupport::new(ActionKind::Vf, BY_SWITCH),
    ],
    attributes: RuleAttributes {
        // Priority 0 is the switch's, priority 1 the flow director's.
        priorities: 2,
        ..ATTRIBUTES
    },
    rss: RSS,
    isolation: None,
    rx_offloads: RX_OFFLOADS,
    tx_offloads: TX_OFFLOADS,
    limits: Limits {
        reta_lens: Some(Known::new(&[512, 2048], Source::Unconfirmed)),
        ..LIMITS
    },
    quirks: &[REGION, FIELD_NEEDED, NO_ISOLATION],
};

pub(super) static IAVF: Profile = Profile {
    driver: Driver::Iavf,
    items: &[
        ItemSupport::new(ItemKind::Eth, GUIDE).whole(&[Type]),
        ItemSupport::new(ItemKind::Vlan, GUIDE).whole(&[Tci]),
        ItemSupport::new(ItemKind::Ipv4, GUIDE).whole(&[Dst, Src, Proto, Tos, Ttl]),
        ItemSupport::new(ItemKind::Ipv6, GUIDE).whole(&[Dst, Src, Proto, Tc, Hop]),
        ItemSupport::new(ItemKind::Udp, GUIDE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Tcp, GUIDE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Sctp, GUIDE).whole(&[Dst, Src]),
        ItemSupport::new(ItemKind::Arp, GUIDE).whole(&[Spa, Tpa]),
        ItemSupport::new(ItemKind::Icmp, GUIDE),
        ItemSupport::new(ItemKind::Icmp6, GUIDE),
        ItemSupport::new(ItemKind::Gtpc, BY_PACKAGE),
        ItemSupport::new(ItemKind::Gtpu, BY_PACKAGE).whole(&[Teid]),
        ItemSupport::new(ItemKind::GtpPsc, BY_PACKAGE),
        ItemSupport::new(ItemKind::Esp, BY_PACKAGE).whole(&[Spi]),
        ItemSupport::new(ItemKind::Ah, BY_PACKAGE).whole(&[Spi]),
        ItemSupport::new(ItemKind::L2tpv3oip, BY_PACKAGE),
        ItemSupport::new(ItemKind::Pfcp, BY_PACKAGE),
        ItemSupport::new(ItemKind::Ecpri, BY_PACKAGE),
    ],
    actions: &[
        ActionSupport::new(ActionKind::Queue, GUIDE),
        ActionSupport::new(ActionKind::Rss, GUIDE),
        ActionSupport::new(ActionKind::Drop, GUIDE),
        ActionSupport::new(ActionKind::Mark, GUIDE),
        ActionSupport::new(ActionKind::Count, GUIDE),
        ActionSupport::new(ActionKind::Passthru, GUIDE),
    ],
    attributes: ATTRIBUTES,
    rss: RSS,
    isolation: None,
    rx_offloads: RX_OFFLOADS,
    tx_offloads: TX_OFFLOADS,
    limits: Limits {
        // More if the physical function grants it.
        rx_queues: Some(Known::new(16, Source::Unconfirmed)),
        reta_lens: Some(Known::new(&[64, 512], Source::Unconfirmed)),
        ..LIMITS
    },
    quirks: &[REGION, FIELD_NEEDED, NO_ISOLATION],
};
