//! Sequence numbers: comparison modulo 2^32 (RFC 9293 section 3.4).
//!
//! The order is only meaningful for numbers less than 2^31 apart, which windows guarantee; that is
//! why these are functions and not an `Ord`.

/// Whether `a` comes before `b`.
pub fn lt(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

/// Whether `a` is `b` or comes before it.
pub fn le(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() <= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        assert!(lt(u32::MAX, 0));
        assert!(lt(u32::MAX - 5, 10));
        assert!(!lt(10, u32::MAX - 5));
        assert!(!lt(7, 7));
        assert!(le(7, 7));
        assert!(le(u32::MAX, 3));
    }
}
