//! Sets of header fields, by the names that testpmd gives them.

use core::fmt;
use core::str::FromStr;

/// A field of a pattern item. Items share names: `dst` is a MAC address, an IP address or a port,
/// depending on the item it stands with.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FieldName {
    /// Destination address or port.
    Dst,
    /// Source address or port.
    Src,
    /// EtherType, or type of an ICMP message.
    Type,
    /// Whether a VLAN tag follows.
    HasVlan,
    /// All of a VLAN tag's control information.
    Tci,
    /// VLAN id.
    Vid,
    /// VLAN priority.
    Pcp,
    /// VLAN drop eligible indicator.
    Dei,
    /// EtherType behind a VLAN tag.
    InnerType,
    /// IPv4 type of service.
    Tos,
    /// IPv4 time to live.
    Ttl,
    /// Protocol in an IP header.
    Proto,
    /// IPv4 fragment offset and flags.
    FragmentOffset,
    /// IPv6 traffic class.
    Tc,
    /// IPv6 flow label.
    Flow,
    /// IPv6 hop limit.
    Hop,
    /// Code of an ICMP message.
    Code,
    /// TCP flags.
    Flags,
    /// SCTP verification tag.
    Tag,
    /// SCTP checksum.
    Cksum,
    /// VXLAN or Geneve network identifier.
    Vni,
    /// NVGRE subnet identifier.
    Tni,
    /// Protocol in a tunnel header.
    Protocol,
    /// MPLS label.
    Label,
    /// GTP tunnel endpoint identifier.
    Teid,
    /// Security parameters index.
    Spi,
    /// Group and base of an E-tag.
    GrpEcidB,
    /// ARP sender hardware address.
    Sha,
    /// ARP sender protocol address.
    Spa,
    /// ARP target hardware address.
    Tha,
    /// ARP target protocol address.
    Tpa,
    /// Raw octets.
    Pattern,
    /// How loosely to match.
    Thresh,
    /// Number of a port, function or mark.
    Id,
    /// Value of a tag or of metadata.
    Data,
}

impl FieldName {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        WORDS.iter().map(|&(field, _)| field)
    }

    /// What testpmd calls it.
    pub const fn word(self) -> &'static str {
        WORDS[self as usize].1
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that names no field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no field that a driver profile speaks of; fields are called as in testpmd")]
pub struct UnknownField(pub String);

impl FromStr for FieldName {
    type Err = UnknownField;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|field| field.word() == word)
            .ok_or_else(|| UnknownField(word.to_owned()))
    }
}

/// A set of fields of one item.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct FieldSet(u64);

impl FieldSet {
    /// No field: the item is matched by its presence.
    pub const EMPTY: Self = Self(0);

    /// These fields.
    pub const fn of(fields: &[FieldName]) -> Self {
        let mut bits = 0;
        let mut rest = fields;
        while let [field, others @ ..] = rest {
            bits |= 1 << *field as u64;
            rest = others;
        }
        Self(bits)
    }

    /// What is in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is here and not there.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a field is in it.
    pub const fn contains(self, field: FieldName) -> bool {
        self.0 & (1 << field as u64) != 0
    }

    /// Whether all that is in `other` is here, too.
    pub const fn contains_all(self, other: Self) -> bool {
        other.without(self).is_empty()
    }

    /// Its fields, in order.
    pub fn iter(self) -> impl Iterator<Item = FieldName> {
        FieldName::all().filter(move |&field| self.contains(field))
    }
}

impl FromIterator<FieldName> for FieldSet {
    fn from_iter<T: IntoIterator<Item = FieldName>>(fields: T) -> Self {
        fields
            .into_iter()
            .fold(Self::EMPTY, |set, field| set.union(Self::of(&[field])))
    }
}

impl fmt::Display for FieldSet {
    /// `dst, src`; `nothing` if it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (index, field) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            field.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// In the order of the variants.
const WORDS: [(FieldName, &str); 35] = [
    (FieldName::Dst, "dst"),
    (FieldName::Src, "src"),
    (FieldName::Type, "type"),
    (FieldName::HasVlan, "has_vlan"),
    (FieldName::Tci, "tci"),
    (FieldName::Vid, "vid"),
    (FieldName::Pcp, "pcp"),
    (FieldName::Dei, "dei"),
    (FieldName::InnerType, "inner_type"),
    (FieldName::Tos, "tos"),
    (FieldName::Ttl, "ttl"),
    (FieldName::Proto, "proto"),
    (FieldName::FragmentOffset, "fragment_offset"),
    (FieldName::Tc, "tc"),
    (FieldName::Flow, "flow"),
    (FieldName::Hop, "hop"),
    (FieldName::Code, "code"),
    (FieldName::Flags, "flags"),
    (FieldName::Tag, "tag"),
    (FieldName::Cksum, "cksum"),
    (FieldName::Vni, "vni"),
    (FieldName::Tni, "tni"),
    (FieldName::Protocol, "protocol"),
    (FieldName::Label, "label"),
    (FieldName::Teid, "teid"),
    (FieldName::Spi, "spi"),
    (FieldName::GrpEcidB, "grp_ecid_b"),
    (FieldName::Sha, "sha"),
    (FieldName::Spa, "spa"),
    (FieldName::Tha, "tha"),
    (FieldName::Tpa, "tpa"),
    (FieldName::Pattern, "pattern"),
    (FieldName::Thresh, "thresh"),
    (FieldName::Id, "id"),
    (FieldName::Data, "data"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use FieldName::{Dst, Src, Type};

    #[test]
    fn each_word_stands_at_its_field() {
        for (index, field) in FieldName::all().enumerate() {
            assert_eq!(field as usize, index, "{field:?}");
            assert_eq!(field.word().parse(), Ok(field));
        }
        let error = "colour".parse::<FieldName>().expect_err("no such field");
        assert!(error.to_string().starts_with("`colour` is no field"));
    }

    #[test]
    fn sets_are_sets() {
        let both = FieldSet::of(&[Src, Dst]);
        assert_eq!(both, [Dst, Src, Dst].into_iter().collect());
        assert_eq!(both.without(FieldSet::of(&[Src])), FieldSet::of(&[Dst]));
        assert!(both.contains(Dst) && !both.contains(Type));
        assert!(both.contains_all(FieldSet::EMPTY) && both.contains_all(both));
        assert!(!both.contains_all(FieldSet::of(&[Dst, Type])));
        assert_eq!(both.union(FieldSet::of(&[Type])).iter().count(), 3);
    }

    #[test]
    fn a_set_prints_its_fields() {
        assert_eq!(FieldSet::of(&[Type, Dst]).to_string(), "dst, type");
        assert_eq!(FieldSet::EMPTY.to_string(), "nothing");
    }
}
