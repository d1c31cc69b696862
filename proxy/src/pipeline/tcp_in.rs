//! Segments for the worker's TCP.
//!
//! * **In**: TCP segments, checked.
//! * **Out**: to the connection, the listener, or the worker whose connection it is.
//! * **Drops**: by TCP, with its reasons; when the ring to another worker is full; and what is left
//!   of too many strays.
//!
//! A stray is a segment of a client whose connection is not here. Where a port does not bring a flow
//! to the same worker always (a ring of the kernel that runs over into the next, one receiver that
//! forgot the flow), another worker may have it, so the workers are asked one after the other, and
//! the last one refuses what nobody knows.

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::{PacketIo, PortId};
use netstack::ip::NetworkId;
use netstack::rate_limit::RateLimit;
use netstack::tcp::{Arrival, Endpoint, Misdirected, Run};
use netstack::time::Instant;
use netstack::wire::tcp::Flags;

use super::parse::TcpPacket;
use super::runs::LaneRun;
use super::tx::Transmitter;
use crate::handover::{Kind, Mailbox, Message};
use crate::host::{Host, HostIp};

/// What a worker does about segments of connections that it does not have.
#[derive(Debug)]
pub struct Strays {
    /// Whether another worker may have them, for each port.
    pub elsewhere: Vec<bool>,
    /// Limits how many are asked about.
    pub limit: RateLimit,
}

impl Strays {
    /// Strays that a worker asks about in a second, and at once: anybody can send them, and each is
    /// looked at by all workers.
    const PER_SECOND: u32 = 100_000;

    /// For ports of which `elsewhere` says whether they may bring a flow to any worker.
    pub fn new(elsewhere: Vec<bool>) -> Self {
        Self {
            elsewhere,
            limit: RateLimit::new(Self::PER_SECOND, Self::PER_SECOND / 50),
        }
    }

    fn may_be_elsewhere(&self, port: PortId) -> bool {
        self.elsewhere.get(usize::from(port.0)) == Some(&true)
    }
}

/// Where segments go that are not this worker's.
pub struct Others<'a, B> {
    /// The rings to the other workers.
    pub mailbox: &'a mut Mailbox<B>,
    /// What is done about strays.
    pub strays: &'a mut Strays,
}

/// Hands one segment, and those that follow it, to whom they are for.
pub fn process<I: HostIp, Io: PacketIo>(
    now: Instant,
    (packet, mut run): (TcpPacket<I, Io::Buf>, LaneRun<'_, I, Io::Buf>),
    host: &Host,
    tcp: &mut Endpoint<Io::Buf>,
    tx: &mut Transmitter<Io>,
    others: &mut Others<'_, Io::Buf>,
    counters: &Counters,
) {
    let TcpPacket {
        port, flow, asked, ..
    } = packet;
    // Segments must fit both the way they came and the way back. Only a SYN asks.
    let mut mtu = tx.mtu(port);
    if packet.segment.header.flags.contains(Flags::SYN)
        && let Some(back) = I::host(host).routes.lookup(NetworkId::BARE, flow.src)
    {
        mtu = mtu.min(tx.mtu(back.port));
    }
    let arrival = Arrival {
        now,
        network: NetworkId::BARE,
        flow,
        mtu,
        guess: packet.guess,
        elsewhere: others.strays.may_be_elsewhere(port) && asked + 1 < others.mailbox.workers(),
    };
    let mut out = tx.tcp_output(counters);
    let mut next = Some(packet.segment);
    while let Some(segment) = next {
        match tcp.handle_run(arrival, segment, &mut run, &mut out) {
            Ok(()) => {}
            Err(Misdirected::Owned { worker, packet }) => {
                let kind = Kind::Packet;
                let message = Message { port, kind, packet };
                hand_over(others.mailbox, worker, message, counters);
            }
            Err(Misdirected::Unknown { packet }) => {
                let kind = Kind::Stray { asked: asked + 1 };
                let message = Message { port, kind, packet };
                ask_on(now, message, others, counters);
            }
        }
        next = run.take();
    }
}

/// Asks the next worker whether a client's segment is of a connection of its own.
fn ask_on<B>(now: Instant, stray: Message<B>, others: &mut Others<'_, B>, counters: &Counters) {
    // One that was asked about already is asked about to the end.
    if stray.kind == (Kind::Stray { asked: 1 }) && !others.strays.limit.allow(now) {
        counters.drop_packet(DropReason::StrayLimit);
        return;
    }
    let mailbox = &mut *others.mailbox;
    let next = (mailbox.own() + 1) % mailbox.workers();
    counters.increment(Event::StraysAsked);
    hand_over(mailbox, next, stray, counters);
}

/// Gives a packet to another worker.
pub fn hand_over<B>(
    mailbox: &mut Mailbox<B>,
    worker: u16,
    message: Message<B>,
    counters: &Counters,
) {
    if mailbox.send(worker, message).is_ok() {
        counters.increment(Event::HandedOver);
    } else {
        counters.drop_packet(DropReason::HandoverFull);
    }
}
