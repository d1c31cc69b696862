//! Weirgate among other people's programs.
//!
//! The [`rig`] makes network namespaces and puts real programs into them: curl in front, nginx
//! behind, Weirgate on DPDK between them. The integration tests of this package use it, and so
//! does the program `demo`. Everything in it needs root, and touches no interface that it did not
//! make.
//!
//! The others need nothing. A [`station`] is workers in memory, and frames that a test makes up; the
//! [`sim`] drives a client, Weirgate and a server through a network in memory and virtual time; a
//! [`script`] says packet by packet what a [`stack`] is to do; the [`differential`] fuzzer plays the
//! same to our TCP and to the kernel's; [`paths`] measures both over bad links; [`uml`] runs tests
//! in a kernel of their own, which has what the host's may lack.

#![forbid(unsafe_code)]

pub mod differential;
pub mod paths;
pub mod rig;
pub mod script;
pub mod sim;
pub mod stack;
pub mod station;
pub mod uml;

/// Makes tests of functions that take a [`rig::Config`]: each over either driver with the native
/// engine, and those named after `smoltcp:` once more with smoltcp, where engines could tell them
/// apart.
#[macro_export]
macro_rules! on_each_driver {
    ($($test:ident),+ $(; smoltcp: $($again:ident),+)? $(,)?) => {
        mod af_packet {
            use $crate::rig::{Config, Driver, EngineKind};
            $(#[test] fn $test() {
                super::$test(Config::with_engine(Driver::AfPacket, EngineKind::Native));
            })+
        }
        mod af_xdp {
            use $crate::rig::{Config, Driver, EngineKind};
            $(#[test] fn $test() {
                super::$test(Config::with_engine(Driver::AfXdp, EngineKind::Native));
            })+
        }
        $(mod smoltcp {
            use $crate::rig::{Config, Driver, EngineKind};
            $(#[test] fn $again() {
                super::$again(Config::with_engine(Driver::AfPacket, EngineKind::Smoltcp));
            })+
        })?
    };
}
