//! Pattern items without their types: what a list of them, a reader and an encoder need.

use crate::field::{FieldInfo, FieldMatch, Part, Place, all_ones};
use crate::kind::ItemKind;
use crate::layer::{self, FIELDS_OF};

/// One item of a pattern.
///
/// Invariant: each field is one of its kind and is there once, in the order of the kind's fields;
/// `raw` is there for [`ItemKind::Raw`] only.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Item {
    kind: ItemKind,
    matches: Vec<FieldMatch>,
    raw: Option<Raw>,
}

impl Item {
    /// An item of `kind` with these fields; where one comes twice, the later counts.
    pub(crate) fn new(kind: ItemKind, fields: impl IntoIterator<Item = FieldMatch>) -> Self {
        let mut item = Self {
            kind,
            matches: Vec::new(),
            raw: None,
        };
        for field in fields {
            item.set(field);
        }
        item
    }

    pub(crate) fn raw_bytes(raw: Raw) -> Self {
        Self {
            kind: ItemKind::Raw,
            matches: Vec::new(),
            raw: Some(raw),
        }
    }

    pub(crate) fn set(&mut self, field: FieldMatch) {
        let place = |info: FieldInfo| self.kind.fields().iter().position(|each| *each == info);
        let at = place(field.info);
        let index = self.matches.partition_point(|each| place(each.info) < at);
        match self.matches.get_mut(index) {
            Some(same) if same.info == field.info => *same = field,
            _ => self.matches.insert(index, field),
        }
    }

    /// What it is.
    pub fn kind(&self) -> ItemKind {
        self.kind
    }

    /// The fields that are compared, in the order of the header.
    pub fn matches(&self) -> &[FieldMatch] {
        &self.matches
    }

    /// The field `name`, if it is compared.
    pub fn field(&self, name: &str) -> Option<&FieldMatch> {
        self.matches.iter().find(|field| field.info.name == name)
    }

    /// What a raw item looks for.
    pub fn raw(&self) -> Option<&Raw> {
        self.raw.as_ref()
    }

    /// Whether some field is a range.
    pub fn has_range(&self) -> bool {
        self.matches.iter().any(FieldMatch::is_range)
    }

    /// A part of the comparison as octets of the header on the wire, zero where nothing is
    /// compared. Fields beside the header are not in it.
    pub fn header(&self, part: Part) -> Vec<u8> {
        let mut octets = vec![0; self.kind.header_len()];
        for field in &self.matches {
            if let Place::Header { bit } = field.info.place {
                put(&mut octets, bit, field.info.width, field.value(part));
            }
        }
        octets
    }
}

/// Writes the lowest `width` bits of `value` from bit `first` on; they are zero before.
fn put(octets: &mut [u8], first: u32, width: u32, value: u128) {
    let value = value & all_ones(width);
    let end = first + width;
    for (octet, octet_end) in octets.iter_mut().zip((8..).step_by(8)) {
        *octet |= if end >= octet_end {
            value.checked_shr(end - octet_end).unwrap_or(0) as u8
        } else {
            value.checked_shl(octet_end - end).unwrap_or(0) as u8
        };
    }
}

impl ItemKind {
    /// The kinds that a pattern can have.
    pub fn in_rules() -> impl Iterator<Item = Self> {
        let without_fields = [Self::Raw, Self::Void, Self::Invert];
        FIELDS_OF
            .iter()
            .map(|&(kind, _)| kind)
            .chain(without_fields)
    }

    /// Octets of its header, as far as a rule compares them; 0 for what is not a header there.
    pub fn header_len(self) -> usize {
        match self {
            Self::Ipv6 => 40,
            Self::Arp => 28,
            Self::Icmp6NdNs | Self::Icmp6NdNa => 24,
            Self::Ipv4 | Self::Tcp => 20,
            Self::Eth => 14,
            Self::Sctp => 12,
            Self::ETag
            | Self::Icmp
            | Self::Udp
            | Self::Esp
            | Self::Nvgre
            | Self::Vxlan
            | Self::VxlanGpe
            | Self::Geneve
            | Self::Gtp
            | Self::Gtpc
            | Self::Gtpu => 8,
            Self::Vlan | Self::Mpls | Self::Icmp6 | Self::Gre => 4,
            _ => 0,
        }
    }

    /// Its fields, in the order of the header.
    pub fn fields(self) -> &'static [FieldInfo] {
        let found = FIELDS_OF.iter().find(|(kind, _)| *kind == self);
        found.map_or(&[], |(_, fields)| fields)
    }

    /// Whether it stands for a header (or for any), so that its place in the pattern matters.
    pub fn is_layer(self) -> bool {
        layer::is_layer(self)
    }

    /// For an item that DPDK 22.11 and later do not have: what to use instead.
    pub fn replaced_by(self) -> Option<Self> {
        match self {
            Self::Pf | Self::Vf | Self::PhyPort => Some(Self::RepresentedPort),
            _ => None,
        }
    }
}

/// Octets to look for in a packet.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Raw {
    octets: Vec<u8>,
    offset: i32,
    relative: bool,
    search_limit: Option<u16>,
}

impl Raw {
    /// The most octets that testpmd takes.
    pub const MAX_LEN: usize = 128;

    /// These octets, `offset` octets after the begin of the packet.
    ///
    /// # Errors
    /// None or more than [`Self::MAX_LEN`] octets, or a negative offset.
    pub fn at(offset: u16, octets: impl Into<Vec<u8>>) -> Result<Self, RawError> {
        Self::new(octets.into(), i32::from(offset), false, None)
    }

    /// These octets, `offset` octets after what the item before matched; before it, if negative.
    ///
    /// # Errors
    /// None or more than [`Self::MAX_LEN`] octets.
    pub fn after(offset: i32, octets: impl Into<Vec<u8>>) -> Result<Self, RawError> {
        Self::new(octets.into(), offset, true, None)
    }

    /// Anywhere in the `limit` octets from the offset on; in all of the packet if that is 0.
    pub fn searched_within(mut self, limit: u16) -> Self {
        self.search_limit = Some(limit);
        self
    }

    pub(crate) fn new(
        octets: Vec<u8>,
        offset: i32,
        relative: bool,
        search_limit: Option<u16>,
    ) -> Result<Self, RawError> {
        if octets.is_empty() || octets.len() > Self::MAX_LEN {
            return Err(RawError::Length(octets.len()));
        }
        if !relative && offset < 0 {
            return Err(RawError::BeforePacket(offset));
        }
        Ok(Self {
            octets,
            offset,
            relative,
            search_limit,
        })
    }

    /// What is looked for.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Where: from the begin of the packet, or from the end of the item before.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Whether the offset counts from the end of the item before.
    pub fn is_relative(&self) -> bool {
        self.relative
    }

    /// How far it is searched, if it is.
    pub fn search_limit(&self) -> Option<u16> {
        self.search_limit
    }
}

/// A raw item that cannot be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RawError {
    /// Nothing, or too much, to look for.
    #[error("item raw looks for {0} octets: it must be 1 to {most}", most = Raw::MAX_LEN)]
    Length(usize),
    /// Outside of the packet.
    #[error(
        "item raw looks at offset {0}, before the packet begins: count from the item before \
         (relative), or from 0"
    )]
    BeforePacket(i32),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bits, Ipv6, Match, Mpls, Protocol, Vlan};

    #[test]
    fn bits_are_put_where_the_header_has_them() {
        let tag = Vlan::with(Vlan::PCP, Bits::new(5).unwrap())
            .with(Vlan::VID, Bits::new(0x123).unwrap())
            .with(Vlan::INNER_TYPE, 0x0800);
        let item = Item::from(tag);
        assert_eq!(item.header(Part::Spec), [0xa1, 0x23, 0x08, 0x00]);
        assert_eq!(item.header(Part::Mask), [0xef, 0xff, 0xff, 0xff]);
        assert_eq!(item.header(Part::Last), [0; 4]);

        let label = Mpls::with(Mpls::LABEL, Bits::new(0xabcde).unwrap()).with(Mpls::S, true);
        let item = Item::from(label);
        assert_eq!(item.header(Part::Spec), [0xab, 0xcd, 0xe1, 0]);
        assert_eq!(item.header(Part::Mask), [0xff, 0xff, 0xf1, 0]);

        let address = "2001:db8::1".parse().unwrap();
        let item = Item::from(Ipv6::with(Ipv6::SRC, address));
        assert_eq!(item.header(Part::Spec)[8..24], address.octets());
        assert_eq!(item.header(Part::Mask)[8..24], [0xff; 16]);
        assert_eq!(item.header(Part::Mask)[24..], [0; 16]);
    }

    #[test]
    fn the_end_of_a_range_is_in_its_own_part() {
        let ports = Match::range(1000_u16, 1999).unwrap();
        let item = Item::from(crate::Udp::any().matching(crate::Udp::DST, ports));
        assert!(item.has_range());
        assert_eq!(item.header(Part::Spec)[2..4], 1000_u16.to_be_bytes());
        assert_eq!(item.header(Part::Last)[2..4], 1999_u16.to_be_bytes());
    }

    #[test]
    fn fields_are_in_the_order_of_the_header_and_the_later_counts() {
        let layer = Vlan::with(Vlan::INNER_TYPE, 1)
            .with(Vlan::VID, Bits::new(2).unwrap())
            .with(Vlan::INNER_TYPE, 3);
        let item = Item::from(layer);
        let names: Vec<_> = item.matches().iter().map(|m| m.info().name).collect();
        assert_eq!(names, ["vid", "inner_type"]);
        assert_eq!(item.field("inner_type").unwrap().value(Part::Spec), 3);
    }

    #[test]
    fn fields_lie_within_their_header_and_do_not_overlap() {
        for kind in ItemKind::in_rules() {
            let mut seen = vec![0; kind.header_len()];
            for field in kind.fields() {
                let Place::Header { bit } = field.place else {
                    continue;
                };
                let name = field.name;
                assert!(
                    bit + field.width <= 8 * kind.header_len() as u32,
                    "{kind} {name}"
                );
                let mut mask = vec![0; kind.header_len()];
                put(&mut mask, bit, field.width, all_ones(field.width));
                let ones: u32 = mask.iter().map(|octet: &u8| octet.count_ones()).sum();
                assert_eq!(ones, field.width, "{kind} {name}");
                for (seen, mask) in seen.iter_mut().zip(mask) {
                    assert_eq!(*seen & mask, 0, "{kind} {name}");
                    *seen |= mask;
                }
            }
        }
    }

    #[test]
    fn raw_needs_something_to_look_for() {
        assert_eq!(Raw::at(0, []), Err(RawError::Length(0)));
        assert_eq!(Raw::at(0, [0; 129]), Err(RawError::Length(129)));
        assert!(Raw::after(-4, [1]).is_ok());
        assert_eq!(
            Raw::new(vec![1], -4, false, None),
            Err(RawError::BeforePacket(-4))
        );
    }
}
