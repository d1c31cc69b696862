//! The same segments and calls for our engine, for smoltcp and for the kernel, over either IP
//! version: they differ only where that is known and explained.
//!
//! The same cases every time; `cargo xtask fuzz differential` plays others.

use core::time::Duration;

use weirgate_tests::differential::{Effort, Linux, Memory, Reference, Report, hunt};
use weirgate_tests::rig;
use weirgate_tests::stack::Engine;

const EFFORT: Effort = Effort {
    seed: 1,
    cases: 400,
    time: Duration::from_secs(12),
    differences: 2,
};

fn assert_known(report: &Report) {
    println!("{report}");
    assert!(report.found.is_empty(), "{report}");
    assert!(report.cases >= 200, "too slow: {report}");
    let third = report.cases / 3;
    assert!(
        (third..=2 * third).contains(&report.over_v6),
        "one IP version only: {report}"
    );
}

#[test]
fn the_native_engine_differs_from_smoltcp_only_as_is_known() {
    let mut ours = Memory::new(Engine::Native);
    let mut theirs = Memory::new(Engine::Smoltcp);
    let report = hunt(&EFFORT, Reference::Smoltcp, &mut ours, &mut theirs);
    assert_known(&report.expect("nothing but memory"));
}

#[test]
fn the_native_engine_differs_from_linux_only_as_is_known() {
    if !rig::can_run() {
        return;
    }
    let mut ours = Memory::new(Engine::Native);
    let mut theirs = Linux::new().expect("two namespaces");
    let report = hunt(&EFFORT, Reference::Linux, &mut ours, &mut theirs);
    assert_known(&report.expect("raw sockets and the kernel's table of connections"));
}
