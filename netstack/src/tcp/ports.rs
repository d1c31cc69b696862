//! Source ports of the connections that we open.
//!
//! The configured range is split into one contiguous share for each worker, so the port of a
//! reply tells which worker the connection belongs to, on whatever queue the reply arrives.
//! Within its share a worker keeps a bitmap for each pair of local address and remote end, and
//! goes round it, so that a port rests as long as possible before it is used again.
//!
//! Where the port's RSS key and table are known, the caller's `accept` test also asks that the
//! reply arrives at this worker's queue in the first place.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::collections::HashMap;

use crate::ip::NetworkId;

/// Candidates looked at for one connection at most; bounds the work when nearly all are taken.
const MAX_CANDIDATES: usize = 4096;

/// How the source ports are split among the workers.
#[derive(Clone, Debug)]
pub struct PortShares {
    first: u16,
    share: u16,
    workers: u16,
}

impl PortShares {
    /// Splits `range` into equal shares for `workers` workers. The remainder stays unused.
    ///
    /// `None` if a worker would have no port.
    pub fn new(range: RangeInclusive<u16>, workers: u16) -> Option<Self> {
        let len = u32::from(*range.end()).checked_sub(u32::from(*range.start()))? + 1;
        let share = len
            .checked_div(u32::from(workers))
            .filter(|share| *share > 0)?;
        // A share of all 2^16 ports would not fit; port 0 is never in the range.
        Some(Self {
            first: *range.start(),
            share: u16::try_from(share).ok()?,
            workers,
        })
    }

    /// The worker to whose share `port` belongs.
    pub fn owner(&self, port: u16) -> Option<u16> {
        let worker = port.checked_sub(self.first)? / self.share;
        (worker < self.workers).then_some(worker)
    }

    /// The first port of `worker`'s share.
    fn start(&self, worker: u16) -> u16 {
        self.first + worker * self.share
    }
}

/// To whom ports of ours belong, for whoever receives segments.
#[derive(Clone, Debug)]
pub struct PortOwners {
    shares: PortShares,
    /// Ports on which we listen, sorted: never used as a source, so that the two cannot be
    /// confused.
    reserved: Vec<u16>,
}

impl PortOwners {
    /// Shares of the workers without the ports on which we listen, which are sorted.
    pub fn new(shares: PortShares, reserved: Vec<u16>) -> Self {
        Self { shares, reserved }
    }

    /// The worker to whose share `port` belongs, unless it is a port on which we listen.
    pub fn owner(&self, port: u16) -> Option<u16> {
        if self.reserved.binary_search(&port).is_ok() {
            None
        } else {
            self.shares.owner(port)
        }
    }
}

/// One worker's source ports.
#[derive(Debug)]
pub(super) struct SourcePorts {
    owners: PortOwners,
    worker: u16,
    pools: HashMap<(NetworkId, IpAddr, SocketAddr), Pool>,
}

impl SourcePorts {
    /// The share of `worker` in `shares`, without the `reserved` ports, which are sorted.
    pub(super) fn new(shares: PortShares, worker: u16, reserved: Vec<u16>) -> Self {
        Self {
            owners: PortOwners::new(shares, reserved),
            worker,
            pools: HashMap::new(),
        }
    }

    /// To whom ports belong.
    pub(super) fn owners(&self) -> &PortOwners {
        &self.owners
    }

    /// Takes a free port for a connection from `local` to `remote` that `accept` likes.
    ///
    /// `None` if there is no such port.
    pub(super) fn allocate(
        &mut self,
        network: NetworkId,
        local: IpAddr,
        remote: SocketAddr,
        mut accept: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let start = self.owners.shares.start(self.worker);
        let pool = self
            .pools
            .entry((network, local, remote))
            .or_insert_with(|| Pool::new(self.owners.shares.share));
        let reserved = &self.owners.reserved;
        let offset = pool.allocate(|offset| {
            let port = start + offset;
            reserved.binary_search(&port).is_err() && accept(port)
        })?;
        Some(start + offset)
    }

    /// Gives a port back.
    pub(super) fn release(
        &mut self,
        network: NetworkId,
        local: IpAddr,
        remote: SocketAddr,
        port: u16,
    ) {
        let start = self.owners.shares.start(self.worker);
        if let Some(pool) = self.pools.get_mut(&(network, local, remote))
            && let Some(offset) = port.checked_sub(start)
        {
            pool.release(offset);
        }
    }
}

/// The ports of one share towards one remote end.
#[derive(Debug)]
struct Pool {
    /// One bit a port; set: in use.
    used: Vec<u64>,
    len: u16,
    /// Where the next search begins.
    cursor: u16,
    free: u16,
}

impl Pool {
    fn new(len: u16) -> Self {
        Self {
            used: vec![0; usize::from(len).div_ceil(64)],
            len,
            cursor: 0,
            free: len,
        }
    }

    fn allocate(&mut self, mut accept: impl FnMut(u16) -> bool) -> Option<u16> {
        if self.free == 0 {
            return None;
        }
        let candidates = usize::from(self.len).min(MAX_CANDIDATES);
        let mut offset = self.cursor;
        for _ in 0..candidates {
            let candidate = self.next_free(offset)?;
            offset = self.after(candidate);
            if accept(candidate) {
                self.cursor = offset;
                self.free -= 1;
                self.used[usize::from(candidate / 64)] |= 1 << (candidate % 64);
                return Some(candidate);
            }
        }
        None
    }

    fn release(&mut self, offset: u16) {
        let bit = 1 << (offset % 64);
        if let Some(word) = self.used.get_mut(usize::from(offset / 64))
            && *word & bit != 0
        {
            *word &= !bit;
            self.free += 1;
        }
    }

    fn after(&self, offset: u16) -> u16 {
        if offset + 1 == self.len {
            0
        } else {
            offset + 1
        }
    }

    /// The first free offset from `from` on, round the end: one look at each word at most.
    fn next_free(&self, from: u16) -> Option<u16> {
        let words = self.used.len();
        let first = usize::from(from / 64);
        for step in 0..=words {
            let index = (first + step) % words;
            let mut free = !self.used[index];
            if step == 0 {
                free &= u64::MAX << (from % 64);
            }
            let offset = index * 64 + free.trailing_zeros() as usize;
            if free != 0 && offset < usize::from(self.len) {
                return Some(offset as u16);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 80);

    fn ports(range: RangeInclusive<u16>, workers: u16, worker: u16) -> SourcePorts {
        SourcePorts::new(PortShares::new(range, workers).unwrap(), worker, Vec::new())
    }

    fn allocate(ports: &mut SourcePorts) -> Option<u16> {
        ports.allocate(NetworkId::BARE, LOCAL, REMOTE, |_| true)
    }

    #[test]
    fn every_port_of_a_share_is_used_once_before_exhaustion() {
        let mut ports = ports(1000..=1129, 2, 1);
        let mut taken: Vec<u16> = (0..65).map(|_| allocate(&mut ports).unwrap()).collect();
        assert_eq!(allocate(&mut ports), None);
        assert!(
            taken
                .iter()
                .all(|port| ports.owners().owner(*port) == Some(1))
        );
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 65);
        ports.release(NetworkId::BARE, LOCAL, REMOTE, 1100);
        ports.release(NetworkId::BARE, LOCAL, REMOTE, 1100);
        assert_eq!(allocate(&mut ports), Some(1100));
        assert_eq!(allocate(&mut ports), None);
    }

    #[test]
    fn a_port_rests_until_the_others_were_used() {
        let mut ports = ports(1000..=1009, 1, 0);
        assert_eq!(allocate(&mut ports), Some(1000));
        ports.release(NetworkId::BARE, LOCAL, REMOTE, 1000);
        for port in 1001..=1009 {
            assert_eq!(allocate(&mut ports), Some(port));
        }
        assert_eq!(allocate(&mut ports), Some(1000));
    }

    #[test]
    fn remote_ends_do_not_share_ports_and_listeners_keep_theirs() {
        let shares = PortShares::new(1000..=1001, 1).unwrap();
        let mut ports = SourcePorts::new(shares, 0, vec![1000]);
        assert_eq!(ports.owners().owner(1000), None);
        assert_eq!(allocate(&mut ports), Some(1001));
        assert_eq!(allocate(&mut ports), None);
        let other = SocketAddr::new(REMOTE.ip(), 81);
        assert_eq!(
            ports.allocate(NetworkId::BARE, LOCAL, other, |_| true),
            Some(1001)
        );
    }

    #[test]
    fn the_caller_may_be_choosy() {
        let mut ports = ports(1000..=1099, 1, 0);
        let odd = |port: u16| port % 2 == 1;
        assert_eq!(
            ports.allocate(NetworkId::BARE, LOCAL, REMOTE, odd),
            Some(1001)
        );
        assert_eq!(
            ports.allocate(NetworkId::BARE, LOCAL, REMOTE, odd),
            Some(1003)
        );
        assert_eq!(
            ports.allocate(NetworkId::BARE, LOCAL, REMOTE, |_| false),
            None
        );
    }

    #[test]
    fn shares_need_a_port_each() {
        assert!(PortShares::new(1000..=1001, 3).is_none());
        assert!(PortShares::new(1..=u16::MAX, 0).is_none());
        let shares = PortShares::new(1..=u16::MAX, 1).unwrap();
        assert_eq!(shares.owner(u16::MAX), Some(0));
        assert_eq!(shares.owner(0), None);
    }
}
