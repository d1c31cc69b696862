//! Buffers in memory: a bounded pool, frames, and payloads that share them.
//!
//! The memory of a buffer belongs to one frame at a time, which needs no lock and no count to
//! write it. Becoming a payload moves it into the shell that came with it from the pool, a
//! reference count; handles and attachments share that. So a buffer costs its allocations once,
//! when the pool is made.

use core::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::io::{MAX_ATTACHED, PacketBuf, Payload, RxChecksum, TxOffload};
use crate::wire::ethernet;

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

/// Buffers that are not lent, each the only handle on its memory. Never grows beyond the number of
/// buffers there are.
#[derive(Debug)]
struct FreeList(Mutex<Vec<Arc<Memory>>>);

impl FreeList {
    fn with<R>(&self, act: impl FnOnce(&mut Vec<Arc<Memory>>) -> R) -> R {
        // Nothing that is done with the list can panic half-way.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes memory back whose only handle this is.
    fn put(&self, memory: Arc<Memory>) {
        self.with(|free| free.push(memory));
    }
}

/// Drops a handle on memory; the memory goes back to its pool if it is the last.
fn release(mut memory: Arc<Memory>) {
    // Most handles are one of several. Nobody can make more of the last one, so what is read here
    // is either true or soon smaller, and that is seen to where memory is dropped.
    if Arc::strong_count(&memory) > 1 {
        return;
    }
    if let Some(pool) = Arc::get_mut(&mut memory).and_then(|alone| alone.pool.take()) {
        pool.put(memory);
    }
}

/// What a buffer consists of.
#[derive(Debug, Default)]
struct Memory {
    octets: Box<[u8]>,
    /// Attached to the frame; empty in a payload and in the pool. Kept for its capacity.
    attached: Vec<MemPayload>,
    /// Where it goes back to; `None` if it belongs to no pool, or is there.
    pool: Option<Arc<FreeList>>,
}

impl Memory {
    /// Memory outside any pool.
    fn new(octets: Box<[u8]>) -> Self {
        let mut memory = Self::default();
        memory.octets = octets;
        memory
    }
}

impl Drop for Memory {
    /// Memory of a pool comes here only if two threads dropped the last two handles at once and
    /// each saw the other's. It goes back in a new shell.
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.put(Arc::new(core::mem::take(self)));
        }
    }
}

impl MemPool {
    /// A pool of `buffers` buffers, each with room for one packet of `mtu` octets.
    pub fn new(buffers: usize, mtu: usize) -> Self {
        let memory = || Memory::new(vec![0; OVERHEAD + mtu].into_boxed_slice());
        let free = (0..buffers).map(|_| Arc::new(memory())).collect();
        Self {
            free: Arc::new(FreeList(Mutex::new(free))),
        }
    }

    /// Lends an empty buffer, or `None` if all are lent.
    pub fn alloc(&self) -> Option<MemBuf> {
        let mut shell = self.free.with(Vec::pop)?;
        // Buffers in the list have no other handle.
        let mut memory = core::mem::take(Arc::get_mut(&mut shell)?);
        memory.pool = Some(Arc::clone(&self.free));
        Some(MemBuf::new(memory, Some(shell), HEADROOM))
    }

    /// How many buffers could be lent now.
    pub fn available(&self) -> usize {
        self.free.with(|free| free.len())
    }
}

/// A frame on the heap.
#[derive(Debug)]
pub struct MemBuf {
    memory: Memory,
    /// Empty; what the memory moves into to be shared or to go back. Of the pool, and in a buffer
    /// outside any pool made when it is needed.
    shell: Option<Arc<Memory>>,
    start: usize,
    end: usize,
    /// Octets attached. Invariant: the sum of all pieces.
    attached_len: usize,
    rx_checksum: RxChecksum,
    rss_hash: Option<u32>,
    tx_offload: Option<TxOffload>,
}

impl MemBuf {
    /// A buffer outside any pool that holds `frame`, with room to grow at the front.
    pub fn from_frame(frame: &[u8]) -> Self {
        Self::gathered(core::iter::once(frame))
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

    /// The frame in one piece: in this buffer if there is room, else in one outside any pool.
    pub(super) fn into_contiguous(mut self) -> Self {
        if self.gather() {
            return self;
        }
        let mut whole = Self::gathered(self.pieces());
        whole.rx_checksum = self.rx_checksum;
        whole.rss_hash = self.rss_hash;
        whole.tx_offload = self.tx_offload;
        whole
    }

    /// A buffer outside any pool that holds a frame which comes in pieces.
    fn gathered<'f>(pieces: impl Iterator<Item = &'f [u8]>) -> Self {
        let mut octets = vec![0; HEADROOM];
        for piece in pieces {
            octets.extend_from_slice(piece);
        }
        let memory = Memory::new(octets.into_boxed_slice());
        let end = memory.octets.len();
        Self::new(memory, None, end)
    }

    /// Copies what is attached behind the data. Returns whether all is in one piece then: it is
    /// not, and unchanged, if there is too little room.
    fn gather(&mut self) -> bool {
        let end = self.end + self.attached_len;
        if end > self.memory.octets.len() {
            return false;
        }
        let mut rest = &mut self.memory.octets[self.end..end];
        for payload in self.memory.attached.drain(..) {
            let (place, behind) = rest.split_at_mut(payload.octets().len());
            place.copy_from_slice(payload.octets());
            rest = behind;
        }
        self.end = end;
        self.attached_len = 0;
        true
    }

    fn new(memory: Memory, shell: Option<Arc<Memory>>, end: usize) -> Self {
        Self {
            memory,
            shell,
            start: HEADROOM,
            end,
            attached_len: 0,
            rx_checksum: RxChecksum::default(),
            rss_hash: None,
            tx_offload: None,
        }
    }

    /// Drops what is attached and moves the memory into its shell; leaves this without both.
    fn take_memory(&mut self) -> Arc<Memory> {
        self.memory.attached.clear();
        self.attached_len = 0;
        let memory = core::mem::take(&mut self.memory);
        match self.shell.take() {
            Some(mut shell) => {
                if let Some(alone) = Arc::get_mut(&mut shell) {
                    *alone = memory;
                }
                shell
            }
            None => Arc::new(memory),
        }
    }
}

impl Drop for MemBuf {
    fn drop(&mut self) {
        if let Some(pool) = self.memory.pool.take() {
            pool.put(self.take_memory());
        }
    }
}

impl PacketBuf for MemBuf {
    type Payload = MemPayload;

    fn data(&self) -> &[u8] {
        &self.memory.octets[self.start..self.end]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.memory.octets[self.start..self.end]
    }

    fn packet_len(&self) -> usize {
        self.end - self.start + self.attached_len
    }

    fn attached(&self) -> impl Iterator<Item = &[u8]> {
        self.memory.attached.iter().map(MemPayload::octets)
    }

    fn attach_part(&mut self, payload: &MemPayload, part: Range<usize>) -> bool {
        let end = payload.place_of(part.end);
        let start = payload.place_of(part.start).min(end);
        if start == end {
            return true;
        }
        if self.memory.attached.len() == MAX_ATTACHED {
            return false;
        }
        self.attached_len += (end - start) as usize;
        let memory = payload.memory.clone();
        self.memory.attached.push(MemPayload {
            memory,
            start,
            end,
            sum: None,
        });
        true
    }

    fn into_payload(mut self) -> MemPayload {
        self.gather();
        // No frame is longer than 32 bits can count.
        let (start, end) = (self.start as u32, self.end as u32);
        MemPayload {
            memory: Some(self.take_memory()),
            start,
            end,
            sum: None,
        }
    }

    fn headroom(&self) -> usize {
        self.start
    }

    fn tailroom(&self) -> usize {
        if self.memory.attached.is_empty() {
            self.memory.octets.len() - self.end
        } else {
            0
        }
    }

    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(len)?;
        Some(self.data_mut())
    }

    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        if !self.memory.attached.is_empty() || len > self.tailroom() {
            return None;
        }
        self.end += len;
        Some(self.data_mut())
    }

    fn trim_front(&mut self, len: usize) {
        self.start = self.end.min(self.start.saturating_add(len));
    }

    fn truncate(&mut self, len: usize) {
        let Some(cut) = self.packet_len().checked_sub(len) else {
            return;
        };
        self.end -= cut.saturating_sub(self.attached_len);
        let mut left = self.attached_len.saturating_sub(cut);
        self.attached_len = left;
        self.memory.attached.retain_mut(|payload| {
            payload.truncate(left);
            left -= payload.octets().len();
            !payload.octets().is_empty()
        });
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

/// A handle on octets of a buffer on the heap.
#[derive(Debug)]
pub struct MemPayload {
    /// `None` only while it is dropped.
    memory: Option<Arc<Memory>>,
    start: u32,
    end: u32,
    sum: Option<u16>,
}

impl MemPayload {
    /// The place in the buffer with `offset` octets before it, or that behind the last.
    fn place_of(&self, offset: usize) -> u32 {
        let len = self.end - self.start;
        self.start + u32::try_from(offset).unwrap_or(u32::MAX).min(len)
    }
}

impl Payload for MemPayload {
    fn octets(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory.octets[self.start as usize..self.end as usize],
            None => &[],
        }
    }

    fn share(&self) -> Self {
        Self {
            memory: self.memory.clone(),
            ..*self
        }
    }

    fn sum(&self) -> Option<u16> {
        self.sum
    }

    fn set_sum(&mut self, sum: u16) {
        self.sum = Some(sum);
    }

    fn trim_front(&mut self, len: usize) {
        if len > 0 {
            self.start = self.place_of(len);
            self.sum = None;
        }
    }

    fn truncate(&mut self, len: usize) {
        let end = self.place_of(len);
        if end < self.end {
            self.end = end;
            self.sum = None;
        }
    }

    fn append(&mut self, octets: &[u8]) -> bool {
        let place = self.end as usize;
        let end = place + octets.len();
        let alone = self.memory.as_mut().and_then(Arc::get_mut);
        let Some(place) = alone.and_then(|memory| memory.octets.get_mut(place..end)) else {
            return false;
        };
        place.copy_from_slice(octets);
        self.end = end as u32;
        self.sum = None;
        true
    }
}

impl Drop for MemPayload {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            release(memory);
        }
    }
}
