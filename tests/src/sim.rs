//! A network in one process and in virtual time: a client, Weirgate, a server.
//!
//! ```text
//!  client ---- link 0 ---- Weirgate ---- link 1 ---- server
//!  (SimHost)   (Impair)    (Workers)     (Impair)    (SimHost)
//! ```
//! Weirgate is what `proxy` assembles from a configuration text, over ports in memory. The hosts
//! are smoltcp with its own ARP, ND, IP and TCP, and have nothing of netstack in them. Links lose,
//! delay, reorder and duplicate frames as a [`Setup`] says. Time jumps from event to event, and
//! everything random comes from a seed, so that a run is the same every time.
//!
//! What the ends of a connection do is a [`Script`]: send so many octets, read or not, close when.
//! The octets follow from a seed that they begin with ([`pattern`]), so that the receiver can tell
//! whether what it got is what was sent. [`World`] drives everything, and after each turn of a
//! worker checks that no packet has vanished ([`conservation`]).

pub mod conservation;
mod end;
mod host;
pub mod pattern;
mod setup;
mod switch;
mod world;

pub use end::{Close, End, Ending, Script};
pub use host::{EndId, SimHost};
pub use setup::{Addresses, Family, Link, Setup, SpreadBy, Variant};
pub use world::World;

/// Makes a test of each function that takes a [`Variant`] for each of them.
#[macro_export]
macro_rules! on_all_variants {
    ($($test:ident),+ $(,)?) => {
        $crate::on_all_variants! { @of native_v4, Native, V4: $($test),+ }
        $crate::on_all_variants! { @of native_v6, Native, V6: $($test),+ }
        $crate::on_all_variants! { @of smoltcp_v4, Smoltcp, V4: $($test),+ }
        $crate::on_all_variants! { @of smoltcp_v6, Smoltcp, V6: $($test),+ }
    };
    (@of $module:ident, $engine:ident, $family:ident: $($test:ident),+) => {
        mod $module {
            const VARIANT: $crate::sim::Variant = $crate::sim::Variant {
                family: $crate::sim::Family::$family,
                engine: netstack::tcp::EngineKind::$engine,
            };
            $(#[test] fn $test() { super::$test(VARIANT); })+
        }
    };
}
