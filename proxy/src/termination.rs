//! Why a session ended, in two letters.
//!
//! The model is HAProxy's, which operators know: the first letter says who or what ended the
//! session, the second what it was doing at that moment. Both stand in the log line of the
//! session, next to the words for the cause.
//!
//! | first | the session was ended by |
//! |-------|--------------------------|
//! | `C` | the client: it reset the connection, or cannot be reached any more |
//! | `S` | the backend: it refused or reset the connection, or cannot be reached |
//! | `P` | Weirgate itself, because of a fault in it: please report it |
//! | `I` | Weirgate, because what the client sent is not what it had to send |
//! | `D` | Weirgate, because the configuration denies it |
//! | `L` | a limit in the configuration |
//! | `R` | a resource that ran out: packet buffers, source ports, memory |
//! | `K` | the end of the drain period, or an operator |
//! | `c` | a timeout while waiting for the client |
//! | `s` | a timeout while waiting for the backend |
//! | `-` | nobody: both sides finished |
//!
//! | second | meanwhile |
//! |--------|-----------|
//! | `H` | the client's TCP handshake was not complete |
//! | `P` | the client had to say something first: a PROXY header, a ClientHello |
//! | `Q` | a backend was being chosen |
//! | `C` | the connection to a backend was being made |
//! | `D` | data could flow; one direction may have ended |
//! | `-` | everything had been delivered |
//!
//! What the usual combinations mean, and where to look:
//!
//! | code | meaning |
//! |------|---------|
//! | `--` | Normal end: both sides closed, every byte was delivered. |
//! | `CH` | The client reset during its handshake: a scan, or a health check by SYN. |
//! | `cH` | The client never completed its handshake: a SYN flood, or answers that do not reach it. See `handshake`. |
//! | `PH` | The proxy gave up the handshake because of a fault of its own. |
//! | `LH` | `max_sessions` or `syn_backlog` was reached. |
//! | `RH` | No memory for another session. |
//! | `KH` | Weirgate was stopping. |
//! | `CP` | The client left before it had said what it had to: a scan, or a health check that only connects. |
//! | `cP` | The client did not send its PROXY header in `proxy_header`, or its ClientHello in `client_hello`. |
//! | `IP` | What the client sent is no PROXY header, or no ClientHello; or it is malformed, too large, or cut off. The counters `proxy_headers_refused` and `client_hellos_*` tell which. |
//! | `DP` | The client's address is not in `proxy_trusted`, or no route takes the name it asked for and `sni_strict` is on. |
//! | `PP` | The proxy failed while it waited for what the client had to say. |
//! | `LP` | A limit was reached meanwhile. |
//! | `RP` | Packet buffers or memory ran out meanwhile. |
//! | `KP` | Weirgate was stopping. |
//! | `CQ` | The client left before a backend was chosen. |
//! | `SQ` | No backend of the group can be reached. |
//! | `sQ` | No backend became free in time. See `connect_total`. |
//! | `PQ` | The proxy failed while it chose a backend. |
//! | `LQ` | Every backend of the group has `max_connections`, weight 0, or is drained. |
//! | `RQ` | No source port, or no memory, to connect from. See `source_ports`. |
//! | `KQ` | Weirgate was stopping. |
//! | `CC` | The client left before a backend answered. |
//! | `cC` | The client did not answer while a backend was being tried. |
//! | `SC` | Every backend that was tried refused, or cannot be reached: is the server running? |
//! | `sC` | No backend that was tried answered in time. See `connect`, `connect_total`. |
//! | `PC` | The proxy failed while it made the connection. |
//! | `LC` | A limit was reached after backends had refused. |
//! | `RC` | Packet buffers or source ports ran out while connecting. |
//! | `KC` | Weirgate was stopping. |
//! | `CD` | The client reset the connection: a download that was stopped, a closed browser. |
//! | `SD` | The backend reset the connection: it crashed, restarted, or has shorter timeouts. |
//! | `cD` | The client was silent for `idle` or `half_closed`, left bytes unacknowledged for `user`, or did not answer `keepalive`. |
//! | `sD` | The same for the backend. |
//! | `PD` | The proxy failed in the middle of the session. |
//! | `LD` | A limit was reached in the middle of the session. |
//! | `RD` | Packet buffers or memory ran out for this session. |
//! | `KD` | The session outlived `drain`. |
//!
//! A peer that does not answer keepalive probes has the letter of a timeout, since it is one that
//! the configuration sets; it is told from the others by its words, `keepalive unanswered`.

use core::fmt;

/// The half of a session, or the proxy between them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// Who connected to us.
    Client,
    /// Whom we connected to.
    Backend,
    /// Weirgate itself.
    Proxy,
}

/// What ended a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// Both directions ended with FIN and everything was delivered.
    Finished,
    /// A RST arrived.
    Reset,
    /// A RST answered the SYN.
    Refused,
    /// No route, no neighbor, or an ICMP error said so.
    Unreachable,
    /// A timeout of the configuration passed while waiting for the side.
    TimedOut,
    /// As many keepalive probes as the configuration allows went unanswered.
    Unanswered,
    /// What came is no PROXY header, or a wrong one.
    ProxyHeader,
    /// What came is no ClientHello, or a wrong one.
    ClientHello,
    /// Nobody may speak for others from where it is.
    Untrusted,
    /// No route takes what it asked for.
    NoRoute,
    /// A limit of the configuration was reached.
    Limit,
    /// Packet buffers, source ports or memory ran out.
    Exhausted,
    /// Weirgate is stopping, or an operator ended the session.
    Killed,
    /// A fault in Weirgate itself.
    Internal,
}

/// How far a session had come.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// The client's TCP handshake.
    Handshake,
    /// What the client has to say before a backend is chosen.
    Preamble,
    /// Choosing a backend, or waiting for one.
    Queue,
    /// Connecting to a backend.
    Connect,
    /// Data in either direction.
    Data,
    /// Everything has been delivered.
    Done,
}

/// Why a session ended, and how far it had come.
///
/// Displays as the code of two letters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloseReason {
    /// Who ended it, or who was waited for.
    pub side: Side,
    /// What ended it.
    pub cause: Cause,
    /// What was going on.
    pub phase: Phase,
}

impl CloseReason {
    /// Both sides closed and have everything.
    pub const FINISHED: Self = Self {
        side: Side::Proxy,
        cause: Cause::Finished,
        phase: Phase::Done,
    };

    /// The two letters: who, and when.
    pub const fn code(self) -> [char; 2] {
        [self.who(), self.phase.letter()]
    }

    const fn who(self) -> char {
        match (self.cause, self.side) {
            (Cause::Finished, _) => '-',
            (Cause::ProxyHeader | Cause::ClientHello, _) => 'I',
            (Cause::Untrusted | Cause::NoRoute, _) => 'D',
            (Cause::Limit, _) => 'L',
            (Cause::Exhausted, _) => 'R',
            (Cause::Killed, _) => 'K',
            (Cause::Internal, _) | (_, Side::Proxy) => 'P',
            (Cause::TimedOut | Cause::Unanswered, Side::Client) => 'c',
            (Cause::TimedOut | Cause::Unanswered, Side::Backend) => 's',
            (Cause::Reset | Cause::Refused | Cause::Unreachable, Side::Client) => 'C',
            (Cause::Reset | Cause::Refused | Cause::Unreachable, Side::Backend) => 'S',
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [who, when] = self.code();
        write!(f, "{who}{when}")
    }
}

impl Side {
    /// The word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Proxy => "proxy",
        }
    }
}

impl Cause {
    /// The words for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed out",
            Self::Unanswered => "keepalive unanswered",
            Self::ProxyHeader => "invalid PROXY header",
            Self::ClientHello => "invalid ClientHello",
            Self::Untrusted => "peer not trusted",
            Self::NoRoute => "no route for the server name",
            Self::Limit => "limit reached",
            Self::Exhausted => "resource exhausted",
            Self::Killed => "killed",
            Self::Internal => "internal error",
        }
    }
}

impl Phase {
    const fn letter(self) -> char {
        match self {
            Self::Handshake => 'H',
            Self::Preamble => 'P',
            Self::Queue => 'Q',
            Self::Connect => 'C',
            Self::Data => 'D',
            Self::Done => '-',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_who_and_when() {
        let cases = [
            (Side::Proxy, Cause::Finished, Phase::Done, "--"),
            (Side::Client, Cause::TimedOut, Phase::Handshake, "cH"),
            (Side::Client, Cause::Reset, Phase::Handshake, "CH"),
            (Side::Proxy, Cause::Limit, Phase::Handshake, "LH"),
            (Side::Client, Cause::TimedOut, Phase::Preamble, "cP"),
            (Side::Client, Cause::ProxyHeader, Phase::Preamble, "IP"),
            (Side::Client, Cause::ClientHello, Phase::Preamble, "IP"),
            (Side::Client, Cause::Untrusted, Phase::Preamble, "DP"),
            (Side::Client, Cause::NoRoute, Phase::Preamble, "DP"),
            (Side::Client, Cause::Reset, Phase::Queue, "CQ"),
            (Side::Backend, Cause::Limit, Phase::Queue, "LQ"),
            (Side::Backend, Cause::TimedOut, Phase::Queue, "sQ"),
            (Side::Proxy, Cause::Exhausted, Phase::Queue, "RQ"),
            (Side::Backend, Cause::Refused, Phase::Connect, "SC"),
            (Side::Backend, Cause::Unreachable, Phase::Connect, "SC"),
            (Side::Backend, Cause::TimedOut, Phase::Connect, "sC"),
            (Side::Client, Cause::Reset, Phase::Connect, "CC"),
            (Side::Client, Cause::Reset, Phase::Data, "CD"),
            (Side::Client, Cause::TimedOut, Phase::Data, "cD"),
            (Side::Client, Cause::Unanswered, Phase::Connect, "cC"),
            (Side::Client, Cause::Unanswered, Phase::Data, "cD"),
            (Side::Backend, Cause::Unanswered, Phase::Data, "sD"),
            (Side::Client, Cause::Unreachable, Phase::Data, "CD"),
            (Side::Backend, Cause::Reset, Phase::Data, "SD"),
            (Side::Backend, Cause::TimedOut, Phase::Data, "sD"),
            (Side::Client, Cause::Internal, Phase::Data, "PD"),
            (Side::Proxy, Cause::Reset, Phase::Data, "PD"),
            (Side::Client, Cause::Killed, Phase::Data, "KD"),
        ];
        for (side, cause, phase, code) in cases {
            let reason = CloseReason { side, cause, phase };
            assert_eq!(reason.to_string(), code, "{reason:?}");
        }
        assert_eq!(CloseReason::FINISHED.code(), ['-', '-']);
    }

    /// Every code that a session can end with is explained in the documentation above.
    #[test]
    fn every_code_is_documented() {
        const CAUSES: [Cause; 13] = [
            Cause::Reset,
            Cause::Refused,
            Cause::Unreachable,
            Cause::TimedOut,
            Cause::Unanswered,
            Cause::ProxyHeader,
            Cause::ClientHello,
            Cause::Untrusted,
            Cause::NoRoute,
            Cause::Limit,
            Cause::Exhausted,
            Cause::Killed,
            Cause::Internal,
        ];
        let documentation = include_str!("termination.rs");
        for phase in [
            Phase::Handshake,
            Phase::Preamble,
            Phase::Queue,
            Phase::Connect,
            Phase::Data,
        ] {
            for cause in CAUSES {
                for side in [Side::Client, Side::Backend, Side::Proxy] {
                    // What a client says first, it says in its preamble.
                    let first = matches!(
                        cause,
                        Cause::ProxyHeader | Cause::ClientHello | Cause::Untrusted | Cause::NoRoute
                    );
                    // Nobody has to do with a backend before the client has said what it wants, and
                    // nobody waits for a client while a backend is being chosen.
                    let impossible = first && phase != Phase::Preamble
                        || matches!(
                            (side, cause, phase),
                            (Side::Backend, _, Phase::Handshake | Phase::Preamble)
                                | (
                                    Side::Client,
                                    Cause::TimedOut | Cause::Unanswered,
                                    Phase::Queue
                                )
                        );
                    let reason = CloseReason { side, cause, phase };
                    let row = format!("//! | `{reason}` |");
                    assert!(
                        impossible || documentation.contains(&row),
                        "{row} is missing"
                    );
                }
            }
        }
    }
}
