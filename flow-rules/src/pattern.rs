//! Patterns: items in an order that a packet can have.
//!
//! [`Pattern`] is built layer by layer and knows in its type which layer is on top, so that only
//! what that layer can carry may come next. [`ItemList`] is the same without types: what a pattern
//! becomes in a rule, and what a list that was read must become. One table in this file
//! ([`CARRIES`] and [`After`]) rules both.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use crate::item::{Item, Raw};
use crate::kind::ItemKind;
use crate::layer::{
    Any, Arp, ETag, Esp, Eth, Geneve, Gre, Gtp, Gtpc, Gtpu, Icmp, Icmp6, Icmp6NdNa, Icmp6NdNs,
    Ipv4, Ipv6, Layer, Meta, Mpls, Nvgre, Protocol, Sctp, Tcp, Udp, Vlan, Vxlan, VxlanGpe,
};

/// Items whose layers stand on each other; `Top` is the last of them.
#[derive(Debug)]
pub struct Pattern<Top> {
    items: Vec<Item>,
    top: PhantomData<fn() -> Top>,
}

// Not derived: what can be copied does not depend on the type of the top.
impl<Top> Clone for Pattern<Top> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            top: PhantomData,
        }
    }
}

/// The type of a pattern without layers.
#[derive(Debug)]
pub enum Start {}

/// A protocol that `Below` can carry.
#[diagnostic::on_unimplemented(
    message = "a packet cannot have {Self} right after {Below}",
    label = "this layer cannot come here",
    note = "add the layer between them, or `Any` for whatever is there"
)]
pub trait After<Below>: Protocol {}

impl Pattern<Start> {
    /// All packets.
    #[expect(
        clippy::new_without_default,
        reason = "a pattern is begun to be built on; nobody needs a generic empty one"
    )]
    pub fn new() -> Self {
        Self {
            items: Vec::new(),
            top: PhantomData,
        }
    }
}

impl<Top> Pattern<Top> {
    /// Packets with `layer` on what is on top.
    pub fn then<P: After<Top>>(self, layer: Layer<P>) -> Pattern<P> {
        Pattern {
            items: self.and(layer.into()),
            top: PhantomData,
        }
    }

    /// Packets for which something besides their contents holds.
    pub fn given<P: Meta>(self, meta: Layer<P>) -> Self {
        Self {
            items: self.and(meta.into()),
            top: PhantomData,
        }
    }

    /// Packets that have these octets.
    pub fn raw(self, raw: Raw) -> Self {
        Self {
            items: self.and(Item::raw_bytes(raw)),
            top: PhantomData,
        }
    }

    /// A place holder that matches nothing and everything.
    pub fn void(self) -> Self {
        Self {
            items: self.and(Item::new(ItemKind::Void, [])),
            top: PhantomData,
        }
    }

    fn and(mut self, item: Item) -> Vec<Item> {
        self.items.push(item);
        self.items
    }
}

impl<Top> Pattern<Top> {
    /// The packets that this pattern does not match. Twice is the pattern itself.
    pub fn inverted(mut self) -> Self {
        let is_invert = |item: &Item| item.kind() == ItemKind::Invert;
        match self.items.iter().position(is_invert) {
            Some(index) => {
                self.items.remove(index);
            }
            None => self.items.insert(0, Item::new(ItemKind::Invert, [])),
        }
        self
    }
}

/// The items of a rule: checked as [`Pattern`] checks them.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ItemList(Vec<Item>);

impl<Top> From<Pattern<Top>> for ItemList {
    fn from(pattern: Pattern<Top>) -> Self {
        Self(pattern.items)
    }
}

impl Deref for ItemList {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        &self.0
    }
}

impl TryFrom<Vec<Item>> for ItemList {
    type Error = PatternError;

    fn try_from(items: Vec<Item>) -> Result<Self, PatternError> {
        let mut below = None;
        let mut inverts = None;
        for (index, item) in items.iter().enumerate() {
            let kind = item.kind();
            if kind == ItemKind::Invert
                && let Some(first) = inverts.replace(index)
            {
                return Err(PatternError::InvertTwice {
                    first,
                    second: index,
                });
            }
            if !kind.is_layer() {
                continue;
            }
            if !carriers(kind).contains(&below) {
                return Err(PatternError::Misplaced {
                    index,
                    item: kind,
                    below,
                    carriers: carriers(kind),
                });
            }
            below = Some(kind);
        }
        Ok(Self(items))
    }
}

/// Items that no packet can have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// A layer stands where it cannot be.
    #[error(
        "item {index}, {item}, cannot come {}: put it after {}",
        Place(*below),
        Places(carriers)
    )]
    Misplaced {
        /// Which item, from 0.
        index: usize,
        /// What it is.
        item: ItemKind,
        /// The layer before it.
        below: Option<ItemKind>,
        /// The layers that can carry it; `None` for the begin of the pattern.
        carriers: &'static [Option<ItemKind>],
    },
    /// Two items that invert.
    #[error("item {second}, invert, undoes item {first}: leave both out")]
    InvertTwice {
        /// The first of them, from 0.
        first: usize,
        /// The second.
        second: usize,
    },
}

/// A place after a layer.
struct Place(Option<ItemKind>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kind) => write!(f, "after {kind}"),
            None => f.write_str("first"),
        }
    }
}

/// Kinds in a row.
struct Places<'a>(&'a [Option<ItemKind>]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, kind) in self.0.iter().flatten().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{kind}")?;
        }
        Ok(())
    }
}

/// What can carry layers of `kind`; `None` is the begin of the pattern.
fn carriers(kind: ItemKind) -> &'static [Option<ItemKind>] {
    let found = CARRIES.iter().find(|(each, _)| *each == kind);
    found.map_or(&[], |(_, carriers)| carriers)
}

/// Says of each protocol what it can follow, for the compiler and as a table.
macro_rules! stacking {
    (@kind Start) => { None };
    (@kind $protocol:ident) => { Some(ItemKind::$protocol) };
    ($($protocol:ident after $($below:ident)*;)*) => {
        $($(impl After<$below> for $protocol {})*)*

        /// What can carry each protocol; `None` is the begin of the pattern.
        const CARRIES: &[(ItemKind, &[Option<ItemKind>])] = &[
            $((ItemKind::$protocol, &[$(stacking!(@kind $below)),*]),)*
        ];
    };
}

// A pattern may begin at the IP header: the frame before it is then of any kind.
stacking! {
    Eth after Start Vxlan VxlanGpe Nvgre Gre Geneve Mpls Any;
    Vlan after Eth Vlan ETag Any;
    ETag after Eth Any;
    Mpls after Eth Vlan ETag Mpls Udp Gre Any;
    Arp after Eth Vlan ETag Any;
    Ipv4 after Start Eth Vlan ETag Mpls Ipv4 Ipv6 Gre VxlanGpe Geneve Gtp Gtpu Any;
    Ipv6 after Start Eth Vlan ETag Mpls Ipv4 Ipv6 Gre VxlanGpe Geneve Gtp Gtpu Any;
    Icmp after Ipv4 Any;
    Icmp6 after Ipv6 Any;
    Icmp6NdNs after Ipv6 Any;
    Icmp6NdNa after Ipv6 Any;
    Udp after Ipv4 Ipv6 Any;
    Tcp after Ipv4 Ipv6 Any;
    Sctp after Ipv4 Ipv6 Any;
    Esp after Ipv4 Ipv6 Udp Any;
    Gre after Ipv4 Ipv6 Any;
    Nvgre after Ipv4 Ipv6 Any;
    Vxlan after Udp Any;
    VxlanGpe after Udp Any;
    Geneve after Udp Any;
    Gtp after Udp Any;
    Gtpc after Udp Any;
    Gtpu after Udp Any;
    Any after Start Eth Vlan ETag Mpls Ipv4 Ipv6 Icmp Icmp6 Udp Tcp Sctp Esp Gre Nvgre Vxlan VxlanGpe
        Geneve Gtp Gtpc Gtpu Any;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fuzzy, Tcp};

    fn list(kinds: &[ItemKind]) -> Result<ItemList, PatternError> {
        let items: Vec<_> = kinds.iter().map(|&kind| Item::new(kind, [])).collect();
        ItemList::try_from(items)
    }

    #[test]
    fn a_layer_needs_one_that_carries_it() {
        use ItemKind as K;
        assert!(list(&[]).is_ok());
        assert!(list(&[K::Eth, K::Vlan, K::Ipv6, K::Udp, K::Vxlan, K::Eth, K::Ipv4]).is_ok());
        assert!(list(&[K::Eth, K::Void, K::Any, K::Tcp]).is_ok());
        let error = list(&[K::Fuzzy, K::Eth, K::Tcp]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "item 2, tcp, cannot come after eth: put it after ipv4, ipv6, any"
        );
        let error = list(&[K::Vxlan]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "item 0, vxlan, cannot come first: put it after udp, any"
        );
    }

    #[test]
    fn a_typed_pattern_passes_the_check_of_lists() {
        let pattern = Pattern::new()
            .given(Fuzzy::with(Fuzzy::THRESH, 3))
            .then(Eth::any())
            .then(Ipv4::any())
            .void()
            .then(Tcp::any())
            .raw(Raw::after(0, *b"GET").unwrap())
            .inverted();
        let items = ItemList::from(pattern);
        assert_eq!(ItemList::try_from(items.to_vec()), Ok(items));
    }

    #[test]
    fn inverting_twice_changes_nothing() {
        let pattern = Pattern::new().then(Ipv4::any());
        let twice = pattern.clone().inverted().inverted();
        assert_eq!(ItemList::from(pattern), ItemList::from(twice));
        let error = list(&[ItemKind::Invert, ItemKind::Eth, ItemKind::Invert]);
        assert_eq!(
            error,
            Err(PatternError::InvertTwice {
                first: 0,
                second: 2
            })
        );
    }

    #[test]
    fn every_layer_can_stand_somewhere() {
        for kind in ItemKind::in_rules() {
            assert_eq!(!carriers(kind).is_empty(), kind.is_layer(), "{kind}");
        }
    }
}
