//! `equipoise serve`: run the gateway.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

use super::ConfigFile;
use super::signals::Signals;
use crate::app::Gateway;
use crate::config::{self, LogFormat, Plan, Report, Watch};
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
`workers`, `worker_buffer`, `flow_pause`, `log`, `control` and `metrics` need a restart.

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
                loaded = changes.next() => gateway.reload(loaded).await,
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

/// The configurations that are to follow on the first one.
struct Changes {
    path: PathBuf,
    hangup: Signal,
    watch: Option<Watch>,
}

impl Changes {
    /// From here on SIGHUP no longer ends the process.
    fn new(path: &Path, plan: &Plan) -> std::io::Result<Changes> {
        let watch = Watch::new().inspect_err(|error| {
            tracing::warn!(%error, "files cannot be watched: SIGHUP reloads the configuration");
        });
        let mut watch = watch.ok();
        if let Some(watch) = &mut watch {
            watch.follow(plan.sources.clone());
        }
        Ok(Changes { path: path.to_owned(), hangup: signal(SignalKind::hangup())?, watch })
    }

    /// Waits for a reason to load the configuration anew, and does so.
    async fn next(&mut self) -> Result<Plan, Report> {
        loop {
            let touched = async {
                match &mut self.watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.hangup.recv() => tracing::info!("SIGHUP: reloading the configuration"),
                () = touched => tracing::info!("files have changed: reloading the configuration"),
            }
            let path = self.path.clone();
            match spawn_blocking(move || config::load(&path)).await {
                Ok(loaded) => {
                    self.follow(&loaded);
                    return loaded;
                }
                Err(error) => tracing::error!(%error, "the configuration was not loaded"),
            }
        }
    }

    fn follow(&mut self, loaded: &Result<Plan, Report>) {
        if let Some(watch) = &mut self.watch {
            watch.follow(match loaded {
                Ok(plan) => plan.sources.clone(),
                Err(report) => report.sources().clone(),
            });
        }
    }
}
