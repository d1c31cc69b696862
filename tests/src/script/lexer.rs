//! Text into tokens, each with its line.
//!
//! Comments are those of C and C++. A C++ comment of the form `// engines: a b` or `// fails: why` is
//! a directive of ours, which programs that do not know it ignore.

use super::ParseError;

/// A piece of a script.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Letters, digits and `_`, not beginning with a digit.
    Word(String),
    /// Digits, or `0x` and hexadecimal digits.
    Integer(u64),
    /// Digits with a point among or before them: the digits before it, and those behind.
    Decimal(String, String),
    /// Between quotation marks.
    Text(String),
    /// Between back-quotes.
    Command(String),
    /// Between `%{` and `}%`.
    Code(String),
    /// `--name=value`: name and value.
    Option(String, String),
    /// The words behind `// engines:`.
    Engines(Vec<String>),
    /// What stands behind `// fails:`.
    Fails(String),
    /// `...`
    Ellipsis,
    /// Anything else.
    Sign(char),
}

/// A token and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) line: usize,
    pub(super) token: Token,
}

const ENGINES: &str = "engines:";

const FAILS: &str = "fails:";

/// Cuts `text` into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ParseError> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
    };
    let mut tokens = Vec::new();
    while let Some(placed) = lexer.next()? {
        tokens.push(placed);
    }
    Ok(tokens)
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Lexer<'t> {
    fn next(&mut self) -> Result<Option<Placed>, ParseError> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            let line = self.line;
            if let Some(comment) = self.rest.strip_prefix("//") {
                let end = comment.find('\n').unwrap_or(comment.len());
                let comment = self.take(2 + end)[2..].trim();
                let token = if let Some(names) = comment.strip_prefix(ENGINES) {
                    Token::Engines(names.split_whitespace().map(str::to_owned).collect())
                } else if let Some(reason) = comment.strip_prefix(FAILS) {
                    Token::Fails(reason.trim().to_owned())
                } else {
                    continue;
                };
                return Ok(Some(Placed { line, token }));
            }
            if self.rest.starts_with("/*") {
                self.enclosed("/*", "*/", "a comment")?;
                continue;
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
            let token = self.token()?;
            return Ok(Some(Placed { line, token }));
        }
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let first = self.rest.chars().next().unwrap_or_default();
        if self.rest.starts_with("...") {
            self.take(3);
            return Ok(Token::Ellipsis);
        }
        if self.rest.starts_with("%{") {
            let code = self.enclosed("%{", "}%", "a code block")?;
            return Ok(Token::Code(code.to_owned()));
        }
        if first == '"' {
            return Ok(Token::Text(
                self.enclosed("\"", "\"", "a string")?.to_owned(),
            ));
        }
        if first == '`' {
            return Ok(Token::Command(
                self.enclosed("`", "`", "a command")?.to_owned(),
            ));
        }
        if let Some(option) = self.rest.strip_prefix("--")
            && option.starts_with(|next: char| next.is_ascii_alphabetic())
        {
            return self.option();
        }
        let second = self.rest[first.len_utf8()..].chars().next();
        let point = first == '.' && second.is_some_and(|next| next.is_ascii_digit());
        if first.is_ascii_digit() || point {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Token::Word(self.take_while(is_word).to_owned()));
        }
        self.take(first.len_utf8());
        Ok(Token::Sign(first))
    }

    fn option(&mut self) -> Result<Token, ParseError> {
        let line = self.line;
        let option = self.take_while(|next| !next.is_whitespace());
        match option.trim_start_matches('-').split_once('=') {
            Some((name, value)) => Ok(Token::Option(name.to_owned(), value.to_owned())),
            None => Err(ParseError::new(
                line,
                format!("`{option}` needs a value: `{option}=...`"),
            )),
        }
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let line = self.line;
        let too_large = |digits: &str| ParseError::new(line, format!("`{digits}` is too large"));
        if let Some(rest) = self.rest.strip_prefix("0x") {
            let end = rest.find(|next: char| !next.is_ascii_hexdigit());
            let digits = &self.take(2 + end.unwrap_or(rest.len()))[2..];
            let value = u64::from_str_radix(digits, 16).map_err(|_| too_large(digits))?;
            return Ok(Token::Integer(value));
        }
        let whole = self.take_while(|next| next.is_ascii_digit()).to_owned();
        let fraction = self.rest.strip_prefix('.');
        if fraction.is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit())) {
            self.take(1);
            let fraction = self.take_while(|next| next.is_ascii_digit());
            return Ok(Token::Decimal(whole, fraction.to_owned()));
        }
        if self.rest.starts_with(is_word) {
            let rest = self.take_while(is_word);
            return Err(ParseError::new(
                line,
                format!("`{whole}{rest}` is neither a number nor a word"),
            ));
        }
        let value = whole.parse().map_err(|_| too_large(&whole))?;
        Ok(Token::Integer(value))
    }

    /// What stands between two marks; `what` it is, should the second be missing.
    fn enclosed(&mut self, open: &str, close: &str, what: &str) -> Result<&'t str, ParseError> {
        let Some(end) = self.rest[open.len()..].find(close) else {
            return Err(ParseError::new(
                self.line,
                format!("{what} begins here and does not end: `{close}` is missing"),
            ));
        };
        let all = self.take(open.len() + end + close.len());
        Ok(&all[open.len()..open.len() + end])
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|next| !belongs(next));
        self.take(end.unwrap_or(self.rest.len()))
    }

    fn take(&mut self, len: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn is_word(next: char) -> bool {
    next.is_ascii_alphanumeric() || next == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Token> {
        let placed = tokens(text).unwrap();
        placed.into_iter().map(|placed| placed.token).collect()
    }

    #[test]
    fn points_between_digits_are_told_from_ellipses_and_flags() {
        let decimal = |whole: &str, rest: &str| Token::Decimal(whole.into(), rest.into());
        assert_eq!(
            of("0...0.200"),
            [Token::Integer(0), Token::Ellipsis, decimal("0", "200")]
        );
        assert_eq!(of("+.1"), [Token::Sign('+'), decimal("", "1")]);
        assert_eq!(
            of("S. 0"),
            [Token::Word("S".into()), Token::Sign('.'), Token::Integer(0)]
        );
    }

    #[test]
    fn lines_are_counted_through_comments_strings_and_code() {
        let placed = tokens("/* a\nb */ x // c\n`sys\nctl` %{ a\n}% y").unwrap();
        let lines: Vec<usize> = placed.iter().map(|placed| placed.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
    }

    #[test]
    fn what_does_not_end_or_is_no_number_is_told_with_its_line() {
        for (text, line) in [
            ("a\n/* b", 2),
            ("\n\n\"abc", 3),
            ("%{ a", 1),
            ("\n12ab", 2),
            ("99999999999999999999", 1),
            ("--mss", 1),
        ] {
            assert_eq!(tokens(text).unwrap_err().line, line, "{text}");
        }
    }
}
