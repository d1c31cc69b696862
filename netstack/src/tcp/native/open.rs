//! The phase in which octets flow: ESTABLISHED, and all states of closing (RFC 9293 section 3.10.7.4
//! and 3.6).
//!
//! In: segments, octets to send, time. Out: segments, received payloads. This joins the two halves:
//! what the peer sends goes to the receive half, what it acknowledges to the send half, and what
//! is sent carries what both have to say.

mod input;
mod output;

use core::hint::black_box;

use super::Call;
use super::connect::Agreement;
use super::options::InUse;
use super::path_mtu::Search;
use super::receive::{ReceiveHalf, ReceiveOptions};
use super::transmit::{Fin, SendHalf, SendOptions};
use super::window::Pressure;
use crate::io::{PacketBuf, Payload};
use crate::tcp::{ConnectionOptions, Output, State};
use crate::time::Instant;
use crate::wire::tcp::{self, Timestamps};

/// How far ahead of the acknowledgments the session may write, as a multiple of what is in flight.
const AHEAD: u32 = 2;

/// The session may write so much ahead in any case.
pub(super) const AHEAD_MIN: u32 = 64 << 10;

/// The two halves of a connection.
#[derive(Debug)]
pub(super) struct Open<P> {
    pub(super) send: SendHalf<P>,
    pub(super) receive: ReceiveHalf<P>,
    pub(super) in_use: InUse,
    /// What is added to the time in milliseconds to give our time stamps.
    stamp_offset: u32,
    /// Keepalive probes sent since the peer was last heard.
    probes: u8,
    /// The window is to be asked about.
    ask_window: bool,
    /// Something was sent that the peer has to answer.
    asked: bool,
    /// The peer ended its direction before we ended ours.
    passive: bool,
    /// The path takes less than was agreed on.
    pub(super) search: Option<Box<Search>>,
    /// Segments sent again since somebody asked.
    retransmits: u32,
}

impl<P: Payload> Open<P> {
    /// The connection after the handshake `agreement`.
    pub(super) fn new(call: &Call<'_>, agreement: &Agreement) -> Self {
        let options = call.options;
        let Agreement {
            start, negotiated, ..
        } = agreement;
        let send = SendOptions {
            iss: start.iss,
            wnd: agreement.wnd,
            wl1: agreement.wl1,
            algorithm: options.congestion,
            pacing: options.pacing,
            rto_floor: options.rto_floor,
        };
        let mut send = SendHalf::new(&send, negotiated);
        if let Some(time) = agreement.round_trip {
            send.rto.measured(call.now, time);
        }
        if agreement.repeated {
            // RFC 5681 section 3.1: a lost SYN leaves one segment.
            send.window.cwnd = send.window.smss;
            send.rto.fall_back();
        }
        let receive = ReceiveOptions {
            initial_window: u32::try_from(options.first_window).unwrap_or(u32::MAX),
            max_window: start.offer.largest_window,
            shift: negotiated.receive_shift,
            mss: negotiated.receive_mss,
            sack: negotiated.sack,
            timestamp: agreement.stamp.filter(|_| negotiated.timestamps),
            ecn: negotiated.ecn,
        };
        let receive = ReceiveHalf::new(call.now, agreement.irs, &receive);
        Self::joined(send, receive, negotiated.in_use(), start.stamp_offset)
    }

    /// The connection of two halves in which nothing is under way.
    pub(super) fn joined(
        send: SendHalf<P>,
        receive: ReceiveHalf<P>,
        in_use: InUse,
        stamp_offset: u32,
    ) -> Self {
        Self {
            send,
            receive,
            in_use,
            stamp_offset,
            probes: 0,
            ask_window: false,
            asked: false,
            passive: false,
            search: None,
            retransmits: 0,
        }
    }

    /// The state in the words of RFC 9293.
    pub(super) fn state(&self) -> State {
        match (self.send.fin, self.fin_received()) {
            (Fin::Open, false) => State::Established,
            (Fin::Open, true) => State::CloseWait,
            (Fin::Queued | Fin::Sent, false) => State::FinWait1,
            (Fin::Acknowledged, false) => State::FinWait2,
            (Fin::Queued | Fin::Sent, true) if self.passive => State::LastAck,
            (Fin::Queued | Fin::Sent, true) => State::Closing,
            // RFC 9293 section 3.10.7.4, LAST-ACK: whoever ends last need not wait.
            (Fin::Acknowledged, true) if self.passive => State::Closed,
            (Fin::Acknowledged, true) => State::TimeWait,
        }
    }

    /// The next acknowledgment is due at once.
    pub(super) fn acknowledge_now(&mut self) {
        self.receive.demand_ack();
    }

    /// The next received payload.
    pub(super) fn received(&self) -> Option<&P> {
        self.receive.received()
    }

    /// All received payloads, in order.
    pub(super) fn all_received(&self) -> impl Iterator<Item = &P> {
        self.receive.all_received()
    }

    /// Forgets the first `len` received octets.
    pub(super) fn consume(&mut self, len: usize) {
        self.receive.consume(len as u32);
    }

    /// Octets received in order and not yet consumed.
    pub(super) fn receive_queue(&self) -> usize {
        self.receive.queued() as usize
    }

    /// Queues as much of the front of `payload` as there is room for; returns how many octets.
    pub(super) fn send(&mut self, options: &ConnectionOptions, payload: &P) -> usize {
        let octets = payload.octets();
        let len = octets.len().min(self.room(options));
        self.send.short_of_room = len < octets.len();
        if len == 0 {
            return 0;
        }
        if self.send.queue.gather(&octets[..len]) {
            return len;
        }
        let mut part = payload.share();
        part.truncate(len);
        self.send.queue.push(part);
        len
    }

    /// Moves whole received payloads to what `to` has to send, as far as that has room; returns
    /// how many octets that was.
    pub(super) fn pass_to(&mut self, to: &mut Self, options: &ConnectionOptions) -> usize {
        let room = to.room(options);
        let mut moved = 0;
        while let Some(payload) = self.receive.take(room - moved) {
            moved += payload.octets().len();
            to.send.queue.push_gathered(payload);
        }
        to.send.short_of_room = self.receive.queued() > 0;
        moved
    }

    /// Queues as many of `octets` as there is room for, copied; returns how many.
    pub(super) fn send_copied<O>(
        &mut self,
        options: &ConnectionOptions,
        octets: &[u8],
        out: &mut O,
    ) -> usize
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let all = octets.len();
        let octets = &octets[..all.min(self.room(options))];
        self.send.short_of_room = octets.len() < all;
        if self.send.queue.gather(octets) {
            return octets.len();
        }
        let mut rest = octets;
        while !rest.is_empty() {
            let Some(mut buffer) = out.alloc() else { break };
            let len = rest.len().min(buffer.tailroom());
            let (part, after) = rest.split_at(len);
            let Some(data) = buffer.append(len) else {
                break;
            };
            data.copy_from_slice(part);
            self.send.queue.push(buffer.into_payload());
            rest = after;
        }
        octets.len() - rest.len()
    }

    /// Whether the session may write, as far as buffers are concerned. When there are none left, it
    /// waits for the acknowledgment of what it has written.
    pub(super) fn may_queue(&self, pressure: Pressure) -> bool {
        pressure < Pressure::Exhausted || self.send.queue.len() == 0
    }

    /// How much more the session may write: nothing after the end, and else as far ahead as makes
    /// sure that there is always something to send.
    pub(super) fn room(&self, options: &ConnectionOptions) -> usize {
        if self.send.fin != Fin::Open {
            return 0;
        }
        let ahead = self.send.window.cwnd.saturating_mul(AHEAD).max(AHEAD_MIN);
        let most = options.send_buffer.min(ahead as usize);
        most.saturating_sub(self.send.queue.len() as usize)
    }

    /// Octets queued that the peer has not acknowledged.
    pub(super) fn send_queue(&self) -> usize {
        self.send.queue.len() as usize
    }

    /// Ends our direction after all that is queued.
    pub(super) fn close(&mut self) {
        if self.fin_received() && self.send.fin == Fin::Open {
            self.passive = true;
        }
        self.send.close();
    }

    /// Whether the peer has ended its direction and everything before that has arrived.
    pub(super) fn fin_received(&self) -> bool {
        self.receive.is_finished()
    }

    pub(super) fn snd_una(&self) -> u32 {
        self.send.una
    }

    pub(super) fn snd_nxt(&self) -> u32 {
        self.send.nxt
    }

    pub(super) fn rcv_nxt(&self) -> u32 {
        self.receive.rcv_nxt()
    }

    /// The window field and the options of an acknowledgment that offers nothing new.
    pub(super) fn challenge(&mut self, now: Instant) -> (u16, tcp::Options) {
        let value = self.stamp(now);
        let timestamps = self.receive.timestamp_echo();
        let options = tcp::Options {
            timestamps: timestamps.map(|echo| Timestamps { value, echo }),
            ..tcp::Options::default()
        };
        (self.receive.window_field(Pressure::Critical), options)
    }

    /// The peer's newest time stamp and our offset.
    pub(super) fn stamps(&self) -> Option<(u32, u32)> {
        Some((self.receive.timestamp_echo()?, self.stamp_offset))
    }

    /// Whether something was sent that the peer has to answer, since this was last asked.
    pub(super) fn take_asked(&mut self) -> bool {
        core::mem::take(&mut self.asked)
    }

    /// Reads a field of each part, so that all are fetched from memory.
    pub(super) fn touch(&self) {
        let (send, receive) = (&self.send, &self.receive);
        black_box((
            send.una,
            send.queue.len(),
            send.board.is_empty(),
            send.board.lost(),
            send.activity,
            send.loss_probe,
            send.rto.smoothed(),
            send.rack.multiplier(),
            send.window.cwnd,
            send.timer.at(),
            send.silences,
            self.in_use.send_shift,
        ));
        black_box((
            receive.rcv_nxt(),
            receive.queued(),
            receive.echoes_congestion(),
            receive.window_target(),
            receive.timestamp_echo(),
        ));
    }

    /// Whether something is asked of the peer that it has not answered.
    pub(super) fn is_asking(&self) -> bool {
        self.ask_window || self.probes > 0
    }

    /// What is added to the time in milliseconds to give our time stamps.
    pub(super) fn stamp_offset(&self) -> u32 {
        self.stamp_offset
    }

    /// Segments sent again since this was last asked.
    pub(super) fn take_retransmits(&mut self) -> u32 {
        core::mem::take(&mut self.retransmits)
    }

    /// Packet buffers held.
    pub(super) fn buffers(&self) -> u32 {
        (self.send.queue.buffers() + self.receive.buffers_held()) as u32
    }

    fn stamp(&self, now: Instant) -> u32 {
        super::stamp_at(now, self.stamp_offset)
    }
}
