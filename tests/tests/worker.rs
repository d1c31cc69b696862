//! A whole worker, packet by packet: what goes in, what comes out, and every counter that moved.
//!
//! One row of a table is one case on a fresh worker that knows its neighbors. Counters that a row
//! does not name must not move, so a packet that ends in the wrong place fails its row, and so
//! does one that is counted twice.

#[path = "worker/frames.rs"]
mod frames;
#[path = "worker/icmp.rs"]
mod icmp;
#[path = "worker/ip.rs"]
mod ip;
#[path = "worker/mutations.rs"]
mod mutations;
#[path = "worker/neighbors.rs"]
mod neighbors;
#[path = "worker/preamble.rs"]
mod preamble;
#[path = "worker/resources.rs"]
mod resources;
#[path = "worker/steering.rs"]
mod steering;
#[path = "worker/table.rs"]
mod table;
#[path = "worker/tcp.rs"]
mod tcp;
#[path = "worker/workers.rs"]
mod workers;
