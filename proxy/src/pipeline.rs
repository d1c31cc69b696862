//! The way of a packet through a worker, one stage a file.
//!
//! ```text
//! rx -> parse -> neighbor (ARP, ND)
//!             -> icmp     (echo, errors; UDP and other protocols: answered with an error)
//!    runs     -> tcp_in   (connections, listeners; another worker's go to its ring)
//!       sessions, timers -> IP packets without link-layer header -> tx
//!
//! steer: before all that, where one receives for several workers; it classifies frames
//! ```
//! Packets move by value: each goes to one lane, or to the counter of the reason why not.

pub mod classify;
pub mod icmp;
pub mod neighbor;
pub mod parse;
pub mod runs;
pub mod steer;
pub mod tcp_in;
pub mod tx;
