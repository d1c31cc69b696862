//! Which backend a new session goes to.
//!
//! A pool is one worker's view of a backend group: every worker balances for itself, over its own
//! sessions, so that nothing is shared but what checks say. A backend's connection limit is
//! therefore split among the workers; the configuration makes sure that each gets at least one.
//!
//! * **round robin**: smooth weighted: each turn every backend gains its weight, the one with most
//!   wins and pays the sum; so heavy backends are spread between light ones.
//! * **least connections**: the fewest sessions for its weight; among equals the round robin's
//!   choice, so that an idle group is not always served by its first backend.
//! * **source hash**: weighted rendezvous hashing of the client's address: a client stays with its
//!   backend, and when a backend goes or its weight changes, only its own clients move.
//!
//! Backends that are down ([`Board`]) or ejected (`ejection`) have no weight, and those that came
//! back a growing one. If that leaves none, all are used again (fail-open): to try is better than
//! to refuse, most of all if it is the checks that are wrong. What the operator has drained, or
//! given no weight, is never used.

mod ejection;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use netstack::counters::Event;
use netstack::time::Instant;

use self::ejection::{Ejections, Verdict};
use super::health::{Board, Change, Standing, Teller};
use crate::config::{BackendGroupConfig, BackendGroupId, Balance};
use crate::termination::Cause;

/// One worker's view of a backend group.
#[derive(Debug)]
pub struct BackendPool {
    balance: Balance,
    backends: Vec<Backend>,
    slow_start: Option<Duration>,
    ejections: Option<Ejections>,
    context: PoolContext,
}

/// What a pool has besides the configuration of its group.
#[derive(Clone, Debug)]
pub struct PoolContext {
    /// The group.
    pub group: BackendGroupId,
    /// Whose pool it is, and of how many workers.
    pub worker: (u16, u16),
    /// Key of the source hash; the same on every worker, so that a client stays with its backend
    /// whichever worker its next connection meets.
    pub hash_key: u64,
    /// What checks say of the backends.
    pub board: Board,
    /// To whom changes are told.
    pub teller: Teller,
}

/// A server to which sessions go.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the operator says.
    weight: u16,
    drained: bool,
    /// The weight as of now, in parts of [`FULL`]; 0 for those that are not to be used.
    effective: i64,
    limit: Option<u32>,
    sessions: u32,
    /// Smooth round robin: what the backend has gained and not spent.
    credit: i64,
}

/// What the operator changes while sessions go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting {
    /// Its share of new sessions; 0 for none.
    Weight(u16),
    /// Whether it takes no new sessions, whatever its weight. Those there are go on.
    Drain(bool),
}

/// A backend's weight of 1 when it has been up for long.
const FULL: i64 = 1024;

/// Names a backend of a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BackendId(u32);

impl BackendId {
    /// The backend at this place of its group.
    pub fn new(index: usize) -> Self {
        Self(index as u32)
    }

    /// Its place in the group, in configured order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl BackendPool {
    /// A worker's share in a configured group.
    pub fn new(group: &BackendGroupConfig, context: PoolContext) -> Self {
        let (worker, workers) = context.worker;
        let backends = group.backends.iter().map(|backend| Backend {
            address: backend.address,
            weight: backend.weight,
            drained: false,
            effective: 0,
            limit: backend
                .max_connections
                .map(|limit| share(limit, worker, workers)),
            sessions: 0,
            credit: 0,
        });
        let backends: Vec<_> = backends.collect();
        let ejection = group.ejection.as_ref();
        Self {
            balance: group.balance,
            slow_start: group.slow_start,
            ejections: ejection.map(|config| Ejections::new(config.clone(), backends.len())),
            backends,
            context,
        }
    }

    /// Chooses a backend for a client, but none of `tried`, and counts the session.
    ///
    /// `None` if no backend may take it.
    pub fn pick(&mut self, now: Instant, client: IpAddr, tried: &[BackendId]) -> Option<BackendId> {
        self.handle_timeouts(now);
        let fail_open = !self.weigh(now);
        let id = match self.balance {
            Balance::RoundRobin => self.pick_round_robin(tried, |_| true),
            Balance::LeastConnections => {
                let least = self.least_load(tried)?;
                self.pick_round_robin(tried, |backend| backend.has_load(least))
            }
            Balance::SourceHash => self.pick_by_hash(client, tried),
        }?;
        self.backends[id.index()].sessions += 1;
        if fail_open {
            let counters = &self.context.teller.counters;
            counters.increment(Event::BackendsFailOpen);
        }
        Some(id)
    }

    /// A session was served by a backend: octets came from it, or an orderly end.
    pub fn note_served(&mut self, now: Instant, id: BackendId) {
        if let Some(ejections) = &mut self.ejections {
            ejections.note_served(now, id.index());
        }
    }

    /// A session failed at a backend before that had sent anything.
    pub fn note_failed(&mut self, now: Instant, id: BackendId, reason: Cause) {
        let Some(ejections) = &mut self.ejections else {
            return;
        };
        let takers = self
            .backends
            .iter()
            .filter(|backend| backend.asked_for() > 0);
        let PoolContext { group, teller, .. } = &self.context;
        match ejections.note_failed(now, id.index(), takers.count()) {
            Verdict::Stays => {}
            Verdict::Withheld => teller.counters.increment(Event::BackendEjectionsWithheld),
            Verdict::Ejected { in_a_row, time } => {
                teller.counters.increment(Event::BackendEjections);
                teller.adjust(Event::BackendsEjected, 1);
                let change = Change::Ejected {
                    reason,
                    in_a_row,
                    time,
                };
                teller.tell(*group, id, change);
            }
        }
    }

    /// Takes back ejected backends whose time is over.
    pub fn handle_timeouts(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|next| now < next) {
            return;
        }
        let PoolContext { group, teller, .. } = &self.context;
        while let Some(index) = self.ejections.as_mut().and_then(|all| all.take_back(now)) {
            teller.adjust(Event::BackendsEjected, -1);
            teller.tell(*group, BackendId::new(index), Change::Returned);
        }
    }

    /// When [`BackendPool::handle_timeouts`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ejections.as_ref()?.next_return()
    }

    /// Obeys the operator.
    pub fn set(&mut self, id: BackendId, setting: Setting) {
        let Some(backend) = self.backends.get_mut(id.index()) else {
            return;
        };
        match setting {
            Setting::Weight(weight) => backend.weight = weight,
            Setting::Drain(drained) => backend.drained = drained,
        }
    }

    /// Ends the counting of a session that `pick` began.
    pub fn release(&mut self, id: BackendId) {
        let sessions = &mut self.backends[id.index()].sessions;
        debug_assert!(*sessions > 0);
        *sessions = sessions.saturating_sub(1);
    }

    /// The backend called `id`.
    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[id.index()]
    }

    /// All backends, in configured order.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Finds out what every backend weighs now. Returns false if none of those that the operator
    /// wants may be used, and so all of them are.
    fn weigh(&mut self, now: Instant) -> bool {
        let mut any = false;
        let mut wanted = false;
        for index in 0..self.backends.len() {
            let strength = self.strength(index, now);
            let backend = &mut self.backends[index];
            let asked_for = backend.asked_for();
            backend.effective = asked_for * strength;
            any |= backend.effective > 0;
            wanted |= asked_for > 0;
        }
        let fail_open = wanted && !any;
        for backend in &mut self.backends {
            if fail_open {
                backend.effective = backend.asked_for() * FULL;
            }
            if backend.effective == 0 {
                // What it has to its credit will be of a time that is over.
                backend.credit = 0;
            }
        }
        !fail_open
    }

    /// How much of its weight a backend has now: all of [`FULL`], part of it after it came back, or
    /// nothing.
    fn strength(&self, index: usize, now: Instant) -> i64 {
        let ejections = self.ejections.as_ref();
        let up_since = match self.context.board.standing(index) {
            Standing::Down => return 0,
            Standing::Up => None,
            Standing::UpSince(at) => Some(at),
        };
        if ejections.is_some_and(|ejections| ejections.is_ejected(index)) {
            return 0;
        }
        let returned = ejections.and_then(|ejections| ejections.returned_at(index));
        let (Some(back), Some(slow_start)) = (up_since.max(returned), self.slow_start) else {
            return FULL;
        };
        let passed = now.saturating_duration_since(back).as_nanos();
        let part = passed * FULL as u128 / slow_start.as_nanos().max(1);
        (part as i64).clamp(1, FULL)
    }

    fn pick_round_robin(
        &mut self,
        tried: &[BackendId],
        eligible: impl Fn(&Backend) -> bool,
    ) -> Option<BackendId> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for index in 0..self.backends.len() {
            let backend = &mut self.backends[index];
            if !backend.may_take() || tried.contains(&BackendId::new(index)) || !eligible(backend) {
                continue;
            }
            backend.credit += backend.effective;
            total += backend.effective;
            let credit = backend.credit;
            if best.is_none_or(|best| credit > self.backends[best].credit) {
                best = Some(index);
            }
        }
        let best = best?;
        self.backends[best].credit -= total;
        Some(BackendId::new(best))
    }

    /// The smallest load among the backends that may take a session: (sessions, weight).
    fn least_load(&self, tried: &[BackendId]) -> Option<(u32, i64)> {
        self.backends
            .iter()
            .enumerate()
            .filter(|(index, backend)| {
                backend.may_take() && !tried.contains(&BackendId::new(*index))
            })
            .map(|(_, backend)| backend.load())
            .min_by(|a, b| compare_load(*a, *b))
    }

    fn pick_by_hash(&self, client: IpAddr, tried: &[BackendId]) -> Option<BackendId> {
        self.backends
            .iter()
            .enumerate()
            .filter(|(index, backend)| {
                backend.may_take() && !tried.contains(&BackendId::new(*index))
            })
            .map(|(index, backend)| (index, self.score(client, backend)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(index, _)| BackendId::new(index))
    }

    /// Weighted rendezvous: `-weight / ln(hash)` with the hash spread over (0, 1).
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits of hash and 26 of weight are what a double holds"
    )]
    fn score(&self, client: IpAddr, backend: &Backend) -> f64 {
        let hash = mix(
            self.context.hash_key,
            &[address_bits(client), socket_bits(backend.address)],
        );
        // The 53 bits that a double holds, moved off 0.
        let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -(backend.effective as f64) / unit.ln()
    }
}

impl Backend {
    /// Sessions that this worker has with it, connecting ones included.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    fn may_take(&self) -> bool {
        self.effective > 0 && self.limit.is_none_or(|limit| self.sessions < limit)
    }

    /// The weight that the operator wants it to have.
    fn asked_for(&self) -> i64 {
        if self.drained {
            0
        } else {
            i64::from(self.weight)
        }
    }

    fn load(&self) -> (u32, i64) {
        (self.sessions, self.effective)
    }

    fn has_load(&self, load: (u32, i64)) -> bool {
        compare_load(self.load(), load).is_eq()
    }
}

/// Compares sessions per weight without dividing.
fn compare_load(a: (u32, i64), b: (u32, i64)) -> core::cmp::Ordering {
    (i64::from(a.0) * b.1).cmp(&(i64::from(b.0) * a.1))
}

/// The part of `limit` that falls to `worker`.
fn share(limit: u32, worker: u16, workers: u16) -> u32 {
    let (workers, worker) = (u32::from(workers), u32::from(worker));
    limit / workers + u32::from(worker < limit % workers)
}

fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn socket_bits(address: SocketAddr) -> u128 {
    address_bits(address.ip()).rotate_left(64) ^ u128::from(address.port())
}

/// A keyed hash of a few words: multiply and fold, which spreads every bit over the result.
fn mix(key: u64, words: &[u128]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(FACTOR);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mixed = words.iter().fold(key, |state, word| {
        fold(
            fold(state, *word as u64).wrapping_add(FACTOR),
            (*word >> 64) as u64,
        )
        .wrapping_add(FACTOR)
    });
    fold(mixed, key.rotate_left(32))
}

#[cfg(test)]
mod tests;
