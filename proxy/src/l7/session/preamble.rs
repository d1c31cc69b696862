//! A session whose client has to say something before a backend is chosen: a PROXY header, a
//! ClientHello, or one after the other.
//!
//! In: what a listener's clients have to say first ([`Preface`]). Out: a session whose group is known,
//! or one that ended because the client said something else, or nothing in time. What is said stays
//! in the client's connection until it is complete, so the session holds nothing for it, and a
//! client can make nobody hold more than the window; the ClientHello then passes on as it came.

use core::net::IpAddr;

use netstack::counters::Event;
use netstack::tcp::{CloseCause, ConnId, Output};

use super::{Session, Sessions, Stage, Turn, close_reason};
use crate::config::Prefix;
use crate::l7::about::About;
use crate::l7::client_hello::{self, ClientHello, Parsed, ServerName};
use crate::l7::proxy_protocol;
use crate::l7::sni::Routes;
use crate::termination::{Cause, CloseReason, Phase, Side};

/// Clients whose time is over that are dealt with in one turn at most.
const EXPIRIES_PER_TURN: usize = 256;

/// A TLS record with an alert: fatal, `unrecognized_name` (RFC 8446 section 6, RFC 6066 section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What the clients of a listener have to say before a backend is chosen.
#[derive(Debug, Default)]
pub struct Preface {
    /// If a PROXY header: from where alone clients may connect.
    pub trusted: Option<Vec<Prefix>>,
    /// If a ClientHello: where it leads.
    pub routes: Option<Routes>,
}

impl Preface {
    fn trusts(trusted: &[Prefix], peer: IpAddr) -> bool {
        trusted.iter().any(|prefix| prefix.contains(peer))
    }
}

/// What a client is waited for to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preamble {
    awaits: Awaits,
    /// There is nothing new to be learned before so many octets are there.
    needs: u32,
}

#[derive(Clone, Copy, Debug)]
enum Awaits {
    ProxyHeader,
    ClientHello,
}

/// What came of looking at what a client said.
enum Heard {
    /// It is not all there; so many octets have to be, for the next look.
    Needs(usize),
    /// It was complete. The next thing is waited for, or the session has gone on, or ended.
    Done,
}

impl Sessions {
    /// Waits for what the client of a new session has to say first, if anything.
    pub(super) fn begin<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let Session {
            client, listener, ..
        } = &self.sessions[key];
        let preface = &self.config.listeners[listener.0 as usize].preface;
        let peer = turn.tcp.flow(*client).remote().ip();
        match (&preface.trusted, &preface.routes) {
            (Some(trusted), _) if !Preface::trusts(trusted, peer) => {
                turn.counters.increment(Event::ProxyUntrusted);
                self.refuse(key, Cause::Untrusted, turn);
            }
            (Some(_), _) => self.listen_for(key, Awaits::ProxyHeader, turn),
            (None, Some(_)) => self.listen_for(key, Awaits::ClientHello, turn),
            (None, None) => self.search(key, turn),
        }
    }

    fn listen_for<O: Output>(&mut self, key: usize, awaits: Awaits, turn: &mut Turn<'_, O>) {
        let allowed = match awaits {
            Awaits::ProxyHeader => self.config.proxy_header,
            Awaits::ClientHello => self.config.client_hello,
        };
        self.sessions[key].stage = Stage::Preamble(Preamble { awaits, needs: 1 });
        self.timers.schedule(key as u32, turn.now + allowed);
        self.preamble(key, turn);
    }

    /// Something happened to a client that has something to say.
    pub(super) fn preamble<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let Session { client, stage, .. } = &self.sessions[key];
        let (client, Stage::Preamble(preamble)) = (*client, stage) else {
            return;
        };
        let Preamble { awaits, mut needs } = *preamble;
        let connection = turn.tcp.connection(client);
        if let Some(cause) = connection.ended() {
            self.close(
                key,
                close_reason(Side::Client, cause, Phase::Preamble),
                turn,
            );
            return;
        }
        while turn.tcp.connection(client).receive_queue() >= needs as usize {
            let heard = match awaits {
                Awaits::ProxyHeader => self.hear_proxy_header(key, client, turn),
                Awaits::ClientHello => self.hear_client_hello(key, client, turn),
            };
            match heard {
                Heard::Done => return,
                Heard::Needs(more) => needs = more as u32,
            }
        }
        self.sessions[key].stage = Stage::Preamble(Preamble { awaits, needs });
        let connection = turn.tcp.connection(client);
        match (connection.fin_received(), connection.receive_queue()) {
            (false, _) => {}
            // It only wanted to know whether somebody is there.
            (true, 0) => {
                let left = close_reason(Side::Client, CloseCause::Finished, Phase::Preamble);
                self.close(key, left, turn);
            }
            (true, _) => {
                let (counter, cause) = match awaits {
                    Awaits::ProxyHeader => (Event::ProxyHeadersRefused, Cause::ProxyHeader),
                    Awaits::ClientHello => (Event::ClientHellosMalformed, Cause::ClientHello),
                };
                turn.counters.increment(counter);
                self.refuse(key, cause, turn);
            }
        }
    }

    fn hear_proxy_header<O: Output>(
        &mut self,
        key: usize,
        client: ConnId,
        turn: &mut Turn<'_, O>,
    ) -> Heard {
        let connection = turn.tcp.connection(client);
        let octets = connection.peek(proxy_protocol::MAX_LEN, &mut self.scratch);
        let header = match proxy_protocol::parse(octets) {
            Ok(Some(header)) => header,
            // The longest is not longer than what was looked at.
            Ok(None) => return Heard::Needs(octets.len() + 1),
            Err(_) => {
                turn.counters.increment(Event::ProxyHeadersRefused);
                self.refuse(key, Cause::ProxyHeader, turn);
                return Heard::Done;
            }
        };
        connection.consume(header.len);
        turn.counters.increment(Event::ProxyHeaders);
        let session = &mut self.sessions[key];
        let listener = &self.config.listeners[session.listener.0 as usize];
        session.about = Some(Box::new(About {
            endpoints: header.endpoints,
            ..About::nothing(listener.group, turn.now)
        }));
        if listener.preface.routes.is_some() {
            self.listen_for(key, Awaits::ClientHello, turn);
        } else {
            self.search(key, turn);
        }
        Heard::Done
    }

    fn hear_client_hello<O: Output>(
        &mut self,
        key: usize,
        client: ConnId,
        turn: &mut Turn<'_, O>,
    ) -> Heard {
        let connection = turn.tcp.connection(client);
        let octets = connection.peek(client_hello::MAX_LEN, &mut self.scratch);
        let counter = match client_hello::parse(octets, &mut self.records) {
            Ok(Parsed::Needs(more)) => return Heard::Needs(more),
            Ok(Parsed::Complete(hello)) => {
                self.route(key, hello, turn);
                return Heard::Done;
            }
            Err(client_hello::ParseError::NotTls) => Event::ClientHellosNotTls,
            Err(client_hello::ParseError::TooLarge) => Event::ClientHellosTooLarge,
            Err(client_hello::ParseError::Malformed) => Event::ClientHellosMalformed,
        };
        turn.counters.increment(counter);
        self.refuse(key, Cause::ClientHello, turn);
        Heard::Done
    }

    /// Chooses the group for what a client asks.
    fn route<O: Output>(&mut self, key: usize, hello: ClientHello, turn: &mut Turn<'_, O>) {
        turn.counters.increment(Event::ClientHellos);
        if hello.server_name == ServerName::NotAHost {
            turn.counters.increment(Event::SniNotAHost);
        }
        let session = &mut self.sessions[key];
        let listener = &self.config.listeners[session.listener.0 as usize];
        let Some(routes) = &listener.preface.routes else {
            return;
        };
        let about = session
            .about
            .get_or_insert_with(|| Box::new(About::nothing(listener.group, turn.now)));
        let peer = turn.tcp.flow(session.client).remote();
        let source = about.client().unwrap_or(peer).ip();
        about.ready_at = turn.now;
        about.route = routes.find(&hello.server_name, &hello.protocols, source);
        if let ServerName::Host(name) = hello.server_name {
            about.server_name = Some(name);
        }
        about.protocols = hello.protocols;
        match about.route {
            Some(route) => about.group = routes.group(route),
            None if routes.is_strict() => {
                turn.counters.increment(Event::SniUnrecognized);
                self.refuse_by_alert(key, turn);
                return;
            }
            None => {}
        }
        self.search(key, turn);
    }

    /// Ends sessions whose clients have taken too long to say what they had to say first.
    pub fn handle_timeouts<O: Output>(&mut self, turn: &mut Turn<'_, O>) {
        for _ in 0..EXPIRIES_PER_TURN {
            let Some(key) = self.timers.poll_expired(turn.now) else {
                return;
            };
            let key = key as usize;
            let Some(Stage::Preamble(preamble)) =
                self.sessions.get(key).map(|session| &session.stage)
            else {
                continue;
            };
            turn.counters.increment(match preamble.awaits {
                Awaits::ProxyHeader => Event::ProxyHeaderTimeouts,
                Awaits::ClientHello => Event::ClientHelloTimeouts,
            });
            let reason = CloseReason {
                side: Side::Client,
                cause: Cause::TimedOut,
                phase: Phase::Preamble,
            };
            self.close(key, reason, turn);
        }
    }

    fn refuse<O: Output>(&mut self, key: usize, cause: Cause, turn: &mut Turn<'_, O>) {
        let reason = CloseReason {
            side: Side::Client,
            cause,
            phase: Phase::Preamble,
        };
        self.close(key, reason, turn);
    }

    /// Tells a client that nobody here has the name that it asked for, and closes.
    fn refuse_by_alert<O: Output>(&mut self, key: usize, turn: &mut Turn<'_, O>) {
        let connection = turn.tcp.connection(self.sessions[key].client);
        connection.consume(connection.receive_queue());
        // Without a buffer to be had the client learns no more than that it is over.
        connection.send(netstack::tcp::Chunk::new(&UNRECOGNIZED_NAME), turn.out);
        connection.close();
        let reason = CloseReason {
            side: Side::Client,
            cause: Cause::NoRoute,
            phase: Phase::Preamble,
        };
        self.end(key, reason, turn);
    }
}
