//! Weirgate's TCP as a shared library for Google's packetdrill, in virtual time.
//!
//! packetdrill loads a library (`--so_filename=`), calls `packetdrill_interface_init` with the text
//! of `--so_flags=`, and gets a table of functions: socket calls, packets in and out, and a clock.
//! [`abi`] is that table and all the unsafe code; the rest is safe. A [`Session`] is one stack
//! behind one lock, a [`Host`](weirgate_tests::stack::Host) of the tests; what its calls mean is in
//! `calls`, options are in `options`, and the text of the flags becomes [`Flags`].
//!
//! In: calls, from any thread, and raw IP packets. Out: results as the C library has them, with
//! `errno`, and raw IP packets with the time they were sent. Nothing here waits for real time to
//! pass. How to use it, and what it cannot do: `tests/packetdrill/README.md`.
//!
//! This is for tests; nothing of it is linked into the product.

#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "a C interface cannot be had without")]
pub mod abi;
mod address;
mod calls;
mod epoll;
mod errno;
mod flags;
mod options;
mod session;
mod tcp_info;

pub use errno::Errno;
pub use flags::{Flags, FlagsError};
pub use session::{Session, View};
