//! Reads rules in the syntax of testpmd: what the [display](crate::display) writes, with fields and
//! attributes in any order.
//!
//! A field needs a value and what counts of it: `is`, or `spec` with `mask` or `prefix`. testpmd
//! also takes a `spec` alone, and leaves it to the driver what counts; this reader does not.

use core::str::{FromStr, SplitWhitespace};

use crate::action::{Action, ActionList};
use crate::field::{FieldInfo, FieldMatch, MatchError, Triple, prefix_mask};
use crate::item::{Item, Raw};
use crate::kind::{ActionKind, ItemKind};
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
    let kind = ItemKind::in_rules().find(|kind| kind.name() == name);
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
    let unknown = || ParseError::Unknown {
        what: "action",
        name: name.to_owned(),
    };
    let action = match name.parse().map_err(|_| unknown())? {
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
        _ => return Err(unknown()),
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
mod tests;
