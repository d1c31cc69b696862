//! The endpoint against a scripted peer, and against itself over a bad link.
//!
//! Everything runs in virtual time, for both IP versions and with both engines: a case is a generic
//! function, listed in `engine_tests!`. Where the engines may differ, [`manners`] says how and why.

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

/// Makes a test of each generic function for each IP version and each engine.
macro_rules! engine_tests {
    ($($name:ident)*) => {
        mod native {
            use crate::tcp::EngineKind::Native;
            engine_tests! { @both Native, $($name)* }
        }
        mod smoltcp {
            use crate::tcp::EngineKind::Smoltcp;
            engine_tests! { @both Smoltcp, $($name)* }
        }
    };
    (@both $engine:ident, $($name:ident)*) => {
        mod v4 {
            $(#[test]
            fn $name() {
                super::super::$name::<crate::ip::V4>(super::$engine);
            })*
        }
        mod v6 {
            $(#[test]
            fn $name() {
                super::super::$name::<crate::ip::V6>(super::$engine);
            })*
        }
    };
}

mod attacks;
mod buffers;
mod closing;
mod cookies;
mod data;
mod deadlines;
mod forged;
mod handshake;
mod link;
mod manners;
mod path_mtu;
mod rig;
mod runs;
mod sums;
mod time_wait;
mod validation;
mod visibility;
