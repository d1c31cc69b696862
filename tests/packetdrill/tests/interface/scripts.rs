//! Every script that passes on the stack itself passes through the library.

use core::fmt::Write;

use netstack::time::Instant;
use weirgate_tests::script::{Case, local_address};
use weirgate_tests::stack::{Host, StackOptions};

use crate::stack::Loaded;

/// When scripts begin on the stack itself.
const START: Instant = Instant::from_millis(1_000_000);

#[test]
fn scripts_pass_through_the_library() {
    let cases = Case::all().unwrap_or_else(|failures| panic!("{}", failures.join("\n")));
    let (mut played, mut failures) = (0, Vec::new());
    for case in cases {
        let options = case.script.directives().stack_options(case.engine);
        let mut host = Host::new(START, vec![local_address(case.family)], options);
        // The library takes settings as flags, when it begins.
        if !case.script.begins_with_its_settings() {
            continue;
        }
        // One that fails here is the matter of the test that plays scripts on the stack itself.
        if case.script.play(&mut host, case.family).is_ok() {
            played += 1;
            failures.extend(play(&case, &options).err());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(
        played > 100,
        "only {played} scripts pass on the stack itself"
    );
}

fn play(case: &Case, options: &StackOptions) -> Result<(), String> {
    let mut flags = format!(
        "engine={},local={},mtu={}",
        case.engine.name(),
        local_address(case.family),
        options.mtu
    );
    if let Some(mss) = options.mss {
        write!(flags, ",mss={mss}").unwrap();
    }
    let settings = case.script.settings();
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut stack = Loaded::new(&flags, settings.collect());
    let played = case.script.play(&mut stack, case.family);
    played.map_err(|failure| case.failed(&failure))
}
