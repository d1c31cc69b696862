//! Weirgate between two hosts, in virtual time.

mod transfer;
