//! The seam: one TCP connection, whatever engine runs it.
//!
//! Contract, in the words of quinn: `handle_segment` takes events in, `poll_transmit` and
//! `poll_timeout` give actions out, the rest belongs to the session that reads and writes. After
//! any `handle_*`, [`Connection::send`], [`Connection::consume`], [`Connection::pass_to`] (of both
//! connections), [`Connection::close`] or [`Connection::abort`], call `poll_transmit` until it says
//! that it is done, then re-arm the timer by `poll_timeout`. Received octets are seen as [`Chunk`]s
//! and are acknowledged as window only when consumed or passed on; so whoever does neither slows
//! the peer down.
//!
//! What no engine should have to know is here: the checks of RFC 5961 against blind resets and
//! SYNs, the bookkeeping for deadlines, and the containment of an engine that panics.

mod check;
mod pass;
mod peek;
mod rejected;
mod run;

use core::any::Any;
use core::hint::black_box;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub(super) use rejected::Rejected;

use super::bare::Bare;
use super::chunk::Chunk;
use super::connection_options::ConnectionOptions;
use super::engine::{Context, Engine};
use super::native::{Call, Info, Numbers, TIMESTAMPS_LEN, Tally};
use super::stamp::Stamp;
use super::{Flow, Output, Segment};
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::Ip;
use crate::time::Instant;
use crate::wire::tcp::{Flags, HEADER_LEN, Header};

/// A connection's state (RFC 9293 section 3.3.2; LISTEN is a listener's, not a connection's).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// We sent a SYN.
    SynSent,
    /// We got a SYN and answered it.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// We ended our direction; the peer has not acknowledged that.
    FinWait1,
    /// We ended our direction; the peer knows and goes on sending.
    FinWait2,
    /// The peer ended its direction; we go on sending.
    CloseWait,
    /// Both ended at once; the peer has not acknowledged our end.
    Closing,
    /// The peer ended first, then we; the peer has not acknowledged our end.
    LastAck,
    /// Both ended; we remember the flow.
    TimeWait,
    /// No connection any more.
    Closed,
}

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timeout {
    /// The client did not finish the handshake.
    Handshake,
    /// The backend did not answer our SYN.
    Connect,
    /// No progress while both directions were open.
    Idle,
    /// No progress after the peer ended its direction.
    HalfClosed,
    /// No progress after we ended our direction.
    FinWait2,
    /// The peer went silent although it had something to acknowledge.
    User,
    /// The peer did not answer the probes of a silent connection.
    Keepalive,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CloseCause {
    /// Both directions ended by FIN, and everything was acknowledged.
    Finished,
    /// The peer reset it.
    Reset,
    /// The peer answered our SYN with RST.
    Refused,
    /// The network says that the peer cannot be reached.
    Unreachable,
    /// A deadline passed.
    TimedOut(Timeout),
    /// We reset it, on the session's behalf.
    Aborted,
    /// The engine failed; we reset it.
    EnginePanic,
}

/// How far [`Connection::poll_transmit`] came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transmitted {
    /// There is nothing more to send now.
    All,
    /// As much as was allowed; there may be more.
    Allowed,
    /// There was no buffer, or no room, for the next segment.
    NoBuffer,
}

/// Time between two challenge ACKs of a connection.
pub(super) const CHALLENGE_INTERVAL: Duration = Duration::from_millis(100);

/// One connection.
pub struct Connection<B: PacketBuf> {
    engine: Engine<B>,
    options: Arc<ConnectionOptions>,
    state: State,
    opened_at: Instant,
    /// When a connection that we open must be established at the latest.
    connect_by: Instant,
    /// When a challenge ACK was sent last. When a stamp comes round, one of them may go unsent.
    challenged: Stamp,
    last_heard: Instant,
    last_progress: Instant,
    /// Since when the peer owes us an answer: what was sent first since it was last heard.
    /// [`Instant::FAR_FUTURE`] if it owes none.
    unanswered_since: Instant,
    ended: Option<CloseCause>,
    /// The engine has panicked, and nobody has been told.
    panicked: bool,
}

impl<B: PacketBuf> Connection<B> {
    /// A connection for the SYN `header` of `flow`, which is to be handed in next. `mtu` is of the
    /// path, in octets.
    pub(super) fn accept<I: Ip>(
        options: &Arc<ConnectionOptions>,
        numbers: Numbers,
        flow: Flow,
        header: &Header,
        mtu: usize,
        now: Instant,
    ) -> Self {
        let on_path = options.on_path::<I>(mtu);
        let engine = Engine::accept(&on_path, numbers, flow, header, now);
        Self::new(engine, options, State::SynReceived, now)
    }

    /// A connection that sends its SYN at the first `poll_transmit`, and is given up at `by`.
    pub(super) fn connect(
        engine: Engine<B>,
        options: &Arc<ConnectionOptions>,
        now: Instant,
        by: Instant,
    ) -> Self {
        Self {
            connect_by: by,
            ..Self::new(engine, options, State::SynSent, now)
        }
    }

    fn new(
        engine: Engine<B>,
        options: &Arc<ConnectionOptions>,
        state: State,
        now: Instant,
    ) -> Self {
        Self {
            engine,
            options: Arc::clone(options),
            state,
            opened_at: now,
            connect_by: Instant::FAR_FUTURE,
            challenged: Stamp::long_before(now),
            last_heard: now,
            last_progress: now,
            unanswered_since: Instant::FAR_FUTURE,
            ended: None,
            panicked: false,
        }
    }

    /// Takes in a segment of this connection, whose flow is `flow`.
    pub(super) fn handle_segment<O: Output<Buf = B>>(
        &mut self,
        context: &mut Context,
        now: Instant,
        flow: &Flow,
        segment: Segment<B>,
        out: &mut O,
    ) -> Result<(), Rejected> {
        self.check(&segment)?;
        let reset = segment.header.flags.contains(Flags::RST);
        let before = self.progress_numbers();
        let result = self
            .called(now, flow, |engine, call| {
                engine.handle_segment(context, call, segment, out)
            })
            .unwrap_or_else(|| Err(Rejected::silently(DropReason::TcpEnginePanic)));
        if result.is_err_and(|rejected| !rejected.heard) {
            return result;
        }
        self.last_heard = now;
        self.unanswered_since = Instant::FAR_FUTURE;
        if self.progress_numbers() != before {
            self.last_progress = now;
        }
        self.follow_state(reset);
        result
    }

    /// Sends what there is to send, at most `allowed` segments.
    pub(super) fn poll_transmit<O: Output<Buf = B>>(
        &mut self,
        context: &mut Context,
        now: Instant,
        flow: &Flow,
        out: &mut O,
        allowed: usize,
    ) -> Transmitted {
        let Some(done) = self.called(now, flow, |engine, call| {
            engine.poll_transmit(context, call, out, allowed)
        }) else {
            return Transmitted::All;
        };
        self.follow_state(false);
        if self.engine.is_unanswered() {
            self.unanswered_since = self.unanswered_since.min(now);
        } else {
            self.unanswered_since = Instant::FAR_FUTURE;
        }
        done
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(
        &mut self,
        context: &mut Context,
        now: Instant,
        flow: &Flow,
    ) -> Option<Instant> {
        if matches!(self.state, State::Closed | State::TimeWait) {
            return None;
        }
        self.called(now, flow, |engine, call| engine.poll_timeout(context, call))
            .flatten()
    }

    /// The next received octets, as many as are contiguous in memory.
    pub fn received(&mut self) -> Option<Chunk<'_, B>> {
        if !self.is_readable() {
            return None;
        }
        self.guarded(|engine| engine.received().is_some())?;
        self.engine.received()
    }

    /// Says that the first `len` octets of what was received are done with.
    pub fn consume(&mut self, len: usize) {
        self.guarded(|engine| engine.consume(len));
    }

    /// Queues the front of `chunk` to be sent, as much as there is room for. Returns how many
    /// octets that was. A chunk in a packet buffer is held by reference if the engine can; one that
    /// is not is copied into buffers that `out` lends.
    pub fn send<O: Output<Buf = B>>(&mut self, chunk: Chunk<'_, B>, out: &mut O) -> usize {
        let options = &self.options;
        let engine = &mut self.engine;
        if self.ended == Some(CloseCause::EnginePanic) {
            return 0;
        }
        let sent = catch_unwind(AssertUnwindSafe(|| engine.send(options, chunk, out)));
        self.contain(sent).unwrap_or(0)
    }

    /// How many octets could be queued to be sent, as far as their number is limited.
    pub fn send_room(&self) -> usize {
        self.engine.send_room(&self.options)
    }

    /// Octets queued that the peer has not acknowledged.
    pub fn send_queue(&self) -> usize {
        self.engine.send_queue()
    }

    /// Ends our direction after everything that is queued.
    pub fn close(&mut self) {
        // RFC 9293 section 3.10.4: a connection that never was ends at once.
        if self.state == State::SynSent {
            self.abort();
        } else if self.guarded(Engine::close).is_some() {
            self.follow_state(false);
        }
    }

    /// Ends the connection by an RST.
    pub fn abort(&mut self) {
        self.end(CloseCause::Aborted);
    }

    /// Ends the connection by an RST because `cause` happened.
    pub(super) fn end(&mut self, cause: CloseCause) {
        if self.ended.is_none() {
            self.ended = Some(cause);
            self.guarded(Engine::abort);
            self.state = State::Closed;
        }
    }

    /// Counts progress of either connection as progress of both: they carry the same octets, and
    /// one of them has nothing to do while the other is slow.
    pub fn share_progress(a: &mut Self, b: &mut Self) {
        let latest = a.last_progress.max(b.last_progress);
        a.last_progress = latest;
        b.last_progress = latest;
    }

    /// The connection's state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the handshake is over and the connection has not ended.
    pub fn is_established(&self) -> bool {
        !matches!(
            self.state,
            State::SynSent | State::SynReceived | State::Closed
        )
    }

    /// What is known of the connection; much less of one that smoltcp runs.
    pub fn info(&self, now: Instant) -> Info {
        self.engine.info(now)
    }

    /// Whether the peer has ended its direction and everything it sent has been consumed.
    pub fn receive_finished(&self) -> bool {
        self.engine.fin_received() && self.engine.receive_queue() == 0
    }

    /// Whether [`Connection::close`] was called.
    pub fn send_closed(&self) -> bool {
        matches!(
            self.state,
            State::FinWait1
                | State::FinWait2
                | State::Closing
                | State::LastAck
                | State::TimeWait
                | State::Closed
        )
    }

    /// Whether the peer has ended its direction, though perhaps not everything before that has been
    /// consumed.
    pub fn fin_received(&self) -> bool {
        self.engine.fin_received()
    }

    /// How the connection ended; `None` while it lives.
    pub fn ended(&self) -> Option<CloseCause> {
        self.ended
    }

    /// Our next sequence number and the peer's, once both are known.
    pub(super) fn next_numbers(&self) -> Option<(u32, u32)> {
        self.engine.next_numbers()
    }

    /// Whether `seq` is a number that we sent and the peer has not acknowledged.
    pub(super) fn is_in_flight(&self, seq: u32) -> bool {
        self.engine.is_in_flight(seq)
    }

    /// What a bare ACK says now: our next sequence number, the peer's, and the window.
    pub(super) fn bare_ack(&mut self, now: Instant) -> Bare {
        let (seq, ack) = self.next_numbers().unwrap_or_default();
        let (window, options) = self.engine.challenge(now);
        Bare {
            seq,
            ack,
            window,
            flags: Flags::ACK,
            options,
        }
    }

    /// Octets of the largest packet that the connection sends.
    pub(super) fn packet_len<I: Ip>(&self) -> usize {
        let stamps = if self.engine.stamps().is_some() {
            TIMESTAMPS_LEN
        } else {
            0
        };
        I::HEADER_LEN + HEADER_LEN + usize::from(stamps) + self.engine.smss() as usize
    }

    /// The network says that a packet of ours, which is in flight, was too large for a path of
    /// this MTU, in octets. Returns whether that changed anything.
    pub(super) fn handle_packet_too_big<I: Ip>(&mut self, now: Instant, mtu: usize) -> bool {
        let mss = mtu.saturating_sub(I::HEADER_LEN + HEADER_LEN);
        let mss = u16::try_from(mss).unwrap_or(u16::MAX);
        self.guarded(|engine| engine.handle_packet_too_big(now, mss))
            .unwrap_or(false)
    }

    /// Whether the peer has not answered as many keepalive probes as it may.
    pub(super) fn is_dead(&mut self, now: Instant, flow: &Flow) -> bool {
        self.called(now, flow, |engine, call| engine.is_dead(call))
            .unwrap_or(false)
    }

    /// Gives back what the connection holds of what all share. Nothing may be done with it after.
    pub(super) fn give_back(&mut self, context: &mut Context) {
        self.engine.release(context);
    }

    /// The peer's newest time stamp and the offset of ours, if they are in use.
    pub(super) fn stamps(&self) -> Option<(u32, u32)> {
        self.engine.stamps()
    }

    /// Fetches the connection from memory, but not what it refers to.
    pub(super) fn touch(&self) {
        black_box((self.opened_at, self.last_progress, self.state));
        self.engine.touch();
    }

    /// The same of what its engine keeps elsewhere.
    pub(super) fn touch_engine(&self) {
        self.engine.touch_state();
    }

    /// The same of the buffer that will be let go next.
    pub(super) fn touch_payload(&self) {
        self.engine.touch_payload();
    }

    /// Whether the session could not write for want of a buffer since this was last asked.
    pub(super) fn take_starved(&mut self) -> bool {
        self.engine.take_starved()
    }

    pub(super) fn take_retransmits(&mut self) -> u32 {
        self.engine.take_retransmits()
    }

    pub(super) fn take_tally(&mut self) -> Option<Tally> {
        self.engine.take_tally()
    }

    pub(super) fn take_resets(&mut self) -> u32 {
        self.engine.take_resets()
    }

    pub(super) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// Whether a challenge ACK may be sent now; notes that it is.
    ///
    /// The limit is the connection's own (RFC 5961 section 7): a limit for all connections together
    /// would tell an attacker, by what is left of it on a connection of his, whether a guess about
    /// another one was right.
    pub(super) fn may_challenge(&mut self, now: Instant) -> bool {
        let since = self.challenged.micros_until(now);
        let may = Duration::from_micros(since.into()) >= CHALLENGE_INTERVAL;
        if may {
            self.challenged = Stamp::at(now);
        }
        may
    }

    pub(super) fn connect_by(&self) -> Instant {
        self.connect_by
    }

    pub(super) fn last_progress(&self) -> Instant {
        self.last_progress
    }

    /// Since when the peer owes an answer: to data, or to a keepalive.
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        (self.unanswered_since != Instant::FAR_FUTURE).then_some(self.unanswered_since)
    }

    /// Whether the engine has panicked and nobody was told of it.
    pub(super) fn has_panicked(&self) -> bool {
        self.panicked
    }

    /// The same; from now on, somebody was told.
    pub(super) fn take_panic(&mut self) -> bool {
        core::mem::take(&mut self.panicked)
    }

    /// Calls the engine unless it has panicked before. If it panics now, the connection is over
    /// and nothing else is.
    fn guarded<R>(&mut self, call: impl FnOnce(&mut Engine<B>) -> R) -> Option<R> {
        if self.ended == Some(CloseCause::EnginePanic) {
            return None;
        }
        let engine = &mut self.engine;
        let result = catch_unwind(AssertUnwindSafe(|| call(engine)));
        self.contain(result)
    }

    /// The same, with all that an engine may want to know.
    fn called<R>(
        &mut self,
        now: Instant,
        flow: &Flow,
        call: impl FnOnce(&mut Engine<B>, &Call<'_>) -> R,
    ) -> Option<R> {
        if self.ended == Some(CloseCause::EnginePanic) {
            return None;
        }
        let at_hand = Call {
            now,
            flow,
            heard_at: self.last_heard,
            options: &self.options,
        };
        let engine = &mut self.engine;
        let result = catch_unwind(AssertUnwindSafe(|| call(engine, &at_hand)));
        self.contain(result)
    }

    /// What came of a call; a panic ends the connection.
    fn contain<R>(&mut self, result: Result<R, Box<dyn Any + Send>>) -> Option<R> {
        if result.is_err() {
            self.note_panic();
        }
        result.ok()
    }

    fn note_panic(&mut self) {
        self.ended = Some(CloseCause::EnginePanic);
        self.state = State::Closed;
        self.panicked = true;
    }

    /// What changes when a segment is progress.
    fn progress_numbers(&self) -> (u32, Option<u32>) {
        let rcv_nxt = self.engine.next_numbers().map(|(_, rcv_nxt)| rcv_nxt);
        (self.engine.snd_una(), rcv_nxt)
    }

    #[cfg(test)]
    pub(super) fn panic_now(&mut self) {
        self.guarded(|_| panic!("panic asked for by a test"));
    }

    #[cfg(test)]
    pub(super) fn panic_on_next_segment(&mut self) {
        self.engine.panic_on_next_segment();
    }

    /// Notes what state the engine has reached, and how a connection that is over has ended.
    fn follow_state(&mut self, reset: bool) {
        if self.ended.is_some() && self.state == State::Closed {
            return;
        }
        let before = self.state;
        self.state = self.engine.state();
        self.ended = match self.state {
            State::TimeWait => Some(CloseCause::Finished),
            State::Closed if before == State::SynSent => Some(CloseCause::Refused),
            State::Closed if before == State::TimeWait => Some(CloseCause::Finished),
            State::Closed if before == State::LastAck && !reset => Some(CloseCause::Finished),
            State::Closed => Some(CloseCause::Reset),
            _ => None,
        };
    }
}
