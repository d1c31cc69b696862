//! Weirgate between two hosts, in virtual time.

mod attacks;
mod backends;
mod check;
mod close;
mod goodput;
mod health;
mod limits;
mod links;
mod pacing;
mod transfer;
mod workers;
