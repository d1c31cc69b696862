//! `cargo xtask bench NAME`: the package `bench`, built as the product is shipped.
//!
//! What there is to measure, and the file that the figures go to, is that package's business.

use std::process::Command;

use crate::Error;
use crate::step::foreground;
use crate::workspace::Workspace;

/// Builds the benchmarks and runs the one called `name`.
pub(crate) fn run(workspace: &Workspace, name: &str) -> Result<(), Error> {
    let mut command = Command::new("cargo");
    command.current_dir(workspace.root()).args([
        "run",
        "--release",
        "--package",
        "bench",
        "--",
        name,
    ]);
    foreground(&mut command)
}
