//! Scripts that say packet by packet what a TCP does: the language of packetdrill.
//!
//! A script is a time line of packets that arrive (`<`), packets that must be sent (`>`), system
//! calls with their results, and assertions. [`Script::parse`] reads it, [`Script::play`] plays it
//! against a [`Stack`] in virtual time, so that a run takes no time and is the same every time.
//! What the language is and how it is used here: `tests/scripts/README.md`.
//!
//! A script says nothing about addresses, and is played over both IP versions. Our initial
//! sequence number is what the script's SYN has, the peer's are the script's; payload is a pattern
//! that follows from the place in the stream, checked wherever it comes out.

mod assertion;
mod cases;
mod directives;
mod event;
mod failure;
mod flow;
mod lexer;
mod parser;
mod play;
mod print;
mod verify;
mod wire;

use core::net::IpAddr;

pub use cases::Case;
pub use directives::Directives;
pub use failure::{Failure, ParseError};

use crate::sim::Family;
use crate::stack::Stack;

/// A script, read for one IP version.
#[derive(Clone, Debug)]
pub struct Script {
    directives: Directives,
    events: Vec<event::Event>,
}

impl Script {
    /// Reads a script. Where a number is written `a/b`, it is `a` over IPv4 and `b` over IPv6.
    ///
    /// # Errors
    /// Says what is wrong, and on which line.
    pub fn parse(text: &str, family: Family) -> Result<Self, ParseError> {
        parser::parse(text, family)
    }

    /// How the script wants to be played.
    pub fn directives(&self) -> &Directives {
        &self.directives
    }

    /// The settings that the script changes on its way, by their names on Linux.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.events.iter().filter_map(|event| match &event.action {
            event::Action::Settings(settings) => Some(settings),
            _ => None,
        });
        let pairs = settings.flatten();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether all settings come before anything else: only then can they be given to a stack that
    /// takes them when it begins.
    pub fn begins_with_its_settings(&self) -> bool {
        let is_setting = |event: &event::Event| matches!(event.action, event::Action::Settings(_));
        self.events
            .iter()
            .skip_while(|event| is_setting(event))
            .all(|event| !is_setting(event))
    }

    /// Plays the script against a fresh stack that has the address [`local_address`].
    ///
    /// # Errors
    /// Says which event did not happen as the script says.
    pub fn play<S: Stack>(&self, stack: &mut S, family: Family) -> Result<(), Failure> {
        play::play(self, stack, family)
    }
}

/// The address of the stack under test.
pub fn local_address(family: Family) -> IpAddr {
    wire::addresses(family).0
}

#[cfg(test)]
mod tests;
