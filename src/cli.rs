//! The command line: arguments in, exit code out.

pub mod check;
pub mod ctl;
pub mod demo;
mod hardening;
mod print;
mod reloads;
pub mod schema;
pub mod serve;
mod signals;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use print::complain;

use crate::model::version::VERSION;

/// A gateway for gRPC microservices: balances every request, is honest about every backend, and
/// is steered at run time.
#[derive(Debug, Parser)]
#[command(name = "equipoise", version = VERSION, propagate_version = true)]
#[command(after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  equipoise demo                                 see it at work, without any configuration
  equipoise serve --config gateway.yaml          run the gateway
  equipoise check --config gateway.yaml          find every error in a configuration
  equipoise schema > equipoise.schema.json       teach your editor the configuration
  equipoise ctl backends                         see how the backends of a running gateway do
  equipoise ctl drain orders 127.0.0.1:50051     send one of them no new requests";

/// Which configuration a command is about.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration, a YAML file
    #[arg(value_name = "FILE", required_unless_present = "config")]
    file: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Its path.
    fn path(&self) -> &Path {
        self.config.as_deref().or(self.file.as_deref()).unwrap_or(Path::new(""))
    }

    /// Whether it is read from standard input.
    fn is_input(&self) -> bool {
        self.path() == Path::new("-")
    }
}

/// What the command line can ask for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(serve::Args),
    /// Show the gateway at work: three backends, a small load, live shares and latency
    Demo(demo::Args),
    /// Validate a configuration and say everything that is wrong with it
    Check(check::Args),
    /// Print the JSON Schema of the configuration, for editors
    Schema(schema::Args),
    /// See and steer a running gateway
    Ctl(Box<ctl::Args>),
}

/// Parses the process's arguments and runs the command.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Ctl(args) => control(*args),
    }
}

/// Reports a usage error, as JSON if the arguments ask for it.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && ctl::wants_json(std::env::args_os().skip(1)) {
        let message = error.to_string();
        let message = message.trim_start_matches("error: ").trim_end();
        complain(&ctl::json_error(ctl::ErrorKind::Usage, None, message));
        return ExitCode::from(ctl::ErrorKind::Usage.exit_code());
    }
    let _ = error.print(); // on failure the exit code has to do
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(ctl::ErrorKind::Usage.exit_code()))
}

/// Runs `ctl` on a current-thread runtime, and reports errors.
fn control(args: ctl::Args) -> ExitCode {
    let output = args.output();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(ctl::run(args)),
        Err(error) => Err(ctl::Error::Output(error)),
    };
    match result {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => {
            match output {
                ctl::Output::Table => complain(&format!("error: {error}\n")),
                ctl::Output::Json => complain(&error.json()),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
