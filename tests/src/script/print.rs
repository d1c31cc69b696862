//! Packets in the syntax of scripts.

use core::fmt;
use core::time::Duration;

use netstack::wire::icmp::{Error as IcmpError, Unreachable};
use netstack::wire::tcp::Flags;

use super::event::{Body, Icmp, Options, Packet, Tcp, TcpOption, Tos};
use super::parser::packet::{FLAG_LETTERS, ICMP_WORDS};

/// A time as scripts have it: seconds to the microsecond.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tos = match self.tos {
            Tos::Unsaid => None,
            Tos::Ecn(0) => Some("noecn".to_owned()),
            Tos::Ecn(1) => Some("ect1".to_owned()),
            Tos::Ecn(2) => Some("ect0".to_owned()),
            Tos::Ecn(_) => Some("ce".to_owned()),
            Tos::Ect01 => Some("ect01".to_owned()),
            Tos::Whole(tos) => Some(format!("tos {tos:#04x}")),
        };
        let ttl = self.ttl.map(|ttl| format!("ttl {ttl}"));
        let info: Vec<String> = tos.into_iter().chain(ttl).collect();
        if !info.is_empty() {
            write!(f, "[{}] ", info.join(", "))?;
        }
        if let Some((source, destination)) = self.ports {
            write!(f, "{source}>{destination} ")?;
        }
        match &self.body {
            Body::Tcp(tcp) => write!(f, "{tcp}"),
            Body::Icmp(icmp) => write!(f, "{icmp}"),
        }
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, flag) in FLAG_LETTERS {
            if self.flags.contains(flag) {
                write!(f, "{letter}")?;
            }
        }
        let ack = self.flags.contains(Flags::ACK);
        if ack {
            f.write_str(".")?;
        } else if self.flags == Flags::default() {
            f.write_str("-")?;
        }
        let end = self.seq.wrapping_add(u32::from(self.len));
        write!(f, " {}:{end}({})", self.seq, self.len)?;
        if ack || self.ack != 0 {
            write!(f, " ack {}", self.ack)?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match &self.options {
            Options::Any => f.write_str(" <...>"),
            Options::Exactly(options) if options.is_empty() => Ok(()),
            Options::Exactly(options) => {
                let options: Vec<String> = options.iter().map(ToString::to_string).collect();
                write!(f, " <{}>", options.join(","))
            }
        }
    }
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nop => f.write_str("nop"),
            Self::End => f.write_str("eol"),
            Self::Mss(octets) => write!(f, "mss {octets}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks
                    .iter()
                    .try_for_each(|(from, to)| write!(f, " {from}:{to}"))
            }
            Self::Timestamps { value, echo } => write!(f, "TS val {value} ecr {echo}"),
            Self::Other { kind, data } => write!(f, "option-{kind} {data:02x?}"),
        }
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |why: Unreachable| {
            let known = ICMP_WORDS.into_iter().find(|(_, known)| *known == why);
            known.map_or("unreachable", |(word, _)| word)
        };
        match self.error {
            IcmpError::Unreachable(why) => write!(f, "icmp unreachable {}", word(why))?,
            IcmpError::ProtocolUnreachable { .. } => {
                f.write_str("icmp unreachable protocol_unreachable")?;
            }
            IcmpError::PacketTooBig { mtu } => write!(f, "icmp packet_too_big mtu {mtu}")?,
            IcmpError::TimeExceeded { .. } => f.write_str("icmp time_exceeded")?,
            IcmpError::ParameterProblem { .. } => f.write_str("icmp parameter_problem")?,
        }
        let end = self.seq.wrapping_add(u32::from(self.len));
        write!(f, " [{}:{end}({})]", self.seq, self.len)
    }
}
