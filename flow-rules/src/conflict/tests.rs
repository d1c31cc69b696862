//! Pairs of rules: which hide or contradict each other.

use super::*;

fn conflicts(rules: &[(&str, &str)]) -> Vec<String> {
    let rules: Vec<_> = rules
        .iter()
        .map(|(name, text)| NamedRule {
            name: (*name).to_owned(),
            rule: text.parse().unwrap(),
        })
        .collect();
    find(&rules).iter().map(ToString::to_string).collect()
}

/// How rules with these patterns at priorities 0 and 1 are related: hidden, or not.
fn hides(first: &str, second: &str) -> bool {
    let first = format!("ingress pattern {first} / end actions drop / end");
    let second = format!("priority 1 ingress pattern {second} / end actions queue index 0 / end");
    !conflicts(&[("first", &first), ("second", &second)]).is_empty()
}

/// Whether rules with these patterns at the same priority clash.
fn clash(first: &str, second: &str) -> bool {
    let first = format!("ingress pattern {first} / end actions drop / end");
    let second = format!("ingress pattern {second} / end actions queue index 0 / end");
    !conflicts(&[("first", &first), ("second", &second)]).is_empty()
}

#[test]
fn a_hidden_rule_is_named_with_the_one_that_hides_it() {
    let all = "ingress pattern eth / ipv4 / end actions drop / end";
    let web = "priority 2 ingress pattern eth / ipv4 / tcp dst is 80 / end \
               actions queue index 1 / end";
    assert_eq!(
        conflicts(&[("web", web), ("all of IPv4", all)]),
        [
            "rule `web` (#0) never matches: `all of IPv4` (#1) goes first and takes every packet \
          of it. Give `web` (#0) a lower priority number than `all of IPv4` (#1), or remove it"
        ]
    );
    let pass = "ingress pattern eth / ipv4 / end actions mark id 1 / passthru / end";
    assert!(conflicts(&[("web", web), ("pass", pass)]).is_empty());
    let elsewhere = "group 1 ingress pattern eth / ipv4 / end actions drop / end";
    assert!(conflicts(&[("web", web), ("elsewhere", elsewhere)]).is_empty());
    let sent = "egress pattern eth / ipv4 / end actions drop / end";
    assert!(conflicts(&[("web", web), ("sent", sent)]).is_empty());
}

#[test]
fn rules_of_one_priority_must_not_meet_with_different_fates() {
    let a = "ingress pattern eth / ipv4 / tcp src is 5 / end actions queue index 1 / end";
    let b = "ingress pattern eth / ipv4 / tcp dst is 6 / end actions queue index 2 / end";
    assert_eq!(
        conflicts(&[("a", a), ("b", b)]),
        [
            "rules `a` (#0) and `b` (#1) have priority 0 both, can match the same packet and do \
          different things with it. Give the one that is to win a lower priority number"
        ]
    );
    let same = "ingress pattern eth / ipv4 / tcp dst is 6 / end \
                actions count identifier 0 / queue index 1 / end";
    assert!(conflicts(&[("a", a), ("same fate", same)]).is_empty());
    assert_eq!(
        conflicts(&[("a", a), ("a again", a)]),
        ["rule `a again` (#1) says what `a` (#0) says: remove one"]
    );
}

#[test]
fn layers_cover_what_stands_on_them() {
    assert!(hides("eth", "ipv6 / udp"));
    assert!(hides("ipv4", "eth / ipv4 / udp / vxlan / eth"));
    assert!(hides("eth type is 0x0800", "eth / ipv4 / tcp"));
    assert!(hides("ipv4 proto is 6", "ipv4 / tcp dst is 80"));
    assert!(!hides("eth / ipv4 / tcp", "eth / ipv4"));
    assert!(!hides("eth / vlan / ipv4", "eth / ipv4"));
    assert!(!hides("eth / any / tcp", "eth / ipv4 / tcp"), "not certain");
    assert!(!hides("eth type is 0x0806", "eth / ipv4"));
}

#[test]
fn fields_cover_by_mask_and_range() {
    let net = "ipv4 dst spec 10.0.0.0 dst prefix 8";
    assert!(hides(net, "ipv4 dst is 10.1.2.3 / tcp"));
    assert!(hides(net, "ipv4 dst spec 10.1.0.0 dst prefix 16"));
    assert!(!hides(net, "ipv4 dst spec 10.0.0.0 dst prefix 7"));
    assert!(!hides(net, "ipv4 src is 10.1.2.3"));
    let ports = "ipv6 / tcp dst spec 80 dst last 90 dst mask 0xffff";
    assert!(hides(ports, "ipv6 / tcp dst is 90 src is 1"));
    assert!(!hides(ports, "ipv6 / tcp dst is 91"));
}

#[test]
fn what_excludes_each_other_does_not_clash() {
    assert!(!clash("eth / ipv4 / tcp", "eth / ipv4 / udp"));
    assert!(!clash("eth / ipv4 / tcp", "eth / ipv6 / tcp"));
    assert!(!clash("eth type is 0x0806", "ipv4"));
    assert!(!clash(
        "ipv4 / udp / vxlan vni is 5",
        "ipv4 / udp / vxlan vni is 6"
    ));
    assert!(!clash("port_id id is 0 / eth", "port_id id is 1 / eth"));
    assert!(clash("ipv4 / gre", "ipv4 / nvgre tni is 5"));
    assert!(clash("ipv6 / icmp6 type is 135", "ipv6 / icmp6_nd_ns"));
    assert!(clash("eth / any / tcp", "eth / ipv4 / tcp dst is 5"));
    let get = "ipv4 / tcp / raw relative is 1 pattern_hex is 474554";
    assert!(clash(get, "ipv4 / tcp"));
}

#[test]
fn inverted_rules_are_for_the_rest() {
    assert!(hides("invert / ipv4", "ipv6 / tcp"));
    assert!(!hides("invert / ipv4", "ipv4 / tcp"));
    assert!(!clash("invert / ipv4", "ipv4 / tcp"));
    assert!(clash("invert / ipv4 / tcp", "ipv4"));
    assert!(hides("invert / ipv4 / tcp", "invert / ipv4"));
    assert!(clash("invert / ipv4", "invert / ipv6"));
}

#[test]
fn a_loose_match_is_not_known_to_be_covered() {
    assert!(!hides("ipv4", "fuzzy thresh is 5 / ipv4 / tcp"));
    assert!(hides("fuzzy thresh is 5 / ipv4", "ipv4 / tcp"));
}

/// All sensible patterns of these parts, inverted and not.
fn patterns() -> Vec<FlowRule> {
    let l2 = [
        "",
        "eth / ",
        "eth type is 0x0800 / ",
        "eth type is 0x86dd / ",
    ];
    let l3 = [
        "",
        "ipv4 / ",
        "ipv6 / ",
        "ipv4 proto is 6 / ",
        "ipv6 proto is 17 / ",
    ];
    let l4 = [
        "",
        "tcp / ",
        "udp / ",
        "tcp dst is 1 / ",
        "tcp dst spec 0 dst mask 0x2 / ",
        "tcp dst spec 1 dst last 2 dst mask 0xffff / ",
    ];
    let mut rules = Vec::new();
    for invert in ["", "invert / "] {
        for (l2, l3, l4) in l2
            .iter()
            .flat_map(|a| l3.iter().map(move |b| (a, b)))
            .flat_map(|(a, b)| l4.iter().map(move |c| (a, b, c)))
        {
            let text = format!("ingress pattern {invert}{l2}{l3}{l4}end actions drop / end");
            rules.extend(text.parse::<FlowRule>());
        }
    }
    rules
}

type Packet = [(ItemKind, Vec<(&'static str, u128)>); 3];

/// Packets that differ in all that the patterns look at.
fn packets() -> Vec<Packet> {
    let mut packets = Vec::new();
    for (ip, ethertype) in [(ItemKind::Ipv4, 0x0800), (ItemKind::Ipv6, 0x86dd)] {
        for (l4, protocol) in [(ItemKind::Tcp, 6), (ItemKind::Udp, 17)] {
            for dst in 0..4 {
                let eth = (ItemKind::Eth, vec![("type", ethertype)]);
                packets.push([
                    eth,
                    (ip, vec![("proto", protocol)]),
                    (l4, vec![("dst", dst)]),
                ]);
            }
        }
    }
    packets
}

/// What rte_flow says that a pattern matches, by the letter.
fn matches(rule: &FlowRule, packet: &Packet) -> bool {
    let inverted = rule
        .items()
        .iter()
        .any(|item| item.kind() == ItemKind::Invert);
    let mut items = rule
        .items()
        .iter()
        .filter(|item| item.kind().is_layer())
        .peekable();
    let without_l2 = items
        .peek()
        .is_some_and(|item| item.kind() != ItemKind::Eth);
    let mut layers = packet.iter().skip(usize::from(without_l2));
    let matched = items.all(|item| {
        let (kind, values) = layers.next().unwrap();
        let admits = |field: &FieldMatch| {
            let mut values = values.iter();
            values.any(|&(name, value)| name == field.info.name && field.bits.admits(value))
        };
        *kind == item.kind() && item.matches().iter().all(admits)
    });
    matched != inverted
}

#[test]
fn cover_is_never_claimed_wrongly_and_overlap_never_missed() {
    let (rules, packets) = (patterns(), packets());
    assert!(rules.len() > 100, "{}", rules.len());
    let (mut covered, mut apart) = (0, 0);
    for (a, b) in rules.iter().flat_map(|a| rules.iter().map(move |b| (a, b))) {
        let (first, second) = (View::of(a), View::of(b));
        let mut met = packets.iter().filter(|packet| matches(b, packet));
        if first.covers(&second) {
            covered += 1;
            assert!(met.clone().all(|packet| matches(a, packet)), "{a}\n{b}");
        }
        if !first.overlaps(&second) {
            apart += 1;
            assert!(!met.any(|packet| matches(a, packet)), "{a}\n{b}");
        }
    }
    assert!(
        covered > 1000 && apart > 1000,
        "{covered} covered, {apart} apart"
    );
}

#[test]
fn a_set_has_no_conflicts() {
    let named = |name: &str, text: &str| NamedRule {
        name: name.to_owned(),
        rule: text.parse().unwrap(),
    };
    let tcp = named(
        "tcp",
        "ingress pattern ipv4 / tcp / end actions queue index 0 / end",
    );
    let rest = named(
        "rest",
        "priority 1 ingress pattern eth / end actions queue index 1 / end",
    );
    let set = RuleSet::new(vec![tcp.clone(), rest.clone()]).unwrap();
    assert_eq!(set[1], rest);
    let error = RuleSet::new(vec![tcp.clone(), rest, tcp]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rule `tcp` (#2) says what `tcp` (#0) says: remove one"
    );
}

/// Every pair that the shapes of rules let meet, and every conflict by brute force.
#[test]
fn no_conflict_is_missed_by_comparing_less() {
    let fates = ["drop", "queue index 1"];
    let mut rules = Vec::new();
    for (index, rule) in patterns().into_iter().enumerate() {
        let text = rule.to_string();
        let text = text.replace("actions drop", &format!("actions {}", fates[index % 2]));
        let rule = format!("priority {} {text}", index % 3);
        rules.push(NamedRule {
            name: index.to_string(),
            rule: rule.parse().unwrap(),
        });
    }
    let views: Vec<_> = rules.iter().map(|each| View::of(&each.rule)).collect();
    let name = |index: usize| RuleName {
        index,
        name: rules[index].name.clone(),
    };
    let mut expected = Vec::new();
    for second in 0..rules.len() {
        for first in 0..second {
            expected.extend(judge(&views, [first, second], name));
        }
    }
    assert!(expected.len() > 1000, "{}", expected.len());
    assert_eq!(find(&rules), expected);
    let mut met = 0;
    pairs::for_each(&views, |first, second| {
        assert!(first < second);
        met += 1;
    });
    assert!(met < rules.len() * rules.len() / 2, "{met}");
}

/// Ten thousand rules as an operator would have them: an address or a network each, with and without
/// ports. None need be compared, so that it takes a fraction of a second.
#[test]
fn many_rules_are_not_each_compared_with_each() {
    let (mut rules, each) = (Vec::new(), 2500);
    let mut add = |priority: u32, pattern: String| {
        let text =
            format!("priority {priority} ingress pattern {pattern} / end actions drop / end");
        rules.push(text.parse::<FlowRule>().expect(&text));
    };
    for index in 0..each {
        let (high, low) = (index / 256, index % 256);
        add(
            0,
            format!("eth / ipv4 dst is 10.1.{high}.{low} / tcp dst is 80"),
        );
        add(1, format!("eth / ipv4 dst is 10.2.{high}.{low} / udp"));
        add(
            2,
            format!("eth / ipv4 src spec 10.{high}.{low}.0 src prefix 24"),
        );
        add(0, format!("eth / ipv6 dst is fd00::{index:x} / tcp"));
    }
    let views: Vec<_> = rules.iter().map(View::of).collect();
    let mut met = 0;
    pairs::for_each(&views, |_, _| met += 1);
    assert_eq!(met, 0);
    let named = rules.into_iter().map(|rule| NamedRule {
        name: String::new(),
        rule,
    });
    assert_eq!(find(&named.collect::<Vec<_>>()), []);
}
