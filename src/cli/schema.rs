//! `equipoise schema`: prints the JSON Schema of the configuration.

use std::process::ExitCode;

use super::print::show;
use crate::config;

/// There are none.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {}

const HELP: &str = "\
Prints a JSON Schema (draft 2020-12) of the configuration of this version, on the standard output.
Editors complete, explain and check keys by it. What a schema cannot know, such as whether a service
of this name is there or what a certificate holds, `equipoise check` says.

Examples:
  equipoise schema > equipoise.schema.json

  # the first line of gateway.yaml, for every editor that has yaml-language-server: VS Code with its
  # YAML extension, Neovim, Helix, Emacs
  # yaml-language-server: $schema=equipoise.schema.json

  # or for all files of that name, in VS Code's settings.json
  \"yaml.schemas\": { \"equipoise.schema.json\": \"gateway.yaml\" }";

/// Runs the command.
pub fn run(Args {}: &Args) -> ExitCode {
    show(&config::schema())
}
