//! `cargo xtask bench NAME`: the package `bench`, built as the product is shipped.
//!
//! What there is to measure, and the file that the figures go to, is that package's business.
//! Memory is allocated from huge pages, as it should be wherever there are many connections: most
//! of what a segment needs is then found without a walk through page tables.

use std::process::Command;

use crate::Error;
use crate::step::foreground;
use crate::workspace::Workspace;

/// What glibc's allocator reads its settings from.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Builds the benchmarks and runs the one called `name`.
pub(crate) fn run(workspace: &Workspace, name: &str, figures: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("cargo");
    command.current_dir(workspace.root()).args([
        "run",
        "--release",
        "--package",
        "bench",
        "--",
        name,
    ]);
    command.args(figures);
    // What somebody has set to compare with stays.
    if std::env::var_os(TUNABLES).is_none() {
        command.env(TUNABLES, "glibc.malloc.hugetlb=1");
    }
    foreground(&mut command)
}
