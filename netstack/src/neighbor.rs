//! Which MAC address a neighbor has: ARP (RFC 826) and neighbor discovery (RFC 4861), written once.
//!
//! [`NeighborTable`] is the state machine. In: packets that want to go to a neighbor
//! ([`NeighborTable::resolve`], [`NeighborTable::lookup`]), what was heard on the link
//! ([`NeighborTable::handle_heard`]), the time ([`NeighborTable::handle_timeout`]). Out:
//! [`Action`]s: ask, send, drop. How questions and answers look on the wire is in
//! [`NeighborIp`], the only thing that differs between the IP versions.
//!
//! ```text
//!            resolve                 answer                 time
//!   (none) ----------> Incomplete ----------> Reachable ----------> Stale
//!      ^                   | no answer            ^                   | used
//!      |    time           v                      |     answer        v
//!      +---------------- Failed                   +---------------- Probe ---> (none)
//! ```
//!
//! Every packet handed in comes out exactly once: ready at once, refused at once, or later as
//! [`Action::Send`] or [`Action::Drop`]. The table, the queue of each entry and the packets in all
//! queues are bounded. When the table is full, the entry that is least useful makes room: one that failed, else the one
//! that has been stale longest. Entries in use and entries with waiting packets never do; then the
//! newcomer is refused, and existing work goes on.
//!
//! Cost: `resolve` and `lookup` of a known neighbor are one hash lookup and allocate nothing.
//! Changes of state keep two ordered sets (deadlines, what may be evicted) up to date, which grows
//! with the logarithm of the number of entries. `handle_timeout` handles a bounded number of
//! deadlines per call; [`NeighborTable::poll_timeout`] tells if more are due.

mod config;
mod message;
mod state;

use core::hash::BuildHasher;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, VecDeque};

use siphasher::sip::SipHasher13;

pub use config::NeighborConfig;
pub use message::{Asker, Heard, NeighborIp, Speaker};

use crate::io::PortId;
use crate::ip::{Ip, IpAddress, NetworkId};
use crate::route::LocalAddresses;
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;
use state::{Failed, Idle, Incomplete, Probe, Reachable, Stale, State};

/// A neighbor: an address on the link of a port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Neighbor<I: Ip> {
    /// The network in which the address is unique.
    pub network: NetworkId,
    /// The port whose link the neighbor is on.
    pub port: PortId,
    /// The neighbor's address.
    pub addr: I::Addr,
}

/// What becomes of a packet that wants to go to a neighbor.
#[derive(Debug, Eq, PartialEq)]
pub enum Resolution<B> {
    /// To be sent now, to this MAC address.
    Ready(MacAddr, B),
    /// Kept until the neighbor answers or is given up.
    Queued,
    /// To be dropped as [`DropReason::NeighborUnreachable`]: the neighbor did not answer lately,
    /// too many packets wait already, for it or in the whole table, or the table is full.
    ///
    /// [`DropReason::NeighborUnreachable`]: crate::drop::DropReason::NeighborUnreachable
    Refused(B),
}

/// What the caller has to do.
#[derive(Debug, Eq, PartialEq)]
pub enum Action<I: Ip, B> {
    /// Send a question ([`NeighborIp::emit_request`]). If there is no buffer for it, leave it: it
    /// is asked again.
    Ask {
        /// Who is asked for.
        neighbor: Neighbor<I>,
        /// Ask this MAC address only; `None` asks everybody.
        unicast_to: Option<MacAddr>,
    },
    /// Send a packet that waited.
    Send {
        /// Where it wanted to go.
        neighbor: Neighbor<I>,
        /// The MAC address to send it to.
        mac: MacAddr,
        /// The packet.
        packet: B,
    },
    /// Drop a packet that waited in vain, as `NeighborUnreachable`.
    Drop {
        /// Where it wanted to go.
        neighbor: Neighbor<I>,
        /// The packet.
        packet: B,
    },
    /// Nothing to do: a neighbor was given up, after its packets.
    Failed {
        /// Who did not answer.
        neighbor: Neighbor<I>,
    },
}

/// What came of something heard on the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome<I: Ip> {
    /// We are asked: send an answer ([`NeighborIp::emit_answer`]).
    Answer {
        /// Our address that is asked for.
        target: I::Addr,
        /// Who asks.
        asker: Asker<I>,
    },
    /// A neighbor's MAC address or reachability became known or changed.
    Learned,
    /// It asks for, or tells about, somebody else.
    NotForUs,
}

/// The neighbors of all ports, for one IP version.
#[derive(Debug)]
pub struct NeighborTable<I: Ip, B> {
    config: NeighborConfig,
    index: HashMap<Neighbor<I>, usize, KeyedHash>,
    /// Slots; those in `free` are `None`, the others are in `index`.
    entries: Vec<Option<Entry<I, B>>>,
    free: Vec<usize>,
    /// When to look at which slot. Invariant: `Entry::timer` of each entry, and nothing else.
    timers: BTreeSet<(Instant, usize)>,
    /// Slots that may make room, least useful first. Invariant: as [`State::idle`] tells.
    idle: BTreeSet<(Idle, usize)>,
    actions: VecDeque<Action<I, B>>,
    /// Empty queues of entries that wait no more, for those that will: a stranger who makes us ask
    /// for ever new neighbors costs no allocation each. At most as many as there are slots.
    spare_queues: Vec<VecDeque<B>>,
    /// Packets in the queues of entries and in `actions`.
    waiting: usize,
}

#[derive(Debug)]
struct Entry<I: Ip, B> {
    neighbor: Neighbor<I>,
    state: State<B>,
    /// When the entry is looked at again: the deadline of its state.
    timer: Option<Instant>,
}

impl<I: Ip, B> NeighborTable<I, B> {
    /// An empty table. `hash_key` should be random: it keeps a stranger from choosing addresses
    /// that collide.
    pub fn new(config: NeighborConfig, hash_key: [u64; 2]) -> Self {
        let slots = config.max_entries;
        Self {
            config: NeighborConfig {
                max_waiting: config.max_waiting.max(1),
                max_waiting_total: config.max_waiting_total.max(1),
                tries: config.tries.max(1),
                ..config
            },
            index: HashMap::with_capacity_and_hasher(slots, KeyedHash(hash_key)),
            entries: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            timers: BTreeSet::new(),
            idle: BTreeSet::new(),
            actions: VecDeque::new(),
            spare_queues: Vec::with_capacity(slots),
            waiting: 0,
        }
    }

    /// The MAC address of `neighbor`, if it is known: for packets that are ready to be sent.
    /// Notes that the entry is used.
    pub fn lookup(&mut self, now: Instant, neighbor: Neighbor<I>) -> Option<MacAddr> {
        let slot = *self.index.get(&neighbor)?;
        let state = &self.entry(slot)?.state;
        let mac = state.mac()?;
        if matches!(state, State::Stale(_)) {
            // RFC 4861 7.3.3: a stale entry is used, and asked about after a while.
            let next_at = now + self.config.probe_delay;
            self.enter(
                slot,
                State::Probe(Probe {
                    mac,
                    asked: 0,
                    next_at,
                }),
            );
        }
        Some(mac)
    }

    /// Gives the packet back with the neighbor's MAC address, or keeps it until that is known.
    ///
    /// Poll the actions before sending what this returns, so that packets which waited go first.
    pub fn resolve(&mut self, now: Instant, neighbor: Neighbor<I>, packet: B) -> Resolution<B> {
        if let Some(mac) = self.lookup(now, neighbor) {
            return Resolution::Ready(mac, packet);
        }
        let known = self.index.get(&neighbor).copied();
        // Asked for even if its packet finds no room: the next one can then go.
        let Some(slot) = known.or_else(|| self.begin(now, neighbor)) else {
            return Resolution::Refused(packet);
        };
        let max_waiting = self.config.max_waiting;
        let has_room = self.waiting < self.config.max_waiting_total;
        match self.entry_mut(slot).map(|entry| &mut entry.state) {
            Some(State::Incomplete(incomplete))
                if has_room && incomplete.queue.len() < max_waiting =>
            {
                incomplete.queue.push_back(packet);
                self.waiting += 1;
                Resolution::Queued
            }
            _ => Resolution::Refused(packet),
        }
    }

    /// Takes a question or an answer that was heard on the link of `port`.
    ///
    /// Whoever asks for one of our addresses on that link is learned, as it is about to send us
    /// packets (RFC 826; RFC 4861 section 7.2.3). Answers and announcements change entries that are
    /// there and make no new ones.
    pub fn handle_heard(
        &mut self,
        now: Instant,
        network: NetworkId,
        port: PortId,
        local: &LocalAddresses<I>,
        heard: &Heard<I>,
    ) -> Outcome<I> {
        let teller = match heard {
            Heard::Request { asker, .. } => asker.addr,
            Heard::Answer { about, .. } => *about,
        };
        // Somebody else uses our address: nothing to be learned, and no answer would help.
        if local.contains(network, teller) {
            return Outcome::NotForUs;
        }
        let neighbor = Neighbor {
            network,
            port,
            addr: teller,
        };
        match *heard {
            Heard::Request {
                target,
                asker,
                teaches,
            } => {
                if local.port_of(network, target) != Some(port) {
                    return Outcome::NotForUs;
                }
                if teaches && is_station(asker.mac) && asker.addr.is_unicast() {
                    self.handle_request(now, neighbor, asker.mac);
                }
                Outcome::Answer { target, asker }
            }
            Heard::Answer {
                mac,
                solicited,
                override_known,
                ..
            } => {
                let learned = mac.is_none_or(is_station)
                    && self.handle_answer(now, neighbor, mac, solicited, override_known);
                if learned {
                    Outcome::Learned
                } else {
                    Outcome::NotForUs
                }
            }
        }
    }

    /// Does what is due at `now`, at most [`TIMEOUTS_PER_CALL`] things.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_CALL {
            match self.timers.first() {
                Some(&(at, slot)) if at <= now => self.expire(now, slot),
                _ => return,
            }
        }
    }

    /// When [`NeighborTable::handle_timeout`] has something to do; may lie in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next thing that the caller has to do.
    pub fn poll_action(&mut self) -> Option<Action<I, B>> {
        let action = self.actions.pop_front()?;
        if matches!(action, Action::Send { .. } | Action::Drop { .. }) {
            self.waiting -= 1;
        }
        Some(action)
    }

    /// How many packets are kept here.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many neighbors are known, or asked for, or known not to answer.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no neighbor is known or asked for.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Asks for a neighbor that there is no entry of; `None` if there can be none.
    fn begin(&mut self, now: Instant, neighbor: Neighbor<I>) -> Option<usize> {
        if !neighbor.addr.is_unicast() {
            return None;
        }
        let slot = self.make_room()?;
        let incomplete = Incomplete {
            queue: self.spare_queues.pop().unwrap_or_default(),
            asked: 1,
            next_at: now + self.config.first_retry,
        };
        self.occupy(slot, neighbor, State::Incomplete(incomplete));
        self.actions.push_back(Action::Ask {
            neighbor,
            unicast_to: None,
        });
        Some(slot)
    }

    /// A neighbor that asks tells its MAC address.
    fn handle_request(&mut self, now: Instant, neighbor: Neighbor<I>, mac: MacAddr) {
        let stale = State::Stale(Stale { mac, since: now });
        match self.index.get(&neighbor) {
            None => {
                // Without room it is asked for once there is a packet for it.
                if let Some(slot) = self.make_room() {
                    self.occupy(slot, neighbor, stale);
                }
            }
            Some(&slot) if self.known_mac(slot) != Some(mac) => {
                self.replace(slot, mac, stale);
            }
            // RFC 4861 7.2.3: the same address again changes no state.
            Some(_) => {}
        }
    }

    /// RFC 4861 7.2.5. Returns whether anything became known or changed.
    fn handle_answer(
        &mut self,
        now: Instant,
        neighbor: Neighbor<I>,
        mac: Option<MacAddr>,
        solicited: bool,
        override_known: bool,
    ) -> bool {
        let Some(&slot) = self.index.get(&neighbor) else {
            return false;
        };
        let known = self.known_mac(slot);
        let Some(new) = mac.or(known) else {
            return false;
        };
        let changes = known.is_some_and(|known| known != new);
        let is_reachable = matches!(
            self.entry(slot).map(|entry| &entry.state),
            Some(State::Reachable(_))
        );
        if changes && !override_known {
            // It contradicts what is known and does not insist: keep the address, but doubt it.
            if let (true, Some(mac)) = (is_reachable, known) {
                self.enter(slot, State::Stale(Stale { mac, since: now }));
            }
            return false;
        }
        if solicited {
            let until = now + self.config.reachable_time;
            self.replace(slot, new, State::Reachable(Reachable { mac: new, until }));
            return true;
        }
        // Nobody asked: it may be old news.
        if known == Some(new) {
            return false;
        }
        self.replace(
            slot,
            new,
            State::Stale(Stale {
                mac: new,
                since: now,
            }),
        );
        true
    }

    /// The MAC address in a slot became `mac`: waiting packets go.
    fn replace(&mut self, slot: usize, mac: MacAddr, state: State<B>) {
        let Some((neighbor, old)) = self.enter(slot, state) else {
            return;
        };
        if let State::Incomplete(Incomplete { mut queue, .. }) = old {
            let sends = queue.drain(..).map(|packet| Action::Send {
                neighbor,
                mac,
                packet,
            });
            self.actions.extend(sends);
            self.spare_queues.push(queue);
        }
    }

    /// The timer of a slot is due.
    fn expire(&mut self, now: Instant, slot: usize) {
        let config = self.config;
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        let neighbor = entry.neighbor;
        match &mut entry.state {
            State::Incomplete(Incomplete { asked, next_at, .. }) if *asked < config.tries => {
                *asked += 1;
                *next_at = now + config.retry_after(*asked);
                self.ask(slot, neighbor, None);
            }
            State::Incomplete(_) => self.give_up(now, slot),
            State::Probe(Probe {
                mac,
                asked,
                next_at,
            }) if *asked < config.tries => {
                *asked += 1;
                *next_at = now + config.retry_after(*asked);
                let unicast_to = Some(*mac);
                self.ask(slot, neighbor, unicast_to);
            }
            State::Reachable(Reachable { mac, .. }) => {
                let mac = *mac;
                self.enter(slot, State::Stale(Stale { mac, since: now }));
            }
            // RFC 4861 7.3.3: the next packet asks everybody again.
            State::Probe(_) | State::Failed(_) | State::Stale(_) => self.remove(slot),
        }
    }

    fn ask(&mut self, slot: usize, neighbor: Neighbor<I>, unicast_to: Option<MacAddr>) {
        self.arm(slot);
        self.actions.push_back(Action::Ask {
            neighbor,
            unicast_to,
        });
    }

    /// Nobody answered.
    fn give_up(&mut self, now: Instant, slot: usize) {
        let until = now + self.config.failed_hold;
        let Some((neighbor, old)) = self.enter(slot, State::Failed(Failed { until })) else {
            return;
        };
        if let State::Incomplete(Incomplete { mut queue, .. }) = old {
            let drops = queue
                .drain(..)
                .map(|packet| Action::Drop { neighbor, packet });
            self.actions.extend(drops);
            self.spare_queues.push(queue);
        }
        self.actions.push_back(Action::Failed { neighbor });
    }

    fn entry(&self, slot: usize) -> Option<&Entry<I, B>> {
        self.entries.get(slot)?.as_ref()
    }

    fn entry_mut(&mut self, slot: usize) -> Option<&mut Entry<I, B>> {
        self.entries.get_mut(slot)?.as_mut()
    }

    fn known_mac(&self, slot: usize) -> Option<MacAddr> {
        self.entry(slot)?.state.mac()
    }

    /// A free slot; that of the least useful idle entry if all are taken, which is removed. `None`
    /// if no entry is idle.
    fn make_room(&mut self) -> Option<usize> {
        if self.free.is_empty() {
            let &(_, slot) = self.idle.first()?;
            self.remove(slot);
        }
        self.free.pop()
    }

    /// Puts a new entry into a free slot.
    fn occupy(&mut self, slot: usize, neighbor: Neighbor<I>, state: State<B>) {
        self.idle.extend(state.idle().map(|idle| (idle, slot)));
        self.entries[slot] = Some(Entry {
            neighbor,
            state,
            timer: None,
        });
        self.index.insert(neighbor, slot);
        self.arm(slot);
    }

    /// Frees a slot. Only entries without waiting packets are removed.
    fn remove(&mut self, slot: usize) {
        let Some(entry) = self.entries[slot].take() else {
            return;
        };
        debug_assert!(!matches!(entry.state, State::Incomplete(_)));
        self.index.remove(&entry.neighbor);
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, slot));
        }
        if let Some(idle) = entry.state.idle() {
            self.idle.remove(&(idle, slot));
        }
        self.free.push(slot);
    }

    /// Changes the state of a slot; returns whose it is and the state it had.
    fn enter(&mut self, slot: usize, state: State<B>) -> Option<(Neighbor<I>, State<B>)> {
        let entry = self.entries[slot].as_mut()?;
        if let Some(idle) = entry.state.idle() {
            self.idle.remove(&(idle, slot));
        }
        self.idle.extend(state.idle().map(|idle| (idle, slot)));
        let old = core::mem::replace(&mut entry.state, state);
        let neighbor = entry.neighbor;
        self.arm(slot);
        Some((neighbor, old))
    }

    /// Sets the timer of a slot to the deadline of its state.
    fn arm(&mut self, slot: usize) {
        let Some(entry) = self.entries[slot].as_mut() else {
            return;
        };
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, slot));
        }
        entry.timer = entry.state.deadline();
        self.timers.extend(entry.timer.map(|at| (at, slot)));
    }
}

impl NeighborConfig {
    /// How long to wait after the `asked`th question.
    fn retry_after(&self, asked: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(asked.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.first_retry.saturating_mul(doubled).min(self.max_retry)
    }
}

/// Whether a MAC address can be that of one station (RFC 1812 section 3.3.2).
fn is_station(mac: MacAddr) -> bool {
    !mac.is_multicast() && mac != MacAddr::default()
}

/// Makes SipHash-1-3 with a key.
#[derive(Clone, Debug)]
struct KeyedHash([u64; 2]);

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        let [key0, key1] = self.0;
        SipHasher13::new_with_keys(key0, key1)
    }
}

/// How many deadlines one call of [`NeighborTable::handle_timeout`] handles.
pub const TIMEOUTS_PER_CALL: usize = 64;

#[cfg(test)]
mod tests;
