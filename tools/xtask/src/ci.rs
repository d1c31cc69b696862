//! `cargo xtask ci`: every check there is, in the order in which they are cheap.

use std::process::Command;

use crate::step::{Steps, foreground};
use crate::workspace::Workspace;
use crate::{Error, fuzz, rules};

/// Runs all steps; the first that fails ends the run.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
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
    steps.run("tests", || test(workspace))?;
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
    Ok(())
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
