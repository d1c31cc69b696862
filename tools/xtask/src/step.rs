//! Running other programs, one visible step after the other.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Error;

/// Runs `command` in the foreground; what it prints is seen as it is printed.
pub(crate) fn foreground(command: &mut Command) -> Result<(), Error> {
    let status = command.status().map_err(|source| Error::Start {
        command: describe(command),
        source,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            command: describe(command),
            status,
        })
    }
}

/// The command line of `command`, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Steps that have run, with the time that each took.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs one step under a heading; a failure names the step and ends the run.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step();
        let time = start.elapsed();
        if let Err(source) = result {
            println!("== {name}: FAILED after {:.1} s", time.as_secs_f64());
            let source = Box::new(source);
            return Err(Error::Step { name, source });
        }
        println!("== {name}: ok, {:.1} s", time.as_secs_f64());
        self.done.push((name, time));
        Ok(())
    }

    /// Prints what ran and how long it took.
    pub(crate) fn print_summary(&self) {
        println!("\nAll {} steps passed:", self.done.len());
        for (name, time) in &self.done {
            println!("  {:7.1} s  {name}", time.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_named() {
        let mut steps = Steps::default();
        steps
            .run("good", || foreground(&mut Command::new("true")))
            .unwrap();
        let error = steps
            .run("bad", || foreground(Command::new("false").arg("-x")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("step `bad`"), "{error}");
        assert!(error.contains("`false -x`"), "{error}");
        assert_eq!(steps.done.len(), 1);
    }
}
