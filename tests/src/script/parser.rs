//! Tokens into directives and events.
//!
//! What stands between one event and the next is told by the grammar alone, not by lines. Packets
//! and calls have files of their own.

pub(super) mod call;
pub(super) mod packet;

use core::time::Duration;

use super::assertion::Assertion;
use super::directives::Directives;
use super::event::{Action, Event, Time};
use super::lexer::{Placed, Token, tokens};
use super::{ParseError, Script};
use crate::sim::Family;

/// Reads a script, its numbers as they are for `family`.
pub(super) fn parse(text: &str, family: Family) -> Result<Script, ParseError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        family,
    };
    let mut directives = Directives::default();
    while let Some(placed) = parser.tokens.get(parser.at) {
        match &placed.token {
            Token::Option(name, value) => directives.set(name, value),
            Token::Engines(names) => directives.set_engines(names),
            Token::Fails(reason) => directives.set_fails(reason),
            _ => break,
        }
        .map_err(|what| ParseError::new(placed.line, what))?;
        parser.at += 1;
    }
    let mut events = Vec::new();
    while parser.at < parser.tokens.len() {
        events.push(parser.event()?);
    }
    if events.is_empty() {
        return Err(parser.error("an event"));
    }
    Ok(Script { directives, events })
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    family: Family,
}

impl Parser {
    fn event(&mut self) -> Result<Event, ParseError> {
        let line = self.line();
        let time = self.time()?;
        let action = self.action(time)?;
        Ok(Event { line, time, action })
    }

    fn time(&mut self) -> Result<Time, ParseError> {
        if self.take_sign('*') {
            return Ok(Time::Any);
        }
        // An event without a time comes right after the one before.
        if matches!(self.peek(), Some(Token::Command(_) | Token::Code(_))) {
            return Ok(Time::After(Duration::ZERO));
        }
        let relative = self.take_sign('+');
        let from = self.seconds("a time (`0.1`, `+0.1`, `+0~+0.1` or `*`)")?;
        if !self.take_sign('~') {
            return Ok(if relative {
                Time::After(from)
            } else {
                Time::At(from)
            });
        }
        if relative {
            self.sign('+')?;
        }
        let line = self.line();
        let to = self.seconds("the end of a range of times")?;
        if to < from {
            return Err(ParseError::new(
                line,
                "the range of times ends before it begins".into(),
            ));
        }
        Ok(if relative {
            Time::AfterBetween(from, to)
        } else {
            Time::Between(from, to)
        })
    }

    fn action(&mut self, time: Time) -> Result<Action, ParseError> {
        let line = self.line();
        let action = match self.peek() {
            Some(Token::Sign('<')) => self.inbound().map(Action::Inject)?,
            Some(Token::Sign('>')) => return self.outbound().map(Action::Expect),
            Some(Token::Command(command)) => {
                let settings = settings(command, line)?;
                self.at += 1;
                Action::Settings(settings)
            }
            Some(Token::Code(code)) => {
                let assertions = Assertion::parse_all(code, line)?;
                self.at += 1;
                Action::Check(assertions)
            }
            Some(Token::Word(_) | Token::Ellipsis) => self.system_call().map(Action::Call)?,
            _ => {
                return Err(
                    self.error("a packet (`<` or `>`), a call, a command in back-quotes, or `%{`")
                );
            }
        };
        if !matches!(time, Time::At(_) | Time::After(_)) {
            return Err(ParseError::new(
                line,
                "only a packet that is sent may come at a range of times or at any time".into(),
            ));
        }
        Ok(action)
    }

    /// Seconds with a fraction, to the nanosecond.
    fn seconds(&mut self, what: &str) -> Result<Duration, ParseError> {
        let duration = match self.peek() {
            Some(Token::Integer(whole)) => Duration::from_secs(*whole),
            Some(Token::Decimal(whole, fraction)) if fraction.len() <= 9 => {
                let whole = if whole.is_empty() { "0" } else { whole };
                let nanos = format!("{fraction:0<9}");
                match (whole.parse(), nanos.parse()) {
                    (Ok(whole), Ok(nanos)) => Duration::new(whole, nanos),
                    _ => return Err(self.error(what)),
                }
            }
            _ => return Err(self.error(what)),
        };
        self.at += 1;
        Ok(duration)
    }

    /// A number; `a/b` is `a` for IPv4 and `b` for IPv6.
    fn number(&mut self, what: &str) -> Result<u64, ParseError> {
        let v4 = self.plain_number(what)?;
        if !self.take_sign('/') {
            return Ok(v4);
        }
        let v6 = self.plain_number(what)?;
        Ok(match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
        })
    }

    /// A number that fits `T`.
    fn number_as<T: TryFrom<u64>>(&mut self, what: &str) -> Result<T, ParseError> {
        let line = self.line();
        let number = self.number(what)?;
        T::try_from(number)
            .map_err(|_| ParseError::new(line, format!("{number} is too large for {what}")))
    }

    fn plain_number(&mut self, what: &str) -> Result<u64, ParseError> {
        let Some(Token::Integer(number)) = self.peek() else {
            return Err(self.error(what));
        };
        let number = *number;
        self.at += 1;
        Ok(number)
    }

    fn word(&mut self, what: &str) -> Result<String, ParseError> {
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.error(what));
        };
        let word = word.clone();
        self.at += 1;
        Ok(word)
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word == wanted);
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, wanted: char) -> Result<(), ParseError> {
        if self.take_sign(wanted) {
            return Ok(());
        }
        Err(self.error(&format!("`{wanted}`")))
    }

    fn take_sign(&mut self, wanted: char) -> bool {
        self.take_token(&Token::Sign(wanted))
    }

    fn take_token(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    /// The line of the next token; at the end, that of the last.
    fn line(&self) -> usize {
        let placed = self.tokens.get(self.at).or_else(|| self.tokens.last());
        placed.map_or(1, |placed| placed.line)
    }

    /// Says what was expected instead of the next token.
    fn error(&self, expected: &str) -> ParseError {
        let found = match self.peek() {
            None => "the end of the script".to_owned(),
            Some(Token::Word(word)) => format!("`{word}`"),
            Some(Token::Integer(number)) => format!("`{number}`"),
            Some(Token::Decimal(whole, fraction)) => format!("`{whole}.{fraction}`"),
            Some(Token::Text(text)) => format!("\"{text}\""),
            Some(Token::Command(command)) => format!("the command `{command}`"),
            Some(Token::Code(_)) => "a code block".to_owned(),
            Some(Token::Option(name, _)) => format!("`--{name}` (directives come first)"),
            Some(Token::Engines(_)) => "`// engines:` (directives come first)".to_owned(),
            Some(Token::Fails(_)) => "`// fails:` (directives come first)".to_owned(),
            Some(Token::Ellipsis) => "`...`".to_owned(),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
        };
        ParseError::new(self.line(), format!("expected {expected}, found {found}"))
    }
}

/// The settings that a command changes: `sysctl -q name=value ...`, or `sysctl -w`.
fn settings(command: &str, line: usize) -> Result<Vec<(String, String)>, ParseError> {
    let refuse = |what: String| Err(ParseError::new(line, what));
    let mut settings = Vec::new();
    for part in command.split(['\n', ';']).map(str::trim) {
        if part.is_empty() {
            continue;
        }
        let Some(mut rest) = part.strip_prefix("sysctl ").map(str::trim_start) else {
            return refuse(format!(
                "`{part}` cannot be run: of commands, only `sysctl name=value` is understood"
            ));
        };
        while let Some(after) = rest.strip_prefix("-q").or_else(|| rest.strip_prefix("-w")) {
            rest = after.trim_start();
        }
        while !rest.is_empty() {
            let Some((name, value)) = rest.split_once('=') else {
                return refuse(format!("`{rest}` is no setting: write `name=value`"));
            };
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => match quoted.split_once('"') {
                    Some(parts) => parts,
                    None => return refuse(format!("the value of `{name}` does not end")),
                },
                None => value.split_once(char::is_whitespace).unwrap_or((value, "")),
            };
            settings.push((name.trim().to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
    }
    Ok(settings)
}
