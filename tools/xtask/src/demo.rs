//! `cargo xtask demo`: builds Weirgate for release and shows it at work.
//!
//! Only the demo program itself needs root, for the namespaces; Cargo never runs as root unless
//! the user does. The program replaces this process, so that Ctrl-C reaches it and nothing returns
//! to the shell before it has cleaned up.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Error;
use crate::step::{describe, foreground};
use crate::workspace::Workspace;

/// Builds both programs and becomes the demo.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let build = |arguments: &[&str]| {
        foreground(
            Command::new("cargo")
                .current_dir(workspace.root())
                .arg("build")
                .args(arguments),
        )
    };
    build(&["--package", "weirgate-tests", "--bin", "demo"])?;
    build(&[
        "--release",
        "--package",
        "proxy",
        "--bin",
        "weirgate",
        "--features",
        "proxy/dpdk",
    ])?;

    // Made here, so that it belongs to the user even if root writes into it.
    let directory = workspace.target_directory().join("demo");
    fs::create_dir_all(&directory).map_err(|source| Error::Create {
        path: directory.display().to_string(),
        source,
    })?;

    let program = workspace.target_directory().join("debug/demo");
    let mut demo = if is_root() {
        Command::new(program)
    } else {
        println!("The demo makes network namespaces: sudo may ask for your password.");
        let mut sudo = Command::new("sudo");
        sudo.arg("--").arg(program);
        sudo
    };
    demo.arg(workspace.product("release")).arg(directory);
    let source = demo.exec();
    Err(Error::Start {
        command: describe(&demo),
        source,
    })
}

/// Whether this process belongs to root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
