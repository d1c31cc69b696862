//! SYN cookies (RFC 4987 section 3.6): handshakes without memory.
//!
//! When a listener has as many half-open handshakes as it may, a SYN is answered by a SYN-ACK that
//! carries all that would have to be remembered, and nothing is. In: SYNs, and acknowledgments of
//! no connection. Out: the SYN-ACK, and from an acknowledgment that returns what it said, the SYN
//! as it must have been.
//!
//! ```text
//! sequence number:  |  MSS: 3  |            SipHash of flow, peer's number, minute: 29           |
//! time stamp:       |              our clock: 26                 | ECN: 1 | SACK: 1 | scale: 4   |
//! ```
//!
//! The hash makes the number unforgeable; it holds for the [`PERIOD`] in which it was made and the
//! next. What the time stamp says is not protected: whoever changes it only confuses himself.
//! Without time stamps there is no room for the window scale and SACK, so they are not agreed on.

use core::hash::Hasher;
use core::time::Duration;

use siphasher::sip::SipHasher13;

use super::{Flow, isn, seq};
use crate::ip::NetworkId;
use crate::time::Instant;
use crate::wire::tcp::{Flags, Header, MAX_WINDOW_SCALE, Options};

/// How long a secret stays the same; a cookie is good for this one and the next.
const PERIOD: Duration = Duration::from_secs(64);

/// The MSS values that a cookie can say: what common paths leave of 1500 octets, and the ends.
const MSS_TABLE: [u16; 8] = [100, 536, 1220, 1360, 1400, 1440, 1460, 8960];

/// RFC 9293 section 3.7.1: what a peer takes that does not say.
const DEFAULT_MSS: u16 = 536;

/// Bits of the sequence number that are hash.
const HASH_BITS: u32 = 29;

/// Bits of the time stamp that say what was agreed on.
const STAMP_BITS: u32 = 6;

/// The scale of a peer that has none: more than there can be.
const NO_SCALE: u32 = 15;

/// Makes and checks cookies.
#[derive(Clone, Debug)]
pub(super) struct SynCookies {
    key: (u64, u64),
    /// Until when an acknowledgment may return a cookie.
    due_until: Instant,
}

/// A cookie for a SYN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cookie {
    /// Our initial sequence number.
    pub(super) iss: u32,
    /// The SYN, less what the cookie has no room for.
    pub(super) syn: Header,
    /// Our time stamp, if the peer has one.
    pub(super) stamp: Option<u32>,
}

impl SynCookies {
    /// `key` is secret. It may be that of [`super::IsnGenerator`], whose inputs are shorter.
    pub(super) fn new(key: (u64, u64)) -> Self {
        Self {
            key,
            due_until: Instant::ZERO,
        }
    }

    /// The cookie for a SYN. `stamp` is our time stamp now.
    pub(super) fn make(
        &mut self,
        now: Instant,
        network: NetworkId,
        flow: &Flow,
        syn: &Header,
        stamp: u32,
    ) -> Cookie {
        self.due_until = now + PERIOD * 2;
        let wanted = syn.options.mss.unwrap_or(DEFAULT_MSS);
        let index = MSS_TABLE.partition_point(|mss| *mss <= wanted).max(1) as u32 - 1;
        let hash = self.hash(network, flow, syn.seq, period(now), index);
        let stamps = syn.options.timestamps;
        let options = Options {
            mss: Some(MSS_TABLE[index as usize]),
            window_scale: syn.options.window_scale.filter(|_| stamps.is_some()),
            sack_permitted: syn.options.sack_permitted && stamps.is_some(),
            ..syn.options
        };
        let flags = if stamps.is_some() {
            syn.flags
        } else {
            Flags::SYN
        };
        let syn = Header {
            flags,
            options,
            ..*syn
        };
        Cookie {
            iss: index << HASH_BITS | hash,
            syn,
            stamp: stamps.map(|_| with_agreed(stamp, agreed(&syn))),
        }
    }

    /// Whether any cookie can still come back: to be asked first, as it costs nothing.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        now <= self.due_until
    }

    /// The SYN to which the acknowledgment `header` belongs, and our initial sequence number, if
    /// it returns a cookie of ours. `stamp` is our time stamp now.
    pub(super) fn check(
        &self,
        now: Instant,
        network: NetworkId,
        flow: &Flow,
        header: &Header,
        stamp: u32,
    ) -> Option<(u32, Header)> {
        let iss = header.ack.wrapping_sub(1);
        let irs = header.seq.wrapping_sub(1);
        let index = iss >> HASH_BITS;
        let hash = iss & ((1 << HASH_BITS) - 1);
        let period = period(now);
        let mut periods = [period, period.wrapping_sub(1)].into_iter();
        periods.find(|period| self.hash(network, flow, irs, *period, index) == hash)?;
        let mut options = Options {
            mss: Some(MSS_TABLE[index as usize]),
            timestamps: header.options.timestamps,
            ..Options::default()
        };
        let mut flags = Flags::SYN;
        if let Some(stamps) = header.options.timestamps {
            // An echo of nothing that we said lately tells nothing about what was agreed on.
            let age = stamp.wrapping_sub(stamps.echo);
            if seq::lt(stamp, stamps.echo) || u128::from(age) > (PERIOD * 3).as_millis() {
                return None;
            }
            let scale = (stamps.echo & 15) as u8;
            options.window_scale = (scale <= MAX_WINDOW_SCALE).then_some(scale);
            options.sack_permitted = stamps.echo & 1 << 4 != 0;
            if stamps.echo & 1 << 5 != 0 {
                flags = flags | Flags::ECE | Flags::CWR;
            }
        }
        let syn = Header {
            seq: irs,
            ack: 0,
            flags,
            options,
            ..*header
        };
        Some((iss, syn))
    }

    fn hash(&self, network: NetworkId, flow: &Flow, irs: u32, period: u32, index: u32) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        isn::write_ends(&mut hasher, network, flow);
        hasher.write_u32(irs);
        hasher.write_u32(period);
        hasher.write_u32(index);
        hasher.finish() as u32 & ((1 << HASH_BITS) - 1)
    }
}

/// What a SYN offers, as it stands in the time stamp.
fn agreed(syn: &Header) -> u32 {
    let scale = syn.options.window_scale.map_or(NO_SCALE, u32::from);
    let ecn = syn.flags.contains(Flags::ECE | Flags::CWR);
    scale | u32::from(syn.options.sack_permitted) << 4 | u32::from(ecn) << 5
}

/// The newest time stamp not after `stamp` that ends in these bits: what is sent later is no
/// smaller, so the peer's PAWS takes it.
fn with_agreed(stamp: u32, bits: u32) -> u32 {
    let stamp_of = |base: u32| base >> STAMP_BITS << STAMP_BITS | bits;
    let near = stamp_of(stamp);
    if seq::le(near, stamp) {
        near
    } else {
        stamp_of(stamp.wrapping_sub(1 << STAMP_BITS))
    }
}

fn period(now: Instant) -> u32 {
    (now.as_micros() / PERIOD.as_micros() as u64) as u32
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::ip::FiveTuple;
    use crate::wire::tcp::{HEADER_LEN, Timestamps};

    const NOW: Instant = Instant::from_millis(1_000_000);
    const STAMP: u32 = 5_000;

    fn flow(sport: u16) -> Flow {
        Flow::V4(FiveTuple {
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 2),
            sport,
            dport: 80,
            protocol: 6,
        })
    }

    fn syn(options: Options) -> Header {
        Header {
            sport: 1,
            dport: 80,
            seq: u32::MAX,
            ack: 0,
            flags: Flags::SYN | Flags::ECE | Flags::CWR,
            window: 1000,
            urgent: 0,
            header_len: HEADER_LEN,
            options,
        }
    }

    fn full() -> Options {
        Options {
            mss: Some(1460),
            window_scale: Some(9),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 7, echo: 0 }),
            ..Options::default()
        }
    }

    /// The acknowledgment of a SYN-ACK with this cookie.
    fn returned(cookie: &Cookie) -> Header {
        let timestamps = cookie.stamp.map(|echo| Timestamps { value: 8, echo });
        Header {
            seq: cookie.syn.seq.wrapping_add(1),
            ack: cookie.iss.wrapping_add(1),
            flags: Flags::ACK,
            options: Options {
                timestamps,
                ..Options::default()
            },
            ..cookie.syn
        }
    }

    #[test]
    fn what_was_agreed_on_comes_back() {
        let mut cookies = SynCookies::new((1, 2));
        assert!(!cookies.are_due(NOW));
        for (mss, kept) in [
            (Some(1460), 1460),
            (Some(1459), 1440),
            (Some(65_535), 8960),
            (Some(1), 100),
            (None, 536),
        ] {
            let options = Options { mss, ..full() };
            let cookie = cookies.make(NOW, NetworkId::BARE, &flow(1), &syn(options), STAMP);
            let ack = returned(&cookie);
            let (iss, syn) = cookies
                .check(NOW, NetworkId::BARE, &flow(1), &ack, STAMP + 30)
                .unwrap();
            assert_eq!((iss, syn.seq), (cookie.iss, u32::MAX));
            assert_eq!(syn.options.mss, Some(kept));
            assert_eq!(syn.options.window_scale, Some(9));
            assert!(syn.options.sack_permitted);
            assert!(syn.flags.contains(Flags::SYN | Flags::ECE | Flags::CWR));
        }
        assert!(cookies.are_due(NOW));
        assert!(!cookies.are_due(NOW + PERIOD * 3));
    }

    #[test]
    fn without_time_stamps_nothing_but_the_mss_is_agreed_on() {
        let mut cookies = SynCookies::new((1, 2));
        let options = Options {
            timestamps: None,
            ..full()
        };
        let cookie = cookies.make(NOW, NetworkId::BARE, &flow(1), &syn(options), STAMP);
        assert_eq!(cookie.stamp, None);
        assert_eq!(cookie.syn.options.window_scale, None);
        assert!(!cookie.syn.options.sack_permitted);
        assert_eq!(cookie.syn.flags, Flags::SYN);
        let ack = returned(&cookie);
        let (_, syn) = cookies
            .check(NOW, NetworkId::BARE, &flow(1), &ack, STAMP)
            .unwrap();
        assert_eq!(syn.options, cookie.syn.options);
    }

    #[test]
    fn what_was_never_said_is_refused() {
        let mut cookies = SynCookies::new((1, 2));
        let cookie = cookies.make(NOW, NetworkId::BARE, &flow(1), &syn(full()), STAMP);
        let ack = returned(&cookie);
        let check = |at: Instant, network, flow: &Flow, ack: &Header| {
            let stamp = STAMP + ((at.as_micros() - NOW.as_micros()) / 1000) as u32;
            cookies.check(at, network, flow, ack, stamp).is_some()
        };
        assert!(check(NOW, NetworkId::BARE, &flow(1), &ack));
        assert!(check(NOW + PERIOD, NetworkId::BARE, &flow(1), &ack));
        assert!(!check(NOW + PERIOD * 2, NetworkId::BARE, &flow(1), &ack));
        assert!(!check(NOW, NetworkId::BARE, &flow(2), &ack));
        assert!(!check(NOW, NetworkId(1), &flow(1), &ack));
        for (seq, number) in [(1, 0), (0, 1), (0, 1 << 29), (0, 1 << 31)] {
            let forged = Header {
                seq: ack.seq.wrapping_add(seq),
                ack: ack.ack.wrapping_add(number),
                ..ack
            };
            assert!(!check(NOW, NetworkId::BARE, &flow(1), &forged));
        }
        for echo in [STAMP + 1, STAMP.wrapping_sub(200_000)] {
            let mut forged = ack;
            forged.options.timestamps = Some(Timestamps { value: 8, echo });
            assert!(!check(NOW, NetworkId::BARE, &flow(1), &forged));
        }
        let other = SynCookies::new((1, 3));
        assert!(
            other
                .check(NOW, NetworkId::BARE, &flow(1), &ack, STAMP)
                .is_none()
        );
    }

    #[test]
    fn time_stamps_never_run_ahead_of_the_clock() {
        for stamp in [0, 5, 63, 64, 1000, u32::MAX] {
            for bits in [0, 5, 63] {
                let made = with_agreed(stamp, bits);
                assert_eq!(made & 63, bits);
                assert!(stamp.wrapping_sub(made) < 64, "{stamp} {bits} {made}");
            }
        }
    }
}
