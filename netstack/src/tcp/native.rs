//! Our own engine: RFC 9293 for one connection, without I/O, clock or timer of its own.
//!
//! In: segments as owned packet buffers, octets from the session as shared payloads, time. Out:
//! segments by the caller's [`Output`], received payloads, and the time at which it wants to be
//! called again. Payload is not copied on the way, but for small pieces: what arrives stays in the
//! buffer that it came in, and is attached by reference to what is sent.
//!
//! A connection is in one of these phases ([`Phase`]): two of the handshake, one in which octets
//! flow, the same at rest, and the end. The states of RFC 9293 between ESTABLISHED and TIME-WAIT
//! are all combinations of how far each direction has ended, so each half keeps its own end, and
//! there is no combination that must not be.

mod acknowledge;
mod acknowledged;
mod activity;
mod budget;
mod congestion;
mod connect;
mod gather;
mod idle;
mod info;
mod open;
mod options;
mod pacing;
mod path_mtu;
mod paws;
mod queue;
mod rack;
mod rate;
mod reassembly;
mod receive;
mod recovery;
mod rto;
mod sack;
mod segment;
mod send_queue;
mod tally;
mod timer;
mod transmit;
mod view;
mod window;

use self::connect::{Answered, Start, SynReceived, SynSent};
use self::idle::Idle;
use self::open::Open;
use self::options::Offer;
use self::segment::{Attaching, Emitted, Outgoing};
use self::window::Pressure;
use super::bare::Bare;
use super::connection::{Rejected, Transmitted};
use super::{ConnectionOptions, Flow, Output, Run, Segment};
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::time::Instant;
use crate::wire::tcp::{Flags, HEADER_LEN, Header, Options};

pub use activity::SendTimes;
pub(super) use budget::Budget;
pub use congestion::Algorithm;
pub use info::{Info, Recovering};
pub(super) use options::TIMESTAMPS_LEN;
pub(super) use tally::Tally;

/// What is at hand whenever an engine is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// Now.
    pub(super) now: Instant,
    /// The flow of the connection, as in received packets.
    pub(super) flow: &'a Flow,
    /// When the peer was last heard.
    pub(super) heard_at: Instant,
    /// What the connection was made with.
    pub(super) options: &'a ConnectionOptions,
}

impl Call<'_> {
    /// When the next keepalive probe is due, after `probes` unanswered ones (RFC 9293 section
    /// 3.8.4).
    fn keepalive_due(&self, probes: u8) -> Option<Instant> {
        let keepalive = self.options.keepalive?;
        let wait = keepalive.interval.saturating_mul(u32::from(probes));
        Some(self.heard_at + keepalive.idle.saturating_add(wait))
    }
}

/// The sequence number and time stamp with which a connection begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Numbers {
    /// The initial sequence number.
    pub iss: u32,
    /// What is added to the time in milliseconds to give the time stamp.
    pub stamp_offset: u32,
}

/// How far a connection is.
#[derive(Debug)]
enum Phase<P> {
    SynSent(Box<SynSent>),
    SynReceived(Box<SynReceived>),
    Open(Box<Open<P>>),
    /// The same, while nothing is under way.
    Idle(Box<Idle>),
    /// Nothing any more, but perhaps an RST to be sent.
    Closed(Option<Reset>),
}

/// An RST that is to be sent.
#[derive(Clone, Copy, Debug)]
struct Reset {
    seq: u32,
    ack: u32,
}

impl Numbers {
    /// The time stamp at `now` of a connection that begins with these.
    pub(super) fn stamp(self, now: Instant) -> u32 {
        stamp_at(now, self.stamp_offset)
    }
}

/// The SYN-ACK in answer to `syn`, of a connection that is not kept. `stamp` goes out instead of
/// our time stamp.
pub(super) fn stateless_answer(
    options: &ConnectionOptions,
    start: Start,
    syn: &Header,
    stamp: Option<u32>,
    now: Instant,
) -> Bare {
    let received = SynReceived::new(start, syn, now);
    let mut options_sent = received.options(now);
    if let (Some(stamps), Some(value)) = (&mut options_sent.timestamps, stamp) {
        stamps.value = value;
    }
    Bare {
        seq: start.iss,
        ack: received.irs.wrapping_add(1),
        window: first_window(options),
        flags: received.flags(),
        options: options_sent,
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Engine<B: PacketBuf> {
    phase: Phase<B::Payload>,
    /// Segments sent again since somebody asked.
    retransmits: u32,
    /// Resets sent since somebody asked.
    resets: u32,
    /// Buffers that the worker's budget knows of.
    budgeted: u32,
    /// How scarce buffers were when that was.
    pressure: Pressure,
    /// Something was sent that the peer has to answer, and it was not heard since.
    unanswered: bool,
    /// The session was told that there is no room because there was no buffer to copy into.
    starved: bool,
    #[cfg(test)]
    pub(super) panic_on_next_segment: bool,
}

/// Where a connection over that version of IP begins.
pub(super) fn start(options: &ConnectionOptions, numbers: Numbers, version: u8) -> Start {
    Start {
        iss: numbers.iss,
        stamp_offset: numbers.stamp_offset,
        offer: Offer {
            mss: options.mss,
            default_mss: options::default_mss(version),
            largest_window: u32::try_from(options.receive_buffer).unwrap_or(u32::MAX),
            ecn: options.ecn,
            sack: options.sack,
            timestamps: options.timestamps,
        },
    }
}

impl<B: PacketBuf> Engine<B> {
    /// An engine that answers the SYN `header`.
    pub(super) fn accept(start: Start, header: &Header, now: Instant) -> Self {
        let received = SynReceived::new(start, header, now);
        Self::new(Phase::SynReceived(Box::new(received)))
    }

    /// An engine that sends a SYN at its first `poll_transmit`.
    pub(super) fn connect(start: Start, now: Instant) -> Self {
        let sent = SynSent::new(start, now);
        Self::new(Phase::SynSent(Box::new(sent)))
    }

    fn new(phase: Phase<B::Payload>) -> Self {
        Self {
            phase,
            retransmits: 0,
            resets: 0,
            budgeted: 0,
            pressure: Pressure::None,
            unanswered: false,
            starved: false,
            #[cfg(test)]
            panic_on_next_segment: false,
        }
    }

    /// Takes in a segment of this connection.
    pub(super) fn handle_segment(
        &mut self,
        budget: &mut Budget,
        call: &Call<'_>,
        segment: Segment<B>,
    ) -> Result<(), Rejected> {
        #[cfg(test)]
        assert!(!self.panic_on_next_segment, "panic asked for by a test");
        self.wake();
        let reset = segment.header.flags.contains(Flags::RST);
        let result = match &mut self.phase {
            Phase::SynSent(sent) => {
                let answered = sent.handle(call.now, &segment.header);
                self.answered(call, answered, &segment.header)
            }
            Phase::SynReceived(_) | Phase::Open(_) if reset => {
                self.phase = Phase::Closed(None);
                Ok(())
            }
            Phase::SynReceived(_) => self.finish_handshake(budget.pressure(), call, segment),
            Phase::Open(open) => open.handle_segment(call, budget.pressure(), segment),
            Phase::Idle(_) | Phase::Closed(_) => Ok(()),
        };
        self.settle(budget);
        // Anybody can make up segments that are refused; they say nothing of the peer.
        if result.map_or_else(|rejected| rejected.heard, |()| true) {
            self.unanswered = false;
        }
        result
    }

    /// Takes in segments that follow one with the number `seq`, which was taken in; as many as
    /// simply come next. Returns how many.
    pub(super) fn handle_run(
        &mut self,
        budget: &mut Budget,
        call: &Call<'_>,
        seq: u32,
        run: &mut impl Run<B>,
    ) -> u64 {
        let (mut seq, mut taken) = (seq, 0);
        while budget.pressure() < Pressure::Critical
            && let Phase::Open(open) = &mut self.phase
            && let Some(next) = open.handle_next(call, seq, run)
        {
            seq = next;
            taken += 1;
            self.settle(budget);
        }
        taken
    }

    /// RFC 9293 section 3.10.7.3: a segment came while we waited for the answer to our SYN.
    fn answered(
        &mut self,
        call: &Call<'_>,
        answered: Answered,
        header: &Header,
    ) -> Result<(), Rejected> {
        self.phase = match answered {
            Answered::Not => return Err(not_an_answer(header, self.snd_una())),
            Answered::Refused => Phase::Closed(None),
            Answered::Simultaneous(received) => Phase::SynReceived(Box::new(received)),
            Answered::Agreed(agreement) => {
                let mut open = Box::new(Open::new(call, &agreement));
                // The third segment of the handshake.
                open.acknowledge_now();
                Phase::Open(open)
            }
        };
        Ok(())
    }

    /// RFC 9293 section 3.10.7.4: a segment came while we waited for the end of the handshake.
    fn finish_handshake(
        &mut self,
        pressure: Pressure,
        call: &Call<'_>,
        segment: Segment<B>,
    ) -> Result<(), Rejected> {
        let Phase::SynReceived(received) = &mut self.phase else {
            return Ok(());
        };
        let repeated = received.repeats_syn(call.now, &segment.header);
        // First of all, a segment must lie in the window.
        let window = u32::from(first_window(call.options));
        if !repeated && !received.has_room_for(&segment.header, window) {
            return Err(Rejected::with_challenge(DropReason::TcpOutsideWindow));
        }
        if !received.is_acknowledged_by(&segment.header) {
            return if repeated {
                Ok(())
            } else {
                Err(not_an_answer(&segment.header, received.start.iss))
            };
        }
        let agreement = received.agree(call.now, &segment.header);
        let mut open = Box::new(Open::new(call, &agreement));
        let result = if repeated {
            // A simultaneous open: the SYN-ACK says nothing more.
            open.acknowledge_now();
            Ok(())
        } else {
            open.handle_segment(call, pressure, segment)
        };
        self.phase = Phase::Open(open);
        result
    }

    /// Sends at most `allowed` segments.
    pub(super) fn poll_transmit<O: Output<Buf = B>>(
        &mut self,
        budget: &mut Budget,
        call: &Call<'_>,
        out: &mut O,
        allowed: usize,
    ) -> Transmitted {
        let now = call.now;
        if let Phase::Idle(_) = self.phase
            && call.keepalive_due(0).is_some_and(|at| at <= now)
        {
            self.wake();
        }
        let transmitted = match &mut self.phase {
            Phase::SynSent(sent) => {
                let syn = sent.syn(now, first_window(call.options));
                self.send_syn(call, syn, out)
            }
            Phase::SynReceived(received) => {
                let syn_ack = received.syn_ack(now, first_window(call.options));
                self.send_syn(call, syn_ack, out)
            }
            Phase::Open(open) => {
                let transmitted = open.poll_transmit(call, budget.pressure(), out, allowed);
                self.retransmits += open.take_retransmits();
                self.unanswered |= open.take_asked();
                let rests_at = open.rests_at(call.heard_at);
                if transmitted == Transmitted::All && rests_at.is_some_and(|at| at <= now) {
                    self.phase = Phase::Idle(Box::new(open.rest()));
                }
                transmitted
            }
            Phase::Closed(Some(Reset { seq, ack })) => {
                let header = header(*seq, *ack, Flags::RST | Flags::ACK);
                if !send_bare(call.flow, header, out) {
                    return Transmitted::NoBuffer;
                }
                self.phase = Phase::Closed(None);
                self.resets += 1;
                Transmitted::All
            }
            Phase::Idle(_) | Phase::Closed(None) => Transmitted::All,
        };
        self.settle(budget);
        transmitted
    }

    /// Sends our SYN or SYN-ACK, if it is due.
    fn send_syn<O: Output<Buf = B>>(
        &mut self,
        call: &Call<'_>,
        header: Header,
        out: &mut O,
    ) -> Transmitted {
        let attempts = match &mut self.phase {
            Phase::SynSent(sent) => &mut sent.attempts,
            Phase::SynReceived(received) => &mut received.attempts,
            Phase::Open(_) | Phase::Idle(_) | Phase::Closed(_) => return Transmitted::All,
        };
        if attempts.due() > call.now {
            return Transmitted::All;
        }
        if !send_bare(call.flow, header, out) {
            return Transmitted::NoBuffer;
        }
        self.retransmits += u32::from(attempts.made_any());
        attempts.sent(call.now);
        self.unanswered = true;
        Transmitted::All
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(&mut self, budget: &Budget, call: &Call<'_>) -> Option<Instant> {
        match &mut self.phase {
            Phase::SynSent(sent) => Some(sent.attempts.due()),
            Phase::SynReceived(received) => Some(received.attempts.due()),
            Phase::Open(open) => open.poll_timeout(call, budget.pressure()),
            Phase::Idle(_) => call.keepalive_due(0),
            Phase::Closed(Some(_)) => Some(Instant::ZERO),
            Phase::Closed(None) => None,
        }
    }

    /// Makes a connection at rest ready for whatever comes.
    fn wake(&mut self) {
        if let Phase::Idle(idle) = &self.phase {
            self.phase = Phase::Open(Box::new(idle.resume()));
        }
    }

    /// Tells the worker's budget how many buffers are held.
    fn settle(&mut self, budget: &mut Budget) {
        let held = self.open().map_or(0, Open::buffers);
        budget.change(self.budgeted, held);
        self.budgeted = held;
        self.pressure = budget.pressure();
    }
}

/// RFC 9293 sections 3.10.7.3 and 3.10.7.4: an acknowledgment of anything but our SYN gets an RST,
/// while the handshake lasts.
fn not_an_answer(header: &Header, iss: u32) -> Rejected {
    let flags = header.flags;
    Rejected {
        reset: flags.contains(Flags::ACK)
            && !flags.contains(Flags::RST)
            && header.ack != iss.wrapping_add(1),
        ..Rejected::silently(DropReason::TcpBadAck)
    }
}

/// The window of our SYN (RFC 7323 section 2.2: never shifted).
fn first_window(options: &ConnectionOptions) -> u16 {
    let most = options.first_window.min(options.receive_buffer);
    u16::try_from(most).unwrap_or(u16::MAX)
}

/// Our time stamp at `now` in a connection whose stamps have this offset: milliseconds.
fn stamp_at(now: Instant, offset: u32) -> u32 {
    (now.as_micros() / 1000).wrapping_add(u64::from(offset)) as u32
}

fn header(seq: u32, ack: u32, flags: Flags) -> Header {
    Header {
        sport: 0,
        dport: 0,
        seq,
        ack,
        flags,
        window: 0,
        urgent: 0,
        header_len: HEADER_LEN,
        options: Options::default(),
    }
}

/// Sends a segment without payload.
fn send_bare<O: Output>(flow: &Flow, header: Header, out: &mut O) -> bool {
    let segment = Outgoing {
        flow,
        header,
        ecn: 0,
        len: 0,
        segment_size: None,
    };
    segment.send(out, core::iter::empty(), Attaching::Never) == Emitted::Sent
}
