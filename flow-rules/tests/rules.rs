//! The rules in `rules.txt`, which are also put to testpmd where DPDK is (`dpdk-io`'s tests):
//! each is read and printed alike, and together they have everything that a rule can have.

use std::collections::BTreeSet;

use flow_rules::{ActionKind, Direction, FlowRule, HashFunction, ItemKind, RssType};

const RULES: &str = include_str!("rules.txt");

fn lines() -> impl Iterator<Item = &'static str> {
    let lines = RULES.lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn each_is_printed_as_it_was_read() {
    for line in lines() {
        match line.parse::<FlowRule>() {
            Ok(rule) => assert_eq!(rule.to_string(), line),
            Err(error) => panic!("{line}: {error}"),
        }
    }
}

#[test]
fn all_items_fields_and_actions_are_there() {
    let words: BTreeSet<&str> = RULES.split_whitespace().collect();
    let items = ItemKind::in_rules().map(ItemKind::name);
    let actions = ActionKind::in_rules().map(ActionKind::name);
    let directions = Direction::ALL.into_iter().map(Direction::name);
    let hashed = RssType::ALL.into_iter().map(RssType::name);
    let functions = HashFunction::ALL.into_iter().map(HashFunction::name);
    let functions = functions.filter(|&name| name != "default");
    for name in items
        .chain(actions)
        .chain(directions)
        .chain(hashed)
        .chain(functions)
    {
        assert!(words.contains(name), "{name}");
    }
    for kind in ItemKind::in_rules() {
        for field in kind.fields() {
            let rules = lines().filter_map(|line| line.parse::<FlowRule>().ok());
            let there = |rule: FlowRule| {
                let mut items = rule.items().iter().filter(|item| item.kind() == kind);
                items.any(|item| item.field(field.name).is_some())
            };
            assert!(rules.into_iter().any(there), "{kind} {}", field.name);
        }
    }
}

#[test]
fn what_testpmd_does_not_read_comes_last() {
    let rules = lines().map(|line| line.parse::<FlowRule>().unwrap());
    let readable: Vec<_> = rules.map(|rule| rule.is_testpmd_syntax()).collect();
    assert!(readable.is_sorted_by(|a, b| a >= b), "{readable:?}");
}
