//! `equipoise serve`: run the gateway.

use std::path::Path;
use std::process::ExitCode;

use super::ConfigFile;
use super::changes::Changes;
use super::signals::Signals;
use crate::app::Gateway;
use crate::config::{self, LogFormat, Plan};
use crate::telemetry::log::{self, Format};

/// Which configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
}

const HELP: &str = "\
SIGTERM or SIGINT end it in good order: no new connections, clients are asked to go, requests in
flight finish for up to `drain_timeout`. A second signal ends it at once.

SIGHUP, or a change of the configuration file or of a certificate or key that it names, has it go
over to the new configuration: all of it, or nothing if anything is wrong, which the log then says
with line and column. No connection and no stream ends for it; what `ctl` has changed stays on top.
What fails for a cause that may pass, such as a port that is taken, is tried again.
`workers`, `worker_buffer`, `flow_pause`, `dns`, `log`, `control` and `metrics` need a restart.

The log goes to the standard error; EQUIPOISE_LOG=debug, say, overrides the level that is
configured.

Examples:
  equipoise serve --config gateway.yaml
  equipoise ctl backends                    what it does, from another terminal
  kill -HUP $(pidof equipoise)              have it read its configuration again";

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let plan = match config::load(&args.file.config) {
        Ok(plan) => plan,
        Err(report) => {
            eprint!("{}", report.pretty());
            return ExitCode::FAILURE;
        }
    };
    match serve(&args.file.config, plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &Path, plan: Plan) -> Result<(), Box<dyn std::error::Error>> {
    let format = match plan.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    log::init(format, plan.log.level.as_str())?;
    for warning in &plan.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut changes = Changes::new(path, &plan)?;
        let mut gateway = Gateway::start(plan).await?;
        tracing::info!(control = %gateway.control(), metrics = %gateway.metrics(), "ready");
        let name = loop {
            tokio::select! {
                name = signals.next() => break name,
                change = changes.next() => changes.apply(change, &mut gateway).await,
            };
        };
        tracing::info!(signal = name, "going down: finishing what is in flight");
        tokio::select! {
            () = gateway.shutdown() => tracing::info!("down"),
            name = signals.next() => tracing::warn!(signal = name, "ended at once"),
        }
        Ok(())
    })
}
