//! Fields of headers and what they are compared with.
//!
//! A comparison ([`Match`]) is what rte_flow has for each field: a spec, optionally the last value
//! of a range that begins there, and a mask of the bits that count. [`FieldInfo`] tells where a
//! field lies and how testpmd calls it.

use core::fmt;
use core::marker::PhantomData;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::value::{Mac, Value};

/// What a field of type `T` must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Match<T> {
    bits: Triple,
    value: PhantomData<T>,
}

impl<T: Value> Match<T> {
    /// Exactly `value`.
    pub fn exact(value: T) -> Self {
        Self::of(Triple {
            spec: value.to_bits(),
            last: None,
            mask: all_ones(T::BITS),
        })
    }

    /// Equal to `value` in the bits that are set in `mask`.
    ///
    /// # Errors
    /// An empty mask, or bits of `value` that it leaves out.
    pub fn masked(value: T, mask: T) -> Result<Self, MatchError> {
        Triple::new(value.to_bits(), None, mask.to_bits(), T::BITS).map(Self::of)
    }

    /// Equal to `value` in the first `len` bits.
    ///
    /// # Errors
    /// A prefix that is empty or longer than the field, or bits of `value` after it.
    pub fn prefix(value: T, len: u32) -> Result<Self, MatchError> {
        let mask = prefix_mask(len, T::BITS)?;
        Triple::new(value.to_bits(), None, mask, T::BITS).map(Self::of)
    }

    /// From `first` to `last`, both included.
    ///
    /// # Errors
    /// `last` is less than `first`.
    pub fn range(first: T, last: T) -> Result<Self, MatchError> {
        let mask = all_ones(T::BITS);
        Triple::new(first.to_bits(), Some(last.to_bits()), mask, T::BITS).map(Self::of)
    }

    fn of(bits: Triple) -> Self {
        Self {
            bits,
            value: PhantomData,
        }
    }

    pub(crate) fn bits(self) -> Triple {
        self.bits
    }
}

/// Spec, end of range and mask of one field, right-aligned.
///
/// Invariant: the mask is not empty and within the field; spec and last are within the mask;
/// `last`, if there, is more than `spec`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Triple {
    pub(crate) spec: u128,
    pub(crate) last: Option<u128>,
    pub(crate) mask: u128,
}

impl Triple {
    /// Checked values; a range of one value becomes that value.
    pub(crate) fn new(
        spec: u128,
        last: Option<u128>,
        mask: u128,
        width: u32,
    ) -> Result<Self, MatchError> {
        let all = all_ones(width);
        for value in [spec, last.unwrap_or(0), mask] {
            if value & !all != 0 {
                return Err(MatchError::TooWide { value, width });
            }
        }
        if mask == 0 {
            return Err(MatchError::EmptyMask);
        }
        for value in [spec, last.unwrap_or(0)] {
            if value & !mask != 0 {
                return Err(MatchError::OutsideMask { value, mask });
            }
        }
        match last {
            Some(last) if last < spec => Err(MatchError::EmptyRange { first: spec, last }),
            Some(last) if last == spec => Ok(Self {
                spec,
                last: None,
                mask,
            }),
            last => Ok(Self { spec, last, mask }),
        }
    }

    /// Exactly `spec`, in all of the `width` bits.
    pub(crate) fn exact(spec: u128, width: u32) -> Self {
        Self {
            spec,
            last: None,
            mask: all_ones(width),
        }
    }

    /// Whether a field with `value` passes.
    pub(crate) fn admits(self, value: u128) -> bool {
        let value = value & self.mask;
        match self.last {
            Some(last) => (self.spec..=last).contains(&value),
            None => value == self.spec,
        }
    }

    /// Whether every value that `other` admits passes here. `false` where it cannot be told.
    pub(crate) fn covers(self, other: Self) -> bool {
        if other.last.is_none() && other.mask & self.mask == self.mask {
            return self.admits(other.spec);
        }
        match (self.last, other.last) {
            (None, None) => false,
            _ if self.mask != other.mask => false,
            (None, Some(_)) => false,
            (Some(_), None) => self.admits(other.spec),
            (Some(last), Some(others)) => self.spec <= other.spec && others <= last,
        }
    }

    /// Whether some value passes both. `true` where it cannot be told.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        match (self.last, other.last) {
            (None, None) => (self.spec ^ other.spec) & self.mask & other.mask == 0,
            _ if self.mask != other.mask => true,
            (last, others) => {
                self.spec <= others.unwrap_or(other.spec) && other.spec <= last.unwrap_or(self.spec)
            }
        }
    }
}

/// A spec, range and mask that do not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MatchError {
    /// Bits of the spec or the range are compared with nothing.
    #[error(
        "{value:#x} has bits that the mask {mask:#x} leaves out: clear them, or widen the mask"
    )]
    OutsideMask {
        /// The value.
        value: u128,
        /// The mask.
        mask: u128,
    },
    /// Nothing is compared.
    #[error("an empty mask or prefix compares nothing: leave the field out")]
    EmptyMask,
    /// The range ends before it begins.
    #[error("the range {first:#x} to {last:#x} is empty: exchange its ends")]
    EmptyRange {
        /// Its begin.
        first: u128,
        /// Its end.
        last: u128,
    },
    /// A value that the field cannot hold.
    #[error("{value:#x} does not fit the {width} bits of the field")]
    TooWide {
        /// The value.
        value: u128,
        /// Width of the field.
        width: u32,
    },
    /// A prefix that the field cannot have.
    #[error("a prefix of {len} bits is longer than the field, which has {width}")]
    LongPrefix {
        /// Its length.
        len: u32,
        /// Width of the field.
        width: u32,
    },
}

/// The field of type `T` of the protocol `P`.
#[derive(Debug)]
pub struct Field<P, T> {
    info: FieldInfo,
    of: PhantomData<fn() -> (P, T)>,
}

// Not derived: what can be copied does not depend on the types.
impl<P, T> Clone for Field<P, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, T> Copy for Field<P, T> {}

impl<P, T: Value> Field<P, T> {
    /// A field of the header that begins `bit` bits after its begin.
    pub(crate) const fn at(name: &'static str, bit: u32) -> Self {
        Self::new(name, Place::Header { bit })
    }

    /// What rte_flow knows of the packet besides the octets of this header.
    pub(crate) const fn beside(name: &'static str) -> Self {
        Self::new(name, Place::Beside)
    }

    const fn new(name: &'static str, place: Place) -> Self {
        Self {
            info: FieldInfo {
                name,
                format: T::FORMAT,
                width: T::BITS,
                place,
            },
            of: PhantomData,
        }
    }

    /// This field, written in hexadecimal.
    pub(crate) const fn hex(mut self) -> Self {
        self.info.format = Format::Hex;
        self
    }

    /// Name, place and width.
    pub const fn info(&self) -> FieldInfo {
        self.info
    }
}

/// Name, place and width of a field.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FieldInfo {
    /// As testpmd calls it.
    pub name: &'static str,
    /// How values are written.
    pub format: Format,
    /// Width in bits.
    pub width: u32,
    /// Where it is found.
    pub place: Place,
}

/// How the values of a field are written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// Decimal.
    Number,
    /// Hexadecimal with `0x`.
    Hex,
    /// An Ethernet address.
    Mac,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
}

/// Where a field is found.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Place {
    /// In the header as it is on the wire.
    Header {
        /// Bits from the begin of the header to the most significant bit of the field.
        bit: u32,
    },
    /// Not in the octets of the header: a number or flag that rte_flow has besides.
    Beside,
}

/// What a field is compared with, without the types of field and value.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FieldMatch {
    pub(crate) info: FieldInfo,
    pub(crate) bits: Triple,
}

impl FieldMatch {
    /// The field.
    pub fn info(&self) -> FieldInfo {
        self.info
    }

    /// The value of a part, right-aligned; 0 for the last value where there is no range.
    pub fn value(&self, part: Part) -> u128 {
        match part {
            Part::Spec => self.bits.spec,
            Part::Last => self.bits.last.unwrap_or(0),
            Part::Mask => self.bits.mask,
        }
    }

    /// Whether it is a range.
    pub fn is_range(&self) -> bool {
        self.bits.last.is_some()
    }
}

/// The parts of a comparison in rte_flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The value, or the begin of a range.
    Spec,
    /// The end of a range.
    Last,
    /// The bits that count.
    Mask,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "spec",
            Self::Last => "last",
            Self::Mask => "mask",
        })
    }
}

impl Format {
    /// Reads a value; `None` if it is not of this format.
    pub(crate) fn parse(self, text: &str) -> Option<u128> {
        match self {
            Self::Number | Self::Hex => match text.strip_prefix("0x") {
                Some(digits) => u128::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            },
            Self::Mac => {
                let mut octets = [0; 6];
                let mut parts = text.split(':');
                for octet in &mut octets {
                    *octet = u8::from_str_radix(parts.next()?, 16).ok()?;
                }
                parts.next().is_none().then(|| Mac(octets).to_bits())
            }
            Self::Ipv4 => text.parse().ok().map(Ipv4Addr::to_bits).map(u128::from),
            Self::Ipv6 => text.parse().ok().map(Ipv6Addr::to_bits),
        }
    }

    /// Writes a value as [`Self::parse`] and testpmd read it.
    pub(crate) fn write(self, bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => write!(f, "{bits}"),
            Self::Hex => write!(f, "{bits:#x}"),
            Self::Mac => {
                let [_, _, _, _, _, _, _, _, _, _, octets @ ..] = bits.to_be_bytes();
                write!(f, "{}", Mac(octets))
            }
            Self::Ipv4 => write!(f, "{}", Ipv4Addr::from_bits(bits as u32)),
            Self::Ipv6 => write!(f, "{}", Ipv6Addr::from_bits(bits)),
        }
    }
}

/// The lowest `width` bits.
pub(crate) fn all_ones(width: u32) -> u128 {
    u128::MAX >> (128 - width)
}

/// The first `len` of `width` bits.
pub(crate) fn prefix_mask(len: u32, width: u32) -> Result<u128, MatchError> {
    if len == 0 {
        return Err(MatchError::EmptyMask);
    }
    let rest = width
        .checked_sub(len)
        .ok_or(MatchError::LongPrefix { len, width })?;
    Ok(all_ones(width) >> rest << rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_must_lie_within_its_mask() {
        let net = Ipv4Addr::new(10, 0, 0, 0);
        assert!(Match::prefix(net, 8).is_ok());
        assert_eq!(
            Match::prefix(Ipv4Addr::new(10, 0, 0, 5), 24).unwrap_err(),
            MatchError::OutsideMask {
                value: 0x0a00_0005,
                mask: 0xffff_ff00
            }
        );
        assert_eq!(Match::prefix(net, 0), Err(MatchError::EmptyMask));
        assert_eq!(
            Match::prefix(net, 33),
            Err(MatchError::LongPrefix { len: 33, width: 32 })
        );
        assert_eq!(Match::masked(0_u8, 0), Err(MatchError::EmptyMask));
    }

    #[test]
    fn a_range_must_not_be_empty() {
        let error = MatchError::EmptyRange { first: 9, last: 8 };
        assert_eq!(Match::range(9_u16, 8), Err(error));
        assert_eq!(Match::range(9_u16, 9), Ok(Match::exact(9)));
    }

    /// Comparisons of a field of four bits, so that all values can be tried.
    fn triple() -> impl Strategy<Value = Triple> {
        let parts = (0..16_u128, proptest::option::of(0..16_u128), 1..16_u128);
        parts.prop_filter_map("does not fit", |(spec, last, mask)| {
            Triple::new(spec & mask, last.map(|last| last & mask), mask, 4).ok()
        })
    }

    proptest! {
        #[test]
        fn cover_is_never_claimed_wrongly_and_overlap_never_missed(a in triple(), b in triple()) {
            let both = (0..16).any(|value| a.admits(value) && b.admits(value));
            let all = (0..16).all(|value| a.admits(value) || !b.admits(value));
            prop_assert!(all || !a.covers(b));
            prop_assert!(a.overlaps(b) || !both);
            // Exact where no mask takes part with a range.
            if a.last.is_none() && b.last.is_none() {
                prop_assert_eq!(all, a.covers(b));
                prop_assert_eq!(both, a.overlaps(b));
            }
        }
    }
}
