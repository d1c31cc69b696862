//! System calls: `+0...0.2 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)`.
//!
//! Arguments are read as expressions first, then taken for what the call of that name wants.

use core::time::Duration;

use super::Parser;
use crate::script::ParseError;
use crate::script::event::{Call, Outcome, PollEntry, SystemCall};
use crate::script::lexer::Token;
use crate::stack::{Errno, OptionName, PollEvents, Shutdown, SocketOption};

/// What stands in an argument.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Expression {
    /// `...`
    Ellipsis,
    Number(i64),
    /// Words joined by `|`.
    Words(Vec<String>),
    Text(String),
    /// `[a, b]`
    List(Vec<Self>),
    /// `{name = a, name = b}`
    Fields(Vec<(String, Self)>),
    /// `name(a)`
    Applied(String, Box<Self>),
}

impl Parser {
    /// A call and what it gives.
    pub(super) fn system_call(&mut self) -> Result<SystemCall, ParseError> {
        let until = if self.take_token(&Token::Ellipsis) {
            Some(self.seconds("the time at which the call ends")?)
        } else {
            None
        };
        let line = self.line();
        let name = self.word("the name of a call")?;
        self.sign('(')?;
        let mut arguments = Vec::new();
        while !self.take_sign(')') {
            if !arguments.is_empty() {
                self.sign(',')?;
            }
            arguments.push(self.expression()?);
        }
        self.sign('=')?;
        let outcome = self.outcome()?;
        let arguments = Arguments {
            line,
            name: &name,
            values: &arguments,
        };
        Ok(SystemCall {
            call: arguments.call()?,
            until,
            outcome,
        })
    }

    /// `0`, `...`, `-1 EAGAIN` and perhaps `(what that means)`.
    fn outcome(&mut self) -> Result<Outcome, ParseError> {
        let line = self.line();
        let outcome = match self.expression()? {
            Expression::Ellipsis => Outcome::Any,
            Expression::Number(-1) => {
                let line = self.line();
                let name = self.word("the name of an error")?;
                let errno = Errno::from_name(&name).ok_or_else(|| {
                    ParseError::new(line, format!("`{name}` is no error that a call gives"))
                })?;
                Outcome::Error(errno)
            }
            Expression::Number(value) => Outcome::Value(value),
            // fcntl(F_GETFL)
            Expression::Words(words) => Outcome::Value(open_flags(&words).ok_or_else(|| {
                let what = format!("`{}` is no result", words.join("|"));
                ParseError::new(line, what)
            })?),
            _ => return Err(ParseError::new(line, "expected a number or `...`".into())),
        };
        if self.take_sign('(') {
            while !self.take_sign(')') {
                if self.peek().is_none() {
                    return Err(self.error("`)`"));
                }
                self.at += 1;
            }
        }
        Ok(outcome)
    }

    fn expression(&mut self) -> Result<Expression, ParseError> {
        if self.take_token(&Token::Ellipsis) {
            return Ok(Expression::Ellipsis);
        }
        if self.take_sign('[') {
            return self.list(']', Self::expression).map(Expression::List);
        }
        if self.take_sign('{') {
            return self.list('}', Self::field).map(Expression::Fields);
        }
        let negative = self.take_sign('-');
        match self.peek() {
            Some(Token::Integer(_)) => {
                let number: i64 = self.number_as("a number")?;
                Ok(Expression::Number(if negative { -number } else { number }))
            }
            Some(Token::Text(text)) if !negative => {
                let text = text.clone();
                self.at += 1;
                Ok(Expression::Text(text))
            }
            Some(Token::Word(_)) if !negative => {
                let mut words = vec![self.word("a word")?];
                if self.take_sign('(') {
                    let argument = self.expression()?;
                    self.sign(')')?;
                    return Ok(Expression::Applied(words.remove(0), Box::new(argument)));
                }
                while self.take_sign('|') {
                    words.push(self.word("a word behind `|`")?);
                }
                Ok(Expression::Words(words))
            }
            _ => Err(self.error("an argument")),
        }
    }

    fn field(&mut self) -> Result<(String, Expression), ParseError> {
        let name = self.word("the name of a field")?;
        self.sign('=')?;
        Ok((name, self.expression()?))
    }

    fn list<T>(
        &mut self,
        close: char,
        item: fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        while !self.take_sign(close) {
            if !items.is_empty() {
                self.sign(',')?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }
}

/// The arguments of a call.
struct Arguments<'a> {
    line: usize,
    name: &'a str,
    values: &'a [Expression],
}

impl Arguments<'_> {
    fn call(&self) -> Result<Call, ParseError> {
        let fd = || self.number(0);
        let call = match (self.name, self.values.len()) {
            ("socket", 3) => Call::Socket {
                blocking: !self.words(1)?.contains(&"SOCK_NONBLOCK"),
            },
            ("bind", 3) => Call::Bind {
                fd: fd()?,
                port: self.port(1)?,
            },
            ("listen", 2) => Call::Listen {
                fd: fd()?,
                backlog: self.size(1)?,
            },
            ("accept", 3) => Call::Accept { fd: fd()? },
            ("connect", 3) => Call::Connect {
                fd: fd()?,
                port: self.port(1)?,
            },
            ("read" | "write", 3) | ("recv" | "send", 4) => self.transfer()?,
            ("shutdown", 2) => Call::Shutdown {
                fd: fd()?,
                how: match self.words(1)?.as_slice() {
                    ["SHUT_RD"] => Shutdown::Read,
                    ["SHUT_WR"] => Shutdown::Write,
                    ["SHUT_RDWR"] => Shutdown::Both,
                    _ => return self.refuse(1, "`SHUT_RD`, `SHUT_WR` or `SHUT_RDWR`"),
                },
            },
            ("close", 1) => Call::Close { fd: fd()? },
            ("fcntl", 2 | 3) => self.fcntl()?,
            ("setsockopt", 5) => Call::SetOption {
                fd: fd()?,
                option: self.socket_option()?,
            },
            ("getsockopt", 5) => self.getsockopt()?,
            ("poll", 3) => self.poll()?,
            (name, count) => {
                let what = format!("there is no call `{name}` with {count} arguments here");
                return Err(ParseError::new(self.line, what));
            }
        };
        Ok(call)
    }

    fn transfer(&self) -> Result<Call, ParseError> {
        let fd = self.number(0)?;
        let len = self.size(2)?;
        let flags = match self.values.len() {
            3 => Vec::new(),
            _ => self.message_flags(3)?,
        };
        let peek = flags.contains(&"MSG_PEEK");
        let now = flags.contains(&"MSG_DONTWAIT");
        Ok(match self.name {
            "read" | "recv" => Call::Read { fd, len, peek, now },
            _ if peek => return self.refuse(3, "flags of `send`: there is no `MSG_PEEK`"),
            _ => Call::Write { fd, len, now },
        })
    }

    fn fcntl(&self) -> Result<Call, ParseError> {
        let fd = self.number(0)?;
        match (self.words(1)?.as_slice(), self.values.get(2)) {
            (["F_GETFL"], None) => Ok(Call::GetFlags { fd }),
            (["F_SETFL"], Some(Expression::Words(flags))) => Ok(Call::SetFlags {
                fd,
                blocking: !flags.iter().any(|flag| flag == "O_NONBLOCK"),
            }),
            _ => self.refuse(1, "`F_GETFL`, or `F_SETFL` and flags"),
        }
    }

    fn socket_option(&self) -> Result<SocketOption, ParseError> {
        let name = self.words(2)?;
        if name.as_slice() == ["SO_LINGER"] {
            let on = self.field(3, "onoff")?;
            let seconds = self.field(3, "linger")?;
            let time = Duration::from_secs(seconds.unsigned_abs());
            return Ok(SocketOption::Linger((on != 0).then_some(time)));
        }
        let value = self.boxed_number(3)?;
        let octets = usize::try_from(value).unwrap_or(0);
        Ok(match name.as_slice() {
            ["SO_REUSEADDR"] => SocketOption::ReuseAddress(value != 0),
            ["SO_RCVBUF"] => SocketOption::ReceiveBuffer(octets),
            ["SO_SNDBUF"] => SocketOption::SendBuffer(octets),
            ["SO_KEEPALIVE"] => SocketOption::KeepAlive(value != 0),
            ["TCP_KEEPIDLE"] => SocketOption::KeepIdle(Duration::from_secs(octets as u64)),
            ["TCP_KEEPINTVL"] => SocketOption::KeepInterval(Duration::from_secs(octets as u64)),
            ["TCP_KEEPCNT"] => match u8::try_from(value) {
                Ok(probes) => SocketOption::KeepCount(probes),
                Err(_) => return self.refuse(3, "a count of at most 255"),
            },
            ["TCP_NODELAY"] => SocketOption::NoDelay(value != 0),
            ["TCP_USER_TIMEOUT"] => SocketOption::UserTimeout(Duration::from_millis(octets as u64)),
            ["TCP_MAXSEG"] => match u16::try_from(value) {
                Ok(octets) => SocketOption::MaxSegment(octets),
                Err(_) => return self.refuse(3, "an MSS of at most 65535"),
            },
            _ => return self.refuse(2, "an option that is known here"),
        })
    }

    fn getsockopt(&self) -> Result<Call, ParseError> {
        let name = match self.words(2)?.as_slice() {
            ["SO_ERROR"] => OptionName::Error,
            ["SO_RCVBUF"] => OptionName::ReceiveBuffer,
            ["SO_SNDBUF"] => OptionName::SendBuffer,
            ["TCP_MAXSEG"] => OptionName::MaxSegment,
            _ => return self.refuse(2, "an option whose value is known here"),
        };
        let value = match self.value(3)? {
            Expression::Ellipsis => None,
            Expression::List(values) => match values.as_slice() {
                [Expression::Words(name)] if name.len() == 1 => match Errno::from_name(&name[0]) {
                    Some(errno) => Some(i64::from(errno.number())),
                    None => return self.refuse(3, "the name of an error"),
                },
                _ => Some(self.boxed_number(3)?),
            },
            _ => return self.refuse(3, "`[value]` or `...`"),
        };
        Ok(Call::GetOption {
            fd: self.number(0)?,
            name,
            value,
        })
    }

    fn poll(&self) -> Result<Call, ParseError> {
        let Expression::List(entries) = self.value(0)? else {
            return self.refuse(0, "`[{fd=..., events=..., revents=...}]`");
        };
        let entries = entries.iter().map(|entry| self.poll_entry(entry));
        let timeout = self.number(2)?;
        Ok(Call::Poll {
            entries: entries.collect::<Result<_, _>>()?,
            timeout: u64::try_from(timeout).ok().map(Duration::from_millis),
        })
    }

    fn poll_entry(&self, entry: &Expression) -> Result<PollEntry, ParseError> {
        let Expression::Fields(fields) = entry else {
            return self.refuse(0, "`{fd=..., events=..., revents=...}`");
        };
        let mut read = PollEntry {
            fd: 0,
            asked: PollEvents::default(),
            ready: PollEvents::default(),
        };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("fd", Expression::Number(fd)) => read.fd = *fd,
                ("events", value) => read.asked = self.poll_events(value)?,
                ("revents", value) => read.ready = self.poll_events(value)?,
                _ => return self.refuse(0, "the fields `fd`, `events`, `revents`"),
            }
        }
        Ok(read)
    }

    fn poll_events(&self, value: &Expression) -> Result<PollEvents, ParseError> {
        let words = match value {
            Expression::Number(0) => return Ok(PollEvents::default()),
            Expression::Words(words) => words,
            _ => return self.refuse(0, "events such as `POLLIN|POLLOUT`"),
        };
        words
            .iter()
            .try_fold(PollEvents::default(), |events, word| {
                let event = match word.as_str() {
                    "POLLIN" => PollEvents::IN,
                    "POLLOUT" => PollEvents::OUT,
                    "POLLERR" => PollEvents::ERR,
                    "POLLHUP" => PollEvents::HUP,
                    "POLLRDHUP" => PollEvents::RDHUP,
                    _ => return self.refuse(0, "events such as `POLLIN|POLLOUT`"),
                };
                Ok(events.union(event))
            })
    }

    /// `...`, or the port of `{sa_family = AF_INET, sin_port = htons(8080), sin_addr = ...}`: the
    /// addresses are those of the IP version that the script is played over.
    fn port(&self, index: usize) -> Result<Option<u16>, ParseError> {
        let wanted = "`...` or a socket address with `sin_port = htons(...)`";
        match self.value(index)? {
            Expression::Ellipsis => Ok(None),
            Expression::Fields(fields) => {
                let port = fields.iter().find(|(name, _)| name == "sin_port");
                match port.map(|(_, value)| value) {
                    Some(Expression::Applied(name, value)) if name == "htons" => match **value {
                        Expression::Number(port) => match u16::try_from(port) {
                            Ok(port) => Ok(Some(port)),
                            Err(_) => self.refuse(index, "a port of at most 65535"),
                        },
                        _ => self.refuse(index, wanted),
                    },
                    _ => self.refuse(index, wanted),
                }
            }
            _ => self.refuse(index, wanted),
        }
    }

    fn field(&self, index: usize, wanted: &str) -> Result<i64, ParseError> {
        if let Expression::Fields(fields) = self.value(index)?
            && let Some((_, Expression::Number(value))) =
                fields.iter().find(|(name, _)| name == wanted)
        {
            return Ok(*value);
        }
        self.refuse(index, &format!("a structure with the field `{wanted}`"))
    }

    /// `[number]`
    fn boxed_number(&self, index: usize) -> Result<i64, ParseError> {
        match self.value(index)? {
            Expression::List(values) => match values.as_slice() {
                [Expression::Number(value)] => Ok(*value),
                _ => self.refuse(index, "`[number]`"),
            },
            _ => self.refuse(index, "`[number]`"),
        }
    }

    fn message_flags(&self, index: usize) -> Result<Vec<&str>, ParseError> {
        if self.value(index)? == &Expression::Number(0) {
            return Ok(Vec::new());
        }
        let flags = self.words(index)?;
        let known = |flag: &&str| matches!(*flag, "MSG_PEEK" | "MSG_DONTWAIT" | "MSG_NOSIGNAL");
        if flags.iter().all(known) {
            return Ok(flags);
        }
        self.refuse(index, "0, `MSG_PEEK`, `MSG_DONTWAIT` or `MSG_NOSIGNAL`")
    }

    fn words(&self, index: usize) -> Result<Vec<&str>, ParseError> {
        match self.value(index)? {
            Expression::Words(words) => Ok(words.iter().map(String::as_str).collect()),
            // Domain and protocol of a socket are often left open.
            Expression::Ellipsis => Ok(Vec::new()),
            _ => self.refuse(index, "a name"),
        }
    }

    fn number(&self, index: usize) -> Result<i64, ParseError> {
        match self.value(index)? {
            Expression::Number(number) => Ok(*number),
            _ => self.refuse(index, "a number"),
        }
    }

    fn size(&self, index: usize) -> Result<usize, ParseError> {
        match usize::try_from(self.number(index)?) {
            Ok(size) => Ok(size),
            Err(_) => self.refuse(index, "a number that is not negative"),
        }
    }

    fn value(&self, index: usize) -> Result<&Expression, ParseError> {
        match self.values.get(index) {
            Some(value) => Ok(value),
            None => self.refuse(index, "another argument"),
        }
    }

    fn refuse<T>(&self, index: usize, wanted: &str) -> Result<T, ParseError> {
        let what = format!("argument {} of `{}` must be {wanted}", index + 1, self.name);
        Err(ParseError::new(self.line, what))
    }
}

/// What `fcntl(F_GETFL)` gives, in the numbers of Linux.
fn open_flags(words: &[String]) -> Option<i64> {
    words.iter().try_fold(0, |flags, word| match word.as_str() {
        "O_RDWR" => Some(flags | O_RDWR),
        "O_NONBLOCK" => Some(flags | O_NONBLOCK),
        _ => None,
    })
}

/// The flags of every socket.
pub(in crate::script) const O_RDWR: i64 = 0o2;
/// The flag of a socket whose calls do not wait.
pub(in crate::script) const O_NONBLOCK: i64 = 0o4000;
