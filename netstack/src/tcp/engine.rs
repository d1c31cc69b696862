//! The engines of connections: our own, and smoltcp.
//!
//! In and out as [`super::Connection`] says, which is the only one that knows this. The engines
//! differ in what they keep received octets in: ours holds packet buffers and gives them on by
//! reference, smoltcp has rings and copies.

use super::chunk::Chunk;
use super::connection::{Rejected, Transmitted};
use super::native::{self, Call, Info, Numbers, Tally};
use super::smoltcp_engine;
use super::{ConnectionOptions, Flow, Output, Run, Segment, State};
use crate::io::{PacketBuf, Payload};
use crate::time::Instant;
use crate::wire::tcp::{Header, Options};

/// Which engine runs a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EngineKind {
    /// Our own.
    Native,
    /// smoltcp's.
    #[default]
    Smoltcp,
}

/// What all connections of a worker share.
pub(super) struct Context {
    smoltcp: smoltcp_engine::Context,
    budget: native::Budget,
}

impl Context {
    /// `mtu` is the largest of all ports; `buffers` is how many packet buffers connections may
    /// hold together.
    pub(super) fn new(now: Instant, mtu: usize, buffers: usize) -> Self {
        Self {
            smoltcp: smoltcp_engine::Context::new(now, mtu),
            budget: native::Budget::new(buffers),
        }
    }

    /// Packet buffers that connections hold.
    pub(super) fn buffers_held(&self) -> u64 {
        self.budget.held()
    }
}

/// The engine of one connection.
pub(super) enum Engine<B: PacketBuf> {
    Native(native::Engine<B>),
    Smoltcp(Box<smoltcp_engine::Engine>),
}

impl<B: PacketBuf> Engine<B> {
    /// An engine for the SYN `header` of `flow`, which is to be handed in next.
    pub(super) fn accept(
        options: &ConnectionOptions,
        numbers: Numbers,
        flow: Flow,
        header: &Header,
        now: Instant,
    ) -> Self {
        match options.engine {
            EngineKind::Native => {
                let start = native::start(options, numbers, flow.version());
                Self::Native(native::Engine::accept(start, header, now))
            }
            EngineKind::Smoltcp => Self::Smoltcp(Box::new(smoltcp_engine::Engine::listen(
                options,
                numbers.iss,
                flow,
            ))),
        }
    }

    /// An engine that sends a SYN at its first `poll_transmit`.
    pub(super) fn connect(
        context: &mut Context,
        options: &ConnectionOptions,
        numbers: Numbers,
        flow: Flow,
        now: Instant,
    ) -> Self {
        match options.engine {
            EngineKind::Native => {
                let start = native::start(options, numbers, flow.version());
                Self::Native(native::Engine::connect(start, now))
            }
            EngineKind::Smoltcp => Self::Smoltcp(Box::new(smoltcp_engine::Engine::connect(
                &mut context.smoltcp,
                options,
                numbers.iss,
                flow,
            ))),
        }
    }

    /// Takes in a segment.
    pub(super) fn handle_segment<O: Output<Buf = B>>(
        &mut self,
        context: &mut Context,
        call: &Call<'_>,
        mut segment: Segment<B>,
        out: &mut O,
    ) -> Result<(), Rejected> {
        match self {
            Self::Native(engine) => engine.handle_segment(&mut context.budget, call, segment),
            Self::Smoltcp(engine) => {
                engine.handle_segment(&mut context.smoltcp, call.now, &mut segment, out);
                Ok(())
            }
        }
    }

    /// Takes in segments that follow one with the number `seq`, which was taken in; as many as
    /// simply come next. Returns how many.
    pub(super) fn handle_run(
        &mut self,
        context: &mut Context,
        call: &Call<'_>,
        seq: u32,
        run: &mut impl Run<B>,
    ) -> u64 {
        match self {
            Self::Native(engine) => engine.handle_run(&mut context.budget, call, seq, run),
            Self::Smoltcp(_) => 0,
        }
    }

    /// Sends at most `allowed` segments.
    pub(super) fn poll_transmit<O: Output<Buf = B>>(
        &mut self,
        context: &mut Context,
        call: &Call<'_>,
        out: &mut O,
        allowed: usize,
    ) -> Transmitted {
        match self {
            Self::Native(engine) => engine.poll_transmit(&mut context.budget, call, out, allowed),
            Self::Smoltcp(engine) => {
                engine.poll_transmit(&mut context.smoltcp, call.now, out, allowed)
            }
        }
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(
        &mut self,
        context: &mut Context,
        call: &Call<'_>,
    ) -> Option<Instant> {
        match self {
            Self::Native(engine) => engine.poll_timeout(&context.budget, call),
            Self::Smoltcp(engine) => engine.poll_timeout(&mut context.smoltcp, call.now),
        }
    }

    /// The state in the words of RFC 9293.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Native(engine) => engine.state(),
            Self::Smoltcp(engine) => engine.state(),
        }
    }

    /// The next received octets that are contiguous in memory.
    pub(super) fn received(&mut self) -> Option<Chunk<'_, B>> {
        match self {
            Self::Native(engine) => engine.received().map(Chunk::shared),
            Self::Smoltcp(engine) => {
                let octets = engine.received();
                (!octets.is_empty()).then(|| Chunk::new(octets))
            }
        }
    }

    /// Copies the first `len` received octets, or all if there are fewer, behind those in `into`.
    pub(super) fn copy_received(&mut self, len: usize, into: &mut Vec<u8>) {
        match self {
            Self::Native(engine) => engine.copy_received(len, into),
            Self::Smoltcp(engine) => engine.copy_received(len, into),
        }
    }

    /// Forgets the first `len` received octets.
    pub(super) fn consume(&mut self, len: usize) {
        match self {
            Self::Native(engine) => engine.consume(len),
            Self::Smoltcp(engine) => engine.consume(len),
        }
    }

    /// Octets received in order and not yet consumed.
    pub(super) fn receive_queue(&self) -> usize {
        match self {
            Self::Native(engine) => engine.receive_queue(),
            Self::Smoltcp(engine) => engine.receive_queue(),
        }
    }

    /// Queues as much of the front of `chunk` as there is room for; returns how many octets.
    pub(super) fn send<O: Output<Buf = B>>(
        &mut self,
        options: &ConnectionOptions,
        chunk: Chunk<'_, B>,
        out: &mut O,
    ) -> usize {
        match (self, chunk) {
            (Self::Native(engine), Chunk::Shared(payload)) => engine.send(options, payload),
            (Self::Native(engine), Chunk::Borrowed(octets)) => {
                engine.send_copied(options, octets, out)
            }
            (Self::Smoltcp(engine), Chunk::Shared(payload)) => engine.send(payload.octets()),
            (Self::Smoltcp(engine), Chunk::Borrowed(octets)) => engine.send(octets),
        }
    }

    /// How many octets may still be queued.
    pub(super) fn send_room(&self, options: &ConnectionOptions) -> usize {
        match self {
            Self::Native(engine) => engine.send_room(options),
            Self::Smoltcp(engine) => engine.send_room(),
        }
    }

    /// Moves received payloads to what `to`, which was made with `options`, has to send: whole
    /// ones, and nothing if the engines differ. Returns how many octets that was.
    pub(super) fn pass_to(&mut self, to: &mut Self, options: &ConnectionOptions) -> usize {
        match (self, to) {
            (Self::Native(from), Self::Native(to)) => from.pass_to(to, options),
            (Self::Native(_) | Self::Smoltcp(_), _) => 0,
        }
    }

    /// Octets queued that the peer has not acknowledged.
    pub(super) fn send_queue(&self) -> usize {
        match self {
            Self::Native(engine) => engine.send_queue(),
            Self::Smoltcp(engine) => engine.send_queue(),
        }
    }

    /// Ends our direction after all that is queued.
    pub(super) fn close(&mut self) {
        match self {
            Self::Native(engine) => engine.close(),
            Self::Smoltcp(engine) => engine.close(),
        }
    }

    /// Ends the connection; `poll_transmit` sends the RST.
    pub(super) fn abort(&mut self) {
        match self {
            Self::Native(engine) => engine.abort(),
            Self::Smoltcp(engine) => engine.abort(),
        }
    }

    /// Gives back what the connection holds of what all share.
    pub(super) fn release(&mut self, context: &mut Context) {
        if let Self::Native(engine) = self {
            engine.release(&mut context.budget);
        }
    }

    /// A packet in flight was too large for the path, which takes segments of `mss` octets of
    /// payload. Returns whether that changed anything.
    pub(super) fn handle_packet_too_big(&mut self, now: Instant, mss: u16) -> bool {
        match self {
            Self::Native(engine) => engine.handle_packet_too_big(now, mss),
            // smoltcp knows no path MTU; its segments stay as small as the MSS option says.
            Self::Smoltcp(_) => false,
        }
    }

    /// Whether the peer has ended its direction.
    pub(super) fn fin_received(&self) -> bool {
        match self {
            Self::Native(engine) => engine.fin_received(),
            Self::Smoltcp(engine) => engine.fin_received(),
        }
    }

    /// The first sequence number not yet acknowledged by the peer.
    pub(super) fn snd_una(&self) -> u32 {
        match self {
            Self::Native(engine) => engine.snd_una(),
            Self::Smoltcp(engine) => engine.snd_una(),
        }
    }

    /// Our next sequence number and the peer's, once both are known.
    pub(super) fn next_numbers(&self) -> Option<(u32, u32)> {
        match self {
            Self::Native(engine) => engine.next_numbers(),
            Self::Smoltcp(engine) => Some((engine.snd_nxt(), engine.rcv_nxt()?)),
        }
    }

    /// Whether `seq` was sent and is not acknowledged.
    pub(super) fn is_in_flight(&self, seq: u32) -> bool {
        match self {
            Self::Native(engine) => engine.is_in_flight(seq),
            Self::Smoltcp(engine) => engine.is_in_flight(seq),
        }
    }

    /// Whether the peer may send `seq`, as far as is known.
    pub(super) fn is_in_window(&self, seq: u32) -> bool {
        match self {
            Self::Native(engine) => engine.is_in_window(seq),
            Self::Smoltcp(engine) => engine.is_in_window(seq),
        }
    }

    /// The window field and the options of an acknowledgment that says nothing new.
    pub(super) fn challenge(&mut self, now: Instant) -> (u16, Options) {
        match self {
            Self::Native(engine) => engine.challenge(now),
            Self::Smoltcp(engine) => (engine.window(), Options::default()),
        }
    }

    /// Whether the peer has something to answer, sent since it was last heard.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::Native(engine) => engine.is_unanswered(),
            Self::Smoltcp(engine) => engine.is_unanswered(),
        }
    }

    /// Whether the session could not write for want of a buffer since this was last asked.
    pub(super) fn take_starved(&mut self) -> bool {
        match self {
            Self::Native(engine) => engine.take_starved(),
            Self::Smoltcp(_) => false,
        }
    }

    /// Whether the peer has not answered as many keepalive probes as it may.
    pub(super) fn is_dead(&self, call: &Call<'_>) -> bool {
        match self {
            Self::Native(engine) => engine.is_dead(call),
            Self::Smoltcp(_) => false,
        }
    }

    /// The peer's newest time stamp and the offset of ours, if they are in use.
    pub(super) fn stamps(&self) -> Option<(u32, u32)> {
        match self {
            Self::Native(engine) => engine.stamps(),
            Self::Smoltcp(_) => None,
        }
    }

    /// The largest payload of a segment that is sent, in octets; 0 if nobody knows.
    pub(super) fn smss(&self) -> u32 {
        match self {
            Self::Native(engine) => engine.smss(),
            Self::Smoltcp(_) => 0,
        }
    }

    /// What is known of the connection.
    pub(super) fn info(&self, now: Instant) -> Info {
        match self {
            Self::Native(engine) => engine.info(now),
            Self::Smoltcp(engine) => Info {
                state: engine.state(),
                ..Info::default()
            },
        }
    }

    /// Fetches the engine itself from memory.
    pub(super) fn touch(&self) {
        match self {
            Self::Native(engine) => engine.touch(),
            Self::Smoltcp(_) => {}
        }
    }

    /// Fetches the state that the engine keeps elsewhere.
    pub(super) fn touch_state(&self) {
        match self {
            Self::Native(engine) => engine.touch_state(),
            Self::Smoltcp(engine) => engine.touch_state(),
        }
    }

    /// Fetches what is known of the buffer that will be let go next.
    pub(super) fn touch_payload(&self) {
        match self {
            Self::Native(engine) => engine.touch_payload(),
            Self::Smoltcp(_) => {}
        }
    }

    pub(super) fn take_retransmits(&mut self) -> u32 {
        match self {
            Self::Native(engine) => engine.take_retransmits(),
            Self::Smoltcp(engine) => engine.take_retransmits(),
        }
    }

    pub(super) fn take_tally(&mut self) -> Option<Tally> {
        match self {
            Self::Native(engine) => engine.take_tally(),
            Self::Smoltcp(_) => None,
        }
    }

    pub(super) fn take_resets(&mut self) -> u32 {
        match self {
            Self::Native(engine) => engine.take_resets(),
            Self::Smoltcp(engine) => engine.take_resets(),
        }
    }

    #[cfg(test)]
    pub(super) fn panic_on_next_segment(&mut self) {
        match self {
            Self::Native(engine) => engine.panic_on_next_segment = true,
            Self::Smoltcp(engine) => engine.panic_on_next_segment = true,
        }
    }
}
