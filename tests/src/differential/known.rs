//! The differences that are meant to be there.

use super::case::Case;
use super::compare::Difference;

/// Whom ours is compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reference {
    /// The kernel.
    Linux,
    /// smoltcp.
    Smoltcp,
}

/// A difference that is meant to be there.
#[derive(Debug)]
pub struct Known {
    /// A few words.
    pub name: &'static str,
    /// From whom ours differs.
    pub from: &'static [Reference],
    /// Why.
    pub reason: &'static str,
    /// Whether a difference is this one.
    pub(super) is: fn(&Case, &Difference) -> bool,
}

/// All of them. The first that fits counts.
pub const KNOWN: &[Known] = &[];

/// The one that a difference is.
pub(super) fn find(
    reference: Reference,
    case: &Case,
    difference: &Difference,
) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.from.contains(&reference) && (known.is)(case, difference))
}
