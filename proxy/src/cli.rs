//! The command line of `weirgate`.
//!
//! Each command is a variant of [`Command`] with its arguments, and a function that is given the
//! arguments and where to write; the binary only joins the two. How a command ended is one of the
//! exit codes below.

mod check;
mod flow;
mod replay;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

pub use self::check::check;
pub use self::flow::{ApplyArgs, FlowCommand, PlanArgs, plan};
pub use self::replay::{ReplayArgs, replay};
use crate::config::{Config, ConfigWarning};

/// Exit code: all went well.
pub const EXIT_OK: u8 = 0;
/// Exit code: something failed while running.
pub const EXIT_RUNTIME: u8 = 1;
/// Exit code: the command line was wrong. This is also what `clap` exits with.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: the configuration was wrong, and nothing was started (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// A TCP proxy in userspace, on DPDK.
#[derive(Clone, Debug, Eq, Parser, PartialEq)]
#[command(name = "weirgate", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed while running, 2 wrong command line, \
                        78 wrong configuration."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub enum Command {
    /// Run the proxy until SIGTERM (drains) or SIGINT (stops at once)
    Run(RunArgs),
    /// Check a configuration file without starting anything
    Check(CheckArgs),
    /// Run the worker over captures instead of ports, in virtual time
    ///
    /// The worker receives the frames of the captures (pcap or pcapng) at the times of their time
    /// stamps, and what it sends is written as pcap with nanoseconds. Frames that the port itself
    /// sent are skipped, so a capture of both directions will do. The same configuration, captures
    /// and seed give the same output to the octet. Neither root nor DPDK is needed. There is one
    /// worker, however many lcores the configuration names.
    ///
    /// Printed are each session that ends, with its termination code, and every counter that
    /// moved.
    Replay(ReplayArgs),
    /// Flow rules: how devices bring packets to the workers
    #[command(subcommand)]
    Flow(FlowCommand),
    /// Print the version and how the program was built
    Version,
}

/// The arguments of `weirgate run`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct RunArgs {
    /// The configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Write everything that passes to captures in this directory, one for each port and worker
    #[arg(long, value_name = "DIR")]
    pub tap: Option<PathBuf>,
}

/// The arguments of `weirgate check`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct CheckArgs {
    /// The configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
}

/// Reads a configuration file. Writes those warnings that `matters` lets pass to `err`; or the
/// errors, and returns `None`.
///
/// # Errors
/// If nothing can be written to `err`.
pub fn load(
    path: &Path,
    err: &mut dyn Write,
    matters: impl Fn(&ConfigWarning) -> bool,
) -> io::Result<Option<Config>> {
    match Config::load(path) {
        Ok((config, warnings)) => {
            for warning in warnings.iter().filter(|warning| matters(warning)) {
                write!(err, "{warning}")?;
            }
            Ok(Some(config))
        }
        Err(errors) => {
            write!(err, "{errors}")?;
            let plural = if errors.len() == 1 { "" } else { "s" };
            writeln!(err, "{}: {} error{plural}", path.display(), errors.len())?;
            Ok(None)
        }
    }
}

/// Prints the version and how the program was built.
pub fn version(out: &mut dyn Write) -> io::Result<()> {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let dpdk = if cfg!(feature = "dpdk") {
        "with"
    } else {
        "without (check, flow plan and replay only)"
    };
    writeln!(out, "weirgate {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(
        out,
        "platform: {}-{}",
        std::env::consts::ARCH,
        std::env::consts::OS
    )?;
    writeln!(out, "profile:  {profile}")?;
    writeln!(out, "dpdk:     {dpdk}")?;
    writeln!(out, "licence:  {}", env!("CARGO_PKG_LICENSE"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, ErrorKind> {
        let arguments = std::iter::once(&"weirgate").chain(arguments);
        Cli::try_parse_from(arguments)
            .map(|cli| cli.command)
            .map_err(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_are_parsed() {
        let check = Command::Check(CheckArgs {
            config: "a.toml".into(),
        });
        assert_eq!(parsed(&["check", "--config", "a.toml"]), Ok(check.clone()));
        assert_eq!(parsed(&["check", "-c", "a.toml"]), Ok(check));
        let apply = Command::Flow(FlowCommand::Apply(ApplyArgs {
            config: "a.toml".into(),
            dry_run: true,
        }));
        let arguments = ["flow", "apply", "-c", "a.toml", "--dry-run"];
        assert_eq!(parsed(&arguments), Ok(apply));
        assert_eq!(parsed(&["version"]), Ok(Command::Version));
        assert_eq!(parsed(&["--version"]), Err(ErrorKind::DisplayVersion));
        assert_eq!(parsed(&["check"]), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(parsed(&["chekc"]), Err(ErrorKind::InvalidSubcommand));
    }

    #[test]
    fn a_wrong_command_line_exits_as_documented() {
        let error = Cli::try_parse_from(["weirgate", "check"]).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(EXIT_USAGE));
    }

    #[test]
    fn the_version_is_printed() {
        let mut out = Vec::new();
        version(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with(concat!("weirgate ", env!("CARGO_PKG_VERSION"), "\n")),
            "{text}"
        );
        let with = cfg!(feature = "dpdk");
        assert_eq!(text.contains("dpdk:     with\n"), with, "{text}");
        assert_eq!(
            text.contains("dpdk:     without (check, flow plan and replay only)\n"),
            !with,
            "{text}"
        );
    }
}
