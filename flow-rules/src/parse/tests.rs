//! What is read, what is refused, and that what was written is read back.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::field::all_ones;

fn error(text: &str) -> String {
    text.parse::<FlowRule>().unwrap_err().to_string()
}

#[test]
fn fields_and_attributes_come_in_any_order() {
    let a = "ingress priority 2 group 1 pattern eth type is 0x0800 dst is 2:0:0:0:0:1 / end \
             actions count / queue index 0x3 / end";
    let b = "group 1 priority 2 ingress pattern eth dst is 02:00:00:00:00:01 type is 2048 / end \
             actions count identifier 0 / queue index 3 / end";
    assert_eq!(a.parse::<FlowRule>().unwrap(), b.parse().unwrap());
}

#[test]
fn what_is_wrong_is_named() {
    for (text, message) in [
        (
            "pattern eth / end actions drop / end",
            "a rule is for one of ingress, egress and transfer: write one, before `pattern`",
        ),
        (
            "ingress pattern ether / end actions drop / end",
            "there is no item `ether`",
        ),
        (
            "ingress pattern eth / end actions explode / end",
            "there is no action `explode`",
        ),
        (
            "ingress pattern ipv6 / udp port is 5 / end actions drop / end",
            "item udp has no field `port` (it has: src, dst)",
        ),
        (
            "ingress pattern ipv6 / udp src spec 5 / end actions drop / end",
            "field src of item udp needs a value and what counts of it: write `src is ...`, \
             or `src spec ... src mask ...`",
        ),
        (
            "ingress pattern ipv4 src spec 10.0.0.1 src prefix 8 / end actions drop / end",
            "field src of item ipv4: 0xa000001 has bits that the mask 0xff000000 leaves out: \
             clear them, or widen the mask",
        ),
        (
            "ingress pattern vlan / end actions drop / end",
            "item 0, vlan, cannot come first: put it after eth, vlan, e_tag, any",
        ),
        (
            "ingress pattern eth / tcp / end actions drop / end",
            "item 1, tcp, cannot come after eth: put it after ipv4, ipv6, any",
        ),
        (
            "ingress pattern eth / end actions rss queues end / end",
            "action rss has no queue: name at least one, or use drop",
        ),
        (
            "ingress pattern eth / end actions queue index 65536 / end",
            "found `65536`, wanted a number that fits",
        ),
        (
            "ingress pattern eth / end actions drop",
            "the rule ends where / should be",
        ),
    ] {
        assert_eq!(error(text), message, "{text}");
    }
}

/// A comparison of a field in each of the ways there are.
fn field(info: FieldInfo) -> impl Strategy<Value = FieldMatch> {
    let all = all_ones(info.width);
    let parts = (
        any::<u128>(),
        option::of(any::<u128>()),
        any::<u128>(),
        0..3,
    );
    parts.prop_map(move |(spec, last, mask, way)| {
        let mask = match way {
            0 => all,
            1 => all >> (mask % u128::from(info.width)) as u32,
            _ => mask & all,
        };
        let mask = if mask == 0 { all } else { mask };
        let (spec, last) = (spec & mask, last.map(|last| last & mask));
        let ends = (
            spec.min(last.unwrap_or(spec)),
            last.map(|last| last.max(spec)),
        );
        let bits = Triple::new(ends.0, ends.1, mask, info.width).unwrap();
        FieldMatch { info, bits }
    })
}

fn item(kind: ItemKind) -> BoxedStrategy<Item> {
    if kind == ItemKind::Raw {
        let parts = (
            vec(any::<u8>(), 1..=Raw::MAX_LEN),
            any::<i32>(),
            option::of(any::<u16>()),
        );
        let raw = parts.prop_map(|(octets, offset, limit)| {
            Item::raw_bytes(Raw::new(octets, offset, offset < 0, limit).unwrap())
        });
        return raw.boxed();
    }
    let fields = kind.fields();
    let chosen = subsequence(fields.to_vec(), 0..=fields.len());
    chosen
        .prop_flat_map(|fields| fields.into_iter().map(field).collect::<Vec<_>>())
        .prop_map(move |fields| Item::new(kind, fields))
        .boxed()
}

/// Items of which each can stand where it does.
fn items() -> impl Strategy<Value = ItemList> {
    let candidates = vec(
        select(ItemKind::in_rules().collect::<Vec<_>>()).prop_flat_map(item),
        0..40,
    );
    candidates.prop_map(|candidates| {
        let mut list = Vec::new();
        for item in candidates {
            list.push(item);
            if ItemList::try_from(list.clone()).is_err() {
                list.pop();
            }
        }
        ItemList::try_from(list).unwrap()
    })
}

fn action() -> impl Strategy<Value = Action> {
    let rss = (
        vec(any::<u16>(), 1..=Rss::MAX_QUEUES),
        subsequence(RssType::ALL.to_vec(), 0..=RssType::ALL.len()),
        select(HashFunction::ALL.to_vec()),
        any::<u32>(),
        vec(any::<u8>(), 0..=Rss::MAX_KEY_LEN),
    );
    let rss = rss.prop_map(|(queues, types, function, level, key)| {
        let rss = Rss::new(queues).unwrap().types(types).level(level);
        let rss = rss.function(function);
        Action::Rss(rss.clone().key(key).unwrap_or(rss))
    });
    prop_oneof![
        any::<u16>().prop_map(|index| Action::Queue { index }),
        rss,
        Just(Action::Drop),
        Just(Action::Passthru),
        any::<u32>().prop_map(|group| Action::Jump { group }),
        Just(Action::Pf),
        (any::<u32>(), any::<bool>()).prop_map(|(id, original)| Action::Vf { id, original }),
        (any::<u32>(), any::<bool>()).prop_map(|(id, original)| Action::PortId { id, original }),
        any::<u16>().prop_map(|port| Action::PortRepresentor { port }),
        any::<u16>().prop_map(|port| Action::RepresentedPort { port }),
        any::<u32>().prop_map(|id| Action::Mark { id }),
        Just(Action::Flag),
        any::<u32>().prop_map(|id| Action::Count { id }),
        any::<u32>().prop_map(|id| Action::Meter { id }),
        any::<u16>().prop_map(|index| Action::Dup { index }),
        Just(Action::Security),
        Just(Action::Void),
    ]
}

fn rule() -> impl Strategy<Value = FlowRule> {
    let attributes = (any::<u32>(), any::<u32>(), select(Direction::ALL.to_vec()));
    let actions = vec(action(), 1..4);
    (attributes, items(), actions).prop_filter_map(
        "makes no sense",
        |((group, priority, direction), items, actions)| {
            let attributes = Attributes::of(direction).group(group).priority(priority);
            FlowRule::new(attributes, items, ActionList::try_from(actions).ok()?).ok()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_global_rejects: 100_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_rule_is_read_back_as_it_was_written(rule in rule()) {
        let text = rule.to_string();
        prop_assert_eq!(text.parse::<FlowRule>(), Ok(rule), "{}", text);
    }

    #[test]
    fn any_words_are_read_or_refused(words in vec(select(WORDS.to_vec()), 0..24)) {
        let text = words.join(" ");
        if let Ok(rule) = text.parse::<FlowRule>() {
            prop_assert_eq!(rule.to_string().parse::<FlowRule>(), Ok(rule));
        }
    }
}

/// Words of which texts can be made that come near to rules.
const WORDS: [&str; 24] = [
    "ingress", "pattern", "eth", "ipv4", "udp", "raw", "/", "end", "actions", "drop", "queue",
    "index", "rss", "queues", "dst", "is", "spec", "mask", "prefix", "1", "10.0.0.0", "0x", "key",
    "é",
];
