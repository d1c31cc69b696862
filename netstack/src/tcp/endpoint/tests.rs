//! The endpoint against a scripted peer, and against itself over a bad link.
//!
//! Everything runs in virtual time, for both IP versions and with both engines: a case is a generic
//! function, listed in `ip_tests!`. Where the engines may differ, [`manners`] says how and why.

/// Makes a test of each generic function for each IP version and each engine.
macro_rules! ip_tests {
    ($($name:ident)*) => {
        mod v4 {
            engine_tests! { crate::ip::V4, $($name)* }
        }
        mod v6 {
            engine_tests! { crate::ip::V6, $($name)* }
        }
    };
}

macro_rules! engine_tests {
    ($ip:ty, $($name:ident)*) => {
        mod native {
            $(#[test]
            fn $name() {
                super::super::$name::<$ip>(crate::tcp::EngineKind::Native);
            })*
        }
        mod smoltcp {
            $(#[test]
            fn $name() {
                super::super::$name::<$ip>(crate::tcp::EngineKind::Smoltcp);
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
mod manners;
mod rig;
mod time_wait;
