//! `cargo xtask bench NAME`: measurements, built as the product is shipped.
//!
//! Most are the package `bench`. What there is to measure, and the file that the figures go to, is that package's business.
//! Memory is allocated from huge pages, as it should be wherever there are many connections: most
//! of what a segment needs is then found without a walk through page tables.
//!
//! `paths` is a program of the package `weirgate-tests`: it needs Weirgate with DPDK, the rig, and
//! root, but nothing that Cargo does runs as root unless the user does.

use std::ffi::OsString;
use std::process::Command;

use crate::Error;
use crate::demo::is_root;
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

/// Builds Weirgate and the program `paths`, and runs that with `options`.
pub(crate) fn paths(workspace: &Workspace, options: &[&str]) -> Result<(), Error> {
    for (package, program) in [("weirgate-tests", "paths"), ("proxy", "weirgate")] {
        let mut build = Command::new("cargo");
        build.current_dir(workspace.root());
        build.args(["build", "--release", "--package", package, "--bin", program]);
        if package == "proxy" {
            build.args(workspace.product_features());
        }
        foreground(&mut build)?;
    }
    let mut words = Vec::new();
    if !is_root() {
        words.extend(["sudo", "--"].map(OsString::from));
    }
    let mut weirgate = OsString::from("WEIRGATE_BIN=");
    weirgate.push(workspace.product("release"));
    let program = workspace.target_directory().join("release/paths");
    words.extend(["env".into(), weirgate, program.into_os_string()]);
    words.extend(options.iter().map(OsString::from));
    let figures = workspace.target_directory().join("bench/paths.json");
    words.push(figures.into_os_string());
    foreground(Command::new(&words[0]).args(&words[1..]))
}
