//! Weirgate among other people's programs.
//!
//! The [`rig`] makes network namespaces and puts real programs into them: curl in front, nginx
//! behind, Weirgate on DPDK between them. The integration tests of this package use it, and so
//! does the program `demo`. Everything in it needs root, and touches no interface that it did not
//! make.
//!
//! The others need nothing. A [`station`] is workers in memory, and frames that a test makes up; the
//! [`sim`] drives a client, Weirgate and a server through a network in memory and virtual time; a
//! [`script`] says packet by packet what a [`stack`] is to do.

#![forbid(unsafe_code)]

pub mod paths;
pub mod rig;
pub mod script;
pub mod sim;
pub mod stack;
pub mod station;

/// Makes two tests of each function that takes a [`rig::Driver`].
#[macro_export]
macro_rules! on_each_driver {
    ($($test:ident),+ $(,)?) => {
        mod af_packet {
            $(#[test] fn $test() { super::$test($crate::rig::Driver::AfPacket); })+
        }
        mod af_xdp {
            $(#[test] fn $test() { super::$test($crate::rig::Driver::AfXdp); })+
        }
    };
}
