//! The phase in which octets flow: ESTABLISHED, and all states of closing (RFC 9293 section 3.10.7.4
//! and 3.6).
//!
//! In: segments, octets to send, time. Out: segments, received payloads. This joins the two halves:
//! what the peer sends goes to the receive half, what it acknowledges to the send half, and what
//! is sent carries what both have to say.

use core::hint::black_box;
use core::time::Duration;

use super::Call;
use super::acknowledge::Acknowledgment as AckDue;
use super::acknowledged::Acknowledgment;
use super::connect::Agreement;
use super::options::{Negotiated, SMALLEST_MSS, TIMESTAMPS_LEN};
use super::paws::Verdict;
use super::receive::{Acceptance, Arrival, Class, FinState, ReceiveHalf, ReceiveOptions};
use super::segment::Outgoing;
use super::timer::Fired;
use super::transmit::{Fin, Part, Room, SendHalf, SendOptions};
use super::window::Pressure;
use crate::drop::DropReason;
use crate::io::{PacketBuf, Payload};
use crate::tcp::connection::{Rejected, Transmitted};
use crate::tcp::{ConnectionOptions, Output, Segment, State, seq};
use crate::time::Instant;
use crate::wire::tcp::{self, Flags, HEADER_LEN, Header, Timestamps};

/// RFC 3168 section 5: the field of a packet that may be marked.
const ECT_0: u8 = 2;

/// RFC 3168 section 5: the field of a packet that was marked.
const CE: u8 = 3;

/// How long an acknowledgment waits for company at most.
const MAX_ACK_DELAY: Duration = Duration::from_millis(40);

/// Gaps in what arrives that are kept track of.
const MAX_GAPS: u16 = 256;

/// Chunks shorter than this are copied behind the one before, if that has room: many small ones
/// would each hold a whole buffer.
const WORTH_SHARING: usize = 256;

/// How far ahead of the acknowledgments the session may write, as a multiple of what is in flight.
const AHEAD: u32 = 2;

/// The session may write so much ahead in any case.
const AHEAD_MIN: u32 = 64 << 10;

/// The two halves of a connection.
#[derive(Debug)]
pub(super) struct Open<P> {
    pub(super) send: SendHalf<P>,
    pub(super) receive: ReceiveHalf<P>,
    pub(super) negotiated: Negotiated,
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
    /// Segments sent again.
    retransmissions: u32,
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
        }
        let receive = ReceiveOptions {
            initial_window: u32::try_from(options.first_window).unwrap_or(u32::MAX),
            max_window: start.offer.largest_window,
            shift: negotiated.receive_shift,
            mss: negotiated.receive_mss,
            sack: negotiated.sack,
            timestamp: agreement.stamp.filter(|_| negotiated.timestamps),
            ecn: negotiated.ecn,
            max_ack_delay: MAX_ACK_DELAY,
            max_gaps: MAX_GAPS,
        };
        Self {
            send,
            receive: ReceiveHalf::new(call.now, agreement.irs, &receive),
            negotiated: *negotiated,
            stamp_offset: start.stamp_offset,
            probes: 0,
            ask_window: false,
            asked: false,
            passive: false,
            retransmissions: 0,
        }
    }

    /// Takes in a segment (RFC 9293 section 3.10.7.4). RSTs and SYNs were checked before.
    pub(super) fn handle_segment<B: PacketBuf<Payload = P>>(
        &mut self,
        call: &Call<'_>,
        pressure: Pressure,
        segment: Segment<B>,
    ) -> Result<(), Rejected> {
        let header = segment.header;
        let now = call.now;
        let marked = segment.ecn() == CE;
        let len = segment.payload_len();
        let fin = header.flags.contains(Flags::FIN);
        let stamps = header
            .options
            .timestamps
            .filter(|_| self.negotiated.timestamps);
        // First check: RFC 7323 section 5.3, and the sequence number.
        match self.receive.check_age(now, stamps, false) {
            Verdict::Fresh => {}
            Verdict::Old => {
                self.receive.demand_ack();
                return Err(Rejected::silently(DropReason::TcpPaws));
            }
            Verdict::Missing => return Err(Rejected::silently(DropReason::TcpNoTimestamp)),
        }
        let acceptance = self.receive.acceptance(header.seq, len as u32, fin);
        match acceptance {
            Acceptance::Acceptable => {}
            // What is old may still carry what is new in the other direction; a peer that sends
            // only such segments is answered no faster than challenges are.
            Acceptance::Old if len == 0 && !fin => {
                if header.seq.wrapping_add(1) != self.receive.rcv_nxt() {
                    return Err(Rejected::with_challenge(DropReason::TcpOutsideWindow));
                }
                self.receive.demand_ack();
            }
            Acceptance::Old => {}
            Acceptance::Beyond if len == 0 && !fin => {
                return Err(Rejected::with_challenge(DropReason::TcpOutsideWindow));
            }
            Acceptance::Beyond => {
                self.receive.demand_ack();
                return Err(Rejected::silently(DropReason::TcpOutsideWindow));
            }
        }
        // Fifth check: the ACK.
        if !header.flags.contains(Flags::ACK) {
            return Err(Rejected::silently(DropReason::TcpBadFlags));
        }
        self.probes = 0;
        let ack = Acknowledgment {
            seq: header.seq,
            ack: header.ack,
            wnd: u32::from(header.window) << self.negotiated.send_shift,
            blocks: &header.options.sack_blocks,
            echo: stamps.map(|stamps| (stamps.echo, self.stamp(call.now))),
            congested: self.negotiated.ecn && header.flags.contains(Flags::ECE),
            occupies: len > 0 || fin,
        };
        // RFC 5961 section 5.2: an acknowledgment older than any that can be under way.
        let age = self.send.una.wrapping_sub(header.ack);
        if age.cast_signed() > 0 && age > self.send.max_wnd {
            return Err(Rejected::with_challenge(DropReason::TcpBadAck));
        }
        self.send.handle_ack(call.now, &ack);
        // Windows offered in better times may be worth more than there is. A worker without buffers
        // could not send either, and what is held would stay so. The next segment is taken in if it
        // is the only one, or two workers that are both out of buffers would wait for each other.
        let only = header.seq == self.receive.rcv_nxt() && self.receive.queued() == 0;
        let new = len > 0 && acceptance == Acceptance::Acceptable;
        if pressure == Pressure::Exhausted && new && !only {
            self.receive.discard_ahead();
            return Err(Rejected::silently(DropReason::TcpNoMemory));
        }
        // Seventh and eighth check: payload and FIN.
        let mut packet = segment.packet;
        packet.trim_front(segment.tcp_offset + header.header_len);
        let arrival = Arrival {
            seq: header.seq,
            payload: packet.into_payload(),
            fin,
            timestamps: stamps,
            congestion: marked,
            window_reduced: header.flags.contains(Flags::CWR),
        };
        let received = self.receive.handle(now, self.stamp(now), arrival);
        if received.fin && self.send.fin == Fin::Open {
            self.passive = true;
        }
        if pressure >= Pressure::Critical && received.class == Class::Ahead {
            // Not yet acknowledged but selectively, so the peer still has it (RFC 2018 section 8).
            self.receive.discard_ahead();
            return Err(Rejected::silently(DropReason::TcpNoMemory));
        }
        match received.class {
            Class::Refused(_) => Err(Rejected::silently(DropReason::TcpRefused)),
            Class::Bare
            | Class::InOrder
            | Class::Filling
            | Class::Ahead
            | Class::Duplicate
            | Class::Outside => Ok(()),
        }
    }

    /// Sends at most `allowed` segments.
    pub(super) fn poll_transmit<O>(
        &mut self,
        call: &Call<'_>,
        pressure: Pressure,
        out: &mut O,
        allowed: usize,
    ) -> Transmitted
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let now = call.now;
        if self.send.handle_timer(now) == Fired::WindowProbe {
            self.ask_window = true;
        }
        self.restart_after_idle(call);
        let mut sent = 0;
        while let Some(part) = self.next_part(call, out) {
            if sent == allowed {
                return Transmitted::Budget;
            }
            if !self.send_part(call, pressure, part, out) {
                return Transmitted::NoBuffer;
            }
            sent += 1;
        }
        self.send.timer_when_held_back(now);
        let asks = self.ask_window || self.keepalive_due(call).is_some_and(|at| at <= now);
        if asks && !self.send_probe(call, pressure, out) {
            return Transmitted::NoBuffer;
        }
        let due = match self.receive.poll_ack(now, pressure) {
            AckDue::Now => true,
            AckDue::At(at) => at <= now,
            AckDue::None => false,
        };
        if due && !self.send_ack(call, pressure, out) {
            return Transmitted::NoBuffer;
        }
        Transmitted::All
    }

    /// What is to be sent next.
    fn next_part<O: Output>(&mut self, call: &Call<'_>, out: &O) -> Option<Part> {
        let mss = u32::from(self.negotiated.send_mss) - self.sack_len();
        let version = call.flow.version();
        let most = out.segmentation_limit(version).map_or(mss, |limit| {
            let headers = 40 + HEADER_LEN + tcp::MAX_OPTIONS_LEN;
            let segments = limit.saturating_sub(headers) as u32 / mss;
            segments.max(1) * mss
        });
        self.send.poll(call.now, Room { mss, most })
    }

    /// What the next segment reports beyond its acknowledgment.
    fn sack_blocks(&self) -> tcp::SackBlocks {
        let room = if self.negotiated.timestamps { 3 } else { 4 };
        self.receive.sack_blocks(room)
    }

    /// Octets that SACK blocks take in the options of the next segment.
    fn sack_len(&self) -> u32 {
        match self.sack_blocks().as_slice().len() {
            0 => 0,
            blocks => 4 + 8 * blocks as u32,
        }
    }

    /// Sends a part of the stream.
    fn send_part<O>(&mut self, call: &Call<'_>, pressure: Pressure, part: Part, out: &mut O) -> bool
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let now = call.now;
        let mss = u32::from(self.negotiated.send_mss) - self.sack_len();
        let last = part.seq.wrapping_add(part.len) == self.send.queue.end();
        let mut flags = Flags::ACK;
        if part.len > 0 && last {
            flags = flags | Flags::PSH;
        }
        if part.fin {
            flags = flags | Flags::FIN;
        }
        // RFC 3168 section 6.1.2: the first new octets after a reduction say so.
        let new = part.again.is_none() && part.len > 0;
        if new && self.negotiated.ecn && self.send.reduced {
            flags = flags | Flags::CWR;
        }
        let segment = Outgoing {
            flow: call.flow,
            header: self.header(now, part.seq, flags, pressure),
            // RFC 3168 section 6.1.5: what is sent again must not be marked.
            ecn: if self.negotiated.ecn && new { ECT_0 } else { 0 },
            len: part.len as usize,
            segment_size: (part.len > mss).then_some(mss as u16),
        };
        if !segment.send(out, self.send.queue.pieces(part.seq, part.len)) {
            return false;
        }
        if part.again.is_some() {
            self.retransmissions = self.retransmissions.wrapping_add(1);
            self.send.note_stamp(self.stamp(now));
        }
        self.send.reduced &= !new;
        self.send.sent(now, part);
        self.receive.ack_sent(part.len > 0);
        self.asked = true;
        true
    }

    /// Sends an acknowledgment.
    fn send_ack<O>(&mut self, call: &Call<'_>, pressure: Pressure, out: &mut O) -> bool
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let header = self.header(call.now, self.send.nxt, Flags::ACK, pressure);
        let sent = super::send_bare(call.flow, header, out);
        if sent {
            self.receive.ack_sent(false);
        }
        sent
    }

    /// Sends a segment that the peer has to answer though it says nothing: its number is one that
    /// was acknowledged (RFC 9293 section 3.8.4).
    fn send_probe<O>(&mut self, call: &Call<'_>, pressure: Pressure, out: &mut O) -> bool
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let seq = self.send.una.wrapping_sub(1);
        let header = self.header(call.now, seq, Flags::ACK, pressure);
        if !super::send_bare(call.flow, header, out) {
            return false;
        }
        if !self.ask_window {
            self.probes = self.probes.saturating_add(1);
        }
        self.ask_window = false;
        self.asked = true;
        true
    }

    /// The header of a segment that is sent now.
    fn header(&mut self, now: Instant, seq: u32, flags: Flags, pressure: Pressure) -> Header {
        let stamp = self.stamp(now);
        let mut flags = flags;
        if self.receive.echoes_congestion() {
            flags = flags | Flags::ECE;
        }
        let mut header = super::header(seq, self.receive.rcv_nxt(), flags);
        header.window = self.receive.window_field(pressure);
        header.options = tcp::Options {
            timestamps: self
                .receive
                .timestamp_echo()
                .map(|echo| Timestamps { value: stamp, echo }),
            sack_blocks: self.sack_blocks(),
            ..tcp::Options::default()
        };
        header
    }

    /// RFC 5681 section 4.1: after a pause, the window no longer says what the path takes.
    fn restart_after_idle(&mut self, call: &Call<'_>) {
        if self.send.unsent() == 0 || !self.send.board.is_empty() {
            return;
        }
        let timeout = self.send.rto.base();
        let idle = self.send.idle_for(call.now);
        if idle > timeout {
            let send = &mut self.send;
            send.controller
                .on_idle(&mut send.window, call.now, idle, timeout);
            send.pacer.restart(send.window.smss);
        }
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(&mut self, call: &Call<'_>, pressure: Pressure) -> Option<Instant> {
        if self.ask_window {
            return Some(Instant::ZERO);
        }
        let acknowledge = match self.receive.poll_ack(call.now, pressure) {
            AckDue::Now => Some(Instant::ZERO),
            AckDue::At(at) => Some(at),
            AckDue::None => None,
        };
        [
            self.send.poll_timeout(call.now),
            acknowledge,
            self.keepalive_due(call),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the next keepalive probe is due (RFC 9293 section 3.8.4): not while there is anything
    /// to be acknowledged, which is a probe itself.
    fn keepalive_due(&self, call: &Call<'_>) -> Option<Instant> {
        let keepalive = call.options.keepalive?;
        if !self.send.board.is_empty() || self.state() == State::TimeWait {
            return None;
        }
        let wait = keepalive.interval.saturating_mul(u32::from(self.probes));
        Some(call.heard_at + keepalive.idle.saturating_add(wait))
    }

    /// Whether as many keepalive probes as there may be went unanswered, and the last for long
    /// enough.
    pub(super) fn is_dead(&self, call: &Call<'_>) -> bool {
        let all = call
            .options
            .keepalive
            .is_some_and(|keepalive| self.probes >= keepalive.probes);
        all && self.keepalive_due(call).is_some_and(|at| at <= call.now)
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
        if len == 0 {
            return 0;
        }
        if len < WORTH_SHARING && self.send.queue.append(&octets[..len]) {
            return len;
        }
        let mut part = payload.share();
        part.truncate(len);
        self.send.queue.push(part);
        len
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
        let octets = &octets[..octets.len().min(self.room(options))];
        if !octets.is_empty() && octets.len() < WORTH_SHARING && self.send.queue.append(octets) {
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

    /// A smaller path MTU (RFC 1191 section 6.3, RFC 8201 section 5.2): the segments that were too
    /// large are sent again in smaller ones. Returns whether that is news.
    pub(super) fn handle_packet_too_big(&mut self, now: Instant, seq: u32, mss: u16) -> bool {
        let in_flight = seq::le(self.send.una, seq) && seq::lt(seq, self.send.nxt);
        let spent = if self.negotiated.timestamps {
            TIMESTAMPS_LEN
        } else {
            0
        };
        let mss = mss.max(SMALLEST_MSS) - spent;
        if !in_flight || mss >= self.negotiated.send_mss {
            return false;
        }
        self.negotiated.send_mss = mss;
        self.send.path_shrank(now, u32::from(mss));
        true
    }

    /// Whether the peer has ended its direction and everything before that has arrived.
    pub(super) fn fin_received(&self) -> bool {
        self.receive.fin_state() == FinState::Finished
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
    pub(super) fn fetch(&self) {
        let (send, receive) = (&self.send, &self.receive);
        black_box((
            send.una,
            send.queue.len(),
            send.board.is_empty(),
            send.rto.smoothed(),
            send.rack.multiplier(),
            send.window.cwnd,
            send.timer.at(),
            self.negotiated.send_mss,
        ));
        black_box((
            receive.rcv_nxt(),
            receive.queued(),
            receive.echoes_congestion(),
            receive.window_target(),
            receive.timestamp_echo(),
        ));
    }

    /// Segments sent again, ever.
    pub(super) fn retransmissions(&self) -> u32 {
        self.retransmissions
    }

    /// Packet buffers held.
    pub(super) fn buffers(&self) -> u32 {
        (self.send.queue.buffers() + self.receive.buffers_held()) as u32
    }

    fn stamp(&self, now: Instant) -> u32 {
        super::stamp_at(now, self.stamp_offset)
    }
}
