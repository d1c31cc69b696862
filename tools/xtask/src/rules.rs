//! `cargo xtask rules`: what holds for all code of this repository and no compiler checks.
//!
//! [`dependencies`] says which package may know which; [`tokens`] where words such as `unsafe`
//! may stand; [`shape`] how long files and functions may get and what files must not be called.
//! The checks work on parsed sources, so comments and strings cannot break a rule.

mod dependencies;
mod shape;
mod source;
mod tokens;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::workspace::Workspace;
use source::SourceFile;

/// Checks all rules and prints what breaks them.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let mut violations = dependencies::check(&dependencies::packages(workspace.packages()));
    let files = rust_files(workspace.root())?;
    for path in &files {
        let file = SourceFile::read(workspace.root(), path)?;
        violations.extend(tokens::check(&file));
        violations.extend(shape::check(&file));
    }
    if violations.is_empty() {
        println!("{} files keep the rules", files.len());
        return Ok(());
    }
    for violation in &violations {
        println!("{violation}");
    }
    Err(Error::Rules(violations.len()))
}

/// A broken rule and where.
#[derive(Debug, Eq, PartialEq)]
struct Violation {
    /// A file, with its line if it is known, or a package.
    place: String,
    /// What is wrong and what to do instead.
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// All Rust files below `root`, relative to it, in order; build directories are left out.
fn rust_files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let full = root.join(&directory);
        let read = |source| Error::Read {
            path: full.display().to_string(),
            source,
        };
        for entry in full.read_dir().map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let path = directory.join(&name);
            if entry.file_type().map_err(read)?.is_dir() {
                let name = name.to_string_lossy();
                if name != "target" && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_build_directories_are_left_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = rust_files(root).unwrap();
        assert!(files.contains(&PathBuf::from("src/rules/shape.rs")));
        assert!(
            files.iter().all(|file| file.starts_with("src")),
            "{files:?}"
        );
    }
}
