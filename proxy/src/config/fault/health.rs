//! What can be wrong with how backends are checked.

use thiserror::Error;

/// A check that could not be made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum HealthFault {
    /// A backslash before something that it cannot stand before.
    #[error("`{}` has a backslash that means nothing", .text.escape_debug())]
    BadEscape {
        /// The text, as TOML read it.
        text: String,
    },
    /// More octets than are sent, or looked at.
    #[error("more than {most} octets")]
    TooLong {
        /// The most that are possible.
        most: usize,
    },
    /// An answer that everything would be.
    #[error("an empty text is in every answer")]
    ExpectsNothing,
    /// What cannot stand in the first line of a request.
    #[error("no path of an HTTP request")]
    BadPath,
    /// What cannot stand in a Host field.
    #[error("no host of an HTTP request")]
    BadHost,
    /// Neither a status code nor a range of them.
    #[error("`{}` is no final status code, nor a range of them", .text.escape_debug())]
    BadStatus {
        /// The value.
        text: String,
    },
}

impl HealthFault {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::BadEscape { .. } => {
                "write \\r, \\n, \\t, \\0 or \\xHH for an octet and \\\\ for a backslash; in \
                 quotes of TOML each backslash is doubled, in 'single quotes' it is not"
                    .into()
            }
            Self::TooLong { most } => format!("shorten it to {most} octets"),
            Self::ExpectsNothing => "write what the answer must have, or `check = \"tcp\"`".into(),
            Self::BadPath => "begin with `/`, and write spaces and other characters as %HH, as in \
                 \"/health?full=1\""
                .into(),
            Self::BadHost => "write a name or an address, as in \"www.example.org:8080\"".into(),
            Self::BadStatus { .. } => {
                "write codes from 200 to 599, as in `status = [\"200-299\", \"401\"]`".into()
            }
        }
    }
}
