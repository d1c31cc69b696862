//! Looks for differences that nobody has explained.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use super::case::Case;
use super::compare::{Difference, difference};
use super::known::{self, Reference};
use super::{Player, generate};
use crate::rig::{Family, RigError};

/// Cases that are played before the time is looked at.
const AT_ONCE: u64 = 200;

/// How much to look for.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The seed of the first case; the next ones count up from it.
    pub seed: u64,
    /// Cases at most.
    pub cases: u64,
    /// No more cases are begun after this time.
    pub time: Duration,
    /// The hunt ends with so many differences.
    pub differences: usize,
}

/// A difference that is in no table.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed of the case.
    pub seed: u64,
    /// The case, as short as it goes.
    pub case: Case,
    /// How the two differ in it.
    pub difference: Difference,
}

/// What a hunt has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that were played.
    pub cases: u64,
    /// Those of them that were over IPv6.
    pub over_v6: u64,
    /// Steps until the end of each case, or until the two differed.
    pub steps: u64,
    /// How often each difference of the table occurred.
    pub known: BTreeMap<&'static str, u64>,
    /// Differences that were not there when the case was played once more: the machine was busy.
    pub unsteady: u64,
    /// Differences that are in no table.
    pub found: Vec<Found>,
}

/// Plays cases to both until the effort is spent.
pub fn hunt(
    effort: &Effort,
    reference: Reference,
    ours: &mut dyn Player,
    theirs: &mut dyn Player,
) -> Result<Report, RigError> {
    let mut both = Both {
        ours,
        theirs,
        reference,
    };
    let mut report = Report::default();
    let start = Instant::now();
    while report.cases < effort.cases
        && start.elapsed() < effort.time
        && report.found.len() < effort.differences
    {
        let first = effort.seed + report.cases;
        let seeds = first..first + AT_ONCE.min(effort.cases - report.cases);
        let cases: Vec<Case> = seeds.clone().map(generate).collect();
        let differences = both.play(&cases)?;
        for ((seed, case), difference) in seeds.zip(&cases).zip(differences) {
            report.cases += 1;
            report.over_v6 += u64::from(case.family == Family::V6);
            let end = difference.as_ref().map_or(case.steps.len(), |d| d.step + 1);
            report.steps += end as u64;
            let Some(difference) = difference else {
                continue;
            };
            if let Some(known) = known::find(reference, case, &difference) {
                *report.known.entry(known.name).or_default() += 1;
            } else if report.found.len() < effort.differences {
                match both.shorten(case, &difference)? {
                    Some((case, difference)) => report.found.push(Found {
                        seed,
                        case,
                        difference,
                    }),
                    None => report.unsteady += 1,
                }
            }
        }
    }
    Ok(report)
}

struct Both<'p> {
    ours: &'p mut dyn Player,
    theirs: &'p mut dyn Player,
    reference: Reference,
}

impl Both<'_> {
    /// Where the two differ in each case.
    fn play(&mut self, cases: &[Case]) -> Result<Vec<Option<Difference>>, RigError> {
        let ours = self.ours.play(cases)?;
        let theirs = self.theirs.play(cases)?;
        let pairs = cases.iter().zip(ours.iter().zip(&theirs));
        Ok(pairs
            .map(|(case, (ours, theirs))| difference(self.reference, case, ours, theirs))
            .collect())
    }

    /// Leaves out of a case whatever the difference does not need. `None` if it does not occur
    /// again.
    fn shorten(
        &mut self,
        case: &Case,
        difference: &Difference,
    ) -> Result<Option<(Case, Difference)>, RigError> {
        let mut shortest = Case {
            steps: case.steps[..=difference.step].to_vec(),
            ..case.clone()
        };
        let again = self.play(&vec![shortest.clone(); 3])?;
        let mut unknown = again.into_iter().map(|again| {
            again.filter(|again| known::find(self.reference, &shortest, again).is_none())
        });
        let Some(mut difference) = unknown.clone().flatten().next() else {
            return Ok(None);
        };
        if unknown.any(|again| again.is_none()) {
            return Ok(None);
        }
        loop {
            let shorter: Vec<Case> = (0..shortest.steps.len())
                .map(|left_out| {
                    let mut shorter = shortest.clone();
                    shorter.steps.remove(left_out);
                    shorter
                })
                .collect();
            let played = self.play(&shorter)?;
            let next = shorter.into_iter().zip(played).find_map(|(case, played)| {
                let played = played?;
                let unknown = known::find(self.reference, &case, &played).is_none();
                unknown.then_some((case, played))
            });
            let Some((case, played)) = next else {
                return Ok(Some((shortest, difference)));
            };
            (shortest, difference) = (case, played);
            shortest.steps.truncate(difference.step + 1);
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, family) = (self.seed, self.case.family.name());
        writeln!(f, "seed {seed}, over {family}")?;
        write!(f, "{}{}", self.case, self.difference)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cases ({} over IPv6), {} steps compared, {} unsteady",
            self.cases, self.over_v6, self.steps, self.unsteady
        )?;
        for (name, times) in &self.known {
            writeln!(f, "  known, {times} times: {name}")?;
        }
        for found in &self.found {
            writeln!(f, "\nNOT KNOWN: {found}")?;
        }
        Ok(())
    }
}
