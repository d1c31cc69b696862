//! libFuzzer over the target that `WEIRGATE_FUZZ_TARGET` names. One binary for all of them is
//! built once, and a new target needs nothing here.

#![no_main]

use std::sync::OnceLock;

use fuzz_targets::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn named_by_environment() -> Target {
    let name = std::env::var("WEIRGATE_FUZZ_TARGET").unwrap_or_default();
    fuzz_targets::find(&name)
        .unwrap_or_else(|| panic!("WEIRGATE_FUZZ_TARGET={name}: no such fuzz target"))
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(named_by_environment)(data));
