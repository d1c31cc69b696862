//! Our own engine: RFC 9293 for one connection, without I/O, clock or timer of its own.
//!
//! In: segments as owned packet buffers, octets from the session as shared payloads, time. Out:
//! segments by the caller's [`Output`], received payloads, and the time at which it wants to be
//! called again. Nothing is copied on the way: what arrives stays in the buffer that it came in,
//! and is attached by reference to what is sent.
//!
//! A connection is in one of four phases ([`Phase`]): two of the handshake, one in which octets
//! flow, and the end. The states of RFC 9293 between ESTABLISHED and TIME-WAIT are all
//! combinations of how far each direction has ended, so each half keeps its own end, and there is
//! no combination that must not be.

mod acknowledge;
mod acknowledged;
mod budget;
mod congestion;
mod connect;
mod gather;
mod info;
mod open;
mod options;
mod pacing;
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
mod stamp;
mod timer;
mod transmit;
mod window;

use core::hint::black_box;

use self::connect::{Answered, Start, SynReceived, SynSent};
use self::open::Open;
use self::options::Offer;
use self::segment::Outgoing;
use self::window::Pressure;
use super::bare::Bare;
use super::connection::{Rejected, Transmitted};
use super::{ConnectionOptions, Flow, Output, Segment, State, seq};
use crate::drop::DropReason;
use crate::io::PacketBuf;
use crate::time::Instant;
use crate::wire::tcp::{Flags, HEADER_LEN, Header, Options};

pub(super) use budget::Budget;
pub use congestion::Algorithm;
pub use info::{Info, Recovering};

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
    Open(Open<P>),
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
    pub(super) fn stamp(&self, now: Instant) -> u32 {
        stamp_at(now, self.stamp_offset)
    }
}

/// The SYN-ACK in answer to `syn`, of a connection that is not kept. `stamp` goes out instead of
/// our time stamp.
pub(super) fn stateless_answer(
    options: &ConnectionOptions,
    numbers: Numbers,
    syn: &Header,
    stamp: Option<u32>,
    now: Instant,
) -> Bare {
    let received = SynReceived::new(start(options, numbers), syn, now);
    let mut options_sent = received.options(now);
    if let (Some(stamps), Some(value)) = (&mut options_sent.timestamps, stamp) {
        stamps.value = value;
    }
    Bare {
        seq: numbers.iss,
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
    retransmitted: u32,
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

fn start(options: &ConnectionOptions, numbers: Numbers) -> Start {
    Start {
        iss: numbers.iss,
        stamp_offset: numbers.stamp_offset,
        offer: Offer {
            mss: options.mss,
            largest_window: u32::try_from(options.receive_buffer).unwrap_or(u32::MAX),
            ecn: options.ecn,
        },
    }
}

impl<B: PacketBuf> Engine<B> {
    /// An engine that answers the SYN `header`.
    pub(super) fn accept(
        options: &ConnectionOptions,
        numbers: Numbers,
        header: &Header,
        now: Instant,
    ) -> Self {
        let received = SynReceived::new(start(options, numbers), header, now);
        Self::new(Phase::SynReceived(Box::new(received)))
    }

    /// An engine that sends a SYN at its first `poll_transmit`.
    pub(super) fn connect(options: &ConnectionOptions, numbers: Numbers, now: Instant) -> Self {
        let sent = SynSent::new(start(options, numbers), now);
        Self::new(Phase::SynSent(Box::new(sent)))
    }

    fn new(phase: Phase<B::Payload>) -> Self {
        Self {
            phase,
            retransmitted: 0,
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
        let now = call.now;
        let result = match &mut self.phase {
            Phase::SynSent(sent) => {
                match sent.handle(now, &segment.header) {
                    Answered::Not => return self.not_an_answer(&segment.header),
                    Answered::Refused => self.phase = Phase::Closed(None),
                    Answered::Simultaneous(received) => {
                        self.phase = Phase::SynReceived(Box::new(received));
                    }
                    Answered::Agreed(agreement) => {
                        let mut open = Open::new(call, &agreement);
                        // RFC 9293 section 3.10.7.3: the third segment of the handshake.
                        open.acknowledge_now();
                        self.phase = Phase::Open(open);
                    }
                }
                Ok(())
            }
            Phase::SynReceived(received) => {
                if segment.header.flags.contains(Flags::RST) {
                    self.phase = Phase::Closed(None);
                    return Ok(());
                }
                let repeated = received.repeats_syn(now, &segment.header);
                if !received.is_acknowledged_by(&segment.header) {
                    return if repeated {
                        Ok(())
                    } else {
                        self.not_an_answer(&segment.header)
                    };
                }
                let agreement = received.agree(now, &segment.header);
                let mut open = Open::new(call, &agreement);
                let result = if repeated {
                    // A simultaneous open: the SYN-ACK says nothing more.
                    open.acknowledge_now();
                    Ok(())
                } else {
                    open.handle_segment(call, budget.pressure(), segment)
                };
                self.phase = Phase::Open(open);
                result
            }
            Phase::Open(_) if segment.header.flags.contains(Flags::RST) => {
                self.phase = Phase::Closed(None);
                Ok(())
            }
            Phase::Open(open) => open.handle_segment(call, budget.pressure(), segment),
            Phase::Closed(_) => Ok(()),
        };
        self.settle(budget);
        // Anybody can make up segments that are refused; they say nothing of the peer.
        if result.is_ok() {
            self.unanswered = false;
        }
        result
    }

    /// RFC 9293 section 3.10.7.3 and 3.10.7.4: an acknowledgment of anything but our SYN gets an
    /// RST, while the handshake lasts.
    fn not_an_answer(&mut self, header: &Header) -> Result<(), Rejected> {
        let flags = header.flags;
        let stray = flags.contains(Flags::ACK) && !flags.contains(Flags::RST);
        Err(Rejected {
            reset: stray,
            ..Rejected::silently(DropReason::TcpBadAck)
        })
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
        let transmitted = match &mut self.phase {
            Phase::SynSent(sent) => {
                if sent.attempts.due() > now {
                    return Transmitted::All;
                }
                let header = Header {
                    options: sent.start.offer.options(sent.start.stamp(now)),
                    window: first_window(call.options),
                    ..header(sent.start.iss, 0, sent.flags())
                };
                if !send_bare(call.flow, header, out) {
                    return Transmitted::NoBuffer;
                }
                self.retransmitted += u32::from(sent.attempts.made_any());
                sent.attempts.sent(now);
                self.unanswered = true;
                Transmitted::All
            }
            Phase::SynReceived(received) => {
                if received.attempts.due() > now {
                    return Transmitted::All;
                }
                let ack = received.irs.wrapping_add(1);
                let header = Header {
                    options: received.options(now),
                    window: first_window(call.options),
                    ..header(received.start.iss, ack, received.flags())
                };
                if !send_bare(call.flow, header, out) {
                    return Transmitted::NoBuffer;
                }
                self.retransmitted += u32::from(received.attempts.made_any());
                received.attempts.sent(now);
                self.unanswered = true;
                Transmitted::All
            }
            Phase::Open(open) => {
                let before = open.retransmissions();
                let transmitted = open.poll_transmit(call, budget.pressure(), out, allowed);
                self.retransmitted += open.retransmissions().wrapping_sub(before);
                self.unanswered |= open.take_asked();
                transmitted
            }
            Phase::Closed(reset) => {
                if let Some(Reset { seq, ack }) = *reset {
                    if !send_bare(call.flow, header(seq, ack, Flags::RST | Flags::ACK), out) {
                        return Transmitted::NoBuffer;
                    }
                    *reset = None;
                    self.resets += 1;
                }
                Transmitted::All
            }
        };
        self.settle(budget);
        transmitted
    }

    /// When `poll_transmit` must be called again at the latest.
    pub(super) fn poll_timeout(&mut self, budget: &Budget, call: &Call<'_>) -> Option<Instant> {
        match &mut self.phase {
            Phase::SynSent(sent) => Some(sent.attempts.due()),
            Phase::SynReceived(received) => Some(received.attempts.due()),
            Phase::Open(open) => open.poll_timeout(call, budget.pressure()),
            Phase::Closed(Some(_)) => Some(Instant::ZERO),
            Phase::Closed(None) => None,
        }
    }

    /// The state in the words of RFC 9293.
    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::SynSent(_) => State::SynSent,
            Phase::SynReceived(_) => State::SynReceived,
            Phase::Open(open) => open.state(),
            Phase::Closed(_) => State::Closed,
        }
    }

    /// The next received payload.
    pub(super) fn received(&self) -> Option<&B::Payload> {
        self.open().and_then(Open::received)
    }

    /// Forgets the first `len` received octets.
    pub(super) fn consume(&mut self, len: usize) {
        if let Phase::Open(open) = &mut self.phase {
            open.consume(len);
        }
    }

    /// Octets received in order and not yet consumed.
    pub(super) fn receive_queue(&self) -> usize {
        self.open().map_or(0, Open::receive_queue)
    }

    /// Queues as much of the front of `payload` as there is room for; returns how many octets.
    pub(super) fn send(&mut self, options: &ConnectionOptions, payload: &B::Payload) -> usize {
        match &mut self.phase {
            Phase::Open(open) if open.may_queue(self.pressure) => open.send(options, payload),
            _ => 0,
        }
    }

    /// Queues as many of `octets` as there is room for, copied into buffers of `out`; returns how
    /// many.
    pub(super) fn send_copied<O: Output<Buf = B>>(
        &mut self,
        options: &ConnectionOptions,
        octets: &[u8],
        out: &mut O,
    ) -> usize {
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

    /// Octets queued that the peer has not acknowledged.
    pub(super) fn send_queue(&self) -> usize {
        self.open().map_or(0, Open::send_queue)
    }

    /// Ends our direction after all that is queued.
    pub(super) fn close(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.close();
        }
    }

    /// Ends the connection; `poll_transmit` sends the RST.
    pub(super) fn abort(&mut self) {
        let reset = match &self.phase {
            // RFC 9293 section 3.10.5: in these states there is nothing to reset.
            Phase::SynSent(_) | Phase::Closed(_) => None,
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

    /// The network says that a packet of ours, which contained the octet `seq`, was too large for
    /// an MTU that leaves `mss` octets of payload.
    pub(super) fn handle_packet_too_big(&mut self, now: Instant, seq: u32, mss: u16) -> bool {
        match &mut self.phase {
            Phase::Open(open) => open.handle_packet_too_big(now, seq, mss),
            _ => false,
        }
    }

    /// Gives back what the worker's budget counts for this connection. Nothing is queued after.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        if let Phase::Open(_) = self.phase {
            self.phase = Phase::Closed(None);
        }
        self.settle(budget);
    }

    /// Whether the peer has ended its direction (its FIN has been reached).
    pub(super) fn fin_received(&self) -> bool {
        self.open().is_some_and(Open::fin_received)
    }

    /// The first sequence number not yet acknowledged by the peer.
    pub(super) fn snd_una(&self) -> u32 {
        match &self.phase {
            Phase::SynSent(sent) => sent.start.iss,
            Phase::SynReceived(received) => received.start.iss,
            Phase::Open(open) => open.snd_una(),
            Phase::Closed(_) => 0,
        }
    }

    /// Our next sequence number and the peer's, once both are known.
    pub(super) fn next_numbers(&self) -> Option<(u32, u32)> {
        match &self.phase {
            Phase::SynReceived(received) => Some((
                received.start.iss.wrapping_add(1),
                received.irs.wrapping_add(1),
            )),
            Phase::Open(open) => Some((open.snd_nxt(), open.rcv_nxt())),
            Phase::SynSent(_) | Phase::Closed(_) => None,
        }
    }

    /// Whether `seq` is a number that we sent and the peer has not acknowledged.
    pub(super) fn is_in_flight(&self, seq: u32) -> bool {
        match &self.phase {
            Phase::SynSent(sent) => seq == sent.start.iss,
            Phase::SynReceived(received) => seq == received.start.iss,
            Phase::Open(open) => seq::le(open.snd_una(), seq) && seq::lt(seq, open.snd_nxt()),
            Phase::Closed(_) => false,
        }
    }

    /// The window field of a segment that says nothing but what the peer was told before, and its
    /// options.
    pub(super) fn challenge(&mut self, now: Instant) -> (u16, Options) {
        match &mut self.phase {
            Phase::Open(open) => open.challenge(now),
            _ => (0, Options::default()),
        }
    }

    /// Whether the peer has something to answer, sent since it was last heard.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Whether the session could not write for want of a buffer since this was last asked. Nothing
    /// that the peer does will tell it when there is one.
    pub(super) fn take_starved(&mut self) -> bool {
        core::mem::take(&mut self.starved)
    }

    /// Whether the peer has not answered as many keepalive probes as it may.
    pub(super) fn is_dead(&self, call: &Call<'_>) -> bool {
        self.open().is_some_and(|open| open.is_dead(call))
    }

    /// The time stamps of the connection when it ends: the peer's newest, and our offset.
    pub(super) fn stamps(&self) -> Option<(u32, u32)> {
        self.open().and_then(Open::stamps)
    }

    /// Reads a field of each part that the next segment will need, so that they are fetched.
    pub(super) fn fetch(&self) {
        black_box((self.budgeted, self.unanswered));
        if let Phase::Open(open) = &self.phase {
            open.fetch();
        }
    }

    /// Segments sent again since this was last asked.
    pub(super) fn take_retransmitted(&mut self) -> u32 {
        core::mem::take(&mut self.retransmitted)
    }

    /// Resets sent since this was last asked.
    pub(super) fn take_resets(&mut self) -> u32 {
        core::mem::take(&mut self.resets)
    }

    /// What is known of the connection.
    pub(super) fn info(&self, now: Instant) -> Info {
        match &self.phase {
            Phase::Open(open) => open.info(now),
            _ => Info {
                state: self.state(),
                ..Info::default()
            },
        }
    }

    fn open(&self) -> Option<&Open<B::Payload>> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
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

/// The window of our SYN (RFC 7323 section 2.2: never shifted).
fn first_window(options: &ConnectionOptions) -> u16 {
    let most = options.first_window.min(options.receive_buffer);
    u16::try_from(most).unwrap_or(u16::MAX)
}

/// Our time stamp at `now` in a connection whose stamps have this offset: milliseconds.
pub(super) fn stamp_at(now: Instant, offset: u32) -> u32 {
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
    segment.send(out, core::iter::empty())
}
