//! Packets: `[ect0] 50000>8080 S. 0:0(0) ack 1 win 1000 <mss 1000,nop,wscale 7>`.

use netstack::wire::icmp::{Error as IcmpError, Unreachable};
use netstack::wire::tcp::Flags;

use super::Parser;
use crate::script::ParseError;
use crate::script::event::{Body, Icmp, Options, Packet, Tcp, TcpOption, Tos};
use crate::script::lexer::Token;

/// Letters of flags. The point is ACK.
pub(in crate::script) const FLAG_LETTERS: [(char, Flags); 7] = [
    ('F', Flags::FIN),
    ('S', Flags::SYN),
    ('R', Flags::RST),
    ('P', Flags::PSH),
    ('U', Flags::URG),
    ('E', Flags::ECE),
    ('W', Flags::CWR),
];

/// What the network says, in the words of either IP version; a script runs over both.
pub(in crate::script) const ICMP_WORDS: [(&str, Unreachable); 8] = [
    ("net_unreachable", Unreachable::Network),
    ("noroute", Unreachable::Network),
    ("host_unreachable", Unreachable::Host),
    ("addr_unreachable", Unreachable::Host),
    ("port_unreachable", Unreachable::Port),
    ("pkt_filtered", Unreachable::Prohibited),
    ("adm_prohibited", Unreachable::Prohibited),
    ("admin_prohibited", Unreachable::Prohibited),
];

impl Parser {
    /// A packet that arrives.
    pub(super) fn inbound(&mut self) -> Result<Packet, ParseError> {
        let line = self.line();
        self.sign('<')?;
        let packet = self.packet()?;
        let refuse = |what: &str| Err(ParseError::new(line, what.to_owned()));
        if packet.tos == Tos::Ect01 {
            return refuse("`ect01` is for packets that are sent: say `ect0` or `ect1`");
        }
        if let Body::Tcp(tcp) = &packet.body {
            if tcp.options == Options::Any {
                return refuse("`<...>` is for packets that are sent: say which options");
            }
            if tcp.window.is_none() {
                return refuse("a segment that arrives needs `win` and a number");
            }
        }
        Ok(packet)
    }

    /// A packet that must be sent.
    pub(super) fn outbound(&mut self) -> Result<Packet, ParseError> {
        let line = self.line();
        self.sign('>')?;
        let packet = self.packet()?;
        if matches!(packet.body, Body::Icmp(_)) {
            return Err(ParseError::new(
                line,
                "no ICMP is sent by what scripts test".to_owned(),
            ));
        }
        Ok(packet)
    }

    fn packet(&mut self) -> Result<Packet, ParseError> {
        let (tos, ttl) = self.ip_info()?;
        let ports = self.ports()?;
        let body = if self.take_word("icmp") {
            Body::Icmp(self.icmp()?)
        } else {
            Body::Tcp(self.tcp()?)
        };
        Ok(Packet {
            tos,
            ttl,
            ports,
            body,
        })
    }

    fn ip_info(&mut self) -> Result<(Tos, Option<u8>), ParseError> {
        let close = if self.take_sign('[') {
            ']'
        } else if self.take_sign('(') {
            ')'
        } else {
            return Ok((Tos::Unsaid, None));
        };
        let expected = "`noecn`, `ect0`, `ect1`, `ect01`, `ce`, `tos` or `ttl`";
        let (mut tos, mut ttl) = (Tos::Unsaid, None);
        loop {
            let line = self.line();
            match self.word(expected)?.as_str() {
                "noecn" => tos = Tos::Ecn(0),
                "ect1" => tos = Tos::Ecn(1),
                "ect0" => tos = Tos::Ecn(2),
                "ce" => tos = Tos::Ecn(3),
                "ect01" => tos = Tos::Ect01,
                "tos" => tos = Tos::Whole(self.number_as("`tos`")?),
                "ttl" => ttl = Some(self.number_as("`ttl`")?),
                other => {
                    let what = format!("expected {expected}, found `{other}`");
                    return Err(ParseError::new(line, what));
                }
            }
            if !self.take_sign(',') {
                break;
            }
        }
        self.sign(close)?;
        Ok((tos, ttl))
    }

    fn ports(&mut self) -> Result<Option<(u16, u16)>, ParseError> {
        if !matches!(self.peek(), Some(Token::Integer(_))) {
            return Ok(None);
        }
        let source = self.number_as("a port")?;
        self.sign('>')?;
        Ok(Some((source, self.number_as("a port")?)))
    }

    fn tcp(&mut self) -> Result<Tcp, ParseError> {
        let flags = self.flags()?;
        let (seq, len) = self.sequence()?;
        let line = self.line();
        let ack = if self.take_word("ack") {
            Some(self.number_as("an acknowledgment number")?)
        } else {
            None
        };
        if ack.is_none() && flags.contains(Flags::ACK) {
            return Err(ParseError::new(
                line,
                "a segment with ACK (`.`) needs `ack` and a number".to_owned(),
            ));
        }
        let window = self.optional_number("win")?;
        let urgent = self.optional_number("urg")?.unwrap_or(0);
        Ok(Tcp {
            flags,
            seq,
            len,
            ack: ack.unwrap_or(0),
            window,
            urgent,
            options: self.options()?,
        })
    }

    fn optional_number(&mut self, name: &str) -> Result<Option<u16>, ParseError> {
        if self.take_word(name) {
            return self.number_as(&format!("`{name}`")).map(Some);
        }
        Ok(None)
    }

    fn flags(&mut self) -> Result<Flags, ParseError> {
        if self.take_sign('-') {
            return Ok(Flags::default());
        }
        let line = self.line();
        let mut flags = Flags::default();
        if let Some(Token::Word(letters)) = self.peek() {
            for letter in letters.chars() {
                let known = FLAG_LETTERS.into_iter().find(|(known, _)| *known == letter);
                let Some((_, flag)) = known else {
                    let what = format!("`{letter}` in `{letters}` is no flag: they are FSRPUEW");
                    return Err(ParseError::new(line, what));
                };
                flags = flags | flag;
            }
            self.at += 1;
        } else if self.peek() != Some(&Token::Sign('.')) {
            return Err(self.error("flags (letters of FSRPUEW, `.` for ACK, `-` for none)"));
        }
        if self.take_sign('.') {
            flags = flags | Flags::ACK;
        }
        Ok(flags)
    }

    /// `from:to(len)`.
    fn sequence(&mut self) -> Result<(u32, u16), ParseError> {
        let line = self.line();
        let from: u32 = self.number_as("a sequence number")?;
        self.sign(':')?;
        let to: u32 = self.number_as("a sequence number")?;
        self.sign('(')?;
        let len: u16 = self.number_as("a length")?;
        self.sign(')')?;
        if from.wrapping_add(u32::from(len)) != to {
            let what = format!("{from}:{to} are not {len} octets");
            return Err(ParseError::new(line, what));
        }
        Ok((from, len))
    }

    fn options(&mut self) -> Result<Options, ParseError> {
        if !self.take_sign('<') {
            return Ok(Options::Exactly(Vec::new()));
        }
        if self.take_token(&Token::Ellipsis) {
            self.sign('>')?;
            return Ok(Options::Any);
        }
        let line = self.line();
        let mut options = vec![self.option()?];
        while self.take_sign(',') {
            options.push(self.option()?);
        }
        self.sign('>')?;
        let len: usize = options.iter().map(TcpOption::wire_len).sum();
        if len > 40 {
            let what = format!("the options are {len} octets; 40 is the most");
            return Err(ParseError::new(line, what));
        }
        if !len.is_multiple_of(4) {
            let what =
                format!("the options are {len} octets: fill them up to a multiple of 4 by `nop`");
            return Err(ParseError::new(line, what));
        }
        Ok(Options::Exactly(options))
    }

    fn option(&mut self) -> Result<TcpOption, ParseError> {
        let expected = "an option (`mss`, `wscale`, `sackOK`, `sack`, `TS`, `nop`, `eol`)";
        let line = self.line();
        Ok(match self.word(expected)?.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::End,
            "mss" => TcpOption::Mss(self.number_as("`mss`")?),
            "wscale" => TcpOption::WindowScale(self.number_as("`wscale`")?),
            "sackOK" => TcpOption::SackPermitted,
            "sack" => {
                let mut blocks = Vec::new();
                while blocks.is_empty() || matches!(self.peek(), Some(Token::Integer(_))) {
                    let from = self.number_as("a sequence number")?;
                    self.sign(':')?;
                    blocks.push((from, self.number_as("a sequence number")?));
                }
                TcpOption::Sack(blocks)
            }
            "TS" => {
                if !self.take_word("val") {
                    return Err(self.error("`val`"));
                }
                let value = self.number_as("`val`")?;
                if !self.take_word("ecr") {
                    return Err(self.error("`ecr`"));
                }
                let echo = self.number_as("`ecr`")?;
                TcpOption::Timestamps { value, echo }
            }
            other => {
                let what = format!("expected {expected}, found `{other}`");
                return Err(ParseError::new(line, what));
            }
        })
    }

    /// `unreachable host_unreachable [1:1001(1000)]`, `unreachable frag_needed mtu 1200 [...]` or
    /// `packet_too_big mtu 1280 [...]`.
    fn icmp(&mut self) -> Result<Icmp, ParseError> {
        let line = self.line();
        let kind = self.word("`unreachable`, `packet_too_big` or `time_exceeded`")?;
        let refuse = |what: String| Err(ParseError::new(line, what));
        let mut too_big = kind == "packet_too_big";
        let mut error = match kind.as_str() {
            "packet_too_big" => IcmpError::PacketTooBig { mtu: 0 },
            "time_exceeded" => IcmpError::TimeExceeded { code: 0 },
            "unreachable" => {
                let why = self.word("why it is unreachable")?;
                let known = ICMP_WORDS.into_iter().find(|(word, _)| *word == why);
                match (known, why.as_str()) {
                    (Some((_, why)), _) => IcmpError::Unreachable(why),
                    (None, "protocol_unreachable") => IcmpError::ProtocolUnreachable { pointer: 6 },
                    (None, "frag_needed") => {
                        too_big = true;
                        IcmpError::PacketTooBig { mtu: 0 }
                    }
                    _ => return refuse(format!("`{why}` is no known reason")),
                }
            }
            _ => return refuse(format!("`icmp {kind}` is not known")),
        };
        if self.take_word("mtu") {
            let mtu = self.number_as("`mtu`")?;
            if !too_big {
                return refuse("only a packet that is too big has an `mtu`".to_owned());
            }
            error = IcmpError::PacketTooBig { mtu };
        }
        self.sign('[')?;
        let (seq, len) = self.sequence()?;
        self.sign(']')?;
        Ok(Icmp { error, seq, len })
    }
}
