//! Queues: the packet path of one worker on one port.
//!
//! A started port hands out an [`RxQueue`] for each of its RX queues and a [`TxQueue`] for each of
//! its TX queues: values that own them. A [`Queue`] takes one of each, or one of either, or none
//! and then only lends buffers; it is what a worker receives and sends with. So a worker may serve
//! several RX queues of a port, and one without a TX queue sends through another worker.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use std::sync::Arc;

use dpdk_sys as sys;
use netstack::io::{BURST_SIZE, Burst, Capabilities, PacketIo};

use crate::error::DpdkError;
use crate::mbuf::Mbuf;
use crate::mempool::{RawPool, SPARE_BUFFERS};
use crate::port::{Port, PortShared};

/// What [`Port::start`] hands out, each in the order of the numbers.
#[derive(Debug)]
pub struct PortQueues {
    /// All RX queues that are configured.
    pub rx: Vec<RxQueue>,
    /// All TX queues that are configured.
    pub tx: Vec<TxQueue>,
}

/// The right to receive on an RX queue of a started port; a [`Queue`] does it.
#[derive(Debug)]
pub struct RxQueue(End);

/// The right to send on a TX queue of a started port; a [`Queue`] does it.
#[derive(Debug)]
pub struct TxQueue(End);

/// A queue of one direction.
///
/// # Invariants
/// 1. `index` is a queue of the port in the direction of the type around this. The port is started
///    and stays so while this exists.
/// 2. It is the only value for this queue: it is not `Clone`, and it goes when a [`Queue`] is made
///    of it.
#[derive(Debug)]
struct End {
    port: Arc<PortShared>,
    index: u16,
    capabilities: Arc<Capabilities>,
}

impl RxQueue {
    /// The RX queue `index` of `port`.
    ///
    /// # Safety
    /// The port is started, it has this RX queue, and there is no other value for it.
    pub(crate) unsafe fn new(
        port: Arc<PortShared>,
        index: u16,
        capabilities: Arc<Capabilities>,
    ) -> Self {
        Self(End {
            port,
            index,
            capabilities,
        })
    }

    /// Its number on the port.
    pub fn index(&self) -> u16 {
        self.0.index
    }

    /// The name of its port.
    pub fn port_name(&self) -> &str {
        self.0.port.name()
    }
}

impl TxQueue {
    /// The TX queue `index` of `port`.
    ///
    /// # Safety
    /// The port is started, it has this TX queue, and there is no other value for it.
    pub(crate) unsafe fn new(
        port: Arc<PortShared>,
        index: u16,
        capabilities: Arc<Capabilities>,
    ) -> Self {
        Self(End {
            port,
            index,
            capabilities,
        })
    }

    /// Its number on the port.
    pub fn index(&self) -> u16 {
        self.0.index
    }

    /// The name of its port.
    pub fn port_name(&self) -> &str {
        self.0.port.name()
    }
}

/// What a worker has of a port: an RX queue, a TX queue, both, or only buffers.
///
/// Without an RX queue [`PacketIo::rx_burst`] receives nothing; without a TX queue
/// [`PacketIo::tx_burst`] takes nothing. Buffers are lent by all, and each keeps up to 32 at hand;
/// without an RX queue these are among [`MempoolConfig::held`](crate::MempoolConfig::held).
///
/// A driver may receive nothing into a burst with less room than it handles at once (4 to 32
/// frames): give [`PacketIo::rx_burst`] an empty one.
///
/// # Invariants
/// 1. `rx` is an RX queue and `tx` a TX queue of the port, which is started and stays so while
///    this exists, if it has either.
/// 2. It is the only value for these queues: it was made of the only ones (invariant 2 of `End`),
///    is not `Clone`, and not `Sync`, so one thread at a time receives and sends on them.
/// 3. `pool` is the pool of the port, kept by `port`.
#[derive(Debug)]
pub struct Queue {
    port: Arc<PortShared>,
    rx: Option<u16>,
    tx: Option<u16>,
    pool: RawPool,
    capabilities: Arc<Capabilities>,
    /// Frames are shown to the driver before they are sent.
    prepare: bool,
    /// Mbufs of a frame to be sent besides the first, and of one that the device cuts.
    frame_pieces: usize,
    tso_pieces: usize,
    /// Buffers ready to be lent; never more than [`SPARE_BUFFERS`], so it does not grow.
    spare: Vec<Mbuf>,
    counters: QueueCounters,
    /// Invariant 2.
    not_sync: PhantomData<Cell<()>>,
}

/// What a queue did that no device counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueCounters {
    /// Received frames dropped because their pieces did not fit one buffer.
    pub rx_not_joined: u64,
    /// Frames taken for sending and dropped: what was asked of the device it cannot do with them,
    /// or they have more pieces than it takes and do not fit one buffer. They are among those that [`PacketIo::tx_burst`] returned.
    pub tx_refused: u64,
    /// Times that no buffer could be lent.
    pub no_buffer: u64,
}

impl Queue {
    /// An RX and a TX queue of the same port; their numbers need not be the same.
    ///
    /// # Errors
    /// [`DpdkError::QueuesOfTwoPorts`]; both queues are out of use then until their ports are
    /// started anew.
    pub fn pair(rx: RxQueue, tx: TxQueue) -> Result<Self, DpdkError> {
        let (RxQueue(rx), TxQueue(tx)) = (rx, tx);
        if !Arc::ptr_eq(&rx.port, &tx.port) {
            return Err(DpdkError::QueuesOfTwoPorts {
                rx: rx.port.name().to_owned(),
                tx: tx.port.name().to_owned(),
            });
        }
        let numbers = (Some(rx.index), Some(tx.index));
        Ok(Self::new(rx.port, numbers.0, numbers.1, rx.capabilities))
    }

    /// An RX queue alone.
    pub fn receiving(rx: RxQueue) -> Self {
        let RxQueue(rx) = rx;
        Self::new(rx.port, Some(rx.index), None, rx.capabilities)
    }

    /// A TX queue alone.
    pub fn sending(tx: TxQueue) -> Self {
        let TxQueue(tx) = tx;
        Self::new(tx.port, None, Some(tx.index), tx.capabilities)
    }

    /// No queue: lends buffers for frames that another worker is to send on `port`.
    ///
    /// Make it after the start, when the capabilities are known; while it exists, the port can be
    /// neither started nor stopped.
    pub fn lending(port: &Port) -> Self {
        let capabilities = Arc::new(port.capabilities());
        Self::new(Arc::clone(port.shared()), None, None, capabilities)
    }

    /// The queue of parts for which its invariants hold.
    fn new(
        port: Arc<PortShared>,
        rx: Option<u16>,
        tx: Option<u16>,
        capabilities: Arc<Capabilities>,
    ) -> Self {
        let granted = port.granted();
        Self {
            pool: port.pool().raw(),
            prepare: granted.needs_prepare(),
            frame_pieces: granted.frame_pieces,
            tso_pieces: granted.tso_pieces,
            port,
            rx,
            tx,
            capabilities,
            spare: Vec::with_capacity(SPARE_BUFFERS),
            counters: QueueCounters::default(),
            not_sync: PhantomData,
        }
    }

    /// The name of its port.
    pub fn port_name(&self) -> &str {
        self.port.name()
    }

    /// The number of its RX queue on the port.
    pub fn rx_index(&self) -> Option<u16> {
        self.rx
    }

    /// The number of its TX queue on the port.
    pub fn tx_index(&self) -> Option<u16> {
        self.tx
    }

    /// What it did that no device counts.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// Receives up to `limit` frames (at most [`BURST_SIZE`]) on `rx`, the RX queue, into `burst`,
    /// which has room for them. Returns how many came from the device.
    #[inline]
    fn receive(&mut self, rx: u16, burst: &mut Burst<Mbuf>, limit: usize) -> usize {
        let mut received = [const { MaybeUninit::<Mbuf>::uninit() }; BURST_SIZE];
        let limit = limit.min(BURST_SIZE);
        // SAFETY: invariants 1 and 2, and room for `limit` pointers, which is what an `Mbuf` is.
        let count = unsafe {
            let place = received.as_mut_ptr().cast::<*mut sys::rte_mbuf>();
            sys::dpdk_shim_rx_burst(self.port.id(), rx, place, limit as u16)
        };
        let count = usize::from(count);
        for mbuf in &mut received[..count] {
            // SAFETY: the driver wrote this many, each an mbuf that is the caller's from now on.
            let mut mbuf = unsafe { mbuf.assume_init_read() };
            mbuf.clear_tx_offload();
            if mbuf.linearize() {
                // There is room: the caller saw to it.
                let _ = burst.push(mbuf);
            } else {
                self.counters.rx_not_joined += 1;
            }
        }
        count
    }

    /// Joins the pieces of a frame if the device does not take so many. Returns whether it takes
    /// the frame now.
    #[inline]
    fn fit_pieces(&self, frame: &mut Mbuf) -> bool {
        let pieces = frame.segment_count() - 1;
        let most = if frame.has_segmentation() {
            self.tso_pieces
        } else {
            self.frame_pieces
        };
        pieces <= most || frame.linearize()
    }

    /// Pointers to the frames at the front of `burst` that may be sent together, and how many.
    #[inline]
    fn front(&self, burst: &mut Burst<Mbuf>) -> ([*mut sys::rte_mbuf; BURST_SIZE], usize) {
        let mut front = [ptr::null_mut(); BURST_SIZE];
        let mut count = 0;
        for (place, mbuf) in front.iter_mut().zip(burst.iter_mut()) {
            if !self.fit_pieces(mbuf) {
                break;
            }
            *place = mbuf.as_ptr();
            count += 1;
        }
        (front, count)
    }
}

impl PacketIo for Queue {
    type Buf = Mbuf;

    #[inline]
    fn rx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let Some(rx) = self.rx else {
            return 0;
        };
        let before = burst.len();
        loop {
            let limit = burst.room().min(BURST_SIZE);
            if limit == 0 || self.receive(rx, burst, limit) < limit {
                return burst.len() - before;
            }
        }
    }

    #[inline]
    fn tx_burst(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let Some(tx) = self.tx else {
            return 0;
        };
        let before = burst.len();
        while !burst.is_empty() {
            let (mut front, count) = self.front(burst);
            let mut ready = count as u16;
            if self.prepare {
                // SAFETY: invariants 1 and 2; `front` holds `ready` mbufs that `burst` owns.
                ready = unsafe {
                    let front = front.as_mut_ptr();
                    sys::dpdk_shim_tx_prepare(self.port.id(), tx, front, ready)
                };
            }
            // SAFETY: invariants 1 and 2; `front` holds `ready` mbufs that `burst` owns. Those
            // that the driver takes leave `burst` below without being freed again.
            let sent = unsafe {
                let front = front.as_mut_ptr();
                sys::dpdk_shim_tx_burst(self.port.id(), tx, front, ready)
            };
            for mbuf in burst.drain_front(usize::from(sent)) {
                // The driver has it, and frees it when it is sent.
                let _ = mbuf.into_raw();
            }
            if sent < ready {
                break;
            }
            // All that could be sent is; what is at the front now either did not fit the array,
            // or cannot be sent at all and would block the rest for ever.
            if usize::from(ready) < BURST_SIZE && burst.pop_front().is_some() {
                self.counters.tx_refused += 1;
            }
        }
        before - burst.len()
    }

    #[inline]
    fn alloc(&mut self) -> Option<Mbuf> {
        if self.spare.is_empty() {
            self.pool.alloc_spare(&mut self.spare);
        }
        // When the pool has fewer than a bulk left, they are lent singly.
        let mbuf = self.spare.pop().or_else(|| self.pool.alloc());
        self.counters.no_buffer += u64::from(mbuf.is_none());
        mbuf
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}
