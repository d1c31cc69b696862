//! A Rust file, parsed, without its tests.

use std::fs;
use std::path::Path;

use syn::visit_mut::{self, VisitMut};

use crate::Error;

/// A Rust file of this repository.
pub(super) struct SourceFile {
    /// Path below the root of the repository, with `/` between its parts.
    pub(super) path: String,
    /// Number of lines before the tests at the bottom.
    pub(super) lines: usize,
    /// The items of the file; of test code nothing is left.
    pub(super) code: syn::File,
    /// The file as it stands, tests included.
    pub(super) everything: syn::File,
}

impl SourceFile {
    /// Reads and parses `root`/`path`.
    pub(super) fn read(root: &Path, path: &Path) -> Result<Self, Error> {
        let full = root.join(path);
        let text = fs::read_to_string(&full).map_err(|source| Error::Read {
            path: full.display().to_string(),
            source,
        })?;
        Self::parse(&path.to_string_lossy(), &text)
    }

    /// Parses `text` as the content of the file at `path`.
    pub(super) fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let everything = syn::parse_file(text).map_err(|source| Error::Parse {
            path: path.to_owned(),
            line: source.span().start().line,
            source,
        })?;
        let tests = everything.items.iter().find_map(first_line_of_tests);
        let mut code = everything.clone();
        if is_test_file(path) {
            code.items.clear();
        }
        WithoutTests.visit_file_mut(&mut code);
        Ok(Self {
            path: path.to_owned(),
            lines: tests.map_or_else(|| text.lines().count(), |line| line - 1),
            code,
            everything,
        })
    }
}

/// Whether the whole file is test code by its place: `tests.rs`, or below a `tests` directory that
/// Cargo treats as integration tests.
pub(super) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The line where `item` begins if it is the module of tests.
fn first_line_of_tests(item: &syn::Item) -> Option<usize> {
    match item {
        syn::Item::Mod(module) if module.ident == "tests" && is_test(&module.attrs) => {
            let attribute = module.attrs.first()?;
            Some(attribute.pound_token.spans[0].start().line)
        }
        _ => None,
    }
}

/// Whether an item exists only when tests are built.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Path>()
                    .is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// Removes items that exist only when tests are built.
struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_test_item(item));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_test_item(item));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }
}

fn is_test_item(item: &syn::Item) -> bool {
    match item {
        syn::Item::Fn(function) => is_test(&function.attrs),
        syn::Item::Impl(block) => is_test(&block.attrs),
        syn::Item::Mod(module) => is_test(&module.attrs),
        syn::Item::Use(import) => is_test(&import.attrs),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_left_out() {
        let text = "//! Doc.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let file = SourceFile::parse("netstack/src/x.rs", text).unwrap();
        assert_eq!(file.lines, 3);
        assert_eq!(file.code.items.len(), 1);
        assert_eq!(file.everything.items.len(), 2);
    }

    #[test]
    fn a_file_of_tests_counts_as_tests() {
        for path in [
            "netstack/src/tcp/tests.rs",
            "netstack/tests/x.rs",
            "tests/tests/x.rs",
        ] {
            assert!(is_test_file(path), "{path}");
        }
        for path in ["tests/src/rig.rs", "netstack/src/tests_of_time.rs"] {
            assert!(!is_test_file(path), "{path}");
        }
    }

    #[test]
    fn what_is_not_rust_is_reported_with_its_line() {
        let Err(error) = SourceFile::parse("a.rs", "\nfn {") else {
            panic!("parsed");
        };
        assert!(error.to_string().starts_with("a.rs:2: "), "{error}");
    }
}
