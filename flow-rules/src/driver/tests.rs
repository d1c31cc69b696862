use std::collections::BTreeSet;

use super::FieldName::{Dst, Src, Tci, Type, Vid};
use super::*;
use crate::kind::{ActionKind, ItemKind};

const TODAY: Release = Release::OLDEST_SUPPORTED;
const TABLE: Release = Release::CAPABILITY_TABLE;

#[test]
fn each_name_stands_at_its_driver() {
    for (index, driver) in Driver::all().enumerate() {
        assert_eq!(driver as usize, index, "{driver:?}");
        assert_eq!(driver.name().parse(), Ok(driver));
        assert_eq!(driver.profile().driver, driver);
    }
    let names: BTreeSet<_> = NAMES
        .iter()
        .flat_map(|(_, name, others)| [*name].into_iter().chain(others.iter().copied()))
        .collect();
    let count: usize = NAMES.iter().map(|(.., others)| 1 + others.len()).sum();
    assert_eq!(names.len(), count, "a name stands for two drivers");
}

#[test]
fn names_are_what_a_port_says() {
    for (name, driver) in [
        ("net_i40e", Driver::I40e),
        ("net_tap", Driver::Tap),
        ("mlx5_pci", Driver::Mlx5),
        ("net_virtio", Driver::Virtio),
        ("net_virtio_user", Driver::Virtio),
        ("net_af_packet", Driver::AfPacket),
        ("net_e1000_igb", Driver::Igb),
        ("igb", Driver::Igb),
    ] {
        assert_eq!(name.parse(), Ok(driver));
    }
}

#[test]
fn an_unknown_driver_is_named_with_those_that_are_known() {
    let error = "net_example".parse::<Driver>().expect_err("no profile");
    let text = error.to_string();
    assert!(text.starts_with("nothing is known of a driver `net_example`; known are net_tap,"));
    for driver in Driver::all().filter(|driver| *driver != Driver::Unknown) {
        assert!(text.contains(driver.name()), "{driver}");
    }
    assert!(!text.contains("unknown"), "that is not a name to give");
    assert_eq!(Driver::of_port("net_example"), Driver::Unknown);
    assert_eq!(Driver::of_port("net_ring"), Driver::Ring);
}

#[test]
fn a_virtual_device_is_named_after_its_driver() {
    let driver = Driver::of_virtual_device;
    assert_eq!(driver("net_af_packet12"), Some(Driver::AfPacket));
    assert_eq!(driver("net_tap0"), Some(Driver::Tap));
    assert_eq!(driver("0000:03:00.0"), None);
    assert_eq!(driver("net_af_packet_left"), None);
}

/// No release has two entries for the same thing, and fields that can be masked can be matched.
#[test]
fn facts_do_not_contradict_each_other() {
    for driver in Driver::all() {
        let profile = driver.profile();
        for release in [TABLE, Release::LISTED, TODAY, Release::new(26, 11)] {
            let items = profile
                .items
                .iter()
                .filter(|item| item.evidence.holds_in(release))
                .map(|item| item.kind);
            assert_unique(driver, release, items);
            let actions = profile
                .actions
                .iter()
                .filter(|action| action.evidence.holds_in(release))
                .map(|action| action.kind);
            assert_unique(driver, release, actions);
            assert_unique(driver, release, profile.rx_offloads(release));
            assert_unique(driver, release, profile.tx_offloads(release));
            let quirks: Vec<_> = profile.quirks(release).collect();
            for (index, quirk) in quirks.iter().enumerate() {
                assert!(!quirks[..index].contains(quirk), "{driver} {quirk:?} twice");
            }
        }
        for item in profile.items {
            assert!(
                item.fields.contains_all(item.maskable),
                "{driver} {}",
                item.kind
            );
        }
    }
}

fn assert_unique<T: Copy + Ord + fmt::Display>(
    driver: Driver,
    release: Release,
    all: impl Iterator<Item = T>,
) {
    let mut seen = BTreeSet::new();
    for one in all {
        assert!(seen.insert(one), "{driver} has {one} twice in {release}");
    }
}

#[test]
fn evidence_ends_after_it_began() {
    for driver in Driver::all() {
        let profile = driver.profile();
        let items = profile.items.iter().map(|item| item.evidence);
        let actions = profile.actions.iter().map(|action| action.evidence);
        let rx = profile.rx_offloads.iter().map(|offload| offload.evidence);
        let tx = profile.tx_offloads.iter().map(|offload| offload.evidence);
        let quirks = profile.quirks.iter().map(|quirk| quirk.evidence);
        let rest = [profile.rss.evidence, profile.attributes.evidence];
        for evidence in items
            .chain(actions)
            .chain(rx)
            .chain(tx)
            .chain(quirks)
            .chain(rest)
        {
            assert!(
                evidence.until.is_none_or(|until| evidence.since < until),
                "{driver} {evidence:?}"
            );
        }
    }
}

/// What a quirk says in words is what the profile says in data, in every release.
#[test]
fn quirks_agree_with_the_facts() {
    for driver in Driver::all() {
        let profile = driver.profile();
        for release in [TABLE, TODAY] {
            for quirk in profile.quirks(release) {
                let what = format!("{driver} in {release}: {quirk:?}");
                assert!(agrees(profile, release, quirk), "{what}");
            }
            let isolates = profile.isolates(release);
            let not_isolated = profile
                .quirks(release)
                .any(|quirk| quirk == Quirk::NoIsolation);
            let existed = not_isolated || isolates || release == TODAY;
            assert!(
                !existed || isolates != not_isolated,
                "{driver} in {release}"
            );
        }
        let silent = profile.quirks(TODAY).any(|quirk| quirk == Quirk::NoRules);
        let follows = driver.follows_members();
        assert_eq!(silent, !profile.has_rules(TODAY) && !follows, "{driver}");
    }
}

fn hides_hash(profile: &Profile) -> bool {
    let spread = profile.rss.spread;
    matches!(spread, Spread::Toeplitz { .. }) && !spread.is_computable()
}

#[test]
fn a_port_whose_queues_cannot_be_foreseen_says_so() {
    for driver in Driver::all() {
        let profile = driver.profile();
        let says = |quirk| profile.quirks(TODAY).any(|noted| noted == quirk);
        let elsewhere = matches!(profile.rss.spread, Spread::Elsewhere { .. });
        assert_eq!(says(Quirk::SpreadElsewhere), elsewhere, "{driver}");
        assert_eq!(says(Quirk::HashHidden), hides_hash(profile), "{driver}");
    }
}

fn agrees(profile: &Profile, release: Release, quirk: Quirk) -> bool {
    let rule_queues = profile.rss.rule_queues;
    match quirk {
        Quirk::NoRules => !profile.has_rules(release),
        Quirk::FollowsMembers => profile.driver.follows_members(),
        Quirk::NotADevice => profile.driver == Driver::Ipsec,
        Quirk::NoItem(item) => profile.item(release, item).is_err(),
        Quirk::NoAction(action) => profile.supports_action(release, action).is_err(),
        Quirk::RareItem(item) => profile
            .item(release, item)
            .is_ok_and(|item| item.evidence.condition.is_some()),
        Quirk::NewerAction(action) => profile
            .supports_action(release, action)
            .is_ok_and(|support| support.condition.is_some()),
        Quirk::EthDestinationOnly => profile
            .item(release, ItemKind::Eth)
            .is_ok_and(|eth| eth.fields == FieldSet::of(&[Dst])),
        Quirk::VlanTciOnly => profile.item(release, ItemKind::Vlan).is_ok_and(|vlan| {
            vlan.fields == FieldSet::of(&[Tci]) || vlan.fields == FieldSet::of(&[Vid])
        }),
        Quirk::NoIsolation => !profile.isolates(release),
        Quirk::RssNotWithRules => !profile.spreads_beside_rules(release),
        Quirk::RssWholePortOnly => rule_queues == RuleQueues::WholePort,
        Quirk::RssWithoutPattern => rule_queues == RuleQueues::Never,
        Quirk::RssRegion => rule_queues == RuleQueues::Region,
        Quirk::RssAlignedRegion => rule_queues == RuleQueues::AlignedRegion,
        Quirk::RssNeedsGroup => profile.attributes.groups,
        Quirk::FieldNeeded => !profile.attributes.whole_protocol,
        Quirk::PriorityNotWithUdpPort => profile.attributes.priorities > 1,
        Quirk::SpreadElsewhere => matches!(profile.rss.spread, Spread::Elsewhere { .. }),
        Quirk::HashHidden => hides_hash(profile),
        Quirk::VlanNotWithIp | Quirk::VlanNotLast => profile.item(release, ItemKind::Vlan).is_ok(),
        Quirk::FewerQueues => profile.limits.rx_queues.is_some(),
        Quirk::EthFirst => profile.item(release, ItemKind::Eth).is_ok(),
        Quirk::RssOwnKey
        | Quirk::RssUndocumented
        | Quirk::SameFields
        | Quirk::KernelClassifier
        | Quirk::RefusesLate => true,
    }
}

#[test]
fn each_quirk_is_a_sentence() {
    for driver in Driver::all() {
        for noted in driver.profile().quirks {
            let text = noted.quirk.to_string();
            assert!(
                text.len() > 20 && text.ends_with('.'),
                "{:?}: {text}",
                noted.quirk
            );
        }
    }
}

#[test]
fn what_is_odd_about_the_drivers_of_the_table() {
    let has = |driver: Driver, quirk| driver.profile().quirks(TABLE).any(|q| q == quirk);
    assert!(has(Driver::Bnxt, Quirk::RssNotWithRules));
    assert!(has(Driver::Enic, Quirk::NoAction(ActionKind::Rss)));
    assert!(has(Driver::Mlx4, Quirk::NoItem(ItemKind::Ipv6)));
    assert!(has(Driver::Mlx4, Quirk::EthDestinationOnly));
    assert!(has(Driver::Igb, Quirk::NoItem(ItemKind::Tcp)));
    assert!(has(Driver::Igb, Quirk::NoItem(ItemKind::Ipv6)));
    assert!(has(Driver::Enic, Quirk::NewerAction(ActionKind::Drop)));
    assert!(has(Driver::Enic, Quirk::NewerAction(ActionKind::Mark)));
    let isolating: Vec<_> = Driver::all()
        .filter(|driver| driver.profile().isolates(TABLE))
        .collect();
    assert_eq!(isolating, [Driver::Mlx4, Driver::Mlx5]);
}

#[test]
fn what_a_live_tap_device_is_known_for() {
    let tap = Driver::Tap.profile();
    assert_eq!(tap.limits.rx_queues.map(|known| known.value), Some(4));
    assert!(tap.supports_rss(TABLE, &[0, 1], 2).is_ok());
    assert!(tap.supports_rss(TODAY, &[0, 1], 2).is_err());
    let pcp = FieldSet::of(&[FieldName::Pcp]);
    assert!(tap.supports_item(TABLE, ItemKind::Vlan, pcp).is_ok());
    assert!(tap.supports_item(TODAY, ItemKind::Vlan, pcp).is_err());
    for quirk in [Quirk::FewerQueues, Quirk::RefusesLate] {
        assert!(tap.quirks(TODAY).any(|each| each == quirk));
        assert!(tap.quirks(TABLE).all(|each| each != quirk));
    }
}

#[test]
fn what_has_changed_since_the_table() {
    let bnxt = Driver::Bnxt.profile();
    assert!(!bnxt.spreads_beside_rules(Release::new(19, 8)));
    assert!(bnxt.spreads_beside_rules(Release::new(19, 11)));
    let enic = Driver::Enic.profile();
    assert!(enic.supports_action(TODAY, ActionKind::Rss).is_ok());
    assert!(enic.supports_rss(TODAY, &[0, 1], 4).is_err());
    assert!(enic.supports_rss(TODAY, &[0, 1, 2, 3], 4).is_ok());
    assert!(Driver::Tap.profile().isolates(TODAY));
    assert!(
        Driver::Sfc
            .profile()
            .supports_action(TODAY, ActionKind::Drop)
            .is_ok()
    );
    for driver in Driver::all() {
        let profile = driver.profile();
        for gone in [ItemKind::Vf, ItemKind::Pf, ItemKind::PhyPort] {
            assert!(profile.item(TODAY, gone).is_err(), "{driver} {gone}");
        }
        for gone in [RxOffload::CrcStrip, RxOffload::JumboFrame] {
            assert!(!profile.rx_offloads(TODAY).any(|offload| offload == gone));
        }
    }
}

#[test]
fn the_limits_of_the_700_series() {
    let limits = Driver::I40e.profile().limits;
    assert_eq!(limits.mtu(), Some(9702));
    assert_eq!(limits.mac_addresses.map(|known| known.value), Some(64));
    assert_eq!(limits.rss_key_len.map(|known| known.value), Some(52));
    assert_eq!(
        limits.reta_lens.map(|known| known.value),
        Some([128, 512].as_slice())
    );
    assert_eq!(Limits::UNKNOWN.mtu(), None);
}

#[test]
fn a_refusal_names_the_item_and_what_can_be_done() {
    let mlx4 = Driver::Mlx4.profile();
    for (refusal, text) in [
        (
            mlx4.supports_item(TODAY, ItemKind::Ipv6, FieldSet::EMPTY),
            "net_mlx4 has no `ipv6` item in DPDK 22.11",
        ),
        (
            mlx4.supports_item(TODAY, ItemKind::Eth, FieldSet::of(&[Src, Dst])),
            "net_mlx4 does not match src of `eth`: it matches dst",
        ),
        (
            mlx4.supports_partial_mask(TODAY, ItemKind::Ipv4, FieldSet::of(&[Dst])),
            "net_mlx4 does not match a part of dst of `ipv4`: give the whole value",
        ),
        (
            mlx4.supports_action(TODAY, ActionKind::Mark),
            "net_mlx4 has no `mark` action in DPDK 22.11",
        ),
        (
            mlx4.supports_rss(TODAY, &[1, 2], 4),
            "net_mlx4 cannot spread a rule's packets over these queues: it takes consecutive \
             queues whose number is a power of two, the first of them a multiple of that number",
        ),
        (
            Driver::Sfc
                .profile()
                .supports_action(TABLE, ActionKind::Drop),
            "net_sfc_efx has no `drop` action in DPDK 18.02; DPDK 21.02 has it",
        ),
        (
            Driver::Memif
                .profile()
                .supports_item(TODAY, ItemKind::Eth, FieldSet::EMPTY),
            "net_memif has no flow rules",
        ),
    ] {
        assert_eq!(refusal.expect_err(text).to_string(), text);
    }
}

#[test]
fn support_tells_its_condition_and_whether_it_is_sure() {
    let enic = Driver::Enic.profile();
    let drop = enic
        .supports_action(TODAY, ActionKind::Drop)
        .expect("it has");
    assert!(drop.condition.is_some_and(|text| text.contains("1300")));
    assert!(drop.confirmed);
    let tap = Driver::Tap.profile();
    let eth = FieldSet::of(&[Dst, Type]);
    assert_eq!(
        tap.supports_item(TODAY, ItemKind::Eth, eth),
        Ok(Support {
            condition: None,
            confirmed: true
        })
    );
    assert!(
        tap.supports_partial_mask(TODAY, ItemKind::Ipv6, FieldSet::of(&[Dst]))
            .is_ok()
    );
    assert!(
        tap.supports_partial_mask(TODAY, ItemKind::Eth, eth)
            .is_err()
    );
}
