//! The same segments and calls for several TCPs, and what they make of them.
//!
//! A [`Case`] is what a peer sends and what a session does, step by step and with numbers relative
//! to both initial sequence numbers; [`generate`] makes one from a seed: segments in the window,
//! before it, beyond it, overlapping, with stale stamps, odd flags, odd selective acknowledgments;
//! over IPv4 or over IPv6, which is the seed's choice, too.
//! A [`Player`] plays cases to a TCP and notes after each step what can be seen from outside
//! ([`Observation`]). There are two: [`Memory`] plays to Weirgate's TCP with any engine in virtual
//! time, [`Linux`] to the kernel's in a namespace of its own, through a raw socket at the other end
//! of a cable.
//!
//! What is compared is what RFC 9293 prescribes: what is acknowledged, whether a segment is
//! answered and how, what the session can read, the state. Not compared are exact times, windows
//! and stamps. [`difference`] finds the first step where two TCPs differ; those differences that
//! are meant to be there are in a table with their reasons ([`KNOWN`]). Whatever is not in it ends
//! a [`hunt`], with the case made as short as it goes and printed much as packetdrill would have it.

mod case;
mod compare;
mod generate;
mod hunt;
mod known;
mod linux;
mod memory;
mod peer;
mod random;

pub use case::{Case, Handshake, Segment, Stamp, Step};
pub use compare::{Aspect, Difference, difference};
pub use generate::generate;
pub use hunt::{Effort, Found, Report, hunt};
pub use known::{KNOWN, Known, Reference};
pub use linux::Linux;
pub use memory::Memory;
pub use peer::{Answer, Observation, Outcome};

use crate::rig::RigError;

/// Plays cases to a TCP.
pub trait Player {
    /// Plays each case to a fresh connection. Gives what was observed after each step of each
    /// case; fewer steps than there are if the connection did not come about.
    fn play(&mut self, cases: &[Case]) -> Result<Vec<Vec<Observation>>, RigError>;
}
