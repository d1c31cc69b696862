//! Weirgate: a TCP proxy in userspace.
//!
//! [`config`] turns a file into types that cannot be wrong. The library is generic over what moves
//! packets and never names DPDK.

#![forbid(unsafe_code)]

pub mod config;
pub mod termination;
