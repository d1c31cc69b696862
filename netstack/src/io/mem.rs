//! Packets in memory: a queue pair whose other end is in the same program.
//!
//! [`MemIo::new`] makes a pool of buffers and two queues. What the test or the benchmark puts in
//! by [`MemIo::inject`] is what the worker receives; what the worker sends is what
//! [`MemIo::take_sent`] gives. The pool is bounded like a DPDK mempool, so that running out can be
//! tried.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    Burst, Capabilities, PacketBuf, PacketIo, RxChecksum, TxChecksumCapability, TxOffload,
};
use crate::wire::ethernet::{self, MacAddr};

/// Octets kept free before the data of a fresh buffer.
pub const HEADROOM: usize = 128;

/// Octets of a buffer besides the MTU: headroom and Ethernet header.
const OVERHEAD: usize = HEADROOM + ethernet::HEADER_LEN;

/// A bounded pool of equal buffers; clones share the buffers.
///
/// The buffer that came back last is lent first, because it is still in the cache; so do the
/// caches that DPDK keeps for each lcore.
#[derive(Clone, Debug)]
pub struct MemPool {
    free: Arc<FreeList>,
}

/// Buffers that are not lent. Never grows beyond the number of buffers there are.
#[derive(Debug)]
struct FreeList(Mutex<Vec<Box<[u8]>>>);

impl FreeList {
    fn with<R>(&self, act: impl FnOnce(&mut Vec<Box<[u8]>>) -> R) -> R {
        // Nothing that is done with the list can panic half-way.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MemPool {
    /// A pool of `buffers` buffers, each with room for one packet of `mtu` octets.
    pub fn new(buffers: usize, mtu: usize) -> Self {
        let free = (0..buffers)
            .map(|_| vec![0; OVERHEAD + mtu].into_boxed_slice())
            .collect();
        Self {
            free: Arc::new(FreeList(Mutex::new(free))),
        }
    }

    /// Lends an empty buffer, or `None` if all are lent.
    pub fn alloc(&self) -> Option<MemBuf> {
        let octets = self.free.with(Vec::pop)?;
        Some(MemBuf::new(octets, HEADROOM, Some(Arc::clone(&self.free))))
    }

    /// How many buffers could be lent now.
    pub fn available(&self) -> usize {
        self.free.with(|free| free.len())
    }
}

/// A frame on the heap.
#[derive(Debug)]
pub struct MemBuf {
    octets: Box<[u8]>,
    start: usize,
    end: usize,
    rx_checksum: RxChecksum,
    rss_hash: Option<u32>,
    tx_offload: Option<TxOffload>,
    /// Where the octets go back to; `None` for a buffer outside any pool.
    pool: Option<Arc<FreeList>>,
}

impl MemBuf {
    /// A buffer outside any pool that holds `frame`, with room to grow at the front.
    pub fn from_frame(frame: &[u8]) -> Self {
        let mut octets = vec![0; HEADROOM + frame.len()].into_boxed_slice();
        octets[HEADROOM..].copy_from_slice(frame);
        let end = octets.len();
        Self::new(octets, end, None)
    }

    /// Sets what a device would say about the checksums of this frame.
    pub fn set_rx_checksum(&mut self, status: RxChecksum) {
        self.rx_checksum = status;
    }

    /// Sets the RSS hash that a device would have computed.
    pub fn set_rss_hash(&mut self, hash: u32) {
        self.rss_hash = Some(hash);
    }

    /// What the sender asked the device to do with this frame.
    pub fn tx_offload(&self) -> Option<TxOffload> {
        self.tx_offload
    }

    fn new(octets: Box<[u8]>, end: usize, pool: Option<Arc<FreeList>>) -> Self {
        Self {
            octets,
            start: HEADROOM,
            end,
            rx_checksum: RxChecksum::default(),
            rss_hash: None,
            tx_offload: None,
            pool,
        }
    }
}

impl Drop for MemBuf {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let octets = core::mem::take(&mut self.octets);
            pool.with(|free| free.push(octets));
        }
    }
}

impl PacketBuf for MemBuf {
    fn data(&self) -> &[u8] {
        &self.octets[self.start..self.end]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.octets[self.start..self.end]
    }

    fn headroom(&self) -> usize {
        self.start
    }

    fn tailroom(&self) -> usize {
        self.octets.len() - self.end
    }

    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(len)?;
        Some(self.data_mut())
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.tailroom() {
            return None;
        }
        self.end += len;
        Some(self.data_mut())
    }

    fn trim_front(&mut self, len: usize) {
        self.start = self.end.min(self.start + len);
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    fn rx_checksum(&self) -> RxChecksum {
        self.rx_checksum
    }

    fn rss_hash(&self) -> Option<u32> {
        self.rss_hash
    }

    fn set_tx_offload(&mut self, offload: TxOffload) {
        self.tx_offload = Some(offload);
    }
}

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

    /// The oldest frame that the worker sent and nobody took yet.
    pub fn take_sent(&mut self) -> Option<MemBuf> {
        self.sent.pop_front()
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
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    #[test]
    fn buffers_return_to_the_pool() {
        let pool = MemPool::new(2, 1500);
        let first = pool.alloc().unwrap();
        let second = pool.alloc().unwrap();
        assert!(pool.alloc().is_none());
        drop(first);
        assert_eq!(pool.available(), 1);
        drop(second);
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn buffers_grow_and_shrink_at_both_ends() {
        let mut buf = MemPool::new(1, 100).alloc().unwrap();
        buf.append(4).unwrap().copy_from_slice(b"data");
        buf.prepend(2).unwrap()[..2].copy_from_slice(b"a ");
        assert_eq!(buf.data(), b"a data");
        buf.trim_front(2);
        buf.truncate(3);
        assert_eq!(buf.data(), b"dat");
        assert!(buf.prepend(HEADROOM + 1).is_none());
        assert!(buf.append(buf.tailroom() + 1).is_none());
        buf.trim_front(99);
        assert_eq!(buf.data(), b"");
    }

    #[test]
    fn a_full_transmit_queue_leaves_the_rest_in_the_burst() {
        let mut io = MemIo::new(MAC, 1500, MemPool::new(8, 1500));
        io.set_tx_limit(1);
        let mut burst = Burst::with_capacity(4);
        for octet in 0..3 {
            burst.push(MemBuf::from_frame(&[octet])).unwrap();
        }
        assert_eq!(io.tx_burst(&mut burst), 1);
        assert_eq!(burst.len(), 2);
        assert_eq!(io.take_sent().unwrap().data(), [0]);
        assert_eq!(io.tx_burst(&mut burst), 1);
        assert_eq!(io.take_sent().unwrap().data(), [1]);
    }

    #[test]
    fn a_burst_takes_what_fits() {
        let mut io = MemIo::new(MAC, 1500, MemPool::new(8, 1500));
        for octet in 0..3 {
            io.inject(MemBuf::from_frame(&[octet]));
        }
        let mut burst = Burst::with_capacity(2);
        assert_eq!(io.rx_burst(&mut burst), 2);
        assert_eq!(io.pending(), 1);
    }
}
