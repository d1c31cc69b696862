//! The table: what is measured, how often, and how it is shown.

use core::fmt;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::bed::{Bed, Stack};
use super::cell::{Cell, Line, Loss};
use super::priority::Priority;
use super::transfer::{Transfer, Way};
use super::{duplicates, jain, mbit_s};
use crate::rig::{Family, RigError};

/// How to call the program.
pub const USAGE: &str = "\
usage: paths [--quick] [--rounds N] [--congestion NAME] [--only WORD] [FILE]

  --quick            a part of the table, in about two minutes
  --rounds N         the median of N rounds; default: 1
  --congestion NAME  cubic (default), reno or bbr, for both stacks
  --only WORD        only rows in which this occurs, such as \"100 ms\" or \"bursts\"
  FILE               where the figures go, as a JSON object, and with the suffix md the tables";

/// What is to be measured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    quick: bool,
    rounds: u64,
    congestion: &'static str,
    only: String,
    file: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments of the program; `None` if they make no sense.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let mut options = Self {
            quick: false,
            rounds: 1,
            congestion: "cubic",
            only: String::new(),
            file: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--rounds" => {
                    let rounds = arguments.next()?.parse().ok();
                    options.rounds = rounds.filter(|rounds| *rounds > 0)?;
                }
                "--congestion" => {
                    let name = arguments.next()?;
                    let known = Stack::CONGESTION.iter().find(|known| *known == name);
                    options.congestion = known?;
                }
                "--only" => options.only.clone_from(arguments.next()?),
                option if option.starts_with('-') => return None,
                file if options.file.is_none() => options.file = Some(file.into()),
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Figures, shown as they come.
#[derive(Debug)]
pub struct Report<'a> {
    options: &'a Options,
    figures: Map<String, Value>,
    /// All that was shown.
    text: String,
}

impl<'a> Report<'a> {
    /// A report that says with what priority it was made, and has no figures yet.
    pub fn start(options: &'a Options, priority: Priority) -> Result<Self, RigError> {
        let mut report = Self {
            options,
            figures: Map::new(),
            text: String::new(),
        };
        let (rounds, congestion) = (options.rounds, options.congestion);
        report.show(&format!(
            "Measured {priority}; {congestion} where nothing else is said, {rounds} rounds.\n"
        ))?;
        Ok(report)
    }

    /// Measures the goodput of every cell in both directions.
    pub fn goodput(&mut self, bed: &Bed) -> Result<(), RigError> {
        self.show("| round trip | path | way | Linux, Mbit/s | Weirgate, Mbit/s | ratio |")?;
        self.show("|---:|---|---|---:|---:|---:|")?;
        let mut missing = BTreeSet::new();
        for cell in cells(self.options.quick) {
            let congestion = cell.congestion.unwrap_or(self.options.congestion);
            if !bed.has(congestion) {
                missing.insert(congestion);
                continue;
            }
            // What the client sends is always controlled in the same way.
            let ways = match cell.congestion {
                Some(_) => &Way::ALL[..1],
                None => &Way::ALL[..],
            };
            for &way in ways {
                let row = format!("| {} ms | {} | {} |", cell.rtt, cell.name, way.name());
                if !row.contains(&self.options.only) {
                    continue;
                }
                let [linux, native] = self.both(bed, &cell, way)?;
                let ratio = native.median / linux.median;
                self.show(&format!("{row} {linux} | {native} | {ratio:.2} |"))?;
                let name = format!("{} {}ms {}", way.name(), cell.rtt, cell.name);
                self.add(&format!("{name} linux mbit_s"), linux.median);
                self.add(&format!("{name} native mbit_s"), native.median);
            }
        }
        for name in missing {
            self.show(&format!(
                "\nLinux has no {name} here: its rows are left out."
            ))?;
        }
        Ok(())
    }

    /// The medians of both stacks, measured in turns.
    fn both(&self, bed: &Bed, cell: &Cell, way: Way) -> Result<[Rounds; 2], RigError> {
        let mut rounds = [const { Vec::new() }; 2];
        for seed in 1..=self.options.rounds {
            let congestion = cell.congestion.unwrap_or(self.options.congestion);
            for (stack, rounds) in stacks(congestion).into_iter().zip(&mut rounds) {
                let outcome = cell.measure(bed, stack, way, seed, PATIENCE)?;
                rounds.push(outcome.goodput());
            }
        }
        Ok(rounds.map(Rounds::new))
    }

    /// Measures how much is sent again where nothing is lost: all of it is in vain.
    pub fn reordering(&mut self, bed: &Bed) -> Result<(), RigError> {
        if !"reordering".contains(&self.options.only) {
            return Ok(());
        }
        self.show("\n5 % of frames late by up to RTT/4 and none lost; octets that came twice:\n")?;
        self.show("| round trip | | Linux, % | Weirgate, % |\n|---:|---|---:|---:|")?;
        for (rtt, family) in [(20, Family::V4), (100, Family::V4), (100, Family::V6)] {
            let cell = Cell {
                family,
                reordered: 50_000,
                // A queue that takes whatever comes: nothing is lost there either.
                line: Line {
                    rate: 50,
                    queue: 16 << 20,
                },
                ..Cell::new(rtt)
            };
            let mut percents = [0.0; 2];
            for (stack, percent) in self.stacks().into_iter().zip(&mut percents) {
                let transfer = cell.transfer(Way::Download, PATIENCE);
                let client = &bed.topology().client;
                let before = duplicates::reported(client)?;
                let (outcome, _) = bed.measure(cell.impairment(1), &[stack], &transfer)?;
                let twice = duplicates::reported(client)? - before;
                *percent = percent_of(twice * FULL_SEGMENT, outcome.arrived);
            }
            let [linux, native] = percents;
            let name = family.name();
            self.show(&format!("| {rtt} ms | {name} | {linux:.2} | {native:.2} |"))?;
            self.add(&format!("in vain {rtt}ms {name} linux percent"), linux);
            self.add(&format!("in vain {rtt}ms {name} native percent"), native);
        }
        Ok(())
    }

    /// Measures how long 100 kB take when 1 % of all frames are lost.
    pub fn completion(&mut self, bed: &Bed) -> Result<(), RigError> {
        let cell = Cell {
            loss: Loss::Random(10_000),
            ..Cell::new(20)
        };
        let transfer = Transfer {
            family: Family::V4,
            way: Way::Download,
            flows: 10,
            octets: 100_000,
            patience: Duration::from_secs(20),
        };
        let seeds = if self.options.quick { 10 } else { 30 };
        if !"completion".contains(&self.options.only) {
            return Ok(());
        }
        self.show(&format!(
            "\n100 kB over 20 ms with 1 % of frames lost, {} times:",
            seeds * 10
        ))?;
        self.show("\n| | median, ms | 90 %, ms | 99 %, ms |\n|---|---:|---:|---:|")?;
        for (stack, name) in self.stacks().into_iter().zip(NAMES) {
            let mut times = Vec::new();
            for seed in 1..=seeds {
                let (outcome, _) = bed.measure(cell.impairment(seed), &[stack], &transfer)?;
                let time = |time: &Option<Duration>| time.unwrap_or(transfer.patience);
                times.extend(outcome.times.iter().map(time));
            }
            times.sort();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
            let row = format!("| {name} | {:.0} | {:.0} | {:.0} |", at(50), at(90), at(99));
            self.show(&row)?;
            self.add(&format!("100kB 1% {} p50 ms", name.to_lowercase()), at(50));
            self.add(&format!("100kB 1% {} p99 ms", name.to_lowercase()), at(99));
        }
        Ok(())
    }

    /// Measures how two flows of each stack share a line.
    pub fn fairness(&mut self, bed: &Bed) -> Result<(), RigError> {
        if !"fairness".contains(&self.options.only) {
            return Ok(());
        }
        let cell = Cell {
            line: Line::narrow(40, 20, 100),
            ..Cell::new(20)
        };
        let transfer = Transfer {
            family: Family::V4,
            way: Way::Download,
            flows: 2,
            octets: u64::MAX,
            patience: Duration::from_secs(20),
        };
        let (outcome, _) = bed.measure(cell.impairment(1), &self.stacks(), &transfer)?;
        let rate = |octets: &u64| mbit_s(*octets, outcome.time);
        let shares: Vec<f64> = outcome.octets.iter().map(rate).collect();
        self.show(&format!(
            "\nTwo flows of each on a line of 40 Mbit/s with a queue of one product, for 20 s: \
             Linux {:.1} and {:.1}, Weirgate {:.1} and {:.1} Mbit/s; Jain's index {:.3}",
            shares[0],
            shares[1],
            shares[2],
            shares[3],
            jain(&shares),
        ))?;
        self.add("fairness jain", jain(&shares));
        Ok(())
    }

    /// Writes the figures to the file that was asked for.
    pub fn write(self) -> Result<(), RigError> {
        let Some(path) = &self.options.file else {
            return Ok(());
        };
        let what = || RigError::io(path.display().to_string());
        let text = format!("{:#}\n", Value::Object(self.figures));
        fs::write(path, text).map_err(what())?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }

    fn stacks(&self) -> [Stack; 2] {
        stacks(self.options.congestion)
    }

    /// Shows a line, and writes it to the file at once: a table takes an hour.
    fn show(&mut self, line: &str) -> Result<(), RigError> {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
        let Some(path) = &self.options.file else {
            return Ok(());
        };
        let path = path.with_extension("md");
        let what = || RigError::io(path.display().to_string());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(what())?;
        }
        fs::write(&path, &self.text).map_err(what())
    }

    fn add(&mut self, name: &str, value: f64) {
        let name = name.replace(' ', "_");
        self.figures.insert(name, Value::from(value));
    }
}

/// The same cell in several rounds, in Mbit/s.
#[derive(Clone, Copy, Debug)]
struct Rounds {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Rounds {
    /// Of at least one round.
    fn new(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self {
            lowest: rounds[0],
            median: rounds[rounds.len() / 2],
            highest: rounds[rounds.len() - 1],
        }
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lowest,
            median,
            highest,
        } = self;
        write!(f, "{median:.1}")?;
        if lowest < highest {
            write!(f, " ({lowest:.1} to {highest:.1})")?;
        }
        Ok(())
    }
}

fn stacks(congestion: &'static str) -> [Stack; 2] {
    [Stack::Linux(congestion), Stack::Native(congestion)]
}

#[expect(clippy::cast_precision_loss, reason = "far fewer octets than 2^52")]
fn percent_of(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// The rows of the table, each for both directions.
fn cells(quick: bool) -> Vec<Cell> {
    let rtts: &[u32] = if quick {
        &[20, 100]
    } else {
        &[1, 20, 100, 200]
    };
    let losses: &[u32] = if quick {
        &[10_000]
    } else {
        &[100, 1_000, 10_000, 50_000]
    };
    let mut cells = Vec::new();
    for &rtt in rtts {
        cells.push(Cell::new(rtt));
        for &ppm in losses {
            let percent = f64::from(ppm) / 1e4;
            for (loss, how) in [
                (Loss::Random(ppm), "lost"),
                (Loss::Burst(ppm), "lost in bursts"),
            ] {
                let name = format!("{percent} % {how}");
                cells.push(Cell {
                    name,
                    loss,
                    ..Cell::new(rtt)
                });
            }
        }
    }
    let rtts: &[u32] = if quick { &[20] } else { &[20, 100] };
    for &rtt in rtts {
        for percent in [1, 5, 10] {
            let name = format!("{percent} % late by up to RTT/4");
            let reordered = percent * 10_000;
            cells.push(Cell {
                name,
                reordered,
                ..Cell::new(rtt)
            });
        }
        let name = "1 % twice".to_owned();
        cells.push(Cell {
            name,
            duplicated: 10_000,
            ..Cell::new(rtt)
        });
        for (hundredths, queue) in [(50, "0.5"), (100, "1"), (400, "4")] {
            let name = format!("30 Mbit/s, queue of {queue} BDP");
            let line = Line::narrow(30, rtt, hundredths);
            cells.push(Cell {
                name,
                line,
                ..Cell::new(rtt)
            });
        }
    }
    if !quick {
        cells.extend(variations());
    }
    cells
}

/// A few of the rows over the other IP version, and by the other congestion controls.
fn variations() -> Vec<Cell> {
    let lossy = |rtt, ppm| Cell {
        name: format!("{} % lost", f64::from(ppm) / 1e4),
        loss: Loss::Random(ppm),
        ..Cell::new(rtt)
    };
    let late = Cell {
        name: "5 % late by up to RTT/4".to_owned(),
        reordered: 50_000,
        ..Cell::new(20)
    };
    let narrow = Cell {
        name: "30 Mbit/s, queue of 1 BDP".to_owned(),
        line: Line::narrow(30, 20, 100),
        ..Cell::new(20)
    };
    let base = [
        Cell::new(100),
        lossy(20, 10_000),
        lossy(100, 1_000),
        late,
        narrow,
    ];
    let over = base.clone().map(|cell| Cell {
        name: format!("{}, IPv6", cell.name),
        family: Family::V6,
        ..cell
    });
    let by = |name: &'static str| {
        base.clone().map(|cell| Cell {
            name: format!("{}, {name}", cell.name),
            congestion: Some(name),
            ..cell
        })
    };
    over.into_iter()
        .chain(by("reno"))
        .chain(by("bbr"))
        .collect()
}

/// What the stacks are called in tables.
const NAMES: [&str; 2] = ["Linux", "Weirgate"];
/// When a transfer is ended, finished or not.
const PATIENCE: Duration = Duration::from_secs(6);
/// Octets of payload in a full segment with time stamps.
const FULL_SEGMENT: u64 = 1448;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn arguments_say_what_to_measure() {
        let options = parse("--quick --rounds 3 --congestion reno --only late out.json").unwrap();
        assert_eq!(options.rounds, 3);
        assert_eq!((options.quick, options.congestion), (true, "reno"));
        assert_eq!(options.only, "late");
        assert_eq!(options.file, Some("out.json".into()));
        assert_eq!(parse("").unwrap().rounds, 1);
        for nonsense in [
            "--rounds 0",
            "--rounds",
            "--congestion vegas",
            "--fast",
            "a b",
        ] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn no_row_is_there_twice() {
        let mut names: Vec<_> = cells(false)
            .iter()
            .map(|cell| (cell.rtt, cell.name.clone()))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (65, 65));
        assert!(cells(true).len() < 15);
    }
}
