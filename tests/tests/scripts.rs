//! Plays every script of `tests/scripts`: over both IP versions, with every engine.
//!
//! Each of these is a case, named `topic/script.v4.smoltcp`. Arguments that are not options choose
//! the cases whose names contain one of them. All failures are listed together at the end. A script
//! that says `// fails: why` must fail: else it is a failure that it still says so.

use std::env;
use std::process::ExitCode;

use netstack::time::Instant;
use weirgate_tests::script::{Case, local_address};
use weirgate_tests::stack::Host;

/// When scripts begin: not at the origin of time, where an age could not be told from none.
const START: Instant = Instant::from_millis(1_000_000);

fn main() -> ExitCode {
    let (options, filters): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let mut cases = match Case::all() {
        Ok(cases) => cases,
        Err(failures) => {
            println!("{}", failures.join("\n"));
            return ExitCode::FAILURE;
        }
    };
    cases.retain(|case| filters.is_empty() || filters.iter().any(|f| case.name.contains(f)));
    if options.iter().any(|option| option == "--list") {
        for case in &cases {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let total = cases.len();
    let failures: Vec<_> = cases.iter().filter_map(|case| play(case).err()).collect();
    for failure in &failures {
        println!("{failure}\n");
    }
    println!("scripts: {total} cases, {} failed", failures.len());
    // Filters are for all tests of the package, and may choose none here.
    if failures.is_empty() && (total > 0 || !filters.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn play(case: &Case) -> Result<(), String> {
    let options = case.script.directives().stack_options(case.engine);
    let mut stack = Host::new(START, vec![local_address(case.family)], options);
    let played = case.script.play(&mut stack, case.family);
    match (case.script.directives().fails(), played) {
        (Some(reason), Ok(())) => Err(format!(
            "{}: it plays, though it says `fails: {reason}`: take that line out",
            case.name
        )),
        (Some(_), Err(_)) => Ok(()),
        (None, played) => played.map_err(|failure| case.failed(&failure)),
    }
}
