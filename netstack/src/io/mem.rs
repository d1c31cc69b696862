//! Packets in memory: a queue pair whose other end is in the same program.
//!
//! [`MemIo::new`] makes a pool of buffers and two queues. What the test or the benchmark puts in
//! by [`MemIo::inject`] is what the worker receives; what the worker sends is what
//! [`MemIo::take_sent`] gives. The pool is bounded like a DPDK mempool, so that running out can be
//! tried.
//!
//! Frames may have payloads attached; who takes what was sent gets it in one piece, as from a wire.

mod buffer;

use std::collections::VecDeque;

pub use buffer::{HEADROOM, MemBuf, MemPayload, MemPool};

use super::{Burst, Capabilities, MAX_ATTACHED, PacketIo, TxChecksumCapability};
use crate::wire::ethernet::MacAddr;

/// A queue pair in memory.
#[derive(Debug)]
pub struct MemIo {
    pool: MemPool,
    capabilities: Capabilities,
    to_receive: VecDeque<MemBuf>,
    sent: VecDeque<MemBuf>,
    /// How many sent frames may wait to be taken; more are refused, like a full TX ring.
    tx_limit: usize,
}

impl MemIo {
    /// A queue pair of a port with address `mac`, whose buffers come from `pool`.
    pub fn new(mac: MacAddr, mtu: usize, pool: MemPool) -> Self {
        Self {
            pool,
            capabilities: Capabilities {
                mac,
                mtu,
                tx_checksum: TxChecksumCapability::default(),
                tx_pieces: MAX_ATTACHED,
                tso_ipv4: None,
                tso_ipv6: None,
                rss: None,
            },
            to_receive: VecDeque::new(),
            sent: VecDeque::new(),
            tx_limit: usize::MAX,
        }
    }

    /// Changes what the port claims to be able to do.
    pub fn capabilities_mut(&mut self) -> &mut Capabilities {
        &mut self.capabilities
    }

    /// Lets at most `limit` sent frames wait to be taken.
    pub fn set_tx_limit(&mut self, limit: usize) {
        self.tx_limit = limit;
    }

    /// Lets the worker receive `frame`.
    pub fn inject(&mut self, frame: MemBuf) {
        self.to_receive.push_back(frame);
    }

    /// The oldest frame that the worker sent and nobody took yet, in one piece.
    pub fn take_sent(&mut self) -> Option<MemBuf> {
        self.sent.pop_front().map(MemBuf::into_contiguous)
    }

    /// How many injected frames the worker has not received yet.
    pub fn pending(&self) -> usize {
        self.to_receive.len()
    }
}

impl PacketIo for MemIo {
    type Buf = MemBuf;

    fn rx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let count = burst.room().min(self.to_receive.len());
        for frame in self.to_receive.drain(..count) {
            // There is room: `count` was limited by it.
            let _ = burst.push(frame);
        }
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst<MemBuf>) -> usize {
        let count = burst
            .len()
            .min(self.tx_limit.saturating_sub(self.sent.len()));
        self.sent.extend(burst.drain_front(count));
        count
    }

    fn alloc(&mut self) -> Option<MemBuf> {
        self.pool.alloc()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

#[cfg(test)]
mod tests;
