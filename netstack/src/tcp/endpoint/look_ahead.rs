//! Fetching from memory what a burst will need.
//!
//! With many connections, none of what a segment needs is in a cache: index, entry, engine and
//! timer, each found through the one before. Handling segments one after the other would wait for
//! each of them in turn. So before a burst is handled, each step is made for all its segments:
//! the processor then waits for several at once. The steps only read; what they read is looked up
//! again later, when it is near.

use core::hint::black_box;

use super::{ConnId, Endpoint, Holder};
use crate::flow_index::FlowHash;
use crate::io::PacketBuf;
use crate::ip::{FiveTuple, NetworkId};
use crate::tcp::TcpIp;

/// What is known of a burst of segments before any of them is handled.
#[derive(Debug)]
pub struct LookAhead {
    hashes: Vec<FlowHash>,
    guesses: Vec<Option<ConnId>>,
}

impl LookAhead {
    /// Room for the segments of a burst.
    pub fn with_capacity(segments: usize) -> Self {
        Self {
            hashes: Vec::with_capacity(segments),
            guesses: Vec::with_capacity(segments),
        }
    }

    /// For each segment the connection that is very likely its own.
    pub fn guesses(&self) -> impl Iterator<Item = Option<ConnId>> + Clone {
        self.guesses.iter().copied()
    }
}

impl<B: PacketBuf> Endpoint<B> {
    /// Finds, for each of `flows` in turn, where to look for its connection first, as far as the
    /// index alone can tell. What was found before is forgotten.
    pub fn look_ahead<'f, I: TcpIp>(
        &self,
        network: NetworkId,
        flows: impl Iterator<Item = &'f FiveTuple<I>>,
        ahead: &mut LookAhead,
    ) {
        ahead.hashes.clear();
        ahead
            .hashes
            .extend(flows.map(|flow| self.demux.hash(network, flow)));
        for hash in &ahead.hashes {
            self.demux.touch(*hash);
        }
        ahead.guesses.clear();
        let guesses = ahead.hashes.iter().map(|hash| self.demux.guess(*hash));
        ahead.guesses.extend(guesses);
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
    pub fn fetch(&self, ids: &(impl Iterator<Item = ConnId> + Clone)) {
        for id in ids.clone() {
            self.timers.touch(id.0);
            if let Some(entry) = self.connections.get(id.index()) {
                black_box((entry.queued, entry.flow));
                entry.connection.touch();
            }
        }
        let connections = || {
            ids.clone().filter_map(|id| {
                let entry = self.connections.get(id.index())?;
                Some((id, &entry.connection))
            })
        };
        for (id, connection) in connections() {
            self.timers.touch_neighbors(id.0);
            connection.touch_engine();
        }
        for (_, connection) in connections() {
            connection.touch_payload();
        }
    }
}
