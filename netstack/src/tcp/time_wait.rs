//! Connections in TIME-WAIT (RFC 9293 section 3.3.2), without a connection.
//!
//! Whoever closes first must remember the flow for a while, so that a late segment is not taken
//! for one of a new connection. What is needed for that is two sequence numbers, and the clocks of
//! both ends if they were in use (RFC 6191, RFC 7323 section 5), so that is what an entry holds. All entries live equally long, so a queue in order of arrival finds the expired
//! ones, and the oldest when the table is full: a new entry then replaces it, because the end that
//! closes now is likelier to see late segments than the one that closed long ago.

use core::time::Duration;
use std::collections::VecDeque;

use super::{Numbers, seq};
use crate::flow_table::FlowTable;
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
pub(super) struct TimeWaitTable<I: Ip> {
    entries: FlowTable<I, TimeWait>,
    /// Oldest first. May name entries that were removed or replaced since; `since` tells.
    order: VecDeque<(NetworkId, FiveTuple<I>, Instant)>,
    duration: Duration,
    limit: usize,
    evicted: u64,
}

impl<I: Ip> TimeWaitTable<I> {
    /// An empty table for `limit` entries that live for `duration`; `key` is secret.
    pub(super) fn new(limit: usize, duration: Duration, key: [u64; 2]) -> Self {
        let limit = limit.max(1);
        Self {
            entries: FlowTable::with_capacity(limit, key),
            order: VecDeque::with_capacity(limit),
            duration,
            limit,
            evicted: 0,
        }
    }

    /// Remembers a flow.
    pub(super) fn insert(&mut self, network: NetworkId, flow: FiveTuple<I>, entry: TimeWait) {
        while self.order.len() >= self.limit {
            if self.pop_oldest() {
                self.evicted += 1;
            }
        }
        self.entries.remove(network, &flow);
        // There is room: the table holds no more entries than the queue does.
        let inserted = self.entries.insert(network, &flow, entry);
        debug_assert!(inserted.is_ok());
        self.order.push_back((network, flow, entry.since));
    }

    /// What is known of `flow`.
    pub(super) fn get(&self, network: NetworkId, flow: &FiveTuple<I>) -> Option<TimeWait> {
        self.entries.get(network, flow)
    }

    /// Forgets `flow`: it is used again.
    pub(super) fn remove(&mut self, network: NetworkId, flow: &FiveTuple<I>) {
        self.entries.remove(network, flow);
    }

    /// Forgets what has expired by `now`, at most `budget` entries.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) {
        for _ in 0..budget {
            match self.order.front() {
                Some((_, _, since)) if *since + self.duration <= now => self.pop_oldest(),
                _ => return,
            };
        }
    }

    /// When the oldest entry expires.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.order
            .front()
            .map(|(_, _, since)| *since + self.duration)
    }

    /// How many flows are remembered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many entries were replaced before their time, ever.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Drops the head of the queue; whether it still named an entry.
    fn pop_oldest(&mut self) -> bool {
        let Some((network, flow, since)) = self.order.pop_front() else {
            return false;
        };
        let current = self
            .entries
            .get(network, &flow)
            .is_some_and(|entry| entry.since == since);
        if current {
            self.entries.remove(network, &flow);
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::{IpAddress, V4, V6};

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
        let mut table = TimeWaitTable::<I>::new(8, Duration::from_mins(1), [1, 2]);
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
        let mut table = TimeWaitTable::<V4>::new(2, Duration::from_mins(1), [1, 2]);
        for sport in 0..3 {
            table.insert(NetworkId::BARE, flow(sport), entry(Instant::ZERO));
        }
        assert!(table.get(NetworkId::BARE, &flow(0)).is_none());
        assert!(table.get(NetworkId::BARE, &flow(1)).is_some());
        assert_eq!((table.len(), table.evicted()), (2, 1));
    }

    #[test]
    fn an_entry_made_again_lives_from_its_second_making() {
        let mut table = TimeWaitTable::<V4>::new(8, Duration::from_mins(1), [1, 2]);
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
}
