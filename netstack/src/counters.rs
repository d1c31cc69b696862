//! What a worker counts.
//!
//! One writer (the worker), any number of readers (control threads): each counter is a relaxed
//! atomic that the worker updates by a plain load and store, so counting costs no locked
//! instruction. Reads may be a little old, never torn.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::drop::DropReason;

/// Something that a worker counts besides drops.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(usize)]
pub enum Event {
    /// Frames received.
    RxFrames,
    /// Octets of frames received.
    RxBytes,
    /// Frames sent.
    TxFrames,
    /// Octets of frames sent.
    TxBytes,
    /// Frames that the worker made (as opposed to forwarded or received).
    Generated,
    /// Received frames whose content was taken in.
    Consumed,
    /// Times that no empty buffer was to be had.
    BuffersExhausted,
    /// Frames received for another worker: ports have fewer receive queues than there are workers.
    Distributed,
    /// Packets of flows that are another worker's, handed to it.
    HandedOver,
    /// Among those, packets of clients whose connection is not here, handed on to ask who has it.
    StraysAsked,
    /// Packets that another worker handed to this one.
    TakenOver,
    /// ARP requests and neighbor solicitations answered.
    NeighborAnswered,
    /// ARP requests and neighbor solicitations sent.
    NeighborAsked,
    /// Neighbors that answered, or told of themselves.
    NeighborLearned,
    /// Neighbors given up after the last retry.
    NeighborFailed,
    /// What was learned about a neighbor but did not reach another worker: its ring for news was
    /// full.
    NeighborNewsLost,
    /// Echo requests answered.
    EchoAnswered,
    /// ICMP errors sent.
    IcmpErrorsSent,
    /// ICMP errors not sent because of the rate limit.
    IcmpErrorsSuppressed,
    /// ICMP errors received and handed to a connection.
    IcmpErrorsReceived,
    /// Words about packets too large for which there is no connection here, of which other workers
    /// were told.
    PathNewsTold,
    /// Such words that did not reach another worker: its ring for news was full.
    PathNewsLost,
    /// TCP connections accepted from clients (handshake complete).
    TcpAccepted,
    /// TCP connections begun towards backends.
    TcpConnects,
    /// TCP connections towards backends that were established.
    TcpConnected,
    /// TCP connections in any state now: a gauge.
    TcpConnections,
    /// Half-open TCP handshakes of clients now: a gauge.
    TcpHalfOpen,
    /// TIME-WAIT entries now: a gauge.
    TcpTimeWaitEntries,
    /// TIME-WAIT entries given up early because the table was full.
    TcpTimeWaitEvicted,
    /// Connections reopened by a SYN on a flow in TIME-WAIT.
    TcpTimeWaitReused,
    /// Resets sent.
    TcpResetsSent,
    /// Resets not sent because of the rate limit.
    TcpResetsSuppressed,
    /// Connections that the peer reset.
    TcpResetsReceived,
    /// Challenge ACKs sent (RFC 5961).
    TcpChallengeAcks,
    /// SYNs answered by a cookie because too many handshakes were going on.
    TcpCookiesSent,
    /// Connections that a client opened by returning a cookie.
    TcpCookiesAccepted,
    /// Acknowledgments of no connection, soon after cookies were sent, that return none of them.
    TcpCookiesRefused,
    /// Segments sent again.
    TcpRetransmits,
    /// Connections whose segments became smaller because the network said that they were too large.
    TcpPathMtuLowered,
    /// Words of the network about packets too large that are about nothing in flight, or change nothing.
    TcpPathMtuRefused,
    /// Steps to smaller segments because large ones timed out in silence (RFC 4821).
    TcpBlackHoles,
    /// Larger segments that were tried on a path and arrived.
    TcpPathMtuRaised,
    /// Retransmission timeouts of native connections.
    TcpTimeouts,
    /// Recoveries of native connections begun because segments were lost.
    TcpRecoveries,
    /// Reductions of the congestion window that were taken back as mistaken.
    TcpRecoveriesUndone,
    /// Loss probes sent (RFC 8985).
    TcpLossProbes,
    /// Probes of closed windows.
    TcpWindowProbes,
    /// Peers that asked for smaller segments than we send.
    TcpSmallMss,
    /// Acknowledgments that end inside a segment: of peers that try to make the window grow.
    TcpDividedAcks,
    /// Native connections whose path was seen to deliver out of order, each counted once.
    TcpReordered,
    /// SACK blocks about nothing in flight, or cut finer than is noted.
    TcpSackRefused,
    /// Packet buffers that native connections hold now: a gauge.
    TcpBuffersHeld,
    /// Handshakes of clients that did not finish in time.
    TcpHandshakeTimeouts,
    /// Connects to backends that did not finish in time.
    TcpConnectTimeouts,
    /// Connections closed because nothing moved for too long.
    TcpIdleTimeouts,
    /// Connections closed because one direction stayed open too long after the other ended.
    TcpHalfClosedTimeouts,
    /// Connections closed because the peer did not end its direction after ours was done.
    TcpFinWait2Timeouts,
    /// Connections closed because the peer stopped acknowledging.
    TcpUserTimeouts,
    /// Connections closed because the peer did not answer keepalive probes.
    TcpKeepaliveTimeouts,
    /// Connections whose engine panicked, and which were reset.
    TcpEnginePanics,
    /// Connects refused because every source port is in use.
    TcpPortsExhausted,
    /// Connects refused because the worker has all the connections it may have.
    TcpConnectRefused,
    /// Sessions begun: a client was accepted.
    SessionsOpened,
    /// Sessions ended.
    SessionsClosed,
    /// Sessions now: a gauge.
    SessionsActive,
    /// Sessions that ended by a reset or a timeout.
    SessionsAborted,
    /// Sessions that found no backend willing.
    SessionsNoBackend,
    /// Connects tried again with another backend.
    SessionsRetried,
    /// PROXY headers received and believed.
    ProxyHeaders,
    /// Clients refused because what they sent is no PROXY header, or a wrong one.
    ProxyHeadersRefused,
    /// Clients refused because nobody may speak for others from where they are.
    ProxyUntrusted,
    /// Clients refused because their PROXY header did not come in time.
    ProxyHeaderTimeouts,
    /// PROXY headers sent to backends.
    ProxyHeadersSent,
    /// ClientHellos read to route what follows.
    ClientHellos,
    /// Clients refused because they do not speak TLS.
    ClientHellosNotTls,
    /// Clients refused because their ClientHello is too large.
    ClientHellosTooLarge,
    /// Clients refused because their ClientHello is malformed, or ends early.
    ClientHellosMalformed,
    /// Clients refused because their ClientHello did not come in time.
    ClientHelloTimeouts,
    /// ClientHellos that ask for something that is not the name of a host.
    SniNotAHost,
    /// Clients refused by an alert because no route takes what they ask for.
    SniUnrecognized,
    /// Checks of backends begun.
    HealthChecks,
    /// Checks of backends that failed.
    HealthChecksFailed,
    /// Backends that checks of this worker say are down, now: a gauge.
    BackendsDown,
    /// Times that the worker stopped using a backend because sessions failed there.
    BackendEjections,
    /// Times that it did not, because too many backends of the group were ejected already.
    BackendEjectionsWithheld,
    /// Backends that it does not use for that reason now: a gauge.
    BackendsEjected,
    /// Sessions sent to a backend that is down or ejected, because every one of its group is.
    BackendsFailOpen,
    /// 1 once the worker takes no new connections: a gauge.
    Draining,
    /// Reports of ended sessions that nobody took in time: log lines that are missing.
    ReportsLost,
    /// Octets from clients to backends.
    BytesToBackend,
    /// Octets from backends to clients.
    BytesToClient,
    /// Turns of the worker's loop.
    Turns,
    /// Turns that found nothing to do.
    IdleTurns,
    /// Times the worker went to sleep.
    Sleeps,
}

impl Event {
    /// All events and their names, in declaration order.
    const NAMED: [(Self, &'static str); Self::Sleeps as usize + 1] = [
        (Self::RxFrames, "rx_frames"),
        (Self::RxBytes, "rx_bytes"),
        (Self::TxFrames, "tx_frames"),
        (Self::TxBytes, "tx_bytes"),
        (Self::Generated, "generated"),
        (Self::Consumed, "consumed"),
        (Self::BuffersExhausted, "buffers_exhausted"),
        (Self::Distributed, "distributed"),
        (Self::HandedOver, "handed_over"),
        (Self::StraysAsked, "strays_asked"),
        (Self::TakenOver, "taken_over"),
        (Self::NeighborAnswered, "neighbor_answered"),
        (Self::NeighborAsked, "neighbor_asked"),
        (Self::NeighborLearned, "neighbor_learned"),
        (Self::NeighborFailed, "neighbor_failed"),
        (Self::NeighborNewsLost, "neighbor_news_lost"),
        (Self::EchoAnswered, "echo_answered"),
        (Self::IcmpErrorsSent, "icmp_errors_sent"),
        (Self::IcmpErrorsSuppressed, "icmp_errors_suppressed"),
        (Self::IcmpErrorsReceived, "icmp_errors_received"),
        (Self::PathNewsTold, "path_news_told"),
        (Self::PathNewsLost, "path_news_lost"),
        (Self::TcpAccepted, "tcp_accepted"),
        (Self::TcpConnects, "tcp_connects"),
        (Self::TcpConnected, "tcp_connected"),
        (Self::TcpConnections, "tcp_connections"),
        (Self::TcpHalfOpen, "tcp_half_open"),
        (Self::TcpTimeWaitEntries, "tcp_time_wait_entries"),
        (Self::TcpTimeWaitEvicted, "tcp_time_wait_evicted"),
        (Self::TcpTimeWaitReused, "tcp_time_wait_reused"),
        (Self::TcpResetsSent, "tcp_resets_sent"),
        (Self::TcpResetsSuppressed, "tcp_resets_suppressed"),
        (Self::TcpResetsReceived, "tcp_resets_received"),
        (Self::TcpChallengeAcks, "tcp_challenge_acks"),
        (Self::TcpCookiesSent, "tcp_cookies_sent"),
        (Self::TcpCookiesAccepted, "tcp_cookies_accepted"),
        (Self::TcpCookiesRefused, "tcp_cookies_refused"),
        (Self::TcpRetransmits, "tcp_retransmits"),
        (Self::TcpPathMtuLowered, "tcp_path_mtu_lowered"),
        (Self::TcpPathMtuRefused, "tcp_path_mtu_refused"),
        (Self::TcpBlackHoles, "tcp_black_holes"),
        (Self::TcpPathMtuRaised, "tcp_path_mtu_raised"),
        (Self::TcpTimeouts, "tcp_timeouts"),
        (Self::TcpRecoveries, "tcp_recoveries"),
        (Self::TcpRecoveriesUndone, "tcp_recoveries_undone"),
        (Self::TcpLossProbes, "tcp_loss_probes"),
        (Self::TcpWindowProbes, "tcp_window_probes"),
        (Self::TcpSmallMss, "tcp_small_mss"),
        (Self::TcpDividedAcks, "tcp_divided_acks"),
        (Self::TcpReordered, "tcp_reordered"),
        (Self::TcpSackRefused, "tcp_sack_refused"),
        (Self::TcpBuffersHeld, "tcp_buffers_held"),
        (Self::TcpHandshakeTimeouts, "tcp_handshake_timeouts"),
        (Self::TcpConnectTimeouts, "tcp_connect_timeouts"),
        (Self::TcpIdleTimeouts, "tcp_idle_timeouts"),
        (Self::TcpHalfClosedTimeouts, "tcp_half_closed_timeouts"),
        (Self::TcpFinWait2Timeouts, "tcp_fin_wait_2_timeouts"),
        (Self::TcpUserTimeouts, "tcp_user_timeouts"),
        (Self::TcpKeepaliveTimeouts, "tcp_keepalive_timeouts"),
        (Self::TcpEnginePanics, "tcp_engine_panics"),
        (Self::TcpPortsExhausted, "tcp_ports_exhausted"),
        (Self::TcpConnectRefused, "tcp_connect_refused"),
        (Self::SessionsOpened, "sessions_opened"),
        (Self::SessionsClosed, "sessions_closed"),
        (Self::SessionsActive, "sessions_active"),
        (Self::SessionsAborted, "sessions_aborted"),
        (Self::SessionsNoBackend, "sessions_no_backend"),
        (Self::SessionsRetried, "sessions_retried"),
        (Self::ProxyHeaders, "proxy_headers"),
        (Self::ProxyHeadersRefused, "proxy_headers_refused"),
        (Self::ProxyUntrusted, "proxy_untrusted"),
        (Self::ProxyHeaderTimeouts, "proxy_header_timeouts"),
        (Self::ProxyHeadersSent, "proxy_headers_sent"),
        (Self::ClientHellos, "client_hellos"),
        (Self::ClientHellosNotTls, "client_hellos_not_tls"),
        (Self::ClientHellosTooLarge, "client_hellos_too_large"),
        (Self::ClientHellosMalformed, "client_hellos_malformed"),
        (Self::ClientHelloTimeouts, "client_hello_timeouts"),
        (Self::SniNotAHost, "sni_not_a_host"),
        (Self::SniUnrecognized, "sni_unrecognized"),
        (Self::HealthChecks, "health_checks"),
        (Self::HealthChecksFailed, "health_checks_failed"),
        (Self::BackendsDown, "backends_down"),
        (Self::BackendEjections, "backend_ejections"),
        (Self::BackendEjectionsWithheld, "backend_ejections_withheld"),
        (Self::BackendsEjected, "backends_ejected"),
        (Self::BackendsFailOpen, "backends_fail_open"),
        (Self::Draining, "draining"),
        (Self::ReportsLost, "reports_lost"),
        (Self::BytesToBackend, "bytes_to_backend"),
        (Self::BytesToClient, "bytes_to_client"),
        (Self::Turns, "turns"),
        (Self::IdleTurns, "idle_turns"),
        (Self::Sleeps, "sleeps"),
    ];

    /// All events, in declaration order.
    pub const ALL: [Self; Self::NAMED.len()] = {
        let mut all = [Self::RxFrames; Self::NAMED.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = Self::NAMED[index].0;
            assert!(all[index] as usize == index, "an event is out of place");
            index += 1;
        }
        all
    };

    /// The stable name, as in metrics and in the output of `replay`.
    pub const fn name(self) -> &'static str {
        Self::NAMED[self as usize].1
    }
}

/// One worker's counters. Shared with readers behind an `Arc`.
#[derive(Debug)]
pub struct Counters {
    events: [AtomicU64; Event::ALL.len()],
    drops: [AtomicU64; DropReason::ALL.len()],
}

impl Counters {
    /// All counters at zero.
    pub const fn new() -> Self {
        Self {
            events: [const { AtomicU64::new(0) }; Event::ALL.len()],
            drops: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
        }
    }

    /// Adds one.
    pub fn increment(&self, event: Event) {
        self.add(event, 1);
    }

    /// Adds `amount`. Only the worker that owns the counters may call this.
    pub fn add(&self, event: Event, amount: u64) {
        bump(&self.events[event as usize], amount);
    }

    /// Sets a gauge. Only the worker that owns the counters may call this.
    pub fn set(&self, event: Event, value: u64) {
        self.events[event as usize].store(value, Ordering::Relaxed);
    }

    /// Counts a dropped packet. Only the worker that owns the counters may call this.
    pub fn drop_packet(&self, reason: DropReason) {
        bump(&self.drops[reason as usize], 1);
    }

    /// How often `event` was counted.
    pub fn event(&self, event: Event) -> u64 {
        self.events[event as usize].load(Ordering::Relaxed)
    }

    /// How many packets were dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(Ordering::Relaxed)
    }

    /// How many packets were dropped, for any reason.
    pub fn drops_total(&self) -> u64 {
        DropReason::ALL
            .into_iter()
            .map(|reason| self.drops(reason))
            .sum()
    }

    /// Names and values of all counters that are not zero; drops have the prefix `drop_`.
    pub fn non_zero(&self) -> Vec<(String, u64)> {
        let events = Event::ALL
            .into_iter()
            .map(|e| (e.name().to_owned(), self.event(e)));
        let drops = DropReason::ALL
            .into_iter()
            .map(|r| (format!("drop_{}", r.name()), self.drops(r)));
        events
            .chain(drops)
            .filter(|(_, value)| *value != 0)
            .collect()
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// A single writer needs no read-modify-write instruction.
fn bump(counter: &AtomicU64, amount: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_in_order() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, index, "{}", event.name());
        }
        assert_eq!(Event::ALL.len(), Event::Sleeps as usize + 1);
    }

    #[test]
    fn only_moved_counters_are_listed() {
        let counters = Counters::new();
        counters.add(Event::RxFrames, 3);
        counters.drop_packet(DropReason::IpFragment);
        assert_eq!(
            counters.non_zero(),
            [
                ("rx_frames".to_owned(), 3),
                ("drop_ip_fragment".to_owned(), 1)
            ]
        );
        assert_eq!(counters.drops_total(), 1);
    }
}
