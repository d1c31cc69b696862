//! Keeps the drivers' profiles and the capability table (`data/capability_table.txt`) equal.
//!
//! Each line of the table has its fact in the profile, each fact of a profile that says it is from
//! the table has its line, and at the table's release the profiles answer what the table says.

use std::collections::{BTreeMap, BTreeSet};

use flow_rules::driver::{
    Driver, Evidence, FieldSet, Known, Profile, Quirk, Release, Remark, RingThresholds, Source,
};
use flow_rules::{ActionKind, ItemKind};

const TABLE: &str = include_str!("data/capability_table.txt");
const THEN: Release = Release::CAPABILITY_TABLE;
const ALL_DRIVERS: &str = "all drivers";
/// Says that a list of items goes on.
const OPEN_LIST: &str = "item ...";

/// The table's lines by section, without comments.
fn sections() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut sections = BTreeMap::<_, Vec<_>>::new();
    let mut current = None;
    for line in TABLE.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').expect("a section ends in `]`");
            assert!(!sections.contains_key(name), "[{name}] stands twice");
            sections.insert(name, Vec::new());
            current = Some(name);
            continue;
        }
        let section = current.expect("a line before the first section");
        sections
            .get_mut(section)
            .expect("it was inserted")
            .push(line);
    }
    sections
}

/// The drivers that have a section.
fn drivers() -> impl Iterator<Item = (Driver, Vec<&'static str>)> {
    sections()
        .into_iter()
        .filter(|(name, _)| *name != ALL_DRIVERS)
        .map(|(name, lines)| (name.parse().expect("a driver"), lines))
}

/// The words after `keyword` of each line about all drivers that begins with it.
fn about_all(keyword: &str) -> Vec<Vec<&'static str>> {
    sections()[ALL_DRIVERS]
        .iter()
        .filter_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '))
        .map(|rest| rest.split_whitespace().collect())
        .collect()
}

/// The drivers on the one line about all drivers that begins with `keyword`.
fn named(keyword: &str) -> BTreeSet<Driver> {
    let lines = about_all(keyword);
    let [names] = lines.as_slice() else {
        panic!("not one line `{keyword}`");
    };
    names
        .iter()
        .map(|name| name.parse().expect("a driver"))
        .collect()
}

/// A line as the table would have it, if the fact is from the table.
fn line(fact: &str, evidence: Evidence, fields: FieldSet) -> Option<String> {
    let Source::CapabilityTable(remark) = evidence.source else {
        return None;
    };
    assert_eq!(
        evidence.since, THEN,
        "{fact}: from the table, but of another time"
    );
    Some(match remark {
        Remark::None => fact.to_owned(),
        Remark::Rare => format!("{fact} rare"),
        Remark::Newer => format!("{fact} newer"),
        Remark::Doubtful => format!("{fact} ?"),
        Remark::OnlyFields => format!("{fact} only {fields}"),
    })
}

/// All that a profile says is from the table, as the table would have it.
fn lines_of(profile: &Profile) -> Vec<String> {
    let mut lines = Vec::new();
    for item in profile.items {
        let fact = format!("item {}", item.kind);
        lines.extend(line(&fact, item.evidence, item.fields));
    }
    for action in profile.actions {
        let fact = format!("action {}", action.kind);
        lines.extend(line(&fact, action.evidence, FieldSet::EMPTY));
    }
    for offload in profile.rx_offloads {
        let fact = format!("rx-offload {}", offload.offload);
        lines.extend(line(&fact, offload.evidence, FieldSet::EMPTY));
    }
    for offload in profile.tx_offloads {
        let fact = format!("tx-offload {}", offload.offload);
        lines.extend(line(&fact, offload.evidence, FieldSet::EMPTY));
    }
    for noted in profile.quirks {
        let fact = match noted.quirk {
            Quirk::NoItem(item) => format!("no item {item}"),
            Quirk::NoAction(action) => format!("no action {action}"),
            Quirk::RssNotWithRules => "no rss-with-rules".to_owned(),
            // The table says these with a remark, or about all drivers.
            Quirk::RareItem(_) | Quirk::NewerAction(_) | Quirk::NoIsolation => continue,
            other => {
                let from_table = matches!(noted.evidence.source, Source::CapabilityTable(_));
                assert!(!from_table, "the table has no word for {other:?}");
                continue;
            }
        };
        lines.extend(line(&fact, noted.evidence, FieldSet::EMPTY));
    }
    lines.extend(limit_lines(profile));
    lines
}

fn limit_lines(profile: &Profile) -> Vec<String> {
    let limits = &profile.limits;
    let mut lines = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("limit {name} {value}")));
    };
    add("rx-queues", number(limits.rx_queues));
    add("tx-queues", number(limits.tx_queues));
    add("mac-addresses", number(limits.mac_addresses));
    add("rss-key", number(limits.rss_key_len));
    let lens = limits.reta_lens.map(|known| {
        let lens: Vec<_> = known.value.iter().map(u16::to_string).collect();
        Known::new(lens.join(" "), known.source)
    });
    add("reta", number(lens));
    add("frame", number(limits.frame_len));
    add("frame-overhead", number(limits.frame_overhead));
    for (ring, thresholds) in [("rx", limits.rx_thresholds), ("tx", limits.tx_thresholds)] {
        for (name, value) in thresholds.map(threshold_lines).into_iter().flatten() {
            add(&format!("{ring}-{name}-threshold"), value);
        }
    }
    lines
}

fn threshold_lines(known: Known<RingThresholds>) -> Vec<(&'static str, Option<String>)> {
    let RingThresholds {
        free,
        prefetch,
        host,
        write_back,
        report_status,
    } = known.value;
    let text = |value: u16| number(Some(Known::new(value, known.source)));
    vec![
        ("free", text(free)),
        ("prefetch", text(prefetch.into())),
        ("host", text(host.into())),
        ("write-back", text(write_back.into())),
        ("report-status", report_status.and_then(text)),
    ]
}

/// The number, if it is from the table.
fn number<T: ToString>(known: Option<Known<T>>) -> Option<String> {
    known
        .filter(|known| matches!(known.source, Source::CapabilityTable(_)))
        .map(|known| known.value.to_string())
}

#[test]
fn each_line_has_its_fact_and_each_fact_its_line() {
    for (driver, table) in drivers() {
        let facts = lines_of(driver.profile());
        for fact in &facts {
            assert!(
                table.contains(&fact.as_str()),
                "[{driver}] has no line `{fact}`, but its profile says so"
            );
        }
        for line in table.iter().filter(|line| **line != OPEN_LIST) {
            assert!(
                facts.iter().any(|fact| fact == line),
                "[{driver}] says `{line}`, but its profile does not"
            );
        }
        let lines = table.iter().filter(|line| **line != OPEN_LIST).count();
        assert_eq!(facts.len(), lines, "[{driver}] says something twice");
    }
}

#[test]
fn a_driver_without_a_section_says_nothing_of_the_table() {
    let in_table: BTreeSet<_> = drivers().map(|(driver, _)| driver).collect();
    for driver in Driver::all().filter(|driver| !in_table.contains(driver)) {
        assert_eq!(lines_of(driver.profile()), Vec::<String>::new(), "{driver}");
    }
}

#[test]
fn at_its_release_profiles_have_what_the_table_has_and_nothing_else() {
    for (driver, table) in drivers() {
        let profile = driver.profile();
        let has = |what: &str, word: &str| {
            table.iter().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(what) && words.next() == Some(word)
            })
        };
        for action in ActionKind::all() {
            assert_eq!(
                profile.supports_action(THEN, action).is_ok(),
                has("action", action.name()),
                "[{driver}] {action}"
            );
        }
        let open = table.contains(&OPEN_LIST);
        let mut left_out = 0;
        for item in ItemKind::all() {
            let in_profile = profile.item(THEN, item).is_ok();
            let in_table = has("item", item.name());
            left_out += usize::from(in_profile && !in_table);
            assert!(
                in_profile || !in_table,
                "[{driver}] {item} is not in the profile"
            );
        }
        assert_eq!(
            left_out > 0,
            open,
            "[{driver}] has {left_out} items beyond its list"
        );
        if table.iter().any(|line| line.starts_with("rx-offload")) {
            for offload in profile.rx_offloads(THEN) {
                assert!(has("rx-offload", offload.word()), "[{driver}] {offload}");
            }
        }
        if table.iter().any(|line| line.starts_with("tx-offload")) {
            for offload in profile.tx_offloads(THEN) {
                assert!(has("tx-offload", offload.word()), "[{driver}] {offload}");
            }
        }
        let no_rss = table.contains(&"no rss-with-rules");
        assert!(
            !(no_rss && profile.spreads_beside_rules(THEN)),
            "[{driver}]"
        );
    }
}

#[test]
fn what_the_table_says_of_all_drivers_holds() {
    let known = [
        "rules",
        "virtual-rules",
        "isolation",
        "widespread",
        "less-widespread",
        "no",
    ];
    for line in &sections()[ALL_DRIVERS] {
        let keyword = line.split_whitespace().next().expect("no line is empty");
        assert!(known.contains(&keyword), "nothing checks `{line}`");
    }
    let isolating: BTreeSet<_> = Driver::all()
        .filter(|driver| driver.profile().isolates(THEN))
        .collect();
    assert_eq!(isolating, named("isolation"));
    for words in about_all("no") {
        for driver in Driver::all() {
            assert!(!has_kind(driver, &words), "{driver} has {words:?}");
        }
    }
}

/// Whether the driver has the thing that the words name, such as `item icmp`.
fn has_kind(driver: Driver, words: &[&str]) -> bool {
    match words {
        ["item", word] => driver
            .profile()
            .item(THEN, word.parse().expect("an item"))
            .is_ok(),
        ["action", word] => driver
            .profile()
            .supports_action(THEN, word.parse().expect("an action"))
            .is_ok(),
        other => panic!("neither an item nor an action: {other:?}"),
    }
}

/// The table lists the drivers with rules; bonding it was not sure about, and inline IPsec is
/// no driver.
#[test]
fn the_drivers_with_rules_are_those_of_the_table() {
    let unsure = [Driver::Bonding, Driver::Ipsec];
    let with_rules: BTreeSet<_> = Driver::all()
        .filter(|driver| driver.profile().has_rules(THEN) || driver.follows_members())
        .filter(|driver| !unsure.contains(driver))
        .collect();
    assert_eq!(with_rules, named("rules"));
    let of_software: BTreeSet<_> = with_rules
        .into_iter()
        .filter(|driver| driver.is_virtual() && !driver.follows_members())
        .collect();
    assert_eq!(of_software, named("virtual-rules"));
}

#[test]
fn widespread_actions_are_those_of_most_drivers() {
    let drivers: Vec<_> = drivers().map(|(driver, _)| driver).collect();
    let count = |words: &[&str]| {
        drivers
            .iter()
            .filter(|driver| has_kind(**driver, words))
            .count()
    };
    let widespread = about_all("widespread");
    assert!(!widespread.is_empty());
    for words in &widespread {
        assert!(count(words) * 2 > drivers.len(), "{words:?}");
    }
    for less in about_all("less-widespread") {
        for words in &widespread {
            assert!(count(&less) < count(words), "{less:?} against {words:?}");
        }
    }
}
