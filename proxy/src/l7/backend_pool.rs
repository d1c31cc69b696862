//! Which backend a new session goes to.
//!
//! A pool is one worker's view of a backend group: every worker balances for itself, over its own
//! sessions, so that nothing is shared. A backend's connection limit is therefore split among the
//! workers; the configuration makes sure that each gets at least one.
//!
//! * **round robin**: smooth weighted: each turn every backend gains its weight, the one with most
//!   wins and pays the sum; so heavy backends are spread between light ones.
//! * **least connections**: the fewest sessions for its weight; among equals the round robin's
//!   choice, so that an idle group is not always served by its first backend.
//! * **source hash**: weighted rendezvous hashing of the client's address: a client stays with its
//!   backend, and when a backend goes, only its own clients move.

use core::net::{IpAddr, SocketAddr};

use crate::config::{BackendGroupConfig, Balance};

/// One worker's view of a backend group.
#[derive(Debug)]
pub struct BackendPool {
    balance: Balance,
    backends: Vec<Backend>,
    /// Key of the source hash; the same on every worker, so that a client stays with its backend
    /// whichever worker its next connection meets.
    hash_key: u64,
}

/// A server to which sessions go.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    weight: i64,
    limit: Option<u32>,
    sessions: u32,
    /// Smooth round robin: what the backend has gained and not spent.
    credit: i64,
}

/// Names a backend of a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BackendId(u32);

impl BackendId {
    fn new(index: usize) -> Self {
        Self(index as u32)
    }

    /// Its place in the group, in configured order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl BackendPool {
    /// The share of `worker` (of `workers`) in a configured group.
    pub fn new(group: &BackendGroupConfig, worker: u16, workers: u16, hash_key: u64) -> Self {
        let backends = group
            .backends
            .iter()
            .map(|backend| Backend {
                address: backend.address,
                weight: i64::from(backend.weight),
                limit: backend
                    .max_connections
                    .map(|limit| share(limit, worker, workers)),
                sessions: 0,
                credit: 0,
            })
            .collect();
        Self {
            balance: group.balance,
            backends,
            hash_key,
        }
    }

    /// Chooses a backend for a client, but none of `tried`, and counts the session.
    ///
    /// `None` if no backend may take it.
    pub fn pick(&mut self, client: IpAddr, tried: &[BackendId]) -> Option<BackendId> {
        let id = match self.balance {
            Balance::RoundRobin => self.pick_round_robin(tried, |_| true),
            Balance::LeastConnections => {
                let least = self.least_load(tried)?;
                self.pick_round_robin(tried, |backend| backend.has_load(least))
            }
            Balance::SourceHash => self.pick_by_hash(client, tried),
        }?;
        self.backends[id.index()].sessions += 1;
        Some(id)
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
            backend.credit += backend.weight;
            total += backend.weight;
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
            .map(|(_, backend)| (backend.sessions, backend.weight))
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
        reason = "53 bits of hash and 16 of weight are what a double holds"
    )]
    fn score(&self, client: IpAddr, backend: &Backend) -> f64 {
        let hash = mix(
            self.hash_key,
            &[address_bits(client), socket_bits(backend.address)],
        );
        // The 53 bits that a double holds, moved off 0.
        let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -(backend.weight as f64) / unit.ln()
    }
}

impl Backend {
    /// Sessions that this worker has with it, connecting ones included.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    fn may_take(&self) -> bool {
        self.weight > 0 && self.limit.is_none_or(|limit| self.sessions < limit)
    }

    fn has_load(&self, load: (u32, i64)) -> bool {
        compare_load((self.sessions, self.weight), load).is_eq()
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
