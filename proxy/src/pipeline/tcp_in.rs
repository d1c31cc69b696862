//! Segments for the worker's TCP.
//!
//! * **In**: TCP segments, checked.
//! * **Out**: to the connection, the listener, or the worker whose connection it is.
//! * **Drops**: by TCP, with its reasons; and when another worker's queue is full.

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::PacketIo;
use netstack::ip::NetworkId;
use netstack::tcp::{Arrival, Endpoint, Run};
use netstack::time::Instant;
use netstack::wire::tcp::Flags;

use super::parse::TcpPacket;
use super::runs::LaneRun;
use super::tx::Transmitter;
use crate::handover::{Mailbox, Message};
use crate::host::{Host, HostIp};

/// Hands one segment, and those that follow it, to whom they are for.
pub fn process<I: HostIp, Io: PacketIo>(
    now: Instant,
    (packet, mut run): (TcpPacket<I, Io::Buf>, LaneRun<'_, I, Io::Buf>),
    host: &Host,
    tcp: &mut Endpoint<Io::Buf>,
    tx: &mut Transmitter<Io>,
    mailbox: &Mailbox<Io::Buf>,
    counters: &Counters,
) {
    let port = packet.port;
    // Segments must fit both the way they came and the way back. Only a SYN asks.
    let mut mtu = tx.mtu(port);
    if packet.segment.header.flags.contains(Flags::SYN)
        && let Some(back) = I::host(host)
            .routes
            .lookup(NetworkId::BARE, packet.flow.src)
    {
        mtu = mtu.min(tx.mtu(back.port));
    }
    let arrival = Arrival {
        now,
        network: NetworkId::BARE,
        flow: packet.flow,
        mtu,
        guess: packet.guess,
    };
    let mut out = tx.tcp_output(counters);
    let mut next = Some(packet.segment);
    while let Some(segment) = next {
        if let Err(stray) = tcp.handle_run(arrival, segment, &mut run, &mut out) {
            let (worker, packet) = (stray.worker, stray.packet);
            hand_over(mailbox, worker, Message::Packet { port, packet }, counters);
        }
        next = run.take();
    }
}

/// Gives a packet to another worker.
pub fn hand_over<B>(mailbox: &Mailbox<B>, worker: u16, message: Message<B>, counters: &Counters) {
    if mailbox.send(worker, message).is_ok() {
        counters.increment(Event::HandedOver);
    } else {
        counters.drop_packet(DropReason::HandoverFull);
    }
}
