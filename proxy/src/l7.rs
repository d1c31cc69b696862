//! Layer 7: connections of clients joined to connections of backends.
//!
//! [`session`] keeps one session a client; [`backend_pool`] chooses its backend, by what [`health`]
//! finds out; [`backend_path`] is the way there; [`splice`] moves octets between the two halves.

pub mod backend_path;
pub mod backend_pool;
pub mod health;
pub mod report;
pub mod session;
pub mod splice;
