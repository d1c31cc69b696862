//! Receive-side scaling in software: which queue a port will put a packet on.
//!
//! A port hashes the addresses and ports of a received packet with the Toeplitz function and looks
//! the queue up in its redirection table (RETA). Computing the same here lets a worker choose the
//! source port of an outbound connection so that the replies come back to its own queue.
//!
//! The Toeplitz hash is linear: each set bit of the input contributes a fixed 32-bit window of the
//! key, and contributions are combined by exclusive or. So a table of 256 words for each octet of
//! the input, made once from the key, gives the hash in one look-up for an octet.
//!
//! The input is what Microsoft's RSS specification calls `TcpIPv4`, `TcpIPv6` and the like: source
//! address, destination address, source port, destination port, in network order, as they stand in
//! the received packet. That is also how a [`FiveTuple`] is oriented.

use crate::io::Rss;
use crate::ip::{FiveTuple, Ip, IpAddress};
use crate::wire::{tcp, udp};

/// Tells the queue of each flow of one port.
#[derive(Clone, Debug)]
pub struct Steering {
    toeplitz: Toeplitz,
    reta: Box<[u16]>,
}

/// Why a port's RSS configuration cannot be computed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RssError {
    /// The key does not cover the addresses and ports of IPv6.
    #[error("the RSS key has {0} octets, at least {KEY_LEN} are needed: set a longer one")]
    KeyTooShort(usize),
    /// The redirection table is empty.
    #[error("the port reports an empty RSS redirection table (RETA)")]
    EmptyReta,
}

impl Steering {
    /// Prepares for a port's configuration.
    pub fn new(rss: &Rss) -> Result<Self, RssError> {
        if rss.reta.is_empty() {
            return Err(RssError::EmptyReta);
        }
        Ok(Self {
            toeplitz: Toeplitz::new(&rss.key)?,
            reta: rss.reta.as_slice().into(),
        })
    }

    /// The queue on which the port puts a received packet of this flow.
    pub fn queue_for<I: Ip>(&self, flow: &FiveTuple<I>) -> u16 {
        self.queue_of(self.toeplitz.hash_flow(flow))
    }

    /// The queue on which the port puts a received packet with this hash. Some devices have tables
    /// whose size is no power of two, so this is a division.
    pub fn queue_of(&self, hash: u32) -> u16 {
        self.reta[hash as usize % self.reta.len()]
    }

    /// The port's hash.
    pub fn toeplitz(&self) -> &Toeplitz {
        &self.toeplitz
    }
}

/// A key under which both directions of a flow have the same hash, of as many octets as the device
/// takes (40 mostly, 52 with some): 16 bits again and again, so that what is exchanged between the
/// directions meets the same windows of the key.
///
/// Its price: both halves of every hash are the same 16 bits. That is enough for a redirection
/// table, and not for telling flows apart (see [`crate::flow_directory`]).
pub fn symmetric_key(octets: usize) -> Vec<u8> {
    [0x6d, 0x5a].into_iter().cycle().take(octets).collect()
}

/// The Toeplitz hash under one key.
#[derive(Clone, Debug)]
pub struct Toeplitz {
    /// For each octet of the input, what each of its values contributes.
    tables: Box<[[u32; 256]; INPUT_LEN]>,
}

impl Toeplitz {
    /// Makes the tables for a key, of which the first [`KEY_LEN`] octets count.
    pub fn new(key: &[u8]) -> Result<Self, RssError> {
        let key = key
            .first_chunk::<KEY_LEN>()
            .ok_or(RssError::KeyTooShort(key.len()))?;
        let table = |octets: &[u8]| {
            let bits = octets
                .iter()
                .fold(0, |bits, &octet| bits << 8 | u64::from(octet));
            let mut table = [0; 256];
            for value in 1..256_usize {
                // The window of the lowest set bit, and what the other bits contribute.
                let window = (bits >> (value.trailing_zeros() + 1)) as u32;
                table[value] = table[value & (value - 1)] ^ window;
            }
            table
        };
        // Five octets hold all the windows that begin in the first of them.
        let tables: Vec<_> = key.windows(5).map(table).collect();
        let tables = tables.into_boxed_slice().try_into();
        let tables = tables.expect("each octet but the last four begins five");
        Ok(Self { tables })
    }

    /// The hash of a received packet of this flow: with the ports for TCP and UDP, without them
    /// for everything else.
    pub fn hash_flow<I: Ip>(&self, flow: &FiveTuple<I>) -> u32 {
        if !matches!(flow.protocol, tcp::PROTOCOL | udp::PROTOCOL) {
            return self.hash_addresses::<I>(flow.src, flow.dst);
        }
        let mut octets = [0; INPUT_LEN];
        flow.src.write_octets(&mut octets);
        flow.dst.write_octets(&mut octets[I::Addr::LEN..]);
        let ports = &mut octets[2 * I::Addr::LEN..][..PORTS_LEN];
        ports[..2].copy_from_slice(&flow.sport.to_be_bytes());
        ports[2..].copy_from_slice(&flow.dport.to_be_bytes());
        self.hash_octets(&octets[..2 * I::Addr::LEN + PORTS_LEN])
    }

    /// The hash of a received packet that is hashed by its addresses alone.
    pub fn hash_addresses<I: Ip>(&self, src: I::Addr, dst: I::Addr) -> u32 {
        let mut octets = [0; INPUT_LEN];
        src.write_octets(&mut octets);
        dst.write_octets(&mut octets[I::Addr::LEN..]);
        self.hash_octets(&octets[..2 * I::Addr::LEN])
    }

    /// The hash of these octets, as they stand in a received packet: both addresses, and behind
    /// them both ports or nothing. Octets after the first [`INPUT_LEN`] do not count.
    ///
    /// Fastest where the caller's slice has a length that the compiler knows. The look-ups of
    /// consecutive packets overlap by themselves, so there is nothing to gain from bursts.
    #[inline]
    pub fn hash_octets(&self, octets: &[u8]) -> u32 {
        self.tables
            .iter()
            .zip(octets)
            .fold(0, |hash, (table, &octet)| hash ^ table[usize::from(octet)])
    }
}

/// Octets of the longest input: addresses and ports of IPv6.
pub const INPUT_LEN: usize = 2 * 16 + PORTS_LEN;
/// Octets of a key that count: those of the longest input, and a window of 32 bits.
pub const KEY_LEN: usize = INPUT_LEN + 4;
/// Octets of both ports.
const PORTS_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ip::{V4, V6};

    /// The key of Microsoft's "Verifying the RSS Hash Calculation".
    const KEY: [u8; KEY_LEN] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn flow<I: Ip>(src: &str, sport: u16, dst: &str, dport: u16) -> FiveTuple<I>
    where
        I::Addr: core::str::FromStr<Err: core::fmt::Debug>,
    {
        FiveTuple {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            sport,
            dport,
            protocol: tcp::PROTOCOL,
        }
    }

    fn verify<I: Ip>(vectors: &[(FiveTuple<I>, u32, u32)]) {
        let toeplitz = Toeplitz::new(&KEY).unwrap();
        for (flow, by_addresses, by_ports) in vectors {
            assert_eq!(
                toeplitz.hash_addresses::<I>(flow.src, flow.dst),
                *by_addresses
            );
            assert_eq!(toeplitz.hash_flow(flow), *by_ports);
            let udp = FiveTuple {
                protocol: udp::PROTOCOL,
                ..*flow
            };
            assert_eq!(toeplitz.hash_flow(&udp), *by_ports);
            let icmp = FiveTuple {
                protocol: I::ICMP_PROTOCOL,
                ..*flow
            };
            assert_eq!(toeplitz.hash_flow(&icmp), *by_addresses);
        }
    }

    #[test]
    fn published_vectors_for_ipv4() {
        verify::<V4>(&[
            (
                flow("66.9.149.187", 2794, "161.142.100.80", 1766),
                0x323e_8fc2,
                0x51cc_c178,
            ),
            (
                flow("199.92.111.2", 14230, "65.69.140.83", 4739),
                0xd718_262a,
                0xc626_b0ea,
            ),
            (
                flow("24.19.198.95", 12898, "12.22.207.184", 38024),
                0xd2d0_a5de,
                0x5c2b_394a,
            ),
            (
                flow("38.27.205.30", 48228, "209.142.163.6", 2217),
                0x8298_9176,
                0xafc7_327f,
            ),
            (
                flow("153.39.163.191", 44251, "202.188.127.2", 1303),
                0x5d18_09c5,
                0x10e8_28a2,
            ),
        ]);
    }

    #[test]
    fn published_vectors_for_ipv6() {
        verify::<V6>(&[
            (
                flow("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766),
                0x2cc1_8cd5,
                0x4020_7d3d,
            ),
            (
                flow("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739),
                0x0f0c_461c,
                0xdde5_1bbf,
            ),
            (
                flow(
                    "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
                    44251,
                    "fe80::200:f8ff:fe21:67cf",
                    38024,
                ),
                0x4b61_e985,
                0x02d1_feef,
            ),
        ]);
    }

    /// The definition, bit by bit.
    fn reference(key: &[u8], input: &[u8]) -> u32 {
        let bit = |octets: &[u8], index: usize| octets[index / 8] >> (7 - index % 8) & 1;
        let window =
            |at: usize| (at..at + 32).fold(0, |word, i| word << 1 | u32::from(bit(key, i)));
        (0..input.len() * 8)
            .filter(|&index| bit(input, index) == 1)
            .fold(0, |hash, index| hash ^ window(index))
    }

    proptest! {
        #[test]
        fn tables_compute_the_definition(
            key in prop::collection::vec(any::<u8>(), KEY_LEN..=52),
            input in prop::collection::vec(any::<u8>(), 36),
        ) {
            let toeplitz = Toeplitz::new(&key).unwrap();
            for len in [8, 12, 32, 36] {
                let input = &input[..len];
                prop_assert_eq!(toeplitz.hash_octets(input), reference(&key, input));
            }
        }
    }

    fn directions_hash_alike<I: Ip>(flow: &FiveTuple<I>) {
        for octets in [40, 52] {
            let key = symmetric_key(octets);
            assert_eq!(key.len(), octets);
            let toeplitz = Toeplitz::new(&key).unwrap();
            for protocol in [tcp::PROTOCOL, I::ICMP_PROTOCOL] {
                let flow = FiveTuple { protocol, ..*flow };
                let hash = toeplitz.hash_flow(&flow);
                assert_eq!(hash, toeplitz.hash_flow(&flow.reversed()));
                assert_eq!(hash >> 16, hash & 0xffff, "the price");
                assert_ne!(hash, 0);
            }
        }
        let toeplitz = Toeplitz::new(&KEY).unwrap();
        assert_ne!(
            toeplitz.hash_flow(flow),
            toeplitz.hash_flow(&flow.reversed())
        );
    }

    #[test]
    fn the_symmetric_key_hashes_both_directions_alike() {
        directions_hash_alike::<V4>(&flow("66.9.149.187", 2794, "161.142.100.80", 1766));
        directions_hash_alike::<V6>(&flow("2001:db8::7", 2794, "2001:db8:200:3::1", 1766));
    }

    fn queues_follow_the_reta<I: Ip>(flow: &FiveTuple<I>, hash: u32) {
        // 192: the table of a device that has 64 entries for each of three contexts.
        for (reta_len, key_len) in [(1, 40), (3, 41), (128, 52), (192, 40), (512, 64)] {
            let mut key = KEY.to_vec();
            // What a longer key has more is for inputs that are longer than ours.
            key.resize(key_len, 0xa5);
            let rss = Rss {
                key,
                reta: (0..reta_len).rev().collect(),
            };
            let queue = Steering::new(&rss).unwrap().queue_for(flow);
            assert_eq!(
                u32::from(queue),
                u32::from(reta_len - 1) - hash % u32::from(reta_len)
            );
        }
    }

    #[test]
    fn queues_follow_the_reta_for_both_versions() {
        queues_follow_the_reta::<V4>(
            &flow("66.9.149.187", 2794, "161.142.100.80", 1766),
            0x51cc_c178,
        );
        queues_follow_the_reta::<V6>(
            &flow("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766),
            0x4020_7d3d,
        );
    }

    #[test]
    fn impossible_configurations_are_refused() {
        assert_eq!(
            Toeplitz::new(&KEY[1..]).unwrap_err(),
            RssError::KeyTooShort(39)
        );
        let rss = Rss {
            key: KEY.to_vec(),
            reta: Vec::new(),
        };
        assert_eq!(Steering::new(&rss).unwrap_err(), RssError::EmptyReta);
    }
}
