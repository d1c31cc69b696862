//! Where in the file a fault is, and how it is shown.
//!
//! A finding prints as compilers print theirs, so that editors can jump to it:
//!
//! ```text
//! weirgate.toml:3:1: error: `idel` in [runtime]: unknown key
//!     3 | idel = "busy"
//!       | ^^^^
//!       = help: did you mean `idle`? The keys possible here: lcores, idle, ...
//! ```

use core::fmt::{self, Display};
use core::hash::Hash;
use core::ops::Range;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use super::fault::{Caution, Fault};

/// A place in a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Location {
    /// Number of the line, from 1.
    pub line: usize,
    /// Number of the character in the line, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub len: usize,
    /// The line, with control characters replaced by spaces.
    pub text: String,
}

/// One fault, with its place.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Where in the file; `None` if the file could not be read.
    pub location: Option<Location>,
    /// The key or table at fault, such as ``` `mtu` in [[port]] ```; empty if it is the whole file.
    pub subject: String,
    /// What is wrong.
    pub fault: Fault,
}

/// Everything that is wrong with a configuration, in the order of the file. Never empty.
#[derive(Debug)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
}

/// One caution, with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigWarning {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub location: Location,
    /// The key or table that is meant.
    pub subject: String,
    /// What is remarkable.
    pub caution: Caution,
}

impl ConfigErrors {
    /// The error of a file that could not be read.
    pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Self {
        let error = ConfigError {
            path: path.to_owned(),
            location: None,
            subject: String::new(),
            fault: Fault::Unreadable(error),
        };
        Self {
            errors: vec![error],
        }
    }

    /// The errors in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// How many there are: at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.errors.len()
    }
}

impl core::error::Error for ConfigErrors {}

impl Display for ConfigErrors {
    /// Every error, one after the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.errors.iter().try_for_each(|error| error.fmt(f))
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = (self.path.as_path(), self.location.as_ref());
        show(
            f,
            place,
            "error",
            &self.subject,
            &self.fault,
            &self.fault.help(),
        )
    }
}

impl Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = (self.path.as_path(), Some(&self.location));
        show(
            f,
            place,
            "warning",
            &self.subject,
            &self.caution,
            self.caution.help(),
        )
    }
}

fn show(
    f: &mut fmt::Formatter<'_>,
    (path, location): (&Path, Option<&Location>),
    severity: &str,
    subject: &str,
    statement: &dyn Display,
    help: &str,
) -> fmt::Result {
    let separator = if subject.is_empty() { "" } else { ": " };
    let path = path.display();
    let Some(Location {
        line,
        column,
        len,
        text,
    }) = location
    else {
        writeln!(f, "{path}: {severity}: {subject}{separator}{statement}")?;
        return writeln!(f, "      = help: {help}");
    };
    writeln!(
        f,
        "{path}:{line}:{column}: {severity}: {subject}{separator}{statement}"
    )?;
    writeln!(f, "{line:>5} | {text}")?;
    writeln!(
        f,
        "      | {:indent$}{:^<len$}",
        "",
        "",
        indent = column - 1
    )?;
    writeln!(f, "      = help: {help}")
}

/// What was found so far, by position in the text.
#[derive(Debug)]
pub(super) struct Findings {
    /// Offsets of all line ends, ascending.
    newlines: Vec<usize>,
    errors: Vec<Finding<Fault>>,
    warnings: Vec<Finding<Caution>>,
}

#[derive(Debug)]
struct Finding<T> {
    span: Range<usize>,
    subject: String,
    statement: T,
}

impl Findings {
    pub(super) fn new(text: &str) -> Self {
        let newlines = text.match_indices('\n').map(|(offset, _)| offset).collect();
        Self {
            newlines,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The number of the line, from 1, that holds the octet at `offset`.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < offset)
    }

    /// Reports every value that occurred before.
    pub(super) fn unique<T: Eq + Hash + Display>(
        &mut self,
        subject: &str,
        values: impl IntoIterator<Item = (Range<usize>, T)>,
    ) {
        let mut first_uses = HashMap::new();
        for (span, value) in values {
            match first_uses.entry(value) {
                Entry::Vacant(entry) => {
                    entry.insert(span.start);
                }
                Entry::Occupied(entry) => {
                    let first_line = self.line_of(*entry.get());
                    let fault = Fault::Duplicate {
                        value: entry.key().to_string(),
                        first_line,
                    };
                    self.error(span, subject, fault);
                }
            }
        }
    }

    pub(super) fn error(
        &mut self,
        span: Range<usize>,
        subject: impl Into<String>,
        fault: impl Into<Fault>,
    ) {
        let statement = fault.into();
        self.errors.push(Finding {
            span,
            subject: subject.into(),
            statement,
        });
    }

    pub(super) fn warn(&mut self, span: Range<usize>, subject: impl Into<String>, what: Caution) {
        self.warnings.push(Finding {
            span,
            subject: subject.into(),
            statement: what,
        });
    }

    /// How many errors there are, to be compared with a later count.
    pub(super) fn error_count(&self) -> usize {
        self.errors.len()
    }

    /// The warnings; or the errors, if there is one.
    pub(super) fn conclude(
        mut self,
        text: &str,
        path: &Path,
    ) -> Result<Vec<ConfigWarning>, ConfigErrors> {
        if self.errors.is_empty() {
            self.warnings.sort_by_key(|finding| finding.span.start);
            let warnings = self.warnings.into_iter().map(|finding| ConfigWarning {
                path: path.to_owned(),
                location: Location::of(text, finding.span),
                subject: finding.subject,
                caution: finding.statement,
            });
            return Ok(warnings.collect());
        }
        self.errors.sort_by_key(|finding| finding.span.start);
        let errors = self.errors.into_iter().map(|finding| ConfigError {
            path: path.to_owned(),
            location: Some(Location::of(text, finding.span)),
            subject: finding.subject,
            fault: finding.statement,
        });
        Err(ConfigErrors {
            errors: errors.collect(),
        })
    }
}

impl Location {
    /// The place of the octets `span` of `text`; of its end, if they lie beyond.
    fn of(text: &str, span: Range<usize>) -> Self {
        let start = floor_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        // A fault that goes on over several lines is shown by its first.
        let end = floor_boundary(text, span.end.min(line_end)).max(start);
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            line: 1 + text[..line_start].matches('\n').count(),
            column: 1 + text[line_start..start].chars().count(),
            len: text[start..end].chars().count().max(1),
            text: text[line_start..line_end]
                .chars()
                .map(printable)
                .collect::<String>(),
        }
    }
}

/// The last boundary between characters that is not after `offset`.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::TopologyFault;

    #[test]
    fn places_count_characters_from_one() {
        let text = "a = 1\nää = \"x\"\n";
        let location = Location::of(text, 13..16);
        assert_eq!((location.line, location.column, location.len), (2, 6, 3));
        assert_eq!(location.text, "ää = \"x\"");
    }

    #[test]
    fn a_place_over_several_lines_ends_with_the_first() {
        let location = Location::of("k = [\n1]\n", 4..8);
        assert_eq!((location.line, location.column, location.len), (1, 5, 1));
    }

    #[test]
    fn the_end_of_the_text_and_beyond_are_places() {
        let end = Location::of("a =", 3..3);
        assert_eq!((end.line, end.column, end.len), (1, 4, 1));
        assert_eq!(Location::of("a =", 99..200), end);
        assert_eq!(Location::of("", 0..0).line, 1);
        assert_eq!(Location::of("ä", 1..1).column, 1);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let location = Location::of("a\t= \u{1b}[31m", 0..1);
        assert_eq!(location.text, "a =  [31m");
    }

    #[test]
    fn the_caret_stands_under_the_fault() {
        let text = "port = 65536 # x\n";
        let mut findings = Findings::new(text);
        findings.error(7..12, "`weight`", TopologyFault::NoWeight);
        let errors = findings.conclude(text, Path::new("w.toml")).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "w.toml:1:8: error: `weight`: every backend has weight 0, so none is ever chosen\n    \
             1 | port = 65536 # x\n      |        ^^^^^\n      \
             = help: give at least one backend a weight of 1 to 256\n"
        );
    }
}
