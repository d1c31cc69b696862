//! What a connection in which octets flow sends, and when.
//!
//! In: time, and where segments go. Out: parts of the stream that the send half chooses, probes,
//! and acknowledgments when no part carried them; and the time of the next of these.

use super::Open;
use crate::io::{PacketBuf, Payload};
use crate::ip::{Ip, V6};
use crate::tcp::connection::Transmitted;
use crate::tcp::native::acknowledge::AckDue;
use crate::tcp::native::segment::{Attaching, Emitted, Outgoing};
use crate::tcp::native::timer::Fired;
use crate::tcp::native::transmit::{Part, Room};
use crate::tcp::native::window::Pressure;
use crate::tcp::native::{self, Call};
use crate::tcp::{Output, State};
use crate::time::Instant;
use crate::wire::tcp::{self, Flags, HEADER_LEN, Header, Timestamps};

/// RFC 3168 section 5: the field of a packet that may be marked.
const ECT_0: u8 = 2;

/// What segments say of the other direction.
struct Report {
    pressure: Pressure,
    /// What arrived beyond gaps, and twice.
    blocks: tcp::SackBlocks,
}

impl Report {
    /// Octets that the blocks take in the options.
    fn len(&self) -> u32 {
        match self.blocks.as_slice().len() {
            0 => 0,
            blocks => 4 + 8 * blocks as u32,
        }
    }
}

impl<P: Payload> Open<P> {
    /// Sends at most `allowed` segments.
    pub(in super::super) fn poll_transmit<O>(
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
        let transmitted = self.transmit(call, pressure, out, allowed);
        self.send.note_activity(call.now);
        transmitted
    }

    fn transmit<O>(
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
        match self.send.handle_timer(now) {
            Fired::WindowProbe => self.ask_window = true,
            Fired::Timeout => self.suspect_path(now),
            Fired::Nothing => {}
        }
        self.restart_after_idle(call);
        let mut report = self.report(pressure);
        let mut sent = 0;
        while let Some(part) = self.next_part(call, &report, out) {
            if sent == allowed {
                return Transmitted::Allowed;
            }
            if !self.send_part(call, &report, part, out) {
                return Transmitted::NoBuffer;
            }
            // What arrived twice is reported once.
            if report.len() > 0 {
                report = self.report(pressure);
            }
            sent += 1;
        }
        self.send.timer_when_held_back(now);
        let asks = self.ask_window || self.keepalive_due(call).is_some_and(|at| at <= now);
        if asks && !self.send_probe(call, &report, out) {
            return Transmitted::NoBuffer;
        }
        let due = match self.receive.poll_ack(now, pressure) {
            AckDue::Now => true,
            AckDue::At(at) => at <= now,
            AckDue::None => false,
        };
        if due && !self.send_ack(call, &report, out) {
            return Transmitted::NoBuffer;
        }
        Transmitted::All
    }

    /// What is to be sent next.
    fn next_part<O: Output>(&mut self, call: &Call<'_>, report: &Report, out: &O) -> Option<Part> {
        if let Some(part) = self.path_probe(call.now, report.len()) {
            return Some(part);
        }
        let mss = self.mss(report);
        let version = call.flow.version();
        let most = out.segmentation_limit(version).map_or(mss, |limit| {
            let headers = V6::HEADER_LEN + HEADER_LEN + tcp::MAX_OPTIONS_LEN;
            let segments = limit.saturating_sub(headers) as u32 / mss;
            segments.max(1) * mss
        });
        self.send.poll(call.now, Room { mss, most })
    }

    /// What the next segment reports.
    fn report(&self, pressure: Pressure) -> Report {
        let room = if self.in_use.timestamps { 3 } else { 4 };
        Report {
            pressure,
            blocks: self.receive.sack_blocks(room),
        }
    }

    /// Sends a part of the stream.
    fn send_part<O>(&mut self, call: &Call<'_>, report: &Report, part: Part, out: &mut O) -> bool
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let now = call.now;
        let mut part = part;
        let mut emitted = self.emit_part(call, report, part, out, Attaching::Allowed);
        if emitted == Emitted::TooManyPieces {
            // Many small pieces: one segment of them fits a buffer.
            let mss = self.mss(report);
            if part.len > mss {
                part.len = mss;
                part.fin = false;
            }
            emitted = self.emit_part(call, report, part, out, Attaching::Never);
        }
        if emitted != Emitted::Sent {
            return false;
        }
        if part.again.is_some() {
            self.retransmits += 1;
            self.send.note_stamp(self.stamp(now));
            if let Some(search) = &mut self.search {
                search.sent_again(now, part.seq);
            }
        } else if part.len > 0 {
            self.send.reduced = false;
        }
        self.send.sent(now, part);
        self.receive.ack_sent(part.len > 0);
        self.asked = true;
        true
    }

    /// Writes a part of the stream into a packet, and sends that.
    fn emit_part<O>(
        &mut self,
        call: &Call<'_>,
        report: &Report,
        part: Part,
        out: &mut O,
        attaching: Attaching,
    ) -> Emitted
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let mss = self.mss(report);
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
        if new && self.in_use.ecn && self.send.reduced {
            flags = flags | Flags::CWR;
        }
        let segment = Outgoing {
            flow: call.flow,
            header: self.header(call.now, part.seq, flags, report),
            // RFC 3168 section 6.1.5: what is sent again must not be marked.
            ecn: if self.in_use.ecn && new { ECT_0 } else { 0 },
            len: part.len as usize,
            segment_size: (part.len > mss && !self.is_path_probe(part.seq)).then_some(mss as u16),
        };
        let pieces = self.send.queue.pieces(part.seq, part.len);
        segment.send(out, pieces, attaching)
    }

    /// Octets of payload that the next segment has room for.
    fn mss(&self, report: &Report) -> u32 {
        self.send.window.smss - report.len()
    }

    /// Sends an acknowledgment.
    fn send_ack<O>(&mut self, call: &Call<'_>, report: &Report, out: &mut O) -> bool
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let header = self.header(call.now, self.send.nxt, Flags::ACK, report);
        let sent = native::send_bare(call.flow, header, out);
        if sent {
            self.receive.ack_sent(false);
        }
        sent
    }

    /// Sends a segment that the peer has to answer though it says nothing: its number is one that
    /// was acknowledged (RFC 9293 section 3.8.4).
    fn send_probe<O>(&mut self, call: &Call<'_>, report: &Report, out: &mut O) -> bool
    where
        O: Output,
        O::Buf: PacketBuf<Payload = P>,
    {
        let seq = self.send.una.wrapping_sub(1);
        let header = self.header(call.now, seq, Flags::ACK, report);
        if !native::send_bare(call.flow, header, out) {
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
    fn header(&mut self, now: Instant, seq: u32, flags: Flags, report: &Report) -> Header {
        let stamp = self.stamp(now);
        let mut flags = flags;
        if self.receive.echoes_congestion() {
            flags = flags | Flags::ECE;
        }
        let mut header = native::header(seq, self.receive.rcv_nxt(), flags);
        header.window = self.receive.window_field(report.pressure);
        header.options = tcp::Options {
            timestamps: self
                .receive
                .timestamp_echo()
                .map(|echo| Timestamps { value: stamp, echo }),
            sack_blocks: report.blocks,
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
    pub(in super::super) fn poll_timeout(
        &mut self,
        call: &Call<'_>,
        pressure: Pressure,
    ) -> Option<Instant> {
        if self.ask_window {
            return Some(Instant::ZERO);
        }
        let acknowledge = match self.receive.poll_ack(call.now, pressure) {
            AckDue::Now => Some(Instant::ZERO),
            AckDue::At(at) => Some(at),
            AckDue::None => None,
        };
        [
            self.send.poll_timeout(),
            acknowledge,
            self.keepalive_due(call),
            self.rests_at(call.heard_at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the next keepalive probe is due (RFC 9293 section 3.8.4): not while there is anything
    /// to be acknowledged, which is a probe itself.
    fn keepalive_due(&self, call: &Call<'_>) -> Option<Instant> {
        if !self.send.board.is_empty() || self.state() == State::TimeWait {
            return None;
        }
        call.keepalive_due(self.probes)
    }

    /// Whether as many keepalive probes as there may be went unanswered, and the last for long
    /// enough.
    pub(in super::super) fn is_dead(&self, call: &Call<'_>) -> bool {
        let all = call
            .options
            .keepalive
            .is_some_and(|keepalive| self.probes >= keepalive.probes);
        all && self.keepalive_due(call).is_some_and(|at| at <= call.now)
    }
}
