//! The native engine: RFC 9293 by itself.

#![allow(
    dead_code,
    reason = "the parts are written before the connection that joins them"
)]

mod acknowledge;
mod gather;
mod paws;
mod queue;
mod reassembly;
mod receive;
mod stamp;
mod window;
