//! Rules as text, in the syntax of testpmd's `flow` command (DPDK 22.11).
//!
//! A rule prints what comes after the port in `flow create PORT ...`; [`Command`] prints whole
//! commands. What DPDK dropped before 22.11 (items `pf`, `vf`, `phy_port`, action `dup`) and what
//! testpmd never had (action `security`) print alike, though that testpmd does not take them:
//! [`FlowRule::is_testpmd_syntax`].

use core::fmt;

use crate::action::Action;
use crate::field::{FieldMatch, Format, all_ones, prefix_mask};
use crate::item::{Item, Raw};
use crate::kind::ActionKind;
use crate::rss::{HashFunction, Rss};
use crate::rule::{Attributes, FlowRule};

/// A command of testpmd.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command<'a> {
    /// Asks whether the device takes a rule.
    Validate {
        /// The port.
        port: u16,
        /// The rule.
        rule: &'a FlowRule,
    },
    /// Installs a rule. testpmd numbers them from 0.
    Create {
        /// The port.
        port: u16,
        /// The rule.
        rule: &'a FlowRule,
    },
    /// Shows the counter of a rule.
    Query {
        /// The port.
        port: u16,
        /// testpmd's number of the rule.
        number: u32,
    },
    /// Removes a rule.
    Destroy {
        /// The port.
        port: u16,
        /// testpmd's number of the rule.
        number: u32,
    },
    /// Removes all rules.
    Flush {
        /// The port.
        port: u16,
    },
    /// Keeps all packets from the port that no rule brings to it.
    Isolate {
        /// The port.
        port: u16,
        /// Or not any more.
        on: bool,
    },
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validate { port, rule } => write!(f, "flow validate {port} {rule}"),
            Self::Create { port, rule } => write!(f, "flow create {port} {rule}"),
            Self::Query { port, number } => write!(f, "flow query {port} {number} count"),
            Self::Destroy { port, number } => write!(f, "flow destroy {port} rule {number}"),
            Self::Flush { port } => write!(f, "flow flush {port}"),
            Self::Isolate { port, on } => write!(f, "flow isolate {port} {}", u8::from(*on)),
        }
    }
}

impl FlowRule {
    /// Whether testpmd of DPDK 22.11 and later can read it.
    pub fn is_testpmd_syntax(&self) -> bool {
        let items = self.items().iter().map(Item::kind);
        let actions = self.actions().iter().map(Action::kind);
        items.clone().all(|kind| kind.replaced_by().is_none())
            && actions
                .clone()
                .all(|kind| ![ActionKind::Dup, ActionKind::Security].contains(&kind))
    }
}

impl fmt::Display for FlowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pattern ", self.attributes())?;
        for item in self.items().iter() {
            write!(f, "{item} / ")?;
        }
        f.write_str("end actions ")?;
        for action in self.actions().iter() {
            write!(f, "{action} / ")?;
        }
        f.write_str("end")
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group_number() != 0 {
            write!(f, "group {} ", self.group_number())?;
        }
        if self.priority_number() != 0 {
            write!(f, "priority {} ", self.priority_number())?;
        }
        f.write_str(self.direction().name())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())?;
        for field in self.matches() {
            write!(f, " {field}")?;
        }
        match self.raw() {
            Some(raw) => write!(f, " {raw}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FieldMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, format, bits) = (self.info.name, self.info.format, self.bits);
        let full = bits.mask == all_ones(self.info.width);
        if full && bits.last.is_none() {
            write!(f, "{name} is ")?;
            return format.write(bits.spec, f);
        }
        write!(f, "{name} spec ")?;
        format.write(bits.spec, f)?;
        if let Some(last) = bits.last {
            write!(f, " {name} last ")?;
            format.write(last, f)?;
        }
        let len = bits.mask.count_ones();
        let is_address = matches!(format, Format::Ipv4 | Format::Ipv6);
        if is_address && prefix_mask(len, self.info.width) == Ok(bits.mask) {
            return write!(f, " {name} prefix {len}");
        }
        write!(f, " {name} mask ")?;
        match format {
            Format::Number => Format::Hex.write(bits.mask, f),
            other => other.write(bits.mask, f),
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let search = u8::from(self.search_limit().is_some());
        let limit = self.search_limit().unwrap_or(0);
        // testpmd reads the signed offset as an unsigned number of 32 bits.
        let (relative, offset) = (u8::from(self.is_relative()), self.offset().cast_unsigned());
        write!(
            f,
            "relative is {relative} search is {search} offset is {offset} limit is {limit} \
             pattern_hex is {}",
            Octets(self.octets())
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind().name();
        let original = |original| if original { " original on" } else { "" };
        match self {
            Self::Queue { index } | Self::Dup { index } => write!(f, "{name} index {index}"),
            Self::Rss(rss) => write!(f, "{name} {rss}"),
            Self::Jump { group } => write!(f, "{name} group {group}"),
            Self::Vf { id, original: o } | Self::PortId { id, original: o } => {
                write!(f, "{name}{} id {id}", original(*o))
            }
            Self::PortRepresentor { port } => write!(f, "{name} port_id {port}"),
            Self::RepresentedPort { port } => write!(f, "{name} ethdev_port_id {port}"),
            Self::Mark { id } => write!(f, "{name} id {id}"),
            Self::Count { id } => write!(f, "{name} identifier {id}"),
            Self::Meter { id } => write!(f, "{name} mtr_id {id}"),
            Self::Drop | Self::Passthru | Self::Pf | Self::Flag | Self::Security | Self::Void => {
                f.write_str(name)
            }
        }
    }
}

impl fmt::Display for Rss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hash_function() != HashFunction::Default {
            write!(f, "func {} ", self.hash_function().name())?;
        }
        if self.hash_level() != 0 {
            write!(f, "level {} ", self.hash_level())?;
        }
        // Left out, testpmd would put the types of its port there.
        f.write_str("types")?;
        for hashed in self.hashed() {
            write!(f, " {}", hashed.name())?;
        }
        if self.hashed().is_empty() {
            f.write_str(" none")?;
        }
        f.write_str(" end")?;
        if let Some(key) = self.hash_key() {
            write!(f, " key {} key_len {}", Octets(key), key.len())?;
        }
        f.write_str(" queues")?;
        for queue in self.queues() {
            write!(f, " {queue}")?;
        }
        f.write_str(" end")
    }
}

/// Octets in hexadecimal.
pub(crate) struct Octets<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actions, Eth, Ipv4, Ipv6, Mac, Match, Pattern, Protocol, RssType, Tcp, Vf};

    #[test]
    fn all_ways_to_compare_a_field_are_told_apart() {
        let pattern = Pattern::new()
            .then(Eth::any().matching(
                Eth::DST,
                Match::masked(Mac([1, 0, 0, 0, 0, 0]), Mac([1, 0, 0, 0, 0, 0])).unwrap(),
            ))
            .then(
                Ipv4::with(Ipv4::TTL, 1)
                    .matching(Ipv4::SRC, Match::prefix([10, 0, 0, 0].into(), 8).unwrap())
                    .matching(
                        Ipv4::DST,
                        Match::masked([0, 0, 0, 1].into(), [0, 0, 0, 255].into()).unwrap(),
                    ),
            )
            .then(
                Tcp::any()
                    .matching(Tcp::DST, Match::range(80, 89).unwrap())
                    .matching(Tcp::FLAGS, Match::masked(2, 0x12).unwrap()),
            );
        let attributes = Attributes::ingress().group(1).priority(2);
        let rule = FlowRule::new(attributes, pattern, Actions::new().drop()).unwrap();
        assert_eq!(
            rule.to_string(),
            "group 1 priority 2 ingress pattern \
             eth dst spec 01:00:00:00:00:00 dst mask 01:00:00:00:00:00 / \
             ipv4 ttl is 1 src spec 10.0.0.0 src prefix 8 dst spec 0.0.0.1 dst mask 0.0.0.255 / \
             tcp dst spec 80 dst last 89 dst mask 0xffff flags spec 0x2 flags mask 0x12 / end \
             actions drop / end"
        );
        assert!(rule.is_testpmd_syntax());
    }

    #[test]
    fn rss_prints_what_is_not_the_default() {
        let rss = Rss::new([3, 1]).unwrap();
        assert_eq!(rss.to_string(), "types none end queues 3 1 end");
        let rss = rss
            .types([RssType::Ipv6Tcp, RssType::Ipv4Tcp])
            .function(HashFunction::SymmetricToeplitz)
            .level(1)
            .key([0x6d, 0x5a])
            .unwrap();
        assert_eq!(
            rss.to_string(),
            "func symmetric_toeplitz level 1 types ipv4-tcp ipv6-tcp end key 6d5a key_len 2 \
             queues 3 1 end"
        );
    }

    #[test]
    fn what_dpdk_dropped_is_known_not_to_be_readable() {
        let rule = |pattern: Pattern<_>, actions: Actions<_>| {
            FlowRule::new(Attributes::transfer(), pattern, actions).unwrap()
        };
        let there = Pattern::new().then(Ipv6::any());
        let gone = there.clone().given(Vf::with(Vf::ID, 1));
        assert!(!rule(gone, Actions::new().drop()).is_testpmd_syntax());
        assert!(!rule(there, Actions::new().security().drop()).is_testpmd_syntax());
    }

    #[test]
    fn commands_name_their_port() {
        let rule = FlowRule::new(
            Attributes::ingress(),
            Pattern::new(),
            Actions::new().queue(0),
        );
        let rule = &rule.unwrap();
        assert_eq!(
            Command::Validate { port: 3, rule }.to_string(),
            "flow validate 3 ingress pattern end actions queue index 0 / end"
        );
        assert_eq!(
            Command::Isolate { port: 3, on: true }.to_string(),
            "flow isolate 3 1"
        );
    }
}
