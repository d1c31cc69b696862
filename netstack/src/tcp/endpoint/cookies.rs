//! Handshakes of clients while there are too many of them, by [`SynCookies`].
//!
//! Only the native engine's: a connection of smoltcp's cannot be made in the middle of a handshake.
//!
//! [`SynCookies`]: crate::tcp::syncookie::SynCookies

use super::{Arrival, Endpoint};
use crate::counters::Event;
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::tcp::connection::Connection;
use crate::tcp::engine::EngineKind;
use crate::tcp::listen::Listener;
use crate::tcp::{Numbers, Output, Segment, TcpIp, bare, native};
use crate::wire::tcp::{Flags, Header};

/// How a handshake began that a cookie brought back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    numbers: Numbers,
    syn: Header,
}

impl<B: PacketBuf> Endpoint<B> {
    /// Answers a SYN without keeping anything. Returns whether it could.
    pub(super) fn answer_with_cookie<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: &Arrival<I>,
        listener: &Listener,
        syn: &Header,
        out: &mut O,
    ) -> bool {
        let Arrival { now, flow, mtu, .. } = *arrival;
        if listener.options.engine != EngineKind::Native {
            return false;
        }
        let network = listener.network;
        let ends = I::flow(flow);
        let numbers = self.isn.numbers(network, ends, now);
        let stamp = numbers.stamp(now);
        let syn = understood(listener, syn);
        let cookie = self.cookies.make(now, network, &ends, &syn, stamp);
        let numbers = Numbers {
            iss: cookie.iss,
            ..numbers
        };
        let options = listener.options.on_path::<I>(mtu);
        let start = native::start(&options, numbers, I::VERSION);
        let answer = native::stateless_answer(&options, start, &cookie.syn, cookie.stamp, now);
        let sent = bare::send(out, flow, answer);
        if sent {
            self.counters.increment(Event::TcpCookiesSent);
        }
        sent
    }

    /// Whether a segment of no connection returns a cookie, and to which listener.
    pub(super) fn returned_cookie<I: TcpIp>(
        &self,
        arrival: &Arrival<I>,
        header: &Header,
    ) -> Option<(Listener, Opening)> {
        let Arrival {
            now, network, flow, ..
        } = *arrival;
        // What costs nothing comes first: mostly, no cookie was sent for a long time.
        let flags = header.flags;
        if !self.cookies.are_due(now)
            || !flags.contains(Flags::ACK)
            || flags.contains(Flags::RST)
            || flags.contains(Flags::SYN)
        {
            return None;
        }
        let ends = I::flow(flow);
        let listener = self.listeners.get(network, ends.local())?;
        if listener.options.engine != EngineKind::Native {
            return None;
        }
        let numbers = self.isn.numbers(network, ends, now);
        let stamp = numbers.stamp(now);
        let header = understood(listener, header);
        let Some((iss, syn)) = self.cookies.check(now, network, &ends, &header, stamp) else {
            self.counters.increment(Event::TcpCookiesRefused);
            return None;
        };
        let numbers = Numbers { iss, ..numbers };
        Some((listener.clone(), Opening { numbers, syn }))
    }

    /// Makes the connection that a cookie stood for, and hands in the segment that brought it.
    pub(super) fn accept_cookie<I: TcpIp, O: Output<Buf = B>>(
        &mut self,
        arrival: Arrival<I>,
        listener: &Listener,
        opening: Opening,
        segment: Segment<B>,
        out: &mut O,
    ) {
        let Arrival { now, flow, mtu, .. } = arrival;
        if self.is_full() {
            // No answer: whatever the client sends next may find room.
            self.counters.drop_packet(DropReason::TcpConnectionsFull);
            return;
        }
        let Opening { numbers, syn } = opening;
        let options = &listener.options;
        let connection = Connection::accept::<I>(options, numbers, I::flow(flow), &syn, mtu, now);
        let id = self.admit(listener, flow, connection);
        self.counters.increment(Event::TcpCookiesAccepted);
        self.handle_for(id, now, flow, segment, out);
    }
}

/// A header without the time stamps that the listener does not use. A cookie then has no room for
/// the window scale and SACK.
fn understood(listener: &Listener, header: &Header) -> Header {
    let mut header = *header;
    if !listener.options.timestamps {
        header.options.timestamps = None;
    }
    header
}
