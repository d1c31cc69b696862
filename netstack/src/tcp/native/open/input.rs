//! What a segment does to a connection in which octets flow (RFC 9293 section 3.10.7.4).
//!
//! In: a segment of which RST and SYN have been looked at. Out: to the receive half what the peer
//! sends, to the send half what it acknowledges; or why the segment was refused, and whether the
//! peer is to be told. What is refused changes nothing.

use super::Open;
use crate::drop::DropReason;
use crate::io::{PacketBuf, Payload};
use crate::tcp::connection::Rejected;
use crate::tcp::native::Call;
use crate::tcp::native::acknowledged::Acknowledgment;
use crate::tcp::native::paws::Verdict;
use crate::tcp::native::receive::{Acceptance, Arrival, Class};
use crate::tcp::native::transmit::Fin;
use crate::tcp::native::window::Pressure;
use crate::tcp::{Run, Segment, seq};
use crate::wire::tcp::{Flags, Header, Timestamps};

/// Where a segment belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Into the window, at least in part.
    Window,
    /// Before it: all of it came earlier.
    Before,
}

impl<P: Payload> Open<P> {
    /// Takes in a segment. RSTs and SYNs were checked before.
    pub(in super::super) fn handle_segment<B: PacketBuf<Payload = P>>(
        &mut self,
        call: &Call<'_>,
        pressure: Pressure,
        segment: Segment<B>,
    ) -> Result<(), Rejected> {
        let header = segment.header;
        let stamps = header.options.timestamps.filter(|_| self.in_use.timestamps);
        let len = segment.payload_len();
        self.check_age(call, stamps, len == 0 && !header.flags.contains(Flags::FIN))?;
        let placed = self.check_sequence(&header, len);
        match placed {
            Ok(Place::Window) => {}
            // Its acknowledgment does not count: otherwise half of all sequence numbers would do
            // for somebody who guesses. That it came twice is reported.
            Ok(Place::Before) => return self.take_payload(call, pressure, stamps, segment),
            // A closed window has no place for anything, and takes acknowledgments all the same.
            Err(_) if self.receive.is_closed() && header.seq == self.receive.rcv_nxt() => {}
            Err(rejected) => return Err(rejected),
        }
        self.check_acknowledgment(&header)?;
        self.probes = 0;
        let ack = Acknowledgment {
            seq: header.seq,
            ack: header.ack,
            wnd: u32::from(header.window) << self.in_use.send_shift,
            blocks: &header.options.sack_blocks,
            echo: stamps.map(|stamps| (stamps.echo, self.stamp(call.now))),
            congested: self.in_use.ecn && header.flags.contains(Flags::ECE),
            occupies: len > 0 || header.flags.contains(Flags::FIN),
        };
        let una = self.send.una;
        self.send.handle_ack(call.now, &ack);
        if self.send.una != una {
            self.note_path_works(call.now);
        }
        placed.map_err(Rejected::heard)?;
        self.take_payload(call, pressure, stamps, segment)
            .map_err(Rejected::heard)
    }

    /// Takes in the next segment of `run`, which follows one with the number `before`, if it is
    /// what comes next and nothing else is to be looked at. Returns its number.
    ///
    /// What it acknowledges, its window and its time stamps are those of the one before. That one's
    /// were taken in if the window was last set by it.
    pub(in super::super) fn handle_next<B: PacketBuf<Payload = P>>(
        &mut self,
        call: &Call<'_>,
        before: u32,
        run: &mut impl Run<B>,
    ) -> Option<u32> {
        let next = run.peek()?;
        let Header { seq, ack, .. } = next.header;
        if (self.send.wl1, self.send.wl2) != (before, ack)
            || !self.receive.expects(seq, next.payload_len())
        {
            return None;
        }
        let segment = run.take()?;
        self.send.wl1 = seq;
        self.receive.handle_next(call.now, payload_of(segment));
        Some(seq)
    }

    /// Whether there is no buffer to hold the payload in. What is refused was not reported, so the
    /// peer sends it again; what was reported is kept (RFC 2018 section 8).
    ///
    /// When buffers are scarce, what is missing comes before what lies ahead of it. When there are
    /// none, windows that were offered in better times are worth more than there is; a worker
    /// without buffers could not send either, and what is held would stay so. The next segment is
    /// taken in if it is the only one, or two workers that are both out of buffers would wait for
    /// each other.
    fn is_out_of_memory(&self, pressure: Pressure, header: &Header, len: usize) -> bool {
        if pressure < Pressure::Critical || len == 0 {
            return false;
        }
        let rcv_nxt = self.receive.rcv_nxt();
        if pressure == Pressure::Critical {
            return seq::lt(rcv_nxt, header.seq);
        }
        let fin = header.flags.contains(Flags::FIN);
        let new = self.receive.acceptance(header.seq, len as u32, fin) == Acceptance::Acceptable;
        let only = header.seq == rcv_nxt && self.receive.queued() == 0;
        new && !only
    }

    /// RFC 7323 section 5.3, R1: an old segment is acknowledged and dropped.
    fn check_age(
        &mut self,
        call: &Call<'_>,
        stamps: Option<Timestamps>,
        bare: bool,
    ) -> Result<(), Rejected> {
        match self.receive.check_age(call.now, stamps, false) {
            Verdict::Fresh => Ok(()),
            // Two ends that find each other's stamps old would answer each other's answers for
            // ever, if those were not limited as challenges are.
            Verdict::Old if bare => Err(Rejected::with_challenge(DropReason::TcpPaws)),
            Verdict::Old => {
                self.receive.demand_ack();
                Err(Rejected::silently(DropReason::TcpPaws))
            }
            Verdict::Missing => Err(Rejected::silently(DropReason::TcpNoTimestamp)),
        }
    }

    /// First check: the sequence number. Whoever sends only segments without a place in the window
    /// is answered no faster than challenges are.
    fn check_sequence(&mut self, header: &Header, len: usize) -> Result<Place, Rejected> {
        let fin = header.flags.contains(Flags::FIN);
        let bare = len == 0 && !fin;
        match self.receive.acceptance(header.seq, len as u32, fin) {
            Acceptance::Acceptable => Ok(Place::Window),
            // A keepalive or a window probe (RFC 9293 section 3.8.4).
            Acceptance::Old if bare && header.seq.wrapping_add(1) == self.receive.rcv_nxt() => {
                self.receive.demand_ack();
                Ok(Place::Before)
            }
            Acceptance::Old | Acceptance::Beyond if bare => {
                Err(Rejected::with_challenge(DropReason::TcpOutsideWindow))
            }
            Acceptance::Old => Ok(Place::Before),
            Acceptance::Beyond => {
                self.receive.demand_ack();
                Err(Rejected::silently(DropReason::TcpOutsideWindow))
            }
        }
    }

    /// Fifth check: there is an acknowledgment, and it can be one of this connection's.
    fn check_acknowledgment(&self, header: &Header) -> Result<(), Rejected> {
        if !header.flags.contains(Flags::ACK) {
            return Err(Rejected::silently(DropReason::TcpBadFlags));
        }
        // RFC 5961 section 5.2: older than any that can be under way.
        let age = self.send.una.wrapping_sub(header.ack);
        if age.cast_signed() > 0 && age > self.send.max_wnd {
            return Err(Rejected::with_challenge(DropReason::TcpBadAck));
        }
        Ok(())
    }

    /// Seventh and eighth check: the payload, and the FIN.
    fn take_payload<B: PacketBuf<Payload = P>>(
        &mut self,
        call: &Call<'_>,
        pressure: Pressure,
        timestamps: Option<Timestamps>,
        segment: Segment<B>,
    ) -> Result<(), Rejected> {
        let header = segment.header;
        if self.is_out_of_memory(pressure, &header, segment.payload_len()) {
            if seq::lt(self.receive.rcv_nxt(), header.seq) {
                self.receive.demand_ack();
            }
            return Err(Rejected::silently(DropReason::TcpNoMemory));
        }
        let congestion = segment.is_marked();
        let arrival = Arrival {
            seq: header.seq,
            payload: payload_of(segment),
            fin: header.flags.contains(Flags::FIN),
            timestamps,
            congestion,
            window_reduced: header.flags.contains(Flags::CWR),
        };
        let received = self.receive.handle(call.now, self.stamp(call.now), arrival);
        if received.fin && self.send.fin == Fin::Open {
            self.passive = true;
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
}

/// The octets that a segment brought, in the buffer that it came in.
fn payload_of<B: PacketBuf>(segment: Segment<B>) -> B::Payload {
    let mut packet = segment.packet;
    packet.trim_front(segment.tcp_offset + segment.header.header_len);
    let mut payload = packet.into_payload();
    if let Some(sum) = segment.payload_sum {
        payload.set_sum(sum);
    }
    payload
}
