//! What is known of a connection: the counterpart of Linux's `tcp_info`.

use core::time::Duration;

use super::activity::SendTimes;
use super::open::Open;
use super::recovery::Phase;
use crate::io::Payload;
use crate::tcp::State;
use crate::time::Instant;

/// Whether a connection recovers, and from what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Recovering {
    /// It does not.
    #[default]
    No,
    /// Segments arrive out of order, or some are missing; it is not clear yet.
    Disorder,
    /// The network said that it is congested (ECN).
    Reducing,
    /// Segments were lost.
    Loss,
    /// A retransmission timeout passed.
    Timeout,
}

/// What is known of a connection. Sizes in octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Info {
    /// The state of RFC 9293.
    pub state: State,
    /// Whether it recovers from a loss.
    pub recovering: Recovering,
    /// The smoothed round-trip time; zero before the first measurement.
    pub srtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// The smallest of the last minutes.
    pub min_rtt: Duration,
    /// The retransmission timeout.
    pub rto: Duration,
    /// How often that was doubled.
    pub backoff: u8,
    /// The largest segment sent.
    pub smss: u32,
    /// The congestion window.
    pub cwnd: u32,
    /// The slow start threshold; `u32::MAX` if there is none.
    pub ssthresh: u32,
    /// Sent and not acknowledged.
    pub outstanding: u32,
    /// Of these, in flight as far as anybody knows.
    pub in_flight: u32,
    /// Of these, selectively acknowledged.
    pub sacked: u32,
    /// Of these, lost and not sent again.
    pub lost: u32,
    /// Of these, sent again.
    pub resent: u32,
    /// Octets sent again, ever.
    pub retransmitted: u32,
    /// How many segments late the path has delivered one, at most 255; zero if it was not seen to
    /// reorder.
    pub reordering: u32,
    /// Reductions of the window that were taken back.
    pub undone: u16,
    /// Octets a second that the path has lately delivered; zero before the first measurement, and
    /// after a pause of five seconds.
    pub delivery_rate: u64,
    /// Whether the session had too little to send for that rate to show what the path can do.
    pub app_limited: bool,
    /// For how long it had something to send, and what kept it from sending more.
    pub times: SendTimes,
    /// Octets a second at which segments are sent; `None` if they are not paced.
    pub pacing_rate: Option<u64>,
    /// The peer's window.
    pub snd_wnd: u32,
    /// The window that the peer was offered.
    pub rcv_wnd: u32,
    /// Queued and not sent.
    pub unsent: u32,
    /// Queued to be sent or acknowledged.
    pub send_queue: u32,
    /// Received and not consumed.
    pub receive_queue: u32,
}

impl Default for Info {
    fn default() -> Self {
        Self {
            state: State::Closed,
            recovering: Recovering::No,
            srtt: Duration::ZERO,
            rttvar: Duration::ZERO,
            min_rtt: Duration::ZERO,
            rto: Duration::ZERO,
            backoff: 0,
            smss: 0,
            cwnd: 0,
            ssthresh: u32::MAX,
            outstanding: 0,
            in_flight: 0,
            sacked: 0,
            lost: 0,
            resent: 0,
            retransmitted: 0,
            reordering: 0,
            undone: 0,
            delivery_rate: 0,
            app_limited: false,
            times: SendTimes::default(),
            pacing_rate: None,
            snd_wnd: 0,
            rcv_wnd: 0,
            unsent: 0,
            send_queue: 0,
            receive_queue: 0,
        }
    }
}

impl<P: Payload> Open<P> {
    /// What is known of the connection.
    pub(super) fn info(&self, now: Instant) -> Info {
        let send = &self.send;
        let recovering = match &send.phase {
            Phase::Open if send.board.sacked() > 0 || send.dup_acks > 0 => Recovering::Disorder,
            Phase::Open => Recovering::No,
            Phase::Reducing(_) => Recovering::Reducing,
            Phase::Recovery(_) => Recovering::Loss,
            Phase::Timeout(_) => Recovering::Timeout,
        };
        let srtt = send.rto.smoothed();
        Info {
            state: self.state(),
            recovering,
            srtt: srtt.unwrap_or_default(),
            rttvar: send.rto.variation(),
            min_rtt: send.rto.smallest().unwrap_or_default(),
            rto: send.rto.timeout(),
            backoff: send.rto.backoff(),
            smss: send.window.smss,
            cwnd: send.window.cwnd,
            ssthresh: send.window.ssthresh,
            outstanding: send.outstanding(),
            in_flight: send.pipe(),
            sacked: send.board.sacked(),
            lost: send.board.lost(),
            resent: send.board.resent_octets(),
            retransmitted: send.retransmitted,
            reordering: u32::from(send.rack.distance()),
            undone: send.undone,
            delivery_rate: send.throughput.rate,
            app_limited: send.throughput.is_app_limited,
            times: send.activity.times(now),
            pacing_rate: if send.paced {
                send.controller.pacing_rate(&send.window, srtt)
            } else {
                None
            },
            snd_wnd: send.wnd,
            rcv_wnd: self.receive.window_target(),
            unsent: send.unsent(),
            send_queue: send.queue.len(),
            receive_queue: self.receive.queued(),
        }
    }
}
