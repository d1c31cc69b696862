//! The table: what is measured, how often, and how it is shown.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::bed::{Bed, Stack};
use super::cell::{Cell, Line, Loss};
use super::jain;
use super::transfer::{Transfer, Way};
use crate::rig::RigError;

/// How to call the program.
pub const USAGE: &str = "\
usage: paths [--quick] [--rounds N] [--congestion NAME] [--only WORD] [FILE]

  --quick            a part of the table, in about two minutes
  --rounds N         the median of N rounds; default: 1
  --congestion NAME  cubic (default), reno or bbr, for both stacks
  --only WORD        only rows in which this occurs, such as \"100 ms\" or \"bursts\"
  FILE               where the figures go, as a JSON object";

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
}

impl<'a> Report<'a> {
    /// A report without figures.
    pub fn start(options: &'a Options) -> Self {
        let figures = Map::new();
        Self { options, figures }
    }

    /// Measures the goodput of every cell in both directions.
    pub fn goodput(&mut self, bed: &Bed) -> Result<(), RigError> {
        println!("| round trip | path | way | Linux, Mbit/s | Weirgate, Mbit/s | ratio |");
        println!("|---:|---|---|---:|---:|---:|");
        for cell in cells(self.options.quick) {
            for way in Way::ALL {
                let row = format!("| {} ms | {} | {} |", cell.rtt, cell.name, way.name());
                if !row.contains(&self.options.only) {
                    continue;
                }
                let [linux, native] = self.both(bed, &cell, way)?;
                let ratio = native / linux;
                println!("{row} {linux:.1} | {native:.1} | {ratio:.2} |");
                let name = format!("{} {}ms {}", way.name(), cell.rtt, cell.name);
                self.add(&format!("{name} linux mbit_s"), linux);
                self.add(&format!("{name} native mbit_s"), native);
            }
        }
        Ok(())
    }

    /// The medians of both stacks, measured in turns.
    fn both(&self, bed: &Bed, cell: &Cell, way: Way) -> Result<[f64; 2], RigError> {
        let mut rounds = [const { Vec::new() }; 2];
        for seed in 1..=self.options.rounds {
            for (stack, rounds) in self.stacks().into_iter().zip(&mut rounds) {
                let outcome = cell.measure(bed, stack, way, seed, PATIENCE)?;
                rounds.push(outcome.goodput());
            }
        }
        Ok(rounds.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 2]
        }))
    }

    /// Measures how long 100 kB take when 1 % of all frames are lost.
    pub fn completion(&mut self, bed: &Bed) -> Result<(), RigError> {
        let cell = Cell {
            loss: Loss::Random(10_000),
            ..Cell::new(20)
        };
        let transfer = Transfer {
            way: Way::Download,
            flows: 10,
            octets: 100_000,
            patience: Duration::from_secs(20),
        };
        let seeds = if self.options.quick { 10 } else { 30 };
        if !"completion".contains(&self.options.only) {
            return Ok(());
        }
        println!(
            "\n100 kB over 20 ms with 1 % of frames lost, {} times:",
            seeds * 10
        );
        println!("\n| | median, ms | 90 %, ms | 99 %, ms |\n|---|---:|---:|---:|");
        for (stack, name) in self.stacks().into_iter().zip(NAMES) {
            let mut times = Vec::new();
            for seed in 1..=seeds {
                let (outcome, _) = bed.measure(cell.impairment(seed), &[stack], &transfer)?;
                let time = |time: &Option<Duration>| time.unwrap_or(transfer.patience);
                times.extend(outcome.times.iter().map(time));
            }
            times.sort();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
            println!("| {name} | {:.0} | {:.0} | {:.0} |", at(50), at(90), at(99));
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
            way: Way::Download,
            flows: 2,
            octets: u64::MAX,
            patience: Duration::from_secs(20),
        };
        let (outcome, _) = bed.measure(cell.impairment(1), &self.stacks(), &transfer)?;
        let rate = |octets: &u64| *octets as f64 * 8.0 / outcome.time.as_secs_f64() / 1e6;
        let shares: Vec<f64> = outcome.octets.iter().map(rate).collect();
        println!(
            "\nTwo flows of each on a line of 40 Mbit/s with a queue of one product, for 20 s: \
             Linux {:.1} and {:.1}, Weirgate {:.1} and {:.1} Mbit/s; Jain's index {:.3}",
            shares[0],
            shares[1],
            shares[2],
            shares[3],
            jain(&shares),
        );
        self.add("fairness jain", jain(&shares));
        Ok(())
    }

    /// Writes the figures to the file that was asked for.
    pub fn write(self) -> Result<(), RigError> {
        let Some(path) = &self.options.file else {
            return Ok(());
        };
        let what = || RigError::io(path.display().to_string());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(what())?;
        }
        let text = format!("{:#}\n", Value::Object(self.figures));
        fs::write(path, text).map_err(what())?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }

    fn stacks(&self) -> [Stack; 2] {
        let congestion = self.options.congestion;
        [Stack::Linux(congestion), Stack::Native(congestion)]
    }

    fn add(&mut self, name: &str, value: f64) {
        let name = name.replace(' ', "_");
        self.figures.insert(name, Value::from(value));
    }
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
    cells
}

/// What the stacks are called in tables.
const NAMES: [&str; 2] = ["Linux", "Weirgate"];
/// When a transfer is ended, finished or not.
const PATIENCE: Duration = Duration::from_secs(6);

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
        assert_eq!((names.len(), count), (50, 50));
        assert!(cells(true).len() < 15);
    }
}
