//! `weirgate flow`: the flow rules that bring packets to the workers.
//!
//! `plan` needs neither DPDK nor a device: *Out* is the plan for each port, as commands that testpmd
//! takes, with a sentence on all that software does in place of the device. `apply` needs the live
//! devices; the binary does it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use flow_rules::driver::{Driver, Release};
use netstack::wire::ethernet::MacAddr;

use super::{EXIT_CONFIG, EXIT_OK, EXIT_USAGE, load};
use crate::config::Config;
use crate::steering::{PortFacts, request};

/// What to do with flow rules.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub enum FlowCommand {
    /// Print the rules for a driver, without any device
    ///
    /// For each port of the configuration, the plan says which receive queue is for what, and lists
    /// the commands that make testpmd do the same. Below them stands what the driver cannot do, what
    /// software does instead, and what that costs. The live device may refuse a rule all the same:
    /// see `weirgate flow apply --dry-run`.
    Plan(PlanArgs),
    /// Put the rules to the live devices, and take them back
    ///
    /// Starts DPDK with the ports of the configuration, validates each rule, installs it, asks the
    /// device for its counters, prints what came of it, and removes all rules again. Weirgate must
    /// not be running on these devices.
    Apply(ApplyArgs),
}

/// The arguments of `weirgate flow plan`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct PlanArgs {
    /// The driver of the ports, as DPDK calls it or for short: `net_i40e`, `i40e`, `mlx5`
    #[arg(long, value_name = "NAME")]
    pub driver: Driver,
    /// The configuration file (TOML); otherwise, the one that the README shows
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Receive queues that each device has; otherwise, as many as its driver is known to have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub queues: Option<u16>,
    /// The release of DPDK, such as 22.11
    #[arg(long, value_name = "RELEASE", default_value_t = Release::OLDEST_SUPPORTED)]
    pub release: Release,
    /// The driver of a member of each port, for bonding and failsafe; once for each
    #[arg(long = "member", value_name = "DRIVER")]
    pub members: Vec<Driver>,
}

/// The arguments of `weirgate flow apply`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct ApplyArgs {
    /// The configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Only validate each rule, and install none
    #[arg(long)]
    pub dry_run: bool,
}

/// Prints the plan for each port to `out`, errors and warnings to `err`.
///
/// Returns the exit code.
///
/// # Errors
/// If nothing can be written to `out` or `err`.
pub fn plan(args: &PlanArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if !args.members.is_empty() && !args.driver.follows_members() {
        writeln!(
            err,
            "weirgate: {} has no members: leave `--member` out, or name bonding or failsafe as the \
             driver",
            args.driver
        )?;
        return Ok(EXIT_USAGE);
    }
    let config = match &args.config {
        Some(path) => load(path, err, |_| true)?,
        None => Some(example()),
    };
    let Some(config) = config else {
        return Ok(EXIT_CONFIG);
    };
    let facts: Vec<_> = (1..=config.ports.len())
        .map(|number| facts(args, number))
        .collect();
    write_plans(&config, facts, out, err)
}

/// The configuration that the README shows.
fn example() -> Config {
    let text = include_str!("../../examples/readme.toml");
    let (config, _) = Config::parse(text, Path::new("readme.toml")).expect("a test parses it");
    config
}

/// What is known of port `number`, counted from 1. Its address is one that nobody has.
fn facts(args: &PlanArgs, number: usize) -> PortFacts {
    PortFacts {
        driver: args.driver,
        members: args.members.clone(),
        release: args.release,
        rx_queues: args.queues,
        mac: MacAddr([2, 0, 0, 0, 0, number as u8]),
    }
}

fn write_plans(
    config: &Config,
    mut facts: Vec<PortFacts>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    for (facts, port) in facts.iter_mut().zip(&config.ports) {
        facts.mac = port.mac.unwrap_or(facts.mac);
    }
    let plans = match request(config, &facts).plan() {
        Ok(plans) => plans,
        Err(error) => {
            writeln!(err, "weirgate: {error}")?;
            return Ok(EXIT_CONFIG);
        }
    };
    if !config.runtime.rx_lcores.is_empty() {
        let lcores: Vec<_> = config
            .runtime
            .rx_lcores
            .iter()
            .map(u16::to_string)
            .collect();
        let lcores = lcores.join(", ");
        writeln!(
            out,
            "# Workers of the plan are the lcores that receive: {lcores}"
        )?;
    }
    for (index, ((plan, port), facts)) in plans.iter().zip(&config.ports).zip(&facts).enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        if plan.isolated && port.mac.is_none() {
            let (name, mac) = (&port.name, facts.mac);
            writeln!(
                out,
                "# Port `{name}` has the address of its device, not {mac}"
            )?;
        }
        write!(out, "{plan}")?;
    }
    Ok(EXIT_OK)
}

#[cfg(test)]
mod tests;
