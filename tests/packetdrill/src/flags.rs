//! The text of `--so_flags=`: what a stack is made with.

use core::net::IpAddr;
use core::str::FromStr;

use netstack::tcp::Algorithm;
use weirgate_tests::stack::{Engine, SettingError, StackOptions};

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Flags {
    /// The addresses of the host.
    pub addresses: Vec<IpAddr>,
    /// What its connections are made with.
    pub options: StackOptions,
}

/// Why flags were refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FlagsError {
    /// The text is not in UTF-8.
    #[error("the flags are not in UTF-8")]
    Encoding,
    /// A part is not `name=value`.
    #[error("`{0}` is not of the form `name=value`")]
    Form(String),
    /// No such flag.
    #[error(
        "`{0}` is no flag: they are engine, cc, ecn, pacing, local, mtu, mss, rcvbuf, sndbuf, \
         and settings by their names (net.ipv4.tcp_...)"
    )]
    Unknown(String),
    /// The flag cannot have that value.
    #[error("`{name}` cannot be `{value}`: {expected}")]
    Value {
        /// The flag.
        name: String,
        /// The value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// The setting is unknown, or cannot have that value.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// What packetdrill calls the host under test, unless told otherwise.
const DEFAULT_ADDRESSES: [&str; 2] = ["192.168.0.1", "fd3d:fa7b:d17d::1"];

impl Flags {
    /// Reads flags: `name=value`, separated by commas. An empty text is all defaults.
    ///
    /// # Errors
    /// Names the first flag that is wrong, and what it can be.
    pub fn parse(text: &str) -> Result<Self, FlagsError> {
        let mut flags = Self {
            addresses: Vec::new(),
            options: StackOptions::new(Engine::Native),
        };
        let parts = text.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let pair = part.split_once('=');
            let (name, value) = pair.ok_or_else(|| FlagsError::Form(part.to_owned()))?;
            flags.set(name.trim(), value.trim())?;
        }
        if flags.addresses.is_empty() {
            let defaults = DEFAULT_ADDRESSES.into_iter();
            flags
                .addresses
                .extend(defaults.filter_map(|address| address.parse::<IpAddr>().ok()));
        }
        Ok(flags)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), FlagsError> {
        let options = &mut self.options;
        match name {
            "engine" => {
                let known = Engine::ALL
                    .into_iter()
                    .find(|engine| engine.name() == value);
                options.engine = known.ok_or_else(|| refused(name, value, "native or smoltcp"))?;
            }
            "cc" => {
                let known = congestion(value);
                options.congestion =
                    known.ok_or_else(|| refused(name, value, "newreno, cubic or bbr"))?;
            }
            "ecn" => options.ecn = switch(name, value)?,
            "pacing" => options.pacing = switch(name, value)?,
            "local" => {
                let address = number(name, value, "an IPv4 or IPv6 address")?;
                self.addresses.push(address);
            }
            "mtu" => {
                let mtu = number(name, value, MTU_EXPECTED)?;
                if !(MIN_MTU..=MAX_MTU).contains(&mtu) {
                    return Err(refused(name, value, MTU_EXPECTED));
                }
                options.mtu = mtu;
            }
            "mss" => options.mss = Some(number(name, value, "octets, at most 65535")?),
            "rcvbuf" => options.receive_buffer = number(name, value, "octets")?,
            "sndbuf" => options.send_buffer = number(name, value, "octets")?,
            _ if name.starts_with("net.") => options.set(name, value)?,
            _ => return Err(FlagsError::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

/// IPv6 needs that much (RFC 8200 section 5).
const MIN_MTU: usize = 1280;

/// What fits the buffer that packetdrill receives into.
const MAX_MTU: usize = 4096;

const MTU_EXPECTED: &str = "octets, 1280 to 4096";

/// The names of congestion controls that can be chosen, here and by `TCP_CONGESTION`; the first of
/// each is the one that is told.
const CONGESTION: [(&str, Algorithm); 4] = [
    ("newreno", Algorithm::NewReno),
    ("reno", Algorithm::NewReno),
    ("cubic", Algorithm::Cubic),
    ("bbr", Algorithm::Bbr),
];

/// The congestion control of that name.
pub(crate) fn congestion(name: &str) -> Option<Algorithm> {
    let known = CONGESTION.into_iter().find(|(known, _)| *known == name);
    known.map(|(_, algorithm)| algorithm)
}

/// The name of a congestion control.
pub(crate) fn congestion_name(algorithm: Algorithm) -> &'static str {
    let known = CONGESTION
        .into_iter()
        .find(|(_, known)| *known == algorithm);
    known.map_or("", |(name, _)| name)
}

fn switch(name: &str, value: &str) -> Result<bool, FlagsError> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(refused(name, value, "0 or 1")),
    }
}

fn number<T: FromStr>(name: &str, value: &str, expected: &'static str) -> Result<T, FlagsError> {
    value.parse().map_err(|_| refused(name, value, expected))
}

fn refused(name: &str, value: &str, expected: &'static str) -> FlagsError {
    FlagsError::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_changes_what_it_names() {
        let text = "engine=smoltcp, cc=bbr,ecn=1,pacing=1,local=10.0.0.1,local=fd00::1,mtu=1400,mss=1000,\
                    rcvbuf=5000,sndbuf=6000,net.ipv4.tcp_fin_timeout=7";
        let flags = Flags::parse(text).unwrap();
        assert_eq!(flags.addresses.len(), 2);
        let options = flags.options;
        assert_eq!(options.engine, Engine::Smoltcp);
        assert_eq!(options.congestion, Algorithm::Bbr);
        assert!(options.ecn && options.pacing);
        assert_eq!((options.mtu, options.mss), (1400, Some(1000)));
        assert_eq!((options.receive_buffer, options.send_buffer), (5000, 6000));
        assert_eq!(options.timeouts.fin_wait_2.as_secs(), 7);
        let sizes = Flags::parse("net.ipv4.tcp_wmem=4096 20000 40000").unwrap();
        assert_eq!(sizes.options.send_buffer, 20_000);
    }

    #[test]
    fn no_flags_are_the_defaults() {
        let flags = Flags::parse("").unwrap();
        assert_eq!(flags.options.engine, Engine::Native);
        assert_eq!(flags.addresses.len(), DEFAULT_ADDRESSES.len());
    }

    #[test]
    fn what_is_misspelled_is_refused_by_name() {
        for (text, said) in [
            (
                "engine=linux",
                "`engine` cannot be `linux`: native or smoltcp",
            ),
            ("cc=vegas", "`cc` cannot be `vegas`"),
            ("ecn=yes", "`ecn` cannot be `yes`: 0 or 1"),
            ("local=here", "`local` cannot be `here`"),
            ("mtu=9000", "`mtu` cannot be `9000`"),
            ("mss=70000", "`mss` cannot be `70000`"),
            ("rcvbuf=-1", "`rcvbuf` cannot be `-1`"),
            ("sack=0", "`sack` is no flag"),
            ("engine", "`engine` is not of the form"),
            (
                "net.ipv4.tcp_thin_dupack=1",
                "`net.ipv4.tcp_thin_dupack` has no counterpart",
            ),
        ] {
            let error = Flags::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
