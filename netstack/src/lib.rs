//! Weirgate's network stack, without I/O.
//!
//! Nothing in this crate reads a clock, opens a socket, starts a thread or names DPDK: packets and
//! the current time are arguments. So the same code serves DPDK queues, a capture file in virtual
//! time, and a unit test.
//!
//! Bottom up: [`ip`] says what IP versions are; [`io`] is the seam to whatever moves packets;
//! [`wire`] parses and emits one protocol a file; everything else is a part of the stack that a
//! worker puts together.

#![forbid(unsafe_code)]

pub mod counters;
pub mod drop;
pub mod flow_directory;
pub mod flow_index;
pub mod icmp;
pub mod io;
pub mod ip;
pub mod neighbor;
pub mod rate_limit;
pub mod route;
pub mod rss;
pub mod tcp;
pub mod time;
pub mod timer_wheel;
pub mod wire;
