//! The other end of a connection: makes segments out of what a case says, and notes what comes
//! back.

use core::net::SocketAddr;
use core::time::Duration;

use netstack::wire::tcp::{self, Flags, Header, option};

use super::case::{Handshake, Segment, Stamp};
use crate::stack::TCP_STATES;
use crate::station::frame::{self, Opened, TestIp};

/// Time that passes after each step: longer than an acknowledgment is delayed and than challenges
/// are apart, shorter than the first retransmission.
pub(super) const STEP: Duration = Duration::from_millis(120);

/// The peer's first number: the wrap comes early.
const ISS: u32 = u32::MAX - 2000;

/// The first value of the peer's time stamps.
const FIRST_STAMP: u32 = 3_000_000;

/// What can be seen after a step.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observation {
    /// What the call gave, if the step was one.
    pub outcome: Option<Outcome>,
    /// The highest number acknowledged so far, relative to the peer's initial one.
    pub acknowledged: u32,
    /// The end of what was sent so far, relative to the initial number of whoever sent it.
    pub sent: u32,
    /// How the step was answered.
    pub answer: Answer,
    /// The state in the words of Linux, while the session has its socket.
    pub state: Option<&'static str>,
    /// Octets that are not those which were sent.
    pub spoiled: bool,
}

/// How a step was answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Answer {
    /// Not at all.
    #[default]
    Nothing,
    /// By segments.
    Segment,
    /// By a reset, among others perhaps.
    Reset,
}

/// What a call gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// So many octets were read or written; or the call just succeeded.
    Octets(usize),
    /// It would have to wait.
    Wait,
    /// An error of that name.
    Failed(&'static str),
}

/// The octet with this number, in either direction.
pub(super) fn octet(number: u32) -> u8 {
    (number.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

/// The name of a state by its number on Linux.
pub(super) fn state_name(number: u64) -> Option<&'static str> {
    let state = TCP_STATES.into_iter().find(|(_, known)| *known == number);
    state.map(|(name, _)| name)
}

/// The other end of one connection.
pub(super) struct Peer<I: TestIp> {
    /// Our address and port.
    local: (I::Addr, u16),
    /// Those of the TCP that is played to.
    remote: (I::Addr, u16),
    handshake: Handshake,
    /// Its initial number, once known.
    irs: Option<u32>,
    last_stamp: u32,
    steps: u32,
    seen: Observation,
}

impl<I: TestIp> Peer<I> {
    pub(super) fn new(local: (I::Addr, u16), remote: (I::Addr, u16), handshake: Handshake) -> Self {
        Self {
            local,
            remote,
            handshake,
            irs: None,
            last_stamp: 0,
            steps: 0,
            seen: Observation::default(),
        }
    }

    /// Our address and port, of any IP version.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.local.0.into(), self.local.1)
    }

    /// Whether the SYN was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.irs.is_some()
    }

    /// The packet that opens the connection.
    pub(super) fn syn(&self) -> Vec<u8> {
        let mut options = vec![option::MSS, 4];
        options.extend(self.handshake.mss.to_be_bytes());
        if self.handshake.sack {
            options.extend([option::SACK_PERMITTED, 2]);
        }
        if self.handshake.stamps {
            options.extend([option::TIMESTAMPS, 10]);
            options.extend(FIRST_STAMP.to_be_bytes());
            options.extend([0; 4]);
        }
        if let Some(shift) = self.handshake.scale {
            options.extend([option::WINDOW_SCALE, 3, shift]);
        }
        self.packet(frame::Tcp {
            seq: ISS,
            window: u16::MAX,
            options,
            ..frame::Tcp::new(Flags::SYN)
        })
    }

    /// The packet that completes the handshake.
    pub(super) fn third(&self) -> Vec<u8> {
        self.segment(&Segment {
            flags: Flags::ACK,
            seq: 1,
            len: 0,
            ack: 1,
            window: u16::MAX,
            stamp: Stamp::Fresh,
            sack: Vec::new(),
        })
    }

    /// A packet of the case.
    pub(super) fn segment(&self, segment: &Segment) -> Vec<u8> {
        let irs = self.irs.unwrap_or(0);
        let mut options = Vec::new();
        if self.handshake.stamps && segment.stamp != Stamp::Missing {
            let now = FIRST_STAMP + self.steps * STEP.as_millis() as u32;
            let (value, echo) = match segment.stamp {
                Stamp::Stale(by) => (now.wrapping_sub(by), self.last_stamp),
                Stamp::Ahead(by) => (now.wrapping_add(by), self.last_stamp),
                Stamp::ForeignEcho => (now, self.last_stamp.wrapping_add(1 << 30)),
                Stamp::Fresh | Stamp::Missing => (now, self.last_stamp),
            };
            options.extend([option::NOP, option::NOP, option::TIMESTAMPS, 10]);
            options.extend(value.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        if self.handshake.sack && !segment.sack.is_empty() {
            let len = 2 + 8 * segment.sack.len() as u8;
            options.extend([option::NOP, option::NOP, option::SACK, len]);
            for (left, right) in &segment.sack {
                options.extend(irs.wrapping_add(*left).to_be_bytes());
                options.extend(irs.wrapping_add(*right).to_be_bytes());
            }
        }
        let numbers = (0..u32::from(segment.len)).map(|at| segment.seq.wrapping_add(at));
        let ack = segment.flags.contains(Flags::ACK);
        self.packet(frame::Tcp {
            seq: ISS.wrapping_add(segment.seq),
            ack: if ack {
                irs.wrapping_add(segment.ack)
            } else {
                0
            },
            window: segment.window,
            options,
            payload: numbers.map(octet).collect(),
            ..frame::Tcp::new(segment.flags)
        })
    }

    fn packet(&self, tcp: frame::Tcp) -> Vec<u8> {
        let tcp = frame::Tcp {
            sport: self.local.1,
            dport: self.remote.1,
            ..tcp
        };
        tcp.between::<I>(self.local.0, self.remote.0)
    }

    /// Takes in a packet of the TCP that is played to.
    pub(super) fn take(&mut self, header: &Header, payload: &[u8]) {
        let irs = *self.irs.get_or_insert(header.seq);
        let seq = header.seq.wrapping_sub(irs);
        if let Some(stamps) = header.options.timestamps {
            self.last_stamp = stamps.value;
        }
        let seen = &mut self.seen;
        if header.flags.contains(Flags::RST) {
            // Its numbers may be taken from the segment that it answers.
            seen.answer = Answer::Reset;
            return;
        }
        if seen.answer == Answer::Nothing {
            seen.answer = Answer::Segment;
        }
        let ack = header.ack.wrapping_sub(ISS);
        if ack.wrapping_sub(seen.acknowledged).cast_signed() > 0 {
            seen.acknowledged = ack;
        }
        let marks = u32::from(header.flags.contains(Flags::SYN))
            + u32::from(header.flags.contains(Flags::FIN));
        let end = seq.wrapping_add(payload.len() as u32 + marks);
        if end.wrapping_sub(seen.sent).cast_signed() > 0 {
            seen.sent = end;
        }
        let mut numbers = (0_u32..).map(|at| seq.wrapping_add(at));
        seen.spoiled |= payload
            .iter()
            .any(|got| numbers.next().map(octet) != Some(*got));
    }

    /// Notes that octets which were read, of which the first has this number, are not right.
    pub(super) fn check_read(&mut self, first: u32, octets: &[u8]) {
        let numbers = (0_u32..).map(|at| first.wrapping_add(at));
        self.seen.spoiled |= octets
            .iter()
            .zip(numbers)
            .any(|(got, at)| *got != octet(at));
    }

    /// What was seen, now that the step is over.
    pub(super) fn observe(
        &mut self,
        outcome: Option<Outcome>,
        state: Option<&'static str>,
    ) -> Observation {
        self.steps += 1;
        let observed = Observation {
            outcome,
            state,
            ..self.seen.clone()
        };
        self.seen.answer = Answer::Nothing;
        observed
    }
}

/// Takes a packet apart; `None` if it is not TCP.
pub(super) fn open<I: TestIp>(packet: &[u8]) -> Option<(Opened<'_, I>, Header, &[u8])> {
    let ip = I::open(packet);
    if ip.protocol != tcp::PROTOCOL {
        return None;
    }
    let header = Header::parse(ip.upper).ok()?;
    Some((ip, header, &ip.upper[header.header_len..]))
}
