//! `weirgate flow apply`: the rules of a configuration, tried on the live devices.
//!
//! Prints each rule as testpmd knows it, and what the device says to it. Nothing stays: a dry run
//! installs none, and otherwise they are asked for their counts and removed again. No worker runs.

use std::io::{self, Write};

use dpdk_io::{FlowError, Port};
use flow_rules::Command;
use flow_rules::plan::Plan;
use proxy::cli::{self, ApplyArgs, EXIT_CONFIG, EXIT_OK, EXIT_RUNTIME};
use proxy::config::Config;

use super::ports::{self, Pools};
use super::{RunError, rules, start_eal};

/// Runs the command; returns the exit code.
pub(crate) fn apply(args: &ApplyArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let Some(config) = cli::load(&args.config, err, |_| true)? else {
        return Ok(EXIT_CONFIG);
    };
    match try_rules(&config, args.dry_run) {
        Ok(tried) => {
            let mut refused = 0;
            for port in &tried {
                refused += write_tried(port, args.dry_run, out)?;
            }
            Ok(if refused == 0 { EXIT_OK } else { EXIT_RUNTIME })
        }
        Err(error) => {
            writeln!(err, "weirgate: {error}")?;
            Ok(EXIT_RUNTIME)
        }
    }
}

/// What the device of one port said.
struct Tried {
    plan: Plan,
    /// Whether the device is isolated.
    isolated: bool,
    /// What it said to each rule of the plan.
    said: Vec<Result<(), FlowError>>,
}

/// Opens the devices as a run would, and tries the rules of each.
fn try_rules(config: &Config, dry_run: bool) -> Result<Vec<Tried>, RunError> {
    let eal = start_eal(config)?;
    let planned = ports::plan(config, &eal)?;
    let budget = config.packet_budget_for(&planned.queues);
    let pools = Pools::create(config, &eal, &planned, &budget)?;
    let mut ports = ports::open(config, &eal, &pools, &planned)?;
    let queues = ports
        .iter_mut()
        .map(Port::start)
        .collect::<Result<Vec<_>, _>>()?;
    let tried = ports.iter().zip(&planned.plans).map(|(port, plan)| Tried {
        isolated: port.config().isolated,
        said: rules::try_each(port, plan, dry_run),
        plan: plan.clone(),
    });
    let tried = tried.collect();
    drop((queues, ports, pools));
    eal.shutdown()?;
    Ok(tried)
}

/// Prints what a device said; returns how many rules it refused.
fn write_tried(tried: &Tried, dry_run: bool, out: &mut dyn Write) -> io::Result<usize> {
    let Tried {
        plan,
        isolated,
        said,
    } = tried;
    let port = plan.number;
    let queues = plan.queues.len();
    writeln!(
        out,
        "# Port {port} `{}`: {} of DPDK {}, {queues} receive queues",
        plan.port, plan.driver, plan.release
    )?;
    if plan.isolated {
        let word = if *isolated { "accepted" } else { "refused" };
        writeln!(out, "{word}: {}", Command::Isolate { port, on: true })?;
    }
    let mut refused = usize::from(plan.isolated && !isolated);
    for (named, said) in plan.rules.iter().zip(said) {
        let rule = &named.rule;
        let command = if dry_run {
            Command::Validate { port, rule }
        } else {
            Command::Create { port, rule }
        };
        match said {
            Ok(()) => writeln!(out, "accepted: {command}")?,
            Err(error) => {
                refused += 1;
                writeln!(out, "refused:  {command}\n          {error}")?;
            }
        }
    }
    let rules = said.len();
    writeln!(
        out,
        "# {rules} rules, {refused} refused{}",
        match (refused, rules) {
            (0, 0) => ": nothing on this device is steered by rules",
            (0, _) => "",
            _ => ": `weirgate run` does their work by software",
        }
    )?;
    Ok(refused)
}
