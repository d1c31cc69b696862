//! Flow rules (DPDK's rte_flow) as data, and what each network driver can do with them.
//!
//! [`kind`] names rte_flow's pattern items and actions; [`driver`] holds a capability profile for
//! each driver. Nothing here knows DPDK.

#![forbid(unsafe_code)]

pub mod driver;
pub mod kind;

pub use driver::{Driver, Profile};
pub use kind::{ActionKind, ItemKind};
