//! `ctl log-level`: shows or sets the log filter.

use serde::Serialize;

use super::session::Session;
use super::{Error, json};
use crate::control::proto::{GetLogLevelRequest, LogLevel, SetLogLevelRequest};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// off, error, warn, info or debug, with levels for parts behind commas
    /// (`warn,equipoise::upstream=debug`); `configured` goes back
    level: Option<String>,
    /// Change nothing, and show what would be logged
    #[arg(long, requires = "level")]
    dry_run: bool,
}

impl Args {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        let mut api = session.client.api();
        let level = match self.level {
            None => session.client.wait(api.get_log_level(GetLogLevelRequest {})).await?,
            Some(level) => {
                session.client.knows_dry_run(self.dry_run).await?;
                let request = SetLogLevelRequest { level, dry_run: self.dry_run };
                session.client.wait(api.set_log_level(request)).await?
            }
        };
        session.print(|_| text(&level, self.dry_run), || programs(&level))
    }
}

fn text(LogLevel { level, configured }: &LogLevel, dry_run: bool) -> String {
    if dry_run {
        return format!("nothing is changed: it would be {level}; configured is {configured}\n");
    }
    if level == configured {
        format!("{level}\n")
    } else {
        format!("{level}, until the process ends; configured is {configured}\n")
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    level: &'a str,
    configured: &'a str,
}

fn programs(LogLevel { level, configured }: &LogLevel) -> String {
    json::line(serde_json::to_string(&Shown { level, configured }))
}
