//! Which worker's queue a port puts a frame on.

use netstack::io::Rss;
use netstack::ip::{FiveTuple, Ip, V4, V6};
use netstack::rss::Steering;
use netstack::wire::ethernet::{self, ethertype};
use netstack::wire::{ipv4, ipv6, tcp};

use super::setup::SpreadBy;

/// A TCP flow of either IP version.
#[derive(Clone, Copy, Debug)]
pub(super) enum TcpFlow {
    V4(FiveTuple<V4>),
    V6(FiveTuple<V6>),
}

impl TcpFlow {
    pub(super) fn dport(self) -> u16 {
        match self {
            Self::V4(flow) => flow.dport,
            Self::V6(flow) => flow.dport,
        }
    }

    fn sport(self) -> u16 {
        match self {
            Self::V4(flow) => flow.sport,
            Self::V6(flow) => flow.sport,
        }
    }
}

/// The flow of a frame that carries TCP; hosts in the simulation send neither IP options nor
/// extension headers.
pub(super) fn tcp_flow(frame: &[u8]) -> Option<TcpFlow> {
    let header = ethernet::Header::parse(frame).ok()?;
    let packet = frame.get(ethernet::HEADER_LEN..)?;
    match header.ethertype {
        ethertype::IPV4 => {
            let ip = ipv4::Header::parse(packet).ok()?;
            let flow = flow::<V4>((ip.src, ip.dst), ip.protocol, packet)?;
            Some(TcpFlow::V4(flow))
        }
        ethertype::IPV6 => {
            let ip = ipv6::Header::parse(packet).ok()?;
            let flow = flow::<V6>((ip.src, ip.dst), ip.next_header, packet)?;
            Some(TcpFlow::V6(flow))
        }
        _ => None,
    }
}

fn flow<I: Ip>(
    (src, dst): (I::Addr, I::Addr),
    protocol: u8,
    packet: &[u8],
) -> Option<FiveTuple<I>> {
    let ports = packet.get(I::HEADER_LEN..I::HEADER_LEN + 4)?;
    (protocol == tcp::PROTOCOL).then(|| FiveTuple {
        src,
        dst,
        sport: u16::from_be_bytes([ports[0], ports[1]]),
        dport: u16::from_be_bytes([ports[2], ports[3]]),
        protocol,
    })
}

/// How a port spreads frames over the workers' queues.
#[derive(Debug)]
pub(super) struct Switch {
    /// How many there are to choose from.
    queues: usize,
    steering: Option<Steering>,
}

impl Switch {
    pub(super) fn new(workers: usize, by: SpreadBy) -> Self {
        let queues = match by {
            SpreadBy::Ports | SpreadBy::Toeplitz => workers,
            SpreadBy::OneQueue | SpreadBy::Receiver => 1,
        };
        Self {
            queues,
            steering: rss(queues, by).map(|rss| Steering::new(&rss).expect("the key is long")),
        }
    }

    /// The queue for a frame. What is not TCP goes to the first.
    pub(super) fn queue_for(&self, frame: &[u8]) -> usize {
        let Some(flow) = tcp_flow(frame) else {
            return 0;
        };
        match (&self.steering, flow) {
            (Some(steering), TcpFlow::V4(flow)) => usize::from(steering.queue_for(&flow)),
            (Some(steering), TcpFlow::V6(flow)) => usize::from(steering.queue_for(&flow)),
            (None, flow) => usize::from(flow.sport() ^ flow.dport()) % self.queues,
        }
    }
}

/// What the ports tell about how they spread.
pub(super) fn rss(queues: usize, by: SpreadBy) -> Option<Rss> {
    match by {
        SpreadBy::Ports | SpreadBy::OneQueue | SpreadBy::Receiver => None,
        SpreadBy::Toeplitz => Some(Rss {
            key: (1..=40).map(|octet: u8| octet.wrapping_mul(151)).collect(),
            reta: (0..128).map(|entry| entry % queues as u16).collect(),
        }),
    }
}
