//! What is played, and how it is printed.

use core::fmt;

use netstack::wire::tcp::Flags;

use crate::rig::Family;

/// A connection and what happens to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Case {
    /// The IP version.
    pub family: Family,
    /// What the peer's SYN says.
    pub handshake: Handshake,
    /// What happens then, a step of time between one and the next.
    pub steps: Vec<Step>,
}

/// What the peer's SYN says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// Its largest segment in octets.
    pub mss: u16,
    /// How far its windows are shifted.
    pub scale: Option<u8>,
    /// Whether it takes selective acknowledgments.
    pub sack: bool,
    /// Whether it has time stamps.
    pub stamps: bool,
}

/// One thing that happens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The peer's segment arrives.
    Segment(Segment),
    /// The session writes so many octets.
    Write(u16),
    /// The session reads so many octets at most.
    Read(u16),
    /// The session ends its direction.
    Shutdown,
    /// The session gives the connection up.
    Close,
}

/// A segment of the peer; its numbers are relative to the initial ones, so that the first octet
/// has number 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Its control bits.
    pub flags: Flags,
    /// Number of its first octet.
    pub seq: u32,
    /// Octets of payload.
    pub len: u16,
    /// The octet of ours that it says it expects.
    pub ack: u32,
    /// The window as it stands in the header.
    pub window: u16,
    /// Its time stamps, if the connection has them.
    pub stamp: Stamp,
    /// Its selective acknowledgments.
    pub sack: Vec<(u32, u32)>,
}

/// The time stamps of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stamp {
    /// As they ought to be.
    Fresh,
    /// The value is so many milliseconds old.
    Stale(u32),
    /// The value is so many milliseconds ahead.
    Ahead(u32),
    /// There are none, although the connection has them.
    Missing,
    /// The echo is of something that never was.
    ForeignEcho,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--ip_version={}", self.family.name().to_lowercase())?;
        writeln!(f, "0 socket(...) = 3; bind, listen")?;
        writeln!(f, "+0 < S 0:0(0) win 65535 <{}>", self.handshake)?;
        writeln!(f, "+0 > S. 0:0(0) ack 1 <...>")?;
        writeln!(f, "+0 < . 1:1(0) ack 1 win 65535")?;
        writeln!(f, "+0 accept(3, ..., ...) = 4")?;
        self.steps
            .iter()
            .try_for_each(|step| writeln!(f, "+.12 {step}"))
    }
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mss {}", self.mss)?;
        if self.sack {
            f.write_str(",sackOK")?;
        }
        if self.stamps {
            f.write_str(",TS val ... ecr 0")?;
        }
        self.scale
            .map_or(Ok(()), |shift| write!(f, ",wscale {shift}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => write!(f, "< {segment}"),
            Self::Write(len) => write!(f, "write(4, ..., {len})"),
            Self::Read(len) => write!(f, "read(4, ..., {len})"),
            Self::Shutdown => f.write_str("shutdown(4, SHUT_WR)"),
            Self::Close => f.write_str("close(4)"),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, flag) in [
            ('F', Flags::FIN),
            ('S', Flags::SYN),
            ('R', Flags::RST),
            ('P', Flags::PSH),
            ('.', Flags::ACK),
        ] {
            if self.flags.contains(flag) {
                write!(f, "{letter}")?;
            }
        }
        let end = self.seq.wrapping_add(u32::from(self.len));
        write!(f, " {}:{end}({})", self.seq.cast_signed(), self.len)?;
        if self.flags.contains(Flags::ACK) {
            write!(f, " ack {}", self.ack.cast_signed())?;
        }
        write!(f, " win {}", self.window)?;
        match self.stamp {
            Stamp::Fresh => {}
            Stamp::Stale(by) => write!(f, " <TS val {by} ms old>")?,
            Stamp::Ahead(by) => write!(f, " <TS val {by} ms ahead>")?,
            Stamp::Missing => f.write_str(" <no TS>")?,
            Stamp::ForeignEcho => f.write_str(" <TS ecr foreign>")?,
        }
        if !self.sack.is_empty() {
            f.write_str(" <sack")?;
            for (left, right) in &self.sack {
                write!(f, " {}:{}", left.cast_signed(), right.cast_signed())?;
            }
            f.write_str(">")?;
        }
        Ok(())
    }
}
