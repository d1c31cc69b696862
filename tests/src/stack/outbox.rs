//! Where the packets of a stack go: completed by their checksums, with the time they were sent.

use std::collections::VecDeque;

use netstack::io::PacketBuf;
use netstack::io::mem::{MemBuf, MemPool};
use netstack::ip::{Ip, V4, V6};
use netstack::tcp::Output;
use netstack::time::Instant;
use netstack::wire::icmp::IcmpIp;
use netstack::wire::{ipv4, tcp};

/// The packets that were sent and not taken.
pub(super) struct Outbox {
    pool: MemPool,
    now: Instant,
    sent: VecDeque<(Instant, Vec<u8>)>,
}

impl Outbox {
    /// Lends `buffers` at one time: to what waits for acknowledgments, and for the segment that is
    /// being made.
    pub(super) fn new(now: Instant, mtu: usize, buffers: usize) -> Self {
        Self {
            pool: MemPool::new(buffers, mtu),
            now,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Moves the time that packets are sent at; never back.
    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(super) fn take(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }
}

impl Output for Outbox {
    type Buf = MemBuf;

    fn alloc(&mut self) -> Option<MemBuf> {
        self.pool.alloc()
    }

    fn send(&mut self, packet: MemBuf) {
        let mut octets = packet.data().to_vec();
        match octets.first().map(|first| first >> 4) {
            Some(V4::VERSION) => {
                ipv4::fill_checksum(&mut octets);
                fill_tcp_checksum::<V4>(&mut octets);
            }
            _ => fill_tcp_checksum::<V6>(&mut octets),
        }
        self.sent.push_back((self.now, octets));
    }

    /// Somebody wrote more than there are buffers for; the rest waits.
    fn lost(&mut self) {}
}

/// The stack writes neither IP options nor extension headers.
fn fill_tcp_checksum<I: IcmpIp>(packet: &mut [u8]) {
    if let Ok(header) = I::parse_quoted_header(packet)
        && header.protocol == tcp::PROTOCOL
        && let Some(segment) = packet.get_mut(I::HEADER_LEN..)
        && segment.len() >= tcp::HEADER_LEN
    {
        tcp::fill_checksum::<I>(header.src, header.dst, segment);
    }
}
