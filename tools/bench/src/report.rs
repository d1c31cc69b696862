//! Figures: as a table for people, and as a flat JSON object for programs.

use core::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;

/// Whether more is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Better {
    /// The aim is the least that is good.
    More,
    /// The aim is the most that is good.
    Less,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its key in the JSON object; ends in its unit.
    pub name: String,
    /// What it is, for people.
    pub what: &'static str,
    /// The median of the rounds.
    pub value: f64,
    /// Least and most of the rounds, if there was more than one.
    pub spread: Option<(f64, f64)>,
    /// What it should be.
    pub aim: Option<(Better, f64)>,
}

impl Figure {
    /// The median of `rounds`, with their spread.
    ///
    /// # Panics
    /// If there are no rounds.
    pub fn of_rounds(name: impl Into<String>, what: &'static str, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self {
            name: name.into(),
            what,
            value: rounds[rounds.len() / 2],
            spread: Some((rounds[0], rounds[rounds.len() - 1])),
            aim: None,
        }
    }

    /// The same, with what it should be.
    pub fn aiming(self, better: Better, aim: f64) -> Self {
        Self {
            aim: Some((better, aim)),
            ..self
        }
    }

    /// Whether the aim, if there is one, is reached.
    fn verdict(&self) -> &'static str {
        match self.aim {
            None => "",
            Some((Better::More, aim)) if self.value >= aim => "reached",
            Some((Better::Less, aim)) if self.value <= aim => "reached",
            Some(_) => "missed",
        }
    }
}

/// The figures of one benchmark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order in which they are shown.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure, and tells whoever waits for the rest.
    pub fn add(&mut self, figure: Figure) {
        eprintln!("{}: {}", figure.name, short(figure.value));
        self.figures.push(figure);
    }

    /// The flat JSON object of all numbers.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (index, figure) in self.figures.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            // Names are words of our own and need no escapes. Writing to a `String` cannot fail.
            let _ = write!(
                json,
                "{separator}\n  \"{}\": {:.3}",
                figure.name, figure.value
            );
        }
        json.push_str("\n}\n");
        json
    }

    /// Writes the JSON object to `path`, whose directory is made if it is not there.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, self.to_json())
    }
}

impl fmt::Display for Report {
    /// One line a figure: name, median, spread, aim, what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34} {:>10} {:>21} {:>10}",
            "figure", "median", "least .. most", "aim"
        )?;
        for figure in &self.figures {
            let spread = figure.spread.map_or_else(String::new, |(least, most)| {
                format!("{} .. {}", short(least), short(most))
            });
            let aim = figure.aim.map_or_else(String::new, |(_, aim)| short(aim));
            writeln!(
                f,
                "{:<34} {:>10} {spread:>21} {aim:>10} {:<8} {}",
                figure.name,
                short(figure.value),
                figure.verdict(),
                figure.what
            )?;
        }
        Ok(())
    }
}

/// A number with as many digits as mean something.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            figures: vec![
                Figure::of_rounds("a_ns", "first", vec![300.0, 100.0, 200.0])
                    .aiming(Better::Less, 250.0),
                Figure::of_rounds("b_gbit_s", "second", vec![7.5]).aiming(Better::More, 8.0),
            ],
        }
    }

    #[test]
    fn figures_are_a_flat_object_of_numbers() {
        assert_eq!(
            report().to_json(),
            "{\n  \"a_ns\": 200.000,\n  \"b_gbit_s\": 7.500\n}\n"
        );
    }

    #[test]
    fn the_table_says_whether_aims_are_reached() {
        let table = report().to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].contains("reached") && lines[1].contains("100 .. 300"));
        assert!(lines[2].contains("missed") && lines[2].contains("7.50"));
    }
}
