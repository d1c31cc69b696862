//! The scripts of a directory as cases: each over both IP versions, with every engine it allows.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Script;
use crate::sim::Family;
use crate::stack::Engine;

/// A script, an IP version and an engine.
#[derive(Clone, Debug)]
pub struct Case {
    /// `topic/script.v4.smoltcp`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What it says, read for the IP version.
    pub script: Script,
    /// The IP version.
    pub family: Family,
    /// The engine.
    pub engine: Engine,
}

impl Case {
    /// All cases of the scripts of this repository, in order; or what is wrong with the scripts.
    pub fn all() -> Result<Vec<Self>, Vec<String>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let paths = scripts_below(&root);
        let paths = paths.map_err(|error| vec![format!("{}: {error}", root.display())])?;
        let mut failures = Vec::new();
        let mut cases = Vec::new();
        for path in paths {
            match Self::of_script(&root, &path) {
                Ok(of_script) => cases.extend(of_script),
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() {
            Ok(cases)
        } else {
            Err(failures)
        }
    }

    /// What went wrong, under the name of the case and with the place of the script.
    pub fn failed(&self, failure: &impl core::fmt::Display) -> String {
        format!("{}\n{}:{failure}", self.name, self.path.display())
    }

    fn of_script(root: &Path, path: &Path) -> Result<Vec<Self>, String> {
        let name = path.strip_prefix(root).unwrap_or(path).with_extension("");
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut cases = Vec::new();
        for (family, suffix) in [(Family::V4, "v4"), (Family::V6, "v6")] {
            let script = Script::parse(&text, family);
            let script = script.map_err(|error| format!("{}:{error}", path.display()))?;
            for engine in Engine::ALL {
                let directives = script.directives();
                if directives.allows_family(family) && directives.allows_engine(engine) {
                    cases.push(Self {
                        name: format!("{}.{suffix}.{}", name.display(), engine.name()),
                        path: path.to_owned(),
                        script: script.clone(),
                        family,
                        engine,
                    });
                }
            }
        }
        Ok(cases)
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
