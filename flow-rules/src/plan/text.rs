//! Prints a plan: commands for testpmd, and comments, which testpmd skips.
//!
//! The redirection table is a comment, not a command: how long it is, only the live port knows.

use core::fmt;

use super::{Destination, Plan, Rest, RestBy};
use crate::display::{Command, Octets};

/// Columns that comments keep to.
const WIDTH: usize = 96;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_queues(f)?;
        self.write_rest(f)?;
        self.write_rules(f)?;
        write_list(f, "By software, in place of the device:", &self.fallbacks)?;
        write_list(f, "To be asked of the live port:", &self.conditions)?;
        write_list(f, "Of the rules:", &self.notes)
    }
}

impl Plan {
    fn write_queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.workers == 1 { "" } else { "s" };
        writeln!(
            f,
            "# Port {} `{}`: {} of DPDK {}, {} worker{plural}",
            self.number, self.port, self.driver, self.release, self.workers
        )?;
        writeln!(f, "#\n# queue  worker  classes")?;
        for (number, queue) in self.queues.iter().enumerate() {
            let names: Vec<_> = queue.classes.iter().map(|class| class.name()).collect();
            writeln!(f, "# {number:>5}  {:>6}  {}", queue.worker, names.join(" "))?;
        }
        self.write_handed_over(f)?;
        let queues = self.queues.len();
        writeln!(f, "#\n# testpmd -- -i --rxq={queues} --txq={queues}")
    }

    /// Which classes reach which workers through others, the same ones together.
    fn write_handed_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut handed: Vec<(String, Vec<&str>)> = Vec::new();
        for plan in &self.classes {
            let workers = (0..self.workers).zip(&plan.destinations);
            let workers = workers.filter(|(_, how)| **how == Destination::HandedOver);
            let workers: Vec<_> = workers.map(|(worker, _)| worker.to_string()).collect();
            let workers = workers.join(", ");
            match handed.iter_mut().find(|(others, _)| *others == workers) {
                _ if workers.is_empty() => {}
                Some((_, classes)) => classes.push(plan.class.name()),
                None => handed.push((workers, vec![plan.class.name()])),
            }
        }
        handed.iter().try_for_each(|(workers, classes)| {
            let classes = classes.join(", ");
            let text = format!("Handed to worker {workers} by those that receive it: {classes}");
            write_comment(f, "# ", &text)
        })
    }

    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rest {
            queues,
            by,
            types,
            key,
        } = &self.rest;
        let port = self.number;
        if self.isolated {
            let on = true;
            writeln!(f, "port stop {port}\n{}", Command::Isolate { port, on })?;
            writeln!(f, "port start {port}")?;
        }
        let numbers: Vec<_> = queues.iter().map(u16::to_string).collect();
        let numbers = numbers.join(" ");
        let sentence = match by {
            RestBy::Table => format!(
                "What no rule matches goes where the redirection table (RETA) says. All of its \
                 entries in turn: {numbers}"
            ),
            RestBy::Rules => format!("What no other rule matches goes to: {numbers}"),
            RestBy::Fixed { by } => {
                format!("What no rule matches is spread by {by}, over: {numbers}")
            }
        };
        write_comment(f, "# ", &sentence)?;
        if !types.is_empty() {
            let types: Vec<_> = types.iter().map(|hashed| hashed.name()).collect();
            write_comment(f, "# ", &format!("Hashed for that: {}", types.join(" ")))?;
        }
        if let (Some(key), Some(hashed)) = (key, types.first()) {
            let key = Octets(key);
            let hashed = hashed.name();
            writeln!(f, "port config {port} rss-hash-key {hashed} {key}")?;
        }
        Ok(())
    }

    fn write_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for named in self.rules.iter() {
            let (port, rule) = (self.number, &named.rule);
            writeln!(f, "# {}\n{}", named.name, Command::Create { port, rule })?;
        }
        Ok(())
    }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    sentences: &[T],
) -> fmt::Result {
    if sentences.is_empty() {
        return Ok(());
    }
    writeln!(f, "#\n# {title}")?;
    let mut each = sentences.iter();
    each.try_for_each(|sentence| write_comment(f, "# - ", &sentence.to_string()))
}

/// Writes a text on as many lines as it takes, the first of which begins with `start`.
fn write_comment(f: &mut fmt::Formatter<'_>, start: &str, text: &str) -> fmt::Result {
    let mut line = start.to_owned();
    let indent = format!("#{}", " ".repeat(start.len() - 1));
    let mut first = true;
    for word in text.split_whitespace() {
        if !first && line.len() + 1 + word.len() > WIDTH {
            writeln!(f, "{line}")?;
            line.clone_from(&indent);
            first = true;
        }
        if !first {
            line.push(' ');
        }
        line.push_str(word);
        first = false;
    }
    writeln!(f, "{line}")
}
