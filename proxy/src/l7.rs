//! Layer 7: connections of clients joined to connections of backends.
//!
//! [`session`] keeps one session a client; [`backend_pool`] chooses its backend, by what [`health`]
//! finds out, and [`backend_path`] is the way there; [`splice`] moves octets between its two halves,
//! each of which is a [`half`]. What is known of a client beyond its
//! connection is [`about`] it: a [`proxy_protocol`] header says who it is, a [`client_hello`] what
//! it wants, and [`sni`] where that leads.

pub mod about;
pub mod backend_path;
pub mod backend_pool;
pub mod client_hello;
pub mod half;
pub mod health;
pub mod proxy_protocol;
pub mod report;
pub mod session;
pub mod sni;
pub mod splice;
