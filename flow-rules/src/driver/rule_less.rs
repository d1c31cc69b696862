//! Drivers without rules: `net_virtio`, `net_ena`, `net_af_packet`, `net_af_xdp`, `net_memif`,
//! `net_vhost`, `net_ring`, `net_pcap`, `net_null`; and what is assumed of a driver that nobody
//! wrote a profile of.
//!
//! What they spread by themselves, if anything, decides how much software has to do. The first five,
//! but for ENA, were tried with testpmd 22.11.11 (virtio as `net_virtio_user` on `net_vhost`): `flow
//! validate` and `flow isolate` are not implemented, and no RSS key, table or flow type is told. The
//! next four only move frames between memory, files and virtual machines: the other end chooses the
//! queue of each.
//!
//! A driver without a profile runs all the same: less is promised of it than it may have, and what
//! is not promised is done by software. To guess would lose packets where the guess is wrong.

use super::{
    Access, Driver, Evidence, Known, Limits, NotedQuirk, OffloadSupport, Profile, Quirk, Release,
    Rss, RuleAttributes, RuleQueues, RxOffload, Source, Spread, TxOffload,
};

const OBSERVED: Source = Source::Observed("testpmd, `show port info` and `flow validate`");
const LIVE: Evidence = Evidence::new(Release::OLDEST_SUPPORTED, OBSERVED);
const UNCONFIRMED: Evidence = Evidence::new(Release::OLDEST_SUPPORTED, Source::Unconfirmed);
const BY_HOST: Evidence = LIVE.only("if the host offers it");
const ENA_GUIDE: Evidence = Evidence::new(
    Release::OLDEST_SUPPORTED,
    Source::Guide("nics/features/ena.ini"),
);
const NONE: RuleAttributes = RuleAttributes {
    ingress: false,
    egress: false,
    transfer: false,
    groups: false,
    priorities: 0,
    whole_protocol: false,
    evidence: UNCONFIRMED,
};
const OBSERVED_QUIRKS: &[NotedQuirk] = &[
    NotedQuirk::new(Quirk::NoRules, LIVE),
    NotedQuirk::new(Quirk::NoIsolation, LIVE),
    NotedQuirk::new(Quirk::SpreadElsewhere, LIVE),
];

const UNTRIED_QUIRKS: &[NotedQuirk] = &[
    NotedQuirk::new(Quirk::NoRules, UNCONFIRMED),
    NotedQuirk::new(Quirk::NoIsolation, UNCONFIRMED),
    NotedQuirk::new(Quirk::SpreadElsewhere, UNCONFIRMED),
];

/// A profile without rules, of which the rest is still to be told.
const fn without_rules(driver: Driver) -> Profile {
    Profile {
        driver,
        items: &[],
        actions: &[],
        attributes: NONE,
        rss: elsewhere("nobody"),
        isolation: None,
        rx_offloads: &[],
        tx_offloads: &[],
        limits: Limits::UNKNOWN,
        quirks: OBSERVED_QUIRKS,
    }
}

const fn elsewhere(by: &'static str) -> Rss {
    Rss {
        spread: Spread::Elsewhere { by },
        evidence: LIVE,
        beside_rules: None,
        rule_queues: RuleQueues::Never,
    }
}

/// The same of a port that was not tried.
const fn untried(by: &'static str) -> Rss {
    Rss {
        evidence: UNCONFIRMED,
        ..elsewhere(by)
    }
}

pub(super) static VIRTIO: Profile = Profile {
    rss: elsewhere("the host, unless it offers VIRTIO_NET_F_RSS"),
    rx_offloads: &[
        OffloadSupport::new(RxOffload::VlanStrip, LIVE),
        OffloadSupport::new(RxOffload::UdpCksum, BY_HOST),
        OffloadSupport::new(RxOffload::TcpCksum, BY_HOST),
        OffloadSupport::new(RxOffload::TcpLro, BY_HOST),
        OffloadSupport::new(RxOffload::Scatter, BY_HOST),
    ],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::VlanInsert, LIVE),
        OffloadSupport::new(TxOffload::MultiSegs, LIVE),
        OffloadSupport::new(TxOffload::UdpCksum, BY_HOST),
        OffloadSupport::new(TxOffload::TcpCksum, BY_HOST),
        OffloadSupport::new(TxOffload::TcpTso, UNCONFIRMED.only("if the host offers it")),
    ],
    limits: Limits {
        mac_addresses: Some(Known::new(64, OBSERVED)),
        rss_key_len: Some(Known::new(40, Source::Unconfirmed)),
        reta_lens: Some(Known::new(&[128], Source::Unconfirmed)),
        frame_len: Some(Known::new(9728, OBSERVED)),
        ..Limits::UNKNOWN
    },
    ..without_rules(Driver::Virtio)
};

pub(super) static ENA: Profile = Profile {
    rss: Rss {
        spread: Spread::Toeplitz {
            // Newer instances tell it and let it be set.
            key: Access::Hidden,
            reta: Access::Write,
        },
        evidence: ENA_GUIDE,
        ..elsewhere("the device")
    },
    rx_offloads: &[
        OffloadSupport::new(RxOffload::Ipv4Cksum, ENA_GUIDE),
        OffloadSupport::new(RxOffload::UdpCksum, ENA_GUIDE),
        OffloadSupport::new(RxOffload::TcpCksum, ENA_GUIDE),
        OffloadSupport::new(RxOffload::Scatter, ENA_GUIDE),
        OffloadSupport::new(RxOffload::RssHash, ENA_GUIDE),
    ],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::Ipv4Cksum, ENA_GUIDE),
        OffloadSupport::new(TxOffload::UdpCksum, ENA_GUIDE),
        OffloadSupport::new(TxOffload::TcpCksum, ENA_GUIDE),
        OffloadSupport::new(
            TxOffload::TcpTso,
            ENA_GUIDE.only("on instances that have it"),
        ),
    ],
    limits: Limits {
        mac_addresses: Some(Known::new(1, Source::Unconfirmed)),
        rss_key_len: Some(Known::new(40, Source::Unconfirmed)),
        reta_lens: Some(Known::new(&[128], Source::Unconfirmed)),
        ..Limits::UNKNOWN
    },
    quirks: &[
        NotedQuirk::new(Quirk::NoRules, UNCONFIRMED),
        NotedQuirk::new(Quirk::NoIsolation, UNCONFIRMED),
        NotedQuirk::new(Quirk::HashHidden, UNCONFIRMED),
    ],
    ..without_rules(Driver::Ena)
};

pub(super) static AF_PACKET: Profile = Profile {
    rss: elsewhere("the kernel's packet fan-out"),
    rx_offloads: &[OffloadSupport::new(RxOffload::VlanStrip, LIVE)],
    tx_offloads: &[
        OffloadSupport::new(TxOffload::VlanInsert, LIVE),
        OffloadSupport::new(TxOffload::MultiSegs, LIVE),
    ],
    limits: Limits {
        // With `qpairs=16`.
        rx_queues: Some(Known::new(16, Source::Unconfirmed)),
        tx_queues: Some(Known::new(16, Source::Unconfirmed)),
        mac_addresses: Some(Known::new(1, OBSERVED)),
        ..Limits::UNKNOWN
    },
    ..without_rules(Driver::AfPacket)
};

pub(super) static AF_XDP: Profile = Profile {
    rss: elsewhere("the interface's own driver in the kernel"),
    limits: Limits {
        mac_addresses: Some(Known::new(1, OBSERVED)),
        // With 4096-octet buffers, of which a head room is kept.
        frame_len: Some(Known::new(3560, OBSERVED)),
        ..Limits::UNKNOWN
    },
    ..without_rules(Driver::AfXdp)
};

pub(super) static MEMIF: Profile = Profile {
    rss: elsewhere("the peer"),
    tx_offloads: &[OffloadSupport::new(TxOffload::MultiSegs, LIVE)],
    limits: Limits {
        rx_queues: Some(Known::new(255, OBSERVED)),
        tx_queues: Some(Known::new(255, OBSERVED)),
        mac_addresses: Some(Known::new(1, OBSERVED)),
        ..Limits::UNKNOWN
    },
    ..without_rules(Driver::Memif)
};

pub(super) static VHOST: Profile = Profile {
    rss: untried("the virtual machine"),
    quirks: UNTRIED_QUIRKS,
    ..without_rules(Driver::Vhost)
};

pub(super) static RING: Profile = Profile {
    rss: untried("whoever fills the rings"),
    quirks: UNTRIED_QUIRKS,
    ..without_rules(Driver::Ring)
};

pub(super) static PCAP: Profile = Profile {
    rss: untried("the files: each queue has one"),
    quirks: UNTRIED_QUIRKS,
    ..without_rules(Driver::Pcap)
};

pub(super) static NULL: Profile = Profile {
    rss: untried("nobody: each queue makes frames of its own"),
    quirks: UNTRIED_QUIRKS,
    ..without_rules(Driver::Null)
};

pub(super) static UNKNOWN: Profile = Profile {
    rss: untried("the device, in a way of its own"),
    quirks: UNTRIED_QUIRKS,
    ..without_rules(Driver::Unknown)
};
