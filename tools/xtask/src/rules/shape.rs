//! Sizes and names: files that stay readable, and names that say what is inside.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Violation;
use super::source::SourceFile;

/// Checks the length of the file and of its functions, and its name. Tests may be longer.
pub(super) fn check(file: &SourceFile) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut path = file.path.trim_end_matches(".rs").split('/');
    if let Some(name) = path.find(|part| FORBIDDEN_NAMES.contains(part)) {
        violations.push(Violation {
            place: file.path.clone(),
            what: format!("`{name}` says nothing; name the file after what it holds"),
        });
    }
    if super::source::is_test_file(&file.path) {
        return violations;
    }
    if file.lines > MAX_FILE_LINES {
        violations.push(Violation {
            place: file.path.clone(),
            what: format!(
                "{} lines before its tests; at most {MAX_FILE_LINES}, so split it by subject",
                file.lines
            ),
        });
    }
    let mut functions = LongFunctions {
        path: &file.path,
        violations,
    };
    functions.visit_file(&file.code);
    functions.violations
}

/// Collects functions that are too long.
struct LongFunctions<'a> {
    path: &'a str,
    violations: Vec<Violation>,
}

impl LongFunctions<'_> {
    fn check(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span().start().line;
        let lines = block.brace_token.span.close().end().line - first;
        if lines > MAX_FUNCTION_LINES {
            self.violations.push(Violation {
                place: format!("{}:{first}", self.path),
                what: format!(
                    "function `{}` has {lines} lines; at most {MAX_FUNCTION_LINES}",
                    signature.ident
                ),
            });
        }
    }
}

impl<'ast> Visit<'ast> for LongFunctions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.check(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 60;
const FORBIDDEN_NAMES: [&str; 7] = [
    "base", "common", "helper", "helpers", "misc", "util", "utils",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile::parse(path, text).unwrap();
        check(&file).iter().map(ToString::to_string).collect()
    }

    /// A function whose closing brace stands `lines` lines below its `fn`.
    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 1))
    }

    #[test]
    fn functions_may_have_60_lines() {
        assert!(broken("a/src/x.rs", &function(60)).is_empty());
        let broken_by_61 = broken("a/src/x.rs", &function(61));
        assert_eq!(
            broken_by_61,
            ["a/src/x.rs:1: function `f` has 61 lines; at most 60"]
        );
    }

    #[test]
    fn methods_are_functions_too() {
        let method = format!("struct S;\nimpl S {{\n{}}}\n", function(61));
        let default = format!("trait T {{\n{}}}\n", function(61));
        for text in [method, default] {
            assert_eq!(broken("a/src/x.rs", &text).len(), 1);
        }
    }

    #[test]
    fn tests_may_be_longer() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(700));
        assert!(broken("a/src/x.rs", &text).is_empty());
        assert!(broken("a/src/x/tests.rs", &function(700)).is_empty());
    }

    #[test]
    fn files_may_have_600_lines() {
        assert!(broken("a/src/x.rs", &"const A: u8 = 0;\n".repeat(600)).is_empty());
        assert_eq!(
            broken("a/src/x.rs", &"const A: u8 = 0;\n".repeat(601)).len(),
            1
        );
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        for path in ["a/src/util.rs", "a/src/common/x.rs", "a/tests/helpers.rs"] {
            assert_eq!(broken(path, "").len(), 1, "{path}");
        }
        assert!(broken("a/src/base64.rs", "").is_empty());
    }
}
