//! Reading tables key by key, so that one pass finds every fault.
//!
//! A [`Section`] wraps a table of the parsed file. Each key is asked for by the code that wants it,
//! with a function that reads the value; a value that cannot be read is reported and stands for
//! its default, because a configuration with a fault is never handed out. [`Section::finish`]
//! reports the keys that nobody asked for, so the list of known keys cannot differ from the code.

use core::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::report::Findings;

/// A table, and which of its keys have been asked for.
pub(super) struct Section<'a> {
    /// How messages name it: `[runtime]`, `[[port]]`.
    label: &'static str,
    /// Its header, or the inline table.
    span: Range<usize>,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Wraps a table.
    pub(super) fn new(label: &'static str, span: Range<usize>, table: &'a DeTable<'a>) -> Self {
        Self {
            label,
            span,
            table,
            asked: Vec::new(),
        }
    }

    /// The place of the table's header.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// How messages name a key of this table.
    pub(super) fn subject(&self, key: &str) -> String {
        if self.label.is_empty() {
            format!("`{key}`")
        } else {
            format!("`{key}` in {}", self.label)
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// The value of a key that may be absent; `None` too if it cannot be read.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(Spanned::new(value.span(), read)),
            Err(fault) => {
                findings.error(value.span(), self.subject(key), fault);
                None
            }
        }
    }

    /// The value of a key, or the default.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        findings: &mut Findings,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, Fault>,
    ) -> T {
        self.optional(key, findings, read)
            .map_or(default, Spanned::into_inner)
    }

    /// The value of a key that must be there, as in the line `example`.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        if !self.table.contains_key(key) {
            findings.error(
                self.span(),
                self.subject(key),
                Fault::MissingKey { example },
            );
        }
        self.optional(key, findings, read)
    }

    /// The elements of a list that can be read; `None` if the key is absent or no list.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        findings: &mut Findings,
        mut read: impl FnMut(&'a DeValue<'a>) -> Result<T, Fault>,
    ) -> Option<Spanned<Vec<Spanned<T>>>> {
        let value = self.value(key)?;
        let Some(elements) = value.get_ref().as_array() else {
            let found = value.get_ref().type_str();
            let fault = Fault::WrongType {
                expected: "a list",
                found,
                example,
            };
            findings.error(value.span(), self.subject(key), fault);
            return None;
        };
        let mut list = Vec::with_capacity(elements.len());
        for element in elements {
            match read(element.get_ref()) {
                Ok(read) => list.push(Spanned::new(element.span(), read)),
                Err(fault) => findings.error(element.span(), self.subject(key), fault),
            }
        }
        Some(Spanned::new(value.span(), list))
    }

    /// The table `key`, if it is there; messages will call it `label`.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        label: &'static str,
        findings: &mut Findings,
    ) -> Option<Self> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            let found = value.get_ref().type_str();
            let fault = Fault::WrongType {
                expected: "a table",
                found,
                example: label,
            };
            findings.error(value.span(), self.subject(key), fault);
            return None;
        };
        Some(Self::new(label, value.span(), table))
    }

    /// The tables of the list `key`, written as in `example`; messages will call each of them
    /// `label`.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        label: &'static str,
        example: &'static str,
        findings: &mut Findings,
    ) -> Vec<Self> {
        let tables = self.list(key, example, findings, |element| {
            let found = element.type_str();
            let fault = Fault::WrongType {
                expected: "a list of tables",
                found,
                example,
            };
            element.as_table().ok_or(fault)
        });
        let tables = tables.map_or_else(Vec::new, Spanned::into_inner);
        tables
            .into_iter()
            .map(|table| Self::new(label, table.span(), table.into_inner()))
            .collect()
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, findings: &mut Findings) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(&name) {
                let nearest = nearest(name, self.asked.iter().copied());
                let fault = Fault::UnknownKey {
                    nearest,
                    known: self.asked.clone(),
                };
                findings.error(key.span(), self.subject(name), fault);
            }
        }
    }
}

/// The candidate that `written` was probably meant to be.
///
/// At most a third of its characters may be wrong, and at least one is let pass; case and the
/// choice between `-` and `_` do not count.
pub(super) fn nearest<'c>(
    written: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // Longer texts are no slip of the pen, and the comparison takes quadratic time.
    const LONGEST: usize = 64;
    if written.len() > LONGEST {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    let written = fold(written);
    let allowed = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&written, &fold(candidate)),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_recognised() {
        let keys = ["lcores", "idle", "idle_spins", "idle_sleep", "seed"];
        assert_eq!(nearest("lcore", keys), Some("lcores"));
        assert_eq!(nearest("idel", keys), Some("idle"));
        assert_eq!(nearest("Idle-Spins", keys), Some("idle_spins"));
        assert_eq!(nearest("sede", keys), Some("seed"));
        assert_eq!(nearest("mtu", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
    }
}
