//! Code blocks: what must be true of a connection's `tcp_info`.
//!
//! `%{ tcpi_state == TCP_ESTABLISHED, tcpi_snd_cwnd >= 10 and tcpi_rto == 200000 }%`: comparisons,
//! joined by commas, semicolons, new lines or `and`, each with or without `assert` in front. A side
//! of a comparison is a field (`tcpi_...`), a number, or a constant of Linux (`TCP_...`). All of
//! them must hold. Nothing else of Python is understood.

use core::fmt;

use super::ParseError;
use crate::stack::{TCP_STATES, TcpInfo};

/// The congestion control states of Linux, as in `tcpi_ca_state`.
const CA_STATES: [(&str, u64); 5] = [
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1),
    ("TCP_CA_CWR", 2),
    ("TCP_CA_Recovery", 3),
    ("TCP_CA_Loss", 4),
];

/// A comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Assertion {
    left: Side,
    comparison: Comparison,
    right: Side,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Side {
    Field(String),
    Number(u64),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why an assertion does not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum AssertionError {
    /// The stack does not tell.
    #[error("`{field}` is not known; known are: {known}")]
    Unknown { field: String, known: String },
    /// It is otherwise.
    #[error("`{assertion}` is false: {left} and {right}")]
    False {
        assertion: Assertion,
        left: u64,
        right: u64,
    },
}

impl Comparison {
    /// The longer signs first, so that `<=` is not read as `<`.
    const SIGNS: [(&str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn holds(self, left: u64, right: u64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Assertion {
    /// Reads a code block that begins on `line`.
    pub(super) fn parse_all(code: &str, line: usize) -> Result<Vec<Self>, ParseError> {
        let mut assertions = Vec::new();
        for (offset, text) in code.split('\n').enumerate() {
            let line = line + offset;
            let parts = text.split([',', ';']).flat_map(|part| part.split(" and "));
            for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
                assertions.push(Self::parse(part, line)?);
            }
        }
        if assertions.is_empty() {
            return Err(ParseError::new(
                line,
                "the code block asserts nothing".into(),
            ));
        }
        Ok(assertions)
    }

    fn parse(text: &str, line: usize) -> Result<Self, ParseError> {
        let text = text.strip_prefix("assert ").unwrap_or(text);
        let found = Comparison::SIGNS
            .into_iter()
            .find_map(|(sign, comparison)| {
                let (left, right) = text.split_once(sign)?;
                Some((left, comparison, right))
            });
        let Some((left, comparison, right)) = found else {
            return Err(ParseError::new(
                line,
                format!("`{text}` is no comparison: write `tcpi_... == ...`"),
            ));
        };
        Ok(Self {
            left: Side::parse(left, line)?,
            comparison,
            right: Side::parse(right, line)?,
        })
    }

    /// Whether it holds.
    pub(super) fn check(&self, info: &TcpInfo) -> Result<(), AssertionError> {
        let left = self.left.value(info)?;
        let right = self.right.value(info)?;
        if self.comparison.holds(left, right) {
            return Ok(());
        }
        Err(AssertionError::False {
            assertion: self.clone(),
            left,
            right,
        })
    }
}

impl Side {
    fn parse(text: &str, line: usize) -> Result<Self, ParseError> {
        let text = text.trim();
        if text.starts_with("tcpi_") && text.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Ok(Self::Field(text.to_owned()));
        }
        let constant = TCP_STATES
            .into_iter()
            .chain(CA_STATES)
            .find(|(name, _)| *name == text);
        let number = constant.map(|(_, value)| value);
        number
            .or_else(|| text.parse().ok())
            .map(Self::Number)
            .ok_or_else(|| {
                ParseError::new(
                    line,
                    format!(
                        "`{text}` is neither a `tcpi_` field nor a number nor a `TCP_` constant"
                    ),
                )
            })
    }

    fn value(&self, info: &TcpInfo) -> Result<u64, AssertionError> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Field(field) => info.field(field).ok_or_else(|| AssertionError::Unknown {
                field: field.clone(),
                known: info.names().collect::<Vec<_>>().join(" "),
            }),
        }
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Comparison::SIGNS
            .into_iter()
            .find(|(_, comparison)| *comparison == self.comparison)
            .map_or("", |(sign, _)| sign);
        write!(f, "{} {sign} {}", self.left, self.right)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> TcpInfo {
        TcpInfo::default()
            .with("tcpi_state", 1)
            .with("tcpi_snd_cwnd", 10)
    }

    fn check(code: &str) -> Result<(), AssertionError> {
        let assertions = Assertion::parse_all(code, 1).unwrap();
        assertions.iter().try_for_each(|each| each.check(&info()))
    }

    #[test]
    fn all_comparisons_of_a_block_must_hold() {
        let all = "assert tcpi_state == TCP_ESTABLISHED, tcpi_snd_cwnd >= 10 and 11 > tcpi_snd_cwnd\n\
                   tcpi_snd_cwnd != 9; tcpi_state < 2, tcpi_state <= 1";
        assert_eq!(check(all), Ok(()));
        for wrong in [
            "tcpi_snd_cwnd == 11",
            "tcpi_state == 1 and tcpi_snd_cwnd < 10",
            "tcpi_state == TCP_CLOSE",
        ] {
            let error = check(wrong).unwrap_err();
            assert!(matches!(error, AssertionError::False { .. }), "{error}");
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_an_error_and_not_zero() {
        let error = check("tcpi_lost == 0").unwrap_err();
        assert!(matches!(error, AssertionError::Unknown { .. }), "{error}");
    }

    #[test]
    fn other_python_is_refused_with_its_line() {
        for (code, line) in [
            ("print tcpi_state", 7),
            ("tcpi_state == 1\nfoo == 2", 8),
            ("", 7),
            ("tcpi_state == len(x)", 7),
        ] {
            assert_eq!(Assertion::parse_all(code, 7).unwrap_err().line, line);
        }
    }
}
