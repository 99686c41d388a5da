//! `equipoise ctl`: see and steer a running gateway over its control API.

mod client;
mod json;
mod parse;
mod route;
mod since;
mod streams;
mod table;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::control::proto;
use crate::model::units;
use client::Client;
pub use client::Error;

/// See and steer a running gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Where the control API of the gateway is
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "EQUIPOISE_CONTROL",
        default_value = "http://127.0.0.1:9900"
    )]
    control: String,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// How long to wait for an answer
    #[arg(long, global = true, default_value = "5s", value_parser = units::parse_duration)]
    timeout: Duration,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Changes take effect at once, on every worker, and drop nothing that is in flight. They lie over the
configuration file: they stay when it is reloaded, and end with the process. Each is all or nothing
and makes the service's revision one more; --expected-revision N refuses it if somebody else was
faster.

Examples:
  equipoise ctl backends orders                            state, weight, share, success, latency
  equipoise ctl set-weight orders 127.0.0.1:50051=80 127.0.0.1:50052=20
  equipoise ctl backends orders --since 7                  requests, failures and codes since then
  equipoise ctl add orders 127.0.0.1:50053=5               a backend that the file does not have
  equipoise ctl remove orders 127.0.0.1:50051              drain it first to see it run empty
  equipoise ctl set-policy orders round_robin
  equipoise ctl set-policy orders consistent_hash key.header=x-user-id replicas=128
  equipoise ctl set-policy orders configured               back to what the file says";

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs: one JSON document, for `watch` one a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the services
    Services,
    /// Show the backends of one service or of all
    Backends {
        /// The service; all without it
        service: Option<String>,
        /// Show how requests ended since this revision began; the last 16 are remembered
        #[arg(long, value_name = "REV", requires = "service")]
        since: Option<u64>,
    },
    /// Set the weights of backends; 0 takes no new requests
    SetWeight {
        /// The service
        service: String,
        /// What to set; other backends keep their weight
        #[arg(required = true, value_name = "BACKEND=WEIGHT", value_parser = parse::weight)]
        weights: Vec<(String, u32)>,
        #[command(flatten)]
        conditions: Conditions,
    },
    /// Send a backend no new requests; those in flight finish, its weight is kept
    Drain(Target),
    /// Put a drained backend back
    Undrain(Target),
    /// Add backends
    Add {
        /// The service
        service: String,
        /// Their addresses, host:port; the weight is 1 unless given
        #[arg(required = true, value_name = "BACKEND[=WEIGHT]", value_parser = parse::new_backend)]
        backends: Vec<proto::NewBackend>,
        #[command(flatten)]
        expected: Expected,
    },
    /// Remove backends: no new requests; those in flight finish
    Remove {
        /// The service
        service: String,
        /// Their addresses
        #[arg(required = true, value_name = "BACKEND")]
        backends: Vec<String>,
        #[command(flatten)]
        conditions: Conditions,
    },
    /// Spread a service's requests in another way
    SetPolicy {
        /// The service
        service: String,
        /// The policy's name; `configured` goes back to the configuration's
        policy: String,
        /// Its settings; KEY.INNER=VALUE for what the configuration has as KEY: { INNER: VALUE }
        #[arg(value_name = "KEY=VALUE", value_parser = parse::setting)]
        settings: Vec<(String, String)>,
        #[command(flatten)]
        expected: Expected,
    },
    /// Say which route a request would take, and why
    Route(route::Args),
    /// Show a service's backends again and again
    Watch {
        /// The service
        service: String,
        /// How often, beside every change
        #[arg(long, default_value = "1s", value_parser = units::parse_duration)]
        interval: Duration,
    },
}

#[derive(Debug, clap::Args)]
struct Target {
    /// The service
    service: String,
    /// The backend's address
    backend: String,
    #[command(flatten)]
    conditions: Conditions,
}

#[derive(Debug, clap::Args)]
struct Expected {
    /// Change only if the service is still at this revision
    #[arg(long, value_name = "N")]
    expected_revision: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Conditions {
    #[command(flatten)]
    expected: Expected,
    /// Change even if no backend is left to take requests
    #[arg(long)]
    allow_empty: bool,
}

/// Carries the command out and prints to standard output.
///
/// # Errors
/// The gateway could not be reached or refused; see [`Error::exit_code`].
pub async fn run(args: Args) -> Result<(), Error> {
    let mut stdout = io::stdout();
    let redraw = stdout.is_terminal();
    match execute(args, &mut stdout, redraw).await {
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Carries the command out and prints to `out`; `redraw` lets `watch` paint over what it
/// printed last.
///
/// # Errors
/// As [`run`].
pub async fn execute(args: Args, out: &mut dyn Write, redraw: bool) -> Result<(), Error> {
    let client = Client::connect(&args.control, args.timeout).await?;
    let output = args.output;
    match args.command {
        Command::Services => print(out, &output.services(&client.list().await?)),
        Command::Backends { service: Some(service), since: since @ Some(_) } => {
            print(out, &output.since(&client.get(service, since).await?))
        }
        Command::Backends { service, since: _ } => {
            let services = backends(&client, service).await?;
            print(out, &output.backends(&services))
        }
        Command::Watch { service, interval } => {
            let repaint = redraw && output == Output::Table;
            let clear = if repaint { "\x1b[H\x1b[2J" } else { "" };
            let mut states = client.watch(service, interval).await?;
            while let Some(service) = states.next().await? {
                print(out, &format!("{clear}{}", output.watched(&service)))?;
            }
            Ok(())
        }
        Command::SetWeight { service, weights, conditions } => {
            let revision = client.set_weights(&service, parse::weights(weights)?, conditions);
            print(out, &output.changed(&service, revision.await?))
        }
        Command::Drain(target) => {
            let service = target.service.clone();
            print(out, &output.changed(&service, client.drain(target).await?))
        }
        Command::Undrain(target) => {
            let service = target.service.clone();
            print(out, &output.changed(&service, client.undrain(target).await?))
        }
        Command::Add { service, backends, expected } => {
            let revision = client.add(&service, backends, expected).await?;
            print(out, &output.changed(&service, revision))
        }
        Command::Remove { service, backends, conditions } => {
            let revision = client.remove(&service, backends, conditions).await?;
            print(out, &output.changed(&service, revision))
        }
        Command::Route(args) => {
            let explained = client.explain(args.request()).await?;
            print(out, &output.explained(&explained))
        }
        Command::SetPolicy { service, policy, settings, expected } => {
            let settings = parse::settings(settings)?;
            let revision = client.set_policy(&service, policy, settings, expected).await?;
            print(out, &output.changed(&service, revision))
        }
    }
}

async fn backends(client: &Client, one: Option<String>) -> Result<Vec<proto::Service>, Error> {
    if let Some(service) = one {
        return Ok(vec![client.get(service, None).await?]);
    }
    let mut services = Vec::new();
    for summary in client.list().await? {
        services.push(client.get(summary.name, None).await?);
    }
    Ok(services)
}

impl Output {
    fn services(self, services: &[proto::ServiceSummary]) -> String {
        match self {
            Output::Table => table::services(services),
            Output::Json => json::services(services),
        }
    }

    fn backends(self, services: &[proto::Service]) -> String {
        match self {
            Output::Table => table::backends(services),
            Output::Json => json::backends(services),
        }
    }

    fn since(self, service: &proto::Service) -> String {
        match self {
            Output::Table => since::text(service),
            Output::Json => json::backends(std::slice::from_ref(service)),
        }
    }

    fn watched(self, service: &proto::Service) -> String {
        match self {
            Output::Table => table::backends(std::slice::from_ref(service)),
            Output::Json => json::watched(service),
        }
    }

    fn explained(self, explained: &proto::ExplainRouteResponse) -> String {
        match self {
            Output::Table => route::text(explained),
            Output::Json => json::explained(explained),
        }
    }

    fn changed(self, service: &str, revision: u64) -> String {
        match self {
            Output::Table => format!("{service} is now at revision {revision}\n"),
            Output::Json => json::changed(service, revision),
        }
    }
}

/// The state as it is called everywhere.
fn state_name(state: proto::BackendState) -> &'static str {
    state.as_str_name().strip_prefix("BACKEND_STATE_").unwrap_or("UNSPECIFIED")
}

/// The part that `part` is of `all`, if there are any.
fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn print(out: &mut dyn Write, text: &str) -> Result<(), Error> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}
