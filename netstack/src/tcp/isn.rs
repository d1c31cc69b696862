//! Initial sequence numbers (RFC 6528).
//!
//! `ISN = M + F(flow, secret)`: `M` counts 4-microsecond ticks, so that a flow used again starts
//! above its old sequence numbers; `F` is SipHash under a secret key, so that nobody off the path
//! can tell one flow's numbers from another's.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::{Flow, Numbers};
use crate::ip::{FiveTuple, Ip, IpAddress, NetworkId};
use crate::time::Instant;

/// Makes initial sequence numbers.
#[derive(Clone, Debug)]
pub struct IsnGenerator {
    key: (u64, u64),
}

impl IsnGenerator {
    /// A generator under `key`, which must be secret and random.
    pub fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    /// The numbers with which a connection of `flow` begins at `now`.
    pub fn numbers(&self, network: NetworkId, flow: Flow, now: Instant) -> Numbers {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        write_ends(&mut hasher, network, &flow);
        let ticks = now.as_micros() / 4;
        let hash = hasher.finish();
        Numbers {
            iss: (hash as u32).wrapping_add(ticks as u32),
            // RFC 7323 section 5.4: a clock of its own for each flow, which goes on where an
            // earlier connection of the flow stopped.
            stamp_offset: (hash >> 32) as u32,
        }
    }
}

/// Hashes what tells connections apart.
pub(super) fn write_ends(hasher: &mut SipHasher13, network: NetworkId, flow: &Flow) {
    hasher.write_u16(network.0);
    match flow {
        Flow::V4(flow) => write_flow(hasher, flow),
        Flow::V6(flow) => write_flow(hasher, flow),
    }
}

fn write_flow<I: Ip>(hasher: &mut SipHasher13, flow: &FiveTuple<I>) {
    hasher.write_u8(I::VERSION);
    hasher.write_u128(flow.src.to_bits());
    hasher.write_u128(flow.dst.to_bits());
    hasher.write_u16(flow.sport);
    hasher.write_u16(flow.dport);
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use core::time::Duration;

    use super::*;

    fn flow(sport: u16) -> Flow {
        Flow::V4(FiveTuple {
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 2),
            sport,
            dport: 80,
            protocol: 6,
        })
    }

    #[test]
    fn the_number_of_a_flow_grows_by_one_every_four_microseconds() {
        let isn = IsnGenerator::new((1, 2));
        let start = Instant::from_millis(5);
        let first = isn.numbers(NetworkId::BARE, flow(1), start).iss;
        let later = isn
            .numbers(NetworkId::BARE, flow(1), start + Duration::from_millis(1))
            .iss;
        assert_eq!(later.wrapping_sub(first), 250);
    }

    #[test]
    fn flows_networks_and_keys_have_unrelated_numbers() {
        let now = Instant::ZERO;
        let isn = IsnGenerator::new((1, 2));
        let first = isn.numbers(NetworkId::BARE, flow(1), now);
        assert_ne!(first, isn.numbers(NetworkId::BARE, flow(2), now));
        assert_ne!(first, isn.numbers(NetworkId(1), flow(1), now));
        assert_ne!(
            first,
            IsnGenerator::new((1, 3)).numbers(NetworkId::BARE, flow(1), now)
        );
    }
}
