//! Errors of calls by their numbers on this system.

use core::ffi::c_int;

use weirgate_tests::stack;

/// What a call leaves in `errno`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Errno(pub c_int);

impl From<stack::Errno> for Errno {
    fn from(error: stack::Errno) -> Self {
        Self(error.number())
    }
}
