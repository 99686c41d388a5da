//! The `equipoise` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    equipoise::cli::run()
}
