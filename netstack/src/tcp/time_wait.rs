//! Connections in TIME-WAIT (RFC 9293 section 3.3.2), without a connection.
//!
//! Whoever closes first must remember the flow for a while, so that a late segment is not taken
//! for one of a new connection. What is needed for that is two sequence numbers, and the clocks of
//! both ends if they were in use (RFC 6191, RFC 7323 section 5), so that is what an entry holds.
//! All entries live equally long, so they lie in order of arrival in a ring: the head is the first
//! to expire, and the oldest when the ring is full: a new entry then replaces it, because the end
//! that closes now is likelier to see late segments than the one that closed long ago. A flow is
//! found by an index of positions in the ring.

use core::time::Duration;
use std::collections::VecDeque;

use super::{Numbers, seq};
use crate::flow_index::{FlowHash, FlowHasher, FlowIndex};
use crate::ip::{FiveTuple, Ip, NetworkId};
use crate::time::Instant;
use crate::wire::tcp::{Header, Options, Timestamps};

/// What is left of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TimeWait {
    /// Our next sequence number, after our FIN.
    pub(super) snd_nxt: u32,
    /// The peer's next sequence number, after its FIN.
    pub(super) rcv_nxt: u32,
    /// The peer's newest time stamp and the offset of ours, if they were in use.
    pub(super) stamps: Option<(u32, u32)>,
    /// When the connection was closed.
    pub(super) since: Instant,
}

/// What the time stamp of a segment says about its age (RFC 7323 section 5.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Age {
    /// Nothing speaks against it.
    New,
    /// It is older than the newest that was seen.
    Old,
    /// It has no time stamp although all must have.
    Unknown,
}

impl TimeWait {
    /// How old a segment is.
    pub(super) fn age_of(&self, header: &Header) -> Age {
        match (self.stamps, header.options.timestamps) {
            (Some((newest, _)), Some(stamps)) if seq::lt(stamps.value, newest) => Age::Old,
            (Some(_), None) => Age::Unknown,
            _ => Age::New,
        }
    }

    /// Whether a SYN begins a new connection, and cannot be one of the old one that is late.
    /// `stamped` if the new one would use time stamps.
    pub(super) fn is_reopened_by(&self, syn: &Header, stamped: bool) -> bool {
        let above = seq::le(self.rcv_nxt, syn.seq);
        match (self.stamps, syn.options.timestamps) {
            // RFC 6191 section 2: the clock decides; in the same tick, the sequence number.
            (Some((newest, _)), Some(stamps)) => {
                let later = stamped && seq::lt(newest, stamps.value);
                later || above && seq::le(newest, stamps.value)
            }
            // What comes late of the old connection has no time stamp, and the new one drops it.
            (None, Some(_)) => above || stamped,
            (_, None) => above,
        }
    }

    /// `numbers` for a new connection, so that nothing of it looks old: no sequence number before
    /// the one after our last, and the same clock.
    pub(super) fn numbers_after(&self, numbers: Numbers) -> Numbers {
        let iss = if seq::le(numbers.iss, self.snd_nxt) {
            self.snd_nxt.wrapping_add(1)
        } else {
            numbers.iss
        };
        let offset = self.stamps.map(|(_, offset)| offset);
        Numbers {
            iss,
            stamp_offset: offset.unwrap_or(numbers.stamp_offset),
        }
    }

    /// Begins again, by a FIN that was sent again.
    pub(super) fn renew(&mut self, now: Instant, fin: &Header) {
        self.since = now;
        if let (Some((newest, _)), Some(stamps)) = (&mut self.stamps, fin.options.timestamps) {
            *newest = stamps.value;
        }
    }

    /// The options of an acknowledgment.
    pub(super) fn options(&self, now: Instant) -> Options {
        let stamps = self.stamps.map(|(echo, stamp_offset)| {
            let numbers = Numbers {
                iss: 0,
                stamp_offset,
            };
            Timestamps {
                value: numbers.stamp(now),
                echo,
            }
        });
        Options {
            timestamps: stamps,
            ..Options::default()
        }
    }
}

/// The flows of one IP version in TIME-WAIT.
#[derive(Debug)]
#[expect(
    unnameable_types,
    reason = "for `TcpIp` only, which nobody else implements"
)]
pub struct TimeWaitTable<I: Ip> {
    hasher: FlowHasher,
    /// Where in the ring a flow is, by position.
    index: FlowIndex,
    /// Oldest first. Entries that were removed or replaced stay until they are the oldest; the
    /// index does not name them any more.
    ring: VecDeque<Entry<I>>,
    /// The position of the head of the ring; those of the others follow. Wraps.
    head: u32,
    duration: Duration,
    limit: usize,
    evicted: u64,
}

/// A place in the ring.
#[derive(Clone, Copy, Debug)]
struct Entry<I: Ip> {
    network: NetworkId,
    flow: FiveTuple<I>,
    left: TimeWait,
}

impl<I: Ip> TimeWaitTable<I> {
    /// An empty table for `limit` entries that live for `duration`.
    pub(super) fn new(limit: usize, duration: Duration, hasher: FlowHasher) -> Self {
        let limit = limit.max(1);
        Self {
            hasher,
            index: FlowIndex::with_capacity(limit),
            ring: VecDeque::with_capacity(limit),
            head: 0,
            duration,
            limit,
            evicted: 0,
        }
    }

    /// Remembers a flow.
    pub(super) fn insert(&mut self, network: NetworkId, flow: FiveTuple<I>, entry: TimeWait) {
        while self.ring.len() >= self.limit {
            if self.pop_oldest() {
                self.evicted += 1;
            }
        }
        self.remove(network, &flow);
        let position = self.head.wrapping_add(self.ring.len() as u32);
        // There is room: the index names no more entries than the ring holds.
        let inserted = self
            .index
            .insert(self.hasher.hash(network, &flow), position);
        debug_assert!(inserted.is_ok());
        self.ring.push_back(Entry {
            network,
            flow,
            left: entry,
        });
    }

    /// What is known of `flow`.
    pub(super) fn get(&self, network: NetworkId, flow: &FiveTuple<I>) -> Option<TimeWait> {
        let position = self.find(self.hasher.hash(network, flow), network, flow)?;
        Some(self.entry(position)?.left)
    }

    /// Forgets `flow`: it is used again.
    pub(super) fn remove(&mut self, network: NetworkId, flow: &FiveTuple<I>) {
        let hash = self.hasher.hash(network, flow);
        if let Some(position) = self.find(hash, network, flow) {
            self.index.remove(hash, position);
        }
    }

    /// Forgets what has expired by `now`, at most `most` entries.
    pub(super) fn expire(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            match self.poll_timeout() {
                Some(at) if at <= now => self.pop_oldest(),
                _ => return,
            };
        }
    }

    /// When the oldest entry expires.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.ring.front()?;
        Some(oldest.left.since + self.duration)
    }

    /// How many flows are remembered.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many entries were replaced before their time, ever.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Drops the head of the ring; whether it was still named.
    fn pop_oldest(&mut self) -> bool {
        let Some(Entry { network, flow, .. }) = self.ring.pop_front() else {
            return false;
        };
        let position = self.head;
        self.head = position.wrapping_add(1);
        self.index
            .remove(self.hasher.hash(network, &flow), position)
    }

    /// The position of a flow.
    fn find(&self, hash: FlowHash, network: NetworkId, flow: &FiveTuple<I>) -> Option<u32> {
        self.index.find(hash, |position| {
            self.entry(position)
                .is_some_and(|entry| entry.flow == *flow && entry.network == network)
        })
    }

    /// What is at a position.
    fn entry(&self, position: u32) -> Option<&Entry<I>> {
        self.ring.get(position.wrapping_sub(self.head) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ip::{IpAddress, V4, V6};

    const DURATION: Duration = Duration::from_mins(1);

    fn table<I: Ip>(limit: usize) -> TimeWaitTable<I> {
        TimeWaitTable::new(limit, DURATION, FlowHasher::new([1, 2]))
    }

    fn flow<I: Ip>(sport: u16) -> FiveTuple<I> {
        let octets = [1; 16];
        let address = I::Addr::from_octets(&octets).unwrap();
        FiveTuple {
            src: address,
            dst: address,
            sport,
            dport: 80,
            protocol: 6,
        }
    }

    fn entry(since: Instant) -> TimeWait {
        TimeWait {
            snd_nxt: 1,
            rcv_nxt: 2,
            stamps: None,
            since,
        }
    }

    fn entries_expire_in_order<I: Ip>() {
        let mut table = table::<I>(8);
        for sport in 0..3 {
            let since = Instant::from_millis(u64::from(sport));
            table.insert(NetworkId::BARE, flow(sport), entry(since));
        }
        assert_eq!(table.poll_timeout(), Some(Instant::from_millis(60_000)));
        table.expire(Instant::from_millis(60_001), 10);
        assert_eq!(table.len(), 1);
        assert!(table.get(NetworkId::BARE, &flow(2)).is_some());
        assert!(table.get(NetworkId(1), &flow(2)).is_none());
    }

    #[test]
    fn entries_expire_in_order_v4() {
        entries_expire_in_order::<V4>();
    }

    #[test]
    fn entries_expire_in_order_v6() {
        entries_expire_in_order::<V6>();
    }

    #[test]
    fn a_full_table_gives_up_its_oldest() {
        let mut table = table::<V4>(2);
        for sport in 0..3 {
            table.insert(NetworkId::BARE, flow(sport), entry(Instant::ZERO));
        }
        assert!(table.get(NetworkId::BARE, &flow(0)).is_none());
        assert!(table.get(NetworkId::BARE, &flow(1)).is_some());
        assert_eq!((table.len(), table.evicted()), (2, 1));
    }

    #[test]
    fn an_entry_made_again_lives_from_its_second_making() {
        let mut table = table::<V4>(8);
        table.insert(NetworkId::BARE, flow(0), entry(Instant::ZERO));
        table.remove(NetworkId::BARE, &flow(0));
        table.insert(
            NetworkId::BARE,
            flow(0),
            entry(Instant::from_millis(30_000)),
        );
        table.expire(Instant::from_millis(60_000), 10);
        assert_eq!(table.len(), 1);
        table.expire(Instant::from_millis(90_000), 10);
        assert_eq!(table.len(), 0);
    }

    /// What is done to a table.
    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u16, u32),
        Remove(u16, u16),
        Pass(Duration),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few flows, so that they meet again.
        let (network, sport) = (0..2u16, 0..8u16);
        let pass = (0..20u64).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds)));
        let step = prop_oneof![
            3 => (network.clone(), sport.clone(), any::<u32>())
                .prop_map(|(n, s, number)| Step::Insert(n, s, number)),
            1 => (network, sport).prop_map(|(n, s)| Step::Remove(n, s)),
            1 => pass,
        ];
        prop::collection::vec(step, 0..200)
    }

    /// Compares with a map, for a table that is never full, and that is met at any position.
    fn behaves_like_a_map<I: Ip>(steps: Vec<Step>, head: u32) {
        let mut table = table::<I>(256);
        table.head = head;
        let mut model = HashMap::new();
        let mut now = Instant::ZERO;
        for step in steps {
            match step {
                Step::Insert(network, sport, snd_nxt) => {
                    let network = NetworkId(network);
                    let left = TimeWait {
                        snd_nxt,
                        ..entry(now)
                    };
                    table.insert(network, flow(sport), left);
                    model.insert((network, flow(sport)), left);
                }
                Step::Remove(network, sport) => {
                    let network = NetworkId(network);
                    table.remove(network, &flow(sport));
                    model.remove(&(network, flow(sport)));
                }
                Step::Pass(time) => {
                    now += time;
                    table.expire(now, usize::MAX);
                    model.retain(|_, left: &mut TimeWait| left.since + DURATION > now);
                }
            }
            assert_eq!(table.len(), model.len());
            for sport in 0..8 {
                for network in [NetworkId(0), NetworkId(1)] {
                    let known = model.get(&(network, flow::<I>(sport))).copied();
                    assert_eq!(table.get(network, &flow(sport)), known);
                }
            }
        }
        table.expire(now + DURATION, usize::MAX);
        assert_eq!((table.ring.len(), table.index.len()), (0, 0));
        assert_eq!(table.evicted(), 0);
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_for_both_versions(
            steps in steps(),
            head in prop_oneof![Just(0), Just(u32::MAX - 5), any::<u32>()],
        ) {
            behaves_like_a_map::<V4>(steps.clone(), head);
            behaves_like_a_map::<V6>(steps, head);
        }
    }

    #[test]
    fn an_entry_has_room_for_addresses_of_its_version_only() {
        let addresses = |len: usize| 2 * len;
        let saved = size_of::<Entry<V6>>() - size_of::<Entry<V4>>();
        assert_eq!(saved, addresses(16) - addresses(4));
    }
}
