//! Plays a script against a stack.
//!
//! Time goes from event to event, and stops on the way wherever the stack has something to do, so
//! that packets are sent and calls end at their exact times. Packets that are sent wait in a queue
//! for the events that expect them.

mod calls;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use netstack::time::Instant;

use self::calls::{Socket, Waiting};
use super::Script;
use super::event::{Action, Body, Event, Packet, Time, Tos};
use super::failure::{Failure, Mismatch, Window};
use super::flow::{DEFAULT_PORT, Flow};
use super::verify::{Clock, Difference, check, compare};
use super::wire::{Sent, decode, encode};
use crate::sim::Family;
use crate::stack::Stack;

/// The least step of time: whoever always has something to do must not hold the clock.
const LEAST_STEP: Duration = Duration::from_millis(1);

/// How long is waited for a packet that may come at any time.
const ANY_TIME: Duration = Duration::from_mins(10);

/// Plays `script` to its end.
pub(super) fn play<S: Stack>(
    script: &Script,
    stack: &mut S,
    family: Family,
) -> Result<(), Failure> {
    let mut player = Player {
        start: stack.now(),
        stack,
        family,
        clock: Clock {
            tick: script.directives.timestamp_tick,
            tolerance: script.directives.tolerance,
        },
        line: 1,
        base: Duration::ZERO,
        sent: VecDeque::new(),
        flows: Vec::new(),
        current: None,
        listen_port: DEFAULT_PORT,
        sockets: BTreeMap::new(),
        last_stream: None,
        waiting: Vec::new(),
    };
    for event in &script.events {
        player.line = event.line;
        player
            .play(event)
            .map_err(|(line, mismatch)| Failure::new(line, player.now(), mismatch))?;
    }
    let finished = player.finish();
    finished.map_err(|(line, mismatch)| Failure::new(line, player.now(), mismatch))
}

/// The line at fault, and what is wrong with it.
type AtLine = (usize, Mismatch);

struct Player<'s, S> {
    stack: &'s mut S,
    family: Family,
    clock: Clock,
    start: Instant,
    /// The line of the event that is played.
    line: usize,
    /// When the event before was.
    base: Duration,
    /// What was sent and not expected yet.
    sent: VecDeque<(Instant, Vec<u8>)>,
    flows: Vec<Flow>,
    /// The flow that packets belong to which do not name their ports.
    current: Option<usize>,
    /// The port that was bound last.
    listen_port: u16,
    /// By the script's numbers.
    sockets: BTreeMap<i64, Socket>,
    /// The socket of the connection that was opened last.
    last_stream: Option<i64>,
    waiting: Vec<Waiting>,
}

impl<S: Stack> Player<'_, S> {
    fn play(&mut self, event: &Event) -> Result<(), AtLine> {
        let base = self.base;
        let (from, to) = match event.time {
            Time::At(at) => (at, at),
            Time::After(after) => (base + after, base + after),
            Time::Between(from, to) => (from, to),
            Time::AfterBetween(from, to) => (base + from, base + to),
            Time::Any => (Duration::ZERO, self.now() + ANY_TIME),
        };
        if event.time != Time::Any && from < base {
            return Err(self.fails(Mismatch::Past { before: base }));
        }
        if let Action::Expect(packet) = &event.action {
            let sent = self.expect(packet, Window { from, to })?;
            let exact = matches!(event.time, Time::At(_) | Time::After(_));
            self.base = if exact { from } else { sent };
            return Ok(());
        }
        self.base = from;
        self.advance(self.start + from)?;
        match &event.action {
            Action::Expect(_) => {}
            Action::Inject(packet) => self.inject(packet),
            Action::Call(call) => {
                let counted_from = match event.time {
                    Time::At(_) => Duration::ZERO,
                    _ => base,
                };
                self.call(call, call.until.map(|until| counted_from + until))?;
            }
            Action::Settings(settings) => {
                for (name, value) in settings {
                    let set = self.stack.configure(name, value);
                    set.map_err(|error| self.fails(Mismatch::Setting(error)))?;
                }
            }
            Action::Check(assertions) => {
                let fd = self.last_stream.and_then(|fd| self.sockets.get(&fd));
                let info = fd.and_then(|socket| self.stack.tcp_info(socket.fd).ok());
                let info = info.ok_or_else(|| self.fails(Mismatch::NoConnection))?;
                for assertion in assertions {
                    let holds = assertion.check(&info);
                    holds.map_err(|error| self.fails(Mismatch::Assertion(error)))?;
                }
            }
        }
        self.look()
    }

    /// After the last event: nothing may be left over.
    fn finish(&mut self) -> Result<(), AtLine> {
        self.look()?;
        if let Some(waiting) = self.waiting.first() {
            let mismatch = Mismatch::StillWaits {
                call: waiting.name(),
                until: waiting.until.unwrap_or_default(),
            };
            return Err((waiting.line, mismatch));
        }
        let Some((_, octets)) = self.sent.pop_front() else {
            return Ok(());
        };
        let got = match decode(self.family, &octets) {
            Ok(sent) => {
                let (mut packet, _) = self.in_script_numbers(&sent, None);
                packet.hide_services();
                packet.to_string()
            }
            Err(error) => error.to_string(),
        };
        Err(self.fails(Mismatch::UnexpectedPacket { got }))
    }

    fn fails(&self, mismatch: Mismatch) -> AtLine {
        (self.line, mismatch)
    }

    /// How long the script has been playing.
    fn now(&self) -> Duration {
        self.since_start(self.stack.now())
    }

    fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// Lets time go on until `to`, and calls end on the way.
    fn advance(&mut self, to: Instant) -> Result<(), AtLine> {
        while let Some(at) = self.next_step(to) {
            self.stack.advance_to(at);
            self.look()?;
        }
        self.stack.advance_to(to);
        self.look()
    }

    /// When something happens before `to`.
    fn next_step(&self, to: Instant) -> Option<Instant> {
        let calls = self.waiting.iter().filter_map(|waiting| waiting.gives_up);
        let at = self.stack.next_deadline().into_iter().chain(calls).min()?;
        let now = self.stack.now();
        let at = if at > now { at } else { now + LEAST_STEP };
        (at <= to).then_some(at)
    }

    /// Takes what was sent, and goes on with the calls that wait.
    fn look(&mut self) -> Result<(), AtLine> {
        self.proceed()?;
        self.sent
            .extend(core::iter::from_fn(|| self.stack.next_packet()));
        Ok(())
    }

    fn inject(&mut self, packet: &Packet) {
        let index = match packet.ports {
            Some((remote, local)) => self.flow_of(local, remote),
            None => self.current_flow(),
        };
        self.current = Some(index);
        let flow = &mut self.flows[index];
        let (packet, payload) = flow.arrive(packet);
        let octets = encode(self.family, &packet, flow.ports(), payload);
        self.stack.inject(&octets);
    }

    /// Waits for the next packet and compares it. Returns when it was sent.
    fn expect(&mut self, expected: &Packet, window: Window) -> Result<Duration, AtLine> {
        let limit = self.start + window.to + self.clock.tolerance;
        let (at, octets) = loop {
            self.look()?;
            if let Some(sent) = self.sent.pop_front() {
                break sent;
            }
            let Some(step) = self.next_step(limit) else {
                self.advance(limit)?;
                if !self.sent.is_empty() {
                    continue;
                }
                return Err(self.fails(Mismatch::NoPacket {
                    window,
                    expected: expected.to_string(),
                }));
            };
            self.stack.advance_to(step);
        };
        let sent = decode(self.family, &octets).map_err(|error| {
            self.fails(Mismatch::BadPacket {
                error,
                expected: expected.to_string(),
                octets,
            })
        })?;
        self.compare(expected, &sent)?;
        let at = self.since_start(at);
        let tolerance = self.clock.tolerance;
        if at + tolerance < window.from || window.to + tolerance < at {
            return Err(self.fails(Mismatch::PacketTime {
                sent: at,
                window,
                packet: expected.to_string(),
            }));
        }
        Ok(at)
    }

    fn compare(&mut self, expected: &Packet, sent: &Sent) -> Result<(), AtLine> {
        if let Some((local, remote)) = expected.ports {
            self.current = Some(self.flow_of(local, remote));
        }
        let ports = sent.ports;
        let (mut got, payload_fits) = self.in_script_numbers(sent, Some(expected));
        let current = self.current.and_then(|index| self.flows.get(index));
        let of_current = current.is_some_and(|flow| flow.ports() == ports);
        let compared = compare(expected, &got, self.clock).and_then(|()| {
            check(of_current, Difference::Ports)?;
            check(payload_fits, Difference::Payload)
        });
        compared.map_err(|difference| {
            if !matches!(difference, Difference::Tos | Difference::Ttl) {
                got.hide_services();
            }
            if difference != Difference::Ports && expected.ports.is_none() {
                got.ports = None;
            }
            self.fails(Mismatch::Packet {
                difference,
                expected: expected.to_string(),
                got: got.to_string(),
            })
        })
    }

    /// A packet that was sent, in the numbers of its flow, and whether its payload is right.
    fn in_script_numbers(&mut self, sent: &Sent, expected: Option<&Packet>) -> (Packet, bool) {
        let ports = sent.ports;
        let mut packet = sent.packet.clone();
        let found = self.flows.iter_mut().rev().find(|flow| {
            let local = flow.local_port.is_none_or(|local| local == ports.local);
            local && flow.remote_port == ports.remote
        });
        let (Some(flow), Body::Tcp(tcp)) = (found, &mut packet.body) else {
            return (packet, sent.payload.is_empty());
        };
        flow.local_port = Some(ports.local);
        let expected = expected.and_then(|expected| match &expected.body {
            Body::Tcp(tcp) => Some(tcp),
            Body::Icmp(_) => None,
        });
        flow.depart(tcp, expected);
        let fits = flow.payload_fits(tcp, &sent.payload);
        (packet, fits)
    }

    /// The last connection that has these ports.
    fn flow_of(&mut self, local: u16, remote: u16) -> usize {
        let known = self.flows.iter().rposition(|flow| {
            flow.remote_port == remote && flow.local_port.is_none_or(|known| known == local)
        });
        known.unwrap_or_else(|| self.add_flow(Flow::new(Some(local), remote)))
    }

    fn current_flow(&mut self) -> usize {
        match self.current {
            Some(index) => index,
            None => self.add_flow(Flow::passive(self.listen_port)),
        }
    }

    fn add_flow(&mut self, flow: Flow) -> usize {
        self.flows.push(flow);
        self.flows.len() - 1
    }
}

impl Packet {
    /// Leaves out what scripts seldom speak of.
    fn hide_services(&mut self) {
        self.tos = Tos::Unsaid;
        self.ttl = None;
    }
}
