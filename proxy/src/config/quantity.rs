//! Durations and sizes as people write them: `"250ms"`, `"5m"`, `"64KiB"`.
//!
//! A quantity is a whole number directly followed by a unit. There are no fractions and no sums,
//! and sizes know powers of two only, so that a value can be read in one way.

use core::fmt;
use core::time::Duration;

use thiserror::Error;

/// Why a text is not a duration or a size.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum QuantityError {
    /// It does not begin with a digit.
    #[error("it does not begin with a whole number")]
    NoNumber,
    /// Nothing follows the number.
    #[error("the unit is missing")]
    NoUnit,
    /// What follows the number is not a unit.
    #[error("the unit is not known")]
    UnknownUnit,
    /// The value does not fit: more than about 584 years or 16 EiB.
    #[error("the number is too large")]
    TooLarge,
}

/// The units of a duration, in nanoseconds.
const TIME_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

/// The units of a size, in bytes, smallest first.
const SIZE_UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration: a whole number and one of `ns`, `us`, `ms`, `s`, `m`, `h`, `d`.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    parse(text, &TIME_UNITS).map(Duration::from_nanos)
}

/// Reads a size in bytes: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    parse(text, &SIZE_UNITS)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, QuantityError> {
    let number_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(number_len);
    if number.is_empty() {
        return Err(QuantityError::NoNumber);
    }
    if unit.is_empty() {
        return Err(QuantityError::NoUnit);
    }
    let (_, scale) = units
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(QuantityError::UnknownUnit)?;
    let number: u64 = number.parse().map_err(|_| QuantityError::TooLarge)?;
    number.checked_mul(*scale).ok_or(QuantityError::TooLarge)
}

/// A number of bytes; displays with the largest unit that leaves no fraction below a tenth.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = SIZE_UNITS.iter().rev().find(|(_, scale)| self.0 >= *scale);
        let (name, scale) = fitting.unwrap_or(&SIZE_UNITS[0]);
        let (whole, rest) = (self.0 / scale, self.0 % scale);
        if rest == 0 {
            return write!(f, "{whole}{name}");
        }
        // Tenths, rounded down; the product fits because `rest` is less than 2^40.
        write!(f, "{whole}.{}{name}", rest * 10 / scale)
    }
}

/// A duration that displays as it is written in the file: `"5m"`, not `"300s"`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TimeSpan(pub Duration);

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let divides = |(_, scale): &&(&str, u64)| nanos.is_multiple_of(u128::from(*scale));
        let (name, scale) = TIME_UNITS
            .iter()
            .rev()
            .find(divides)
            .unwrap_or(&TIME_UNITS[0]);
        write!(f, "{}{name}", nanos / u128::from(*scale))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let cases = [
            ("50us", Ok(Duration::from_micros(50))),
            ("250ms", Ok(Duration::from_millis(250))),
            ("10s", Ok(Duration::from_secs(10))),
            ("5m", Ok(Duration::from_mins(5))),
            ("2h", Ok(Duration::from_hours(2))),
            ("1d", Ok(Duration::from_hours(24))),
            ("0s", Ok(Duration::ZERO)),
            ("", Err(QuantityError::NoNumber)),
            ("s", Err(QuantityError::NoNumber)),
            ("-1s", Err(QuantityError::NoNumber)),
            (" 1s", Err(QuantityError::NoNumber)),
            ("10", Err(QuantityError::NoUnit)),
            ("10 s", Err(QuantityError::UnknownUnit)),
            ("1.5s", Err(QuantityError::UnknownUnit)),
            ("10sec", Err(QuantityError::UnknownUnit)),
            ("10S", Err(QuantityError::UnknownUnit)),
            ("18446744073709551615s", Err(QuantityError::TooLarge)),
            ("99999999999999999999ns", Err(QuantityError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        let cases = [
            ("0B", Ok(0)),
            ("64KiB", Ok(65_536)),
            ("256MiB", Ok(268_435_456)),
            ("1TiB", Ok(1 << 40)),
            ("64K", Err(QuantityError::UnknownUnit)),
            ("64kB", Err(QuantityError::UnknownUnit)),
            ("64", Err(QuantityError::NoUnit)),
            ("17000000TiB", Err(QuantityError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_display_with_the_largest_unit() {
        let cases = [
            (0, "0B"),
            (1_023, "1023B"),
            (65_536, "64KiB"),
            (1_536, "1.5KiB"),
            (1_000_000, "976.5KiB"),
            (u64::MAX, "16777215.9TiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(ByteSize(bytes).to_string(), expected);
        }
    }

    #[test]
    fn durations_display_with_the_largest_unit_that_divides_them() {
        for text in ["0s", "1ns", "50us", "1500ms", "90s", "61m", "25h", "365d"] {
            assert_eq!(TimeSpan(parse_duration(text).unwrap()).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,24}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }

        #[test]
        fn whole_kibibytes_round_trip(kib in 0_u64..1 << 20) {
            prop_assert_eq!(parse_size(&format!("{kib}KiB")), Ok(kib << 10));
        }
    }
}
