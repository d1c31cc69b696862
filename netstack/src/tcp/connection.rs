//! The seam: one TCP connection, whatever engine runs it.
//!
//! Contract, in the words of quinn: `handle_segment` takes events in, `poll_transmit` and
//! `poll_timeout` give actions out, the rest belongs to the session that reads and writes. After
//! any `handle_*`, [`Connection::send`], [`Connection::consume`], [`Connection::close`] or
//! [`Connection::abort`], call `poll_transmit` until it says that it is done, then re-arm the timer
//! by `poll_timeout`. Received octets are seen as [`Chunk`]s and are acknowledged as window only
//! when consumed; so whoever does not consume slows the peer down.
//!
//! What no engine should have to know is here: the checks of RFC 5961 against blind resets and
//! SYNs, the bookkeeping for deadlines, and the containment of an engine that panics.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bare::Bare;
use super::smoltcp_engine::{Context, Engine};
use super::{Flow, Output, Segment, seq};
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::ip::Ip;
use crate::time::Instant;
use crate::wire::tcp::{Flags, HEADER_LEN};

/// What a connection is made with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionOptions {
    /// Octets that the peer may send ahead of the session that reads.
    pub receive_buffer: usize,
    /// Octets that the session may write ahead of the peer's acknowledgments.
    pub send_buffer: usize,
    /// The largest payload of a segment in either direction, in octets.
    pub mss: u16,
    /// Probe the peer after this long without a segment.
    pub keepalive: Option<Duration>,
}

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

/// Received octets, in order. Valid until they are consumed.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    octets: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Wraps octets that are contiguous in memory.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// The octets.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

impl ConnectionOptions {
    /// The same, for a path with this MTU in octets: a segment must fit a packet of it.
    pub fn on_path<I: Ip>(&self, mtu: usize) -> Self {
        let fits = mtu.saturating_sub(I::HEADER_LEN + HEADER_LEN);
        Self {
            mss: self.mss.min(u16::try_from(fits).unwrap_or(u16::MAX)),
            ..*self
        }
    }
}

/// How far [`Connection::poll_transmit`] came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transmitted {
    /// There is nothing more to send now.
    All,
    /// The budget is used up.
    Budget,
    /// There was no buffer, or no room, for the next segment.
    NoBuffer,
}

/// Time between two challenge ACKs of a connection.
pub(super) const CHALLENGE_INTERVAL: Duration = Duration::from_millis(100);

/// Why a segment was not taken in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rejected {
    pub(super) reason: DropReason,
    /// Whether the peer is to be told what we expect (RFC 5961).
    pub(super) challenge: bool,
}

/// One connection.
pub struct Connection {
    engine: Engine,
    state: State,
    opened_at: Instant,
    /// When a connection that we open must be established at the latest.
    connect_by: Instant,
    /// Before this, no challenge ACK is sent.
    next_challenge: Instant,
    last_heard: Instant,
    last_progress: Instant,
    /// Since when the peer owes us an answer: what was sent first since it was last heard.
    unanswered_since: Option<Instant>,
    ended: Option<CloseCause>,
    /// The engine has panicked, and nobody has been told.
    panicked: bool,
}

impl Connection {
    /// A connection for the SYN of `flow`, which is to be handed in next.
    pub(super) fn accept(options: &ConnectionOptions, iss: u32, flow: Flow, now: Instant) -> Self {
        let engine = Engine::listen(options, iss, flow);
        Self::new(engine, State::SynReceived, now)
    }

    /// A connection that sends its SYN at the first `poll_transmit`.
    pub(super) fn connect(
        context: &mut Context,
        options: &ConnectionOptions,
        iss: u32,
        flow: Flow,
        now: Instant,
        by: Instant,
    ) -> Self {
        let engine = Engine::connect(context, options, iss, flow);
        Self {
            connect_by: by,
            ..Self::new(engine, State::SynSent, now)
        }
    }

    fn new(engine: Engine, state: State, now: Instant) -> Self {
        Self {
            engine,
            state,
            opened_at: now,
            connect_by: Instant::FAR_FUTURE,
            next_challenge: Instant::ZERO,
            last_heard: now,
            last_progress: now,
            unanswered_since: None,
            ended: None,
            panicked: false,
        }
    }

    /// Takes in a segment of this connection.
    pub(super) fn handle_segment<B: PacketBuf, O: Output>(
        &mut self,
        context: &mut Context,
        now: Instant,
        mut segment: Segment<B>,
        out: &mut O,
    ) -> Result<(), Rejected> {
        self.check(&segment)?;
        let reset = segment.header.flags.contains(Flags::RST);
        let before = (self.engine.snd_una(), self.engine.rcv_nxt());
        self.guarded(|engine| engine.handle_segment(context, now, &mut segment, out))
            .ok_or(Rejected {
                reason: DropReason::TcpEnginePanic,
                challenge: false,
            })?;
        self.last_heard = now;
        self.unanswered_since = None;
        if (self.engine.snd_una(), self.engine.rcv_nxt()) != before {
            self.last_progress = now;
        }
        self.follow_state(reset);
        Ok(())
    }

    /// Sends what there is to send, at most `budget` segments.
    pub(super) fn poll_transmit<O: Output>(
        &mut self,
        context: &mut Context,
        now: Instant,
        out: &mut O,
        budget: usize,
    ) -> Transmitted {
        let Some(done) = self.guarded(|engine| engine.poll_transmit(context, now, out, budget))
        else {
            return Transmitted::All;
        };
        self.follow_state(false);
        if self.engine.is_unanswered() {
            self.unanswered_since.get_or_insert(now);
        } else {
            self.unanswered_since = None;
        }
        done
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(&mut self, context: &mut Context, now: Instant) -> Option<Instant> {
        if matches!(self.state, State::Closed | State::TimeWait) {
            return None;
        }
        self.guarded(|engine| engine.poll_timeout(context, now))
            .flatten()
    }

    /// The next received octets, as many as are contiguous in memory.
    pub fn received(&mut self) -> Option<Chunk<'_>> {
        // What was received before a FIN is complete and stays readable; before an RST it is not.
        if self
            .ended
            .is_some_and(|cause| cause != CloseCause::Finished)
        {
            return None;
        }
        let len = self.guarded(|engine| engine.received().len())?;
        (len > 0).then(|| Chunk::new(self.engine.received()))
    }

    /// Says that the first `len` octets of what was received are done with.
    pub fn consume(&mut self, len: usize) {
        self.guarded(|engine| engine.consume(len));
    }

    /// Queues the front of `chunk` to be sent, as much as there is room for. Returns how many
    /// octets that was.
    pub fn send(&mut self, chunk: Chunk<'_>) -> usize {
        self.guarded(|engine| engine.send(chunk.octets))
            .unwrap_or(0)
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

    /// How the connection ended; `None` while it lives.
    pub fn ended(&self) -> Option<CloseCause> {
        self.ended
    }

    /// Our next sequence number and the peer's, once both are known.
    pub(super) fn next_numbers(&self) -> Option<(u32, u32)> {
        Some((self.engine.snd_nxt(), self.engine.rcv_nxt()?))
    }

    /// Whether `seq` is a number that we sent and the peer has not acknowledged.
    pub(super) fn is_in_flight(&self, seq: u32) -> bool {
        seq::le(self.engine.snd_una(), seq) && seq::lt(seq, self.engine.snd_nxt())
    }

    /// What a bare ACK says now: our next sequence number, the peer's, and the window.
    pub(super) fn bare_ack(&self) -> Bare {
        let (seq, ack) = self.next_numbers().unwrap_or_default();
        Bare {
            seq,
            ack,
            window: self.engine.window(),
            flags: Flags::ACK,
        }
    }

    /// Fetches the engine from memory.
    pub(super) fn fetch(&self) {
        self.engine.fetch();
    }

    pub(super) fn take_retransmitted(&mut self) -> u32 {
        self.engine.take_retransmitted()
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
        let may = now >= self.next_challenge;
        if may {
            self.next_challenge = now + CHALLENGE_INTERVAL;
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
        self.unanswered_since
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
    fn guarded<R>(&mut self, call: impl FnOnce(&mut Engine) -> R) -> Option<R> {
        if self.ended == Some(CloseCause::EnginePanic) {
            return None;
        }
        let engine = &mut self.engine;
        let result = catch_unwind(AssertUnwindSafe(|| call(engine)));
        if result.is_err() {
            self.ended = Some(CloseCause::EnginePanic);
            self.state = State::Closed;
            self.panicked = true;
        }
        result.ok()
    }

    #[cfg(test)]
    pub(super) fn panic_now(&mut self) {
        self.guarded(|_| panic!("panic asked for by a test"));
    }

    #[cfg(test)]
    pub(super) fn panic_on_next_segment(&mut self) {
        self.engine.panic_on_next_segment = true;
    }

    /// The checks of RFC 5961 that need no engine.
    fn check<B: PacketBuf>(&self, segment: &Segment<B>) -> Result<(), Rejected> {
        let Some((snd_nxt, rcv_nxt)) = self.next_numbers() else {
            return Ok(());
        };
        let established = self.is_established();
        let reject = |reason, challenge| Err(Rejected { reason, challenge });
        let flags = segment.header.flags;
        if flags.contains(Flags::RST) {
            // RFC 1337: an RST must not end TIME-WAIT early.
            if self.state == State::TimeWait {
                return reject(DropReason::TcpTimeWait, false);
            }
            // RFC 5961 section 3.2: only the exact number resets; anything else may be a blind
            // attacker's guess, and a peer that means it will answer the challenge exactly.
            if segment.header.seq != rcv_nxt {
                return reject(DropReason::TcpResetNotExact, established);
            }
        } else if flags.contains(Flags::SYN) && established {
            // RFC 5961 section 4.2: whatever its number, a SYN gets a challenge ACK.
            return reject(DropReason::TcpSynInConnection, true);
        } else if flags.contains(Flags::ACK) && established && seq::lt(snd_nxt, segment.header.ack)
        {
            // RFC 5961 section 5.2: nobody who got our segments acknowledges what we never sent.
            return reject(DropReason::TcpBadAck, true);
        }
        Ok(())
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
