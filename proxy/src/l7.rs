//! Layer 7: connections of clients joined to connections of backends.
//!
//! [`session`] keeps one session a client; [`backend_pool`] chooses its backend; [`splice`] moves
//! octets between its two halves, each of which is a [`half`].

pub mod backend_pool;
pub mod client_hello;
pub mod half;
pub mod proxy_protocol;
pub mod report;
pub mod session;
pub mod splice;
