//! Plays every script of `tests/scripts`: over both IP versions, with every engine.
//!
//! Each of these is a case, named `topic/script.v4.smoltcp`. Arguments that are not options choose
//! the cases whose names contain one of them. All failures are listed together at the end. A script
//! that says `// fails: why` must fail: else it is a failure that it still says so.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use netstack::time::Instant;
use weirgate_tests::script::{Script, local_address};
use weirgate_tests::sim::Family;
use weirgate_tests::stack::{Engine, Host};

/// When scripts begin: not at the origin of time, where an age could not be told from none.
const START: Instant = Instant::from_millis(1_000_000);

/// A script, an IP version and an engine.
struct Case {
    name: String,
    path: PathBuf,
    text: String,
    family: Family,
    engine: Engine,
}

fn main() -> ExitCode {
    let (options, filters): (Vec<String>, Vec<String>) =
        env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut failures = Vec::new();
    let mut cases = Vec::new();
    let paths = match scripts_below(&root) {
        Ok(paths) => paths,
        Err(error) => {
            println!("{}: {error}", root.display());
            return ExitCode::FAILURE;
        }
    };
    for path in paths {
        match cases_of(&root, &path) {
            Ok(of_script) => cases.extend(of_script),
            Err(failure) => failures.push(failure),
        }
    }
    cases.retain(|case| filters.is_empty() || filters.iter().any(|f| case.name.contains(f)));
    if options.iter().any(|option| option == "--list") {
        for case in &cases {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let total = cases.len();
    failures.extend(cases.iter().filter_map(|case| play(case).err()));
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

/// The cases of a script; or what is wrong with it.
fn cases_of(root: &Path, path: &Path) -> Result<Vec<Case>, String> {
    let name = path.strip_prefix(root).unwrap_or(path).with_extension("");
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut cases = Vec::new();
    for (family, suffix) in [(Family::V4, "v4"), (Family::V6, "v6")] {
        let script =
            Script::parse(&text, family).map_err(|error| format!("{}:{error}", path.display()))?;
        for engine in Engine::ALL {
            let directives = script.directives();
            if directives.allows_family(family) && directives.allows_engine(engine) {
                cases.push(Case {
                    name: format!("{}.{suffix}.{}", name.display(), engine.name()),
                    path: path.to_owned(),
                    text: text.clone(),
                    family,
                    engine,
                });
            }
        }
    }
    Ok(cases)
}

fn play(case: &Case) -> Result<(), String> {
    let at = |failure: String| format!("{}\n{}:{failure}", case.name, case.path.display());
    let script = Script::parse(&case.text, case.family).map_err(|error| at(error.to_string()))?;
    let options = script.directives().stack_options(case.engine);
    let mut stack = Host::new(START, vec![local_address(case.family)], options);
    let played = script.play(&mut stack, case.family);
    match (script.directives().fails(), played) {
        (Some(reason), Ok(())) => Err(at(format!(
            " it plays, though it says `fails: {reason}`: take that line out"
        ))),
        (Some(_), Err(_)) => Ok(()),
        (None, played) => played.map_err(|failure| at(failure.to_string())),
    }
}

/// All scripts below `directory`, in order.
fn scripts_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            paths.extend(scripts_below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
