//! `equipoise ctl`: a command-line client of the control API.
//!
//! Each command has a file: its arguments, its API call, and its output.

mod backends;
mod change;
mod client;
mod context;
mod credentials;
mod drain;
mod error;
mod explain;
mod history;
mod json;
mod log_level;
mod methods;
mod overrides;
mod parse;
mod place;
mod policies;
mod preview;
mod route;
mod services;
mod session;
mod since;
mod sources;
mod split;
mod streams;
mod table;
mod token;
mod unavailable;
mod watch;
mod whoami;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::control::Claim;
use crate::control::proto::BackendState;
use crate::text::units;
use client::WithAuthor;
use context::Connection;
pub use error::{Error, ErrorKind, json as json_error};
use session::Session;
pub use session::{Outcome, Screen};

/// See and steer a running gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// How long to wait for an answer [default: 5s]; with `drain --wait`, what is left then is cut off
    #[arg(long, global = true, value_parser = units::parse_duration)]
    timeout: Option<Duration>,
    /// Who the log and `backends` are to name for changes, beside the address [default: $USER]
    #[arg(long, global = true, value_name = "NAME", env = "EQUIPOISE_BY", hide_env_values = true)]
    by: Option<String>,
    /// Why: kept by the log, `history` and `backends --output json` beside who made the change
    #[arg(long, global = true, value_name = "TEXT")]
    reason: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Changes take effect at once, on every worker, and drop nothing that is in flight. They lie over the
configuration file: they stay when it is reloaded, and end with the process unless it has a journal
(`overrides:` in the file); `backends` shows them below its table, `history` who made which and why;
`reset` takes them back, `revert` one of them. With --ttl 30m a change reverts by itself; --dry-run
changes nothing and shows what would be, weights and shares before and after. Each is all
or nothing and makes the service's revision one more; --expected-revision N refuses it if somebody
else was faster.

Tables fit the terminal, or 80 columns where there is none: columns that do not are left out, the
least important ones first. Scripts use --output json, where errors are JSON on standard error too.

Without --control or a context it is the gateway of this machine, at its Unix socket or, where there
is none, at http://127.0.0.1:9900. Elsewhere it takes https:// and --ca, and to prove who one is
--token-file, or --cert and --key; `context` keeps all that under a name.

Exit codes:
  0  done
  1  `route` found no route, or the output could not be written
  2  wrong command line
  3  no such service or route
  4  refused: no token or role for it, a revision that is not the current one, no backend left, an unknown backend, a value
     out of range, a later change of the same thing, a journal or a strict audit that cannot be written
  5  no gateway answers there, or not in time

Examples:
  equipoise ctl backends orders                            state, weight, share, success, latency
  equipoise ctl set-weight orders 127.0.0.1:50051=80 127.0.0.1:50052=20
  equipoise ctl backends orders --since 7                  requests, failures and codes since then
  equipoise ctl sources                                    what registries answer, and since when
  equipoise ctl methods orders                             requests, success and latency by gRPC method
  equipoise ctl set-weight orders 127.0.0.1:50051=5 --dry-run
                                                           what that would do to each backend
  equipoise ctl explain orders                             why each backend gets the share it gets
  equipoise ctl add orders 127.0.0.1:50053=5               a backend that the file does not have
  equipoise ctl drain orders 127.0.0.1:50051 --wait --timeout 30s
                                                           return when it is empty; cut off what is left
  equipoise ctl remove orders 127.0.0.1:50051              drain it first to see it run empty
  equipoise ctl eject orders 127.0.0.1:50051 --for 1m      as if its answers spoke against it
  equipoise ctl heal orders 127.0.0.1:50051                back at once, whatever it was ejected for
  equipoise ctl set-policy orders round_robin
  equipoise ctl set-policy orders consistent_hash key.header=x-user-id replicas=128
  equipoise ctl set-policy orders configured               back to what the file says
  equipoise ctl policies orders                            its policy, with every setting
  equipoise ctl split checkout                             the services of a route, and their weights
  equipoise ctl set-split checkout orders=90 canary=10
  equipoise ctl reset-split checkout                       back to what the file says
  equipoise ctl reset orders 127.0.0.1:50051               this backend as the file has it
  equipoise ctl reset orders                               all of the service as the file has it
  equipoise ctl set-weight orders 127.0.0.1:50051=5 --ttl 30m --reason slow
                                                           in half an hour as it was
  equipoise ctl history orders                             the last changes: when, who, why, old and new
  equipoise ctl revert orders 7                            undo the change that made revision 7

  equipoise ctl log-level debug                            a line for each request; `configured` ends it
  equipoise ctl whoami                                     who one is there, and what one may do
  equipoise ctl token new ci --role operate --services 'orders*' --expires 30d
  equipoise ctl context set prod --control https://gw.example:9900 --ca ca.pem --token-file token
  equipoise ctl context use prod                           from now on, that gateway";

/// The default timeout of a call.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
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
    Backends(backends::Args),
    /// Set the weights of backends; 0 takes no new requests
    SetWeight(change::SetWeight),
    /// Send a backend no new requests; those in flight finish, its weight is kept
    Drain(drain::Args),
    /// Put a drained backend back
    Undrain(change::Target),
    /// Eject a backend: no new requests, but in a panic; what is open at it goes on
    Eject(change::Eject),
    /// End the ejection of a backend at once, whatever it is for
    Heal(change::Heal),
    /// Add backends
    Add(change::Add),
    /// Remove backends: no new requests; those in flight finish
    Remove(change::Remove),
    /// Spread a service's requests in another way
    SetPolicy(change::SetPolicy),
    /// Take back what was changed: the configuration file holds again
    Reset(change::Reset),
    /// Show the last changes of a service: when, who, why, what
    History(history::Args),
    /// Undo one change of a service
    Revert(history::Revert),
    /// Show how routes split their requests over services, as for a canary
    Split(split::Args),
    /// Set the weights of services in a route's split
    SetSplit(split::Set),
    /// Take back what was changed about a route's split
    ResetSplit(split::Reset),
    /// Show the last changes of a route's split
    HistorySplit(history::OfSplit),
    /// Undo one change of a route's split
    RevertSplit(history::RevertSplit),
    /// Show how each service spreads its requests, with every setting in effect
    Policies(policies::Args),
    /// Show how the sources do that services have their backends from
    Sources(sources::Args),
    /// Show how the gRPC methods of a service do
    Methods(methods::Args),
    /// Say what each backend costs now, and why it gets the share it gets
    Explain(explain::Args),
    /// Say which route a request would take, and why
    Route(route::Args),
    /// See what is logged, or change it until the process ends
    LogLevel(log_level::Args),
    /// Show a service's backends again and again
    Watch(watch::Args),
    /// Say who one is for the gateway, and what one may do
    Whoami,
    /// Make a token for the control API
    Token(token::Args),
    /// Name gateways, and how they are reached, and choose one
    Context(context::Args),
}

impl Args {
    /// The output format, for results and errors.
    pub fn output(&self) -> Output {
        self.output
    }
}

/// Whether these arguments, possibly invalid, ask `ctl` for JSON.
pub fn wants_json(words: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = words.collect();
    let is_ctl = words.first().is_some_and(|word| word == "ctl");
    let pair = |pair: &[OsString]| pair == ["--output", "json"];
    is_ctl && (words.windows(2).any(pair) || words.iter().any(|word| word == "--output=json"))
}

/// Runs the command and prints to standard output.
///
/// # Errors
/// The gateway is unreachable or refused; see [`Error::exit_code`].
pub async fn run(args: Args) -> Result<Outcome, Error> {
    let mut stdout = io::stdout();
    let screen = Screen::new(stdout.is_terminal());
    match execute(args, &mut stdout, screen).await {
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
        result => result,
    }
}

/// Runs the command and prints to `out`, formatted for `screen`.
///
/// # Errors
/// As [`run`].
pub async fn execute(args: Args, out: &mut dyn Write, screen: Screen) -> Result<Outcome, Error> {
    let timeout = args.timeout;
    match args.command {
        Command::Token(token) => return token.run(args.output, out).map(|()| Outcome::Done),
        Command::Context(context) => {
            return context.run(args.connection, args.output, out).map(|()| Outcome::Done);
        }
        _ => {}
    }
    let client = {
        // Elsewhere it is how long the requests of a backend may take.
        let answer =
            timeout.filter(|_| !matches!(&args.command, Command::Drain(drain) if drain.wait));
        let signed = signed(args.by, args.reason)?;
        let timeout = answer.unwrap_or(DEFAULT_TIMEOUT);
        let (control, credentials) = args.connection.resolve()?;
        client::Client::connect(&control, &credentials, timeout, signed).await?
    };
    let mut session = Session { client, output: args.output, screen, out };
    let session = &mut session;
    match args.command {
        Command::Services => services::run(session).await?,
        Command::Backends(args) => args.run(session).await?,
        Command::SetWeight(args) => args.run(session).await?,
        Command::Drain(args) => {
            let limit = args.wait.then_some(timeout).flatten();
            args.run(session, limit).await?;
        }
        Command::Undrain(target) => target.undrain(session).await?,
        Command::Eject(args) => args.run(session).await?,
        Command::Heal(args) => args.run(session).await?,
        Command::Add(args) => args.run(session).await?,
        Command::Remove(args) => args.run(session).await?,
        Command::SetPolicy(args) => args.run(session).await?,
        Command::Reset(args) => args.run(session).await?,
        Command::Policies(args) => args.run(session).await?,
        Command::Sources(args) => args.run(session).await?,
        Command::Methods(args) => args.run(session).await?,
        Command::Explain(args) => args.run(session).await?,
        Command::Split(args) => args.run(session).await?,
        Command::SetSplit(args) => args.run(session).await?,
        Command::ResetSplit(args) => args.run(session).await?,
        Command::History(args) => args.run(session).await?,
        Command::Revert(args) => args.run(session).await?,
        Command::HistorySplit(args) => args.run(session).await?,
        Command::RevertSplit(args) => args.run(session).await?,
        Command::Route(args) => return args.run(session).await,
        Command::LogLevel(args) => args.run(session).await?,
        Command::Watch(args) => args.run(session).await?,
        Command::Whoami => whoami::run(session).await?,
        Command::Token(_) | Command::Context(_) => {} // above: they ask no gateway
    }
    Ok(Outcome::Done)
}

/// Who makes changes, and why. The user's name from the environment is left out if it cannot be shown.
fn signed(by: Option<String>, reason: Option<String>) -> Result<WithAuthor, Error> {
    let check = |claim: Claim, text: &Option<String>| {
        text.as_deref().map_or(Ok(()), |text| claim.check(text)).map_err(Error::Claim)
    };
    check(Claim::ACTOR, &by)?;
    check(Claim::REASON, &reason)?;
    let user = || std::env::var("USER").ok().filter(|user| Claim::ACTOR.check(user).is_ok());
    Ok(WithAuthor { by: by.or_else(user), reason, token: None })
}

/// The state's name, as users see it.
fn state_name(state: BackendState) -> &'static str {
    state.as_str_name().strip_prefix("BACKEND_STATE_").unwrap_or("UNSPECIFIED")
}

/// The state as tables show it: of a backend that is READY and starts slowly, STARTING.
fn shown_state(state: BackendState, ramp: Option<f64>) -> &'static str {
    match (state, ramp) {
        (BackendState::Ready, Some(_)) => "STARTING",
        (state, _) => state_name(state),
    }
}

/// `part` / `all`, unless that is a division by zero.
fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}
