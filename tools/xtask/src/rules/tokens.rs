//! Words that may only stand in certain places.
//!
//! Each [`Rule`] says where it holds and which paths must not be named there. Imports and
//! qualified paths are both seen, and so are the words inside macro calls.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Violation;
use super::source::SourceFile;

/// Checks all rules that hold for the file.
pub(super) fn check(file: &SourceFile) -> Vec<Violation> {
    RULES
        .iter()
        .filter(|rule| (rule.holds_for)(&file.path))
        .flat_map(|rule| check_rule(rule, file))
        .collect()
}

/// What must not be named in some of the files.
struct Rule {
    /// Whether the rule holds for the file at this path.
    holds_for: fn(&str) -> bool,
    /// Whether test code is exempt.
    tests_exempt: bool,
    /// Forbidden paths; one of a single word is also searched for in macro calls.
    names: &'static [&'static str],
    /// Why, and what to do instead.
    reason: &'static str,
}

const RULES: [Rule; 4] = [
    Rule {
        holds_for: |path| !path.starts_with("dpdk-io/") && !is_interface_of_packetdrill(path),
        tests_exempt: false,
        names: &["unsafe"],
        reason: "unsafe code belongs in dpdk-io",
    },
    Rule {
        holds_for: |path| path.starts_with("netstack/src/"),
        tests_exempt: true,
        names: &[
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
        reason: "netstack reads no clock, opens no socket and starts no thread; pass it in",
    },
    Rule {
        holds_for: |path| {
            path.starts_with("netstack/src/") || path.starts_with("proxy/src/pipeline")
        },
        tests_exempt: true,
        names: &["tracing"],
        reason: "nothing logs on the packet path; add a counter",
    },
    Rule {
        holds_for: |path| path.starts_with("proxy/src/") && !is_dpdk_part_of_proxy(path),
        tests_exempt: false,
        names: &["dpdk_io"],
        reason: "the proxy's library is generic over `PacketIo`; only its binary sees DPDK",
    },
];

/// The binary and the modules that only the binary uses.
fn is_dpdk_part_of_proxy(path: &str) -> bool {
    ["proxy/src/main.rs", "proxy/src/bin/", "proxy/src/dpdk"]
        .iter()
        .any(|part| path.starts_with(part))
}

/// The module that speaks the C interface of packetdrill, which cannot be had without; it is never
/// linked into the product.
fn is_interface_of_packetdrill(path: &str) -> bool {
    path == "tests/packetdrill/src/abi.rs" || path.starts_with("tests/packetdrill/src/abi/")
}

fn check_rule(rule: &Rule, file: &SourceFile) -> Vec<Violation> {
    let code = if rule.tests_exempt {
        &file.code
    } else {
        &file.everything
    };
    let mut found = Vec::new();
    for name in rule.names {
        if name.contains("::") {
            let mut paths = Paths {
                name,
                lines: Vec::new(),
            };
            paths.visit_file(code);
            found.extend(paths.lines.into_iter().map(|line| (line, *name)));
        } else {
            let mut lines = Vec::new();
            find_word(code.to_token_stream(), name, &mut lines);
            found.extend(lines.into_iter().map(|line| (line, *name)));
        }
    }
    found
        .into_iter()
        .map(|(line, name)| Violation {
            place: format!("{}:{line}", file.path),
            what: format!("`{name}`: {}", rule.reason),
        })
        .collect()
}

/// Adds the lines where `word` stands, also inside of macro calls.
fn find_word(tokens: TokenStream, word: &str, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => find_word(group.stream(), word, lines),
            TokenTree::Ident(ident) if ident == word => lines.push(ident.span().start().line),
            _ => {}
        }
    }
}

/// Finds the places that name a path, or import something that would hide it.
struct Paths<'a> {
    name: &'a str,
    lines: Vec<usize>,
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if is_at_or_below(&words.join("::"), self.name) {
            self.lines.push(path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        let mut imported = Vec::new();
        flatten("", &import.tree, &mut imported);
        for path in imported {
            // A parent that is imported as a whole would let the name in by the back door.
            if is_at_or_below(&path, self.name) || is_at_or_below(self.name, &path) {
                self.lines.push(import.use_token.span().start().line);
            }
        }
    }
}

/// Lists the paths that a `use` brings in; a glob counts as the module that it empties.
fn flatten(prefix: &str, tree: &syn::UseTree, paths: &mut Vec<String>) {
    let join = |name: &syn::Ident| match (prefix, name.to_string()) {
        ("", name) => name,
        (prefix, name) if name == "self" => prefix.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    match tree {
        syn::UseTree::Path(path) => flatten(&join(&path.ident), &path.tree, paths),
        syn::UseTree::Name(name) => paths.push(join(&name.ident)),
        syn::UseTree::Rename(rename) => paths.push(join(&rename.ident)),
        syn::UseTree::Glob(_) => paths.push(prefix.to_owned()),
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(prefix, tree, paths);
            }
        }
    }
}

/// Whether `path` is `root` or something inside of it.
fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile::parse(path, text).unwrap();
        check(&file)
            .into_iter()
            .map(|violation| violation.place)
            .collect()
    }

    #[test]
    fn unsafe_code_stands_in_dpdk_io_only() {
        let text = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(broken("proxy/src/x.rs", text), ["proxy/src/x.rs:2"]);
        assert!(broken("dpdk-io/src/x.rs", text).is_empty());
        for path in ["abi.rs", "abi/data.rs"] {
            let path = format!("tests/packetdrill/src/{path}");
            assert!(broken(&path, text).is_empty(), "{path}");
        }
        for path in ["src/abi2.rs", "src/session.rs", "tests/abi.rs"] {
            let path = format!("tests/packetdrill/{path}");
            assert_eq!(broken(&path, text).len(), 1, "{path}");
        }
        let in_macro = "m! {\n\n unsafe { g() } }";
        assert_eq!(broken("tests/src/x.rs", in_macro), ["tests/src/x.rs:3"]);
    }

    #[test]
    fn words_in_comments_strings_and_lints_are_no_code() {
        let text = "#![forbid(unsafe_code)]\n//! unsafe\nconst A: &str = \"unsafe\"; // unsafe\n";
        assert!(broken("proxy/src/x.rs", text).is_empty());
    }

    #[test]
    fn netstack_has_no_clock() {
        for text in [
            "use std::time::Instant;",
            "use std::time::{Duration, Instant};",
            "use std::{net::IpAddr, time::Instant as Clock};",
            "use std::time::*;",
            "use std::time;",
            "use std::time::{self, Duration};",
            "fn f() { std::time::Instant::now(); }",
            "fn f(at: std::time::SystemTime) {}",
            "use std::thread;",
            "fn f() { std::thread::spawn(g); }",
            "use std::net::TcpStream;",
        ] {
            assert!(!broken("netstack/src/x.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_clock_is_allowed() {
        for text in [
            "use core::time::Duration;",
            "use std::time::Duration;",
            "use std::net::{IpAddr, Ipv4Addr};",
            "use crate::time::Instant;",
            "fn f() { std::threaded(); }",
            "#[cfg(test)]\nmod tests { use std::thread; }",
        ] {
            assert!(broken("netstack/src/x.rs", text).is_empty(), "{text}");
        }
        assert!(broken("proxy/src/x.rs", "use std::time::Instant;").is_empty());
    }

    #[test]
    fn nothing_logs_on_the_packet_path() {
        let text = "fn f() { tracing::info!(\"x\"); }";
        assert_eq!(broken("proxy/src/pipeline/tx.rs", text).len(), 1);
        assert_eq!(broken("netstack/src/tcp.rs", "use tracing::info;").len(), 1);
        assert!(broken("proxy/src/control.rs", text).is_empty());
    }

    #[test]
    fn the_proxy_library_does_not_see_dpdk() {
        let text = "use dpdk_io::Eal;";
        assert_eq!(broken("proxy/src/worker.rs", text).len(), 1);
        for path in [
            "proxy/src/main.rs",
            "proxy/src/bin/x.rs",
            "proxy/src/dpdk.rs",
        ] {
            assert!(broken(path, text).is_empty(), "{path}");
        }
    }
}
