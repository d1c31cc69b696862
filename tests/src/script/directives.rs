//! What stands at the top of a script: how it is played.

use core::time::Duration;

use crate::sim::Family;
use crate::stack::{Engine, StackOptions};

/// Engines that a script may name: a script may be written before its engine.
const KNOWN_ENGINES: [&str; 2] = ["native", "smoltcp"];

/// How a script is played.
#[derive(Clone, Debug, PartialEq)]
pub struct Directives {
    /// `--ip_version=ipv4|ipv6`: the only IP version; both if it does not say.
    family: Option<Family>,
    /// `// engines: a b`: the only engines; all if it does not say.
    engines: Option<Vec<String>>,
    /// `// fails: why`: the stack does not do yet what the script says, and why.
    fails: Option<String>,
    /// `--mss=`: the largest payload of a segment that the stack under test takes.
    mss: Option<u16>,
    /// `--mtu=`: of its link.
    mtu: Option<usize>,
    /// `--tolerance_usecs=`: how much earlier or later something may happen than the script says.
    pub(super) tolerance: Duration,
    /// `--tcp_ts_tick_usecs=`: the time in which the clock of the timestamps option ticks once;
    /// zero: its values are not looked at.
    pub(super) timestamp_tick: Duration,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            family: None,
            engines: None,
            fails: None,
            mss: None,
            mtu: None,
            tolerance: Duration::from_millis(4),
            timestamp_tick: Duration::from_millis(1),
        }
    }
}

impl Directives {
    /// Whether the script is to be played over that IP version.
    pub fn allows_family(&self, family: Family) -> bool {
        self.family.is_none_or(|only| only == family)
    }

    /// Whether the script is to be played with that engine.
    pub fn allows_engine(&self, engine: Engine) -> bool {
        let named = |names: &Vec<String>| names.iter().any(|name| name == engine.name());
        self.engines.as_ref().is_none_or(named)
    }

    /// Why the script is known to fail; `None` if it must not.
    pub fn fails(&self) -> Option<&str> {
        self.fails.as_deref()
    }

    /// What the stack is made with.
    pub fn stack_options(&self, engine: Engine) -> StackOptions {
        let options = StackOptions::new(engine);
        StackOptions {
            mss: self.mss,
            mtu: self.mtu.unwrap_or(options.mtu),
            ..options
        }
    }

    /// Takes `--name=value`; or says what is wrong with it.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let micros = |value: &str| value.parse().ok().map(Duration::from_micros);
        let known = match name {
            "ip_version" => {
                let families = [("ipv4", Family::V4), ("ipv6", Family::V6)];
                let found = families.into_iter().find(|(known, _)| *known == value);
                found.map(|(_, family)| self.family = Some(family))
            }
            "mss" => value.parse().ok().map(|mss| self.mss = Some(mss)),
            "mtu" => value.parse().ok().map(|mtu| self.mtu = Some(mtu)),
            "tolerance_usecs" => micros(value).map(|time| self.tolerance = time),
            "tcp_ts_tick_usecs" => micros(value).map(|time| self.timestamp_tick = time),
            _ => {
                return Err(format!(
                    "`--{name}` is no directive: they are --ip_version, --mss, --mtu, \
                     --tolerance_usecs and --tcp_ts_tick_usecs"
                ));
            }
        };
        known.ok_or_else(|| format!("`--{name}` cannot be `{value}`"))
    }

    /// Takes `// fails: why`; or says what is wrong with it.
    pub(super) fn set_fails(&mut self, reason: &str) -> Result<(), String> {
        if reason.is_empty() {
            return Err("`fails:` gives no reason".to_owned());
        }
        self.fails = Some(reason.to_owned());
        Ok(())
    }

    /// Takes `// engines: a b`; or says what is wrong with it.
    pub(super) fn set_engines(&mut self, names: &[String]) -> Result<(), String> {
        let unknown = names
            .iter()
            .find(|name| !KNOWN_ENGINES.contains(&name.as_str()));
        match unknown {
            Some(name) => Err(format!("`{name}` is no engine")),
            None if names.is_empty() => Err("`engines:` names no engine".to_owned()),
            None => {
                self.engines = Some(names.to_vec());
                Ok(())
            }
        }
    }
}
