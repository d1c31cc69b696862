//! Congestion control: how many octets may be in flight, and how fast they may leave.
//!
//! In: what an acknowledgment delivered ([`Acked`]), that the network is congested, that the
//! retransmission timer fired, that either was a false alarm, that the connection was idle. Out:
//! `cwnd` and `ssthresh` in the connection's [`Window`], and a pacing rate. Nothing here knows
//! segments, timers or the scoreboard.
//!
//! Three algorithms share the interface: [`newreno`] (RFC 5681), [`cubic`] (RFC 9438) and [`bbr`]
//! (draft-ietf-ccwg-bbr). For the first two, `cwnd` in fast recovery belongs to PRR, which reads
//! the `ssthresh` set here; BBR keeps `cwnd` in its own hands.
//!
//! All growth counts the octets that were delivered, never the acknowledgments, so that a peer who
//! splits his acknowledgments gains nothing (RFC 3465). Numbers come from the peer: every sum
//! saturates, and no window passes [`MAX_CWND`].

mod bbr;
mod cubic;
mod hystart;
mod newreno;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;

use core::time::Duration;

use self::bbr::Bbr;
use self::cubic::Cubic;
use self::newreno::NewReno;
use super::rate::RateSample;
use crate::time::Instant;

/// How a connection reacts to congestion.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// Additive increase, halving (RFC 5681), with HyStart++ (RFC 9406).
    NewReno,
    /// A cubic function of the time since the last reduction (RFC 9438), with HyStart++.
    #[default]
    Cubic,
    /// A model of the path's bandwidth and delay (BBR, version 3).
    Bbr,
}

/// What may be in flight, in octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    /// Octets that may be in flight. At least one `smss`.
    pub cwnd: u32,
    /// Below this, `cwnd` grows by slow start; `u32::MAX` until something says otherwise.
    pub ssthresh: u32,
    /// The largest payload that we send in a segment, in octets.
    pub smss: u32,
}

/// No window grows past this: the largest that TCP can announce (RFC 7323 section 2.3).
pub(super) const MAX_CWND: u32 = 1 << 30;

impl Window {
    /// The initial window (RFC 6928) for segments of `smss` octets.
    pub(crate) fn new(smss: u32) -> Self {
        let smss = smss.clamp(1, u32::from(u16::MAX));
        Self {
            cwnd: initial_window(smss),
            ssthresh: u32::MAX,
            smss,
        }
    }

    /// Whether `cwnd` grows by slow start.
    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    fn grow(&mut self, octets: u32) {
        self.cwnd = self.cwnd.saturating_add(octets).min(MAX_CWND);
    }

    /// Slow start for `delivered` octets; says how many of them are left for congestion avoidance.
    ///
    /// RFC 3465 section 2.3 suggests counting at most two segments an acknowledgment, against
    /// bursts. Peers with receive offload acknowledge dozens of segments at once, which would then
    /// make slow start several times slower, and bursts are what pacing is for; so everything
    /// counts, up to a doubling.
    fn slow_start(&mut self, delivered: u32) -> u32 {
        let delivered = delivered.min(self.cwnd);
        let grown = delivered.min(self.ssthresh.saturating_sub(self.cwnd));
        self.grow(grown);
        delivered - grown
    }

    /// Sets the threshold, with room for two segments at least (RFC 5681 equation 4).
    fn reduce_threshold(&mut self, octets: u32) {
        self.ssthresh = octets.clamp(self.smss.saturating_mul(2), MAX_CWND);
    }

    /// What is left of `cwnd` after `idle`: half for each `rto`, down to the initial window.
    ///
    /// RFC 5681 section 4.1 drops to the initial window at once; RFC 7661 and its predecessor
    /// decay instead, because a short pause says little about the path. The threshold keeps three
    /// quarters of what was known to fit.
    fn decay(&mut self, idle: Duration, rto: Duration) {
        let floor = initial_window(self.smss).min(self.cwnd);
        let timeouts = idle.as_nanos() / rto.as_nanos().max(1);
        if timeouts == 0 || floor == self.cwnd {
            return;
        }
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let halvings = u32::try_from(timeouts).unwrap_or(u32::MAX);
        self.cwnd = self.cwnd.checked_shr(halvings).unwrap_or(0).max(floor);
    }
}

/// RFC 6928 section 2: ten segments, but not much more than 14600 octets.
pub(super) fn initial_window(smss: u32) -> u32 {
    let ten = smss.saturating_mul(10);
    ten.min(smss.saturating_mul(2).max(14_600))
}

/// What says that the network is congested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Congestion {
    /// Segments were lost.
    Loss,
    /// The peer echoed a congestion mark (RFC 3168).
    Ecn,
}

/// One acknowledgment that delivered something.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "the opposite of `delivered` and `lost`"
)]
pub(super) struct Acked {
    /// When it came.
    pub now: Instant,
    /// Octets newly acknowledged, cumulatively or selectively.
    pub delivered: u32,
    /// Octets newly acknowledged cumulatively.
    pub acked: u32,
    /// Octets in flight before it came.
    pub in_flight: u32,
    /// Whether `cwnd` was what kept us from sending more.
    pub cwnd_limited: bool,
    /// Round-trip time measured by it: the shortest, if it measured several.
    pub rtt: Option<Duration>,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Delivery rate measured by it.
    pub rate: Option<RateSample>,
    /// Whether the connection is in fast recovery, where PRR sets `cwnd`. Not after a timeout:
    /// there, slow start does.
    pub in_recovery: bool,
    /// Everything before this is acknowledged.
    pub snd_una: u32,
    /// The next new octet gets this number.
    pub snd_nxt: u32,
    /// Octets that were found lost because of it.
    pub lost: u32,
    /// Whether it echoed a congestion mark.
    pub ce: bool,
}

/// The congestion controller of a connection.
#[derive(Clone, Debug)]
pub(super) enum Controller {
    NewReno(NewReno),
    Cubic(Cubic),
    Bbr(Box<Bbr>),
}

impl Controller {
    /// A controller for a connection that has sent nothing. `seed` spreads what an algorithm
    /// does at random times: any number that differs between connections.
    pub(super) fn new(algorithm: Algorithm, seed: u32) -> Self {
        match algorithm {
            Algorithm::NewReno => Self::NewReno(NewReno::new()),
            Algorithm::Cubic => Self::Cubic(Cubic::new()),
            Algorithm::Bbr => Self::Bbr(Box::new(Bbr::new(seed))),
        }
    }

    /// Something was delivered.
    pub(super) fn on_ack(&mut self, window: &mut Window, ack: &Acked) {
        // PRR may end with less, if almost everything was lost.
        window.cwnd = window.cwnd.max(window.smss);
        match self {
            Self::NewReno(newreno) => newreno.on_ack(window, ack),
            Self::Cubic(cubic) => cubic.on_ack(window, ack),
            Self::Bbr(bbr) => bbr.on_ack(window, ack),
        }
    }

    /// The network is congested: to be called at most once a window of data, and before
    /// [`Controller::on_ack`] for the acknowledgment that said so.
    ///
    /// `in_flight` is what was sent and not acknowledged (`snd_nxt - snd_una`), lost octets
    /// included. Sets `ssthresh`; who brings `cwnd` down to it is PRR or the handling of ECN.
    pub(super) fn on_congestion(&mut self, window: &mut Window, in_flight: u32, by: Congestion) {
        match self {
            Self::NewReno(newreno) => newreno.on_congestion(window, in_flight, by),
            Self::Cubic(cubic) => cubic.on_congestion(window, in_flight, by),
            Self::Bbr(bbr) => bbr.on_congestion(window, by),
        }
    }

    /// The retransmission timer fired. `in_flight` is as for [`Controller::on_congestion`].
    pub(super) fn on_timeout(&mut self, window: &mut Window, in_flight: u32) {
        match self {
            Self::NewReno(newreno) => newreno.on_timeout(window, in_flight),
            Self::Cubic(cubic) => cubic.on_timeout(window, in_flight),
            Self::Bbr(bbr) => bbr.on_timeout(window),
        }
    }

    /// The last reduction was for nothing: what was thought lost had only been late.
    pub(super) fn undo(&mut self, window: &mut Window) {
        match self {
            Self::NewReno(newreno) => newreno.undo(window),
            Self::Cubic(cubic) => cubic.undo(window),
            Self::Bbr(bbr) => bbr.undo(window),
        }
    }

    /// Everything that was in flight at the last reduction has been acknowledged.
    pub(super) fn on_recovery_end(&mut self, window: &mut Window) {
        match self {
            Self::NewReno(newreno) => newreno.on_recovery_end(),
            Self::Cubic(cubic) => cubic.on_recovery_end(),
            Self::Bbr(bbr) => bbr.on_recovery_end(window),
        }
    }

    /// Something is about to be sent after nothing has been in flight for `idle`.
    pub(super) fn on_idle(
        &mut self,
        window: &mut Window,
        now: Instant,
        idle: Duration,
        rto: Duration,
    ) {
        match self {
            Self::NewReno(_) => window.decay(idle, rto),
            Self::Cubic(cubic) => cubic.on_idle(window, now, idle, rto),
            Self::Bbr(bbr) => bbr.on_idle(window, now),
        }
    }

    /// How fast to send, in octets a second; `None` while nobody knows.
    pub(super) fn pacing_rate(&self, window: &Window, srtt: Option<Duration>) -> Option<u64> {
        match self {
            Self::NewReno(_) | Self::Cubic(_) => window_rate(window, srtt),
            Self::Bbr(bbr) => bbr.pacing_rate(window, srtt),
        }
    }

    /// Whether `cwnd` is the controller's in fast recovery too, and PRR has to keep away.
    pub(super) fn controls_cwnd_in_recovery(&self) -> bool {
        matches!(self, Self::Bbr(_))
    }
}

/// The window spread over a round trip, with a margin for it to grow into: it may double in a
/// round of slow start, and after that the margin keeps pacing from being what limits the flow.
fn window_rate(window: &Window, srtt: Option<Duration>) -> Option<u64> {
    let percent = if window.in_slow_start() { 200 } else { 120 };
    let octets = u64::from(window.cwnd) * percent / 100;
    Some(octets * 1_000_000 / u64::from(micros(srtt?)).max(1))
}

/// Whole microseconds; over an hour counts as an hour and a bit.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// The last reduction of a window, and what it takes to take it back.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    /// `cwnd` before it; zero before the first one.
    cwnd: u32,
    /// `ssthresh` before it.
    ssthresh: u32,
    /// Whether it may turn out to have been for nothing.
    undoable: bool,
    /// Whether data that was in flight then is still not acknowledged.
    open: bool,
    /// Whether `cwnd` was what limited the flow at the last acknowledgment.
    cwnd_limited: bool,
}

impl Backoff {
    /// A reduction is about to be made. A congestion mark is never a false alarm.
    fn begin(&mut self, window: &Window, undoable: bool) {
        self.cwnd = window.cwnd;
        self.ssthresh = window.ssthresh;
        self.undoable = undoable;
        self.open = true;
    }

    /// The load that proved too much, which a reduction is a fraction of.
    ///
    /// RFC 5681 section 3.1 wants the data in flight, as a window that is not used says nothing.
    /// RFC 9438 section 4.6 permits `cwnd` where it cannot have grown unused: the data in flight
    /// may be a little less than a full window just because it is paced.
    fn load(&self, window: &Window, in_flight: u32) -> u32 {
        if self.cwnd_limited {
            window.cwnd
        } else {
            in_flight.min(window.cwnd)
        }
    }

    /// Takes the reduction back, if it can be; says whether it was.
    fn undo(&mut self, window: &mut Window) -> bool {
        if !self.undoable {
            return false;
        }
        window.cwnd = window.cwnd.max(self.cwnd);
        window.ssthresh = self.ssthresh;
        self.undoable = false;
        self.open = false;
        true
    }
}
