//! Weirgate: a TCP proxy in userspace.
//!
//! Bottom up:
//!
//! * [`config`] turns a file into types that cannot be wrong; [`packet_budget`] is what its packets
//!   need, and [`cpus`] tells which CPUs there are to run on.
//! * [`termination`] names the ways in which a session ends, [`log`] writes what happens, and
//!   [`secret`] makes the keys that nobody outside may know.
//! * [`host`] is what a worker knows of its own addresses and routes; [`pipeline`] is the way of a
//!   packet, one stage a file; [`l7`] joins connections of clients to connections of backends.
//! * [`steering`] asks the planner of flow rules how packets come to the workers.
//! * [`worker`] is all of these on one lcore, a turn at a time; [`handover`] is what one worker
//!   tells another; [`drive`] makes the turns in real time.
//! * [`assemble`] makes the workers from a configuration; [`control`] is the thread that watches
//!   them, and [`reload`] what it does when the configuration file has changed; [`replay`] runs one over captures in virtual time.
//! * [`cli`] is the command line of the binary `weirgate`.
//!
//! The library is generic over what moves packets and never names DPDK.

#![forbid(unsafe_code)]

pub mod assemble;
pub mod cli;
pub mod config;
pub mod control;
pub mod cpus;
pub mod drive;
pub mod handover;
pub mod host;
pub mod l7;
pub mod layout;
pub mod log;
pub mod packet_budget;
pub mod pipeline;
pub mod port_queues;
pub mod receiver;
pub mod reload;
pub mod replay;
pub mod secret;
pub mod steering;
pub mod termination;
pub mod worker;
