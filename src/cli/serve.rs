//! `equipoise serve`: runs the gateway.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ConfigFile;
use super::hardening::harden;
use super::print::complain;
use super::reloads::{Reloads, load};
use super::signals::Signals;
use crate::app::Gateway;
use crate::config::{Finding, LogFormat, LogPlan, Plan, Report};
use crate::net::raise_descriptor_limit;
use crate::telemetry::log::{self, Filter, Format};

/// Which configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
}

const HELP: &str = "\
SIGTERM, SIGINT or SIGQUIT end it in good order: it says that it is not ready, and after
`drain_delay` takes no new connections, asks clients to go, and has requests in flight finish for up
to `drain_timeout`. A second signal ends the delay, if there is one, and the next ends it at once.
SIGUSR1 and SIGUSR2 are logged and ignored.

SIGHUP, or a change of the configuration file or of a certificate or key that it names, has it go
over to the new configuration: all of it, or nothing if anything is wrong, which the log then says
with line and column. No connection and no stream ends for it; what `ctl` has changed stays on top.
What fails for a cause that may pass, such as a port that is taken, is tried again.
`workers`, `worker_buffer`, `flow_pause`, `dns`, `log`, `metrics` and where `control` listens need a
restart; its certificates, tokens and roles do not.

The log goes to the standard error; EQUIPOISE_LOG=debug, say, overrides the level that is
configured, and `ctl log-level` changes it at run time.

Examples:
  equipoise serve --config gateway.yaml
  equipoise ctl backends                    what it does, from another terminal
  kill -HUP $(pidof equipoise)              have it read its configuration again";

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    if args.file.is_input() {
        complain("error: what is served is read again when it changes: name a file, not `-`\n");
        return ExitCode::from(2);
    }
    // Before there is another thread, which would not have it.
    for failure in harden() {
        complain(&format!("warning: {failure}\n"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Failure::from).and_then(|runtime| {
        let result = runtime.block_on(serve(args.file.path()));
        runtime.shutdown_background(); // does not wait for a blocked file read or name lookup
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Logged) => ExitCode::FAILURE,
        Err(Failure::Unlogged(error)) => {
            complain(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Why the gateway did not start.
enum Failure {
    /// Already logged.
    Logged,
    /// To be printed: the log is not set up yet.
    Unlogged(Box<dyn Error>),
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Unlogged(error.into())
    }
}

async fn serve(path: &Path) -> Result<(), Failure> {
    // Install signal handlers first: by default these signals kill the process.
    let mut signals = Signals::new()?;
    let hangup = signal(SignalKind::hangup())?;
    let loaded = tokio::select! {
        loaded = load(path) => loaded?,
        _ = signals.next() => return Ok(()),
    };
    let plan = match loaded {
        Ok(plan) => plan,
        Err(report) => return Err(refuse(&report)?),
    };
    let configured = Filter::from(plan.log.level);
    let filter = log::from_environment(&configured);
    let shown = filter.as_ref().unwrap_or(&configured).clone();
    let _flush = log::init(format(plan.log.format), &shown, plan.log.buffer)?;
    for doubt in shown.unknown_targets() {
        tracing::warn!(%doubt, "the level of the log");
    }
    match filter {
        Ok(_) => run_until_signal(path, plan, &mut signals, hangup).await,
        Err(error) => Err(no_start(&error)),
    }
}

fn no_start(error: &dyn Error) -> Failure {
    tracing::error!(%error, "the gateway does not start");
    Failure::Logged
}

/// Reports configuration errors in the log format that the file asks for.
fn refuse(report: &Report) -> Result<Failure, Failure> {
    let plan = LogPlan::default();
    if report.log_format() == LogFormat::Text {
        complain(&report.pretty());
        return Ok(Failure::Logged);
    }
    let _flush = log::init(Format::Json, &Filter::from(plan.level), plan.buffer)?;
    let file = report.file();
    for finding in report.errors() {
        let Finding { line, column, message, help, .. } = finding;
        tracing::error!(file, line, column, error = message, help, "configuration");
    }
    Ok(Failure::Logged)
}

fn format(format: LogFormat) -> Format {
    match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

async fn run_until_signal(
    path: &Path,
    plan: Plan,
    signals: &mut Signals,
    hangup: Signal,
) -> Result<(), Failure> {
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(%error, "the limit of descriptors cannot be raised");
    }
    for warning in &plan.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let mut changes = Reloads::new(path, &plan, hangup);
    let mut gateway = Gateway::start(plan).await.map_err(|error| no_start(&error))?;
    let at = |unix: bool| {
        let mut places = gateway.control().iter();
        places.find(|place| place.ip().is_none() == unix).map(ToString::to_string)
    };
    tracing::info!(control = at(false), socket = at(true), metrics = %gateway.metrics(), "ready");
    let name = loop {
        tokio::select! {
            name = signals.next() => break name,
            change = changes.next() => changes.apply(change, &mut gateway).await,
            () = gateway.lost() => {
                tracing::error!("every worker has ended, and so does the process");
                return Err(Failure::Logged);
            }
        }
    };
    tracing::info!(signal = name, "going down: finishing what is in flight");
    tokio::select! {
        () = gateway.announce_shutdown() => {}
        name = signals.next() => tracing::warn!(signal = name, "`drain_delay` is cut short"),
        () = changes.refuse() => {}
    }
    tokio::select! {
        () = gateway.shutdown() => tracing::info!("down"),
        name = signals.next() => {
            tracing::warn!(signal = name, "ended at once: what was in flight is cut off");
        }
        () = changes.refuse() => {}
    }
    Ok(())
}
