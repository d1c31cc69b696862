//! `[backend_group.health]` and `[backend_group.ejection]`: how it is found out which backends
//! serve, and what becomes of those that do not.
//!
//! *In*: the tables of a group; both may be left out, and then every backend is taken to serve.
//! *Out*: [`HealthConfig`] for the worker that checks a backend, [`EjectionConfig`] for the pools,
//! which see how sessions fare.
//!
//! `send` and `expect` are octets: after TOML has read the text, `\xHH`, `\r`, `\n`, `\t`, `\0` and
//! `\\` in it stand for one octet each.

use core::ops::{Range, RangeInclusive};
use core::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Caution, Fault, HealthFault};
use super::report::Findings;
use super::section::Section;
use super::value;

/// Below, checks are a load; above, they are of no use.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
/// The same for how long a check may take.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(5);
/// How long a backend is left out, or grows to its weight.
const ABSENCE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(24);
/// Octets of `send`, `path` and `host`, each.
const LONGEST_REQUEST: usize = 1024;
/// Octets of `expect`.
const LONGEST_EXPECT: usize = 256;

/// `[backend_group.health]`: how the backends of a group are checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HealthConfig {
    /// `check = "tcp"`, `"send_expect"` or `"http"`, with the keys that belong to it.
    pub check: Check,
    /// `interval = "2s"`: from the beginning of one check to that of the next.
    pub interval: Duration,
    /// `jitter = 10`: by how many percent an interval is longer or shorter at most.
    pub jitter: u8,
    /// `timeout = "1s"`: how long a check may take, from its SYN to the last octet that it needs.
    pub timeout: Duration,
    /// `rise = 2`: successes in a row after which a backend that is down is up.
    pub rise: u16,
    /// `fall = 3`: failures in a row after which a backend that is up is down.
    pub fall: u16,
    /// `port`: where to check, if not where sessions go.
    pub port: Option<u16>,
}

/// What a backend must do to pass.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Check {
    /// `"tcp"`: accept a connection.
    Tcp,
    /// `"send_expect"`: say something.
    SendExpect {
        /// `send = ""`: what is sent first.
        send: Vec<u8>,
        /// `expect`: required; what must be among the first octets of the answer.
        expect: Vec<u8>,
    },
    /// `"http"`: answer a request of HTTP/1.1.
    Http {
        /// `path = "/"`: what is asked for.
        path: String,
        /// `host`: of which host; the backend's address if not given.
        host: Option<String>,
        /// `status = ["200-399"]`: the codes that are good.
        status: Vec<RangeInclusive<u16>>,
    },
}

/// `[backend_group.ejection]`: when sessions are kept from a backend at which others have failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EjectionConfig {
    /// `failures = 5`: failures in a row, as one worker sees them.
    pub failures: u16,
    /// `base = "10s"`: how long the first time; twice as long each time after that.
    pub base: Duration,
    /// `max = "5m"`: how long at most.
    pub max: Duration,
    /// `max_share = 50`: percent of the group's backends that may be ejected at a time, by number,
    /// rounded down.
    pub max_share: u8,
}

impl EjectionConfig {
    /// How many of so many backends may be ejected at a time.
    pub fn most_of(&self, backends: usize) -> usize {
        backends * usize::from(self.max_share) / 100
    }
}

/// The word in the file, before its keys are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Tcp,
    SendExpect,
    Http,
}

impl Kind {
    const WORDS: [(&'static str, Self); 3] = [
        ("tcp", Self::Tcp),
        ("send_expect", Self::SendExpect),
        ("http", Self::Http),
    ];
}

impl Check {
    /// Its word in the configuration file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::SendExpect { .. } => "send_expect",
            Self::Http { .. } => "http",
        }
    }
}

/// Reads how a group is checked, if it is.
pub(super) fn health(group: &mut Section<'_>, findings: &mut Findings) -> Option<HealthConfig> {
    let mut section = group.table("health", "[backend_group.health]", findings)?;
    let kind = section.required("check", "check = \"tcp\"", findings, |value| {
        value::choice(value, &Kind::WORDS)
    });
    let kind = kind.map_or(Kind::Tcp, Spanned::into_inner);
    let interval = section.or("interval", Duration::from_secs(2), findings, |value| {
        value::duration_within(value, INTERVAL)
    });
    let jitter = section.or("jitter", 10, findings, |value| {
        value::integer(value, 0..=50)
    });
    let timeout = section.optional("timeout", findings, |value| {
        value::duration_within(value, TIMEOUT)
    });
    let timeout_span = timeout
        .as_ref()
        .map_or_else(|| section.span(), Spanned::span);
    let timeout = timeout.map_or(Duration::from_secs(1), Spanned::into_inner);
    if timeout > interval {
        let subject = section.subject("timeout");
        findings.warn(timeout_span, subject, Caution::CheckOutlivesInterval);
    }
    let rise = section.or("rise", 2, findings, |value| value::integer(value, 1..=100));
    let fall = section.optional("fall", findings, |value| value::integer(value, 1..=100));
    if let Some(fall) = fall.as_ref().filter(|fall| *fall.get_ref() == 1) {
        findings.warn(fall.span(), section.subject("fall"), Caution::FallsAtOnce);
    }
    let port = section.optional("port", findings, |value| {
        value::integer(value, 1..=u16::MAX)
    });
    let check = check(&mut section, kind, findings);
    section.finish(findings);
    Some(HealthConfig {
        check: check?,
        interval,
        jitter,
        timeout,
        rise,
        fall: fall.map_or(3, Spanned::into_inner),
        port: port.map(Spanned::into_inner),
    })
}

/// The keys of each kind of check; those of others have no effect.
fn check(section: &mut Section<'_>, kind: Kind, findings: &mut Findings) -> Option<Check> {
    let send = section.optional("send", findings, |value| {
        octets(value, "send = \"PING\\r\\n\"", LONGEST_REQUEST)
    });
    let expect_example = "expect = \"+PONG\"";
    let read_expect = |value: &DeValue<'_>| match octets(value, expect_example, LONGEST_EXPECT)? {
        empty if empty.is_empty() => Err(HealthFault::ExpectsNothing.into()),
        octets => Ok(octets),
    };
    let expect = if kind == Kind::SendExpect {
        section.required("expect", expect_example, findings, read_expect)
    } else {
        section.optional("expect", findings, read_expect)
    };
    let path = section.optional("path", findings, path);
    let host = section.optional("host", findings, host);
    let example = "status = [\"200-399\"]";
    let before = findings.error_count();
    let status = section.list("status", example, findings, |value| status(value, example));
    if let Some(status) = status.as_ref().filter(|list| list.get_ref().is_empty())
        && findings.error_count() == before
    {
        let subject = section.subject("status");
        findings.error(status.span(), subject, Fault::EmptyList { example });
    }
    let keys = [
        ("send", send.as_ref().map(Spanned::span), Kind::SendExpect),
        (
            "expect",
            expect.as_ref().map(Spanned::span),
            Kind::SendExpect,
        ),
        ("path", path.as_ref().map(Spanned::span), Kind::Http),
        ("host", host.as_ref().map(Spanned::span), Kind::Http),
        ("status", status.as_ref().map(Spanned::span), Kind::Http),
    ];
    for (key, span, of) in keys {
        warn_if_of_another(kind, of, (key, span), section, findings);
    }
    Some(match kind {
        Kind::Tcp => Check::Tcp,
        Kind::SendExpect => Check::SendExpect {
            send: send.map_or_else(Vec::new, Spanned::into_inner),
            expect: expect?.into_inner(),
        },
        Kind::Http => Check::Http {
            path: path.map_or_else(|| "/".to_owned(), Spanned::into_inner),
            host: host.map(Spanned::into_inner),
            status: status.map_or_else(
                || vec![200..=399],
                |list| {
                    list.into_inner()
                        .into_iter()
                        .map(Spanned::into_inner)
                        .collect()
                },
            ),
        },
    })
}

/// Warns of a key that stands there and belongs to another kind of check.
fn warn_if_of_another(
    kind: Kind,
    of: Kind,
    (key, span): (&str, Option<Range<usize>>),
    section: &Section<'_>,
    findings: &mut Findings,
) {
    if let Some(span) = span.filter(|_| of != kind) {
        findings.warn(span, section.subject(key), Caution::OfAnotherCheck);
    }
}

/// Reads when backends of a group are ejected, if they are.
pub(super) fn ejection(group: &mut Section<'_>, findings: &mut Findings) -> Option<EjectionConfig> {
    let mut section = group.table("ejection", "[backend_group.ejection]", findings)?;
    let failures = section.or("failures", 5, findings, |value| {
        value::integer(value, 1..=1000)
    });
    let base = section.or("base", Duration::from_secs(10), findings, |value| {
        value::duration_within(value, ABSENCE)
    });
    let longest = base.max(Duration::from_mins(5));
    let max = section.or("max", longest, findings, |value| {
        value::duration_within(value, base..=*ABSENCE.end())
    });
    let max_share = section.or("max_share", 50, findings, |value| {
        value::integer(value, 1..=100)
    });
    section.finish(findings);
    Some(EjectionConfig {
        failures,
        base,
        max,
        max_share,
    })
}

/// Reads how long a backend that came back grows to its weight: `"off"` if that is at once.
pub(super) fn slow_start(
    group: &mut Section<'_>,
    findings: &mut Findings,
) -> Option<Spanned<Duration>> {
    let value = group.optional(
        "slow_start",
        findings,
        |value| match value::duration_or_off(value)? {
            None => Ok(None),
            Some(_) => value::duration_within(value, ABSENCE).map(Some),
        },
    )?;
    let span = value.span();
    value.into_inner().map(|time| Spanned::new(span, time))
}

/// A text whose escapes stand for octets.
fn octets(value: &DeValue<'_>, example: &'static str, most: usize) -> Result<Vec<u8>, Fault> {
    let text = value::string(value, example)?;
    let octets = unescape(text.as_bytes()).ok_or_else(|| HealthFault::BadEscape {
        text: text.to_owned(),
    })?;
    if octets.len() > most {
        return Err(HealthFault::TooLong { most }.into());
    }
    Ok(octets)
}

/// `None` if a backslash is followed by something that means nothing.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let (octet, after) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                ((digit(high)? * 16 + digit(low)?) as u8, after)
            }
            (b'\\', [letter, after @ ..]) => {
                let octet = match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => return None,
                };
                (octet, after)
            }
            (b'\\', []) => return None,
            (octet, after) => (*octet, after),
        };
        octets.push(octet);
        rest = after;
    }
    Some(octets)
}

/// The target of a request: RFC 9112 section 3.2.1, origin form. Anything that would end the line
/// early is refused.
fn path(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = value::string(value, "path = \"/health\"")?;
    let fits = text.starts_with('/') && text.len() <= LONGEST_REQUEST;
    if fits
        && text
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b'#')
    {
        Ok(text.to_owned())
    } else {
        Err(HealthFault::BadPath.into())
    }
}

/// A name for the Host field.
fn host(value: &DeValue<'_>) -> Result<String, Fault> {
    let text = value::string(value, "host = \"www.example.org\"")?;
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b".-_:[]".contains(&octet);
    if !text.is_empty() && text.len() <= LONGEST_EXPECT && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(HealthFault::BadHost.into())
    }
}

/// One status code, or a range of them.
fn status(value: &DeValue<'_>, example: &'static str) -> Result<RangeInclusive<u16>, Fault> {
    let text = value::string(value, example)?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|octet| octet.is_ascii_digit());
        let code = text.parse().ok().filter(|_| digits);
        // Interim answers are none: the final one is waited for.
        code.filter(|code| (200..=599).contains(code))
    };
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(HealthFault::BadStatus {
            text: text.to_owned(),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_octets() {
        for (text, octets) in [
            ("PING\r\n", Some(&b"PING\r\n"[..])),
            (r"PING\r\n", Some(b"PING\r\n")),
            (r"\x00\xfF\0\t\\x41", Some(b"\0\xff\0\t\\x41")),
            ("ä", Some("ä".as_bytes())),
            ("", Some(b"")),
            (r"\q", None),
            (r"\x4", None),
            (r"\xg0", None),
            ("\\", None),
        ] {
            assert_eq!(unescape(text.as_bytes()).as_deref(), octets, "{text:?}");
        }
    }
}
