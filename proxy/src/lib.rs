//! Weirgate: a TCP proxy in userspace.
//!
//! Bottom up: [`config`] turns a file into types that cannot be wrong; [`termination`] names the
//! ways in which a session ends; [`log`] writes what happens; [`cli`] is the command line of the
//! binary `weirgate`. The library is generic over what moves packets and never names DPDK.

#![forbid(unsafe_code)]

pub mod assemble;
pub mod cli;
pub mod config;
pub mod control;
pub mod drive;
pub mod handover;
pub mod host;
pub mod l7;
pub mod log;
pub mod pipeline;
pub mod replay;
pub mod secret;
pub mod termination;
pub mod worker;
