//! What header fields hold: numbers of any width up to 32 bits, flags, MAC and IP addresses.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::field::Format;

/// The value of a field: at most 128 bits, most significant first.
pub trait Value: Copy + sealed::Sealed {
    /// Width in bits.
    const BITS: u32;
    /// How it is written.
    const FORMAT: Format;

    /// The value in the lowest [`Self::BITS`] bits.
    fn to_bits(self) -> u128;
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed: nobody else may implement `Value`")]
    pub trait Sealed {}
}

/// A number of `N` bits, for fields that are no whole octets or three of them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bits<const N: u32>(u32);

impl<const N: u32> Bits<N> {
    /// The largest value.
    pub const MAX: Self = Self(if N >= 32 { u32::MAX } else { (1 << N) - 1 });

    /// The number `value`.
    ///
    /// # Errors
    /// It has more than `N` bits.
    pub const fn new(value: u32) -> Result<Self, OutOfRange> {
        if value > Self::MAX.0 {
            return Err(OutOfRange { value, bits: N });
        }
        Ok(Self(value))
    }
}

/// A number is too large for its field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{value} does not fit a field of {bits} bits, which ends at {}", u32::MAX >> (32 - bits))]
pub struct OutOfRange {
    value: u32,
    bits: u32,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

impl<const N: u32> sealed::Sealed for Bits<N> {}
impl<const N: u32> Value for Bits<N> {
    const BITS: u32 = N;
    const FORMAT: Format = Format::Number;

    fn to_bits(self) -> u128 {
        u128::from(self.0)
    }
}

impl sealed::Sealed for bool {}
impl Value for bool {
    const BITS: u32 = 1;
    const FORMAT: Format = Format::Number;

    fn to_bits(self) -> u128 {
        u128::from(self)
    }
}

impl sealed::Sealed for u8 {}
impl Value for u8 {
    const BITS: u32 = 8;
    const FORMAT: Format = Format::Number;

    fn to_bits(self) -> u128 {
        u128::from(self)
    }
}

impl sealed::Sealed for u16 {}
impl Value for u16 {
    const BITS: u32 = 16;
    const FORMAT: Format = Format::Number;

    fn to_bits(self) -> u128 {
        u128::from(self)
    }
}

impl sealed::Sealed for u32 {}
impl Value for u32 {
    const BITS: Self = 32;
    const FORMAT: Format = Format::Number;

    fn to_bits(self) -> u128 {
        u128::from(self)
    }
}

impl sealed::Sealed for Mac {}
impl Value for Mac {
    const BITS: u32 = 48;
    const FORMAT: Format = Format::Mac;

    fn to_bits(self) -> u128 {
        self.0
            .iter()
            .fold(0, |bits, &octet| bits << 8 | u128::from(octet))
    }
}

impl sealed::Sealed for Ipv4Addr {}
impl Value for Ipv4Addr {
    const BITS: u32 = 32;
    const FORMAT: Format = Format::Ipv4;

    fn to_bits(self) -> u128 {
        u128::from(u32::from(self))
    }
}

impl sealed::Sealed for Ipv6Addr {}
impl Value for Ipv6Addr {
    const BITS: u32 = 128;
    const FORMAT: Format = Format::Ipv6;

    fn to_bits(self) -> u128 {
        u128::from(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_must_fit_its_bits() {
        assert_eq!(Bits::<12>::new(4095), Ok(Bits::MAX));
        let error = Bits::<12>::new(4096).unwrap_err();
        assert_eq!(
            error.to_string(),
            "4096 does not fit a field of 12 bits, which ends at 4095"
        );
        assert!(Bits::<32>::new(u32::MAX).is_ok());
    }

    #[test]
    fn octets_come_most_significant_first() {
        assert_eq!(Mac([2, 0, 0, 0, 0, 9]).to_bits(), 0x0200_0000_0009);
        assert_eq!(Ipv4Addr::new(10, 0, 0, 1).to_bits(), 0x0a00_0001);
        assert_eq!(Ipv6Addr::LOCALHOST.to_bits(), 1);
    }
}
