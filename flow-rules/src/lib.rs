//! Flow rules (DPDK's rte_flow) as data.
//!
//! [`kind`] names rte_flow's pattern items and actions. Nothing here knows DPDK.

#![forbid(unsafe_code)]

pub mod kind;

pub use kind::{ActionKind, ItemKind};
