//! Packet buffers of DPDK, owned.
//!
//! A packet is one mbuf or a chain of them. What comes from a queue or a pool is one; chains are
//! made by [`Mbuf::chain`] and [`PacketBuf::attach`], and undone by [`Mbuf::linearize`].
//! [`PacketBuf`] works on the first segment of a chain, except that truncating cuts the packet.
//!
//! An [`MbufPayload`] is a buffer that is only read from now on, by any number of handles and of
//! packets. What hangs on a packet then is an *indirect* mbuf: a structure of the packet's own,
//! from a pool of such, that points into the buffer of the *direct* one and counts there.
//!
//! The fields are read and written here, at the offsets that the headers of the installed DPDK
//! give them, so that a packet costs no call into C until it is freed.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicU16, Ordering};

use dpdk_sys as sys;
use netstack::io::{
    ChecksumStatus, L4Checksum, MAX_ATTACHED, PacketBuf, Payload, RxChecksum, TxOffload,
};

/// An owned packet buffer; dropping it gives it back to its pool.
///
/// # Invariants
/// 1. `raw` points to an mbuf structure that nobody else has, and so does `next` of each segment of
///    its chain: the reference count of each is 1. They stay valid while this value lives, as a
///    pool is not freed while a buffer is out.
/// 2. In each segment `buf_addr` points to `buf_len` initialised octets (the pool's memory was
///    mapped zeroed), and `data_off + data_len <= buf_len`.
/// 3. `nb_segs` segments hang together by `next`, the last one's is null, and `pkt_len` is the sum
///    of their `data_len`.
/// 4. The head is direct: its octets are its own, nobody else reads or writes them.
/// 5. The octets of other segments may be those of a direct mbuf that is shared: they are never
///    written, and the segment counts as one of that mbuf's references until it is freed.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf {
    raw: NonNull<sys::rte_mbuf>,
    /// Not `Sync`: methods that take `&self` need not be safe on two threads at once.
    not_sync: PhantomData<Cell<()>>,
}

// SAFETY: invariants 1, 4 and 5: an mbuf structure has one owner, and so have octets that may be
// written; any thread may free it (references are counted atomically, pools are for several
// producers).
unsafe impl Send for Mbuf {}

/// A field of `rte_mbuf`: its type, and where it lies.
struct Field<T> {
    offset: usize,
    value: PhantomData<T>,
}

impl<T> Field<T> {
    const fn at(offset: usize) -> Self {
        assert!(offset.is_multiple_of(align_of::<T>()));
        assert!(offset + size_of::<T>() <= size_of::<sys::rte_mbuf>());
        Self {
            offset,
            value: PhantomData,
        }
    }
}

const BUF_ADDR: Field<*mut u8> = Field::at(sys::MBUF_OFFSET_BUF_ADDR);
const BUF_LEN: Field<u16> = Field::at(sys::MBUF_OFFSET_BUF_LEN);
const DATA_LEN: Field<u16> = Field::at(sys::MBUF_OFFSET_DATA_LEN);
const DATA_OFF: Field<u16> = Field::at(sys::MBUF_OFFSET_DATA_OFF);
const NB_SEGS: Field<u16> = Field::at(sys::MBUF_OFFSET_NB_SEGS);
const NEXT: Field<*mut sys::rte_mbuf> = Field::at(sys::MBUF_OFFSET_NEXT);
const OL_FLAGS: Field<u64> = Field::at(sys::MBUF_OFFSET_OL_FLAGS);
const PKT_LEN: Field<u32> = Field::at(sys::MBUF_OFFSET_PKT_LEN);
const REFCNT: Field<AtomicU16> = Field::at(sys::MBUF_OFFSET_REFCNT);
const RSS_HASH: Field<u32> = Field::at(sys::MBUF_OFFSET_RSS_HASH);
const TX_OFFLOAD: Field<u64> = Field::at(sys::MBUF_OFFSET_TX_OFFLOAD);

/// References of one mbuf beyond which there are to be no more. DPDK counts to 65,535; between
/// looking and counting others may count too, but not as many times as there are left.
const MOST_REFERENCES: u16 = i16::MAX as u16;

/// One mbuf of a packet that is owned (for reading or for writing, as the owner is borrowed).
#[derive(Clone, Copy)]
struct Segment(NonNull<sys::rte_mbuf>);

impl Segment {
    #[inline]
    fn read<T: Copy>(self, field: &Field<T>) -> T {
        let place = self.0.as_ptr().wrapping_byte_add(field.offset).cast::<T>();
        // SAFETY: invariant 1 of `Mbuf`: a valid mbuf. `Field::at` has checked that the place lies
        // inside it and is aligned; all its fields are integers or pointers and initialised.
        unsafe { place.read() }
    }

    #[inline]
    fn write<T: Copy>(self, field: &Field<T>, value: T) {
        let place = self.0.as_ptr().wrapping_byte_add(field.offset).cast::<T>();
        // SAFETY: as in `read`, and whoever writes has the owner borrowed mutably.
        unsafe { place.write(value) }
    }

    /// How many there are that have this mbuf.
    #[inline]
    fn references<'a>(self) -> &'a AtomicU16 {
        let place = self.0.as_ptr().wrapping_byte_add(REFCNT.offset);
        // SAFETY: as in `read`; nobody accesses this field but as an atomic while it is shared.
        // Whoever calls has one of the references, and drops the borrow before giving it up.
        unsafe { AtomicU16::from_ptr(place.cast()) }
    }

    #[inline]
    fn next(self) -> Option<Self> {
        NonNull::new(self.read(&NEXT)).map(Self)
    }

    /// Where the data starts, and how long it is.
    #[inline]
    fn data(self) -> (*mut u8, usize) {
        let offset = usize::from(self.read(&DATA_OFF));
        let start = self.read(&BUF_ADDR).wrapping_add(offset);
        (start, usize::from(self.read(&DATA_LEN)))
    }
}

#[expect(
    clippy::needless_pass_by_ref_mut,
    reason = "writing through the pointer needs the exclusive borrow that the lint cannot see"
)]
impl Mbuf {
    /// Takes ownership of what DPDK lent.
    ///
    /// # Safety
    /// `raw` must be an mbuf for which the invariants of [`Mbuf`] hold.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Self {
        Self {
            raw,
            not_sync: PhantomData,
        }
    }

    /// Gives ownership up: the caller sees to it that the mbuf is freed.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<sys::rte_mbuf> {
        ManuallyDrop::new(self).raw
    }

    /// The mbuf for DPDK, without giving it up.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mbuf {
        self.raw.as_ptr()
    }

    /// How many mbufs the packet consists of.
    #[inline]
    pub fn segment_count(&self) -> usize {
        usize::from(self.head().read(&NB_SEGS))
    }

    /// The data of each segment, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::successors(Some(self.head()), |segment| segment.next()).map(|segment| {
            let (start, len) = segment.data();
            // SAFETY: invariants 2 to 5: initialised octets of a segment of this packet, which is
            // borrowed for as long as the slice, and nobody writes them meanwhile.
            unsafe { slice::from_raw_parts(start, len) }
        })
    }

    /// Hangs the segments of `tail` on the end of this packet.
    ///
    /// # Errors
    /// Gives `tail` back if the chain would be longer than DPDK can count.
    pub fn chain(&mut self, tail: Self) -> Result<(), Self> {
        let head = self.head();
        let segments = head.read(&NB_SEGS).checked_add(tail.head().read(&NB_SEGS));
        let packet_len = head.read(&PKT_LEN).checked_add(tail.head().read(&PKT_LEN));
        let (Some(segments), Some(packet_len)) = (segments, packet_len) else {
            return Err(tail);
        };
        let last = core::iter::successors(Some(head), |segment| segment.next()).last();
        last.unwrap_or(head).write(&NEXT, tail.into_raw().as_ptr());
        head.write(&NB_SEGS, segments);
        head.write(&PKT_LEN, packet_len);
        Ok(())
    }

    /// Copies all segments into the first. Returns whether the packet is contiguous now: it is
    /// not, and unchanged, if the first segment has too little room. What was attached is freed.
    #[must_use]
    #[inline]
    pub fn linearize(&mut self) -> bool {
        // SAFETY: invariants 1 to 4: a whole packet of our own, and octets are written in its head
        // only.
        self.segment_count() == 1 || unsafe { sys::dpdk_shim_mbuf_linearize(self.as_ptr()) } == 0
    }

    /// Whether the device is asked to do work on this frame while it sends it.
    #[inline]
    pub fn has_tx_offload(&self) -> bool {
        self.head().read(&OL_FLAGS) & sys::DPDK_MBUF_F_TX_OFFLOAD_MASK != 0
    }

    /// Whether the device is to cut this frame into segments.
    #[inline]
    pub(crate) fn has_segmentation(&self) -> bool {
        self.head().read(&OL_FLAGS) & sys::DPDK_MBUF_F_TX_TCP_SEG != 0
    }

    /// Forgets work for the device that an earlier sender asked for: drivers that pass packets
    /// on within the machine leave it in the mbuf.
    #[inline]
    pub(crate) fn clear_tx_offload(&mut self) {
        if self.has_tx_offload() {
            let flags = self.head().read(&OL_FLAGS) & !sys::DPDK_MBUF_F_TX_OFFLOAD_MASK;
            self.head().write(&OL_FLAGS, flags);
        }
    }

    #[inline]
    fn head(&self) -> Segment {
        Segment(self.raw)
    }

    /// Changes the length of the first segment.
    #[inline]
    fn set_data_len(&mut self, len: usize) {
        let head = self.head();
        let others = head.read(&PKT_LEN) - u32::from(head.read(&DATA_LEN));
        // Fits: a segment is never longer than its buffer, whose length is 16 bits.
        head.write(&DATA_LEN, len as u16);
        head.write(&PKT_LEN, others + len as u32);
    }

    /// Cuts a chain to `len` octets and frees the segments that are empty then.
    fn truncate_chain(&mut self, len: usize) {
        let mut last = self.head();
        let mut kept = 1;
        let mut before = 0;
        while let Some(next) = last.next()
            && before + last.data().1 < len
        {
            before += last.data().1;
            last = next;
            kept += 1;
        }
        last.write(&DATA_LEN, (len - before) as u16);
        if let Some(rest) = last.next() {
            last.write(&NEXT, ptr::null_mut());
            // SAFETY: invariants 1 and 3: the rest of our own chain, which hangs on nothing now.
            unsafe { sys::dpdk_shim_mbuf_free(rest.0.as_ptr()) };
        }
        self.head().write(&NB_SEGS, kept);
        self.head().write(&PKT_LEN, len as u32);
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: invariants 1 and 3: we own it, and nobody uses it after this.
        unsafe { sys::dpdk_shim_mbuf_free(self.as_ptr()) };
    }
}

impl PacketBuf for Mbuf {
    type Payload = MbufPayload;

    #[inline]
    fn packet_len(&self) -> usize {
        self.head().read(&PKT_LEN) as usize
    }

    #[inline]
    fn attached(&self) -> impl Iterator<Item = &[u8]> {
        self.segments().skip(1)
    }

    #[inline]
    fn attach_part(&mut self, payload: &MbufPayload, part: Range<usize>) -> bool {
        let from = part.start.min(usize::from(payload.len)) as u16;
        let to = part.end.min(usize::from(payload.len)) as u16;
        if from >= to {
            return true;
        }
        if self.segment_count() > MAX_ATTACHED || payload.references() > MOST_REFERENCES {
            return false;
        }
        let (start, len) = (payload.start + from, to - from);
        // SAFETY: invariants 1 and 3: our own chain, to whose end something is added. Invariants 1
        // and 2 of `MbufPayload`: a direct mbuf of a pool made for this, and a range of its octets.
        // That the result keeps invariants 4 and 5 is what references are.
        unsafe { sys::dpdk_shim_mbuf_attach(self.as_ptr(), payload.raw.as_ptr(), start, len) == 0 }
    }

    #[inline]
    fn into_payload(mut self) -> MbufPayload {
        if !self.linearize() {
            self.truncate_chain(self.data().len());
        }
        let head = self.head();
        let (start, len) = (head.read(&DATA_OFF), head.read(&DATA_LEN));
        MbufPayload {
            raw: self.into_raw(),
            start,
            len,
            sum: None,
        }
    }

    #[inline]
    fn data(&self) -> &[u8] {
        let (start, len) = self.head().data();
        // SAFETY: invariants 2 and 4, borrowed for as long as the slice.
        unsafe { slice::from_raw_parts(start, len) }
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        let (start, len) = self.head().data();
        // SAFETY: invariants 2 and 4: octets that nobody else has, borrowed mutably for as long as
        // the slice.
        unsafe { slice::from_raw_parts_mut(start, len) }
    }

    #[inline]
    fn headroom(&self) -> usize {
        usize::from(self.head().read(&DATA_OFF))
    }

    #[inline]
    fn tailroom(&self) -> usize {
        if self.segment_count() > 1 {
            return 0;
        }
        let head = self.head();
        usize::from(head.read(&BUF_LEN) - head.read(&DATA_OFF) - head.read(&DATA_LEN))
    }

    #[inline]
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.headroom().checked_sub(len)?;
        let data_len = self.data().len() + len;
        self.head().write(&DATA_OFF, start as u16);
        self.set_data_len(data_len);
        Some(self.data_mut())
    }

    #[inline]
    fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.segment_count() > 1 || len > self.tailroom() {
            return None;
        }
        self.set_data_len(self.data().len() + len);
        Some(self.data_mut())
    }

    #[inline]
    fn trim_front(&mut self, len: usize) {
        let data_len = self.data().len();
        let len = len.min(data_len);
        let start = self.headroom() + len;
        self.head().write(&DATA_OFF, start as u16);
        self.set_data_len(data_len - len);
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if len >= self.packet_len() {
            return;
        }
        if self.segment_count() > 1 {
            self.truncate_chain(len);
        } else {
            self.set_data_len(len);
        }
    }

    #[inline]
    fn rx_checksum(&self) -> RxChecksum {
        let flags = self.head().read(&OL_FLAGS);
        RxChecksum {
            ip: status(
                flags & sys::DPDK_MBUF_F_RX_IP_CKSUM_MASK,
                sys::DPDK_MBUF_F_RX_IP_CKSUM_BAD,
            ),
            l4: status(
                flags & sys::DPDK_MBUF_F_RX_L4_CKSUM_MASK,
                sys::DPDK_MBUF_F_RX_L4_CKSUM_BAD,
            ),
        }
    }

    #[inline]
    fn rss_hash(&self) -> Option<u32> {
        let flags = self.head().read(&OL_FLAGS);
        (flags & sys::DPDK_MBUF_F_RX_RSS_HASH != 0).then(|| self.head().read(&RSS_HASH))
    }

    #[inline]
    fn set_tx_offload(&mut self, offload: TxOffload) {
        let head = self.head();
        let flags = head.read(&OL_FLAGS) & !sys::DPDK_MBUF_F_TX_OFFLOAD_MASK;
        head.write(&OL_FLAGS, flags | tx_flags(&offload));
        head.write(&TX_OFFLOAD, tx_lengths(&offload));
    }

    #[inline]
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let (start, _) = self.head().data();
            // SAFETY: a hint for any address: it reads nothing that the program could see.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.cast::<i8>()) };
        }
    }
}

/// A handle on octets of a buffer.
///
/// # Invariants
/// 1. `raw` points to a direct mbuf of a pool made by [`Mempool`](crate::Mempool), alone (`next` is
///    null). This value has one of the references that it counts; the others belong to further
///    handles and to segments of packets, so it stays valid while this value lives.
/// 2. `start + len <= buf_len`: a range of the mbuf's initialised octets.
/// 3. Of the mbuf only the count is written while there are several references. Its octets are
///    written by whoever has the only one.
#[derive(Debug)]
pub struct MbufPayload {
    raw: NonNull<sys::rte_mbuf>,
    start: u16,
    len: u16,
    sum: Option<u16>,
}

// SAFETY: invariants 1 and 3: what is shared is only read or is atomic, and any thread may give
// a reference up.
unsafe impl Send for MbufPayload {}

impl MbufPayload {
    /// How many there are that have the buffer.
    #[inline]
    fn references(&self) -> u16 {
        // Acquire: what others read of the octets before they gave their reference up comes before
        // what is written by the one that is left.
        Segment(self.raw).references().load(Ordering::Acquire)
    }

    #[inline]
    fn place(&self) -> *mut u8 {
        Segment(self.raw)
            .read(&BUF_ADDR)
            .wrapping_add(usize::from(self.start))
    }
}

impl Payload for MbufPayload {
    #[inline]
    fn octets(&self) -> &[u8] {
        // SAFETY: invariants 2 and 3: initialised octets that nobody writes while this handle is
        // borrowed.
        unsafe { slice::from_raw_parts(self.place(), usize::from(self.len)) }
    }

    #[inline]
    fn share(&self) -> Self {
        assert!(
            self.references() <= MOST_REFERENCES,
            "more handles on one buffer than can be counted"
        );
        // Relaxed: who has a reference needs no order to make another, as with `Arc`.
        Segment(self.raw)
            .references()
            .fetch_add(1, Ordering::Relaxed);
        Self { ..*self }
    }

    #[inline]
    fn sum(&self) -> Option<u16> {
        self.sum
    }

    #[inline]
    fn set_sum(&mut self, sum: u16) {
        self.sum = Some(sum);
    }

    #[inline]
    fn trim_front(&mut self, len: usize) {
        let len = len.min(usize::from(self.len)) as u16;
        if len > 0 {
            self.start += len;
            self.len -= len;
            self.sum = None;
        }
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if len < usize::from(self.len) {
            self.len = len as u16;
            self.sum = None;
        }
    }

    #[inline]
    fn append(&mut self, octets: &[u8]) -> bool {
        let buf_len = usize::from(Segment(self.raw).read(&BUF_LEN));
        let end = usize::from(self.start) + usize::from(self.len);
        if octets.len() > buf_len - end || self.references() != 1 {
            return false;
        }
        let place = self.place().wrapping_add(usize::from(self.len));
        // SAFETY: invariants 1 to 3: the rest of the buffer has room, and with the only reference,
        // which is borrowed mutably, nobody else reads or writes it. `octets` are elsewhere: they
        // are borrowed, and the only handle could not have lent them.
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), place, octets.len()) };
        // Fits: the end is in the buffer, whose length is 16 bits.
        self.len += octets.len() as u16;
        self.sum = None;
        true
    }
}

impl Drop for MbufPayload {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: invariant 1: our reference, which nobody uses after this.
        unsafe { sys::dpdk_shim_mbuf_free(self.raw.as_ptr()) };
    }
}

/// The status in the two bits of one layer, of which `bad` is one.
#[inline]
fn status(bits: u64, bad: u64) -> ChecksumStatus {
    match bits {
        0 => ChecksumStatus::Unknown,
        bits if bits == bad => ChecksumStatus::Bad,
        // The other bit is "good". Both together say that the field holds no checksum but the
        // content is known to be intact: a virtual device of the same machine.
        _ => ChecksumStatus::Good,
    }
}

/// The flags that ask a device for `offload`.
#[inline]
fn tx_flags(offload: &TxOffload) -> u64 {
    let mut flags = match offload.ip_version {
        4 => sys::DPDK_MBUF_F_TX_IPV4,
        _ => sys::DPDK_MBUF_F_TX_IPV6,
    };
    if offload.ip_checksum {
        flags |= sys::DPDK_MBUF_F_TX_IP_CKSUM;
    }
    flags |= match offload.l4_checksum {
        Some(L4Checksum::Tcp) => sys::DPDK_MBUF_F_TX_TCP_CKSUM,
        Some(L4Checksum::Udp) => sys::DPDK_MBUF_F_TX_UDP_CKSUM,
        None => 0,
    };
    if offload.tso_segment_size.is_some() {
        flags |= sys::DPDK_MBUF_F_TX_TCP_SEG;
    }
    flags
}

/// The header lengths of `offload` as they are packed in one field. A length beyond its bits
/// (an IPv6 header with more than 511 octets of extensions) cannot be told and is cut, so that it
/// does not spill into the next.
#[inline]
fn tx_lengths(offload: &TxOffload) -> u64 {
    let parts = [
        (u64::from(offload.l2_len), sys::DPDK_MBUF_L2_LEN_BITS),
        (u64::from(offload.l3_len), sys::DPDK_MBUF_L3_LEN_BITS),
        (u64::from(offload.l4_len), sys::DPDK_MBUF_L4_LEN_BITS),
        (
            u64::from(offload.tso_segment_size.unwrap_or(0)),
            sys::DPDK_MBUF_TSO_SEGSZ_BITS,
        ),
    ];
    let mut packed = 0;
    let mut shift = 0;
    for (len, bits) in parts {
        packed |= (len & ((1 << bits) - 1)) << shift;
        shift += bits;
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFLOAD: TxOffload = TxOffload {
        ip_version: 4,
        l2_len: 14,
        l3_len: 20,
        l4_len: 32,
        ip_checksum: true,
        l4_checksum: Some(L4Checksum::Tcp),
        tso_segment_size: Some(1448),
    };

    #[test]
    fn lengths_are_packed_in_their_bits() {
        let packed = tx_lengths(&OFFLOAD);
        assert_eq!(packed, 14 + (20 << 7) + (32 << 16) + (1448 << 24));
        let too_long = TxOffload {
            l3_len: 512 + 40,
            ..OFFLOAD
        };
        assert_eq!(tx_lengths(&too_long), packed + (20 << 7));
    }

    #[test]
    fn flags_say_what_is_asked_for() {
        let all = tx_flags(&OFFLOAD);
        for flag in [
            sys::DPDK_MBUF_F_TX_IPV4,
            sys::DPDK_MBUF_F_TX_IP_CKSUM,
            sys::DPDK_MBUF_F_TX_TCP_CKSUM,
            sys::DPDK_MBUF_F_TX_TCP_SEG,
        ] {
            assert_eq!(all & flag, flag);
        }
        let udp6 = TxOffload {
            ip_version: 6,
            ip_checksum: false,
            l4_checksum: Some(L4Checksum::Udp),
            tso_segment_size: None,
            ..OFFLOAD
        };
        let expected = sys::DPDK_MBUF_F_TX_IPV6 | sys::DPDK_MBUF_F_TX_UDP_CKSUM;
        assert_eq!(tx_flags(&udp6), expected);
    }

    #[test]
    fn checksum_bits_become_a_status() {
        let (bad, good) = (
            sys::DPDK_MBUF_F_RX_L4_CKSUM_BAD,
            sys::DPDK_MBUF_F_RX_L4_CKSUM_GOOD,
        );
        assert_eq!(status(0, bad), ChecksumStatus::Unknown);
        assert_eq!(status(bad, bad), ChecksumStatus::Bad);
        assert_eq!(status(good, bad), ChecksumStatus::Good);
        assert_eq!(status(good | bad, bad), ChecksumStatus::Good);
    }
}
