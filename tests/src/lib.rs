//! Weirgate among other people's programs.
//!
//! The [`rig`] makes network namespaces and puts real programs into them: curl in front, nginx
//! behind, Weirgate on DPDK between them. The integration tests of this package use it, and so
//! does the program `demo`. It needs root, and touches no interface that it did not make.
//!
//! A [`station`] is the opposite: workers in memory, and frames that a test makes up.

#![forbid(unsafe_code)]

pub mod rig;
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
