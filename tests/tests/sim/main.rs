//! Weirgate between two hosts, in virtual time.

mod backends;
mod check;
mod close;
mod goodput;
mod limits;
mod links;
mod pacing;
mod transfer;
mod workers;
