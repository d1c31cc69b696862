//! Questions and answers about MAC addresses.
//!
//! * **In**: ARP packets and neighbor discovery messages.
//! * **Out**: answers; packets that waited for the neighbor; what the other workers should know.
//! * **Drops**: malformed ones, and talk about others.

use core::net::IpAddr;

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::io::{PacketBuf, PacketIo, PortId};
use netstack::ip::{IpAddress, NetworkId, V4, V6};
use netstack::neighbor::{Heard, Outcome, Speaker};
use netstack::time::Instant;
use netstack::wire::icmp::verify_checksum;
use netstack::wire::{arp, ethernet, ndp};

use super::parse::IpPacket;
use super::tx::Transmitter;
use crate::handover::{Mailbox, News};
use crate::host::{Host, HostIp};

/// Handles an ARP packet, with its Ethernet header.
pub fn process_arp<Io: PacketIo>(
    now: Instant,
    (port, frame): (PortId, Io::Buf),
    host: &Host,
    tx: &mut Transmitter<Io>,
    mailbox: &mut Mailbox<Io::Buf>,
    counters: &Counters,
) {
    let octets = frame.data().get(ethernet::HEADER_LEN..).unwrap_or_default();
    let Ok(packet) = arp::Packet::parse(octets) else {
        counters.drop_packet(DropReason::ArpMalformed);
        return;
    };
    let heard = Heard::<V4>::from_arp(&packet);
    if handle(now, port, &heard, host, tx, counters) {
        counters.increment(Event::Consumed);
    } else {
        counters.drop_packet(DropReason::ArpNotForUs);
    }
    if concerns_others(port, &heard, host) {
        tell_others(mailbox, counters, News::NeighborV4(port, heard));
    }
}

/// Handles a neighbor discovery message.
pub fn process_ndp<Io: PacketIo>(
    now: Instant,
    packet: &IpPacket<V6, Io::Buf>,
    host: &Host,
    tx: &mut Transmitter<Io>,
    mailbox: &mut Mailbox<Io::Buf>,
    counters: &Counters,
) {
    let octets = packet.upper();
    if !verify_checksum::<V6>(packet.src, packet.dst, octets) {
        counters.drop_packet(DropReason::IcmpBadChecksum);
        return;
    }
    let Ok(message) = ndp::Message::parse(packet.src, packet.dst, packet.hop_limit, octets) else {
        counters.drop_packet(DropReason::NdpMalformed);
        return;
    };
    let Some(heard) = Heard::<V6>::from_ndp(packet.src, packet.frame_source, &message) else {
        counters.drop_packet(DropReason::IcmpIgnored);
        return;
    };
    if handle(now, packet.port, &heard, host, tx, counters) {
        counters.increment(Event::Consumed);
    } else {
        counters.drop_packet(DropReason::NdpNotForUs);
    }
    if concerns_others(packet.port, &heard, host) {
        let news = News::NeighborV6(packet.port, heard);
        tell_others(mailbox, counters, news);
    }
}

/// Takes in what was heard on `port`, here or by another worker. Returns whether it was for us.
pub fn handle<I: HostIp, Io: PacketIo>(
    now: Instant,
    port: PortId,
    heard: &Heard<I>,
    host: &Host,
    tx: &mut Transmitter<Io>,
    counters: &Counters,
) -> bool {
    let local = &I::host(host).local;
    let outcome =
        I::neighbors(tx.neighbors_mut()).handle_heard(now, NetworkId::BARE, port, local, heard);
    match outcome {
        Outcome::Answer { target, asker } => {
            let us = Speaker {
                addr: target,
                mac: tx.mac(port),
            };
            tx.send_made(port, counters, |buf| {
                I::emit_answer(buf, us, asker)?;
                counters.increment(Event::NeighborAnswered);
                Ok(())
            });
        }
        Outcome::Learned => counters.increment(Event::NeighborLearned),
        Outcome::NotForUs => {}
    }
    tx.run_actions::<I>(host, counters);
    !matches!(outcome, Outcome::NotForUs)
}

/// Whether other workers may have a neighbor that was heard on `port`: an answer about a station
/// that can be on that link, and is not us. They may have asked it, and what they do not know of
/// changes nothing there.
fn concerns_others<I: HostIp>(port: PortId, heard: &Heard<I>, host: &Host) -> bool {
    let Heard::Answer { about, .. } = *heard else {
        return false;
    };
    let local = &I::host(host).local;
    let is_on_link = is_link_local(about.into())
        || local
            .on_port(port)
            .any(|ours| about.shares_prefix(ours.addr, ours.prefix_len));
    is_on_link && about.is_unicast() && !local.contains(NetworkId::BARE, about)
}

/// RFC 3927 section 2.1, RFC 4291 section 2.5.6.
fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

fn tell_others<B>(mailbox: &mut Mailbox<B>, counters: &Counters, news: News) {
    for worker in mailbox.others() {
        if mailbox.send_news(worker, news).is_err() {
            counters.increment(Event::NeighborNewsLost);
        }
    }
}
