//! Fetching from memory what a burst will need.
//!
//! With many connections, none of what a segment needs is in a cache: index, entry, engine and
//! timer, each found through the one before. Handling segments one after the other would wait for
//! each of them in turn. So before a burst is handled, each step is made for all its segments:
//! the processor then waits for several at once. The steps only read; what they read is looked up
//! again later, when it is near.

use core::hint::black_box;

use super::{ConnId, Endpoint, Holder};
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, NetworkId};
use crate::tcp::TcpIp;

impl<B: PacketBuf> Endpoint<B> {
    /// Appends the connection of each of `flows` that has one to `ids`, as far as the index alone
    /// can tell.
    pub fn find_ahead<'f, I: TcpIp>(
        &self,
        network: NetworkId,
        flows: impl Iterator<Item = &'f FiveTuple<I>>,
        ids: &mut Vec<ConnId>,
    ) {
        ids.extend(flows.filter_map(|flow| self.demux.guess(network, flow)));
    }

    /// The first `count` connections that their sessions will have to look at, with the sessions.
    pub fn events_ahead(&self, count: usize) -> impl Iterator<Item = (ConnId, u32)> {
        self.ready.iter().take(count).filter_map(|id| {
            let entry = self.connections.get(id.index())?;
            match entry.holder {
                Holder::Session(owner) if entry.news => Some((*id, owner)),
                _ => None,
            }
        })
    }

    /// Fetches the connections from memory.
    pub fn fetch(&self, ids: &[ConnId]) {
        for id in ids {
            black_box(self.timers.is_armed(id.0));
            if let Some(entry) = self.connections.get(id.index()) {
                black_box((entry.queued, entry.flow, entry.connection.opened_at()));
            }
        }
        for id in ids {
            if let Some(entry) = self.connections.get(id.index()) {
                entry.connection.fetch();
            }
        }
    }
}
