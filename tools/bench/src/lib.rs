//! Benchmarks of the data plane, each by its name: `cargo xtask bench NAME`.
//!
//! Everything is in memory. What drives a worker counts the time inside `Worker::poll_once` and
//! nothing else: what the simulated peers cost is left out. Every octet that the worker delivers is
//! compared with what was sent, so that no figure can come from a worker that does not work.
//!
//! In: nothing but the machine. Out: a table for people, and `target/bench/NAME.json`, a flat
//! object of numbers.
//!
//! * [`tcp`]: the TCP proxy.
//! * [`steering`]: how packets come to their workers where no NIC does it.
//! * [`report`]: tables and files of figures.
//! * [`memory`]: what the process occupies.

#![forbid(unsafe_code)]

pub mod memory;
pub mod report;
pub mod steering;
pub mod tcp;
