//! The binary `weirgate`: the command line, joined to what it names.

#![forbid(unsafe_code)]

#[cfg(feature = "dpdk")]
mod dpdk;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use proxy::cli::{self, Cli, Command, EXIT_OK, EXIT_RUNTIME, FlowCommand};

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads our output has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(EXIT_RUNTIME),
        Err(error) => {
            // If standard error is gone as well, the exit code is all that is left to say.
            let _ = writeln!(io::stderr(), "weirgate: cannot write the output: {error}");
            ExitCode::from(EXIT_RUNTIME)
        }
    }
}

fn run(command: Command) -> io::Result<u8> {
    match command {
        Command::Run(args) => run_workers(&args),
        Command::Check(args) => cli::check(&args, &mut io::stdout(), &mut io::stderr()),
        Command::Replay(args) => cli::replay(&args, &mut io::stdout(), &mut io::stderr()),
        Command::Flow(FlowCommand::Plan(args)) => {
            cli::plan(&args, &mut io::stdout(), &mut io::stderr())
        }
        Command::Flow(FlowCommand::Apply(args)) => apply_rules(&args),
        Command::Version => cli::version(&mut io::stdout()).map(|()| EXIT_OK),
    }
}

/// `weirgate run`: checks the configuration, sets the log up, and runs until told to stop.
#[cfg(feature = "dpdk")]
fn run_workers(args: &cli::RunArgs) -> io::Result<u8> {
    let Some(config) = cli::load(&args.config, &mut io::stderr(), |_| true)? else {
        return Ok(cli::EXIT_CONFIG);
    };
    if let Err(error) = proxy::log::init(&config.log) {
        writeln!(io::stderr(), "weirgate: {error}")?;
        return Ok(EXIT_RUNTIME);
    }
    proxy::log::log_panics();
    match dpdk::run(&config, &args.config, args.tap.as_deref()) {
        Ok(()) => Ok(EXIT_OK),
        Err(error) => {
            tracing::error!("{error}");
            // The log may be switched off; whoever started us must still learn why we stopped.
            if config.log.level == tracing::level_filters::LevelFilter::OFF {
                writeln!(io::stderr(), "weirgate: {error}")?;
            }
            Ok(EXIT_RUNTIME)
        }
    }
}

/// `weirgate run` in a build that cannot: for hosts on which there is no DPDK to build with.
#[cfg(not(feature = "dpdk"))]
fn run_workers(_args: &cli::RunArgs) -> io::Result<u8> {
    needs_dpdk()
}

/// `weirgate flow apply`: tries the rules on the live devices.
#[cfg(feature = "dpdk")]
fn apply_rules(args: &cli::ApplyArgs) -> io::Result<u8> {
    dpdk::apply(args, &mut io::stdout(), &mut io::stderr())
}

/// `weirgate flow apply` in a build that cannot.
#[cfg(not(feature = "dpdk"))]
fn apply_rules(_args: &cli::ApplyArgs) -> io::Result<u8> {
    needs_dpdk()
}

/// What a command says that needs devices.
#[cfg(not(feature = "dpdk"))]
fn needs_dpdk() -> io::Result<u8> {
    writeln!(
        io::stderr(),
        "weirgate: this program was built without DPDK and can only check, plan flow rules and \
         replay; build it with `cargo build --release --package proxy --features dpdk`"
    )?;
    Ok(EXIT_RUNTIME)
}
