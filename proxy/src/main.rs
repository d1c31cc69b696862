//! The binary `weirgate`: the command line, joined to what it names.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use proxy::cli::{self, Cli, Command, EXIT_OK, EXIT_RUNTIME};

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
        Command::Check(args) => cli::check(&args, &mut io::stdout(), &mut io::stderr()),
        Command::Replay(args) => cli::replay(&args, &mut io::stdout(), &mut io::stderr()),
        Command::Version => cli::version(&mut io::stdout()).map(|()| EXIT_OK),
    }
}
