//! Raw bindings to the parts of DPDK that `dpdk-io` uses; made at build time from the headers of
//! the installed DPDK (22.11 or newer), which pkg-config names.
//!
//! Three kinds of items, and nothing else is generated:
//! - functions that the DPDK libraries export, and the types they take;
//! - `dpdk_shim_*`: DPDK's inline functions, compiled from `shim.c`;
//! - constants: `DPDK_*` for macros, and `MBUF_OFFSET_*` for where the fields of `rte_mbuf` lie.
//!
//! Nothing here is safe or meant for use outside `dpdk-io`.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    trivial_numeric_casts,
    unnameable_types,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::use_self,
    reason = "generated code: names are DPDK's, style is bindgen's"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
