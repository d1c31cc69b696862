//! Reads rules in the syntax of testpmd: what the [display](crate::display) writes, with fields and
//! attributes in any order.
//!
//! A field needs a value and what counts of it: `is`, or `spec` with `mask` or `prefix`. testpmd
//! also takes a `spec` alone, and leaves it to the driver what counts; this reader does not.

use core::str::{FromStr, SplitWhitespace};

use crate::action::{Action, ActionKind, ActionList};
use crate::field::{FieldInfo, FieldMatch, MatchError, Triple, prefix_mask};
use crate::item::{Item, ItemKind, Raw};
use crate::pattern::ItemList;
use crate::rss::{HashFunction, Rss, RssType};
use crate::rule::{Attributes, Direction, FlowRule, RuleError};

impl FromStr for FlowRule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = Words {
            rest: text.split_whitespace(),
        };
        let attributes = parse_attributes(&mut words)?;
        let mut items = Vec::new();
        while let Some(item) = parse_item(&mut words)? {
            items.push(item);
        }
        words.expect("actions")?;
        let mut actions = Vec::new();
        while let Some(action) = parse_action(&mut words)? {
            actions.push(action);
        }
        if let Some(word) = words.rest.next() {
            return Err(ParseError::Unexpected {
                word: word.to_owned(),
                wanted: "nothing after the actions",
            });
        }
        let items = ItemList::try_from(items).map_err(RuleError::from)?;
        let actions = ActionList::try_from(actions).map_err(RuleError::from)?;
        Ok(Self::new(attributes, items, actions)?)
    }
}

/// Text that is not a rule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// A word where another should be.
    #[error("found `{word}`, wanted {wanted}")]
    Unexpected {
        /// The word.
        word: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The text ends too early.
    #[error("the rule ends where {0} should be")]
    Ended(&'static str),
    /// The direction is missing, or there twice.
    #[error("a rule is for one of ingress, egress and transfer: write one, before `pattern`")]
    Direction,
    /// No item or action has this name.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What it was taken for.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The item has no such field.
    #[error("item {item} has no field `{field}` (it has: {})", names(*item))]
    UnknownField {
        /// The item.
        item: ItemKind,
        /// The field.
        field: String,
    },
    /// A value or mask is missing.
    #[error(
        "field {field} of item {item} needs a value and what counts of it: write `{field} is ...`, \
         or `{field} spec ... {field} mask ...`"
    )]
    Incomplete {
        /// The item.
        item: ItemKind,
        /// The field.
        field: &'static str,
    },
    /// The parts of a field do not fit.
    #[error("field {field} of item {item}: {source}")]
    Match {
        /// The item.
        item: ItemKind,
        /// The field.
        field: &'static str,
        /// Why.
        source: MatchError,
    },
    /// The parts of the rule do not fit.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

fn names(item: ItemKind) -> String {
    let names: Vec<_> = item.fields().iter().map(|field| field.name).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

struct Words<'a> {
    rest: SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self, wanted: &'static str) -> Result<&'a str, ParseError> {
        self.rest.next().ok_or(ParseError::Ended(wanted))
    }

    fn expect(&mut self, wanted: &'static str) -> Result<(), ParseError> {
        let word = self.next(wanted)?;
        if word == wanted {
            return Ok(());
        }
        Err(unexpected(word, wanted))
    }

    fn number<T: TryFrom<u128>>(&mut self, wanted: &'static str) -> Result<T, ParseError> {
        let word = self.next(wanted)?;
        number(word).ok_or_else(|| unexpected(word, wanted))
    }

    /// The words up to `end`.
    fn list(&mut self, wanted: &'static str) -> Result<Vec<&'a str>, ParseError> {
        let mut words = Vec::new();
        loop {
            match self.next(wanted)? {
                "end" => return Ok(words),
                word => words.push(word),
            }
        }
    }
}

fn unexpected(word: &str, wanted: &'static str) -> ParseError {
    ParseError::Unexpected {
        word: word.to_owned(),
        wanted,
    }
}

fn number<T: TryFrom<u128>>(word: &str) -> Option<T> {
    let value = match word.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => word.parse(),
    };
    T::try_from(value.ok()?).ok()
}

fn octets(word: &str) -> Option<Vec<u8>> {
    let digits = word.as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = core::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits
        .len()
        .is_multiple_of(2)
        .then(|| pairs.collect())
        .flatten()
}

fn parse_attributes(words: &mut Words<'_>) -> Result<Attributes, ParseError> {
    let (mut group, mut priority, mut direction) = (0, 0, None);
    loop {
        let word = words.next("`pattern`")?;
        let named = Direction::ALL.into_iter().find(|each| each.name() == word);
        match (word, named) {
            ("pattern", _) => break,
            ("group", _) => group = words.number("the number of a group")?,
            ("priority", _) => priority = words.number("a priority")?,
            (_, Some(named)) if direction.is_none() => direction = Some(named),
            (_, Some(_)) => return Err(ParseError::Direction),
            _ => return Err(unexpected(word, "an attribute or `pattern`")),
        }
    }
    let direction = direction.ok_or(ParseError::Direction)?;
    Ok(Attributes::of(direction).group(group).priority(priority))
}

/// The next item with the `/` after it; `None` at the end of the pattern.
fn parse_item(words: &mut Words<'_>) -> Result<Option<Item>, ParseError> {
    let name = words.next("an item or `end`")?;
    if name == "end" {
        return Ok(None);
    }
    let kind = ItemKind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or_else(|| ParseError::Unknown {
        what: "item",
        name: name.to_owned(),
    })?;
    if kind == ItemKind::Raw {
        return parse_raw(words).map(Some);
    }
    let mut fields: Vec<FieldText> = Vec::new();
    loop {
        let name = words.next("a field or `/`")?;
        if name == "/" {
            break;
        }
        let info = kind.fields().iter().find(|field| field.name == name);
        let info = *info.ok_or_else(|| ParseError::UnknownField {
            item: kind,
            field: name.to_owned(),
        })?;
        let same = fields.iter().position(|field| field.info == info);
        let index = same.unwrap_or_else(|| {
            fields.push(FieldText::of(info));
            fields.len() - 1
        });
        fields[index].read(kind, words)?;
    }
    let matches: Result<Vec<_>, _> = fields.iter().map(|field| field.finish(kind)).collect();
    Ok(Some(Item::new(kind, matches?)))
}

/// The parts of a field that were read so far.
struct FieldText {
    info: FieldInfo,
    spec: Option<u128>,
    last: Option<u128>,
    mask: Option<u128>,
}

impl FieldText {
    fn of(info: FieldInfo) -> Self {
        Self {
            info,
            spec: None,
            last: None,
            mask: None,
        }
    }

    fn read(&mut self, item: ItemKind, words: &mut Words<'_>) -> Result<(), ParseError> {
        let width = self.info.width;
        let part = words.next("`is`, `spec`, `last`, `mask` or `prefix`")?;
        if part == "prefix" {
            let len = words.number("the length of a prefix")?;
            let mask = prefix_mask(len, width);
            self.mask = Some(mask.map_err(|source| self.bad(item, source))?);
            return Ok(());
        }
        let word = words.next("a value")?;
        let value = self.info.format.parse(word);
        let value = value.ok_or_else(|| unexpected(word, "a value of the field's kind"))?;
        match part {
            "is" => {
                let exact = Triple::exact(value, width);
                (self.spec, self.mask) = (Some(exact.spec), Some(exact.mask));
            }
            "spec" => self.spec = Some(value),
            "last" => self.last = Some(value),
            "mask" => self.mask = Some(value),
            _ => return Err(unexpected(part, "`is`, `spec`, `last`, `mask` or `prefix`")),
        }
        Ok(())
    }

    fn finish(&self, item: ItemKind) -> Result<FieldMatch, ParseError> {
        let (Some(spec), Some(mask)) = (self.spec, self.mask) else {
            return Err(ParseError::Incomplete {
                item,
                field: self.info.name,
            });
        };
        let bits = Triple::new(spec, self.last, mask, self.info.width);
        Ok(FieldMatch {
            info: self.info,
            bits: bits.map_err(|source| self.bad(item, source))?,
        })
    }

    fn bad(&self, item: ItemKind, source: MatchError) -> ParseError {
        ParseError::Match {
            item,
            field: self.info.name,
            source,
        }
    }
}

fn parse_raw(words: &mut Words<'_>) -> Result<Item, ParseError> {
    let (mut relative, mut search) = (0_u8, 0_u8);
    let (mut offset, mut limit, mut found) = (0_u32, 0, Vec::new());
    loop {
        let name = words.next("a field or `/`")?;
        if name == "/" {
            break;
        }
        words.expect("is")?;
        match name {
            "relative" => relative = words.number("0 or 1")?,
            "search" => search = words.number("0 or 1")?,
            "offset" => offset = words.number("an offset")?,
            "limit" => limit = words.number("a number of octets")?,
            "pattern_hex" => {
                let word = words.next("octets in hexadecimal")?;
                found = octets(word).ok_or_else(|| unexpected(word, "octets in hexadecimal"))?;
            }
            _ => {
                return Err(unexpected(
                    name,
                    "a field of item raw (`pattern_hex`, `offset` ...)",
                ));
            }
        }
    }
    let limit = (search != 0).then_some(limit);
    let raw = Raw::new(found, offset.cast_signed(), relative != 0, limit);
    Ok(Item::raw_bytes(raw.map_err(RuleError::from)?))
}

/// The next action with the `/` after it; `None` at the end of the actions.
fn parse_action(words: &mut Words<'_>) -> Result<Option<Action>, ParseError> {
    let name = words.next("an action or `end`")?;
    if name == "end" {
        return Ok(None);
    }
    let kind = ActionKind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or_else(|| ParseError::Unknown {
        what: "action",
        name: name.to_owned(),
    })?;
    let action = match kind {
        ActionKind::Rss => return parse_rss(words).map(Some),
        ActionKind::Count => return parse_count(words).map(Some),
        ActionKind::Vf => {
            let (original, id) = parse_original(words)?;
            Action::Vf { id, original }
        }
        ActionKind::PortId => {
            let (original, id) = parse_original(words)?;
            Action::PortId { id, original }
        }
        ActionKind::Queue => Action::Queue {
            index: parse_number(words, "index")?,
        },
        ActionKind::Dup => Action::Dup {
            index: parse_number(words, "index")?,
        },
        ActionKind::Jump => Action::Jump {
            group: parse_number(words, "group")?,
        },
        ActionKind::PortRepresentor => Action::PortRepresentor {
            port: parse_number(words, "port_id")?,
        },
        ActionKind::RepresentedPort => Action::RepresentedPort {
            port: parse_number(words, "ethdev_port_id")?,
        },
        ActionKind::Mark => Action::Mark {
            id: parse_number(words, "id")?,
        },
        ActionKind::Meter => Action::Meter {
            id: parse_number(words, "mtr_id")?,
        },
        ActionKind::Drop => Action::Drop,
        ActionKind::Passthru => Action::Passthru,
        ActionKind::Pf => Action::Pf,
        ActionKind::Flag => Action::Flag,
        ActionKind::Security => Action::Security,
        ActionKind::Void => Action::Void,
    };
    words.expect("/")?;
    Ok(Some(action))
}

fn parse_number<T: TryFrom<u128>>(
    words: &mut Words<'_>,
    name: &'static str,
) -> Result<T, ParseError> {
    words.expect(name)?;
    words.number("a number that fits")
}

fn parse_count(words: &mut Words<'_>) -> Result<Action, ParseError> {
    let id = match words.next("`identifier` or `/`")? {
        "/" => return Ok(Action::Count { id: 0 }),
        "identifier" => words.number("the number of a counter")?,
        word => return Err(unexpected(word, "`identifier` or `/`")),
    };
    words.expect("/")?;
    Ok(Action::Count { id })
}

fn parse_original(words: &mut Words<'_>) -> Result<(bool, u32), ParseError> {
    let original = match words.next("`id` or `original`")? {
        "id" => return Ok((false, words.number("a number")?)),
        "original" => match words.next("`on` or `off`")? {
            "on" | "1" => true,
            "off" | "0" => false,
            word => return Err(unexpected(word, "`on` or `off`")),
        },
        word => return Err(unexpected(word, "`id` or `original`")),
    };
    Ok((original, parse_number(words, "id")?))
}

fn parse_rss(words: &mut Words<'_>) -> Result<Action, ParseError> {
    let (mut queues, mut types, mut key) = (Vec::new(), Vec::new(), None);
    let (mut function, mut level) = (HashFunction::Default, 0);
    loop {
        match words.next("`queues`, `types` or `/`")? {
            "/" => break,
            "queues" => {
                for word in words.list("`end` of the queues")? {
                    queues.push(number(word).ok_or_else(|| unexpected(word, "a queue"))?);
                }
            }
            "types" => {
                for word in words.list("`end` of the types")? {
                    let mut all = RssType::ALL.into_iter();
                    match all.find(|each| each.name() == word) {
                        Some(found) => types.push(found),
                        None if word == "none" => {}
                        None => return Err(unexpected(word, "a type of packets to hash")),
                    }
                }
            }
            "func" => {
                let word = words.next("a hash function")?;
                let mut all = HashFunction::ALL.into_iter();
                let found = all.find(|each| each.name() == word);
                function = found.ok_or_else(|| unexpected(word, "a hash function"))?;
            }
            "level" => level = words.number("a level")?,
            "key" => {
                let word = words.next("a key in hexadecimal")?;
                let octets = octets(word);
                key = Some(octets.ok_or_else(|| unexpected(word, "a key in hexadecimal"))?);
            }
            "key_len" => {
                let len: usize = words.number("the length of the key")?;
                if key.as_ref().is_none_or(|key| key.len() != len) {
                    return Err(unexpected(
                        &len.to_string(),
                        "the length of the key before it",
                    ));
                }
            }
            word => {
                return Err(unexpected(
                    word,
                    "a part of action rss (`queues`, `types` ...)",
                ));
            }
        }
    }
    let rss = Rss::new(queues).map_err(RuleError::from)?;
    let rss = rss.types(types).function(function).level(level);
    let rss = match key {
        Some(key) => rss.key(key).map_err(RuleError::from)?,
        None => rss,
    };
    Ok(Action::Rss(rss))
}

#[cfg(test)]
mod tests {
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
        let candidates = vec(select(ItemKind::ALL.to_vec()).prop_flat_map(item), 0..40);
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
            (any::<u32>(), any::<bool>())
                .prop_map(|(id, original)| Action::PortId { id, original }),
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
        "index", "rss", "queues", "dst", "is", "spec", "mask", "prefix", "1", "10.0.0.0", "0x",
        "key", "é",
    ];
}
