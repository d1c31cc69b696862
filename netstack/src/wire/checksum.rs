//! The Internet checksum (RFC 1071), whole, in pieces and incremental (RFC 1624).
//!
//! A [`Sum`] adds up octets, pieces of any length one after the other, and pseudo-headers
//! ([`pseudo_header`], for both IP versions). [`Sum::checksum`] is what goes into a checksum field;
//! data that includes a right checksum field sums up to "all ones" ([`Sum::is_valid`]).
//! [`update_u16`] and [`update_u32`] correct a checksum after a field changed without looking at
//! the rest.
//!
//! The sum does not depend on byte order (RFC 1071 section 2(B)), so octets are added as native
//! 64-bit words into independent accumulators, and swapped once at the end: about 40 ns for 1460
//! octets on a cloud Xeon.

use crate::ip::{Ip, IpAddress, V4};

use super::udp;

/// A ones' complement sum in progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Sum of 16-bit words in host byte order. Invariant: congruent to the true sum modulo 65535,
    /// and zero only if all that was added is zero.
    words: u64,
    /// Whether an odd number of octets was added: the next octet is the low half of a word.
    odd: bool,
}

impl Sum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self {
            words: 0,
            odd: false,
        }
    }

    /// Adds octets that follow what was added before; the pieces may have odd lengths.
    pub fn add_octets(&mut self, octets: &[u8]) {
        self.add_summed(u16::from_be(sum_native(octets)), octets.len());
    }

    /// Adds `len` octets whose own sum, [folded](Self::folded), is `sum`.
    pub fn add_summed(&mut self, sum: u16, len: usize) {
        // An odd start shifts every octet to the other half of its word: RFC 1071 section 2(B).
        let sum = if self.odd { sum.swap_bytes() } else { sum };
        self.words += u64::from(sum);
        self.odd ^= len % 2 == 1;
    }

    /// Adds a word of the data. The word must stand at an even offset.
    pub const fn add_u16(&mut self, word: u16) {
        self.words += word as u64;
    }

    /// Adds two words of the data. They must stand at an even offset.
    pub const fn add_u32(&mut self, words: u32) {
        // 65536 is 1 modulo 65535: the high half need not be shifted down.
        self.words += words as u64;
    }

    /// The sum folded to 16 bits and not complemented: what a device that computes checksums
    /// expects in the field as the sum of the pseudo-header.
    pub const fn folded(self) -> u16 {
        fold(self.words)
    }

    /// What a checksum field over the added data holds, in host byte order.
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether the added data, which includes its checksum field, is right.
    pub const fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }
}

/// The sum of the pseudo-header in front of TCP, UDP and ICMPv6: RFC 9293 3.1, RFC 8200 8.1.
///
/// `len` is the length of the transport header and its payload in octets.
pub fn pseudo_header<I: Ip>(src: I::Addr, dst: I::Addr, protocol: u8, len: usize) -> Sum {
    let mut sum = Sum::new();
    sum.add_u32(len as u32);
    sum.add_u16(u16::from(protocol));
    for address in [src.to_bits(), dst.to_bits()] {
        for shift in [0, 32, 64, 96] {
            sum.add_u32((address >> shift) as u32);
        }
    }
    sum
}

/// The checksum of `octets` alone, whose checksum field holds zero.
pub fn checksum(octets: &[u8]) -> u16 {
    let mut sum = Sum::new();
    sum.add_octets(octets);
    sum.checksum()
}

/// The checksum of a TCP, UDP or ICMPv6 `segment` with its pseudo-header. The checksum field of the
/// segment must hold zero.
pub fn transport_checksum<I: Ip>(src: I::Addr, dst: I::Addr, protocol: u8, segment: &[u8]) -> u16 {
    let mut sum = pseudo_header::<I>(src, dst, protocol, segment.len());
    sum.add_octets(segment);
    sum.checksum()
}

/// Whether the checksum of a TCP, UDP or ICMPv6 `segment` is right.
///
/// `segment` is the transport header and its payload and nothing else (no padding of the frame).
pub fn verify_transport_checksum<I: Ip>(
    src: I::Addr,
    dst: I::Addr,
    protocol: u8,
    segment: &[u8],
) -> bool {
    if protocol == udp::PROTOCOL
        && let Some([.., 0, 0]) = segment.first_chunk::<{ udp::HEADER_LEN }>()
    {
        // RFC 768: over IPv4, zero means that the sender computed none. RFC 8200 8.1: over IPv6 the
        // checksum is not optional.
        return I::VERSION == V4::VERSION;
    }
    let mut sum = pseudo_header::<I>(src, dst, protocol, segment.len());
    sum.add_octets(segment);
    sum.is_valid()
}

/// The checksum after a 16-bit word of the data changed from `old` to `new`.
///
/// Equals the checksum computed anew, unless all of the changed data is zero.
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    // RFC 1624 section 3, equation 3. Equation 4 of the same would turn 0xffff into 0.
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// The checksum after two 16-bit words of the data changed from `old` to `new`.
///
/// Equals the checksum computed anew, unless all of the changed data is zero.
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// Adds the 16-bit words of `words` with end-around carry.
const fn fold(words: u64) -> u16 {
    let sum = (words >> 32) + (words & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The folded sum of octets read as words of the machine's own byte order.
fn sum_native(octets: &[u8]) -> u16 {
    let (blocks, rest) = octets.as_chunks::<32>();
    // Four independent sums, each with room for the carries: an addition and an addition with
    // carry per 8 octets. Measured faster than 32-bit lanes that the compiler turns into SSE2.
    let mut lanes = [0_u128; 4];
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u128::from(u64::from_ne_bytes(*word));
        }
    }
    let total: u128 = lanes.into_iter().sum();
    let mut sum = add_carry(total as u64, (total >> 64) as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        sum = add_carry(sum, u64::from_ne_bytes(*word));
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum = add_carry(sum, u64::from(u32::from_ne_bytes(*word)));
    }
    let last = match *rest {
        [] => return fold(sum),
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c, ..] => [a, b, c, 0],
    };
    fold(add_carry(sum, u64::from(u32::from_ne_bytes(last))))
}

/// Ones' complement addition of 64-bit words.
const fn add_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ip::V6;

    /// RFC 1071 section 1, word by word.
    fn naive(octets: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in octets.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&octets), !0xddf2);
    }

    #[test]
    fn a_sum_of_all_ones_does_not_lose_carries() {
        for len in [8, 32, 64, 1460, 9000, 65_535] {
            let octets = vec![0xff; len];
            assert_eq!(checksum(&octets), naive(&octets), "{len}");
        }
    }

    #[test]
    fn pseudo_headers_equal_their_octets() {
        let mut octets = vec![192, 0, 2, 1, 198, 51, 100, 7, 0, 6];
        octets.extend_from_slice(&1460_u16.to_be_bytes());
        let (src, dst) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 7));
        let sum = pseudo_header::<V4>(src, dst, 6, 1460);
        assert_eq!(sum.checksum(), naive(&octets));

        let src: Ipv6Addr = "2001:db8::1:ffff".parse().unwrap();
        let dst: Ipv6Addr = "fe80::abcd:ef01".parse().unwrap();
        let mut octets = [src.octets(), dst.octets()].concat();
        octets.extend_from_slice(&100_000_u32.to_be_bytes());
        octets.extend_from_slice(&[0, 0, 0, 58]);
        let sum = pseudo_header::<V6>(src, dst, 58, 100_000);
        assert_eq!(sum.checksum(), naive(&octets));
    }

    #[test]
    fn udp_may_do_without_a_checksum_over_ipv4_only() {
        let datagram = [0, 53, 0, 53, 0, 8, 0, 0];
        let a = Ipv4Addr::new(192, 0, 2, 1);
        assert!(verify_transport_checksum::<V4>(
            a,
            a,
            udp::PROTOCOL,
            &datagram
        ));
        assert!(!verify_transport_checksum::<V4>(a, a, 6, &datagram));
        let b = Ipv6Addr::LOCALHOST;
        assert!(!verify_transport_checksum::<V6>(
            b,
            b,
            udp::PROTOCOL,
            &datagram
        ));
    }

    proptest! {
        #[test]
        fn fast_equals_naive(octets in vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&octets), naive(&octets));
        }

        #[test]
        fn pieces_of_any_length_equal_the_whole(
            octets in vec(any::<u8>(), 0..300),
            mut cuts in vec(0_usize..300, 0..5),
        ) {
            cuts.retain(|cut| *cut <= octets.len());
            cuts.extend([0, octets.len()]);
            cuts.sort_unstable();
            let mut sum = Sum::new();
            for ends in cuts.windows(2) {
                sum.add_octets(&octets[ends[0]..ends[1]]);
            }
            prop_assert_eq!(sum.checksum(), naive(&octets));
        }

        #[test]
        fn summed_pieces_equal_the_whole(
            octets in vec(any::<u8>(), 0..300), cuts in vec(0_usize..300, 0..4)
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(octets.len())).collect();
            cuts.sort_unstable();
            let mut sum = Sum::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([octets.len()]) {
                let mut piece = Sum::new();
                piece.add_octets(&octets[from..cut]);
                sum.add_summed(piece.folded(), cut - from);
                from = cut;
            }
            prop_assert_eq!(sum.checksum(), checksum(&octets));
        }

        #[test]
        fn incremental_equals_full(
            mut octets in vec(any::<u8>(), 8..80),
            word in 0_usize..3,
            new in prop_oneof![Just(0), Just(0xffff), any::<u16>()],
            wide in prop_oneof![Just(0), Just(u32::MAX), any::<u32>()],
        ) {
            // The exception that the documentation names: nothing but zeros.
            octets[7] |= 1;
            let before = naive(&octets);
            let at = word * 2;
            let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
            octets[at..at + 2].copy_from_slice(&new.to_be_bytes());
            let middle = naive(&octets);
            prop_assert_eq!(update_u16(before, old, new), middle);

            let old = u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]);
            octets[..4].copy_from_slice(&wide.to_be_bytes());
            prop_assert_eq!(update_u32(middle, old, wide), naive(&octets));
        }

        #[test]
        fn a_flipped_bit_is_noticed(mut segment in vec(any::<u8>(), 20..200), bit in 0_usize..160) {
            let (src, dst) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
            segment[16..18].fill(0);
            let sum = transport_checksum::<V4>(src, dst, 6, &segment);
            segment[16..18].copy_from_slice(&sum.to_be_bytes());
            prop_assert!(verify_transport_checksum::<V4>(src, dst, 6, &segment));
            segment[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_transport_checksum::<V4>(src, dst, 6, &segment));
        }
    }
}
