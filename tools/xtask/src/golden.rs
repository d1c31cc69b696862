//! `cargo xtask golden-update`: writes what `tests/goldens` should hold.
//!
//! The test that compares writes instead: it alone knows what belongs into the files.

use std::process::Command;

use crate::Error;
use crate::step::foreground;
use crate::workspace::Workspace;

/// Writes all goldens anew, then compares them with themselves.
pub(crate) fn update(workspace: &Workspace) -> Result<(), Error> {
    let test = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command
            .current_dir(workspace.root())
            .args(["test", "--package", "weirgate-tests", "--test", "goldens"])
            .args(arguments);
        command
    };
    foreground(test(&["replays_come_out_as_they_did"]).env("WEIRGATE_UPDATE_GOLDENS", "1"))?;
    foreground(&mut test(&[]))?;
    println!("Look at what has changed: git diff --stat tests/goldens");
    Ok(())
}
