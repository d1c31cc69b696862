//! `cargo xtask ci`: every check there is, in the order in which they are cheap.
//!
//! Tests that need root skip themselves without it and then count as passed; the summary and the
//! last line say so.

use std::process::Command;

use crate::demo::is_root;
use crate::step::{Steps, foreground};
use crate::workspace::Workspace;
use crate::{Error, fuzz, rules};

/// The last line of a run that was not root's.
const NOT_RUN: &str = "NOT RUN: tests that need root (namespaces, DPDK on veth)";

/// Runs all steps; the first that fails ends the run.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let is_root = is_root();
    let mut steps = Steps::default();
    steps.run("format", || {
        foreground(cargo(workspace).args(["fmt", "--all", "--check"]))
    })?;
    steps.run("rules", || rules::check(workspace))?;
    steps.run("licences, bans, sources", || {
        foreground(cargo(workspace).args(["deny", "check", "licenses", "bans", "sources"]))
    })?;
    steps.run("clippy", || {
        foreground(
            cargo(workspace)
                .args(["clippy", "--workspace", "--all-targets"])
                .args(workspace.product_features())
                .args(["--", "-D", "warnings"]),
        )
    })?;
    steps.run(tests_name(is_root), || test(workspace))?;
    steps.run("documentation", || {
        foreground(
            cargo(workspace)
                .args(["doc", "--workspace", "--no-deps"])
                .args(workspace.product_features())
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    steps.run("fuzz smoke", || {
        fuzz::run(workspace, &fuzz::Options::default())
    })?;
    steps.print_summary();
    if !is_root {
        println!("\n{NOT_RUN}");
    }
    Ok(())
}

/// What the summary calls the step that runs the tests.
fn tests_name(is_root: bool) -> &'static str {
    if is_root {
        "tests"
    } else {
        "tests, without those that need root"
    }
}

/// Builds the binary that the integration tests start, then runs all tests.
fn test(workspace: &Workspace) -> Result<(), Error> {
    let mut tests = cargo(workspace);
    tests
        .args(["test", "--workspace"])
        .args(workspace.product_features());
    if workspace.has_product() {
        foreground(
            cargo(workspace)
                .args(["build", "--package", "proxy", "--bin", "weirgate"])
                .args(workspace.product_features()),
        )?;
        // Named explicitly, so that tests fail instead of being skipped when it is not there.
        tests.env("WEIRGATE_BIN", workspace.product("debug"));
    }
    foreground(&mut tests)
}

fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace.root());
    command
}
