//! ICMP and ICMPv6, and what nobody here speaks.
//!
//! * **In**: ICMP messages; packets of protocols other than TCP and ICMP.
//! * **Out**: echo replies and errors to the transmit stage; errors about our segments to TCP or
//!   to the worker whose connection it is, or to all of them where that is not known; neighbor
//!   discovery to its stage.
//! * **Drops**: everything that is not an echo request, each with its reason.

use netstack::counters::{Counters, Event};
use netstack::drop::DropReason;
use netstack::icmp::{AnswerIp, answer_echo, emit_error, error_recipient};
use netstack::io::{PacketBuf, PacketIo};
use netstack::ip::{Ip, NetworkId, V6};
use netstack::rate_limit::RateLimit;
use netstack::tcp::{Endpoint, Flow, PacketTooBig, UnreachableError};
use netstack::time::Instant;
use netstack::wire::checksum::verify_transport_checksum;
use netstack::wire::icmp::{
    Error, HEADER_LEN, Message, Unreachable, parse_quoted, verify_checksum,
};
use netstack::wire::{ipv6_ext, tcp, udp};

use super::parse::IpPacket;
use super::tcp_in::hand_over;
use super::tx::Transmitter;
use crate::handover::{self, Kind, Mailbox, News};
use crate::host::HostIp;

/// Handles an ICMP message that is not of neighbor discovery.
pub fn process<I: HostIp + AnswerIp, Io: PacketIo>(
    now: Instant,
    mut packet: IpPacket<I, Io::Buf>,
    endpoint: &mut Endpoint<Io::Buf>,
    tx: &mut Transmitter<Io>,
    mailbox: &mut Mailbox<Io::Buf>,
    counters: &Counters,
) {
    let octets = packet.upper();
    let Ok(message) = Message::parse::<I>(octets) else {
        counters.drop_packet(DropReason::IcmpMalformed);
        return;
    };
    if !verify_checksum::<I>(packet.src, packet.dst, octets) {
        counters.drop_packet(DropReason::IcmpBadChecksum);
        return;
    }
    match message {
        Message::EchoRequest { .. } if !I::is_group_of_ours(packet.dst) => {
            if answer_echo::<I>(packet.packet.data_mut(), packet.offset).is_ok() {
                counters.increment(Event::EchoAnswered);
                tx.send_ip(packet.packet, packet.port, counters);
            } else {
                counters.drop_packet(DropReason::IcmpMalformed);
            }
        }
        Message::Error(error) => handle_error(now, packet, error, endpoint, mailbox, counters),
        Message::EchoRequest { .. } | Message::EchoReply { .. } | Message::Other { .. } => {
            counters.drop_packet(DropReason::IcmpIgnored);
        }
    }
}

/// Answers a packet that nobody here takes: a datagram, or an unknown protocol.
pub fn refuse<I: HostIp + AnswerIp, Io: PacketIo>(
    now: Instant,
    packet: &IpPacket<I, Io::Buf>,
    limit: &mut RateLimit,
    tx: &mut Transmitter<Io>,
    counters: &Counters,
) {
    let octets = packet.upper();
    let (reason, error) = if packet.protocol == udp::PROTOCOL {
        let Ok(header) = udp::Header::parse(octets) else {
            counters.drop_packet(DropReason::UdpMalformed);
            return;
        };
        // RFC 768: the datagram ends where it says, which may be before the packet does.
        let datagram = octets.get(..header.len).unwrap_or_default();
        if !verify_transport_checksum::<I>(packet.src, packet.dst, udp::PROTOCOL, datagram) {
            counters.drop_packet(DropReason::UdpBadChecksum);
            return;
        }
        (
            DropReason::UdpNoListener,
            Error::Unreachable(Unreachable::Port),
        )
    } else {
        let pointer = packet.protocol_at;
        (
            DropReason::ProtocolUnknown,
            Error::ProtocolUnreachable { pointer },
        )
    };
    counters.drop_packet(reason);
    // RFC 8200 section 4.7: a packet that carries nothing asks for nothing.
    if I::VERSION == V6::VERSION && packet.protocol == ipv6_ext::NO_NEXT_HEADER {
        return;
    }
    let Some(recipient) = error_recipient::<I>(packet.packet.data(), false) else {
        return;
    };
    if !limit.allow(now) {
        counters.increment(Event::IcmpErrorsSuppressed);
        return;
    }
    let Some(mut answer) = tx.alloc() else {
        counters.increment(Event::BuffersExhausted);
        return;
    };
    let quoted = packet.packet.data();
    if emit_error::<I, _>(&mut answer, packet.dst, recipient, error, quoted).is_ok() {
        counters.increment(Event::IcmpErrorsSent);
        counters.increment(Event::Generated);
        tx.send_ip(answer, packet.port, counters);
    }
}

/// Takes in an error about a packet that we are said to have sent.
fn handle_error<I: HostIp + AnswerIp, B: PacketBuf>(
    now: Instant,
    packet: IpPacket<I, B>,
    error: Error,
    endpoint: &mut Endpoint<B>,
    mailbox: &mut Mailbox<B>,
    counters: &Counters,
) {
    let quotation = packet
        .packet
        .data()
        .get(packet.offset + HEADER_LEN..)
        .unwrap_or_default();
    let Ok(quoted) = parse_quoted::<I>(quotation) else {
        counters.drop_packet(DropReason::IcmpMalformed);
        return;
    };
    let Some(seq) = quoted
        .tcp_seq
        .filter(|_| quoted.flow.protocol == tcp::PROTOCOL)
    else {
        counters.drop_packet(DropReason::IcmpUnknownFlow);
        return;
    };
    // As in a received packet, the peer is the source.
    let flow = quoted.flow.reversed();
    let known = match error {
        Error::Unreachable(_) | Error::ProtocolUnreachable { .. } => {
            endpoint.handle_unreachable(NetworkId::BARE, &flow, UnreachableError { seq })
        }
        Error::PacketTooBig { mtu } => {
            let error = PacketTooBig { seq, mtu };
            endpoint.handle_packet_too_big(now, NetworkId::BARE, &flow, error)
        }
        Error::TimeExceeded { .. } | Error::ParameterProblem { .. } => {
            counters.drop_packet(DropReason::IcmpIgnored);
            return;
        }
    };
    if known {
        counters.increment(Event::IcmpErrorsReceived);
        counters.increment(Event::Consumed);
        return;
    }
    match (endpoint.other_owner(flow.dport), error) {
        (Some(worker), _) => {
            let (port, kind, packet) = (packet.port, Kind::Packet, packet.packet);
            let message = handover::Message { port, kind, packet };
            hand_over(mailbox, worker, message, counters);
        }
        // A NIC spreads errors by the router's address: a client's connection may live anywhere.
        (None, Error::PacketTooBig { mtu }) if mailbox.others().next().is_some() => {
            let error = PacketTooBig { seq, mtu };
            tell_others(I::flow(flow), error, mailbox, counters);
            counters.increment(Event::Consumed);
        }
        (None, _) => counters.drop_packet(DropReason::IcmpUnknownFlow),
    }
}

/// Takes in what another worker heard about a packet that was too large.
pub fn handle_news<B: PacketBuf>(
    now: Instant,
    flow: Flow,
    error: PacketTooBig,
    endpoint: &mut Endpoint<B>,
    counters: &Counters,
) {
    let known = match flow {
        Flow::V4(flow) => endpoint.handle_packet_too_big(now, NetworkId::BARE, &flow, error),
        Flow::V6(flow) => endpoint.handle_packet_too_big(now, NetworkId::BARE, &flow, error),
    };
    if known {
        counters.increment(Event::IcmpErrorsReceived);
    }
}

fn tell_others<B>(flow: Flow, error: PacketTooBig, mailbox: &mut Mailbox<B>, counters: &Counters) {
    counters.increment(Event::PathNewsTold);
    for worker in mailbox.others() {
        let news = News::PacketTooBig(flow, error);
        if mailbox.send_news(worker, news).is_err() {
            counters.increment(Event::PathNewsLost);
        }
    }
}
