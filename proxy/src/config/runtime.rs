//! `[runtime]`: which CPUs run what.

use core::ops::RangeInclusive;
use core::time::Duration;

use toml::Spanned;

use super::fault::{Caution, Fault};
use super::report::Findings;
use super::section::Section;
use super::{MAX_WORKERS, value};

/// `[runtime]`: the workers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuntimeConfig {
    /// `lcores = [0]`: the CPUs that run workers, one for each element. A CPU that is listed
    /// twice runs two workers, which take turns.
    pub lcores: Vec<u16>,
    /// `rx_lcores = []`: CPUs that only receive, and hand packets to the workers. If there are none,
    /// each worker receives its own.
    pub rx_lcores: Vec<u16>,
    /// `pairing = "numa"`: to which workers such a CPU hands packets.
    pub pairing: Pairing,
    /// `idle = "adaptive"`, `idle_spins = 1000`, `idle_sleep = "50us"`.
    pub idle: IdlePolicy,
    /// `seed`, if given: fixes every secret and every random choice. Only for replay and tests.
    pub seed: Option<u64>,
}

impl RuntimeConfig {
    /// How many lcores receive: those that do nothing else, or all workers.
    pub fn receivers(&self) -> usize {
        match self.rx_lcores.len() {
            0 => self.lcores.len(),
            receivers => receivers,
        }
    }

    /// Threads that run on lcores.
    pub fn threads(&self) -> usize {
        self.lcores.len() + self.rx_lcores.len()
    }
}

/// To which workers a receiver hands packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pairing {
    /// `"numa"`: to those on its NUMA node, as memory of another node is slower; to all if there are
    /// none there.
    #[default]
    Numa,
    /// `"all"`: to all.
    All,
}

impl Pairing {
    /// The words of the configuration file.
    pub const WORDS: [(&'static str, Self); 2] = [("numa", Self::Numa), ("all", Self::All)];
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IdlePolicy {
    /// `idle = "busy"`: asks again at once. Lowest latency, and the CPU is always busy.
    Busy,
    /// `idle = "adaptive"`: backs off to short sleeps. The first packet after a silence may wait
    /// for the length of a sleep.
    Adaptive {
        /// `idle_spins = 1000`: turns without work before the first sleep.
        spins: u32,
        /// `idle_sleep = "50us"`: the longest sleep.
        longest_sleep: Duration,
    },
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            lcores: vec![0],
            rx_lcores: Vec::new(),
            pairing: Pairing::default(),
            idle: IdlePolicy::default(),
            seed: None,
        }
    }
}

impl IdlePolicy {
    /// The `idle_spins` of a configuration that does not say.
    pub const DEFAULT_SPINS: u32 = 1_000;
    /// The `idle_sleep` of a configuration that does not say.
    pub const DEFAULT_LONGEST_SLEEP: Duration = Duration::from_micros(50);
}

impl Default for IdlePolicy {
    fn default() -> Self {
        Self::Adaptive {
            spins: Self::DEFAULT_SPINS,
            longest_sleep: Self::DEFAULT_LONGEST_SLEEP,
        }
    }
}

/// Numbers of CPUs that Linux can have on the machines DPDK runs on.
const LCORES: RangeInclusive<u16> = 0..=1023;
/// Shorter sleeps are not sleeps, longer ones would be felt by people.
const IDLE_SLEEP: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_millis(100);

/// Reads `[runtime]`.
pub(super) fn runtime(root: &mut Section<'_>, findings: &mut Findings) -> RuntimeConfig {
    let default = RuntimeConfig::default();
    let Some(mut section) = root.table("runtime", "[runtime]", findings) else {
        return default;
    };
    let lcores = lcores(&mut section, findings).unwrap_or(default.lcores);
    let (rx_lcores, pairing) = receivers(&mut section, &lcores, findings);
    let idle = idle_policy(&mut section, findings);
    let seed = section.optional("seed", findings, |value| {
        value::integer(value, 0..=i64::MAX as u64)
    });
    if let Some(seed) = &seed {
        findings.warn(seed.span(), section.subject("seed"), Caution::FixedSeed);
    }
    section.finish(findings);
    RuntimeConfig {
        lcores,
        rx_lcores,
        pairing,
        idle,
        seed: seed.map(Spanned::into_inner),
    }
}

/// One worker for each lcore: at least one. Workers may share a CPU, which is worth a warning.
fn lcores(section: &mut Section<'_>, findings: &mut Findings) -> Option<Vec<u16>> {
    let example = "lcores = [0, 1]";
    let before = findings.error_count();
    let list = section.list("lcores", example, findings, |value| {
        value::integer(value, LCORES)
    })?;
    let span = list.span();
    let lcores = list.into_inner();
    let subject = section.subject("lcores");
    if lcores.len() <= MAX_WORKERS {
        warn_of_shared(&lcores, &subject, findings);
    }
    if lcores.len() > MAX_WORKERS {
        let fault = Fault::TooManyWorkers {
            count: lcores.len(),
            what: "workers",
            most: MAX_WORKERS,
        };
        findings.error(span, subject, fault);
    } else if lcores.is_empty() && findings.error_count() == before {
        findings.error(span, subject, Fault::EmptyList { example });
    }
    Some(lcores.into_iter().map(Spanned::into_inner).collect())
}

/// Warns once of each CPU that is listed again, where that is done first.
fn warn_of_shared(lcores: &[Spanned<u16>], subject: &str, findings: &mut Findings) {
    for (index, lcore) in lcores.iter().enumerate() {
        let same = |other: &&Spanned<u16>| other.get_ref() == lcore.get_ref();
        if lcores[..index].iter().filter(same).count() == 1 {
            let caution = Caution::SharedLcore {
                lcore: *lcore.get_ref(),
                workers: lcores.iter().filter(same).count(),
            };
            findings.warn(lcore.span(), subject, caution);
        }
    }
}

/// The lcores that only receive, and for whom. Each should have a CPU to itself.
fn receivers(
    section: &mut Section<'_>,
    workers: &[u16],
    findings: &mut Findings,
) -> (Vec<u16>, Pairing) {
    let list = section.list("rx_lcores", "rx_lcores = [2]", findings, |value| {
        value::integer(value, LCORES)
    });
    let pairing = section.optional("pairing", findings, |value| {
        value::choice(value, &Pairing::WORDS)
    });
    let list = list.unwrap_or_else(|| Spanned::new(section.span(), Vec::new()));
    let (span, subject) = (list.span(), section.subject("rx_lcores"));
    let rx_lcores = list.into_inner();
    if let Some(pairing) = &pairing
        && *pairing.get_ref() != Pairing::default()
        && rx_lcores.is_empty()
    {
        let subject = section.subject("pairing");
        findings.warn(pairing.span(), subject, Caution::OnlyWithReceivers);
    }
    let count = workers.len() + rx_lcores.len();
    if !rx_lcores.is_empty() && workers.len() <= MAX_WORKERS && count > MAX_WORKERS {
        let fault = Fault::TooManyWorkers {
            count,
            what: "workers and receivers",
            most: MAX_WORKERS,
        };
        findings.error(span, subject, fault);
    } else {
        warn_of_shared_receivers(&rx_lcores, workers, &subject, findings);
    }
    let rx_lcores = rx_lcores.into_iter().map(Spanned::into_inner);
    let pairing = pairing.map_or_else(Pairing::default, Spanned::into_inner);
    (rx_lcores.collect(), pairing)
}

/// Warns of each receiver that has no CPU to itself.
fn warn_of_shared_receivers(
    rx_lcores: &[Spanned<u16>],
    workers: &[u16],
    subject: &str,
    findings: &mut Findings,
) {
    for (index, spanned) in rx_lcores.iter().enumerate() {
        let lcore = *spanned.get_ref();
        let mut before = rx_lcores[..index].iter();
        let with = if workers.contains(&lcore) {
            "a worker"
        } else if before.any(|other| *other.get_ref() == lcore) {
            "another that receives"
        } else {
            continue;
        };
        let caution = Caution::SharedReceiver { lcore, with };
        findings.warn(spanned.span(), subject, caution);
    }
}

fn idle_policy(section: &mut Section<'_>, findings: &mut Findings) -> IdlePolicy {
    let words = [("adaptive", true), ("busy", false)];
    let adaptive = section.or("idle", true, findings, |value| value::choice(value, &words));
    let idle_spins = section.optional("idle_spins", findings, |value| {
        value::integer(value, 0..=1_000_000_000)
    });
    let idle_sleep = section.optional("idle_sleep", findings, |value| {
        value::duration_within(value, IDLE_SLEEP)
    });
    if adaptive {
        return IdlePolicy::Adaptive {
            spins: idle_spins.map_or(IdlePolicy::DEFAULT_SPINS, Spanned::into_inner),
            longest_sleep: idle_sleep
                .map_or(IdlePolicy::DEFAULT_LONGEST_SLEEP, Spanned::into_inner),
        };
    }
    let spans = [
        ("idle_spins", idle_spins.map(|value| value.span())),
        ("idle_sleep", idle_sleep.map(|value| value.span())),
    ];
    for (key, span) in spans {
        if let Some(span) = span {
            findings.warn(span, section.subject(key), Caution::OnlyWhenAdaptive);
        }
    }
    IdlePolicy::Busy
}
