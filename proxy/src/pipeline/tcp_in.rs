//! Segments for the worker's TCP.
//!
//! * **In**: TCP segments, checked.
//! * **Out**: to the connection, the listener, or the worker whose connection it is.
//! * **Drops**: by TCP, with its reasons; and when another worker's queue is full.

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::PacketIo;
use netstack::ip::NetworkId;
use netstack::tcp::{Arrival, Endpoint};
use netstack::time::Instant;

use super::parse::TcpPacket;
use super::tx::Transmitter;
use crate::handover::{Mailbox, Message};
use crate::host::HostIp;

/// Hands one segment to whom it is for.
pub fn process<I: HostIp, Io: PacketIo>(
    now: Instant,
    packet: TcpPacket<I, Io::Buf>,
    tcp: &mut Endpoint,
    tx: &mut Transmitter<Io>,
    mailbox: &Mailbox<Io::Buf>,
    counters: &Counters,
) {
    let port = packet.port;
    let arrival = Arrival {
        now,
        network: NetworkId::BARE,
        flow: packet.flow,
        mtu: tx.ports[usize::from(port.0)].io.capabilities().mtu,
    };
    let mut out = tx.tcp_output(counters);
    let Err(stray) = tcp.handle_segment(arrival, packet.segment, &mut out) else {
        return;
    };
    hand_over(
        mailbox,
        stray.worker,
        Message::Packet {
            port,
            packet: stray.packet,
        },
        counters,
    );
}

/// Gives a packet to another worker.
pub fn hand_over<B>(mailbox: &Mailbox<B>, worker: u16, message: Message<B>, counters: &Counters) {
    if mailbox.send(worker, message).is_ok() {
        counters.increment(Event::HandedOver);
    } else {
        counters.drop_packet(DropReason::HandoverFull);
    }
}
