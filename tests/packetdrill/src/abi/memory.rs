//! The caller's memory: copies of what it says, and room for what it is told.
//!
//! Numbers in `SAFETY` comments are those of the invariants of the [interface](super).

use core::ffi::c_void;
use core::{ptr, slice};

use libc::{sockaddr, socklen_t};

/// A copy of a buffer.
///
/// # Safety
/// Invariant 2 of the interface.
pub(super) unsafe fn octets(buffer: *const c_void, len: usize) -> Vec<u8> {
    if buffer.is_null() || len == 0 {
        return Vec::new();
    }
    // SAFETY: 2.
    unsafe { slice::from_raw_parts(buffer.cast::<u8>(), len) }.to_vec()
}

/// Writes octets into a buffer that has room for them.
///
/// # Safety
/// Invariant 2 of the interface, with room for all of `octets`.
pub(super) unsafe fn fill(buffer: *mut c_void, octets: &[u8]) {
    if !octets.is_empty() && !buffer.is_null() {
        // SAFETY: 2.
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), buffer.cast(), octets.len()) };
    }
}

/// Writes as much as there is room for, and how much there would be.
///
/// # Safety
/// Invariant 3 of the interface.
pub(super) unsafe fn fill_address(buffer: *mut sockaddr, len: *mut socklen_t, octets: &[u8]) {
    if buffer.is_null() || len.is_null() {
        return;
    }
    // SAFETY: 3.
    unsafe {
        let fits = octets.len().min(*len as usize);
        fill(buffer.cast(), &octets[..fits]);
        *len = octets.len() as socklen_t;
    }
}

/// An array; none at all if it is null.
///
/// # Safety
/// Invariants 4 or 5 of the interface.
pub(super) unsafe fn array<'a, T>(first: *const T, len: usize) -> &'a [T] {
    if first.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: 4 or 5.
    unsafe { slice::from_raw_parts(first, len) }
}
