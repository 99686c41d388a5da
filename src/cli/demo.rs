//! `equipoise demo`: a gateway with its own backends and load.

mod backend;
mod contender;
mod echo;
mod introduction;
mod load;
mod screen;
mod start;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::print::complain;
use super::signals::Signals;
use crate::balance::{POLICIES, policy};
use crate::telemetry::log::{self, Filter, Format};
use crate::text::{Params, units};
use backend::Backend;
use contender::Contender;
use screen::Screen;

/// A fatal error of the demo.
type Failure = Box<dyn Error + Send + Sync>;

/// Refresh interval of the numbers.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Log buffer size; a demo logs little.
const LOG_BUFFER: usize = 64 << 10;
/// The first backend's latency, and while it is slow (between two turns).
const FAST: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_millis(80);
const SLOW_FROM: u64 = 5;
const SLOW_TO: u64 = 15;

/// Where the demo listens and what it does.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Port for clients [default: 8080, or a free one if it is taken]
    #[arg(long)]
    port: Option<u16>,
    /// Port of the control API [default: 9900, or a free one if it is taken]
    #[arg(long, value_name = "PORT")]
    control_port: Option<u16>,
    /// Port of the metrics [default: 9901, or a free one if it is taken]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
    /// How requests are spread: p2c_ewma, least_request, round_robin or weighted_random
    #[arg(long, default_value = "p2c_ewma", value_parser = parse_policy)]
    policy: &'static str,
    /// The policy beside it, over the same backends; the same one shows it alone
    #[arg(long, value_name = "POLICY", default_value = "round_robin", value_parser = parse_policy)]
    against: &'static str,
    /// Requests a second to each policy
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,
    /// End after this time; by default Ctrl-C ends it
    #[arg(long, value_parser = units::parse_duration)]
    duration: Option<Duration>,
}

const HELP: &str = "\
Everything runs in this process and listens on this machine alone. Two policies are shown side by
side, over the same three backends and under the same load. After 5 seconds the fastest backend
becomes slow for 10 seconds: who looks at latencies moves traffic, who does not makes clients wait.

Examples:
  equipoise demo
  equipoise demo --policy least_request --against weighted_random
  equipoise demo --policy p2c_ewma --against p2c_ewma            one alone";

/// Parses a policy that needs no settings; the demo cannot give any.
fn parse_policy(name: &str) -> Result<&'static str, String> {
    let usable = |name: &str| {
        let policy = policy(name)?;
        policy.configure(Params::default()).is_ok().then(|| policy.name())
    };
    usable(name).ok_or_else(|| {
        let names: Vec<_> = POLICIES.iter().filter_map(|policy| usable(policy.name())).collect();
        format!("the demo can use {}", names.join(", "))
    })
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match demonstrate(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(args: &Args) -> Result<(), Failure> {
    let filter = log::from_environment(&Filter::from(LevelFilter::WARN))?;
    let _flush = log::init(Format::Text, &filter, LOG_BUFFER)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let backends = [
            Backend::start("swift", FAST)?,
            Backend::start("middling", Duration::from_millis(10))?,
            Backend::start("tardy", Duration::from_millis(40))?,
        ];
        let mut stage = start::gateway(args, &backends).await?;
        let mut out = io::stdout().lock();
        let shown = async {
            out.write_all(introduction::text(&stage, &backends, args.rate).as_bytes())?;
            let columns = out.is_terminal().then(columns);
            let mut screen = Screen::new(out, columns, &backends);
            play(&mut screen, &backends, &mut stage.contenders, args.duration, &mut signals)
                .await?;
            screen.end(&stage.contenders)
        };
        let shown = shown.await;
        stage.contenders.clear(); // stops their load
        tokio::select! {
            () = stage.gateway.shutdown() => {}
            _ = signals.next() => {} // a second signal: stop at once
        }
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            shown => Ok(shown?),
        }
    })
}

/// The width of the terminal.
fn columns() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| width.0.into())
}

/// Shows the numbers each turn until the time is over or a signal comes.
async fn play<W: Write>(
    screen: &mut Screen<'_, W>,
    backends: &[Backend],
    contenders: &mut [Contender],
    duration: Option<Duration>,
    signals: &mut Signals,
) -> io::Result<()> {
    let end = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    let mut turns = tokio::time::interval(REFRESH_INTERVAL);
    turns.tick().await; // the first tick is immediate
    for turn in 1.. {
        tokio::select! {
            _ = turns.tick() => {}
            () = &mut end => break,
            _ = signals.next() => break,
        }
        if let Some(news) = backends.first().and_then(|first| change_speed(first, turn)) {
            screen.announce(news);
        }
        screen.show(turn, contenders)?;
    }
    Ok(())
}

/// The scripted event of `turn`, if there is one.
fn change_speed(first: &Backend, turn: u64) -> Option<String> {
    let name = first.name();
    match turn {
        SLOW_FROM => {
            first.set_delay(SLOW);
            Some(format!("{name} takes {SLOW:?} instead of {FAST:?} now: who moves traffic away?"))
        }
        SLOW_TO => {
            first.set_delay(FAST);
            Some(format!("{name} takes {FAST:?} again: who notices? Your turn!"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_need_settings_are_refused_by_name() {
        assert_eq!(parse_policy("round_robin"), Ok("round_robin"));
        for name in ["consistent_hash", "no_such"] {
            let error = parse_policy(name).unwrap_err();
            assert!(error.starts_with("the demo can use p2c_ewma, "), "{error}");
            assert!(!error.contains("consistent_hash"), "{error}");
        }
    }
}
