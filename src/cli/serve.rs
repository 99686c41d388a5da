//! `equipoise serve`: run the gateway.

use std::process::ExitCode;

use super::ConfigFile;
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

The log goes to the standard error; EQUIPOISE_LOG=debug, say, overrides the level that is
configured.

Examples:
  equipoise serve --config gateway.yaml
  equipoise ctl backends                    what it does, from another terminal";

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let plan = match config::load(&args.file.config) {
        Ok(plan) => plan,
        Err(report) => {
            eprint!("{}", report.pretty());
            return ExitCode::FAILURE;
        }
    };
    match serve(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(plan: Plan) -> Result<(), Box<dyn std::error::Error>> {
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
        let listeners = plan.listeners.clone();
        let gateway = Gateway::start(plan).await?;
        for (address, spec) in gateway.listeners().iter().zip(&listeners) {
            let tls = spec.tls.is_some();
            tracing::info!(%address, tls, "listening");
        }
        tracing::info!(control = %gateway.control(), metrics = %gateway.metrics(), "ready");
        let name = signals.next().await;
        tracing::info!(signal = name, "going down: finishing what is in flight");
        tokio::select! {
            () = gateway.shutdown() => tracing::info!("down"),
            name = signals.next() => tracing::warn!(signal = name, "ended at once"),
        }
        Ok(())
    })
}
