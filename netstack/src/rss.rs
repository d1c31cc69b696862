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
        self.reta[self.toeplitz.hash_flow(flow) as usize % self.reta.len()]
    }
}

/// The Toeplitz hash under one key.
#[derive(Clone, Debug)]
pub struct Toeplitz {
    /// For each octet of the input, what each of its values contributes.
    tables: Box<[[u32; 256]]>,
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
        Ok(Self {
            tables: key.windows(5).map(table).collect(),
        })
    }

    /// The hash of a received packet of this flow: with the ports for TCP and UDP, without them
    /// for everything else.
    pub fn hash_flow<I: Ip>(&self, flow: &FiveTuple<I>) -> u32 {
        let mut hash = self.hash_addresses::<I>(flow.src, flow.dst);
        if matches!(flow.protocol, PROTOCOL_TCP | PROTOCOL_UDP) {
            let [s0, s1] = flow.sport.to_be_bytes();
            let [d0, d1] = flow.dport.to_be_bytes();
            hash ^= self.contribution(2 * I::Addr::LEN, &[s0, s1, d0, d1]);
        }
        hash
    }

    /// The hash of a received packet that is hashed by its addresses alone.
    pub fn hash_addresses<I: Ip>(&self, src: I::Addr, dst: I::Addr) -> u32 {
        let mut octets = [0; 32];
        src.write_octets(&mut octets);
        dst.write_octets(&mut octets[I::Addr::LEN..]);
        self.contribution(0, &octets[..2 * I::Addr::LEN])
    }

    /// What `octets` contribute to the hash if they stand at `offset` in the input.
    fn contribution(&self, offset: usize, octets: &[u8]) -> u32 {
        self.tables[offset..]
            .iter()
            .zip(octets)
            .fold(0, |hash, (table, &octet)| hash ^ table[usize::from(octet)])
    }
}

/// Octets of a key that count: 36 of input (IPv6 addresses and ports) and a window of 32 bits.
pub const KEY_LEN: usize = 40;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

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
            protocol: PROTOCOL_TCP,
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
                protocol: PROTOCOL_UDP,
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
            prop_assert_eq!(toeplitz.contribution(0, &input), reference(&key, &input));
        }
    }

    fn queues_follow_the_reta<I: Ip>(flow: &FiveTuple<I>, hash: u32) {
        for reta_len in [1, 3, 128, 512] {
            let rss = Rss {
                key: KEY.to_vec(),
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
