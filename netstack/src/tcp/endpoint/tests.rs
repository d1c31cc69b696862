//! The endpoint against a scripted peer, and against itself over a bad link.
//!
//! Everything runs in virtual time and for both IP versions: a case is a generic function, listed
//! in `ip_tests!`.

/// Makes a test of each generic function for each IP version.
macro_rules! ip_tests {
    ($($name:ident)*) => {
        mod v4 {
            $(#[test]
            fn $name() {
                super::$name::<crate::ip::V4>();
            })*
        }
        mod v6 {
            $(#[test]
            fn $name() {
                super::$name::<crate::ip::V6>();
            })*
        }
    };
}

mod buffers;
mod closing;
mod cookies;
mod data;
mod deadlines;
mod forged;
mod handshake;
mod link;
mod rig;
mod time_wait;
mod validation;
