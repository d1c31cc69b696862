//! What a session and the layer around connections see of one, and do to it.
//!
//! In: octets to be sent, the end of our direction. Out: received payloads, the state, sequence
//! numbers, and what there is to count. A connection at rest wakes only if something is to be done.

use core::hint::black_box;

use super::budget::Budget;
use super::info::Info;
use super::open::{self, Open};
use super::receive::Acceptance;
use super::tally::Tally;
use super::window::Pressure;
use super::{Call, Engine, Phase, Reset};
use crate::io::{PacketBuf, Payload};
use crate::tcp::{ConnectionOptions, Output, State, seq};
use crate::time::Instant;
use crate::wire::tcp::Options;

impl<B: PacketBuf> Engine<B> {
    /// The state in the words of RFC 9293.
    pub(in crate::tcp) fn state(&self) -> State {
        match &self.phase {
            Phase::SynSent(_) => State::SynSent,
            Phase::SynReceived(_) => State::SynReceived,
            Phase::Open(open) => open.state(),
            Phase::Idle(_) => State::Established,
            Phase::Closed(_) => State::Closed,
        }
    }

    /// The next received payload.
    pub(in crate::tcp) fn received(&self) -> Option<&B::Payload> {
        self.open().and_then(|open| open.received())
    }

    /// Copies the first `len` received octets, or all if there are fewer, behind those in `into`.
    pub(in crate::tcp) fn copy_received(&self, len: usize, into: &mut Vec<u8>) {
        let end = into.len() + len;
        for payload in self.open().into_iter().flat_map(Open::all_received) {
            let octets = payload.octets();
            into.extend_from_slice(&octets[..octets.len().min(end - into.len())]);
        }
    }

    /// Forgets the first `len` received octets.
    pub(in crate::tcp) fn consume(&mut self, len: usize) {
        if let Phase::Open(open) = &mut self.phase {
            open.consume(len);
        }
    }

    /// Octets received in order and not yet consumed.
    pub(in crate::tcp) fn receive_queue(&self) -> usize {
        self.open().map_or(0, Open::receive_queue)
    }

    /// How many octets may still be queued.
    pub(in crate::tcp) fn send_room(&self, options: &ConnectionOptions) -> usize {
        match &self.phase {
            Phase::Open(open) if open.may_queue(self.pressure) => open.room(options),
            // Nothing is queued while it rests.
            Phase::Idle(_) => options.send_buffer.min(open::AHEAD_MIN as usize),
            _ => 0,
        }
    }

    /// Queues as much of the front of `payload` as there is room for; returns how many octets.
    pub(in crate::tcp) fn send(
        &mut self,
        options: &ConnectionOptions,
        payload: &B::Payload,
    ) -> usize {
        self.wake();
        match &mut self.phase {
            Phase::Open(open) if open.may_queue(self.pressure) => open.send(options, payload),
            _ => 0,
        }
    }

    /// Queues as many of `octets` as there is room for, copied into buffers of `out`; returns how
    /// many.
    pub(in crate::tcp) fn send_copied<O: Output<Buf = B>>(
        &mut self,
        options: &ConnectionOptions,
        octets: &[u8],
        out: &mut O,
    ) -> usize {
        self.wake();
        match &mut self.phase {
            Phase::Open(open) if open.may_queue(self.pressure) => {
                let room = octets.len().min(open.room(options));
                let taken = open.send_copied(options, octets, out);
                self.starved |= taken < room;
                taken
            }
            _ => 0,
        }
    }

    /// Moves whole received payloads to what `to` has to send, as far as that has room; returns
    /// how many octets that was.
    pub(in crate::tcp) fn pass_to(&mut self, to: &mut Self, options: &ConnectionOptions) -> usize {
        let Phase::Open(from) = &mut self.phase else {
            return 0;
        };
        // Where buffers have run out, each payload needs to be looked at.
        if from.receive_queue() == 0 || to.pressure >= Pressure::Exhausted {
            return 0;
        }
        to.wake();
        match &mut to.phase {
            Phase::Open(open) => from.pass_to(open, options),
            _ => 0,
        }
    }

    /// Octets queued that the peer has not acknowledged.
    pub(in crate::tcp) fn send_queue(&self) -> usize {
        self.open().map_or(0, Open::send_queue)
    }

    /// Ends our direction after all that is queued.
    pub(in crate::tcp) fn close(&mut self) {
        self.wake();
        if let Phase::Open(open) = &mut self.phase {
            open.close();
        }
    }

    /// Ends the connection; `poll_transmit` sends the RST.
    pub(in crate::tcp) fn abort(&mut self) {
        self.wake();
        let reset = match &self.phase {
            // RFC 9293 section 3.10.5: in these states there is nothing to reset.
            Phase::SynSent(_) | Phase::Idle(_) | Phase::Closed(_) => None,
            Phase::SynReceived(received) => Some(Reset {
                seq: received.start.iss.wrapping_add(1),
                ack: received.irs.wrapping_add(1),
            }),
            Phase::Open(open) => (open.state() != State::TimeWait).then(|| Reset {
                seq: open.snd_nxt(),
                ack: open.rcv_nxt(),
            }),
        };
        self.phase = Phase::Closed(reset);
    }

    /// The network says that a packet of ours, which is in flight, was too large for an MTU that
    /// leaves `mss` octets of payload.
    pub(in crate::tcp) fn handle_packet_too_big(&mut self, now: Instant, mss: u16) -> bool {
        match &mut self.phase {
            Phase::Open(open) => open.handle_packet_too_big(now, mss),
            _ => false,
        }
    }

    /// Gives back what the worker's budget counts for this connection. Nothing is queued after.
    pub(in crate::tcp) fn release(&mut self, budget: &mut Budget) {
        if let Phase::Open(_) | Phase::Idle(_) = self.phase {
            self.phase = Phase::Closed(None);
        }
        self.settle(budget);
    }

    /// Whether the peer has ended its direction (its FIN has been reached).
    pub(in crate::tcp) fn fin_received(&self) -> bool {
        self.open().is_some_and(Open::fin_received)
    }

    /// The first sequence number not yet acknowledged by the peer.
    pub(in crate::tcp) fn snd_una(&self) -> u32 {
        match &self.phase {
            Phase::SynSent(sent) => sent.start.iss,
            Phase::SynReceived(received) => received.start.iss,
            Phase::Open(open) => open.snd_una(),
            Phase::Idle(idle) => idle.snd_una(),
            Phase::Closed(_) => 0,
        }
    }

    /// Our next sequence number and the peer's, once both are known.
    pub(in crate::tcp) fn next_numbers(&self) -> Option<(u32, u32)> {
        match &self.phase {
            Phase::SynReceived(received) => Some((
                received.start.iss.wrapping_add(1),
                received.irs.wrapping_add(1),
            )),
            Phase::Open(open) => Some((open.snd_nxt(), open.rcv_nxt())),
            Phase::Idle(idle) => Some((idle.snd_una(), idle.rcv_nxt())),
            Phase::SynSent(_) | Phase::Closed(_) => None,
        }
    }

    /// Whether `seq` is a number that we sent and the peer has not acknowledged.
    pub(in crate::tcp) fn is_in_flight(&self, seq: u32) -> bool {
        match &self.phase {
            Phase::SynSent(sent) => seq == sent.start.iss,
            Phase::SynReceived(received) => seq == received.start.iss,
            Phase::Open(open) => seq::le(open.snd_una(), seq) && seq::lt(seq, open.snd_nxt()),
            Phase::Idle(_) | Phase::Closed(_) => false,
        }
    }

    /// Whether the peer may send `seq`.
    pub(in crate::tcp) fn is_in_window(&self, seq: u32) -> bool {
        match &self.phase {
            Phase::Open(open) => open.receive.acceptance(seq, 0, false) == Acceptance::Acceptable,
            Phase::Idle(idle) => idle.is_in_window(seq),
            _ => true,
        }
    }

    /// The window field of a segment that says nothing but what the peer was told before, and its
    /// options.
    pub(in crate::tcp) fn challenge(&mut self, now: Instant) -> (u16, Options) {
        self.wake();
        match &mut self.phase {
            Phase::Open(open) => open.challenge(now),
            _ => (0, Options::default()),
        }
    }

    /// Whether the peer has something to answer, sent since it was last heard.
    pub(in crate::tcp) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Whether the session could not write for want of a buffer since this was last asked. Nothing
    /// that the peer does will tell it when there is one.
    pub(in crate::tcp) fn take_starved(&mut self) -> bool {
        core::mem::take(&mut self.starved)
    }

    /// Whether the peer has not answered as many keepalive probes as it may.
    pub(in crate::tcp) fn is_dead(&self, call: &Call<'_>) -> bool {
        self.open().is_some_and(|open| open.is_dead(call))
    }

    /// The time stamps of the connection when it ends: the peer's newest, and our offset.
    pub(in crate::tcp) fn stamps(&self) -> Option<(u32, u32)> {
        match &self.phase {
            Phase::Open(open) => open.stamps(),
            Phase::Idle(idle) => idle.stamps(),
            _ => None,
        }
    }

    /// Reads a field of the engine itself, so that it is fetched from memory.
    pub(in crate::tcp) fn touch(&self) {
        black_box((self.budgeted, self.unanswered));
        black_box(core::mem::discriminant(&self.phase));
    }

    /// Reads a field of each part that the next segment will need.
    pub(in crate::tcp) fn touch_state(&self) {
        match &self.phase {
            Phase::Open(open) => open.touch(),
            Phase::Idle(idle) => _ = black_box(idle.snd_una()),
            _ => {}
        }
    }

    /// Looks at the buffer that the next acknowledgment lets go.
    pub(in crate::tcp) fn touch_payload(&self) {
        if let Some(payload) = self.open().and_then(|open| open.send.queue.first()) {
            black_box(payload.octets().as_ptr());
        }
    }

    /// Segments sent again since this was last asked.
    pub(in crate::tcp) fn take_retransmits(&mut self) -> u32 {
        core::mem::take(&mut self.retransmits)
    }

    /// What else has happened since this was last asked; mostly nothing.
    pub(in crate::tcp) fn take_tally(&mut self) -> Option<Tally> {
        match &mut self.phase {
            Phase::Open(open) => open.send.tally.take(),
            _ => None,
        }
    }

    /// Resets sent since this was last asked.
    pub(in crate::tcp) fn take_resets(&mut self) -> u32 {
        core::mem::take(&mut self.resets)
    }

    /// The largest payload of a segment that is sent, in octets; 0 while no octets flow.
    pub(in crate::tcp) fn smss(&self) -> u32 {
        self.open().map_or(0, |open| open.send.window.smss)
    }

    /// What is known of the connection.
    pub(in crate::tcp) fn info(&self, now: Instant) -> Info {
        match &self.phase {
            Phase::Open(open) => open.info(now),
            Phase::Idle(idle) => idle.resume::<B::Payload>().info(now),
            _ => Info {
                state: self.state(),
                ..Info::default()
            },
        }
    }

    pub(super) fn open(&self) -> Option<&Open<B::Payload>> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }
}
